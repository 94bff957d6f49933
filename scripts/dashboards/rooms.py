"""Rooms and delivery: what is published, what arrives, what becomes of the rest, and who is there."""

from __future__ import annotations

from common import ANNOTATIONS, GATEWAY, GATEWAY_VARIABLES, latency, share, total
from model import Dashboard, Row, Variable, graph, heatmap, stat

VARIABLES = [
    *GATEWAY_VARIABLES,
    Variable("room_namespace", "Namespace of rooms", f"label_values(natter_deliveries_total{{{GATEWAY}}}, room_namespace)"),
]

# `{@` is the choice of gateways; families by namespace of rooms are also narrowed to the chosen ones.
ROOMS = 'room_namespace=~"$room_namespace"'


def in_rooms(expr: str) -> str:
    return expr.replace("{@", "{@, " + ROOMS)


def rate(family: str, by: str, extra: str = "") -> str:
    labels = f"@, {ROOMS}" + (f", {extra}" if extra else "")
    return f"sum by ({by}) (rate({family}{{{labels}}}[$__rate_interval]))"


# Families by instance; what never happened has no series yet and counts as 0.
def per_gateway(family: str, extra: str = "") -> str:
    labels = f"@, {extra}" if extra else "@"
    return f"sum by (instance) ({family}{{{labels}}})"


def or_zero(family: str, of: str) -> str:
    return f"({per_gateway(family)} or 0 * {per_gateway(of)})"


OFFERED, OWED = "natter_publications_offered_total", "natter_deliveries_owed_total"
PUBLICATIONS_MISSING = " - ".join([
    per_gateway(OFFERED), per_gateway("natter_publications_total", 'source!="bus"'),
    per_gateway("natter_publications_repeated_total"), or_zero("natter_publications_refused_total", OFFERED),
    per_gateway("natter_publications_pending"),
])
DELIVERIES_MISSING = " - ".join([
    per_gateway(OWED), per_gateway("natter_deliveries_total"), or_zero("natter_deliveries_dropped_total", OWED),
    per_gateway("natter_deliveries_queued"),
])

TOP = [
    stat("Delivery p99", "99 of 100 messages reached the socket within this time after a gateway accepted them (5 minutes).",
         in_rooms(latency(0.99, window="5m")), "s", bad=[(0.05, "yellow"), (0.1, "red")], runbooks=("NatterDeliverySlow",)),
    stat("Lost for good, 1 h", "Gaps in durable rooms that could not be filled; clients were told. Anything but 0 is an incident.",
         total("natter_unrecovered_loss_total", "1h"), "short", bad=[(0.5, "red")], decimals=0,
         runbooks=("NatterUnrecoveredLoss",)),
    stat("Dropped of owed", "Share of deliveries of the last 5 minutes that did not reach their socket.",
         share(f"sum(rate(natter_deliveries_dropped_total{{@, {ROOMS}}}[5m]))",
               f"sum(rate(natter_deliveries_owed_total{{@, {ROOMS}}}[5m]))"),
         "percentunit", bad=[(0.001, "yellow"), (0.01, "red")], runbooks=("NatterSlowReaders",)),
    stat("Queued", "Publications that wait for their socket or for the answer to a join, at all gateways.",
         "sum(natter_deliveries_queued{@})", "short"),
    stat("Not recovered, 1 h", "Clients that came back and were told that some of what they missed is gone.",
         'sum(increase(natter_recoveries_total{@, result="not_recovered"}[1h]))', "short", bad=[(1, "yellow"), (100, "red")],
         decimals=0, runbooks=("NatterUnrecoveredLoss",)),
    stat("Books out of balance", "Messages that ended in no counter, or in two. Not 0 is a defect of Natter.",
         f"max(abs({PUBLICATIONS_MISSING})) + max(abs({DELIVERIES_MISSING}))", "short", bad=[(0.5, "red")], decimals=0,
         runbooks=("NatterBooksDoNotBalance",)),
]

DELIVERY = [
    graph("Delivery p99 by namespace", "The slow namespace is where to look. The line is the alert's.",
          [(in_rooms(latency(0.99, "room_namespace")), "{{room_namespace}}")], "s", line=0.1, runbooks=("NatterDeliverySlow",)),
    heatmap("Delivery latency", "Every sampled delivery by its time: a second band is a second cause.",
            f"sum by (le) (increase(natter_delivery_latency_seconds_bucket{{@, {ROOMS}}}[$__rate_interval]))", "s"),
    graph("Delivery p99 by gateway", "One slow gateway is a busy neighbour or a clock; all of them are load, the bus or clients.",
          [(in_rooms(latency(0.99, "instance")), "{{instance}}")], "s", line=0.1, runbooks=("NatterDeliverySlow",)),
    graph("Deliveries", "Publications written to sockets.",
          [(rate("natter_deliveries_total", "room_namespace"), "{{room_namespace}}")], "cps", stack=True),
    graph("Deliveries dropped", "`slow_reader` and `connection_ended`: the socket was cut or ended; `left`, `recovered`: nothing missing.",
          [(rate("natter_deliveries_dropped_total", "room_namespace, reason"), "{{room_namespace}} {{reason}}")], "cps",
          runbooks=("NatterSlowReaders",)),
    graph("Deliveries queued", "What waits for its socket or for the answer to a join.",
          [("sum by (instance) (natter_deliveries_queued{@})", "{{instance}}")], "short", stack=True),
]

PUBLICATIONS = [
    graph("Publications offered", "What clients and the API asked for.",
          [(rate("natter_publications_offered_total", "room_namespace, source"), "{{room_namespace}} from {{source}}")], "cps"),
    graph("Publications refused", "By namespace and reason; `history_full` needs room in the stream.",
          [(rate("natter_publications_refused_total", "room_namespace, reason"), "{{room_namespace}} {{reason}}")], "cps",
          runbooks=("NatterPublicationsRefused", "NatterHistoryFull")),
    graph("Publications being stored", "Waiting for the stream's acknowledgement; it rises when NATS is slow.",
          [(f"sum by (room_namespace) (natter_publications_pending{{@, {ROOMS}}})", "{{room_namespace}}")], "short"),
    graph("Members reached by a publication", "Deliveries for each publication that came from the bus.",
          [(rate("natter_deliveries_total", "room_namespace") + " / "
            + "(" + rate("natter_publications_total", "room_namespace", 'source="bus"') + " > 0)", "{{room_namespace}}")], "short"),
    graph("Repeated publications", "Answered as before, because their idempotency key was known: retries of publishers.",
          [(rate("natter_publications_repeated_total", "room_namespace"), "{{room_namespace}}")], "cps"),
    graph("Degraded publications", "Reached the members of one gateway only, because the bus was away.",
          [(rate("natter_publications_degraded_total", "room_namespace"), "{{room_namespace}}")], "cps",
          runbooks=("NatterBusDown",)),
]

ROOM = [
    graph("Rooms", "Rooms that each gateway is subscribed to at the bus.",
          [("sum by (instance) (natter_rooms{@})", "{{instance}}")], "short"),
    graph("Memberships", "A client in three rooms counts three times.",
          [("sum by (instance) (natter_subscriptions{@})", "{{instance}}")], "short", stack=True),
    graph("First joins", "The first join of a room at a gateway subscribes at the bus; later ones cost nothing there.",
          [("sum by (result) (rate(natter_joins_total{@}[$__rate_interval]))", "{{result}}")], "cps", stack=True,
          runbooks=("NatterJoinsRefused",)),
    graph("Beyond the policy", "What clients may by a `capability` or an `expression` alone; `refused`; `error`: the expression has no answer.",
          [("sum by (operation, result) (rate(natter_permissions_total{@}[$__rate_interval]))", "{{operation}} {{result}}")], "cps"),
]

RECOVERY = [
    graph("Recoveries", "Clients that came back to durable rooms, by the answer.",
          [("sum by (result) (rate(natter_recoveries_total{@}[$__rate_interval]))", "{{result}}")], "cps", stack=True),
    graph("Publications recovered", "Missed publications that clients got with the answer to their join.",
          [(rate("natter_publications_recovered_total", "room_namespace"), "{{room_namespace}}")], "cps", stack=True),
    graph("Reads for recovery", "`memory` costs nothing; `bus` is one read of the stream for all who wait for it.",
          [("sum by (source) (rate(natter_recovery_reads_total{@}[$__rate_interval]))", "{{source}}")], "cps", stack=True),
]

PRESENCE = [
    graph("Present members", "`own`: clients of the gateway itself; `others`: those of other gateways that it keeps for its own rooms.",
          [("sum by (instance, source) (natter_presence_members{@})", "{{instance}} {{source}}")], "short"),
    graph("Rooms with presence", "Rooms whose members a gateway knows.",
          [("sum by (instance) (natter_presence_rooms{@})", "{{instance}}")], "short"),
    graph("Joins and leaves told", "Pushes to members; `dropped` were not queued for members that read too slowly.",
          [("sum by (result) (rate(natter_presence_pushes_total{@}[$__rate_interval]))", "{{result}}")], "cps", stack=True),
    graph("Reads of presence", "`elsewhere`: all gateways were asked, one question for all who wait.",
          [("sum by (source) (rate(natter_presence_reads_total{@}[$__rate_interval]))", "{{source}}")], "cps", stack=True),
    graph("Between gateways", "Messages about members, those that the bus refused, and questions to gateways that were missed.",
          [("sum by (result) (rate(natter_presence_words_total{@}[$__rate_interval]))", "messages {{result}}"),
           ("sum(rate(natter_presence_repairs_total{@}[$__rate_interval]))", "questions"),
           ("sum(rate(natter_presence_digests_refused_total{@}[$__rate_interval]))", "questions refused")], "cps"),
    graph("Members gone with their gateway", "Their gateway left, or was not heard of for its lease.",
          [("sum(rate(natter_presence_gone_total{@}[$__rate_interval]))", "gone")], "cps",
          runbooks=("NatterGatewaysGone",)),
]

BOOKS = [
    graph("Publications that ended in no counter", "Offered, less accepted, repeated, refused and pending. Always 0.",
          [(PUBLICATIONS_MISSING, "{{instance}}")], "short", width=12, height=7, runbooks=("NatterBooksDoNotBalance",)),
    graph("Deliveries that ended in no counter", "Owed, less delivered, dropped and queued. Always 0.",
          [(DELIVERIES_MISSING, "{{instance}}")], "short", width=12, height=7, runbooks=("NatterBooksDoNotBalance",)),
]

DASHBOARD = Dashboard(
    uid="natter-rooms",
    title="Natter / Rooms and delivery",
    description="What is published, how fast it arrives, what becomes of the rest, and who is there.",
    selector=GATEWAY,
    variables=VARIABLES,
    annotations=ANNOTATIONS,
    rows=[Row("Do messages arrive?", TOP), Row("Delivery", DELIVERY), Row("Publications", PUBLICATIONS), Row("Rooms", ROOM),
          Row("Recovery of durable rooms", RECOVERY), Row("Presence", PRESENCE), Row("Books", BOOKS)],
)
