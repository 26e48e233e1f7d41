//! `sealgate check`: reads a stopped data folder whole, and names everything that is not as it should be.

mod blobs;
mod files;
mod records;

use std::process::ExitCode;

use kms_core::kms::Kms;
use kms_core::root::RootKey;

use storage::blob::Why;
use storage::catalog::{Difference, Usage};

use super::all_blobs::AllBlobs;
use super::report::Report;
use crate::app::App;
use crate::config::Config;
use crate::instance::{DataFolder, IfAbsent, kms_places};
use crate::root;

/// What is counted.
const COUNTS: [&str; 13] = [
    "records",
    "buckets",
    "objects",
    "versions",
    "markers",
    "uploads",
    "parts",
    "documents",
    "bytes",
    "not opened",
    "blobs",
    "journals",
    "displaced",
];

/// Checks records against blobs, blobs against records, every checksum, and every seal that the keys here open.
pub(super) fn run(config: Config, recount: bool, as_json: bool) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let folder = DataFolder::open(&config, IfAbsent::Refuse)?;
        let mut report = Report::of(&COUNTS);
        files::check(&folder.path, &mut report)?;
        let root = root::open(&config, &folder)?;
        keys(&config, &folder, &*root, &mut report);
        let (app, identities) = App::open_to_check(&config, folder, root).await?;
        match app.catalog.verify().await {
            Ok(records) => report.count("records", records),
            Err(error) => report.fault(
                "digest",
                "the catalog",
                format!("{error}: a record was put back, removed, added or damaged since it was committed"),
            ),
        }
        for missing in app.iam.state().missing() {
            report.fault("document", "identities", missing);
        }
        let blobs = AllBlobs::of(&config, &app)?;
        let mut records = records::Records::new(&app, &blobs, &mut report);
        records.check().await?;
        let (names, named) = records.end();
        if let Some(error) = identities.filter(|_| !report.has("document")) {
            report.fault("document", "identities", error);
        }
        blobs::Blobs { app: &app, blobs: &blobs, names: &names, named: &named, report: &mut report }
            .check()
            .await?;
        for away in blobs.quarantined().await? {
            let name = format!("blob {}, {}", away.blob.id, names.owner(&away.owner));
            report.count("in quarantine", 1);
            match away.why {
                Why::CutOff => report.note(format!("{name} is in quarantine: its write was cut off")),
                Why::Unknown => report.fault(
                    "quarantine",
                    name,
                    "it has no record and nothing tells why; `sealgate rebuild --add` brings it in",
                ),
            }
        }
        usage(&app, recount, &mut report).await?;
        drop(blobs);
        app.close().await?;
        Ok(report.show(
            as_json,
            "everything can be read",
            "what is named above can't be read or is not in its place; everything else can",
        ))
    })
}

/// Compares what counters of buckets and accounts tell with what there is.
async fn usage(app: &App, recount: bool, report: &mut Report) -> anyhow::Result<()> {
    let counted = if recount { app.catalog.recount().await? } else { app.catalog.count().await? };
    if !counted.was_counted && !recount {
        report.note("what buckets hold was not counted yet: the gateway does so at its next start, or `--recount` here");
        return Ok(());
    }
    for Difference { of, told, found } in counted.differences {
        let text = format!("its counter tells {}, there are {}", numbers(&told), numbers(&found));
        match recount {
            true => report.note(format!("{of}: {text}; it is set right")),
            false => report.fault("usage", of, format!("{text}; `sealgate check --recount` sets it right")),
        }
    }
    Ok(())
}

fn numbers(usage: &Usage) -> String {
    let Usage { objects, versions, delete_markers, bytes, stored_bytes, uploads, upload_bytes, .. } = usage;
    format!(
        "{objects} objects, {versions} versions, {delete_markers} delete markers, {bytes} bytes ({stored_bytes} stored), {uploads} \
         uploads of {upload_bytes} bytes"
    )
}

/// Looks at both copies of the key store before it is opened: that makes a damaged one anew.
fn keys(config: &Config, folder: &DataFolder, root: &dyn RootKey, report: &mut Report) {
    const MENDED: &str = "it is made anew from the other one now";
    match Kms::verify_closed_store(kms_places(config, folder), root) {
        Ok(found) => {
            for part in &found.parts {
                if let Some(fault) = &part.fault {
                    report.fault("key store", part.path.display().to_string(), format!("{fault}; {MENDED}"));
                }
            }
            for fault in &found.faults {
                report.fault("key store", "its copies", format!("{fault}; {MENDED}"));
            }
        }
        Err(error) => report.fault("key store", "its copies", error),
    }
}
