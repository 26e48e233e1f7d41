//! `sealgate migrate`: from a data folder to servers and back, cut off in the middle, and what changed meanwhile; and a database that was
//! put back to a moment in the past.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use conformance_tests::cluster::{Cluster, SESSIONS};
use conformance_tests::installed::{run_client, run_python};
use conformance_tests::postgres::Postgres;
use conformance_tests::seaweedfs::{BUCKET, Seaweedfs};
use conformance_tests::server::{Server, binary};

fn client(server: &Server, what: &str, state: &Path) {
    let variables = [("MOVE", what.to_owned()), ("STATE", state.display().to_string())];
    run_client(server, "move.py", &variables).unwrap();
}

fn migrate(from: &Path, to: &Path) -> Command {
    let mut command = Command::new(binary().unwrap());
    command.args(["migrate", "--json", "--log", "off", "--config"]).arg(from).arg("--to").arg(to);
    // SeaweedFS takes what anybody signs.
    command.envs([("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any")]);
    command.envs([("SEALGATE_ROOT_ACCESS_KEY_ID", conformance_tests::server::ACCESS_KEY_ID)]);
    command.envs([("SEALGATE_ROOT_SECRET_ACCESS_KEY", conformance_tests::server::SECRET_ACCESS_KEY)]);
    // Those of moves that were killed are ended as soon as those of the gateways here.
    command.envs([("SEALGATE_SESSION_HEARTBEAT_S", "1"), ("SEALGATE_SESSION_TIMEOUT_S", "4")]);
    command
}

fn told(output: &Output) -> serde_json::Value {
    let error = || String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", error()))
}

/// Kills it after each of these times; then lets it come to its end.
fn moved(from: &Path, to: &Path, kills_ms: &[u64]) -> serde_json::Value {
    for &after in kills_ms {
        let mut child = migrate(from, to).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(after));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = migrate(from, to).output().unwrap();
    let told = told(&output);
    assert!(output.status.success(), "{told}");
    told
}

#[test]
fn everything_moves_to_servers_and_back_however_often_it_is_cut_off() {
    if Server::skips("it has servers of its own, and a data folder") {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let state = at("state.json");
    let root_key = cluster.root_key();
    let with_root_key = ["--root-key", root_key.to_str().unwrap()];
    let mut server = Server::start_on(&at("data"), &with_root_key).unwrap();
    client(&server, "fill", &state);
    assert_eq!(server.stop().unwrap(), Some(0));

    let folder = |data: &str| format!("data = {:?}\nroot_key = {root_key:?}\n", at(data));
    let servers = |data: &str| {
        let places = cluster.places();
        let (metadata, blobs) = (places.metadata, places.blobs.unwrap());
        format!("{}metadata = {metadata:?}\nblobs = {blobs:?}\n", folder(data))
    };
    std::fs::write(at("folder.toml"), folder("data")).unwrap();
    std::fs::write(at("servers.toml"), servers("for the move")).unwrap();
    std::fs::write(at("back.toml"), folder("back")).unwrap();
    let first = moved(&at("folder.toml"), &at("servers.toml"), &[150, 400, 700]);
    assert!(first["counts"]["blobs_compared"].as_u64() > Some(150), "{first}");
    let again = migrate(&at("folder.toml"), &at("servers.toml")).output().unwrap();
    assert_eq!(again.status.code(), Some(2), "it may be served by now, and is not written to");

    let mut server = cluster.gateway(&[]).unwrap();
    client(&server, "check", &state);
    // The source may be served while most of it is copied; what changes then is copied in the end.
    let early = migrate(&at("servers.toml"), &at("back.toml")).output().unwrap();
    assert_eq!((early.status.code(), &told(&early)["faults"][0]["kind"]), (Some(1), &"served".into()));
    let refused = Command::new(binary().unwrap())
        .args(["serve", "--listen", "127.0.0.1:0", "--log", "off", "--data"])
        .arg(at("back"))
        .args(with_root_key)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("sealgate migrate"), "{refused:?}");
    client(&server, "change", &state);
    assert_eq!(server.stop().unwrap(), Some(0));
    let last = moved(&at("servers.toml"), &at("back.toml"), &[300]);
    assert!(last["counts"]["blobs_copied"].as_u64() < Some(50), "{last}");
    let mut server = Server::start_on(&at("back"), &with_root_key).unwrap();
    client(&server, "check", &state);
    assert_eq!(server.stop().unwrap(), Some(0));
    let check = Command::new(binary().unwrap())
        .args(["check", "--log", "off", "--data"])
        .arg(at("back"))
        .args(with_root_key)
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

/// The keys of what is in the store of blobs, wherever it is below the prefix, without those that the store was tried with: a run that is
/// cut off leaves one.
fn stored(blobs: &Seaweedfs) -> BTreeSet<String> {
    let listed = format!(
        "import boto3\nfrom botocore.config import Config\n\
         pages = boto3.client('s3').get_paginator('list_objects_v2').paginate(Bucket='{BUCKET}', Prefix='sealgate/')\n\
         print('\\n'.join(each['Key'] for page in pages for each in page.get('Contents', [])))"
    );
    let keys = run_python(&blobs.endpoint(), &listed).unwrap();
    keys.lines().filter(|key| !key.contains("/trial/")).map(str::to_owned).collect()
}

#[test]
fn a_move_of_an_encrypting_gateway_leaves_its_blobs_where_they_are() {
    if Server::skips("it has servers of its own, and a data folder") {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let (places, state) = (cluster.places(), at("state.json"));
    let blobs = places.blobs.clone().unwrap();
    std::fs::write(at("credentials"), "aws_access_key_id = any\naws_secret_access_key = any\n").unwrap();
    let mut server = Server::start_on(
        &at("data"),
        &[
            "--root-key",
            places.root_key.to_str().unwrap(),
            "--blobs",
            &blobs,
            "--blobs-credentials",
            at("credentials").to_str().unwrap(),
        ],
    )
    .unwrap();
    client(&server, "fill", &state);
    assert_eq!(server.stop().unwrap(), Some(0));
    let before = stored(&cluster.blobs);
    assert!(before.len() > 50, "{before:?}");
    let common = format!("root_key = {:?}\nblobs = {blobs:?}\n", places.root_key);
    std::fs::write(at("one.toml"), format!("data = {:?}\n{common}", at("data"))).unwrap();
    let many = format!("data = {:?}\nmetadata = {:?}\n{common}", at("for the move"), places.metadata);
    std::fs::write(at("many.toml"), many).unwrap();
    let told = moved(&at("one.toml"), &at("many.toml"), &[200]);
    assert_eq!(told["counts"]["blobs_copied"], 0, "{told}");
    let changed: Vec<_> = before.symmetric_difference(&stored(&cluster.blobs)).cloned().collect();
    assert!(changed.is_empty(), "{changed:?}: {told}");
    let mut server = cluster.gateway(&[]).unwrap();
    client(&server, "check", &state);
    assert_eq!(server.stop().unwrap(), Some(0));
}

fn s3(server: &Server, script: &str) -> String {
    let script = format!("import boto3\ns3 = boto3.client('s3')\n{script}");
    run_python(&server.endpoint, &script).unwrap()
}

#[test]
fn a_database_put_back_to_a_moment_has_every_object_of_that_moment() {
    if Server::skips("it has servers of its own, and a data folder") {
        return;
    }
    let postgres = Postgres::start(&["archive_mode=on"]).unwrap();
    postgres.archive().unwrap();
    let cluster = Cluster::over(postgres, Seaweedfs::start().unwrap()).unwrap();
    let keeping = ["--blob-retention-s", "3600", "--inline-len", "0", "--reclaim-interval-s", "1"];
    let mut server = cluster.gateway(&keeping).unwrap();
    let fill = "s3.create_bucket(Bucket='bucket')\n\
                for name in ['deleted', 'overwritten', 'kept']: s3.put_object(Bucket='bucket', Key=name, Body=name * 9000)";
    s3(&server, fill);
    let backup = cluster.postgres.base_backup().unwrap();
    s3(&server, "s3.put_object(Bucket='bucket', Key='behind the backup', Body='x' * 9000)");
    let moment = cluster.ask("select now()").unwrap();
    // Longer than what is of a session's last moments.
    std::thread::sleep(Duration::from_secs(7));
    let change = "s3.delete_object(Bucket='bucket', Key='deleted')\n\
                  s3.put_object(Bucket='bucket', Key='overwritten', Body='later')\n\
                  s3.put_object(Bucket='bucket', Key='new', Body='n' * 9000)";
    s3(&server, change);
    // Without the retention they would be freed by now, and not read back.
    std::thread::sleep(Duration::from_secs(20));
    let before = stored(&cluster.blobs);
    server.kill().unwrap();
    cluster.ask("select pg_switch_wal()").unwrap();
    std::thread::sleep(Duration::from_secs(1));
    cluster.postgres.stop().unwrap();

    backup.recover(&cluster.postgres, &moment).unwrap();
    let places = cluster.places_at(backup.port(), cluster.blobs.port());
    let server = cluster.gateway_at(&places, &keeping).unwrap();
    let read = "for name in ['deleted', 'overwritten', 'kept']:\n \
                assert s3.get_object(Bucket='bucket', Key=name)['Body'].read().decode() == name * 9000, name\n\
                assert s3.get_object(Bucket='bucket', Key='behind the backup')['Body'].read() == b'x' * 9000\n\
                print(s3.list_objects_v2(Bucket='bucket')['KeyCount'])";
    assert_eq!(s3(&server, read), "4");
    // The sessions of before end, and what they left is looked at: nothing of it is deleted.
    let timeout: u64 = SESSIONS[3].parse().unwrap();
    std::thread::sleep(Duration::from_secs(timeout * 3));
    assert_eq!(s3(&server, read), "4");
    assert!(
        stored(&cluster.blobs).len() >= before.len(),
        "blobs that are newer than the records were deleted"
    );
}
