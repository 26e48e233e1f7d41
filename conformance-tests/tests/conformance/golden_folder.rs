//! A data folder that the build before this format of records made: this build reads all of it, and goes on with it.
//!
//! The folder was made by that build, and is made never again:
//! `SEALGATE_BIN=… GOLDEN_FOLDER_WRITE=1 cargo test -p conformance-tests --test conformance golden_folder`.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use conformance_tests::caller::{Answer, Caller, Credentials};
use conformance_tests::server::Server;
use http::Method;
use http_body_util::BodyExt;
use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::client::content;

/// Longer than what shares a segment: a file of its own.
const FILE_LEN: usize = 140_000;
const SMALL_LEN: usize = 3000;
/// What the folder holds beside the gateway's own: what somebody has to know to read it.
const KNOWN: &str = "known.json";

type Headers = Vec<(&'static str, String)>;

fn archive() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/folder-2.tar.gz")
}

fn tar(arguments: &[&str], folder: &Path) {
    let status = Command::new("tar").args(arguments).current_dir(folder).status().unwrap();
    assert!(status.success());
}

/// The headers of writes and of reads, by mode.
fn modes() -> Vec<(&'static str, Headers, Headers)> {
    let secret = [0x33; 32];
    let customer = vec![
        ("x-amz-server-side-encryption-customer-algorithm", "AES256".to_owned()),
        ("x-amz-server-side-encryption-customer-key", STANDARD.encode(secret)),
        ("x-amz-server-side-encryption-customer-key-md5", STANDARD.encode(Md5::digest(secret))),
    ];
    let sse = |value: &str| vec![("x-amz-server-side-encryption", value.to_owned())];
    let named = [("x-amz-server-side-encryption-aws-kms-key-id", "alias/golden".to_owned())];
    vec![
        ("sse-s3", Vec::new(), Vec::new()),
        ("sse-kms", [sse("aws:kms"), named.to_vec()].concat(), Vec::new()),
        ("dsse", sse("aws:kms:dsse"), Vec::new()),
        ("sse-c", customer.clone(), customer),
    ]
}

struct Client(Caller);

impl Client {
    async fn root(server: &Server) -> Self {
        Self(Caller::open(&server.endpoint, Credentials::root()).await.unwrap())
    }

    async fn s3(&mut self, method: Method, target: &str, headers: &Headers, body: &[u8]) -> Answer {
        let mut headers = headers.clone();
        if method == Method::PUT && body.is_empty() {
            // The HTTP client leaves it out.
            headers.push(("content-length", "0".to_owned()));
        }
        let response = self.0.send(method, target, &headers, Bytes::copy_from_slice(body)).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let answer = Answer { status: parts.status, headers: parts.headers, body };
        answer.success().unwrap_or_else(|error| panic!("{target}: {error}"))
    }

    async fn put(&mut self, target: &str, body: &[u8]) -> Answer {
        self.s3(Method::PUT, target, &Vec::new(), body).await
    }

    async fn get(&mut self, target: &str) -> Vec<u8> {
        self.s3(Method::GET, target, &Vec::new(), b"").await.body.to_vec()
    }

    async fn iam(&mut self, action: &str, parameters: &[(&str, &str)]) -> Answer {
        let answer = self.0.iam(action, parameters).await.unwrap();
        answer.success().unwrap_or_else(|error| panic!("{action}: {error}"))
    }

    async fn kms(&mut self, operation: &str, body: Value) -> Value {
        let answer = self.0.kms(operation, &body).await.unwrap();
        let answer = answer.success().unwrap_or_else(|error| panic!("{operation}: {error}"));
        // Some operations answer nothing.
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    /// Begins an upload and sends one part; answers its id and the part's ETag.
    async fn upload(&mut self, target: &str, write: &Headers, read: &Headers, body: &[u8]) -> [String; 2] {
        let created = self.s3(Method::POST, &format!("{target}?uploads="), write, b"").await;
        let upload = created.field("UploadId").unwrap();
        let part = format!("{target}?partNumber=7&uploadId={upload}");
        let sent = self.s3(Method::PUT, &part, read, body).await;
        [upload, sent.headers["etag"].to_str().unwrap().to_owned()]
    }

    async fn complete(&mut self, target: &str, [upload, etag]: &[String; 2]) {
        let body = format!(
            "<CompleteMultipartUpload><Part><PartNumber>7</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
        );
        self.s3(Method::POST, &format!("{target}?uploadId={upload}"), &Vec::new(), body.as_bytes()).await;
    }
}

fn policy(effect: &str, action: &str) -> String {
    let statement = json!({"Effect": effect, "Action": action, "Resource": "*"});
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

/// One of everything that records tell apart. Answers what has to be known to read it.
async fn fill(server: &Server) -> Value {
    let mut root = Client::root(server).await;
    let key = root.kms("CreateKey", json!({"Description": "golden"})).await;
    let key_id = key["KeyMetadata"]["KeyId"].clone();
    root.kms("CreateAlias", json!({"AliasName": "alias/golden", "TargetKeyId": key_id})).await;
    let encrypted = json!({"KeyId": "alias/golden", "Plaintext": STANDARD.encode("a secret")});
    let blob = root.kms("Encrypt", encrypted).await["CiphertextBlob"].clone();

    root.put("/golden", b"").await;
    for (seed, (mode, write, read)) in (1..).zip(modes()) {
        for len in [0, SMALL_LEN] {
            root.s3(Method::PUT, &format!("/golden/{mode}/{len}"), &write, &content(len, seed)).await;
        }
        let target = format!("/golden/{mode}/parts");
        let sent = root.upload(&target, &write, &read, &content(SMALL_LEN + 1, seed)).await;
        root.complete(&target, &sent).await;
    }
    root.put("/golden/file", &content(FILE_LEN, 9)).await;
    // Changed in place, twice, and overwritten.
    root.put("/golden/changed", &content(SMALL_LEN, 10)).await;
    for value in ["1", "2"] {
        let headers = vec![
            ("x-amz-copy-source", "/golden/changed".to_owned()),
            ("x-amz-meta-n", value.to_owned()),
            ("x-amz-metadata-directive", "REPLACE".to_owned()),
        ];
        root.s3(Method::PUT, "/golden/changed", &headers, b"").await;
    }
    for seed in [11, 12] {
        root.put("/golden/overwritten", &content(SMALL_LEN, seed)).await;
    }
    let open = root.upload("/golden/open", &Vec::new(), &Vec::new(), &content(SMALL_LEN, 13)).await;

    root.put("/versions", b"").await;
    root.put("/versions/was", b"null").await;
    let enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    root.put("/versions?versioning=", enabled.as_bytes()).await;
    let mut versions = Vec::new();
    for seed in [14, 15] {
        let put = root.put("/versions/was", &content(SMALL_LEN, seed)).await;
        versions.push(put.headers["x-amz-version-id"].to_str().unwrap().to_owned());
    }
    root.s3(Method::DELETE, "/versions/was", &Vec::new(), b"").await;

    let user = ("UserName", "alice");
    root.iam("CreateUser", &[user]).await;
    root.iam("CreateGroup", &[("GroupName", "readers")]).await;
    let reading = policy("Allow", "s3:Get*");
    root.iam(
        "PutGroupPolicy",
        &[("GroupName", "readers"), ("PolicyName", "r"), ("PolicyDocument", &reading)],
    )
    .await;
    root.iam("AddUserToGroup", &[("GroupName", "readers"), user]).await;
    let denying = policy("Deny", "s3:GetObjectVersion");
    let made = root.iam("CreatePolicy", &[("PolicyName", "careful"), ("PolicyDocument", &denying)]).await;
    let arn = made.field("Arn").unwrap();
    root.iam("AttachUserPolicy", &[user, ("PolicyArn", &arn)]).await;
    let made = root.iam("CreateAccessKey", &[user]).await;
    let alice = Credentials::of_answer(&made).unwrap();
    json!({
        "blob": blob,
        "open": open,
        "versions": versions,
        "alice": [alice.access_key_id, alice.secret_access_key],
    })
}

/// All that [`fill`] left is there.
async fn verify(server: &Server, known: &Value) {
    let mut root = Client::root(server).await;
    for (seed, (mode, _, read)) in (1..).zip(modes()) {
        for (name, len) in [("0", 0), ("3000", SMALL_LEN), ("parts", SMALL_LEN + 1)] {
            let target = format!("/golden/{mode}/{name}");
            let found = root.s3(Method::GET, &target, &read, b"").await;
            assert!(found.body[..] == content(len, seed)[..], "{target}");
        }
    }
    assert!(root.get("/golden/file").await == content(FILE_LEN, 9));
    let changed = root.s3(Method::GET, "/golden/changed", &Vec::new(), b"").await;
    assert_eq!(changed.headers["x-amz-meta-n"], "2");
    assert!(changed.body[..] == content(SMALL_LEN, 10)[..]);
    assert!(root.get("/golden/overwritten").await == content(SMALL_LEN, 12));
    for (version, seed) in known["versions"].as_array().unwrap().iter().zip([14, 15]) {
        let target = format!("/versions/was?versionId={}", version.as_str().unwrap());
        assert!(root.get(&target).await == content(SMALL_LEN, seed));
    }
    assert_eq!(root.get("/versions/was?versionId=null").await, b"null");
    let current = root.0.s3(Method::GET, "/versions/was", "").await.unwrap();
    assert_eq!(current.code(), "NoSuchKey");
    let decrypted = root.kms("Decrypt", json!({"CiphertextBlob": known["blob"]})).await;
    assert_eq!(decrypted["Plaintext"], STANDARD.encode("a secret"));

    let [id, secret] = [0, 1].map(|n| known["alice"][n].as_str().unwrap());
    let mut alice = Caller::open(&server.endpoint, Credentials::of_key(id, secret)).await.unwrap();
    let found = alice.s3(Method::GET, "/golden/overwritten", "").await.unwrap().success().unwrap();
    assert!(found.body[..] == content(SMALL_LEN, 12)[..]);
    for (method, target) in
        [(Method::PUT, "/golden/hers"), (Method::GET, "/golden/overwritten?versionId=null")]
    {
        let refused = alice.s3(method, target, "x").await.unwrap();
        assert_eq!(refused.code(), "AccessDenied", "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_the_format_before_is_read_and_written() {
    if Server::skips("it reads a data folder of an earlier build") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    tar(&["-xzf", archive().to_str().unwrap()], folder.path());
    let known = std::fs::read(folder.path().join(KNOWN)).unwrap();
    let known: Value = serde_json::from_slice(&known).unwrap();
    let mut server = Server::start_on(&folder.path().join("data"), &[]).unwrap();
    verify(&server, &known).await;

    let mut root = Client::root(&server).await;
    let open = [0, 1].map(|n| known["open"][n].as_str().unwrap().to_owned());
    root.complete("/golden/open", &open).await;
    assert!(root.get("/golden/open").await == content(SMALL_LEN, 13));
    root.put("/golden/new", &content(FILE_LEN, 20)).await;
    root.put("/versions/again", b"is new").await;
    // What has a record of the format before is copied, tagged and changed in place.
    for (mode, write, read) in modes().into_iter().filter(|(mode, ..)| *mode != "sse-c") {
        let source = vec![("x-amz-copy-source", format!("/golden/{mode}/parts"))];
        let target = format!("/golden/{mode}/copied");
        root.s3(Method::PUT, &target, &[write, source].concat(), b"").await;
        let tags = "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>";
        root.put(&format!("/golden/{mode}/3000?tagging="), tags.as_bytes()).await;
        assert_eq!(root.s3(Method::GET, &target, &read, b"").await.body.len(), SMALL_LEN + 1);
    }
    root.iam("CreateUser", &[("UserName", "bob")]).await;
    drop(root);
    for _ in 0..2 {
        assert_eq!(server.stop().unwrap(), Some(0));
        let checked = server.command(&["check"]).unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
        server.restart().unwrap();
        verify(&server, &known).await;
        let mut root = Client::root(&server).await;
        assert!(root.get("/golden/new").await == content(FILE_LEN, 20));
        assert_eq!(root.get("/versions/again").await, b"is new");
        root.iam("GetUser", &[("UserName", "bob")]).await;
    }
}

/// Makes the folder.
#[tokio::test(flavor = "multi_thread")]
async fn write_golden_folder() {
    if std::env::var_os("GOLDEN_FOLDER_WRITE").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start_on(&folder.path().join("data"), &[]).unwrap();
    let known = fill(&server).await;
    verify(&server, &known).await;
    assert_eq!(server.stop().unwrap(), Some(0));
    std::fs::write(folder.path().join(KNOWN), known.to_string()).unwrap();
    std::fs::create_dir_all(archive().parent().unwrap()).unwrap();
    tar(&["-czf", archive().to_str().unwrap(), "--sort=name", "--owner=0", "--group=0", "."], folder.path());
}
