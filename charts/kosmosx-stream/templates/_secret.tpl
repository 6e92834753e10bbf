{{/* Whether the chart makes the secret itself: "true" or "". */}}
{{- define "kosmosx.ownSecret" -}}
{{- if not (or .Values.secrets.existingSecret .Values.secrets.external.enabled) }}true{{ end -}}
{{- end }}
