//! What buckets and accounts hold and may hold: told exactly, after kills too; and quotas, under racing writers.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, CompletedMultipartUpload, CompletedPart, VersioningConfiguration,
};
use conformance_tests::caller::{Caller, Credentials};
use conformance_tests::server::Server;
use http::Method;
use serde_json::{Value, json};

use super::client::{client, content};

const PART_LEN: usize = 5 << 20;

fn told(server: &Server, arguments: &[&str]) -> Value {
    let output = server.command(arguments).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// What `sealgate usage` tells of a bucket.
fn of_bucket(server: &Server, bucket: &str) -> Value {
    let all = told(server, &["usage", "--json"]);
    let found = all["buckets"].as_array().unwrap().iter().find(|row| row["name"] == bucket);
    found.unwrap_or_else(|| panic!("{bucket} is not in {all}")).clone()
}

async fn put(client: &Client, bucket: &str, key: &str, len: usize) -> Result<String, String> {
    let put = client.put_object().bucket(bucket).key(key).body(ByteStream::from(content(len, 7)));
    let answer = put.send().await.map_err(|error| refusal(&error))?;
    Ok(answer.version_id.unwrap_or_default())
}

fn refusal<E: std::fmt::Debug + aws_sdk_s3::error::ProvideErrorMetadata>(
    error: &aws_sdk_s3::error::SdkError<E>,
) -> String {
    let code = error.as_service_error().and_then(|error| error.code());
    code.map_or_else(|| format!("{error:?}"), str::to_owned)
}

async fn versioned(client: &Client, bucket: &str) {
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let put = client.put_bucket_versioning().bucket(bucket).versioning_configuration(enabled);
    put.send().await.unwrap();
}

async fn upload(client: &Client, bucket: &str, key: &str, lens: &[usize]) -> (String, Vec<CompletedPart>) {
    let created = client.create_multipart_upload().bucket(bucket).key(key).send().await.unwrap();
    let id = created.upload_id.unwrap();
    let mut parts = Vec::new();
    for (number, &len) in (1..).zip(lens) {
        let sent = client.upload_part().bucket(bucket).key(key).upload_id(&id).part_number(number);
        let sent = sent.body(ByteStream::from(content(len, 3))).send().await.unwrap();
        parts.push(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build());
    }
    (id, parts)
}

/// Objects, versions, delete markers, bytes, uploads and bytes of their parts, as counters tell them.
fn shown(row: &Value) -> Value {
    let names = ["objects", "versions", "delete_markers", "bytes", "uploads", "upload_bytes"];
    names.iter().map(|name| row[name].clone()).collect()
}

/// The same by listings, of a bucket with few objects that nobody changes.
async fn of_bucket_by_listing(s3: &Client, bucket: &str) -> Value {
    let (mut sums, mut key, mut version) = ([0; 6], None, None);
    loop {
        let page =
            s3.list_object_versions().bucket(bucket).set_key_marker(key).set_version_id_marker(version);
        let page = page.send().await.unwrap();
        for row in page.versions() {
            sums[0] += i64::from(row.is_latest() == Some(true));
            sums[1] += 1;
            sums[3] += row.size().unwrap();
        }
        sums[2] += page.delete_markers().len() as i64;
        if page.is_truncated() != Some(true) {
            break;
        }
        (key, version) = (page.next_key_marker, page.next_version_id_marker);
    }
    let uploads = s3.list_multipart_uploads().bucket(bucket).send().await.unwrap();
    for upload in uploads.uploads() {
        let (key, id) = (upload.key().unwrap(), upload.upload_id().unwrap());
        let parts = s3.list_parts().bucket(bucket).key(key).upload_id(id).send().await.unwrap();
        sums[4] += 1;
        sums[5] += parts.parts().iter().filter_map(|part| part.size()).sum::<i64>();
    }
    sums[3] += sums[5];
    json!(sums)
}

/// Of a stopped folder: counters tell what there is.
fn check(server: &Server) {
    let checked = told(server, &["check", "--json"]);
    assert_eq!(checked["faults"], json!([]), "{checked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_told_to_the_byte_wherever_it_is_asked_for() {
    let mut server = Server::start().unwrap();
    let s3 = client(&server);
    for bucket in ["usage", "usage-versions"] {
        s3.create_bucket().bucket(bucket).send().await.unwrap();
    }
    versioned(&s3, "usage-versions").await;
    put(&s3, "usage", "small", 1000).await.unwrap();
    put(&s3, "usage", "large", 200_000).await.unwrap();
    put(&s3, "usage", "large", 100_000).await.unwrap();
    put(&s3, "usage", "gone", 5000).await.unwrap();
    s3.delete_object().bucket("usage").key("gone").send().await.unwrap();
    let first = put(&s3, "usage-versions", "o", 10).await.unwrap();
    put(&s3, "usage-versions", "o", 20).await.unwrap();
    put(&s3, "usage-versions", "p", 40).await.unwrap();
    s3.delete_object().bucket("usage-versions").key("o").send().await.unwrap();

    // One upload goes on, one is completed with one of its parts left out, one ended.
    let (_, _) = upload(&s3, "usage", "going-on", &[PART_LEN, 100]).await;
    let (id, mut parts) = upload(&s3, "usage", "completed", &[PART_LEN, PART_LEN, 7]).await;
    parts.remove(0);
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = s3.complete_multipart_upload().bucket("usage").key("completed").upload_id(id);
    complete.multipart_upload(parts).send().await.unwrap();
    let (id, _) = upload(&s3, "usage", "ended", &[PART_LEN]).await;
    s3.abort_multipart_upload().bucket("usage").key("ended").upload_id(id).send().await.unwrap();

    let plain = of_bucket(&server, "usage");
    let bytes = 1000 + 100_000 + PART_LEN + 7 + PART_LEN + 100;
    let expected = json!([3, 3, 0, bytes, 1, PART_LEN + 100]);
    assert_eq!(shown(&plain), expected, "{plain}");
    // Each message has a head of 56 bytes and 16 for each of its chunks.
    let sealed = |len: usize| 56 + len + 16 * (len / 16384 + 1);
    let stored: usize = [1000, 100_000, PART_LEN, 7, PART_LEN, 100].map(sealed).iter().sum();
    assert_eq!(plain["stored_bytes"], stored);
    assert_eq!(shown(&of_bucket(&server, "usage-versions")), json!([1, 3, 1, 70, 0, 0]));
    let table = server.command(&["usage"]).unwrap();
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("usage-versions") && table.contains("70 B"), "{table}");

    let mut caller = Caller::open(&server.endpoint, Credentials::root()).await.unwrap();
    let mut ask = async |call: &str| -> Value {
        let answer = caller.s3_hashed(Method::GET, &format!("/minio/admin/v3/{call}"), "").await.unwrap();
        serde_json::from_slice(&answer.success().unwrap().body).unwrap()
    };
    let info = ask("info").await;
    let counts =
        json!([info["buckets"], info["objects"], info["versions"], info["deletemarkers"], info["usage"]]);
    let of = |count: usize| json!({ "count": count });
    assert_eq!(counts, json!([of(2), of(4), of(6), of(1), { "size": bytes + 70 }]));
    let data = ask("datausageinfo").await;
    assert_eq!(data["bucketsUsageInfo"]["usage"]["size"], bytes);
    assert_eq!(data["bucketsUsageInfo"]["usage-versions"]["deleteMarkersCount"], 1);
    assert_eq!(data["objectsTotalSize"], bytes + 70);
    assert_eq!(data["isCounted"], true);

    // A deletion of a version lets the one before be current; a rename moves nothing.
    s3.delete_object().bucket("usage-versions").key("o").version_id(first).send().await.unwrap();
    assert_eq!(shown(&of_bucket(&server, "usage-versions")), json!([1, 2, 1, 60, 0, 0]));
    for key in ["small", "large", "completed"] {
        s3.delete_object().bucket("usage").key(key).send().await.unwrap();
    }
    s3.delete_bucket().bucket("usage").send().await.unwrap();
    let all = told(&server, &["usage", "--json"]);
    assert_eq!(all["total"]["bytes"], 60, "{all}");
    assert_eq!(all["accounts"][0]["bytes"], 60, "{all}");
    if Server::skips("a check and a rebuild are of a data folder") {
        return;
    }
    assert_eq!(server.stop().unwrap(), Some(0));
    check(&server);
    // A rebuild counts anew. What was deleted just before may be brought back: its blobs are still there.
    std::fs::rename(server.data.join("catalog"), server.data.with_file_name("catalog.gone")).unwrap();
    server.command(&["rebuild"]).unwrap();
    server.restart().unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while told(&server, &["usage", "--json"])["counted"] != true {
        assert!(std::time::Instant::now() < deadline, "it is not counted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(of_bucket(&server, "usage-versions")["bytes"].as_u64().unwrap() >= 60);
    assert_eq!(server.stop().unwrap(), Some(0));
    let checked = told(&server, &["check", "--json"]);
    let faults = checked["faults"].as_array().unwrap();
    assert!(!faults.iter().any(|fault| fault["kind"] == "usage"), "{checked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recount_of_counters_that_are_right_changes_nothing() {
    if Server::skips("a check is of a data folder") {
        return;
    }
    let mut server = Server::start().unwrap();
    let s3 = client(&server);
    s3.create_bucket().bucket("recount").send().await.unwrap();
    put(&s3, "recount", "o", 1000).await.unwrap();
    assert_eq!(server.stop().unwrap(), Some(0));
    check(&server);
    let again = told(&server, &["check", "--recount", "--json"]);
    assert_eq!((&again["clean"], &again["notes"]), (&json!(true), &json!([])), "{again}");
    server.restart().unwrap();
    assert_eq!(of_bucket(&server, "recount")["bytes"], 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_hold_under_racing_writers() {
    const WRITERS: usize = 64;
    const LEN: usize = 10_000;
    let server = Server::start().unwrap();
    let s3 = client(&server);
    let said = |arguments: &[&str]| {
        let output = server.command(arguments).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    s3.create_bucket().bucket("limited").send().await.unwrap();
    s3.create_bucket().bucket("free").send().await.unwrap();
    let (done, line, why) = said(&["bucket", "quota", "limited", "100kB"]);
    assert!(done && line.contains("100000 bytes"), "{line}{why}");
    let (done, _, why) = said(&["bucket", "quota", "limited", "100 apples"]);
    assert!(!done && why.contains("is no size"), "{why}");
    assert!(!said(&["bucket", "quota", "nobodys", "1k"]).0);

    let race = async |bucket: &'static str| {
        let writers = (0..WRITERS).map(|writer| {
            let s3 = s3.clone();
            tokio::spawn(async move { put(&s3, bucket, &format!("o{writer}"), LEN).await })
        });
        let (mut passed, mut refused) = (0, 0);
        for writer in writers.collect::<Vec<_>>() {
            match writer.await.unwrap() {
                Ok(_) => passed += 1,
                Err(code) => {
                    assert_eq!(code, "QuotaExceeded");
                    refused += 1;
                }
            }
        }
        (passed, refused)
    };
    // One gateway lets not one byte too many pass; of several each may let pass what commits at the same moment.
    let (passed, refused) = race("limited").await;
    let held = of_bucket(&server, "limited")["bytes"].as_u64().unwrap();
    eprintln!("{WRITERS} writers: {passed} passed, {refused} were refused, {held} of 100000 bytes are held");
    assert_eq!(held, passed as u64 * LEN as u64);
    if Server::is_shared() {
        assert!((10..WRITERS).contains(&passed));
    } else {
        assert_eq!((passed, held), (10, 100_000));
        // What shrinks or stays is let; what is uploaded in parts is judged part by part.
        put(&s3, "limited", "free-o", 1).await.unwrap_err();
    }
    let created = s3.create_multipart_upload().bucket("limited").key("m").send().await.unwrap();
    let part =
        s3.upload_part().bucket("limited").key("m").upload_id(created.upload_id.unwrap()).part_number(1);
    let refused = part.body(ByteStream::from(content(LEN, 1))).send().await.unwrap_err();
    assert_eq!(refusal(&refused), "QuotaExceeded");
    let listed = s3.list_objects_v2().bucket("limited").send().await.unwrap();
    let key = listed.contents()[0].key().unwrap().to_owned();
    put(&s3, "limited", &key, LEN).await.unwrap();
    put(&s3, "limited", &key, LEN - 1).await.unwrap();
    put(&s3, "free", "o", LEN).await.unwrap();
    let copy = s3.copy_object().bucket("limited").key("copy").copy_source("free/o").send().await.unwrap_err();
    assert_eq!(refusal(&copy), "QuotaExceeded");

    // The account's, which is all buckets'.
    let account = told(&server, &["usage", "--json"])["accounts"][0]["id"].as_str().unwrap().to_owned();
    assert!(said(&["bucket", "quota", "limited", "none"]).0);
    assert!(said(&["account", "quota", &account, "200000"]).0);
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    let mut number = 0;
    let code = loop {
        number += 1;
        if let Err(code) = put(&s3, "free", &format!("more{number}"), LEN).await {
            break code;
        }
        assert!(std::time::Instant::now() < deadline, "the account's quota does not hold");
    };
    assert_eq!(code, "QuotaExceeded");
    let all = told(&server, &["usage", "--json"]);
    assert!(all["accounts"][0]["bytes"].as_u64().unwrap() <= 200_000, "{all}");
    assert!(said(&["account", "quota", &account, "none"]).0);
    put(&s3, "free", "more", LEN).await.unwrap();
}

/// Writes, overwrites, deletes and uploads until the gateway is gone.
async fn writer(s3: Client, mut seed: u64) {
    let mut below = move |end: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % end
    };
    loop {
        let bucket = ["killed", "killed-versions"][below(2) as usize];
        let key = format!("o{}", below(6));
        let done = match below(10) {
            0..=5 => {
                let len = [100, 4096, 20_000, 300_000][below(4) as usize];
                put(&s3, bucket, &key, len).await.map(drop).is_ok()
            }
            6 | 7 => s3.delete_object().bucket(bucket).key(key).send().await.is_ok(),
            8 => {
                let listed = s3.list_object_versions().bucket(bucket).max_keys(20).send().await;
                let Ok(listed) = listed else { return };
                let Some(version) = listed.versions().last() else { continue };
                let deleted = s3.delete_object().bucket(bucket).key(version.key().unwrap_or_default());
                deleted.version_id(version.version_id().unwrap_or_default()).send().await.is_ok()
            }
            _ => {
                let Ok(created) = s3.create_multipart_upload().bucket(bucket).key(&key).send().await else {
                    return;
                };
                let id = created.upload_id.unwrap_or_default();
                let mut parts = Vec::new();
                for number in 1..=2 {
                    let part = s3.upload_part().bucket(bucket).key(&key).upload_id(&id).part_number(number);
                    let len = if number == 1 { PART_LEN } else { 10 };
                    let Ok(sent) = part.body(ByteStream::from(content(len, 3))).send().await else { return };
                    parts.push(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build());
                }
                match below(3) {
                    0 => true,
                    1 => {
                        let end = s3.abort_multipart_upload().bucket(bucket).key(&key).upload_id(&id);
                        end.send().await.is_ok()
                    }
                    _ => {
                        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
                        let complete = s3.complete_multipart_upload().bucket(bucket).key(&key).upload_id(&id);
                        complete.multipart_upload(parts).send().await.is_ok()
                    }
                }
            }
        };
        if !done {
            return;
        }
    }
}

/// `SEALGATE_USAGE_KILLS` says how many kills; three by default.
#[tokio::test(flavor = "multi_thread")]
async fn counters_equal_a_full_count_after_kills() {
    let kills: u64 = std::env::var("SEALGATE_USAGE_KILLS").map_or(3, |text| text.parse().unwrap());
    let mut server = Server::start().unwrap();
    let s3 = client(&server);
    s3.create_bucket().bucket("killed").send().await.unwrap();
    s3.create_bucket().bucket("killed-versions").send().await.unwrap();
    versioned(&s3, "killed-versions").await;
    for kill in 0..kills {
        use aws_sdk_s3::config::retry::RetryConfig;
        use aws_sdk_s3::config::timeout::TimeoutConfig;
        let timeout = TimeoutConfig::builder().operation_timeout(Duration::from_secs(30)).build();
        let config = client(&server).config().to_builder();
        let config = config.retry_config(RetryConfig::disabled()).timeout_config(timeout).build();
        let s3 = Client::from_conf(config);
        let writers: Vec<_> =
            (1..=8).map(|number| tokio::spawn(writer(s3.clone(), kill * 1000 + number * 77))).collect();
        tokio::time::sleep(Duration::from_millis(300 + kill * 211 % 900)).await;
        server.kill().unwrap();
        for writer in writers {
            tokio::time::timeout(Duration::from_secs(60), writer).await.expect("writers end").unwrap();
        }
        if Server::is_shared() {
            server.restart().unwrap();
            let s3 = client(&server);
            for bucket in ["killed", "killed-versions"] {
                assert_eq!(
                    of_bucket_by_listing(&s3, bucket).await,
                    shown(&of_bucket(&server, bucket)),
                    "kill {kill}"
                );
            }
            continue;
        }
        let checked = told(&server, &["check", "--json"]);
        let faults = checked["faults"].as_array().unwrap();
        // What a kill cut off is put away at the next start; what counters tell is right at once.
        assert!(!faults.iter().any(|fault| fault["kind"] == "usage"), "kill {kill}: {checked}");
        assert!(checked["counts"]["objects"].as_u64().unwrap() > 0, "{checked}");
        server.restart().unwrap();
    }
    let all = told(&server, &["usage", "--json"]);
    eprintln!("{kills} kills, equal each time: {}", all["total"]);
}

/// Who reads no more ends a command in silence.
#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let server = Server::start().unwrap();
    let program = conformance_tests::server::binary().unwrap();
    let data = server.data.display();
    for command in ["operations", "condition-keys", "kms list", "status", "usage --json"] {
        let line = format!(
            "set -o pipefail; {program} {command} --data {data} 2>&1 >/dev/full | cat; {program} {command} --data {data} 2>&1 | true",
            program = program.display()
        );
        let output = std::process::Command::new("bash").args(["-c", &line]).output().unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("panicked"), "{command}: {text}");
    }
    // Errors that nobody hears end a command with its usual code, and no other.
    for (command, code) in [("kms describe absent", 1), ("usage --data /nowhere/at/all", 1), ("status", 0)] {
        let line = format!("{} {command} --data {data} 2>&- >/dev/null", program.display());
        let line =
            if command.contains("--data") { line.replace(&format!(" --data {data}"), "") } else { line };
        let status = std::process::Command::new("bash").args(["-c", &line]).status().unwrap();
        assert_eq!(status.code(), Some(code), "{command} with standard error closed");
        let status =
            std::process::Command::new("bash").args(["-c", &line.replace("2>&-", "2>/dev/full")]).status();
        assert_eq!(status.unwrap().code(), Some(code), "{command} with standard error full");
    }
}
