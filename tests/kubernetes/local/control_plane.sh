# Sourced: certificates and the control plane. The sourcing script says where the API server listens (`api_address`,
# `api_port`) and etcd (`etcd_port`, `etcd_peer_port`), and how a process is started (`component`).
# shellcheck shell=bash disable=SC2154

readonly services=10.96.0.0/16 api_service=10.96.0.1

certificates() {
    (
        cd "$state/pki"
        openssl genrsa -out sa.key 2048 && openssl rsa -in sa.key -pubout -out sa.pub
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 30 -subj /CN=natter-cluster
        issue apiserver /CN=kube-apiserver
        issue admin /O=system:masters/CN=admin
    ) 2>"$state/log/openssl.log"
    # Certificates stand in the file: it can be handed to a program that may not read the folder.
    {
        kubectl config set-cluster "$name" --server "https://$api_address:$api_port" --embed-certs \
            --certificate-authority "$state/pki/ca.crt"
        kubectl config set-credentials admin --embed-certs --client-certificate "$state/pki/admin.crt" \
            --client-key "$state/pki/admin.key"
        kubectl config set-context "$name" --cluster "$name" --user admin
        kubectl config use-context "$name"
    } >/dev/null
}

# issue FILE SUBJECT
issue() {
    local names="DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:$api_address,IP:$api_service"
    openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$1.crt" \
        -extfile <(echo "subjectAltName=$names")
}

# etcd and the API server, ready.
api_server_up() {
    local pki="$state/pki" peer="http://127.0.0.1:$etcd_peer_port" client="http://127.0.0.1:$etcd_port"
    component etcd "$programs/bin/etcd" --data-dir "$state/etcd" --unsafe-no-fsync \
        --listen-client-urls "$client" --advertise-client-urls "$client" \
        --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer"
    component kube-apiserver "$programs/bin/kube-apiserver" --etcd-servers="$client" \
        --bind-address="$api_address" --secure-port="$api_port" --advertise-address="$api_address" \
        --authorization-mode=Node,RBAC --allow-privileged --service-cluster-ip-range="$services" \
        --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt" \
        --service-account-issuer=https://kubernetes.default.svc \
        --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
        --kubelet-client-certificate="$pki/admin.crt" --kubelet-client-key="$pki/admin.key" \
        --kubelet-preferred-address-types=InternalIP \
        --requestheader-client-ca-file="$pki/ca.crt" --requestheader-allowed-names=admin \
        --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
        --requestheader-extra-headers-prefix=X-Remote-Extra- \
        --proxy-client-cert-file="$pki/admin.crt" --proxy-client-key-file="$pki/admin.key"
    wait_for 90 kubectl get --raw /readyz
}

controllers_up() {
    component kube-controller-manager "$programs/bin/kube-controller-manager" --kubeconfig="$KUBECONFIG" \
        --bind-address=127.0.0.1 --secure-port="$controllers_port" \
        --leader-elect=false --service-account-private-key-file="$state/pki/sa.key" --root-ca-file="$state/pki/ca.crt" \
        --use-service-account-credentials --node-monitor-grace-period=20s
}

scheduler_up() {
    component kube-scheduler "$programs/bin/kube-scheduler" --kubeconfig="$KUBECONFIG" --leader-elect=false
}
