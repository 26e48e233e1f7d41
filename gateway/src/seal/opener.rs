//! Opens a message by spans.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use storage::blob::StoredRange;
use storage::name::MessageSalt;

use super::aead::MessageKey;
use super::span::{ChunkRun, plain_len_of_chunks};
use super::{
    CHUNK_LEN_PLAIN, CHUNK_LEN_STORED, ContentKeys, HEADER_LEN, OpenError, PlainLen, PlainRange, SALT_LEN,
    SealContext, Span, TAG_LEN, stored_len,
};

/// Opens a message by spans, in every layer at once. The headers are verified when it is made.
pub struct Opener {
    /// Innermost first.
    layers: Vec<MessageKey>,
    plain_len: PlainLen,
}

impl Opener {
    /// The stored range that [`Opener::new`] needs: the headers of every layer (for two layers that includes the first
    /// outer chunk).
    pub fn header_range(plain_len: PlainLen, layers: usize) -> StoredRange {
        let len = match layers {
            1 => HEADER_LEN,
            _ => (HEADER_LEN + CHUNK_LEN_STORED).min(stored_len(plain_len, 2).0 as usize),
        };
        StoredRange { offset: 0, len }
    }

    /// Verifies the headers. `header` is what [`Opener::header_range`] asked for; an inner header is opened in place. `salt` is that of
    /// the sending that is meant, where it is known: the outermost layer's, whose chunks hold the inner message.
    pub fn new(
        keys: &ContentKeys,
        context: SealContext,
        plain_len: PlainLen,
        salt: Option<MessageSalt>,
        header: &mut [u8],
    ) -> Result<Self, OpenError> {
        if header.len() < Self::header_range(plain_len, keys.layers.len()).len {
            return Err(OpenError::Truncated);
        }
        let (outer_header, first_chunk) = header.split_at_mut(HEADER_LEN);
        if salt.is_some_and(|salt| outer_header[..SALT_LEN] != salt.as_bytes()[..]) {
            return Err(OpenError::OtherSending);
        }
        let layers = match &keys.layers[..] {
            [only] => vec![MessageKey::from_header(only, outer_header, context)?],
            [inner, outer] => {
                let outer = MessageKey::from_header(outer, outer_header, context)?;
                outer.open(0, first_chunk)?;
                vec![MessageKey::from_header(inner, &first_chunk[..HEADER_LEN], context)?, outer]
            }
            _ => return Err(OpenError::WrongKey),
        };
        Ok(Self { layers, plain_len })
    }

    /// The spans that yield this range, each of about `max_len` stored bytes (at least one chunk), in order.
    /// The range must lie within the message. An empty message has one span, which yields nothing but proves it.
    pub fn spans(&self, range: PlainRange, max_len: usize) -> impl Iterator<Item = Span> + Send + use<> {
        let chunks_per_span = (max_len / CHUNK_LEN_STORED).max(1) as u64;
        let span_len = chunks_per_span * CHUNK_LEN_PLAIN as u64;
        let (message_len, layers) = (self.plain_len, self.layers.len());
        let end = range.offset + range.len;
        let mut next = Some(range.offset);
        std::iter::from_fn(move || {
            let offset = next?;
            // Spans end at multiples of their length, so that no chunk is opened twice.
            let span_end = ((offset / span_len + 1) * span_len).min(end);
            next = (span_end < end).then_some(span_end);
            Some(span(PlainRange { offset, len: span_end - offset }, message_len, layers))
        })
    }

    /// Opens a span into `plain` from `at` on, which grows where it is too short for its chunks (by no more than the span's stored
    /// length), and returns where in it the bytes are that the span yields: those of the span that follows go on at their end. What
    /// `stored` holds is used up.
    pub fn open_into(
        &self,
        span: &Span,
        stored: &mut [u8],
        plain: &mut Vec<u8>,
        at: usize,
    ) -> Result<Range<usize>, OpenError> {
        if stored.len() != span.stored.len {
            return Err(OpenError::Truncated);
        }
        let run = ChunkRun::covering(span.plain, self.plain_len);
        let opened_len = match &self.layers[..] {
            [only] => open_chunks_into(only, run.first_chunk, stored, plain, at)?,
            [inner, outer] => {
                let len = open_chunks(outer, span.first_chunk, stored)?;
                let chunks = stored[..len].get(inner_in_outer(&run, span)).ok_or(OpenError::Truncated)?;
                open_chunks_into(inner, run.first_chunk, chunks, plain, at)?
            }
            _ => unreachable!("a version has one or two layers"),
        };
        let yielded = run.skip..run.skip + span.plain.len as usize;
        // Behind them are bytes of whoever had the buffer before.
        if yielded.end <= opened_len {
            Ok(at + yielded.start..at + yielded.end)
        } else {
            Err(OpenError::Truncated)
        }
    }

    /// Opens a span in place and returns the plain bytes that it yields: for what is short, of which nothing has to be moved.
    pub fn open(&self, span: &Span, mut stored: BytesMut) -> Result<Bytes, OpenError> {
        if stored.len() != span.stored.len {
            return Err(OpenError::Truncated);
        }
        let inner_run = ChunkRun::covering(span.plain, self.plain_len);
        match &self.layers[..] {
            [only] => {
                open_chunks(only, inner_run.first_chunk, &mut stored)?;
            }
            [inner, outer] => {
                open_chunks(outer, span.first_chunk, &mut stored)?;
                let Range { start, end } = inner_in_outer(&inner_run, span);
                stored.truncate(end);
                let _ = stored.split_to(start);
                open_chunks(inner, inner_run.first_chunk, &mut stored)?;
            }
            _ => unreachable!("a version has one or two layers"),
        }
        let _ = stored.split_to(inner_run.skip);
        stored.truncate(span.plain.len as usize);
        Ok(stored.freeze())
    }
}

/// The span that yields this range.
fn span(plain: PlainRange, message_len: PlainLen, layers: usize) -> Span {
    let inner = ChunkRun::covering(plain, message_len);
    let outermost = match layers {
        1 => inner,
        _ => {
            let stored = PlainRange { offset: inner.stored_offset, len: inner.stored_len };
            ChunkRun::covering(stored, PlainLen(stored_len(message_len, 1).0))
        }
    };
    Span {
        stored: StoredRange { offset: outermost.stored_offset, len: outermost.stored_len as usize },
        first_chunk: outermost.first_chunk,
        plain,
    }
}

/// Where the inner layer's chunks lie in what the outer layer's chunks of this span hold.
fn inner_in_outer(run: &ChunkRun, span: &Span) -> Range<usize> {
    let start = (run.stored_offset - span.first_chunk * CHUNK_LEN_PLAIN as u64) as usize;
    start..start + run.stored_len as usize
}

/// Opens whole chunks in place and moves their plain bytes together, to the front. Returns how many those are.
fn open_chunks(key: &MessageKey, first_chunk: u64, stored: &mut [u8]) -> Result<usize, OpenError> {
    let mut plain_end = 0;
    for (n, start) in (0..stored.len()).step_by(CHUNK_LEN_STORED).enumerate() {
        let end = (start + CHUNK_LEN_STORED).min(stored.len());
        key.open(first_chunk + n as u64, &mut stored[start..end])?;
        let plain_chunk_end = end - TAG_LEN;
        if start != plain_end {
            stored.copy_within(start..plain_chunk_end, plain_end);
        }
        plain_end += plain_chunk_end - start;
    }
    debug_assert_eq!(plain_end, plain_len_of_chunks(stored.len()));
    Ok(plain_end)
}

/// Opens whole chunks one behind the other, from `at` in `plain` on. Returns how many bytes that are.
fn open_chunks_into(
    key: &MessageKey,
    first_chunk: u64,
    stored: &[u8],
    plain: &mut Vec<u8>,
    at: usize,
) -> Result<usize, OpenError> {
    let len = plain_len_of_chunks(stored.len());
    if plain.len() < at + len {
        plain.resize(at + len, 0);
    }
    let mut rest = &mut plain[at..at + len];
    for (index, chunk) in (first_chunk..).zip(stored.chunks(CHUNK_LEN_STORED)) {
        let (place, behind) = rest.split_at_mut(chunk.len().saturating_sub(TAG_LEN));
        key.open_into(index, chunk, place)?;
        rest = behind;
    }
    Ok(len)
}
