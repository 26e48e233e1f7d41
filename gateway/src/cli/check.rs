//! `sealgate check`: reads a stopped data folder whole.

use std::process::ExitCode;

use anyhow::Context;
use futures_util::StreamExt;
use kms_core::kms::Caller;
use storage::catalog::{Bucket, ListRequest, ListRow, ObjectRecord, OwnerState, VersionKind, VersionRef};
use storage::name::{ObjectKey, VersionId};

use super::progress::Progress;
use crate::app::App;
use crate::config::Config;
use crate::instance::{DataFolder, IfAbsent};
use crate::seal::PlainRange;
use crate::sse::{EnvelopePlace, Sse, SseInfo};
use crate::transfer::{egress, journal};

/// Rows of one page of a listing, and blobs of one look at the store.
const PAGE_LEN: usize = 500;

#[derive(Default)]
struct Report {
    buckets: u64,
    objects: u64,
    content_len: u64,
    /// Under SSE-C: only the caller has the key, so their seals can't be opened here.
    unopened: u64,
    blobs: u64,
    orphans: u64,
    faults: Vec<String>,
}

/// Checks records against blobs, blobs against records, and every seal that the keys here open.
pub(super) fn run(config: Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let folder = DataFolder::open(&config, IfAbsent::Refuse)?;
        let (app, _) = App::open(&config, folder).await?;
        let mut report = Report::default();
        objects(&app, &mut report).await?;
        blobs(&app, &mut report).await?;
        app.close().await?;
        println!("buckets  {}", report.buckets);
        println!(
            "objects  {}, {} bytes read and opened, {} under SSE-C not opened",
            report.objects, report.content_len, report.unopened
        );
        println!("blobs    {}, {} of no record (freed by the running gateway)", report.blobs, report.orphans);
        for fault in &report.faults {
            println!("FAULT    {fault}");
        }
        if report.faults.is_empty() {
            println!("no faults");
            return Ok(ExitCode::SUCCESS);
        }
        println!("{} faults; what is named above can't be read, everything else can", report.faults.len());
        Ok(ExitCode::FAILURE)
    })
}

async fn objects(app: &App, report: &mut Report) -> anyhow::Result<()> {
    let mut progress = Progress::new("objects");
    let page = |after| ListRequest { prefix: String::new(), delimiter: None, after, limit: PAGE_LEN };
    let mut after_bucket = None;
    loop {
        let buckets = app.catalog.list_buckets(None, &page(after_bucket)).await?;
        for row in &buckets.rows {
            let ListRow::Item(bucket) = row else { continue };
            report.buckets += 1;
            let (mut after, mut after_version) = (None, None);
            loop {
                let listed = app.catalog.list_versions(bucket, &page(after.take()), after_version).await?;
                for row in &listed.rows {
                    let ListRow::Item(row) = row else { continue };
                    let name = &row.summary.object;
                    let which = if row.is_null { VersionRef::Null } else { VersionRef::Id(row.version) };
                    (after, after_version) = (Some(name.to_string()), Some(which));
                    if row.delete_marker {
                        continue;
                    }
                    report.objects += 1;
                    progress.step();
                    if let Err(error) = object(app, bucket, name, which, report).await {
                        report.faults.push(format!("s3://{}/{name}: {error:#}", bucket.name));
                    }
                }
                if !listed.truncated {
                    break;
                }
            }
        }
        after_bucket = last_name(&buckets.rows, |bucket| bucket.name.as_str().to_owned());
        if !buckets.truncated {
            return Ok(());
        }
    }
}

fn last_name<T>(rows: &[ListRow<T>], name: impl Fn(&T) -> String) -> Option<String> {
    match rows.last()? {
        ListRow::Item(item) => Some(name(item)),
        ListRow::CommonPrefix(prefix) => Some(prefix.clone()),
    }
}

/// Reads one object to its end.
async fn object(
    app: &App,
    bucket: &Bucket,
    object: &ObjectKey,
    which: VersionRef,
    report: &mut Report,
) -> anyhow::Result<()> {
    let Some(version) = app.catalog.version(bucket, object, which).await? else { return Ok(()) };
    let VersionKind::Object(record) = version.kind else { return Ok(()) };
    if Sse::info(&record.envelope)? == SseInfo::Customer {
        report.unopened += 1;
        return Ok(());
    }
    report.content_len += read(app, bucket, object, record.content.version, &record).await?;
    Ok(())
}

async fn read(
    app: &App,
    bucket: &Bucket,
    object: &ObjectKey,
    version: VersionId,
    record: &ObjectRecord,
) -> anyhow::Result<u64> {
    let place = EnvelopePlace { bucket: bucket.id, version, bucket_name: &bucket.name, object };
    let root = Caller::root_user(&bucket.owner);
    let keys = app.sse.open(&record.envelope, place, None, &root).context("its envelope")?;
    let whole = PlainRange { offset: 0, len: record.plain_len };
    let mut stream =
        egress::read(&app.catalog, &app.blobs, &record.content, keys, record.plain_len, whole).await?;
    let mut len = 0;
    while let Some(piece) = stream.next().await {
        len += piece.map_err(|error| anyhow::anyhow!("{error}"))?.len() as u64;
    }
    anyhow::ensure!(len == record.plain_len, "{len} bytes instead of {}", record.plain_len);
    Ok(len)
}

async fn blobs(app: &App, report: &mut Report) -> anyhow::Result<()> {
    let mut progress = Progress::new("blobs");
    let mut after = None;
    loop {
        let page = app.blobs.list(after, PAGE_LEN).await?;
        for info in &page {
            report.blobs += 1;
            progress.step();
            if app.catalog.owner_state(&info.owner, info.blob.id).await? != OwnerState::Alive {
                report.orphans += 1;
                continue;
            }
            let trailer = app.blobs.read_trailer(&info.blob).await;
            let fault = match trailer {
                Ok(sealed) => {
                    journal::open(&app.metadata_key, &info.owner, &sealed).err().map(|e| e.to_string())
                }
                Err(error) => Some(error.to_string()),
            };
            if let Some(fault) = fault {
                report.faults.push(format!("the trailer of blob {}: {fault}", info.blob.id));
            }
        }
        match page.last() {
            Some(last) => after = Some(last.blob.id),
            None => return Ok(()),
        }
    }
}
