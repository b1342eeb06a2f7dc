{{/* What a schema cannot say: settings that do not go together. Each fault is a sentence. */}}
{{- define "muster.checks" -}}
{{- $faults := list -}}
{{- if has .Release.Namespace .Values.gameNamespaces -}}
{{- $faults = append $faults (printf "gameNamespaces has %q, Muster's own namespace: game servers need rights and host ports that Muster's programs must not stand beside; give them a namespace of their own" .Release.Namespace) -}}
{{- end -}}
{{- if eq .Values.image.tag "latest" -}}
{{- $faults = append $faults "image.tag is latest, and what that means changes: name a version, or image.digest" -}}
{{- end -}}
{{- with .Values.demo.namespace -}}
{{- if not (has . $.Values.gameNamespaces) -}}
{{- $faults = append $faults (printf "demo.namespace is %q, which is none of gameNamespaces: add it there, or leave demo.namespace empty" .) -}}
{{- end -}}
{{- end -}}
{{- with .Values.allocator.dropIn.tls -}}
{{- if and (eq .source "certManager") (not .issuer.name) -}}
{{- $faults = append $faults "allocator.dropIn.tls.source is certManager, and allocator.dropIn.tls.issuer.name is empty: name an Issuer, or a ClusterIssuer with its kind" -}}
{{- end -}}
{{- if and (eq .source "existing") (not .secretName) -}}
{{- $faults = append $faults "allocator.dropIn.tls.source is existing, and allocator.dropIn.tls.secretName is empty: name your Secret" -}}
{{- end -}}
{{- if and (eq .source "operator") .secretName -}}
{{- $faults = append $faults "allocator.dropIn.tls.secretName is set, and the operator makes a Secret of its own name only: leave it empty, or say source: existing" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.metagame.webhooks.secretName .Values.networkPolicy.enabled (not .Values.networkPolicy.webhooks.cidrs) -}}
{{- $faults = append $faults "metagame.webhooks.secretName is set, and networkPolicy.webhooks.cidrs is empty, so that nothing could be delivered: name the addresses, 0.0.0.0/0 for any" -}}
{{- end -}}
{{- with .Values.metagame -}}
{{- if and (or (gt (int .replicas) 1) .autoscaling.enabled) (not .database.secretName) -}}
{{- $faults = append $faults "metagame has more than one replica, and SQLite one writer, so that each would have a part of the accounts: name a Secret with the address of a PostgreSQL database in metagame.database.secretName" -}}
{{- end -}}
{{- if and .autoscaling.enabled (gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas)) -}}
{{- $faults = append $faults "metagame.autoscaling.minReplicas is above maxReplicas" -}}
{{- end -}}
{{- if and .database.secretName $.Values.networkPolicy.enabled (not $.Values.networkPolicy.database.cidrs) -}}
{{- $faults = append $faults "metagame.database.secretName is set, and networkPolicy.database.cidrs is empty, so that the database could not be reached: name its addresses" -}}
{{- end -}}
{{- end -}}
{{- if $faults -}}
{{- fail (printf "\n  %s" (join "\n  " $faults)) -}}
{{- end -}}
{{- end -}}
