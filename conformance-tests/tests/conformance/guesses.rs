//! Who guesses secrets is held off, at every service, and nobody else who is known from the same address.

use std::time::{Duration, Instant};

use conformance_tests::caller::{Answer, Caller, Credentials};
use conformance_tests::server::Server;
use http::Method;
use serde_json::json;

const PER_MINUTE: usize = 20;
/// One guess is forgiven every three seconds: what is asked later says nothing.
const FORGIVEN_AFTER: Duration = Duration::from_secs(2);
const OBJECT: &str = "/guesses/object";

async fn caller(server: &Server, credentials: &Credentials) -> Caller {
    Caller::open(&server.endpoint, credentials.clone()).await.unwrap()
}

/// A gateway with an object, and two users who may do everything.
async fn start() -> (Server, [Credentials; 2]) {
    let server = Server::start_with(&["--auth-failures-per-minute", &PER_MINUTE.to_string()]).unwrap();
    let mut root = caller(&server, &Credentials::root()).await;
    root.s3(Method::PUT, "/guesses", "").await.unwrap().success().unwrap();
    root.s3(Method::PUT, OBJECT, "x").await.unwrap().success().unwrap();
    let all =
        json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}});
    let mut made = Vec::new();
    for name in ["known", "unseen"] {
        let user = ("UserName", name);
        root.iam("CreateUser", &[user]).await.unwrap().success().unwrap();
        let policy = [user, ("PolicyName", "all"), ("PolicyDocument", &all.to_string())];
        root.iam("PutUserPolicy", &policy).await.unwrap().success().unwrap();
        let key = root.iam("CreateAccessKey", &[user]).await.unwrap().success().unwrap();
        made.push(Credentials::of_answer(&key).unwrap());
    }
    (server, made.try_into().unwrap())
}

/// An answer of each service: code and status.
async fn everywhere(caller: &mut Caller) -> Vec<(String, u16)> {
    let told = |answer: Answer| (answer.code(), answer.status.as_u16());
    vec![
        told(caller.s3(Method::GET, OBJECT, "").await.unwrap()),
        told(caller.presigned(Method::GET, OBJECT).await.unwrap()),
        told(caller.kms("ListKeys", &json!({})).await.unwrap()),
        told(caller.iam("ListUsers", &[]).await.unwrap()),
        told(caller.sts("GetCallerIdentity", &[]).await.unwrap()),
    ]
}

/// Guesses until it is held off; answers how often it was told that the guess was wrong. Every other one is presigned where `mixed`
/// says so, or else all.
async fn guess(server: &Server, of: &Credentials, mixed: bool) -> usize {
    let mut guesser = caller(server, &of.guessed()).await;
    for n in 0..PER_MINUTE * 3 {
        let answer = match mixed && n % 2 == 0 {
            true => guesser.s3(Method::GET, OBJECT, "").await.unwrap(),
            false => guesser.presigned(Method::GET, OBJECT).await.unwrap(),
        };
        match answer.code().as_str() {
            "SignatureDoesNotMatch" => {}
            "SlowDown" => return n,
            other => panic!("{other}: {}", answer.text()),
        }
    }
    panic!("never held off");
}

#[tokio::test]
async fn a_guesser_is_held_off_and_known_keys_are_not() {
    let refused = [
        ("SlowDown", 503),
        ("SlowDown", 503),
        ("ThrottlingException", 400),
        ("Throttling", 400),
        ("Throttling", 400),
    ];
    let refused = refused.map(|(code, status)| (code.to_owned(), status));
    let served = vec![(String::new(), 200); refused.len()];
    // A slow machine forgives while it is asked: then it is tried again.
    for _ in 0..5 {
        let (server, [known, unseen]) = start().await;
        let (mut known_caller, mut unseen_caller) =
            (caller(&server, &known).await, caller(&server, &unseen).await);
        // Good keys are told apart since the first failure.
        let wrong = caller(&server, &Credentials::root().guessed()).await.sts("GetCallerIdentity", &[]).await;
        assert_eq!(wrong.unwrap().code(), "SignatureDoesNotMatch");
        assert_eq!(everywhere(&mut known_caller).await, served);
        let guessed = guess(&server, &Credentials::root(), true).await;
        let held_off = Instant::now();
        let answers = [everywhere(&mut unseen_caller).await, everywhere(&mut known_caller).await];
        // Whoever is let in may not guess.
        let of_known = caller(&server, &known.guessed()).await.s3(Method::GET, OBJECT, "").await.unwrap();
        let known_again = known_caller.s3(Method::GET, OBJECT, "").await.unwrap();
        if held_off.elapsed() > FORGIVEN_AFTER {
            continue;
        }
        assert!((PER_MINUTE - 2..PER_MINUTE + 3).contains(&guessed), "{guessed}");
        assert_eq!(answers, [refused.to_vec(), served]);
        assert_eq!(of_known.code(), "SignatureDoesNotMatch");
        assert_eq!(known_again.code(), "SlowDown");
        return;
    }
    panic!("this machine is too slow to tell");
}

#[tokio::test]
async fn guesses_of_presigned_urls_count() {
    for _ in 0..5 {
        let (server, [_, unseen]) = start().await;
        let guessed = guess(&server, &unseen, false).await;
        let held_off = Instant::now();
        let refused = caller(&server, &unseen).await.s3(Method::GET, OBJECT, "").await.unwrap();
        if held_off.elapsed() > FORGIVEN_AFTER {
            continue;
        }
        assert!((PER_MINUTE - 1..PER_MINUTE + 3).contains(&guessed), "{guessed}");
        assert_eq!((refused.code().as_str(), refused.status.as_u16()), ("SlowDown", 503));
        return;
    }
    panic!("this machine is too slow to tell");
}
