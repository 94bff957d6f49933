"""What the dashboards of gateways share: variables, annotations, and expressions that several of them show."""

from __future__ import annotations

from model import Annotation, Variable

CLUSTER = 'namespace=~"$namespace", job=~"$job"'
GATEWAY = CLUSTER + ', instance=~"$instance"'

CLUSTER_VARIABLES = [
    Variable("namespace", "Namespace", "label_values(natter_build_info, namespace)"),
    Variable("job", "Cluster (job)", 'label_values(natter_build_info{namespace=~"$namespace"}, job)'),
]
GATEWAY_VARIABLES = [
    *CLUSTER_VARIABLES,
    Variable("instance", "Gateway", f"label_values(natter_build_info{{{CLUSTER}}}, instance)"),
]

ANNOTATIONS = [
    Annotation("Gateway starts", "process_start_time_seconds{@} * 1000 and on (namespace, job, instance) natter_build_info",
               "{{instance}} started", "blue", at_value=True),
    Annotation("Drains", 'sum by (instance) (increase(natter_disconnects_total{@, reason="shutdown"}[2m])) > 0',
               "{{instance}} drains", "purple"),
    Annotation("Bus connected again", "increase(natter_bus_reconnects_total{@}[2m]) > 0",
               "{{instance}} has its bus again", "orange"),
    Annotation("Configuration reloads", 'increase(natter_config_reloads_total{@, result="applied"}[2m]) > 0',
               "{{instance}} runs new settings", "green"),
    Annotation("Alerts", 'ALERTS{@, alertname=~"Natter.+", alertstate="firing"}', "{{alertname}}", "red"),
]

# A namespace without deliveries has no quantile: NaN would hide the others.
def latency(quantile: float, by: str = "", window: str = "$__rate_interval") -> str:
    group = f"le, {by}" if by else "le"
    rate = f"sum by ({group}) (rate(natter_delivery_latency_seconds_bucket{{@}}[{window}]))"
    return f"histogram_quantile({quantile}, {rate})"


def total(family: str, window: str, extra: str = "") -> str:
    """Events of the window; 0 when there was never one, because some series begin with their first event."""
    labels = f"@, {extra}" if extra else "@"
    return f"sum(increase({family}{{{labels}}}[{window}])) or vector(0)"


def share(part: str, whole: str) -> str:
    """A part of a whole; 0 without a whole."""
    return f"{part} / ({whole} > 0) or vector(0)"
