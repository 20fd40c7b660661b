{{/* Name that all objects begin with: short enough for a class of ten letters behind it, see checks.yaml. */}}
{{- define "artdag.name" -}}
{{- if contains "artdag" .Release.Name }}{{ .Release.Name | trunc 32 | trimSuffix "-" }}{{ else }}{{ printf "%s-artdag" .Release.Name | trunc 32 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* What an object is known by for good: dict root, component. Pods have these alone: a label that changes with a version
would replace them, the servers too. */}}
{{- define "artdag.selector" -}}
app.kubernetes.io/name: artdag
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* All labels: dict root, component. */}}
{{- define "artdag.labels" -}}
{{ include "artdag.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* Image of a service: dict root, service. */}}
{{- define "artdag.image" -}}
{{- $image := .root.Values.image -}}
{{- $tag := $image.tag | default .root.Chart.AppVersion -}}
{{- $parts := list $image.registry $image.repository (printf "%s:%s" .service $tag) | compact -}}
{{- join "/" $parts -}}
{{- end }}

{{/* Secret of a service: dict root, service. */}}
{{- define "artdag.secret" -}}
{{ .root.Values.secrets.prefix }}{{ .service }}
{{- end }}

{{/* The command that makes the Secrets, with what this release calls its servers. */}}
{{- define "artdag.secretsCommand" -}}
{{- $name := include "artdag.name" . -}}
artdag secrets secrets --kubernetes --nats {{ $name }}-nats:4222 --postgres {{ $name }}-postgres:5432 --redis {{ $name }}-redis:6379 | kubectl apply --namespace {{ .Release.Namespace }} -f -
{{- end }}

{{/* Whether some place has all content, so that a pod's own copy may go with it: "true" or nothing. */}}
{{- define "artdag.complete" -}}
{{- if or .Values.s3.enabled .Values.ipfs.primary }}true{{ end -}}
{{- end }}

{{/* How the content of a component is kept: dict root, spec. */}}
{{- define "artdag.volume" -}}
{{ .spec.volume | default .root.Values.content.volume }}
{{- end }}

{{/* A size as Kubernetes writes it (20Gi), in bytes. */}}
{{- define "artdag.bytes" -}}
{{- $units := dict "k" 1 "M" 2 "G" 3 "T" 4 "P" 5 -}}
{{- $unit := regexFind "[A-Za-z]+" . -}}
{{- $found := regexFind "^[0-9]+" . | int64 -}}
{{- range until (get $units (trimSuffix "i" $unit | replace "K" "k") | int) -}}
{{- $found = mul $found (hasSuffix "i" $unit | ternary 1024 1000) -}}
{{- end -}}
{{- $found -}}
{{- end }}

{{/* Kind of what runs a component with content: dict root, spec. */}}
{{- define "artdag.kind" -}}
{{ eq (include "artdag.volume" .) "claim" | ternary "StatefulSet" "Deployment" }}
{{- end }}

{{/* Names of the Secrets that images are pulled with. */}}
{{- define "artdag.pullSecrets" -}}
{{- with .Values.image.pullSecrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Every address of the pod. */}}
{{- define "artdag.anyAddress" -}}
{{ .Values.ipv6 | ternary "::" "0.0.0.0" }}
{{- end }}

{{- define "artdag.publicUrl" -}}
{{- if .Values.publicUrl }}{{ .Values.publicUrl }}{{ else if and .Values.ingress.enabled .Values.ingress.host }}https://{{ .Values.ingress.host }}{{ else }}http://localhost:8100{{ end -}}
{{- end }}

{{/* What every pod may be at most: who it runs as. dict root, user. */}}
{{- define "artdag.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .user }}
runAsGroup: {{ .user }}
fsGroup: {{ .user }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "artdag.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Where pods of a component go: dict root, component, spec. */}}
{{- define "artdag.placement" -}}
topologySpreadConstraints:
  {{- range .root.Values.topologyKeys }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "artdag.selector" $ | nindent 8 }}
  {{- end }}
{{- with .spec.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .spec.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .spec.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Secret settings of a service, and no others': dict root, service, of (whose Secret), names, optional. */}}
{{- define "artdag.secretEnvironment" -}}
{{- $secret := include "artdag.secret" (dict "root" .root "service" .of) -}}
{{- range .names }}
- name: {{ . }}
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ . }}}}
{{- end }}
{{- /* A server of your own may know one account for all: then there are no seeds, and it refuses who has to have one. */}}
{{- range .optional }}
- name: {{ . }}
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ . }}, optional: true}}
{{- end }}
{{- end }}

{{/* Secret settings by service, as libs/artdag_cli/accounts.py gives them: dict root, service. */}}
{{- define "artdag.secrets" -}}
{{- $names := dict
  "gateway" (list "NATS_URL" "DATABASE_URL" "REDIS_URL" "ARTDAG_CLUSTER_KEY" "ARTDAG_SECRET_KEY" "ARTDAG_OWNER_TOKEN_HASH")
  "planner" (list "NATS_URL" "DATABASE_URL" "ARTDAG_CLUSTER_KEY")
  "executor" (list "NATS_URL" "DATABASE_URL" "ARTDAG_CLUSTER_KEY")
  "cache" (list "NATS_URL" "DATABASE_URL" "ARTDAG_CLUSTER_KEY" "ARTDAG_SECRET_KEY" "ARTDAG_ACTOR_KEY")
  "node" (list "NATS_URL" "DATABASE_URL" "ARTDAG_CLUSTER_KEY")
  "auth" (list "NATS_URL" "DATABASE_URL" "REDIS_URL" "ARTDAG_OWNER_TOKEN_HASH") -}}
{{- $optional := list "ARTDAG_NATS_SEED" -}}
{{- if eq .service "auth" }}{{ $optional = list "ARTDAG_NATS_SEED" "ARTDAG_RELAY_NATS_SEED" "ARTDAG_RELAY_DATABASE_URL" }}{{ end -}}
{{- $own := get $names .service -}}
{{- if and .root.Values.s3.enabled (ne .service "auth") }}{{ $own = append $own "ARTDAG_S3_URL" }}{{ end -}}
{{- $of := eq .service "node" | ternary "cache" .service -}}
{{- include "artdag.secretEnvironment" (dict "root" .root "of" $of "names" $own "optional" $optional) -}}
{{- end }}

{{/* Probes on a port: its name. Live: not hung. Ready: can do work. */}}
{{- define "artdag.probes" -}}
startupProbe:
  httpGet: {path: /health, port: {{ . }}}
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /health, port: {{ . }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /ready, port: {{ . }}}
  periodSeconds: 5
  timeoutSeconds: 4
  failureThreshold: 2
{{- end }}

{{/* What every container of ours says: dict root, service. */}}
{{- define "artdag.container" -}}
image: {{ include "artdag.image" . }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
command: [python, -m, services.{{ .service }}]
securityContext: {{- include "artdag.containerSecurity" .root | nindent 2 }}
envFrom:
  - configMapRef: {name: {{ include "artdag.name" .root }}}
{{- end }}
