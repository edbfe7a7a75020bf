{{/* What every container of ours may do: nothing. */}}
{{- define "memsidecar-lib.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/*
The volumes of a container of ours. Takes config, definitions (name of the ConfigMap that the chart makes of
config.definitions) and mode (of the files, octal).

One volume holds all files, so that there is one thing to mount: definitions/, clients/, redis/, temporal/.
*/}}
{{- define "memsidecar-lib.volumesOf" -}}
{{- $config := .config -}}
{{- $files := fromYamlArray (include "memsidecar-lib.files" .) -}}
{{- if and $config.definitions $config.definitionsConfigMap.name -}}
{{- fail "definitions and definitionsConfigMap exclude each other; set one of them" -}}
{{- end }}
- name: memsidecar-tmp
  emptyDir:
    medium: Memory
    sizeLimit: 16Mi
{{- if or $files $config.definitions $config.definitionsConfigMap.name }}
- name: memsidecar-files
  projected:
    defaultMode: {{ .mode }}
    sources:
      {{- if $config.definitions }}
      - configMap:
          name: {{ .definitions | quote }}
          items:
            - key: definitions.yaml
              path: definitions/definitions.yaml
      {{- else if $config.definitionsConfigMap.name }}
      - configMap:
          name: {{ $config.definitionsConfigMap.name | quote }}
          items:
            {{- range $config.definitionsConfigMap.keys }}
            - key: {{ . | quote }}
              path: "definitions/{{ . }}"
            {{- end }}
      {{- end }}
      {{- range $files }}
      - secret:
          name: {{ .secret | quote }}
          items:
            - key: {{ .key | quote }}
              path: {{ .path | quote }}
      {{- end }}
{{- end }}
{{- with $config.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Where a container of ours mounts them. Takes config. */}}
{{- define "memsidecar-lib.mountsOf" -}}
{{- $config := .config -}}
- name: memsidecar-tmp
  mountPath: /tmp
{{- if or (fromYamlArray (include "memsidecar-lib.files" .)) $config.definitions $config.definitionsConfigMap.name }}
- name: memsidecar-files
  mountPath: /etc/memsidecar
  readOnly: true
{{- end }}
{{- with $config.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
The probes of a process that serves. Takes port, its name, and readiness: whether the pod counts as ready only while Redis is there.

They ask the HTTP port on the pod's own address, where a kubelet can reach it; Redis clients are served on loopback only
in a sidecar. Startup waits for Redis, and in a worker for Temporal, for two minutes; afterwards only a process whose
event loop stands still is restarted, because a restart brings neither back.
*/}}
{{- define "memsidecar-lib.probes" -}}
startupProbe:
  httpGet:
    path: /readyz
    port: {{ .port }}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 120
livenessProbe:
  httpGet:
    path: /healthz
    port: {{ .port }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- if .readiness }}
readinessProbe:
  httpGet:
    path: /readyz
    port: {{ .port }}
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}
{{- end -}}
