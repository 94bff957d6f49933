"""Gateway: connections, commands and the resources of each process."""

from __future__ import annotations

from common import ANNOTATIONS, GATEWAY, GATEWAY_VARIABLES, share, total
from model import Column, Dashboard, Row, graph, stat, table

DESCRIPTORS = "natter_file_descriptors_used{@} / natter_file_descriptors_limit{@}"
OURS = "and on (namespace, job, instance) natter_build_info{@}"

TOP = [
    stat("Connections", "Open client connections.", "sum(natter_connections{@})", "short"),
    stat("Clients cut, 5 min", "Connections that ended in the last 5 minutes, as a share of those open. Drains do not count.",
         share('sum(increase(natter_disconnects_total{@, reason!="shutdown"}[5m]))', "sum(natter_connections{@})"),
         "percentunit", bad=[(0.1, "yellow"), (0.2, "red")], runbooks=("NatterReconnectRate",)),
    stat("Upgrades refused, 5 min", "Well-formed connection attempts that were turned away.",
         total("natter_connections_refused_total", "5m"), "short", bad=[(1, "yellow"), (100, "red")], decimals=0,
         runbooks=("NatterFileDescriptors",)),
    stat("Fullest gateway", "Descriptors in use against the limit, at the gateway that is nearest to it. Refuses at 95 %.",
         f"max({DESCRIPTORS})", "percentunit", bad=[(0.75, "yellow"), (0.9, "red")], runbooks=("NatterFileDescriptors",)),
    stat("Command errors", "Share of client commands answered with an error in the last 5 minutes.",
         share("sum(rate(natter_command_errors_total{@}[5m]))", "sum(rate(natter_commands_total{@}[5m]))"), "percentunit",
         bad=[(0.01, "yellow"), (0.05, "red")]),
    stat("Settings refused", "Gateways that run older settings than their file holds, because the file was refused.",
         "sum(natter_config_last_reload_successful{@} == bool 0)", "short", bad=[(1, "red")], decimals=0, graph="none",
         runbooks=("NatterConfigRefused",)),
]

CONNECTIONS = [
    graph("Open connections", "By gateway.", [("sum by (instance) (natter_connections{@})", "{{instance}}")], "short", stack=True),
    graph("Connections opened", "By gateway; a surge after a drain is the paced return of its clients.",
          [("sum by (instance) (rate(natter_connections_total{@}[$__rate_interval]))", "{{instance}}")], "cps",
          runbooks=("NatterReconnectRate",)),
    graph("Connections ended by reason", "Why connections end. `closed_by_peer` is a user who leaves, `shutdown` a drain.",
          [("sum by (reason) (rate(natter_disconnects_total{@}[$__rate_interval])) > 0", "{{reason}}")], "cps", stack=True,
          runbooks=("NatterReconnectRate", "NatterSlowReaders")),
    graph("Upgrades refused by reason", "`file_limit`: out of descriptors; `bus`: critical and down; `draining`: on its way out; `limit`: too many or too fast.",
          [("sum by (reason) (rate(natter_connections_refused_total{@}[$__rate_interval]))", "{{reason}}")], "cps",
          runbooks=("NatterFileDescriptors",)),
    graph("Handshake failures by kind", "Connections that ended before a valid upgrade: scanners, broken proxies, slow peers.",
          [("sum by (kind) (rate(natter_handshake_failures_total{@}[$__rate_interval]))", "{{kind}}")], "cps"),
    graph("Accept errors by kind", "`descriptors` and `memory` mean that the machine or the process is full.",
          [("sum by (kind) (rate(natter_accept_errors_total{@}[$__rate_interval]))", "{{kind}}")], "cps"),
]

COMMANDS = [
    graph("Commands", "What clients ask for.",
          [("sum by (command) (rate(natter_commands_total{@}[$__rate_interval]))", "{{command}}")], "cps", stack=True),
    graph("Command errors", "By command and the protocol's error code (100 and 111 are temporary, SDKs try again).",
          [("sum by (command, code) (rate(natter_command_errors_total{@}[$__rate_interval]))", "{{command}} {{code}}")], "cps"),
    graph("Protocol violations", "Connections closed because their bytes were no WebSocket frames or no commands.",
          [("sum by (kind) (rate(natter_protocol_errors_total{@}[$__rate_interval]))", "{{kind}}")], "cps"),
    graph("Limits reached", "What was refused or held back, by limit: docs/limits.md says what each one does and which key sets it.",
          [("sum by (limit) (rate(natter_limited_total{@}[$__rate_interval]))", "{{limit}}")], "cps"),
    graph("Requests of streams", "What clients on SSE and HTTP streams send by `/emulation`; all but `heard` are refused.",
          [("sum by (result) (rate(natter_emulation_requests_total{@}[$__rate_interval]))", "{{result}}")], "cps"),
]

RESOURCES = [
    graph("CPU", "Cores that each gateway keeps busy.",
          [(f"rate(process_cpu_seconds_total{{@}}[$__rate_interval]) {OURS}", "{{instance}}")], "short"),
    graph("Memory", "Resident memory of each gateway.",
          [(f"process_resident_memory_bytes{{@}} {OURS}", "{{instance}}")], "bytes"),
    graph("Memory for each connection", "Resident memory by open connections: meaningful from some thousand connections on.",
          [(f"process_resident_memory_bytes{{@}} / on (namespace, job, instance) (natter_connections{{@}} > 0)",
            "{{instance}}")], "bytes"),
    graph("Descriptors in use", "Against the limit. New sockets are refused at 95 %; the line is the alert's.",
          [(DESCRIPTORS, "{{instance}}")], "percentunit", line=0.9, limits=(0, 1), runbooks=("NatterFileDescriptors",)),
    graph("Network", "Bytes of client sockets, without those of TCP and IP.",
          [("sum(rate(natter_bytes_sent_total{@}[$__rate_interval]))", "sent"),
           ("sum(rate(natter_bytes_received_total{@}[$__rate_interval]))", "received")], "Bps"),
    graph("Compression", "Bytes that sockets were not given because members took publications compressed; 0 while compression is off.",
          [("sum(rate(natter_compression_spared_bytes_total{@}[$__rate_interval]))", "spared"),
           ("sum(rate(natter_compression_output_bytes_total{@}[$__rate_interval]))", "compressed, once for each gateway")], "Bps"),
    graph("Time spent compressing", "Cores that each gateway keeps busy with it.",
          [("sum by (instance) (rate(natter_compression_seconds_sum{@}[$__rate_interval]))", "{{instance}}")], "short"),
    graph("Compression by result", "`not_shorter` and `too_large` were sent as they are; `declined`: connections whose offer could not be met.",
          [("sum by (result) (rate(natter_compression_messages_total{@}[$__rate_interval]))", "{{result}}"),
           ("sum by (result) (rate(natter_compression_offers_total{@, result=\"declined\"}[$__rate_interval]))", "connections {{result}}")], "cps"),
    graph("Trace spans", "`failed` and `dropped` mean that the collector is away or too slow; users do not notice.",
          [("sum by (result) (rate(natter_trace_spans_total{@}[$__rate_interval]))", "{{result}}")], "cps"),
]

SETTINGS = [
    graph("Configuration reloads", "`refused` keeps the former settings; the log says which key is wrong.",
          [("sum by (instance, result) (increase(natter_config_reloads_total{@}[$__rate_interval]))", "{{instance}} {{result}}")],
          "short", width=12, height=8, runbooks=("NatterConfigRefused",)),
    table("Versions", "More than one row is a roll on its way, or one that stopped.",
          [Column("Gateways", "count by (version, revision) (natter_build_info{@})")],
          names={"version": "Version", "revision": "Revision"}, width=12, height=8, runbooks=("NatterRollStalled",)),
]

DASHBOARD = Dashboard(
    uid="natter-gateway",
    title="Natter / Gateway",
    description="Connections, commands and resources of each gateway.",
    selector=GATEWAY,
    variables=GATEWAY_VARIABLES,
    annotations=ANNOTATIONS,
    rows=[Row("Can users connect?", TOP), Row("Connections", CONNECTIONS), Row("Commands", COMMANDS),
          Row("Resources", RESOURCES), Row("Settings and versions", SETTINGS)],
)
