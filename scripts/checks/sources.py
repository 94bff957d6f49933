"""House rules that no lint covers: module files, markers of unfinished work, file length, error texts."""

from __future__ import annotations

import re

from repo import Repo, line_of, production_lines

LONGEST_FILE = 500  # production lines; near 120 is the habit, 400 asks for a second look

SOURCE_ENDINGS = (".rs", ".js", ".mjs", ".ts", ".py", ".sh", ".html", ".css")
MARKERS = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b|\b(?:todo|unimplemented|dbg)!")

# thiserror attributes and anyhow texts
ERROR_TEXT = re.compile(
    r'(?:#\[error\(|\b(?:anyhow|bail)!\(|\.context\(|\.with_context\(\|\| format!\()\s*"((?:[^"\\]|\\.)*)"'
)
# A word: not an acronym, a name from the code (`Foo::bar`) or an HTTP header, which keep their capitals.
CAPITALISED = re.compile(r"[A-Z][a-z]+\b(?![.:(_-]| header)")


def module_files(repo: Repo) -> list[str]:
    return [
        f"{name}: modules are named foo.rs beside foo/, never mod.rs"
        for name in repo.files
        if name.endswith("/mod.rs")
    ]


def markers(repo: Repo) -> list[str]:
    return [
        f"{name}:{line_of(text, found.start())}: '{found.group()}' left in the sources; finish it or file an issue"
        for name, text in repo.texts(*SOURCE_ENDINGS)
        for found in MARKERS.finditer(text)
    ]


def error_texts(repo: Repo) -> list[str]:
    violations = []
    for name, text in repo.texts(".rs"):
        for found in ERROR_TEXT.finditer(text):
            message = found.group(1)
            where = f"{name}:{line_of(text, found.start())}: error text \"{message}\""
            if CAPITALISED.match(message):
                violations.append(f"{where} starts with a capital letter")
            if message.endswith(".") and not message.endswith("..."):
                violations.append(f"{where} ends with a period")
    return violations


def is_production(name: str) -> bool:
    parts = name.split("/")
    return name.endswith(".rs") and parts[-1] != "tests.rs" and not {"tests", "benches", "fuzz"} & set(parts[:-1])


def file_length(repo: Repo) -> list[str]:
    return [
        f"{name}: {lines} production lines, at most {LONGEST_FILE}; split it by concern"
        for name, text in repo.texts(".rs")
        if is_production(name) and (lines := production_lines(text)) > LONGEST_FILE
    ]
