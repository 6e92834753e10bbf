{{/* What pods have in common: the rights of Kubernetes' "restricted" profile, and no more. */}}

{{/* For a pod: (list uid gid) */}}
{{- define "kosmosx.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ index . 0 }}
runAsGroup: {{ index . 1 }}
fsGroup: {{ index . 1 }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "kosmosx.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* An environment variable from the secret, if it is there: (list . "NAME" "KEY") */}}
{{- define "kosmosx.fromSecret" -}}
- name: {{ index . 1 }}
  valueFrom:
    secretKeyRef:
      name: {{ include "kosmosx.secret" (index . 0) }}
      key: {{ index . 2 }}
      optional: true
{{- end }}

{{/* An environment variable from the secret, without which the pod does not start. */}}
{{- define "kosmosx.neededFromSecret" -}}
- name: {{ index . 1 }}
  valueFrom:
    secretKeyRef:
      name: {{ include "kosmosx.secret" (index . 0) }}
      key: {{ index . 2 }}
{{- end }}

{{/* Placement and pulling: (list . .Values.gateway) */}}
{{- define "kosmosx.placement" -}}
{{- with (index . 0).Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with (index . 1).nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with (index . 1).tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}
