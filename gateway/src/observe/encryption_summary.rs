//! How many objects, and how much of them, is under which encryption: what the job that counts it tells, and how it is asked to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// So many objects, with so many plain bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Versions of objects.
    pub objects: u64,
    /// Their plain bytes.
    pub bytes: u64,
}

impl Amount {
    /// One more object.
    pub fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// Of a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketSummary {
    /// Its account.
    pub owner: String,
    /// By mode: `SSE-S3`, `SSE-KMS`, `DSSE-KMS`, `SSE-C`.
    pub modes: BTreeMap<&'static str, Amount>,
}

/// Of a KMS key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySummary {
    /// All that is under it.
    pub amount: Amount,
    /// Objects that are under a former backing key of it: a rewrap brings them under the current one.
    pub under_former: u64,
}

/// All that there was when it was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncryptionSummary {
    /// When the count ended, in milliseconds since the Unix epoch.
    pub counted_unix_ms: u64,
    /// Is everything in it? Buckets and keys beyond a bound are left out.
    pub is_complete: bool,
    /// By name.
    pub buckets: BTreeMap<String, BucketSummary>,
    /// By ARN.
    pub keys: BTreeMap<String, KeySummary>,
}

/// The last count, and the wish for another.
#[derive(Debug, Default)]
pub struct EncryptionSummaries {
    wanted: Notify,
    counting: AtomicBool,
    last: Mutex<Option<Arc<EncryptionSummary>>>,
}

impl EncryptionSummaries {
    /// The last count.
    pub fn last(&self) -> Option<Arc<EncryptionSummary>> {
        self.last.lock().clone()
    }

    /// Has everything counted, soon.
    pub fn ask(&self) {
        if !self.is_counting() {
            self.wanted.notify_one();
        }
    }

    /// Is it being counted?
    pub fn is_counting(&self) -> bool {
        self.counting.load(Ordering::Relaxed)
    }

    /// Ends when somebody asks; a count has begun then.
    pub async fn asked(&self) {
        self.wanted.notified().await;
        self.counting.store(true, Ordering::Relaxed);
    }

    /// The count has ended. `None`: it failed.
    pub fn counted(&self, summary: Option<EncryptionSummary>) {
        if let Some(summary) = summary {
            *self.last.lock() = Some(Arc::new(summary));
        }
        self.counting.store(false, Ordering::Relaxed);
    }
}
