{{/*
The settings that are no secrets, as a YAML map from variable to text. Takes config.

Numbers go through toJson: what Helm has read from a file is a float, and printed as one 268435456 is 2.68435456e+08.
*/}}
{{- define "memsidecar-lib.plainSettings" -}}
{{- $config := .config -}}
{{- $redis := $config.redis -}}
{{- if and $redis.url $redis.urlSecret.name -}}
{{- fail "redis.url and redis.urlSecret exclude each other; name one of them" -}}
{{- else if contains "@" $redis.url -}}
{{- fail "redis.url has a user or a password in it, and values are no place for one: put the whole URL into a Secret and name that in redis.urlSecret" -}}
{{- else if not (or $redis.url $redis.urlSecret.name) -}}
{{- fail "say where your Redis is: redis.urlSecret.name, a Secret with its URL, or redis.url if it asks for no password" -}}
{{- end -}}
{{- $plain := dict -}}
{{- range $name, $value := $config.settings -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $text := ternary $value (toJson $value) (kindIs "string" $value) -}}
{{- $_ := set $plain (printf "MEMSIDECAR_%s" ($name | snakecase | upper)) $text -}}
{{- end -}}
{{- end -}}
{{- with $redis.url }}{{ $_ := set $plain "MEMSIDECAR_REDIS_URL" . }}{{ end -}}
{{- if or $config.definitions $config.definitionsConfigMap.name -}}
{{- $_ := set $plain "MEMSIDECAR_DEFINITIONS" "/etc/memsidecar/definitions" -}}
{{- end -}}
{{- range $file := fromYamlArray (include "memsidecar-lib.files" .) -}}
{{- $_ := set $plain $file.variable (printf "/etc/memsidecar/%s" $file.path) -}}
{{- end -}}
{{- range $name, $value := $plain }}
{{ $name }}: {{ $value | quote }}
{{- end -}}
{{- end -}}

{{/* The settings that are secrets, as entries of a container's env. Takes config. */}}
{{- define "memsidecar-lib.secretEnv" -}}
{{- $config := .config -}}
{{- range $variable, $secret := dict
    "MEMSIDECAR_REDIS_URL" $config.redis.urlSecret
    "MEMSIDECAR_SENTINEL_PASSWORD" $config.redis.sentinelPasswordSecret
    "MEMSIDECAR_TEMPORAL_API_KEY" $config.temporal.apiKeySecret }}
{{- if $secret.name }}
- name: {{ $variable }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret.name | quote }}
      key: {{ $secret.key | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
The files of TLS: a YAML list of variable, path below /etc/memsidecar, and the Secret and key that hold it. Takes config.
*/}}
{{- define "memsidecar-lib.files" -}}
{{- $config := .config -}}
{{- range $place := list
    (dict "prefix" "" "folder" "clients" "ca" "TLS_CLIENT_CA" "caSecret" ($config.tls | default dict).clientCaSecret "certSecret" ($config.tls | default dict).certSecret)
    (dict "prefix" "REDIS_" "folder" "redis" "ca" "REDIS_TLS_CA" "caSecret" $config.redis.tls.caSecret "certSecret" $config.redis.tls.certSecret)
    (dict "prefix" "TEMPORAL_" "folder" "temporal" "ca" "TEMPORAL_TLS_CA" "caSecret" $config.temporal.tls.caSecret "certSecret" $config.temporal.tls.certSecret) }}
{{- with $place.caSecret }}{{ if .name }}
- {variable: MEMSIDECAR_{{ $place.ca }}, path: {{ $place.folder }}/ca.crt, secret: {{ .name | quote }}, key: {{ .key | quote }}}
{{- end }}{{ end }}
{{- with $place.certSecret }}{{ if .name }}
- {variable: MEMSIDECAR_{{ $place.prefix }}TLS_CERT, path: {{ $place.folder }}/tls.crt, secret: {{ .name | quote }}, key: tls.crt}
- {variable: MEMSIDECAR_{{ $place.prefix }}TLS_KEY, path: {{ $place.folder }}/tls.key, secret: {{ .name | quote }}, key: tls.key}
{{- end }}{{ end }}
{{- end }}
{{- end -}}
