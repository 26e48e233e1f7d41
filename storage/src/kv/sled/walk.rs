//! Walks over all entries while commits go on: to compare them with what was committed, and to copy the entries of one moment.
//!
//! sled has no snapshots. A walk reads page by page in order of the keys, and the committing thread tells it what changes: behind
//! the walk (a key that it has read), what it has read is corrected; before it, what was there first is kept for it. Pages are
//! read and batches applied under one lock, so a key is always on one side.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use sled::Tree;

use super::super::marks::Marks;
use super::super::{Direction, Entry, Key, KeyRange, KvError, Snapshot, Standing};
use super::{reader, unavailable};
use crate::digest::{Digest, Digester, Element};

/// Entries of one page: read under the lock, so a commit waits no longer than this takes.
const PAGE_LEN: usize = 128;
/// Bytes of former values that a snapshot keeps for a reader; who lags behind more than that has lost it.
const MAX_KEPT_LEN: usize = 64 << 20;
/// Keys that a snapshot remembers as changed.
const MAX_CHANGED: usize = 4 << 20;

/// What the committing thread shares with readers and walks.
pub(super) struct Shared {
    /// `None` while the engine is closed after a failure, and at the end.
    tree: RwLock<Option<Tree>>,
    pub(super) applied: Mutex<Applied>,
    pub(super) marks: Marks,
    pub(super) digester: Arc<dyn Digester>,
    /// The store is closing: walks end.
    pub(super) closing: AtomicBool,
}

/// What has been applied, and who walks over it.
pub(super) struct Applied {
    /// The number of the last batch.
    pub(super) number: u64,
    /// The digest after it.
    pub(super) digest: Digest,
    pub(super) standing: Standing,
    walks: BTreeMap<u64, Walk>,
    last_walk: u64,
}

struct Walk {
    /// The first key that was not read yet.
    next: Key,
    kind: Kind,
}

enum Kind {
    /// Sums elements up: what the read ones have changed by since.
    Sum(Digest),
    /// Copies.
    Copy(Kept),
}

/// What a snapshot keeps of entries that were changed before it came to them.
#[derive(Default)]
struct Kept {
    changed: HashSet<Key>,
    former: Vec<(Key, Entry)>,
    len: usize,
}

/// A change of one key: its element before and after.
pub(super) struct Change {
    pub(super) key: Key,
    pub(super) before: Option<Element>,
    pub(super) after: Option<Element>,
}

impl Shared {
    pub(super) fn new(tree: Tree, digester: Arc<dyn Digester>, number: u64, digest: Digest) -> Self {
        let applied =
            Applied { number, digest, standing: Standing::Verifying, walks: BTreeMap::new(), last_walk: 0 };
        Self {
            tree: RwLock::new(Some(tree)),
            applied: Mutex::new(applied),
            marks: Marks::default(),
            digester,
            closing: AtomicBool::new(false),
        }
    }

    /// Nobody reads from here on.
    pub(super) fn close_tree(&self) {
        self.marks.close();
        *self.tree.write() = None;
    }

    /// Everybody reads this from here on.
    pub(super) fn open_tree(&self, tree: Tree) {
        *self.tree.write() = Some(tree);
        self.marks.open();
    }

    /// Does this with the tree, if there is one now.
    pub(super) fn with_tree<T>(&self, work: impl FnOnce(&Tree) -> Result<T, KvError>) -> Result<T, KvError> {
        match &*self.tree.read() {
            Some(tree) => work(tree),
            None => Err(unavailable("the engine failed and is not open again yet")),
        }
    }

    /// The next page of a walk, and what was kept for it; an empty page is the end.
    fn page(&self, walk: u64) -> Result<Page, KvError> {
        self.with_tree(|tree| {
            let mut applied = self.applied.lock();
            let (number, digest) = (applied.number, applied.digest);
            let walk =
                applied.walks.get_mut(&walk).ok_or_else(|| unavailable("the engine was opened anew"))?;
            let range = KeyRange { start: walk.next.clone(), end: None };
            let mut read = reader::scan(tree, &range, Direction::Forward, PAGE_LEN)?;
            if let Some((last, _)) = read.last() {
                walk.next = [last, &[0][..]].concat().into();
            }
            let mut correction = Digest::default();
            let is_end = read.is_empty();
            match &mut walk.kind {
                Kind::Sum(changed) => correction = std::mem::take(changed),
                Kind::Copy(kept) => {
                    if kept.len > MAX_KEPT_LEN || kept.changed.len() > MAX_CHANGED {
                        return Err(unavailable("too much was changed while it was copied: try again"));
                    }
                    read.retain(|(key, _)| !kept.changed.contains(key));
                    read.append(&mut kept.former);
                    kept.len = 0;
                }
            }
            Ok(Page { read, is_end, correction, number, digest })
        })
    }

    fn begin(self: &Arc<Self>, kind: Kind) -> WalkHandle {
        let mut applied = self.applied.lock();
        applied.last_walk += 1;
        let id = applied.last_walk;
        applied.walks.insert(id, Walk { next: Key::new(), kind });
        WalkHandle { shared: self.clone(), id }
    }

    /// See [`KeyValue::verify`](super::super::KeyValue::verify). Takes `1 / share` of the time, so that others have theirs.
    pub(super) fn verify(self: &Arc<Self>, share: u32) -> Result<u64, KvError> {
        let walk = self.begin(Kind::Sum(Digest::default()));
        let (mut sum, mut count) = (Digest::default(), 0);
        let page = loop {
            if self.closing.load(Ordering::Relaxed) {
                return Err(unavailable("the store is closing"));
            }
            let began = Instant::now();
            let page = self.page(walk.id)?;
            sum.join(&page.correction);
            for (key, entry) in &page.read {
                sum.add(&element(&*self.digester, key, entry.revision.0, &entry.value));
            }
            count += page.read.len() as u64;
            if page.is_end {
                break page;
            }
            let pause = began.elapsed() * (share - 1);
            std::thread::sleep(pause.min(Duration::from_millis(100)));
        };
        let mut applied = self.applied.lock();
        // The engine failed meanwhile: what was read is past.
        if !applied.walks.contains_key(&walk.id) {
            return Err(unavailable("the engine was opened anew"));
        }
        let fits = sum == page.digest;
        applied.standing = if fits { Standing::Verified } else { Standing::Damaged };
        drop(applied);
        match fits {
            true => Ok(count),
            false => {
                tracing::error!(
                    records = count,
                    commit = page.number,
                    "the catalog's records are not those that were committed: nothing is deleted on their word; \
                     stop the gateway and run `sealgate check`"
                );
                Err(KvError::Corrupt("the records are not those that were committed".into()))
            }
        }
    }

    /// See [`KeyValue::snapshot`](super::super::KeyValue::snapshot).
    pub(super) fn snapshot(self: &Arc<Self>) -> SledSnapshot {
        SledSnapshot { walk: Arc::new(self.begin(Kind::Copy(Kept::default()))) }
    }
}

impl Applied {
    /// Tells the walks of a batch that is applied next, under this lock.
    pub(super) fn announce(&mut self, tree: &Tree, changes: &[Change]) {
        for walk in self.walks.values_mut() {
            for change in changes {
                let was_read = change.key < walk.next;
                match &mut walk.kind {
                    Kind::Sum(changed) if was_read => {
                        change.before.iter().for_each(|element| changed.take_away(element));
                        change.after.iter().for_each(|element| changed.add(element));
                    }
                    Kind::Copy(kept) if !was_read && kept.len <= MAX_KEPT_LEN => {
                        if !kept.changed.insert(change.key.clone()) {
                            continue;
                        }
                        // What can't be read now could not be copied later either.
                        let former = reader::get(tree, &change.key).ok().flatten();
                        kept.len += former.as_ref().map_or(0, |entry| entry.value.len());
                        kept.former.extend(former.map(|entry| (change.key.clone(), entry)));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Ends all walks: what they read is past.
    pub(super) fn end_walks(&mut self) {
        self.walks.clear();
    }
}

struct Page {
    read: Vec<(Key, Entry)>,
    is_end: bool,
    correction: Digest,
    number: u64,
    digest: Digest,
}

/// Ends its walk when it is dropped.
struct WalkHandle {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for WalkHandle {
    fn drop(&mut self) {
        self.shared.applied.lock().walks.remove(&self.id);
    }
}

/// See [`Shared::snapshot`].
pub(super) struct SledSnapshot {
    walk: Arc<WalkHandle>,
}

#[async_trait]
impl Snapshot for SledSnapshot {
    async fn next(&mut self) -> Result<Vec<(Key, Entry)>, KvError> {
        loop {
            let walk = self.walk.clone();
            let page = tokio::task::spawn_blocking(move || walk.shared.page(walk.id));
            let page = page.await.map_err(|error| KvError::Unavailable(Box::new(error)))??;
            // A page of which nothing is left is not the end.
            if page.is_end || !page.read.is_empty() {
                return Ok(page.read);
            }
        }
    }
}

/// The element of an entry: its key, its revision and its whole value.
pub(super) fn element(digester: &dyn Digester, key: &[u8], revision: u64, value: &[u8]) -> Element {
    digester.element(key, &[&revision.to_be_bytes(), value])
}

/// The digest of a tree that nobody writes, by reading it whole; for stores that had none.
pub(super) fn digest_of(tree: &Tree, digester: &dyn Digester) -> Result<Digest, KvError> {
    let mut digest = Digest::default();
    let mut range = KeyRange { start: Key::new(), end: None };
    loop {
        let page = reader::scan(tree, &range, Direction::Forward, PAGE_LEN)?;
        let Some((last, _)) = page.last() else { return Ok(digest) };
        range.start = [last, &[0][..]].concat().into();
        for (key, entry) in &page {
            digest.add(&element(digester, key, entry.revision.0, &entry.value));
        }
    }
}
