//! Work that no request waits for: space reclaim.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;

/// How soon space that was displaced is freed.
const DRAIN_INTERVAL: Duration = Duration::from_secs(1);

/// The running jobs.
pub struct Jobs {
    stop: watch::Sender<bool>,
    reclaim: JoinHandle<()>,
}

impl Jobs {
    /// Starts them: displaced blobs are freed as they come, orphans swept and segments compacted every `interval`.
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
    let mut next_sweep = tokio::time::Instant::now();
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            _ = drain.tick() => {}
        }
        let _ = (&app, interval, &mut next_sweep);
        let round = async { Ok::<_, std::io::Error>(()) };
        tokio::select! {
            _ = stopped.changed() => return,
            result = round => if let Err(error) = result {
                tracing::warn!(error = &error as &dyn std::error::Error, "space reclaim failed; it is tried again");
                tokio::time::sleep(DRAIN_INTERVAL * 10).await;
            }
        }
    }
}
