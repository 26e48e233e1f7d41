//! The domain's nouns, free of how they are stored.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::lock::Lock;
use crate::blob::{BlobRef, StoredLen};
use crate::name::{
    BlobId, BucketId, BucketName, MessageSalt, ObjectKey, PartNumber, Timestamp, UploadId, VersionId,
};

/// Stands for "the blob that this trailer is in" where a trailer's record names its content.
pub const OWN_BLOB: BlobRef = BlobRef { id: BlobId::from_bytes([0; 16]), stored_len: StoredLen(0) };

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
    /// Does it keep versions?
    pub versioning: Versioning,
    /// Configurations by name (`"encryption"`, …), each the gateway's own encoding.
    pub configs: BTreeMap<String, Bytes>,
    /// The blob that records it for a rebuild.
    pub journal: Option<BlobRef>,
}

/// Does a bucket keep versions?
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/versioning-workflows.html>
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Versioning {
    /// It never did.
    #[default]
    Unversioned,
    /// Each write makes a version.
    Enabled,
    /// A write replaces the version `null`; other versions stay.
    Suspended,
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
    /// Which sending of them is meant, where they are one blob; each part says so of itself. `None`: the record is older than that.
    pub salt: Option<MessageSalt>,
}

/// How a version's bytes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// One blob.
    Single(BlobRef),
    /// The stored (sealed) bytes themselves: of content so short that a blob of its own would cost more than it. No blob has them, so
    /// only a journal brings them back when a catalog is made anew.
    Inline(Bytes),
    /// The parts of a completed upload, found by [`Catalog::parts_from_offset`](super::Catalog::parts_from_offset)
    /// and [`Catalog::part`](super::Catalog::part).
    Parts(PartDirectory),
}

/// An index over the parts of a completed upload: one row per page of part records, so that a range finds its parts in one scan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartDirectory {
    /// How many parts.
    pub part_count: u16,
    /// The first part number and its first plain byte's offset, of each page of up to 64 parts.
    pub pages: Vec<(u16, u64)>,
    /// Which part numbers belong to it: runs of a first and a last one. Others were uploaded but not named.
    pub runs: Vec<(u16, u16)>,
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
    /// Its content was written under another name.
    pub renamed: bool,
    /// The blob that records it for a rebuild, where its own content's blob does not.
    pub journal: Option<BlobRef>,
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
    /// What protects it.
    pub lock: Lock,
    /// Further attributes by name (`"acl"`, …), each the gateway's own encoding.
    pub attributes: BTreeMap<String, Bytes>,
    /// Where the bytes are.
    pub content: Content,
}

/// The attribute that tells who owns an object, where that is not the bucket's owner: the account's id.
pub const OWNER_ATTRIBUTE: &str = "owner";

/// Who owns an object by its attributes; `None`: its bucket's owner.
pub fn object_owner(attributes: &BTreeMap<String, Bytes>) -> Option<&str> {
    attributes.get(OWNER_ATTRIBUTE).and_then(|owner| std::str::from_utf8(owner).ok())
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
    /// Which sending of it is meant. `None`: the record is older than that.
    pub salt: Option<MessageSalt>,
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
    /// What will protect the object to be.
    pub lock: Lock,
    /// Further attributes of the object to be.
    pub attributes: BTreeMap<String, Bytes>,
    /// The envelope of the version to be.
    pub envelope: Bytes,
    /// The blob that records it for a rebuild; its parts' trailers do so too.
    pub journal: Option<BlobRef>,
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
    /// DeleteObject's further conditions: where there is a current object, it has all of these.
    Like {
        /// The ETag, without quotes; `*`: any. The object must exist.
        etag: Option<String>,
        /// Plain bytes.
        plain_len: Option<u64>,
        /// `Last-Modified` in whole seconds since the Unix epoch.
        last_modified_s: Option<u64>,
    },
}

/// One of an object's versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionRef {
    /// The current one.
    Current,
    /// The one that was written while versioning was not enabled.
    Null,
    /// The one of this id.
    Id(VersionId),
    /// The one of this id, `null` or not, as long as it is not the current one.
    Noncurrent(VersionId),
}

/// A page of objects, uploads or buckets to ask for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    pub storage_class: Cow<'static, str>,
    /// Algorithm and kind (composite?) of its checksum.
    pub checksum: Option<(Cow<'static, str>, bool)>,
    /// Who owns it, where that is not the bucket's owner.
    pub owner: Option<String>,
}

/// A row of a listing of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionSummary {
    /// Its id.
    pub version: VersionId,
    /// It is version `null`.
    pub is_null: bool,
    /// It is the current one.
    pub is_latest: bool,
    /// It is a delete marker; the summary has no size, tag and class then.
    pub delete_marker: bool,
    /// The rest.
    pub summary: ObjectSummary,
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

impl ObjectVersion {
    /// The object, unless it is a delete marker.
    pub fn object(&self) -> Option<&ObjectRecord> {
        match &self.kind {
            VersionKind::Object(record) => Some(record),
            VersionKind::DeleteMarker => None,
        }
    }

    /// As [`ObjectVersion::object`], to be changed.
    pub fn object_mut(&mut self) -> Option<&mut ObjectRecord> {
        match &mut self.kind {
            VersionKind::Object(record) => Some(record),
            VersionKind::DeleteMarker => None,
        }
    }
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
        let mut runs: Vec<(u16, u16)> = Vec::new();
        for number in parts.iter().map(|part| part.number.get()) {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == number => *last = number,
                _ => runs.push((number, number)),
            }
        }
        Self { part_count: parts.len() as u16, pages, runs }
    }

    /// Does this part belong to the completed content?
    pub fn names(&self, number: u16) -> bool {
        let behind = self.runs.partition_point(|&(first, _)| first <= number);
        behind > 0 && self.runs[behind - 1].1 >= number
    }
}
