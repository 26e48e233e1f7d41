//! Counts what is under which encryption, when somebody asks: every record is read once, a page at a time.

use std::sync::Arc;

use storage::catalog::{CatalogError, VersionKind};
use storage::name::Timestamp;
use tokio::sync::watch;

use crate::app::App;
use crate::bucket::walk::{Everything, Step};
use crate::observe::encryption_summary::EncryptionSummary;
use crate::sse::{Sse, SseInfo};

/// The most buckets and keys that are told apart.
const MAX_ROWS: usize = 10_000;

pub(super) async fn run(app: Arc<App>, mut stopped: watch::Receiver<bool>) {
    let summaries = &app.job_states.encryption_summary;
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            () = summaries.asked() => {}
        }
        let counted = tokio::select! {
            _ = stopped.changed() => return,
            counted = count(&app) => counted,
        };
        if let Err(error) = &counted {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "what is under which encryption can't be counted");
        }
        summaries.counted(counted.ok());
    }
}

async fn count(app: &App) -> Result<EncryptionSummary, CatalogError> {
    let mut summary = EncryptionSummary { is_complete: true, ..EncryptionSummary::default() };
    let mut walk = Everything::default();
    while let Some(step) = walk.next(&app.catalog).await? {
        match step {
            Step::Bucket(bucket) => {
                if bucket.name.is_internal() {
                    continue;
                }
                if summary.buckets.len() == MAX_ROWS {
                    summary.is_complete = false;
                    continue;
                }
                summary.buckets.entry(bucket.name.to_string()).or_default().owner.clone_from(&bucket.owner);
            }
            Step::Versions(bucket, versions) => {
                for (object, which) in versions {
                    let version = app.catalog.version(bucket, &object, which).await?;
                    let Some(VersionKind::Object(record)) = version.map(|version| version.kind) else {
                        continue;
                    };
                    let Ok(info) = Sse::info(&record.envelope) else {
                        summary.is_complete = false;
                        continue;
                    };
                    let mode = mode(&info);
                    if let Some(row) = summary.buckets.get_mut(bucket.name.as_str()) {
                        row.modes.entry(mode).or_default().add(record.plain_len);
                    }
                    let Ok(Some(dependence)) = app.sse.dependence(&record.envelope) else { continue };
                    if summary.keys.len() == MAX_ROWS && !summary.keys.contains_key(&dependence.key_arn) {
                        summary.is_complete = false;
                        continue;
                    }
                    let row = summary.keys.entry(dependence.key_arn).or_default();
                    row.amount.add(record.plain_len);
                    row.under_former += u64::from(!dependence.is_newest);
                }
                // Requests come first.
                tokio::task::yield_now().await;
            }
        }
    }
    summary.counted_unix_ms = Timestamp::now().unix_ms();
    Ok(summary)
}

fn mode(info: &SseInfo) -> &'static str {
    match info {
        SseInfo::S3 => "SSE-S3",
        SseInfo::Customer => "SSE-C",
        SseInfo::Kms { dsse: true, .. } => "DSSE-KMS",
        SseInfo::Kms { dsse: false, .. } => "SSE-KMS",
    }
}
