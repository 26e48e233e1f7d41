//! Jobs that one gateway is enough for: another one waits, and whoever loses the lease in the middle changes nothing more.

use std::process::{Command, Stdio};
use std::time::Duration;

use conformance_tests::cluster::Cluster;
use conformance_tests::installed::run_python;
use conformance_tests::proxy::{Proxy, Way};
use conformance_tests::server::{Places, Server, binary};
use rustix::process::Signal;

use super::several::{status, until};

/// How long a commit that was held may take to the database.
const PASSED: Duration = Duration::from_secs(2);

/// A gateway whose session goes on however long it stands still.
fn gateway(places: &Places) -> Server {
    Server::start_shared(places, &["--session-heartbeat-s", "1", "--session-timeout-s", "600"], |_| {})
        .unwrap()
}

/// Rows of records whose key holds this name.
fn records(cluster: &Cluster, name: &str) -> usize {
    let counted = cluster.ask(&format!("select count(*) from kv where position('{name}'::bytea in key) > 0"));
    counted.unwrap().parse().unwrap()
}

/// As if its holder had been taken for dead, and what took its place had given it back.
fn lose_lease(cluster: &Cluster, job: &str) {
    let delete = format!("delete from kv where key = 'L{job}' returning 1");
    assert_eq!(cluster.ask(&format!("with gone as ({delete}) select count(*) from gone")).unwrap(), "1");
}

fn rewrap(server: &Server, key: &str) -> Command {
    let mut command = Command::new(binary().unwrap());
    command.args(["kms", "rewrap", key, "--log", "error", "--data"]).arg(&server.data);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_gateway_rewraps_and_another_waits_until_it_may() {
    let cluster = Cluster::start().unwrap();
    let proxy = Proxy::start(cluster.postgres.port()).await.unwrap();
    let places = cluster.places_at(proxy.port(), cluster.blobs.port());
    let (first, second) = (gateway(&places), gateway(&cluster.places()));
    let key = run_python(
        &first.endpoint,
        r#"
import boto3
kms, s3 = boto3.client("kms"), boto3.client("s3")
key = kms.create_key()["KeyMetadata"]["Arn"]
s3.create_bucket(Bucket="another")
s3.create_bucket(Bucket="bucket")
for name in ["a-first", "held-back", "z-last"]:
    s3.put_object(Bucket="bucket", Key=name, Body=name, ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
kms.rotate_key_on_demand(KeyId=key)
print(key)
"#,
    )
    .unwrap();
    proxy.set(Way::HoldCommit(b"held-back".to_vec()));
    let loses = rewrap(&first, &key).spawn().unwrap();
    until("it is about to move the second one", || proxy.held() > 0);
    // So that it does not give its commit up meanwhile.
    first.signal(Signal::STOP).unwrap();
    // Of a bucket with nothing in it: what the first one fails by later is the lease alone.
    let mut waits = rewrap(&second, &key).args(["--bucket", "another"]).spawn().unwrap();
    tokio::time::sleep(PASSED).await;
    assert!(waits.try_wait().unwrap().is_none(), "it does not wait for the first");
    lose_lease(&cluster, "rewrap");
    let done = waits.wait_with_output().unwrap();
    let done_told = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && done_told.contains("0 rewrapped"), "{done_told}");
    proxy.set(Way::Open);
    tokio::time::sleep(PASSED).await;
    first.signal(Signal::CONT).unwrap();
    let lost = loses.wait_with_output().unwrap();
    let lost_told = String::from_utf8_lossy(&lost.stdout);
    assert!(
        !lost.status.success() && lost_told.contains("1 rewrapped, 0 were there already, 2 failed"),
        "{lost_told}"
    );
    let done = rewrap(&second, &key).output().unwrap();
    let done_told = String::from_utf8_lossy(&done.stdout);
    assert!(done_told.contains("2 rewrapped, 1 were there already, 0 failed"), "{done_told}");
    let read = "import boto3\ns3 = boto3.client('s3')\n\
                for name in ['a-first', 'held-back', 'z-last']:\n \
                assert s3.get_object(Bucket='bucket', Key=name)['Body'].read() == name.encode()";
    run_python(&second.endpoint, read).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_gateway_sweeps_annotations_and_changes_nothing_once_it_may_not() {
    let cluster = Cluster::start().unwrap();
    let mut former = gateway(&cluster.places());
    let script = r#"
import boto3
s3 = boto3.client("s3")
s3.create_bucket(Bucket="bucket")
for key in ["kept", "overwritten"]:
    s3.put_object(Bucket="bucket", Key=key, Body=b"x")
    s3.put_object_annotation(Bucket="bucket", Key=key, AnnotationName="note-of-" + key, AnnotationPayload=b"n")
s3.put_object(Bucket="bucket", Key="overwritten", Body=b"y")
"#;
    run_python(&former.endpoint, script).unwrap();
    assert_eq!(former.stop().unwrap(), Some(0));
    let notes = |of: &str| records(&cluster, &format!("note-of-{of}"));
    assert!(notes("overwritten") > 0 && notes("kept") > 0);

    let proxy = Proxy::start(cluster.postgres.port()).await.unwrap();
    let hold = || proxy.set(Way::HoldCommit(b"note-of-overwritten".to_vec()));
    hold();
    let places = cluster.places_at(proxy.port(), cluster.blobs.port());
    let first = gateway(&places);
    until("it is about to delete", || proxy.held() > 0);
    first.signal(Signal::STOP).unwrap();
    let second = gateway(&cluster.places());
    until("the other one has looked around", || status(&second)["reclaim"]["sweeps"].as_u64() > Some(0));
    assert!(notes("overwritten") > 0, "the other one swept beside it");
    // It would take the lease at its next look.
    drop(second);
    lose_lease(&cluster, "annotations");
    proxy.set(Way::Open);
    tokio::time::sleep(PASSED).await;
    hold();
    first.signal(Signal::CONT).unwrap();
    until("it tries again, with a lease of its own", || proxy.held() > 1);
    assert!(notes("overwritten") > 0, "it deleted without the lease");
    proxy.set(Way::Open);
    until("it does so", || notes("overwritten") == 0);
    assert!(notes("kept") > 0);
}
