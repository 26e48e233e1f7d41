//! Work that one request may cause: others hardly wait for it, and what costs most has a rate by caller.

use std::time::{Duration, Instant};

use conformance_tests::caller::{Caller, Credentials};
use conformance_tests::server::Server;
use http::Method;
use serde_json::{Value, json};

const BUCKET: &str = "busy";
/// The longest that the 99th of a hundred requests may take beside heavy ones. The machine of a test may be busy with others; on a quiet
/// one it is below 50 ms.
const P99_MAX: Duration = Duration::from_millis(500);

async fn open(server: &Server, credentials: &Credentials) -> Caller {
    Caller::open(&server.endpoint, credentials.clone()).await.unwrap()
}

/// A user who may do this.
async fn user(server: &Server, name: &str, allowed: &str) -> Credentials {
    let mut root = open(server, &Credentials::root()).await;
    let document = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": allowed, "Resource": "*"}]});
    let of_user = ("UserName", name);
    root.iam("CreateUser", &[of_user]).await.unwrap().success().unwrap();
    let policy = [of_user, ("PolicyName", "p"), ("PolicyDocument", &document.to_string())];
    root.iam("PutUserPolicy", &policy).await.unwrap().success().unwrap();
    Credentials::of_answer(&root.iam("CreateAccessKey", &[of_user]).await.unwrap()).unwrap()
}

/// The 99th percentile of how long the liveness check and another user's GET take, while `heavy` runs.
async fn p99_beside(server: &Server, other: &Credentials, heavy: impl Future<Output = ()>) -> Duration {
    let (mut health, mut reader) = (open(server, other).await, open(server, other).await);
    let watch = async {
        let mut all = Vec::new();
        loop {
            let begun = Instant::now();
            let alive = health.s3(Method::GET, "/_sealgate/health/live", "").await.unwrap();
            all.push(begun.elapsed());
            let begun = Instant::now();
            let read = reader.s3(Method::GET, "/quiet/object", "").await.unwrap();
            all.push(begun.elapsed());
            assert!(alive.status.is_success() && read.status.is_success());
            tokio::time::sleep(Duration::from_millis(2)).await;
            if all.len() >= 20_000 {
                return all;
            }
            // Looked at from outside when the heavy requests have ended.
            WAITED.with_borrow_mut(|waited| waited.clone_from(&all));
        }
    };
    tokio::select! {
        _ = watch => panic!("the heavy requests take too long"),
        () = heavy => {}
    }
    let mut all = WAITED.take();
    all.sort_unstable();
    assert!(all.len() >= 20, "only {} requests were answered", all.len());
    all[all.len() * 99 / 100]
}

thread_local! {
    static WAITED: std::cell::RefCell<Vec<Duration>> = const { std::cell::RefCell::new(Vec::new()) };
}

async fn prepare(server: &Server) -> Credentials {
    let mut root = open(server, &Credentials::root()).await;
    for (target, body) in [(&*format!("/{BUCKET}"), ""), ("/quiet", ""), ("/quiet/object", "content")] {
        root.s3(Method::PUT, target, body).await.unwrap().success().unwrap();
    }
    user(server, "reader", "s3:GetObject").await
}

#[tokio::test]
async fn deleting_under_costly_policies_holds_nobody_up() {
    let server = Server::start().unwrap();
    let other = prepare(&server).await;
    let mut root = open(&server, &Credentials::root()).await;
    // Each pattern is a little different, and matches none of the keys.
    let patterns: Vec<String> = (0..35)
        .map(|n| format!("arn:aws:s3:::{BUCKET}/{}{}b*a", "*a".repeat(150 + n), "*?a".repeat(25)))
        .collect();
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": patterns}]});
    root.s3(Method::PUT, &format!("/{BUCKET}?policy="), &policy.to_string())
        .await
        .unwrap()
        .success()
        .unwrap();
    let objects: String =
        (0..1000).map(|n| format!("<Object><Key>{}{n:04}a</Key></Object>", "a".repeat(1000))).collect();
    let document = format!("<Delete><Quiet>true</Quiet>{objects}</Delete>");
    let digest = <md5::Md5 as md5::Digest>::digest(document.as_bytes());
    let md5 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest);
    let mut callers = Vec::new();
    for _ in 0..4 {
        callers.push(open(&server, &Credentials::root()).await);
    }
    let begun = Instant::now();
    let heavy = async {
        let all = callers.iter_mut().map(async |caller| {
            let headers = [("content-md5", md5.clone())];
            let body = bytes::Bytes::from(document.clone());
            let answer =
                caller.send(Method::POST, &format!("/{BUCKET}?delete="), &headers, body).await.unwrap();
            assert_eq!(answer.status(), 200);
            http_body_util::BodyExt::collect(answer.into_body()).await.unwrap();
        });
        join_all(all).await;
        // For a machine on which this is over at once.
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    let p99 = p99_beside(&server, &other, heavy).await;
    eprintln!(
        "four DeleteObjects of 1000 keys under 35 patterns: {:?}, p99 beside them {p99:?}",
        begun.elapsed()
    );
    assert!(p99 < P99_MAX, "{p99:?}");
    // Seen before: minutes.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

async fn join_all<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = all.map(Box::pin).map(|future| (Some(future), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, output) in &mut pending {
            if let Some(running) = future
                && let std::task::Poll::Ready(ended) = running.as_mut().poll(cx)
            {
                (*future, *output) = (None, Some(ended));
            }
        }
        match pending.iter().all(|(future, _)| future.is_none()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    pending.into_iter().filter_map(|(_, output)| output).collect()
}

#[tokio::test]
async fn rsa_keys_have_a_rate_by_caller() {
    let server = Server::start().unwrap();
    let other = prepare(&server).await;
    let mut root = open(&server, &Credentials::root()).await;
    let key = root.kms("CreateKey", &json!({})).await.unwrap().success().unwrap();
    let key: Value = serde_json::from_slice(&key.body).unwrap();
    let asked = json!({"KeyId": key["KeyMetadata"]["KeyId"], "KeyPairSpec": "RSA_4096"});
    let mut callers = Vec::new();
    for _ in 0..8 {
        callers.push(open(&server, &Credentials::root()).await);
    }
    let mut answers = Vec::new();
    let heavy = async {
        let all = callers
            .iter_mut()
            .map(async |caller| caller.kms("GenerateDataKeyPairWithoutPlaintext", &asked).await.unwrap());
        answers = join_all(all).await;
    };
    let p99 = p99_beside(&server, &other, heavy).await;
    eprintln!("eight RSA_4096 key pairs: p99 beside them {p99:?}");
    assert!(p99 < P99_MAX, "{p99:?}");
    let refused: Vec<_> = answers.iter().filter(|answer| !answer.status.is_success()).collect();
    assert!((1..=5).contains(&(8 - refused.len())), "{} of 8 were made", 8 - refused.len());
    for answer in refused {
        assert_eq!((answer.status.as_u16(), &*answer.code()), (400, "ThrottlingException"));
        assert!(answer.text().contains("Rate exceeded"), "{}", answer.text());
    }
    // It is the caller's own rate, and of such calls alone.
    root.kms("GenerateDataKey", &json!({"KeyId": key["KeyMetadata"]["KeyId"], "KeySpec": "AES_256"}))
        .await
        .unwrap()
        .success()
        .unwrap();
    let maker = user(&server, "maker", "kms:*").await;
    let mut maker = open(&server, &maker).await;
    maker.kms("GenerateDataKeyPairWithoutPlaintext", &asked).await.unwrap().success().unwrap();
}

#[tokio::test]
async fn the_rate_of_expensive_calls_is_a_setting() {
    let server = Server::start_with(&["--kms-expensive-calls-per-second", "1"]).unwrap();
    let mut root = open(&server, &Credentials::root()).await;
    let key = root.kms("CreateKey", &json!({"Origin": "EXTERNAL"})).await.unwrap().success().unwrap();
    let key: Value = serde_json::from_slice(&key.body).unwrap();
    let asked = json!({"KeyId": key["KeyMetadata"]["KeyId"], "WrappingAlgorithm": "RSAES_OAEP_SHA_256",
        "WrappingKeySpec": "RSA_3072"});
    let mut made = 0;
    let refused = loop {
        let answer = root.kms("GetParametersForImport", &asked).await.unwrap();
        if !answer.status.is_success() {
            break answer;
        }
        made += 1;
        assert!(made < 20);
    };
    assert_eq!(refused.code(), "ThrottlingException");
    assert!(made >= 3, "{made}");
}

#[tokio::test]
async fn simulating_costly_policies_holds_nobody_up() {
    let server = Server::start().unwrap();
    let other = prepare(&server).await;
    let patterns: Vec<String> =
        (0..40).map(|n| format!("arn:aws:s3:::*{}b*a", "*?a".repeat(40 + n))).collect();
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Action": "s3:*", "Resource": patterns}]})
    .to_string();
    let resource = format!("arn:aws:s3:::{BUCKET}/{}", "a".repeat(1900));
    let mut parameters = vec![("PolicyInputList.member.1".to_owned(), policy)];
    for n in 1..=100 {
        parameters.push((format!("ActionNames.member.{n}"), format!("s3:Get{n}")));
        parameters.push((format!("ResourceArns.member.{n}"), format!("{resource}{n}")));
    }
    let parameters: Vec<(&str, &str)> =
        parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut callers = Vec::new();
    for _ in 0..4 {
        callers.push(open(&server, &Credentials::root()).await);
    }
    let heavy = async {
        let all = callers.iter_mut().map(async |caller| {
            let answer = caller.iam("SimulateCustomPolicy", &parameters).await.unwrap();
            assert!(answer.status.is_success() || answer.code() == "Throttling", "{}", answer.text());
        });
        join_all(all).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    let p99 = p99_beside(&server, &other, heavy).await;
    eprintln!("four simulations: p99 beside them {p99:?}");
    assert!(p99 < P99_MAX, "{p99:?}");
}

#[tokio::test]
async fn completing_by_long_documents_holds_nobody_up() {
    let server = Server::start().unwrap();
    let other = prepare(&server).await;
    let mut root = open(&server, &Credentials::root()).await;
    let target = format!("/{BUCKET}/object");
    let begun = root.s3(Method::POST, &format!("{target}?uploads="), "").await.unwrap().success().unwrap();
    let target = format!("{target}?uploadId={}", begun.field("UploadId").unwrap());
    // As long as may be: what fills it up is of no meaning.
    let filler = " ".repeat(500);
    let parts: String = (1..=10_000)
        .map(|n| format!("<Part><PartNumber>{n}</PartNumber><ETag>{n:032x}</ETag>{filler}</Part>"))
        .collect();
    let document = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    let mut callers = Vec::new();
    for _ in 0..4 {
        callers.push(open(&server, &Credentials::root()).await);
    }
    let heavy = async {
        let all = callers.iter_mut().map(async |caller| {
            for _ in 0..5 {
                let answer = caller.s3(Method::POST, &target, &document).await.unwrap();
                assert_eq!(answer.code(), "InvalidPart", "{}", answer.text());
            }
        });
        join_all(all).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    let p99 = p99_beside(&server, &other, heavy).await;
    eprintln!("twenty documents of 10,000 parts: p99 beside them {p99:?}");
    assert!(p99 < P99_MAX, "{p99:?}");
}
