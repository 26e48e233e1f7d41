//! Stopped folders that were damaged: what `check`, `rebuild` and `scrub` say of them, and with which exit codes.

use std::path::{Path, PathBuf};

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{BucketVersioningStatus, Tag, Tagging, VersioningConfiguration};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conformance_tests::server::Server;
use md5::{Digest, Md5};

use super::client::{client, content};

/// In a file of its own.
const LARGE: usize = 3_000_000;
const PART_LEN: usize = 5 << 20;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// The last place in a blob's file or a segment where these bytes stand: owners lie in the clear.
fn place(server: &Server, needle: &[u8]) -> (PathBuf, usize) {
    for path in files(&server.data.join("blobs")).into_iter().rev() {
        let bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(needle.len()).rposition(|window| window == needle) {
            return (path, at);
        }
    }
    panic!("{:?} is nowhere", String::from_utf8_lossy(needle));
}

/// Of a journal's owner: its kind and the key of its subject.
fn journal_of_bucket(bucket: &str) -> Vec<u8> {
    [b"\x02B", bucket.as_bytes()].concat()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

/// Exit code and JSON answer of a command.
fn judge(server: &Server, arguments: &[&str]) -> (i32, serde_json::Value) {
    let output = server.command(&[arguments, &["--json"]].concat()).unwrap();
    let told = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {arguments:?} {}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.code().unwrap(), told)
}

/// Is there a fault of this kind whose name or detail has this text?
fn names(told: &serde_json::Value, kind: &str, text: &str) -> bool {
    told["faults"].as_array().unwrap().iter().any(|fault| {
        fault["kind"] == kind
            && ["name", "detail"].iter().any(|field| fault[field].as_str().unwrap().contains(text))
    })
}

fn assert_clean(server: &Server, arguments: &[&str]) -> serde_json::Value {
    let (code, told) = judge(server, arguments);
    assert_eq!((code, &told["clean"]), (0, &true.into()), "{told:#}");
    told
}

fn assert_named(server: &Server, arguments: &[&str], kind: &str, text: &str) -> serde_json::Value {
    let (code, told) = judge(server, arguments);
    assert_eq!((code, &told["clean"]), (1, &false.into()), "{kind} {text}: {told:#}");
    assert!(names(&told, kind, text), "{kind} {text}: {told:#}");
    told
}

async fn put(s3: &Client, bucket: &str, key: &str, len: usize) {
    s3.put_object().bucket(bucket).key(key).body(content(len, 1).into()).send().await.unwrap();
}

async fn put_with_customer_key(s3: &Client, bucket: &str, key: &str, len: usize) {
    let secret = [0x5a; 32];
    s3.put_object()
        .bucket(bucket)
        .key(key)
        .sse_customer_algorithm("AES256")
        .sse_customer_key(STANDARD.encode(secret))
        .sse_customer_key_md5(STANDARD.encode(Md5::digest(secret)))
        .body(content(len, 2).into())
        .send()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_whatever_is_damaged_or_missing() {
    if Server::skips("it damages files of a data folder") {
        return;
    }
    let mut server = Server::start().unwrap();
    let s3 = client(&server);
    let bucket = "damage-check";
    s3.create_bucket().bucket(bucket).send().await.unwrap();
    for key in ["small-plain", "small-tagged"] {
        put(&s3, bucket, key, 100).await;
    }
    put(&s3, bucket, "large-plain", LARGE).await;
    put_with_customer_key(&s3, bucket, "small-customer", 100).await;
    put_with_customer_key(&s3, bucket, "large-customer", LARGE).await;
    let tags =
        Tagging::builder().tag_set(Tag::builder().key("a").value("b").build().unwrap()).build().unwrap();
    s3.put_object_tagging().bucket(bucket).key("small-tagged").tagging(tags).send().await.unwrap();
    let created = s3.create_multipart_upload().bucket(bucket).key("open-upload").send().await.unwrap();
    let part = s3.upload_part().bucket(bucket).key("open-upload").upload_id(created.upload_id().unwrap());
    part.part_number(1).body(content(PART_LEN, 3).into()).send().await.unwrap();
    // In use by another process: it could not run.
    assert_eq!(server.command(&["check"]).unwrap().status.code(), Some(2));
    assert_eq!(server.stop().unwrap(), Some(0));

    let told = assert_clean(&server, &["check"]);
    for (what, count) in [("objects", 5), ("uploads", 1), ("parts", 1), ("buckets", 1), ("not_opened", 2)] {
        assert_eq!(told["counts"][what], count, "{what}: {told:#}");
    }
    let text = String::from_utf8(server.command(&["check"]).unwrap().stdout).unwrap();
    assert!(text.contains("no faults"), "{text}");

    let journal = journal_of_bucket(bucket);
    for (needle, before, kind, named) in [
        (&b"large-customer"[..], 200_000, "object", "s3://damage-check/large-customer"),
        (b"small-customer", 60, "object", "s3://damage-check/small-customer"),
        (b"large-plain", 200_000, "object", "s3://damage-check/large-plain"),
        // Its content can be read, its trailer can't.
        (b"small-plain", 60, "blob", "s3://damage-check/small-plain"),
        // Of a part's owner: its number, then the object; the upload has a journal besides.
        (b"\x01\0open-upload", 3_000_000, "part", "s3://damage-check/open-upload"),
        (&journal, 20, "journal", "s3://damage-check"),
        (b"small-tagged\0\0", 60, "journal", "s3://damage-check/small-tagged"),
    ] {
        let (path, at) = place(&server, needle);
        flip(&path, at - before);
        assert_named(&server, &["check"], kind, named);
        let scrubbed = server.command(&["scrub", "--root-key", "/nonexistent"]).unwrap();
        assert_eq!(scrubbed.status.code(), Some(1), "{named}: without a key");
        flip(&path, at - before);
    }
    for (needle, kind, named) in
        [(&b"large-customer"[..], "object", "large-customer"), (b"\x01\0open-upload", "part", "open-upload")]
    {
        let (path, _) = place(&server, needle);
        let aside = server.data.with_file_name("aside");
        std::fs::rename(&path, &aside).unwrap();
        assert_named(&server, &["check"], kind, named);
        std::fs::rename(&aside, &path).unwrap();
    }
    // A frame's header: nobody can say any more what it was, unless what follows still reads as it did.
    let (path, at) = place(&server, b"small-customer");
    let bytes = std::fs::read(&path).unwrap();
    let frame = bytes[..at].windows(4).rposition(|window| window == b"SGfr").unwrap();
    flip(&path, frame);
    let told = assert_named(&server, &["check"], "segment", "no frame");
    assert!(
        names(&told, "segment", "small-customer") && names(&told, "object", "small-customer"),
        "{told:#}"
    );
    flip(&path, frame);
    let foreign = server.data.join("notes.txt");
    std::fs::write(&foreign, "x").unwrap();
    assert_named(&server, &["check"], "foreign", "notes.txt");
    std::fs::remove_file(&foreign).unwrap();
    assert_clean(&server, &["check"]);
    assert_clean(&server, &["scrub"]);

    let status: serde_json::Value =
        serde_json::from_slice(&server.command(&["status", "--json"]).unwrap().stdout).unwrap();
    assert_eq!((&status["running"], &status["scrub"]["last"]["faults"]), (&false.into(), &0.into()));
    server.restart().unwrap();
    let status: serde_json::Value =
        serde_json::from_slice(&server.command(&["status", "--json"]).unwrap().stdout).unwrap();
    assert_eq!((&status["running"], &status["damaged_records_met"]), (&true.into(), &0.into()), "{status:#}");
    assert_eq!(server.command(&["status"]).unwrap().status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_gateway_scrubs_in_the_background() {
    if Server::skips("it damages files of a data folder") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut server = Server::start_on(&data, &["--scrub-rate-mib-s", "0"]).unwrap();
    let s3 = client(&server);
    s3.create_bucket().bucket("damage-scrub").send().await.unwrap();
    put(&s3, "damage-scrub", "rotten", LARGE).await;
    assert_eq!(server.stop().unwrap(), Some(0));
    let (path, _) = place(&server, b"rotten");
    flip(&path, 1000);
    let mut server =
        Server::start_on(&data, &["--scrub-rate-mib-s", "1", "--scrub-interval-s", "3600"]).unwrap();
    let mut last = serde_json::Value::Null;
    for _ in 0..300 {
        let output = server.command(&["status", "--json"]).unwrap();
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        last = status["scrub"]["last"].clone();
        if !last.is_null() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(last["faults"], 1, "{last:#}");
    assert_eq!(server.stop().unwrap(), Some(0));
    assert_named(&server, &["scrub"], "blob", "s3://damage-scrub/rotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_names_what_is_lost_and_brings_back_what_has_lost_its_bucket() {
    if Server::skips("it damages files of a data folder") {
        return;
    }
    let mut server = Server::start().unwrap();
    let s3 = client(&server);
    for bucket in ["damage-lost", "damage-kept"] {
        s3.create_bucket().bucket(bucket).send().await.unwrap();
    }
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    s3.put_bucket_versioning().bucket("damage-kept").versioning_configuration(enabled).send().await.unwrap();
    put(&s3, "damage-lost", "small-one", 100).await;
    put(&s3, "damage-lost", "large-one", LARGE).await;
    for key in ["small-kept", "small-rotten", "large-kept", "large-rotten"] {
        put(&s3, "damage-kept", key, if key.starts_with("large") { LARGE } else { 100 }).await;
    }
    let account = server.create_account("of-the-catalog").unwrap();
    // What was displaced is reclaimed after a grace of some seconds.
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    assert_eq!(server.stop().unwrap(), Some(0));
    let mut flipped = Vec::new();
    for (needle, before) in [
        (journal_of_bucket("damage-lost"), 20),
        (b"small-rotten".to_vec(), 60),
        (b"large-rotten".to_vec(), 200_000),
    ] {
        let (path, at) = place(&server, &needle);
        flip(&path, at - before);
        flipped.push((path, at - before));
    }
    let former = server.data.with_file_name("former");
    for loses_catalog in [false, true] {
        if loses_catalog {
            let catalog = server.data.join("catalog");
            for entry in std::fs::read_dir(&server.data).unwrap() {
                let path = entry.unwrap().path();
                if path.file_name().unwrap().to_string_lossy().starts_with("catalog.replaced-") {
                    std::fs::remove_dir_all(path).unwrap();
                }
            }
            std::fs::rename(&catalog, &former).unwrap();
        }
        let told = assert_named(&server, &["rebuild"], "blob", "the journal of bucket damage-lost");
        assert!(names(&told, "blob", "small-rotten") && names(&told, "object", "large-rotten"), "{told:#}");
        assert_eq!(told["counts"]["recovered_buckets"], 1, "{told:#}");
        let aside = std::fs::read_dir(&server.data)
            .unwrap()
            .any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("catalog.replaced-"));
        assert_eq!(aside, !loses_catalog);
        let accounts = server.command(&["account", "list"]).unwrap();
        let accounts = String::from_utf8(accounts.stdout).unwrap();
        assert_eq!(accounts.contains(&account.id), !loses_catalog, "{accounts}");
        server.restart().unwrap();
        let s3 = client(&server);
        let buckets = s3.list_buckets().send().await.unwrap();
        let buckets: Vec<&str> = buckets.buckets().iter().filter_map(|bucket| bucket.name()).collect();
        let recovered = match loses_catalog {
            // The former catalog knew its name and its settings.
            false => "damage-lost",
            true => buckets.iter().find(|name| name.starts_with("recovered-")).expect("a recovered bucket"),
        };
        for (bucket, key, len) in [
            (recovered, "small-one", 100),
            (recovered, "large-one", LARGE),
            ("damage-kept", "small-kept", 100),
            ("damage-kept", "large-kept", LARGE),
        ] {
            let answer = s3.get_object().bucket(bucket).key(key).send().await.unwrap();
            assert!(answer.body.collect().await.unwrap().into_bytes() == content(len, 1)[..], "{key}");
        }
        assert!(s3.get_object().bucket("damage-kept").key("small-rotten").send().await.is_err());
        // Of what is damaged in one place the rest can still be read.
        let start =
            s3.get_object().bucket("damage-kept").key("large-rotten").range("bytes=0-999").send().await;
        let start = start.unwrap().body.collect().await.unwrap().into_bytes();
        assert!(start == content(LARGE, 1)[..1000]);
        assert_eq!(server.stop().unwrap(), Some(0));
        if !loses_catalog {
            // The recovered bucket has a journal again, which would make the next rebuild know of it.
            let (path, at) = place(&server, &journal_of_bucket("damage-lost"));
            flip(&path, at - 20);
            flipped.push((path, at - 20));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_catalog_lacks_is_named_by_check_and_brought_in_by_a_rebuild_that_adds() {
    if Server::skips("it damages files of a data folder") {
        return;
    }
    let mut server = Server::start().unwrap();
    let s3 = client(&server);
    s3.create_bucket().bucket("damage-add").send().await.unwrap();
    put(&s3, "damage-add", "older", 100).await;
    assert_eq!(server.stop().unwrap(), Some(0));
    let catalog = server.data.join("catalog");
    let older = server.data.with_file_name("older");
    copy(&catalog, &older);
    let heads = ["catalog.head.a", "catalog.head.b"].map(|name| server.data.join(name));
    let older_heads = heads.clone().map(|head| std::fs::read(head).unwrap());
    server.restart().unwrap();
    let s3 = client(&server);
    s3.create_bucket().bucket("damage-newer").send().await.unwrap();
    for (bucket, key, len) in
        [("damage-add", "newer", 200), ("damage-add", "newer-large", LARGE), ("damage-newer", "one", 50)]
    {
        put(&s3, bucket, key, len).await;
    }
    assert_eq!(server.stop().unwrap(), Some(0));
    std::fs::rename(&catalog, server.data.with_file_name("newest")).unwrap();
    copy(&older, &catalog);
    for (head, older) in heads.iter().zip(older_heads) {
        std::fs::write(head, older).unwrap();
    }
    let told = assert_named(&server, &["check"], "blob without a record", "s3://damage-add/newer");
    assert_eq!(told["faults"].as_array().unwrap().len(), 4, "{told:#}");
    assert_clean(&server, &["rebuild", "--add"]);
    assert_clean(&server, &["check"]);
    server.restart().unwrap();
    let s3 = client(&server);
    for (bucket, key, len) in
        [("damage-add", "older", 100), ("damage-add", "newer-large", LARGE), ("damage-newer", "one", 50)]
    {
        let answer = s3.get_object().bucket(bucket).key(key).send().await.unwrap();
        assert!(answer.body.collect().await.unwrap().into_bytes() == content(len, 1)[..], "{key}");
    }
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&path, target).unwrap();
    }
}
