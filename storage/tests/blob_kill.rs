//! A process that writes blobs is killed at random moments; every blob that it called finished must be there, whole.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use storage::blob::fs::{FsBlobStore, FsOptions};
use storage::blob::{BlobError, BlobOwner, BlobRef, BlobStore, SizeHint, StoredLen, StoredRange};
use storage::name::BlobId;

const WRITERS: u64 = 8;
const ROUNDS: u64 = 10;
const DIR: &str = "SEALGATE_BLOB_KILL_TEST_DIR";

fn open(dir: &Path) -> FsBlobStore {
    // Segments are short, so that kills meet their ends too.
    let options = FsOptions {
        segment_len: 512 << 10,
        medium_len_max: 300_000,
        reserve_free: 0,
        ..FsOptions::default()
    };
    FsBlobStore::open(dir.join("blobs"), options).expect("the store opens")
}

/// Mostly small ones, some medium ones, and some files.
fn len_of(seed: u64) -> usize {
    match seed % 40 {
        39 => 400_000,
        37 | 38 => 140_000 + (seed % 1009) as usize,
        other => (other * 311 + seed % 7) as usize,
    }
}

fn content(seed: u64) -> Bytes {
    (0..len_of(seed)).map(|at| (seed as usize * 31 + at * 7 + at / 255) as u8).collect()
}

fn owner(seed: u64) -> BlobOwner {
    BlobOwner::Journal { subject: seed.to_string().into() }
}

async fn whole(store: &FsBlobStore, blob: &BlobRef) -> Result<Bytes, BlobError> {
    let range = StoredRange { offset: 0, len: blob.stored_len.0 as usize };
    Ok(store.open(blob).await?.read(range).await?.freeze())
}

/// The child: writes and deletes without end, and says what is finished (`+`) and what it is about to delete (`-`).
#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    runtime.block_on(async {
        let store = std::sync::Arc::new(open(Path::new(&dir)));
        let start = std::process::id() as u64 * 1_000_000;
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let store = store.clone();
            tasks.spawn(async move {
                for number in 0..u64::MAX {
                    let seed = start + number * WRITERS + writer;
                    let hint = SizeHint::Exact(len_of(seed) as u64);
                    let mut writer = store.create(owner(seed), hint).await.expect("a writer");
                    writer.write(content(seed)).await.expect("a write");
                    let blob = writer.finish(seed.to_string().into()).await.expect("a blob");
                    writeln!(std::io::stdout(), "+ {} {} {seed}", blob.id, blob.stored_len.0)
                        .expect("a line");
                    if seed.is_multiple_of(3) {
                        writeln!(std::io::stdout(), "- {} {} {seed}", blob.id, blob.stored_len.0)
                            .expect("a line");
                        store.delete(&blob.id).await.expect("a deletion");
                    }
                }
            });
        }
        tasks.join_next().await
    });
}

#[test]
fn finished_blobs_survive_kills() {
    let dir = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut alive: BTreeMap<BlobId, (BlobRef, u64)> = BTreeMap::new();
    let mut total = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let lines = child.stdout.take().expect("its output");
        let reader = std::thread::spawn(move || {
            BufReader::new(lines).lines().map_while(Result::ok).collect::<Vec<_>>()
        });
        std::thread::sleep(Duration::from_millis(150 + round * 37 % 200));
        child.kill().expect("a kill");
        child.wait().expect("its end");
        for line in reader.join().expect("its lines") {
            let fields: Vec<&str> = line.split(' ').collect();
            let [sign @ ("+" | "-"), id, len, seed] = fields[..] else { continue };
            // The last line may be cut.
            let (Ok(id), Ok(len), Ok(seed)) = (BlobId::parse(id), len.parse(), seed.parse::<u64>()) else {
                continue;
            };
            if sign == "+" && len == len_of(seed) as u64 {
                alive.insert(id, (BlobRef { id, stored_len: StoredLen(len) }, seed));
                total += 1;
            } else {
                alive.remove(&id);
            }
        }
        runtime.block_on(async {
            let store = open(dir.path());
            for (blob, seed) in alive.values() {
                assert!(
                    whole(&store, blob).await.expect("a finished blob") == content(*seed),
                    "{} is another",
                    blob.id
                );
                assert_eq!(store.read_trailer(blob).await.expect("its trailer"), seed.to_string());
            }
            let (mut after, mut listed) = (None, 0);
            loop {
                let page = store.list(after, 500).await.expect("a page");
                let Some(last) = page.last() else { break };
                after = Some(last.blob.id);
                for row in &page {
                    let BlobOwner::Journal { subject } = &row.owner else { panic!("a stranger's blob") };
                    let seed: u64 = std::str::from_utf8(subject).expect("text").parse().expect("a number");
                    assert!(whole(&store, &row.blob).await.expect("a listed blob") == content(seed));
                    listed += usize::from(alive.contains_key(&row.blob.id));
                }
            }
            assert_eq!(listed, alive.len(), "a finished blob is not listed");
        });
    }
    assert!(total > 100, "only {total} blobs were finished: the test shows nothing");
}
