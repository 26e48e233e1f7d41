//! Flips, truncates, reorders and swaps what is stored, and demands that no damage passes as content.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use storage::kv::counter::COUNTER;
use storage::kv::{Direction, KeyRange, KeyValue, Transaction, Write};

use super::Finding;
use super::canary::files_below;
use super::plant::Planted;
use crate::api::local::LocalClient;
use crate::app;
use crate::config::Config;
use crate::instance::{DataFolder, IfAbsent};
use crate::seal::{CHUNK_LEN_STORED, HEADER_LEN};
use crate::sealed_kv::SealedKv;

/// Positions at which a byte is flipped, per file.
const FLIPS_PER_FILE: usize = 24;

/// How often a kind of damage was done and what came of it.
#[derive(Default)]
struct Tally {
    done: usize,
    /// Some object answered with an error.
    noticed: usize,
    /// The place that was damaged holds nothing that a read of an object needs.
    harmless: usize,
    /// Objects that answered other bytes than were planted.
    passed: Vec<String>,
}

impl Tally {
    fn finding(self, check: &str) -> Finding {
        let mut detail =
            format!("{} done, {} refused, {} beside the content", self.done, self.noticed, self.harmless);
        if let Some(first) = self.passed.first() {
            detail += &format!("; {} PASSED, such as {first}", self.passed.len());
        }
        let holds = self.passed.is_empty() && self.noticed > 0;
        Finding { check: check.to_owned(), detail, holds }
    }
}

/// Damages blob files one by one; each is put back afterwards.
pub(super) async fn blobs(
    client: &LocalClient,
    objects: &[Planted],
    data: &Path,
) -> anyhow::Result<Vec<Finding>> {
    let mut files = files_below(&data.join("blobs"))?;
    files.retain(|path| fs::metadata(path).is_ok_and(|m| m.len() > 2 * CHUNK_LEN_STORED as u64));
    let (mut flips, mut truncations) = (Tally::default(), Tally::default());
    let (mut reorders, mut swaps) = (Tally::default(), Tally::default());
    for (at, path) in files.iter().enumerate() {
        let intact = fs::read(path).with_context(|| path.display().to_string())?;
        for n in 0..FLIPS_PER_FILE {
            let mut damaged = intact.clone();
            let position = intact.len() * (2 * n + 1) / (2 * FLIPS_PER_FILE);
            damaged[position] ^= 1 << (n % 8);
            check(client, objects, path, &damaged, &mut flips).await?;
        }
        check(client, objects, path, &intact[..intact.len() / 2], &mut truncations).await?;

        let mut reordered = intact.clone();
        let middle = HEADER_LEN + CHUNK_LEN_STORED;
        let (left, right) = reordered.split_at_mut(middle);
        let len = CHUNK_LEN_STORED.min(right.len());
        left[HEADER_LEN..HEADER_LEN + len].swap_with_slice(&mut right[..len]);
        check(client, objects, path, &reordered, &mut reorders).await?;

        let other = &files[(at + 1) % files.len()];
        if other != path {
            check(client, objects, path, &fs::read(other)?, &mut swaps).await?;
        }
        write_in_place(path, &intact)?;
    }
    Ok(vec![
        flips.finding("flipped bits in blobs"),
        truncations.finding("truncated blobs"),
        reorders.finding("reordered chunks"),
        swaps.finding("swapped blobs"),
    ])
}

async fn check(
    client: &LocalClient,
    objects: &[Planted],
    path: &Path,
    damaged: &[u8],
    tally: &mut Tally,
) -> anyhow::Result<()> {
    write_in_place(path, damaged)?;
    tally.done += 1;
    let mut noticed = false;
    for object in objects {
        match object.fetch(client).await {
            None => noticed = true,
            Some(content) if content != object.content => tally.passed.push(object.describe()),
            Some(_) => {}
        }
    }
    if noticed {
        tally.noticed += 1;
    } else {
        tally.harmless += 1;
    }
    Ok(())
}

/// Changes a file without making it another file, so that open descriptors see the change.
fn write_in_place(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    use std::os::unix::fs::FileExt;
    let file = fs::OpenOptions::new().write(true).open(path)?;
    file.set_len(content.len() as u64)?;
    file.write_all_at(content, 0)?;
    Ok(())
}

/// Flips a bit of every sealed catalog value, and swaps every two neighbours; none may open.
pub(super) async fn catalog(config: &Config) -> anyhow::Result<Vec<Finding>> {
    let folder = DataFolder::open(config, IfAbsent::Refuse)?;
    let stores = app::Stores::open(config, folder).await?;
    let raw: Arc<dyn KeyValue> = stores.storage.kv.clone();
    let sealed = SealedKv::new(raw.clone(), stores.metadata_key.clone());
    let everything = KeyRange { start: Default::default(), end: None };
    let mut entries = raw.scan(everything, Direction::Forward, 1000).await?;
    // Counters are sums that stand in the clear (SECURITY.md): no answer about an object comes from them, and a full count corrects them.
    entries.retain(|(name, _)| name.first() != Some(&COUNTER));
    let (mut flips, mut swaps) = (Tally::default(), Tally::default());
    for (at, (name, entry)) in entries.iter().enumerate() {
        let mut flipped = entry.value.to_vec();
        let position = at * 7 % flipped.len().max(1);
        if let Some(byte) = flipped.get_mut(position) {
            *byte ^= 0x10;
        }
        let swapped = entries[(at + 1) % entries.len()].1.value.to_vec();
        for (value, tally) in [(flipped, &mut flips), (swapped, &mut swaps)] {
            put(&*raw, name, value).await?;
            tally.done += 1;
            // It is there, and damaged: anything else, also that it is not there, is a lie.
            match &sealed.get(std::slice::from_ref(name)).await?[..] {
                [Some(entry)] if entry.is_damaged() => tally.noticed += 1,
                _ => tally.passed.push(format!("{name:?}")),
            }
        }
        put(&*raw, name, entry.value.to_vec()).await?;
    }
    drop((sealed, raw));
    stores.close().await?;
    Ok(vec![flips.finding("flipped bits in the catalog"), swaps.finding("swapped catalog values")])
}

async fn put(kv: &dyn KeyValue, name: &storage::kv::Key, value: Vec<u8>) -> anyhow::Result<()> {
    let writes = vec![Write::Put(name.clone(), value.into())];
    kv.commit(Transaction { conditions: Vec::new(), writes }).await?;
    Ok(())
}
