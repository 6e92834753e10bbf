{{/* A node of the Ray cluster: (list . "what its shell runs") */}}
{{- define "kosmosx.rayPod" -}}
{{- $root := index . 0 -}}
{{- with $root -}}
serviceAccountName: {{ include "kosmosx.fullname" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{ include "kosmosx.podSecurity" (list 10001 10001) | nindent 2 }}
{{- include "kosmosx.placement" (list . .Values.engine) }}
containers:
  - name: ray
    image: {{ include "kosmosx.engineImage" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    securityContext: {{ include "kosmosx.containerSecurity" . | nindent 6 }}
    command: [/bin/bash, -c]
    args: [{{ index $ 1 | quote }}]
    env: {{ include "kosmosx.engineEnvironment" . | nindent 6 }}
    ports:
      # KubeRay's service of the head has what is named here.
      - {name: gcs-server, containerPort: 6379, protocol: TCP}
      - {name: http, containerPort: 8000, protocol: TCP}
    resources: {{ include "kosmosx.engineResources" . | nindent 6 }}
    volumeMounts: {{ include "kosmosx.engineMounts" . | nindent 6 }}
volumes: {{ include "kosmosx.engineVolumes" . | nindent 2 }}
{{- end }}
{{- end }}
