//! How a key store is opened: which domain key its copies wrap, what is in it, and how it is opened again after a failure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard, RwLock};

use super::host::{self, read_root_ids};
use super::record::{DOMAIN_NAME, Stored, WrappedDomain};
use super::unlocking::{NO_DOMAIN, unlock_by, wrapped_domain};
use super::{Kms, KmsConfig, OpenError, State};
use crate::root::{RootError, RootKey};
use crate::secret::Secret32;
use crate::store::{
    Contents, Copies, Entries, FixedPlace, IfBehind, KeyStore, Scratch, StoreError, StorePlaces, StoreReport,
    StoreState, UnlockError, Unlocked, examine,
};

/// Pause between two tries to open a store again that failed.
const HEALING_INTERVAL: Duration = Duration::from_secs(1);

/// Can the key store be written?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It can.
    Writable,
    /// A commit failed. What is in memory goes on to serve; who wants to write next opens the store again.
    Failed,
}

impl Kms {
    /// Opens (or makes) the key store at these places. A root key that does not fit is refused before anything is touched. A copy
    /// that is not as it was written is made anew from the other.
    pub fn open(
        places: impl Into<StorePlaces>,
        root: Arc<dyn RootKey>,
        config: KmsConfig,
    ) -> Result<Self, OpenError> {
        let places = places.into();
        Self::check_root(&places, &*root)?;
        let copies = Copies::at(&places)?;
        let kms = Self::over_copies(copies, &*root, config, host::was_made(&places))?;
        // Written last: a store whose making was cut off is made on at the next start.
        host::bind(&places, root.id())?;
        Ok(kms)
    }

    /// Is this the root key that the store at these places names? Answers the ids that it names.
    pub fn check_root(places: impl Into<StorePlaces>, root: &dyn RootKey) -> Result<Vec<String>, OpenError> {
        let places = places.into();
        let mut expected = read_root_ids(&places.folder)?;
        // A copy of that file lies beside the second copy, should this one be damaged. The store itself knows for sure.
        let is_named = |ids: &[String]| ids.iter().any(|id| id == root.id());
        if !is_named(&expected) {
            let beside = read_root_ids(&places.mirror)?;
            if expected.is_empty() || is_named(&beside) {
                expected = beside;
            }
        }
        match expected.is_empty() || is_named(&expected) {
            true => Ok(expected),
            false => {
                let expected = expected.join(" or ");
                Err(RootError::WrongRoot { expected, found: root.id().to_owned() }.into())
            }
        }
    }

    /// Over a store that several gateways share: it keeps itself safe, so there is no second copy. The first of them makes it, under
    /// its root key; whose root key is another one is refused, and nothing is changed.
    pub fn over_shared(
        store: Arc<dyn KeyStore>,
        root: &dyn RootKey,
        config: KmsConfig,
    ) -> Result<Self, OpenError> {
        Self::over_copies(Copies::of(Box::new(FixedPlace::new(store)), None, None), root, config, false)
    }

    /// Over one store of any kind, without a second copy.
    pub fn over(store: Box<dyn KeyStore>, root: &dyn RootKey, config: KmsConfig) -> Result<Self, OpenError> {
        Self::over_shared(Arc::from(store), root, config)
    }

    pub(super) fn over_copies(
        copies: Copies,
        root: &dyn RootKey,
        config: KmsConfig,
        was_made: bool,
    ) -> Result<Self, OpenError> {
        let opened = copies.open(&unlock_by(root, DOMAIN_NAME), was_made, IfBehind::Refuse)?;
        let (state, domain, generation) = match opened {
            Some(Contents { entries, domain, is_former }) => {
                let generation = wrapped_domain(&entries)?.generation;
                let state = Stored::read(entries.clone())?.open(&domain, &config.account)?;
                if is_former {
                    let rewrapped = WrappedDomain::of(root, &domain, generation)?.for_root();
                    copies.bring_forward(entries, vec![rewrapped])?;
                }
                (state, domain, generation)
            }
            None => {
                let domain = Arc::new(Secret32::random());
                let (name, value) = WrappedDomain::of(root, &domain, 1)?.for_root();
                let entries = value.map(|value| (name, value)).into_iter().collect();
                match copies.make(entries, &domain) {
                    // Another gateway has made it meanwhile: it is there now.
                    Err(StoreError::Contended) => return Self::over_copies(copies, root, config, was_made),
                    made => made?,
                }
                (State::default(), domain, 1)
            }
        };
        let kms = Self {
            config,
            store: copies,
            domain,
            generation,
            state: RwLock::new(state),
            directory: RwLock::default(),
            change: Mutex::new(()),
            reached: Mutex::default(),
            tried: Mutex::default(),
        };
        kms.reach();
        Ok(kms)
    }

    /// Can the key store be written?
    pub fn standing(&self) -> Standing {
        if self.store.is_open() { Standing::Writable } else { Standing::Failed }
    }

    /// Opens a store that failed again, once a second at most; does nothing to one that did not. For a job: what is not written to
    /// would else stay as it is.
    pub fn try_heal(&self) -> Standing {
        if self.standing() == Standing::Failed {
            let change = self.change.lock();
            if let Err(error) = self.heal(&change) {
                tracing::debug!(%error, "the key store does not open yet");
            }
        }
        self.standing()
    }

    /// Which state of which store this is; `None` while it is in doubt.
    pub fn store_state(&self) -> Option<StoreState> {
        self.store.state()
    }

    pub(super) fn heal(&self, change: &MutexGuard<'_, ()>) -> Result<(), OpenError> {
        if self.store.is_open() {
            return Ok(());
        }
        {
            let mut tried = self.tried.lock();
            if tried.is_some_and(|at| at.elapsed() < HEALING_INTERVAL) {
                return Err(StoreError::Doubtful.into());
            }
            *tried = Some(Instant::now());
        }
        self.reload(change)?;
        *self.tried.lock() = None;
        tracing::info!("the key store is open again");
        Ok(())
    }

    /// Takes over what other gateways have changed; says whether there was anything. Costs one look where nothing was.
    ///
    /// # Errors
    /// Where the store can't be read: what is in memory may be of a former state.
    pub fn refresh(&self) -> Result<bool, OpenError> {
        if self.store.is_open() && !self.store.is_stale()? {
            return Ok(false);
        }
        let change = self.change.lock();
        self.refresh_within(&change)
    }

    /// Is what is in memory of this revision of a shared store ([`KeyStore::revision`])? Waits for nobody, so that it can be asked before
    /// each operation.
    pub fn is_of(&self, revision: Option<&[u8]>) -> bool {
        self.reached.lock().as_ref().is_some_and(|reached| reached.as_deref() == revision)
    }

    /// The state is of what the store was last seen to be.
    pub(super) fn reach(&self) {
        if let Some(revision) = self.store.revision() {
            *self.reached.lock() = Some(revision);
        }
    }

    pub(super) fn refresh_within(&self, change: &MutexGuard<'_, ()>) -> Result<bool, OpenError> {
        if !self.store.is_open() {
            return self.heal(change).map(|()| true);
        }
        let is_stale = self.store.is_stale()?;
        if is_stale {
            self.reload(change)?;
        }
        Ok(is_stale)
    }

    /// Reads the store again.
    fn reload(&self, _change: &MutexGuard<'_, ()>) -> Result<(), OpenError> {
        let opened = self.store.reopen()?;
        let reloaded = opened.ok_or(OpenError::Corrupt("it is empty"));
        let reloaded = reloaded
            .and_then(|contents| Stored::read(contents.entries)?.open(&self.domain, &self.config.account));
        let mut reloaded = match reloaded {
            Ok(reloaded) => reloaded,
            Err(error) => {
                self.store.close();
                return Err(error);
            }
        };
        let mut state = self.state.write();
        // Uses since the last time that they were written are known here alone.
        for (id, entry) in &mut reloaded.keys {
            if let (Some(entry), Some(former)) = (Arc::get_mut(entry), state.keys.get(id)) {
                former.last_use.learn(entry.last_use.get());
                entry.last_use = former.last_use.clone();
            }
        }
        *state = reloaded;
        drop(state);
        self.reach();
        Ok(())
    }

    /// Reads both copies and the head from the disk, while this goes on to serve.
    pub fn verify_store(&self, places: impl Into<StorePlaces>) -> Result<StoreReport, OpenError> {
        let places = places.into();
        let unlock = |entries: &Entries| {
            let wrapped = wrapped_domain(entries).map_err(|_| UnlockError::Damaged(NO_DOMAIN))?;
            // It need not be unwrapped to see whether it is this store's: digest and records open with it or do not.
            Ok(Unlocked { domain: self.domain.clone(), needs_digest: wrapped.needs_digest })
        };
        let _change = self.change.lock();
        let scratch = Scratch::of(&places)?;
        Ok(examine(&places, &scratch, &unlock)?)
    }

    /// As [`Kms::verify_store`], of a store that is not open.
    pub fn verify_closed_store(
        places: impl Into<StorePlaces>,
        root: &dyn RootKey,
    ) -> Result<StoreReport, OpenError> {
        let places = places.into();
        Self::check_root(&places, root)?;
        let _held = Copies::at(&places)?;
        let scratch = Scratch::of(&places)?;
        Ok(examine(&places, &scratch, &unlock_by(root, DOMAIN_NAME))?)
    }

    /// Takes the best copy of a store that is not open as right, whatever its head says: what was committed after it is lost.
    pub fn accept_loss(places: impl Into<StorePlaces>, root: &dyn RootKey) -> Result<(), OpenError> {
        let places = places.into();
        Self::check_root(&places, root)?;
        let copies = Copies::at(&places)?;
        let opened = copies.open(&unlock_by(root, DOMAIN_NAME), host::was_made(&places), IfBehind::Accept)?;
        let Some(Contents { entries, domain, is_former }) = opened else {
            return Err(OpenError::Corrupt("neither copy has anything"));
        };
        let generation = wrapped_domain(&entries)?.generation;
        Stored::read(entries.clone())?.open(&domain, "")?;
        if is_former {
            copies.bring_forward(entries, vec![WrappedDomain::of(root, &domain, generation)?.for_root()])?;
        }
        Ok(())
    }
}
