{{/* What no schema can say: values that exclude each other. */}}

{{- define "kosmosx.validate" -}}
{{- if and (include "kosmosx.several" .) (not .Values.supabase.url) }}
{{- fail "supabase.url: expected the URL of a Supabase, since there can be more than one gateway (gateway.replicas, autoscaling): the books of one alone are a SQLite file" }}
{{- end }}
{{- if and (ne .Values.autoscaling.mode "none") (lt (int .Values.autoscaling.maxReplicas) (int .Values.autoscaling.minReplicas)) }}
{{- fail "autoscaling.maxReplicas: expected at least autoscaling.minReplicas" }}
{{- end }}
{{- if and .Values.secrets.existingSecret .Values.secrets.external.enabled }}
{{- fail "secrets: expected existingSecret or external, not both" }}
{{- end }}
{{- if and .Values.secrets.values (or .Values.secrets.existingSecret .Values.secrets.external.enabled) }}
{{- fail "secrets.values: expected only where the chart makes the secret itself" }}
{{- end }}
{{- if and (eq .Values.redis.mode "external") (not .Values.redis.url) (include "kosmosx.ownSecret" .) (not (hasKey .Values.secrets.values "REDIS_URL")) }}
{{- fail "redis: expected redis.url, or REDIS_URL in the secret" }}
{{- end }}
{{- if and .Values.supabase.url (include "kosmosx.ownSecret" .) (not (hasKey .Values.secrets.values "SUPABASE_SERVICE_KEY")) }}
{{- fail "secrets.values.SUPABASE_SERVICE_KEY: expected with supabase.url" }}
{{- end }}
{{- if and .Values.supabase.migrations.enabled (include "kosmosx.ownSecret" .) (not (hasKey .Values.secrets.values "SUPABASE_DB_URL")) }}
{{- fail "secrets.values.SUPABASE_DB_URL: expected with supabase.migrations.enabled" }}
{{- end }}
{{- if and .Values.supabase.url (include "kosmosx.ownSecret" .) (not (hasKey .Values.secrets.values "KOSMOSX_KEY_PEPPER")) }}
{{- fail "secrets.values.KOSMOSX_KEY_PEPPER: expected with supabase.url: all gateways check the same keys" }}
{{- end }}
{{- end }}
