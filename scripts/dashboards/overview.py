"""Overview: whether users are fine, and where to look when they are not."""

from __future__ import annotations

from common import ANNOTATIONS, CLUSTER, CLUSTER_VARIABLES, latency, share, total
from model import Column, Dashboard, Row, graph, stat, table

YELLOW_RED = [(0.01, "yellow"), (0.05, "red")]

USERS = [
    stat("Delivery p99", "99 of 100 messages reached the socket within this time after a gateway accepted them (5 minutes).",
         latency(0.99, window="5m"), "s", bad=[(0.05, "yellow"), (0.1, "red")], runbooks=("NatterDeliverySlow",)),
    stat("Lost for good, 1 h", "Gaps in durable rooms that could not be filled; clients were told. Anything but 0 is an incident.",
         total("natter_unrecovered_loss_total", "1h"), "short", bad=[(0.5, "red")], decimals=0,
         runbooks=("NatterUnrecoveredLoss",)),
    stat("Publications refused", "Share of publications answered with an error in the last 5 minutes.",
         share("sum(rate(natter_publications_refused_total{@}[5m]))", "sum(rate(natter_publications_offered_total{@}[5m]))"),
         "percentunit", bad=YELLOW_RED, runbooks=("NatterPublicationsRefused", "NatterHistoryFull")),
    stat("Joins refused", "Share of first joins of rooms that the bus did not confirm in the last 5 minutes.",
         share('sum(rate(natter_joins_total{@, result!="ok"}[5m]))', "sum(rate(natter_joins_total{@}[5m]))"),
         "percentunit", bad=YELLOW_RED, runbooks=("NatterJoinsRefused",)),
    stat("Clients cut, 5 min", "Connections that ended in the last 5 minutes, as a share of those open. Drains do not count.",
         share('sum(increase(natter_disconnects_total{@, reason!="shutdown"}[5m]))', "sum(natter_connections{@})"),
         "percentunit", bad=[(0.1, "yellow"), (0.2, "red")], runbooks=("NatterReconnectRate",)),
    stat("Gateways without bus", "Gateways that are not connected to NATS now. Their clients stay, but rooms are cut off.",
         "sum(natter_bus_up{@} == bool 0)", "short", bad=[(1, "red")], decimals=0, graph="none", runbooks=("NatterBusDown",)),
]

FIGURES = [
    stat("Connections", "Open client connections.", "sum(natter_connections{@})", "short"),
    stat("Gateways", "Gateways that are scraped.", "count(natter_build_info{@})", "short", graph="none"),
    stat("Publications", "Publications accepted from clients and the API.",
         'sum(rate(natter_publications_total{@, source!="bus"}[$__rate_interval]))', "cps"),
    stat("Deliveries", "Publications written to sockets.", "sum(rate(natter_deliveries_total{@}[$__rate_interval]))", "cps"),
    stat("Slow readers cut, 1 h", "Clients closed with 3008, because they did not read what they got.",
         total("natter_disconnects_total", "1h", 'reason="slow"'), "short", bad=[(1, "yellow"), (100, "red")], decimals=0,
         runbooks=("NatterSlowReaders",)),
    stat("Alerts", "Alerts of Natter that fire now.",
         'count(ALERTS{@, alertname=~"Natter.+", alertstate="firing"}) or vector(0)', "short", bad=[(1, "red")], decimals=0,
         graph="none"),
]

TRAFFIC = [
    graph("Delivery latency", "From acceptance by a gateway until written to the socket, sampled. The line is the alert's.",
          [(latency(0.5), "p50"), (latency(0.95), "p95"), (latency(0.99), "p99")], "s", line=0.1,
          runbooks=("NatterDeliverySlow",)),
    graph("Messages", "Accepted: from clients and the API. Delivered: once for each socket.",
          [('sum by (source) (rate(natter_publications_total{@, source!="bus"}[$__rate_interval]))', "accepted from {{source}}"),
           ("sum(rate(natter_deliveries_total{@}[$__rate_interval]))", "delivered")], "cps"),
    graph("Connections by gateway", "Even shares are healthy; a gateway far below the others is new, draining or ill.",
          [("sum by (instance) (natter_connections{@})", "{{instance}}")], "short", stack=True),
]

TROUBLE = [
    graph("Connections ended by reason", "Why connections end. `closed_by_peer` is a user who leaves, `shutdown` a drain.",
          [("sum by (reason) (rate(natter_disconnects_total{@}[$__rate_interval])) > 0", "{{reason}}")], "cps", stack=True,
          runbooks=("NatterReconnectRate", "NatterSlowReaders")),
    graph("Publications refused by reason", "What publishers got errors for. `abandoned` and `timeout` may have been stored.",
          [("sum by (reason) (rate(natter_publications_refused_total{@}[$__rate_interval]))", "{{reason}}")], "cps", stack=True,
          runbooks=("NatterPublicationsRefused", "NatterHistoryFull")),
    graph("Deliveries dropped by reason", "What a socket did not get. Members of durable rooms get it when they recover.",
          [("sum by (reason) (rate(natter_deliveries_dropped_total{@}[$__rate_interval]))", "{{reason}}")], "cps", stack=True,
          runbooks=("NatterSlowReaders",)),
]

RUNBOOK_LINK = {"title": "Runbook of ${__value.text}", "url": "${runbooks}${__value.text}", "targetBlank": True}

TABLES = [
    table("Gateways", "One row for each gateway. Colours are those of the alerts.", [
        Column("Version", "count by (instance, version) (natter_build_info{@})", "none"),
        Column("Connections", "sum by (instance) (natter_connections{@})"),
        Column("Rooms", "sum by (instance) (natter_rooms{@})"),
        Column("Delivery p99", latency(0.99, "instance", "5m"), "s", ((0.05, "yellow"), (0.1, "red"))),
        Column("CPU cores", "sum by (instance) (rate(process_cpu_seconds_total{@}[5m])) and on (instance) natter_build_info{@}"),
        Column("Memory", "sum by (instance) (process_resident_memory_bytes{@}) and on (instance) natter_build_info{@}", "bytes"),
        Column("Descriptors", "sum by (instance) (natter_file_descriptors_used{@})"
               " / sum by (instance) (natter_file_descriptors_limit{@})", "percentunit", ((0.75, "yellow"), (0.9, "red"))),
        Column("Bus", "sum by (instance) (natter_bus_up{@})", "bool_yes_no"),
    ], names={"instance": "Gateway", "version": "Version"}, hide=("Value #A",), width=16, height=9),
    table("Firing alerts", "Click an alert to read its runbook.",
          [Column("Firing", 'count by (alertname, severity) (ALERTS{@, alertname=~"Natter.+", alertstate="firing"})')],
          names={"alertname": "Alert", "severity": "Severity"}, links={"Alert": RUNBOOK_LINK}, width=8, height=9,
          no_value="no alert fires"),
]

DASHBOARD = Dashboard(
    uid="natter-overview",
    title="Natter / Overview",
    description="Are users fine? The top row answers; everything below says where to look.",
    selector=CLUSTER,
    variables=CLUSTER_VARIABLES,
    annotations=ANNOTATIONS,
    rows=[Row("Are users fine?", USERS + FIGURES), Row("Traffic", TRAFFIC), Row("What goes wrong", TROUBLE),
          Row("Gateways and alerts", TABLES)],
)
