# Sourced by the scripts of this folder: where things are, and what both kinds of cluster share.
# shellcheck shell=bash disable=SC2034

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
repo="$(cd "$here/../.." && pwd)"
# shellcheck source=../../scripts/env.sh
source "$repo/scripts/env.sh"

readonly cannot=77 # exit code: this machine cannot have a cluster; standard output says why

name="${NATTER_CLUSTER:-natter}"
node_count="${NATTER_CLUSTER_NODES:-2}"
: "${state:="${TMPDIR:-/tmp}/natter-cluster-$name"}" # api-server has its own

# Programs are kept by what they were built from, so that two clones of two versions can share one cache.
programs="$NATTER_CACHE/kubernetes/$(
    { cat "$here"/{go.mod,go.sum,main.go,install,pause/main.go} "$repo/scripts/env.sh" && go version; } | sha256sum | cut -c1-12
)"
readonly here repo name node_count state programs
export KUBECONFIG="$state/kubeconfig" PATH="$programs/bin:$PATH"

# A Docker client alone is no Docker.
backend() {
    if docker info --format '{{.ServerVersion}}' 2>/dev/null | grep -q .; then echo kind; else echo local; fi
}

# Functions of the kind of cluster that this machine can have; see `cluster`.
use_backend() {
    # shellcheck source=kind.sh source=local.sh
    source "$here/$(backend).sh"
}

installed() {
    if [[ ! -e "$programs/complete" ]]; then
        echo "Kubernetes is not installed: run scripts/setup kubernetes" >&2
        return 1
    fi
    touch "$programs" # keeps it from being thrown away as old
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS >= deadline)); then
            echo "cluster: not in time: $*; logs: $state/log" >&2
            return 1
        fi
        sleep 0.25
    done
}
