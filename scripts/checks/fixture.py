"""Repositories to plant faults into: what the self-tests share."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import unittest
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from repo import Repo

ROOT = Path(__file__).resolve().parents[2]


class Fixture(unittest.TestCase):
    def written(self, files: Mapping[str, str]) -> Repo:
        """A repository of these files, gone with the test."""
        root = self._folder()
        for name, text in files.items():
            _write(root / name, text)
        return _repository(root)

    def copied(self, paths: Iterable[str], change: Callable[[Path], None] = lambda root: None) -> Repo:
        """This repository's own files and folders of these names that there are, changed."""
        root = self._folder()
        for path in paths:
            if (ROOT / path).exists():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if (ROOT / path).is_dir() else shutil.copy)(ROOT / path, root / path)
        change(root)
        return _repository(root)

    def replace(self, file: Path, old: str, new: str) -> None:
        """Writes `new` for every `old`, which has to be there; a file that is not there is written."""
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        self.assertIn(old, text)
        _write(file, text.replace(old, new) if old else new)

    def finds(self, check: Callable[[Repo], list[str]], text: str, repo: Repo) -> None:
        """The check finds exactly one fault, which says `text`."""
        violations = check(repo)
        self.assertEqual(len(violations), 1, violations)
        self.assertIn(text, violations[0])

    def _folder(self) -> Path:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return Path(folder.name)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _repository(root: Path) -> Repo:
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return Repo(root)
