//! Bytes out: the blobs of a version are read by spans, opened in place, and handed on.
//!
//! The first span is opened before anything is answered; a failure later breaks the answer off.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use storage::blob::{BlobError, BlobReader, BlobRef, BlobStore, StoredLen, StoredRange};
use storage::catalog::{Catalog, CatalogError, Content, Layout, OWN_BLOB, Part, ReadPin};
use storage::name::MessageSalt;
use tokio::time::Instant;

use super::pool::{self, Buffer, RUN_SPANS, RUNS, SPAN_LEN};
use crate::http::body::ByteStream;
use crate::seal::{
    CHUNK_LEN_STORED, ContentKeys, OpenError, Opener, PlainLen, PlainRange, SealContext, Span,
};

/// Messages up to this length are read at once, header and chunks together.
const WHOLE_LEN: u64 = SPAN_LEN as u64;
/// Messages up to this length are opened in place.
const SHORT_LEN: u64 = CHUNK_LEN_STORED as u64;
/// More than this is a run of spans.
const LONG_LEN: u64 = ((RUN_SPANS - 1) * SPAN_LEN) as u64;
/// How long a run gathers.
const RUN_PATIENCE: Duration = Duration::from_millis(5);
/// Part records that are fetched at once.
const PARTS_PER_SCAN: usize = 64;

/// Why content can't be read.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// A blob can't be read. `NotFound`: the record that named it is out of date.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// What was read does not open.
    #[error("blob {blob:?}: {source}")]
    Open {
        /// The blob.
        blob: BlobRef,
        /// Why.
        source: OpenError,
    },
    /// The part records can't be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The part records don't add up to the object.
    #[error("the parts of the object end before its length")]
    MissingPart,
}

/// Reads a range of a version's content. When this answers, the keys were verified and the first bytes are opened.
pub async fn read(
    catalog: &Catalog,
    blobs: &Arc<dyn BlobStore>,
    content: &Content,
    keys: ContentKeys,
    plain_len: u64,
    range: PlainRange,
) -> Result<ByteStream, EgressError> {
    let mut reading = Reading {
        _pin: catalog.pin(content.version),
        catalog: catalog.clone(),
        blobs: blobs.clone(),
        content: content.clone(),
        keys,
        range,
        pieces: VecDeque::new(),
        message: None,
    };
    let stored = match &content.layout {
        Layout::Single(blob) => Some(Stored::Blob(*blob)),
        Layout::Inline(message) => Some(Stored::Here(message.clone())),
        Layout::Parts(_) => None,
    };
    if let Some(stored) = stored {
        let context = SealContext { version: content.version, part: 0 };
        let plain_len = PlainLen(plain_len);
        reading.pieces.push_back(Piece { stored, context, plain_len, range, salt: content.salt });
        reading.range = PlainRange { offset: range.offset + range.len, len: 0 };
    }
    let first = reading.next().await?;
    let rest = futures_util::stream::try_unfold(reading, |mut reading| async move {
        match reading.next().await {
            Ok(Some(bytes)) => Ok(Some((bytes, reading))),
            Ok(None) => Ok(None),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "an answer was broken off");
                Err(error.into())
            }
        }
    });
    let first = futures_util::stream::iter(first.map(Ok));
    Ok(Box::pin(futures_util::StreamExt::chain(first, rest)))
}

/// Where a message is.
enum Stored {
    /// In a blob.
    Blob(BlobRef),
    /// In its record.
    Here(Bytes),
}

/// A message, or a range of it, that is still to be read.
struct Piece {
    stored: Stored,
    context: SealContext,
    plain_len: PlainLen,
    range: PlainRange,
    /// Which sending the record is of.
    salt: Option<MessageSalt>,
}

struct Reading {
    _pin: ReadPin,
    catalog: Catalog,
    blobs: Arc<dyn BlobStore>,
    content: Content,
    keys: ContentKeys,
    /// What no piece was made for yet (of content in parts).
    range: PlainRange,
    pieces: VecDeque<Piece>,
    message: Option<Message>,
}

impl Reading {
    /// The next plain bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, EgressError> {
        loop {
            if let Some(message) = &mut self.message {
                if let Some(bytes) = message.next().await? {
                    if bytes.is_empty() {
                        continue;
                    }
                    return Ok(Some(bytes));
                }
                self.message = None;
            }
            if self.pieces.is_empty() && self.range.len > 0 {
                self.find_parts().await?;
            }
            match self.pieces.pop_front() {
                Some(piece) => self.message = Some(Message::open(&self.blobs, &self.keys, piece).await?),
                None => return Ok(None),
            }
        }
    }

    /// Makes pieces of the next parts that hold what is left of the range.
    async fn find_parts(&mut self) -> Result<(), EgressError> {
        let (mut part_offset, parts) =
            self.catalog.parts_from_offset(&self.content, self.range.offset, PARTS_PER_SCAN).await?;
        for Part { number, plain_len, blob, salt, .. } in parts {
            if self.range.len == 0 {
                break;
            }
            let start = self.range.offset - part_offset;
            let len = self.range.len.min(plain_len.saturating_sub(start));
            part_offset += plain_len;
            if len == 0 {
                continue;
            }
            self.pieces.push_back(Piece {
                stored: Stored::Blob(blob),
                context: SealContext { version: self.content.version, part: number.get() },
                plain_len: PlainLen(plain_len),
                range: PlainRange { offset: start, len },
                salt,
            });
            self.range = PlainRange { offset: self.range.offset + len, len: self.range.len - len };
        }
        if self.pieces.is_empty() { Err(EgressError::MissingPart) } else { Ok(()) }
    }
}

/// An open blob and the spans of it that are still to be read.
struct Message {
    /// Of a message in its record: [`OWN_BLOB`].
    blob: BlobRef,
    /// `None`: all of it is at hand.
    reader: Option<Box<dyn BlobReader>>,
    opener: Opener,
    /// What is read of it, plain.
    range: Range<u64>,
    /// What of that is still to be read.
    spans: Box<dyn Iterator<Item = Span> + Send>,
    ahead: Ahead,
}

/// What was read of a message with its header.
enum Ahead {
    /// No more than that.
    Nothing,
    /// All of it, in a buffer of its own.
    Short(BytesMut),
    /// All of it, in a buffer of the pool for spans.
    Whole(Buffer),
}

impl Message {
    async fn open(blobs: &Arc<dyn BlobStore>, keys: &ContentKeys, piece: Piece) -> Result<Self, EgressError> {
        let Piece { stored, context, plain_len, range, salt } = piece;
        let blob = match &stored {
            Stored::Blob(blob) => *blob,
            Stored::Here(message) => BlobRef { stored_len: StoredLen(message.len() as u64), ..OWN_BLOB },
        };
        let refuse = |source| EgressError::Open { blob, source };
        let layers = keys.layers.len();
        if blob.stored_len != crate::seal::stored_len(plain_len, layers) {
            return Err(refuse(OpenError::Truncated));
        }
        let header_range = Opener::header_range(plain_len, layers);
        let header_of = |message: &[u8]| {
            message.get(..header_range.len).map(BytesMut::from).ok_or(refuse(OpenError::Truncated))
        };
        let is_all = range.offset == 0 && range.len == plain_len.0;
        let whole = StoredRange { offset: 0, len: blob.stored_len.0 as usize };
        let (reader, mut header, ahead) = match stored {
            Stored::Here(message) => (None, header_of(&message)?, Ahead::Short(BytesMut::from(&message[..]))),
            Stored::Blob(_) => {
                let reader = blobs.open(&blob).await?;
                let (header, ahead) = match blob.stored_len.0 {
                    len if len <= SHORT_LEN => {
                        let message = reader.read(whole).await?;
                        (header_of(&message)?, Ahead::Short(message))
                    }
                    len if len <= WHOLE_LEN => {
                        let mut buffer = pool::of_span(whole.len).take_full();
                        reader.read_into(whole, &mut buffer).await?;
                        (header_of(&buffer)?, Ahead::Whole(buffer))
                    }
                    _ => (reader.read(header_range).await?, Ahead::Nothing),
                };
                (Some(reader), header, ahead)
            }
        };
        let opener = Opener::new(keys, context, plain_len, salt, &mut header).map_err(refuse)?;
        if let (Some(reader), Ahead::Nothing) = (&reader, &ahead) {
            let end = match is_all {
                true => blob.stored_len.0,
                false => opener
                    .spans(range, SPAN_LEN)
                    .last()
                    .map_or(0, |span| span.stored.offset + span.stored.len as u64),
            };
            let first = opener.spans(range, SPAN_LEN).next().map_or(end, |span| span.stored.offset);
            reader.will_read(first..end).await;
        }
        let spans = Box::new(opener.spans(range, SPAN_LEN));
        let range = range.offset..range.offset + range.len;
        Ok(Self { blob, reader, opener, range, spans, ahead })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, EgressError> {
        let Some(span) = self.spans.next() else { return Ok(None) };
        let blob = self.blob;
        let refuse = |source| EgressError::Open { blob, source };
        let place = span.stored.offset as usize..span.stored.offset as usize + span.stored.len;
        if let Ahead::Short(message) = &mut self.ahead {
            let stored = match message.len() {
                // The span at the end takes the buffer; there seldom are others.
                len if len == place.end => std::mem::take(message).split_off(place.start),
                _ => BytesMut::from(message.get(place).ok_or(refuse(OpenError::Truncated))?),
            };
            return self.opener.open(&span, stored).map(Some).map_err(refuse);
        }
        let began = Instant::now();
        let (mut stored, place) = match (std::mem::replace(&mut self.ahead, Ahead::Nothing), &self.reader) {
            (Ahead::Whole(message), _) => (message, place),
            (_, Some(reader)) => {
                let mut buffer = pool::of_span(span.stored.len).take_full();
                reader.read_into(span.stored, &mut buffer).await?;
                (buffer, 0..span.stored.len)
            }
            (_, None) => return Err(refuse(OpenError::Truncated)),
        };
        let mut run = None;
        // The first bytes are handed on at once.
        if span.plain.offset > self.range.start && self.range.end - span.plain.offset > LONG_LEN {
            run = RUNS.take_left();
        }
        let mut spans_behind = if run.is_some() { RUN_SPANS - 1 } else { 0 };
        let mut plain = run.unwrap_or_else(|| pool::of_span(span.stored.len).take_full());
        let chunks = stored.get_mut(place).ok_or(refuse(OpenError::Truncated))?;
        let mut yielded = self.opener.open_into(&span, chunks, &mut plain, 0).map_err(refuse)?;
        // What comes slowly is handed on as it comes.
        while spans_behind > 0
            && began.elapsed() < RUN_PATIENCE
            && let (Some(reader), Some(span)) = (&self.reader, self.spans.next())
        {
            spans_behind -= 1;
            reader.read_into(span.stored, &mut stored).await?;
            let chunks = stored.get_mut(..span.stored.len).ok_or(refuse(OpenError::Truncated))?;
            yielded.end = self.opener.open_into(&span, chunks, &mut plain, yielded.end).map_err(refuse)?.end;
        }
        Ok(Some(Bytes::from_owner(plain).slice(yielded)))
    }
}

#[cfg(test)]
mod tests;
