use std::path::Path;
use std::sync::Arc;

use super::super::{Condition, Write};
use super::*;
use crate::contract;

fn open(dir: &Path) -> SledKv {
    SledKv::open(&SledConfig { dir: dir.to_owned(), cache_len: 16 << 20 }).expect("it opens")
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
    let side_files = std::fs::read_dir(dir.path().join("blobs")).expect("sled's folder").count();
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
    let config = SledConfig { dir: dir.path().to_owned(), cache_len: 1 << 20 };
    assert!(matches!(SledKv::open(&config), Err(OpenKvError::InUse(_))));
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

#[tokio::test]
async fn after_a_failed_sync_nothing_is_committed() {
    let dir = tempfile::tempdir().expect("a folder");
    let kv = open(dir.path());
    kv.commit(put("a", 3)).await.expect("a commit");
    kv.break_sync().await;
    assert!(matches!(kv.commit(put("b", 3)).await, Err(KvError::Unavailable(_))));
    assert!(matches!(kv.commit(put("c", 3)).await, Err(KvError::Unavailable(_))));
    let conflict =
        Transaction { conditions: vec![Condition::Absent(Key::from_static(b"a"))], writes: vec![] };
    assert!(matches!(kv.commit(conflict).await, Err(KvError::Unavailable(_))));
    assert!(kv.get(&[Key::from_static(b"a")]).await.expect("a read")[0].is_some());
}

#[tokio::test]
async fn another_format_is_not_touched() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(open(dir.path()));
    {
        let db = sled::open(dir.path()).expect("it opens");
        db.insert([0, b'f'], &7_u64.to_be_bytes()).expect("a write");
        db.flush().expect("a flush");
    }
    let config = SledConfig { dir: dir.path().to_owned(), cache_len: 1 << 20 };
    assert!(matches!(SledKv::open(&config), Err(OpenKvError::Format { found: 7, known: 1, .. })));
}

#[tokio::test]
async fn sleds_flush_is_a_real_sync() {
    let dir = tempfile::tempdir().expect("a folder");
    open(dir.path()).commit(put("a", 3)).await.expect("a commit");
    assert!(durable::syncs().any, "sled is linked to another sync_file_range: see durable.rs");
}

#[tokio::test]
async fn a_broken_log_is_corrupt_and_not_a_panic() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(open(dir.path()));
    std::fs::write(dir.path().join("snap.00000000000000FF"), [7; 64]).expect("a write");
    let config = SledConfig { dir: dir.path().to_owned(), cache_len: 1 << 20 };
    assert!(matches!(SledKv::open(&config), Err(OpenKvError::Corrupt { .. })));
}
