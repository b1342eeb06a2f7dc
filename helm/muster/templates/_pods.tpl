{{/* What the pods of all parts have in common. */}}

{{/* Fields of a pod. Call: include "muster.pod" (dict "root" . "part" "allocator" "api" true) */}}
{{- define "muster.pod" -}}
{{- $root := .root -}}
{{- $values := index $root.Values .part -}}
serviceAccountName: {{ include "muster.name" (list $root .part) }}
automountServiceAccountToken: {{ .api }}
# Nothing of the environment that names services of the namespace.
enableServiceLinks: false
{{ include "muster.podBasics" $root }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if eq (include "muster.isMany" $values) "true" }}
{{- with include "muster.spread" . | trim }}
{{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Whether a part may have several pods; the argument is its values. */}}
{{- define "muster.isMany" -}}
{{- or (gt (int .replicas) 1) (dig "autoscaling" "enabled" false .) -}}
{{- end -}}

{{/* What every pod has, those of the hooks too. */}}
{{- define "muster.podBasics" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Pods of one program apart from each other. */}}
{{- define "muster.spread" -}}
{{- $root := .root -}}
{{- $selector := include "muster.selector" (list $root .part) -}}
{{- $nodes := $root.Values.spread.nodes -}}
{{- if ne $nodes "off" }}
affinity:
  podAntiAffinity:
    {{- if eq $nodes "required" }}
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- $selector | nindent 12 }}
    {{- else }}
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- $selector | nindent 14 }}
    {{- end }}
{{- end }}
{{- if $root.Values.spread.zones }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- $selector | nindent 8 }}
{{- end }}
{{- end -}}

{{/* Fields of a container of Muster. */}}
{{- define "muster.container" -}}
image: {{ include "muster.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* Probes on the admin port. */}}
{{- define "muster.probes" -}}
readinessProbe:
  httpGet: { path: /readyz, port: admin }
  periodSeconds: 2
  failureThreshold: 3
livenessProbe:
  httpGet: { path: /healthz, port: admin }
  initialDelaySeconds: 5
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
{{- end -}}

{{/* The pod's own name, address and namespace, for --namespace, --advertise and the Lease's holder. */}}
{{- define "muster.podEnv" -}}
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: POD_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
- name: POD_IP
  valueFrom: { fieldRef: { fieldPath: status.podIP } }
{{- end -}}

{{/* Volume with the tokens for these audiences. Call: include "muster.tokens" (list . "muster-allocator" …) */}}
{{- define "muster.tokens" -}}
{{- $root := index . 0 -}}
- name: tokens
  projected:
    defaultMode: 0440
    sources:
      {{- range rest . }}
      - serviceAccountToken:
          audience: {{ . }}
          path: {{ . }}
          expirationSeconds: {{ int $root.Values.tokens.expirationSeconds }}
      {{- end }}
{{- end -}}

{{- define "muster.tokensMount" -}}
- name: tokens
  mountPath: /var/run/secrets/muster.dev
  readOnly: true
{{- end -}}

{{/* Volume with one of the keys that the operator makes. Call: include "muster.key" "allocator.key" */}}
{{- define "muster.key" -}}
- name: keys
  secret:
    secretName: muster-keys
    defaultMode: 0440
    items:
      - key: {{ . }}
        path: {{ . }}
{{- end -}}

{{/* The same for metagame: its own key, and the one under which it seals personal data, from a Secret of its own. */}}
{{- define "muster.metagameKeys" -}}
- name: keys
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: muster-keys
          items:
            - key: metagame.key
              path: metagame.key
      - secret:
          name: muster-vault
          items:
            - key: vault.key
              path: vault.key
{{- end -}}

{{- define "muster.keyMount" -}}
- name: keys
  mountPath: /etc/muster/keys
  readOnly: true
{{- end -}}
