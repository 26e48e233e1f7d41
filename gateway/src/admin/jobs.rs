//! How a gateway is: on one screen, or as one JSON object.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use storage::name::Timestamp;

use super::Out;
use crate::api::admin::{Disk, Status, Warning};
use crate::app::App;
use crate::bucket::usage::size_text;
use crate::jobs::sweep::FullSweep;
use crate::observe::jobs::{LifecycleRun, ReclaimTotals, ScrubRound, ScrubState};

/// Between two looks whether a sweep is done.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// Tells it of a running gateway.
pub(super) async fn tell(
    app: &Arc<App>,
    addresses: &[(&'static str, String)],
    as_json: bool,
    out: &Out,
) -> anyhow::Result<bool> {
    let status = Status::of(app).await?;
    if as_json {
        let mut told = status.as_value();
        let urls = addresses.iter().map(|(name, url)| (name.to_lowercase(), Value::from(&**url)));
        told["addresses"] = Value::Object(urls.collect());
        out.line(told.to_string()).await?;
        return Ok(true);
    }
    let full_sweep = FullSweep::load(&app.catalog).await?;
    let walk = app.job_states.lifecycle_walk.lock().clone();
    let Status {
        scrub, lifecycle, reclaim, usage, disk, is_ready, certificate_days, requests, warnings, ..
    } = status;
    let total = usage.total;
    let ready = if is_ready { "ready" } else { "NOT READY" };
    let uptime = duration_text(app.started.elapsed().as_secs());
    out.line(format!("running    {ready}, unsealed, version {}, for {uptime}", env!("CARGO_PKG_VERSION")))
        .await?;
    for (name, url) in addresses {
        out.line(format!("{name:9}  {url}")).await?;
    }
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
    if let Some(walk) = walk {
        out.line(format!(
            "           a walk begun {}: {} versions looked at, about {} to go",
            ago(walk.began_unix_ms),
            walk.seen,
            walk.backlog()
        ))
        .await?;
    }
    let ReclaimTotals { displaced, orphans, quarantined, moved, sweeps, backlog, in_quarantine, .. } =
        reclaim;
    out.line(format!(
        "reclaim    since the start: {displaced} displaced blobs, {orphans} of no record, {quarantined} put into quarantine, {moved} moved; {sweeps} sweeps"
    ))
    .await?;
    let oldest =
        backlog.oldest_unix_ms.map_or_else(String::new, |at| format!(", the oldest since {}", ago(at)));
    out.line(format!("           {} records of displaced blobs wait{oldest}", backlog.waiting)).await?;
    if let Some(blobs) = in_quarantine {
        out.line(format!("quarantine {blobs} blobs")).await?;
    }
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
pub(super) async fn sweep(app: &Arc<App>, as_json: bool, out: &Out) -> anyhow::Result<bool> {
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
    if as_json {
        let told = json!({ "looked_at": looked_at, "orphans": orphans, "quarantined": quarantined });
        out.line(told.to_string()).await?;
        return Ok(true);
    }
    out.line(format!(
        "sweep      {looked_at} blobs looked at, {orphans} of no record deleted, {quarantined} put into quarantine"
    ))
    .await?;
    Ok(true)
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
