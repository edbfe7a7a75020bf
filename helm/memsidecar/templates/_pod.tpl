{{/*
The metadata of the pods of a Deployment. Takes root, component, and values of the component.

The checksums change with the configuration, so that an upgrade that changes it starts new pods.
*/}}
{{- define "memsidecar.podMetadata" -}}
labels:
  {{- include "memsidecar.labels" . | nindent 2 }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  checksum/settings: {{ include "memsidecar-lib.plainSettings" (dict "config" .root.Values) | sha256sum }}
  checksum/definitions: {{ toYaml .root.Values.definitions | sha256sum }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* What the pods of both Deployments, and of the test, have in common. Takes root. */}}
{{- define "memsidecar.podSecurity" -}}
serviceAccountName: {{ include "memsidecar.serviceAccount" .root | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- $always := dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault") }}
  {{- mergeOverwrite (deepCopy .root.Values.podSecurityContext) $always | toYaml | nindent 2 }}
{{- end -}}

{{/* Where pods may run. Takes root, component, values. */}}
{{- define "memsidecar.placement" -}}
topologySpreadConstraints:
  {{- if .values.topologySpreadConstraints }}
  {{- toYaml .values.topologySpreadConstraints | nindent 2 }}
  {{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "memsidecar.selector" . | nindent 8 }}
  {{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* image, settings and secrets of a container of ours. Takes root and values. */}}
{{- define "memsidecar.container" -}}
image: {{ include "memsidecar-lib.image" (dict "root" .root "config" .root.Values) }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- include "memsidecar-lib.containerSecurity" . | nindent 2 }}
resources:
  {{- toYaml .values.resources | nindent 2 }}
envFrom:
  - configMapRef:
      name: {{ include "memsidecar.fullname" .root }}-settings
volumeMounts:
  {{- include "memsidecar-lib.mountsOf" (dict "config" .root.Values) | nindent 2 }}
{{- end -}}

{{/* Secrets and what the user adds. Takes root and values. */}}
{{- define "memsidecar.env" -}}
{{- include "memsidecar-lib.secretEnv" (dict "config" .root.Values) }}
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "memsidecar.volumes" -}}
{{- include "memsidecar-lib.volumesOf" (dict "config" .root.Values "definitions" (printf "%s-definitions" (include "memsidecar.fullname" .root)) "mode" "0440") }}
{{- end -}}
