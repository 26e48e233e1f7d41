//! What one gateway is told, another knows at the next request: identities and keys, of gateways that share records and blobs.

use std::time::{Duration, Instant};

use conformance_tests::caller::{Answer, Caller, Credentials};
use conformance_tests::cluster::Cluster;
use conformance_tests::installed::run_python;
use conformance_tests::proxy::{Proxy, Way};
use conformance_tests::server::Server;
use http::Method;
use serde_json::{Value, json};

const OBJECT: &str = "/shared/object";
/// How often each change is made on one gateway and felt on the other.
const ROUNDS: usize = 5;

async fn open(endpoint: &str, credentials: &Credentials) -> Caller {
    Caller::open(endpoint, credentials.clone()).await.unwrap()
}

fn policy(effect: &str) -> String {
    json!({"Version": "2012-10-17", "Statement": {"Effect": effect, "Action": "*", "Resource": "*"}})
        .to_string()
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.code())
}

/// One object read, and one name listed, by both kinds of requests: with a bucket and without.
async fn asks(caller: &mut Caller) -> [(u16, String); 4] {
    [
        told(&caller.s3(Method::GET, OBJECT, "").await.unwrap()),
        told(&caller.s3(Method::GET, "/", "").await.unwrap()),
        told(&caller.iam("ListUsers", &[]).await.unwrap()),
        told(&caller.kms("ListKeys", &json!({})).await.unwrap()),
    ]
}

fn are(codes: &[(u16, String); 4], of_s3: (u16, &str), of_iam: (u16, &str), of_kms: (u16, &str)) {
    let expected = [of_s3, of_s3, of_iam, of_kms].map(|(status, code)| (status, code.to_owned()));
    assert_eq!(*codes, expected);
}

async fn identities(one: &mut Caller, endpoint: &str) {
    let user = ("UserName", "alice");
    one.iam("CreateUser", &[user]).await.unwrap().success().unwrap();
    let put = [user, ("PolicyName", "all"), ("PolicyDocument", &policy("Allow"))];
    one.iam("PutUserPolicy", &put).await.unwrap().success().unwrap();
    let deny = [user, ("PolicyName", "none"), ("PolicyDocument", &policy("Deny"))];
    for _ in 0..ROUNDS {
        let key = one.iam("CreateAccessKey", &[user]).await.unwrap().success().unwrap();
        let key = Credentials::of_answer(&key).unwrap();
        // Made there, taken here; each kind of request once as the first that needs it.
        let mut alice = open(endpoint, &key).await;
        are(&asks(&mut alice).await, (200, ""), (200, ""), (200, ""));
        one.iam("PutUserPolicy", &deny).await.unwrap().success().unwrap();
        let denied = (403, "AccessDenied");
        are(&asks(&mut alice).await, denied, denied, (400, "AccessDeniedException"));
        one.iam("DeleteUserPolicy", &deny[..2]).await.unwrap().success().unwrap();
        are(&asks(&mut alice).await, (200, ""), (200, ""), (200, ""));
        let of_key = [user, ("AccessKeyId", &key.access_key_id)];
        let status = |status| [of_key[0], of_key[1], ("Status", status)];
        one.iam("UpdateAccessKey", &status("Inactive")).await.unwrap().success().unwrap();
        let unknown = |answers: &[(u16, String); 4]| {
            are(
                answers,
                (403, "InvalidAccessKeyId"),
                (403, "InvalidClientTokenId"),
                (400, "UnrecognizedClientException"),
            );
        };
        unknown(&asks(&mut alice).await);
        one.iam("UpdateAccessKey", &status("Active")).await.unwrap().success().unwrap();
        are(&asks(&mut alice).await, (200, ""), (200, ""), (200, ""));
        one.iam("DeleteAccessKey", &of_key).await.unwrap().success().unwrap();
        unknown(&asks(&mut alice).await);
    }
}

async fn kms(caller: &mut Caller, operation: &str, request: &Value) -> Value {
    let answer = caller.kms(operation, request).await.unwrap().success().unwrap();
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

async fn keys(one: &mut Caller, two: &mut Caller) {
    for _ in 0..ROUNDS {
        let made = kms(one, "CreateKey", &json!({})).await;
        let id = json!({"KeyId": made["KeyMetadata"]["KeyId"]});
        let plain = json!({"KeyId": id["KeyId"], "Plaintext": "c2VjcmV0"});
        let sealed = kms(two, "Encrypt", &plain).await;
        let opens = json!({"CiphertextBlob": sealed["CiphertextBlob"]});
        // What is under a backing key that only one of them made, opens on the other.
        kms(one, "RotateKeyOnDemand", &id).await;
        let newer = kms(one, "Encrypt", &plain).await;
        kms(two, "Decrypt", &json!({"CiphertextBlob": newer["CiphertextBlob"]})).await;
        kms(one, "DisableKey", &id).await;
        let refused = two.kms("Decrypt", &opens).await.unwrap();
        assert_eq!(told(&refused), (400, "DisabledException".to_owned()));
        let key = id["KeyId"].as_str().unwrap().to_owned();
        let headers = [
            ("x-amz-server-side-encryption", "aws:kms".to_owned()),
            ("x-amz-server-side-encryption-aws-kms-key-id", key),
        ];
        let put = two.send(Method::PUT, "/shared/sealed", &headers, "x".into()).await.unwrap();
        assert_eq!(put.status(), 400);
        drop(put);
        kms(one, "EnableKey", &id).await;
        kms(two, "Decrypt", &opens).await;
        let put = two.send(Method::PUT, "/shared/sealed", &headers, "x".into()).await.unwrap();
        assert_eq!(put.status(), 200);
        drop(put);
        assert_eq!(one.s3(Method::GET, "/shared/sealed", "").await.unwrap().text(), "x");
        kms(two, "DisableKey", &id).await;
        let refused = one.s3(Method::GET, "/shared/sealed", "").await.unwrap();
        assert_eq!(told(&refused), (400, "KMS.DisabledException".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_gateway_is_told_another_knows_at_the_next_request() {
    let cluster = Cluster::start().unwrap();
    let (one, two) = (cluster.gateway(&[]).unwrap(), cluster.gateway(&[]).unwrap());
    let mut caller = open(&one.endpoint, &Credentials::root()).await;
    caller.s3(Method::PUT, "/shared", "").await.unwrap().success().unwrap();
    caller.s3(Method::PUT, OBJECT, "x").await.unwrap().success().unwrap();
    identities(&mut caller, &two.endpoint).await;
    let mut other = open(&two.endpoint, &Credentials::root()).await;
    keys(&mut caller, &mut other).await;
}

/// A gateway that can't see the map serves nothing after ten seconds, and everything once it can again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_cut_off_serves_nothing_until_it_is_not() {
    let cluster = Cluster::start().unwrap();
    let proxy = Proxy::start(cluster.postgres.port()).await.unwrap();
    let places = cluster.places_at(proxy.port(), cluster.blobs.port());
    let gateway = cluster.gateway_at(&places, &[]).unwrap();
    let mut caller = open(&gateway.endpoint, &Credentials::root()).await;
    for way in [Way::Closed, Way::Silent] {
        let mut answers = async || {
            let mut codes = Vec::new();
            codes.push(caller.s3(Method::GET, "/", "").await.unwrap().status.as_u16());
            codes.push(caller.iam("ListUsers", &[]).await.unwrap().status.as_u16());
            codes.push(caller.kms("ListKeys", &json!({})).await.unwrap().status.as_u16());
            codes
        };
        assert_eq!(answers().await, [200, 200, 200]);
        proxy.set(way.clone());
        tokio::time::sleep(Duration::from_millis(10_500)).await;
        let began = Instant::now();
        assert_eq!(answers().await, [503, 503, 503], "{way:?}");
        // It knows without asking.
        assert!(began.elapsed() < Duration::from_secs(1), "{way:?}: {:?}", began.elapsed());
        proxy.set(Way::Open);
        let began = Instant::now();
        while answers().await != [200, 200, 200] {
            assert!(began.elapsed() < Duration::from_secs(20), "{way:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Waits until this is so.
pub(super) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(since.elapsed() < Duration::from_secs(90), "it takes too long until {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub(super) fn status(server: &Server) -> Value {
    let told = server.command(&["status", "--json"]).unwrap();
    serde_json::from_slice(&told.stdout).unwrap_or_default()
}

/// What a job has read and judged is not committed once another has its lease, though its session goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_lost_its_lease_changes_nothing() {
    let cluster = Cluster::start().unwrap();
    let days = ["--lifecycle-day-s", "1", "--lifecycle-interval-s", "3600"];
    let mut first = cluster.gateway(&days).unwrap();
    let mut caller = open(&first.endpoint, &Credentials::root()).await;
    caller.s3(Method::PUT, "/shared", "").await.unwrap().success().unwrap();
    let script = "import boto3\ns3 = boto3.client('s3')\n\
                  rule = {'ID': 'r', 'Status': 'Enabled', 'Filter': {}, 'Expiration': {'Days': 1}}\n\
                  s3.put_bucket_lifecycle_configuration(Bucket='shared', LifecycleConfiguration={'Rules': [rule]})\n\
                  s3.put_object(Bucket='shared', Key='is-due', Body='x')";
    run_python(&first.endpoint, script).unwrap();
    until("the first walk has ended", || !status(&first)["lifecycle"].is_null());
    assert_eq!(first.stop().unwrap(), Some(0));
    // Its day passes.
    std::thread::sleep(Duration::from_secs(3));

    let proxy = Proxy::start(cluster.postgres.port()).await.unwrap();
    proxy.set(Way::HoldCommit(b"is-due".to_vec()));
    let places = cluster.places_at(proxy.port(), cluster.blobs.port());
    let second = cluster.gateway_at(&places, &days).unwrap();
    until("it is about to delete", || proxy.held() > 0);
    cluster.ask("update kv set revision = revision + 1 where key = 'Llifecycle'").unwrap();
    proxy.set(Way::Open);
    until("its walk has ended", || !status(&second)["lifecycle"].is_null());
    let mut caller = open(&second.endpoint, &Credentials::root()).await;
    assert_eq!(caller.s3(Method::GET, "/shared/is-due", "").await.unwrap().status, 200);
    // One that has its lease does what is due.
    drop(second);
    let third = cluster.gateway(&["--lifecycle-day-s", "1", "--lifecycle-interval-s", "1"]).unwrap();
    let mut caller = open(&third.endpoint, &Credentials::root()).await;
    let since = Instant::now();
    while caller.s3(Method::GET, "/shared/is-due", "").await.unwrap().status != 404 {
        assert!(since.elapsed() < Duration::from_secs(90), "it is not deleted");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Tells how many blobs are in quarantine.
const COUNT: &str = "import boto3\n\
                     found = boto3.client('s3').list_objects_v2(Bucket='blobs', Prefix='sealgate/').get('Contents', [])\n\
                     print(sum(1 for o in found if '/quarantine/' in o['Key']))";

/// A blob that nothing accounts for, of a session that was dealt with long ago, is found by a look at all: when it is asked for, at
/// whichever gateway, and when it is due.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_blob_is_looked_at_when_it_is_asked_for_and_when_it_is_due() {
    let cluster = Cluster::start().unwrap();
    let usual = ["--inline-len", "0"];
    let mut former = cluster.gateway(&usual).unwrap();
    let mut caller = open(&former.endpoint, &Credentials::root()).await;
    caller.s3(Method::PUT, "/shared", "").await.unwrap().success().unwrap();
    for name in [OBJECT, "/shared/lost-first", "/shared/lost-later"] {
        caller.s3(Method::PUT, name, &"x".repeat(5000)).await.unwrap().success().unwrap();
    }
    assert_eq!(former.stop().unwrap(), Some(0));
    let store = cluster.blobs.endpoint();
    // As a database has it that was put back to a moment before the record was made.
    let forget = |name: &str| {
        let record = format!("delete from kv where position('{name}'::bytea in key) > 0");
        cluster.ask(&record).unwrap()
    };
    let quarantined = || run_python(&store, COUNT).unwrap();
    let mut gateways = [cluster.gateway(&usual).unwrap(), cluster.gateway(&usual).unwrap()];
    forget("lost-first");
    for (gateway, expected) in gateways.iter().zip(["1 put into quarantine", "0 put into quarantine"]) {
        let told = gateway.told(&["sweep"], Duration::from_secs(120)).await.unwrap();
        assert!(told.contains(expected) && told.contains("0 of no record deleted"), "{told}");
        assert_eq!(quarantined(), "1");
    }
    let known = status(&gateways[0])["full_sweep"].clone();
    assert_eq!((&known["asked"], &known["answered"], &known["failed"]), (&2.into(), &2.into(), &Value::Null));
    for gateway in &mut gateways {
        assert_eq!(gateway.stop().unwrap(), Some(0));
    }
    forget("lost-later");
    let due = cluster.gateway(&["--inline-len", "0", "--full-sweep-interval-s", "1"]).unwrap();
    until("it is due", || quarantined() == "2");
    let mut caller = open(&due.endpoint, &Credentials::root()).await;
    assert_eq!(caller.s3(Method::GET, OBJECT, "").await.unwrap().text(), "x".repeat(5000));
}
