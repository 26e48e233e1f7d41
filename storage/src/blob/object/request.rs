//! One request to the store: its deadline, its repetition, and what its failure means.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, GetResult, ObjectStoreExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::Shared;
use crate::blob::BlobError;
use crate::name::BlobId;

/// How often a read is tried, beside what the client of the store repeats by itself.
pub(super) const ATTEMPTS: u32 = 3;
/// How long to wait before the first repetition; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(100);

/// Waits before repetition `attempt`, which is counted from 1.
pub(super) async fn pause(attempt: u32) {
    tokio::time::sleep(PAUSE * (1 << attempt.min(5))).await;
}

/// What a failed request means for a blob.
pub(super) fn failed(id: BlobId, error: Error) -> BlobError {
    match error {
        // The whole bucket is gone, or never was: that says nothing of a blob.
        Error::NotFound { source, .. } if format!("{source:?}").contains("NoSuchBucket") => {
            BlobError::Unavailable(io::Error::new(
                io::ErrorKind::HostUnreachable,
                "the bucket of the blobs does not exist",
            ))
        }
        Error::NotFound { .. } => BlobError::NotFound(id),
        error => BlobError::Unavailable(io::Error::new(io::ErrorKind::HostUnreachable, error)),
    }
}

/// The store took too long.
pub(super) fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the object store did not answer in time")
}

/// Waits for an answer, and not for ever.
pub(super) async fn within<T>(
    limit: Duration,
    id: BlobId,
    call: impl Future<Output = object_store::Result<T>>,
) -> Result<T, BlobError> {
    match timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| failed(id, error)),
        Err(_) => Err(BlobError::Unavailable(late())),
    }
}

impl Shared {
    /// Asks for a range of the blob's object, which may end before it.
    pub(super) async fn begin_get(&self, id: BlobId, range: Range<u64>) -> Result<GetResult, BlobError> {
        let (name, at) = self.places.lies(id);
        let range = range.start.saturating_add(at)..range.end.saturating_add(at);
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        within(self.options.read, id, self.store.get_opts(&name, options)).await
    }

    /// A range of the blob's object in one piece: as many bytes as the object has of it.
    pub(super) async fn get(&self, id: BlobId, range: Range<u64>) -> Result<Bytes, BlobError> {
        let deadline = Instant::now() + self.options.read;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let read = timeout_at(deadline, async {
                let answer = self.begin_get(id, range.clone()).await?;
                answer.bytes().await.map_err(|error| failed(id, error))
            });
            match read.await {
                Ok(Err(BlobError::Unavailable(error))) if attempt < ATTEMPTS && Instant::now() < deadline => {
                    tracing::debug!(blob = %id, %error, "a read is repeated");
                    pause(attempt).await;
                }
                Ok(answer) => return answer,
                Err(_) => return Err(BlobError::Unavailable(late())),
            }
        }
    }

    /// Deletes these objects, which are of this blob and others; those that are not there are fine.
    pub(super) async fn delete_objects(&self, id: BlobId, names: Vec<Path>) -> Result<(), BlobError> {
        if let [name] = &names[..] {
            return match within(self.options.write, id, self.store.delete(name)).await {
                Ok(()) | Err(BlobError::NotFound(_)) => Ok(()),
                Err(error) => Err(error),
            };
        }
        let names: Vec<_> = names.into_iter().map(Ok).collect();
        let answers = self.store.delete_stream(futures_util::stream::iter(names).boxed());
        let mut answers = answers.filter(|answer| {
            let is_gone = matches!(answer, Err(Error::NotFound { .. }));
            std::future::ready(!is_gone)
        });
        // Each answer has the deadline of a request: they come a thousand at a time.
        while within(self.options.write, id, answers.try_next()).await?.is_some() {}
        Ok(())
    }
}
