//! What is stored under each key: a format byte, then the record in postcard. Records are not the domain's types:
//! a new format gets a new struct here and a migration into the newest, and nothing above notices. What was before is in `format_…`.

mod format_1;
mod format_2;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) use self::format_1::Trailer as Format1Trailer;
pub(super) use self::format_2::Trailer as Format2Trailer;
use super::lock::Lock;
use super::{
    Bucket, CatalogError, Content, Layout, OWNER_ATTRIBUTE, ObjectRecord, ObjectSummary, ObjectVersion, Part,
    PartDirectory, StoredChecksum, SystemHeaders, Upload, VersionKind, VersionSummary, Versioning,
};
use crate::blob::BlobRef;
use crate::name::{BucketId, BucketName, MessageSalt, ObjectKey, PartNumber, Timestamp, UploadId, VersionId};

/// The newest format of every record.
const FORMAT: u8 = 3;

/// A record that has a format byte in front.
pub(super) trait Record: Serialize + DeserializeOwned {
    /// What to call it when it's corrupt.
    const NAME: &'static str;
    /// What it was in format 1.
    type Format1: DeserializeOwned + Into<Self>;
    /// What it was in format 2.
    type Format2: DeserializeOwned + Into<Self>;

    /// The bytes to store.
    fn encode(&self) -> Bytes {
        postcard::to_stdvec(&(FORMAT, self)).expect("records have only lengths that are known").into()
    }

    /// What was stored.
    fn decode(stored: &[u8]) -> Result<Self, CatalogError> {
        match stored.split_first() {
            Some((&FORMAT, body)) => whole(body, Self::NAME),
            Some((2, body)) => whole::<Self::Format2>(body, Self::NAME).map(Into::into),
            Some((1, body)) => whole::<Self::Format1>(body, Self::NAME).map(Into::into),
            _ => Err(CatalogError::Corrupt(Self::NAME)),
        }
    }
}

fn whole<T: DeserializeOwned>(body: &[u8], name: &'static str) -> Result<T, CatalogError> {
    match postcard::take_from_bytes(body) {
        Ok((record, [])) => Ok(record),
        _ => Err(CatalogError::Corrupt(name)),
    }
}

/// Decodes only the leading fields of a record, which are the same in every format.
fn decode_front<'a, T: Deserialize<'a>>(stored: &'a [u8], name: &'static str) -> Result<T, CatalogError> {
    match stored.split_first() {
        Some((1..=FORMAT, body)) => match postcard::take_from_bytes(body) {
            Ok((front, _)) => Ok(front),
            Err(_) => Err(CatalogError::Corrupt(name)),
        },
        _ => Err(CatalogError::Corrupt(name)),
    }
}

/// Microseconds since the Unix epoch; orders records of one key when a catalog is rebuilt. Ascends within a process.
pub(super) fn stamp_us() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    static LAST: AtomicU64 = AtomicU64::new(0);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = since.as_micros() as u64;
    let last = LAST.fetch_max(now, Relaxed);
    if last < now { now } else { LAST.fetch_add(1, Relaxed) + 1 }
}

/// As [`stamp_us`], and later than the record that is replaced: another gateway's clock may have stamped that one.
pub(super) fn stamp_us_after(former_us: u64) -> u64 {
    stamp_us().max(former_us.saturating_add(1))
}

/// Bytes: hexadecimal where the form is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Octets(pub(super) Bytes);

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&hex::encode(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            Ok(Self(hex::decode(text).map_err(serde::de::Error::custom)?.into()))
        } else {
            Ok(Self(Bytes::deserialize(deserializer)?))
        }
    }
}

fn octets(named: &BTreeMap<String, Bytes>) -> BTreeMap<String, Octets> {
    named.iter().map(|(name, value)| (name.clone(), Octets(value.clone()))).collect()
}

fn bytes_of(named: BTreeMap<String, Octets>) -> BTreeMap<String, Bytes> {
    named.into_iter().map(|(name, value)| (name, value.0)).collect()
}

/// A bucket. `id` and `deleting` come first: see [`BucketFront`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BucketRecord {
    pub(super) id: BucketId,
    /// Set while a DeleteBucket looks whether the bucket is empty; a writer takes it away.
    pub(super) deleting: bool,
    #[serde(default)]
    pub(super) versioning: Versioning,
    pub(super) owner: String,
    pub(super) created: Timestamp,
    pub(super) region: String,
    pub(super) configs: BTreeMap<String, Octets>,
    pub(super) journal: Option<BlobRef>,
    pub(super) stamp_us: u64,
}

impl Record for BucketRecord {
    const NAME: &'static str = "a bucket";
    type Format1 = format_1::Bucket;
    type Format2 = Self;
}

/// What each write to a bucket's objects needs to know of it.
#[derive(Debug, Deserialize)]
pub(super) struct BucketFront {
    pub(super) id: BucketId,
    pub(super) deleting: bool,
    pub(super) versioning: Versioning,
}

impl BucketFront {
    pub(super) fn decode(stored: &[u8]) -> Result<Self, CatalogError> {
        if stored.first() == Some(&1) {
            let (id, deleting) = decode_front(stored, BucketRecord::NAME)?;
            return Ok(Self { id, deleting, versioning: Versioning::Unversioned });
        }
        decode_front(stored, BucketRecord::NAME)
    }
}

impl BucketRecord {
    pub(super) fn of(bucket: &Bucket, stamp_us: u64) -> Self {
        Self {
            id: bucket.id,
            deleting: false,
            versioning: bucket.versioning,
            owner: bucket.owner.clone(),
            created: bucket.created,
            region: bucket.region.clone(),
            configs: octets(&bucket.configs),
            journal: bucket.journal,
            stamp_us,
        }
    }

    pub(super) fn into_bucket(self, name: BucketName) -> Bucket {
        Bucket {
            name,
            id: self.id,
            owner: self.owner,
            created: self.created,
            region: self.region,
            versioning: self.versioning,
            configs: bytes_of(self.configs),
            journal: self.journal,
        }
    }
}

/// A version. What a listing shows comes first: see [`SummaryFront`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VersionRecord {
    pub(super) delete_marker: bool,
    pub(super) last_modified: Timestamp,
    pub(super) plain_len: u64,
    pub(super) etag: String,
    pub(super) storage_class: String,
    pub(super) checksum: Option<StoredChecksum>,
    pub(super) version: VersionId,
    pub(super) is_null: bool,
    pub(super) headers: SystemHeaders,
    pub(super) user_metadata: Vec<(String, String)>,
    pub(super) tags: Vec<(String, String)>,
    /// Of a current record: the id of the version `null` if that is another.
    #[serde(default)]
    pub(super) null_elsewhere: Option<VersionId>,
    /// It was written under another name: see [`ContentPlace`].
    #[serde(default)]
    pub(super) renamed: bool,
    #[serde(default)]
    pub(super) lock: Lock,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, Octets>,
    pub(super) envelope: Octets,
    /// `None` for a delete marker.
    pub(super) content: Option<ContentRecord>,
    pub(super) journal: Option<BlobRef>,
    pub(super) stamp_us: u64,
}

/// Where a version's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContentRecord {
    pub(super) version: VersionId,
    pub(super) layout: LayoutRecord,
    #[serde(default)]
    pub(super) salt: Option<MessageSalt>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LayoutRecord {
    Single(BlobRef),
    Parts(PartDirectory),
    Inline(Octets),
}

impl Record for VersionRecord {
    const NAME: &'static str = "a version";
    type Format1 = format_1::Version;
    type Format2 = format_2::Version;
}

#[derive(Deserialize)]
struct SummaryFront<'a> {
    delete_marker: bool,
    last_modified: Timestamp,
    plain_len: u64,
    etag: &'a str,
    /// Texts that are mostly of a few known ones are read as bytes: those need no look at each of them.
    storage_class: &'a [u8],
    checksum: Option<ChecksumFront<'a>>,
    version: VersionId,
    is_null: bool,
}

#[derive(Deserialize)]
struct ChecksumFront<'a> {
    algorithm: &'a [u8],
    composite: bool,
    #[serde(rename = "value")]
    _value: &'a [u8],
}

/// What a listing shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    All,
    /// No delete markers.
    Objects,
}

/// The listing's row of the stored version of this object, without decoding the rest; `None`: it is not shown. `is_latest` is for the
/// caller to tell.
pub(super) fn summary(
    object: &str,
    stored: &[u8],
    shown: Shown,
) -> Result<Option<VersionSummary>, CatalogError> {
    let front: SummaryFront<'_> = decode_front(stored, VersionRecord::NAME)?;
    if front.delete_marker && shown == Shown::Objects {
        return Ok(None);
    }
    let object = ObjectKey::parse(object).map_err(|_| CatalogError::Corrupt("an object's name"))?;
    let owner = owner(stored)?;
    let checksum = match front.checksum {
        Some(checksum) => Some((text(checksum.algorithm)?, checksum.composite)),
        None => None,
    };
    Ok(Some(VersionSummary {
        version: front.version,
        is_null: front.is_null,
        is_latest: false,
        delete_marker: front.delete_marker,
        summary: ObjectSummary {
            object,
            last_modified: front.last_modified,
            plain_len: front.plain_len,
            etag: front.etag.to_owned(),
            storage_class: text(front.storage_class)?,
            checksum,
            owner,
        },
    }))
}

/// A text, of which most rows have one of these few.
fn text(text: &[u8]) -> Result<Cow<'static, str>, CatalogError> {
    const OFTEN: [&str; 6] = ["STANDARD", "CRC64NVME", "CRC32", "CRC32C", "SHA1", "SHA256"];
    match OFTEN.into_iter().find(|often| often.as_bytes() == text) {
        Some(often) => Ok(Cow::Borrowed(often)),
        None => match str::from_utf8(text) {
            Ok(text) => Ok(Cow::Owned(text.to_owned())),
            Err(_) => Err(CatalogError::Corrupt(VersionRecord::NAME)),
        },
    }
}

/// Who owns a stored version, if it says so. The rest of the record is decoded only where that name stands in it.
fn owner(stored: &[u8]) -> Result<Option<String>, CatalogError> {
    /// As text is encoded: its length, then the text. It is looked for in every row of a listing.
    static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\x05owner"));
    if NAME.find(stored).is_none() {
        return Ok(None);
    }
    let record = VersionRecord::decode(stored)?;
    let owner = record.attributes.get(OWNER_ATTRIBUTE);
    Ok(owner.and_then(|owner| String::from_utf8(owner.0.to_vec()).ok()))
}

impl VersionRecord {
    pub(super) fn of(version: &ObjectVersion, stamp_us: u64) -> Self {
        let (id, is_null, last_modified, journal) =
            (version.version, version.is_null, version.last_modified, version.journal);
        match &version.kind {
            VersionKind::Object(object) => Self {
                delete_marker: false,
                last_modified,
                plain_len: object.plain_len,
                etag: object.etag.clone(),
                storage_class: object.storage_class.clone(),
                checksum: object.checksum.clone(),
                version: id,
                is_null,
                headers: object.headers.clone(),
                user_metadata: object.user_metadata.clone(),
                tags: object.tags.clone(),
                null_elsewhere: None,
                renamed: version.renamed,
                lock: object.lock,
                attributes: octets(&object.attributes),
                envelope: Octets(object.envelope.clone()),
                content: Some(ContentRecord {
                    version: object.content.version,
                    layout: match &object.content.layout {
                        Layout::Single(blob) => LayoutRecord::Single(*blob),
                        Layout::Parts(directory) => LayoutRecord::Parts(directory.clone()),
                        Layout::Inline(stored) => LayoutRecord::Inline(Octets(stored.clone())),
                    },
                    salt: object.content.salt,
                }),
                journal,
                stamp_us,
            },
            VersionKind::DeleteMarker => Self {
                delete_marker: true,
                last_modified,
                plain_len: 0,
                etag: String::new(),
                storage_class: String::new(),
                checksum: None,
                version: id,
                is_null,
                headers: SystemHeaders::default(),
                user_metadata: Vec::new(),
                tags: Vec::new(),
                null_elsewhere: None,
                renamed: version.renamed,
                lock: Lock::default(),
                attributes: BTreeMap::new(),
                envelope: Octets(Bytes::new()),
                content: None,
                journal,
                stamp_us,
            },
        }
    }

    pub(super) fn into_version(self) -> ObjectVersion {
        let kind = match self.content {
            None => VersionKind::DeleteMarker,
            Some(content) => VersionKind::Object(Box::new(ObjectRecord {
                plain_len: self.plain_len,
                etag: self.etag,
                headers: self.headers,
                user_metadata: self.user_metadata,
                checksum: self.checksum,
                storage_class: self.storage_class,
                tags: self.tags,
                lock: self.lock,
                attributes: bytes_of(self.attributes),
                envelope: self.envelope.0,
                content: Content {
                    version: content.version,
                    layout: match content.layout {
                        LayoutRecord::Single(blob) => Layout::Single(blob),
                        LayoutRecord::Parts(directory) => Layout::Parts(directory),
                        LayoutRecord::Inline(stored) => Layout::Inline(stored.0),
                    },
                    salt: content.salt,
                },
            })),
        };
        ObjectVersion {
            version: self.version,
            is_null: self.is_null,
            last_modified: self.last_modified,
            kind,
            renamed: self.renamed,
            journal: self.journal,
        }
    }
}

/// Where the record of a content is, if not where the names on its blobs say: under another id and not current, or renamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ContentPlace {
    pub(super) object: ObjectKey,
    pub(super) version: VersionId,
}

impl Record for ContentPlace {
    const NAME: &'static str = "a content's place";
    type Format1 = Self;
    type Format2 = Self;
}

/// An upload; its object and id are in its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UploadRecord {
    pub(super) initiated: Timestamp,
    pub(super) initiator: String,
    pub(super) headers: SystemHeaders,
    pub(super) user_metadata: Vec<(String, String)>,
    pub(super) tags: Vec<(String, String)>,
    pub(super) storage_class: String,
    pub(super) checksum: Option<(String, bool)>,
    #[serde(default)]
    pub(super) lock: Lock,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, Octets>,
    pub(super) envelope: Octets,
    /// How often a part was replaced: moves the record's revision, so that a Complete that read the parts before fails.
    pub(super) replacements: u32,
    pub(super) journal: Option<BlobRef>,
    pub(super) stamp_us: u64,
}

impl Record for UploadRecord {
    const NAME: &'static str = "an upload";
    type Format1 = format_1::Upload;
    type Format2 = Self;
}

impl UploadRecord {
    /// The attribute that tells which version was the object's current one when the upload was created: its id, or nothing. It is the
    /// upload's alone, and no attribute of the object to be. Uploads of earlier builds, and those that a rebuild has found, have none.
    const PRECURSOR: &str = "precursor";

    /// Remembers what an upload is created over.
    pub(super) fn begun_over(mut self, current: Option<VersionId>) -> Self {
        let id = current.map(|version| Bytes::copy_from_slice(version.as_bytes())).unwrap_or_default();
        self.attributes.insert(Self::PRECURSOR.to_owned(), Octets(id));
        self
    }

    /// Was the object written or deleted since the upload was created? False where that is not known.
    pub(super) fn is_overtaken(&self, current: Option<VersionId>) -> bool {
        let id = current.as_ref().map_or(&[][..], |version| version.as_bytes());
        self.attributes.get(Self::PRECURSOR).is_some_and(|precursor| precursor.0 != id)
    }

    pub(super) fn of(upload: &Upload, stamp_us: u64) -> Self {
        Self {
            initiated: upload.initiated,
            initiator: upload.initiator.clone(),
            headers: upload.headers.clone(),
            user_metadata: upload.user_metadata.clone(),
            tags: upload.tags.clone(),
            storage_class: upload.storage_class.clone(),
            checksum: upload.checksum.clone(),
            lock: upload.lock,
            attributes: octets(&upload.attributes),
            envelope: Octets(upload.envelope.clone()),
            replacements: 0,
            journal: upload.journal,
            stamp_us,
        }
    }

    pub(super) fn into_upload(mut self, object: ObjectKey, id: UploadId) -> Upload {
        self.attributes.remove(Self::PRECURSOR);
        Upload {
            id,
            object,
            initiated: self.initiated,
            initiator: self.initiator,
            headers: self.headers,
            user_metadata: self.user_metadata,
            tags: self.tags,
            storage_class: self.storage_class,
            checksum: self.checksum,
            lock: self.lock,
            attributes: bytes_of(self.attributes),
            envelope: self.envelope.0,
            journal: self.journal,
        }
    }
}

/// A part; its version and number are in its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartRecord {
    pub(super) plain_len: u64,
    pub(super) etag: String,
    pub(super) md5: Option<Octets>,
    pub(super) checksum: Option<StoredChecksum>,
    pub(super) last_modified: Timestamp,
    pub(super) blob: BlobRef,
    #[serde(default)]
    pub(super) salt: Option<MessageSalt>,
    pub(super) stamp_us: u64,
}

impl Record for PartRecord {
    const NAME: &'static str = "a part";
    type Format1 = format_2::Part;
    type Format2 = format_2::Part;
}

impl PartRecord {
    pub(super) fn of(part: &Part, stamp_us: u64) -> Self {
        Self {
            plain_len: part.plain_len,
            etag: part.etag.clone(),
            md5: part.md5.map(|md5| Octets(Bytes::copy_from_slice(&md5))),
            checksum: part.checksum.clone(),
            last_modified: part.last_modified,
            blob: part.blob,
            salt: part.salt,
            stamp_us,
        }
    }

    pub(super) fn into_part(self, number: u16) -> Result<Part, CatalogError> {
        let corrupt = CatalogError::Corrupt(Self::NAME);
        let md5 = match self.md5 {
            None => None,
            Some(md5) => match md5.0[..].try_into() {
                Ok(md5) => Some(md5),
                Err(_) => return Err(corrupt),
            },
        };
        Ok(Part {
            number: PartNumber::new(number.into()).map_err(|_| corrupt)?,
            plain_len: self.plain_len,
            etag: self.etag,
            md5,
            checksum: self.checksum,
            last_modified: self.last_modified,
            blob: self.blob,
            salt: self.salt,
        })
    }
}

/// Blobs that no record refers to any more, still to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DisplacedRecord {
    /// The content that they belong to: kept while somebody reads it.
    pub(super) content: Option<VersionId>,
    pub(super) what: DisplacedWhat,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum DisplacedWhat {
    /// One blob.
    Blob(BlobRef),
    /// The parts of `content` above the number `after`, but for those in `keep`, with their records.
    Parts { after: u16, keep: Vec<(u16, u16)> },
    /// The uploads of a deleted bucket.
    Uploads(BucketId),
}

impl Record for DisplacedRecord {
    const NAME: &'static str = "a displaced content";
    type Format1 = Self;
    type Format2 = Self;
}
