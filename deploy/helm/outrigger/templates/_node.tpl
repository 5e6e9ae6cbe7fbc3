{{/*
What a chart puts into its pods: `outrigger.container` into initContainers, `outrigger.volumes` into volumes,
`outrigger.labels` and `outrigger.annotations` into the pod's metadata, `outrigger.podSecurity` into its securityContext;
`outrigger.env` and `outrigger.mounts` into the container of the application. Each takes the root context.
*/}}

{{- define "outrigger.name" -}}
{{- printf "%s-outrigger" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* What selects the pods that have a node. */}}
{{- define "outrigger.labels" -}}
outrigger-node: {{ include "outrigger.name" . }}
{{- end -}}

{{/* A node reads its configuration once: another one needs another pod. */}}
{{- define "outrigger.annotations" -}}
outrigger/configuration: {{ include "outrigger.configuration" . | sha256sum | trunc 16 }}
{{- end -}}

{{- define "outrigger.podSecurity" -}}
fsGroup: {{ .Values.outrigger.group | int64 }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "outrigger.image" -}}
{{- $image := .Values.outrigger.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default "0.1.0" }}
{{- end -}}
{{- end -}}

{{/* Where the application finds its node. */}}
{{- define "outrigger.env" -}}
- name: OUTRIGGER_SERVER
  value: unix:///run/outrigger/node.sock
{{- end -}}

{{- define "outrigger.mounts" -}}
- name: outrigger-run
  mountPath: /run/outrigger
{{- end -}}

{{/* An `emptyDir` is space of the machine: a pod that asks for it is put where it is, and is not the first to be evicted. */}}
{{- define "outrigger.resources" -}}
{{- $resources := deepCopy .Values.outrigger.resources -}}
{{- if eq .Values.outrigger.data.kind "emptyDir" -}}
{{- $requests := $resources.requests | default dict -}}
{{- if not (hasKey $requests "ephemeral-storage") -}}
{{- $_ := set $resources "requests" (set $requests "ephemeral-storage" .Values.outrigger.data.size) -}}
{{- end -}}
{{- end -}}
{{ toYaml $resources }}
{{- end -}}

{{/* A native sidecar: it starts before the application, and is told to stop when that has ended. */}}
{{- define "outrigger.container" -}}
{{- $node := .Values.outrigger -}}
- name: outrigger
  image: {{ include "outrigger.image" . }}
  imagePullPolicy: {{ $node.image.pullPolicy }}
  restartPolicy: Always
  args: ["serve", "--config", "/etc/outrigger/outrigger.toml"]
  {{- if $node.kafkaSecret.name }}
  env:
    - name: OUTRIGGER_KAFKA
      valueFrom:
        secretKeyRef:
          name: {{ $node.kafkaSecret.name }}
          key: {{ $node.kafkaSecret.key }}
  {{- end }}
  ports:
    - name: outrigger
      containerPort: 7401
    {{- if $node.peers.enabled }}
    - name: outrigger-peer
      containerPort: 7402
    {{- end }}
  {{- include "outrigger.probes" . | nindent 2 }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    readOnlyRootFilesystem: true
    allowPrivilegeEscalation: false
    capabilities:
      drop: ["ALL"]
    seccompProfile:
      type: RuntimeDefault
  resources:
    {{- toYaml (fromYaml (include "outrigger.resources" .)) | nindent 4 }}
  volumeMounts:
    - name: outrigger-config
      mountPath: /etc/outrigger
      readOnly: true
    - name: outrigger-run
      mountPath: /run/outrigger
    - name: outrigger-data
      mountPath: /var/lib/outrigger
    {{- if and $node.peers.enabled $node.peers.tlsSecret }}
    - name: outrigger-tls
      mountPath: /run/secrets/outrigger-tls
      readOnly: true
    {{- end }}
    {{- if and $node.peers.enabled $node.peers.secret.name }}
    - name: outrigger-peer-secret
      mountPath: /run/secrets/outrigger-peers
      readOnly: true
    {{- end }}
    {{- with $node.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/*
The kubelet asks nothing else before the startup probe has passed, and restarts a node for which it waits too long: it
has to wait longer than the longest restore, where it asks for the end of that. Its gRPC probes know no TLS, and reach no socket.
*/}}
{{- define "outrigger.probes" -}}
startupProbe:
  httpGet:
    path: /{{ .Values.outrigger.startWhen }}
    port: outrigger
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: {{ eq .Values.outrigger.startWhen "live" | ternary 150 (mul .Values.outrigger.restoreHoursMax 1800) }}
readinessProbe:
  httpGet:
    path: /ready
    port: outrigger
  periodSeconds: 2
  timeoutSeconds: 5
livenessProbe:
  httpGet:
    path: /live
    port: outrigger
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- end -}}

{{/* Of a StatefulSet with `data.kind: claim` the volume of the data is its claim's (`outrigger.claim`). */}}
{{- define "outrigger.volumes" -}}
{{- $node := .Values.outrigger -}}
- name: outrigger-config
  configMap:
    name: {{ include "outrigger.name" . }}
- name: outrigger-run
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
{{- if eq $node.data.kind "emptyDir" }}
- name: outrigger-data
  emptyDir:
    sizeLimit: {{ $node.data.size }}
{{- end }}
{{- if and $node.peers.enabled $node.peers.tlsSecret }}
- name: outrigger-tls
  secret:
    secretName: {{ $node.peers.tlsSecret }}
    defaultMode: 0440
{{- end }}
{{- if and $node.peers.enabled $node.peers.secret.name }}
- name: outrigger-peer-secret
  secret:
    secretName: {{ $node.peers.secret.name }}
    defaultMode: 0440
{{- end }}
{{- with $node.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* For volumeClaimTemplates. */}}
{{- define "outrigger.claim" -}}
- metadata:
    name: outrigger-data
  spec:
    accessModes: ["ReadWriteOnce"]
    {{- with .Values.outrigger.data.storageClass }}
    storageClassName: {{ . }}
    {{- end }}
    resources:
      requests:
        storage: {{ .Values.outrigger.data.size }}
{{- end -}}
