//! Users, keys and policies are kept as objects are: what was acknowledged is there after a kill, after a restore and after a move;
//! and nothing of it lies in the clear.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conformance_tests::caller::{Answer, Caller, Credentials};
use conformance_tests::server::Server;
use http::Method;
use serde_json::json;

const KILLS: u64 = 8;
const BUCKET: &str = "identities";

/// What people call things: none of it may be found on the medium.
const USER: &str = "eponymous-user";
const GROUP: &str = "eponymous-group";
const ROLE: &str = "eponymous-role";
const POLICY: &str = "eponymous-policy";
const INLINE: &str = "eponymous-inline";
const TAG: (&str, &str) = ("eponymous-tag", "eponymous-value");
const SID: &str = "EponymousStatement";
const TOLD: [&str; 8] = [USER, GROUP, ROLE, POLICY, INLINE, TAG.0, TAG.1, SID];

async fn root(server: &Server) -> Caller {
    Caller::open(&server.endpoint, Credentials::root()).await.unwrap()
}

async fn iam(caller: &mut Caller, action: &str, parameters: &[(&str, &str)]) -> Answer {
    caller.iam(action, parameters).await.unwrap().success().unwrap_or_else(|e| panic!("{action}: {e}"))
}

fn allowing(action: &str) -> String {
    let statement = json!({"Sid": SID, "Effect": "Allow", "Action": action, "Resource": "*"});
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

/// One of everything: a user with a tag, a key and a policy, who is in a group, has a managed policy and may assume a role.
async fn make(server: &Server) -> Credentials {
    let mut root = root(server).await;
    root.s3(Method::PUT, &format!("/{BUCKET}"), "").await.unwrap().success().unwrap();
    let (user, group) = (("UserName", USER), ("GroupName", GROUP));
    let tag = [("Tags.member.1.Key", TAG.0), ("Tags.member.1.Value", TAG.1)];
    let made = iam(&mut root, "CreateUser", &[user, tag[0], tag[1]]).await;
    let user_arn = made.field("Arn").unwrap();
    let inline = ("PolicyName", INLINE);
    let document = allowing("s3:ListBucket");
    iam(&mut root, "PutUserPolicy", &[user, inline, ("PolicyDocument", &document)]).await;
    iam(&mut root, "CreateGroup", &[group]).await;
    let document = allowing("s3:PutObject");
    iam(&mut root, "PutGroupPolicy", &[group, inline, ("PolicyDocument", &document)]).await;
    iam(&mut root, "AddUserToGroup", &[group, user]).await;
    let document = allowing("iam:ListUserTags");
    let policy = [("PolicyName", POLICY), ("PolicyDocument", &*document)];
    let policy = iam(&mut root, "CreatePolicy", &policy).await.field("Arn").unwrap();
    iam(&mut root, "AttachUserPolicy", &[user, ("PolicyArn", &policy)]).await;
    let trust =
        json!({"Sid": SID, "Effect": "Allow", "Principal": {"AWS": user_arn}, "Action": "sts:AssumeRole"});
    let trust = json!({"Version": "2012-10-17", "Statement": [trust]}).to_string();
    iam(&mut root, "CreateRole", &[("RoleName", ROLE), ("AssumeRolePolicyDocument", &trust)]).await;
    let key = iam(&mut root, "CreateAccessKey", &[user]).await;
    Credentials::of_answer(&key).unwrap()
}

/// All of it is there: what each policy allows is allowed, and what none does is not.
async fn verify(server: &Server, credentials: &Credentials) {
    let mut user = Caller::open(&server.endpoint, credentials.clone()).await.unwrap();
    let who = user.sts("GetCallerIdentity", &[]).await.unwrap().success().unwrap();
    let arn = who.field("Arn").unwrap();
    assert!(arn.ends_with(&format!(":user/{USER}")), "{arn}");
    user.s3(Method::GET, &format!("/{BUCKET}?list-type=2"), "").await.unwrap().success().unwrap();
    user.s3(Method::PUT, &format!("/{BUCKET}/object"), "x").await.unwrap().success().unwrap();
    let refused = user.s3(Method::GET, &format!("/{BUCKET}/object"), "").await.unwrap();
    assert_eq!(refused.code(), "AccessDenied");
    let tags = iam(&mut user, "ListUserTags", &[("UserName", USER)]).await;
    assert_eq!((tags.field("Key").as_deref(), tags.field("Value").as_deref()), (Some(TAG.0), Some(TAG.1)));
    let role = arn.replace(&format!(":user/{USER}"), &format!(":role/{ROLE}"));
    let session = [("RoleArn", &*role), ("RoleSessionName", "session")];
    let session = user.sts("AssumeRole", &session).await.unwrap().success().unwrap();
    let session = Credentials::of_answer(&session).unwrap();
    let mut session = Caller::open(&server.endpoint, session).await.unwrap();
    session.sts("GetCallerIdentity", &[]).await.unwrap().success().unwrap();
}

fn finds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false if path.is_file() => all.push(path),
            false => {}
        }
    }
    all
}

#[track_caller]
fn assert_sealed(files: &[PathBuf], secret: &str) {
    for file in files {
        let bytes = std::fs::read(file).unwrap();
        for told in TOLD.iter().chain([&secret]) {
            assert!(!finds(&bytes, told), "{told} lies in the clear in {}", file.display());
        }
    }
}

#[track_caller]
fn assert_done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn they_survive_a_kill_and_nothing_lies_in_the_clear() {
    if Server::skips("it reads the files of a catalog") {
        return;
    }
    let mut server = Server::start().unwrap();
    let credentials = make(&server).await;
    server.kill_and_restart().unwrap();
    verify(&server, &credentials).await;
    let of_catalog = files(&server.data.join("catalog"));
    let all = files(&server.data);
    assert!(!of_catalog.is_empty() && of_catalog.iter().all(|file| all.contains(file)));
    // Ids lie in the clear, so that the search is known to find what is there.
    let id = &credentials.access_key_id;
    assert!(of_catalog.iter().any(|file| finds(&std::fs::read(file).unwrap(), id)), "{id} is not found");
    assert_sealed(&all, &credentials.secret_access_key);
    assert_eq!(server.stop().unwrap(), Some(0));
    assert_sealed(&files(&server.data), &credentials.secret_access_key);
    let checked = server.command(&["check"]).unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn they_move_with_an_export_which_tells_no_secret() {
    if Server::skips("a dump is of a data folder") {
        return;
    }
    let mut server = Server::start().unwrap();
    let credentials = make(&server).await;
    assert_eq!(server.stop().unwrap(), Some(0));
    let dump = server.data.with_file_name("dump.jsonl");
    assert_done(&server.command(&["export", dump.to_str().unwrap()]).unwrap());
    let exported = std::fs::read(&dump).unwrap();
    // Documents are exported as hexadecimal digits.
    assert!(finds(&exported, &hex::encode(&credentials.access_key_id)), "the key is exported");
    let secret = &credentials.secret_access_key;
    for told in [secret, &hex::encode(secret), &hex::encode(STANDARD.encode(secret))] {
        assert!(!finds(&exported, told), "its secret is told");
    }
    std::fs::rename(server.data.join("catalog"), server.data.with_file_name("catalog.old")).unwrap();
    assert_done(&server.command(&["import", dump.to_str().unwrap()]).unwrap());
    server.restart().unwrap();
    verify(&server, &credentials).await;
    assert_eq!(server.stop().unwrap(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_restored_from_a_backup() {
    if Server::skips("a backup is of a data folder") {
        return;
    }
    let mut server = Server::start().unwrap();
    let credentials = make(&server).await;
    let backup = server.data.with_file_name("backup");
    // Of the running gateway.
    assert_done(&server.command(&["backup", backup.to_str().unwrap()]).unwrap());
    assert_eq!(server.stop().unwrap(), Some(0));
    assert_sealed(std::slice::from_ref(&backup), &credentials.secret_access_key);

    let root_key = server.data.with_file_name("data.root-key");
    let root_key = ["--root-key", root_key.to_str().unwrap()];
    let blobs = server.data.join("blobs");
    server.data = server.data.with_file_name("restored");
    let restore = ["restore", backup.to_str().unwrap(), root_key[0], root_key[1]];
    assert_done(&server.command(&restore).unwrap());
    let copied = std::process::Command::new("cp").arg("-a").args([blobs, server.data.join("blobs")]).status();
    assert!(copied.unwrap().success());
    let restored = Server::start_on(&server.data, &root_key).unwrap();
    verify(&restored, &credentials).await;
}

/// A user whose creation was acknowledged, and his key if that was, too.
struct Acknowledged {
    name: String,
    key: Option<Credentials>,
}

/// Makes users one after the other until the gateway is gone.
async fn make_users(endpoint: String, round: u64) -> Vec<Acknowledged> {
    let mut made: Vec<Acknowledged> = Vec::new();
    let Ok(mut root) = Caller::open(&endpoint, Credentials::root()).await else { return made };
    for n in 0.. {
        let name = format!("round-{round}-user-{n}");
        let Ok(user) = root.iam("CreateUser", &[("UserName", &name)]).await else { break };
        user.success().unwrap();
        made.push(Acknowledged { name: name.clone(), key: None });
        let Ok(key) = root.iam("CreateAccessKey", &[("UserName", &name)]).await else { break };
        made[n].key = Some(Credentials::of_answer(&key.success().unwrap()).unwrap());
    }
    made
}

async fn assert_there(server: &Server, acknowledged: &[Acknowledged]) {
    let mut root = root(server).await;
    for user in acknowledged {
        let found = iam(&mut root, "GetUser", &[("UserName", &user.name)]).await;
        let Some(key) = &user.key else { continue };
        let mut caller = Caller::open(&server.endpoint, key.clone()).await.unwrap();
        let who = caller.sts("GetCallerIdentity", &[]).await.unwrap().success().unwrap();
        assert_eq!(who.field("Arn"), found.field("Arn"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_users_survive_kills() {
    let mut server = Server::start().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..KILLS {
        let users = tokio::spawn(make_users(server.endpoint.clone(), round));
        tokio::time::sleep(Duration::from_millis(150 + round * 47)).await;
        server.kill_and_restart().unwrap();
        let users = tokio::time::timeout(Duration::from_secs(60), users).await.expect("it ends").unwrap();
        assert!(!users.is_empty(), "round {round}: nothing was acknowledged");
        assert_there(&server, &users).await;
        acknowledged.extend(users);
    }
    assert_there(&server, &acknowledged).await;
    eprintln!("{KILLS} kills, {} users", acknowledged.len());
}
