//! Bare stretches: keys one after the other under which no current version is an object. A listing of objects that has passed many delete
//! markers notes such a stretch, and later ones go round it, so that what lives is found at once, however much was deleted.
//!
//! A stretch is never wrong: whoever makes an object current where none was (in a bucket that may have delete markers) takes its key out
//! of the stretch in the same commit. Each bucket has a mark. A stretch is noted in three steps: its ends are written into the mark; the
//! keys between are looked at once more; the stretch is written if the mark is still the same. A writer between the two ends wipes them
//! off the mark, and every such writer's commit is conditional on the mark, so that either the look sees what it wrote or the stretch is
//! not noted. Who notes one beside another's changes the mark as well, so that no two have a key in common. Delete markers within may go,
//! and others may come: they make no difference.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::layout::BASE_LEN;
use super::record::{self, Shown};
use super::usage::Change;
use super::{Catalog, CatalogError, SCAN_LEN, layout, unchanged};
use crate::kv::{Condition, Direction, Entry, Key, KeyRange, Revision, Transaction, Write};
use crate::name::{BucketId, ObjectKey};

/// A stretch is worth a note if it spares a listing this many entries, or this many stretches that follow each other.
const WORTH: usize = if cfg!(test) { 3 } else { 1000 };
const WORTH_STRETCHES: usize = if cfg!(test) { 2 } else { 16 };
/// After so many a stretch is noted though it goes on: no more is looked at in vain when a writer comes between.
const MOST: usize = if cfg!(test) { 300 } else { 1 << 16 };
const MOST_STRETCHES: usize = if cfg!(test) { 3 } else { 64 };

const FORMAT: u8 = 1;

/// Where a stretch begins, and where it has ended: keys of current versions, or what is just behind such.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ends {
    start: Key,
    end: Key,
}

impl Ends {
    fn has(&self, key: &Key) -> bool {
        self.start <= *key && *key < self.end
    }
}

/// The mark of a bucket: what is behind the bucket's id in the ends of the stretch that somebody looks at just now.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Mark(Option<(Bytes, Bytes)>);

impl Mark {
    fn of(ends: &Ends) -> Self {
        Self(Some((ends.start.slice(BASE_LEN..), ends.end.slice(BASE_LEN..))))
    }

    fn encode(&self) -> Bytes {
        postcard::to_stdvec(&(FORMAT, self)).expect("a mark has only lengths that are known").into()
    }

    fn decode(entry: &Entry) -> Result<Self, CatalogError> {
        match postcard::from_bytes(&entry.value) {
            Ok((FORMAT, mark)) => Ok(mark),
            _ => Err(CatalogError::Corrupt("the mark of a bucket's bare stretches")),
        }
    }

    fn has(&self, key: &Key) -> bool {
        let name = &key[BASE_LEN..];
        self.0.as_ref().is_some_and(|(start, end)| start[..] <= *name && *name < end[..])
    }
}

/// A stretch that was noted, as it was read.
#[derive(Debug)]
struct Stretch {
    key: Key,
    revision: Revision,
    ends: Ends,
}

impl Stretch {
    fn decode((key, entry): (Key, Entry)) -> Result<Self, CatalogError> {
        match entry.value.split_first() {
            Some((&FORMAT, end)) if key.len() > BASE_LEN => {
                let start = layout::of_kind(layout::HEAD, &key);
                let end = [&start[..BASE_LEN], end].concat().into();
                Ok(Self { key, revision: entry.revision, ends: Ends { start, end } })
            }
            _ => Err(CatalogError::Corrupt("a bare stretch")),
        }
    }
}

/// Tells whether a record of these can be read.
pub(super) fn check(key: &Key, entry: &Entry) -> Result<(), CatalogError> {
    match key.len() {
        ..=BASE_LEN => Mark::decode(entry).map(|_| ()),
        _ => Stretch::decode((key.clone(), entry.clone())).map(|_| ()),
    }
}

/// What notes a stretch.
fn note(ends: &Ends) -> Write {
    let value = [&[FORMAT], &ends.end[BASE_LEN..]].concat();
    Write::Put(layout::of_kind(layout::BARE, &ends.start), value.into())
}

/// The key of a bucket's mark; those of its stretches begin with it.
fn mark_key(bucket: BucketId) -> Key {
    layout::within(layout::BARE, bucket)
}

/// The bare stretches that a listing meets, and the one that it passes and that nobody has noted yet.
pub(super) struct Bare<'a> {
    catalog: &'a Catalog,
    bucket: BucketId,
    /// Has the bucket a mark? Without one it has no stretches.
    is_marked: bool,
    /// The stretch that comes next, once it was looked for; there may be none.
    next: Option<Option<Stretch>>,
    passed: Passed,
}

/// What a listing has passed since it showed something.
#[derive(Default)]
struct Passed {
    ends: Option<Ends>,
    entries: usize,
    stretches: Vec<Stretch>,
}

impl Passed {
    fn extend(&mut self, ends: Ends) {
        match &mut self.ends {
            Some(all) => all.end = ends.end,
            None => self.ends = Some(ends),
        }
    }
}

impl<'a> Bare<'a> {
    pub(super) async fn of(catalog: &'a Catalog, bucket: BucketId) -> Result<Self, CatalogError> {
        let [mark] = catalog.get([mark_key(bucket)]).await?;
        Ok(Self { catalog, bucket, is_marked: mark.is_some(), next: None, passed: Passed::default() })
    }

    /// Where a listing that has come to the start of this range of current versions goes on, and up to where it may read then.
    pub(super) async fn go_round(&mut self, range: &KeyRange) -> Result<KeyRange, CatalogError> {
        let mut range = range.clone();
        while self.is_marked {
            let next = match self.next.take() {
                Some(next) => next,
                None => match self.catalog.stretch_from(self.bucket, &range.start).await {
                    Ok(next) => next,
                    Err(error) => {
                        self.is_marked = false;
                        self.catalog.forget_unreadable(self.bucket, error).await?;
                        break;
                    }
                },
            };
            let Some(stretch) = next else {
                self.next = Some(None);
                break;
            };
            if stretch.ends.end <= range.start {
                continue;
            }
            if range.start < stretch.ends.start {
                let start = stretch.ends.start.clone();
                range.end = Some(range.end.map_or(start.clone(), |end| end.min(start)));
                self.next = Some(Some(stretch));
                break;
            }
            // What a listing begins within has begun before it.
            let is_whole = range.start == stretch.ends.start || self.passed.ends.is_some();
            range.start = stretch.ends.end.clone();
            if is_whole {
                self.passed.extend(stretch.ends.clone());
                self.passed.stretches.push(stretch);
            }
            self.go_on().await;
        }
        Ok(range)
    }

    /// The current version under this key is a delete marker.
    pub(super) fn pass(&mut self, key: &Key) {
        self.passed.extend(Ends { start: key.clone(), end: layout::behind(key) });
        self.passed.entries += 1;
    }

    /// Was anything passed since something was shown?
    pub(super) fn has_passed(&self) -> bool {
        self.passed.ends.is_some()
    }

    /// More of what was passed may follow: so far it is noted if it is very long.
    pub(super) async fn go_on(&mut self) {
        if self.passed.entries >= MOST || self.passed.stretches.len() >= MOST_STRETCHES {
            self.end().await;
        }
    }

    /// What was passed has ended, since something comes that is shown or can't be read, or nothing does: it is noted if it is long.
    pub(super) async fn end(&mut self) {
        let passed = std::mem::take(&mut self.passed);
        let is_long = passed.entries >= WORTH || passed.stretches.len() >= WORTH_STRETCHES;
        if !is_long || !self.catalog.may_note_stretches() {
            return;
        }
        match self.catalog.note_stretch(self.bucket, passed).await {
            Ok(()) => tracing::debug!(bucket = %self.bucket, "a bare stretch is noted"),
            // The next listing tries again.
            Err(error) => tracing::debug!(bucket = %self.bucket, %error, "a bare stretch is not noted"),
        }
    }
}

impl Catalog {
    /// The stretch that this key is in, or else the next one.
    async fn stretch_from(&self, bucket: BucketId, key: &Key) -> Result<Option<Stretch>, CatalogError> {
        let (mark, here) = (mark_key(bucket), layout::of_kind(layout::BARE, key));
        let begun = KeyRange { start: layout::successor(&mark), end: Some(layout::successor(&here)) };
        let found = self.kv.scan(begun, Direction::Backward, 1).await?.pop();
        if let Some(stretch) = found.map(Stretch::decode).transpose()?
            && *key < stretch.ends.end
        {
            return Ok(Some(stretch));
        }
        let after = KeyRange { start: layout::successor(&here), end: Some(layout::behind(&mark)) };
        self.kv.scan(after, Direction::Forward, 1).await?.pop().map(Stretch::decode).transpose()
    }

    /// Adds to a transaction that makes an object current under a name that had none what takes it out of the stretch that it is in.
    pub(super) async fn push_lives(
        &self,
        transaction: &mut Change,
        bucket: BucketId,
        object: &ObjectKey,
    ) -> Result<(), CatalogError> {
        let Err(error) = self.try_push_lives(transaction, bucket, object).await else { return Ok(()) };
        self.forget_unreadable(bucket, error).await?;
        self.try_push_lives(transaction, bucket, object).await
    }

    /// Stretches that can't be read are forgotten: they only spare work.
    async fn forget_unreadable(&self, bucket: BucketId, error: CatalogError) -> Result<(), CatalogError> {
        match error {
            CatalogError::Corrupt(what) => {
                tracing::warn!(%bucket, "{what} can't be read: all of the bucket's are forgotten");
                self.forget_stretches(Some(bucket)).await
            }
            error => Err(error),
        }
    }

    async fn try_push_lives(
        &self,
        transaction: &mut Change,
        bucket: BucketId,
        object: &ObjectKey,
    ) -> Result<(), CatalogError> {
        let (mark, head) = (mark_key(bucket), layout::head(bucket, object));
        let [marked] = self.get([mark.clone()]).await?;
        transaction.conditions.push(unchanged(&mark, &marked));
        let Some(marked) = marked else { return Ok(()) };
        if Mark::decode(&marked)?.has(&head) {
            transaction.writes.push(Write::Put(mark, Mark::default().encode()));
        }
        let stretch = self.stretch_from(bucket, &head).await?.filter(|stretch| stretch.ends.has(&head));
        let Some(Stretch { key, revision, ends }) = stretch else { return Ok(()) };
        transaction.conditions.push(Condition::At(key.clone(), revision));
        let before = Ends { start: ends.start, end: head.clone() };
        let after = Ends { start: layout::behind(&head), end: ends.end };
        transaction.writes.push(match before.start < before.end {
            true => note(&before),
            false => Write::Delete(key),
        });
        transaction.writes.extend((after.start < after.end).then(|| note(&after)));
        Ok(())
    }

    /// Notes a stretch in the place of those that are in it.
    async fn note_stretch(&self, bucket: BucketId, passed: Passed) -> Result<(), CatalogError> {
        let Some(ends) = passed.ends else { return Ok(()) };
        let (key, mark) = (mark_key(bucket), Mark::of(&ends));
        let [former] = self.get([key.clone()]).await?;
        let conditions = vec![unchanged(&key, &former)];
        let writes = vec![Write::Put(key.clone(), mark.encode())];
        self.commit(Transaction { conditions, writes }).await?;
        let [marked] = self.get([key.clone()]).await?;
        let marked = marked.ok_or(CatalogError::Contended)?;
        if Mark::decode(&marked)? != mark {
            return Err(CatalogError::Contended);
        }
        self.expect_known(bucket, &ends, &passed.stretches).await?;
        self.expect_bare(&ends, &passed.stretches).await?;
        let mut conditions = vec![Condition::At(key.clone(), marked.revision)];
        let mut writes = vec![Write::Put(key, Mark::default().encode()), note(&ends)];
        for stretch in passed.stretches {
            conditions.push(Condition::At(stretch.key.clone(), stretch.revision));
            writes.extend((stretch.ends.start != ends.start).then_some(Write::Delete(stretch.key)));
        }
        Ok(self.commit(Transaction { conditions, writes }).await?)
    }

    /// Fails if any stretch that was noted meets these ends and is none of `known`. None comes once the mark is set.
    async fn expect_known(
        &self,
        bucket: BucketId,
        ends: &Ends,
        known: &[Stretch],
    ) -> Result<(), CatalogError> {
        let bare = |key: &Key| layout::of_kind(layout::BARE, key);
        let before = KeyRange { start: layout::successor(&mark_key(bucket)), end: Some(bare(&ends.start)) };
        let within = KeyRange { start: bare(&ends.start), end: Some(bare(&ends.end)) };
        let mut found = self.kv.scan(before, Direction::Backward, 1).await?;
        found.extend(self.kv.scan(within, Direction::Forward, known.len() + 1).await?);
        for entry in found {
            let stretch = Stretch::decode(entry)?;
            let is_same = |other: &Stretch| other.key == stretch.key && other.revision == stretch.revision;
            if ends.start < stretch.ends.end && !known.iter().any(is_same) {
                return Err(CatalogError::Contended);
            }
        }
        Ok(())
    }

    /// Fails if a current version in this stretch is an object, or can't be read. What is noted already is not looked at.
    async fn expect_bare(&self, ends: &Ends, noted: &[Stretch]) -> Result<(), CatalogError> {
        let mut start = ends.start.clone();
        let ends_of_gaps = noted.iter().map(|stretch| &stretch.ends.start).chain([&ends.end]);
        let starts_of_gaps = noted.iter().map(|stretch| Some(&stretch.ends.end)).chain([None]);
        for (end, next) in ends_of_gaps.zip(starts_of_gaps) {
            while start < *end {
                let gap = KeyRange { start: start.clone(), end: Some(end.clone()) };
                let found = self.kv.scan(gap, Direction::Forward, SCAN_LEN).await?;
                for (key, entry) in &found {
                    let name = layout::name_in(key, BASE_LEN)?;
                    if record::summary(&name, &entry.value, Shown::Objects)?.is_some() {
                        return Err(CatalogError::Contended);
                    }
                }
                match found.last() {
                    Some((last, _)) if found.len() == SCAN_LEN => start = layout::successor(last),
                    _ => break,
                }
                tokio::task::yield_now().await;
            }
            start = next.unwrap_or(end).clone();
        }
        Ok(())
    }

    /// Forgets the stretches of a bucket, or all of them.
    pub(super) async fn forget_stretches(&self, of: Option<BucketId>) -> Result<(), CatalogError> {
        let range = KeyRange::prefix(of.map_or(vec![layout::BARE].into(), mark_key));
        loop {
            let found = self.kv.scan(range.clone(), Direction::Forward, SCAN_LEN).await?;
            let is_last = found.len() < SCAN_LEN;
            self.commit_apart(found.into_iter().map(|(key, _)| vec![Write::Delete(key)])).await?;
            if is_last {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
impl Catalog {
    /// The names of the bucket's current versions that are objects though a stretch has them, which no name may be; and how many stretches
    /// there are, none of which may begin within another one.
    pub(super) async fn check_stretches(&self, bucket: BucketId) -> usize {
        let all =
            |kind| self.kv.scan(KeyRange::prefix(layout::within(kind, bucket)), Direction::Forward, 100_000);
        let found = all(layout::BARE).await.expect("a scan").into_iter();
        let stretches: Vec<_> = found
            .filter(|(key, _)| key.len() > BASE_LEN)
            .map(|entry| Stretch::decode(entry).expect("a stretch").ends)
            .collect();
        assert!(stretches.iter().all(|ends| ends.start < ends.end));
        assert!(stretches.is_sorted_by(|one, next| one.end <= next.start), "{stretches:?}");
        for (key, entry) in all(layout::HEAD).await.expect("a scan") {
            let name = layout::name_in(&key, BASE_LEN).expect("a name");
            let is_object =
                record::summary(&name, &entry.value, Shown::Objects).is_ok_and(|row| row.is_some());
            assert!(!is_object || !stretches.iter().any(|ends| ends.has(&key)), "{name} in {stretches:?}");
        }
        stretches.len()
    }
}
