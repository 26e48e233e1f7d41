//! An object's key, wrapped anew: what UpdateObjectEncryption does for one object and the rewrap job for many. No data moves.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kms_core::kms::Caller;
use storage::catalog::{Bucket, Catalog, VersionRef};
use storage::name::ObjectKey;

use super::copy::replace;
use super::lookup::{self, Found};
use crate::api::s3::error::{Code, S3Error};
use crate::app::App;
use crate::sse::{BucketEncryption, SseInfo, SsePlan};
use crate::transfer::journal::Records;

/// How often a job tries again when somebody else writes the object meanwhile.
const ATTEMPTS: usize = 5;

/// Which objects a job is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Under {
    /// Those under the KMS key of this ARN.
    Key(String),
    /// Those under SSE-S3.
    SseS3,
}

/// What the job came to for an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewrapped {
    /// It is under another key, or gone.
    NotOfThisKey,
    /// It was there already.
    Already,
    /// It was moved, or would be.
    Moved,
}

/// Wraps an object's key anew if it is under `from`: under that key's newest backing key, or under `to`. `catalog`: the one of the job's
/// lease.
pub async fn rewrap_object(
    (app, catalog): (&App, &Catalog),
    bucket: &Bucket,
    (object, which): (&ObjectKey, VersionRef),
    (from, to): (&Under, Option<&str>),
    caller: &Caller,
    dry_run: bool,
) -> Result<Rewrapped, S3Error> {
    let mut attempts = 0..ATTEMPTS;
    loop {
        attempts.next();
        let found = match lookup::find(app, bucket, object, which).await {
            Err(error) if [Code::NoSuchKey, Code::NoSuchVersion].contains(&error.code) => {
                return Ok(Rewrapped::NotOfThisKey);
            }
            found => found?,
        };
        let dependence = app.sse.dependence(&found.record.envelope)?;
        let (stays_at, bucket_key) = match (from, dependence) {
            (Under::Key(from), Some(dependence)) if dependence.key_arn == *from => {
                if to.is_none_or(|to| to == from) && dependence.is_newest {
                    return Ok(Rewrapped::Already);
                }
                (Some(from.as_str()), matches!(found.sse, SseInfo::Kms { bucket_key: true, .. }))
            }
            (Under::SseS3, None) if found.sse == SseInfo::S3 => {
                (None, BucketEncryption::of(bucket).is_some_and(|default| default.bucket_key_enabled))
            }
            _ => return Ok(Rewrapped::NotOfThisKey),
        };
        if dry_run {
            return Ok(Rewrapped::Moved);
        }
        let dsse = matches!(found.sse, SseInfo::Kms { dsse: true, .. });
        let plan = SsePlan::Kms {
            key_id: to.or(stays_at).map(str::to_owned),
            context: given_context(&found.sse)?.into_iter().collect(),
            bucket_key,
            dsse,
        };
        match put((app, app.records_in(catalog)), bucket, object, &found, &plan, caller).await {
            Err(error) if error.code == Code::OperationAborted && !attempts.is_empty() => {}
            done => return done.map(|()| Rewrapped::Moved),
        }
    }
}

/// Puts an object's ContentKeys under this plan. ETag, metadata and Last-Modified stay.
pub(super) async fn put(
    (app, records): (&App, Records<'_>),
    bucket: &Bucket,
    object: &ObjectKey,
    found: &Found,
    plan: &SsePlan,
    caller: &Caller,
) -> Result<(), S3Error> {
    let place = found.place(bucket, object);
    let keys = app.sse.open(&found.record.envelope, place, None, caller).await?;
    let mut record = found.record.clone();
    record.envelope = app.sse.rewrap(&keys, plan, place, caller).await?;
    replace(records, bucket, object, found, record, found.last_modified).await.map(drop)
}

/// The caller's encryption context as it was given when the object was written; it stays.
pub(super) fn given_context(sse: &SseInfo) -> Result<BTreeMap<String, String>, S3Error> {
    let SseInfo::Kms { context_base64: Some(base64), .. } = sse else { return Ok(BTreeMap::new()) };
    let decoded = STANDARD.decode(base64).ok().and_then(|json| serde_json::from_slice(&json).ok());
    decoded.ok_or_else(|| S3Error::new(Code::InternalError).source("a stored encryption context is corrupt"))
}
