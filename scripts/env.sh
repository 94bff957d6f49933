# Sourced by the scripts: the versions of the tools that are not Rust crates, and where they are kept.
# shellcheck shell=bash disable=SC2034

# The newest patch of every minor version that durable rooms support, the one that tests use by default last. The same
# versions stand in gateway/src/bus/nats/jetstream/server_version.rs; a test compares.
readonly nats_server_versions=(2.12.15 2.14.9 2.15.2)
readonly nats_server_too_old=2.10.29 # for the test that it is refused
readonly cargo_deny_version=0.20.2
readonly cargo_audit_version=0.22.2
readonly kind_version=0.30.0                # its default node image is Kubernetes 1.34, as in tests/kubernetes/go.mod
readonly metrics_server_version=0.9.0
readonly gateway_api_version=1.6.3          # of the CRDs; the newest whose module needs no newer Go
readonly prometheus_operator_version=0.85.0 # of the CRDs

# Everything that setup builds or downloads stays outside the clone, so that a second clone is quick.
export NATTER_CACHE="${NATTER_CACHE:-$HOME/.cache/natter}"
export PATH="$NATTER_CACHE/bin:$NATTER_CACHE/venv/bin:$PATH"

if [[ "${CI:-}" == true ]]; then
    export CARGO_INCREMENTAL=0 # nothing is built twice from one clone
    export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$NATTER_CACHE/target}" # survives the fresh clone
fi

# The place cargo builds into; stage logs stand beside it.
target_dir="${CARGO_TARGET_DIR:-$repo/target}"
readonly target_dir
