//! What other gateways over the same records change: seen by the next request. Identities and keys are asked in memory; a gateway that
//! shares its map looks before each request whether they are still those of the map, and takes over what is new. It serves nothing
//! while its last look is too long ago. A gateway that has its map for itself looks at nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use kms_core::error::KmsError;
use kms_core::kms::Kms;
use storage::catalog::{Bucket, Catalog, CatalogError, ShelfState};
use storage::kv::KvError;
use storage::name::BucketName;

use crate::iam::{Iam, IamError};
use crate::kv_key_store::KvKeyStore;

/// How often is looked without a request.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// A gateway whose last look is longer ago serves nothing.
pub const MAX_AGE: Duration = Duration::from_secs(10);
/// Pause between two looks that are made because somebody is not known.
const DOUBT_INTERVAL: Duration = Duration::from_millis(100);

/// See the module.
pub struct Watch(Option<Shared>);

struct Shared {
    catalog: Catalog,
    iam: Arc<Iam>,
    kms: Arc<Kms>,
    keys: Arc<KvKeyStore>,
    began: Instant,
    /// When the last look began that succeeded, in milliseconds since `began`.
    looked_ms: AtomicU64,
    of_identities: Looks,
    of_keys: Looks,
    doubts: Looks,
}

/// What others changed can't be seen.
#[derive(Debug, Clone, thiserror::Error)]
#[error("what other gateways changed can't be seen: {0}")]
pub struct Unseen(Arc<str>);

impl Unseen {
    fn of(error: &dyn std::error::Error) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source());
        Self(causes.map(ToString::to_string).collect::<Vec<_>>().join(": ").into())
    }
}

impl From<Unseen> for KmsError {
    fn from(unseen: Unseen) -> Self {
        Self::Unavailable(unseen.to_string())
    }
}

impl From<Unseen> for CatalogError {
    fn from(unseen: Unseen) -> Self {
        Self::Kv(KvError::Unavailable(unseen.into()))
    }
}

impl From<Unseen> for IamError {
    fn from(unseen: Unseen) -> Self {
        Self::Unavailable(unseen.into())
    }
}

impl Watch {
    /// Of a gateway whose map nobody else writes.
    pub fn alone() -> Self {
        Self(None)
    }

    /// Of a gateway that shares its catalog and its key store. They were read just now.
    pub fn shared(catalog: Catalog, iam: Arc<Iam>, kms: Arc<Kms>, keys: Arc<KvKeyStore>) -> Self {
        Self(Some(Shared {
            catalog,
            iam,
            kms,
            keys,
            began: Instant::now(),
            looked_ms: AtomicU64::new(0),
            of_identities: Looks::default(),
            of_keys: Looks::default(),
            doubts: Looks::default(),
        }))
    }

    /// Do others write the same map?
    pub fn is_shared(&self) -> bool {
        self.0.is_some()
    }

    /// Is what is in memory at most [`MAX_AGE`] old?
    pub fn is_current(&self) -> bool {
        self.age().is_none_or(|age| age <= MAX_AGE)
    }

    /// How long ago the last look began that succeeded; `None` of a gateway that need not look.
    pub fn age(&self) -> Option<Duration> {
        self.0.as_ref().map(Shared::age)
    }

    /// Identities as they are now; says whether they are others than a while ago.
    ///
    /// # Errors
    /// Where the map can't be asked.
    pub async fn identities(&self) -> Result<bool, Unseen> {
        match self.known() {
            Some(known) => self.identities_since(Some(known)).await,
            None => Ok(false),
        }
    }

    /// Which state of identities is in memory: to be asked before somebody is authenticated. Nothing of a gateway that need not look.
    pub fn known(&self) -> Option<ShelfState> {
        self.0.as_ref().map(|shared| shared.iam.shelf_state())
    }

    /// As [`Watch::identities`]; says whether they are others than were known then.
    ///
    /// # Errors
    /// Where the map can't be asked.
    pub async fn identities_since(&self, known: Option<ShelfState>) -> Result<bool, Unseen> {
        let Some(shared) = &self.0 else { return Ok(false) };
        shared.of_identities.ask(shared.look_at_identities().boxed()).await?;
        Ok(self.known() != known)
    }

    /// A bucket by name, or why there is none, and identities as they are now: one question to the map for both. Says whether
    /// identities are others than were known then.
    ///
    /// # Errors
    /// Where the map can't be asked.
    pub async fn bucket(
        &self,
        catalog: &Catalog,
        name: &BucketName,
        known: Option<ShelfState>,
    ) -> Result<(Result<Bucket, CatalogError>, bool), CatalogError> {
        let Some(shared) = &self.0 else { return Ok((catalog.bucket(name).await, false)) };
        let (before, began) = (shared.iam.shelf_state(), Instant::now());
        let (bucket, seen) = catalog.bucket_and_shelf(name, Iam::SHELF).await?;
        shared.take_over(before, seen, began).await?;
        Ok((bucket, self.known() != known))
    }

    /// For who is about to refuse somebody because he is not known: identities as they are now, looked at ten times a second at most.
    /// Says whether it makes sense to ask again: not of a gateway that knows all there are.
    ///
    /// # Errors
    /// Where the map can't be asked.
    pub async fn doubt(&self) -> Result<bool, Unseen> {
        let Some(shared) = &self.0 else { return Ok(false) };
        let look = async {
            shared.look_at_identities().await?;
            Ok(())
        };
        shared.doubts.ask_slowly(look.boxed(), DOUBT_INTERVAL).await?;
        Ok(true)
    }

    /// Keys as they are now: to be asked before each operation on a key.
    ///
    /// # Errors
    /// Where the key store can't be asked.
    pub async fn keys(&self) -> Result<(), Unseen> {
        let Some(shared) = &self.0 else { return Ok(()) };
        shared.of_keys.ask(shared.look_at_keys()).await
    }

    /// Looks now and then, for ever.
    pub async fn run(&self) {
        let Some(shared) = &self.0 else { return std::future::pending().await };
        let mut interval = tokio::time::interval(POLL_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut was_current = true;
        loop {
            interval.tick().await;
            let (identities, keys) = tokio::join!(self.identities(), self.keys());
            for unseen in [identities.err(), keys.err()].into_iter().flatten() {
                tracing::debug!(%unseen, "a look at the map failed");
            }
            let is_current = self.is_current();
            match (was_current, is_current) {
                (true, false) => tracing::error!(
                    age_s = shared.age().as_secs(),
                    "the map can't be seen: nothing is served until it can"
                ),
                (false, true) => tracing::info!("the map is seen again"),
                _ => {}
            }
            was_current = is_current;
        }
    }
}

impl Shared {
    fn age(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(self.looked_ms.load(Ordering::Relaxed)))
    }

    /// A look that began then has succeeded.
    fn looked(&self, began: Instant) {
        let at = began.saturating_duration_since(self.began).as_millis() as u64;
        self.looked_ms.fetch_max(at, Ordering::Relaxed);
    }

    async fn look_at_identities(&self) -> Result<(), Unseen> {
        let (known, began) = (self.iam.shelf_state(), Instant::now());
        let seen = self.catalog.shelf_state(Iam::SHELF).await.map_err(|error| Unseen::of(&error))?;
        self.take_over(known, seen, began).await
    }

    async fn take_over(&self, known: ShelfState, seen: ShelfState, began: Instant) -> Result<(), Unseen> {
        if seen != known {
            self.iam.catch_up(known, seen).await.map_err(|error| Unseen::of(&error))?;
        }
        self.looked(began);
        Ok(())
    }

    async fn look_at_keys(&self) -> Result<(), Unseen> {
        let now = self.keys.now().await.map_err(|error| Unseen::of(&error))?;
        if self.kms.is_of(now.as_deref()) {
            return Ok(());
        }
        let kms = self.kms.clone();
        let refreshed = tokio::task::spawn_blocking(move || kms.refresh()).await;
        refreshed.map_err(|error| Unseen::of(&error))?.map_err(|error| Unseen::of(&error))?;
        Ok(())
    }
}

/// Looks that are shared: who asks is answered by one that began after he asked, and there is one at a time.
#[derive(Default)]
struct Looks {
    asked: AtomicU64,
    last: tokio::sync::Mutex<Looked>,
}

struct Looked {
    /// It is good for the first so many who asked.
    covers: u64,
    outcome: Result<(), Unseen>,
    at: Option<Instant>,
}

impl Default for Looked {
    fn default() -> Self {
        Self { covers: 0, outcome: Ok(()), at: None }
    }
}

impl Looks {
    async fn ask(&self, look: impl Future<Output = Result<(), Unseen>>) -> Result<(), Unseen> {
        self.ask_slowly(look, Duration::ZERO).await
    }

    /// As [`Looks::ask`], with a pause after the last look.
    async fn ask_slowly(
        &self,
        look: impl Future<Output = Result<(), Unseen>>,
        pause: Duration,
    ) -> Result<(), Unseen> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut last = self.last.lock().await;
        if last.covers >= number {
            return last.outcome.clone();
        }
        if let Some(at) = last.at.filter(|_| !pause.is_zero()) {
            tokio::time::sleep_until((at + pause).into()).await;
        }
        let covers = self.asked.load(Ordering::SeqCst);
        let at = Some(Instant::now());
        let outcome = look.await;
        *last = Looked { covers, outcome: outcome.clone(), at };
        outcome
    }
}

#[cfg(test)]
mod tests;
