//! Listing of whatever lies under names: prefix, delimiter, where to begin. It seeks past each common prefix,
//! so it costs what it returns, not what it skips.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::bare::Bare;
use super::record::VersionRecord;
use super::{Catalog, CatalogError, ListPage, ListRequest, ListRow, SCAN_LEN, VersionRef, layout};
use crate::kv::{Direction, Entry, Key, KeyRange, Revision};
use crate::name::{BucketId, ObjectKey};

/// How often a look is repeated that others' commits disturb.
const MAX_ATTEMPTS: u32 = 32;
/// Entries per scan behind a common prefix: the next row is likely to be one, too.
const SEEK_LEN: usize = 3;
/// How long a listing may hold its thread: short scans do not wait for anything.
const TURN: Duration = Duration::from_millis(2);

/// Behind what a listing goes on, if that is not simply a name.
pub(super) enum Behind {
    /// All of `request.after`.
    Name,
    /// This key, of whatever kind.
    Key(Key),
    /// A version of an object, which may have moved since, or be gone.
    Version(ObjectKey, VersionRef),
}

impl Catalog {
    /// A page of a bucket's records of these kinds, in order of what follows the kind in their keys. `decode` makes an item of a
    /// name, its entry's key and its value; `None` hides it. `bare` goes round what is hidden, of current versions alone.
    pub(super) async fn list<T>(
        &self,
        kinds: &[u8],
        bucket: BucketId,
        request: &ListRequest,
        behind: Behind,
        mut bare: Option<Bare<'_>>,
        decode: impl Fn(&str, &Bytes, &Bytes) -> Result<Option<T>, CatalogError>,
    ) -> Result<ListPage<T>, CatalogError> {
        let mut page = ListPage { rows: Vec::new(), truncated: false };
        let delimiter = request.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
        let base = &layout::within(kinds[0], bucket)[..];
        let mut range = KeyRange::prefix(layout::of_name_prefix(base, &request.prefix));
        // Versions of an object move while it is listed, when one becomes current or is so no more: how far it has come is told by the last
        // version, not by a key.
        let mut last_version = None;
        if let Some(after) = &request.after {
            // A name within a common prefix stands for it, as the prefix itself does: both were listed as one row.
            let rolled_up = delimiter.and_then(|d| common_prefix(after, &request.prefix, d));
            let start = match (rolled_up, behind) {
                (Some(common), _) => layout::behind(&layout::of_name_prefix(base, common)),
                (None, Behind::Key(behind)) => layout::of_kind(kinds[0], &behind),
                (None, Behind::Name) => layout::behind(&layout::of_name(base, after)),
                (None, Behind::Version(object, which)) => {
                    let start = layout::head(bucket, &object);
                    last_version = (range.start <= start).then_some((object, which));
                    start
                }
            };
            range.start = range.start.max(start);
        }
        let (mut scan_len, mut turn) = (SCAN_LEN, Instant::now());
        while request.limit > 0 && range.end.as_ref().is_none_or(|end| range.start < *end) {
            if turn.elapsed() >= TURN {
                tokio::task::yield_now().await;
                turn = Instant::now();
            }
            let part = match &mut bare {
                Some(bare) => bare.go_round(&range).await?,
                None => range.clone(),
            };
            if part.end.as_ref().is_some_and(|end| part.start >= *end) {
                break;
            }
            let len = scan_len.min(request.limit - page.rows.len() + 1);
            let (found, is_more) = match &last_version {
                Some((object, which)) => self.scan_behind(kinds, bucket, object, *which, &part, len).await?,
                None => self.scan_kinds(kinds, &part, len).await?,
            };
            page.rows.reserve(found.len().min(request.limit - page.rows.len()));
            // Behind the common prefix that was seen last.
            let mut skip_to: Option<Key> = None;
            for (key, entry) in &found {
                if skip_to.as_ref().is_some_and(|to| key[1..] < to[1..]) {
                    continue;
                }
                let read = layout::name_in(key, base.len()).and_then(|name| {
                    let rolled_up =
                        delimiter.and_then(|d| common_prefix(&name, &request.prefix, d)).map(str::to_owned);
                    Ok((rolled_up, decode(&name, key, &entry.value)?))
                });
                if let (Ok((_, None)), Some(bare)) = (&read, &mut bare) {
                    bare.pass(key);
                } else if let Some(bare) = bare.as_mut().filter(|bare| bare.has_passed()) {
                    bare.end().await;
                }
                let (rolled_up, item) = match read {
                    Ok((rolled_up, Some(item))) => (rolled_up, item),
                    Ok((_, None)) => continue,
                    // Nothing can be told of it, and it must not hide the others.
                    Err(CatalogError::Corrupt(_)) => {
                        self.note_damage(key);
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                if page.rows.len() == request.limit {
                    page.truncated = true;
                    return Ok(page);
                }
                page.rows.push(match rolled_up {
                    None => ListRow::Item(item),
                    Some(common) => {
                        skip_to = Some(layout::behind(&layout::of_name_prefix(base, &common)));
                        ListRow::CommonPrefix(common)
                    }
                });
            }
            range.start = match (found.last(), part.end) {
                (Some((last, _)), _) if is_more => layout::of_kind(kinds[0], &layout::successor(last)),
                // A bare stretch begins there.
                (_, end) if end != range.end => end.unwrap_or_default(),
                _ => break,
            };
            last_version = match (found.last(), &skip_to) {
                (Some((key, entry)), None) if kinds.len() > 1 => self.version_at(key, entry)?,
                _ => None,
            };
            scan_len = if skip_to.is_some() { SEEK_LEN } else { SCAN_LEN.min(scan_len * 4) };
            range.start = range.start.max(skip_to.unwrap_or_default());
            if let Some(bare) = &mut bare {
                bare.go_on().await;
            }
        }
        if let Some(bare) = &mut bare {
            bare.end().await;
        }
        Ok(page)
    }

    /// The version whose record this is; `None` where it can't be read.
    fn version_at(&self, key: &Key, entry: &Entry) -> Result<Option<(ObjectKey, VersionRef)>, CatalogError> {
        let (_, object, id) = layout::version_in(key)?;
        let current = || Some(self.look::<VersionRecord>(key, Some(entry)).sound()?.version);
        Ok(id.or_else(current).map(|id| (object, VersionRef::Noncurrent(id))))
    }

    /// As [`Catalog::scan_kinds`], of the part of a range that is behind a version of its first object.
    async fn scan_behind(
        &self,
        kinds: &[u8],
        bucket: BucketId,
        object: &ObjectKey,
        which: VersionRef,
        range: &KeyRange,
        limit: usize,
    ) -> Result<(Vec<(Key, Entry)>, bool), CatalogError> {
        let head = layout::head(bucket, object);
        for _ in 0..MAX_ATTEMPTS {
            let [before] = self.get([head.clone()]).await?;
            let start = self.behind_version(bucket, object, which, before.as_ref()).await?;
            let start = start.map_or_else(|| layout::behind(&head), |key| layout::of_kind(kinds[0], &key));
            let found = self.scan_kinds(kinds, &KeyRange { start, end: range.end.clone() }, limit).await?;
            let [after] = self.get([head.clone()]).await?;
            if after.map(|entry| entry.revision) == before.map(|entry| entry.revision) {
                return Ok(found);
            }
        }
        Err(CatalogError::Contended)
    }

    /// The first entries of a range of the first kind, and of the same range of the others, in order of what follows the kind; are there
    /// more? What moves from one kind to another changes the first one: whatever was changed there while the others were read is read
    /// again, a smaller part of it each time, so that what is there all the while is seen once.
    async fn scan_kinds(
        &self,
        kinds: &[u8],
        range: &KeyRange,
        limit: usize,
    ) -> Result<(Vec<(Key, Entry)>, bool), CatalogError> {
        let (mut limit, mut failed) = (limit, 0);
        let mut found = self.kv.scan(range.clone(), Direction::Forward, limit).await?;
        while kinds.len() > 1 {
            let marks: Vec<(Key, Revision)> =
                found.iter().map(|(key, entry)| (key.clone(), entry.revision)).collect();
            for &kind in &kinds[1..] {
                // An end that is the next kind is the end of this one, too.
                let end = range.end.as_ref().map(|end| match end.first() {
                    Some(&first) if first == kinds[0] => layout::of_kind(kind, end),
                    _ => vec![kind + 1].into(),
                });
                let range = KeyRange { start: layout::of_kind(kind, &range.start), end };
                found.extend(self.kv.scan(range, Direction::Forward, limit).await?);
            }
            let again = self.kv.scan(range.clone(), Direction::Forward, limit).await?;
            let is_same =
                again.iter().map(|(key, entry)| (key, entry.revision)).eq(marks.iter().map(|(k, r)| (k, *r)));
            if is_same {
                found.sort_by(|(one, _), (other, _)| one[1..].cmp(&other[1..]));
                found.truncate(limit);
                break;
            }
            failed += 1;
            if failed == MAX_ATTEMPTS {
                return Err(CatalogError::Contended);
            }
            limit = (limit / 2).max(1);
            found = again;
            found.truncate(limit);
        }
        let is_more = found.len() == limit;
        Ok((found, is_more))
    }
}

/// The common prefix that a name is rolled up into: all up to and with the first delimiter behind `prefix`.
fn common_prefix<'a>(name: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    let rest = name.strip_prefix(prefix)?;
    let at = rest.find(delimiter)?;
    Some(&name[..prefix.len() + at + delimiter.len()])
}
