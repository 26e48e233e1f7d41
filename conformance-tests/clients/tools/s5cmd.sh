#!/usr/bin/env bash
# s5cmd: objects by the gateway's keys, in parts, copied, synced.
source "$(dirname "$0")/modes.sh"
s5cmd() { "$CLIENT_HOME/bin/s5cmd" --endpoint-url "$AWS_ENDPOINT_URL" --retry-count 0 "$@"; }
at=s3://$CLIENT_BUCKET
kms=(--sse aws:kms --sse-kms-key-id "$CLIENT_KMS_KEY")

put_s3() {
    s5cmd cp --sse AES256 small "$at/sse-s3"
    s5cmd cp "$at/sse-s3" got
    same got small
    encrypted sse-s3 sse-s3
}

put_kms() {
    s5cmd cp "${kms[@]}" small "$at/sse-kms"
    s5cmd cat "$at/sse-kms" >got
    same got small
    encrypted sse-kms sse-kms
}

# Parts up, and ranges at once down.
multipart() {
    s5cmd cp --part-size 5 "${kms[@]}" large "$at/multipart"
    s5cmd cp --part-size 5 "$at/multipart" got
    same got large
    encrypted multipart sse-kms
}

copied() {
    s5cmd cp "${kms[@]}" "$at/sse-s3" "$at/copied"
    encrypted copied sse-kms
    s5cmd mv "$at/copied" "$at/moved"
    s5cmd cat "$at/moved" >got
    same got small
}

presigned() {
    curl -fsS "$(s5cmd presign --expire 1m "$at/sse-s3")" -o got
    same got small
}

work() {
    make_tree
    local own=$at-tree
    s5cmd mb "$own"
    s5cmd sync tree/ "$own/tree/"
    rm "tree/a b/1" && echo changed >"tree/a b/2"
    s5cmd sync --delete tree/ "$own/tree/"
    s5cmd sync "$own/tree/*" back/
    diff -r tree back
    s5cmd rm "$own/*"
    s5cmd rb "$own"
}

mode sse-s3 put_s3
mode sse-kms put_kms
mode multipart multipart
mode copy copied
mode presign presigned
mode work work
