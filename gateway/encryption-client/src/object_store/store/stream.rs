//! Streams, sealed piece by piece into the parts that are sent: what is in memory does not grow with them.

use std::pin::pin;

use bytes::Bytes;
use futures_util::stream::{Stream, TryStreamExt};
use tokio::task::JoinSet;

use super::api::path::Path;
use super::api::{self, MultipartUpload, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutResult};
use super::upload::complete_upload;
use super::{EncryptedStore, Result};
use crate::content::Sealer;
use crate::error::Error;
use crate::suite::TAG_LEN;

/// The length of a stream's parts, in bytes: the shortest that S3 takes.
pub(super) const PART_LEN: usize = 5 << 20;
/// Parts of that length. Those behind them are longer, so that 10,000, which S3 takes at most, hold the longest body that can be sealed.
const SHORT_PARTS: usize = 4000;
const LONG_PART_LEN: usize = 8 << 20;
/// Parts that are in memory: under way, but for the one that is being filled. Filling takes little of the time that sending takes, so two
/// are under way most of the time.
const PARTS_IN_MEMORY: usize = 2;
/// Bytes that are copied at once of what was held.
const STEP_LEN: usize = 256 << 10;

/// How long the part is that comes behind so many.
fn part_len(sent: usize) -> usize {
    if sent < SHORT_PARTS { PART_LEN } else { LONG_PART_LEN }
}

/// An upload, and the part that is being filled.
struct Parts<'a> {
    upload: &'a mut dyn MultipartUpload,
    sealer: Sealer,
    filling: Vec<u8>,
    sent: usize,
    /// They end with it.
    sending: Sending,
}

impl<'a> Parts<'a> {
    fn new(upload: &'a mut dyn MultipartUpload, sealer: Sealer) -> Self {
        Self { upload, sealer, filling: Vec::new(), sent: 0, sending: JoinSet::new() }
    }

    async fn add(&mut self, mut plain: &[u8]) -> Result<()> {
        while !plain.is_empty() {
            let part_len = part_len(self.sent);
            if self.filling.capacity() == 0 {
                wait_for_place(&mut self.sending).await?;
                // Room for the tag, and for what the cipher wants more than it writes.
                self.filling.reserve_exact(part_len + 2 * TAG_LEN);
            }
            let (head, rest) = plain.split_at(plain.len().min(part_len - self.filling.len()));
            self.sealer.update(head, &mut self.filling)?;
            if self.filling.len() == part_len {
                let full = std::mem::take(&mut self.filling);
                self.sending.spawn(self.upload.put_part(full.into()));
                self.sent += 1;
            }
            plain = rest;
        }
        Ok(())
    }

    /// Sends the last part, whose end is the tag.
    async fn finish(self) -> Result<()> {
        let Self { upload, sealer, mut filling, mut sending, .. } = self;
        sealer.finish(&mut filling);
        sending.spawn(upload.put_part(filling.into()));
        while !sending.is_empty() {
            sent(&mut sending).await?;
        }
        Ok(())
    }
}

type Sending = JoinSet<Result<()>>;

/// Waits until there is place for a part that is to be filled.
async fn wait_for_place(sending: &mut Sending) -> Result<()> {
    while sending.len() >= PARTS_IN_MEMORY {
        sent(sending).await?;
    }
    Ok(())
}

/// Waits until one of the parts has been sent.
async fn sent(sending: &mut Sending) -> Result<()> {
    match sending.join_next().await {
        Some(sent) => sent.map_err(|error| Error::Store(Box::new(error)))?,
        None => Ok(()),
    }
}

impl<S: ObjectStore> EncryptedStore<S> {
    /// Seals a stream into an object: by one put if it is shorter than 5 MiB, by an upload in parts of that length otherwise, of which two
    /// are in memory at most. After an error there is no object, and nothing is left of the upload.
    ///
    /// # Errors
    /// Those of the stream and of the store.
    pub async fn put_stream<E: From<api::Error>>(
        &self,
        location: &Path,
        body: impl Stream<Item = std::result::Result<Bytes, E>>,
        options: PutMultipartOptions,
    ) -> std::result::Result<PutResult, E> {
        let mut body = pin!(body);
        let mut start = Vec::new();
        let next = loop {
            match body.try_next().await? {
                Some(piece) if start.len() + piece.len() < PART_LEN => start.extend_from_slice(&piece),
                next => break next,
            }
        };
        let Some(next) = next else {
            let PutMultipartOptions { attributes, tags, extensions } = options;
            let options = PutOptions { mode: PutMode::Overwrite, attributes, tags, extensions };
            return Ok(self.put_whole(location, start, options).await?);
        };
        let (sealer, mut upload, file) = self.begin(location, options).await?;
        let sent = async {
            let mut parts = Parts::new(&mut *upload, sealer);
            for piece in start.chunks(STEP_LEN) {
                parts.add(piece).await?;
            }
            drop(start);
            parts.add(&next).await?;
            drop(next);
            while let Some(piece) = body.try_next().await? {
                parts.add(&piece).await?;
            }
            Ok(parts.finish().await?)
        };
        let made = match sent.await {
            Ok(()) => complete_upload(&*self.inner, &mut *upload, file).await.map_err(E::from),
            Err(error) => Err(error),
        };
        if made.is_err() {
            // The first error tells more than that of cleaning up.
            let _ = upload.abort().await;
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_parts_as_s3_takes_hold_the_longest_body() {
        let room: u64 = (0..10_000).map(|sent| part_len(sent) as u64).sum();
        assert!(room >= crate::content::sealed_len(crate::suite::MAX_PLAIN_LEN));
    }
}
