{{/* The gateway's environment. */}}

{{- define "kosmosx.settings" -}}
{{- $settings := dict
  "KOSMOSX_ENGINE" "remote"
  "KOSMOSX_ENGINE_URLS" (include "kosmosx.engineUrls" .)
  "KOSMOSX_MODEL_NAME" .Values.model.name
  "KOSMOSX_DRAIN_TIMEOUT_S" (toString .Values.drain.longestTurnSeconds)
  "KOSMOSX_MAX_CONNECTIONS_PER_ADDRESS" "0"
  "KOSMOSX_LOG_FORMAT" "json"
  "KOSMOSX_WORKERS" (toString .Values.gateway.workers)
  "KOSMOSX_METRICS_ADDRESS" "0.0.0.0:9464"
-}}
{{- with .Values.model.checkpoint }}{{ $_ := set $settings "KOSMOSX_MODEL" . }}{{ end -}}
{{- with .Values.model.maxLength }}{{ $_ := set $settings "KOSMOSX_MAX_MODEL_LEN" (toString .) }}{{ end -}}
{{- if and (eq .Values.redis.mode "external") .Values.redis.url }}{{ $_ := set $settings "REDIS_URL" .Values.redis.url }}{{ end -}}
{{- with .Values.supabase.url }}
{{- $_ := set $settings "SUPABASE_URL" . }}
{{- /* Every gateway would make an account of its own, and tell its key to the log. */}}
{{- $_ := set $settings "KOSMOSX_FIRST_KEY" "false" }}
{{- end -}}
{{- with .Values.monitoring.otlpEndpoint }}
{{- $_ := set $settings "OTEL_EXPORTER_OTLP_ENDPOINT" . }}
{{- $_ := set $settings "OTEL_SERVICE_NAME" "kosmosx" }}
{{- end -}}
{{ toYaml (merge (deepCopy .Values.gateway.settings) $settings) }}
{{- end }}

{{- define "kosmosx.gatewaySecrets" -}}
{{- if eq .Values.redis.mode "valkey" }}
{{ include "kosmosx.neededFromSecret" (list . "VALKEY_PASSWORD" "VALKEY_PASSWORD") }}
- name: REDIS_URL
  value: redis://:$(VALKEY_PASSWORD)@{{ include "kosmosx.fullname" . }}-valkey:6379/0
{{- else if not .Values.redis.url }}
{{ include "kosmosx.neededFromSecret" (list . "REDIS_URL" "REDIS_URL") }}
{{- end }}
{{- if .Values.supabase.url }}
{{ include "kosmosx.neededFromSecret" (list . "SUPABASE_SERVICE_KEY" "SUPABASE_SERVICE_KEY") }}
{{ include "kosmosx.neededFromSecret" (list . "KOSMOSX_KEY_PEPPER" "KOSMOSX_KEY_PEPPER") }}
{{- else }}
{{ include "kosmosx.fromSecret" (list . "KOSMOSX_KEY_PEPPER" "KOSMOSX_KEY_PEPPER") }}
{{- end }}
{{- range list "KOSMOSX_ENGINE_API_KEY" "STRIPE_API_KEY" "STRIPE_WEBHOOK_SECRET" "HF_TOKEN" }}
{{ include "kosmosx.fromSecret" (list $ . .) }}
{{- end }}
{{- end }}

{{/* preStop, the drain, settling its last turns (5 s), closing connections (5 s), and a margin. */}}
{{- define "kosmosx.gracePeriod" -}}
{{ add .Values.drain.preStopSeconds .Values.drain.longestTurnSeconds 5 5 .Values.drain.marginSeconds }}
{{- end }}
