//! `sealgate scrub`: one whole round on a stopped folder, at full speed and without a key.

use std::process::ExitCode;

use storage::blob::fs::{FsBlobStore, FsOptions, Surveyed};

use super::progress::Progress;
use super::report::Report;
use crate::app::App;
use crate::config::Config;
use crate::instance::{DataFolder, IfAbsent};
use crate::jobs::names::{Names, whose};
use crate::jobs::scrub::Round;
use crate::observe::jobs::ScrubState;

/// What is counted.
const COUNTS: [&str; 2] = ["blobs", "bytes"];
/// Damaged places that are kept to be named with their buckets' names.
const MAX_DAMAGED: usize = 10_000;

pub(super) fn run(config: Config, as_json: bool) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let folder = DataFolder::open(&config, IfAbsent::Refuse)?;
        let mut report = Report::of(&COUNTS);
        let path = folder.path.join("blobs");
        anyhow::ensure!(path.is_dir(), "there are no blobs at {}", path.display());
        let options = FsOptions { reserve_free: config.min_free_len, ..FsOptions::default() };
        let blobs = tokio::task::spawn_blocking(move || FsBlobStore::open(path, options)).await??;
        let mut progress = Progress::new("steps of 16 blobs");
        let (mut damaged, mut more): (Vec<Surveyed>, u64) = (Vec::new(), 0);
        // A whole round, wherever the background's stands.
        let begun = ScrubState { current: None, last: ScrubState::load(&folder.path).last };
        let mut round = Round::new(&blobs, begun, None).kept_in(folder.path.clone());
        while let Some(found) = round.step().await? {
            progress.step();
            for row in found {
                match damaged.len() {
                    ..MAX_DAMAGED => damaged.push(row),
                    _ => more += 1,
                }
            }
        }
        let round = round.state.last.unwrap_or_default();
        drop(progress);
        report.count("blobs", round.blobs);
        report.count("bytes", round.bytes);
        for finding in blobs.findings() {
            report.note(finding.to_string());
        }
        blobs.close().await;
        drop(blobs);
        let names = match damaged.is_empty() {
            true => Names::default(),
            false => names(&config, folder).await,
        };
        for row in &damaged {
            let (kind, owner) = match row {
                Surveyed::Sound(info) | Surveyed::DamagedContent(info) => ("blob", Some(&info.owner)),
                Surveyed::Damaged { owner, .. } => ("blob", owner.as_ref()),
                Surveyed::Gap { owner, .. } => ("segment", owner.as_ref()),
            };
            report.fault(kind, row.to_string(), whose(&names, owner));
        }
        for _ in 0..more {
            report.fault("blob", "one more", "damaged");
        }
        Ok(report.show(as_json, "every byte is what was written", "`sealgate check` tells what they hit"))
    })
}

/// What buckets are called, where the catalog and the root key are at hand.
async fn names(config: &Config, folder: DataFolder) -> Names {
    let names = async {
        let root = crate::root::open(config, &folder)?;
        let (app, _) = App::open_to_check(config, folder, root).await?;
        let names = Names::load(&app.catalog).await;
        app.close().await?;
        anyhow::Ok(names?)
    };
    names.await.unwrap_or_else(|error| {
        tracing::warn!("buckets are told by their ids, since the catalog can't be read: {error:#}");
        Names::default()
    })
}
