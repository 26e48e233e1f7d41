//! What blobs cost on this disk: durable small blobs by number of writers, large writes and reads, in wall and CPU time.
//! `cargo run --release -p storage --example blob -- DIR`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use storage::blob::fs::{FsBlobStore, FsOptions};
use storage::blob::{BlobOwner, BlobRef, BlobStore, SizeHint, StoredRange};
use storage::name::{BucketId, ObjectKey, VersionId};

const SMALL_LEN: usize = 4200;
const LARGE_LEN: usize = 64 << 20;

fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("procfs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split(' ').collect();
    let ticks: u64 = fields[12].parse::<u64>().expect("utime") + fields[13].parse::<u64>().expect("stime");
    Duration::from_millis(ticks * 10)
}

fn owner(number: u64) -> BlobOwner {
    BlobOwner::Content {
        bucket: BucketId::from_bytes([1; 16]),
        object: ObjectKey::parse(&format!("bench/{number}")).expect("a key"),
        version: VersionId::now(),
        part: None,
    }
}

async fn put(store: &FsBlobStore, number: u64, content: Bytes, step: usize) -> BlobRef {
    let mut writer =
        store.create(owner(number), SizeHint::Exact(content.len() as u64)).await.expect("a writer");
    let mut rest = content;
    while !rest.is_empty() {
        writer.write(rest.split_to(step.min(rest.len()))).await.expect("a write");
    }
    writer.finish(Bytes::from_static(&[7; 600])).await.expect("a blob")
}

async fn get(store: &FsBlobStore, blob: &BlobRef, step: usize) -> u64 {
    let reader = store.open(blob).await.expect("a reader");
    let (mut at, mut sum) = (0, 0);
    while at < blob.stored_len.0 {
        let len = (blob.stored_len.0 - at).min(step as u64) as usize;
        let read = reader.read(StoredRange { offset: at, len }).await.expect("a read");
        sum += u64::from(read[0]);
        at += len as u64;
    }
    sum
}

async fn small(store: &Arc<FsBlobStore>, writers: u64, span: Duration) -> Vec<BlobRef> {
    let (started, cpu_before) = (Instant::now(), cpu());
    let count = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..writers {
        let (store, count) = (store.clone(), count.clone());
        tasks.spawn(async move {
            let content = Bytes::from(vec![5; SMALL_LEN]);
            let mut blobs = Vec::new();
            while started.elapsed() < span {
                blobs.push(
                    put(&store, count.fetch_add(1, Ordering::Relaxed), content.clone(), SMALL_LEN).await,
                );
            }
            blobs
        });
    }
    let mut blobs = Vec::new();
    while let Some(done) = tasks.join_next().await {
        blobs.extend(done.expect("a writer"));
    }
    let (wall, cpu) = (started.elapsed(), cpu() - cpu_before);
    let each = cpu.as_secs_f64() * 1e6 / blobs.len() as f64;
    println!(
        "PUT {SMALL_LEN} B x {writers:3}: {:8.0}/s  {each:6.1} us CPU each",
        blobs.len() as f64 / wall.as_secs_f64()
    );
    blobs
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "target/blob-bench".into());
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the folder");
    let store =
        Arc::new(FsBlobStore::open(format!("{folder}/blobs"), FsOptions::default()).expect("a store"));
    let mut blobs = Vec::new();
    for writers in [1, 16, 64] {
        blobs = small(&store, writers, Duration::from_secs(2)).await;
    }
    let (started, cpu_before) = (Instant::now(), cpu());
    let mut sum = 0;
    let rounds = 200_000 / blobs.len().max(1) + 1;
    for blob in blobs.iter().cycle().take(rounds * blobs.len()) {
        sum += get(&store, blob, SMALL_LEN).await;
    }
    let reads = (rounds * blobs.len()) as f64;
    let (wall, spent) = (started.elapsed(), cpu() - cpu_before);
    println!(
        "GET {SMALL_LEN} B: {:.2} us wall, {:.2} us CPU",
        wall.as_secs_f64() * 1e6 / reads,
        spent.as_secs_f64() * 1e6 / reads
    );

    let content = Bytes::from((0..LARGE_LEN).map(|i| ((i * 31) >> 3) as u8).collect::<Vec<_>>());
    for (streams, count) in [(4, 32), (1, 32), (4, 32), (1, 32)] {
        let (started, cpu_before) = (Instant::now(), cpu());
        let mut tasks = tokio::task::JoinSet::new();
        for stream in 0..streams {
            let (store, content) = (store.clone(), content.clone());
            tasks.spawn(async move {
                let mut blobs = Vec::new();
                for number in 0..count / streams {
                    blobs.push(put(&store, stream * 1000 + number, content.clone(), 256 << 10).await);
                }
                blobs
            });
        }
        let mut blobs = Vec::new();
        while let Some(done) = tasks.join_next().await {
            blobs.extend(done.expect("a writer"));
        }
        let (wall, spent) = (started.elapsed(), cpu() - cpu_before);
        let gigabytes = (count as usize * LARGE_LEN) as f64 / 1e9;
        println!(
            "PUT 64 MiB x {streams}: {:.0} MB/s, {:.3} CPU-s/GB",
            gigabytes * 1e3 / wall.as_secs_f64(),
            spent.as_secs_f64() / gigabytes
        );
        for step in [64 << 10, 256 << 10, 1 << 20] {
            for blob in &blobs[..4] {
                sum += get(&store, blob, step).await;
            }
            let (started, cpu_before) = (Instant::now(), cpu());
            for _ in 0..8 {
                for blob in &blobs[..4] {
                    sum += get(&store, blob, step).await;
                }
            }
            let (wall, spent) = (started.elapsed(), cpu() - cpu_before);
            let gigabytes = (32 * LARGE_LEN) as f64 / 1e9;
            println!(
                "GET 64 MiB by {} KiB: {:.0} MB/s, {:.3} CPU-s/GB",
                step >> 10,
                gigabytes * 1e3 / wall.as_secs_f64(),
                spent.as_secs_f64() / gigabytes
            );
        }
        for blob in blobs {
            store.delete(&blob.id).await.expect("a deletion");
        }
    }
    store.close().await;
    println!("({sum})");
    let _ = std::fs::remove_dir_all(&folder);
}
