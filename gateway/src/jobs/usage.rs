//! Counts what buckets hold where counters do not tell it: over records of an earlier build, and where something was replaced that
//! nobody could read. From then on each commit counts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use storage::catalog::CatalogError;
use tokio::sync::watch;

use crate::app::App;

/// How often it is looked whether there is something to count.
const INTERVAL: Duration = Duration::from_secs(30);

pub(super) async fn run(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            _ = interval.tick() => {}
        }
        tokio::select! {
            _ = stopped.changed() => return,
            counted = count(&app) => if let Err(error) = counted {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "what buckets hold can't be counted; it is tried again");
            }
        }
    }
}

async fn count(app: &App) -> Result<(), CatalogError> {
    if app.catalog.is_counted().await? {
        return Ok(());
    }
    let Some(lease) = super::lease(app, "usage").await else { return Ok(()) };
    let began = Instant::now();
    match lease.catalog().recount().await {
        Ok(counted) => {
            let elapsed_ms = began.elapsed().as_millis();
            tracing::info!(counted.records, elapsed_ms, "what buckets hold was counted");
            Ok(())
        }
        // Another gateway does.
        Err(CatalogError::Contended) => Ok(()),
        Err(error) => Err(error),
    }
}
