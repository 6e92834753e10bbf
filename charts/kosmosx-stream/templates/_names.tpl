{{/* Names, labels and images. */}}

{{- define "kosmosx.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "kosmosx.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "kosmosx.name" .) .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (include "kosmosx.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels that select: (list . "gateway") */}}
{{- define "kosmosx.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "kosmosx.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "kosmosx.labels" -}}
{{- $root := index . 0 -}}
{{ include "kosmosx.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{/* The image of a target of the Dockerfile: (list . "gateway") */}}
{{- define "kosmosx.image" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.image -}}
{{ .registry }}/{{ .repository }}:{{ default $root.Chart.AppVersion .tag }}-{{ index $ 1 }}
{{- end }}
{{- end }}

{{- define "kosmosx.secret" -}}
{{ default (include "kosmosx.fullname" .) .Values.secrets.existingSecret }}
{{- end }}

{{/* Whether there can be more than one gateway: "true" or "". */}}
{{- define "kosmosx.several" -}}
{{- if ne .Values.autoscaling.mode "none" -}}
{{- if gt (int .Values.autoscaling.maxReplicas) 1 }}true{{ end -}}
{{- else if gt (int .Values.gateway.replicas) 1 }}true{{ end -}}
{{- end }}
