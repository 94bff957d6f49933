"""The table of docs/conformance.md: a row for each command, and in each cell a test that exists and belongs there, or a dash."""

from __future__ import annotations

import re

from repo import Repo, line_of

PAGE = "docs/conformance.md"
COMMANDS = (
    "connect",
    "subscribe",
    "unsubscribe",
    "publish",
    "history",
    "presence",
    "presence_stats",
    "ping",
    "send",
    "rpc",
    "refresh",
    "sub_refresh",
)
# Tests of one transport in one encoding are called so in every module.
COLUMNS = {
    "WebSocket, JSON": "websocket_json",
    "WebSocket, Protobuf": "websocket_protobuf",
    "server-sent events, JSON": "sse_json",
    "HTTP streaming, JSON": "http_stream_json",
    "HTTP streaming, Protobuf": "http_stream_protobuf",
}
NONE = "–"
TEST = re.compile(r"`(\w+)::(\w+)`")


def tests(repo: Repo) -> set[tuple[str, str]]:
    """Modules of the scenarios and the functions in them."""
    found = set()
    for name, text in repo.texts(".rs"):
        if name.startswith("tests/tests/"):
            module = name.rsplit("/", 1)[-1].removesuffix(".rs")
            found.update((module, function) for function in re.findall(r"^(?:async )?fn (\w+)\(\)", text, re.MULTILINE))
    return found


def cells_have_tests(repo: Repo) -> list[str]:
    text = repo.read(PAGE) if PAGE in repo.files else None
    if text is None:
        return []
    known = tests(repo)
    violations, rows, columns = [], set(), []
    for row in re.finditer(r"^\| (.+) \|$", text, re.MULTILINE):
        where = f"{PAGE}:{line_of(text, row.start())}"
        head, *cells = row.group(1).split(" | ")
        rows.update(re.findall(r"`(\w+)`", head))
        if head.startswith("| "):
            columns = [head.removeprefix("| "), *cells]
        if "`" not in head:
            continue
        for index, cell in enumerate(cells):
            named = TEST.findall(cell)
            if not named and cell.strip() != NONE:
                violations.append(f"{where}: '{cell}' names no test")
            violations += [f"{where}: no test {module}::{test}" for module, test in named if (module, test) not in known]
            column = columns[index] if index < len(columns) else ""
            other = [test for _, test in named if test in COLUMNS.values() and test != COLUMNS.get(column)]
            violations += [f"{where}: {test} stands under '{column}'" for test in other]
    violations += [f"{PAGE}: no row for `{command}`" for command in COMMANDS if command not in rows]
    return violations
