//! S3's nouns, written once over [`KeyValue`]: buckets, object versions, uploads, listing, displaced blobs.
//!
//! Every mutation is a value with its precondition: reads and one conditional commit, retried on conflict.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::blob::BlobRef;
use crate::kv::{KeyValue, KvError};
use crate::name::{BucketId, BucketName, ObjectKey, PartNumber, Timestamp, UploadId, VersionId};

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: BucketName,
    /// Its identity.
    pub id: BucketId,
    /// The account that owns it: 12 digits.
    pub owner: String,
    /// When it was made.
    pub created: Timestamp,
    /// The region of its LocationConstraint.
    pub region: String,
    /// Configurations by name (`"encryption"`, …), each the gateway's own encoding.
    pub configs: std::collections::BTreeMap<String, Bytes>,
}

/// Headers of an object that are stored and returned as they came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemHeaders {
    /// `Content-Type`; AWS answers `binary/octet-stream` where none was given.
    pub content_type: Option<String>,
    /// `Content-Encoding`, without `aws-chunked`.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Expires`, as it came.
    pub expires: Option<String>,
    /// `x-amz-website-redirect-location`.
    pub website_redirect_location: Option<String>,
}

/// A stored checksum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredChecksum {
    /// The algorithm's name on the wire (`CRC64NVME`, …).
    pub algorithm: String,
    /// True for COMPOSITE, false for FULL_OBJECT.
    pub composite: bool,
    /// The value as on the wire: base64, with `-parts` behind a composite one.
    pub value: String,
}

/// Where a version's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The version that the bytes were sealed for: another than the record's own after a change of metadata in place.
    pub version: VersionId,
    /// How they lie.
    pub layout: Layout,
}

/// How a version's bytes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// One blob.
    Single(BlobRef),
    /// The parts of a completed upload, found by [`Catalog::parts_from_offset`] and [`Catalog::part`].
    Parts(PartDirectory),
}

/// An index over the parts of a completed upload: one row per page of part records, so that a range finds its parts in one scan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartDirectory {
    /// How many parts.
    pub part_count: u16,
    /// The first part number and its first plain byte's offset, of each page of up to 64 parts.
    pub pages: Vec<(u16, u64)>,
}

/// Is a record an object or the mark of its deletion?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionKind {
    /// An object.
    Object(Box<ObjectRecord>),
    /// A delete marker.
    DeleteMarker,
}

/// One version of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVersion {
    /// Its id.
    pub version: VersionId,
    /// Written while versioning was not enabled: answered as version `null`.
    pub is_null: bool,
    /// `Last-Modified`.
    pub last_modified: Timestamp,
    /// Object or delete marker.
    pub kind: VersionKind,
}

/// What an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRecord {
    /// Plain bytes.
    pub plain_len: u64,
    /// The entity tag, without quotes.
    pub etag: String,
    /// Stored headers.
    pub headers: SystemHeaders,
    /// User metadata: lower-case names without `x-amz-meta-`, in order of arrival.
    pub user_metadata: Vec<(String, String)>,
    /// The checksum of the whole object.
    pub checksum: Option<StoredChecksum>,
    /// The storage class; `STANDARD` where none was given.
    pub storage_class: String,
    /// Tags, in order.
    pub tags: Vec<(String, String)>,
    /// The gateway's envelope: how the ContentKey is wrapped. Opaque here.
    pub envelope: Bytes,
    /// Where the bytes are.
    pub content: Content,
}

/// A part of an upload, or of a completed object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number.
    pub number: PartNumber,
    /// Plain bytes.
    pub plain_len: u64,
    /// The entity tag, without quotes.
    pub etag: String,
    /// MD5 of the plain bytes where it was computed: what a multipart ETag is made of.
    pub md5: Option<[u8; 16]>,
    /// The part's checksum.
    pub checksum: Option<StoredChecksum>,
    /// When it was uploaded.
    pub last_modified: Timestamp,
    /// Its blob.
    pub blob: BlobRef,
}

/// An upload in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// The object it will become.
    pub object: ObjectKey,
    /// When it was created.
    pub initiated: Timestamp,
    /// ARN of the principal that created it.
    pub initiator: String,
    /// Headers, metadata, tags, storage class and envelope of the object to be; lengths, ETag and content are empty.
    pub headers: SystemHeaders,
    /// User metadata of the object to be.
    pub user_metadata: Vec<(String, String)>,
    /// Tags of the object to be.
    pub tags: Vec<(String, String)>,
    /// Storage class of the object to be.
    pub storage_class: String,
    /// The checksum algorithm named at creation, and whether it is composite.
    pub checksum: Option<(String, bool)>,
    /// The envelope of the version to be.
    pub envelope: Bytes,
}

/// What must hold of the current object for a write to happen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// `If-None-Match: *`: there is no current object.
    Absent,
    /// `If-Match: etag`: the current object has this ETag (without quotes; `*`: any object).
    Etag(String),
}

/// What a caller can do about a failed call.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// No such bucket (any more).
    #[error("the bucket does not exist")]
    NoSuchBucket,
    /// A bucket of this name exists.
    #[error("the bucket exists and belongs to account {owner}")]
    BucketExists {
        /// Its owner.
        owner: String,
    },
    /// The bucket holds objects or versions.
    #[error("the bucket is not empty")]
    BucketNotEmpty,
    /// `If-Match` on an object that does not exist: AWS answers NoSuchKey.
    #[error("the object does not exist")]
    NoSuchKey,
    /// No such upload of this object (any more).
    #[error("the upload does not exist")]
    NoSuchUpload,
    /// The upload lacks this part, or it has another ETag or checksum.
    #[error("part {0} does not exist or does not match")]
    InvalidPart(PartNumber),
    /// A part but the last is smaller than the minimum.
    #[error("part {number} has only {plain_len} bytes")]
    PartTooSmall {
        /// The part.
        number: PartNumber,
        /// Its plain bytes.
        plain_len: u64,
        /// Its ETag.
        etag: String,
    },
    /// The precondition does not hold: AWS answers 412 PreconditionFailed.
    #[error("a precondition does not hold")]
    PreconditionFailed,
    /// Other writers kept winning: AWS answers 409 ConditionalRequestConflict or OperationAborted.
    #[error("concurrent writers kept changing the same record")]
    Contended,
    /// A record can't be decoded.
    #[error("a record is corrupt: {0}")]
    Corrupt(&'static str),
    /// The engine failed.
    #[error(transparent)]
    Kv(#[from] KvError),
}

/// A page of objects, uploads or buckets to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRequest {
    /// Only names that start so.
    pub prefix: String,
    /// Roll names up that share what lies between prefix and this.
    pub delimiter: Option<String>,
    /// Begin behind this name (or, where it names a common prefix, behind all it rolls up).
    pub after: Option<String>,
    /// At most this many rows, objects and common prefixes together; 0 to 1000.
    pub limit: usize,
}

/// One row of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListRow<T> {
    /// An item.
    Item(T),
    /// A common prefix, with its delimiter at the end.
    CommonPrefix(String),
}

/// A page of a listing, in UTF-8 byte order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage<T> {
    /// The rows.
    pub rows: Vec<ListRow<T>>,
    /// There is more behind the last row.
    pub truncated: bool,
}

/// A row of an object listing: what ListObjects answers, decoded without the rest of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectSummary {
    /// The object.
    pub object: ObjectKey,
    /// `Last-Modified`.
    pub last_modified: Timestamp,
    /// Plain bytes.
    pub plain_len: u64,
    /// The entity tag, without quotes.
    pub etag: String,
    /// The storage class.
    pub storage_class: String,
    /// Algorithm and kind (composite?) of its checksum.
    pub checksum: Option<(String, bool)>,
}

/// A part named by CompleteMultipartUpload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedPart {
    /// Its number.
    pub number: PartNumber,
    /// Its ETag, without quotes.
    pub etag: String,
    /// Its checksum, if one was given: algorithm and value.
    pub checksum: Option<(String, String)>,
}

/// S3's nouns over an engine.
#[derive(Clone)]
pub struct Catalog {
    #[allow(dead_code)]
    kv: Arc<dyn KeyValue>,
}

impl Catalog {
    /// A catalog over this engine.
    pub fn new(kv: Arc<dyn KeyValue>) -> Self {
        Self { kv }
    }

    /// Makes a bucket.
    pub async fn create_bucket(&self, bucket: &Bucket) -> Result<(), CatalogError> {
        let _ = bucket;
        unimplemented!()
    }

    /// A bucket by name.
    pub async fn bucket(&self, name: &BucketName) -> Result<Bucket, CatalogError> {
        let _ = name;
        unimplemented!()
    }

    /// Buckets in order of name; only `owner`'s if given. `request.delimiter` is not used.
    pub async fn list_buckets(
        &self,
        owner: Option<&str>,
        request: &ListRequest,
    ) -> Result<ListPage<Bucket>, CatalogError> {
        let _ = (owner, request);
        unimplemented!()
    }

    /// Sets (`Some`) or removes (`None`) a configuration.
    pub async fn set_bucket_config(
        &self,
        name: &BucketName,
        config: &str,
        value: Option<Bytes>,
    ) -> Result<Bucket, CatalogError> {
        let _ = (name, config, value);
        unimplemented!()
    }

    /// Deletes an empty bucket, its unfinished uploads with it.
    pub async fn delete_bucket(&self, bucket: &Bucket) -> Result<(), CatalogError> {
        let _ = bucket;
        unimplemented!()
    }

    /// The current version of an object; `None` where there is none (a delete marker is a version).
    pub async fn current(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
    ) -> Result<Option<ObjectVersion>, CatalogError> {
        let _ = (bucket, object);
        unimplemented!()
    }

    /// Makes `version` the current one of `object` if the precondition holds, in one commit with what it displaces.
    /// Fails with [`CatalogError::NoSuchBucket`] if the bucket is gone or was made anew.
    pub async fn commit_version(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
        version: &ObjectVersion,
        precondition: &Precondition,
    ) -> Result<(), CatalogError> {
        let _ = (bucket, object, version, precondition);
        unimplemented!()
    }

    /// Replaces the record of a version by one with the same content (metadata or envelope changed in place),
    /// provided the current version still is `expected`.
    pub async fn replace_version(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
        expected: VersionId,
        version: &ObjectVersion,
        precondition: &Precondition,
    ) -> Result<(), CatalogError> {
        let _ = (bucket, object, expected, version, precondition);
        unimplemented!()
    }

    /// Deletes the current version for good; absent is fine. Answers what was deleted.
    pub async fn delete_current(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
        precondition: &Precondition,
    ) -> Result<Option<ObjectVersion>, CatalogError> {
        let _ = (bucket, object, precondition);
        unimplemented!()
    }

    /// Current objects in UTF-8 byte order. Costs what it returns: seeks past each common prefix.
    pub async fn list_objects(
        &self,
        bucket: &Bucket,
        request: &ListRequest,
    ) -> Result<ListPage<ObjectSummary>, CatalogError> {
        let _ = (bucket, request);
        unimplemented!()
    }

    /// Begins an upload.
    pub async fn create_upload(&self, bucket: &Bucket, upload: &Upload) -> Result<(), CatalogError> {
        let _ = (bucket, upload);
        unimplemented!()
    }

    /// An upload of this object.
    pub async fn upload(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
        id: UploadId,
    ) -> Result<Upload, CatalogError> {
        let _ = (bucket, object, id);
        unimplemented!()
    }

    /// Records a part, displacing an earlier one of its number. Fails with `NoSuchUpload` if the upload ended meanwhile.
    pub async fn put_part(&self, bucket: &Bucket, upload: &Upload, part: &Part) -> Result<(), CatalogError> {
        let _ = (bucket, upload, part);
        unimplemented!()
    }

    /// Up to `limit` parts of an upload with numbers above `after`, and whether there are more.
    pub async fn list_parts(
        &self,
        upload: UploadId,
        after: u16,
        limit: usize,
    ) -> Result<(Vec<Part>, bool), CatalogError> {
        let _ = (upload, after, limit);
        unimplemented!()
    }

    /// Checks the named parts against the stored ones (existence, ETag, checksum, minimum size of all but the last) and
    /// returns them in order: what Complete computes its ETag and checksum from.
    pub async fn select_parts(
        &self,
        upload: UploadId,
        named: &[CompletedPart],
        min_part_len: u64,
    ) -> Result<Vec<Part>, CatalogError> {
        let _ = (upload, named, min_part_len);
        unimplemented!()
    }

    /// Turns an upload into the current version: one commit writes the version, ends the upload and displaces unnamed
    /// parts and the former object. `version`'s layout is made by [`PartDirectory::of`].
    pub async fn complete_upload(
        &self,
        bucket: &Bucket,
        upload: &Upload,
        parts: &[Part],
        version: &ObjectVersion,
        precondition: &Precondition,
    ) -> Result<(), CatalogError> {
        let _ = (bucket, upload, parts, version, precondition);
        unimplemented!()
    }

    /// Ends an upload and displaces its parts.
    pub async fn abort_upload(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
        id: UploadId,
    ) -> Result<(), CatalogError> {
        let _ = (bucket, object, id);
        unimplemented!()
    }

    /// Uploads in order of object, then of initiation. `after_upload` begins behind that upload of the object `request.after`.
    pub async fn list_uploads(
        &self,
        bucket: &Bucket,
        request: &ListRequest,
        after_upload: Option<UploadId>,
    ) -> Result<ListPage<Upload>, CatalogError> {
        let _ = (bucket, request, after_upload);
        unimplemented!()
    }

    /// The parts of completed content from the one that holds the plain byte `offset` on, at most `limit` of them, with the
    /// offset of the first one's first plain byte.
    pub async fn parts_from_offset(
        &self,
        content: &Content,
        offset: u64,
        limit: usize,
    ) -> Result<(u64, Vec<Part>), CatalogError> {
        let _ = (content, offset, limit);
        unimplemented!()
    }

    /// One part of completed content with the offset of its first plain byte; `None` if there is no such part.
    pub async fn part(
        &self,
        content: &Content,
        number: PartNumber,
    ) -> Result<Option<(u64, Part)>, CatalogError> {
        let _ = (content, number);
        unimplemented!()
    }

    /// Keeps a version's blobs from being reclaimed while it is read; released on drop.
    pub fn pin(&self, content: VersionId) -> ReadPin {
        ReadPin { content }
    }
}

/// See [`Catalog::pin`].
#[derive(Debug)]
pub struct ReadPin {
    #[allow(dead_code)]
    content: VersionId,
}

impl PartDirectory {
    /// Parts per page.
    pub const PAGE_LEN: usize = 64;

    /// The directory of these parts.
    pub fn of(parts: &[Part]) -> Self {
        let mut offset = 0;
        let mut pages = Vec::with_capacity(parts.len().div_ceil(Self::PAGE_LEN));
        for page in parts.chunks(Self::PAGE_LEN) {
            pages.push((page[0].number.get(), offset));
            offset += page.iter().map(|part| part.plain_len).sum::<u64>();
        }
        Self { part_count: parts.len() as u16, pages }
    }
}
