//! The one thread that writes.

use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use sled::{Batch, IVec, Tree};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::super::counter::{Amounts, ONLY_STRIPE, is_counter};
use super::super::{Condition, Key, KvError, Revision, Standing, Transaction, Write};
use super::durable::{Syncs, syncs};
use super::engine::{self, COMMIT_KEY, Engine, REVISION_KEY};
use super::entry::{Stored, chunk_key, chunks, split, tagged};
use super::walk::{self, Change, Shared};
use super::{OpenKvError, SledConfig, corrupt, reader, sled_error, unavailable, verify_in_background};
use crate::digest::Element;
use crate::figures::COMMITS;
use crate::head::{Head, Reached};
use crate::name::Timestamp;

/// Revisions are taken from reserved blocks of this many, so that none is used again after a restart.
const REVISION_BLOCK: u64 = 1 << 20;
/// Why nothing is committed after a close.
const CLOSED: &str = "the store is closed";
/// Why nothing is committed after a failure.
const FAILED: &str = "an earlier write failed, and the engine is not open again yet";
/// Transactions of one batch.
const MAX_BATCH: usize = 256;
/// Bytes of values from which on a batch takes no more transactions.
const MAX_BATCH_LEN: usize = 4 << 20;
/// Bytes that must be free for a batch to be begun: sled takes a full disk in the middle of a write for a failure.
const MIN_FREE_LEN: u64 = 2 * MAX_BATCH_LEN as u64;
/// How soon after a failure, and after each attempt that failed too, the engine is opened again.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);
/// How long an attempt to open again waits for sled's own lock.
const REOPEN_LINGER: Duration = Duration::from_millis(300);
/// How often the head is made durable.
const HEAD_INTERVAL: Duration = Duration::from_secs(1);

type Reply = oneshot::Sender<Result<(), KvError>>;

/// What the thread is asked to do.
pub(super) enum Request {
    /// Commits a transaction.
    Commit { transaction: Transaction, reply: Reply },
    /// Commits nothing from here on.
    Close { reply: Reply },
    /// Lets every sync fail until the engine is opened again.
    #[cfg(test)]
    BreakSync { reply: Reply },
    /// Lets every attempt to open again fail.
    #[cfg(test)]
    BreakOpen { is_broken: bool, reply: Reply },
    /// Panics.
    #[cfg(test)]
    Panic,
}

/// See the module.
pub(super) struct Committer {
    config: SledConfig,
    shared: Arc<Shared>,
    /// `None` after a failure.
    engine: Option<Engine>,
    head: Option<HeadKeeper>,
    /// The last revision given.
    revision: u64,
    /// Revisions up to this are reserved.
    reserved: u64,
    /// The last batch that was acknowledged.
    acknowledged: u64,
    /// When to try again to open the engine.
    next_open: Instant,
    is_closed: bool,
    #[cfg(test)]
    sync_is_broken: bool,
    #[cfg(test)]
    open_is_broken: bool,
}

/// Transactions that are applied together.
#[derive(Default)]
struct Group {
    batch: Batch,
    len: usize,
    /// The last revision given and reserved before it.
    before: (u64, u64),
    /// What the batch makes of the keys that it touches: the state of the entry, `None` if it's absent.
    state: HashMap<Key, Option<EntryState>>,
    /// What the batch makes of the counters that it adds to.
    amounts: HashMap<Key, Amounts>,
    /// What it changes, in order.
    changes: Vec<Change>,
    accepted: Vec<Reply>,
    /// Who wants the store closed.
    closing: Option<Reply>,
    /// Transactions whose conditions did not hold. They hear of it when what they ran into can be read.
    refused: Vec<(Reply, KvError)>,
}

#[derive(Clone)]
struct EntryState {
    revision: Revision,
    chunk_count: u16,
    content: Content,
}

/// What an entry's element is made of.
#[derive(Clone)]
enum Content {
    /// It was made when the batch took the entry up.
    Element(Element),
    /// The entry as it lies in the tree.
    Stored(IVec),
}

impl Committer {
    pub(super) fn new(config: SledConfig, engine: Engine, shared: Arc<Shared>, head: Option<Head>) -> Self {
        Self {
            config,
            shared,
            revision: engine.reserved,
            reserved: engine.reserved,
            acknowledged: engine.number,
            engine: Some(engine),
            head: head.map(HeadKeeper::start),
            next_open: Instant::now(),
            is_closed: false,
            #[cfg(test)]
            sync_is_broken: false,
            #[cfg(test)]
            open_is_broken: false,
        }
    }

    /// Commits what comes until nobody can send any more.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(request) = self.next(&mut requests) {
            // Without this thread nothing would ever be committed again, and nobody would know. Whoever waits for what it did hears
            // that nobody knows what became of it.
            let done = catch_unwind(AssertUnwindSafe(|| self.commit(request, &mut requests)));
            if done.is_err() {
                self.fail(&sled::Error::ReportableBug("the committing thread panicked".to_owned()));
            }
        }
        // Readers have no tree any more, then sled is closed.
        self.shared.applied.lock().end_walks();
        self.shared.close_tree();
    }

    /// Commits a request, and those that came in the meantime with it.
    fn commit(&mut self, request: Request, requests: &mut mpsc::Receiver<Request>) {
        let mut group = Group { before: (self.revision, self.reserved), ..Group::default() };
        let mut next = Some(request);
        while let Some(request) = next.take() {
            match request {
                Request::Commit { transaction, reply } => match self.accept(&transaction, &mut group) {
                    Ok(()) => group.accepted.push(reply),
                    Err(error) => group.refused.push((reply, error)),
                },
                Request::Close { reply } => {
                    // What was taken before is committed first.
                    self.is_closed = true;
                    group.closing = Some(reply);
                    break;
                }
                #[cfg(test)]
                Request::BreakSync { reply } => {
                    self.sync_is_broken = true;
                    let _ = reply.send(Ok(()));
                }
                #[cfg(test)]
                Request::Panic => panic!("as a test asked"),
                #[cfg(test)]
                Request::BreakOpen { is_broken, reply } => {
                    self.open_is_broken = is_broken;
                    let _ = reply.send(Ok(()));
                }
            }
            if group.accepted.len() < MAX_BATCH && group.len < MAX_BATCH_LEN {
                next = requests.try_recv().ok();
            }
        }
        self.finish(group);
    }

    /// The next request; while the engine is closed, attempts to open it come first.
    fn next(&mut self, requests: &mut mpsc::Receiver<Request>) -> Option<Request> {
        loop {
            if self.engine.is_some() {
                return requests.blocking_recv();
            }
            if Instant::now() >= self.next_open && !self.is_closed {
                self.reopen();
                self.next_open = Instant::now() + REOPEN_INTERVAL;
                continue;
            }
            match requests.try_recv() {
                Ok(request) => return Some(request),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// Judges a transaction; puts its writes in the batch if all its conditions hold.
    fn accept(&mut self, transaction: &Transaction, group: &mut Group) -> Result<(), KvError> {
        if self.is_closed {
            return Err(unavailable(CLOSED));
        }
        let tree = self.engine.as_ref().ok_or_else(|| unavailable(FAILED))?.tree.clone();
        for condition in &transaction.conditions {
            let (key, holds) = match condition {
                Condition::Absent(key) => (key, state(&tree, key, group)?.is_none()),
                Condition::At(key, revision) => {
                    (key, state(&tree, key, group)?.is_some_and(|state| state.revision == *revision))
                }
                Condition::AtMost { counter, column, most } => {
                    (counter, sum(&tree, counter, group)?.0.get(*column).is_some_and(|sum| sum <= most))
                }
            };
            if !holds {
                return Err(KvError::Conflict { key: key.clone() });
            }
        }
        // What can fail comes before the first change of the batch.
        let mut former = Vec::with_capacity(transaction.writes.len());
        for write in &transaction.writes {
            let key = match write {
                Write::Put(key, value) if split(key.len() + 1, value).is_none() => {
                    return Err(unavailable("a key or a value is too long"));
                }
                Write::Put(key, _) | Write::Delete(key) => key.clone(),
                Write::Add(addition) => addition.entry_key(ONLY_STRIPE),
            };
            let amounts = match write {
                Write::Add(addition) => {
                    let mut amounts = amounts(&tree, &key, group)?;
                    amounts.add(&addition.amounts);
                    amounts
                }
                _ => Amounts::default(),
            };
            former.push((state(&tree, &key, group)?, key, amounts));
        }
        for (write, (former, key, amounts)) in transaction.writes.iter().zip(former) {
            if let Some(former) = &former {
                for index in 0..former.chunk_count {
                    group.batch.remove(&chunk_key(former.revision, index));
                }
            }
            let before = former.map(|former| self.element(&tree, &key, &former));
            let after = match write {
                Write::Put(key, value) => {
                    if is_counter(key) {
                        group.amounts.remove(key);
                        group
                            .amounts
                            .extend(Amounts::from_bytes(value).map(|amounts| (key.clone(), amounts)));
                    }
                    Some(self.put(key, value, group))
                }
                Write::Delete(key) => {
                    group.batch.remove(tagged(key));
                    group.state.insert(key.clone(), None);
                    group.amounts.remove(key);
                    None
                }
                Write::Add(_) => {
                    group.amounts.insert(key.clone(), amounts);
                    Some(self.put(&key, &amounts.to_bytes(), group))
                }
            };
            group.changes.push(Change { key, before, after });
        }
        Ok(())
    }

    fn put(&mut self, key: &Key, value: &[u8], group: &mut Group) -> Element {
        self.revision += 1;
        if self.revision > self.reserved {
            self.reserved += REVISION_BLOCK;
            group.batch.insert(&REVISION_KEY, &self.reserved.to_be_bytes());
        }
        let revision = Revision(self.revision);
        let key_in_tree = tagged(key);
        let (front, rest) = split(key_in_tree.len(), value).unwrap_or((value, &[]));
        let chunks = chunks(rest);
        let chunk_count = chunks.len() as u16;
        for (chunk, index) in chunks.zip(0..) {
            group.batch.insert(&chunk_key(revision, index), chunk);
        }
        group.batch.insert(key_in_tree, Stored { revision, chunk_count, front }.encode());
        group.len += value.len();
        let element = walk::element(&*self.config.digester, key, revision.0, value);
        let content = Content::Element(element);
        group.state.insert(key.clone(), Some(EntryState { revision, chunk_count, content }));
        element
    }

    /// The element of what an entry was. What can't be read any more has none: then no digest fits, as it should not.
    fn element(&self, tree: &Tree, key: &Key, former: &EntryState) -> Element {
        let digester = &*self.config.digester;
        match &former.content {
            Content::Element(element) => *element,
            Content::Stored(stored) if former.chunk_count == 0 => match Stored::parse(stored) {
                Ok(stored) => walk::element(digester, key, former.revision.0, stored.front),
                Err(_) => Element::default(),
            },
            Content::Stored(_) => match reader::get(tree, key) {
                Ok(Some(entry)) => walk::element(digester, key, entry.revision.0, &entry.value),
                _ => Element::default(),
            },
        }
    }

    /// Applies the batch, makes it durable, and tells everybody.
    fn finish(&mut self, mut group: Group) {
        let accepted = std::mem::take(&mut group.accepted);
        if !accepted.is_empty() {
            COMMITS.batch.observe(accepted.len() as u64);
        }
        let refused = std::mem::take(&mut group.refused);
        let closing = group.closing.take();
        let answer = match self.apply(group) {
            Ok(()) => Ok(()),
            Err(Refused::Full) => {
                tracing::warn!("the catalog's file system is full: nothing is committed");
                Err("the file system is full; nothing was written")
            }
            Err(Refused::Failed(error)) => {
                self.fail(&error);
                Err("a write failed; what was stored shows when the engine is open again")
            }
        };
        let tell = |reply: Reply| {
            // Who does not wait any more does not want to know.
            let _ = reply.send(answer.map_err(unavailable));
        };
        accepted.into_iter().for_each(tell);
        for (reply, error) in refused {
            let _ = reply.send(Err(error));
        }
        if let Some(reply) = closing {
            let synced = self.head.as_ref().map_or(Ok(()), |head| head.0.head.sync());
            let synced = synced.map_err(|error| KvError::Unavailable(Box::new(error)));
            let open = self.engine.as_ref().map(|_| ()).ok_or_else(|| unavailable(FAILED));
            let _ = reply.send(answer.map_err(unavailable).and(open).and(synced));
        }
    }

    fn apply(&mut self, mut group: Group) -> Result<(), Refused> {
        if group.changes.is_empty() {
            return Ok(());
        }
        let Some(engine) = &self.engine else { return Ok(()) };
        let began = Instant::now();
        if self.is_full() {
            // What this batch reserved is not reserved.
            (self.revision, self.reserved) = group.before;
            return Err(Refused::Full);
        }
        let reached = {
            let mut applied = self.shared.applied.lock();
            let mut digest = applied.digest;
            for change in &group.changes {
                change.before.iter().for_each(|element| digest.take_away(element));
                change.after.iter().for_each(|element| digest.add(element));
            }
            let number = applied.number + 1;
            let mark = self.config.digester.seal(number, &digest);
            group.batch.insert(&COMMIT_KEY, engine::commit_value(number, Timestamp::now(), &mark));
            applied.announce(&engine.tree, &group.changes);
            let _changing = self.shared.marks.change(group.changes.iter().map(|change| &change.key));
            engine.tree.apply_batch(group.batch)?;
            (applied.number, applied.digest) = (number, digest);
            Reached { number, mark }
        };
        engine.tree.flush()?;
        #[cfg(test)]
        if self.sync_is_broken {
            return Err(io::Error::other("broken by a test").into());
        }
        match syncs(engine.log_id) {
            Syncs { failed: true, .. } => return Err(io::Error::other("a sync failed").into()),
            // Not so safe as within sled, but what was acknowledged is durable.
            Syncs { count: 0, .. } => engine.log.sync_data()?,
            Syncs { .. } => {}
        }
        COMMITS.sync.observe_duration(began.elapsed());
        self.acknowledged = reached.number;
        if let Some(head) = &self.head {
            head.write(&reached);
        }
        Ok(())
    }

    /// Less is free than a batch may need?
    fn is_full(&self) -> bool {
        let free = rustix::fs::statvfs(&self.config.dir).map(|found| found.f_bavail * found.f_frsize);
        free.is_ok_and(|free| free < MIN_FREE_LEN)
    }

    /// After a failed write nobody knows what the medium has, and a later sync that succeeds would not mend it. So nobody reads or
    /// writes until the engine was opened again from what is there.
    fn fail(&mut self, error: &sled::Error) {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "the catalog can't be written: it is closed, and opened again"
        );
        {
            let mut applied = self.shared.applied.lock();
            applied.standing = Standing::Failed;
            applied.end_walks();
        }
        self.shared.close_tree();
        self.engine = None;
        self.next_open = Instant::now() + REOPEN_INTERVAL;
    }

    fn reopen(&mut self) {
        #[cfg(test)]
        if self.open_is_broken {
            return;
        }
        let opened = Engine::open(&self.config, REOPEN_LINGER).and_then(|engine| {
            let (reached, acknowledged) = (engine.number, self.acknowledged);
            let dir = self.config.dir.clone();
            if reached < acknowledged {
                Err(OpenKvError::Behind { dir, reached, acknowledged })
            } else {
                Ok(engine)
            }
        });
        let engine = match opened {
            Ok(engine) => engine,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the catalog does not open yet; it is tried again");
                return;
            }
        };
        (self.revision, self.reserved, self.acknowledged) = (engine.reserved, engine.reserved, engine.number);
        #[cfg(test)]
        {
            self.sync_is_broken = false;
        }
        {
            let mut applied = self.shared.applied.lock();
            (applied.number, applied.digest) = (engine.number, engine.digest);
            applied.standing = Standing::Verifying;
        }
        self.shared.open_tree(engine.tree.clone());
        if let Some(head) = &self.head {
            head.write(&engine.reached());
        }
        tracing::info!(commit = engine.number, "the catalog is open again");
        self.engine = Some(engine);
        verify_in_background(&self.shared);
    }
}

/// Why a batch was not acknowledged.
enum Refused {
    /// The file system is full; nothing was begun.
    Full,
    /// It may or may not be there.
    Failed(sled::Error),
}

impl From<sled::Error> for Refused {
    fn from(error: sled::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// The entry as the transactions so far leave it.
fn state(tree: &Tree, key: &Key, group: &mut Group) -> Result<Option<EntryState>, KvError> {
    if let Some(state) = group.state.get(key) {
        return Ok(state.clone());
    }
    let found: Option<IVec> = tree.get(tagged(key)).map_err(sled_error)?;
    let state = match found {
        None => None,
        Some(found) => {
            let stored = Stored::parse(&found).map_err(corrupt)?;
            let (revision, chunk_count) = (stored.revision, stored.chunk_count);
            Some(EntryState { revision, chunk_count, content: Content::Stored(found) })
        }
    };
    group.state.insert(key.clone(), state.clone());
    Ok(state)
}

/// The numbers of a counter's entry as the transactions so far leave them.
fn amounts(tree: &Tree, key: &Key, group: &mut Group) -> Result<Amounts, KvError> {
    if let Some(amounts) = group.amounts.get(key) {
        return Ok(*amounts);
    }
    match state(tree, key, group)? {
        None => Ok(Amounts::default()),
        Some(EntryState { content: Content::Stored(stored), .. }) => {
            let stored = Stored::parse(&stored).map_err(corrupt)?;
            Ok(Amounts::stored_or_none(stored.front))
        }
        // Its key is no counter's then.
        Some(EntryState { content: Content::Element(_), .. }) => Err(corrupt("a counter")),
    }
}

/// The numbers of a spread counter, likewise.
fn sum(tree: &Tree, counter: &Key, group: &mut Group) -> Result<Amounts, KvError> {
    let mut sum = Amounts::default();
    let mut keys = vec![[&counter[..], &[ONLY_STRIPE]].concat().into()];
    // What came from an engine that keeps it in several entries.
    for found in tree.scan_prefix(tagged(counter)).keys() {
        let found = found.map_err(sled_error)?;
        let key = Key::copy_from_slice(found.get(1..).unwrap_or_default());
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    for key in &keys {
        sum.add(&amounts(tree, key, group)?);
    }
    Ok(sum)
}

/// Writes the head with each batch, and makes it durable now and then on a thread of its own.
struct HeadKeeper(Arc<Kept>, Option<std::thread::JoinHandle<()>>);

struct Kept {
    head: Head,
    is_behind: AtomicBool,
    ends: Mutex<bool>,
    wake: Condvar,
}

impl HeadKeeper {
    fn start(head: Head) -> Self {
        let kept = Arc::new(Kept {
            head,
            is_behind: AtomicBool::new(false),
            ends: Mutex::new(false),
            wake: Condvar::new(),
        });
        let thread = std::thread::Builder::new().name("kv-head".into()).spawn({
            let kept = kept.clone();
            move || kept.run()
        });
        // Without a thread the head is made durable at the end alone.
        Self(kept, thread.ok())
    }

    fn write(&self, reached: &Reached) {
        if let Err(error) = self.0.head.write(reached) {
            tracing::error!(%error, "the catalog's head can't be written: a loss of what is committed now would not be noticed");
        }
        self.0.is_behind.store(true, Ordering::Relaxed);
    }
}

impl Kept {
    fn run(&self) {
        let mut ends = self.ends.lock();
        while !*ends {
            self.wake.wait_for(&mut ends, HEAD_INTERVAL);
            if self.is_behind.swap(false, Ordering::Relaxed)
                && let Err(error) = self.head.sync()
            {
                tracing::error!(%error, "the catalog's head can't be made durable");
            }
        }
    }
}

impl Drop for HeadKeeper {
    fn drop(&mut self) {
        *self.0.ends.lock() = true;
        self.0.wake.notify_all();
        if let Some(thread) = self.1.take() {
            let _ = thread.join();
        }
    }
}
