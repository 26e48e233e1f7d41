//! Blobs that nobody can account for, in a folder of their own: `quarantine/ID-MILLISECONDS-WHY`.

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMultipartOptions, PutPayload};

use super::format::{Footer, Undecoded};
use super::request::{failed, within};
use super::{ObjectBlobStore, Shared};
use crate::blob::fs::Quarantined;
use crate::blob::{BlobError, BlobRef, StoredLen, Why};
use crate::name::{BlobId, Timestamp};
use crate::session::{pack_and_place, unpacked};

/// The longest object that S3 copies by one request, in bytes.
const MAX_COPY_LEN: u64 = 5 << 30;
/// Objects in quarantine that are looked at, at the most.
const MAX_QUARANTINED: usize = 100_000;
/// Bytes of an object's end that tell whose it was.
const END_LEN: u64 = 16 << 10;

/// An object in quarantine.
pub(super) struct PutAway {
    name: Path,
    id: BlobId,
    since: Timestamp,
    why: Why,
    object_len: u64,
}

impl ObjectBlobStore {
    /// The blobs that were put away, by id.
    pub async fn quarantined(&self) -> Result<Vec<Quarantined>, BlobError> {
        let mut found = Vec::new();
        for away in self.shared.put_away().await? {
            let id = away.id;
            let range = away.object_len.saturating_sub(END_LEN)..away.object_len;
            let end =
                within(self.shared.options.read, id, self.shared.store.get_range(&away.name, range)).await;
            match end.map(|end| Footer::decode(&end)) {
                Ok(Ok((footer, owner))) => {
                    let blob = BlobRef { id, stored_len: StoredLen(footer.stored_len) };
                    found.push(Quarantined { blob, owner, since: away.since, why: away.why });
                }
                Ok(Err(Undecoded::Damaged(_) | Undecoded::Longer(_))) => {
                    tracing::error!(blob = %id, "a blob in quarantine is damaged");
                }
                Err(BlobError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Puts back what is in quarantine for one of these reasons; answers how many blobs.
    pub async fn release_quarantine(&self, whys: &[Why]) -> Result<u64, BlobError> {
        let mut count = 0;
        for away in self.shared.put_away().await? {
            if !whys.contains(&away.why) {
                continue;
            }
            let to = self.shared.places.of(away.id);
            self.shared.rename(away.id, &away.name, &to, away.object_len).await?;
            count += 1;
        }
        Ok(count)
    }
}

impl Shared {
    /// Puts a blob away: it is not found and not listed any more.
    pub(super) async fn quarantine(&self, id: BlobId, why: Why) -> Result<(), BlobError> {
        if pack_and_place(&id).is_some() {
            return self.quarantine_packed(id, why).await;
        }
        let from = self.places.of(id);
        let object = within(self.options.read, id, self.store.head(&from)).await?;
        let to = self.places.quarantined(id, Timestamp::now().unix_ms(), letter(why));
        self.rename(id, &from, &to, object.size).await?;
        self.ids.settle(&id);
        Ok(())
    }

    /// Takes a blob out of its pack: in quarantine, and back from there, it lies alone.
    async fn quarantine_packed(&self, id: BlobId, why: Why) -> Result<(), BlobError> {
        let Some((pack, place)) = pack_and_place(&id) else { return Err(BlobError::NotFound(id)) };
        let missing = |error| match error {
            BlobError::NotFound(_) => BlobError::NotFound(id),
            error => error,
        };
        let index = self.index_of(pack).await.map_err(missing)?;
        let (_, dead) = self.tombstones(pack).await?;
        let Some((footer, owner)) = index.row(id).filter(|_| dead.binary_search(&place).is_err()) else {
            return Err(BlobError::NotFound(id));
        };
        let len = footer.stored_len.saturating_add(u64::from(footer.trailer_len));
        // With the byte behind it: there is no request for nothing.
        let mut whole = self.get(id, 0..len.saturating_add(1)).await?;
        whole.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        let alone = Footer { id: unpacked(id), ..footer.clone() };
        let tail = alone.tail(&[], &owner.encode());
        let to = self.places.quarantined(alone.id, Timestamp::now().unix_ms(), letter(why));
        let payload: PutPayload = [whole, tail].into_iter().collect();
        within(self.options.write, id, self.store.put(&to, payload)).await?;
        self.bury(pack, vec![place]).await?;
        self.ids.settle(&id);
        Ok(())
    }

    /// Deletes what has been in quarantine for longer than this; answers how many.
    pub(super) async fn expire_quarantine(&self, kept: Duration) -> Result<u64, BlobError> {
        let before = Timestamp::now().unix_ms().saturating_sub(kept.as_millis() as u64);
        let mut count = 0;
        for away in self.put_away().await? {
            if away.since.unix_ms() < before {
                let id = away.id;
                tracing::warn!(blob = %id, "a blob was in quarantine for as long as the settings keep it: it is deleted");
                match within(self.options.write, id, self.store.delete(&away.name)).await {
                    Ok(()) | Err(BlobError::NotFound(_)) => count += 1,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(count)
    }

    pub(super) async fn put_away(&self) -> Result<Vec<PutAway>, BlobError> {
        let none = BlobId::from_bytes([0; 16]);
        let folder = self.places.quarantine();
        let mut listed = self.store.list(Some(&folder));
        let mut found = Vec::new();
        while found.len() < MAX_QUARANTINED {
            let next = match within(self.options.read, none, listed.try_next()).await {
                Err(BlobError::NotFound(_)) => break,
                next => next?,
            };
            let Some(object) = next else { break };
            let name = object.location;
            match name.filename().and_then(parse) {
                Some((id, since, why)) => {
                    found.push(PutAway { id, since, why, object_len: object.size, name });
                }
                None => tracing::warn!(object = %name, "a foreign object lies in the quarantine"),
            }
        }
        found.sort_unstable_by_key(|away| away.id);
        Ok(found)
    }

    /// Gives an object another name: by a copy, as stores know no other way.
    async fn rename(&self, id: BlobId, from: &Path, to: &Path, object_len: u64) -> Result<(), BlobError> {
        if object_len <= MAX_COPY_LEN {
            within(self.options.write, id, self.store.copy(from, to)).await?;
        } else {
            self.copy_in_parts(id, from, to).await?;
        }
        match within(self.options.write, id, self.store.delete(from)).await {
            Err(BlobError::NotFound(_)) => Ok(()),
            answer => answer,
        }
    }

    pub(super) async fn copy_in_parts(&self, id: BlobId, from: &Path, to: &Path) -> Result<(), BlobError> {
        let mut bytes = within(self.options.read, id, self.store.get(from)).await?.into_stream();
        let upload = self.store.put_multipart_opts(to, PutMultipartOptions::default());
        let mut upload = within(self.options.write, id, upload).await?;
        let copied = async {
            let (mut pieces, mut len): (Vec<Bytes>, usize) = (Vec::new(), 0);
            while let Some(piece) = within(self.options.read, id, bytes.try_next()).await? {
                len += piece.len();
                pieces.push(piece);
                if len >= self.options.part_len {
                    let part = upload.put_part(std::mem::take(&mut pieces).into_iter().collect());
                    within(self.options.write, id, part).await?;
                    len = 0;
                }
            }
            if !pieces.is_empty() {
                let part = upload.put_part(pieces.into_iter().collect());
                within(self.options.write, id, part).await?;
            }
            within(self.options.write, id, upload.complete()).await.map(drop)
        };
        let copied = copied.await;
        if copied.is_err()
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(blob = %id, error = %failed(id, error), "an upload in parts was not given up: the bucket's rule ends it");
        }
        copied
    }
}

/// Why, as names have it.
fn letter(why: Why) -> &'static str {
    if why == Why::CutOff { "c" } else { "u" }
}

/// What the name of an object in quarantine says.
fn parse(name: &str) -> Option<(BlobId, Timestamp, Why)> {
    let (id, rest) = name.split_once('-')?;
    let (since, why) = rest.split_once('-')?;
    let id: [u8; 16] = hex::decode(id).ok()?.try_into().ok()?;
    let why = if why == "c" { Why::CutOff } else { Why::Unknown };
    Some((BlobId::from_bytes(id), Timestamp(since.parse().ok()?), why))
}
