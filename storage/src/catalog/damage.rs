//! Records that can't be read. One must not keep the others from being listed, and must never be taken for one that is not there: it can
//! be deleted and overwritten, unless object lock may have protected it. What it referred to is left without a record then.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::lock::LOCK_SETTING;
use super::record::{BucketRecord, Record};
use super::{Catalog, CatalogError, Precondition, layout};
use crate::kv::{Entry, Key};
use crate::name::{BucketId, ObjectKey, VersionId};

/// Keys of damaged records that are remembered, so that each is logged once.
const MAX_MET: usize = 1000;

/// The damaged records that were met.
#[derive(Default)]
pub(super) struct Met(Mutex<BTreeSet<Key>>);

/// A record as a writer finds it.
pub(super) enum Found<R> {
    Absent,
    Sound(R),
    Damaged,
}

impl<R> Found<R> {
    /// The record, where it can be read.
    pub(super) fn sound(self) -> Option<R> {
        match self {
            Self::Sound(record) => Some(record),
            Self::Absent | Self::Damaged => None,
        }
    }
}

impl Catalog {
    /// Says in the log that a record can't be read, once for each.
    pub(super) fn note_damage(&self, key: &Key) {
        let mut met = self.shared.met.0.lock();
        if met.len() < MAX_MET && met.insert(key.clone()) {
            tracing::error!(record = %name_of(key), "a record is damaged; `sealgate check` names all that are");
        }
    }

    /// How many damaged records were met since the catalog was opened (the thousandth is the last that is counted).
    pub fn damaged_records_met(&self) -> usize {
        self.shared.met.0.lock().len()
    }

    /// Reads a record that is about to be replaced.
    pub(super) fn look<R: Record>(&self, key: &Key, entry: Option<&Entry>) -> Found<R> {
        let Some(entry) = entry else { return Found::Absent };
        match R::decode(&entry.value) {
            Ok(record) => Found::Sound(record),
            Err(_) => {
                self.note_damage(key);
                Found::Damaged
            }
        }
    }

    /// May a version that can't be read be deleted or replaced? Not under a condition, since nobody can judge it; and not in a bucket with
    /// object lock, since that may protect it.
    pub(super) fn expect_replaceable(
        bucket: &Option<Entry>,
        precondition: &Precondition,
    ) -> Result<(), CatalogError> {
        if *precondition != Precondition::None {
            return Err(CatalogError::Corrupt("a version that a condition is on"));
        }
        let bucket = bucket.as_ref().ok_or(CatalogError::NoSuchBucket)?;
        match BucketRecord::decode(&bucket.value)?.configs.contains_key(LOCK_SETTING) {
            true => Err(CatalogError::Locked),
            false => Ok(()),
        }
    }
}

/// What lies under a key of the catalog, in words. Buckets of objects are told by their ids.
pub fn name_of(key: &Key) -> String {
    told(key).unwrap_or_else(|| format!("the key {}", hex::encode(key)))
}

/// The bucket that a key of the catalog speaks of, if it is one of a bucket's.
pub fn bucket_of(key: &Key) -> Option<BucketId> {
    match key.first()? {
        &(layout::HEAD | layout::VERSION | layout::UPLOAD | layout::CONTENT | layout::BARE) => {
            Some(BucketId::from_bytes(key.get(1..17)?.try_into().ok()?))
        }
        _ => None,
    }
}

/// Is it the key of a bucket's own record?
pub fn is_bucket(key: &Key) -> bool {
    key.first() == Some(&layout::BUCKET)
}

fn told(key: &Key) -> Option<String> {
    let bucket = bucket_of(key).map(|bucket| bucket.to_string()).unwrap_or_default();
    let object = || ObjectKey::parse(&layout::name_in(key, 17).ok()?).ok();
    let rest = || str::from_utf8(key.get(1..)?).ok();
    Some(match *key.first()? {
        layout::BUCKET => format!("bucket {}", rest()?),
        layout::HEAD => format!("the current version of {:?} in bucket {bucket}", object()?.as_str()),
        layout::VERSION => {
            let version = VersionId::from_bytes(*key.last_chunk()?);
            format!("version {version} of {:?} in bucket {bucket}", object()?.as_str())
        }
        layout::UPLOAD => {
            let upload = layout::upload_id_in(key).ok()?;
            format!("upload {upload} of {:?} in bucket {bucket}", object()?.as_str())
        }
        layout::PART => {
            let version = VersionId::from_bytes(key.get(1..17)?.try_into().ok()?);
            format!("part {} of version {version}", layout::part_number(key).ok()?)
        }
        layout::COUNTER => match layout::counter_in(key) {
            Some(layout::Counter::Bucket(bucket)) => format!("a counter of bucket {bucket}"),
            Some(layout::Counter::Account(owner)) => format!("a counter of account {owner}"),
            Some(layout::Counter::Upload(upload)) => format!("the counter of upload {upload}"),
            None => "whether counters are right".to_owned(),
        },
        layout::BARE => format!("what is known of deleted names in bucket {bucket}"),
        layout::DISPLACED => "an entry of the queue of displaced blobs".to_owned(),
        layout::CONTENT => format!("the place of a content in bucket {bucket}"),
        layout::DOCUMENT => {
            let (shelf, name) = rest()?.split_once('\0')?;
            match name {
                "" => format!("the state of shelf {shelf}"),
                name => format!("document {name:?} of shelf {shelf}"),
            }
        }
        _ => return None,
    })
}
