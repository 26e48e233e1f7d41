//! What buckets and accounts hold, to the object and the byte. Each commit that changes records adds what it changes to counters of
//! the bucket and of its owner, in the same step: so a counter is what a full count would tell, after a kill, too. What may be held is
//! a condition of the same commit.

mod change;
mod count;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

pub(super) use self::change::Change;
pub use self::count::{Difference, Recounted};
use super::{Bucket, Catalog, CatalogError, SCAN_LEN, layout};
use crate::kv::counter::{Addition, Amounts};
use crate::kv::{Direction, Key, KeyRange, Transaction, Write};
use crate::name::BucketId;

/// The setting in a bucket's record that says how many bytes it may hold: see [`quota_value`].
pub const QUOTA_SETTING: &str = "quota";
/// The shelf of the notes that say how many bytes accounts may hold.
const ACCOUNT_QUOTAS: &str = "quota";
/// The attribute of an object of several parts that tells how many stored bytes they have together.
pub const STORED_LEN_ATTRIBUTE: &str = "stored-len";

/// How old the quota of an account may be that is judged by before a commit judges.
const QUOTA_AGE: Duration = Duration::from_secs(2);
/// Accounts whose quotas are remembered that long.
const MAX_KNOWN_QUOTAS: usize = 1000;

/// Quotas of accounts, and when they were read.
#[derive(Default)]
pub(super) struct KnownQuotas(Mutex<HashMap<String, (Instant, Option<u64>)>>);

/// Which number of a counter is what.
mod column {
    pub(super) const OBJECTS: usize = 0;
    pub(super) const VERSIONS: usize = 1;
    pub(super) const DELETE_MARKERS: usize = 2;
    pub(super) const BYTES: usize = 3;
    pub(super) const STORED_BYTES: usize = 4;
    pub(super) const UPLOADS: usize = 5;
    pub(super) const UPLOAD_BYTES: usize = 6;
    pub(super) const UPLOAD_STORED_BYTES: usize = 7;
}

/// What a bucket or an account holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Objects: keys whose current version is no delete marker.
    pub objects: u64,
    /// Versions, current or not, that are no delete markers.
    pub versions: u64,
    /// Delete markers.
    pub delete_markers: u64,
    /// Bytes as clients sent them: of all versions, and of the parts of unfinished uploads. What quotas are judged by.
    pub bytes: u64,
    /// The same bytes as they are stored: sealed, without what blobs have beside their content. Of objects of several parts that
    /// earlier builds completed it is their length as it was sent.
    pub stored_bytes: u64,
    /// Unfinished uploads.
    pub uploads: u64,
    /// Of `bytes`, those of parts of unfinished uploads.
    pub upload_bytes: u64,
    /// Of `stored_bytes`, likewise.
    pub upload_stored_bytes: u64,
}

impl Usage {
    fn of(amounts: &Amounts) -> Self {
        // Below zero only until records of an earlier build have been counted.
        let number = |column: usize| u64::try_from(amounts.0[column]).unwrap_or_default();
        Self {
            objects: number(column::OBJECTS),
            versions: number(column::VERSIONS),
            delete_markers: number(column::DELETE_MARKERS),
            bytes: number(column::BYTES),
            stored_bytes: number(column::STORED_BYTES),
            uploads: number(column::UPLOADS),
            upload_bytes: number(column::UPLOAD_BYTES),
            upload_stored_bytes: number(column::UPLOAD_STORED_BYTES),
        }
    }

    /// Adds another's numbers.
    pub fn add(&mut self, other: &Self) {
        self.objects += other.objects;
        self.versions += other.versions;
        self.delete_markers += other.delete_markers;
        self.bytes += other.bytes;
        self.stored_bytes += other.stored_bytes;
        self.uploads += other.uploads;
        self.upload_bytes += other.upload_bytes;
        self.upload_stored_bytes += other.upload_stored_bytes;
    }
}

/// Whose quota a write would exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaOf {
    /// The bucket's.
    Bucket,
    /// That of the account that owns the bucket.
    Account,
}

/// How many bytes a bucket may hold, as its setting [`QUOTA_SETTING`] says it.
pub fn quota_value(bytes: u64) -> Bytes {
    Bytes::copy_from_slice(&bytes.to_be_bytes())
}

fn quota_in(stored: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(stored.try_into().ok()?))
}

/// How many bytes a bucket may hold; `None`: as many as there are.
pub fn bucket_quota(bucket: &Bucket) -> Option<u64> {
    bucket.configs.get(QUOTA_SETTING).and_then(|stored| quota_in(stored))
}

impl Catalog {
    /// What a bucket holds.
    pub async fn usage(&self, bucket: BucketId) -> Result<Usage, CatalogError> {
        self.sum(&layout::bucket_counter(bucket)).await
    }

    /// What the buckets of an account hold.
    pub async fn account_usage(&self, owner: &str) -> Result<Usage, CatalogError> {
        self.sum(&layout::account_counter(owner)).await
    }

    /// What each bucket holds that ever held anything.
    pub async fn usage_of_buckets(&self) -> Result<BTreeMap<BucketId, Usage>, CatalogError> {
        let mut sums: BTreeMap<BucketId, Amounts> = BTreeMap::new();
        self.each_counter(&layout::bucket_counters(), |key, amounts| {
            if let Some(layout::Counter::Bucket(bucket)) = layout::counter_in(key) {
                sums.entry(bucket).or_default().add(amounts);
            }
        })
        .await?;
        Ok(sums.into_iter().map(|(bucket, sum)| (bucket, Usage::of(&sum))).collect())
    }

    /// Is what the counters tell all that there is? Records of an earlier build are counted by [`Catalog::recount`] first.
    pub async fn is_counted(&self) -> Result<bool, CatalogError> {
        let [found] = self.get([layout::COUNTED]).await?;
        Ok(found.is_some_and(|entry| count::is_done(&entry.value)))
    }

    /// From here on counters do not tell what there is: it is written past them.
    pub(super) async fn forget_count(&self) -> Result<(), CatalogError> {
        let [found] = self.get([layout::COUNTED]).await?;
        if found.is_some() {
            let writes = vec![Write::Delete(layout::COUNTED)];
            self.kv.commit(Transaction { conditions: Vec::new(), writes }).await?;
        }
        Ok(())
    }

    /// How many bytes an account may hold in all its buckets; `None`: as many as there are.
    pub async fn account_quota(&self, owner: &str) -> Result<Option<u64>, CatalogError> {
        let [found] = self.get([account_quota_key(owner)]).await?;
        found.map(|entry| quota_in(&entry.value).ok_or(CatalogError::Corrupt("a quota"))).transpose()
    }

    /// Sets how many bytes an account may hold; `None`: as many as there are.
    pub async fn set_account_quota(&self, owner: &str, quota: Option<u64>) -> Result<(), CatalogError> {
        self.put_notes(ACCOUNT_QUOTAS, vec![(owner.to_owned(), quota.map(quota_value))], |_, _| true).await?;
        self.shared.account_quotas.0.lock().remove(owner);
        Ok(())
    }

    /// Every quota of an account.
    pub async fn account_quotas(&self) -> Result<BTreeMap<String, u64>, CatalogError> {
        let notes = self.notes(ACCOUNT_QUOTAS).await?;
        Ok(notes.into_iter().filter_map(|(owner, stored)| Some((owner, quota_in(&stored)?))).collect())
    }

    /// Is there room for so many bytes now? What is written is judged again by its commit; this spares clients the way. `freed` is asked
    /// for the bytes that make room for them, where there is none beside.
    ///
    /// # Errors
    /// [`CatalogError::QuotaExceeded`], and where that is not known.
    pub async fn expect_room(
        &self,
        bucket: &Bucket,
        len: u64,
        freed: impl Future<Output = Result<u64, CatalogError>>,
    ) -> Result<(), CatalogError> {
        let quotas = [
            (QuotaOf::Bucket, bucket_quota(bucket), layout::bucket_counter(bucket.id)),
            (
                QuotaOf::Account,
                self.recent_account_quota(&bucket.owner).await?,
                layout::account_counter(&bucket.owner),
            ),
        ];
        let mut exceeded = None;
        for (of, quota, counter) in quotas {
            let Some(quota) = quota else { continue };
            let beyond = self.sum(&counter).await?.bytes.saturating_add(len).saturating_sub(quota);
            if beyond > exceeded.map_or(0, |(_, other)| other) {
                exceeded = Some((of, beyond));
            }
        }
        match exceeded {
            Some((of, beyond)) if freed.await?.min(len) < beyond.min(len) => {
                Err(CatalogError::QuotaExceeded(of))
            }
            _ => Ok(()),
        }
    }

    /// As [`Catalog::account_quota`], of some seconds ago at most: so that who writes need not ask each time.
    async fn recent_account_quota(&self, owner: &str) -> Result<Option<u64>, CatalogError> {
        let now = Instant::now();
        let known = self.shared.account_quotas.0.lock().get(owner).copied();
        if let Some((at, quota)) = known
            && now < at + QUOTA_AGE
        {
            return Ok(quota);
        }
        let quota = self.account_quota(owner).await?;
        let mut known = self.shared.account_quotas.0.lock();
        if known.len() >= MAX_KNOWN_QUOTAS {
            known.clear();
        }
        known.insert(owner.to_owned(), (now, quota));
        Ok(quota)
    }

    /// What takes away the counters of a bucket that is deleted, and what its unfinished uploads hold from its owner's.
    pub(super) async fn counters_gone(&self, bucket: &Bucket) -> Result<Vec<Write>, CatalogError> {
        let (mut sum, mut writes) = (Amounts::default(), Vec::new());
        self.each_counter(&layout::bucket_counter(bucket.id), |key, amounts| {
            sum.add(amounts);
            writes.push(Write::Delete(key.clone()));
        })
        .await?;
        if !sum.is_zero() && !bucket.name.is_internal() {
            let counter = layout::account_counter(&bucket.owner);
            writes.push(Write::Add(Addition { counter, amounts: sum.negated(), is_spread: true }));
        }
        Ok(writes)
    }

    async fn sum(&self, counter: &Key) -> Result<Usage, CatalogError> {
        let mut sum = Amounts::default();
        self.each_counter(counter, |_, amounts| sum.add(amounts)).await?;
        Ok(Usage::of(&sum))
    }

    async fn each_counter(
        &self,
        prefix: &Key,
        mut each: impl FnMut(&Key, &Amounts),
    ) -> Result<(), CatalogError> {
        let mut range = KeyRange::prefix(prefix.clone());
        loop {
            let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await?;
            for (key, entry) in &found {
                each(key, &Amounts::from_bytes(&entry.value).ok_or(CatalogError::Corrupt("a counter"))?);
            }
            match found.last() {
                Some((last, _)) if found.len() == SCAN_LEN => range.start = layout::successor(last),
                _ => return Ok(()),
            }
        }
    }
}

/// Where it lies how many bytes an account may hold.
pub(super) fn account_quota_key(owner: &str) -> Key {
    layout::document(&layout::shelf(ACCOUNT_QUOTAS), owner)
}
