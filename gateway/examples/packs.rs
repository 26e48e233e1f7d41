//! What it gains to send small blobs together: PUT and GET of 16 KiB over a SeaweedFS that it starts, each an object of its own and packed,
//! by 1, 16 and 64 clients, and how many objects 1000 blobs become. `packs [SECONDS]`: of each round, 5 by default, 60 at the most.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use conformance_tests::seaweedfs::Seaweedfs;
use futures_util::TryStreamExt;
use gateway::blobs::{self, Blobs};
use gateway::config::BlobsConfig;
use storage::blob::{BlobRef, BlobStore, SizeHint, StoredRange};
use storage::contract::blob::{owner, pattern, put};
use storage::session::{BlobIds, SessionId};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Bytes of a blob.
const LEN: usize = 16 << 10;
/// Rounds of each kind, in turn: other work on the machine meets both.
const ROUNDS: usize = 3;

async fn put_for(store: Arc<dyn BlobStore>, clients: u64, time: Duration) -> anyhow::Result<Vec<BlobRef>> {
    let until = Instant::now() + time;
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let store = store.clone();
        tasks.spawn(async move {
            let (content, mut blobs) = (pattern(client, LEN), Vec::new());
            let (hint, trailer) = (SizeHint::Exact(LEN as u64), Bytes::from_static(&[7; 400]));
            while Instant::now() < until {
                blobs.push(put(&*store, owner(client), hint, &content, LEN, trailer.clone()).await?);
            }
            anyhow::Ok(blobs)
        });
    }
    let mut blobs = Vec::new();
    while let Some(done) = tasks.join_next().await {
        blobs.extend(done??);
    }
    Ok(blobs)
}

async fn get_for(
    store: Arc<dyn BlobStore>,
    blobs: Arc<Vec<BlobRef>>,
    clients: usize,
    time: Duration,
) -> anyhow::Result<u64> {
    let until = Instant::now() + time;
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let (store, blobs) = (store.clone(), blobs.clone());
        tasks.spawn(async move {
            let (mut at, mut count) = (client * 7919, 0);
            while Instant::now() < until {
                at = (at + 104_729) % blobs.len();
                let reader = store.open(&blobs[at]).await?;
                reader.read(StoredRange { offset: 0, len: LEN }).await?;
                count += 1;
            }
            anyhow::Ok(count)
        });
    }
    let mut count = 0;
    while let Some(done) = tasks.join_next().await {
        count += done??;
    }
    Ok(count)
}

async fn objects(blobs: &Blobs) -> anyhow::Result<u64> {
    let names = blobs.store.list(Some(&blobs.prefix));
    Ok(names.try_fold(0, |count, _| std::future::ready(Ok(count + 1))).await?)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let seconds = std::env::args().nth(1).map_or(Ok(5), |text| text.parse::<u64>())?.clamp(1, 60);
    let time = Duration::from_secs(seconds);
    let seaweedfs = Seaweedfs::start()?;
    let folder = tempfile::tempdir()?;
    let credentials = folder.path().join("credentials");
    std::fs::write(&credentials, "aws_access_key_id = any\naws_secret_access_key = any\n")?;
    println!("clients  kind      PUT/s   GET/s  objects per 1000 PUTs");
    for clients in [1, 16, 64] {
        for round in 0..ROUNDS {
            for (kind, pack_len) in [("alone", 0), ("packed", 1 << 20)] {
                let config = BlobsConfig {
                    url: seaweedfs.url(&format!("{kind}-{clients}-{round}")),
                    credentials: Some(credentials.clone()),
                    pack_len: Some(pack_len),
                };
                let place = blobs::open(&config)?;
                let store: Arc<dyn BlobStore> = Arc::new(place.store_of(BlobIds::new(SessionId::random())));
                let begun = Instant::now();
                let written = put_for(store.clone(), clients, time).await?;
                let puts = written.len() as f64 / begun.elapsed().as_secs_f64();
                let per_1000 = objects(&place).await? as f64 * 1000.0 / written.len() as f64;
                let begun = Instant::now();
                let read = get_for(store, Arc::new(written), clients as usize, time).await?;
                let gets = read as f64 / begun.elapsed().as_secs_f64();
                println!("{clients:7}  {kind:6} {puts:8.0} {gets:7.0} {per_1000:9.0}");
            }
        }
    }
    Ok(())
}
