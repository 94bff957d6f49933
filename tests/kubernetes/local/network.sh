# Sourced by `local.sh`: the network namespace, its bridge, and the way into it.
# shellcheck shell=bash disable=SC2154

# Each name has networks of its own: pods 10.(100 to 149).0.0/16, the link to the machine 10.(150 to 199).0.0/30.
# Node N has the address 10.x.N.1, its pods have the rest of 10.x.N.0/24.
block=$((100 + $(printf %s "$name" | cksum | cut -d' ' -f1) % 50))
pods="10.$block" link="10.$((block + 50)).0" bridge_address="10.$block.0.1"
dns_address=169.254.20.10
namespace="natter-$name"
namespace_file="/run/netns/$namespace"
link_name="natter$block" # at most 15 characters
api_address="$bridge_address" api_port=6443 etcd_port=2379 etcd_peer_port=2380 controllers_port=10257
readonly block pods link bridge_address dns_address api_address api_port etcd_port etcd_peer_port controllers_port \
    namespace namespace_file link_name

inside() { nsenter --net="$namespace_file" "$@"; } # `ip netns exec` would hide the control groups

network_up() {
    if [[ -n "$(ip route show root "$pods.0.0/16")" ]]; then
        echo "cluster: $pods.0.0/16 is in use on this machine; choose another NATTER_CLUSTER name" >&2
        return 1
    fi
    ip netns add "$namespace"
    inside ip link set lo up
    inside ip addr add "$dns_address/32" dev lo
    inside ip link add pods type bridge
    inside ip addr add "$bridge_address/16" dev pods
    inside ip link set pods up
    inside sysctl -qw net.ipv4.ip_forward=1
    # A bridge without a port stays down, and so would the node's own address.
    inside ip link add port0 type veth peer name port1
    inside ip link set port0 master pods up
    inside ip link set port1 up

    ip link add "$link_name" type veth peer name machine netns "$namespace"
    ip addr add "$link.1/30" dev "$link_name"
    ip link set "$link_name" up
    inside ip addr add "$link.2/30" dev machine
    inside ip link set machine up
    inside ip route add default via "$link.1"
    ip route add "$pods.0.0/16" via "$link.2"
}

network_down() {
    ip link del "$link_name" 2>/dev/null || true # its route goes with it
    ip netns del "$namespace" 2>/dev/null || true
}
