//! What the process keeps of secrets that it has handed out or been given: nothing that a look into its memory finds; and who may look.

use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use conformance_tests::caller::{Caller, Credentials};
use conformance_tests::server::{Server, binary};
use http::Method;
use md5::{Digest, Md5};
use memchr::memmem::Finder;
use serde_json::{Value, json};

/// Requests between the last use of a secret and the look: the buffers of what came before are used again.
const REQUESTS: usize = 300;

/// A secret, in each form that it travels in.
struct Needle {
    name: &'static str,
    bytes: Vec<u8>,
}

fn needles(name: &'static str, secret: &[u8]) -> [Needle; 2] {
    [secret.to_vec(), STANDARD.encode(secret).into_bytes()].map(|bytes| Needle { name, bytes })
}

/// What is found in the writable memory of a process.
fn found_in_memory(pid: u32, needles: &[Needle]) -> Vec<String> {
    const STEP_LEN: usize = 1 << 20;
    let longest = needles.iter().map(|needle| needle.bytes.len()).max().unwrap();
    let finders: Vec<_> = needles.iter().map(|needle| (needle.name, Finder::new(&needle.bytes))).collect();
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut found = Vec::new();
    let mut seen_len = 0;
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let mut at = u64::from_str_radix(from, 16).unwrap();
        let end = u64::from_str_radix(to, 16).unwrap();
        let mut step = vec![0; STEP_LEN + longest];
        while at < end {
            let len = (end - at).min(step.len() as u64) as usize;
            let read = memory.seek(SeekFrom::Start(at)).and_then(|_| memory.read_exact(&mut step[..len]));
            if read.is_ok() {
                seen_len += len;
                for (name, finder) in &finders {
                    for place in finder.find_iter(&step[..len]) {
                        let from = place.saturating_sub(48);
                        let to = (place + finder.needle().len() + 16).min(len);
                        let around = String::from_utf8_lossy(&step[from..to]).replace('\0', ".");
                        found.push(format!("{name} in {rest} beside {around:?}"));
                    }
                }
            }
            at += STEP_LEN as u64;
        }
    }
    assert!(seen_len > 1 << 20, "{seen_len} bytes of memory were read");
    found
}

async fn root(server: &Server) -> Caller {
    Caller::open(&server.endpoint, Credentials::root()).await.unwrap()
}

async fn kms(caller: &mut Caller, operation: &str, request: Value) -> Value {
    let answer = caller.kms(operation, &request).await.unwrap().success();
    serde_json::from_slice(&answer.unwrap_or_else(|e| panic!("{operation}: {e}")).body).unwrap()
}

fn plain(answer: &Value, name: &str) -> Vec<u8> {
    STANDARD.decode(answer[name].as_str().unwrap()).unwrap()
}

async fn ask_for_secrets(root: &mut Caller) -> Vec<Needle> {
    let mut all = Vec::new();
    let key = kms(root, "CreateKey", json!({})).await["KeyMetadata"]["KeyId"].clone();
    let made = kms(root, "GenerateDataKey", json!({"KeyId": key, "KeySpec": "AES_256"})).await;
    all.extend(needles("a data key", &plain(&made, "Plaintext")));
    let opened = kms(root, "Decrypt", json!({"CiphertextBlob": made["CiphertextBlob"]})).await;
    assert_eq!(opened["Plaintext"], made["Plaintext"]);
    let random = kms(root, "GenerateRandom", json!({"NumberOfBytes": 48})).await;
    all.extend(needles("random bytes", &plain(&random, "Plaintext")));

    let given = b"what somebody has encrypted and never says again";
    let sealed = kms(root, "Encrypt", json!({"KeyId": key, "Plaintext": STANDARD.encode(given)})).await;
    kms(root, "ReEncrypt", json!({"CiphertextBlob": sealed["CiphertextBlob"], "DestinationKeyId": key}))
        .await;
    all.extend(needles("what was encrypted", given));

    let spec = json!({"KeyId": key, "KeyPairSpec": "ECC_NIST_P256"});
    let pair = kms(root, "GenerateDataKeyPair", spec).await;
    // The end of the document is the public key.
    let private = plain(&pair, "PrivateKeyPlaintext");
    all.extend(needles("a private key", &private[36..66]));
    let agreement = json!({"KeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT"});
    let agreeing = kms(root, "CreateKey", agreement).await["KeyMetadata"]["KeyId"].clone();
    let asked = json!({"KeyId": agreeing, "KeyAgreementAlgorithm": "ECDH", "PublicKey": pair["PublicKey"]});
    let shared = kms(root, "DeriveSharedSecret", asked).await;
    all.extend(needles("a shared secret", &plain(&shared, "SharedSecret")));

    let iam = async |root: &mut Caller, action, parameters: &[(&str, &str)]| {
        root.iam(action, parameters).await.unwrap().success().unwrap()
    };
    let user = iam(root, "CreateUser", &[("UserName", "alice")]).await.field("Arn").unwrap();
    let made = iam(root, "CreateAccessKey", &[("UserName", "alice")]).await;
    let key = Credentials::of_answer(&made).unwrap();
    all.push(Needle { name: "an access key's secret", bytes: key.secret_access_key.clone().into_bytes() });
    let trust = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": user}, "Action": "sts:AssumeRole"}]});
    let trust = ("AssumeRolePolicyDocument", &*trust.to_string());
    let role = iam(root, "CreateRole", &[("RoleName", "worker"), trust]).await.field("Arn").unwrap();
    let mut alice = Caller::open(&root_endpoint(root), key).await.unwrap();
    let session = [("RoleArn", role.as_str()), ("RoleSessionName", "session")];
    let session = alice.sts("AssumeRole", &session).await.unwrap().success().unwrap();
    let session = Credentials::of_answer(&session).unwrap();
    all.push(Needle { name: "a session's secret", bytes: session.secret_access_key.into_bytes() });
    let token = session.session_token.unwrap();
    all.push(Needle { name: "a session token", bytes: token[..64].to_owned().into_bytes() });
    all
}

fn root_endpoint(root: &Caller) -> String {
    format!("http://{}", root.host())
}

async fn send_customer_key(root: &mut Caller, with: &[u8; 32]) {
    let headers = || {
        [
            ("x-amz-server-side-encryption-customer-algorithm", "AES256".to_owned()),
            ("x-amz-server-side-encryption-customer-key", STANDARD.encode(with)),
            ("x-amz-server-side-encryption-customer-key-md5", STANDARD.encode(Md5::digest(with))),
        ]
    };
    for method in [Method::PUT, Method::GET] {
        let body = Bytes::from(if method == Method::PUT { "x" } else { "" });
        let answer = root.send(method, "/bucket/sealed", &headers(), body).await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        http_body_util::BodyExt::collect(answer.into_body()).await.unwrap();
    }
}

#[tokio::test]
async fn no_secret_stays_in_memory() {
    // So that an ordinary user may look as well.
    let server = Server::start_with(&["--allow-core-dumps", "true"]).unwrap();
    let mut caller = root(&server).await;
    caller.s3(Method::PUT, "/bucket", "").await.unwrap().success().unwrap();
    let mut all = ask_for_secrets(&mut caller).await;
    // Over a connection of its own: what was read last stays in the buffer of an open one.
    let customer_key = [0xa7; 32].map(|byte: u8| byte.rotate_left(3) ^ 0x15);
    let mut customer = root(&server).await;
    send_customer_key(&mut customer, &customer_key).await;
    drop(customer);
    all.extend(needles("a customer's key", &customer_key));
    for n in 0..REQUESTS {
        let object = format!("/bucket/object-{}", n % 7);
        caller.s3(Method::PUT, &object, "content").await.unwrap().success().unwrap();
        caller.s3(Method::GET, &object, "").await.unwrap().success().unwrap();
    }
    let found = found_in_memory(server.pid(), &all);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Starts a gateway as an ordinary user, which a test that runs as root can't be itself.
fn start_as_ordinary_user(folder: &Path, arguments: &[&str]) -> Child {
    const NOBODY: u32 = 65534;
    let program = folder.join("sealgate");
    std::fs::copy(binary().unwrap(), &program).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    let home = folder.join("home");
    std::fs::create_dir(&home).unwrap();
    let mut command = Command::new(program);
    if rustix::process::geteuid().is_root() {
        chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    command.args(["--listen", "127.0.0.1:0", "--min-free-mib", "16", "--log", "warn", "--data"]);
    command.arg(home.join("data")).args(arguments).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    for _ in 0..600 {
        if home.join("data/blobs").is_dir() {
            return child;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    panic!("the gateway does not start: {}", child.wait().unwrap());
}

#[test]
fn memory_is_nobodys_to_read_or_dump() {
    for (arguments, is_protected) in [(&[][..], true), (&["--allow-core-dumps", "true"][..], false)] {
        let folder = tempfile::tempdir().unwrap();
        let mut gateway = start_as_ordinary_user(folder.path(), arguments);
        let of_process = |name: &str| format!("/proc/{}/{name}", gateway.id());
        let limits = std::fs::read_to_string(of_process("limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap().to_owned();
        // What belongs to root there is root's alone to read: proc(5), PR_SET_DUMPABLE.
        let owner = std::fs::metadata(of_process("mem")).unwrap().uid();
        gateway.kill().unwrap();
        gateway.wait().unwrap();
        assert_eq!(owner == 0, is_protected, "{arguments:?} {owner}");
        if is_protected {
            let values: Vec<&str> = core.split_whitespace().skip(4).take(2).collect();
            assert_eq!(values, ["0", "0"], "{core}");
        }
    }
}
