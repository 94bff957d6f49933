# Sourced by `local.sh`: services, DNS, resource metrics and volumes.
# shellcheck shell=bash disable=SC2154

addons_up() {
    cat >"$state/proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $KUBECONFIG}
mode: iptables
hostnameOverride: node1
clusterCIDR: $pods.0.0/16
conntrack: {maxPerCore: 0}
YAML
    cat >"$state/Corefile" <<COREFILE
.:53 {
  bind $dns_address
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $KUBECONFIG
  }
  cache 5
}
COREFILE
    component kube-proxy "$programs/bin/kube-proxy" --config "$state/proxy.yaml"
    component coredns "$programs/bin/coredns" -conf "$state/Corefile"
    component metrics-server "$programs/bin/metrics-server" --kubeconfig="$KUBECONFIG" \
        --authentication-kubeconfig="$KUBECONFIG" --authorization-kubeconfig="$KUBECONFIG" \
        --bind-address="$bridge_address" --secure-port=4443 --cert-dir="$state/pki/metrics" \
        --kubelet-insecure-tls --kubelet-preferred-address-types=InternalIP --metric-resolution=15s
    { metrics_api && volumes; } | kubectl apply -f - >/dev/null
}

# The resource metrics API, answered by a metrics-server beside the API server.
metrics_api() {
    cat <<YAML
apiVersion: v1
kind: Service
metadata: {name: metrics-server, namespace: kube-system}
spec: {ports: [{port: 443, targetPort: 4443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: metrics-server, namespace: kube-system, labels: {kubernetes.io/service-name: metrics-server}}
addressType: IPv4
endpoints: [{addresses: [$bridge_address], conditions: {ready: true}}]
ports: [{port: 4443}]
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec:
  {group: metrics.k8s.io, version: v1beta1, groupPriorityMinimum: 100, versionPriority: 100,
   insecureSkipTLSVerify: true, service: {name: metrics-server, namespace: kube-system}}
YAML
}

# A default storage class with volumes that any user of a pod can write. Their size is a claim that nothing holds them to.
# Nobody wipes a released one for reuse: there are enough for three whole runs of the suite.
volumes() {
    local number
    cat <<YAML
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: standard, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
YAML
    for number in $(seq 120); do
        mkdir -p -m 777 "$state/volumes/$number"
        cat <<YAML
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: volume-$number}
spec:
  {storageClassName: standard, capacity: {storage: 20Gi}, accessModes: [ReadWriteOnce],
   hostPath: {path: $state/volumes/$number}}
YAML
    done
}
