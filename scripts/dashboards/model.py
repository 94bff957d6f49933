"""What dashboards are made of: panels, rows and variables in Grafana's JSON model (schema version 39, Grafana 10.4 or newer).

In expressions `{@}` stands for the variables of the dashboard: `natter_rooms{@}`, `natter_joins_total{@, result="ok"}`. No
panel needs a recording rule, so the dashboards work for whoever scrapes the gateways and does nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SCHEMA_VERSION = 39
COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
BUILT_IN = {"type": "grafana", "uid": "-- Grafana --"}
RUNBOOKS = "https://natter.dev/runbooks/"

Json = dict[str, object]


@dataclass(frozen=True)
class Query:
    expr: str
    legend: str = ""


@dataclass
class Panel:
    """One panel; `runbooks` names the alerts whose pages it links to."""

    kind: str
    title: str
    description: str
    queries: list[Query]
    unit: str
    width: int
    height: int
    options: Json
    custom: Json = field(default_factory=dict)
    color: Json = field(default_factory=lambda: {"mode": "palette-classic"})
    base: str = "green"
    steps: list[tuple[float, str]] = field(default_factory=list)
    decimals: int | None = None
    limits: tuple[float | None, float | None] = (None, None)
    mappings: list[Json] = field(default_factory=list)
    overrides: list[Json] = field(default_factory=list)
    transformations: list[Json] = field(default_factory=list)
    format: str = "time_series"
    instant: bool = False
    no_value: str | None = None
    runbooks: tuple[str, ...] = ()


def steps_of(base: str, rises: list[tuple[float, str]]) -> list[Json]:
    return [{"color": base, "value": None}, *({"color": color, "value": value} for value, color in rises)]


def stat(title: str, description: str, expr: str, unit: str, *, bad: list[tuple[float, str]] | None = None, **more) -> Panel:
    """A figure that is green until a threshold of `bad`; without one it judges nothing and is blue."""
    options = {
        "colorMode": "background" if bad else "value",
        "graphMode": more.pop("graph", "area"),
        "justifyMode": "center",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "value",
    }
    more = {"width": 4, "height": 4, "no_value": "no data"} | more
    color = {"mode": "thresholds"}
    base = "green" if bad else "blue"
    return Panel("stat", title, description, [Query(expr)], unit, options=options, color=color, base=base, steps=bad or [],
                 **more)


def graph(title: str, description: str, queries: list[tuple[str, str]], unit: str, *, stack: bool = False,
          line: float | None = None, **more) -> Panel:
    """Lines over time with a legend table; `line` draws the threshold of an alert."""
    custom: Json = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 25 if stack else 8,
        "gradientMode": "opacity",
        "showPoints": "never",
        "spanNulls": False,
        "axisSoftMin": 0,
        "stacking": {"mode": "normal" if stack else "none", "group": "A"},
        "thresholdsStyle": {"mode": "off" if line is None else "dashed"},
    }
    options = {
        "legend": {
            "displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["mean", "max", "lastNotNull"],
            "sortBy": "Max", "sortDesc": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    more = {"width": 8, "height": 9} | more
    rises = [] if line is None else [(line, "red")]
    named = [Query(*query) for query in queries]
    return Panel("timeseries", title, description, named, unit, options=options, custom=custom, steps=rises, **more)


def heatmap(title: str, description: str, expr: str, unit: str, **more) -> Panel:
    """Buckets of a histogram over time."""
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "unit": unit, "reverse": False},
    }
    more = {"width": 8, "height": 9} | more
    return Panel("heatmap", title, description, [Query(expr, "{{le}}")], "cps", options=options, format="heatmap", **more)


def states(title: str, description: str, expr: str, legend: str, good: str, bad: str, **more) -> Panel:
    """A 0 or 1 for each series over time: 1 is good."""
    options = {
        "alignValue": "center", "mergeValues": True, "rowHeight": 0.8, "showValue": "auto",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    mapped = {"0": {"color": "red", "index": 0, "text": bad}, "1": {"color": "green", "index": 1, "text": good}}
    more = {"width": 8, "height": 9, "mappings": [{"type": "value", "options": mapped}]} | more
    custom = {"fillOpacity": 75, "lineWidth": 0}
    return Panel("state-timeline", title, description, [Query(expr, legend)], "none", options=options, custom=custom,
                 color={"mode": "thresholds"}, **more)


@dataclass(frozen=True)
class Column:
    """A column of a table: the value of a query, joined to the other columns by their labels."""

    title: str
    expr: str
    unit: str = "short"
    bad: tuple[tuple[float, str], ...] = ()


def table(title: str, description: str, columns: list[Column], *, names: dict[str, str], hide: tuple[str, ...] = (),
          links: dict[str, Json] | None = None, **more) -> Panel:
    """Rows by label; `names` gives the labels' headings, `hide` leaves labels out, `links` makes cells clickable."""
    values = {f"Value #{chr(ord('A') + index)}": column for index, column in enumerate(columns)}
    if len(columns) == 1:
        values = {"Value": columns[0]}
    overrides = []
    for column in columns:
        properties: list[Json] = [{"id": "unit", "value": column.unit}]
        if column.bad:
            properties.append({"id": "thresholds", "value": {"mode": "absolute", "steps": steps_of("green", list(column.bad))}})
            properties.append({"id": "custom.cellOptions", "value": {"type": "color-text"}})
            properties.append({"id": "color", "value": {"mode": "thresholds"}})
        overrides.append({"matcher": {"id": "byName", "options": column.title}, "properties": properties})
    for name, link in (links or {}).items():
        overrides.append({"matcher": {"id": "byName", "options": name}, "properties": [{"id": "links", "value": [link]}]})
    excluded = {"Time": True} | {name: True for name in hide}
    renamed = {name: column.title for name, column in values.items()} | names
    organize = {"excludeByName": excluded, "indexByName": {}, "renameByName": renamed}
    transformations = [{"id": "merge", "options": {}}, {"id": "organize", "options": organize}]
    options = {"cellHeight": "sm", "showHeader": True, "footer": {"show": False, "fields": "", "reducer": ["sum"]}}
    more = {"width": 24, "height": 8} | more
    return Panel("table", title, description, [Query(column.expr) for column in columns], "short", options=options,
                 custom={"align": "auto", "filterable": True, "cellOptions": {"type": "auto"}}, overrides=overrides,
                 transformations=transformations, format="table", instant=True, **more)


@dataclass(frozen=True)
class Row:
    title: str
    panels: list[Panel]


@dataclass(frozen=True)
class Variable:
    """A choice of label values; `All` also matches series without the label."""

    name: str
    label: str
    query: str


@dataclass(frozen=True)
class Annotation:
    name: str
    expr: str
    title: str
    color: str
    at_value: bool = False


@dataclass(frozen=True)
class Dashboard:
    uid: str
    title: str
    description: str
    selector: str
    variables: list[Variable]
    annotations: list[Annotation]
    rows: list[Row]

    def scoped(self, expr: str) -> str:
        return expr.replace("{@", "{" + self.selector)

    def json(self) -> Json:
        return {
            "annotations": {"list": [built_in_annotation(), *map(self._annotation, self.annotations)]},
            "description": self.description,
            "editable": True,
            "fiscalYearStartMonth": 0,
            "graphTooltip": 1,
            "id": None,
            "links": dashboard_links(),
            "panels": self._panels(),
            "refresh": "30s",
            "schemaVersion": SCHEMA_VERSION,
            "tags": ["natter"],
            "templating": {"list": [datasource_variable(), *map(query_variable, self.variables), runbook_variable()]},
            "time": {"from": "now-3h", "to": "now"},
            "timepicker": {},
            "timezone": "browser",
            "title": self.title,
            "uid": self.uid,
            "version": 1,
            "weekStart": "",
        }

    def _panels(self) -> list[Json]:
        placed: list[Json] = []
        y = 0
        for row in self.rows:
            grid = {"h": 1, "w": COLUMNS, "x": 0, "y": y}
            placed.append({"collapsed": False, "gridPos": grid, "id": len(placed) + 1, "panels": [],
                           "title": row.title, "type": "row"})
            y += 1
            x = height = 0
            for panel in row.panels:
                if x + panel.width > COLUMNS:
                    x, y, height = 0, y + height, 0
                grid = {"h": panel.height, "w": panel.width, "x": x, "y": y}
                placed.append(self._panel(panel, len(placed) + 1, grid))
                x, height = x + panel.width, max(height, panel.height)
            y += height
        return placed

    def _panel(self, panel: Panel, number: int, grid: Json) -> Json:
        defaults: Json = {
            "color": panel.color,
            "custom": panel.custom,
            "mappings": panel.mappings,
            "thresholds": {"mode": "absolute", "steps": steps_of(panel.base, panel.steps)},
            "unit": panel.unit,
        }
        optional = {"decimals": panel.decimals, "min": panel.limits[0], "max": panel.limits[1], "noValue": panel.no_value}
        defaults |= {key: value for key, value in optional.items() if value is not None}
        return {
            "datasource": DATASOURCE,
            "description": panel.description,
            "fieldConfig": {"defaults": defaults, "overrides": panel.overrides},
            "gridPos": grid,
            "id": number,
            "links": [
                {"title": f"Runbook: {alert}", "url": f"${{runbooks}}{alert}", "targetBlank": True} for alert in panel.runbooks
            ],
            "options": panel.options,
            "targets": [self._target(panel, index, query) for index, query in enumerate(panel.queries)],
            "title": panel.title,
            "transformations": panel.transformations,
            "type": panel.kind,
        }

    def _target(self, panel: Panel, index: int, query: Query) -> Json:
        return {
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": self.scoped(query.expr),
            "format": panel.format,
            "instant": panel.instant,
            "legendFormat": query.legend or "__auto",
            "range": not panel.instant,
            "refId": chr(ord("A") + index),
        }

    def _annotation(self, annotation: Annotation) -> Json:
        return {
            "datasource": DATASOURCE,
            "enable": True,
            "expr": self.scoped(annotation.expr),
            "hide": False,
            "iconColor": annotation.color,
            "name": annotation.name,
            "step": "60s",
            "titleFormat": annotation.title,
            "useValueForTime": annotation.at_value,
        }


def built_in_annotation() -> Json:
    return {"builtIn": 1, "datasource": BUILT_IN, "enable": True, "hide": True, "iconColor": "rgba(0, 211, 255, 1)",
            "name": "Annotations & Alerts", "type": "dashboard"}


def dashboard_links() -> list[Json]:
    """By tag and not by uid: copies of a dashboard for one ChatCluster are found as well."""
    common = {"icon": "external link", "includeVars": True, "keepTime": True, "tooltip": ""}
    return [
        common | {"asDropdown": False, "tags": ["natter"], "targetBlank": False, "title": "Natter", "type": "dashboards", "url": ""},
        common | {"asDropdown": False, "icon": "doc", "includeVars": False, "keepTime": False, "tags": [], "targetBlank": True,
                  "title": "Runbooks", "type": "link", "url": "${runbooks}"},
    ]


def datasource_variable() -> Json:
    return {"current": {}, "hide": 0, "includeAll": False, "label": "Data source", "multi": False, "name": "datasource",
            "options": [], "query": "prometheus", "refresh": 1, "regex": "", "skipUrlSync": False, "type": "datasource"}


def query_variable(variable: Variable) -> Json:
    return {
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "datasource": DATASOURCE,
        "definition": variable.query,
        "hide": 0,
        "includeAll": True,
        "label": variable.label,
        "multi": True,
        "name": variable.name,
        "options": [],
        "query": {"qryType": 1, "query": variable.query, "refId": "StandardVariableQuery"},
        "refresh": 2,
        "regex": "",
        "skipUrlSync": False,
        "sort": 1,
        "type": "query",
    }


def runbook_variable() -> Json:
    return {"description": "Where the runbooks are published", "hide": 2, "label": "Runbooks", "name": "runbooks",
            "query": RUNBOOKS, "skipUrlSync": True, "type": "constant"}
