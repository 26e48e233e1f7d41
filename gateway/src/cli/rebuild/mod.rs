//! `sealgate rebuild`: a new catalog from blobs and key store, or (`--add`) what is newer than a catalog that is kept.

mod apply;
mod former;

use std::path::PathBuf;
use std::process::ExitCode;

use kms_core::kms::Kms;
use storage::blob::Why;
use storage::catalog::{Bucket, Lost, Restored, Salvaged, Trailer};

use self::apply::Apply;
use self::former::Former;
use super::all_blobs::AllBlobs;
use super::report::Report;
use crate::app::App;
use crate::config::Config;
use crate::instance::{DataFolder, IfAbsent, Part};
use crate::jobs::names::Names;
use crate::root;
use crate::transfer::journal;

/// What is counted.
const COUNTS: [&str; 6] = ["blobs", "applied", "displaced", "documents", "recovered buckets", "lost objects"];

/// What happens to the catalog that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It is moved aside, and a new one is made.
    Anew,
    /// It is kept, and what it lacks comes in.
    Add,
}

/// Rebuilds. Nothing is removed: a former catalog is moved aside.
pub(super) fn run(config: Config, mode: Mode, as_json: bool) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let if_absent = if mode == Mode::Add { IfAbsent::Refuse } else { IfAbsent::Rebuild };
        let mut folder = DataFolder::open(&config, if_absent)?;
        let mut report = Report::of(&COUNTS);
        let (app, former) = match mode {
            Mode::Add => (App::open(&config, folder).await?.0, None),
            Mode::Anew => {
                // A root key that does not fit is refused before anything is touched.
                let root = root::open(&config, &folder)?;
                Kms::check_root(&folder.path.join("kms"), &*root)?;
                let was_cut_off = folder.instance.rebuilding;
                folder.set_rebuilding(true)?;
                let aside = former::move_aside(&folder.path, was_cut_off)?;
                folder.write_id(Part::Catalog)?;
                (App::open_with(&config, folder, root).await?.0, aside)
            }
        };
        let mut app = app;
        let mut outcome = rebuild(&config, &app, mode, former, &mut report).await;
        if outcome.is_ok() && mode == Mode::Anew {
            outcome = app.stores.folder.set_rebuilding(false).map_err(Into::into);
        }
        let closed = app.close().await;
        outcome?;
        closed?;
        Ok(report.show(
            as_json,
            "`sealgate check` reads everything once",
            "what is named above was lost or left out; `sealgate check` reads everything once",
        ))
    })
}

async fn rebuild(
    config: &Config,
    app: &App,
    mode: Mode,
    aside: Option<PathBuf>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let blobs = AllBlobs::of(config, app)?;
    let former = match &aside {
        Some(path) => {
            report.note(format!(
                "the former catalog was moved to {}; nothing reads it any more",
                path.display()
            ));
            Former::open(path, config, app, report).await
        }
        None => None,
    };
    let salvaged = match former {
        Some(former) => {
            let salvaged = app.catalog.salvage(&former.catalog).await?;
            former.close().await?;
            Some(salvaged)
        }
        None => None,
    };
    release_quarantine(&blobs, mode, report).await?;
    for finding in blobs.findings() {
        report.fault("segment", "a finding of the opening", finding);
    }
    let mut apply = Apply::new(app, &blobs, mode, report);
    let restored = apply.all().await?;
    let damaged = apply.end();

    let former_buckets = salvaged.as_ref().map_or(&[][..], |salvaged| &salvaged.buckets);
    let displaced = app.catalog.displaced_set().await?;
    let instance = &app.stores.folder.instance;
    let recovered = app
        .catalog
        .recover_buckets(&instance.account_id, &instance.region, former_buckets, &displaced)
        .await?;
    for bucket in recovered {
        report.count("recovered buckets", 1);
        let is_former =
            former_buckets.iter().any(|former| former.id == bucket.id && former.name == bucket.name);
        let detail = match is_former {
            true => "its record was lost among the blobs; it was taken from the former catalog",
            false => {
                "the record of the bucket that its objects were in is lost, with its name and settings; what was in it is here"
            }
        };
        report.fault("bucket", format!("s3://{}", bucket.name), detail);
        write_journal(app, bucket).await?;
    }
    let names = Names::load(&app.catalog).await?;
    damaged.name(&names, report);
    name_lost(&restored, &names, report);
    if mode == Mode::Anew {
        tell_documents(aside.is_some(), salvaged.as_ref(), report);
    }
    Ok(())
}

/// What was put away is looked at again. But for writes that were cut off: clients have seen since that they did not happen, and the
/// catalog that knew so is the one that is made anew. A catalog that is kept may lack them because it is an older one.
async fn release_quarantine(blobs: &AllBlobs, mode: Mode, report: &mut Report) -> anyhow::Result<()> {
    let whys: &[Why] = if mode == Mode::Add { &[Why::Unknown, Why::CutOff] } else { &[Why::Unknown] };
    let released = blobs.release_quarantine(whys).await?;
    if released > 0 {
        report.note(format!("{released} blobs were put back from quarantine"));
    }
    let cut_off = blobs.quarantined().await?.into_iter().filter(|away| away.why == Why::CutOff).count();
    if cut_off > 0 {
        report.note(format!(
            "{cut_off} blobs of writes that were cut off stay in quarantine; `sealgate rebuild --add` brings them in"
        ));
    }
    Ok(())
}

/// Lets a later rebuild know of a bucket.
async fn write_journal(app: &App, bucket: Bucket) -> anyhow::Result<()> {
    let blob = journal::write(&app.blobs, &app.metadata_key, &Trailer::Bucket(bucket.clone())).await?;
    let with_journal = Bucket { journal: Some(blob), ..bucket.clone() };
    Ok(app.catalog.replace_bucket(&bucket, &with_journal).await?)
}

fn name_lost(restored: &Restored, names: &Names, report: &mut Report) {
    report.count("lost objects", restored.lost_objects + restored.incomplete_objects);
    for Lost { bucket, object, version, missing_parts } in &restored.named {
        let name = format!("{} version {version}", names.object(*bucket, object));
        match missing_parts {
            0 => report.fault("object", name, "its content is not among the blobs; it is left out"),
            parts => report.fault("object", name, format!("{parts} of its parts are not among the blobs")),
        }
    }
    let unnamed = (restored.lost_objects + restored.incomplete_objects) as usize - restored.named.len();
    for _ in 0..unnamed {
        report.fault("object", "one more", "its content is not among the blobs");
    }
}

/// No blob tells of identities.
fn tell_documents(had_former: bool, salvaged: Option<&Salvaged>, report: &mut Report) {
    const LOOK: &str =
        "look at `sealgate user list`, `group list`, `role list`, `policy list` and `account list`";
    match salvaged {
        Some(salvaged) => {
            report.count("documents", salvaged.documents);
            report.note(format!(
                "{} documents (accounts, users, groups, roles, policies, access keys) were taken from the former catalog; what was changed \
                 of them after its end is lost: {LOOK}",
                salvaged.documents
            ));
            for name in &salvaged.damaged {
                report.fault("document", name, "it can't be read in the former catalog");
            }
            if !salvaged.is_whole {
                report.fault(
                    "document",
                    "the former catalog",
                    format!("it can't be read to its end: {LOOK}"),
                );
            }
        }
        None => {
            let why =
                if had_former { "the former catalog does not open" } else { "there was no former catalog" };
            report.note(format!(
                "{why}: identities (accounts, users, groups, roles, policies, access keys) are in no blob and must come from a backup; {LOOK}"
            ));
        }
    }
}
