#!/usr/bin/env bash
# Docker's registry, as a user who may do no more than its manual says: a push in two pieces, pulls, a deletion.
source "$(dirname "$0")/modes.sh"
make_user registry <<POLICY
{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads"],
     "Resource": "arn:aws:s3:::$CLIENT_BUCKET"},
    {"Effect": "Allow", "Resource": "arn:aws:s3:::$CLIENT_BUCKET/*", "Action": ["s3:PutObject", "s3:GetObject",
     "s3:DeleteObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"]},
    {"Effect": "Allow", "Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": "$CLIENT_KMS_KEY"}]}
POLICY

# Starts one with these lines of configuration more; `registry` is where it listens.
start() {
    local port=$((20000 + RANDOM % 10000))
    registry=http://127.0.0.1:$port
    cat >registry.yml <<CONF
version: 0.1
log: {level: warn}
http: {addr: "127.0.0.1:$port"}
storage:
  delete: {enabled: true}
  redirect: {disable: ${2-false}}
  s3:
    region: $AWS_REGION
    regionendpoint: $AWS_ENDPOINT_URL
    bucket: $CLIENT_BUCKET
    accesskey: $access_key
    secretkey: $secret_key
    secure: false
    rootdirectory: /$1
    chunksize: 5242880
${3-}
CONF
    docker-registry serve registry.yml &
    server=$!
    trap 'kill $server' EXIT
    curl -fsS --retry 30 --retry-connrefused --retry-delay 1 "$registry/v2/" >/dev/null
}

# A blob in two pieces; its digest.
push() {
    local where digest
    digest=sha256:$(sha256sum "$1" | cut -d' ' -f1)
    where=$(curl -fsS -D - -o got -X POST "$registry/v2/image/blobs/uploads/" | tr -d '\r' | sed -n 's/^Location: //p')
    local half=$(($(stat -c %s "$1") / 2)) piece
    for piece in "head -c $half" "tail -c +$((half + 1))"; do
        where=$($piece "$1" | curl -fsS -D - -o got -X PATCH -H 'Content-Type: application/octet-stream' --data-binary @- "$where" |
            tr -d '\r' | sed -n 's/^Location: //p')
    done
    curl -fsS -o got -X PUT "$where&digest=$digest"
    echo "$digest"
}

image() {
    start "$1" "$2" "${3-}"
    local layer config type=application/vnd.docker.distribution.manifest.v2+json
    layer=$(push large)
    config=$(push small)
    cat >manifest <<JSON
{"schemaVersion": 2, "mediaType": "$type",
 "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": $(stat -c %s small), "digest": "$config"},
 "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": $(stat -c %s large), "digest": "$layer"}]}
JSON
    curl -fsS -X PUT -H "Content-Type: $type" --data-binary @manifest "$registry/v2/image/manifests/latest"
    curl -fsS -H "Accept: $type" "$registry/v2/image/manifests/latest" -o got
    same got manifest
    curl -fsSL "$registry/v2/image/blobs/$layer" -o got
    same got large
    curl -fsSL "$registry/v2/image/blobs/$config" -o got
    same got small
    curl -fsS "$registry/v2/image/tags/list" | grep '"latest"'
    encrypted "$1/docker/registry/v2/blobs/sha256/${layer:7:2}/${layer:7}/data" "$4"
    curl -fsS -X DELETE "$registry/v2/image/manifests/sha256:$(sha256sum <manifest | cut -d' ' -f1)"
    refused curl -fsS -H "Accept: $type" "$registry/v2/image/manifests/latest"
}

by_s3() { image by-s3 true "" sse-s3; }
by_kms() {
    image by-kms true "    encrypt: true
    keyid: $CLIENT_KMS_KEY" sse-kms
}
# Pulls are redirected to presigned URLs.
redirected() { image redirected false "" sse-s3; }

mode work by_s3
mode sse-kms by_kms
mode presign redirected
