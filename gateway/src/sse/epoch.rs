//! Keys that are shared by many objects for a while: SSE-S3's epochs and bucket-level KMS keys.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use foldhash::HashMap;
use kms_core::context::EncryptionContext;
use kms_core::error::KmsError;
use kms_core::kms::{Caller, Kms};
use kms_core::secret::{Secret32, SecretBytes};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use storage::name::BucketId;

use super::{SSE_S3_PURPOSE, SseError};
use crate::observe::metrics::SSE_KMS;
use crate::seal::xaes::Xaes;

/// How many objects one epoch wraps at most, and for how long.
const MAX_USES: u32 = 1 << 20;
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// How many opened epochs are kept in memory.
const MAX_OPENED: usize = 1024;

/// An epoch as each of its objects' envelopes keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct StoredEpoch {
    /// Which epoch: random.
    pub(super) id: [u8; 16],
    /// Its key under KMS.
    pub(super) ciphertext: ByteBuf,
}

/// The key that a data key of KMS is.
pub(super) fn wrapping_key(plaintext: &SecretBytes) -> Result<Xaes, SseError> {
    let mut secret: [u8; 32] = plaintext.expose().try_into().map_err(|_| SseError::Tampered)?;
    Ok(Xaes::new(&Secret32::take(&mut secret)))
}

/// An epoch, opened.
pub(super) struct Epoch {
    pub(super) stored: StoredEpoch,
    /// ARN of the KMS key that wraps it; empty for the gateway's own.
    pub(super) key_arn: String,
    pub(super) wrapping: Xaes,
    since: Instant,
    uses: AtomicU32,
}

impl Epoch {
    fn new(stored: StoredEpoch, key_arn: String, wrapping: Xaes) -> Arc<Self> {
        Arc::new(Self { stored, key_arn, wrapping, since: Instant::now(), uses: AtomicU32::new(0) })
    }

    /// Counts one more use, unless the epoch is used up.
    fn use_once(&self) -> bool {
        self.since.elapsed() < MAX_AGE && self.uses.fetch_add(1, Ordering::Relaxed) < MAX_USES
    }
}

/// SSE-S3's epochs: a new one at each start, each day, and after a million objects; no KMS call per object.
#[derive(Default)]
pub(super) struct Epochs {
    current: Mutex<Option<Arc<Epoch>>>,
    opened: Bounded<[u8; 16], Arc<Epoch>>,
}

impl Epochs {
    /// The epoch that new objects are wrapped under.
    pub(super) fn current(&self, kms: &Kms) -> Result<Arc<Epoch>, SseError> {
        let mut current = self.current.lock();
        if let Some(epoch) = current.as_ref().filter(|epoch| epoch.use_once()) {
            return Ok(epoch.clone());
        }
        let id = random_id();
        let data_key = kms.generate_internal_key(SSE_S3_PURPOSE, &s3_context(&id))?;
        let stored = StoredEpoch { id, ciphertext: data_key.ciphertext_blob.into() };
        let epoch = Epoch::new(stored, String::new(), wrapping_key(&data_key.plaintext)?);
        *current = Some(epoch.clone());
        self.opened.insert(id, epoch.clone());
        Ok(epoch)
    }

    /// The epoch of an envelope.
    pub(super) fn opened(&self, kms: &Kms, stored: &StoredEpoch) -> Result<Arc<Epoch>, SseError> {
        if let Some(epoch) = self.opened.get(&stored.id).filter(|epoch| epoch.stored == *stored) {
            return Ok(epoch);
        }
        let secret = kms.decrypt_internal_key(SSE_S3_PURPOSE, &stored.ciphertext, &s3_context(&stored.id));
        let secret = secret.map_err(|error| match error {
            KmsError::InvalidCiphertext => SseError::Tampered,
            other => other.into(),
        })?;
        let epoch = Epoch::new(stored.clone(), String::new(), wrapping_key(&secret)?);
        self.opened.insert(stored.id, epoch.clone());
        Ok(epoch)
    }
}

/// When KMS allowed it, and what.
type Remembered = (Instant, Arc<Epoch>);

/// Bucket-level KMS keys. A cache can only ever extend *allowed*, per principal, and only for the window.
pub(super) struct BucketKeys {
    window: Duration,
    /// By the caller's credentials (sessions of one name may have other policies), bucket and KMS key as named.
    writing: Bounded<(Arc<str>, BucketId, String), Remembered>,
    /// By the caller's credentials, bucket and epoch.
    reading: Bounded<(Arc<str>, BucketId, [u8; 16]), Remembered>,
}

impl BucketKeys {
    pub(super) fn new(window: Duration) -> Self {
        Self { window, writing: Bounded::default(), reading: Bounded::default() }
    }

    /// Remembers no key for writing any more.
    pub(super) fn forget(&self) {
        self.writing.0.lock().clear();
    }

    /// The bucket-level key that new objects of this caller are wrapped under, if KMS allowed it a moment ago.
    pub(super) fn remembered_for_writing(&self, uses: BucketKeyUse<'_>, key_id: &str) -> Option<Arc<Epoch>> {
        let (since, epoch) = self.writing.get(&uses.writing_place(key_id)).filter(|_| uses.is_shareable())?;
        if since.elapsed() >= self.window || !epoch.use_once() {
            return None;
        }
        uses.kms.record_remembered(uses.caller, "kms:GenerateDataKey", &epoch.stored.ciphertext, uses.bound);
        Some(epoch)
    }

    /// The bucket-level key that new objects of this caller are wrapped under, if KMS allows it now.
    pub(super) fn for_writing(&self, uses: BucketKeyUse<'_>, key_id: &str) -> Result<Arc<Epoch>, SseError> {
        let data_key = uses.kms.generate_data_key(uses.caller, key_id, uses.bound);
        SSE_KMS.generated(&data_key);
        let data_key = data_key?;
        let stored = StoredEpoch { id: random_id(), ciphertext: data_key.ciphertext_blob.into() };
        let epoch = Epoch::new(stored, data_key.key_arn, wrapping_key(&data_key.plaintext)?);
        if uses.is_shareable() && !self.window.is_zero() {
            self.writing.insert(uses.writing_place(key_id), (Instant::now(), epoch.clone()));
        }
        Ok(epoch)
    }

    /// The bucket-level key of an envelope, if KMS allowed it a moment ago.
    pub(super) fn remembered_for_reading(
        &self,
        uses: BucketKeyUse<'_>,
        stored: &StoredEpoch,
    ) -> Option<Arc<Epoch>> {
        let (since, epoch) = self.reading.get(&uses.reading_place(stored))?;
        if since.elapsed() >= self.window || epoch.stored != *stored {
            return None;
        }
        uses.kms.record_remembered(uses.caller, "kms:Decrypt", &stored.ciphertext, uses.bound);
        Some(epoch)
    }

    /// The bucket-level key of an envelope, if KMS allows it now.
    pub(super) fn for_reading(
        &self,
        uses: BucketKeyUse<'_>,
        key_arn: &str,
        stored: &StoredEpoch,
    ) -> Result<Arc<Epoch>, SseError> {
        let opened = uses.kms.decrypt(uses.caller, Some(key_arn), &stored.ciphertext, uses.bound);
        SSE_KMS.decrypted(&opened);
        let opened = opened?;
        let epoch = Epoch::new(stored.clone(), opened.key_arn, wrapping_key(&opened.plaintext)?);
        if !self.window.is_zero() {
            self.reading.insert(uses.reading_place(stored), (Instant::now(), epoch.clone()));
        }
        Ok(epoch)
    }
}

/// Who uses which bucket's key, and in which context.
#[derive(Clone, Copy)]
pub(super) struct BucketKeyUse<'a> {
    pub(super) kms: &'a Kms,
    pub(super) caller: &'a Caller,
    pub(super) bucket: BucketId,
    pub(super) bound: &'a EncryptionContext,
}

impl BucketKeyUse<'_> {
    fn writing_place(&self, key_id: &str) -> (Arc<str>, BucketId, String) {
        (self.caller.credentials.clone(), self.bucket, key_id.to_owned())
    }

    fn reading_place(&self, stored: &StoredEpoch) -> (Arc<str>, BucketId, [u8; 16]) {
        (self.caller.credentials.clone(), self.bucket, stored.id)
    }

    /// A context of the caller's own makes another data key; it is not shared.
    fn is_shareable(&self) -> bool {
        self.bound.iter().count() == 1
    }
}

/// A map of bounded size; a full one starts over, which costs a KMS call per entry that is still in use.
struct Bounded<K, V>(Mutex<HashMap<K, V>>);

impl<K: Eq + Hash, V: Clone> Bounded<K, V> {
    fn get(&self, name: &K) -> Option<V> {
        self.0.lock().get(name).cloned()
    }

    fn insert(&self, name: K, value: V) {
        let mut map = self.0.lock();
        if map.len() >= MAX_OPENED {
            map.clear();
        }
        map.insert(name, value);
    }
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

fn s3_context(id: &[u8; 16]) -> EncryptionContext {
    [("epoch".to_owned(), hex::encode(id))].into_iter().collect()
}

fn random_id() -> [u8; 16] {
    let mut id = [0; 16];
    getrandom::fill(&mut id).expect("the operating system gives random bytes");
    id
}
