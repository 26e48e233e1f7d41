{{- define "sealgate.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "sealgate.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sealgate.labels" -}}
{{ include "sealgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "sealgate.pod" -}}
metadata:
  labels:
    {{- include "sealgate.labels" . | nindent 4 }}
spec:
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 40
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: sealgate
      image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve]
      env:
        - {name: SEALGATE_LISTEN, value: "0.0.0.0:9000"}
        - {name: SEALGATE_DATA, value: /var/lib/sealgate/data}
        # A file that the pod's group may read: as systemd hands out credentials.
        - {name: CREDENTIALS_DIRECTORY, value: /run/sealgate}
        - {name: SEALGATE_ROOT_KEY, value: "credential:root-key"}
        {{- if .Values.console.enabled }}
        - {name: SEALGATE_CONSOLE_LISTEN, value: "0.0.0.0:9001"}
        - {name: SEALGATE_CONSOLE_ENDPOINT, value: {{ required "give console.endpoint with console.enabled" .Values.console.endpoint | quote }}}
        - {name: SEALGATE_CONSOLE_ORIGINS, value: {{ required "give console.origin with console.enabled" .Values.console.origin | quote }}}
        {{- else }}
        - {name: SEALGATE_CONSOLE_LISTEN, value: "off"}
        {{- end }}
        {{- if .Values.tlsSecret }}
        - {name: SEALGATE_TLS_CERT, value: /run/sealgate-tls/tls.crt}
        - {name: SEALGATE_TLS_KEY, value: /run/sealgate-tls/tls.key}
        {{- end }}
        {{- if .Values.blobs.url }}
        - {name: SEALGATE_BLOBS, value: {{ .Values.blobs.url | quote }}}
        {{- end }}
        {{- if .Values.metadata.enabled }}
        - {name: SEALGATE_REQUIRE_SYNC_STANDBY, value: {{ .Values.metadata.requireSyncStandby | quote }}}
        - {name: SEALGATE_BLOB_RETENTION_S, value: {{ .Values.blobs.retentionSeconds | int64 | quote }}}
        {{- if .Values.metadata.caConfigMap }}
        - {name: SEALGATE_METADATA_CA_FILE, value: /run/sealgate-metadata/ca.crt}
        {{- end }}
        {{- end }}
        {{- range $name, $value := .Values.settings }}
        - {name: {{ $name }}, value: {{ $value | quote }}}
        {{- end }}
        {{- $names := list "SEALGATE_ROOT_ACCESS_KEY_ID" "SEALGATE_ROOT_SECRET_ACCESS_KEY" }}
        {{- if .Values.metadata.enabled }}{{ $names = append $names "SEALGATE_METADATA" }}{{ end }}
        {{- range $names }}
        - name: {{ . }}
          valueFrom: {secretKeyRef: {name: {{ $.Values.existingSecret }}, key: {{ . }}}}
        {{- end }}
        {{- if .Values.blobs.url }}
        # Optional: a store may know the pod by other means.
        {{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
        - name: {{ . }}
          valueFrom: {secretKeyRef: {name: {{ $.Values.existingSecret }}, key: {{ . }}, optional: true}}
        {{- end }}
        {{- end }}
      ports:
        - {name: s3, containerPort: 9000}
        {{- if .Values.console.enabled }}
        - {name: console, containerPort: 9001}
        {{- end }}
      livenessProbe:
        httpGet: {path: /_sealgate/health/live, port: s3{{ if .Values.tlsSecret }}, scheme: HTTPS{{ end }}}
        periodSeconds: 10
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /-/ready, port: s3{{ if .Values.tlsSecret }}, scheme: HTTPS{{ end }}}
        periodSeconds: 2
        failureThreshold: 2
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - {name: data, mountPath: /var/lib/sealgate}
        - {name: root-key, mountPath: /run/sealgate, readOnly: true}
        {{- if .Values.tlsSecret }}
        - {name: tls, mountPath: /run/sealgate-tls, readOnly: true}
        {{- end }}
        {{- if .Values.metadata.caConfigMap }}
        - {name: metadata-ca, mountPath: /run/sealgate-metadata, readOnly: true}
        {{- end }}
  volumes:
    - name: root-key
      secret:
        secretName: {{ .Values.existingSecret }}
        # Readable by the gateway's group alone, which the mount belongs to.
        defaultMode: 0440
        items: [{key: root-key, path: root-key}]
    {{- if .Values.tlsSecret }}
    - name: tls
      secret: {secretName: {{ .Values.tlsSecret }}, defaultMode: 0440}
    {{- end }}
    {{- if .Values.metadata.caConfigMap }}
    - name: metadata-ca
      configMap: {name: {{ .Values.metadata.caConfigMap }}}
    {{- end }}
    {{- if .Values.metadata.enabled }}
    - name: data
      emptyDir: {medium: Memory, sizeLimit: 16Mi}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
