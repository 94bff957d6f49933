"""Bus: NATS as the gateways see it."""

from __future__ import annotations

from common import ANNOTATIONS, GATEWAY, GATEWAY_VARIABLES, share, total
from model import Column, Dashboard, Row, graph, stat, states, table

BUS_REASONS = 'reason=~"bus_down|bus_timeout|bus_refused|overloaded"'


def quantile(quantile: float, family: str) -> str:
    return f"histogram_quantile({quantile}, sum by (le) (rate({family}_bucket{{@}}[$__rate_interval])))"


TOP = [
    stat("Gateways without bus", "Gateways that are not connected to NATS now. Their clients stay, but rooms are cut off.",
         "sum(natter_bus_up{@} == bool 0)", "short", bad=[(1, "red")], decimals=0, graph="none", runbooks=("NatterBusDown",)),
    stat("Bus lost, 1 h", "Times that a gateway lost the bus and came back in the last hour.",
         total("natter_bus_reconnects_total", "1h"), "short", bad=[(1, "yellow"), (10, "red")], decimals=0,
         runbooks=("NatterBusDown",)),
    stat("Joins refused", "Share of first joins of rooms that the bus did not confirm in the last 5 minutes.",
         share('sum(rate(natter_joins_total{@, result!="ok"}[5m]))', "sum(rate(natter_joins_total{@}[5m]))"),
         "percentunit", bad=[(0.01, "yellow"), (0.05, "red")], runbooks=("NatterJoinsRefused",)),
    stat("Refused because of the bus", "Share of publications of the last 5 minutes that the bus did not take.",
         share(f"sum(rate(natter_publications_refused_total{{@, {BUS_REASONS}}}[5m]))",
               "sum(rate(natter_publications_offered_total{@}[5m]))"),
         "percentunit", bad=[(0.01, "yellow"), (0.05, "red")], runbooks=("NatterPublicationsRefused",)),
    stat("History full, 5 min", "Publications refused because a stream takes no more.",
         total("natter_publications_refused_total", "5m", 'reason="history_full"'), "short", bad=[(1, "red")], decimals=0,
         runbooks=("NatterHistoryFull",)),
    stat("Untested NATS", "Gateways on a NATS server whose version durable rooms are not tested with, or an outdated patch.",
         "sum((natter_nats_server_supported{@} == bool 0) and on (namespace, job, instance) natter_nats_server_info{@}) or vector(0)",
         "short", bad=[(1, "yellow")], decimals=0, graph="none", runbooks=("NatterNatsUnsupported",)),
]

CONNECTION = [
    states("Bus connection", "By gateway. All red at once is NATS or the network to it; one red is that gateway's node.",
           "min by (instance) (natter_bus_up{@})", "{{instance}}", "up", "down", runbooks=("NatterBusDown",)),
    graph("Bus connected again", "Times that the bus came back after it had been lost.",
          [("sum by (instance) (increase(natter_bus_reconnects_total{@}[$__rate_interval]))", "{{instance}}")], "short",
          runbooks=("NatterBusDown",)),
    graph("Bus errors by kind", "`slow_consumer`: NATS or the client dropped for us; `gap`: a gap was seen and is being filled.",
          [("sum by (kind) (rate(natter_bus_errors_total{@}[$__rate_interval]))", "{{kind}}")], "cps"),
]

JOINS = [
    graph("First joins by result", "Everything but `ok` is a refusal that SDKs try again.",
          [("sum by (result) (rate(natter_joins_total{@}[$__rate_interval]))", "{{result}}")], "cps", stack=True,
          runbooks=("NatterJoinsRefused",)),
    graph("Join duration", "From the first join of a room until its subscription is known to be live.",
          [(quantile(0.5, "natter_join_duration_seconds"), "p50"), (quantile(0.99, "natter_join_duration_seconds"), "p99")], "s"),
    graph("Join barrier duration", "The check that new subscriptions are live, one for all joins that wait.",
          [(quantile(0.5, "natter_join_barrier_seconds"), "p50"), (quantile(0.99, "natter_join_barrier_seconds"), "p99")], "s"),
    graph("Join barriers by result", "How the checks ended.",
          [("sum by (result) (rate(natter_join_barriers_total{@}[$__rate_interval]))", "{{result}}")], "cps"),
]

REVOCATIONS = [
    states("What is revoked is known", "By gateway. While it is not, rooms with access rules wait.",
           "min by (instance) (natter_revocations_current{@})", "{{instance}}", "known", "unknown",
           runbooks=("NatterRevocationsUnknown",)),
    graph("Revocations", "Rules in force, by kind: the same at every gateway.",
          [("max by (kind) (natter_revocations{@})", "{{kind}}")], "short"),
    graph("What revocations did", "Connections closed, subscriptions ended, commands refused.",
          [("sum by (kind, result) (rate(natter_revocation_acts_total{@}[$__rate_interval]))", "{{kind}} {{result}}")], "cps"),
    graph("Publications withheld", "Not given to rooms with access rules, as it was not known what is revoked.",
          [("sum by (instance) (rate(natter_publications_withheld_total{@}[$__rate_interval]))", "{{instance}}")], "cps",
          runbooks=("NatterRevocationsUnknown",)),
]

FLOW = [
    graph("To and from the bus", "Accepted at one gateway, received by each gateway with members in the room.",
          [('sum(rate(natter_publications_total{@, source!="bus"}[$__rate_interval]))', "accepted"),
           ('sum(rate(natter_publications_total{@, source="bus"}[$__rate_interval]))', "received")], "cps"),
    graph("Publications being stored", "Waiting for their stream's acknowledgement; it rises when NATS is slow.",
          [("sum by (instance) (natter_publications_pending{@})", "{{instance}}")], "short"),
    graph("Refused because of the bus", "Publishers got a temporary error and may try again.",
          [(f"sum by (reason) (rate(natter_publications_refused_total{{@, {BUS_REASONS}}}[$__rate_interval]))", "{{reason}}")],
          "cps", stack=True, runbooks=("NatterPublicationsRefused",)),
    graph("Reads of history from the bus", "One read serves all clients that wait for the same piece.",
          [('sum(rate(natter_recovery_reads_total{@, source="bus"}[$__rate_interval]))', "reads")], "cps"),
]

SERVERS = [
    table("NATS servers", "The servers that gateways are connected to, or were last.",
          [Column("Gateways", "count by (version) (natter_nats_server_info{@})")], names={"version": "NATS version"},
          width=8, height=8, no_value="no NATS: the embedded bus", runbooks=("NatterNatsUnsupported",)),
    states("Streams of durable rooms", "Whether the streams of each namespace were found as they should be.",
           "min by (room_namespace) (natter_streams_ready{@})", "{{room_namespace}}", "ready", "not ready", height=8),
]
for panel in JOINS + FLOW + REVOCATIONS:
    panel.width = 6

DASHBOARD = Dashboard(
    uid="natter-bus",
    title="Natter / Bus",
    description="NATS as the gateways see it: connection, joins, storing, versions.",
    selector=GATEWAY,
    variables=GATEWAY_VARIABLES,
    annotations=ANNOTATIONS,
    rows=[Row("Is the bus there?", TOP), Row("Connection", CONNECTION), Row("Joins", JOINS), Row("Flow", FLOW),
          Row("Revocations", REVOCATIONS), Row("NATS servers", SERVERS)],
)
