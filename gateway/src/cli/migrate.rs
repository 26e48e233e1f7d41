//! `sealgate migrate`: everything from one place to another.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use storage::transfer::{Progress, Transfer, TransferError};

use super::report::Report;
use crate::app::migrate::{Source, Target};
use crate::config::{Config, RawConfig};

/// Moves what this configuration names to what the file `to` names.
pub(super) fn run(config: Config, to: &Path, accepts: bool, as_json: bool) -> anyhow::Result<ExitCode> {
    let target = Config::load(RawConfig::default(), Some(to))
        .with_context(|| format!("the configuration of the target, {}", to.display()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(migrate(&config, &target, accepts, as_json))
}

async fn migrate(config: &Config, target: &Config, accepts: bool, as_json: bool) -> anyhow::Result<ExitCode> {
    let source = Source::open(config).await.context("the source")?;
    // Records that are not what was committed are not carried on.
    source.side.catalog.verify().await.context("the source: see `sealgate check`")?;
    let mut target = Target::open(target, &source, config).await.context("the target")?;
    let transfer = Transfer { from: source.side.clone(), to: target.side.clone() };
    let mut report = Report::of(&["records", "records changed", "blobs copied", "bytes copied"]);

    let records =
        shown("records", |progress| &progress.records, async |p| transfer.copy_records(&p).await).await?;
    report.count("records changed", records.changed.load(Ordering::Relaxed));
    name_faults(&mut report, &records);
    if target.keeps_blobs {
        report.note("blobs stay where they are: source and target name the same store");
    } else {
        let blobs =
            shown("blobs copied", |progress| &progress.done, async |p| transfer.copy_blobs(&p).await).await?;
        report.count("blobs copied", blobs.done.load(Ordering::Relaxed));
        report.count("bytes copied", blobs.len.load(Ordering::Relaxed));
        name_faults(&mut report, &blobs);
    }
    let compared =
        shown("records compared", |progress| &progress.records, async |p| transfer.compare(&p).await).await?;
    report.count("records", compared.records.load(Ordering::Relaxed));
    report.count("blobs compared", compared.done.load(Ordering::Relaxed));
    report.count("bytes compared", compared.len.load(Ordering::Relaxed));
    name_faults(&mut report, &compared);
    for address in source.serving().await? {
        report.fault(
            "served",
            address,
            "a gateway serves the source: stop it, and run this again for what changed",
        );
    }
    let is_done = report.is_clean() || accepts;
    if is_done {
        target.finish().await?;
    }
    drop(transfer);
    target.close().await?;
    source.close().await?;
    let faulty = match is_done {
        true => "taken as they are: the target can be served",
        false => "the target is not served; run this again, or take it as it is with --accept",
    };
    Ok(report.show(as_json, "the target can be served; do not serve the source any more", faulty))
}

fn name_faults(report: &mut Report, progress: &Progress) {
    let (named, count) = progress.faults();
    let more = count - named.len() as u64;
    named.into_iter().for_each(|fault| report.fault("move", fault, "see above"));
    if more > 0 {
        report.fault("move", format!("{more} more"), "not named");
    }
}

/// Runs a step, and shows how far it is where somebody looks.
async fn shown(
    what: &str,
    count: impl Fn(&Progress) -> &AtomicU64,
    step: impl AsyncFnOnce(Arc<Progress>) -> Result<(), TransferError>,
) -> anyhow::Result<Arc<Progress>> {
    let progress = Arc::new(Progress::default());
    let mut step = std::pin::pin!(step(progress.clone()));
    let is_terminal = std::io::stderr().is_terminal();
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    loop {
        tokio::select! {
            done = &mut step => {
                done?;
                break;
            }
            _ = tick.tick() => {}
        }
        if is_terminal {
            let (done, len) =
                (count(&progress).load(Ordering::Relaxed), progress.len.load(Ordering::Relaxed));
            eprint!("\r{done} {what}, {} MiB  ", len >> 20);
            let _ = std::io::stderr().flush();
        }
    }
    if is_terminal {
        eprintln!("\r{} {what}            ", count(&progress).load(Ordering::Relaxed));
    }
    Ok(progress)
}
