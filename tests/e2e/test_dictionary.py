"""The console's words: complete in both languages, and every word of a closed list of the server's is among them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tocsin.core.action import ActionState, Answer, Effect, Unit
from tocsin.core.events import Entity
from tocsin.core.incident import Phase, Severity
from tocsin.core.playbook import Automation
from tocsin.core.records import Role
from tocsin.core.signal import Decision, Mode
from tocsin.core.vocabulary import VOCABULARY
from tocsin.desks.catalogue import catalogue
from tocsin.flow.cel_values import CAUSES as ERRORS
from tocsin.flow.wide.scan_checks import CAUSES
from tocsin.server.measured import Thread, Weight
from tocsin.telemetry import STAGES

SOURCES = Path(__file__).parents[2] / "console" / "src"
EN = json.loads((SOURCES / "i18n" / "en.json").read_text(encoding="utf-8"))
ZH = json.loads((SOURCES / "i18n" / "zh.json").read_text(encoding="utf-8"))
HAN = re.compile(r"[\u4e00-\u9fff]")


def places(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def test_both_languages_have_the_same_keys_and_places() -> None:
    """A key, or a place to fill, that one language has and the other lacks is an untranslated one."""
    assert EN.keys() == ZH.keys()
    # A form for exactly one may leave the number out.
    differ = [key for key in EN if not key.endswith(".one") and places(EN[key]) != places(ZH[key])]
    assert not differ


def test_no_text_is_empty_or_left_in_the_other_language() -> None:
    assert not [key for key, text in EN.items() if not text.strip() or HAN.search(text)]
    assert not [key for key, text in ZH.items() if not HAN.search(text)]


def test_every_key_that_the_sources_name_is_in_the_dictionary() -> None:
    named: set[str] = set()
    for path in SOURCES.rglob("*.tsx"):
        named.update(re.findall(r"""\bt\(\s*["'`]([a-z_]+(?:\.[A-Za-z_.]+)?)["'`]""", path.read_text(encoding="utf-8")))
    assert len(named) > 150
    assert not named - EN.keys()


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("phase", Phase),
        ("severity", Severity),
        ("decision", Decision),
        ("mode", Mode),
        ("state", ActionState),
        ("effect", Effect),
        ("answer", Answer),
        ("automation", Automation),
        ("unit", Unit),
        ("entity", Entity),
        ("role", Role),
        ("type", [name for name in VOCABULARY if not name.startswith("tocsin.")]),
        ("desk", [desk.name for desk in catalogue()]),
        ("stage", STAGES),
        ("thread", Thread),
        ("weight", Weight),
        ("cause", [cause for cause in CAUSES if cause != "fast"]),
        ("error", [cause for cause in ERRORS if cause]),
        ("series", [series.name for desk in catalogue() for series in desk.series]),
    ],
)
def test_every_word_of_a_closed_list_is_in_the_dictionary(prefix: str, words: list[str]) -> None:
    """What the server may say has a word in both languages."""
    assert not [str(word) for word in words if f"{prefix}.{word}" not in EN]
