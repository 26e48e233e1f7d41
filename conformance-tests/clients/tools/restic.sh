#!/usr/bin/env bash
# restic: a backup, a second one, restored, checked bit by bit and pruned.
source "$(dirname "$0")/modes.sh"
export RESTIC_REPOSITORY=s3:$AWS_ENDPOINT_URL/$CLIENT_BUCKET/backups RESTIC_PASSWORD=clients RESTIC_CACHE_DIR=$PWD/cache
restic() { command restic ${CLIENT_CA:+--cacert "$CLIENT_CA"} "$@"; }

work() {
    make_tree
    restic init
    restic backup tree
    cp -r tree former
    echo changed >"tree/a b/2" && rm tree/ü+%/large
    restic backup tree
    equal "$(restic snapshots --json | grep -o '"short_id"' | wc -l)" 2
    restic check --read-data
    restic restore latest --target latest
    diff -r tree latest/tree
    restic restore "$(restic snapshots --json | grep -o '"short_id":"[0-9a-f]*"' | head -n 1 | cut -d'"' -f4)" --target first
    diff -r former first/tree
    restic forget --keep-last 1 --prune
    restic check --read-data
    restic rebuild-index
    encrypted "backups/config" sse-s3
}

mode work work
