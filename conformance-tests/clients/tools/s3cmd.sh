#!/usr/bin/env bash
# s3cmd: objects by the gateway's keys, in parts, copied, synced, and its presigned URLs.
source "$(dirname "$0")/modes.sh"
s3cmd() {
    local secure=(--no-ssl)
    if [ "${CLIENT_CA-}" ]; then secure=(--ssl --ca-certs="$CLIENT_CA"); fi
    command s3cmd --config=/dev/null --access_key="$AWS_ACCESS_KEY_ID" --secret_key="$AWS_SECRET_ACCESS_KEY" --host="$host" \
        --host-bucket="$host/%(bucket)" --region="$AWS_REGION" --no-progress --multipart-chunk-size-mb=5 "${secure[@]}" "$@"
}
at=s3://$CLIENT_BUCKET
kms=(--server-side-encryption --server-side-encryption-kms-id="$CLIENT_KMS_KEY")

put_s3() {
    s3cmd put --server-side-encryption --add-header=x-amz-meta-written-by:s3cmd small "$at/sse-s3"
    s3cmd get --force "$at/sse-s3" got
    same got small
    encrypted sse-s3 sse-s3
    equal "$(told sse-s3 x-amz-meta-written-by)" s3cmd
}

put_kms() {
    s3cmd put "${kms[@]}" small "$at/sse-kms"
    s3cmd get --force "$at/sse-kms" got
    same got small
    encrypted sse-kms sse-kms
}

multipart() {
    s3cmd put large "$at/multipart sse-s3"
    s3cmd put "${kms[@]}" large "$at/multipart sse-kms"
    local name
    for name in sse-s3 sse-kms; do
        s3cmd get --force "$at/multipart $name" got
        same got large
        encrypted "multipart $name" $name
    done
}

# A download that goes on where it ended.
ranged() {
    head -c 7000000 large >half
    s3cmd get --continue "$at/multipart sse-s3" half
    same half large
}

copied() {
    s3cmd cp "${kms[@]}" "$at/sse-s3" "$at/copied ü+"
    encrypted "copied ü+" sse-kms
    s3cmd cp "$at/multipart sse-kms" "$at/copied in parts"
    s3cmd get --force "$at/copied in parts" got
    same got large
    s3cmd mv "$at/copied ü+" "$at/moved"
    s3cmd get --force "$at/moved" got
    same got small
    equal "$(told "copied ü+" status)" 404
    s3cmd modify --add-header=x-amz-meta-changed:yes "$at/sse-s3"
    equal "$(told sse-s3 x-amz-meta-changed)" yes
}

presigned() {
    curl -fsS ${CLIENT_CA:+--cacert "$CLIENT_CA"} "$(s3cmd signurl "$at/sse-s3" +60)" -o got
    same got small
}

work() {
    make_tree
    local own=s3://$CLIENT_BUCKET-tree
    s3cmd mb "$own"
    s3cmd sync tree/ "$own/tree/"
    rm "tree/a b/1" && echo changed >"tree/a b/2"
    s3cmd sync --delete-removed tree/ "$own/tree/"
    mkdir back
    s3cmd sync "$own/tree/" back/
    diff -r tree back
    equal "$(s3cmd ls -r "$own" | wc -l)" 42
    s3cmd info "$own" && s3cmd du "$own"
    s3cmd setlifecycle /dev/stdin "$own" <<<'<LifecycleConfiguration><Rule><ID>a</ID><Filter><Prefix>x</Prefix></Filter><Status>Enabled</Status><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>'
    s3cmd getlifecycle "$own"
    s3cmd del -r --force "$own"
    s3cmd rb "$own"
}

mode sse-s3 put_s3
mode sse-kms put_kms
mode multipart multipart
mode range ranged
mode copy copied
mode presign presigned
mode work work
