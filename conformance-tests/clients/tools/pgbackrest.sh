#!/usr/bin/env bash
# pgBackRest with a PostgreSQL of its own, as a user who may do no more than its manual says: backups, WAL, restores.
source "$(dirname "$0")/modes.sh"
postgresql=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
PATH=$postgresql:$PATH
# A database server does not run as root.
as=()
if [ "$(id -u)" = 0 ]; then as=(setpriv --reuid=postgres --regid=postgres --clear-groups); fi
data=$PWD/postgresql/data socket=$PWD/postgresql

make_user pgbackrest <<POLICY
{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::$CLIENT_BUCKET",
     "Condition": {"StringEquals": {"s3:prefix": ["", "repo"], "s3:delimiter": "/"}}},
    {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::$CLIENT_BUCKET",
     "Condition": {"StringLike": {"s3:prefix": "repo*"}}},
    {"Effect": "Allow", "Action": ["s3:PutObject", "s3:PutObjectTagging", "s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject"],
     "Resource": "arn:aws:s3:::$CLIENT_BUCKET/repo*"},
    {"Effect": "Allow", "Action": ["kms:GenerateDataKey", "kms:Decrypt"], "Resource": "$CLIENT_KMS_KEY"}]}
POLICY

pgbackrest() { "${as[@]}" pgbackrest --config="$socket/pgbackrest.conf" --stanza=main "$@"; }
sql() { "${as[@]}" psql -h "$socket" -p 5999 -d postgres -qAt -v ON_ERROR_STOP=1 -c "$1"; }
start() { "${as[@]}" pg_ctl -D "$data" -w -l "$socket/log" start; }
# Until recovery is over, questions are answered from what is there so far.
started() {
    start
    local tries
    for tries in {1..60}; do
        if [ "$(sql 'select pg_is_in_recovery()')" = f ]; then return; fi
        sleep 0.5
    done
    fail "recovery does not end"
}
stop() { "${as[@]}" pg_ctl -D "$data" -w -m fast stop; }
trap 'if [ -e "$data/postmaster.pid" ]; then stop >>log 2>&1; fi' EXIT

# A server whose WAL goes to the repository at this path, with these lines of configuration more.
prepare() {
    if [ -e "$data/postmaster.pid" ]; then stop; fi
    rm -rf postgresql
    mkdir postgresql
    local file
    for file in archive spool lock; do mkdir "postgresql/$file"; done
    cat >postgresql/pgbackrest.conf <<CONF
[global]
repo1-type=s3
repo1-path=/$1
repo1-s3-bucket=$CLIENT_BUCKET
repo1-s3-endpoint=localhost
repo1-storage-port=${host##*:}
repo1-storage-ca-file=$socket/ca.pem
repo1-s3-region=$AWS_REGION
repo1-s3-uri-style=path
repo1-s3-key=$access_key
repo1-s3-key-secret=$secret_key
repo1-retention-full=1
repo1-bundle=y
log-path=$socket
spool-path=$socket/spool
lock-path=$socket/lock
process-max=2
io-timeout=20
archive-timeout=30
start-fast=y
$2
[main]
pg1-path=$data
pg1-port=5999
pg1-socket-path=$socket
CONF
    cp "$CLIENT_CA" postgresql/ca.pem
    if [ "${as[*]}" ]; then chown -R postgres:postgres postgresql; fi
    "${as[@]}" initdb -D "$data" -A trust --no-sync
    cat >>"$data/postgresql.conf" <<CONF
port = 5999
listen_addresses = ''
unix_socket_directories = '$socket'
fsync = off
archive_mode = on
archive_command = 'pgbackrest --config=$socket/pgbackrest.conf --stanza=main archive-push %p'
CONF
    start
    pgbackrest stanza-create
    pgbackrest check
}

# Full and incremental backups, a restore of everything and one of a former point, all of it verified.
backup_and_restore() {
    sql "create table kept as select n, md5(n::text) as text from generate_series(1, 200000) n"
    pgbackrest backup --type=full
    sql "insert into kept select n, 'more' from generate_series(200001, 210000) n"
    sql "select pg_create_restore_point('before'), pg_switch_wal()"
    pgbackrest backup --type=incr
    sql "drop table kept; create table later as select 1"
    sql "select pg_switch_wal()"
    pgbackrest verify
    stop
    find "$data" -mindepth 1 -delete
    pgbackrest restore
    started
    equal "$(sql 'select count(*) from later')" 1
    stop
    pgbackrest restore --delta --set="$(pgbackrest info --output=json | grep -o '"label":"[0-9-]*F"' | cut -d'"' -f4)" --type=name \
        --target=before --target-action=promote
    started
    equal "$(sql 'select count(*), max(n) from kept')" "210000|210000"
    # A second full backup makes the first expire.
    pgbackrest backup --type=full
    equal "$(pgbackrest info --output=json | grep -o '"label":"[0-9-]*F"' | wc -l)" 1
    stop
    rm -r postgresql
}

by_s3() {
    prepare repo ""
    encrypted repo/backup/main/backup.info sse-s3
    backup_and_restore
}

by_kms() {
    prepare repo-kms "repo1-s3-kms-key-id=$CLIENT_KMS_KEY"
    encrypted repo-kms/backup/main/backup.info sse-kms
    backup_and_restore
}

mode work by_s3
mode sse-kms by_kms
