//! The key store in a map that several gateways share: a table of its own, so that who reads one table does not have both.
//!
//! Every commit is conditional on the digest entry that it leads from, which every commit replaces, so that of two gateways that
//! change keys at once one changes nothing and runs again. Values are sealed by `kms_core` before they come here. Its calls wait for
//! the map on a thread that may wait; what a request asks before it uses a key ([`KvKeyStore::now`]) waits for nobody's thread.

mod apart;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use kms_core::root::{PassphraseRoot, SecretRoot};
use kms_core::secret::SecretBytes;
use kms_core::store::{Change, DIGEST_NAME, Expected, Item, KeyStore, StoreError};
use parking_lot::Mutex;
use storage::kv::postgres::PostgresConfig;
use storage::kv::{
    Condition, Direction, Entry, Key, KeyRange, KeyValue, KvError, Revision, Transaction, Write,
};
use tokio::runtime::{Handle, RuntimeFlavor};

/// The keys of entries begin with it.
const ENTRY: u8 = b'k';
/// Salt and costs of the root key's passphrase, in the clear.
const DERIVATION: &[u8] = b"p";
/// Which gateway does what is due of keys: the number of its lease.
const FENCE: &[u8] = b"j";
/// Entries of one scan.
const SCAN_LEN: usize = 1000;
/// How often a store is read that changes while it is read.
const MAX_READS: usize = 16;

thread_local! {
    /// What commits of this thread are conditional on beside the digest entry.
    static UNDER: RefCell<Option<Condition>> = const { RefCell::new(None) };
}

/// The right to do what is due of keys: see [`KvKeyStore::under`].
#[derive(Debug, Clone)]
pub struct Fence(Condition);

/// See the module.
pub struct KvKeyStore {
    kv: Arc<dyn KeyValue>,
    runtime: Handle,
    /// The digest entry as it was last read, with the engine's mark of it: a commit that leads from it need not read it again.
    seen: Mutex<Option<(Vec<u8>, Revision)>>,
}

fn key_of(name: &[u8]) -> Key {
    [&[ENTRY], name].concat().into()
}

fn failed(error: &KvError) -> StoreError {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    StoreError::Failed(causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
}

impl KvKeyStore {
    /// Over this map, which nothing else is in. `runtime`: of several threads, where the map's connections live.
    pub fn new(kv: Arc<dyn KeyValue>, runtime: Handle) -> Self {
        Self { kv, runtime, seen: Mutex::default() }
    }

    /// Over a server's map, whose answers come whatever the threads that serve requests wait for.
    ///
    /// # Errors
    /// When the server is not reached or refused.
    pub async fn open(server: PostgresConfig) -> anyhow::Result<Self> {
        Ok(Self::new(apart::open(server).await.context("the server of keys")?, Handle::current()))
    }

    /// The value of the digest entry as it is now: another one after every change of keys, whichever gateway makes it.
    ///
    /// # Errors
    /// Where the map can't be read.
    pub async fn now(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.digest().await?.map(|entry| entry.value.to_vec()))
    }

    /// Writes down that the holder of this lease does what is due of keys: leases are records, and keys may be in another server. Whoever
    /// did it before can commit nothing more of it. The caller sees behind this that the lease is still his.
    ///
    /// # Errors
    /// Where the map can't be read or written.
    pub async fn fence(&self, lease: u64) -> Result<Fence, StoreError> {
        let key = Key::from_static(FENCE);
        for _ in 0..MAX_READS {
            let found = self.kv.get(std::slice::from_ref(&key)).await.map_err(|error| failed(&error))?;
            let condition = match found.into_iter().next().flatten() {
                Some(entry) if entry.value[..] == lease.to_be_bytes() => {
                    return Ok(Fence(Condition::At(key, entry.revision)));
                }
                Some(entry) => Condition::At(key.clone(), entry.revision),
                None => Condition::Absent(key.clone()),
            };
            let writes = vec![Write::Put(key.clone(), lease.to_be_bytes().to_vec().into())];
            match self.kv.commit(Transaction { conditions: vec![condition], writes }).await {
                Ok(()) | Err(KvError::Conflict { .. }) => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        Err(StoreError::Failed("other gateways take over the schedule of keys again and again".to_owned()))
    }

    /// Does this work, on this thread, with every commit conditional on the fence: once another gateway has put up its own, they fail.
    pub fn under<T>(&self, fence: &Fence, work: impl FnOnce() -> T) -> T {
        struct Former(Option<Condition>);
        impl Drop for Former {
            fn drop(&mut self) {
                UNDER.set(self.0.take());
            }
        }
        let _former = Former(UNDER.replace(Some(fence.0.clone())));
        work()
    }

    async fn digest(&self) -> Result<Option<Entry>, StoreError> {
        let found =
            self.kv.get(&[key_of(DIGEST_NAME)]).await.map_err(|error| failed(&error))?.pop().flatten();
        *self.seen.lock() = found.as_ref().map(|entry| (entry.value.to_vec(), entry.revision));
        Ok(found)
    }

    /// Every entry, of one moment: the digest entry is the same before and after.
    async fn read(&self) -> Result<Vec<Item>, StoreError> {
        for _ in 0..MAX_READS {
            let before = self.digest().await?;
            let mut items = Vec::new();
            let mut range = KeyRange::prefix(vec![ENTRY]);
            loop {
                let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await;
                let found = found.map_err(|error| failed(&error))?;
                let last = found.last().filter(|_| found.len() == SCAN_LEN).map(|(key, _)| key.clone());
                items.extend(found.into_iter().map(|(key, entry)| (key[1..].to_vec(), entry.value.to_vec())));
                match last {
                    Some(last) => range.start = [&last[..], &[0]].concat().into(),
                    None => break,
                }
            }
            if self.digest().await? == before {
                return Ok(items);
            }
        }
        Err(StoreError::Failed("other gateways change keys faster than they can be read".to_owned()))
    }

    /// That the digest entry has this value; no such condition where it has not.
    async fn condition(&self, expected: Option<&[u8]>) -> Result<Condition, StoreError> {
        let key = key_of(DIGEST_NAME);
        let Some(expected) = expected else { return Ok(Condition::Absent(key)) };
        let is_expected = |(value, _): &(Vec<u8>, Revision)| value == expected;
        let seen = self.seen.lock().clone().filter(is_expected);
        let revision = match seen {
            Some((_, revision)) => revision,
            None => match self.digest().await? {
                Some(entry) if entry.value == expected => entry.revision,
                _ => return Err(StoreError::Contended),
            },
        };
        Ok(Condition::At(key, revision))
    }

    async fn write(
        &self,
        expected: Expected<'_>,
        changes: Vec<Change>,
        fence: Option<Condition>,
    ) -> Result<(), StoreError> {
        let mut conditions = match expected {
            Expected::Anything => Vec::new(),
            Expected::Revision(revision) => vec![self.condition(revision).await?],
        };
        conditions.extend(fence);
        // Of several changes of one name the last counts.
        let changes: BTreeMap<Vec<u8>, Option<Vec<u8>>> = changes.into_iter().collect();
        let writes = changes.into_iter().map(|(name, value)| match value {
            Some(value) => Write::Put(key_of(&name), value.into()),
            None => Write::Delete(key_of(&name)),
        });
        let writes = writes.collect();
        match self.kv.commit(Transaction { conditions, writes }).await {
            Err(KvError::Conflict { key }) if key[..] == *FENCE => {
                Err(StoreError::Failed("another gateway does what is due of keys now".to_owned()))
            }
            Err(KvError::Conflict { .. }) => Err(StoreError::Contended),
            // What became of it is found out when the store is read again.
            done => done.map_err(|error| failed(&error)),
        }
    }

    /// Waits for the map. A thread that serves requests hands what else it has to others first.
    fn wait<T: Send>(&self, work: impl Future<Output = T> + Send) -> T {
        match Handle::try_current().map(|current| current.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(|| self.runtime.block_on(work)),
            // A runtime of one thread can't do without it: another waits in its place.
            Ok(_) => std::thread::scope(|scope| {
                let waits = scope.spawn(|| self.runtime.block_on(work));
                waits.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }),
            Err(_) => self.runtime.block_on(work),
        }
    }

    /// Salt and costs of the passphrase, where the root key is one's: not secret.
    ///
    /// # Errors
    /// Where the map can't be read.
    pub async fn derivation(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let found =
            self.kv.get(&[Key::from_static(DERIVATION)]).await.context("the key store can't be read")?;
        Ok(found.into_iter().next().flatten().map(|entry| entry.value.to_vec()))
    }

    /// Puts the salt and costs of another store here, whose keys come too.
    ///
    /// # Errors
    /// Where the map can't be written.
    pub async fn set_derivation(&self, derivation: Vec<u8>) -> anyhow::Result<()> {
        let writes = vec![Write::Put(Key::from_static(DERIVATION), derivation.into())];
        let transaction = Transaction { conditions: Vec::new(), writes };
        self.kv.commit(transaction).await.context("the key store can't be written")
    }

    /// The root key of a passphrase, by the salt and costs that lie beside the keys; the first gateway draws them.
    ///
    /// # Errors
    /// Where the map can't be read or written, or a passphrase that is to be the first is too short.
    pub async fn passphrase_root(&self, passphrase: &SecretBytes) -> anyhow::Result<SecretRoot> {
        let key = Key::from_static(DERIVATION);
        let derivation = async || {
            let found =
                self.kv.get(std::slice::from_ref(&key)).await.context("the key store can't be read")?;
            Ok::<_, anyhow::Error>(found.into_iter().next().flatten())
        };
        let mut found = derivation().await?;
        if found.is_none() {
            let made = PassphraseRoot::new_derivation(passphrase)?;
            let conditions = vec![Condition::Absent(key.clone())];
            let writes = vec![Write::Put(key.clone(), made.into())];
            match self.kv.commit(Transaction { conditions, writes }).await {
                // Another gateway was first, or this one was and was not told.
                Ok(()) | Err(KvError::Conflict { .. } | KvError::Unavailable(_)) => {
                    found = derivation().await?
                }
                Err(error) => return Err(error).context("the key store can't be written"),
            }
        }
        let found = found.context("the passphrase's salt can't be kept: try again")?;
        Ok(PassphraseRoot::derive(&found.value, passphrase)?)
    }
}

impl KeyStore for KvKeyStore {
    fn load(&self) -> Result<Vec<Item>, StoreError> {
        self.wait(self.read())
    }

    fn commit(&self, expected: Expected<'_>, changes: Vec<Change>) -> Result<(), StoreError> {
        let fence = UNDER.with_borrow(Clone::clone);
        self.wait(self.write(expected, changes, fence))
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn revision(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.wait(self.now())
    }
}

#[cfg(test)]
mod tests;
