use std::path::Path;
use std::sync::Arc;

use super::super::{Condition, Write};
use super::*;
use crate::contract;

/// With its head beside it.
fn config(dir: &Path) -> SledConfig {
    SledConfig { head: Some(dir.join("catalog")), ..SledConfig::new(dir.join("catalog"), 16 << 20) }
}

fn open(dir: &Path) -> SledKv {
    SledKv::open(&config(dir)).expect("it opens")
}

fn put(key: &'static str, len: usize) -> Transaction {
    let write = Write::Put(Key::from_static(key.as_bytes()), vec![1; len].into());
    Transaction { conditions: Vec::new(), writes: vec![write] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract() {
    let dir = tempfile::tempdir().expect("a folder");
    let kv = Arc::new(open(dir.path()));
    contract::kv::run(kv.clone()).await;
    let side_files = std::fs::read_dir(dir.path().join("catalog/blobs")).expect("sled's folder").count();
    assert_eq!(side_files, 0, "sled wrote a value into a file that it never syncs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_what_it_has_when_it_is_opened_again() {
    let dir = tempfile::tempdir().expect("a folder");
    contract::kv::reopens(async || Arc::new(open(dir.path())) as Arc<dyn KeyValue>).await;
}

#[tokio::test]
async fn a_folder_opens_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = open(dir.path());
    assert!(matches!(SledKv::open(&config(dir.path())), Err(OpenKvError::InUse(_))));
    drop(first);
    drop(open(dir.path()));
}

#[tokio::test]
async fn a_closed_store_has_committed_all_and_takes_no_more() {
    let dir = tempfile::tempdir().expect("a folder");
    let kv = open(dir.path());
    kv.commit(put("a", 3)).await.expect("a commit");
    kv.close().await.expect("it closes");
    assert!(matches!(kv.commit(put("b", 3)).await, Err(KvError::Unavailable(_))));
    assert!(kv.get(&[Key::from_static(b"a")]).await.expect("a read")[0].is_some());
}

async fn value(kv: &SledKv, key: &'static str) -> Result<Option<usize>, KvError> {
    let found = kv.get(&[Key::from_static(key.as_bytes())]).await?;
    Ok(found[0].as_ref().map(|entry| entry.value.len()))
}

/// Tries until it succeeds: for what mends itself.
async fn soon<T>(what: impl AsyncFn() -> Result<T, KvError>) -> T {
    let began = std::time::Instant::now();
    loop {
        match what().await {
            Ok(found) => return found,
            Err(KvError::Unavailable(_)) if began.elapsed() < Duration::from_secs(30) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn after_a_failed_sync_nobody_reads_or_writes_until_it_is_open_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let kv = open(dir.path());
    kv.commit(put("a", 3)).await.expect("a commit");
    kv.verify().await.expect("what was committed");
    kv.break_open(true).await;
    kv.break_sync().await;
    assert!(matches!(kv.commit(put("b", 3)).await, Err(KvError::Unavailable(_))));
    assert_eq!(kv.standing(), Standing::Failed);
    assert!(matches!(kv.commit(put("c", 3)).await, Err(KvError::Unavailable(_))));
    let conflict =
        Transaction { conditions: vec![Condition::Absent(Key::from_static(b"a"))], writes: vec![] };
    assert!(matches!(kv.commit(conflict).await, Err(KvError::Unavailable(_))));
    assert!(
        matches!(value(&kv, "a").await, Err(KvError::Unavailable(_))),
        "what was not durable is not read"
    );
    assert!(matches!(kv.snapshot().await.expect("one").next().await, Err(KvError::Unavailable(_))));

    kv.break_open(false).await;
    assert_eq!(soon(async || value(&kv, "a").await).await, Some(3));
    // What the failed commit left is there whole or not at all, and stays so.
    let b = value(&kv, "b").await.expect("a read");
    assert!([None, Some(3)].contains(&b));
    soon(async || kv.commit(put("c", 5)).await).await;
    soon(async || kv.verify().await).await;
    assert_eq!(kv.standing(), Standing::Verified);
    drop(kv);
    let kv = open(dir.path());
    assert_eq!(value(&kv, "b").await.expect("a read"), b);
    assert_eq!(value(&kv, "c").await.expect("a read"), Some(5));
}

#[tokio::test]
async fn a_panic_of_the_committing_thread_closes_the_engine_until_it_is_open_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let kv = open(dir.path());
    kv.commit(put("a", 3)).await.expect("a commit");
    kv.panic().await;
    soon(async || kv.commit(put("b", 5)).await).await;
    assert_eq!(value(&kv, "a").await.expect("a read"), Some(3));
    soon(async || kv.verify().await).await;
}

#[tokio::test]
async fn an_engine_that_ends_before_its_head_is_refused_until_an_operator_accepts_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let kv = open(dir.path());
    kv.commit(put("a", 3)).await.expect("a commit");
    drop(kv);
    let copy = dir.path().join("copy");
    copy_folder(&dir.path().join("catalog"), &copy);
    let kv = open(dir.path());
    assert!(kv.former_end().is_some());
    kv.commit(put("b", 3)).await.expect("a commit");
    let reached = kv.commit_number();
    drop(kv);
    std::fs::remove_dir_all(dir.path().join("catalog")).expect("it is removed");
    std::fs::rename(&copy, dir.path().join("catalog")).expect("it is put back");
    match SledKv::open(&config(dir.path())) {
        Err(OpenKvError::Behind { reached: 2, acknowledged, .. }) => assert_eq!(acknowledged, reached),
        other => panic!("{:?}", other.err()),
    }
    let kv = SledKv::open(&SledConfig { accepts: true, ..config(dir.path()) }).expect("it opens");
    assert!(kv.former_end().is_none());
    assert!(kv.commit_number() > reached, "numbers ascend");
    kv.commit(put("c", 3)).await.expect("a commit");
    drop(kv);
    let kv = open(dir.path());
    assert!(kv.former_end().is_some());
    kv.verify().await.expect("what was committed");
}

#[tokio::test]
async fn one_file_of_the_head_is_enough_and_none_is_not() {
    let dir = tempfile::tempdir().expect("a folder");
    open(dir.path()).commit(put("a", 3)).await.expect("a commit");
    let [a, b] = crate::head::Head::paths(&dir.path().join("catalog"));
    std::fs::write(&a, [0; 512]).expect("a write");
    drop(open(dir.path()));
    std::fs::remove_file(&b).expect("it is removed");
    drop(open(dir.path()));
    std::fs::remove_file(&a).expect("it is removed");
    std::fs::write(&b, []).expect("a write");
    assert!(matches!(SledKv::open(&config(dir.path())), Err(OpenKvError::NoHead { .. })));
}

#[tokio::test]
async fn a_record_that_is_not_the_one_committed_is_noticed() {
    let dir = tempfile::tempdir().expect("a folder");
    let kv = open(dir.path());
    for key in ["a", "b", "c"] {
        kv.commit(put(key, 9000)).await.expect("a commit");
    }
    drop(kv);
    type Harm = fn(&sled::Db);
    let harms: [Harm; 3] = [
        |db| drop(db.remove([1, b'a']).expect("a write")),
        |db| drop(db.insert([1, b'd'], &[0; 14]).expect("a write")),
        |db| {
            let mut entry = db.get([1, b'b']).expect("a read").expect("it is there").to_vec();
            *entry.last_mut().expect("a byte") ^= 1;
            db.insert([1, b'b'], entry).expect("a write");
        },
    ];
    let sound = dir.path().join("sound");
    copy_folder(&dir.path().join("catalog"), &sound);
    for harm in harms {
        let db = sled::open(dir.path().join("catalog")).expect("it opens");
        harm(&db);
        drop(db);
        let kv = open(dir.path());
        assert!(matches!(kv.verify().await, Err(KvError::Corrupt(_))));
        assert_eq!(kv.standing(), Standing::Damaged);
        drop(kv);
        std::fs::remove_dir_all(dir.path().join("catalog")).expect("it is removed");
        copy_folder(&sound, &dir.path().join("catalog"));
    }
    open(dir.path()).verify().await.expect("what was committed");
}

#[tokio::test]
async fn an_entry_without_its_chunks_is_damage_and_not_a_hang() {
    let dir = tempfile::tempdir().expect("a folder");
    open(dir.path()).commit(put("a", 9000)).await.expect("a commit");
    {
        let db = sled::open(dir.path().join("catalog")).expect("it opens");
        let chunk = db.scan_prefix([2]).keys().next().expect("a chunk").expect("a read");
        db.remove(chunk).expect("a write");
        db.flush().expect("a flush");
    }
    let kv = open(dir.path());
    assert!(matches!(value(&kv, "a").await, Err(KvError::Corrupt(_))));
    kv.commit(put("a", 3)).await.expect("it can be overwritten");
    assert_eq!(value(&kv, "a").await.expect("a read"), Some(3));
}

#[tokio::test]
async fn a_torn_description_of_sleds_is_made_anew() {
    let dir = tempfile::tempdir().expect("a folder");
    open(dir.path()).commit(put("a", 3)).await.expect("a commit");
    let conf = dir.path().join("catalog/conf");
    let sound = std::fs::read(&conf).expect("a read");
    for torn in [&sound[..20], b"", b"segment_size: 4096\nuse_compression: false\nversion: 0.34\n\0\0\0\0"] {
        std::fs::write(&conf, torn).expect("a write");
        assert_eq!(value(&open(dir.path()), "a").await.expect("a read"), Some(3));
        assert_eq!(std::fs::read(&conf).expect("a read"), sound);
    }
}

#[tokio::test]
async fn a_store_of_the_format_before_is_counted_from_its_first_start() {
    let dir = tempfile::tempdir().expect("a folder");
    open(dir.path()).commit(put("a", 9000)).await.expect("a commit");
    {
        let db = sled::open(dir.path().join("catalog")).expect("it opens");
        db.insert([0, b'f'], &1_u64.to_be_bytes()).expect("a write");
        db.remove([0, b'c']).expect("a write");
        db.flush().expect("a flush");
    }
    for path in crate::head::Head::paths(&dir.path().join("catalog")) {
        std::fs::remove_file(path).expect("it is removed");
    }
    let kv = open(dir.path());
    assert_eq!(value(&kv, "a").await.expect("a read"), Some(9000));
    assert_eq!(kv.verify().await.expect("what was committed"), 1);
}

#[tokio::test]
async fn a_store_of_the_format_before_goes_on_and_is_closed_to_builds_of_before() {
    let dir = tempfile::tempdir().expect("a folder");
    let format = || {
        let db = sled::open(dir.path().join("catalog")).expect("it opens");
        let found = db.get([0, b'f']).expect("a read").expect("a format");
        db.insert([0, b'f'], &2_u64.to_be_bytes()).expect("a write");
        db.flush().expect("a flush");
        found.to_vec()
    };
    for _ in 0..2 {
        open(dir.path()).commit(put("a", 9000)).await.expect("a commit");
        assert_eq!(format(), 3_u64.to_be_bytes());
        let kv = open(dir.path());
        assert_eq!(value(&kv, "a").await.expect("a read"), Some(9000));
        assert_eq!(kv.verify().await.expect("what was committed"), 1);
    }
    assert_eq!(format(), 3_u64.to_be_bytes());
}

fn copy_folder(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp");
    assert!(copied.success());
}

#[tokio::test]
async fn another_format_is_not_touched() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(open(dir.path()));
    {
        let db = sled::open(dir.path().join("catalog")).expect("it opens");
        db.insert([0, b'f'], &7_u64.to_be_bytes()).expect("a write");
        db.flush().expect("a flush");
    }
    assert!(matches!(SledKv::open(&config(dir.path())), Err(OpenKvError::Format { found: 7, known: 3, .. })));
}

#[tokio::test]
async fn sleds_flush_is_a_real_sync() {
    let dir = tempfile::tempdir().expect("a folder");
    open(dir.path()).commit(put("a", 3)).await.expect("a commit");
    let log = std::fs::File::open(dir.path().join("catalog/db")).expect("a file");
    let id = durable::id_of(&log).expect("an id");
    assert!(durable::syncs(id).count > 0, "sled is linked to another sync_file_range: see durable.rs");
}

#[tokio::test]
async fn a_broken_log_is_corrupt_and_not_a_panic() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(open(dir.path()));
    std::fs::write(dir.path().join("catalog/snap.00000000000000FF"), [7; 64]).expect("a write");
    assert!(matches!(SledKv::open(&config(dir.path())), Err(OpenKvError::Corrupt { .. })));
}
