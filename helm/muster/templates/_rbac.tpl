{{/* A Role and its binding to a part's account.
     Call: include "muster.role" (dict "root" . "part" "operator" "name" "operator-games" "namespace" "default" "rules" $yaml) */}}
{{- define "muster.role" -}}
{{- $name := include "muster.name" (list .root .name) -}}
{{- $labels := include "muster.labels" (list .root .part) -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  namespace: {{ .namespace }}
  labels:
    {{- $labels | nindent 4 }}
rules:
  {{- .rules | trim | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  namespace: {{ .namespace }}
  labels:
    {{- $labels | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $name }}
subjects:
  - kind: ServiceAccount
    name: {{ include "muster.name" (list .root .part) }}
    namespace: {{ .root.Release.Namespace }}
{{- end -}}
