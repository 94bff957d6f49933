"""Operator: whether ChatClusters follow their specs."""

from __future__ import annotations

from common import CLUSTER, share
from model import Annotation, Column, Dashboard, Row, Variable, graph, stat, table

VARIABLES = [
    Variable("job", "Operator (job)", "label_values(natter_operator_leader, job)"),
    Variable("namespace", "Namespace",
             'label_values(natter_operator_last_reconcile_timestamp_seconds{job=~"$job"}, namespace)'),
    Variable("name", "ChatCluster",
             f"label_values(natter_operator_last_reconcile_timestamp_seconds{{{CLUSTER}}}, name)"),
]
# Families of the operator as a whole carry the operator's own namespace, those of a ChatCluster that of the ChatCluster.
OPERATOR = 'job=~"$job"'
CHAT = ', namespace=~"$namespace", name=~"$name"'
# Those of former revisions do not count as ready.
MISSING = (f'natter_operator_gateways{{@{CHAT}, state="desired"}} - ignoring (state)'
           f' natter_operator_gateways{{@{CHAT}, state="ready"}}')

ANNOTATIONS = [
    Annotation("Operator starts", "process_start_time_seconds{@} * 1000 and on (job, instance) natter_operator_leader",
               "{{instance}} started", "blue", at_value=True),
    Annotation("New leader", "changes(natter_operator_leader{@}[2m]) > 0 and natter_operator_leader{@} == 1",
               "{{instance}} leads", "purple"),
    Annotation("NATS restarts", "increase(natter_operator_nats_restarts_total{@}[2m]) > 0", "a NATS server is restarted", "orange"),
]

TOP = [
    stat("Leaders", "Operators that hold the lease: exactly one.", "sum(natter_operator_leader{@})", "short",
         bad=[(2, "red")], decimals=0, graph="none", runbooks=("NatterOperatorDown",)),
    stat("Oldest reconcile", "Time since the ChatCluster that waits longest was last reconciled with success.",
         f"time() - min(natter_operator_last_reconcile_timestamp_seconds{{@{CHAT}}})", "s",
         bad=[(600, "yellow"), (900, "red")], runbooks=("NatterOperatorNotReconciling",)),
    stat("Failing reconciles", "Share of reconciles that failed in the last 10 minutes.",
         share('sum(rate(natter_operator_reconciles_total{@, result!="Done"}[10m]))',
               "sum(rate(natter_operator_reconciles_total{@}[10m]))"),
         "percentunit", bad=[(0.01, "yellow"), (0.2, "red")], runbooks=("NatterOperatorErrors",)),
    stat("Gateways missing", "Gateways of the current revision that do not serve: some during a roll, none otherwise.",
         f"sum(clamp_min({MISSING}, 0))", "short", bad=[(1, "yellow")], decimals=0, runbooks=("NatterRollStalled",)),
    stat("Scaling held", "ChatClusters whose size is held, because samples are missing or stale.",
         f"sum(natter_operator_scaling_held{{@{CHAT}}})", "short", bad=[(1, "yellow")], decimals=0, graph="none",
         runbooks=("NatterScalingHeld",)),
    stat("Reconciles under way", "One operator works on eight ChatClusters at once; a lasting 8 is an operator behind its work.",
         "sum(natter_operator_reconciles_running{@})", "short", bad=[(6, "yellow"), (8, "red")], decimals=0),
]

CLUSTERS = [
    table("ChatClusters", "One row for each ChatCluster.", [
        Column("Desired", f'sum by (namespace, name) (natter_operator_gateways{{@{CHAT}, state="desired"}})'),
        Column("Ready", f'sum by (namespace, name) (natter_operator_gateways{{@{CHAT}, state="ready"}})'),
        Column("Reconciled before", f"time() - max by (namespace, name) (natter_operator_last_reconcile_timestamp_seconds{{@{CHAT}}})",
               "s", ((600, "yellow"), (900, "red"))),
        Column("Roll stalled", f"max by (namespace, name) (natter_operator_roll_stalled{{@{CHAT}}})", "bool_yes_no",
               ((1, "yellow"),)),
        Column("Scaling held", f"max by (namespace, name) (natter_operator_scaling_held{{@{CHAT}}})", "bool_yes_no",
               ((1, "yellow"),)),
    ], names={"namespace": "Namespace", "name": "ChatCluster"}, width=16),
    graph("Gateways", "Desired gateways, and those of the current revision that serve. Apart for long is a roll that stalled.",
          [(f"sum by (state) (natter_operator_gateways{{@{CHAT}}})", "{{state}}")], "short", height=8,
          runbooks=("NatterRollStalled",)),
]

WORK = [
    graph("Reconciles by result", "Steady state is one for each ChatCluster and resync, all `Done`.",
          [("sum by (result) (rate(natter_operator_reconciles_total{@}[$__rate_interval]))", "{{result}}")], "cps", stack=True),
    graph("Reconcile duration", "Of one ChatCluster, all steps.",
          [("histogram_quantile(0.5, sum by (le) (rate(natter_operator_reconcile_duration_seconds_bucket{@}[$__rate_interval])))",
            "p50"),
           ("histogram_quantile(0.99, sum by (le) (rate(natter_operator_reconcile_duration_seconds_bucket{@}[$__rate_interval])))",
            "p99")], "s"),
    graph("Failures by category", "`InvalidSpec` waits for its owner, the others are tried again: the log line says what failed and why.",
          [('sum by (result) (rate(natter_operator_reconciles_total{@, result!="Done"}[$__rate_interval]))', "{{result}}")], "cps",
          stack=True, runbooks=("NatterOperatorErrors",)),
    graph("Writes to the API server", "By verb and kind. None in the steady state; a lasting rate is a fight with somebody.",
          [("sum by (verb, kind) (rate(natter_operator_writes_total{@}[$__rate_interval]))", "{{verb}} {{kind}}")], "cps"),
    graph("Steps of rolls and scaling", "What was done about gateways; `shed` spreads connections over gateways that came later.",
          [("sum by (action) (rate(natter_operator_actions_total{@}[$__rate_interval]))", "{{action}}")], "cps",
          runbooks=("NatterRollStalled",)),
    graph("Calls to gateways", "Orders by result. One that fails is given again.",
          [("sum by (result) (rate(natter_operator_control_calls_total{@}[$__rate_interval]))", "{{result}}")], "cps",
          runbooks=("NatterScalingHeld",)),
    graph("Writes of status", "Of ChatClusters. None in the steady state.",
          [("sum by (instance) (rate(natter_operator_status_writes_total{@}[$__rate_interval]))", "{{instance}}")], "cps"),
    graph("NATS restarts", "Servers of managed NATS that were restarted for a new image or configuration, one at a time.",
          [("sum by (instance) (increase(natter_operator_nats_restarts_total{@}[$__rate_interval]))", "{{instance}}")], "short"),
    graph("Streams of deleted clusters", "ChatClusters deleted together with their streams on an external NATS. `left`: an event and the "
          "log say which streams may still be there, and why.",
          [("sum by (result) (increase(natter_operator_stream_deletions_total{@}[$__rate_interval]))", "{{result}}")], "short"),
    graph("Leader", "Who holds the lease.", [("max by (instance) (natter_operator_leader{@})", "{{instance}}")], "short",
          runbooks=("NatterOperatorDown",)),
]

PROCESS = [
    table("Versions", "More than one row for longer than a moment is an upgrade that stopped.",
          [Column("Operators", "count by (version, revision) (natter_operator_build_info{@})")],
          names={"version": "Version", "revision": "Revision"}, width=8, height=7),
    graph("CPU", "Cores that each operator keeps busy.",
          [("rate(process_cpu_seconds_total{@}[$__rate_interval]) and on (job, instance) natter_operator_leader{@}",
            "{{instance}}")], "short", width=8, height=7),
    graph("Memory", "Resident memory of each operator.",
          [("process_resident_memory_bytes{@} and on (job, instance) natter_operator_leader{@}", "{{instance}}")], "bytes",
          width=8, height=7),
]

DASHBOARD = Dashboard(
    uid="natter-operator",
    title="Natter / Operator",
    description="Whether ChatClusters follow their specs, and what the operator does about it.",
    selector=OPERATOR,
    variables=VARIABLES,
    annotations=ANNOTATIONS,
    rows=[Row("Does the operator work?", TOP), Row("ChatClusters", CLUSTERS), Row("Reconciling", WORK), Row("Process", PROCESS)],
)
