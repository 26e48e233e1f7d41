//! Folders that can't be trusted: a catalog that ends too early, parts that are missing or of another folder, a restored backup beside
//! newer blobs. Nothing is deleted, every loss is told, and the way out that is named works.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use conformance_tests::server::{Server, binary};

use super::client::{client, content};

const BUCKET: &str = "doubt";

async fn put(s3: &Client, names: std::ops::Range<u64>) {
    for number in names {
        // Every tenth has a file of its own.
        let len = if number % 10 == 0 { 200_000 } else { 1000 };
        let put = s3.put_object().bucket(BUCKET).key(number.to_string());
        put.body(ByteStream::from(content(len, number))).send().await.unwrap();
    }
}

async fn assert_whole(s3: &Client, names: std::ops::Range<u64>) {
    for number in names {
        let len = if number % 10 == 0 { 200_000 } else { 1000 };
        let got = s3.get_object().bucket(BUCKET).key(number.to_string()).send().await.unwrap();
        assert!(got.body.collect().await.unwrap().to_vec() == content(len, number), "object {number}");
    }
}

/// A start that is to be refused; answers what it said.
fn refused(data: &Path) -> String {
    let started = Command::new(binary().unwrap())
        .args(["--listen", "127.0.0.1:0", "--log", "error", "--data"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = started.id();
    // One that is not refused would serve for ever.
    let watch = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(60));
        let pid = rustix::process::Pid::from_raw(id as i32).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    });
    let output = started.wait_with_output().unwrap();
    drop(watch);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    text
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// The blobs of a folder, by file.
fn blob_files(data: &Path) -> usize {
    let found = Command::new("find").arg(data.join("blobs/files")).args(["-type", "f"]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_missing_empty_or_anothers_is_refused_and_costs_nothing() {
    if Server::skips("it takes parts of a data folder away") {
        return;
    }
    let mut server = Server::start().unwrap();
    let s3 = client(&server);
    s3.create_bucket().bucket(BUCKET).send().await.unwrap();
    put(&s3, 0..40).await;
    assert_eq!(server.stop().unwrap(), Some(0));
    let mut other = Server::start().unwrap();
    assert_eq!(other.stop().unwrap(), Some(0));
    let aside = server.data.with_file_name("aside");
    for part in ["catalog", "blobs", "kms"] {
        let path = server.data.join(part);
        fs::rename(&path, &aside).unwrap();
        assert!(refused(&server.data).contains("is missing or empty"), "{part} is missing");
        fs::create_dir(&path).unwrap();
        assert!(refused(&server.data).contains("is missing or empty"), "{part} is empty");
        fs::remove_dir(&path).unwrap();
        copy(&other.data.join(part), &path);
        assert!(refused(&server.data).contains("belongs to another data folder"), "{part} is another's");
        fs::remove_dir_all(&path).unwrap();
        fs::rename(&aside, &path).unwrap();
    }
    server.restart().unwrap();
    // A sweep comes right after the start.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_whole(&client(&server), 0..40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_that_ends_too_early_is_refused_and_a_rebuild_brings_all_back() {
    if Server::skips("it takes parts of a data folder away") {
        return;
    }
    let mut server = Server::start().unwrap();
    let s3 = client(&server);
    s3.create_bucket().bucket(BUCKET).send().await.unwrap();
    put(&s3, 0..10).await;
    assert_eq!(server.stop().unwrap(), Some(0));
    let older = server.data.with_file_name("older");
    copy(&server.data.join("catalog"), &older);
    let log = server.data.join("catalog/db");
    let before = fs::read(&log).unwrap();
    server.restart().unwrap();
    put(&client(&server), 10..110).await;
    assert_eq!(server.stop().unwrap(), Some(0));

    // One bit of the log, a quarter into what came since the start.
    let mut bytes = fs::read(&log).unwrap();
    let first = bytes.iter().zip(&before).position(|(now, then)| now != then).unwrap_or(before.len());
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let at = first + (last - first) / 4;
    bytes[at] ^= 0x10;
    let sound = server.data.with_file_name("sound");
    copy(&server.data, &sound);
    for harm in ["a flipped bit", "an older copy"] {
        match harm {
            "a flipped bit" => fs::write(&log, &bytes).unwrap(),
            _ => {
                fs::remove_dir_all(server.data.join("catalog")).unwrap();
                copy(&older, &server.data.join("catalog"));
            }
        }
        let said = refused(&server.data);
        assert!(said.contains("sealgate rebuild"), "{harm}: {said}");
        let files = blob_files(&server.data);
        let rebuilt = server.command(&["rebuild"]).unwrap();
        let told = String::from_utf8_lossy(&rebuilt.stdout).into_owned();
        assert!(rebuilt.status.success(), "{harm}: {told} {}", String::from_utf8_lossy(&rebuilt.stderr));
        server.restart().unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_whole(&client(&server), 0..110).await;
        assert_eq!(blob_files(&server.data), files, "{harm}");
        assert_eq!(server.stop().unwrap(), Some(0));
        fs::remove_dir_all(&server.data).unwrap();
        copy(&sound, &server.data);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_beside_newer_blobs_loses_none_of_them() {
    if Server::skips("it takes parts of a data folder away") {
        return;
    }
    let mut server = Server::start().unwrap();
    let s3 = client(&server);
    s3.create_bucket().bucket(BUCKET).send().await.unwrap();
    put(&s3, 0..10).await;
    let file = server.data.with_file_name("backup");
    let backup = server.command(&["backup", file.to_str().unwrap()]).unwrap();
    assert!(backup.status.success(), "{}", String::from_utf8_lossy(&backup.stderr));
    put(&s3, 10..15).await;
    assert_eq!(server.stop().unwrap(), Some(0));
    let lost = server.data.with_file_name("lost");
    fs::rename(&server.data, &lost).unwrap();
    let restored = server.command(&["restore", file.to_str().unwrap()]).unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    assert!(refused(&server.data).contains("is missing or empty"), "its blobs are not there yet");
    copy(&lost.join("blobs"), &server.data.join("blobs"));

    server.restart().unwrap();
    let s3 = client(&server);
    assert_whole(&s3, 0..10).await;
    let began = Instant::now();
    let away = || fs::read_dir(server.data.join("blobs/quarantine")).unwrap().count();
    while away() < 5 && began.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(away(), 5, "what the catalog knows nothing of is put away");
    put(&s3, 20..22).await;
    assert_eq!(server.stop().unwrap(), Some(0));
    let added = server.command(&["rebuild", "--add"]).unwrap();
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    server.restart().unwrap();
    let s3 = client(&server);
    assert_whole(&s3, 0..15).await;
    assert_whole(&s3, 20..22).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_gone_wants_an_operators_word_and_a_witness_tells_of_a_folder_put_back() {
    if Server::skips("it takes parts of a data folder away") {
        return;
    }
    let mut server = Server::start().unwrap();
    let s3 = client(&server);
    s3.create_bucket().bucket(BUCKET).send().await.unwrap();
    put(&s3, 0..3).await;
    assert_eq!(server.stop().unwrap(), Some(0));
    let older = server.data.with_file_name("older");
    copy(&server.data, &older);
    for end in ["a", "b"] {
        fs::remove_file(server.data.join(format!("catalog.head.{end}"))).unwrap();
    }
    assert!(refused(&server.data).contains("sealgate adopt"));
    let adopted = server.command(&["adopt"]).unwrap();
    assert!(adopted.status.success(), "{}", String::from_utf8_lossy(&adopted.stderr));
    server.restart().unwrap();
    assert_whole(&client(&server), 0..3).await;

    let note = server.command(&["witness"]).unwrap();
    let file = server.data.with_file_name("note");
    fs::write(&file, &note.stdout).unwrap();
    let check = |server: &Server| server.command(&["witness", "--check", file.to_str().unwrap()]).unwrap();
    put(&client(&server), 3..5).await;
    assert!(check(&server).status.success());
    assert_eq!(server.stop().unwrap(), Some(0));
    assert!(check(&server).status.success(), "on a stopped folder too");
    fs::remove_dir_all(&server.data).unwrap();
    copy(&older, &server.data);
    server.restart().unwrap();
    let told = check(&server);
    assert_eq!(told.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&told.stdout).contains("put back"));
}

#[test]
fn a_first_start_that_was_cut_off_goes_on() {
    if Server::skips("it takes parts of a data folder away") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("lock"), "").unwrap();
    fs::write(data.join("instance.json.new"), "{\"form").unwrap();
    let mut server = Server::start_on(&data, &[]).unwrap();
    assert_eq!(server.stop().unwrap(), Some(0));
    // sled's descriptions, which it writes without a sync.
    for conf in ["catalog/conf", "kms/db/conf"] {
        fs::write(data.join(conf), "segment_si").unwrap();
        let mut server = Server::start_on(&data, &[]).unwrap();
        assert_eq!(server.stop().unwrap(), Some(0), "{conf}");
    }
}

/// Whoever writes the log beside the data fills both at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_costs_lines_and_nothing_else() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut server = Server::start_logging_to(full).unwrap();
    let s3 = client(&server);
    s3.create_bucket().bucket(BUCKET).send().await.unwrap();
    put(&s3, 0..11).await;
    s3.get_object().bucket(BUCKET).key("absent").send().await.unwrap_err();
    assert_whole(&s3, 0..11).await;
    assert_eq!(server.stop().unwrap(), Some(0));
}
