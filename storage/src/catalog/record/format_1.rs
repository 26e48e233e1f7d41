//! The records of format 1, as far as later ones have others: before versions, locks and attributes.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::format_2::{Content, Part};
use super::{BucketRecord, Octets, UploadRecord, VersionRecord};
use super::{Lock, StoredChecksum, SystemHeaders, Versioning};
use crate::blob::BlobRef;
use crate::catalog::trailer::TrailerRecord;
use crate::name::{BucketId, BucketName, ObjectKey, Timestamp, UploadId, VersionId};

#[derive(Deserialize)]
pub(in crate::catalog) struct Bucket {
    id: BucketId,
    deleting: bool,
    owner: String,
    created: Timestamp,
    region: String,
    configs: BTreeMap<String, Octets>,
    journal: Option<BlobRef>,
    stamp_us: u64,
}

impl From<Bucket> for BucketRecord {
    fn from(former: Bucket) -> Self {
        let Bucket { id, deleting, owner, created, region, configs, journal, stamp_us } = former;
        let versioning = Versioning::Unversioned;
        Self { id, deleting, versioning, owner, created, region, configs, journal, stamp_us }
    }
}

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
            null_elsewhere: None,
            renamed: false,
            lock: Lock::default(),
            attributes: BTreeMap::new(),
            envelope: former.envelope,
            content: former.content.map(Into::into),
            journal: former.journal,
            stamp_us: former.stamp_us,
        }
    }
}

#[derive(Deserialize)]
pub(in crate::catalog) struct Upload {
    initiated: Timestamp,
    initiator: String,
    headers: SystemHeaders,
    user_metadata: Vec<(String, String)>,
    tags: Vec<(String, String)>,
    storage_class: String,
    checksum: Option<(String, bool)>,
    envelope: Octets,
    replacements: u32,
    journal: Option<BlobRef>,
    stamp_us: u64,
}

impl From<Upload> for UploadRecord {
    fn from(former: Upload) -> Self {
        Self {
            initiated: former.initiated,
            initiator: former.initiator,
            headers: former.headers,
            user_metadata: former.user_metadata,
            tags: former.tags,
            storage_class: former.storage_class,
            checksum: former.checksum,
            lock: Lock::default(),
            attributes: BTreeMap::new(),
            envelope: former.envelope,
            replacements: former.replacements,
            journal: former.journal,
            stamp_us: former.stamp_us,
        }
    }
}

#[derive(Deserialize)]
pub(in crate::catalog) enum Trailer {
    Bucket(BucketName, Bucket),
    Object(BucketId, ObjectKey, Box<Version>),
    Upload(BucketId, ObjectKey, UploadId, Upload),
    Part(BucketId, ObjectKey, UploadId, Upload, u16, Part),
}

impl From<Trailer> for TrailerRecord {
    fn from(former: Trailer) -> Self {
        match former {
            Trailer::Bucket(name, record) => Self::Bucket(name, record.into()),
            Trailer::Object(bucket, object, record) => {
                Self::Object(bucket, object, Box::new((*record).into()))
            }
            Trailer::Upload(bucket, object, id, record) => Self::Upload(bucket, object, id, record.into()),
            Trailer::Part(bucket, object, id, upload, number, part) => {
                Self::Part(bucket, object, id, upload.into(), number, part.into())
            }
        }
    }
}
