#!/usr/bin/env python3
"""Writes the table of values into charts/natter/README.md, and copies the definition of ChatCluster into the chart; `scripts/checks/`
compares both with what is committed.

values.yaml is read by its layout, so that no YAML parser is needed: two spaces for each level, `# -- ` above each described value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

CHART = "charts/natter"
VALUES = f"{CHART}/values.yaml"
README = f"{CHART}/README.md"
DEFINITION = "crds/chatclusters.natter.dev.yaml"
COPY = f"{CHART}/files/chatclusters.natter.dev.yaml"
BEGIN, END = "<!-- values: begin -->\n", "<!-- values: end -->"
# Longer defaults are not printed: the reader looks into the file.
PRINTABLE = 60


@dataclass
class Value:
    path: str
    default: str
    description: str


def values(text: str) -> list[Value]:
    """Every described value, in the order of the file. A section below a description is its default, in YAML's flow form."""
    found: list[Value] = []
    keys: list[str] = []
    description, described_at = "", -1
    for line in text.splitlines():
        if comment := re.match(r" *# -- (.*)", line):
            description = comment.group(1)
            continue
        entry = re.match(r"( *)([\w-]+):(?: (.*))?$", line)
        if not entry:
            continue
        depth = len(entry.group(1)) // 2
        keys[depth:] = [entry.group(2)]
        if 0 <= described_at < depth:
            found[-1].default = nested(found[-1].default, keys[described_at + 1 :], entry.group(3))
            continue
        described_at = -1
        if description:
            found.append(Value(".".join(keys), entry.group(3) or "", description))
            described_at = -1 if entry.group(3) else depth
            description = ""
    return found


def nested(text: str, keys: list[str], value: str | None) -> str:
    """`text`, the flow form so far, with one more entry; deeper sections are shown as `{…}`."""
    if len(keys) > 1:
        return text
    inner = text.removeprefix("{").removesuffix("}")
    return "{" + ", ".join(filter(None, [inner, f"{keys[0]}: {value or '{…}'}"])) + "}"


def table(text: str) -> str:
    rows = ["| value | default | meaning |", "|---|---|---|"]
    for value in values(text):
        default = f"`{value.default}`" if len(value.default) <= PRINTABLE else "see `values.yaml`"
        cells = [f"`{value.path}`", default, value.description]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def files(root: Path) -> dict[str, str]:
    """Names from the root of the repository, and texts."""
    readme = (root / README).read_text(encoding="utf-8")
    before, _, rest = readme.partition(BEGIN)
    written = {README: before + BEGIN + table((root / VALUES).read_text(encoding="utf-8")) + END + rest.partition(END)[2]}
    if (root / DEFINITION).is_file():
        written[COPY] = (root / DEFINITION).read_text(encoding="utf-8")
    return written


def main() -> None:
    root = Path(__file__).resolve().parents[2]
    for name, text in files(root).items():
        (root / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
