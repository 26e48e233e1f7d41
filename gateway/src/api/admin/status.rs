//! How a gateway is: what runs, what it holds, and what wants to be looked at.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use storage::kv::Standing;
use storage::name::Timestamp;

use super::error::AdminError;
use crate::app::App;
use crate::bucket::usage::{UsageReport, report, size_text};
use crate::http::tls;
use crate::observe::jobs::{LifecycleRun, ReclaimTotals, ScrubState};
use crate::observe::metrics::REQUESTS;

/// Below this share of a disk, in hundredths, its being full is near.
const LITTLE_FREE_PERCENT: u64 = 10;
/// Of a bucket's or account's quota, likewise.
const MUCH_OF_QUOTA_PERCENT: u128 = 90;
/// So many days before a certificate expires it is time to renew it.
const FEW_DAYS: i64 = 14;
/// Warnings of quotas that are told.
const MAX_QUOTA_WARNINGS: usize = 10;

/// Something that wants to be looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Warning {
    /// What is.
    pub what: String,
    /// What to do.
    pub advice: &'static str,
}

/// The disk of the data folder.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Disk {
    /// Bytes that are free.
    pub free_bytes: u64,
    /// All of them.
    pub total_bytes: u64,
}

/// How a gateway is.
pub struct Status {
    app: Arc<App>,
    /// The scrub.
    pub scrub: ScrubState,
    /// The last walk of lifecycle rules.
    pub lifecycle: Option<LifecycleRun>,
    /// What was reclaimed since the start.
    pub reclaim: ReclaimTotals,
    /// What buckets hold.
    pub usage: UsageReport,
    /// The disk of the data folder.
    pub disk: Option<Disk>,
    /// May requests be sent here?
    pub is_ready: bool,
    /// In how many days the certificate expires.
    pub certificate_days: Option<i64>,
    /// Requests in flight.
    pub requests: i64,
    full_sweep: Value,
    damaged_records: usize,
    /// What wants to be looked at.
    pub warnings: Vec<Warning>,
}

impl Status {
    /// How this one is now.
    ///
    /// # Errors
    /// When records can't be read.
    pub async fn of(app: &Arc<App>) -> Result<Self, storage::catalog::CatalogError> {
        let scrub = app.job_states.scrub.lock().clone();
        let lifecycle = app.job_states.lifecycle.lock().clone();
        let reclaim = app.job_states.reclaim.lock().clone();
        let full_sweep = full_sweep(app).await?;
        let damaged_records = app.catalog.damaged_records_met();
        let usage = report(&app.catalog, None, usize::MAX).await?;
        let disk = disk(app);
        let is_ready = crate::api::ready::is_ready(app);
        let certificate_days = certificate_days(app);
        let requests = REQUESTS.in_flight();
        let warnings =
            warnings(app, (disk, certificate_days), &usage, (&scrub, damaged_records, reclaim.in_quarantine));
        Ok(Self {
            app: app.clone(),
            scrub,
            lifecycle,
            reclaim,
            usage,
            disk,
            is_ready,
            certificate_days,
            requests,
            full_sweep,
            damaged_records,
            warnings,
        })
    }

    /// For programs.
    pub fn as_value(&self) -> Value {
        let (app, usage, total) = (&self.app, &self.usage, &self.usage.total);
        json!({
            "running": true,
            "version": env!("CARGO_PKG_VERSION"),
            "ready": self.is_ready,
            "sealed": false,
            "uptime_s": app.started.elapsed().as_secs(),
            "region": app.region,
            "account": app.iam.main_account().id,
            "usage": {
                "counted": usage.is_counted,
                "buckets": usage.bucket_count,
                "objects": total.objects,
                "versions": total.versions,
                "delete_markers": total.delete_markers,
                "bytes": total.bytes,
                "stored_bytes": total.stored_bytes,
                "uploads": total.uploads,
                "upload_bytes": total.upload_bytes,
            },
            "disk": self.disk,
            "certificate_expires_in_days": self.certificate_days,
            "requests_in_flight": self.requests,
            "scrub": self.scrub,
            "lifecycle": self.lifecycle,
            "lifecycle_walk": *app.job_states.lifecycle_walk.lock(),
            "reclaim": self.reclaim,
            "full_sweep": self.full_sweep,
            "damaged_records_met": self.damaged_records,
            "warnings": self.warnings,
        })
    }
}

/// GetStatus.
pub(super) async fn get(app: &Arc<App>) -> Result<Value, AdminError> {
    let status = Status::of(app).await?;
    let mut told = status.as_value();
    // As `sealgate status` has it, for people: jobs by name.
    told["jobs"] = json!([
        { "name": "scrub", "state": status.scrub },
        { "name": "lifecycle", "state": status.lifecycle },
        { "name": "reclaim", "state": status.reclaim },
        { "name": "full_sweep", "state": status.full_sweep },
    ]);
    Ok(told)
}

/// What the job of that name keeps of the last look at every blob of an object store; null: there was none.
async fn full_sweep(app: &App) -> Result<Value, storage::catalog::CatalogError> {
    let (_, documents) = app.catalog.documents("jobs").await?;
    let kept = documents.into_iter().find(|(name, _)| name == "sweep");
    Ok(kept.and_then(|(_, text)| serde_json::from_slice(&text).ok()).unwrap_or_default())
}

/// The disk of the data folder; `None` where it does not tell.
pub fn disk(app: &App) -> Option<Disk> {
    let found = rustix::fs::statvfs(&app.stores.folder.path).ok()?;
    let of = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some(Disk { free_bytes: of(found.f_bavail), total_bytes: of(found.f_blocks) })
}

/// In how many days the certificate expires; `None`: there is none that can be read.
fn certificate_days(app: &App) -> Option<i64> {
    let (certificates, _) = app.config.tls.as_ref()?;
    let now_s = i64::try_from(Timestamp::now().unix_ms() / 1000).ok()?;
    Some((tls::expiry_unix_s(certificates)? - now_s).div_euclid(24 * 60 * 60))
}

fn warnings(
    app: &App,
    (disk, certificate_days): (Option<Disk>, Option<i64>),
    usage: &UsageReport,
    (scrub, damaged_records, in_quarantine): (&ScrubState, usize, Option<u64>),
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |what: String, advice| warnings.push(Warning { what, advice });
    match app.catalog.standing() {
        Standing::Verified | Standing::Verifying => {}
        Standing::Damaged => warn(
            "the records are not those that were committed".to_owned(),
            "nothing is deleted on their word; stop the gateway and run `sealgate check`",
        ),
        Standing::Failed => warn(
            "the records can't be written".to_owned(),
            "look at the disk and the log; it opens again by itself when it can",
        ),
    }
    if app.kms.standing() != kms_core::kms::Standing::Writable {
        warn(
            "the key store can't be written".to_owned(),
            "run `sealgate kms verify-store`, and look at the log",
        );
    }
    if !app.clock.is_right() {
        warn(
            "this host's clock is too far from that of the records' server".to_owned(),
            "set it (chrony, ntpd): nothing is served until then",
        );
    }
    if !app.store_state.is_reached() {
        warn(
            "the object store of the blobs is not reached".to_owned(),
            "look at it with `sealgate doctor blobs`",
        );
    }
    if let Some(Disk { free_bytes, total_bytes }) = disk
        && u128::from(free_bytes) * 100 < u128::from(total_bytes) * u128::from(LITTLE_FREE_PERCENT)
    {
        warn(
            format!("only {} of the disk are free", size_text(free_bytes)),
            "make room, or give the file system more: writes are refused before it is full",
        );
    }
    if let Some(days) = certificate_days
        && days < FEW_DAYS
    {
        warn(
            format!("the TLS certificate expires in {days} days"),
            "renew it, and put it where tls_cert says",
        );
    }
    let faults = [&scrub.current, &scrub.last].into_iter().flatten().map(|round| round.faults).max();
    if let Some(faults @ 1..) = faults {
        warn(
            format!("the scrub found {faults} damaged blobs"),
            "the log names them; restore these objects, and look at the disk",
        );
    }
    if damaged_records > 0 {
        warn(format!("{damaged_records} records can't be read"), "`sealgate check` names them");
    }
    if let Some(blobs @ 1..) = in_quarantine {
        warn(
            format!("{blobs} blobs are in quarantine, since nobody could account for them"),
            "stop the gateway and run `sealgate check` before quarantine_days have passed",
        );
    }
    let quotas =
        usage.buckets.iter().map(|bucket| (format!("bucket {}", bucket.name), bucket.usage, bucket.quota));
    let accounts =
        usage.accounts.iter().map(|(id, account)| (format!("account {id}"), account.usage, account.quota));
    let full = quotas.chain(accounts).filter(|(_, held, quota)| {
        quota.is_some_and(|quota| u128::from(held.bytes) * 100 >= u128::from(quota) * MUCH_OF_QUOTA_PERCENT)
    });
    for (whose, held, quota) in full.take(MAX_QUOTA_WARNINGS) {
        let quota = size_text(quota.unwrap_or_default());
        warn(
            format!("{whose} holds {} of its quota of {quota}", size_text(held.bytes)),
            "raise it (`sealgate bucket quota`, `sealgate account quota`), or delete what is not needed",
        );
    }
    warnings
}
