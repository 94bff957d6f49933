{{/*
What the operator may do in the namespaces of ChatClusters. Each rule says what needs it; none lists or watches Secrets. Every kind of
operator/src/kinds.rs is here: scripts/checks/chart.py compares.
*/}}
{{- define "natter.rules" -}}
# The objects to follow, and their deletion. Patched is their list of finalizers, where deletionPolicy: Delete takes streams on an
# external NATS along; a spec is never written.
- apiGroups: [natter.dev]
  resources: [chatclusters]
  verbs: [get, list, watch, patch]
# The status, written by server-side apply.
- apiGroups: [natter.dev]
  resources: [chatclusters/status]
  verbs: [patch]
# Owner references with blockOwnerDeletion, where the API server guards them (OpenShift does).
- apiGroups: [natter.dev]
  resources: [chatclusters/finalizers]
  verbs: [update]
# Identity of the pods, which stays as long as their ChatCluster. Each kind that the operator makes is listed and watched, read before
# it is first made, written by server-side apply (create and patch), and deleted when no longer wanted.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, list, watch, create, patch]
# The configuration of the pods, and the Services of gateways and NATS.
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [get, list, watch, create, patch, delete]
# Gateways, one Deployment for each revision, and a managed NATS.
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, patch, delete]
# The Job that deletes the streams of a deleted ChatCluster on an external NATS.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
# Gateways and NATS servers that nodes being drained have to leave.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# spec.exposure: the Ingress, and who may reach the pods.
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
# spec.exposure.httpRoute.
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
# spec.monitoring.
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors, prometheusrules]
  verbs: [get, list, watch, create, patch, delete]
# Why a pod does not start: conditions of the ChatCluster say it. Gateways that shall go are marked: out of the Service, and how far
# their drain is.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
# The tokens that gateways accept control calls with, written by server-side apply. Secrets are neither listed nor watched; but whoever
# may patch one is answered with it, so operator.watchNamespace is the way to keep the operator from Secrets of other namespaces.
- apiGroups: [""]
  resources: [secrets]
  verbs: [patch, create]
# Servers of a managed NATS are restarted one at a time, by eviction, so that a budget is never overrun.
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
# Events about ChatClusters; a repeated one is counted by a patch.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
