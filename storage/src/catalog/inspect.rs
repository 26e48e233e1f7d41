//! Everything that the catalog holds, record by record, for whoever checks it: what can't be read is told, too.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::damage::{bucket_of, name_of};
use super::record::{
    BucketRecord, ContentPlace, DisplacedRecord, DisplacedWhat, PartRecord, Record, UploadRecord,
    VersionRecord,
};
use super::{Bucket, Catalog, CatalogError, ObjectVersion, Part, SCAN_LEN, Upload, layout};
use crate::blob::{BlobOwner, BlobRef};
use crate::kv::counter::Amounts;
use crate::kv::{Direction, Entry, Key, KeyRange};
use crate::name::{BlobId, BucketId, BucketName, ObjectKey, VersionId};

/// One record. Buckets come first, uploads behind their parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inspected {
    /// A bucket.
    Bucket(Bucket),
    /// A version.
    Version {
        /// Its bucket.
        bucket: BucketId,
        /// Its object.
        object: ObjectKey,
        /// The record.
        version: Box<ObjectVersion>,
        /// Is it the current one?
        is_current: bool,
    },
    /// An upload.
    Upload {
        /// Its bucket.
        bucket: BucketId,
        /// The record.
        upload: Box<Upload>,
    },
    /// A part of an upload or of completed content.
    Part {
        /// The upload or content.
        content: VersionId,
        /// The record.
        part: Part,
    },
    /// A document.
    Document {
        /// Its shelf.
        shelf: String,
        /// Its name.
        name: String,
        /// Its value.
        value: Bytes,
    },
    /// What is of the catalog's own: places of contents, states of shelves, displaced blobs.
    Own,
    /// A record that does not open, or is none.
    Damaged {
        /// What it is of, in words.
        name: String,
        /// The bucket that it is of.
        bucket: Option<BucketId>,
        /// What is wrong.
        why: &'static str,
    },
}

/// Blobs that a durable record displaced, and that are still to be deleted.
#[derive(Debug, Clone, Default)]
pub struct DisplacedSet {
    blobs: HashSet<BlobId>,
    /// Contents whose parts are displaced, but for those to keep.
    contents: HashMap<VersionId, Vec<(u16, u16)>>,
    /// Deleted buckets.
    buckets: HashSet<BucketId>,
}

impl DisplacedSet {
    /// Was this blob displaced, as far as its id alone tells?
    pub fn has(&self, blob: BlobId) -> bool {
        self.blobs.contains(&blob)
    }

    /// Was the bucket deleted, with uploads that are still to go?
    pub fn has_bucket(&self, bucket: BucketId) -> bool {
        self.buckets.contains(&bucket)
    }

    /// Was this blob of this owner displaced?
    pub fn explains(&self, owner: &BlobOwner, blob: BlobId) -> bool {
        if self.has(blob) {
            return true;
        }
        match owner {
            BlobOwner::Content { bucket, version, part, .. } => {
                let is_kept = |keep: &Vec<(u16, u16)>| {
                    let number = part.map_or(0, |part| part.get());
                    keep.iter().any(|&(low, high)| (low..=high).contains(&number))
                };
                self.has_bucket(*bucket)
                    || part.is_some() && self.contents.get(version).is_some_and(|keep| !is_kept(keep))
            }
            BlobOwner::Journal { subject } => {
                bucket_of(subject).is_some_and(|bucket| self.has_bucket(bucket))
            }
        }
    }
}

impl Catalog {
    /// The next records, and where to go on; begin with `None`, end when it answers `None`.
    pub async fn inspect(&self, after: Option<Key>) -> Result<(Vec<Inspected>, Option<Key>), CatalogError> {
        let start = after.map_or_else(Key::new, |after| layout::successor(&after));
        let found = self.kv.scan(KeyRange { start, end: None }, Direction::Forward, SCAN_LEN).await?;
        let rows = found.iter().map(|(key, entry)| {
            inspect(key, entry).unwrap_or_else(|error| Inspected::Damaged {
                name: name_of(key),
                bucket: bucket_of(key),
                why: match error {
                    _ if entry.is_damaged() => "its seal does not open",
                    CatalogError::Corrupt(_) => "it can't be decoded",
                    _ => "it can't be read",
                },
            })
        });
        let rows = rows.collect();
        Ok((rows, found.last().filter(|_| found.len() == SCAN_LEN).map(|(last, _)| last.clone())))
    }

    /// Everything that is displaced and not deleted yet. Entries that can't be read are passed over.
    pub async fn displaced_set(&self) -> Result<DisplacedSet, CatalogError> {
        let mut set = DisplacedSet::default();
        let mut range = KeyRange::prefix(vec![layout::DISPLACED]);
        loop {
            let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await?;
            for (_, entry) in &found {
                let Ok(record) = DisplacedRecord::decode(&entry.value) else { continue };
                match (record.what, record.content) {
                    (DisplacedWhat::Blob(BlobRef { id, .. }), _) => {
                        set.blobs.insert(id);
                    }
                    (DisplacedWhat::Parts { keep, .. }, Some(content)) => {
                        set.contents.insert(content, keep);
                    }
                    (DisplacedWhat::Parts { .. }, None) => {}
                    (DisplacedWhat::Uploads(bucket), _) => {
                        set.buckets.insert(bucket);
                    }
                }
            }
            match found.last() {
                Some((last, _)) if found.len() == SCAN_LEN => range.start = layout::successor(last),
                _ => return Ok(set),
            }
        }
    }
}

fn inspect(key: &Key, entry: &Entry) -> Result<Inspected, CatalogError> {
    let corrupt = || CatalogError::Corrupt("a key");
    if entry.is_damaged() {
        return Err(CatalogError::Corrupt("a record"));
    }
    let value = &entry.value;
    Ok(match key.first().copied().unwrap_or_default() {
        layout::BUCKET => {
            let name = str::from_utf8(&key[1..]).ok().and_then(|name| BucketName::parse(name).ok());
            Inspected::Bucket(BucketRecord::decode(value)?.into_bucket(name.ok_or_else(corrupt)?))
        }
        kind @ (layout::HEAD | layout::VERSION) => {
            let (bucket, object, _) = layout::version_in(key)?;
            let version = Box::new(VersionRecord::decode(value)?.into_version());
            Inspected::Version { bucket, object, version, is_current: kind == layout::HEAD }
        }
        layout::UPLOAD => {
            let bucket = bucket_of(key).ok_or_else(corrupt)?;
            let object = ObjectKey::parse(&layout::name_in(key, 17)?).map_err(|_| corrupt())?;
            let upload = UploadRecord::decode(value)?.into_upload(object, layout::upload_id_in(key)?);
            Inspected::Upload { bucket, upload: Box::new(upload) }
        }
        layout::PART => {
            let content = key.get(1..17).and_then(|id| id.try_into().ok()).ok_or_else(corrupt)?;
            let part = PartRecord::decode(value)?.into_part(layout::part_number(key)?)?;
            Inspected::Part { content: VersionId::from_bytes(content), part }
        }
        layout::DOCUMENT => {
            let text = str::from_utf8(&key[1..]).ok().and_then(|text| text.split_once('\0'));
            match text.ok_or_else(corrupt)? {
                (_, "") if [8, 16].contains(&value.len()) => Inspected::Own,
                (_, "") => return Err(CatalogError::Corrupt("a shelf's state")),
                (shelf, name) => Inspected::Document {
                    shelf: shelf.to_owned(),
                    name: name.to_owned(),
                    value: value.clone(),
                },
            }
        }
        layout::DISPLACED => DisplacedRecord::decode(value).map(|_| Inspected::Own)?,
        layout::CONTENT => ContentPlace::decode(value).map(|_| Inspected::Own)?,
        layout::COUNTER
            if [layout::COUNTED, layout::COUNTS].contains(key) || Amounts::from_bytes(value).is_some() =>
        {
            Inspected::Own
        }
        layout::BARE => super::bare::check(key, entry).map(|()| Inspected::Own)?,
        layout::COMPLETED | layout::SESSION | layout::BEAT | layout::LEASE => Inspected::Own,
        _ => return Err(CatalogError::Corrupt("a key of unknown kind")),
    })
}
