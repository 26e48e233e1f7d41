# What the scripts share: contents, comparisons, and the line that each mode ends with.
set -uo pipefail
cd "$CLIENT_WORK"
export HOME=$PWD
host=${AWS_ENDPOINT_URL#*://}
head -c 100003 /dev/urandom >small
head -c $(((12 << 20) + 5)) /dev/urandom >large
# SSE-C's key: as text, and as headers have it and its MD5.
customer_text="a key of thirty-two letters, so."
customer_key=$(printf %s "$customer_text" | base64 -w0)
customer_key_md5=$(printf %s "$customer_text" | openssl md5 -binary | base64 -w0)

# Runs a function; prints how the mode of this name ended, with the last that was told where it failed.
mode() {
    (
        set -e
        "$2"
    ) >log 2>&1
    local code=$?
    if [ "$code" = 0 ]; then
        echo "$1: ok"
    else
        echo "$1: failed: exit code $code: $(tail -n 5 log | tr '\n\r' '  ')"
    fi
}

# The two files are the same.
same() { [ "$(sha256sum <"$1")" = "$(sha256sum <"$2")" ] || fail "$1 is not $2"; }
equal() { [ "$1" = "$2" ] || fail "'$1' is not '$2'"; }
refused() { if "$@"; then fail "not refused: $*"; fi; }
fail() {
    echo "$*"
    return 1
}

# A part of `large`: where it begins, how long it is.
part() { dd if=large iflag=skip_bytes,count_bytes skip="$1" count="$2" status=none; }

# A user that may do what a policy (on standard input) says: its keys are in `access_key` and `secret_key` afterwards.
make_user() {
    local made
    "$CLIENT_AWS" iam create-user --user-name "$1" >/dev/null
    "$CLIENT_AWS" iam put-user-policy --user-name "$1" --policy-name own --policy-document "$(cat)"
    made=$("$CLIENT_AWS" iam create-access-key --user-name "$1" --query 'AccessKey.[AccessKeyId,SecretAccessKey]' --output text)
    read -r access_key secret_key <<<"$made"
}

# A header of the answer when an object is asked for; the status, by the name "status".
told() {
    curl -sS --head --path-as-is ${CLIENT_CA:+--cacert "$CLIENT_CA"} --aws-sigv4 "aws:amz:$AWS_REGION:s3" \
        --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" --header "x-amz-content-sha256: UNSIGNED-PAYLOAD" \
        "$AWS_ENDPOINT_URL/$CLIENT_BUCKET/$(encoded "$1")" | tr -d '\r' | sed -n "s/^HTTP[^ ]* /status: /; s/^$2: //Ip" | cut -d' ' -f1
}

# A key as a path has it.
encoded() {
    local LC_ALL=C at letter
    for ((at = 0; at < ${#1}; at++)); do
        letter=${1:at:1}
        case $letter in
        [a-zA-Z0-9/._~-]) printf %s "$letter" ;;
        *) printf %%%02X "'$letter" ;;
        esac
    done
}

# The object is encrypted so.
encrypted() {
    local sse=x-amz-server-side-encryption
    case $2 in
    sse-s3) equal "$(told "$1" $sse)" AES256 ;;
    sse-kms) equal "$(told "$1" $sse) $(told "$1" $sse-aws-kms-key-id)" "aws:kms $CLIENT_KMS_KEY" ;;
    # Who does not tell the key gets nothing.
    sse-c) equal "$(told "$1" status)" 400 ;;
    esac
}

# A tree of files with names that need encoding, in `tree`.
make_tree() {
    mkdir -p "tree/a b" tree/ü+%
    cp small "tree/a b/small"
    cp large tree/ü+%/large
    : >tree/empty
    local number
    for number in {1..40}; do echo "file $number" >"tree/a b/$number"; done
}
