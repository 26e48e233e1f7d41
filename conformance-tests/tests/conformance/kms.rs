//! KMS with boto3, and client-side encryption with the real clients: the scripts of `clients/`, against a gateway each.

use std::path::Path;
use std::process::Command;

use conformance_tests::installed;
use conformance_tests::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server};

fn run(script: &str, endpoint_of: fn(&Server) -> String) {
    let server = Server::start_with(&["--kms-listen", "127.0.0.1:0"]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(installed::python().unwrap().join("python"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(script))
        .current_dir(folder.path())
        .env("AWS_ENDPOINT_URL", &server.endpoint)
        .env("AWS_ENDPOINT_URL_KMS", endpoint_of(&server))
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        .env("AWS_CONFIG_FILE", "none")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

/// What a script prints that must succeed.
fn run_python(server: &Server, script: &str) -> String {
    installed::run_python(&server.endpoint, script).unwrap()
}

#[test]
fn every_operation_with_boto3() {
    run("kms.py", |server| server.endpoint.clone());
}

#[test]
fn every_operation_at_its_own_door() {
    run("kms.py", |server| {
        let line = server.greeting.iter().find_map(|line| line.trim().strip_prefix("KMS"));
        line.unwrap().trim().to_owned()
    });
}

#[test]
fn operations_with_the_sdk_for_javascript() {
    let server = Server::start().unwrap();
    run_python(&server, r#"import boto3; boto3.client("iam").create_user(UserName="alice")"#);
    let output = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/js/kms.mjs"))
        .env("CLIENT_HOME", installed::node().unwrap())
        .env("AWS_ENDPOINT_URL", &server.endpoint)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

pub fn kms_client(server: &Server) -> aws_sdk_kms::Client {
    let config = aws_sdk_kms::Config::builder()
        .behavior_version(aws_sdk_kms::config::BehaviorVersion::latest())
        .region(aws_sdk_kms::config::Region::new("us-east-1"))
        .endpoint_url(&server.endpoint)
        .credentials_provider(aws_sdk_kms::config::Credentials::new(
            ACCESS_KEY_ID,
            SECRET_ACCESS_KEY,
            None,
            None,
            "test",
        ))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    aws_sdk_kms::Client::from_conf(config)
}

/// Messages of the AWS Encryption SDK, under a key of KMS and under the caller's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_the_encryption_sdk_for_rust() {
    use aws_esdk::material_providers::types::AesWrappingAlg;
    use aws_esdk::material_providers::types::material_providers_config::MaterialProvidersConfig;
    use aws_esdk::types::aws_encryption_sdk_config::AwsEncryptionSdkConfig;
    use aws_sdk_kms::primitives::Blob;
    let server = Server::start().unwrap();
    let kms = kms_client(&server);
    let s3 = super::client::client(&server);
    s3.create_bucket().bucket("messages").send().await.unwrap();
    let made = kms.create_key().send().await.unwrap().key_metadata.unwrap();
    let sdk = AwsEncryptionSdkConfig::builder().build().unwrap();
    let sdk = aws_esdk::client::Client::from_conf(sdk).unwrap();
    let providers = MaterialProvidersConfig::builder().build().unwrap();
    let providers = aws_esdk::material_providers::client::Client::from_conf(providers).unwrap();
    let of_kms = providers.create_aws_kms_keyring().kms_key_id(made.arn().unwrap()).kms_client(kms.clone());
    let callers = providers.create_raw_aes_keyring().key_namespace("caller").key_name("one");
    let callers =
        callers.wrapping_key(Blob::new([7; 32])).wrapping_alg(AesWrappingAlg::AlgAes256GcmIv12Tag16);
    for keyring in [of_kms.send().await.unwrap(), callers.send().await.unwrap()] {
        let body = super::client::content(200_000, 3);
        let context = std::collections::HashMap::from([("purpose".to_owned(), "test".to_owned())]);
        let sealed = sdk.encrypt().plaintext(Blob::new(body.clone())).keyring(keyring.clone());
        let sealed = sealed.encryption_context(context.clone()).send().await.unwrap().ciphertext.unwrap();
        let put = s3.put_object().bucket("messages").key("message").body(sealed.into_inner().into());
        put.send().await.unwrap();
        let got = s3.get_object().bucket("messages").key("message").send().await.unwrap();
        let mut stored = got.body.collect().await.unwrap().to_vec();
        let opened = sdk.decrypt().ciphertext(Blob::new(stored.clone())).keyring(keyring.clone());
        let opened = opened.encryption_context(context).send().await.unwrap();
        assert!(opened.plaintext.unwrap().as_ref() == body);
        let at = stored.len() / 2;
        stored[at] ^= 1;
        assert!(sdk.decrypt().ciphertext(Blob::new(stored)).keyring(keyring).send().await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_with_the_sdk_for_rust() {
    use aws_sdk_kms::primitives::Blob;
    use aws_sdk_kms::types::{DataKeySpec, KeySpec, KeyUsageType, MacAlgorithmSpec};
    let server = Server::start().unwrap();
    let kms = kms_client(&server);
    let made = kms.create_key().description("rust").send().await.unwrap().key_metadata.unwrap();
    let (id, arn) = (made.key_id(), made.arn().unwrap());
    kms.create_alias().alias_name("alias/rust").target_key_id(id).send().await.unwrap();
    let sealed = kms.encrypt().key_id("alias/rust").plaintext(Blob::new("secret"));
    let sealed = sealed.encryption_context("purpose", "test").send().await.unwrap().ciphertext_blob.unwrap();
    let decrypt = || kms.decrypt().ciphertext_blob(sealed.clone());
    let opened = decrypt().encryption_context("purpose", "test").send().await.unwrap();
    assert_eq!((opened.key_id(), opened.plaintext().unwrap().as_ref()), (Some(arn), &b"secret"[..]));
    let refused = decrypt().send().await.unwrap_err().into_service_error();
    assert!(refused.is_invalid_ciphertext_exception(), "{refused}");
    let data_key = kms.generate_data_key().key_id(arn).key_spec(DataKeySpec::Aes256).send().await.unwrap();
    assert_eq!(data_key.plaintext().unwrap().as_ref().len(), 32);
    let mac_key = kms.create_key().key_spec(KeySpec::Hmac256).key_usage(KeyUsageType::GenerateVerifyMac);
    let mac_key = mac_key.send().await.unwrap().key_metadata.unwrap();
    let mac = kms.generate_mac().key_id(mac_key.key_id()).mac_algorithm(MacAlgorithmSpec::HmacSha256);
    let mac = mac.message(Blob::new("message")).send().await.unwrap().mac.unwrap();
    let verify = kms.verify_mac().key_id(mac_key.key_id()).mac_algorithm(MacAlgorithmSpec::HmacSha256);
    let refused =
        verify.message(Blob::new("massage")).mac(mac).send().await.unwrap_err().into_service_error();
    assert!(refused.is_kms_invalid_mac_exception(), "{refused}");
    kms.disable_key().key_id(id).send().await.unwrap();
    let refused = kms.generate_data_key().key_id(id).number_of_bytes(16).send().await.unwrap_err();
    let refused = refused.into_service_error();
    assert!(refused.is_disabled_exception(), "{refused}");
    let mut pages = kms.list_keys().into_paginator().page_size(1).send();
    let mut listed = 0;
    while let Some(page) = pages.next().await {
        listed += page.unwrap().keys().len();
    }
    assert_eq!(listed, 2);
}

#[test]
fn client_side_encryption_with_the_real_clients() {
    run("cse.py", |server| server.endpoint.clone());
}

/// What the host's administrator asks and does, and what the audit tells of the requests before.
#[test]
fn the_host_and_the_audit() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.jsonl");
    let mut server =
        Server::start_on(&folder.path().join("data"), &["--audit-log", log.to_str().unwrap()]).unwrap();
    let script = r#"
import boto3
kms, s3 = boto3.client("kms"), boto3.client("s3")
key = kms.create_key()["KeyMetadata"]["Arn"]
s3.create_bucket(Bucket="audited")
s3.put_object(Bucket="audited", Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
s3.get_object(Bucket="audited", Key="k")["Body"].read()
for n in range(3):
    s3.put_object(Bucket="audited", Key=f"b{n}", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key, BucketKeyEnabled=True)
policy = kms.get_key_policy(KeyId=key)["Policy"].replace("kms:*", "kms:Describe*")
kms.put_key_policy(KeyId=key, Policy=policy, BypassPolicyLockoutSafetyCheck=True)
try:
    kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"patient": "top secret"})
    raise SystemExit("not refused")
except kms.exceptions.ClientError as error:
    assert error.response["Error"]["Code"] == "AccessDeniedException"
print(key)
"#;
    let key = run_python(&server, script);
    assert_eq!(server.stop().unwrap(), Some(0));

    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.contains("top secret"), "a value of an encryption context was told");
    let events: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |name: &str| {
        let is_of_key = |event: &&serde_json::Value| event["requestParameters"]["keyId"] == key.as_str();
        let mut found = events.iter().filter(|event| event["eventName"] == name).filter(is_of_key);
        found.next().unwrap_or_else(|| panic!("{name} is not in the audit: {text}")).clone()
    };
    let used = find("GenerateDataKey");
    assert!(used["userIdentity"]["invokedBy"] == "s3.us-east-1.amazonaws.com", "{used}");
    assert!(used.get("errorCode").is_none() && used["eventSource"] == "kms.amazonaws.com", "{used}");
    let more = &used["additionalEventData"];
    assert_eq!(more["encryptionContextNames"][0], "aws:s3:arn");
    assert_eq!(more["keyMaterialId"].as_str().unwrap().len(), 64);
    assert!(!used["requestID"].as_str().unwrap().is_empty());
    assert_eq!(find("Decrypt")["additionalEventData"]["keyMaterialId"], more["keyMaterialId"]);
    let remembered = events.iter().filter(|e| e["additionalEventData"]["remembered"] == true).count();
    assert_eq!(remembered, 2, "uses of a bucket-level key are told too");
    let refused = find("Encrypt");
    assert_eq!(refused["errorCode"], "AccessDeniedException");
    assert!(refused["errorMessage"].as_str().unwrap().starts_with("User: arn:aws:iam::"));

    if Server::skips("commands of a stopped gateway are for a data folder") {
        return;
    }
    let run = |arguments: &[&str]| {
        let output = server.command(arguments).unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (_, status) = run(&["kms", "status"]);
    assert!(status.contains("every record was unsealed"), "{status}");
    let (_, listed) = run(&["kms", "list"]);
    assert!(listed.contains("Enabled"), "{listed}");
    let root = format!("arn:aws:iam::{}:root", key.split(':').nth(4).unwrap());
    let who_can = ["kms", "who-can", &key, "--principal", &root, "--action", "kms:Encrypt"];
    let (may, why) = run(&who_can);
    assert!(!may && why.contains("because no resource-based policy allows the kms:Encrypt action"), "{why}");
    assert!(run(&["kms", "reset-key-policy", &key, "--audit-log", log.to_str().unwrap()]).0);
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.lines().last().unwrap().contains("sealgate:ResetKeyPolicy"), "breaking the glass is told");
    assert_eq!(run(&who_can), (true, "yes: the key policy allows it\n".to_owned()));
    assert!(run(&["kms", "describe", &key]).1.contains("Enable IAM User Permissions"));
    assert!(run(&["kms", "rekey-domain"]).0);
    let new_root = folder.path().join("new.root-key");
    let new_root = new_root.to_str().unwrap();
    assert!(run(&["kms", "rekey-root", "--new-root-key", new_root]).0);
    assert!(!run(&["kms", "status"]).0, "the former root key is refused");
    assert!(run(&["check", "--root-key", new_root]).0, "every object still opens");
}

/// What depends on a key, and moving it elsewhere: on the running gateway, and on the stopped one.
#[test]
fn objects_are_counted_and_moved_for_the_host() {
    let mut server = Server::start().unwrap();
    let keys = run_python(
        &server,
        r#"
import boto3
kms, s3 = boto3.client("kms"), boto3.client("s3")
old, new = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
kms.create_alias(AliasName="alias/old", TargetKeyId=old)
s3.create_bucket(Bucket="moving")
s3.put_bucket_encryption(Bucket="moving", ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault":
    {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/old"}, "BucketKeyEnabled": True}]})
s3.create_bucket(Bucket="other")
for n in range(30):
    s3.put_object(Bucket="moving", Key=f"bucket-key/{n}", Body=b"body" * n, Metadata={"n": str(n)})
    s3.put_object(Bucket="other", Key=f"direct/{n}", Body=b"body" * n, ServerSideEncryption="aws:kms", SSEKMSKeyId=old, SSEKMSEncryptionContext="eyJhIjoiYiJ9")
s3.put_object(Bucket="other", Key="dsse", Body=b"body", ServerSideEncryption="aws:kms:dsse", SSEKMSKeyId=old)
s3.put_object(Bucket="other", Key="s3", Body=b"body")
s3.create_multipart_upload(Bucket="moving", Key="upload")
kms.rotate_key_on_demand(KeyId=old)
print(old, new)
"#,
    );
    let (old, new) = keys.split_once(' ').unwrap();
    let run = |server: &Server, arguments: &[&str]| {
        let output = server.command(arguments).unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (output.status.success(), text)
    };
    let (_, counted) = run(&server, &["kms", "dependents", "alias/old"]);
    for line in
        ["objects  61 in 2 buckets", "uploads  1 under way", "buckets  1 with it", "s3://moving has it"]
    {
        assert!(counted.contains(line), "{counted}");
    }
    let (_, would) = run(&server, &["kms", "rewrap", old, "--dry-run"]);
    assert!(would.contains("61 to be rewrapped, 0 were there already, 0 failed"), "{would}");
    let (_, some) = run(&server, &["kms", "rewrap", old, "--bucket", "moving", "--rate", "1000"]);
    assert!(some.contains("30 rewrapped, 0 were there already"), "{some}");
    let (_, rest) = run(&server, &["kms", "rewrap", old]);
    assert!(rest.contains("31 rewrapped, 30 were there already"), "{rest}");
    let (may, refused) = run(&server, &["kms", "schedule-deletion", "alias/old"]);
    assert!(!may && refused.contains("62 objects and uploads become unreadable"), "{refused}");

    if Server::skips("commands of a stopped gateway are for a data folder") {
        return;
    }
    assert_eq!(server.stop().unwrap(), Some(0));
    assert!(!server.data.join("admin.sock").exists());
    let (_, moved) = run(&server, &["kms", "rewrap", old, "--to", new]);
    assert!(moved.contains("61 rewrapped"), "{moved}");
    server.restart().unwrap();
    let (did, scheduled) = run(&server, &["kms", "schedule-deletion", "alias/old", "--days", "7", "--yes"]);
    assert!(did && scheduled.contains("objects  0 in 0 buckets"), "{scheduled}");
    let script = r#"
import boto3
s3 = boto3.client("s3")
for n in range(30):
    for bucket, key in [("moving", f"bucket-key/{n}"), ("other", f"direct/{n}")]:
        found = s3.get_object(Bucket=bucket, Key=key)
        assert found["Body"].read() == b"body" * n and found["SSEKMSKeyId"] == "NEW", found
        assert found.get("BucketKeyEnabled", False) == (bucket == "moving"), found
assert s3.get_object(Bucket="other", Key="dsse")["ServerSideEncryption"] == "aws:kms:dsse"
"#;
    run_python(&server, &script.replace("NEW", new));

    // A prefix of what is under SSE-S3, versions and all.
    run_python(
        &server,
        r#"
import boto3
s3 = boto3.client("s3")
s3.create_bucket(Bucket="prefixed")
s3.put_bucket_versioning(Bucket="prefixed", VersioningConfiguration={"Status": "Enabled"})
for key in ["in/a", "in/a", "in/b", "out/c"]:
    s3.put_object(Bucket="prefixed", Key=key, Body=b"x")
"#,
    );
    let prefix = ["--bucket", "prefixed", "--prefix", "in/"];
    let (_, moved) = run(&server, &[&["kms", "rewrap", "sse-s3", "--to", new], &prefix[..]].concat());
    assert!(moved.contains("3 rewrapped, 0 were there already, 0 failed"), "{moved}");
    run_python(
        &server,
        &r#"
import boto3
s3 = boto3.client("s3")
rows = s3.list_object_versions(Bucket="prefixed")["Versions"]
for row in rows:
    head = s3.get_object(Bucket="prefixed", Key=row["Key"], VersionId=row["VersionId"])
    assert head["Body"].read() == b"x" and head["ETag"] == row["ETag"]
    assert (head.get("SSEKMSKeyId") or "").endswith("NEW") == row["Key"].startswith("in/"), head
assert len(rows) == 4
"#
        .replace("NEW", new),
    );
}

/// A rewrap that is cut off with its gateway, again and again: every object is whole at each moment, and the job ends at last.
#[test]
fn a_rewrap_goes_on_after_kills() {
    if Server::skips("its gateways are gone while it asks: without one, commands are for a data folder") {
        return;
    }
    let mut server = Server::start().unwrap();
    let key = run_python(
        &server,
        r#"
import boto3
kms, s3 = boto3.client("kms"), boto3.client("s3")
key = kms.create_key()["KeyMetadata"]["Arn"]
s3.create_bucket(Bucket="cut-off")
for n in range(300):
    s3.put_object(Bucket="cut-off", Key=f"{n}", Body=b"body" * n, ServerSideEncryption="aws:kms", SSEKMSKeyId=key, BucketKeyEnabled=n % 2 == 0)
kms.rotate_key_on_demand(KeyId=key)
print(key)
"#,
    );
    let key = key.as_str();
    let rewrap = |server: &Server, more: &[&str]| {
        let output = server.command(&[&["kms", "rewrap", key], more].concat()).unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let mut left = Vec::new();
    for round in 0..4 {
        std::thread::scope(|scope| {
            let data = server.data.clone();
            scope.spawn(move || {
                let mut command = Command::new(conformance_tests::server::binary().unwrap());
                command.args(["kms", "rewrap", key, "--rate", "400", "--data"]).arg(data).output().unwrap()
            });
            std::thread::sleep(std::time::Duration::from_millis(100 + 60 * round));
            server.kill_and_restart().unwrap();
        });
        left.push(rewrap(&server, &["--dry-run"]));
        run_python(
            &server,
            r#"
import boto3
s3 = boto3.client("s3")
for n in range(0, 300, 7):
    assert s3.get_object(Bucket="cut-off", Key=f"{n}")["Body"].read() == b"body" * n
"#,
        );
    }
    let first = &left[0];
    assert!(!first.contains(" 0 were there already") && !first.contains("objects  0 to be"), "{left:?}");
    rewrap(&server, &[]);
    let after = rewrap(&server, &["--dry-run"]);
    assert!(after.contains("objects  0 to be rewrapped, 300 were there already, 0 failed"), "{after}");
}
