"""Backends: what they ask of gateways (the server API), and what gateways ask of them (proxies)."""

from __future__ import annotations

from common import ANNOTATIONS, GATEWAY, GATEWAY_VARIABLES, share, total
from model import Dashboard, Row, graph, stat, states

# `answered`, `error` and `disconnect` are answers; `abandoned` is the client's doing.
UNANSWERED = 'result!~"answered|error|disconnect|abandoned"'


def p99(family: str, by: str) -> str:
    return f"histogram_quantile(0.99, sum by (le, {by}) (rate({family}_bucket{{@}}[$__rate_interval])))"


TOP = [
    stat("Backends left alone", "Backends that failed and are not asked now, counted at each gateway.",
         "sum(natter_proxy_breaker_open{@})", "short", bad=[(1, "red")], decimals=0, graph="none",
         runbooks=("NatterBackendFails",)),
    stat("Calls without answer", "Share of calls to backends of the last 5 minutes that failed or were not made.",
         share(f"sum(rate(natter_proxy_calls_total{{@, {UNANSWERED}}}[5m]))", "sum(rate(natter_proxy_calls_total{@}[5m]))"),
         "percentunit", bad=[(0.01, "yellow"), (0.05, "red")], runbooks=("NatterBackendFails",)),
    stat("Clients sent away, 5 min", "Connections that a backend's answer ended.",
         total("natter_proxy_calls_total", "5m", 'result="disconnect"'), "short", decimals=0),
    stat("Calls", "Calls to backends.", "sum(rate(natter_proxy_calls_total{@}[$__rate_interval]))", "reqps"),
    stat("API requests", "Requests of backends.", "sum(rate(natter_api_requests_total{@}[$__rate_interval]))", "reqps"),
    stat("API errors", "Share of API requests of the last 5 minutes that were not answered with a result.",
         share('sum(rate(natter_api_requests_total{@, code!="0"}[5m]))', "sum(rate(natter_api_requests_total{@}[5m]))"),
         "percentunit", bad=[(0.01, "yellow"), (0.05, "red")]),
]

CALLS = [
    graph("Calls", "By what they ask.",
          [("sum by (kind) (rate(natter_proxy_calls_total{@}[$__rate_interval]))", "{{kind}}")], "reqps", stack=True),
    graph("Calls by result", "`open` and `full` were not made: the backend is left alone, or too many calls are under way.",
          [("sum by (kind, result) (rate(natter_proxy_calls_total{@, result!=\"answered\"}[$__rate_interval])) > 0",
            "{{kind}} {{result}}")], "reqps", runbooks=("NatterBackendFails",)),
    graph("Call duration p99", "Retries included. Clients wait that long for their reply.",
          [(p99("natter_proxy_call_duration_seconds", "kind"), "{{kind}}")], "s"),
    graph("Calls under way", "At each gateway at most `proxies[].max_in_flight`.",
          [("max by (proxy) (natter_proxy_calls_in_flight{@})", "{{proxy}}, fullest gateway")], "short"),
    states("Backends", "Asked, or left alone after failures, at any gateway.",
           "1 - max by (proxy) (natter_proxy_breaker_open{@})", "{{proxy}}", "asked", "left alone",
           runbooks=("NatterBackendFails",)),
    graph("Retries", "Requests that were made again.",
          [("sum by (kind) (rate(natter_proxy_retries_total{@}[$__rate_interval]))", "{{kind}}")], "reqps"),
]

API = [
    graph("API requests", "By method.",
          [("sum by (method) (rate(natter_api_requests_total{@}[$__rate_interval]))", "{{method}}")], "reqps", stack=True),
    graph("API answers", "By the API's error code (0 is success) or the HTTP status of a request that did not reach a method.",
          [("sum by (code) (rate(natter_api_requests_total{@}[$__rate_interval]))", "{{code}}")], "reqps", stack=True),
    graph("API requests by key", "By the name of the key's entry in the configuration; `unscoped` are the keys that may do everything.",
          [("sum by (api_key) (rate(natter_api_key_requests_total{@}[$__rate_interval]))", "{{api_key}}"),
           ("sum by (api_key) (rate(natter_api_key_refusals_total{@}[$__rate_interval]))", "{{api_key}}, outside its scope")],
          "reqps"),
    graph("API duration p99", "By method. Methods that ask other gateways wait for their answers.",
          [("histogram_quantile(0.99, sum by (le, method) (rate(natter_api_request_duration_seconds_bucket{@}[$__rate_interval])))",
            "{{method}}")], "s"),
]

DASHBOARD = Dashboard(
    uid="natter-backends",
    title="Natter / Backends",
    description="What backends ask of gateways, and what gateways ask of backends.",
    selector=GATEWAY,
    variables=GATEWAY_VARIABLES,
    annotations=ANNOTATIONS,
    rows=[Row("Do backends and gateways answer?", TOP), Row("Calls to backends (proxies)", CALLS), Row("Server API", API)],
)
