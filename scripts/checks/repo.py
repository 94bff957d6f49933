"""The files of the repository, as every check sees them."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

# The checks name what they forbid, and their fixtures contain it.
OWN_FOLDER = "scripts/checks/"


@dataclass(frozen=True)
class Repo:
    """A git work tree. Files count when they are tracked, or would be by `git add`."""

    root: Path

    @cached_property
    def files(self) -> list[str]:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=self.root,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        return sorted({name for name in listed.split("\0") if name and (self.root / name).is_file()})

    @cached_property
    def folders(self) -> set[str]:
        return {str(parent) for name in self.files for parent in Path(name).parents if str(parent) != "."}

    def read(self, name: str) -> str | None:
        """The text of a file, or None when it is not text."""
        try:
            return (self.root / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return None

    def texts(self, *endings: str) -> list[tuple[str, str]]:
        """Names and texts of the files with one of these endings (all text files without one), the checks' own left out."""
        found = []
        for name in self.files:
            if name.startswith(OWN_FOLDER) or (endings and not name.endswith(endings)):
                continue
            if (text := self.read(name)) is not None:
                found.append((name, text))
        return found

    def ignored(self, path: str) -> bool:
        """Whether git ignores the path, or a folder of that name: build output, for example."""
        command = ["git", "check-ignore", path, path.rstrip("/") + "/"]
        return subprocess.run(command, cwd=self.root, check=False, capture_output=True).returncode == 0


def line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def production_lines(text: str) -> int:
    """Lines of a Rust file before its inline test module."""
    tests = re.search(r"^#\[cfg\(test\)\]\s*\n(?:#\[.*\]\s*\n)*mod \w+ \{", text, re.MULTILINE)
    return len((text[: tests.start()] if tests else text).splitlines())
