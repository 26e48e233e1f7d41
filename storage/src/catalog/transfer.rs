//! Records on their way to another catalog: which of them go, what they refer to, and whether two of them say the same.
//!
//! Blobs get other ids in another store, so two records are the same if they are so but for the ids of the blobs that they refer to.

use bytes::Bytes;

use super::displaced::displaced_blob;
use super::record::{
    BucketRecord, ContentPlace, DisplacedRecord, DisplacedWhat, LayoutRecord, PartRecord, Record,
    UploadRecord, VersionRecord,
};
use super::{Catalog, CatalogError, SCAN_LEN, layout, name_of};
use crate::blob::BlobRef;
use crate::kv::{Direction, Entry, Key, KeyRange, Write};
use crate::name::BlobId;

/// What one step of a comparison of two catalogs found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// Records of both that say the same.
    pub same: u64,
    /// Blobs that such records refer to, here and there.
    pub blobs: Vec<(BlobRef, BlobRef)>,
    /// Records that say something else there, or are missing.
    pub differing: Vec<Key>,
    /// Records that are there and not here.
    pub surplus: Vec<Key>,
    /// Records here that can't be read, or that this build does not know.
    pub unreadable: Vec<Key>,
}

/// What a step of a copy did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// Records that were the same already.
    pub same: u64,
    /// Records written.
    pub written: u64,
    /// Records taken away, which are here no more.
    pub removed: u64,
    /// Records here that can't be read: they were left out. In words.
    pub unreadable: Vec<String>,
}

/// Kinds of records that are of one catalog and its sessions alone: sessions, their heartbeats, leases, what the cluster is, what was
/// counted, and bare stretches: the other one counts and looks for itself.
const OF_ITSELF: [u8; 7] =
    [layout::COMPLETED, layout::BARE, layout::SESSION, b'g', b'L', b'M', layout::COUNTER];

/// Does this record go to another catalog?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Travels {
    Yes,
    /// It is of this catalog and its sessions alone.
    No,
    Unknown,
}

fn travels(key: &[u8]) -> Travels {
    match key.first() {
        Some(
            &(layout::BUCKET
            | layout::HEAD
            | layout::VERSION
            | layout::UPLOAD
            | layout::PART
            | layout::CONTENT
            | layout::DOCUMENT),
        ) => Travels::Yes,
        // What is displaced is not copied; parts and uploads that wait for their end go with the record of that.
        Some(&layout::DISPLACED) => Travels::Yes,
        Some(kind) if OF_ITSELF.contains(kind) => Travels::No,
        _ => Travels::Unknown,
    }
}

/// A record with every blob that it refers to replaced; `None` where it does not go to another catalog.
fn replaced(
    key: &Key,
    value: &Bytes,
    of: &mut impl FnMut(BlobRef) -> BlobRef,
) -> Result<Option<Bytes>, CatalogError> {
    let mut journal = |journal: &mut Option<BlobRef>| *journal = journal.map(&mut *of);
    Ok(Some(match key.first() {
        Some(&layout::BUCKET) => {
            let mut record = BucketRecord::decode(value)?;
            journal(&mut record.journal);
            record.encode()
        }
        Some(&(layout::HEAD | layout::VERSION)) => {
            let mut record = VersionRecord::decode(value)?;
            journal(&mut record.journal);
            if let Some(content) = &mut record.content
                && let LayoutRecord::Single(blob) = &mut content.layout
            {
                *blob = of(*blob);
            }
            record.encode()
        }
        Some(&layout::UPLOAD) => {
            let mut record = UploadRecord::decode(value)?;
            journal(&mut record.journal);
            record.encode()
        }
        Some(&layout::PART) => {
            let mut record = PartRecord::decode(value)?;
            record.blob = of(record.blob);
            record.encode()
        }
        Some(&layout::CONTENT) => ContentPlace::decode(value)?.encode(),
        Some(&layout::DISPLACED) => {
            let record = DisplacedRecord::decode(value)?;
            match record.what {
                DisplacedWhat::Blob(_) => return Ok(None),
                DisplacedWhat::Parts { .. } | DisplacedWhat::Uploads(_) => record.encode(),
            }
        }
        Some(&layout::DOCUMENT) => value.clone(),
        _ => return Ok(None),
    }))
}

/// A record as it is compared: without the ids of its blobs, which are told beside it.
fn comparable(key: &Key, entry: &Entry) -> Result<Option<(Bytes, Vec<BlobRef>)>, CatalogError> {
    if entry.is_damaged() {
        return Err(CatalogError::Corrupt("a record"));
    }
    let mut blobs = Vec::new();
    let bare = replaced(key, &entry.value, &mut |blob| {
        blobs.push(blob);
        BlobRef { id: BlobId::from_bytes([0; 16]), ..blob }
    })?;
    Ok(bare.map(|bare| (bare, blobs)))
}

/// One record here and what stands in its place there.
enum Pair {
    Same(Vec<(BlobRef, BlobRef)>),
    Differs { here: Bytes, there: Vec<BlobRef> },
    Surplus(Vec<BlobRef>),
    Unreadable,
    Neither,
}

fn pair(key: &Key, here: Option<&Entry>, there: Option<&Entry>) -> Pair {
    let there = there.and_then(|entry| comparable(key, entry).transpose());
    let of_there = |there: Option<Result<(Bytes, Vec<BlobRef>), CatalogError>>| match there {
        Some(Ok((_, blobs))) => blobs,
        Some(Err(_)) | None => Vec::new(),
    };
    let Some(entry) = here else {
        return match there {
            Some(_) => Pair::Surplus(of_there(there)),
            None => Pair::Neither,
        };
    };
    match (comparable(key, entry), travels(key), there) {
        (Err(_), ..) | (_, Travels::Unknown, _) => Pair::Unreadable,
        (Ok(None), _, None) => Pair::Neither,
        (Ok(None), _, there) => Pair::Surplus(of_there(there)),
        (Ok(Some((bare, blobs))), _, Some(Ok((other, others)))) if bare == other => {
            Pair::Same(blobs.into_iter().zip(others).collect())
        }
        (Ok(Some(_)), _, there) => Pair::Differs { here: entry.value.clone(), there: of_there(there) },
    }
}

type Rows = Vec<(Key, Option<Entry>, Option<Entry>)>;

impl Catalog {
    /// The next records of both catalogs, by their keys, and where to go on.
    async fn beside(&self, other: &Self, after: Option<Key>) -> Result<(Rows, Option<Key>), CatalogError> {
        let start = after.map_or_else(Key::new, |after| layout::successor(&after));
        let range = KeyRange { start, end: None };
        let (here, there) = futures_util::try_join!(
            self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN),
            other.kv.scan(range, Direction::Forward, SCAN_LEN)
        )?;
        // Of both only what lies before the end of either is seen whole.
        let full_end =
            |rows: &[(Key, Entry)]| rows.last().filter(|_| rows.len() == SCAN_LEN).map(|row| row.0.clone());
        let end = [full_end(&here), full_end(&there)].into_iter().flatten().min();
        let is_within = |row: &(Key, Entry)| end.as_ref().is_none_or(|end| row.0 <= *end);
        let mut rows = Rows::new();
        let mut here = here.into_iter().filter(is_within).peekable();
        let mut there = there.into_iter().filter(is_within).peekable();
        loop {
            let order = match (here.peek(), there.peek()) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(one), Some(other)) => one.0.cmp(&other.0),
            };
            let one = if order.is_le() { here.next() } else { None };
            let other = if order.is_ge() { there.next() } else { None };
            let key = one.as_ref().or(other.as_ref()).map(|row| row.0.clone()).unwrap_or_default();
            rows.push((key, one.map(|row| row.1), other.map(|row| row.1)));
        }
        Ok((rows, end))
    }

    /// Makes the next records of `to` those of this catalog; begin with `None`, end when it answers `None`. Those that are the same but
    /// for their blobs' ids stay. Others refer to blobs of this catalog's store until [`Catalog::relocate`] says otherwise. What
    /// records there referred to before is displaced there.
    ///
    /// # Errors
    /// When either catalog can't be read, or `to` not be written.
    pub async fn copy_to(
        &self,
        to: &Self,
        after: Option<Key>,
    ) -> Result<(Copied, Option<Key>), CatalogError> {
        if after.is_none() {
            to.forget_stretches(None).await?;
        }
        let (rows, next) = self.beside(to, after).await?;
        let (mut copied, mut writes) = (Copied::default(), Vec::<Vec<Write>>::new());
        for (key, here, there) in rows {
            match pair(&key, here.as_ref(), there.as_ref()) {
                Pair::Same(_) => copied.same += 1,
                Pair::Differs { here, there } => {
                    copied.written += 1;
                    let displaced = there.into_iter().map(|blob| displaced_blob(None, blob));
                    writes.push(std::iter::once(Write::Put(key, here)).chain(displaced).collect());
                }
                Pair::Surplus(blobs) if travels(&key) == Travels::Yes => {
                    copied.removed += 1;
                    let displaced = blobs.into_iter().map(|blob| displaced_blob(None, blob));
                    writes.push(std::iter::once(Write::Delete(key)).chain(displaced).collect());
                }
                Pair::Unreadable if travels(&key) != Travels::No => copied.unreadable.push(name_of(&key)),
                Pair::Surplus(_) | Pair::Unreadable | Pair::Neither => {}
            }
        }
        if !writes.is_empty() {
            // With the first of them: what follows is not counted either.
            writes.insert(0, vec![Write::Delete(layout::COUNTED)]);
            to.commit_apart(writes).await?;
        }
        Ok((copied, next))
    }

    /// Compares the next records with those of `other`; begin with `None`, end when it answers `None`.
    ///
    /// # Errors
    /// When either catalog can't be read.
    pub async fn compare_with(
        &self,
        other: &Self,
        after: Option<Key>,
    ) -> Result<(Compared, Option<Key>), CatalogError> {
        let (rows, next) = self.beside(other, after).await?;
        let mut compared = Compared::default();
        for (key, here, there) in rows {
            match pair(&key, here.as_ref(), there.as_ref()) {
                Pair::Same(blobs) => {
                    compared.same += 1;
                    compared.blobs.extend(blobs);
                }
                Pair::Differs { .. } => compared.differing.push(key),
                Pair::Surplus(_) if travels(&key) == Travels::Yes => compared.surplus.push(key),
                Pair::Unreadable if travels(&key) != Travels::No => compared.unreadable.push(key),
                Pair::Surplus(_) | Pair::Unreadable | Pair::Neither => {}
            }
        }
        Ok((compared, next))
    }
}
