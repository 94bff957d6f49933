"""Dashboards, alert rules and runbooks: one model, one set of names.

Grafana is no part of the tests, so the dashboards are held against the documented JSON model (schema version 39): every key of a
dashboard, panel, target, variable and annotation must be known here, and what is known must have the right type.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator

from repo import Repo

FOLDER = "charts/natter/monitoring/"
GENERATOR = "scripts/dashboards/generate.py"
RUNBOOKS = "docs/runbooks/"
RUNBOOK_URL = "https://natter.dev/runbooks/"
AWAITED = "tests/monitoring/awaited-families.txt"
# Documents with a table of families, between these marks.
FAMILY_TABLES = ("docs/observability.md", "docs/monitoring.md")
FAMILIES = re.compile(r"<!-- \w*\s?families: begin.*?-->\n(.*?)<!-- \w*\s?families: end", re.DOTALL)
# Of the prometheus crate and of Prometheus itself.
FOREIGN = {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds", "ALERTS"}
HEADINGS = ("Meaning", "What users feel", "How to check", "What to do")
UNITS = {"none", "short", "s", "percentunit", "bytes", "Bps", "cps", "reqps", "bool_yes_no"}
COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
BUILT_IN = {"type": "grafana", "uid": "-- Grafana --"}

BOARD = {
    "annotations": dict, "description": str, "editable": bool, "fiscalYearStartMonth": int, "graphTooltip": int,
    "id": type(None), "links": list, "panels": list, "refresh": str, "schemaVersion": int, "tags": list, "templating": dict,
    "time": dict, "timepicker": dict, "timezone": str, "title": str, "uid": str, "version": int, "weekStart": str,
}
ROW = {"collapsed": bool, "gridPos": dict, "id": int, "panels": list, "title": str, "type": str}
PANEL = {
    "datasource": dict, "description": str, "fieldConfig": dict, "gridPos": dict, "id": int, "links": list, "options": dict,
    "targets": list, "title": str, "transformations": list, "type": str,
}
TARGET = {
    "datasource": dict, "editorMode": str, "expr": str, "format": str, "instant": bool, "legendFormat": str, "range": bool,
    "refId": str,
}
ANNOTATION = {
    "datasource": dict, "enable": bool, "expr": str, "hide": bool, "iconColor": str, "name": str, "step": str,
    "titleFormat": str, "useValueForTime": bool,
}
DEFAULTS = {"color", "custom", "decimals", "mappings", "max", "min", "noValue", "thresholds", "unit"}
PANEL_TYPES = {
    "stat": {"colorMode", "graphMode", "justifyMode", "orientation", "reduceOptions", "textMode"},
    "timeseries": {"legend", "tooltip"},
    "heatmap": {"calculate", "cellGap", "color", "filterValues", "legend", "rowsFrame", "tooltip", "yAxis"},
    "state-timeline": {"alignValue", "legend", "mergeValues", "rowHeight", "showValue", "tooltip"},
    "table": {"cellHeight", "footer", "showHeader"},
}


def misshapen(value: object, shape: dict[str, type]) -> list[str]:
    if not isinstance(value, dict):
        return ["is no object"]
    wrong = [f"'{key}' is not known" for key in value.keys() - shape.keys()]
    wrong += [f"'{key}' is missing" for key in shape.keys() - value.keys()]
    # A bool is an int to Python, and not to Grafana.
    typed = [key for key in shape.keys() & value.keys() if type(value[key]) is not shape[key]]
    return sorted(wrong + [f"'{key}' is no {shape[key].__name__}" for key in typed])


def thresholds_of(panel: dict) -> Iterator[str]:
    defaults = panel["fieldConfig"].get("defaults", {})
    yield from (f"default '{key}' is not known" for key in defaults.keys() - DEFAULTS)
    if defaults.get("unit") not in UNITS:
        yield f"unit '{defaults.get('unit')}' is not known"
    steps = defaults.get("thresholds", {}).get("steps", [])
    values = [step.get("value") for step in steps]
    if not values or values[0] is not None or values[1:] != sorted(set(values[1:])):
        yield f"thresholds {values} do not rise from null"


def panel_faults(panel: dict) -> Iterator[str]:
    yield from misshapen(panel, PANEL)
    kind = panel.get("type", "")
    if kind not in PANEL_TYPES:
        yield f"type '{kind}' is not known"
        return
    if panel["options"].keys() != PANEL_TYPES[kind]:
        yield f"options of a {kind} differ: {sorted(panel['options'].keys() ^ PANEL_TYPES[kind])}"
    if len(panel["title"]) < 3 or not panel["description"].endswith("."):
        yield "needs a title, and a description of whole sentences"
    yield from thresholds_of(panel)
    references = [target.get("refId") for target in panel["targets"]]
    if not references or len(set(references)) != len(references):
        yield f"targets {references} are none, or share a name"
    for target in panel["targets"]:
        yield from (f"target {target.get('refId')}: {fault}" for fault in misshapen(target, TARGET))
        if target.get("datasource") != DATASOURCE:
            yield f"target {target.get('refId')} does not use the variable of the data source"
    if panel["datasource"] != DATASOURCE:
        yield "does not use the variable of the data source"


def grid_faults(panels: list[dict]) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    ids: set[int] = set()
    for panel in panels:
        title, grid = panel.get("title"), panel.get("gridPos", {})
        if set(grid) != {"x", "y", "w", "h"} or grid["x"] + grid["w"] > COLUMNS or min(grid.values()) < 0 or not grid["w"] * grid["h"]:
            yield f"panel '{title}': gridPos {grid} is not on the grid"
            continue
        if panel["id"] in ids:
            yield f"panel '{title}': the id {panel['id']} is there twice"
        ids.add(panel["id"])
        cells = [(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])]
        if other := next((taken[cell] for cell in cells if cell in taken), None):
            yield f"panel '{title}' lies on '{other}'"
        taken.update(dict.fromkeys(cells, title))


def variable_faults(board: dict) -> Iterator[str]:
    variables = {variable.get("name"): variable for variable in board["templating"].get("list", [])}
    if variables.get("datasource", {}).get("type") != "datasource":
        yield "has no variable of the data source"
    for name, variable in variables.items():
        if variable.get("type") == "query":
            if variable.get("datasource") != DATASOURCE or variable.get("allValue") != ".*" or not variable.get("includeAll"):
                yield f"variable {name}: All must be there, and match series without the label"
        elif variable.get("type") not in ("datasource", "constant"):
            yield f"variable {name}: type '{variable.get('type')}' is not known"
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(board["panels"]) + json.dumps(board["links"]) + json.dumps(board["annotations"])))
    for name in sorted(used - variables.keys() - {"__rate_interval", "__value", "datasource"}):
        yield f"uses ${name}, which is no variable"


def board_faults(board: dict) -> list[str]:
    wrong = misshapen(board, BOARD)
    if wrong:
        return wrong
    found = list(grid_faults(board["panels"])) + list(variable_faults(board))
    if not 8 <= len(board["uid"]) <= 40 or "natter" not in board["tags"]:
        found.append("needs a uid of 8 to 40 characters and the tag natter")
    for panel in board["panels"]:
        faults = misshapen(panel, ROW) if panel.get("type") == "row" else panel_faults(panel)
        found += [f"panel '{panel.get('title')}': {fault}" for fault in faults]
    for annotation in board["annotations"].get("list", []):
        if annotation.get("builtIn"):
            if annotation.get("datasource") != BUILT_IN:
                found.append("the built-in annotation has another data source")
            continue
        faults = misshapen(annotation, ANNOTATION)
        if annotation.get("datasource") != DATASOURCE:
            faults.append("does not use the variable of the data source")
        found += [f"annotation '{annotation.get('name')}': {fault}" for fault in faults]
    return found


def boards(repo: Repo) -> Iterator[tuple[str, dict]]:
    for name, text in repo.texts(".json"):
        if name.startswith(FOLDER):
            yield name, json.loads(text)


def dashboard_model(repo: Repo) -> list[str]:
    violations, uids = [], {}
    for name, board in boards(repo):
        violations += [f"{name}: {fault}" for fault in board_faults(board)]
        uid = board.get("uid")
        if uid in uids:
            violations.append(f"{name}: the uid of {uids[uid]}")
        uids[uid] = name
    return violations


def fresh_dashboards(repo: Repo) -> list[str]:
    """What the generator would write is what is committed."""
    if GENERATOR not in repo.files:
        return []
    folder = str(repo.root / GENERATOR.rsplit("/", 1)[0])
    sys.path.insert(0, folder)
    try:
        import generate
    finally:
        sys.path.remove(folder)
    wanted = generate.files()
    stale = [name for name, text in wanted.items() if name not in repo.files or repo.read(name) != text]
    extra = [name for name, _ in boards(repo) if name not in wanted]
    return [f"{name}: not what {GENERATOR} writes; run it" for name in stale + extra]


def expressions(repo: Repo) -> Iterator[tuple[str, str]]:
    """Every PromQL expression of dashboards and rules."""
    for name, board in boards(repo):
        for panel in board.get("panels", []):
            for target in panel.get("targets", []):
                yield f"{name}: panel '{panel.get('title')}'", target.get("expr", "")
        for annotation in board.get("annotations", {}).get("list", []):
            yield f"{name}: annotation '{annotation.get('name')}'", annotation.get("expr", "")
        for variable in board.get("templating", {}).get("list", []):
            yield f"{name}: variable {variable.get('name')}", variable.get("definition", "")
    for name, _, rule, expression in rules(repo):
        yield f"{name}: {rule}", expression


def rules(repo: Repo) -> Iterator[tuple[str, str, str, str]]:
    """File, kind, name and expression of each rule, read by their layout: no YAML parser is needed to run the checks."""
    for name, text in repo.texts(".yaml"):
        if not name.startswith(FOLDER):
            continue
        for rule in re.split(r"^      - (?=alert:|record:)", text, flags=re.MULTILINE)[1:]:
            kind, title = re.match(r"(\w+): (\S+)", rule).groups()
            expression = re.search(r"^        expr: (?:\|\n((?:          .*\n|\n)+)|(.*)\n)", rule, re.MULTILINE)
            yield name, kind, title, (expression.group(1) or expression.group(2)) if expression else ""


def metrics(expression: str) -> set[str]:
    """Names of metrics of ours or of the process, without the suffixes of a histogram's series."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    names = re.findall(r"(?<![\w:$.])((?:natter|process)_\w+|ALERTS|\w+(?::\w+)+)", bare)
    return {re.sub(r"_(?:bucket|sum|count)$", "", name) for name in names}


def documented(repo: Repo) -> set[str]:
    tables = (FAMILIES.search(repo.read(name) or "") for name in FAMILY_TABLES if name in repo.files)
    return {family for table in tables if table for family in re.findall(r"^\| `(\w+)`", table.group(1), re.MULTILINE)}


def known_families(repo: Repo) -> list[str]:
    """Dashboards and rules ask for nothing that nobody counts."""
    awaited = set(re.findall(r"^(\w+)", repo.read(AWAITED) or "", re.MULTILINE)) if AWAITED in repo.files else set()
    families = documented(repo)
    recorded = {title for _, kind, title, _ in rules(repo) if kind == "record"}
    violations = [
        f"{where}: nobody counts {name}"
        for where, expression in expressions(repo)
        for name in sorted(metrics(expression) - families - awaited - recorded - FOREIGN)
    ]
    violations += [f"{AWAITED}: {name} is here, take it off the list" for name in sorted(awaited & families)]
    used = {name for _, expression in expressions(repo) for name in metrics(expression)}
    return violations + [f"{AWAITED}: nobody asks for {name}" for name in sorted(awaited - used)]


def scoped_rules(repo: Repo) -> list[str]:
    """Every selector of a rule holds the place where a ChatCluster's own copy names its targets."""
    violations = []
    for name, _, title, expression in rules(repo):
        selectors = re.findall(r"(?:natter_\w+|\w+:\w+:\w+)(\{[^}]*\})?", re.sub(r"by \([^)]*\)|on \([^)]*\)", "", expression))
        if not expression or not selectors or any('{job=~".+"' not in selector for selector in selectors):
            violations.append(f'{name}: {title}: a selector that does not begin with job=~".+"')
    return violations


def alerts_have_runbooks(repo: Repo) -> list[str]:
    """Each alert has a page, each page an alert; links to runbooks lead to pages; each alert has a promtool test."""
    alerts = {title: name for name, kind, title, _ in rules(repo) if kind == "alert"}
    pages = {name.removeprefix(RUNBOOKS).removesuffix(".md"): name for name in repo.files if name.startswith(RUNBOOKS)}
    tests = "".join(text for name, text in repo.texts(".yaml") if name.startswith("tests/monitoring/"))
    violations = [f"{name}: {alert} has no page in {RUNBOOKS}" for alert, name in alerts.items() if alert not in pages]
    violations += [f"{name}: no alert of that name" for page, name in pages.items() if page not in alerts and page != "README"]
    for alert, name in alerts.items():
        if f"runbook_url: {RUNBOOK_URL}{alert}\n" not in (repo.read(name) or ""):
            violations.append(f"{name}: {alert} does not name its runbook")
        if not re.search(rf"alertname: {alert}\n\s+exp_alerts:\n", tests) or f"alertname: {alert}, exp_alerts: []" not in tests:
            violations.append(f"{name}: {alert} is not tested to fire and not to fire")
    for page, name in pages.items():
        text = repo.read(name) or ""
        missing = [heading for heading in HEADINGS if page != "README" and f"\n## {heading}\n" not in text]
        violations += [f"{name}: no heading '{heading}'" for heading in missing]
    for name, board in boards(repo):
        linked = set(re.findall(r"\$\{runbooks\}(\w+)", json.dumps(board)))
        violations += [f"{name}: links to the runbook {page}, which does not exist" for page in sorted(linked - pages.keys())]
    return violations
