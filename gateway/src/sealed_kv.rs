//! The [`KeyValue`] decorator that seals every catalog value, and the metadata key it seals under.

mod recent;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use kms_core::secret::Secret32;
use parking_lot::Mutex;
use storage::catalog::is_bucket;
use storage::digest::{Digest, Digester, Element};
use storage::kv::counter::is_counter;
use storage::kv::{
    Direction, Entry, Key, KeyRange, KeyValue, KvError, Limits, Mark, Place, Snapshot, Standing, Transaction,
    Write,
};

use storage::name::Timestamp;

use self::recent::Recent;
pub use crate::seal::xaes::Unsealable;
use crate::seal::xaes::Xaes;

/// What catalog values are sealed as.
const CATALOG: &str = "catalog";
/// Additional data up to this many bytes costs no allocation: names of most records.
const SHORT_DATA_LEN: usize = 256;
/// The most bytes of bucket records that are kept open.
const OPENED_LEN: usize = 4 << 20;

/// Seals catalog values and blob trailers: XAES-256-GCM, a random 192-bit nonce in front.
pub struct MetadataKey(Xaes);

impl MetadataKey {
    /// The key of these bytes.
    pub fn new(secret: Secret32) -> Self {
        Self(Xaes::new(&secret))
    }

    /// Seals `plain`, bound to `purpose` and `name` (tree and key of a value; kind and owner of a trailer).
    pub fn seal(&self, purpose: &str, name: &[u8], plain: &[u8]) -> Vec<u8> {
        with_additional_data(purpose, name, |data| self.0.seal(data, plain))
    }

    /// Opens what [`MetadataKey::seal`] made for the same purpose and name.
    pub fn open(&self, purpose: &str, name: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        with_additional_data(purpose, name, |data| self.0.open(data, sealed))
    }

    /// As [`MetadataKey::open`], behind what is in `out`, to which nothing comes if it does not open.
    fn open_onto(
        &self,
        purpose: &str,
        name: &[u8],
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Unsealable> {
        with_additional_data(purpose, name, |data| self.0.open_onto(data, sealed, out))
    }
}

/// Runs this with the purpose (which holds no zero byte), a zero byte and the name.
fn with_additional_data<T>(purpose: &str, name: &[u8], run: impl FnOnce(&[u8]) -> T) -> T {
    let pieces = [purpose.as_bytes(), &[0], name];
    let mut short = [0; SHORT_DATA_LEN];
    let Some(room) = short.get_mut(..pieces.iter().map(|piece| piece.len()).sum()) else {
        return run(&pieces.concat());
    };
    let mut rest = &mut *room;
    for piece in pieces {
        let (place, behind) = rest.split_at_mut(piece.len());
        place.copy_from_slice(piece);
        rest = behind;
    }
    run(room)
}

/// An engine whose values are sealed, each bound to its key: a value that was changed, moved or made elsewhere is handed on as damaged
/// ([`Entry::is_damaged`]), so that it hides no other. Keys lie in the clear, since their order is the engine's; and counters, since the engine adds to them and
/// holds no key.
#[derive(Clone)]
pub struct SealedKv {
    inner: Arc<dyn KeyValue>,
    metadata_key: Arc<MetadataKey>,
    recent: Arc<Recent>,
    opened: Arc<Mutex<OpenedBuckets>>,
}

/// Records of buckets that were opened lately, by their keys: each request reads its bucket's, which changes seldom. What is here is used for
/// the very bytes that were opened alone, so nothing has to be told when a record changes.
#[derive(Default)]
struct OpenedBuckets {
    /// Sealed, and opened.
    records: HashMap<Key, (Bytes, Bytes)>,
    /// Bytes of them all.
    len: usize,
}

impl OpenedBuckets {
    fn find(&self, name: &Key, sealed: &Bytes) -> Option<Bytes> {
        self.records.get(name).filter(|(known, _)| known == sealed).map(|(_, plain)| plain.clone())
    }

    fn keep(&mut self, name: &Key, sealed: Bytes, plain: Bytes) {
        let len = |(sealed, plain): &(Bytes, Bytes)| name.len() + sealed.len() + plain.len();
        let record = (sealed, plain);
        if self.len + len(&record) > OPENED_LEN {
            *self = Self::default();
        }
        self.len += len(&record);
        if let Some(former) = self.records.insert(name.clone(), record) {
            self.len -= len(&former);
        }
    }
}

impl SealedKv {
    /// Seals what is in `inner`.
    pub fn new(inner: Arc<dyn KeyValue>, metadata_key: Arc<MetadataKey>) -> Self {
        Self { inner, metadata_key, recent: Arc::default(), opened: Arc::default() }
    }

    /// An entry that was read and opened before and is still so, or the mark to keep it by.
    fn find(&self, name: &Key) -> (Option<Mark>, Option<Entry>) {
        // Counters change all the time.
        let mark = if is_counter(name) { None } else { self.inner.mark(Place::Key(name)) };
        (mark, mark.and_then(|mark| self.recent.find(name, mark)))
    }

    fn open_often(&self, name: &Key, entry: Entry) -> Entry {
        if !is_bucket(name) {
            return self.open(name, entry);
        }
        let revision = entry.revision;
        if let Some(value) = self.opened.lock().find(name, &entry.value) {
            return Entry { value, revision };
        }
        // A copy: an engine's value may be a part of something larger, which would be kept with it.
        let sealed = Bytes::copy_from_slice(&entry.value);
        let opened = self.open(name, entry);
        if !opened.is_damaged() {
            self.opened.lock().keep(name, sealed, opened.value.clone());
        }
        opened
    }

    fn open(&self, name: &Key, entry: Entry) -> Entry {
        if is_counter(name) {
            return entry;
        }
        match self.metadata_key.open(CATALOG, name, &entry.value) {
            Ok(plain) => Entry { value: plain.into(), revision: entry.revision },
            Err(_) => Entry::damaged(entry.revision),
        }
    }

    /// Opens a page of entries, whose values share a buffer then.
    fn open_page(&self, entries: Vec<(Key, Entry)>) -> Vec<(Key, Entry)> {
        let mut page = Vec::with_capacity(entries.iter().map(|(_, entry)| entry.value.len()).sum());
        let places: Vec<_> = entries
            .iter()
            .map(|(name, entry)| {
                let start = page.len();
                if is_counter(name) {
                    page.extend_from_slice(&entry.value);
                } else {
                    self.metadata_key.open_onto(CATALOG, name, &entry.value, &mut page).ok()?;
                }
                Some(start..page.len())
            })
            .collect();
        let page = Bytes::from(page);
        let opened = entries.into_iter().zip(places).map(|((name, Entry { revision, .. }), place)| {
            let entry = match place {
                Some(place) => Entry { value: page.slice(place), revision },
                None => Entry::damaged(revision),
            };
            (name, entry)
        });
        opened.collect()
    }
}

#[async_trait]
impl KeyValue for SealedKv {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, KvError> {
        let mut found: Vec<_> = keys.iter().map(|name| self.find(name)).collect();
        let absent: Vec<Key> =
            keys.iter().zip(&found).filter(|(_, (_, e))| e.is_none()).map(|(name, _)| name.clone()).collect();
        if !absent.is_empty() {
            let entries = self.inner.get(&absent).await?;
            let places = keys.iter().zip(&mut found).filter(|(_, (_, entry))| entry.is_none());
            for ((name, (mark, place)), entry) in places.zip(entries) {
                *place = entry.map(|entry| self.open_often(name, entry));
                if let (Some(mark), Some(entry)) = (*mark, place)
                    && !entry.is_damaged()
                {
                    self.recent.offer(name, mark, entry);
                }
            }
        }
        Ok(found.into_iter().map(|(_, entry)| entry).collect())
    }

    async fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, KvError> {
        Ok(self.open_page(self.inner.scan(range, direction, limit).await?))
    }

    async fn commit(&self, mut transaction: Transaction) -> Result<(), KvError> {
        for write in &mut transaction.writes {
            if let Write::Put(name, value) = write
                && !is_counter(name)
            {
                *value = self.metadata_key.seal(CATALOG, name, value).into();
            }
        }
        self.inner.commit(transaction).await
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, KvError> {
        let inner = self.inner.snapshot().await?;
        Ok(Box::new(Opened { inner, kv: self.clone() }))
    }

    async fn verify(&self) -> Result<u64, KvError> {
        self.inner.verify().await
    }

    fn standing(&self) -> Standing {
        self.inner.standing()
    }

    fn mark(&self, place: Place<'_>) -> Option<Mark> {
        self.inner.mark(place)
    }

    async fn clock(&self) -> Result<Option<Timestamp>, KvError> {
        self.inner.clock().await
    }
}

/// The entries of one moment, opened.
struct Opened {
    inner: Box<dyn Snapshot>,
    kv: SealedKv,
}

#[async_trait]
impl Snapshot for Opened {
    async fn next(&mut self) -> Result<Vec<(Key, Entry)>, KvError> {
        Ok(self.kv.open_page(self.inner.next().await?))
    }
}

/// What digests are sealed as.
const DIGEST: &str = "catalog digest";

/// Makes the digest over all records: HMAC-SHA-256 of the name (its length in front) and the sealed value, under a secret of its
/// own; the sum is sealed under the metadata key, bound to the commit's number. So who writes the medium can neither make the
/// digest of another set of records, nor learn from the digests of two commits what to add.
pub struct RecordDigester {
    hmac: aws_lc_rs::hmac::Key,
    metadata_key: Arc<MetadataKey>,
}

impl RecordDigester {
    /// Under this secret.
    pub fn new(secret: &Secret32, metadata_key: Arc<MetadataKey>) -> Self {
        Self { hmac: aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.expose()), metadata_key }
    }
}

impl Digester for RecordDigester {
    fn element(&self, name: &[u8], value: &[&[u8]]) -> Element {
        let mut context = aws_lc_rs::hmac::Context::with_key(&self.hmac);
        context.update(&(name.len() as u64).to_le_bytes());
        context.update(name);
        value.iter().for_each(|piece| context.update(piece));
        let mut element = Element::default();
        element.copy_from_slice(context.sign().as_ref());
        element
    }

    fn seal(&self, number: u64, digest: &Digest) -> Vec<u8> {
        self.metadata_key.seal(DIGEST, &number.to_be_bytes(), &digest.to_bytes())
    }

    fn open(&self, number: u64, sealed: &[u8]) -> Option<Digest> {
        let plain = self.metadata_key.open(DIGEST, &number.to_be_bytes(), sealed).ok()?;
        Some(Digest::from_bytes(&plain.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use kms_core::secret::Secret32;
    use storage::kv::memory::MemoryKv;

    use super::*;

    #[tokio::test]
    async fn a_value_that_does_not_open_is_handed_on_as_damaged_and_can_be_replaced() {
        let inner = Arc::new(MemoryKv::new());
        let sealed = SealedKv::new(inner.clone(), Arc::new(MetadataKey::new(Secret32::take(&mut [7; 32]))));
        let keys: Vec<Key> = ["a", "b", "c"].map(Key::from).to_vec();
        let put = |key: &Key, value: &'static str| Write::Put(key.clone(), value.into());
        let writes = keys.iter().map(|key| put(key, "v")).collect();
        sealed.commit(Transaction { conditions: vec![], writes }).await.unwrap();
        // One value flipped, one moved from another key.
        let stored = inner.get(&keys).await.unwrap();
        let mut flipped = stored[1].clone().unwrap().value.to_vec();
        flipped[30] ^= 1;
        let moved = stored[0].clone().unwrap().value;
        let writes = vec![Write::Put(keys[1].clone(), flipped.into()), Write::Put(keys[2].clone(), moved)];
        inner.commit(Transaction { conditions: vec![], writes }).await.unwrap();

        let found = sealed.get(&keys).await.unwrap();
        let damaged: Vec<bool> =
            found.iter().map(|entry| entry.as_ref().expect("it is there").is_damaged()).collect();
        assert_eq!(damaged, [false, true, true]);
        let all = KeyRange { start: Key::new(), end: None };
        let scanned = sealed.scan(all, Direction::Forward, 10).await.unwrap();
        assert_eq!(scanned.iter().map(|(_, entry)| entry.is_damaged()).collect::<Vec<_>>(), damaged);
        let absent = vec![storage::kv::Condition::Absent(keys[1].clone())];
        let refused = sealed.commit(Transaction { conditions: absent, writes: vec![] }).await;
        assert!(matches!(refused, Err(KvError::Conflict { .. })), "it is not absent");
        let at = vec![storage::kv::Condition::At(keys[1].clone(), scanned[1].1.revision)];
        let writes = vec![put(&keys[1], "w")];
        sealed.commit(Transaction { conditions: at, writes }).await.unwrap();
        assert_eq!(sealed.get(&keys[1..2]).await.unwrap()[0].as_ref().unwrap().value, "w");
    }

    #[tokio::test]
    async fn a_bucket_that_was_opened_is_still_what_the_engine_holds_now() {
        let inner = Arc::new(MemoryKv::new());
        let sealed = SealedKv::new(inner.clone(), Arc::new(MetadataKey::new(Secret32::take(&mut [7; 32]))));
        let keys: Vec<Key> = ["Bone", "Bother"].map(Key::from).to_vec();
        for value in ["first", "second"] {
            let writes = keys.iter().map(|key| Write::Put(key.clone(), value.into())).collect();
            sealed.commit(Transaction { conditions: vec![], writes }).await.unwrap();
            for _ in 0..2 {
                let found = sealed.get(&keys).await.unwrap();
                assert!(found.iter().all(|entry| entry.as_ref().is_some_and(|entry| entry.value == value)));
            }
        }
        assert_eq!(sealed.opened.lock().records.len(), 2);
        // What lies under another name, or was changed, does not open because it once did.
        let stored = inner.get(&keys).await.unwrap();
        let mut flipped = stored[0].clone().unwrap().value.to_vec();
        flipped[30] ^= 1;
        let moved = stored[0].clone().unwrap().value;
        let writes = vec![Write::Put(keys[0].clone(), flipped.into()), Write::Put(keys[1].clone(), moved)];
        inner.commit(Transaction { conditions: vec![], writes }).await.unwrap();
        let found = sealed.get(&keys).await.unwrap();
        assert!(found.iter().all(|entry| entry.as_ref().is_some_and(Entry::is_damaged)));
    }

    #[test]
    fn opened_buckets_are_bounded() {
        let mut opened = OpenedBuckets::default();
        let record = Bytes::from(vec![0; 64 << 10]);
        for n in 0..1000_u32 {
            opened.keep(&Key::from(n.to_be_bytes().to_vec()), record.clone(), record.clone());
            assert!(opened.len <= OPENED_LEN);
        }
        let lens =
            opened.records.iter().map(|(name, (sealed, plain))| name.len() + sealed.len() + plain.len());
        assert_eq!(lens.sum::<usize>(), opened.len);
        assert!(!opened.records.is_empty());
    }

    #[test]
    fn a_digest_opens_for_its_commit_alone_and_elements_tell_names_from_values() {
        let metadata_key = Arc::new(MetadataKey::new(Secret32::random()));
        let digester = RecordDigester::new(&Secret32::random(), metadata_key);
        let element = digester.element(b"ab", &[b"c", b"d"]);
        assert_eq!(element, digester.element(b"ab", &[b"cd"]));
        assert_ne!(element, digester.element(b"a", &[b"bcd"]));
        let digest = Digest::from_bytes(&element);
        let sealed = digester.seal(5, &digest);
        assert!(sealed.len() <= 128);
        assert_eq!(digester.open(5, &sealed), Some(digest));
        assert_eq!(digester.open(6, &sealed), None);
        let other = RecordDigester::new(&Secret32::random(), Arc::new(MetadataKey::new(Secret32::random())));
        assert_ne!(element, other.element(b"ab", &[b"cd"]));
        assert_eq!(other.open(5, &sealed), None);
    }
}
