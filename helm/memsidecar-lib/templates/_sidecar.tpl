{{/*
For your pod's initContainers: memsidecar as a native sidecar. Kubernetes starts it before your containers, waits for its
startup probe, restarts it if it dies, and ends it after them, also in a Job. Takes the root context.
*/}}
{{- define "memsidecar-lib.sidecar" -}}
{{- $config := fromYaml (include "memsidecar-lib.values" .) -}}
{{- $arguments := dict "root" . "config" $config -}}
- name: memsidecar
  image: {{ include "memsidecar-lib.image" $arguments }}
  imagePullPolicy: {{ $config.image.pullPolicy }}
  restartPolicy: Always
  command: [memsidecar, serve]
  env:
    - name: MEMSIDECAR_LISTEN
      value: "127.0.0.1:{{ $config.ports.redis }}"
    - name: MEMSIDECAR_HTTP_LISTEN
      value: "{{ $config.listenHost }}:{{ $config.ports.metrics }}"
    {{- if $config.unixSocket.enabled }}
    - name: MEMSIDECAR_UNIX_SOCKET
      value: /run/memsidecar/memsidecar.sock
    - name: MEMSIDECAR_UNIX_SOCKET_MODE
      value: {{ $config.unixSocket.mode | quote }}
    {{- end }}
    {{- range $name, $value := fromYaml (include "memsidecar-lib.plainSettings" $arguments) }}
    - name: {{ $name }}
      value: {{ $value | quote }}
    {{- end }}
    {{- include "memsidecar-lib.secretEnv" $arguments | nindent 4 }}
    {{- with $config.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - name: {{ include "memsidecar-lib.metricsPort" . }}
      containerPort: {{ $config.ports.metrics }}
  {{- include "memsidecar-lib.probes" (dict "port" (include "memsidecar-lib.metricsPort" .) "readiness" $config.readiness) | nindent 2 }}
  resources:
    {{- toYaml $config.resources | nindent 4 }}
  securityContext:
    {{- include "memsidecar-lib.containerSecurity" . | nindent 4 }}
    {{- with $config.runAsUser }}
    runAsUser: {{ . | toJson }}
    {{- end }}
  volumeMounts:
    {{- include "memsidecar-lib.mountsOf" $arguments | nindent 4 }}
    {{- if $config.unixSocket.enabled }}
    {{- include "memsidecar-lib.socketMount" . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Name of the sidecar's port for /metrics and the probes: your own containers may have one called metrics. */}}
{{- define "memsidecar-lib.metricsPort" -}}
mem-metrics
{{- end -}}

{{/* For your pod's volumes: what the sidecar mounts. Takes the root context. */}}
{{- define "memsidecar-lib.volumes" -}}
{{- $config := fromYaml (include "memsidecar-lib.values" .) -}}
{{- /* 0444: the files are mounted into the sidecar only, and your pod's fsGroup is your own to choose. */ -}}
{{- include "memsidecar-lib.volumesOf" (dict "config" $config "definitions" (include "memsidecar-lib.definitionsName" .) "mode" "0444") | trim }}
{{- if $config.unixSocket.enabled }}
- name: memsidecar-socket
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
{{- end }}
{{- end -}}

{{/* For the volumeMounts of a container of yours that uses the Unix socket, /run/memsidecar/memsidecar.sock. */}}
{{- define "memsidecar-lib.socketMount" -}}
- name: memsidecar-socket
  mountPath: /run/memsidecar
{{- end -}}

{{/*
For the env of a container of yours: REDIS_URL, which leads through the sidecar, without a password. Takes the root
context.
*/}}
{{- define "memsidecar-lib.agentEnv" -}}
{{- $config := fromYaml (include "memsidecar-lib.values" .) -}}
- name: REDIS_URL
  value: "redis://127.0.0.1:{{ $config.ports.redis }}/0"
{{- end -}}

{{/* For your pod's labels: by them the PodMonitor finds the sidecars. */}}
{{- define "memsidecar-lib.podLabels" -}}
memsidecar/sidecar: "true"
{{- end -}}

{{/* For your pod's annotations: they change with the definitions, so that a new release of yours starts new pods. */}}
{{- define "memsidecar-lib.podAnnotations" -}}
{{- $config := fromYaml (include "memsidecar-lib.values" .) -}}
checksum/memsidecar: {{ toYaml $config.definitions | sha256sum }}
{{- end -}}

{{- define "memsidecar-lib.definitionsName" -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}-memsidecar-definitions
{{- end -}}

{{/* Objects of their own, for one template file of your chart: the definitions, and a PodMonitor. Takes the root context. */}}
{{- define "memsidecar-lib.objects" -}}
{{- $config := fromYaml (include "memsidecar-lib.values" .) -}}
{{- if $config.definitions }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "memsidecar-lib.definitionsName" . }}
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "memsidecar-lib.objectLabels" . | nindent 4 }}
data:
  definitions.yaml: |
    {{- toYaml $config.definitions | nindent 4 }}
{{- end }}
{{- if $config.podMonitor.enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}-memsidecar
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "memsidecar-lib.objectLabels" . | nindent 4 }}
    {{- with $config.podMonitor.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "memsidecar-lib.podLabels" . | nindent 6 }}
      app.kubernetes.io/instance: {{ .Release.Name | quote }}
  podMetricsEndpoints:
    - port: {{ include "memsidecar-lib.metricsPort" . }}
      path: /metrics
      interval: {{ $config.podMonitor.interval }}
{{- end }}
{{- end -}}

{{- define "memsidecar-lib.objectLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: memsidecar
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}
