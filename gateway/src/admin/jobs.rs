//! How a gateway is: on one screen, or as one JSON object.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use storage::kv::Standing;
use storage::name::Timestamp;

use super::Out;
use crate::app::App;
use crate::bucket::usage::{UsageReport, report, size_text};
use crate::http::tls;
use crate::jobs::sweep::FullSweep;
use crate::observe::jobs::{LifecycleRun, ReclaimTotals, ScrubRound, ScrubState};
use crate::observe::metrics::REQUESTS;

/// Between two looks whether a sweep is done.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// Below this share of a disk, in hundredths, its being full is near.
const LITTLE_FREE_PERCENT: u64 = 10;
/// Of a bucket's or account's quota, likewise.
const MUCH_OF_QUOTA_PERCENT: u128 = 90;
/// So many days before a certificate expires it is time to renew it.
const FEW_DAYS: i64 = 14;
/// Warnings of quotas that are told.
const MAX_QUOTA_WARNINGS: usize = 10;

/// Something that wants to be looked at.
#[derive(Debug, Serialize)]
struct Warning {
    /// What is.
    what: String,
    /// What to do.
    advice: &'static str,
}

/// The disk of the data folder.
#[derive(Debug, Clone, Copy, Serialize)]
struct Disk {
    free_bytes: u64,
    total_bytes: u64,
}

/// Tells it of a running gateway.
pub(super) async fn tell(app: &Arc<App>, as_json: bool, out: &Out) -> anyhow::Result<bool> {
    let scrub = app.job_states.scrub.lock().clone();
    let lifecycle = app.job_states.lifecycle.lock().clone();
    let reclaim = app.job_states.reclaim.lock().clone();
    let full_sweep = FullSweep::load(&app.catalog).await?;
    let damaged_records = app.catalog.damaged_records_met();
    let usage = report(&app.catalog, None, usize::MAX).await?;
    let disk = disk(app);
    let is_ready = crate::api::ready::is_ready(app);
    let certificate_days = certificate_days(app);
    let requests = REQUESTS.in_flight();
    let warnings = warnings(app, (disk, certificate_days), &usage, (&scrub, damaged_records));
    let total = usage.total;
    if as_json {
        let told = json!({
            "running": true,
            "version": env!("CARGO_PKG_VERSION"),
            "ready": is_ready,
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
            "disk": disk,
            "certificate_expires_in_days": certificate_days,
            "requests_in_flight": requests,
            "scrub": scrub,
            "lifecycle": lifecycle,
            "reclaim": reclaim,
            "full_sweep": full_sweep,
            "damaged_records_met": damaged_records,
            "warnings": warnings,
        });
        out.line(told.to_string()).await?;
        return Ok(true);
    }
    let ready = if is_ready { "ready" } else { "NOT READY" };
    let uptime = duration_text(app.started.elapsed().as_secs());
    out.line(format!("running    {ready}, unsealed, version {}, for {uptime}", env!("CARGO_PKG_VERSION")))
        .await?;
    out.line(format!("account    {}, region {}", app.iam.main_account().id, app.region)).await?;
    let counted = if usage.is_counted { "" } else { " (still being counted)" };
    out.line(format!(
        "holds      {} buckets, {} objects, {} versions, {} delete markers: {}, stored as {}{counted}",
        usage.bucket_count,
        total.objects,
        total.versions,
        total.delete_markers,
        size_text(total.bytes),
        size_text(total.stored_bytes),
    ))
    .await?;
    if total.uploads > 0 {
        out.line(format!(
            "           {} unfinished uploads of {}",
            total.uploads,
            size_text(total.upload_bytes)
        ))
        .await?;
    }
    out.line(format!("requests   {requests} in flight")).await?;
    if let Some(days) = certificate_days {
        out.line(format!("TLS        the certificate expires in {days} days")).await?;
    }
    if let Some(Disk { free_bytes, total_bytes }) = disk {
        out.line(format!("disk       {} of {} free", size_text(free_bytes), size_text(total_bytes))).await?;
    }
    for line in scrub_lines(&scrub) {
        out.line(line).await?;
    }
    out.line(match lifecycle {
        None => "lifecycle  no walk has ended yet".to_owned(),
        Some(LifecycleRun { ended_unix_ms, is_whole, seen, changes }) => format!(
            "lifecycle  {}, {seen} versions looked at, {changes} changes{}",
            ago(ended_unix_ms),
            if is_whole { "" } else { ", cut off" }
        ),
    })
    .await?;
    let ReclaimTotals { displaced, orphans, quarantined, moved, sweeps } = reclaim;
    out.line(format!(
        "reclaim    since the start: {displaced} displaced blobs, {orphans} of no record, {quarantined} in quarantine, {moved} moved; {sweeps} sweeps"
    ))
    .await?;
    if let Some(FullSweep { ended_unix_ms, looked_at, failed, .. }) = full_sweep {
        let how =
            failed.map_or_else(|| format!("{looked_at} blobs looked at"), |why| format!("FAILED: {why}"));
        out.line(format!("sweep      of all blobs: {}, {how}", ago(ended_unix_ms))).await?;
    }
    if warnings.is_empty() {
        out.line("warnings   none").await?;
    }
    for Warning { what, advice } in warnings {
        out.line(format!("WARNING    {what}: {advice}")).await?;
    }
    Ok(true)
}

/// Lets every blob be looked at for a record, here or by the gateway that does so, and tells what came of it.
pub(super) async fn sweep(app: &Arc<App>, out: &Out) -> anyhow::Result<bool> {
    let done = if app.catalog.is_shared() && app.blobs.traits().by_session {
        let number = FullSweep::ask(&app.catalog).await?.asked;
        loop {
            let state = FullSweep::load(&app.catalog).await?.unwrap_or_default();
            if state.answered >= number {
                break state;
            }
            out.progress("a gateway looks at every blob".to_owned()).await?;
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    } else {
        FullSweep::run(app, &app.catalog).await?
    };
    let FullSweep { looked_at, orphans, quarantined, failed, .. } = done;
    if let Some(why) = failed {
        anyhow::bail!("{why}");
    }
    out.line(format!(
        "sweep      {looked_at} blobs looked at, {orphans} of no record deleted, {quarantined} put into quarantine"
    ))
    .await?;
    Ok(true)
}

/// The disk of the data folder; `None` where it does not tell.
fn disk(app: &App) -> Option<Disk> {
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
    (scrub, damaged_records): (&ScrubState, usize),
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

fn duration_text(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The scrub, in words.
pub fn scrub_lines(state: &ScrubState) -> Vec<String> {
    let counts =
        |round: &ScrubRound| format!("{} blobs, {} bytes, {} faults", round.blobs, round.bytes, round.faults);
    let mut lines = Vec::new();
    match &state.current {
        Some(round) => {
            lines.push(format!("scrub      begun {}: {}", ago(round.began_unix_ms), counts(round)))
        }
        None => lines.push("scrub      no round is under way".to_owned()),
    }
    if let Some(round) = &state.last {
        let ended = ago(round.ended_unix_ms.unwrap_or_default());
        lines.push(format!("           the last ended {ended}: {}", counts(round)));
    }
    lines
}

fn ago(unix_ms: u64) -> String {
    let seconds = Timestamp::now().unix_ms().saturating_sub(unix_ms) / 1000;
    format!("{} ago", duration_text(seconds))
}
