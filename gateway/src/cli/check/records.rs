//! From records to blobs: everything that a record refers to is read.

use std::collections::HashSet;

use anyhow::Context;
use futures_util::StreamExt;
use kms_core::kms::Caller;
use storage::blob::{BlobError, BlobRef};
use storage::catalog::{
    Bucket, CatalogError, Content, Inspected, Layout, ObjectRecord, ObjectVersion, Upload, VersionKind,
    VersionRef,
};
use storage::name::{BlobId, BucketId, ObjectKey, UploadId};

use super::super::all_blobs::AllBlobs;
use super::super::progress::Progress;
use super::super::report::Report;
use crate::app::App;
use crate::iam;
use crate::jobs::names::Names;
use crate::seal::PlainRange;
use crate::sse::{EnvelopePlace, Sse, SseInfo};
use crate::transfer::egress;

/// Parts of one look at an upload.
const PARTS_LEN: usize = 256;

/// The walk over all records.
pub(super) struct Records<'a> {
    app: &'a App,
    blobs: &'a AllBlobs,
    report: &'a mut Report,
    names: Names,
    /// Damaged blobs that were named with what refers to them.
    named: HashSet<BlobId>,
    /// The object whose versions were seen last.
    last: Option<(BucketId, ObjectKey)>,
}

impl<'a> Records<'a> {
    pub(super) fn new(app: &'a App, blobs: &'a AllBlobs, report: &'a mut Report) -> Self {
        Self { app, blobs, report, names: Names::default(), named: HashSet::new(), last: None }
    }

    /// What buckets are called, and which damaged blobs have been named.
    pub(super) fn end(self) -> (Names, HashSet<BlobId>) {
        (self.names, self.named)
    }

    pub(super) async fn check(&mut self) -> anyhow::Result<()> {
        let mut progress = Progress::new("records");
        let mut after = None;
        loop {
            let (rows, next) = self.app.catalog.inspect(after).await?;
            for row in rows {
                progress.step();
                self.row(row).await?;
            }
            match next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn row(&mut self, row: Inspected) -> anyhow::Result<()> {
        match row {
            Inspected::Bucket(bucket) => {
                self.report.count("buckets", 1);
                self.journal(&format!("s3://{}", bucket.name), bucket.journal).await?;
                self.names.add(bucket);
            }
            Inspected::Version { bucket, object, version, is_current } => {
                self.version(bucket, &object, &version, is_current).await?;
            }
            Inspected::Upload { bucket, upload } => self.upload(bucket, &upload).await?,
            Inspected::Part { .. } => self.report.count("parts", 1),
            Inspected::Document { shelf, name, value } => {
                self.report.count("documents", 1);
                if let Err(error) = iam::check_document(&shelf, &name, &value) {
                    self.report.fault("document", format!("{shelf}/{name}"), error);
                }
            }
            Inspected::Own => {}
            Inspected::Damaged { name, bucket, why } => {
                let name = self.names.in_words(&name, bucket);
                let kind = if name.starts_with("document") { "document" } else { "record" };
                self.report.fault(kind, name, why);
            }
        }
        Ok(())
    }

    async fn version(
        &mut self,
        bucket_id: BucketId,
        object: &ObjectKey,
        version: &ObjectVersion,
        is_current: bool,
    ) -> anyhow::Result<()> {
        self.report.count(
            match (&version.kind, is_current) {
                (VersionKind::DeleteMarker, _) => "markers",
                (VersionKind::Object(_), true) => "objects",
                (VersionKind::Object(_), false) => "versions",
            },
            1,
        );
        let name = self.names.version(bucket_id, object, version, is_current);
        self.journal(&name, version.journal).await?;
        let Some(bucket) = self.names.bucket(bucket_id).cloned() else {
            self.report.fault("record", name, "its bucket has no record: `sealgate rebuild` brings it back");
            return Ok(());
        };
        let id = (bucket_id, object.clone());
        if !is_current && self.last.as_ref() != Some(&id) {
            self.last = Some(id);
            if let Ok(None) = self.app.catalog.version(&bucket, object, VersionRef::Current).await {
                let name = self.names.object(bucket_id, object);
                self.report.fault("record", name, "it has versions and no current one");
            }
        }
        let VersionKind::Object(record) = &version.kind else { return Ok(()) };
        if let Err(error) = self.content(&bucket, object, record).await {
            self.report.fault("object", name, format!("{error:#}"));
            for (blob, _) in self.damaged(&record.content).await? {
                self.named.insert(blob);
            }
        }
        Ok(())
    }

    /// Reads one object to its end: through its seal where the keys here open it, else by its checksums.
    async fn content(
        &mut self,
        bucket: &Bucket,
        object: &ObjectKey,
        record: &ObjectRecord,
    ) -> anyhow::Result<()> {
        if Sse::info(&record.envelope)? != SseInfo::Customer {
            let len = self.read(bucket, object, record).await?;
            self.report.count("bytes", len);
            return Ok(());
        }
        self.report.count("not opened", 1);
        match self.damaged(&record.content).await?.into_iter().next() {
            Some((_, why)) => anyhow::bail!("{why}"),
            None => self.report.count("bytes", record.plain_len),
        }
        Ok(())
    }

    async fn read(&self, bucket: &Bucket, object: &ObjectKey, record: &ObjectRecord) -> anyhow::Result<u64> {
        let app = self.app;
        let version = record.content.version;
        let place = EnvelopePlace { bucket: bucket.id, version, bucket_name: &bucket.name, object };
        let root = Caller::root_user(&bucket.owner);
        let keys = app.sse.open(&record.envelope, place, None, &root).await.context("its envelope")?;
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

    /// The blobs of a content that are missing or not what was written, by their checksums.
    async fn damaged(&self, content: &Content) -> anyhow::Result<Vec<(BlobId, String)>> {
        let mut damaged = Vec::new();
        match &content.layout {
            Layout::Single(blob) => damaged.extend(self.verify(*blob).await?.map(|why| (blob.id, why))),
            // The seal of its record is its checksum.
            Layout::Inline(_) => {}
            Layout::Parts(directory) => {
                let (mut after, mut count) = (0, 0u16);
                loop {
                    let upload = UploadId(content.version);
                    let (parts, more) = self.app.catalog.list_parts(upload, after, PARTS_LEN).await?;
                    for part in &parts {
                        after = part.number.get();
                        if directory.names(after) {
                            count += 1;
                            let why = self.verify(part.blob).await?;
                            damaged.extend(why.map(|why| (part.blob.id, format!("part {after}: {why}"))));
                        }
                    }
                    if !more {
                        break;
                    }
                }
                if count != directory.part_count {
                    let why = format!("{count} of its {} parts have a record", directory.part_count);
                    damaged.push((BlobId::from_bytes([0; 16]), why));
                }
            }
        }
        Ok(damaged)
    }

    async fn upload(&mut self, bucket: BucketId, upload: &Upload) -> anyhow::Result<()> {
        self.report.count("uploads", 1);
        let name = format!("upload {} of {}", upload.id, self.names.object(bucket, &upload.object));
        self.journal(&name, upload.journal).await?;
        let mut after = 0;
        loop {
            let (parts, more) = match self.app.catalog.list_parts(upload.id, after, PARTS_LEN).await {
                // Named as a record.
                Err(CatalogError::Corrupt(_)) => return Ok(()),
                other => other?,
            };
            for part in &parts {
                after = part.number.get();
                if let Some(why) = self.verify(part.blob).await? {
                    self.report.fault("part", format!("part {after} of {name}"), why);
                    self.named.insert(part.blob.id);
                }
            }
            if !more {
                return Ok(());
            }
        }
    }

    async fn journal(&mut self, of: &str, journal: Option<BlobRef>) -> anyhow::Result<()> {
        let Some(blob) = journal else { return Ok(()) };
        if let Some(why) = self.verify(blob).await? {
            self.report.fault("journal", of, format!("its journal: {why}; a rebuild would not know of it"));
            self.named.insert(blob.id);
        }
        Ok(())
    }

    /// What is wrong with a blob, by its checksums.
    async fn verify(&self, blob: BlobRef) -> anyhow::Result<Option<String>> {
        match self.blobs.verify(&blob).await {
            Ok(()) => Ok(None),
            Err(error @ (BlobError::NotFound(_) | BlobError::Corrupt(..))) => Ok(Some(error.to_string())),
            Err(BlobError::Unavailable(error)) => {
                Ok(Some(format!("blob {} can't be read: {error}", blob.id)))
            }
        }
    }
}
