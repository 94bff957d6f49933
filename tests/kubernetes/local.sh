# Sourced by `cluster`: a real Kubernetes on a machine that has neither Docker nor kind, started by root.
#
# Every component is a process of this machine in one network namespace; a node is a kubelet and a containerd of its own,
# whose pods hang on one bridge. A pair of interfaces leads from the machine into the namespace, so that tests reach the
# API server, pods and node ports without entering it. What kind has and this does not: enforced NetworkPolicies (the
# bridge plugin knows none), load balancers, a network of each node that can be cut alone.
# shellcheck shell=bash disable=SC2154

# shellcheck source=local/network.sh
source "$here/local/network.sh"
# shellcheck source=local/node.sh
source "$here/local/node.sh"
# shellcheck source=local/control_plane.sh
source "$here/local/control_plane.sh"
# shellcheck source=local/addons.sh
source "$here/local/addons.sh"

# Prints why this machine cannot have a cluster, and fails, if so.
obstacle() {
    local cgroups=/sys/fs/cgroup
    ((EUID == 0)) || { echo "without Docker it needs root" && return 1; }
    unshare --net --mount true 2>/dev/null || { echo "namespaces are not permitted here" && return 1; }
    grep -qw overlay /proc/filesystems || { echo "the kernel has no overlay file system" && return 1; }
    [[ -d $cgroups/memory ]] && cgroups+=/memory
    [[ -w $cgroups/cgroup.procs ]] || { echo "control groups cannot be written" && return 1; }
    if ! command -v apt-get >/dev/null && ! command -v containerd >/dev/null; then
        echo "neither containerd nor apt-get is here"
        return 1
    fi
}

# component NAME COMMAND...: a process of the cluster in the namespace and a session of its own; log and pid are kept.
component() {
    local component="$1"
    shift
    setsid nsenter --net="$namespace_file" "$@" >"$state/log/$component.log" 2>&1 </dev/null &
    echo $! >"$state/pid/$component"
}

running() { [[ -e "$namespace_file" ]] && kubectl get --raw /readyz >/dev/null 2>&1; }

start() {
    local number
    mkdir -p "$state"/{etcd,pki,pid}
    network_up
    certificates
    api_server_up
    controllers_up
    scheduler_up
    for number in $(seq "$node_count"); do node_up "$number"; done
    addons_up
    for number in $(seq "$node_count"); do
        wait_for 60 kubectl wait --for=condition=Ready "node/node$number" --timeout=1s
    done
}

# on_node NODE COMMAND...: all nodes see the processes of this machine.
on_node() { "${@:2}"; }

load() {
    local archive number
    for archive; do
        for number in $(seq "$node_count"); do import "$number" "$archive"; done
    done
}

# stop PATTERN...: asks components to end, and waits for a while.
stop() {
    local pattern file pid pids=()
    for pattern; do
        for file in "$state"/pid/$pattern; do
            [[ -e "$file" ]] || continue
            pid="$(<"$file")"
            # The id may belong to another process by now.
            grep -qaF -e "$state" -e "$programs" "/proc/$pid/cmdline" 2>/dev/null || continue
            kill "$pid" && pids+=("$pid")
        done
    done
    for _ in $(seq 30); do
        # It succeeds while one of them is there.
        { ((${#pids[@]})) && kill -0 "${pids[@]}" 2>/dev/null; } || return 0
        sleep 0.1
    done
    kill -KILL "${pids[@]}" 2>/dev/null || true
}

down() {
    local mount socket task
    [[ -d "$state" ]] || return 0
    stop 'kubelet*' # first: it would start again what is removed here
    for socket in "$state"/node*/containerd.sock; do
        [[ -S "$socket" ]] || continue
        while read -r task; do
            timeout 10 ctr -a "$socket" -n k8s.io tasks rm -f "$task" >/dev/null 2>&1 || true
        done < <(timeout 10 ctr -a "$socket" -n k8s.io tasks ls -q 2>/dev/null)
    done
    stop 'containerd*' 'coredns' 'metrics-server' 'kube-*'
    stop etcd
    kill_shims
    while read -r mount; do
        umount -l "$mount" 2>/dev/null || true
    done < <({ grep -o " $state/[^ ]*" /proc/mounts || true; } | sort -r)
    network_down
    rm -rf "${state:?}"
}

# Shims outlive their containerd; their command line names its socket.
kill_shims() {
    local process
    for process in /proc/[0-9]*; do
        if { tr '\0' ' ' <"$process/cmdline"; } 2>/dev/null | grep -q "containerd-shim.* -address $state/node"; then
            kill -KILL "${process#/proc/}" 2>/dev/null || true
        fi
    done
}
