//! Entries that were opened and are asked for again, while the engine's marks say that they are still what it holds: the records of what is
//! read often cost neither a read nor the opening of a seal.

use std::hash::BuildHasher;

use bytes::Bytes;
use foldhash::HashMap;
use foldhash::quality::RandomState;
use parking_lot::Mutex;
use storage::kv::{Entry, Key, Mark};

/// The most bytes that are kept, over all shards.
const MAX_LEN: usize = 4 << 20;
/// Entries that are longer than this, in bytes, are not kept.
const MAX_ENTRY_LEN: usize = 8 << 10;
/// Bytes that an entry takes beside its key and value, about.
const ENTRY_OVERHEAD: usize = 128;
/// Threads that look at different keys seldom wait for each other.
const SHARDS: usize = 8;
/// Keys that were asked for once and are remembered, of each shard.
const SEEN: usize = 1 << 10;

/// See the module. What is asked for once is not kept.
#[derive(Default)]
pub(super) struct Recent {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

struct Shard {
    entries: HashMap<Key, (Mark, Entry)>,
    /// Bytes of them all.
    len: usize,
    /// Parts of the hashes of the keys that were asked for.
    seen: Box<[u32]>,
}

impl Default for Shard {
    fn default() -> Self {
        Self { entries: HashMap::default(), len: 0, seen: vec![0; SEEN].into() }
    }
}

impl Recent {
    /// The entry that was kept at this mark.
    pub(super) fn find(&self, key: &Key, mark: Mark) -> Option<Entry> {
        let shard = self.shards[self.hasher.hash_one(key) as usize % SHARDS].lock();
        shard.entries.get(key).filter(|(kept, _)| *kept == mark).map(|(_, entry)| entry.clone())
    }

    /// Keeps an entry that was read after this mark was told, if it was asked for before.
    pub(super) fn offer(&self, key: &Key, mark: Mark, entry: &Entry) {
        let len = |value: &[u8]| ENTRY_OVERHEAD + key.len() + value.len();
        if key.len() + entry.value.len() > MAX_ENTRY_LEN {
            return;
        }
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shards[hash as usize % SHARDS].lock();
        let seen = &mut shard.seen[(hash >> 8) as usize % SEEN];
        if std::mem::replace(seen, (hash >> 32) as u32) != (hash >> 32) as u32 {
            return;
        }
        // Dropped behind the lock.
        let mut former = HashMap::default();
        if shard.len + len(&entry.value) > MAX_LEN / SHARDS {
            std::mem::swap(&mut shard.entries, &mut former);
            shard.len = 0;
        }
        shard.len += len(&entry.value);
        // Copies: both may be parts of something larger, which would be kept with them.
        let kept = Entry { value: Bytes::copy_from_slice(&entry.value), revision: entry.revision };
        if let Some((_, replaced)) = shard.entries.insert(Key::copy_from_slice(key), (mark, kept)) {
            shard.len -= len(&replaced.value);
        }
        drop(shard);
        drop(former);
    }
}

#[cfg(test)]
mod tests {
    use storage::kv::memory::MemoryKv;
    use storage::kv::{KeyValue, Place, Revision};

    use super::*;

    #[test]
    fn what_is_asked_for_again_is_kept_within_bounds() {
        let recent = Recent::default();
        let mark = MemoryKv::new().mark(Place::Key(b"any")).expect("an engine with marks");
        for number in 0..20_000_u32 {
            let key = Key::from(number.to_be_bytes().to_vec());
            let entry = Entry { value: vec![7; number as usize % 9000].into(), revision: Revision(1) };
            recent.offer(&key, mark, &entry);
            assert_eq!(recent.find(&key, mark), None, "what is asked for once is not kept");
            recent.offer(&key, mark, &entry);
            let is_kept = key.len() + entry.value.len() <= MAX_ENTRY_LEN;
            assert_eq!(recent.find(&key, mark), is_kept.then_some(entry));
        }
        let mut count = 0;
        for shard in &recent.shards {
            let shard = shard.lock();
            let lens =
                shard.entries.iter().map(|(key, (_, entry))| ENTRY_OVERHEAD + key.len() + entry.value.len());
            assert_eq!(lens.sum::<usize>(), shard.len);
            assert!(shard.len <= MAX_LEN / SHARDS);
            count += shard.entries.len();
        }
        assert!(count > 100, "{count}");
    }
}
