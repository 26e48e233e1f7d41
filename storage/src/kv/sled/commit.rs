//! The one thread that writes.

use std::collections::HashMap;
use std::fs::File;

use sled::{Batch, IVec};
use tokio::sync::{mpsc, oneshot};

use super::super::{Condition, Key, KvError, Revision, Transaction, Write};
use super::durable::{Syncs, syncs};
use super::entry::{META, Stored, chunk_key, chunks, split, tagged};
use super::{corrupt, sled_error, unavailable};

/// The number of the layout of sled's tree.
pub(super) const FORMAT: u64 = 1;
/// The key of [`FORMAT`].
const FORMAT_KEY: [u8; 2] = [META, b'f'];
/// The key of the revision that no entry has reached yet.
const REVISION_KEY: [u8; 2] = [META, b'r'];
/// Revisions are taken from reserved blocks of this many, so that none is used again after a restart.
const REVISION_BLOCK: u64 = 1 << 20;
/// Why nothing is committed after a close.
const CLOSED: &str = "the store is closed";
/// Transactions of one batch.
const MAX_BATCH: usize = 256;
/// Bytes of values from which on a batch takes no more transactions.
const MAX_BATCH_LEN: usize = 4 << 20;

type Reply = oneshot::Sender<Result<(), KvError>>;

/// What the thread is asked to do.
pub(super) enum Request {
    /// Commits a transaction.
    Commit { transaction: Transaction, reply: Reply },
    /// Commits nothing until the other end of `held` is dropped.
    Freeze { held: oneshot::Receiver<()>, reply: Reply },
    /// Commits nothing from here on.
    Close { reply: Reply },
    /// Lets every sync fail from here on.
    #[cfg(test)]
    BreakSync { reply: Reply },
}

/// Why the thread can't start.
pub(super) enum StartError {
    /// The tree has another format.
    Format(u64),
    /// sled failed.
    Sled(sled::Error),
}

/// See the module.
pub(super) struct Committer {
    tree: sled::Tree,
    log: File,
    /// The last revision given.
    revision: u64,
    /// Revisions up to this are reserved.
    reserved: u64,
    /// Why nothing is committed any more.
    refusal: Option<&'static str>,
    #[cfg(test)]
    sync_is_broken: bool,
}

/// Transactions that are applied together.
#[derive(Default)]
struct Group {
    batch: Batch,
    len: usize,
    /// What the batch makes of the keys that it touches: the state of the entry, `None` if it's absent.
    state: HashMap<Key, Option<EntryState>>,
    accepted: Vec<Reply>,
    /// Transactions whose conditions did not hold. They hear of it when what they ran into can be read.
    refused: Vec<(Reply, KvError)>,
}

#[derive(Clone, Copy)]
struct EntryState {
    revision: Revision,
    chunk_count: u16,
}

impl Committer {
    pub(super) fn new(tree: sled::Tree, log: File) -> Result<Self, StartError> {
        let number = |key: [u8; 2]| -> Result<Option<u64>, StartError> {
            let found = tree.get(key).map_err(StartError::Sled)?;
            Ok(found.and_then(|found| found[..].try_into().ok()).map(u64::from_be_bytes))
        };
        match number(FORMAT_KEY)? {
            None if tree.is_empty() => {
                tree.insert(FORMAT_KEY, &FORMAT.to_be_bytes()).map_err(StartError::Sled)?;
            }
            Some(FORMAT) => {}
            other => return Err(StartError::Format(other.unwrap_or_default())),
        }
        let revision = number(REVISION_KEY)?.unwrap_or_default();
        Ok(Self {
            tree,
            log,
            revision,
            reserved: revision,
            refusal: None,
            #[cfg(test)]
            sync_is_broken: false,
        })
    }

    /// Commits what comes until nobody can send any more.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(request) = requests.blocking_recv() {
            let mut group = Group::default();
            let mut next = Some(request);
            let mut freeze = None;
            while let Some(request) = next.take() {
                match request {
                    Request::Commit { reply, .. } if self.refusal.is_some() => {
                        let reason = self.refusal.unwrap_or_default();
                        let _ = reply.send(Err(unavailable(reason)));
                    }
                    Request::Commit { transaction, reply } => match self.accept(&transaction, &mut group) {
                        Ok(()) => group.accepted.push(reply),
                        Err(error) => group.refused.push((reply, error)),
                    },
                    Request::Freeze { held, reply } => {
                        // What was taken before is committed first.
                        freeze = Some((held, reply));
                        break;
                    }
                    Request::Close { reply } => match self.refusal.replace(CLOSED) {
                        None | Some(CLOSED) => group.accepted.push(reply),
                        Some(reason) => {
                            self.refusal = Some(reason);
                            let _ = reply.send(Err(unavailable(reason)));
                        }
                    },
                    #[cfg(test)]
                    Request::BreakSync { reply } => {
                        self.sync_is_broken = true;
                        let _ = reply.send(Ok(()));
                    }
                }
                if group.accepted.len() < MAX_BATCH && group.len < MAX_BATCH_LEN {
                    next = requests.try_recv().ok();
                }
            }
            self.finish(group);
            if let Some((held, reply)) = freeze
                && reply.send(Ok(())).is_ok()
            {
                // The sender sends nothing: it is dropped.
                let _ = held.blocking_recv();
            }
        }
    }

    /// Judges a transaction; puts its writes in the batch if all its conditions hold.
    fn accept(&mut self, transaction: &Transaction, group: &mut Group) -> Result<(), KvError> {
        for condition in &transaction.conditions {
            let (key, holds) = match condition {
                Condition::Absent(key) => (key, self.state(key, group)?.is_none()),
                Condition::At(key, revision) => {
                    (key, self.state(key, group)?.is_some_and(|state| state.revision == *revision))
                }
            };
            if !holds {
                return Err(KvError::Conflict { key: key.clone() });
            }
        }
        // What can fail comes before the first change of the batch.
        let mut former = Vec::with_capacity(transaction.writes.len());
        for write in &transaction.writes {
            let (Write::Put(key, _) | Write::Delete(key)) = write;
            if let Write::Put(key, value) = write
                && split(key.len() + 1, value).is_none()
            {
                return Err(unavailable("a key or a value is too long"));
            }
            former.push(self.state(key, group)?);
        }
        for (write, former) in transaction.writes.iter().zip(former) {
            if let Some(former) = former {
                for index in 0..former.chunk_count {
                    group.batch.remove(&chunk_key(former.revision, index));
                }
            }
            match write {
                Write::Put(key, value) => self.put(key, value, group),
                Write::Delete(key) => {
                    group.batch.remove(tagged(key));
                    group.state.insert(key.clone(), None);
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, key: &Key, value: &[u8], group: &mut Group) {
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
        group.state.insert(key.clone(), Some(EntryState { revision, chunk_count }));
    }

    /// The entry as the transactions so far leave it.
    fn state(&self, key: &Key, group: &mut Group) -> Result<Option<EntryState>, KvError> {
        if let Some(state) = group.state.get(key) {
            return Ok(*state);
        }
        let found: Option<IVec> = self.tree.get(tagged(key)).map_err(sled_error)?;
        let state = match found {
            None => None,
            Some(found) => {
                let stored = Stored::parse(&found).map_err(corrupt)?;
                Some(EntryState { revision: stored.revision, chunk_count: stored.chunk_count })
            }
        };
        group.state.insert(key.clone(), state);
        Ok(state)
    }

    /// Applies the batch, makes it durable, and tells everybody.
    fn finish(&mut self, group: Group) {
        let Group { batch, accepted, refused, .. } = group;
        let result = if accepted.is_empty() { Ok(()) } else { self.apply(batch) };
        if let Err(error) = &result {
            tracing::error!(error = error as &dyn std::error::Error, "the metadata engine can't write");
            // After a failed sync nobody knows what the medium has: a later sync that succeeds would not mend it.
            self.refusal.get_or_insert("an earlier write failed; restart to find out what was stored");
        }
        for reply in accepted {
            // Who does not wait any more does not want to know.
            let _ = reply.send(match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(KvError::Unavailable(error.to_string().into())),
            });
        }
        for (reply, error) in refused {
            let _ = reply.send(Err(error));
        }
    }

    fn apply(&mut self, batch: Batch) -> Result<(), sled::Error> {
        self.tree.apply_batch(batch)?;
        self.tree.flush()?;
        #[cfg(test)]
        if self.sync_is_broken {
            return Err(std::io::Error::other("broken by a test").into());
        }
        match syncs() {
            Syncs { failed: true, .. } => Err(std::io::Error::other("a sync failed").into()),
            Syncs { any: true, .. } => Ok(()),
            // Not so safe as within sled, but what was acknowledged is durable.
            Syncs { any: false, .. } => Ok(self.log.sync_data()?),
        }
    }
}
