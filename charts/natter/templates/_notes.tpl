{{- define "natter.notes" -}}
Natter's operator {{ .Chart.AppVersion }} is installed in namespace {{ .Release.Namespace }}{{ with .Values.operator.watchNamespace }} and looks at namespace {{ . }}{{ end }}.
{{- $namespace := default .Release.Namespace .Values.chatCluster.namespace }}
{{- $has := .Capabilities.APIVersions.Has "natter.dev/v1alpha1" }}
{{- if and .Values.chatCluster.enabled $has }}

Wait for the ChatCluster:
  kubectl --namespace {{ $namespace }} wait chatcluster/{{ .Values.chatCluster.name }} --for=condition=Ready --timeout=5m
Talk through it:
  helm --namespace {{ .Release.Namespace }} test {{ .Release.Name }}
{{- else if .Values.chatCluster.enabled }}

ATTENTION: the ChatCluster was left out. Kubernetes has learnt that kind only now. Once more, with the same values, makes it:
  helm --namespace {{ .Release.Namespace }} upgrade {{ .Release.Name }} <chart> --reuse-values
{{- else }}

Make a ChatCluster:
  kubectl apply -f - <<'YAML'
  apiVersion: natter.dev/v1alpha1
  kind: ChatCluster
  metadata: { name: {{ .Values.chatCluster.name }}, namespace: {{ $namespace }} }
  spec:
    gateways:
      config:
        client: { anonymous: allow }
        rooms: { default: { subscribe: anyone, publish: anyone, history: {} } }
  YAML
  kubectl --namespace {{ $namespace }} wait chatcluster/{{ .Values.chatCluster.name }} --for=condition=Ready --timeout=5m
Talk through it:
  helm --namespace {{ .Release.Namespace }} test {{ .Release.Name }}
{{- end }}
{{- if and (or .Values.monitoring.podMonitor.enabled .Values.monitoring.prometheusRule.enabled) (not (include "natter.hasPrometheusOperator" .)) }}

ATTENTION: PodMonitor and PrometheusRule were left out: this Kubernetes does not have monitoring.coreos.com/v1.
{{- end }}
{{- if not .Values.crds.keep }}

ATTENTION: crds.keep is false. Uninstalling removes the definition of ChatCluster, and with it every ChatCluster of this Kubernetes.
{{- end }}
{{- end -}}
