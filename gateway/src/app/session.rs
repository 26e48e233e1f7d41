//! The session of a gateway that shares its records: kept beside the requests, left at the end.

use storage::catalog::Catalog;
use storage::session::{About, BlobIds, SessionEnd, SessionKeeper, SessionOptions};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cluster::FORMAT;
use crate::config::Config;

/// How sessions are kept, as the settings say.
pub(super) fn times(config: &Config) -> SessionOptions {
    let times = &config.places.session;
    SessionOptions { heartbeat: times.heartbeat, dead_after: times.timeout, ..SessionOptions::default() }
}

/// A session that is being kept.
pub(super) struct RunningSession {
    stop: watch::Sender<bool>,
    task: JoinHandle<SessionEnd>,
}

impl RunningSession {
    /// Joins the others.
    pub(super) async fn join(config: &Config, catalog: &Catalog, ids: BlobIds) -> anyhow::Result<Self> {
        let about = About {
            address: config.listen.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            build: option_env!("SEALGATE_BUILD").unwrap_or_default().to_owned(),
            format: FORMAT,
        };
        let keeper = SessionKeeper::join(catalog.clone(), ids, about, times(config)).await?;
        let (stop, stopped) = watch::channel(false);
        Ok(Self { stop, task: tokio::spawn(keeper.run(stopped)) })
    }

    /// Ends it in order, once nothing runs any more that wants to commit.
    pub(super) async fn leave(self) {
        let _ = self.stop.send(true);
        match self.task.await {
            Ok(SessionEnd::Left) => {}
            Ok(SessionEnd::ByOthers) => {
                tracing::warn!("the session was ended by another gateway before it was left")
            }
            Err(error) => tracing::error!(%error, "the session ended badly"),
        }
    }
}
