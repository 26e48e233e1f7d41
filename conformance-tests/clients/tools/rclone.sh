#!/usr/bin/env bash
# rclone: copies and syncs in every mode of encryption.
source "$(dirname "$0")/modes.sh"
export RCLONE_CONFIG_S3_TYPE=s3 RCLONE_CONFIG_S3_PROVIDER=Other RCLONE_CONFIG_S3_ENV_AUTH=true RCLONE_CONFIG_S3_REGION=$AWS_REGION
export RCLONE_CONFIG_S3_ENDPOINT=$AWS_ENDPOINT_URL RCLONE_CONFIG_S3_FORCE_PATH_STYLE=true RCLONE_S3_CHUNK_SIZE=5Mi
export RCLONE_LOW_LEVEL_RETRIES=1 RCLONE_S3_UPLOAD_CUTOFF=5Mi RCLONE_S3_COPY_CUTOFF=5Mi RCLONE_CA_CERT=${CLIENT_CA-} RCLONE_CONFIG=$PWD/none.conf
at=s3:$CLIENT_BUCKET

# Its transport and the variable for the SDK below it do not go together.
rclone() { env --unset=AWS_CA_BUNDLE rclone --retries 1 "$@"; }

# rclone with the options of a mode of encryption.
with() {
    local options=()
    case $1 in
    sse-s3) options=(--s3-server-side-encryption AES256) ;;
    sse-kms) options=(--s3-server-side-encryption aws:kms --s3-sse-kms-key-id "$CLIENT_KMS_KEY") ;;
    sse-c)
        options=(--s3-sse-customer-algorithm AES256 --s3-sse-customer-key "$customer_text")
        options+=(--s3-sse-customer-key-md5 "$customer_key_md5")
        ;;
    esac
    rclone "${options[@]}" "${@:2}"
}

put() {
    with "$1" copyto small "$at/$1"
    with "$1" copyto "$at/$1" got
    same got small
    encrypted "$1" "$1"
}
put_s3() { put sse-s3; }
put_kms() { put sse-kms; }
put_customer() { put sse-c; }

multipart() {
    local name
    for name in sse-s3 sse-kms sse-c; do
        with $name copyto large "$at/multipart $name"
        with $name copyto "$at/multipart $name" got
        same got large
        encrypted "multipart $name" $name
        # A stream of unknown length.
        with $name rcat "$at/stream $name" <large
        with $name cat "$at/stream $name" >got
        same got large
    done
}

ranged() {
    local name
    for name in sse-s3 sse-kms sse-c; do
        with $name cat --offset 5242000 --count 2000 "$at/multipart $name" >got
        part 5242000 2000 >want
        same got want
    done
}

# Within the server, small and in parts; what asks for the other encryption gets it.
copied() {
    local from to kind
    for from in sse-s3 sse-kms; do
        for to in sse-s3 sse-kms; do
            for kind in "" "multipart "; do
                with $to copyto "$at/$kind$from" "$at/copied/$kind$from to $to"
                with $to cat "$at/copied/$kind$from to $to" >got
                if [ "$kind" ]; then same got large; else same got small; fi
                encrypted "copied/$kind$from to $to" $to
            done
        done
    done
    with sse-c moveto "$at/sse-c" "$at/moved"
    encrypted moved sse-c
}

presigned() {
    curl -fsS ${CLIENT_CA:+--cacert "$CLIENT_CA"} "$(rclone link --expire 1m "$at/sse-s3")" -o got
    same got small
}

work() {
    make_tree
    local own=s3:$CLIENT_BUCKET-tree
    rclone mkdir "$own"
    rclone sync tree "$own/tree"
    rclone check --download tree "$own/tree"
    rm "tree/a b/1" && echo changed >"tree/a b/2"
    rclone sync --checksum tree "$own/tree"
    rclone check tree "$own/tree"
    equal "$(rclone lsf -R --files-only "$own/tree" | wc -l)" 42
    rclone copy "$own/tree" back
    diff -r tree back
    rclone purge "$own"
    refused rclone lsf "$own"
}

mode sse-s3 put_s3
mode sse-kms put_kms
mode sse-c put_customer
mode multipart multipart
mode range ranged
mode copy copied
mode presign presigned
mode work work
