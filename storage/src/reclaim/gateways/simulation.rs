//! Gateways that serve, freeze, die and come again, with sweeps, drains and moves at any moment. In the end everything that was
//! acknowledged is there, and nothing else.

use std::collections::HashMap as Map;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::task::JoinHandle;

use super::*;
use crate::catalog::{Part, PartDirectory, Upload};
use crate::name::{PartNumber, UploadId};
use crate::session::SessionState;

const OPTIONS: SessionOptions = SessionOptions {
    heartbeat: Duration::from_millis(10),
    dead_after: Duration::from_millis(400),
    long_read: Duration::from_millis(150),
};
/// Tasks of one gateway that serve, and objects of each, which nobody else writes.
const TASKS: u64 = 4;
const OBJECTS: u64 = 6;

/// Numbers that depend on the seed alone.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

#[derive(Default)]
struct Counts {
    puts: AtomicU64,
    multipart: AtomicU64,
    refused: AtomicU64,
    reads: AtomicU64,
    long: AtomicU64,
    broken: AtomicU64,
    dangling: AtomicU64,
    died: AtomicU64,
    frozen: AtomicU64,
    displaced: AtomicU64,
    orphans: AtomicU64,
    moved: AtomicU64,
    packed: AtomicU64,
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Relaxed);
}

/// What each object may hold: what was acknowledged last, and whatever came after that with another outcome. `None`: it is absent.
type Ledger = Arc<Mutex<Map<String, Vec<Option<Vec<u8>>>>>>;

impl Gateway {
    /// As the calls of a multipart upload do.
    async fn put_in_parts(&self, name: &str, parts: Vec<Vec<u8>>) -> Result<(), CatalogError> {
        let id = VersionId::now();
        let upload = Upload {
            id: UploadId(id),
            object: key(name),
            initiated: Timestamp::now(),
            initiator: String::new(),
            headers: SystemHeaders::default(),
            user_metadata: Vec::new(),
            tags: Vec::new(),
            storage_class: "STANDARD".to_owned(),
            checksum: None,
            lock: Default::default(),
            attributes: Default::default(),
            envelope: Bytes::new(),
            journal: None,
        };
        self.catalog.request(self.catalog.create_upload(&self.bucket, &upload)).await?;
        let (mut stored, mut len) = (Vec::new(), 0);
        for (number, content) in (1..).zip(parts) {
            len += content.len();
            // Sent twice: the first is displaced.
            for _ in 0..1 + number % 2 {
                let part = self.catalog.request(self.put_part(&upload, number, content.clone())).await?;
                stored.retain(|other: &Part| other.number != part.number);
                stored.push(part);
            }
        }
        let own = version(id, len, Layout::Parts(PartDirectory::of(&stored)));
        let complete =
            self.catalog.complete_upload(&self.bucket, &upload, &stored, &own, &Precondition::None);
        self.catalog.request(complete).await
    }

    async fn put_part(&self, upload: &Upload, number: u64, content: Vec<u8>) -> Result<Part, CatalogError> {
        let _pin = self.catalog.pin(upload.id.0);
        let mut part = Part {
            number: PartNumber::new(number).unwrap(),
            plain_len: content.len() as u64,
            etag: "e".to_owned(),
            md5: None,
            checksum: None,
            last_modified: Timestamp::now(),
            blob: crate::catalog::OWN_BLOB,
            salt: None,
        };
        let trailer = Trailer::Part { bucket: self.bucket.id, upload: upload.clone(), part: part.clone() };
        let hint = SizeHint::Exact(content.len() as u64);
        let mut writer = self.blobs.create(trailer.owner(), hint).await.unwrap();
        writer.write(content.into()).await.unwrap();
        part.blob = writer.finish(trailer.encode()).await.unwrap();
        self.catalog.put_part(&self.bucket, upload, &part).await?;
        Ok(part)
    }
}

/// Serves one client, whose objects are its own, until `puts` is used up.
async fn serve(
    gateway: Arc<Gateway>,
    mut dice: Dice,
    client: u64,
    left: Arc<AtomicU64>,
    ledger: Ledger,
    counts: Arc<Counts>,
) {
    while left.load(Relaxed) > 0 {
        let name = format!("{client}/{}", dice.roll(OBJECTS));
        let fill = dice.roll(251) as u8 + 1;
        let len = 2 + dice.roll(300) as usize;
        let pause_us = dice.roll(2000);
        match dice.roll(8) {
            0..=3 => {
                left.fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(1))).unwrap();
                let content = vec![fill; len];
                ledger.lock().entry(name.clone()).or_insert(vec![None]).push(Some(content.clone()));
                let done = if fill.is_multiple_of(4) {
                    add(&counts.multipart, 1);
                    let parts = content.chunks(len.div_ceil(3)).map(<[u8]>::to_vec).collect();
                    gateway.put_in_parts(&name, parts).await
                } else {
                    gateway.put(&name, content.clone()).await
                };
                match done {
                    Ok(()) => {
                        add(&counts.puts, 1);
                        ledger.lock().insert(name, vec![Some(content)]);
                    }
                    Err(_) => {
                        add(&counts.refused, 1);
                        // Its session is over: whoever goes on does so in another.
                        if *gateway.catalog.session_ended().borrow() {
                            return;
                        }
                    }
                }
            }
            roll => {
                // Of any client.
                let name = format!("{}/{}", dice.roll(2 * TASKS), dice.roll(OBJECTS));
                let is_long = roll == 7 && pause_us < 100;
                let pause = Duration::from_micros(if is_long { 250_000 } else { pause_us });
                let read = gateway.get(&name, Pause::Sleep(pause)).await;
                add(if is_long { &counts.long } else { &counts.reads }, 1);
                // One that others took for dead reads on at its own risk.
                let own = gateway.catalog.session().unwrap();
                if read == Read::Broken
                    && gateway.catalog.session_state(own).await.unwrap() == SessionState::Live
                {
                    add(&counts.broken, 1);
                }
            }
        }
    }
}

async fn reclaim(gateway: Arc<Gateway>, mut dice: Dice, counts: Arc<Counts>) {
    loop {
        tokio::time::sleep(Duration::from_micros(dice.roll(8000))).await;
        if *gateway.catalog.session_ended().borrow() {
            return;
        }
        match dice.roll(5) {
            4 => {
                if let Ok(done) = gateway.reclaimer.compact().await {
                    add(&counts.moved, done.moved);
                }
            }
            0 | 1 => {
                if let Ok(done) = gateway.reclaimer.drain().await {
                    add(&counts.displaced, done.displaced);
                }
            }
            2 => {
                if let Ok(done) = gateway.reclaimer.sweep().await {
                    add(&counts.orphans, done.orphans);
                }
            }
            _ => {
                let Ok(rows) = gateway.blobs.list(None, 1000).await else { continue };
                if rows.is_empty() {
                    continue;
                }
                let row = &rows[dice.roll(rows.len() as u64) as usize];
                add(&counts.packed, u64::from(crate::session::pack_and_place(&row.blob.id).is_some()));
                if let Ok(true) = gateway.reclaimer.move_blob(&gateway.catalog, row).await {
                    add(&counts.moved, 1);
                }
            }
        }
    }
}

/// Runs until so many puts were tried; answers what happened.
async fn simulate(world: World, puts: u64, seed: u64) -> Arc<Counts> {
    let (ledger, counts) = (Ledger::default(), Arc::new(Counts::default()));
    let left = Arc::new(AtomicU64::new(puts));
    let mut slots = tokio::task::JoinSet::new();
    let world = Arc::new(world);
    for slot in 0..2u64 {
        let (world, ledger, counts, left) = (world.clone(), ledger.clone(), counts.clone(), left.clone());
        slots.spawn(async move {
            let mut dice = Dice(seed.wrapping_add(slot + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            while left.load(Relaxed) > 0 {
                let (gateway, keeper) = world.gateway(OPTIONS).await;
                let (stop, stopped) = tokio::sync::watch::channel(false);
                let mut serving: Vec<JoinHandle<()>> = Vec::new();
                for task in 0..TASKS {
                    let client = slot * TASKS + task;
                    let dice = Dice(dice.roll(u64::MAX >> 33) | 1);
                    let serve =
                        serve(gateway.clone(), dice, client, left.clone(), ledger.clone(), counts.clone());
                    serving.push(tokio::spawn(serve));
                }
                let reclaiming =
                    tokio::spawn(reclaim(gateway.clone(), Dice(dice.roll(1 << 30) | 1), counts.clone()));
                let keeping = tokio::spawn(keeper.run(stopped));
                let until = tokio::time::Instant::now() + Duration::from_millis(200 + dice.roll(1500));
                while left.load(Relaxed) > 0 && tokio::time::Instant::now() < until {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                if left.load(Relaxed) == 0 || dice.roll(3) == 0 {
                    // In order.
                    for task in serving {
                        if left.load(Relaxed) > 0 {
                            task.abort();
                        }
                        drop(task.await);
                    }
                    reclaiming.abort();
                    drop(reclaiming.await);
                    stop.send(true).unwrap();
                    keeping.await.unwrap();
                } else if dice.roll(2) == 0 {
                    // It dies.
                    add(&counts.died, 1);
                    keeping.abort();
                    reclaiming.abort();
                    drop(reclaiming.await);
                    serving.iter().for_each(JoinHandle::abort);
                    for task in serving {
                        drop(task.await);
                    }
                } else {
                    // Its heartbeats stop, and its clients go on until others have ended it.
                    add(&counts.frozen, 1);
                    keeping.abort();
                    for task in serving {
                        task.await.unwrap();
                    }
                    reclaiming.abort();
                    drop(reclaiming.await);
                    // Blobs that were finished after others had swept: nobody else knows of them.
                    if *gateway.catalog.session_ended().borrow() {
                        let done = gateway.reclaimer.settle_own(Duration::ZERO).await.unwrap();
                        add(&counts.orphans, done.orphans);
                    }
                }
            }
        });
    }
    while let Some(done) = slots.join_next().await {
        done.unwrap();
    }
    // Somebody comes, ends the dead, and cleans up behind them.
    let (last, mut keeper) = world.gateway(OPTIONS).await;
    for _ in 0..300 {
        tokio::time::sleep(OPTIONS.heartbeat).await;
        keeper.step().await.unwrap();
        let done = last.reclaimer.sweep().await.unwrap();
        add(&counts.orphans, done.orphans);
        add(&counts.displaced, last.reclaimer.drain().await.unwrap().displaced);
        let sessions = last.catalog.sessions().await.unwrap();
        let is_over = sessions.iter().filter(|session| session.beat.is_some()).count() == 1;
        if is_over && last.catalog.next_displaced(Timestamp(u64::MAX), 1).await.unwrap().is_empty() {
            break;
        }
    }
    let held = std::mem::take(&mut *ledger.lock());
    for (name, possible) in held {
        match last.get(&name, Pause::None).await {
            Read::Absent if possible.contains(&None) => {}
            Read::Whole(whole) if possible.iter().flatten().any(|other| *other == whole) => {}
            read => {
                println!("{name}: {read:?}");
                add(&counts.dangling, 1);
            }
        }
    }
    // Each blob has a record, but for parts of uploads that were never completed.
    for row in world.rows().await {
        let state = last.catalog.owner_state(&row.owner, row.blob.id).await.unwrap();
        assert_eq!(state, crate::catalog::OwnerState::Alive, "{row:?}");
    }
    assert!(!*last.catalog.session_ended().borrow());
    counts
}

async fn lose_nothing_and_leave_nothing(world: World) -> Arc<Counts> {
    let of = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let puts = of("SEALGATE_SIMULATED_PUTS").unwrap_or(1500);
    let seed = of("SEALGATE_SIMULATED_SEED").unwrap_or(1);
    let counts = simulate(world, puts, seed).await;
    let count = |count: &AtomicU64| count.load(Relaxed);
    println!(
        "{} puts ({} in parts), {} refused; {} reads, {} long; {} died, {} froze; {} displaced, {} orphans, {} moved; \
         {} broken, {} dangling",
        count(&counts.puts),
        count(&counts.multipart),
        count(&counts.refused),
        count(&counts.reads),
        count(&counts.long),
        count(&counts.died),
        count(&counts.frozen),
        count(&counts.displaced),
        count(&counts.orphans),
        count(&counts.moved),
        count(&counts.broken),
        count(&counts.dangling),
    );
    assert_eq!((count(&counts.broken), count(&counts.dangling)), (0, 0));
    for counted in [&counts.puts, &counts.displaced, &counts.moved, &counts.reads] {
        assert!(count(counted) > 0);
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_that_come_and_go_lose_nothing_and_leave_nothing() {
    lose_nothing_and_leave_nothing(World::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_do_they_where_small_blobs_lie_together() {
    let store = Arc::new(object_store::memory::InMemory::new());
    let counts = lose_nothing_and_leave_nothing(World::over(Shared::Packs(store)).await).await;
    assert!(counts.packed.load(Relaxed) > 0, "no two blobs came at one time");
}
