{{- define "weft.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/*
The prefix of all names. A component's name is appended, so it is shorter than the 63 characters of a name; a Service's name begins with a
letter (RFC 1035).
*/}}
{{- define "weft.fullname" -}}
{{- $name := "" -}}
{{- if .Values.fullnameOverride -}}
{{- $name = .Values.fullnameOverride | toString -}}
{{- else if contains (include "weft.name" .) .Release.Name -}}
{{- $name = .Release.Name -}}
{{- else -}}
{{- $name = printf "%s-%s" (.Release.Name | trunc 30 | trimSuffix "-") (include "weft.name" . | trunc 30 | trimSuffix "-") -}}
{{- end -}}
{{- if not (regexMatch "^[a-z]" $name) -}}
{{- $name = printf "w-%s" $name -}}
{{- end -}}
{{- $name | trunc 35 | trimSuffix "-" -}}
{{- end -}}

{{/* The labels that selectors use: (dict "root" $ "component" "auth"). */}}
{{- define "weft.selector" -}}
app.kubernetes.io/name: {{ include "weft.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- with .component }}
app.kubernetes.io/component: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "weft.labels" -}}
{{ include "weft.selector" . }}
app.kubernetes.io/part-of: weft
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | quote }}
{{- end -}}

{{- define "weft.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "weft.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "weft.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "weft.secret.natsKeys" -}}
{{- default (printf "%s-nats-keys" (include "weft.fullname" .)) .Values.secrets.natsKeys -}}
{{- end -}}
{{- define "weft.secret.natsServer" -}}
{{- /* Each version has its own: a new pod waits for it, and never reads the files of an older one. */ -}}
{{- default (printf "%s-nats-%s" (include "weft.fullname" .) (include "weft.image" . | sha256sum | trunc 8)) .Values.secrets.natsServer -}}
{{- end -}}
{{- define "weft.secret.keysets" -}}
{{- default (printf "%s-keysets" (include "weft.fullname" .)) .Values.secrets.keysets -}}
{{- end -}}

{{- define "weft.natsURL" -}}
{{- if .Values.nats.enabled -}}
{{- $name := printf "%s-nats" (include "weft.fullname" .) -}}
{{- $urls := list -}}
{{- range $i := until (int .Values.nats.replicas) -}}
{{- $urls = append $urls (printf "nats://%s-%d.%s-headless:4222" $name $i $name) -}}
{{- end -}}
{{- join "," $urls -}}
{{- else -}}
{{- required "nats.url is needed where nats.enabled is false" .Values.nats.url -}}
{{- end -}}
{{- end -}}

{{/* The settings as a file, with those that the chart decides. */}}
{{- define "weft.settings" -}}
{{- $settings := deepCopy .Values.settings -}}
{{- if eq .Values.mode "split" -}}
{{- $nats := dict "url" (include "weft.natsURL" .) "keys" "/nats/keys" -}}
{{- if .Values.nats.enabled -}}{{- $_ := set $nats "replicas" (int .Values.nats.replicas) -}}{{- end -}}
{{- $settings = mergeOverwrite (dict "nats" $nats) $settings -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{/* The container's common part: (dict "root" $). */}}
{{- define "weft.container" -}}
image: {{ include "weft.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- toYaml .root.Values.securityContext | nindent 2 }}
env:
  - name: WEFT_CONFIG
    value: /etc/weft/weft.yaml
  {{- with .root.Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- if or .root.Values.secrets.environment .root.Values.envFrom }}
envFrom:
  {{- with .root.Values.secrets.environment }}
  - secretRef:
      name: {{ . | quote }}
  {{- end }}
  {{- with .root.Values.envFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The pod's common part: (dict "root" $). */}}
{{- define "weft.pod" -}}
serviceAccountName: {{ include "weft.serviceAccountName" .root | quote }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where pods run: (dict "root" $ "component" "auth" "values" …). */}}
{{- define "weft.placement" -}}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .values.topologyKeys }}
topologySpreadConstraints:
  {{- range .values.topologyKeys }}
  - maxSkew: 1
    topologyKey: {{ . | quote }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "weft.selector" (dict "root" $.root "component" $.component) | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The NATS users whose keys a component needs, as items of the Secret: (dict "users" (list "auth")). */}}
{{- define "weft.keyItems" -}}
{{- range .users }}
- key: {{ printf "%s.nk" . }}
  path: {{ printf "keys/%s.nk" . }}
{{- end }}
- key: public.json
  path: keys/public.json
{{- end -}}

{{/* Changes of the settings restart the pods. */}}
{{- define "weft.checksum" -}}
checksum/settings: {{ include "weft.settings" .root | sha256sum }}
{{- end -}}
