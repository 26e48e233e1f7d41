//! What becomes unreadable without a KMS key.

use storage::catalog::{Bucket, CatalogError, ListRow, VersionKind};

use crate::app::App;
use crate::bucket::walk::{Everything, Step, page_after};
use crate::sse::{BucketEncryption, SseError};

/// What needs a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dependents {
    /// Versions of objects.
    pub objects: u64,
    /// Their plain bytes.
    pub bytes: u64,
    /// Uploads under way.
    pub uploads: u64,
    /// Buckets that have such objects.
    pub buckets: u64,
    /// Buckets whose default encryption names it.
    pub default_of: Vec<String>,
    /// How far it was looked.
    pub versions_looked_at: u64,
}

/// Why it can't be counted.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// Records can't be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// An envelope can't be read.
    #[error(transparent)]
    Sse(#[from] SseError),
}

/// Counts what needs a key, step by step.
pub struct CountDependents<'a> {
    app: &'a App,
    arn: String,
    walk: Everything,
    before: u64,
    /// What was found until now.
    pub found: Dependents,
}

impl<'a> CountDependents<'a> {
    /// Of the key of this ARN.
    pub fn of(app: &'a App, arn: String) -> Self {
        Self { app, arn, walk: Everything::default(), before: 0, found: Dependents::default() }
    }

    /// The key's ARN.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// Looks at one more page; `false`: that was all.
    ///
    /// # Errors
    /// When records can't be read.
    pub async fn step(&mut self) -> Result<bool, CountError> {
        let app = self.app;
        match self.walk.next(&app.catalog).await? {
            None => Ok(false),
            Some(Step::Bucket(bucket)) => {
                self.before = self.found.objects;
                if is_default_of(app, bucket, &self.arn) {
                    self.found.default_of.push(bucket.name.to_string());
                }
                self.found.uploads += uploads(app, bucket, &self.arn).await?;
                Ok(true)
            }
            Some(Step::Versions(bucket, versions)) => {
                let had = self.found.objects > self.before;
                for (object, which) in versions {
                    self.found.versions_looked_at += 1;
                    let version = app.catalog.version(bucket, &object, which).await?;
                    let Some(VersionKind::Object(record)) = version.map(|v| v.kind) else { continue };
                    if app.sse.dependence(&record.envelope)?.is_some_and(|d| d.key_arn == self.arn) {
                        self.found.objects += 1;
                        self.found.bytes += record.plain_len;
                    }
                }
                self.found.buckets += u64::from(!had && self.found.objects > self.before);
                Ok(true)
            }
        }
    }
}

async fn uploads(app: &App, bucket: &Bucket, arn: &str) -> Result<u64, CountError> {
    let mut count = 0;
    let (mut after, mut after_upload) = (None, None);
    loop {
        let page = app.catalog.list_uploads(bucket, &page_after(after.take()), after_upload).await?;
        for row in &page.rows {
            let ListRow::Item(upload) = row else { continue };
            let dependence = app.sse.dependence(&upload.envelope)?;
            count += u64::from(dependence.is_some_and(|d| d.key_arn == arn));
            (after, after_upload) = (Some(upload.object.as_str().to_owned()), Some(upload.id));
        }
        if !page.truncated {
            return Ok(count);
        }
    }
}

fn is_default_of(app: &App, bucket: &Bucket, arn: &str) -> bool {
    let config = bucket.configs.get(BucketEncryption::CONFIG);
    let named = config.and_then(|c| BucketEncryption::decode(c)).and_then(|c| c.kms_key_id);
    let entry = named.and_then(|named| app.kms.find(&named).ok());
    entry.is_some_and(|entry| app.kms.arn(&entry.key) == arn)
}
