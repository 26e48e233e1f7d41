//! Where the record of a version lies: which version is asked for is told by the current one's record, or by looking at those behind it.

use super::super::damage::Found;
use super::super::record::{ContentPlace, Record, VersionRecord};
use super::super::{Catalog, CatalogError, SCAN_LEN, VersionRef, layout};
use crate::kv::{Condition, Direction, Entry, Key, KeyRange};
use crate::name::{BucketId, ObjectKey, VersionId};

/// A record where it was found.
pub(in crate::catalog) struct Located {
    pub(in crate::catalog) key: Key,
    pub(in crate::catalog) entry: Entry,
    pub(in crate::catalog) record: VersionRecord,
}

impl Located {
    pub(super) fn decode(key: Key, entry: Entry) -> Result<Self, CatalogError> {
        let record = VersionRecord::decode(&entry.value)?;
        Ok(Self { key, entry, record })
    }

    pub(super) fn condition(&self) -> Condition {
        Condition::At(self.key.clone(), self.entry.revision)
    }
}

impl Catalog {
    /// Where a listing goes on behind a version, which may be gone since, given the current one's entry; `None`: behind the object.
    pub(in crate::catalog) async fn behind_version(
        &self,
        bucket: BucketId,
        object: &ObjectKey,
        which: VersionRef,
        head: Option<&Entry>,
    ) -> Result<Option<Key>, CatalogError> {
        let key = layout::head(bucket, object);
        let Some(head) = head else { return Ok(None) };
        let Found::Sound(head) = self.look::<VersionRecord>(&key, Some(head)) else {
            // It was not shown, so the listing ended in one that is not current.
            return Ok(match which {
                VersionRef::Id(id) | VersionRef::Noncurrent(id) => {
                    Some(layout::successor(&layout::version(bucket, object, id)))
                }
                VersionRef::Null => {
                    self.noncurrent_null(bucket, object).await?.map(|null| layout::successor(&null.key))
                }
                VersionRef::Current => None,
            });
        };
        Ok(match which {
            _ if head.is_current(which) => Some(layout::successor(&key)),
            VersionRef::Id(id) | VersionRef::Noncurrent(id) if id < head.version => Some(key),
            VersionRef::Id(id) | VersionRef::Noncurrent(id) => {
                Some(layout::successor(&layout::version(bucket, object, id)))
            }
            VersionRef::Null => {
                head.null_elsewhere.map(|id| layout::successor(&layout::version(bucket, object, id)))
            }
            VersionRef::Current => None,
        })
    }

    pub(in crate::catalog) async fn locate(
        &self,
        bucket: BucketId,
        object: &ObjectKey,
        which: VersionRef,
    ) -> Result<Option<Located>, CatalogError> {
        // A version that moves between the two reads is found by the next round.
        loop {
            let key = layout::head(bucket, object);
            let [Some(entry)] = self.get([key.clone()]).await? else { return Ok(None) };
            let head = match self.look::<VersionRecord>(&key, Some(&entry)) {
                Found::Sound(record) => Located { key: key.clone(), entry, record },
                _ => {
                    // It may be the one that is asked for, unless that is found elsewhere.
                    let found = match which {
                        VersionRef::Current => None,
                        VersionRef::Null => self.noncurrent_null(bucket, object).await?,
                        VersionRef::Id(id) | VersionRef::Noncurrent(id) => {
                            self.noncurrent(bucket, object, id).await?
                        }
                    };
                    let found = found.filter(|found| found.record.is_version(which));
                    return found.map(Some).ok_or(CatalogError::Corrupt(VersionRecord::NAME));
                }
            };
            if head.record.is_current(which) {
                return Ok(Some(head));
            }
            let id = match which {
                VersionRef::Current => None,
                VersionRef::Null => head.record.null_elsewhere,
                VersionRef::Id(id) | VersionRef::Noncurrent(id) => Some(id),
            };
            let Some(id) = id else { return Ok(None) };
            let found = self.noncurrent(bucket, object, id).await?;
            if let Some(found) = found {
                return Ok(Some(found).filter(|found| found.record.is_version(which)));
            }
            let [again] = self.get([key]).await?;
            if again.is_some_and(|again| again.revision == head.entry.revision) {
                return Ok(None);
            }
        }
    }

    /// The record whose content was sealed as `content` for an object of this name.
    pub(in crate::catalog) async fn locate_content(
        &self,
        bucket: BucketId,
        object: &ObjectKey,
        content: VersionId,
    ) -> Result<Option<Located>, CatalogError> {
        let head_key = layout::head(bucket, object);
        loop {
            let holds = |found: &Located| found.record.content.as_ref().is_some_and(|c| c.version == content);
            let keys = [
                head_key.clone(),
                layout::version(bucket, object, content),
                layout::content(bucket, content),
            ];
            let [head, version, place] = self.get(keys.clone()).await?;
            let revision = head.as_ref().map(|head| head.revision);
            for (key, entry) in [(&keys[0], head), (&keys[1], version)] {
                let found = entry.map(|entry| Located::decode(key.clone(), entry)).transpose()?;
                if let Some(found) = found.filter(holds) {
                    return Ok(Some(found));
                }
            }
            if let Some(place) = place {
                let place = ContentPlace::decode(&place.value)?;
                let found = self.at_place(bucket, &place).await?;
                if let Some(found) = found.filter(holds) {
                    return Ok(Some(found));
                }
            }
            let [again] = self.get([head_key.clone()]).await?;
            if again.map(|again| again.revision) == revision {
                return Ok(None);
            }
        }
    }

    async fn at_place(
        &self,
        bucket: BucketId,
        place: &ContentPlace,
    ) -> Result<Option<Located>, CatalogError> {
        let key = layout::head(bucket, &place.object);
        let [head] = self.get([key.clone()]).await?;
        let head = head.map(|head| Located::decode(key, head)).transpose()?;
        match head.filter(|head| head.record.version == place.version) {
            Some(head) => Ok(Some(head)),
            None => self.noncurrent(bucket, &place.object, place.version).await,
        }
    }

    pub(super) async fn noncurrent(
        &self,
        bucket: BucketId,
        object: &ObjectKey,
        id: VersionId,
    ) -> Result<Option<Located>, CatalogError> {
        let key = layout::version(bucket, object, id);
        let [found] = self.get([key.clone()]).await?;
        found.map(|entry| Located::decode(key, entry)).transpose()
    }

    pub(super) async fn newest_noncurrent(
        &self,
        bucket: BucketId,
        object: &ObjectKey,
    ) -> Result<Option<Located>, CatalogError> {
        self.first_noncurrent(bucket, object, |_| true).await
    }

    /// The version `null`, where it is not the current one and the current one's record does not tell.
    pub(super) async fn noncurrent_null(
        &self,
        bucket: BucketId,
        object: &ObjectKey,
    ) -> Result<Option<Located>, CatalogError> {
        self.first_noncurrent(bucket, object, |record| record.is_null).await
    }

    /// The newest of the versions that are not current, and that fit. Those that can't be read are passed over, unless all are.
    async fn first_noncurrent(
        &self,
        bucket: BucketId,
        object: &ObjectKey,
        fits: impl Fn(&VersionRecord) -> bool,
    ) -> Result<Option<Located>, CatalogError> {
        let mut range = KeyRange::prefix(layout::versions(bucket, object));
        let (mut len, mut is_any_sound, mut is_any_damaged) = (1, false, false);
        loop {
            let found = self.kv.scan(range.clone(), Direction::Forward, len).await?;
            let is_last = found.len() < len;
            for (key, entry) in found {
                range.start = layout::successor(&key);
                match self.look::<VersionRecord>(&key, Some(&entry)) {
                    Found::Sound(record) if fits(&record) => return Ok(Some(Located { key, entry, record })),
                    Found::Sound(_) => is_any_sound = true,
                    _ => is_any_damaged = true,
                }
            }
            if is_last {
                return match is_any_damaged && !is_any_sound {
                    true => Err(CatalogError::Corrupt(VersionRecord::NAME)),
                    false => Ok(None),
                };
            }
            len = SCAN_LEN;
        }
    }
}

/// What was found among versions that are not current; none where not one of them can be read.
pub(super) fn unless_all_damaged(
    found: Result<Option<Located>, CatalogError>,
) -> Result<Option<Located>, CatalogError> {
    match found {
        Err(CatalogError::Corrupt(_)) => Ok(None),
        other => other,
    }
}
