# Sourced by the scripts: the versions of the tools that are not Rust crates, and where they are kept.
# shellcheck shell=bash disable=SC2034

readonly nats_server_version=2.15.1
readonly cargo_deny_version=0.20.2
readonly kind_version=0.30.0                # its default node image is Kubernetes 1.34, as in tests/kubernetes/go.mod
readonly gateway_api_version=1.7.0          # of the CRDs
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
