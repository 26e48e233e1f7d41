//! The records of format 2, as far as format 3 has others: before contents said which sending they are.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{BucketRecord, ContentRecord, LayoutRecord, Octets, PartRecord, UploadRecord, VersionRecord};
use super::{Lock, StoredChecksum, SystemHeaders};
use crate::blob::BlobRef;
use crate::catalog::trailer::TrailerRecord;
use crate::name::{BucketId, BucketName, ObjectKey, Timestamp, UploadId, VersionId};

#[derive(Deserialize)]
pub(in crate::catalog) struct Version {
    delete_marker: bool,
    last_modified: Timestamp,
    plain_len: u64,
    etag: String,
    storage_class: String,
    checksum: Option<StoredChecksum>,
    version: VersionId,
    is_null: bool,
    headers: SystemHeaders,
    user_metadata: Vec<(String, String)>,
    tags: Vec<(String, String)>,
    null_elsewhere: Option<VersionId>,
    renamed: bool,
    lock: Lock,
    attributes: BTreeMap<String, Octets>,
    envelope: Octets,
    content: Option<Content>,
    journal: Option<BlobRef>,
    stamp_us: u64,
}

impl From<Version> for VersionRecord {
    fn from(former: Version) -> Self {
        Self {
            delete_marker: former.delete_marker,
            last_modified: former.last_modified,
            plain_len: former.plain_len,
            etag: former.etag,
            storage_class: former.storage_class,
            checksum: former.checksum,
            version: former.version,
            is_null: former.is_null,
            headers: former.headers,
            user_metadata: former.user_metadata,
            tags: former.tags,
            null_elsewhere: former.null_elsewhere,
            renamed: former.renamed,
            lock: former.lock,
            attributes: former.attributes,
            envelope: former.envelope,
            content: former.content.map(Into::into),
            journal: former.journal,
            stamp_us: former.stamp_us,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Content {
    version: VersionId,
    layout: LayoutRecord,
}

impl From<Content> for ContentRecord {
    fn from(Content { version, layout }: Content) -> Self {
        Self { version, layout, salt: None }
    }
}

#[derive(Deserialize)]
pub(in crate::catalog) struct Part {
    plain_len: u64,
    etag: String,
    md5: Option<Octets>,
    checksum: Option<StoredChecksum>,
    last_modified: Timestamp,
    blob: BlobRef,
    stamp_us: u64,
}

impl From<Part> for PartRecord {
    fn from(former: Part) -> Self {
        Self {
            plain_len: former.plain_len,
            etag: former.etag,
            md5: former.md5,
            checksum: former.checksum,
            last_modified: former.last_modified,
            blob: former.blob,
            salt: None,
            stamp_us: former.stamp_us,
        }
    }
}

#[derive(Deserialize)]
pub(in crate::catalog) enum Trailer {
    Bucket(BucketName, BucketRecord),
    Object(BucketId, ObjectKey, Box<Version>),
    Upload(BucketId, ObjectKey, UploadId, UploadRecord),
    Part(BucketId, ObjectKey, UploadId, UploadRecord, u16, Part),
}

impl From<Trailer> for TrailerRecord {
    fn from(former: Trailer) -> Self {
        match former {
            Trailer::Bucket(name, record) => Self::Bucket(name, record),
            Trailer::Object(bucket, object, record) => {
                Self::Object(bucket, object, Box::new((*record).into()))
            }
            Trailer::Upload(bucket, object, id, record) => Self::Upload(bucket, object, id, record),
            Trailer::Part(bucket, object, id, upload, number, part) => {
                Self::Part(bucket, object, id, upload, number, part.into())
            }
        }
    }
}
