{{- define "gramwatt.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* Names of objects leave room for "-dashboard-workload", and hashes of pods, within 63. */ -}}
{{- define "gramwatt.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 44 | trimSuffix "-" -}}
{{- else if contains (include "gramwatt.name" .) .Release.Name -}}
{{- .Release.Name | trunc 44 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "gramwatt.name" .) | trunc 44 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "gramwatt.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "gramwatt.selector" -}}
app.kubernetes.io/name: {{ include "gramwatt.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "gramwatt.labels" -}}
{{ include "gramwatt.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: gramwatt
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "gramwatt.image" -}}
{{- $registry := default .Values.image.registry (default (dict) .Values.global).imageRegistry -}}
{{- $name := .Values.image.repository -}}
{{- if $registry -}}{{- $name = printf "%s/%s" $registry $name -}}{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $name .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "gramwatt.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "gramwatt.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* "true" where a switch of auto, true or false is on: the second argument is an API that auto looks for. */ -}}
{{- define "gramwatt.on" -}}
{{- $switch := index . 0 -}}{{- $root := index . 1 -}}{{- $api := index . 2 -}}
{{- if eq (toString $switch) "auto" -}}
{{- if $root.Capabilities.APIVersions.Has $api -}}true{{- end -}}
{{- else if $switch -}}true{{- end -}}
{{- end -}}

{{- define "gramwatt.relay" -}}
{{- if and .Values.relay.enabled .Values.relay.providers -}}true{{- end -}}
{{- end -}}

{{- /* Zones of the relay, as a JSON list. */ -}}
{{- define "gramwatt.relayZones" -}}
{{- $grid := default (dict) (get (default (dict) .Values.config) "grid") -}}
{{- $zones := .Values.relay.zones -}}
{{- if not $zones -}}{{- $zones = default (list) (get $grid "zones") -}}{{- end -}}
{{- if and (not $zones) (get $grid "zone") -}}{{- $zones = list (get $grid "zone") -}}{{- end -}}
{{- toJson $zones -}}
{{- end -}}

{{- /* What a node reads: the relay goes first among its providers, where the site names none. */ -}}
{{- define "gramwatt.config" -}}
{{- $config := deepCopy (default (dict) .Values.config) -}}
{{- if include "gramwatt.relay" . -}}
{{- $grid := default (dict) (get $config "grid") -}}
{{- /* A node that does not know its zone has nothing to ask about. */ -}}
{{- if and (not (hasKey $grid "providers")) (or (get $grid "zone") (get $grid "cloud") (get $grid "zone_map")) -}}
{{- $url := printf "http://%s-relay.%s.svc:%v" (include "gramwatt.fullname" .) (include "gramwatt.namespace" .) .Values.service.port -}}
{{- $_ := set $grid "providers" (list (dict "type" "relay" "url" $url)) -}}
{{- $_ := set $config "grid" $grid -}}
{{- end -}}
{{- end -}}
{{- include "gramwatt.numbers" $config -}}
{{- end -}}

{{- /* YAML, in which a fraction is a number at the keys that take one: `--set` makes a text of 1.3, and of no integer. */ -}}
{{- define "gramwatt.numbers" -}}
{{- $keys := "pue|pue_fallback|intensity|cpu_watts|dram_watts_per_gib|lifetime_years|gpu_idle_below|ceiling_watts|scale" -}}
{{- regexReplaceAll (printf "(?m)^( *(?:- )?(?:%s)): \"(-?[0-9]+\\.[0-9]+)\"$" $keys) (toYaml .) "${1}: ${2}" -}}
{{- end -}}

{{- define "gramwatt.relayConfig" -}}
{{- $zones := include "gramwatt.relayZones" . | fromJsonArray -}}
{{- $grid := dict "providers" .Values.relay.providers "zones" $zones "zone" (first $zones) -}}
{{- $own := deepCopy (default (dict) .Values.relay.config) -}}
{{- include "gramwatt.numbers" (mergeOverwrite (dict "grid" $grid) $own) -}}
{{- end -}}

{{- define "gramwatt.probes" -}}
{{- $probes := dict "livenessProbe" "/-/healthy" "readinessProbe" "/-/ready" -}}
{{- range $name, $path := $probes }}
{{ $name }}:
  {{- if $.Values.web.existingSecret }}
  tcpSocket: {port: metrics}
  {{- else }}
  httpGet: {path: {{ $path }}, port: metrics}
  {{- end }}
  periodSeconds: 10
  timeoutSeconds: 5
{{- end }}
{{- end -}}
