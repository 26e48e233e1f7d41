//! A transaction of the catalog with what it changes of a bucket's usage.

use std::ops::{Deref, DerefMut};

use super::super::record::{LayoutRecord, PartRecord, VersionRecord};
use super::super::{Bucket, CatalogError, layout};
use super::{STORED_LEN_ATTRIBUTE, bucket_quota, column, quota_in};
use crate::kv::counter::{Addition, Amounts};
use crate::kv::{Condition, Entry, Transaction, Write};
use crate::name::VersionId;

/// See the module. It is a [`Transaction`] once everything is in it.
#[derive(Clone)]
pub(in super::super) struct Change {
    transaction: Transaction,
    bucket: Bucketed,
    amounts: Amounts,
    /// What it adds to the parts of an upload.
    of_upload: Option<(VersionId, Amounts)>,
    /// Something was replaced that nobody could read: what it counted for is not known.
    is_doubtful: bool,
    /// How many bytes the bucket and its owner may hold.
    quotas: [Option<u64>; 2],
}

/// Whose counters it adds to.
#[derive(Clone)]
struct Bucketed {
    counter: crate::kv::Key,
    /// `None` for a bucket that has no door: what it holds is nobody's.
    of_owner: Option<crate::kv::Key>,
}

impl Deref for Change {
    type Target = Transaction;

    fn deref(&self) -> &Transaction {
        &self.transaction
    }
}

impl DerefMut for Change {
    fn deref_mut(&mut self) -> &mut Transaction {
        &mut self.transaction
    }
}

impl Change {
    /// Of what this bucket holds.
    pub(in super::super) fn new(bucket: &Bucket, transaction: Transaction) -> Self {
        let of_owner = (!bucket.name.is_internal()).then(|| layout::account_counter(&bucket.owner));
        Self {
            transaction,
            bucket: Bucketed { counter: layout::bucket_counter(bucket.id), of_owner },
            amounts: Amounts::default(),
            of_upload: None,
            is_doubtful: false,
            quotas: [None; 2],
        }
    }

    /// It fails if the bucket or its owner would hold more than they may. `account` is the entry of the account's quota.
    pub(in super::super) fn limit(
        &mut self,
        bucket: &Bucket,
        account: Option<&Entry>,
    ) -> Result<(), CatalogError> {
        let account = account.map(|entry| quota_in(&entry.value).ok_or(CatalogError::Corrupt("a quota")));
        self.quotas = [bucket_quota(bucket), account.transpose()?];
        Ok(())
    }

    /// A version is there now: current, or not.
    pub(in super::super) fn came(&mut self, record: &VersionRecord, is_current: bool) {
        self.amounts.add(&of_version(record, is_current));
    }

    /// A version is not there any more, where it was.
    pub(in super::super) fn went(&mut self, record: &VersionRecord, was_current: bool) {
        self.amounts.add(&of_version(record, was_current).negated());
    }

    /// A record that can't be read was replaced or deleted: what there is has to be counted.
    pub(in super::super) fn doubt(&mut self) {
        self.is_doubtful = true;
    }

    /// An upload began.
    pub(in super::super) fn upload_came(&mut self) {
        self.amounts.0[column::UPLOADS] += 1;
    }

    /// An upload ended; `parts` is the entry of its counter, on which the change is conditional from here on, and which it deletes.
    pub(in super::super) fn upload_went(&mut self, upload: VersionId, parts: &Option<Entry>) {
        let key = layout::upload_counter(upload);
        self.amounts.0[column::UPLOADS] -= 1;
        if let Some(entry) = parts {
            match Amounts::from_bytes(&entry.value) {
                Some(parts) => self.amounts.add(&parts.negated()),
                None => self.doubt(),
            }
            self.transaction.writes.push(Write::Delete(key.clone()));
        }
        self.transaction.conditions.push(super::super::unchanged(&key, parts));
    }

    /// A part of an upload is there now, in the place of a former one.
    pub(in super::super) fn part_came(
        &mut self,
        upload: VersionId,
        part: &PartRecord,
        former: Option<&PartRecord>,
    ) {
        let mut amounts = of_part(part);
        amounts.add(&former.map(of_part).unwrap_or_default().negated());
        self.amounts.add(&amounts);
        self.of_upload = Some((upload, amounts)).filter(|_| !amounts.is_zero());
    }
}

impl From<Change> for Transaction {
    fn from(change: Change) -> Self {
        let Change { mut transaction, bucket, amounts, of_upload, is_doubtful, quotas } = change;
        let more = amounts.0[column::BYTES];
        let counters = [Some(bucket.counter), bucket.of_owner];
        if more > 0 {
            for (counter, quota) in counters.iter().zip(quotas) {
                if let (Some(counter), Some(quota)) = (counter, quota) {
                    let most = i64::try_from(quota).unwrap_or(i64::MAX) - more;
                    let condition =
                        Condition::AtMost { counter: counter.clone(), column: column::BYTES, most };
                    transaction.conditions.push(condition);
                }
            }
        }
        if !amounts.is_zero() {
            let additions = counters.into_iter().flatten();
            transaction
                .writes
                .extend(additions.map(|counter| Write::Add(Addition { counter, amounts, is_spread: true })));
        }
        transaction.writes.extend(of_upload.map(|(upload, amounts)| {
            Write::Add(Addition { counter: layout::upload_counter(upload), amounts, is_spread: false })
        }));
        if is_doubtful {
            transaction.writes.push(Write::Delete(layout::COUNTED));
        }
        transaction
    }
}

/// What a version counts for.
pub(super) fn of_version(record: &VersionRecord, is_current: bool) -> Amounts {
    let mut amounts = Amounts::default();
    let Some(content) = &record.content else {
        amounts.0[column::DELETE_MARKERS] = 1;
        return amounts;
    };
    let stored_len = match &content.layout {
        LayoutRecord::Single(blob) => blob.stored_len.0,
        LayoutRecord::Inline(stored) => stored.0.len() as u64,
        LayoutRecord::Parts(_) => {
            let told = record.attributes.get(STORED_LEN_ATTRIBUTE).and_then(|told| quota_in(&told.0));
            told.unwrap_or(record.plain_len)
        }
    };
    amounts.0[column::OBJECTS] = i64::from(is_current);
    amounts.0[column::VERSIONS] = 1;
    amounts.0[column::BYTES] = record.plain_len.cast_signed();
    amounts.0[column::STORED_BYTES] = stored_len.cast_signed();
    amounts
}

/// What a part of an upload counts for.
pub(super) fn of_part(part: &PartRecord) -> Amounts {
    let (plain_len, stored_len) = (part.plain_len.cast_signed(), part.blob.stored_len.0.cast_signed());
    let mut amounts = Amounts::default();
    amounts.0[column::BYTES] = plain_len;
    amounts.0[column::STORED_BYTES] = stored_len;
    amounts.0[column::UPLOAD_BYTES] = plain_len;
    amounts.0[column::UPLOAD_STORED_BYTES] = stored_len;
    amounts
}
