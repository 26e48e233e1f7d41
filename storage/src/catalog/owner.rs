//! Which record a blob belongs to, asked from the blob's side: for the sweep of orphans and for moving blobs.

use super::displaced::displaced_blob;
use super::record::{BucketRecord, LayoutRecord, PartRecord, Record, UploadRecord, VersionRecord};
use super::{Bucket, Catalog, CatalogError, VersionRef, layout};
use crate::blob::{BlobOwner, BlobRef};
use crate::kv::{Condition, Entry, Key, Transaction, Write};
use crate::name::{BlobId, ObjectKey, UploadId, VersionId};

/// What the records say of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerState {
    /// A record refers to it, or somebody reads or writes its content now: it stays.
    Alive,
    /// The record that it belonged to is there and refers to another blob.
    Dead,
    /// No record refers to it. One may still come, as a blob is finished before its record is committed; or one was there that
    /// should be. What it is depends on the session that made it.
    Unknown,
    /// The record can't be read: the blob stays where it is.
    Unreadable,
}

impl Catalog {
    /// Does the record of `owner` refer to this blob?
    pub async fn owner_state(&self, owner: &BlobOwner, blob: BlobId) -> Result<OwnerState, CatalogError> {
        match owner {
            BlobOwner::Content { version, .. } if self.is_pinned(*version) => Ok(OwnerState::Alive),
            _ => self.recorded_state(owner, blob).await,
        }
    }

    /// As [`Catalog::owner_state`], whoever reads or writes the content now.
    pub(crate) async fn recorded_state(
        &self,
        owner: &BlobOwner,
        blob: BlobId,
    ) -> Result<OwnerState, CatalogError> {
        match self.sound_owner_state(owner, blob).await {
            Err(CatalogError::Corrupt(_)) => Ok(OwnerState::Unreadable),
            other => other,
        }
    }

    async fn sound_owner_state(&self, owner: &BlobOwner, blob: BlobId) -> Result<OwnerState, CatalogError> {
        let referred = |stored: Option<BlobRef>| stored.is_some_and(|stored| stored.id == blob);
        match owner {
            BlobOwner::Content { bucket, object, version, part } => {
                // In this order: an upload that ends between the two reads is found as a version by the second.
                let upload = match part {
                    Some(_) => {
                        self.get([layout::upload(*bucket, object, UploadId(*version))]).await?[0].is_some()
                    }
                    None => false,
                };
                let content = self.locate_content(*bucket, object, *version).await?;
                let content = content.and_then(|found| found.record.content);
                let (stored, settled) = match (part, content.map(|content| content.layout)) {
                    (None, Some(LayoutRecord::Single(stored))) => (Some(stored), true),
                    (None, Some(LayoutRecord::Inline(_))) => (None, true),
                    (None, _) => (None, false),
                    (Some(part), Some(LayoutRecord::Parts(directory))) if directory.names(part.get()) => {
                        (self.part_blob(owner).await?, true)
                    }
                    (Some(_), Some(_)) => (None, true),
                    (Some(_), None) if upload => (self.part_blob(owner).await?, false),
                    (Some(_), None) => (None, false),
                };
                Ok(match (referred(stored), settled) {
                    (true, _) => OwnerState::Alive,
                    (false, true) => OwnerState::Dead,
                    (false, false) => OwnerState::Unknown,
                })
            }
            BlobOwner::Journal { subject } => {
                for (key, entry) in self.subjects(subject).await? {
                    if referred(*Journalled::decode(&key, &entry.value)?.journal()) {
                        return Ok(OwnerState::Alive);
                    }
                }
                Ok(OwnerState::Unknown)
            }
        }
    }

    /// The blob that the record of this owner refers to now, where it is content of one blob.
    pub(crate) async fn content_blob(&self, owner: &BlobOwner) -> Result<Option<BlobRef>, CatalogError> {
        let BlobOwner::Content { bucket, object, version, part: None } = owner else {
            return self.part_blob(owner).await;
        };
        let found = self.locate_content(*bucket, object, *version).await?;
        Ok(found.and_then(|found| found.record.content).and_then(|content| match content.layout {
            LayoutRecord::Single(blob) => Some(blob),
            LayoutRecord::Parts(_) | LayoutRecord::Inline(_) => None,
        }))
    }

    /// Does any version of the object hold this content?
    pub async fn holds_content(
        &self,
        bucket: &Bucket,
        object: &ObjectKey,
        content: VersionId,
    ) -> Result<bool, CatalogError> {
        Ok(self.locate_content(bucket.id, object, content).await?.is_some())
    }

    /// Lets the record of `owner` refer to `to` in the place of `from`; false if it does not refer to `from` (any more). Where others
    /// share the records, `from` waits in the queue of displaced blobs then.
    pub async fn relocate(
        &self,
        owner: &BlobOwner,
        from: BlobRef,
        to: BlobRef,
    ) -> Result<bool, CatalogError> {
        let turn = match owner {
            BlobOwner::Content { bucket, object, .. } => layout::head(*bucket, object),
            BlobOwner::Journal { subject } => subject.clone(),
        };
        let mut attempts = self.attempts(&turn);
        loop {
            let found = match owner {
                BlobOwner::Content { bucket, object, version, part: None } => {
                    let found = self.locate_content(*bucket, object, *version).await?;
                    found.map(|found| (found.key, found.entry))
                }
                BlobOwner::Content { version, part: Some(part), .. } => {
                    let key = layout::part(*version, part.get());
                    let [found] = self.get([key.clone()]).await?;
                    found.map(|found| (key, found))
                }
                BlobOwner::Journal { subject } => {
                    let mut found = None;
                    for (key, entry) in self.subjects(subject).await? {
                        if *Journalled::decode(&key, &entry.value)?.journal() == Some(from) {
                            found = Some((key, entry));
                        }
                    }
                    found
                }
            };
            let Some((key, found)) = found else { return Ok(false) };
            let repointed = match owner {
                BlobOwner::Content { version, part: None, .. } => {
                    let mut record = VersionRecord::decode(&found.value)?;
                    match &mut record.content {
                        Some(content)
                            if content.version == *version
                                && content.layout == LayoutRecord::Single(from) =>
                        {
                            content.layout = LayoutRecord::Single(to);
                        }
                        _ => return Ok(false),
                    }
                    record.encode()
                }
                BlobOwner::Content { part: Some(_), .. } => {
                    let mut record = PartRecord::decode(&found.value)?;
                    if record.blob != from {
                        return Ok(false);
                    }
                    record.blob = to;
                    record.encode()
                }
                BlobOwner::Journal { .. } => {
                    let mut record = Journalled::decode(&key, &found.value)?;
                    if *record.journal() != Some(from) {
                        return Ok(false);
                    }
                    *record.journal() = Some(to);
                    record.encode()
                }
            };
            let mut transaction = Transaction {
                conditions: vec![Condition::At(key.clone(), found.revision)],
                writes: vec![Write::Put(key.clone(), repointed)],
            };
            if from.stored_len != to.stored_len {
                // Of which bucket that is, a part does not tell.
                transaction.writes.push(Write::Delete(layout::COUNTED));
            }
            if self.is_shared() {
                // Others may be reading it.
                let content = match owner {
                    BlobOwner::Content { version, .. } => Some(*version),
                    BlobOwner::Journal { .. } => None,
                };
                transaction.writes.push(displaced_blob(content, from));
            }
            if attempts.commit(transaction).await? {
                self.account_for(Some(to.id));
                return Ok(true);
            }
        }
    }

    /// The records that a journal of this subject may be of: a version moves when it becomes current, or is so no more.
    async fn subjects(&self, subject: &Key) -> Result<Vec<(Key, Entry)>, CatalogError> {
        let mut keys = vec![subject.clone()];
        match subject.first() {
            Some(&layout::VERSION) => {
                let (bucket, object, _) = layout::version_in(subject)?;
                keys.push(layout::head(bucket, &object));
            }
            // Until there were versions, every one was `null`, and journals spoke of the current one.
            Some(&layout::HEAD) => {
                let (bucket, object, _) = layout::version_in(subject)?;
                let null = self.locate(bucket, &object, VersionRef::Null).await?;
                keys.extend(null.map(|null| null.key).filter(|key| key != subject));
            }
            _ => {}
        }
        let found = self.kv.get(&keys).await?;
        Ok(keys.into_iter().zip(found).filter_map(|(key, entry)| Some((key, entry?))).collect())
    }

    async fn part_blob(&self, owner: &BlobOwner) -> Result<Option<BlobRef>, CatalogError> {
        let BlobOwner::Content { version, part: Some(part), .. } = owner else { return Ok(None) };
        let [found] = self.get([layout::part(*version, part.get())]).await?;
        found.map(|found| Ok(PartRecord::decode(&found.value)?.blob)).transpose()
    }
}

/// A record that a journal may speak of.
enum Journalled {
    Bucket(BucketRecord),
    Version(VersionRecord),
    Upload(UploadRecord),
}

impl Journalled {
    fn decode(key: &Key, stored: &[u8]) -> Result<Self, CatalogError> {
        match key.first() {
            Some(&layout::BUCKET) => Ok(Self::Bucket(BucketRecord::decode(stored)?)),
            Some(&(layout::HEAD | layout::VERSION)) => Ok(Self::Version(VersionRecord::decode(stored)?)),
            Some(&layout::UPLOAD) => Ok(Self::Upload(UploadRecord::decode(stored)?)),
            _ => Err(CatalogError::Corrupt("a journal's subject")),
        }
    }

    fn encode(&self) -> bytes::Bytes {
        match self {
            Self::Bucket(record) => record.encode(),
            Self::Version(record) => record.encode(),
            Self::Upload(record) => record.encode(),
        }
    }

    fn journal(&mut self) -> &mut Option<BlobRef> {
        match self {
            Self::Bucket(record) => &mut record.journal,
            Self::Version(record) => &mut record.journal,
            Self::Upload(record) => &mut record.journal,
        }
    }
}
