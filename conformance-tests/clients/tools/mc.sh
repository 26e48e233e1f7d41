#!/usr/bin/env bash
# mc: objects in every mode of encryption, mirrors, shared links, and what it asks a server about itself.
source "$(dirname "$0")/modes.sh"
mkdir -p .mc/certs/CAs
if [ "${CLIENT_CA-}" ]; then cp "$CLIENT_CA" .mc/certs/CAs/; fi
export MC_HOST_gw=${AWS_ENDPOINT_URL%%://*}://$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY@$host
mc() { "$CLIENT_HOME/bin/mc" --config-dir "$PWD/.mc" --quiet --no-color "$@"; }
at=gw/$CLIENT_BUCKET

# The option of a mode of encryption.
with() {
    case $1 in
    sse-s3) echo "--enc-s3=$at" ;;
    sse-kms) echo "--enc-kms=$at=${CLIENT_KMS_KEY##*/}" ;;
    sse-c) echo "--enc-c=$at=${customer_key%=}" ;;
    esac
}
# What a read says.
reading() { if [ "$1" = sse-c ]; then with sse-c; fi; }

put() {
    mc cp "$(with "$1")" --attr written-by=mc small "$at/$1"
    mc cat $(reading "$1") "$at/$1" >got
    same got small
    encrypted "$1" "$1"
}
put_s3() { put sse-s3; }
put_kms() { put sse-kms; }
put_customer() { put sse-c; }

multipart() {
    head -c 70000000 /dev/zero | openssl enc -aes-256-ctr -pass pass:clients -nosalt -pbkdf2 >long
    local name
    for name in sse-s3 sse-kms sse-c; do
        mc cp "$(with $name)" long "$at/multipart-$name"
        mc cp $(reading $name) "$at/multipart-$name" got
        same got long
        encrypted "multipart-$name" $name
        mc pipe "$(with $name)" "$at/stream-$name" <long
        mc cat $(reading $name) "$at/stream-$name" >got
        same got long
    done
}

ranged() {
    local name
    for name in sse-s3 sse-kms sse-c; do
        mc cat $(reading $name) --offset 16777000 "$at/multipart-$name" >got
        tail -c +16777001 long >want
        same got want
    done
}

copied() {
    mc cp "$(with sse-kms)" "$at/sse-s3" "$at/copied"
    mc cat "$at/copied" >got
    same got small
    encrypted copied sse-kms
    mc mv "$at/copied" "$at/moved"
    mc cat "$at/moved" >got
    same got small
}

presigned() {
    local url
    url=$(mc share download --json "$at/sse-s3" | grep -o '"share":"[^"]*"' | cut -d'"' -f4)
    curl -fsS ${CLIENT_CA:+--cacert "$CLIENT_CA"} "$(printf '%b' "$url")" -o got
    same got small
}

work() {
    make_tree
    local own=$at-tree
    mc mb "$own"
    mc version enable "$own"
    mc mirror tree "$own/tree"
    rm "tree/a b/1" && echo changed >"tree/a b/2"
    mc mirror --overwrite --remove tree "$own/tree"
    mc mirror "$own/tree" back
    diff -r tree back
    equal "$(mc find "$own" --name '*' | wc -l)" 42
    mc tag set "$own/tree/empty" kind=none
    mc tag list "$own/tree/empty" | grep none
    mc du "$own" && mc stat "$own/tree/empty" && mc ls --versions --recursive "$own"
    mc rm --recursive --force --versions "$own"
    mc rb "$own"
    administered
}

# What operators ask: usage, quotas, live requests, metrics.
administered() {
    local own=$at-own told
    mc mb "$own"
    mc admin info gw | tee info
    grep -Eq '[1-9][0-9]* Bucket.*[1-9][0-9]* Object' info
    mc quota set "$own" --size 100KiB
    mc quota info "$own" | grep '100 KiB'
    mc cp small "$own/first"
    refused mc cp small "$own/second"
    mc quota clear "$own"
    mc cp small "$own/second"
    told=$(mc --json quota info "$own")
    refused grep -q '"quota"' <<<"$told"
    # When mc follows is not told: until then requests go by.
    mc --json admin trace gw >trace &
    local follower=$!
    mc admin trace --verbose --all --errors gw >errors &
    local other=$!
    for _ in {1..100}; do
        mc stat "$own/first" >/dev/null
        mc stat "$own/absent" >/dev/null 2>&1 || true
        if grep -q HeadObject trace && grep -q '404' errors; then break; fi
    done
    kill "$follower" "$other"
    grep -q 's3.HeadObject' trace && grep -q '404' errors && refused grep -q '200 OK' errors
    # What is told of requests opens nothing.
    refused grep -Eq 'Signature=[0-9a-f]' trace errors
    mc admin prometheus metrics gw >metrics
    grep -q '^sealgate_build_info' metrics
    mc ready gw
    mc rm --recursive --force "$own"
    mc rb "$own"
}

mode sse-s3 put_s3
mode sse-kms put_kms
mode sse-c put_customer
mode multipart multipart
mode range ranged
mode copy copied
mode presign presigned
mode work work
