{{/* The vLLM servers: where they are, and how they are started. */}}

{{- define "kosmosx.engineUrls" -}}
{{- $name := printf "%s-engine" (include "kosmosx.fullname" .) -}}
{{- if eq .Values.engine.mode "external" -}}
{{ join "," .Values.engine.urls }}
{{- else if eq .Values.engine.mode "raycluster" -}}
http://{{ $name }}-head-svc:8000
{{- else -}}
{{- $urls := list -}}
{{- range $i := until (int .Values.engine.replicas) -}}
{{- $urls = append $urls (printf "http://%s-%d.%s:8000" $name $i $name) -}}
{{- end -}}
{{ join "," $urls }}
{{- end }}
{{- end }}

{{- define "kosmosx.engineImage" -}}
{{- if and (eq .Values.engine.mode "raycluster") .Values.engine.ray.image -}}
{{ .Values.engine.ray.image }}
{{- else if eq .Values.engine.mode "raycluster" -}}
{{ include "kosmosx.image" (list . "gpu") }}
{{- else -}}
{{ include "kosmosx.image" (list . .Values.engine.device) }}
{{- end }}
{{- end }}

{{/* vLLM's server as a shell's words. The bundled checkpoint lies where Python is, which differs. */}}
{{- define "kosmosx.engineCommand" -}}
{{- $gpu := or (eq .Values.engine.device "gpu") (eq .Values.engine.mode "raycluster") -}}
exec python3 -m vllm.entrypoints.launchers.api_server.entry
{{- if .Values.model.checkpoint }}
--model {{ .Values.model.checkpoint | squote }}
{{- else }}
--model "$(python3 -c 'from kosmosx_stream.settings import NANO_CHECKPOINT as c; print(c)')"
{{- end }}
--host 0.0.0.0 --port 8000
--enable-scale-out --enable-prompt-tokens-details
--structured-outputs-config.backend guidance
--disable-uvicorn-access-log
{{- if not .Values.model.checkpoint }}{{/* compiling takes longer than a small model ever saves */}}
--enforce-eager
{{- end }}
{{- with .Values.model.maxLength }}
--max-model-len {{ . }}
{{- end }}
{{- if not $gpu }}
--block-size 32
{{- else if eq .Values.engine.mode "raycluster" }}
--distributed-executor-backend ray
--tensor-parallel-size {{ .Values.engine.gpus }}
--pipeline-parallel-size {{ add1 .Values.engine.ray.workers }}
{{- else if gt (int .Values.engine.gpus) 1 }}
--tensor-parallel-size {{ .Values.engine.gpus }}
{{- end }}
{{- range .Values.engine.extraArgs }}
'{{ . | replace "'" "'\\''" }}'
{{- end }}
{{- end }}

{{- define "kosmosx.engineEnvironment" -}}
{{ include (ternary "kosmosx.fromSecret" "kosmosx.neededFromSecret" (eq .Values.engine.mode "external")) (list . "VLLM_API_KEY" "KOSMOSX_ENGINE_API_KEY") }}
{{ include "kosmosx.fromSecret" (list . "HF_TOKEN" "HF_TOKEN") }}
- name: VLLM_NO_USAGE_STATS
  value: "1"
{{- if and (eq .Values.engine.device "cpu") (eq .Values.engine.mode "deployment") }}
- name: VLLM_CPU_KVCACHE_SPACE
  value: "1"
{{- end }}
{{- end }}

{{- define "kosmosx.engineResources" -}}
{{- $resources := deepCopy .Values.engine.resources -}}
{{- if or (eq .Values.engine.device "gpu") (eq .Values.engine.mode "raycluster") -}}
{{- $limits := merge (dict "nvidia.com/gpu" .Values.engine.gpus) (default dict $resources.limits) -}}
{{- $_ := set $resources "limits" $limits -}}
{{- end -}}
{{ toYaml $resources }}
{{- end }}

{{/* What an engine writes, beside its cache. */}}
{{- define "kosmosx.engineVolumes" -}}
- name: tmp
  emptyDir: {}
- name: data
  emptyDir: {}
- name: shm
  emptyDir: {medium: Memory, sizeLimit: {{ .Values.engine.sharedMemory }}}
{{- if .Values.engine.cache.existingClaim }}
- name: cache
  persistentVolumeClaim: {claimName: {{ .Values.engine.cache.existingClaim }}}
{{- else if eq .Values.engine.mode "raycluster" }}
- name: cache
  emptyDir: {}
{{- end }}
{{- end }}

{{- define "kosmosx.engineMounts" -}}
- {name: cache, mountPath: /cache}
- {name: data, mountPath: /data}
- {name: tmp, mountPath: /tmp}
- {name: shm, mountPath: /dev/shm}
{{- end }}
