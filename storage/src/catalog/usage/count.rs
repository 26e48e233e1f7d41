//! A full count, and what sets counters right by it.
//!
//! Commits add to counters whether these are right or not, so what a counter is wrong by never changes by itself. It is found from the
//! entries of one moment, records and counters alike, and added: exact, while writes go on.

use std::collections::{BTreeMap, HashMap};

use super::super::record::{BucketRecord, PartRecord, Record, VersionRecord};
use super::super::{Catalog, CatalogError, SCAN_LEN, layout, unchanged};
use super::{Usage, change, column};
use crate::kv::counter::{Addition, Amounts};
use crate::kv::{Condition, Direction, Entry, Key, KeyRange, KvError, Transaction, Write};
use crate::name::{BucketId, BucketName, VersionId};

/// The state of counters that are being set right, and of those that are.
const COUNTING: u8 = 0;
const DONE: u8 = 1;
/// Counters that one commit sets right.
const AT_ONCE: usize = 200;
/// How often a count is begun anew where another gateway counts, too, or too much was written meanwhile.
const ATTEMPTS: u32 = 3;
/// How often the counter of one upload is tried while its parts are replaced.
const UPLOAD_ATTEMPTS: u32 = 100;

/// Do the counters that have this state tell all that there is?
pub(super) fn is_done(state: &[u8]) -> bool {
    state.first() == Some(&DONE)
}

/// A counter that told something else than a full count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Whose it is, in words.
    pub of: String,
    /// What it told.
    pub told: Usage,
    /// What there was.
    pub found: Usage,
}

/// What a full count found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recounted {
    /// Records that were counted: versions, uploads, parts of uploads.
    pub records: u64,
    /// The counters were said to be right before.
    pub was_counted: bool,
    /// Counters that told something else.
    pub differences: Vec<Difference>,
}

/// The entries of one moment, summed up.
#[derive(Default)]
struct Moment {
    records: u64,
    state: Option<Entry>,
    buckets: HashMap<BucketId, Known>,
    /// What there is, parts of uploads aside.
    found: HashMap<BucketId, Amounts>,
    uploads: HashMap<VersionId, (Key, BucketId)>,
    parts: HashMap<VersionId, Amounts>,
    of_buckets: HashMap<BucketId, Amounts>,
    of_accounts: BTreeMap<String, Amounts>,
    of_uploads: HashMap<VersionId, Amounts>,
    /// Every entry of a counter.
    entries: Vec<Key>,
    /// Entries that are none, though they lie among counters: they are deleted.
    unreadable: Vec<Key>,
}

struct Known {
    name: String,
    /// `None` for a bucket that has no door.
    owner: Option<String>,
}

impl Catalog {
    /// Counts everything, without changing anything: for a check.
    ///
    /// # Errors
    /// When records can't be read.
    pub async fn count(&self) -> Result<Recounted, CatalogError> {
        let moment = self.moment().await?;
        let (mut recounted, to_add) = moment.recounted();
        let mut of_uploads: BTreeMap<&str, Amounts> = BTreeMap::new();
        for (_, bucket, more) in &to_add.uploads {
            let name = moment.buckets.get(bucket).map_or("", |known| &known.name);
            of_uploads.entry(name).or_default().add(more);
        }
        recounted.differences.extend(of_uploads.into_iter().map(|(name, more)| Difference {
            of: format!("parts of uploads in bucket {name}, which are not counted yet"),
            told: Usage::default(),
            found: Usage::of(&more),
        }));
        Ok(recounted)
    }

    /// Counts everything and sets every counter right, while writes go on.
    ///
    /// # Errors
    /// [`CatalogError::Contended`] where another gateway does so, too.
    pub async fn recount(&self) -> Result<Recounted, CatalogError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.recount_once().await {
                Err(CatalogError::Contended | CatalogError::Kv(KvError::Unavailable(_)))
                    if attempts < ATTEMPTS => {}
                answer => return answer,
            }
        }
    }

    async fn recount_once(&self) -> Result<Recounted, CatalogError> {
        let moment = self.moment().await?;
        let (recounted, to_add) = moment.recounted();
        let mut state = self.counting(unchanged(&layout::COUNTED, &moment.state), Vec::new()).await?;
        for writes in to_add.writes.chunks(AT_ONCE) {
            state = self.counting(state, writes.to_vec()).await?;
        }
        for (upload, bucket, more) in &to_add.uploads {
            let Some((key, _)) = moment.uploads.get(upload) else { continue };
            let counters = moment.counters_of(*bucket);
            state = self.count_upload(state, (*upload, key), counters, *more).await?;
        }
        let writes = vec![Write::Put(layout::COUNTED, vec![DONE].into())];
        match self.commit(Transaction { conditions: vec![state], writes }).await {
            Err(KvError::Conflict { .. }) => Err(CatalogError::Contended),
            done => Ok(done.map(|()| recounted)?),
        }
    }

    /// Commits this as the one that counts, as long as nobody else does; answers the condition that nobody does since.
    async fn counting(&self, state: Condition, mut writes: Vec<Write>) -> Result<Condition, CatalogError> {
        let mut mark = [COUNTING; 9];
        getrandom::fill(&mut mark[1..]).map_err(|error| KvError::Unavailable(error.to_string().into()))?;
        writes.push(Write::Put(layout::COUNTED, mark.to_vec().into()));
        match self.commit(Transaction { conditions: vec![state], writes }).await {
            Err(KvError::Conflict { .. }) => return Err(CatalogError::Contended),
            done => done?,
        }
        let [now] = self.get([layout::COUNTED]).await?;
        let now = now.filter(|now| now.value == mark[..]).ok_or(CatalogError::Contended)?;
        Ok(Condition::At(layout::COUNTED, now.revision))
    }

    /// Adds to the counter of an upload, and to those of its bucket, as long as it goes on.
    async fn count_upload(
        &self,
        state: Condition,
        (upload, key): (VersionId, &Key),
        counters: Vec<Key>,
        more: Amounts,
    ) -> Result<Condition, CatalogError> {
        for _ in 0..UPLOAD_ATTEMPTS {
            let [record] = self.get([key.clone()]).await?;
            // What it had is not counted any more.
            let Some(record) = record else { return Ok(state) };
            let mut writes: Vec<Write> = spread(&counters, more).collect();
            let of_upload =
                Addition { counter: layout::upload_counter(upload), amounts: more, is_spread: false };
            writes.push(Write::Add(of_upload));
            let conditions = vec![Condition::At(key.clone(), record.revision), state.clone()];
            match self.commit(Transaction { conditions, writes }).await {
                Ok(()) => return Ok(state),
                Err(KvError::Conflict { key }) if key == layout::COUNTED => break,
                Err(KvError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(CatalogError::Contended)
    }

    async fn moment(&self) -> Result<Moment, CatalogError> {
        // Parts tell of which content they are, not whether that is complete. Uploads that begin later count their parts themselves.
        let mut moment = Moment::default();
        let mut range = KeyRange::prefix(vec![layout::UPLOAD]);
        loop {
            let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await?;
            for (key, _) in &found {
                moment.parts.insert(layout::upload_id_in(key)?.0, Amounts::default());
            }
            match found.last() {
                Some((last, _)) if found.len() == SCAN_LEN => range.start = layout::successor(last),
                _ => break,
            }
        }
        let mut snapshot = self.kv.snapshot().await?;
        loop {
            let page = snapshot.next().await?;
            if page.is_empty() {
                return Ok(moment);
            }
            for (key, entry) in page {
                moment.take(key, entry)?;
            }
        }
    }
}

/// Additions to counters that are spread.
fn spread(counters: &[Key], amounts: Amounts) -> impl Iterator<Item = Write> {
    let of = move |counter: &Key| Write::Add(Addition { counter: counter.clone(), amounts, is_spread: true });
    counters.iter().map(of)
}

/// What counters are wrong by.
struct ToAdd {
    writes: Vec<Write>,
    /// An upload, its bucket, and what is missing of its parts.
    uploads: Vec<(VersionId, BucketId, Amounts)>,
}

impl Moment {
    /// Takes up one entry. Records that can't be read count for nothing.
    fn take(&mut self, key: Key, entry: Entry) -> Result<(), CatalogError> {
        let of_bucket = super::super::bucket_of(&key);
        match (key.first().copied().unwrap_or_default(), of_bucket) {
            (layout::BUCKET, _) => {
                let name = String::from_utf8_lossy(&key[1..]).into_owned();
                if let Ok(record) = BucketRecord::decode(&entry.value) {
                    let is_internal = BucketName::parse(&name).is_ok_and(|name| name.is_internal());
                    let owner = (!is_internal).then_some(record.owner);
                    self.buckets.insert(record.id, Known { name, owner });
                }
            }
            (kind @ (layout::HEAD | layout::VERSION), Some(bucket)) => {
                if let Ok(record) = VersionRecord::decode(&entry.value) {
                    self.records += 1;
                    let amounts = change::of_version(&record, kind == layout::HEAD);
                    self.found.entry(bucket).or_default().add(&amounts);
                }
            }
            (layout::UPLOAD, Some(bucket)) => {
                self.records += 1;
                self.found.entry(bucket).or_default().0[column::UPLOADS] += 1;
                self.uploads.insert(layout::upload_id_in(&key)?.0, (key, bucket));
            }
            (layout::PART, _) => {
                let content = key.get(1..17).and_then(|id| id.try_into().ok()).map(VersionId::from_bytes);
                if let Some(sum) = content.and_then(|content| self.parts.get_mut(&content))
                    && let Ok(part) = PartRecord::decode(&entry.value)
                {
                    self.records += 1;
                    sum.add(&change::of_part(&part));
                }
            }
            (layout::COUNTER, _) if key == layout::COUNTED => self.state = Some(entry),
            (layout::COUNTER, _) if key == layout::COUNTS => {}
            (layout::COUNTER, _) => {
                let (Some(amounts), Some(whose)) =
                    (Amounts::from_bytes(&entry.value), layout::counter_in(&key))
                else {
                    self.unreadable.push(key);
                    return Ok(());
                };
                match whose {
                    layout::Counter::Bucket(bucket) => {
                        self.of_buckets.entry(bucket).or_default().add(&amounts)
                    }
                    layout::Counter::Account(owner) => {
                        self.of_accounts.entry(owner).or_default().add(&amounts)
                    }
                    layout::Counter::Upload(upload) => {
                        self.of_uploads.entry(upload).or_default().add(&amounts)
                    }
                }
                self.entries.push(key);
            }
            _ => {}
        }
        Ok(())
    }

    fn counters_of(&self, bucket: BucketId) -> Vec<Key> {
        let owner = self.buckets.get(&bucket).and_then(|known| known.owner.as_deref());
        let of_owner = owner.map(layout::account_counter);
        std::iter::once(layout::bucket_counter(bucket)).chain(of_owner).collect()
    }

    fn recounted(&self) -> (Recounted, ToAdd) {
        let was_counted = self.state.as_ref().is_some_and(|state| is_done(&state.value));
        let mut recounted = Recounted { records: self.records, was_counted, differences: Vec::new() };
        let mut to_add = ToAdd { writes: Vec::new(), uploads: Vec::new() };
        // What counters of uploads tell is taken for right first, and set right with the bucket's in one step.
        let mut found: HashMap<BucketId, Amounts> = HashMap::new();
        for (bucket, amounts) in self.found.iter().filter(|(bucket, _)| self.buckets.contains_key(bucket)) {
            found.entry(*bucket).or_default().add(amounts);
        }
        for (upload, (_, bucket)) in &self.uploads {
            if !self.buckets.contains_key(bucket) {
                continue;
            }
            let told = self.of_uploads.get(upload).copied().unwrap_or_default();
            found.entry(*bucket).or_default().add(&told);
            if let Some(parts) = self.parts.get(upload)
                && *parts != told
            {
                let mut more = *parts;
                more.add(&told.negated());
                to_add.uploads.push((*upload, *bucket, more));
            }
        }
        let mut of_accounts: BTreeMap<String, Amounts> = BTreeMap::new();
        for (bucket, known) in &self.buckets {
            let found = found.get(bucket).copied().unwrap_or_default();
            if let Some(owner) = &known.owner {
                of_accounts.entry(owner.clone()).or_default().add(&found);
            }
            let told = self.of_buckets.get(bucket).copied().unwrap_or_default();
            let of = || format!("bucket {}", known.name);
            recounted.compare(&mut to_add, layout::bucket_counter(*bucket), (told, found), of);
        }
        for (owner, found) in &of_accounts {
            let told = self.of_accounts.get(owner).copied().unwrap_or_default();
            let of = || format!("account {owner}");
            recounted.compare(&mut to_add, layout::account_counter(owner), (told, *found), of);
        }
        // Of an account that has no bucket any more, and what is left of buckets and uploads that are gone: their names never return.
        for (owner, told) in self.of_accounts.iter().filter(|(owner, _)| !of_accounts.contains_key(*owner)) {
            let of = || format!("account {owner}");
            recounted.compare(&mut to_add, layout::account_counter(owner), (*told, Amounts::default()), of);
        }
        let is_left = |key: &&Key| match layout::counter_in(key) {
            Some(layout::Counter::Bucket(bucket)) => !self.buckets.contains_key(&bucket),
            Some(layout::Counter::Upload(upload)) => !self.uploads.contains_key(&upload),
            _ => false,
        };
        to_add.writes.extend(self.entries.iter().filter(is_left).cloned().map(Write::Delete));
        to_add.writes.extend(self.unreadable.iter().cloned().map(Write::Delete));
        (recounted, to_add)
    }
}

impl Recounted {
    fn compare(
        &mut self,
        to_add: &mut ToAdd,
        counter: Key,
        (told, found): (Amounts, Amounts),
        of: impl Fn() -> String,
    ) {
        if told == found {
            return;
        }
        let mut more = found;
        more.add(&told.negated());
        to_add.writes.extend(spread(&[counter], more));
        self.differences.push(Difference { of: of(), told: Usage::of(&told), found: Usage::of(&found) });
    }
}
