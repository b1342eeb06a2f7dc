{{/* Names, labels, image: what every template uses. */}}

{{/* Name of a part's objects: muster-allocator. Call: include "muster.name" (list . "allocator") */}}
{{- define "muster.name" -}}
{{- $root := index . 0 -}}
{{- printf "%s-%s" $root.Release.Name (index . 1) -}}
{{- end -}}

{{/* The same for objects of the whole cluster, where another release must not have the same. */}}
{{- define "muster.clusterName" -}}
{{- $root := index . 0 -}}
{{- printf "%s.%s.%s" $root.Release.Name $root.Release.Namespace (index . 1) -}}
{{- end -}}

{{/* What selects a part's pods; it never changes. */}}
{{- define "muster.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: muster
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of a part's objects. */}}
{{- define "muster.labels" -}}
{{- $root := index . 0 -}}
{{ include "muster.selector" . }}
app.kubernetes.io/part-of: muster
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{/* Labels of a part's pods: nothing that changes without a change of the program, so that pods live on otherwise. */}}
{{- define "muster.podLabels" -}}
{{ include "muster.selector" . }}
app.kubernetes.io/part-of: muster
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
{{- end -}}

{{/* metadata of an object of a part, in the release's namespace. */}}
{{- define "muster.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "muster.name" . }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "muster.labels" . | nindent 2 }}
{{- end -}}

{{- define "muster.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* URL of a part inside the cluster. Call: include "muster.url" (list . "allocator" 7110) */}}
{{- define "muster.url" -}}
{{- $root := index . 0 -}}
http://{{ include "muster.name" . }}.{{ $root.Release.Namespace }}.svc:{{ index . 2 }}
{{- end -}}

{{/* Names of the accounts of parts, as --callers takes them. Call: include "muster.callers" (list . "metagame" "operator") */}}
{{- define "muster.callers" -}}
{{- $root := index . 0 -}}
{{- $names := list -}}
{{- range rest . -}}
{{- $names = append $names (printf "%s:%s" $root.Release.Namespace (include "muster.name" (list $root .))) -}}
{{- end -}}
{{- join "," $names -}}
{{- end -}}

{{- define "muster.dropInSecret" -}}
{{- .Values.allocator.dropIn.tls.secretName | default "muster-allocator-tls" -}}
{{- end -}}
