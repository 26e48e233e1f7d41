//! Work that no request waits for: space reclaim, what is due in the life of keys, lifecycle rules, and the scrub.

pub mod annotations;
mod encryption_summary;
mod history;
pub mod lifecycle;
pub mod names;
pub mod scrub;
pub mod sweep;
mod usage;

use std::sync::Arc;
use std::time::Duration;

use kms_core::ops::ScheduledWork;
use storage::kv::Standing;
use storage::name::Timestamp;
use storage::reclaim::{ReclaimError, Reclaimed};
use storage::session::{Lease, SessionState};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::observe::jobs::{MAX_BACKLOG, ReclaimBacklog};

/// How soon space that was displaced is freed.
const DRAIN_INTERVAL: Duration = Duration::from_secs(1);

/// How often every blob is looked at for orphans, after the first look at the start.
const SWEEP_INTERVAL: Duration = Duration::from_secs(6 * 60 * 60);

/// How often the gateways are counted that share the records.
const GATEWAYS_INTERVAL: Duration = Duration::from_secs(10);

/// How often what ended sessions left behind is looked at, where that is no look at every blob.
const ENDED_INTERVAL: Duration = Duration::from_secs(60);

/// How often it is counted what waits to be deleted.
const BACKLOG_INTERVAL: Duration = Duration::from_secs(15);

/// How often what is in quarantine is counted, beside each time that it changed.
const QUARANTINE_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// How often keys are looked at: rotation, expiry, deletion.
const KEYS_INTERVAL: Duration = Duration::from_secs(60);

/// The running jobs.
pub struct Jobs {
    stop: watch::Sender<bool>,
    reclaim: JoinHandle<()>,
    keys: JoinHandle<()>,
    lifecycle: JoinHandle<()>,
    scrub: JoinHandle<()>,
    sweep: JoinHandle<()>,
    watch: JoinHandle<()>,
    usage: JoinHandle<()>,
    history: JoinHandle<()>,
    encryption_summary: JoinHandle<()>,
}

/// How they go about it.
#[derive(Debug, Clone, Copy)]
pub struct Paces {
    /// Between two looks for mostly dead segments.
    pub reclaim_interval: Duration,
    /// Between two looks at every blob of an object store; `None`: only when it is asked for.
    pub full_sweep_interval: Option<Duration>,
    /// Lifecycle rules.
    pub lifecycle: lifecycle::Pace,
    /// The scrub.
    pub scrub: scrub::Pace,
}

impl Jobs {
    /// Starts them: displaced blobs are freed as they come, orphans at the start and now and then.
    pub fn start(app: Arc<App>, paces: Paces) -> Self {
        let (stop, stopped) = watch::channel(false);
        let keys = tokio::spawn(keys(app.clone(), stopped.clone()));
        let lifecycle = tokio::spawn(lifecycle::run(app.clone(), paces.lifecycle, stopped.clone()));
        let scrub = tokio::spawn(scrub::run(app.clone(), paces.scrub, stopped.clone()));
        let sweep = tokio::spawn(sweep::run(app.clone(), paces.full_sweep_interval, stopped.clone()));
        let watch = tokio::spawn(watch(app.clone(), stopped.clone()));
        let usage = tokio::spawn(usage::run(app.clone(), stopped.clone()));
        let history = tokio::spawn(history::run(app.clone(), stopped.clone()));
        let encryption_summary = tokio::spawn(encryption_summary::run(app.clone(), stopped.clone()));
        let reclaim = tokio::spawn(reclaim(app, paces.reclaim_interval, stopped));
        Self { stop, reclaim, keys, lifecycle, scrub, sweep, watch, usage, history, encryption_summary }
    }

    /// Stops them at their next step and waits for it.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        for (name, job) in [
            ("space reclaim", self.reclaim),
            ("the schedule of keys", self.keys),
            ("lifecycle", self.lifecycle),
            ("the scrub", self.scrub),
            ("the sweep of all blobs", self.sweep),
            ("the watch over other gateways' changes", self.watch),
            ("the count of what buckets hold", self.usage),
            ("the samples of what happens", self.history),
            ("the count of what is under which encryption", self.encryption_summary),
        ] {
            if let Err(error) = job.await {
                tracing::error!(%error, "{name} ended badly");
            }
        }
    }
}

async fn watch(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    tokio::select! {
        _ = stopped.changed() => {}
        () = app.watch.run() => {}
        () = app.store_state.run() => {}
        () = app.clock.run(&*app.stores.storage.kv) => {}
        () = count_gateways(&app) => {}
    }
}

/// Tells who counts failures how many gateways do.
async fn count_gateways(app: &App) {
    if !app.watch.is_shared() {
        return std::future::pending().await;
    }
    let mut interval = tokio::time::interval(GATEWAYS_INTERVAL);
    loop {
        interval.tick().await;
        match app.catalog.sessions().await {
            Ok(sessions) => {
                let live = sessions.iter().filter(|session| session.state == SessionState::Live).count();
                app.failures.divide_among(live);
            }
            Err(error) => tracing::debug!(%error, "how many gateways there are is not known"),
        }
    }
}

async fn keys(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(KEYS_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            _ = interval.tick() => {}
        }
        if let Err(error) = app.iam.write_last_uses().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "last uses of access keys can't be written"
            );
        }
        // By a clock that is wrong keys would go too early; and of gateways that share them one is enough.
        if !app.clock.is_right() {
            continue;
        }
        let Some(lease) = lease(&app, "keys").await else { continue };
        let (kms, shared) = (app.kms.clone(), app.stores.shared_keys.clone());
        let fence = match (&shared, lease.number()) {
            (Some(keys), Some(number)) => match keys.fence(number).await {
                // Who was held up until here may have been replaced meanwhile, and its successor's fence is no longer there then.
                Ok(fence) if still_holds(&app, "keys", number).await => Some(fence),
                Ok(_) => continue,
                Err(error) => {
                    tracing::warn!(%error, "the schedule of keys waits for the key store");
                    continue;
                }
            },
            _ => None,
        };
        let work = move || match (shared, fence) {
            (Some(keys), Some(fence)) => keys.under(&fence, || kms.run_scheduled_work()),
            _ => kms.run_scheduled_work(),
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(done)) if done == ScheduledWork::default() => {}
            Ok(Ok(done)) => tracing::info!(?done, "keys were rotated, expired or deleted as scheduled"),
            Ok(Err(error)) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "the schedule of keys failed; it is tried again"
            ),
            Err(error) => tracing::error!(%error, "the schedule of keys ended badly"),
        }
    }
}

/// The lease of a job, if this is the gateway that does it, of those that share its records. Which one does is decided as long as its
/// session goes on.
async fn lease(app: &App, job: &str) -> Option<Lease> {
    match app.catalog.lease(job).await {
        Ok(lease) => lease,
        Err(error) => {
            tracing::debug!(%error, job, "who does a job is not known");
            None
        }
    }
}

/// Is it the same holding of the lease as it was?
async fn still_holds(app: &App, job: &str, number: u64) -> bool {
    lease(app, job).await.is_some_and(|lease| lease.number() == Some(number))
}

async fn reclaim(app: Arc<App>, interval: Duration, mut stopped: watch::Receiver<bool>) {
    let mut drain = tokio::time::interval(DRAIN_INTERVAL);
    drain.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut next_compaction = tokio::time::Instant::now();
    let mut next_sweep = next_compaction;
    let mut next_annotations = next_compaction;
    let mut next_backlog = next_compaction;
    let mut next_quarantine = next_compaction;
    let sweep_interval = if app.blobs.traits().by_session { ENDED_INTERVAL } else { SWEEP_INTERVAL };
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            _ = drain.tick() => {}
        }
        if app.kms.standing() == kms_core::kms::Standing::Failed {
            let kms = app.kms.clone();
            // A store that failed says in the log when it is open again.
            let _ = tokio::task::spawn_blocking(move || kms.try_heal()).await;
        }
        // Nothing is deleted on a word that can't be trusted: the engine has said so in the log.
        if app.catalog.standing() != Standing::Verified {
            continue;
        }
        let round = async {
            let mut done = app.reclaimer.drain().await?;
            let now = tokio::time::Instant::now();
            if now >= next_compaction {
                done.moved = app.reclaimer.compact().await?.moved;
                next_compaction = now + interval;
            }
            if now >= next_sweep {
                next_sweep = now + sweep_interval;
                let swept = app.reclaimer.sweep().await?;
                (done.orphans, done.quarantined, done.expired) =
                    (swept.orphans, swept.quarantined, swept.expired);
                if now >= next_annotations
                    && let Some(lease) = lease(&app, "annotations").await
                {
                    done.displaced += annotations::sweep(lease.catalog()).await?;
                    next_annotations = now + SWEEP_INTERVAL;
                }
                app.job_states.reclaim.lock().sweeps += 1;
            }
            if now >= next_backlog {
                next_backlog = now + BACKLOG_INTERVAL;
                let (waiting, oldest) = app.catalog.displaced_backlog(MAX_BACKLOG).await?;
                let oldest_unix_ms = oldest.map(|oldest| oldest.unix_ms());
                app.job_states.reclaim.lock().backlog = ReclaimBacklog { waiting, oldest_unix_ms };
            }
            if now >= next_quarantine || done.quarantined + done.expired > 0 {
                next_quarantine = now + QUARANTINE_INTERVAL;
                let count = app.blobs.count_quarantined().await.map_err(ReclaimError::from)?;
                app.job_states.reclaim.lock().in_quarantine = Some(count);
            }
            app.job_states.reclaim.lock().ended_unix_ms = Some(Timestamp::now().unix_ms());
            Ok::<_, ReclaimError>(done)
        };
        tokio::select! {
            _ = stopped.changed() => return,
            result = round => match result {
                Ok(Reclaimed { displaced: 0, orphans: 0, moved: 0, quarantined: 0, expired: 0, .. }) => {}
                Ok(done) => {
                    let mut totals = app.job_states.reclaim.lock();
                    totals.displaced += done.displaced;
                    totals.orphans += done.orphans;
                    totals.moved += done.moved;
                    totals.quarantined += done.quarantined;
                    tracing::debug!(?done, "space was reclaimed");
                }
                Err(error @ ReclaimError::Doubtful) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "orphans are not swept");
                }
                Err(error) => {
                    next_sweep = next_sweep.min(tokio::time::Instant::now());
                    tracing::warn!(error = &error as &dyn std::error::Error, "space reclaim failed; it is tried again");
                    tokio::time::sleep(DRAIN_INTERVAL * 10).await;
                }
            }
        }
    }
}
