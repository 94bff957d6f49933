# Sourced by `cluster`: Kubernetes in Docker.
# shellcheck shell=bash disable=SC2154

obstacle() { :; }

running() { kind get clusters 2>/dev/null | grep -qx "$name" && kubectl get --raw /readyz >/dev/null 2>&1; }

start() {
    local number
    {
        printf '%s\n' "kind: Cluster" "apiVersion: kind.x-k8s.io/v1alpha4" "nodes:" "- role: control-plane"
        for number in $(seq "$node_count"); do
            printf '%s\n' "- role: worker" "  labels: {topology.kubernetes.io/zone: zone$number}"
        done
    } >"$state/kind.yaml"
    kind create cluster --name "$name" --kubeconfig "$KUBECONFIG" --config "$state/kind.yaml" --wait 180s \
        >"$state/log/kind.log" 2>&1
}

load() {
    local archive
    for archive; do
        kind load image-archive "$archive" --name "$name"
    done
}

# on_node NODE COMMAND...
on_node() { docker exec "$@"; }

# node_ctr NODE COMMAND...: asks the containerd of a node.
node_ctr() { docker exec "$1" ctr -n k8s.io "${@:2}"; }

down() {
    if kind get clusters 2>/dev/null | grep -qx "$name"; then
        kind delete cluster --name "$name" --kubeconfig "$KUBECONFIG" >&2
    fi
    rm -rf "${state:?}"
}
