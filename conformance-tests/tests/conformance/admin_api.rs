//! The signed admin API: each operation that its description names, as somebody who may and as somebody who may not; and what is told.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use conformance_tests::caller::{Answer, Caller, Credentials};
use conformance_tests::server::Server;
use http::Method;
use http_body_util::BodyExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

const ROOT: &str = "/_sealgate/admin/v1";

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{}", answer.text()))
}

async fn admin(caller: &mut Caller, method: Method, path: &str, body: &str) -> Answer {
    caller.s3_hashed(method, &format!("{ROOT}{path}"), body).await.unwrap()
}

async fn get(caller: &mut Caller, path: &str) -> Value {
    json_of(&admin(caller, Method::GET, path, "").await.success().unwrap())
}

/// Is it what the description says? Of its schemas this knows what they use.
fn check(schema: &Value, value: &Value, place: &str) {
    if let Some(all) = schema["enum"].as_array() {
        assert!(all.contains(value), "{place}: {value}");
        return;
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let fits = kinds.iter().any(|kind| match *kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("{place}: a kind that this test does not know: {other}"),
    });
    assert!(fits, "{place}: {value} is none of {kinds:?}");
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(value.get(name).is_some(), "{place}: {name} is missing in {value}");
    }
    if let (Some(properties), Some(members)) = (schema["properties"].as_object(), value.as_object()) {
        for (name, member) in members {
            if let Some(schema) = properties.get(name) {
                check(schema, member, &format!("{place}.{name}"));
            }
        }
    }
    for member in value.as_array().into_iter().flatten() {
        check(&schema["items"], member, &format!("{place}[]"));
    }
}

/// A user with a policy that allows these actions, if any.
async fn user(server: &Server, root: &mut Caller, name: &str, actions: &[&str]) -> Caller {
    root.iam("CreateUser", &[("UserName", name)]).await.unwrap().success().unwrap();
    let made = root.iam("CreateAccessKey", &[("UserName", name)]).await.unwrap().success().unwrap();
    if !actions.is_empty() {
        allow(root, name, actions).await;
    }
    Caller::open(&server.endpoint, Credentials::of_answer(&made).unwrap()).await.unwrap()
}

async fn allow(root: &mut Caller, name: &str, actions: &[&str]) {
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Action": actions, "Resource": "*" }],
    });
    let parameters = [("UserName", name), ("PolicyName", "p"), ("PolicyDocument", &policy.to_string())];
    root.iam("PutUserPolicy", &parameters).await.unwrap().success().unwrap();
}

struct Stage {
    server: Server,
    root: Caller,
    key_id: String,
    _folder: tempfile::TempDir,
}

/// A gateway with an audit log, a KMS key, a bucket with an object under it, a role and a user.
async fn stage() -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let server = Server::start_with(&["--audit-log", audit.to_str().unwrap()]).unwrap();
    let mut root = Caller::open(&server.endpoint, Credentials::root()).await.unwrap();
    let made = root.kms("CreateKey", &json!({})).await.unwrap().success().unwrap();
    let key_id = json_of(&made)["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned();
    let alias = json!({ "AliasName": "alias/shown", "TargetKeyId": key_id });
    root.kms("CreateAlias", &alias).await.unwrap().success().unwrap();
    root.s3(Method::PUT, "/shown", "").await.unwrap().success().unwrap();
    put(&mut root, "/shown/object", "aws:kms", Some(&key_id), &"x".repeat(300_000)).await;
    let trust = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "AWS": "*" }, "Action": "sts:AssumeRole" },
    ]});
    let role = [("RoleName", "worker"), ("AssumeRolePolicyDocument", &trust.to_string())];
    root.iam("CreateRole", &role).await.unwrap().success().unwrap();
    root.iam("CreateUser", &[("UserName", "somebody")]).await.unwrap().success().unwrap();
    Stage { server, root, key_id, _folder: folder }
}

async fn put(caller: &mut Caller, target: &str, mode: &str, key: Option<&str>, body: &str) {
    let mut headers = vec![("x-amz-server-side-encryption", mode.to_owned())];
    headers.extend(key.map(|key| ("x-amz-server-side-encryption-aws-kms-key-id", key.to_owned())));
    let body = Bytes::copy_from_slice(body.as_bytes());
    let answer = caller.send(Method::PUT, target, &headers, body).await.unwrap();
    assert_eq!(answer.status(), 200, "{target}");
    answer.into_body().collect().await.unwrap();
}

/// A request for an operation, as its description has it.
fn request_for(method: &Method, path: &str, key_id: &str) -> (String, &'static str) {
    let target = match path {
        "/object/encryption" | "/object/verify" => format!("{path}?bucket=shown&key=object"),
        "/quota" => format!("{path}?bucket=shown"),
        path => path
            .replace("{id}", key_id)
            .replace("{name}", if path.starts_with("/roles") { "worker" } else { "somebody" }),
    };
    let body = match path {
        "/quota" => "{\"bytes\":1000000000}",
        "/accounts" if *method == Method::POST => "{\"name\":\"made\"}",
        _ => "",
    };
    (target, body)
}

#[tokio::test]
async fn each_operation_answers_as_described_to_those_who_may_and_to_nobody_else() {
    let Stage { server, mut root, key_id, _folder } = stage().await;
    let description = get(&mut root, "/openapi.json").await;
    let mut denied = user(&server, &mut root, "denied", &[]).await;
    let mut permitted = user(&server, &mut root, "permitted", &[]).await;
    let mut asked = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let (target, body) = request_for(&method, path, &key_id);
            let action = operation["x-action"].as_str();
            let (kind, content) =
                operation["responses"]["200"]["content"].as_object().unwrap().iter().next().unwrap();
            let told = admin(&mut root, method.clone(), &target, body).await.success().unwrap();
            assert_eq!(told.headers["content-type"], kind.as_str(), "{target}");
            for line in told.text().lines() {
                check(&content["schema"], &serde_json::from_str(line).unwrap(), &target);
            }
            asked += 1;
            let Some(action) = action else { continue };
            let refused = admin(&mut denied, method.clone(), &target, body).await;
            let told = json_of(&refused);
            assert_eq!((refused.status.as_u16(), &told["code"]), (403, &json!("AccessDenied")), "{target}");
            assert!(told["message"].as_str().unwrap().contains(action), "{target}: {told}");
            assert!(refused.headers.contains_key("x-sealgate-authorization-message"), "{target}");
            // What it does by other services needs their permission as well.
            let further = match operation["operationId"].as_str().unwrap() {
                "RevokeRoleSessions" => Some("iam:PutRolePolicy"),
                "RevokeUserSessions" => Some("iam:PutUserPolicy"),
                "VerifyObject" => Some("kms:Decrypt"),
                _ => None,
            };
            allow(&mut root, "permitted", &[action]).await;
            let alone = admin(&mut permitted, method.clone(), &target, body).await;
            assert_eq!(alone.status.as_u16(), if further.is_some() { 403 } else { 200 }, "{}", alone.text());
            if let Some(further) = further {
                allow(&mut root, "permitted", &[action, further]).await;
                admin(&mut permitted, method, &target, body).await.success().unwrap();
            }
        }
    }
    assert!(asked >= 16, "{asked}");

    let wrong = |answer: Answer| (answer.status.as_u16(), json_of(&answer)["code"].clone());
    let unknown = admin(&mut root, Method::GET, "/nothing", "").await;
    assert_eq!(wrong(unknown), (404, json!("NoSuchOperation")));
    let method = admin(&mut root, Method::DELETE, "/status", "").await;
    assert_eq!(wrong(method), (405, json!("MethodNotAllowed")));
    let minutes = admin(&mut root, Method::GET, "/history?minutes=0", "").await;
    assert_eq!(wrong(minutes), (400, json!("InvalidParameterValue")));
    let bytes = admin(&mut root, Method::PUT, "/quota?bucket=shown", "{}").await;
    assert_eq!(wrong(bytes), (400, json!("InvalidParameterValue")));
    let unsigned_body =
        root.s3(Method::PUT, &format!("{ROOT}/quota?bucket=shown"), "{\"bytes\":1}").await.unwrap();
    assert_eq!(wrong(unsigned_body), (400, json!("InvalidParameterValue")));
    let absent = admin(&mut root, Method::GET, "/object/encryption?bucket=shown&key=none", "").await;
    assert_eq!(wrong(absent), (404, json!("NoSuchKey")));
    let mut guesser = Caller::open(&server.endpoint, Credentials::root().guessed()).await.unwrap();
    let guessed = admin(&mut guesser, Method::GET, "/whoami", "").await;
    assert_eq!(wrong(guessed), (403, json!("SignatureDoesNotMatch")));
}

#[tokio::test]
async fn another_accounts_principals_see_their_own() {
    let Stage { server, mut root, key_id, _folder } = stage().await;
    let tenant = server.create_account("tenant").unwrap();
    let credentials = Credentials::of_key(&tenant.access_key_id, &tenant.secret_access_key);
    let mut other = Caller::open(&server.endpoint, credentials).await.unwrap();
    other.s3(Method::PUT, "/theirs", "").await.unwrap().success().unwrap();
    other.s3(Method::PUT, "/theirs/object", "x").await.unwrap().success().unwrap();

    let told = get(&mut other, "/whoami").await;
    assert_eq!((&told["account"], &told["is_root"]), (&json!(tenant.id), &json!(true)));
    assert_eq!(told["session"], false);
    let usage = get(&mut other, "/usage").await;
    assert_eq!(usage["buckets"].as_array().unwrap().len(), 1, "{usage}");
    assert_eq!((&usage["buckets"][0]["name"], &usage["total"]["objects"]), (&json!("theirs"), &json!(1)));
    assert_eq!(get(&mut root, "/usage").await["buckets"].as_array().unwrap().len(), 2);
    for (method, path, body, status) in [
        (Method::GET, "/status".to_owned(), "", 403),
        (Method::GET, "/history".to_owned(), "", 403),
        (Method::GET, "/object/encryption?bucket=shown&key=object".to_owned(), "", 403),
        (Method::POST, "/object/verify?bucket=shown&key=object".to_owned(), "", 403),
        (Method::PUT, "/quota?bucket=shown".to_owned(), "{\"bytes\":1}", 404),
        (Method::PUT, format!("/quota?account={}", tenant.id), "{\"bytes\":1}", 403),
        (Method::POST, "/accounts".to_owned(), "{\"name\":\"made\"}", 403),
        (Method::GET, "/audit?file=audit.jsonl".to_owned(), "", 403),
        (Method::GET, format!("/keys/{key_id}/dependents"), "", 404),
        (Method::GET, format!("/keys/{key_id}/who-can"), "", 404),
        (Method::POST, "/users/somebody/revoke-sessions".to_owned(), "", 404),
    ] {
        let answer = admin(&mut other, method, &path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text());
    }
    let accounts = get(&mut other, "/accounts").await;
    assert_eq!(accounts["accounts"].as_array().unwrap().len(), 1, "{accounts}");
    assert_eq!(accounts["accounts"][0]["id"], tenant.id.as_str());
    let told = get(&mut other, "/audit").await;
    assert_eq!(told["files"], json!([]));
    let events = told["events"].as_array().unwrap();
    assert!(!events.is_empty());
    let foreign = events.iter().filter(|event| event["userIdentity"]["accountId"] != tenant.id.as_str());
    assert_eq!(foreign.count(), 0, "{events:?}");
    get(&mut other, "/encryption/summary").await;
    let theirs = wait_for_summary(&mut other).await;
    assert_eq!(theirs["buckets"].as_array().unwrap().len(), 1, "{theirs}");
    assert_eq!(theirs["keys"], json!([]));
}

#[tokio::test]
async fn an_account_is_made_with_the_only_copy_of_its_secret() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let server = Server::start_with(&["--audit-log", audit.to_str().unwrap()]).unwrap();
    let mut root = Caller::open(&server.endpoint, Credentials::root()).await.unwrap();
    let wanted = json!({ "name": "Tenant", "email": "tenant@example.com", "id": "444455556666" }).to_string();
    let made = admin(&mut root, Method::POST, "/accounts", &wanted).await.success().unwrap();
    assert_eq!(made.headers["cache-control"], "no-store");
    let made = json_of(&made);
    assert_eq!(made["account"], "444455556666");
    let (id, secret) = (made["access_key_id"].as_str().unwrap(), made["secret_access_key"].as_str().unwrap());
    let mut tenant = Caller::open(&server.endpoint, Credentials::of_key(id, secret)).await.unwrap();
    let who = get(&mut tenant, "/whoami").await;
    assert_eq!((&who["account"], &who["is_root"]), (&json!("444455556666"), &json!(true)));
    tenant.s3(Method::PUT, "/theirs", "").await.unwrap().success().unwrap();
    let told = get(&mut root, "/accounts").await;
    let rows = told["accounts"].as_array().unwrap();
    let row = rows.iter().find(|row| row["id"] == "444455556666").unwrap();
    assert_eq!((&row["name"], &row["state"]), (&json!("Tenant"), &json!("enabled")));
    assert_eq!(rows.iter().filter(|row| row["state"] == "main").count(), 1, "{told}");
    let everywhere = format!("{told}{}", std::fs::read_to_string(&audit).unwrap());
    assert!(everywhere.contains("CreateAccount") && !everywhere.contains(secret), "{everywhere}");
    for (body, status, code) in [
        (wanted.as_str(), 409, "EntityAlreadyExists"),
        ("{\"name\":\"x\",\"email\":\"tenant@example.com\"}", 409, "EntityAlreadyExists"),
        ("{\"name\":\" \"}", 400, "ValidationError"),
        ("{\"name\":\"x\",\"id\":\"12\"}", 400, "ValidationError"),
        ("{\"name\":\"x\",\"is_admin\":true}", 400, "InvalidParameterValue"),
        ("", 400, "InvalidParameterValue"),
    ] {
        let answer = admin(&mut root, Method::POST, "/accounts", body).await;
        let told = json_of(&answer);
        assert_eq!((answer.status.as_u16(), &told["code"]), (status, &json!(code)), "{body}: {told}");
    }
    assert_eq!(get(&mut root, "/accounts").await["accounts"].as_array().unwrap().len(), rows.len());
}

#[tokio::test]
async fn audit_logs_that_were_put_aside_are_looked_through_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (log, aside) = (folder.path().join("audit.jsonl"), folder.path().join("audit.jsonl.1"));
    let server = Server::start_with(&["--audit-log", log.to_str().unwrap()]).unwrap();
    let mut root = Caller::open(&server.endpoint, Credentials::root()).await.unwrap();
    root.s3(Method::PUT, "/before", "").await.unwrap().success().unwrap();
    std::fs::rename(&log, &aside).unwrap();
    server.signal(rustix::process::Signal::USR1).unwrap();
    for _ in 0..600 {
        root.s3(Method::GET, "/", "").await.unwrap().success().unwrap();
        if log.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let made = "/audit?action=s3%3Acreatebucket";
    let told = get(&mut root, made).await;
    let names: Vec<_> = told["files"].as_array().unwrap().iter().map(|file| file["name"].clone()).collect();
    assert_eq!((names, &told["events"]), (vec![json!("audit.jsonl"), json!("audit.jsonl.1")], &json!([])));
    let told = get(&mut root, &format!("{made}&file=audit.jsonl.1")).await;
    assert_eq!(told["events"].as_array().unwrap().len(), 1, "{told}");
    for name in ["audit.jsonl.head", "..%2F..%2Fetc%2Fpasswd", "audit.jsonl.2"] {
        let answer = admin(&mut root, Method::GET, &format!("/audit?file={name}"), "").await;
        assert_eq!(answer.status, 404, "{name}: {}", answer.text());
    }
}

async fn wait_for_summary(caller: &mut Caller) -> Value {
    for _ in 0..600 {
        let told = get(caller, "/encryption/summary").await;
        if !told["counted_at_ms"].is_null() && told["counting"] == false {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing is counted");
}

#[tokio::test]
async fn the_chain_of_keys_is_that_of_each_mode() {
    let Stage { server, mut root, key_id, _folder } = stage().await;
    put(&mut root, "/shown/s3", "AES256", None, "x").await;
    put(&mut root, "/shown/dsse", "aws:kms:dsse", Some(&key_id), &"x".repeat(20_000)).await;
    let kinds = |told: &Value| -> Vec<String> {
        let chain = told["chain"].as_array().unwrap();
        chain.iter().map(|link| link["kind"].as_str().unwrap().to_owned()).collect()
    };
    let told = get(&mut root, "/object/encryption?bucket=shown&key=s3").await;
    assert_eq!((&told["mode"], &told["kms_key_id"]), (&json!("SSE-S3"), &Value::Null));
    assert_eq!(kinds(&told), ["root_key", "domain_key", "backing_key", "epoch", "content_key", "chunks"]);
    assert_eq!(told["parts"][0]["stored_len"], 1 + 56 + 16);
    let told = get(&mut root, "/object/encryption?bucket=shown&key=object").await;
    assert_eq!((&told["mode"], &told["chunks"]), (&json!("SSE-KMS"), &json!(300_000 / 16_384 + 1)));
    assert!(told["kms_key_id"].as_str().unwrap().ends_with(&key_id), "{told}");
    assert!(told["kms_key_alias"].as_str().unwrap().contains("alias/shown"), "{told}");
    assert!(kinds(&told).contains(&"data_key".to_owned()), "{told}");
    let bound = told["bound_fields"].to_string();
    assert!(bound.contains("aws:s3:arn=arn:aws:s3:::shown/object"), "{bound}");
    let before = told["backing_key_id"].clone();
    assert_eq!(told["backing_key_is_current"], true);
    root.kms("RotateKeyOnDemand", &json!({ "KeyId": key_id })).await.unwrap().success().unwrap();
    let told = get(&mut root, "/object/encryption?bucket=shown&key=object").await;
    assert_eq!((&told["backing_key_id"], &told["backing_key_is_current"]), (&before, &json!(false)));
    let told = get(&mut root, "/object/encryption?bucket=shown&key=dsse").await;
    assert_eq!((&told["mode"], &told["layers"]), (&json!("DSSE-KMS"), &json!(2)));

    let told = wait_for_summary(&mut root).await;
    let modes = told["buckets"][0]["modes"].as_array().unwrap();
    let objects = |mode: &str| modes.iter().find(|row| row["mode"] == mode).map(|row| row["objects"].clone());
    assert_eq!(
        [objects("SSE-S3"), objects("SSE-KMS"), objects("DSSE-KMS")],
        [1, 1, 1].map(|n| Some(json!(n)))
    );
    assert_eq!((&told["keys"][0]["objects"], &told["keys"][0]["bytes"]), (&json!(2), &json!(320_000)));
    assert_eq!(told["keys"][0]["under_former_backing_key"], 2, "{told}");

    let id = utf8_percent_encode("alias/shown", NON_ALPHANUMERIC).to_string();
    let told = get(&mut root, &format!("/keys/{id}/dependents")).await;
    assert_eq!((&told["objects"], &told["buckets"], &told["complete"]), (&json!(2), &json!(1), &json!(true)));
    user(&server, &mut root, "reader", &["kms:Decrypt"]).await;
    let told = get(&mut root, &format!("/keys/{key_id}/who-can")).await;
    let may = |name: &str| {
        let all = told["principals"].as_array().unwrap();
        let found = all.iter().find(|row| row["principal"].as_str().unwrap().ends_with(name));
        found.unwrap_or_else(|| panic!("{name}: {told}"))["allowed"].clone()
    };
    assert_eq!(
        [may(":root"), may("user/reader"), may("user/somebody"), may("role/worker")],
        [true, true, false, false].map(Value::from)
    );
}

/// The file of this folder that holds most.
fn largest_file(folder: &Path) -> PathBuf {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push((path.metadata().unwrap().len(), path));
            }
        }
    }
    files.sort();
    files.pop().unwrap().1
}

fn last_line(answer: &Answer) -> Value {
    serde_json::from_str(answer.text().lines().last().unwrap()).unwrap()
}

#[tokio::test]
async fn verify_reads_all_of_an_object_and_finds_one_changed_byte() {
    let Stage { server, mut root, key_id, _folder } = stage().await;
    let path = "/object/verify?bucket=shown&key=large";
    let len = 8 << 20;
    put(&mut root, "/shown/large", "aws:kms", Some(&key_id), &"x".repeat(len)).await;
    let told = last_line(&admin(&mut root, Method::POST, path, "").await.success().unwrap());
    assert_eq!(told, json!({ "ok": true, "bytes": len, "chunks": len / 16_384 + 1, "error": null }));

    // An object under its caller's key needs that key.
    let secret =
        ("x-amz-server-side-encryption-customer-key", "c2VhbGdhdGUgY29uc29sZSB0ZXN0IGtleSAzMmJ5dGU=");
    let customer = [
        ("x-amz-server-side-encryption-customer-algorithm", "AES256".to_owned()),
        (secret.0, secret.1.to_owned()),
        ("x-amz-server-side-encryption-customer-key-md5", md5_of(secret.1)),
    ];
    let body = Bytes::from_static(b"held by its caller");
    let made = root.send(Method::PUT, "/shown/customer", &customer, body).await.unwrap();
    assert_eq!(made.status(), 200);
    made.into_body().collect().await.unwrap();
    let path_of_customer = "/object/verify?bucket=shown&key=customer";
    let refused = admin(&mut root, Method::POST, path_of_customer, "").await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    let target = format!("{ROOT}{path_of_customer}");
    let answer = root.send(Method::POST, &target, &customer, Bytes::new()).await.unwrap();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    let told: Value = serde_json::from_slice(text.split(|b| *b == b'\n').next().unwrap()).unwrap();
    assert_eq!((&told["ok"], &told["bytes"]), (&json!(true), &json!(18)), "{told}");

    if Server::skips("a byte of a blob on this disk is changed") {
        return;
    }
    let mut blob = OpenOptions::new()
        .read(true)
        .write(true)
        .open(largest_file(&server.data.join("blobs/files")))
        .unwrap();
    let at = SeekFrom::Start(2_000_000);
    let mut byte = [0];
    blob.seek(at).unwrap();
    blob.read_exact(&mut byte).unwrap();
    blob.seek(at).unwrap();
    blob.write_all(&[byte[0] ^ 1]).unwrap();
    blob.sync_all().unwrap();
    let told = last_line(&admin(&mut root, Method::POST, path, "").await.success().unwrap());
    assert_eq!(told["ok"], false, "{told}");
    assert!(told["error"].as_str().unwrap().contains("tampered"), "{told}");
}

fn md5_of(base64_key: &str) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use md5::Digest;
    STANDARD.encode(md5::Md5::digest(STANDARD.decode(base64_key).unwrap()))
}

#[tokio::test]
async fn history_audit_and_revoked_sessions_tell_what_was_done() {
    let Stage { server, mut root, _folder, .. } = stage().await;
    let quota = admin(&mut root, Method::PUT, "/quota?bucket=shown", "{\"bytes\":301000}").await;
    quota.success().unwrap();
    let status = get(&mut root, "/status").await;
    assert!(status["warnings"].to_string().contains("bucket shown holds"), "{status}");
    assert_eq!((&status["ready"], status["jobs"].as_array().unwrap().len()), (&json!(true), 4));
    let usage = get(&mut root, "/usage").await;
    assert_eq!(usage["buckets"][0]["quota_bytes"], 301_000);
    let over = root.s3(Method::PUT, "/shown/more", &"x".repeat(2000)).await.unwrap();
    assert!(!over.status.is_success(), "{}", over.text());
    admin(&mut root, Method::PUT, "/quota?bucket=shown", "{\"bytes\":null}").await.success().unwrap();
    root.s3(Method::PUT, "/shown/more", &"x".repeat(2000)).await.unwrap().success().unwrap();

    let mut seen = json!(null);
    for _ in 0..600 {
        let told = get(&mut root, "/history?minutes=60").await;
        assert_eq!(told["step_s"], 10);
        let points = told["points"].as_array().unwrap().clone();
        let sum = |name: &str| points.iter().filter_map(|point| point[name].as_u64()).sum::<u64>();
        seen = json!([sum("requests"), sum("errors_4xx"), sum("bytes_in")]);
        if sum("requests") >= 8 && sum("errors_4xx") >= 1 && sum("bytes_in") >= 302_000 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(seen[0].as_u64() >= Some(8) && seen[2].as_u64() >= Some(302_000), "{seen}");

    let mut worker = user(&server, &mut root, "worker-user", &["sts:AssumeRole"]).await;
    let arn = json_of(&admin(&mut root, Method::GET, "/whoami", "").await)["account"].clone();
    let role = format!("arn:aws:iam::{}:role/worker", arn.as_str().unwrap());
    let all = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "s3:*", "Resource": "*" },
    ]});
    let policy = [("RoleName", "worker"), ("PolicyName", "all"), ("PolicyDocument", &all.to_string())];
    root.iam("PutRolePolicy", &policy).await.unwrap().success().unwrap();
    let assumed = [("RoleArn", role.as_str()), ("RoleSessionName", "shift")];
    let session = worker.sts("AssumeRole", &assumed).await.unwrap().success().unwrap();
    let session = Credentials::of_answer(&session).unwrap();
    let mut shift = Caller::open(&server.endpoint, session).await.unwrap();
    shift.s3(Method::GET, "/shown?list-type=2", "").await.unwrap().success().unwrap();
    assert_eq!(get(&mut shift, "/whoami").await["session"], true);
    let revoked = admin(&mut root, Method::POST, "/roles/worker/revoke-sessions", "").await;
    assert_eq!(json_of(&revoked.success().unwrap())["policy"], "AWSRevokeOlderSessions");
    assert_eq!(shift.s3(Method::GET, "/shown?list-type=2", "").await.unwrap().code(), "AccessDenied");

    let events = get(&mut root, "/audit?action=s3%3Alistobject&principal=shift").await;
    let events = events["events"].as_array().unwrap();
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!((&events[0]["errorCode"], &events[1]["errorCode"]), (&json!("AccessDenied"), &json!(null)));
    let first = get(&mut root, "/audit?limit=2").await;
    let next = first["next"].as_str().unwrap();
    let second = get(&mut root, &format!("/audit?after={next}&limit=2")).await;
    let ids = |told: &Value| -> Vec<String> {
        told["events"].as_array().unwrap().iter().map(|event| event["eventID"].to_string()).collect()
    };
    assert!(ids(&first).iter().all(|id| !ids(&second).contains(id)));
    assert_eq!(get(&mut root, "/audit?to=2020-01-01T00%3A00%3A00Z").await["events"], json!([]));
}
