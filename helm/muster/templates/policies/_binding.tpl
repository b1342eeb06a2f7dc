{{/* Where a policy holds: the game namespaces. Call: include "muster.policyBinding" (list . "name") */}}
{{- define "muster.policyBinding" -}}
{{- $root := index . 0 -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ include "muster.clusterName" . }}
  labels:
    {{- include "muster.labels" (list $root "policies") | nindent 4 }}
spec:
  policyName: {{ include "muster.clusterName" . }}
  validationActions: [Deny]
  matchResources:
    namespaceSelector:
      matchExpressions:
        - key: kubernetes.io/metadata.name
          operator: In
          values:
            {{- toYaml $root.Values.gameNamespaces | nindent 12 }}
{{- end -}}

{{/* The one account that may: Muster's operator, which does it only after the drain deadline. */}}
{{- define "muster.notTheOperator" -}}
- name: not-the-operator
  expression: >-
    request.userInfo.username != 'system:serviceaccount:{{ .Release.Namespace }}:{{ include "muster.name" (list . "operator") }}'
{{- end -}}
