# Sourced by `local.sh`: nodes, each a kubelet and a containerd.
# shellcheck shell=bash disable=SC2154

# node_up N
node_up() {
    local number="$1" folder="$state/node$1"
    mkdir -p "$folder/cni"
    cni_config "$number" "$folder" >"$folder/cni/10-pods.conflist"
    containerd_config "$folder" >"$folder/containerd.toml"
    kubelet_config "$number" "$folder" >"$folder/kubelet.yaml"
    inside ip addr add "$pods.$number.1/32" dev pods
    component "containerd$number" containerd --config "$folder/containerd.toml"
    wait_for 20 ctr -a "$folder/containerd.sock" version
    import "$number" "$programs/pause.tar"
    component "kubelet$number" "$programs/bin/kubelet" --config="$folder/kubelet.yaml" --kubeconfig="$KUBECONFIG" \
        --root-dir="$folder/kubelet" --cert-dir="$folder/pki" --hostname-override="node$number" \
        --node-ip="$pods.$number.1" --node-labels="topology.kubernetes.io/zone=zone$number"
}

# import N ARCHIVE
import() { node_ctr "node$1" images import "$2" >/dev/null; }

# node_ctr NODE COMMAND...: asks the containerd of a node.
node_ctr() { ctr -a "$state/$1/containerd.sock" -n k8s.io "${@:2}"; }

cni_config() {
    cat <<JSON
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "pods", "hairpinMode": true, "ipam": {
    "type": "host-local", "dataDir": "$2/cni/ipam", "routes": [{"dst": "0.0.0.0/0"}],
    "ranges": [[{"subnet": "$pods.0.0/16", "rangeStart": "$pods.$1.2", "rangeEnd": "$pods.$1.254",
      "gateway": "$bridge_address"}]]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
}

containerd_config() {
    cat <<TOML
version = 2
root = "$1/containerd/root"
state = "$1/containerd/state"
oom_score = 0
[grpc]
  address = "$1/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true # a container may not lower it
  sandbox_image = "localhost/natter-pause:1"
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$1/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
TOML
}

kubelet_config() {
    cat <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $pods.$1.1
port: 10250
healthzPort: $((10248 + 10 * ($1 - 1)))
authentication: {x509: {clientCAFile: $state/pki/ca.crt}, anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failSwapOn: false
failCgroupV1: false
containerRuntimeEndpoint: unix://$2/containerd.sock
clusterDNS: [$dns_address]
clusterDomain: cluster.local
evictionHard: {memory.available: 50Mi}
localStorageCapacityIsolation: false
podLogsDir: $2/logs # a kubelet removes logs of pods that are not its own
nodeStatusUpdateFrequency: 2s
syncFrequency: 5s
oomScoreAdj: 0
YAML
}
