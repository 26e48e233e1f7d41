//! Work that no request waits for: space reclaim.

use std::sync::Arc;
use std::time::Duration;

use storage::reclaim::{ReclaimError, Reclaimed};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;

/// How soon space that was displaced is freed.
const DRAIN_INTERVAL: Duration = Duration::from_secs(1);

/// How often every blob is looked at for orphans, after the first look at the start.
const SWEEP_INTERVAL: Duration = Duration::from_secs(6 * 60 * 60);

/// The running jobs.
pub struct Jobs {
    stop: watch::Sender<bool>,
    reclaim: JoinHandle<()>,
}

impl Jobs {
    /// Starts them: displaced blobs are freed as they come, orphans at the start and now and then, segments compacted every
    /// `interval`.
    pub fn start(app: Arc<App>, interval: Duration) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, reclaim: tokio::spawn(reclaim(app, interval, stopped)) }
    }

    /// Stops them at their next step and waits for it.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        if let Err(error) = self.reclaim.await {
            tracing::error!(%error, "space reclaim ended badly");
        }
    }
}

async fn reclaim(app: Arc<App>, interval: Duration, mut stopped: watch::Receiver<bool>) {
    let mut drain = tokio::time::interval(DRAIN_INTERVAL);
    drain.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut next_compaction = tokio::time::Instant::now();
    let mut next_sweep = next_compaction;
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            _ = drain.tick() => {}
        }
        let round = async {
            let mut done = app.reclaimer.drain().await?;
            let now = tokio::time::Instant::now();
            if now >= next_compaction {
                done.moved = app.reclaimer.compact().await?.moved;
                next_compaction = now + interval;
            }
            if now >= next_sweep {
                done.orphans = app.reclaimer.sweep().await?.orphans;
                next_sweep = now + SWEEP_INTERVAL;
            }
            Ok::<_, ReclaimError>(done)
        };
        tokio::select! {
            _ = stopped.changed() => return,
            result = round => match result {
                Ok(Reclaimed { displaced: 0, orphans: 0, moved: 0, .. }) => {}
                Ok(done) => tracing::debug!(?done, "space was reclaimed"),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "space reclaim failed; it is tried again");
                    tokio::time::sleep(DRAIN_INTERVAL * 10).await;
                }
            }
        }
    }
}
