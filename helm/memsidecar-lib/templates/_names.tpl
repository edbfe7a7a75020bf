{{/*
The values of memsidecar in a chart that depends on this one: under the dependency's alias `memsidecar`, else under its
name. Takes the root context; returns YAML.
*/}}
{{- define "memsidecar-lib.values" -}}
{{- if hasKey .Subcharts "memsidecar" -}}
{{- toYaml .Values.memsidecar -}}
{{- else if hasKey .Subcharts "memsidecar-lib" -}}
{{- toYaml (index .Values "memsidecar-lib") -}}
{{- else -}}
{{- fail "this chart does not depend on memsidecar-lib under that name, nor under the alias memsidecar; see docs/kubernetes.md" -}}
{{- end -}}
{{- end -}}

{{/* The version of memsidecar that this library was made for. Takes the root context. */}}
{{- define "memsidecar-lib.appVersion" -}}
{{- if hasKey .Subcharts "memsidecar" -}}
{{- .Subcharts.memsidecar.Chart.AppVersion -}}
{{- else -}}
{{- (index .Subcharts "memsidecar-lib").Chart.AppVersion -}}
{{- end -}}
{{- end -}}

{{/* repository:tag, or repository@digest. Takes root and config. */}}
{{- define "memsidecar-lib.image" -}}
{{- $image := .config.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default (include "memsidecar-lib.appVersion" .root)) -}}
{{- end -}}
{{- end -}}
