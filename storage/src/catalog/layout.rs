//! Where each record lies: an order-preserving encoding of names into keys of the map.
//!
//! An object's name is written with every 0x00 byte escaped as 0x00 0xFF and ended by 0x00 0x00, so that byte order
//! of the encoded form is byte order of the names and no name's encoding is a prefix of another's.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};

use super::CatalogError;
use crate::kv::{GROUP_LEN, Key, prefix_end};
use crate::name::{BucketId, BucketName, ObjectKey, Timestamp, UploadId, VersionId};

/// Buckets by name.
pub(super) const BUCKET: u8 = b'B';
/// Current versions by bucket and object.
pub(super) const HEAD: u8 = b'H';
/// Other versions by bucket, object and version, newest first.
pub(super) const VERSION: u8 = b'V';
/// Uploads by bucket, object and time of initiation.
pub(super) const UPLOAD: u8 = b'U';
/// Parts by version and part number.
pub(super) const PART: u8 = b'P';
/// Displaced content by the time of its displacement.
pub(super) const DISPLACED: u8 = b'D';
/// Where content is that its own name does not tell, by bucket and content.
pub(super) const CONTENT: u8 = b'C';
/// Documents by shelf and name; under the shelf alone its state.
pub(super) const DOCUMENT: u8 = b'I';
/// Completed uploads, kept while a catalog is rebuilt.
pub(super) const COMPLETED: u8 = b'R';
/// Bare stretches by bucket and where they begin, behind the bucket's mark ([`super::bare`]).
pub(super) const BARE: u8 = b'E';
/// Sessions by their id.
pub(crate) const SESSION: u8 = b'G';
/// What sessions said last, by their id.
pub(crate) const BEAT: u8 = b'g';
/// Which session does a job, by the job's name.
pub(crate) const LEASE: u8 = b'L';

/// Counters of buckets, accounts and uploads, and whether they are right.
pub(super) const COUNTER: u8 = crate::kv::counter::COUNTER;
/// Whether counters tell all that there is.
pub(crate) const COUNTED: Key = Key::from_static(b"Ns");
/// The last session that had the records for itself and counted.
pub(crate) const COUNTS: Key = Key::from_static(b"Nk");

const TERMINATOR: [u8; 2] = [0, 0];

/// Whose counter it is.
pub(super) enum Counter {
    Bucket(BucketId),
    Account(String),
    Upload(VersionId),
}

/// The beginning of the counters of all buckets.
pub(super) fn bucket_counters() -> Key {
    Key::from_static(b"Nb")
}

/// The counter of a bucket; it is spread.
pub(super) fn bucket_counter(bucket: BucketId) -> Key {
    [&[COUNTER, b'b'], &bucket.as_bytes()[..]].concat().into()
}

/// The counter of the buckets of an account; it is spread.
pub(super) fn account_counter(owner: &str) -> Key {
    [&[COUNTER, b'a'], owner.as_bytes(), &[0]].concat().into()
}

/// The counter of the parts of an upload; it is one entry.
pub(super) fn upload_counter(upload: VersionId) -> Key {
    [&[COUNTER, b'u'], &upload.as_bytes()[..]].concat().into()
}

/// Whose counter the entry under this key is of.
pub(super) fn counter_in(key: &[u8]) -> Option<Counter> {
    match key {
        [COUNTER, b'b', id @ .., _] => Some(Counter::Bucket(BucketId::from_bytes(id.try_into().ok()?))),
        [COUNTER, b'a', owner @ .., 0, _] => Some(Counter::Account(String::from_utf8(owner.to_vec()).ok()?)),
        [COUNTER, b'u', id @ ..] => Some(Counter::Upload(VersionId::from_bytes(id.try_into().ok()?))),
        _ => None,
    }
}

/// Whose quota a condition on this counter is of.
pub(super) fn quota_of(counter: &[u8]) -> Option<super::QuotaOf> {
    match counter {
        [COUNTER, b'b', ..] => Some(super::QuotaOf::Bucket),
        [COUNTER, b'a', ..] => Some(super::QuotaOf::Account),
        _ => None,
    }
}

/// The key of a bucket's record.
pub(super) fn bucket(name: &BucketName) -> Key {
    bucket_prefix(name.as_str())
}

/// The beginning of the keys of all buckets whose names start so.
pub(super) fn bucket_prefix(prefix: &str) -> Key {
    [&[BUCKET], prefix.as_bytes()].concat().into()
}

/// A kind and a bucket's id, in front of a name in a key: engines tell of each such group whether anything in it has changed.
pub(super) const BASE_LEN: usize = GROUP_LEN;

/// The beginning of the keys of all of a bucket's records of this kind.
pub(super) fn within(kind: u8, bucket: BucketId) -> Key {
    [&[kind], &bucket.as_bytes()[..]].concat().into()
}

/// The key of an object's current version.
pub(super) fn head(bucket: BucketId, object: &ObjectKey) -> Key {
    of_name(&within(HEAD, bucket), object.as_str())
}

/// The key of a version that is not the current one.
pub(super) fn version(bucket: BucketId, object: &ObjectKey, id: VersionId) -> Key {
    let mut key = BytesMut::from(&versions(bucket, object)[..]);
    key.put_slice(id.as_bytes());
    key.freeze()
}

/// The beginning of the keys of all versions of an object but the current one.
pub(super) fn versions(bucket: BucketId, object: &ObjectKey) -> Key {
    of_name(&within(VERSION, bucket), object.as_str())
}

/// The key of what tells where content is.
pub(super) fn content(bucket: BucketId, content: VersionId) -> Key {
    [&[CONTENT], &bucket.as_bytes()[..], &content.as_bytes()[..]].concat().into()
}

/// The bucket, the object and (of a version that is not current) the id, in a version's key.
pub(super) fn version_in(key: &Key) -> Result<(BucketId, ObjectKey, Option<VersionId>), CatalogError> {
    let corrupt = CatalogError::Corrupt("a version's key");
    let bucket = key.get(1..17).and_then(|id| id.try_into().ok()).map(BucketId::from_bytes);
    let object =
        ObjectKey::parse(&name_in(key, 17)?).map_err(|_| CatalogError::Corrupt("a version's key"))?;
    let id = match key.first() {
        Some(&HEAD) => None,
        Some(&VERSION) => {
            Some(VersionId::from_bytes(*key.last_chunk().ok_or(CatalogError::Corrupt("a version's key"))?))
        }
        _ => return Err(corrupt),
    };
    Ok((bucket.ok_or(corrupt)?, object, id))
}

/// The key of an upload: uploads of one object lie in order of their initiation.
pub(super) fn upload(bucket: BucketId, object: &ObjectKey, id: UploadId) -> Key {
    let mut key = BytesMut::from(&of_name(&within(UPLOAD, bucket), object.as_str())[..]);
    key.put_slice(&flip_time(*id.0.as_bytes()));
    key.freeze()
}

/// The key of a part of an upload or of completed content.
pub(super) fn part(version: VersionId, number: u16) -> Key {
    let mut key = BytesMut::with_capacity(19);
    key.put_u8(PART);
    key.put_slice(version.as_bytes());
    key.put_u16(number);
    key.freeze()
}

/// The beginning of the keys of all parts of a version.
pub(super) fn parts(version: VersionId) -> Key {
    [&[PART], &version.as_bytes()[..]].concat().into()
}

/// The number of the part that lies under this key.
pub(super) fn part_number(key: &[u8]) -> Result<u16, CatalogError> {
    match key {
        [PART, .., high, low] if key.len() == 19 => Ok(u16::from_be_bytes([*high, *low])),
        _ => Err(CatalogError::Corrupt("a part's key")),
    }
}

/// A key for a displaced content: in order of time, unique by `salt`.
pub(super) fn displaced(unix_ms: u64, salt: [u8; 8]) -> Key {
    let mut key = BytesMut::with_capacity(17);
    key.put_u8(DISPLACED);
    key.put_u64(unix_ms);
    key.put_slice(&salt);
    key.freeze()
}

/// When something was displaced, by its key.
pub(super) fn displaced_at(key: &[u8]) -> Option<Timestamp> {
    Some(Timestamp(u64::from_be_bytes(key.get(1..9)?.try_into().ok()?)))
}

/// The key that is behind everything displaced before this time.
pub(super) fn displaced_end(unix_ms: u64) -> Key {
    let mut key = BytesMut::with_capacity(9);
    key.put_u8(DISPLACED);
    key.put_u64(unix_ms);
    key.freeze()
}

/// The mark that this upload was completed.
pub(super) fn completed(version: VersionId) -> Key {
    [&[COMPLETED], &version.as_bytes()[..]].concat().into()
}

/// The key of a shelf's state, with which the keys of its documents begin.
pub(super) fn shelf(shelf: &str) -> Key {
    [&[DOCUMENT], shelf.as_bytes(), &[0]].concat().into()
}

/// The shelf in the key of a document, or of the shelf's state.
pub(super) fn shelf_in(key: &[u8]) -> Option<String> {
    let rest = key.strip_prefix(&[DOCUMENT])?;
    let end = rest.iter().position(|&byte| byte == 0)?;
    String::from_utf8(rest[..end].to_vec()).ok()
}

/// The key of a document, whose name is not empty.
pub(super) fn document(shelf: &Key, name: &str) -> Key {
    [&shelf[..], name.as_bytes()].concat().into()
}

/// `base` and a whole name, so that what follows orders records of one name.
pub(super) fn of_name(base: &[u8], name: &str) -> Key {
    let mut key = BytesMut::with_capacity(base.len() + name.len() + 18);
    key.put_slice(base);
    escape(name, &mut key);
    key.put_slice(&TERMINATOR);
    key.freeze()
}

/// `base` and the beginning of names.
pub(super) fn of_name_prefix(base: &[u8], prefix: &str) -> Key {
    let mut key = BytesMut::with_capacity(base.len() + prefix.len());
    key.put_slice(base);
    escape(prefix, &mut key);
    key.freeze()
}

/// The first key behind every record of this name, or of all names that start so, in a key made here.
pub(super) fn behind(key: &[u8]) -> Key {
    prefix_end(key).expect("a key starts with a kind, which is below 0xFF")
}

/// The same place among the keys of another kind.
pub(super) fn of_kind(kind: u8, key: &[u8]) -> Key {
    [&[kind], &key[1..]].concat().into()
}

/// The least key above this one.
pub(super) fn successor(key: &[u8]) -> Key {
    [key, &[0]].concat().into()
}

/// The name in a key that starts with `base_len` bytes of kind and bucket.
pub(super) fn name_in(key: &[u8], base_len: usize) -> Result<Cow<'_, str>, CatalogError> {
    let corrupt = CatalogError::Corrupt("an object's name in a key");
    let mut rest = key.get(base_len..).unwrap_or_default();
    // Nearly every name is without a zero byte.
    if let Some(end) = memchr::memchr(0, rest)
        && rest.get(end + 1) == Some(&0)
    {
        return str::from_utf8(&rest[..end]).map(Cow::Borrowed).map_err(|_| corrupt);
    }
    let mut name = Vec::with_capacity(rest.len());
    loop {
        match rest {
            [0, 0, ..] => break,
            [0, 0xff, tail @ ..] => {
                name.push(0);
                rest = tail;
            }
            [0, ..] | [] => return Err(corrupt),
            [byte, tail @ ..] => {
                name.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(name).map(Cow::Owned).map_err(|_| corrupt)
}

/// The object, and the upload's id, of an upload's key.
pub(super) fn upload_id_in(key: &Bytes) -> Result<UploadId, CatalogError> {
    let tail = key.last_chunk::<16>().ok_or(CatalogError::Corrupt("an upload's key"))?;
    Ok(UploadId(VersionId::from_bytes(flip_time(*tail))))
}

fn escape(name: &str, out: &mut BytesMut) {
    if !name.as_bytes().contains(&0) {
        return out.put_slice(name.as_bytes());
    }
    for &byte in name.as_bytes() {
        out.put_u8(byte);
        if byte == 0 {
            out.put_u8(0xff);
        }
    }
}

/// Ids order newest first, uploads are listed oldest first: inverts the half that is the time.
fn flip_time(mut id: [u8; 16]) -> [u8; 16] {
    id[..8].iter_mut().for_each(|byte| *byte = !*byte);
    id
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_order_as_names_do(a in "[\u{0}\u{1}a\u{ff}é]{1,6}", b in "[\u{0}\u{1}a\u{ff}é]{1,6}") {
            let base = within(HEAD, BucketId::from_bytes([0xff; 16]));
            prop_assert_eq!(of_name(&base, &a).cmp(&of_name(&base, &b)), a.as_bytes().cmp(b.as_bytes()));
            let key = of_name(&base, &a);
            prop_assert_eq!(name_in(&key, base.len()).expect("it decodes").into_owned(), a.clone());
            prop_assert_eq!(of_name(&base, &a).starts_with(&of_name_prefix(&base, &b)), a.starts_with(&b));
        }
    }

    #[test]
    fn uploads_of_an_object_order_by_initiation() {
        let bucket = BucketId::random();
        let object = ObjectKey::parse("o").expect("a name");
        let ids = [1, 2, 300].map(|us| UploadId(VersionId::new(us)));
        let keys = ids.map(|id| upload(bucket, &object, id));
        assert!(keys.is_sorted());
        assert_eq!(upload_id_in(&keys[1]).expect("it decodes"), ids[1]);
    }
}
