//! What a blob says of the record that it belongs to, so that records can be made again from blobs alone.
//!
//! The content blob of an object, and of a part, carries its record. A change that no content blob records (a bucket,
//! an upload, a completed upload, metadata or envelope changed in place) is carried by a journal: a blob of no content,
//! to which the record refers as its `journal`, so that the next change displaces it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::record::{
    BucketRecord, Format1Trailer, Format2Trailer, PartRecord, Record, UploadRecord, VersionRecord, stamp_us,
};
use super::{
    Bucket, CatalogError, Content, Layout, OWN_BLOB, ObjectVersion, Part, Upload, VersionKind, layout,
};
use crate::blob::BlobOwner;
use crate::name::{BucketId, BucketName, ObjectKey, UploadId};

/// A record to be, as its blob tells it. The `journal` of what it holds is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trailer {
    /// A bucket: in a journal.
    Bucket(Bucket),
    /// A version. Where its layout is `Single(`[`OWN_BLOB`]`)` the blob is its content; else the blob is a journal.
    Object {
        /// The bucket.
        bucket: BucketId,
        /// The object.
        object: ObjectKey,
        /// The record.
        version: ObjectVersion,
    },
    /// An upload: in a journal. Its parts' trailers carry it as well, so it matters only while there are none.
    Upload {
        /// The bucket.
        bucket: BucketId,
        /// The record.
        upload: Upload,
    },
    /// A part and its upload: in the part's content blob. `part.blob` is not used; give [`OWN_BLOB`].
    Part {
        /// The bucket.
        bucket: BucketId,
        /// The upload.
        upload: Upload,
        /// The record.
        part: Part,
    },
}

/// A trailer and the time that it was encoded at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped {
    /// Microseconds since the Unix epoch: of two trailers that speak of one record the later holds.
    pub stamp_us: u64,
    /// What it says.
    pub trailer: Trailer,
}

impl Trailer {
    /// Who owns the blob that this is the trailer of.
    pub fn owner(&self) -> BlobOwner {
        match self {
            Self::Bucket(bucket) => BlobOwner::Journal { subject: layout::bucket(&bucket.name) },
            Self::Object { bucket, object, version } => match own_content(version) {
                Some(content) => BlobOwner::Content {
                    bucket: *bucket,
                    object: object.clone(),
                    version: content.version,
                    part: None,
                },
                None => BlobOwner::Journal { subject: layout::version(*bucket, object, version.version) },
            },
            Self::Upload { bucket, upload } => {
                BlobOwner::Journal { subject: layout::upload(*bucket, &upload.object, upload.id) }
            }
            Self::Part { bucket, upload, part } => BlobOwner::Content {
                bucket: *bucket,
                object: upload.object.clone(),
                version: upload.id.0,
                part: Some(part.number),
            },
        }
    }

    /// The bytes to seal, stamped with the time.
    pub fn encode(&self) -> Bytes {
        let stamp_us = stamp_us();
        match self {
            Self::Bucket(bucket) => {
                TrailerRecord::Bucket(bucket.name.clone(), BucketRecord::of(bucket, stamp_us))
            }
            Self::Object { bucket, object, version } => {
                TrailerRecord::Object(*bucket, object.clone(), Box::new(VersionRecord::of(version, stamp_us)))
            }
            Self::Upload { bucket, upload } => TrailerRecord::Upload(
                *bucket,
                upload.object.clone(),
                upload.id,
                UploadRecord::of(upload, stamp_us),
            ),
            Self::Part { bucket, upload, part } => TrailerRecord::Part(
                *bucket,
                upload.object.clone(),
                upload.id,
                UploadRecord::of(upload, stamp_us),
                part.number.get(),
                PartRecord::of(part, stamp_us),
            ),
        }
        .encode()
    }

    /// What [`Trailer::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Stamped, CatalogError> {
        let (stamp_us, trailer) = match TrailerRecord::decode(bytes)? {
            TrailerRecord::Bucket(name, record) => (record.stamp_us, Self::Bucket(record.into_bucket(name))),
            TrailerRecord::Object(bucket, object, record) => {
                (record.stamp_us, Self::Object { bucket, object, version: record.into_version() })
            }
            TrailerRecord::Upload(bucket, object, id, record) => {
                (record.stamp_us, Self::Upload { bucket, upload: record.into_upload(object, id) })
            }
            TrailerRecord::Part(bucket, object, id, upload, number, part) => {
                let (stamp_us, part) = (part.stamp_us, part.into_part(number)?);
                (stamp_us, Self::Part { bucket, upload: upload.into_upload(object, id), part })
            }
        };
        Ok(Stamped { stamp_us, trailer })
    }
}

/// The content that the trailer's own blob is, if it is.
pub(super) fn own_content(version: &ObjectVersion) -> Option<&Content> {
    match &version.kind {
        VersionKind::Object(object) if object.content.layout == Layout::Single(OWN_BLOB) => {
            Some(&object.content)
        }
        _ => None,
    }
}

#[derive(Serialize, Deserialize)]
pub(super) enum TrailerRecord {
    Bucket(BucketName, BucketRecord),
    Object(BucketId, ObjectKey, Box<VersionRecord>),
    Upload(BucketId, ObjectKey, UploadId, UploadRecord),
    Part(BucketId, ObjectKey, UploadId, UploadRecord, u16, PartRecord),
}

impl Record for TrailerRecord {
    const NAME: &'static str = "a trailer";
    type Format1 = Format1Trailer;
    type Format2 = Format2Trailer;
}
