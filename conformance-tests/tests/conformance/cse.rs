//! `sealgate cse`: the built binary against a gateway, and against AWS's client for Python.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use conformance_tests::caller::{Caller, Credentials as Signing};
use conformance_tests::installed;
use conformance_tests::seaweedfs::{BUCKET, Seaweedfs};
use conformance_tests::server::{Server, binary};
use serde_json::{Value, json};

use crate::cli::{Credentials, Shell};
use crate::client::{client, content};

const RSA_KEY: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../gateway/encryption-client/src/keyring/test-key.pem");
const ACCOUNT: &str = "123456789012";
const V2: &str = "--commitment-policy forbid-encrypt-allow-decrypt";
const V2_TOO: &str = "--commitment-policy require-encrypt-allow-decrypt";

async fn caller(server: &Server) -> Caller {
    Caller::open(&server.endpoint, Signing::root()).await.unwrap()
}

/// A gateway with the bucket `cse` and two KMS keys, `alias/one` and `alias/two`.
async fn gateway() -> Server {
    let server = Server::start_with(&["--account-id", ACCOUNT]).unwrap();
    client(&server).create_bucket().bucket("cse").send().await.unwrap();
    let mut caller = caller(&server).await;
    for alias in ["alias/one", "alias/two"] {
        let made = caller.kms("CreateKey", &json!({})).await.unwrap().success().unwrap();
        let made: Value = serde_json::from_str(&made.text()).unwrap();
        let named = json!({"AliasName": alias, "TargetKeyId": made["KeyMetadata"]["KeyId"]});
        caller.kms("CreateAlias", &named).await.unwrap().success().unwrap();
    }
    server
}

/// A folder with keys, and with a file of each of these lengths.
fn folder(lens: &[usize]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("aes", &[7; 32]);
    write("other", "0".repeat(64).as_bytes());
    write("rsa", &std::fs::read(RSA_KEY).unwrap());
    for len in lens {
        write(&len.to_string(), &content(*len, 1));
    }
    folder
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).unwrap()
}

fn inspected(shell: &Shell<'_>, line: &str) -> Vec<Value> {
    let told = shell.told(&format!("cse inspect {line} --json"));
    told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn every_key_format_and_place_seals_and_opens() {
    let server = gateway().await;
    let lens = [0, 1, 100_000];
    let folder = folder(&lens);
    let shell = Shell { server: &server, folder: folder.path() };
    let root = Credentials::root();
    let keys = [
        ("AES/GCM", "--aes-key aes --description key=1", "--aes-key other --description key=1"),
        ("RSA-OAEP-SHA1", "--rsa-key rsa", "--aes-key aes"),
        ("kms+context", "--kms-key alias/one --context dept=it", "--kms-key alias/two --context dept=it"),
    ];
    let mut lens = lens.iter().cycle();
    for (algorithm, key, other) in keys {
        for (format, writes, reads) in [("V3", "", ""), ("V2", V2, V2_TOO)] {
            for (place, placed) in [("metadata", ""), ("instruction file", "--instruction-file")] {
                let len = lens.next().unwrap();
                let line = |parts: &[&str]| parts.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
                shell.told(&line(&["cse put", &len.to_string(), "s3://cse/object", key, writes, placed]));
                shell.told(&line(&["cse get s3://cse/object out", key, reads]));
                assert!(read(folder.path(), "out") == content(*len, 1), "{algorithm} {format} {place}");
                std::fs::remove_file(folder.path().join("out")).unwrap();
                shell.refused(&line(&["cse get s3://cse/object out", other, reads]), &root);
                if !reads.is_empty() {
                    let told = shell.refused(&line(&["cse get s3://cse/object out", key]), &root);
                    assert!(told.contains("does not commit to its key"), "{told}");
                }
                assert!(!folder.path().join("out").exists());
                shell.told(&line(&["cse verify s3://cse/object", key, reads]));
                let seen = inspected(&shell, "s3://cse/object").remove(0);
                let expected = json!([format, algorithm, place, len + 16, len, format == "V3"]);
                let names = ["format", "key_wrap_algorithm", "key_is_in", "sealed_bytes", "plain_bytes"];
                let mut found: Vec<_> = names.iter().map(|name| seen[name].clone()).collect();
                found.push(seen["commits_to_its_key"].clone());
                assert_eq!(Value::from(found), expected, "{seen}");
            }
        }
    }
    let told = shell.refused("cse get s3://cse/object out --kms-key alias/one --context dept=hr", &root);
    assert!(told.contains("does not commit"), "{told}");
    let v2 = format!("cse get s3://cse/object out --kms-key alias/one --context dept=hr {V2_TOO}");
    let told = shell.refused(&v2, &root);
    assert!(told.contains("encryption context is not the one"), "{told}");
    shell.told(&format!("cse get s3://cse/object out --kms-account {ACCOUNT} --context dept=it {V2_TOO}"));
    let told = shell.refused(
        &format!("cse get s3://cse/object out --kms-account 111122223333 --context dept=it {V2_TOO}"),
        &root,
    );
    assert!(told.contains("discovery filter"), "{told}");
    let known = json!({"KeyId": "alias/one"});
    let known = caller(&server).await.kms("DescribeKey", &known).await.unwrap().success().unwrap();
    let known: Value = serde_json::from_str(&known.text()).unwrap();
    let id = json!({"KeyId": known["KeyMetadata"]["KeyId"]});
    caller(&server).await.kms("DisableKey", &id).await.unwrap().success().unwrap();
    let v2 = format!("cse get s3://cse/object out --kms-key alias/one --context dept=it {V2_TOO}");
    for line in [&*v2, "cse put 1 s3://cse/x --kms-key alias/one"] {
        let told = shell.refused(line, &root);
        assert!(told.contains("DisabledException"), "{line}: {told}");
    }
    for (line, reason) in [
        ("cse put 1 s3://cse/x", "name the key"),
        ("cse put 1 s3://cse/x --aes-key aes --rsa-key rsa", "name one key alone"),
        ("cse put 1 s3://cse/x --aes-key 1", "holds no AES-256 key"),
        ("cse put 1 s3://cse/x --aes-key aes --context a=b", "use --description"),
        ("cse put 1 s3://cse/x.instruction --aes-key aes", "taken for an instruction file"),
        ("cse get s3://cse/none out --aes-key aes", "there is no object none"),
        ("cse put 1 s3://cse/x --kms-key alias/none", "NotFoundException"),
    ] {
        let told = shell.refused(line, &root);
        assert!(told.contains(reason), "{line}: {told}");
    }
}

fn piped(shell: &Shell<'_>, line: &str, input: Vec<u8>) -> std::process::Output {
    let mut command = Command::new(binary().unwrap());
    // The shell's variables; it waits for programs that read nothing.
    command.args(line.split(' ')).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.current_dir(shell.folder).envs([
        ("AWS_ENDPOINT_URL", shell.server.endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", conformance_tests::server::ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", conformance_tests::server::SECRET_ACCESS_KEY),
    ]);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    output
}

#[tokio::test]
async fn streams_in_parts_come_back_and_nothing_is_released_of_one_that_was_changed() {
    let server = gateway().await;
    let folder = folder(&[]);
    let shell = Shell { server: &server, folder: folder.path() };
    let body = content(20_000_001, 1);
    let put = piped(&shell, "cse put - s3://cse/stream --aes-key aes --user-metadata a=b", body.clone());
    assert!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
    let sdk = client(&server);
    let stored = sdk.get_object().bucket("cse").key("stream").send().await.unwrap();
    assert!(stored.e_tag().unwrap().ends_with("-4\""), "{:?}", stored.e_tag());
    let metadata = stored.metadata().unwrap().clone();
    assert_eq!(metadata["a"], "b");
    let mut sealed = stored.body.collect().await.unwrap().to_vec();
    // In memory, spooled to a file, and at once.
    for mode in ["", " --max-memory-mib 1", " --delayed-authentication"] {
        let got = piped(&shell, &format!("cse get s3://cse/stream - --aes-key aes{mode}"), Vec::new());
        assert!(got.status.success() && got.stdout == body, "{mode}");
    }
    *sealed.last_mut().unwrap() ^= 1;
    let put = sdk.put_object().bucket("cse").key("stream").set_metadata(Some(metadata));
    put.body(sealed.into()).send().await.unwrap();
    for mode in ["", " --max-memory-mib 1"] {
        let got = piped(&shell, &format!("cse get s3://cse/stream - --aes-key aes{mode}"), Vec::new());
        assert!(!got.status.success() && got.stdout.is_empty(), "{mode}");
    }
    // Nothing is left of an upload whose source turns out to be false at its end.
    let copy = "cse cp s3://cse/stream s3://cse/copied --aes-key aes --delayed-authentication";
    let told = shell.refused(copy, &Credentials::root());
    assert!(told.contains("is not what was sealed"), "{told}");
    let uploads = sdk.list_multipart_uploads().bucket("cse").send().await.unwrap();
    assert!(uploads.uploads().is_empty(), "{uploads:?}");
    sdk.head_object().bucket("cse").key("copied").send().await.unwrap_err();
    std::fs::write(folder.path().join("out"), "as it was").unwrap();
    let told = shell.refused("cse get s3://cse/stream out --aes-key aes", &Credentials::root());
    assert!(told.contains("is not what was sealed"), "{told}");
    assert_eq!(read(folder.path(), "out"), b"as it was");
    let judged = shell.sealgate("cse verify s3://cse/stream --aes-key aes", Some(&Credentials::root()));
    assert_eq!(judged.status.code(), Some(1), "{}", String::from_utf8_lossy(&judged.stdout));
    let judged = shell.sealgate("cse verify s3://cse/stream --aes-key none", Some(&Credentials::root()));
    assert_eq!(judged.status.code(), Some(2));
}

#[tokio::test]
async fn folders_go_up_and_down_and_across() {
    let server = gateway().await;
    let folder = folder(&[]);
    let shell = Shell { server: &server, folder: folder.path() };
    let files = ["up/a", "up/b/c d", "up/b/e/f"];
    for (number, file) in files.iter().enumerate() {
        std::fs::create_dir_all(folder.path().join(file).parent().unwrap()).unwrap();
        std::fs::write(folder.path().join(file), content(1000, number as u64)).unwrap();
    }
    std::os::unix::fs::symlink("/", folder.path().join("up/link")).unwrap();
    let told = shell.told("cse cp -r up s3://cse/copied --kms-key alias/one --instruction-file");
    assert!(told.contains("objects  3"), "{told}");
    shell.told("cse cp -r s3://cse/copied s3://cse/again --kms-key alias/one");
    shell.told("cse cp -r s3://cse/again/ down --kms-key alias/one");
    for (number, file) in files.iter().enumerate() {
        let down = file.replacen("up", "down", 1);
        assert_eq!(read(folder.path(), &down), content(1000, number as u64));
    }
    let places = |prefix: &str| -> Vec<Value> {
        let found = inspected(&shell, &format!("s3://cse/{prefix} -r"));
        found.into_iter().map(|mut object| object["key_is_in"].take()).collect()
    };
    assert_eq!(places("copied"), vec!["instruction file"; 3]);
    assert_eq!(places("again"), vec!["metadata"; 3]);
    client(&server)
        .put_object()
        .bucket("cse")
        .key("again/plain")
        .body(b"x".to_vec().into())
        .send()
        .await
        .unwrap();
    assert!(places("again").contains(&Value::Null));
    // What can't be copied is named, and the rest copied.
    std::fs::write(folder.path().join("up/x.instruction"), "{}").unwrap();
    let output = shell.sealgate("cse cp -r up s3://cse/more --aes-key aes", Some(&Credentials::root()));
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("objects  3") && told.contains("up/x.instruction"), "{told}");
}

#[tokio::test]
async fn keys_are_wrapped_anew_by_prefix_and_a_run_goes_on_where_one_ended() {
    let server = gateway().await;
    let folder = folder(&[1000]);
    let shell = Shell { server: &server, folder: folder.path() };
    let root = Credentials::root();
    let sdk = client(&server);
    for name in ["a", "b", "c", "d"] {
        shell.told(&format!("cse put 1000 s3://cse/p/{name} --aes-key aes --instruction-file"));
    }
    let e_tag = async || sdk.head_object().bucket("cse").key("p/a").send().await.unwrap().e_tag;
    let before = e_tag().await;
    let file = async || {
        let got = sdk.get_object().bucket("cse").key("p/c.instruction").send().await.unwrap();
        got.body.collect().await.unwrap().to_vec()
    };
    let good = file().await;
    let put = async |file: Vec<u8>| {
        let put = sdk.put_object().bucket("cse").key("p/c.instruction").body(file.into());
        put.send().await.unwrap();
    };
    put(b"{}".to_vec()).await;
    let line = "cse rewrap -r s3://cse/p --aes-key aes --to-kms-key alias/two --to-context dept=it \
                --checkpoint reached --json"
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let output = shell.sealgate(&line, Some(&root));
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&told["counts"]["rewrapped"], &told["faults"][0]["name"]),
        (&json!(3), &json!("s3://cse/p/c"))
    );
    let reached: Value = serde_json::from_slice(&read(folder.path(), "reached")).unwrap();
    assert_eq!(reached, json!({"folder": "s3://cse/p", "after": "p/b.instruction"}));
    let other = shell.refused(&line.replace("s3://cse/p", "s3://cse/q"), &root);
    assert!(other.contains("is of s3://cse/p"), "{other}");
    put(good).await;
    let told: Value = serde_json::from_str(&shell.told(&line)).unwrap();
    let counts = json!({"rewrapped": 1, "under_the_new_key_already": 1});
    assert_eq!(told["counts"], counts, "it goes on behind b");
    assert!(!folder.path().join("reached").exists());
    for name in ["a", "c", "d"] {
        shell.told(&format!("cse get s3://cse/p/{name} out --kms-key alias/two --context dept=it"));
        assert_eq!(read(folder.path(), "out"), content(1000, 1));
        shell.refused(&format!("cse get s3://cse/p/{name} out --aes-key aes"), &root);
    }
    assert_eq!(e_tag().await, before, "no body is moved");
    // Between two KMS keys the context stays, and RSA is another key like any.
    shell.told("cse rewrap s3://cse/p/a --kms-key alias/two --context dept=it --to-kms-key alias/one");
    shell.told("cse rewrap s3://cse/p/a --kms-key alias/one --context dept=it --to-rsa-key rsa");
    shell.told("cse verify s3://cse/p/a --rsa-key rsa");
    shell.told("cse put 1000 s3://cse/m --aes-key aes");
    let output = shell.sealgate("cse rewrap s3://cse/m --aes-key aes --to-rsa-key rsa", Some(&root));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && told.contains("it needs a new object"), "{told}");
}

/// Runs it with these variables alone, in a home of its own.
fn at_home(folder: &Path, line: &str, variables: &[(&str, &str)]) -> Result<(), String> {
    let mut command = Command::new(binary().unwrap());
    command.args(line.split(' ')).env_clear().env("HOME", folder).env("AWS_EC2_METADATA_DISABLED", "true");
    let output = command.current_dir(folder).envs(variables.iter().copied()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(told) }
}

#[tokio::test]
async fn profiles_say_who_asks_whom() {
    let server = gateway().await;
    let folder = folder(&[1]);
    std::fs::create_dir(folder.path().join(".aws")).unwrap();
    let write =
        |name: &str, text: String| std::fs::write(folder.path().join(".aws").join(name), text).unwrap();
    let (id, secret) =
        (conformance_tests::server::ACCESS_KEY_ID, conformance_tests::server::SECRET_ACCESS_KEY);
    let key = format!("aws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    write("credentials", format!("# keys\n[office]\n{key}[default]\n{key}"));
    let endpoint = &server.endpoint;
    let config = format!(
        "[default]\nendpoint_url = {endpoint}\n\n[profile office]\nregion = us-east-1\nservices = ours\n\n\
         [services ours]\ns3 =\n  endpoint_url = {endpoint}\nkms =\n  endpoint_url = {endpoint}\n\n\
         [profile sso]\nsso_session = me\n"
    );
    write("config", config);
    let run = |line: &str, variables: &[(&str, &str)]| at_home(folder.path(), line, variables);
    run("cse put 1 s3://cse/default --aes-key aes", &[]).unwrap();
    let put = "cse put 1 s3://cse/office --kms-key alias/one";
    run(put, &[("AWS_PROFILE", "office")]).unwrap();
    let somebody = [("AWS_ACCESS_KEY_ID", "AKIASOMEBODY"), ("AWS_SECRET_ACCESS_KEY", "else")];
    // Variables go before a profile, unless it is named on the command line.
    let told = run(put, &[("AWS_PROFILE", "office"), somebody[0], somebody[1]]).unwrap_err();
    assert!(told.contains("UnrecognizedClientException"), "{told}");
    run(&format!("{put} --profile office"), &somebody).unwrap();
    for (profile, reason) in [("none", "there is no profile none"), ("sso", "by sso_session")] {
        let told = run(put, &[("AWS_PROFILE", profile)]).unwrap_err();
        assert!(told.contains(reason), "{told}");
    }
    write("config", "region = us-east-1\n".to_owned());
    let told = run(put, &[]).unwrap_err();
    assert!(told.contains("line 1: it is in no [SECTION]"), "{told}");
}

#[tokio::test]
async fn another_s3_keeps_what_is_under_a_key_of_this_kms() {
    let server = gateway().await;
    let other = Seaweedfs::start().unwrap();
    let folder = folder(&[0, 1, 7_000_000]);
    let shell = Shell { server: &server, folder: folder.path() };
    let at = format!("--kms-key alias/one --context dept=it --endpoint {}", other.endpoint());
    for (len, place) in
        [(0, ""), (1, " --instruction-file"), (7_000_000, ""), (7_000_000, " --instruction-file")]
    {
        shell.told(&format!("cse put {len} s3://{BUCKET}/d/{len} {at}{place}"));
        shell.told(&format!("cse get s3://{BUCKET}/d/{len} out {at}"));
        assert!(read(folder.path(), "out") == content(len, 1), "{len}{place}");
    }
    let rewrap = format!("cse rewrap s3://{BUCKET}/d/7000000 {at} --to-kms-key alias/two");
    shell.told(&rewrap);
    let line = format!("cse verify -r s3://{BUCKET}/d {at} --json");
    let judged = shell.sealgate(&line, Some(&Credentials::root()));
    let told: Value = serde_json::from_slice(&judged.stdout).unwrap();
    assert_eq!(
        (&told["counts"]["objects"], &told["faults"][0]["name"]),
        (&json!(3), &json!(format!("s3://{BUCKET}/d/7000000")))
    );
}

#[tokio::test]
async fn what_aws_client_for_python_seals_opens_and_the_other_way_round() {
    let server = gateway().await;
    let program = binary().unwrap().to_str().unwrap().to_owned();
    installed::run_client(&server, "cse_both_ways.py", &[("SEALGATE", program)]).unwrap();
}
