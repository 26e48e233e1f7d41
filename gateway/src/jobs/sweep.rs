//! The full sweep: every blob of an object store is looked at for those without a record. What ended sessions left behind is looked at
//! by itself, and soon; this finds what that can't: deletions that the store lost, and what was written behind a moment that the
//! records were put back to. When it was done last, and whether somebody asks for it, is a document: of all gateways over the same
//! records the one that has the lease does it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use storage::catalog::{Catalog, CatalogError, ShelfState};
use storage::kv::Standing;
use storage::name::Timestamp;
use storage::reclaim::Reclaimed;
use tokio::sync::watch;

use super::lease;
use crate::app::App;

/// How often is looked whether it is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Where that is kept: beside where other jobs stand.
const SHELF: &str = "jobs";
const NAME: &str = "sweep";
/// How often a change is tried again that another gateway's change of the shelf was faster than.
const ATTEMPTS: usize = 16;

/// What is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FullSweep {
    /// How often somebody has asked for one.
    pub asked: u64,
    /// The last one began when so many had asked.
    pub answered: u64,
    /// When the last one ended, in milliseconds since the Unix epoch; before the first one: when the records were first looked after.
    pub ended_unix_ms: u64,
    /// Blobs that it looked at.
    pub looked_at: u64,
    /// Blobs of writes that were never committed: deleted.
    pub orphans: u64,
    /// Blobs that nothing accounts for: put into quarantine.
    pub quarantined: u64,
    /// Why it was not done to the end.
    pub failed: Option<String>,
}

impl FullSweep {
    /// What is known; `None` where none was done or asked for yet.
    ///
    /// # Errors
    /// When the records can't be read.
    pub async fn load(catalog: &Catalog) -> Result<Option<Self>, CatalogError> {
        Ok(Self::stored(catalog).await?.1)
    }

    async fn stored(catalog: &Catalog) -> Result<(ShelfState, Option<Self>), CatalogError> {
        let (state, documents) = catalog.documents(SHELF).await?;
        let found = documents.into_iter().find(|(name, _)| name == NAME);
        let found = found.map(|(_, text)| serde_json::from_slice(&text));
        Ok((state, found.transpose().map_err(|_| CatalogError::Corrupt("what is known of sweeps"))?))
    }

    async fn change(catalog: &Catalog, change: impl Fn(&mut Self)) -> Result<Self, CatalogError> {
        for _ in 0..ATTEMPTS {
            let (state, found) = Self::stored(catalog).await?;
            let mut next = found.unwrap_or_default();
            change(&mut next);
            let text =
                serde_json::to_vec(&next).map_err(|_| CatalogError::Corrupt("what is known of sweeps"))?;
            match catalog.change_documents(SHELF, state, vec![(NAME.to_owned(), Some(text.into()))]).await {
                Ok(_) => return Ok(next),
                Err(CatalogError::Contended) => {}
                Err(error) => return Err(error),
            }
        }
        Err(CatalogError::Contended)
    }

    /// Asks whichever gateway does it for one. It is done once as many are answered as [`FullSweep::asked`] here.
    ///
    /// # Errors
    /// When the records can't be read or written.
    pub async fn ask(catalog: &Catalog) -> Result<Self, CatalogError> {
        Self::change(catalog, |state| state.asked += 1).await
    }

    /// Does one, and notes down what came of it.
    ///
    /// # Errors
    /// When that can't be written. A sweep that fails is told by [`FullSweep::failed`].
    pub async fn run(app: &App, catalog: &Catalog) -> Result<Self, CatalogError> {
        let asked = Self::load(catalog).await?.map_or(0, |state| state.asked);
        let (done, failed) = match app.reclaimer.sweep_all().await {
            Ok(done) => (done, None),
            Err(error) => (Reclaimed::default(), Some(error.to_string())),
        };
        let in_quarantine = app.blobs.count_quarantined().await.ok();
        {
            let mut totals = app.job_states.reclaim.lock();
            totals.orphans += done.orphans;
            totals.quarantined += done.quarantined;
            totals.sweeps += 1;
            totals.in_quarantine = in_quarantine.or(totals.in_quarantine);
        }
        Self::change(catalog, |state| {
            *state = Self {
                asked: state.asked,
                answered: asked,
                ended_unix_ms: Timestamp::now().unix_ms(),
                looked_at: done.looked_at,
                orphans: done.orphans,
                quarantined: done.quarantined,
                failed: failed.clone(),
            };
        })
        .await
    }
}

/// Looks again and again whether it is due, `every` so often or because somebody asks, until it is told to stop. `None`: only who asks
/// gets one.
pub async fn run(app: Arc<App>, every: Option<Duration>, mut stopped: watch::Receiver<bool>) {
    if !app.blobs.traits().by_session {
        // There every sweep is one of all blobs.
        let _ = stopped.wait_for(|stop| *stop).await;
        return;
    }
    let mut interval = tokio::time::interval(LOOK_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            _ = interval.tick() => {}
        }
        if app.catalog.standing() != Standing::Verified {
            continue;
        }
        let swept = tokio::select! {
            _ = stopped.changed() => return,
            swept = if_due(&app, every) => swept,
        };
        match swept {
            Ok(None) => {}
            Ok(Some(FullSweep { failed: None, looked_at, orphans, quarantined, .. })) => {
                tracing::info!(looked_at, orphans, quarantined, "every blob was looked at for a record");
            }
            Ok(Some(FullSweep { failed: Some(why), .. })) => {
                tracing::error!(why, "a sweep of all blobs was not done to the end");
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "whether a sweep of all blobs is due is not known; it is looked again"
            ),
        }
    }
}

async fn if_due(app: &App, every: Option<Duration>) -> Result<Option<FullSweep>, CatalogError> {
    let Some(state) = FullSweep::load(&app.catalog).await? else {
        // From here on it counts; nothing of before needs one more than what came since.
        FullSweep::change(&app.catalog, |state| state.ended_unix_ms = Timestamp::now().unix_ms()).await?;
        return Ok(None);
    };
    let since_ms = Timestamp::now().unix_ms().saturating_sub(state.ended_unix_ms);
    let is_due = every.is_some_and(|every| u128::from(since_ms) >= every.as_millis());
    if !is_due && state.asked <= state.answered {
        return Ok(None);
    }
    match lease(app, "sweep").await {
        Some(lease) => FullSweep::run(app, lease.catalog()).await.map(Some),
        None => Ok(None),
    }
}
