"""docs/benchmarks.md, written from the result files in docs/benchmarks/.

``python -m benchmarks.page`` writes it. A result file is what ``--json`` wrote; it is kept as it came, missed too.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from benchmarks.report import Report, number

DOCS = Path(__file__).parents[1] / "docs"
_HEAD = """# Benchmarks

<!-- Written by `python -m benchmarks.page` from the result files in docs/benchmarks/. -->

Every table is one run: ours first, the rivals beside it, then the goal. A missed goal stays. Two noisy cores, Linux;
absolute times depend on the machine, ratios less so. The command above each table repeats it.
"""


def page(folder: Path = DOCS / "benchmarks") -> str:
    """Return the page made from all result files, in the order of their names."""
    parts = [_HEAD]
    for path in sorted(folder.glob("*.json")):
        parts.append(_section(msgspec.json.decode(path.read_bytes(), type=Report)))
    return "\n".join(parts)


def _section(report: Report) -> str:
    keys = list(report.figures)
    lines = [f"## {report.name}", "", f"    python -m benchmarks {report.name} --seed {report.seed}", ""]
    lines += ["| | " + " | ".join(keys) + " |", "|---|" + "---:|" * len(keys)]
    lines.append("| **tocsin** | " + " | ".join(f"**{number(report.figures[key])}**" for key in keys) + " |")
    for rival, figures in report.rivals.items():
        lines.append(
            f"| {rival} | " + " | ".join(number(figures[key]) if key in figures else "" for key in keys) + " |"
        )
    if report.goals:
        lines.append("| goal | " + " | ".join(report.judged(key) for key in keys) + " |")
    lines += ["", *(f"- {note}" for note in report.notes)]
    for name, points in report.curves.items():
        lines.append(f"- {name}: " + ", ".join(f"{place} {number(value)}" for place, value in points.items()))
    with_versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    lines += ["", f"{report.seconds:.0f} s; {with_versions}.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    (DOCS / "benchmarks.md").write_text(page(), encoding="utf-8")
