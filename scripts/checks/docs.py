"""What the documents name exists: files, folders, headings, just recipes, crates, binaries, scripts.

Prose that names paths rots silently. A token in backticks is taken for a path of the repository when its first folder is
one, or when it ends like a source file; a path may be shortened to its last parts (`bus/nats.rs`). `foo` stands for any
name.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections import Counter
from functools import cache
from pathlib import PurePosixPath

from repo import Repo, line_of

DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")
SHELL_BLOCKS = ("sh", "bash", "shell", "console")
# Without a folder these can only be files of ours; a name such as natter.yaml may be the reader's own.
BARE_ENDINGS = (".rs", ".md", ".lock")
PATH_ENDINGS = BARE_ENDINGS + (".toml", ".yaml", ".yml", ".py", ".sh", ".mjs", ".js", ".json", ".html", ".css", ".svg")
PLACEHOLDER = re.compile(r"(?:^|/)foo\b")
PATH = re.compile(r"(?:\./)?[\w.@+*-]+(?:/[\w.@+*-]+)*/?")


def documents(repo: Repo) -> list[tuple[str, str]]:
    return [(name, text) for name, text in repo.texts(".md") if name in DOCUMENTS or name.startswith("docs/")]


def split_blocks(text: str) -> tuple[str, list[tuple[int, str, str]]]:
    """The prose with fenced blocks blanked out, and the blocks as (offset, language, body)."""
    blocks = []

    def blank(found: re.Match[str]) -> str:
        blocks.append((found.start(2), found.group(1).strip(), found.group(2)))
        return re.sub(r"[^\n]", " ", found.group())

    prose = re.sub(r"^```([^\n]*)\n(.*?)^```", blank, text, flags=re.MULTILINE | re.DOTALL)
    return prose, blocks


def inline_code(prose: str) -> list[tuple[int, str]]:
    return [(found.start(1), found.group(1)) for found in re.finditer(r"`([^`]+)`", prose)]


def commands(text: str) -> list[tuple[int, str]]:
    """Command lines: of shell blocks, and inline code."""
    prose, blocks = split_blocks(text)
    found = inline_code(prose)
    for offset, language, body in blocks:
        if language not in SHELL_BLOCKS:
            continue
        for line in re.finditer(r"^(?:\$ )?([^#\n]+)", body, re.MULTILINE):
            found.append((offset + line.start(1), line.group(1)))
    return [
        (offset, part.strip()) for offset, line in found for part in re.split(r"&&|\|\||[;|]", line) if part.strip()
    ]


def exists(repo: Repo, path: str, folder: str = "") -> bool:
    """Whether a path exists from the root or from `folder`, or as the end of a path (`*` matches)."""
    path = path.removeprefix("./").rstrip("/")
    known = [*repo.files, *repo.folders]
    if folder and f"{folder}/{path}" in known:
        return True
    return any(fnmatch.fnmatchcase(name, path) or fnmatch.fnmatchcase(name, f"*/{path}") for name in known)


def looks_like_path(repo: Repo, token: str) -> bool:
    if not PATH.fullmatch(token) or token.startswith(("*", "..")) or PLACEHOLDER.search(token):
        return False
    bare = token.removeprefix("./")
    if "/" not in bare.rstrip("/"):
        return bare.endswith(BARE_ENDINGS) or (token.endswith("/") and bare.rstrip("/") in repo.folders)
    first = bare.split("/", 1)[0]
    return token.startswith("./") or first in repo.folders or bare.endswith(PATH_ENDINGS)


def paths(repo: Repo) -> list[str]:
    violations = []
    for name, text in documents(repo):
        prose, _ = split_blocks(text)
        for offset, code in inline_code(prose):
            token = code.strip()
            if looks_like_path(repo, token) and not exists(repo, token) and not repo.ignored(token.removeprefix("./")):
                violations.append(f"{name}:{line_of(text, offset)}: `{token}` does not exist")
    return violations


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip()).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


@cache
def anchors(text: str) -> frozenset[str]:
    prose, _ = split_blocks(text)
    return frozenset(slug(found.group(1)) for found in re.finditer(r"^#+ +(.+?)\s*$", prose, re.MULTILINE))


def resolve(name: str, target: str) -> str | None:
    """A link's path from the root; None when it leaves the repository."""
    parts: list[str] = []
    for part in PurePosixPath(name).parent.joinpath(target).parts:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def links(repo: Repo) -> list[str]:
    violations = []
    for name, text in documents(repo):
        prose, _ = split_blocks(text)
        for found in re.finditer(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)", prose):
            target, _, anchor = found.group(1).partition("#")
            where = f"{name}:{line_of(text, found.start())}: link to {found.group(1)}"
            if re.match(r"[a-z]+:", target):
                continue
            path = resolve(name, target) if target else name
            if path is None or (path not in repo.files and path not in repo.folders):
                violations.append(f"{where}: no such file")
            elif anchor and path.endswith(".md") and anchor not in anchors(repo.read(path) or ""):
                violations.append(f"{where}: no such heading")
    return violations


def recipes(repo: Repo) -> list[str]:
    """Names of the recipes and their aliases, as often as they are there."""
    text = (repo.read("justfile") or "") if "justfile" in repo.files else ""
    named = re.findall(r"^@?([A-Za-z_][\w-]*)(?: [^:=\n]*)?:(?!=)", text, re.MULTILINE)
    return [*named, *re.findall(r"^alias ([\w-]+)", text, re.MULTILINE)]


def recipes_once(repo: Repo) -> list[str]:
    """Two recipes of one name make `just` refuse the whole file."""
    counted = Counter(recipes(repo))
    return [f"justfile: '{name}' is there {times} times" for name, times in counted.items() if times > 1]


def crates(repo: Repo) -> tuple[set[str], set[str]]:
    """Names of the packages, and of their binaries."""
    packages, binaries = set(), set()
    for name in repo.files:
        if name.rsplit("/", 1)[-1] != "Cargo.toml":
            continue
        manifest = tomllib.loads(repo.read(name) or "")
        package = manifest.get("package", {}).get("name")
        if package is None:
            continue
        packages.add(package)
        binaries.update(binary["name"] for binary in manifest.get("bin", []))
        folder = name.removesuffix("Cargo.toml")
        if f"{folder}src/main.rs" in repo.files:
            binaries.add(package)
        for file in repo.files:
            if file.startswith(f"{folder}src/bin/"):
                binaries.add(PurePosixPath(file).stem)
    return packages, binaries


def fault_of(repo: Repo, command: str) -> str | None:
    """What a command names that does not exist."""
    words = [word for word in command.split() if "=" not in word or word.startswith("-")]
    if not words:
        return None
    packages, binaries = crates(repo)
    if words[:1] == ["just"] and len(words) > 1 and re.fullmatch(r"[a-z][\w-]*", words[1]):
        if words[1] not in recipes(repo):
            return f"the justfile has no recipe '{words[1]}'"
    if words[:1] == ["cargo"]:
        for flag, value in zip(words, words[1:]):
            if flag in ("-p", "--package") and value not in packages and re.fullmatch(r"[a-z][\w-]*", value):
                return f"the workspace has no crate '{value}'"
            if flag == "--bin" and value not in binaries:
                return f"the workspace has no binary '{value}'"
            if flag == "--test" and not exists(repo, f"tests/{value}.rs") and not exists(repo, f"tests/{value}/main.rs"):
                return f"the workspace has no test '{value}'"
    script = words[1] if words[:1] in (["bash"], ["python3"], ["node"]) and len(words) > 1 else words[0]
    if looks_like_path(repo, script) and not exists(repo, script) and not repo.ignored(script.removeprefix("./")):
        return f"{script} does not exist"
    return None


def named_commands(repo: Repo) -> list[str]:
    return [
        f"{name}:{line_of(text, offset)}: `{command}`: {fault}"
        for name, text in documents(repo)
        for offset, command in commands(text)
        if (fault := fault_of(repo, command))
    ]
