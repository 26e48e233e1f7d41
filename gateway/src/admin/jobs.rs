//! How the background jobs are getting on.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use storage::name::Timestamp;

use super::Out;
use crate::app::App;
use crate::jobs::sweep::FullSweep;
use crate::observe::jobs::{LifecycleRun, ReclaimTotals, ScrubRound, ScrubState};

/// Between two looks whether a sweep is done.
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// Tells it of a running gateway.
pub(super) async fn tell(app: &Arc<App>, as_json: bool, out: &Out) -> anyhow::Result<bool> {
    let scrub = app.job_states.scrub.lock().clone();
    let lifecycle = app.job_states.lifecycle.lock().clone();
    let reclaim = app.job_states.reclaim.lock().clone();
    let full_sweep = FullSweep::load(&app.catalog).await?;
    let damaged_records = app.catalog.damaged_records_met();
    if as_json {
        let told = json!({
            "running": true,
            "uptime_s": app.started.elapsed().as_secs(),
            "scrub": scrub,
            "lifecycle": lifecycle,
            "reclaim": reclaim,
            "full_sweep": full_sweep,
            "damaged_records_met": damaged_records,
        });
        out.line(told.to_string()).await?;
        return Ok(true);
    }
    out.line(format!("running    for {} s", app.started.elapsed().as_secs())).await?;
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
    if damaged_records > 0 {
        out.line(format!(
            "damaged    {damaged_records} records that can't be read; `sealgate check` names them"
        ))
        .await?;
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
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}
