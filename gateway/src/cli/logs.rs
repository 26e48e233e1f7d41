//! What a running gateway writes down of requests: access log, audit, and the logs that are delivered to buckets.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use super::serve::Current;
use crate::api::s3::log_delivery;
use crate::app::{self, App};
use crate::config::Config;
use crate::observe::access_log::AccessLog;
use crate::observe::bucket_log::BucketLog;
use crate::observe::reopen;
use crate::observe::request::{Observers, Subscription};
use crate::observe::server_access::CanonicalIds;

/// How long a stop waits for the last delivery of logs to buckets: what is not delivered then is after the next start.
const LAST_DELIVERY: Duration = Duration::from_secs(30);

/// The logs of this process, from its start to its end.
pub(super) struct Logs {
    bucket_log: Arc<BucketLog>,
    subscriptions: Vec<Subscription>,
}

impl Logs {
    /// Opens them. The data folder must be held by this process.
    pub(super) fn open(config: &Config, current: &Current) -> anyhow::Result<Self> {
        let ids: Arc<CanonicalIds> = {
            let current = current.clone();
            Arc::new(move |account: &str| {
                let account = current.get()?.iam.account(account)?;
                Some(account.canonical_id.clone())
            })
        };
        let observers = Observers::of_process();
        let folder = config.data.join("log-spool");
        let bucket_log = BucketLog::open(&folder, config.logs.bucket, ids.clone())
            .with_context(|| format!("can't open {}", folder.display()))?;
        let bucket_log = Arc::new(bucket_log);
        let mut subscriptions = vec![observers.add(bucket_log.clone())];
        if let Some(access) = &config.logs.access {
            let log = AccessLog::open(access, ids)
                .with_context(|| format!("can't open the access log {}", access.path.display()))?;
            subscriptions.push(observers.add(Arc::new(log)));
        }
        if let Some(audit) = app::open_audit(config)? {
            subscriptions.push(observers.add(audit));
        }
        Ok(Self { bucket_log, subscriptions })
    }

    /// Delivers to buckets, and opens files anew at SIGUSR1. Ends never.
    pub(super) async fn run(&self, current: &Current) -> anyhow::Result<()> {
        let mut asked = signal(SignalKind::user_defined1())?;
        let reopen = async {
            while asked.recv().await.is_some() {
                tracing::info!("log files are opened anew");
                reopen::ask();
            }
            std::future::pending::<()>().await;
        };
        let current = current.clone();
        tokio::join!(reopen, log_delivery::run(self.bucket_log.clone(), move || current.get()));
        Ok(())
    }

    /// Writes and delivers what came, once no request runs any more.
    pub(super) async fn close(self, app: Option<Arc<App>>) {
        let Self { bucket_log, subscriptions } = self;
        let log = bucket_log.clone();
        let closed = tokio::task::spawn_blocking(move || {
            log.finish();
            drop(subscriptions);
        });
        if let Err(error) = closed.await {
            tracing::error!(%error, "logs could not be closed");
        }
        let Some(app) = app else { return };
        let delivery = tokio::time::timeout(LAST_DELIVERY, log_delivery::deliver_ready(&bucket_log, &app));
        if !matches!(delivery.await, Ok(true)) {
            tracing::warn!("some records of buckets' logs are delivered after the next start");
        }
    }
}
