{{/*
A Deployment, or a StatefulSet for who has a volume of its own.
dict root, component, service, spec (values), content (keeps content), environment (YAML, further settings), grace (s),
replicas (none: something scales it), pause (s that it goes on serving after it was told to end), scratch (of /tmp), unavailable (pods that a roll may take at
once from a StatefulSet).
*/}}
{{- define "artdag.workload" -}}
{{- $root := .root -}}
{{- $spec := .spec -}}
{{- $name := printf "%s-%s" (include "artdag.name" $root) .component -}}
{{- $claim := and .content (eq (include "artdag.volume" .) "claim") -}}
{{- $drain := and .content (eq (include "artdag.complete" $root) "true") | ternary (int $root.Values.content.drainSeconds) 0 -}}
apiVersion: apps/v1
kind: {{ $claim | ternary "StatefulSet" "Deployment" }}
metadata:
  name: {{ $name }}
  labels: {{- include "artdag.labels" . | nindent 4 }}
spec:
  {{- if not (kindIs "invalid" .replicas) }}
  replicas: {{ .replicas }}
  {{- end }}
  {{- if $claim }}
  serviceName: {{ include "artdag.name" $root }}-probes
  podManagementPolicy: Parallel
  updateStrategy:
    type: RollingUpdate
    {{- /* On by default from Kubernetes 1.35 on; before, one pod goes at a time. */}}
    {{- with .unavailable }}
    rollingUpdate: {maxUnavailable: {{ . }}}
    {{- end }}
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain, whenScaled: Retain}
  {{- else }}
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  {{- end }}
  minReadySeconds: 5
  revisionHistoryLimit: 5
  selector:
    matchLabels: {{- include "artdag.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "artdag.selector" . | nindent 8 }}
        artdag-service: {{ .service }}
        {{- if .content }}
        artdag-content: "true"
        {{- end }}
      annotations:
        checksum/config: {{ include "artdag.config" $root | sha256sum }}
    spec:
      serviceAccountName: {{ include "artdag.name" $root }}-{{ .service }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- if $root.Values.userNamespaces }}
      hostUsers: false
      {{- end }}
      {{- with $spec.runtimeClassName }}
      runtimeClassName: {{ . }}
      {{- end }}
      {{- with include "artdag.pullSecrets" $root }}
      {{- . | nindent 6 }}
      {{- end }}
      securityContext: {{- include "artdag.podSecurity" (dict "user" 10001) | nindent 8 }}
      terminationGracePeriodSeconds: {{ add .grace $drain }}
      {{- include "artdag.placement" . | nindent 6 }}
      {{- if .content }}
      initContainers:
        # Serves this pod's content to the others. It starts before the service and ends after it (restartPolicy).
        - name: cache
          {{- include "artdag.container" (dict "root" $root "service" "cache") | nindent 10 }}
          restartPolicy: Always
          env:
            {{- include "artdag.secrets" (dict "root" $root "service" "node") | nindent 12 }}
            - name: ARTDAG_CACHE_DUTIES
              value: node
            - name: ARTDAG_DRAIN_SECONDS
              value: {{ $drain | quote }}
            - name: ARTDAG_PROBE_PORT
              value: "9101"
            {{- include "artdag.contentUrl" $root | nindent 12 }}
          ports:
            - {name: content, containerPort: 8200}
            - {name: cache-probes, containerPort: 9101}
          {{- include "artdag.probes" "cache-probes" | nindent 10 }}
          resources: {{- toYaml $root.Values.content.resources | nindent 12 }}
          volumeMounts:
            - {name: content, mountPath: /data}
            - {name: tmp-cache, mountPath: /tmp}
      {{- end }}
      containers:
        - name: {{ .service }}
          {{- include "artdag.container" . | nindent 10 }}
          env:
            {{- include "artdag.secrets" . | nindent 12 }}
            - name: ARTDAG_PROBE_PORT
              value: "9100"
            {{- with .environment }}
            {{- . | nindent 12 }}
            {{- end }}
          ports:
            {{- if eq .service "gateway" }}
            - {name: http, containerPort: 8000}
            {{- end }}
            {{- if eq .service "cache" }}
            - {name: content, containerPort: 8200}
            {{- end }}
            - {name: probes, containerPort: 9100}
          {{- include "artdag.probes" "probes" | nindent 10 }}
          {{- with .pause }}
          # Whoever balances goes on sending for a moment after the pod is told to end.
          lifecycle: {preStop: {sleep: {seconds: {{ . }}}}}
          {{- end }}
          resources: {{- toYaml $spec.resources | nindent 12 }}
          volumeMounts:
            {{- if or .content (eq .service "cache") }}
            - {name: content, mountPath: /data}
            {{- end }}
            - {name: tmp, mountPath: /tmp}
      volumes:
        {{- if .scratch }}
        - name: tmp
          emptyDir: {sizeLimit: {{ .scratch }}}
        {{- else }}
        - name: tmp
          emptyDir: {medium: Memory, sizeLimit: 64Mi}
        {{- end }}
        {{- if .content }}
        - name: tmp-cache
          emptyDir: {medium: Memory, sizeLimit: 64Mi}
        {{- end }}
        {{- if and .content (not $claim) }}
        - name: content
          emptyDir: {sizeLimit: {{ $root.Values.content.size }}}
        {{- end }}
        {{- if eq .service "cache" }}
        - name: content
          emptyDir: {sizeLimit: {{ $spec.scratch }}}
        {{- end }}
  {{- if $claim }}
  volumeClaimTemplates:
    - metadata:
        name: content
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $root.Values.content.storageClass }}
        storageClassName: {{ . }}
        {{- end }}
        resources: {requests: {storage: {{ $root.Values.content.size }}}}
  {{- end }}
{{- end }}

{{/* Address at which the other nodes reach the content of this pod. */}}
{{- define "artdag.contentUrl" -}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: ARTDAG_CONTENT_URL
  value: {{ .Values.ipv6 | ternary "http://[$(POD_IP)]:8200" "http://$(POD_IP):8200" | quote }}
{{- end }}

{{/* Settings of all services that are no secrets. */}}
{{- define "artdag.config" -}}
{{- $own := dict
  "ARTDAG_LOG_FORMAT" "json"
  "ARTDAG_PROBE_HOST" (include "artdag.anyAddress" .)
  "ARTDAG_CONTENT_HOST" (include "artdag.anyAddress" .)
  "ARTDAG_CONTENT_PORT" "8200"
  "CACHE_DIR" "/data/cache"
  "HOST" (include "artdag.anyAddress" .)
  "PORT" "8000"
  "L1_PUBLIC_URL" (include "artdag.publicUrl" .) -}}
{{- if .Values.l2.server }}{{ $_ := set $own "L2_SERVER" .Values.l2.server }}{{ end -}}
{{- if .Values.l2.domain }}{{ $_ := set $own "L2_DOMAIN" .Values.l2.domain }}{{ end -}}
{{- if .Values.ipfs.api }}{{ $_ := set $own "IPFS_API" .Values.ipfs.api }}{{ end -}}
{{- if .Values.ipfs.primary }}{{ $_ := set $own "IPFS_PRIMARY" "true" }}{{ end -}}
{{- if .Values.content.limit }}{{ $_ := set $own "ARTDAG_CACHE_LIMIT" (int64 .Values.content.limit | toString) }}{{ end -}}
{{- if gt (int .Values.nats.replicas) 1 }}{{ $_ := set $own "ARTDAG_NATS_REPLICAS" (toString .Values.nats.replicas) }}{{ end -}}
{{- if .Values.ingress.proxies }}{{ $_ := set $own "ARTDAG_TRUSTED_PROXIES" (join "," .Values.ingress.proxies) }}{{ end -}}
{{- if .Values.tracing.endpoint }}{{ $_ := set $own "OTEL_EXPORTER_OTLP_ENDPOINT" .Values.tracing.endpoint }}{{ end -}}
{{- range $name, $value := .Values.config }}{{ $_ := set $own $name (kindIs "float64" $value | ternary (toJson $value) (toString $value)) }}{{ end -}}
{{- range $name, $value := $own }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}
