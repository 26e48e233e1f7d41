//! What PutObject and CopyObject share: from a body and what was said of it to a committed version.

use http::HeaderMap;
use storage::catalog::{
    Bucket, CatalogError, Content, Layout, OWN_BLOB, ObjectRecord, ObjectVersion, Precondition,
    StoredChecksum, SystemHeaders, Trailer, VersionKind, VersionRef, Versioning,
};
use storage::kv::KvError;
use storage::name::{ObjectKey, Timestamp, VersionId};

use super::properties::Properties;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::wire::{checksum, conditional};
use crate::app::App;
use crate::seal::{ContentKeys, SealContext};
use crate::sse::SseInfo;
use crate::transfer::digest::ChecksumAlgorithm;
use crate::transfer::ingest::{self, Announced, Expected, Intake, Source};
use crate::transfer::journal;

/// The most plain bytes of one PutObject, part or copy: 5 GiB.
pub(in crate::api::s3::ops) const MAX_WRITE_LEN: u64 = 5 << 30;

/// A version to be written.
pub(super) struct NewVersion<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) object: &'a ObjectKey,
    pub(super) version: VersionId,
    pub(super) headers: SystemHeaders,
    pub(super) user_metadata: Vec<(String, String)>,
    pub(super) storage_class: String,
    pub(super) properties: Properties,
    pub(super) envelope: bytes::Bytes,
    pub(super) keys: ContentKeys,
    pub(super) sse: SseInfo,
    pub(super) precondition: Precondition,
    pub(super) announced: Announced,
    pub(super) content_md5: Option<[u8; 16]>,
    pub(super) checksum: (ChecksumAlgorithm, Expected),
}

/// A version as it was written.
pub(super) struct Written {
    pub(super) etag: String,
    pub(super) checksum: Option<StoredChecksum>,
    pub(super) version: ObjectVersion,
}

/// How many bytes go when an object is written: of the one that it replaces.
async fn replaced_len(app: &App, bucket: &Bucket, object: &ObjectKey) -> Result<u64, CatalogError> {
    if bucket.versioning == Versioning::Enabled {
        return Ok(0);
    }
    let replaced = app.catalog.version(bucket, object, VersionRef::Null).await?;
    Ok(replaced.and_then(|version| version.object().map(|record| record.plain_len)).unwrap_or_default())
}

/// Receives, seals, stores and commits.
pub(super) async fn write(app: &App, source: Source, new: NewVersion<'_>) -> Result<Written, S3Error> {
    let NewVersion { bucket, object, version, .. } = new;
    if let Announced::Exactly(len) = new.announced {
        app.catalog.expect_room(bucket, len, replaced_len(app, bucket, object)).await?;
    }
    // While it is pinned, the sweep of orphans lets the blob alone though no record refers to it yet.
    let _pin = app.catalog.pin(version);
    let mut record = ObjectVersion {
        version,
        is_null: bucket.versioning != Versioning::Enabled,
        last_modified: Timestamp::now(),
        kind: VersionKind::DeleteMarker,
        renamed: false,
        journal: None,
    };
    let owner =
        storage::blob::BlobOwner::Content { bucket: bucket.id, object: object.clone(), version, part: None };
    let intake = Intake {
        announced: new.announced,
        keys: &new.keys,
        context: SealContext { version, part: 0 },
        owner,
        md5: new.sse.etag_is_md5(),
        content_md5: new.content_md5,
        second: None,
        keep_len: app.inline_len,
        checksum: Some(new.checksum),
    };
    let received = ingest::receive(&app.blobs, source, intake).await?;

    let stored_checksum = received.checksum.as_ref().map(|(algorithm, value)| StoredChecksum {
        algorithm: algorithm.name().to_owned(),
        composite: false,
        value: checksum::format_value(value),
    });
    let etag = match received.md5.filter(|_| new.sse.etag_is_md5()) {
        Some(md5) => hex::encode(md5),
        None => opaque_etag(),
    };
    if bucket.versioning != Versioning::Unversioned {
        record.version = app.catalog.next_version_id(bucket, object).await?;
    }
    record.last_modified = Timestamp::now();
    let mut object_record = Box::new(ObjectRecord {
        plain_len: received.plain_len,
        etag: etag.clone(),
        headers: new.headers,
        user_metadata: new.user_metadata,
        checksum: stored_checksum.clone(),
        storage_class: new.storage_class,
        tags: new.properties.tags,
        lock: new.properties.lock,
        attributes: new.properties.attributes,
        envelope: new.envelope,
        content: Content { version, layout: Layout::Single(OWN_BLOB), salt: Some(received.salt) },
    });
    let blob = match received.kept() {
        Some(message) => {
            object_record.content.layout = Layout::Inline(message);
            None
        }
        None => {
            let version =
                ObjectVersion { kind: VersionKind::Object(object_record.clone()), ..record.clone() };
            let trailer = Trailer::Object { bucket: bucket.id, object: object.clone(), version };
            let blob = received.finish(journal::seal(&app.metadata_key, &trailer)).await?;
            object_record.content.layout = Layout::Single(blob);
            Some(blob)
        }
    };
    record.kind = VersionKind::Object(object_record);
    if let Err(error) = app.catalog.commit_version(bucket, object, &record, &new.precondition).await {
        // Unless it may have been committed after all, the blob is nobody's.
        if let Some(blob) = blob
            && !matches!(error, CatalogError::Kv(KvError::Unavailable(_)))
        {
            app.blobs.delete(&blob.id).await?;
        }
        return Err(write_error(error, &new.precondition, object));
    }
    Ok(Written { etag, checksum: stored_checksum, version: record })
}

/// Refuses a conditional write whose condition does not hold now, before its body is read; the commit decides.
pub(in crate::api::s3::ops) async fn check_precondition(
    app: &App,
    bucket: &Bucket,
    object: &ObjectKey,
    precondition: &Precondition,
) -> Result<(), S3Error> {
    if *precondition == Precondition::None {
        return Ok(());
    }
    let current = app.catalog.current(bucket, object).await?;
    let etag = current.as_ref().and_then(|version| match &version.kind {
        VersionKind::Object(record) => Some(record.etag.as_str()),
        VersionKind::DeleteMarker => None,
    });
    let holds = match (precondition, etag) {
        (Precondition::None, _) => Ok(()),
        (Precondition::Absent, None) => Ok(()),
        (Precondition::Absent, Some(_)) => Err(CatalogError::PreconditionFailed),
        (Precondition::Etag(_), None) => Err(CatalogError::NoSuchKey),
        (Precondition::Etag(wanted), Some(etag)) if wanted == "*" || wanted == etag => Ok(()),
        (Precondition::Etag(_), Some(_)) => Err(CatalogError::PreconditionFailed),
        // Of deletions alone: the commit tells.
        (Precondition::Like { .. }, _) => Ok(()),
    };
    holds.map_err(|error| write_error(error, precondition, object))
}

/// What a failed commit to this object is to the client.
pub(in crate::api::s3::ops) fn write_error(
    error: CatalogError,
    precondition: &Precondition,
    object: &ObjectKey,
) -> S3Error {
    let condition = match precondition {
        Precondition::Absent => conditional::IF_NONE_MATCH,
        Precondition::None | Precondition::Etag(_) | Precondition::Like { .. } => conditional::IF_MATCH,
    };
    match (error, precondition) {
        (CatalogError::PreconditionFailed, _) => conditional::precondition_failed(condition),
        (CatalogError::NoSuchKey, _) => S3Error::new(Code::NoSuchKey).field("Key", object.as_str()),
        (CatalogError::Contended, Precondition::None) => Code::OperationAborted.into(),
        (CatalogError::Contended, _) => S3Error::new(Code::ConditionalRequestConflict)
            .field("Condition", condition)
            .field("Key", object.as_str()),
        (error, _) => error.into(),
    }
}

/// An entity tag that says nothing of the content: that of objects under SSE-KMS and SSE-C.
pub(in crate::api::s3::ops) fn opaque_etag() -> String {
    hex::encode(storage::random::public_bytes::<16>())
}

/// The checksum that a write is to have: the one the request names, else CRC-64/NVME, as AWS adds one.
pub(in crate::api::s3::ops) fn wanted_checksum(
    headers: &HeaderMap,
) -> Result<(ChecksumAlgorithm, Expected), S3Error> {
    Ok(match checksum::request_checksum(headers)? {
        None => (ChecksumAlgorithm::Crc64Nvme, Expected::Nothing),
        Some(given) => (given.algorithm, given.value.map_or(Expected::Trailer, Expected::Value)),
    })
}
