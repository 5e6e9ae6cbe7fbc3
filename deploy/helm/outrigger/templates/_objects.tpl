{{/*
Objects of their own: `outrigger.configMap`, and `outrigger.service`, the one name that all peers have. Each takes the
root context. `outrigger.configuration` is the file.
*/}}

{{- define "outrigger.configuration" -}}
{{- $node := .Values.outrigger -}}
{{- $peers := $node.peers -}}
{{- if and $peers.enabled (not $peers.tlsSecret) -}}
{{- if not $peers.insecure -}}
{{- fail "outrigger.peers: copies would travel in plain text: name a Secret with certificates in peers.tlsSecret, say peers.insecure: true, or peers.enabled: false" -}}
{{- end -}}
{{- if not $peers.secret.name -}}
{{- fail "outrigger.peers: without TLS only a secret tells nodes from others: name a Secret that holds one in peers.secret.name" -}}
{{- end -}}
{{- end -}}
{{- if and $peers.enabled $node.access -}}
{{- $given := dict -}}
{{- range $node.access -}}
{{- range .may -}}
{{- $_ := set $given . true -}}
{{- end -}}
{{- end -}}
{{- if not $given.peer -}}
{{- fail "outrigger.access: no rule gives `peer`, so no node would take its copy from another: add who: [anyone], may: [peer] (certificate or secret of the nodes decide at their port), or say peers.enabled: false" -}}
{{- end -}}
{{- end -}}
bootstrap = {{ $node.bootstrap | toJson }}
data = "/var/lib/outrigger/data"
socket = "/run/outrigger/node.sock"
socket_mode = "0660"
metrics = "{{ $node.address }}:7401"
{{- range $name, $value := $node.settings }}
{{ $name }} = {{ toJson $value }}
{{- end }}
{{- if $peers.enabled }}
{{- $scheme := ternary "https" "http" (not (empty $peers.tlsSecret)) }}
peer_listen = "{{ $node.address }}:7402"
peers = ["{{ $scheme }}://{{ include "outrigger.name" . }}.{{ .Release.Namespace }}.svc:7402"]
{{- if $peers.tlsSecret }}
tls_certificate = "/run/secrets/outrigger-tls/tls.crt"
tls_key = "/run/secrets/outrigger-tls/tls.key"
peer_ca = "/run/secrets/outrigger-tls/ca.crt"
{{- else }}
insecure = true
{{- end }}
{{- with $peers.secret.name }}
peer_secret_file = "/run/secrets/outrigger-peers/{{ $peers.secret.key }}"
{{- end }}
{{- end }}
{{- with $node.kafka }}

[kafka]
{{- range $name, $value := . }}
{{/* Whole numbers come as floating-point ones, which would be told with an exponent. */ -}}
{{- if kindIs "float64" $value -}}
{{- $value = int64 $value -}}
{{- end }}
{{ toJson $name }} = {{ toJson (toString $value) }}
{{- end }}
{{- end }}
{{- range $node.stores }}

[[store]]
{{- range $name, $value := . }}
{{ $name }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- range $node.access }}

[[access]]
{{- range $name, $value := . }}
{{ $name }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- if and $node.access $node.operator }}

[[access]]
who = ["uid:65532"]
may = {{ toJson $node.operator }}
{{- end }}
{{- end -}}

{{- define "outrigger.configMap" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "outrigger.name" . }}
  labels:
    {{- include "outrigger.labels" . | nindent 4 }}
data:
  outrigger.toml: |
    {{- include "outrigger.configuration" . | nindent 4 }}
{{- end -}}

{{/*
Who has a copy can give it, also while its application is not ready. Ports are numbers here and in policies: not every
network knows the names of ports of init containers.
*/}}
{{- define "outrigger.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "outrigger.name" . }}
  labels:
    {{- include "outrigger.labels" . | nindent 4 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    {{- include "outrigger.labels" . | nindent 4 }}
  ports:
    - name: outrigger-peer
      port: 7402
      targetPort: 7402
{{- end -}}
