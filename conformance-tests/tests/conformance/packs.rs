//! Small blobs that lie together in objects of an object store: checked, made records of again, moved and swept; and a kill between such
//! an object and the records of its blobs.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use conformance_tests::caller::{Caller, Credentials};
use conformance_tests::cluster::Cluster;
use conformance_tests::installed::run_python;
use conformance_tests::proxy::{Proxy, Way};
use conformance_tests::seaweedfs::{BUCKET, Seaweedfs};
use conformance_tests::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server, binary};
use http::Method;
use serde_json::Value;

use super::several::until;

/// Objects that one gateway writes at a time. Each is longer than what lies in its record.
const COUNT: usize = 120;
const LEN: usize = 5000;

/// The objects of a store that hold blobs: packs, single ones.
fn stored(blobs: &Seaweedfs) -> (usize, usize) {
    let script = format!(
        "import boto3\n\
         pages = boto3.client('s3').get_paginator('list_objects_v2').paginate(Bucket='{BUCKET}', Prefix='sealgate/')\n\
         names = [row['Key'].split('/')[-1] for page in pages for row in page.get('Contents', [])]\n\
         names = [name for name in names if len(name) == 22]\n\
         packs = sum(name.startswith('01') and name.endswith('000000') for name in names)\n\
         print(packs, sum(name.startswith('00') for name in names))"
    );
    let told = run_python(&blobs.endpoint(), &script).unwrap();
    let (packs, alone) = told.split_once(' ').unwrap();
    (packs.parse().unwrap(), alone.parse().unwrap())
}

fn boto(server: &Server, script: &str) -> String {
    let head = format!(
        "import boto3, botocore\nfrom concurrent.futures import ThreadPoolExecutor\n\
         s3 = boto3.client('s3', config=botocore.config.Config(max_pool_connections=32))\n\
         def body(n, round): return f'{{n}} {{round}} '.encode() * {LEN}\n\
         def every(what): list(ThreadPoolExecutor(24).map(what, range({COUNT})))\n"
    );
    run_python(&server.endpoint, &format!("{head}{script}")).unwrap()
}

const FILL: &str = "
s3.create_bucket(Bucket='packed')
every(lambda n: s3.put_object(Bucket='packed', Key=f'{n}', Body=body(n, 0)[:5000]))
every(lambda n: n % 3 or s3.put_object(Bucket='packed', Key=f'{n}', Body=body(n, 1)[:5000]))
every(lambda n: n % 10 or s3.delete_object(Bucket='packed', Key=f'{n}'))
";
/// What is deleted a rebuild may bring back, since its blobs are kept for a while.
const CHECK: &str = "
def check(n):
    if n % 10:
        found = s3.get_object(Bucket='packed', Key=f'{n}')['Body'].read()
        assert found == body(n, int(n % 3 == 0))[:5000], n
every(check)
";

/// A command of the binary with the settings of this file: what it tells as JSON.
fn told(arguments: &[&str], config: &Path) -> Value {
    let mut command = Command::new(binary().unwrap());
    command.args(arguments).args(["--json", "--log", "error", "--config"]).arg(config);
    command.env("SEALGATE_ROOT_ACCESS_KEY_ID", ACCESS_KEY_ID);
    command.env("SEALGATE_ROOT_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
    let output = command.output().unwrap();
    let error = || String::from_utf8_lossy(&output.stderr).into_owned();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", error()));
    assert!(output.status.success(), "{arguments:?}: {told}");
    told
}

#[test]
fn packs_are_checked_rebuilt_moved_and_swept() {
    if Server::skips("it has servers of its own, and a data folder") {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let places = cluster.places();
    let credentials = "aws_access_key_id = any\naws_secret_access_key = any\n";
    std::fs::write(at("credentials"), credentials).unwrap();
    let blobs = format!(
        "blobs = {:?}\nblobs_credentials = {:?}\ninline_len = 0\n",
        places.blobs.as_ref().unwrap(),
        at("credentials")
    );
    let settings = |name: &str, more: &str| {
        let text = format!("data = {:?}\nroot_key = {:?}\n{more}", at(name), places.root_key);
        let file = at(&format!("{name}.toml"));
        std::fs::write(&file, text).unwrap();
        file
    };
    let one = settings("data", &blobs);
    let serve = |config: &Path, name: &str| {
        Server::start_on(&at(name), &["--config", config.to_str().unwrap()]).unwrap()
    };
    let mut server = serve(&one, "data");
    boto(&server, FILL);
    let (packs, alone) = stored(&cluster.blobs);
    assert!(packs > 0 && packs + alone < COUNT, "{packs} packs, {alone} alone");
    boto(&server, CHECK);
    assert_eq!(server.stop().unwrap(), Some(0));
    let checked = told(&["check"], &one);
    assert_eq!(checked["faults"], serde_json::json!([]), "{checked}");

    std::fs::rename(at("data/catalog"), at("catalog.gone")).unwrap();
    told(&["rebuild"], &one);
    let checked = told(&["check"], &one);
    assert_eq!(checked["faults"], serde_json::json!([]), "{checked}");
    let mut server = serve(&one, "data");
    boto(&server, CHECK);
    let swept = server.command(&["sweep"]).unwrap();
    assert!(swept.status.success(), "{}", String::from_utf8_lossy(&swept.stderr));
    boto(&server, CHECK);
    assert_eq!(server.stop().unwrap(), Some(0));

    // To a database: the blobs stay where they are. And back to files of their own.
    let many = settings("state", &format!("metadata = {:?}\n{blobs}", places.metadata));
    let moved = told(&["migrate", "--to", many.to_str().unwrap()], &one);
    assert_eq!(moved["counts"]["blobs_copied"], 0, "{moved}");
    let mut gateway = cluster.gateway(&["--inline-len", "0"]).unwrap();
    boto(&gateway, CHECK);
    assert_eq!(gateway.stop().unwrap(), Some(0));
    let back = settings("back", "");
    let moved = told(&["migrate", "--to", back.to_str().unwrap()], &many);
    assert!(moved["counts"]["blobs_copied"].as_u64() > Some(COUNT as u64 / 2), "{moved}");
    let mut server = serve(&back, "back");
    boto(&server, CHECK);
    assert_eq!(server.stop().unwrap(), Some(0));
    assert_eq!(told(&["check"], &back)["faults"], serde_json::json!([]));
}

async fn put(endpoint: String, name: String) -> (String, bool) {
    let Ok(mut caller) = Caller::open(&endpoint, Credentials::root()).await else { return (name, false) };
    let answer = caller.s3(Method::PUT, &name, &name.repeat(400)).await;
    (name, answer.is_ok_and(|answer| answer.status == 200))
}

/// All of them are killed between the pack and its records, and then a half of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_between_a_pack_and_its_records_loses_and_leaves_nothing() {
    let cluster = Cluster::start().unwrap();
    let proxy = Proxy::start(cluster.postgres.port()).await.unwrap();
    let places = cluster.places_at(proxy.port(), cluster.blobs.port());
    let quick = ["--inline-len", "0", "--reclaim-interval-s", "1"];
    let other = cluster.gateway(&quick).unwrap();
    let mut caller = Caller::open(&other.endpoint, Credentials::root()).await.unwrap();
    caller.s3(Method::PUT, "/packed", "").await.unwrap().success().unwrap();
    for kept in [0, 20] {
        proxy.set(Way::HoldCommit(b"cut-".to_vec()));
        let (held, mut killed) = (proxy.held(), cluster.gateway_at(&places, &quick).unwrap());
        let names =
            (0..40).map(|n| if n < kept { format!("/packed/kept-{n}") } else { format!("/packed/cut-{n}") });
        let puts: Vec<_> = names.map(|name| tokio::spawn(put(killed.endpoint.clone(), name))).collect();
        until("a commit is held", || proxy.held() > held);
        until("there is a pack", || stored(&cluster.blobs).0 > 0);
        killed.kill().unwrap();
        proxy.set(Way::Closed);
        let mut acknowledged = Vec::new();
        for put in puts {
            let (name, done) = put.await.unwrap();
            acknowledged.extend(done.then_some(name));
        }
        assert!(!acknowledged.iter().any(|name| name.contains("cut-")), "{acknowledged:?}");
        // What it left goes once its session was ended.
        let since = Instant::now();
        loop {
            other.told(&["sweep"], Duration::from_secs(120)).await.unwrap();
            if kept > 0 || stored(&cluster.blobs) == (0, 0) {
                break;
            }
            assert!(since.elapsed() < Duration::from_secs(120), "{:?} is left", stored(&cluster.blobs));
        }
        let listed = caller.s3(Method::GET, "/packed", "").await.unwrap().text();
        let listed = listed.matches("<Key>").count();
        assert!(listed >= acknowledged.len() && listed <= kept, "{listed} are listed");
        for name in &acknowledged {
            let found = caller.s3(Method::GET, name, "").await.unwrap();
            assert!(found.status == 200 && found.text() == name.repeat(400), "{name}: {}", found.status);
        }
        eprintln!(
            "{} of {kept} were acknowledged, {:?} packs and others are there",
            acknowledged.len(),
            stored(&cluster.blobs)
        );
    }
}
