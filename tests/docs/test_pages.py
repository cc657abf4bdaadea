"""Pages that are written from tables stay so, and the two READMEs say the same."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from tocsin.cli import COMMANDS
from tocsin.cli.vocabulary import page
from tocsin.config import Settings

ROOT = Path(__file__).parents[2]


def test_the_events_page_is_the_vocabulary() -> None:
    assert (ROOT / "docs" / "events.md").read_text(encoding="utf-8") == page()


def test_every_setting_is_on_the_settings_page_with_its_default() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for field in msgspec.structs.fields(Settings):
        assert f"| `{field.name}` | `{field.default}` |" in text or f"| `{field.name}` | (empty) |" in text, field.name


def test_both_readmes_have_the_same_parts_commands_and_links() -> None:
    english = (ROOT / "README.md").read_text(encoding="utf-8")
    chinese = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
    for pattern in (r"^#+ ", r"^    \S+ ?\S*", r"```\w*", r"\]\(docs/[^)]*\)", r"^\|"):
        found = [re.findall(pattern, text, flags=re.MULTILINE) for text in (english, chinese)]
        assert found[0] == found[1], pattern


@pytest.mark.parametrize("name", [*sorted(path.name for path in (ROOT / "docs").glob("*.md")), "README.md"])
def test_every_link_of_a_page_leads_somewhere(name: str) -> None:
    path = ROOT / "docs" / name if name != "README.md" else ROOT / name
    for link in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (path.parent / link).exists(), link


def test_every_command_that_the_pages_name_exists() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for name in re.findall(r"`tocsin ([a-z]+)", path.read_text(encoding="utf-8")):
            assert name in COMMANDS, f"{path.name}: tocsin {name}"
