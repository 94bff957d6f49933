# Sourced by `local.sh`: certificates, the control plane, and what every cluster has besides.
# shellcheck shell=bash disable=SC2154

certificates() {
    (
        cd "$state/pki"
        openssl genrsa -out sa.key 2048 && openssl rsa -in sa.key -pubout -out sa.pub
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 30 -subj /CN=natter-cluster
        issue apiserver /CN=kube-apiserver
        issue admin /O=system:masters/CN=admin
    ) 2>"$state/log/openssl.log"
    # Certificates stand in the file: it can be handed to a program that may not read the folder.
    kubectl config set-cluster "$name" --server "https://$bridge_address:6443" --embed-certs \
        --certificate-authority "$state/pki/ca.crt" >/dev/null
    kubectl config set-credentials admin --embed-certs --client-certificate "$state/pki/admin.crt" \
        --client-key "$state/pki/admin.key" >/dev/null
    kubectl config set-context "$name" --cluster "$name" --user admin >/dev/null
    kubectl config use-context "$name" >/dev/null
}

# issue FILE SUBJECT
issue() {
    local names="DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:$bridge_address,IP:10.96.0.1"
    openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$1.crt" \
        -extfile <(echo "subjectAltName=$names")
}

control_plane_up() {
    local pki="$state/pki" peer=http://127.0.0.1:2380 client=http://127.0.0.1:2379
    component etcd "$programs/bin/etcd" --data-dir "$state/etcd" --unsafe-no-fsync \
        --listen-client-urls $client --advertise-client-urls $client \
        --listen-peer-urls $peer --initial-advertise-peer-urls $peer --initial-cluster default=$peer
    component kube-apiserver "$programs/bin/kube-apiserver" --etcd-servers=$client --secure-port=6443 \
        --advertise-address="$bridge_address" --authorization-mode=Node,RBAC --allow-privileged \
        --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt" \
        --service-account-issuer=https://kubernetes.default.svc --service-cluster-ip-range="$services" \
        --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
        --kubelet-client-certificate="$pki/admin.crt" --kubelet-client-key="$pki/admin.key" \
        --kubelet-preferred-address-types=InternalIP \
        --requestheader-client-ca-file="$pki/ca.crt" --requestheader-allowed-names=admin \
        --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
        --requestheader-extra-headers-prefix=X-Remote-Extra- \
        --proxy-client-cert-file="$pki/admin.crt" --proxy-client-key-file="$pki/admin.key"
    wait_for 90 kubectl get --raw /readyz
    component kube-controller-manager "$programs/bin/kube-controller-manager" --kubeconfig="$KUBECONFIG" \
        --leader-elect=false --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" \
        --use-service-account-credentials --node-monitor-grace-period=20s
    component kube-scheduler "$programs/bin/kube-scheduler" --kubeconfig="$KUBECONFIG" --leader-elect=false
}

# Services, DNS, resource metrics and volumes.
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

# A default storage class with volumes of 1 GiB that any user of a pod can write. Nobody wipes a released one for reuse.
volumes() {
    local number
    cat <<YAML
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: standard, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
YAML
    for number in $(seq 40); do
        mkdir -p -m 777 "$state/volumes/$number"
        cat <<YAML
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: volume-$number}
spec:
  {storageClassName: standard, capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce],
   hostPath: {path: $state/volumes/$number}}
YAML
    done
}
