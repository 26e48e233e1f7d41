//! Takes samples of what happens, for the console's charts.

use std::sync::Arc;
use std::time::Duration;

use storage::name::Timestamp;
use tokio::sync::watch;

use crate::app::App;
use crate::observe::history::{FINE_STEP_S, HISTORY, Held};
use crate::observe::metrics::REQUESTS;

/// What buckets hold is summed up at every sixth sample only.
const SUMMED_EVERY: u64 = 6;

pub(super) async fn run(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(Duration::from_secs(FINE_STEP_S));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut held = Held::default();
    for number in 0_u64.. {
        tokio::select! {
            _ = stopped.changed() => return,
            _ = interval.tick() => {}
        }
        if number.is_multiple_of(SUMMED_EVERY) {
            tokio::select! {
                _ = stopped.changed() => return,
                usages = app.catalog.usage_of_buckets() => match usages {
                    Ok(usages) => {
                        held.objects = usages.values().map(|usage| usage.objects).sum();
                        held.stored_bytes = usages.values().map(|usage| usage.stored_bytes).sum();
                    }
                    Err(error) => tracing::debug!(%error, "a sample lacks what buckets hold"),
                }
            }
        }
        held.disk_free = rustix::fs::statvfs(&app.stores.folder.path)
            .ok()
            .map(|found| found.f_bavail.saturating_mul(found.f_frsize));
        HISTORY.sample(Timestamp::now().unix_ms() / 1000, &REQUESTS.totals(), held);
    }
}
