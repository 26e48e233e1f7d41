//! What one gateway is told, another knows at the next request: identities and keys, of gateways that share records and blobs.

use std::time::{Duration, Instant};

use conformance_tests::caller::{Answer, Caller, Credentials};
use conformance_tests::cluster::Cluster;
use conformance_tests::proxy::{Proxy, Way};
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
