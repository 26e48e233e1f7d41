//! Reading an object: single ranges by requests of their own, what is read in order from one stream that runs ahead.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{BufMut, BytesMut};
use futures_util::StreamExt;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Shared;
use super::request::{ATTEMPTS, failed, late, pause};
use crate::blob::{BlobError, BlobReader, BlobRef, StoredRange, check_range};
use crate::figures::BLOBS;
use crate::name::BlobId;

/// Spans that are read ahead: one that waits, and one that is being received.
const SPANS_WAITING: usize = 1;

/// An open blob, of which nothing has been read yet.
pub(super) struct ObjectReader {
    shared: Arc<Shared>,
    blob: BlobRef,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What will be read in order, if somebody said so.
    expected: Option<Range<u64>>,
    /// Where the last read ended.
    read_to: Option<u64>,
    ahead: Option<Ahead>,
}

impl ObjectReader {
    pub fn new(shared: Arc<Shared>, blob: BlobRef) -> Self {
        Self { shared, blob, state: Mutex::default() }
    }

    /// Up to where to read ahead of this range; `None`: it is alone.
    fn stream_end(&self, state: &State, range: &Range<u64>) -> Option<u64> {
        let end = match &state.expected {
            Some(expected) => expected.contains(&range.start).then_some(expected.end),
            // Nobody said anything, and it goes on where it ended.
            None => (state.read_to == Some(range.start)).then_some(self.blob.stored_len.0),
        };
        end.filter(|&end| end > range.end)
    }

    async fn read_range(&self, range: StoredRange) -> Result<BytesMut, BlobError> {
        let id = self.blob.id;
        check_range(id, range, self.blob.stored_len.0)?;
        if range.len == 0 {
            // Only what is there has no bytes; behind them is its tail.
            self.shared.get(id, range.offset..range.offset + 1).await?;
            return Ok(BytesMut::new());
        }
        let wanted = range.offset..range.offset + range.len as u64;
        let mut state = self.state.lock().await;
        if state.ahead.as_ref().is_none_or(|ahead| ahead.at != wanted.start || ahead.end < wanted.end) {
            state.ahead = self
                .stream_end(&state, &wanted)
                .map(|end| Ahead::begin(self.shared.clone(), id, wanted.start..end, range.len));
        }
        state.read_to = Some(wanted.end);
        let Some(ahead) = &mut state.ahead else {
            drop(state);
            let read = self.shared.get(id, wanted).await?;
            if read.len() != range.len {
                return Err(BlobError::Corrupt(id, "it is shorter than its record says"));
            }
            return Ok(read.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..])));
        };
        let read = ahead.read(id, range.len).await;
        if read.is_err() || ahead.at == ahead.end {
            state.ahead = None;
        }
        read
    }
}

#[async_trait]
impl BlobReader for ObjectReader {
    async fn read(&self, range: StoredRange) -> Result<BytesMut, BlobError> {
        let read = self.read_range(range).await;
        BLOBS.read(&read);
        read
    }

    async fn will_read(&self, range: Range<u64>) {
        let mut state = self.state.lock().await;
        state.expected = Some(range.start..range.end.min(self.blob.stored_len.0));
    }
}

/// A stream of an object's bytes, in spans.
struct Ahead {
    /// Where the next byte is from.
    at: u64,
    end: u64,
    spans: mpsc::Receiver<Result<BytesMut, BlobError>>,
    /// Of a span that was read in part.
    rest: BytesMut,
    task: JoinHandle<()>,
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Ahead {
    fn begin(shared: Arc<Shared>, id: BlobId, range: Range<u64>, span_len: usize) -> Self {
        let (sender, spans) = mpsc::channel(SPANS_WAITING);
        let Range { start: at, end } = range;
        let task = tokio::spawn(async move {
            if let Err(error) = receive(&shared, id, range, span_len, &sender).await {
                // Nobody may be there to hear of it.
                let _ = sender.send(Err(error)).await;
            }
        });
        Self { at, end, spans, rest: BytesMut::new(), task }
    }

    async fn read(&mut self, id: BlobId, len: usize) -> Result<BytesMut, BlobError> {
        let mut out = std::mem::take(&mut self.rest);
        while out.len() < len {
            let span = self.spans.recv().await;
            let span = span.unwrap_or(Err(BlobError::Corrupt(id, "it is shorter than its record says")))?;
            if out.is_empty() {
                out = span;
            } else {
                out.extend_from_slice(&span);
            }
        }
        self.rest = out.split_off(len);
        self.at += len as u64;
        Ok(out)
    }
}

/// Sends the range in spans of this length. A stream that breaks off is begun again where it ended, as long as it gets on.
async fn receive(
    shared: &Shared,
    id: BlobId,
    mut range: Range<u64>,
    span_len: usize,
    sender: &mpsc::Sender<Result<BytesMut, BlobError>>,
) -> Result<(), BlobError> {
    let mut span = BytesMut::new();
    let mut failures = 0;
    while range.start < range.end {
        let begun = range.start;
        let error = match receive_some(shared, id, &mut range, span_len, &mut span, sender).await {
            Ok(()) => BlobError::Corrupt(id, "it is shorter than its record says"),
            Err(error @ BlobError::Unavailable(_)) => error,
            Err(error) => return Err(error),
        };
        if range.start == range.end {
            break;
        }
        failures = if range.start > begun { 1 } else { failures + 1 };
        if failures >= ATTEMPTS {
            return Err(error);
        }
        tracing::debug!(blob = %id, %error, "a stream of a blob broke off: it is begun again");
        pause(failures).await;
    }
    if !span.is_empty() {
        let _ = sender.send(Ok(span)).await;
    }
    Ok(())
}

/// One stream, until it ends: `range` begins where it ended then.
async fn receive_some(
    shared: &Shared,
    id: BlobId,
    range: &mut Range<u64>,
    span_len: usize,
    span: &mut BytesMut,
    sender: &mpsc::Sender<Result<BytesMut, BlobError>>,
) -> Result<(), BlobError> {
    let mut bytes = shared.begin_get(id, range.clone()).await?.into_stream();
    loop {
        let next = timeout(shared.options.read, bytes.next()).await;
        let Some(next) = next.map_err(|_| BlobError::Unavailable(late()))? else { return Ok(()) };
        let mut piece = next.map_err(|error| failed(id, error))?;
        if piece.len() as u64 > range.end - range.start {
            let error = io::Error::other("the object store sends more than it was asked for");
            return Err(BlobError::Unavailable(error));
        }
        range.start += piece.len() as u64;
        while !piece.is_empty() {
            if span.capacity() == 0 {
                span.reserve(span_len);
            }
            span.put(piece.split_to(piece.len().min(span_len - span.len())));
            if span.len() == span_len && sender.send(Ok(std::mem::take(span))).await.is_err() {
                // Nobody reads any more.
                range.start = range.end;
                return Ok(());
            }
        }
    }
}
