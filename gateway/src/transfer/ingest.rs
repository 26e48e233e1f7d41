//! Bytes in: a body is decoded, digested, compared with what the request said of it, sealed and written.
//!
//! Nothing is visible before [`Received::finish`]; dropping what comes before it leaves nothing behind.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use storage::blob::{BlobError, BlobOwner, BlobRef, BlobStore, BlobWriter, SizeHint};
use storage::name::MessageSalt;
use subtle::ConstantTimeEq;
use tokio::task::JoinHandle;

use super::aws_chunked::{ChunkedError, Decoder};
use super::digest::{ChecksumAlgorithm, Hasher};
use super::md5::{self, Md5, Together};
use super::pool::{Buffer, STEP_LEN, STEPS};
use crate::auth::PayloadAuth;
use crate::http::body::{BodyError, ByteStream, RequestBody, StreamError};
use crate::seal::{
    CHUNK_LEN_PLAIN, CHUNK_LEN_STORED, ContentKeys, Output, PlainLen, SALT_LEN, SealContext, Sealer,
    stored_len,
};

/// Bodies up to this length are handled where they arrive, whatever is computed of them.
const INLINE_LEN: u64 = 64 * 1024;

/// How many bytes beyond the announced ones are counted, so that the refusal can tell how many there were.
const COUNTED_LEN: u64 = 1 << 20;

/// Why a body is not taken.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The body broke off or stalled.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Its aws-chunked coding is wrong.
    #[error(transparent)]
    Chunked(#[from] ChunkedError),
    /// The source of a copy failed.
    #[error("the source of the copy can't be read")]
    Source(#[source] StreamError),
    /// It has another length than was announced.
    #[error("the body has another length than the {announced_len_plain} bytes announced")]
    Length {
        /// What was announced.
        announced_len_plain: u64,
        /// What there was, unless that is far more.
        len_plain: Option<u64>,
    },
    /// It is longer than it may be.
    #[error("the body has more than {max_len_plain} bytes")]
    TooLong {
        /// The most that it may have.
        max_len_plain: u64,
        /// What it has, unless that is far more.
        len_plain: Option<u64>,
    },
    /// It is shorter than it must be.
    #[error("the body has {len_plain} bytes, less than {min_len_plain}")]
    TooShort {
        /// What it has.
        len_plain: u64,
        /// The least that it must have.
        min_len_plain: u64,
    },
    /// Its SHA-256 is not the one that was signed.
    #[error("the body is not the one that was signed")]
    PayloadHash {
        /// The signed one.
        claimed: [u8; 32],
        /// The body's.
        computed: [u8; 32],
    },
    /// It does not have its `Content-MD5`.
    #[error("the body does not have its Content-MD5")]
    Md5 {
        /// The claimed one.
        claimed: [u8; 16],
        /// The body's.
        computed: [u8; 16],
    },
    /// It does not have its checksum.
    #[error("the body does not have its checksum")]
    Checksum(ChecksumAlgorithm),
    /// The checksum that trails it is malformed.
    #[error("the trailing checksum is malformed")]
    Trailer(ChecksumAlgorithm),
    /// The announced checksum does not trail it, or something else does.
    #[error("the trailers are not those that were announced")]
    Trailers,
    /// The blob can't be written.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// A worker thread ended badly.
    #[error("a worker thread ended badly")]
    Worker(#[from] tokio::task::JoinError),
    /// The thread that computes MD5s ended badly.
    #[error(transparent)]
    Md5Worker(#[from] md5::Ended),
}

/// Where plain bytes come from.
pub enum Source {
    /// A request's body, protected so.
    Body {
        /// The body.
        body: RequestBody,
        /// How it is protected.
        payload: PayloadAuth,
    },
    /// The content of another object.
    Stream(ByteStream),
}

/// The checksum to compute, and what it must be.
pub enum Expected {
    /// Nothing was said.
    Nothing,
    /// This value.
    Value(Vec<u8>),
    /// The value of the trailer of its name.
    Trailer,
}

/// How many plain bytes a body has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// As many.
    Exactly(u64),
    /// It is not known before its end: from a form.
    Between {
        /// At least so many.
        min: u64,
        /// At most so many.
        max: u64,
    },
}

impl Announced {
    fn max(self) -> u64 {
        match self {
            Self::Exactly(len) => len,
            Self::Between { max, .. } => max,
        }
    }
}

/// What to do with a body.
pub struct Intake<'a> {
    /// Its plain length.
    pub announced: Announced,
    /// The keys to seal with.
    pub keys: &'a ContentKeys,
    /// What to bind it to.
    pub context: SealContext,
    /// Whose blob it becomes.
    pub owner: BlobOwner,
    /// Compute its MD5.
    pub md5: bool,
    /// Its `Content-MD5`.
    pub content_md5: Option<[u8; 16]>,
    /// The checksum to compute.
    pub checksum: Option<(ChecksumAlgorithm, Expected)>,
    /// A second one to compute, of which nothing is expected.
    pub second: Option<ChecksumAlgorithm>,
    /// A message of at most so many stored bytes is kept in memory, for its record: [`Received::kept`].
    pub keep_len: u64,
}

/// A body that is written, and is what the request said, but is not visible yet.
pub struct Received {
    /// Plain bytes.
    pub plain_len: u64,
    /// MD5 of the plain bytes, where it was computed.
    pub md5: Option<[u8; 16]>,
    /// The checksum of the plain bytes, where one was computed.
    pub checksum: Option<(ChecksumAlgorithm, Vec<u8>)>,
    /// The second checksum, where one was asked for.
    pub second: Option<(ChecksumAlgorithm, Vec<u8>)>,
    /// Which sending it is: the salt that the stored message begins with, for the record to keep.
    pub salt: MessageSalt,
    writer: Box<dyn BlobWriter>,
    kept: Option<Kept>,
}

/// A message that becomes no blob.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

#[async_trait]
impl BlobWriter for Kept {
    async fn write(&mut self, data: Bytes) -> Result<(), BlobError> {
        self.0.lock().extend_from_slice(&data);
        Ok(())
    }

    async fn finish(self: Box<Self>, _trailer: Bytes) -> Result<BlobRef, BlobError> {
        Err(BlobError::Unavailable(std::io::Error::other("a message that is kept is no blob")))
    }
}

impl Received {
    /// The stored message, where it is kept for its record: there is nothing to finish then.
    pub fn kept(&self) -> Option<Bytes> {
        self.kept.as_ref().map(|kept| std::mem::take(&mut *kept.0.lock()).into())
    }

    /// Makes the blob visible and durable, with this sealed trailer.
    pub async fn finish(self, trailer: Bytes) -> Result<BlobRef, BlobError> {
        self.writer.finish(trailer).await
    }
}

/// Takes a body.
pub async fn receive(
    blobs: &Arc<dyn BlobStore>,
    source: Source,
    intake: Intake<'_>,
) -> Result<Received, IngestError> {
    let layers = intake.keys.layers.len();
    let hint = match intake.announced {
        Announced::Exactly(len) => SizeHint::Exact(stored_len(PlainLen(len), layers).0),
        Announced::Between { .. } => SizeHint::Unknown,
    };
    let kept = match hint {
        SizeHint::Exact(len) if len <= intake.keep_len => Some(Kept::default()),
        _ => None,
    };
    let writer: Box<dyn BlobWriter> = match &kept {
        Some(kept) => Box::new(kept.clone()),
        None => blobs.create(intake.owner, hint).await?,
    };
    let salts: Vec<[u8; SALT_LEN]> = (0..layers).map(|_| random_salt()).collect();
    let sealer = Sealer::new(intake.keys, intake.context, &salts);
    let salt = MessageSalt::from_bytes(*salts.last().expect("a version has one or two layers"));
    let mut plain = PlainBytes::new(source, intake.announced);
    let digests = Digests {
        md5: (intake.md5 || intake.content_md5.is_some()).then(Md5::default),
        checksum: intake.checksum.as_ref().map(|(algorithm, _)| Hasher::new(*algorithm)),
        second: intake.second.map(Hasher::new),
        payload: plain.claimed_hash.map(|_| Sha256::new()),
    };
    let (digests, writer) = if intake.announced.max() <= INLINE_LEN {
        inline(&mut plain, digests, sealer, writer).await?
    } else if digests.take_long() {
        pipelined(&mut plain, digests, sealer, writer).await?
    } else {
        straight(&mut plain, digests, sealer, writer).await?
    };
    let plain_len = plain.announced.max();
    let (claimed_hash, trailers) = plain.finish()?;

    let md5 = digests.md5.map(Md5::finish);
    if let (Some(claimed), Some(computed)) = (claimed_hash, digests.payload) {
        let computed: [u8; 32] = computed.finalize().into();
        if !bool::from(claimed.ct_eq(&computed)) {
            return Err(IngestError::PayloadHash { claimed, computed });
        }
    }
    if let (Some(claimed), Some(computed)) = (intake.content_md5, md5)
        && claimed != computed
    {
        return Err(IngestError::Md5 { claimed, computed });
    }
    let mut checksum = None;
    if let (Some((algorithm, expected)), Some(hasher)) = (intake.checksum, digests.checksum) {
        let computed = hasher.finish();
        let expected = match expected {
            Expected::Nothing => None,
            Expected::Value(value) => Some(value),
            Expected::Trailer => Some(trailing_value(algorithm, &trailers)?),
        };
        if expected.is_some_and(|expected| expected != computed) {
            return Err(IngestError::Checksum(algorithm));
        }
        checksum = Some((algorithm, computed));
    }
    let second = intake.second.zip(digests.second.map(Hasher::finish));
    Ok(Received { plain_len, md5, checksum, second, salt, writer, kept })
}

/// A short body: no thread but this one.
async fn inline(
    plain: &mut PlainBytes,
    mut digests: Digests,
    mut sealer: Sealer,
    mut writer: Box<dyn BlobWriter>,
) -> Result<(Digests, Box<dyn BlobWriter>), IngestError> {
    let mut sealed = Vec::with_capacity((plain.remaining as usize) + 4096);
    while let Some(piece) = plain.next().await? {
        digests.update(&piece);
        sealer.update(&piece, &mut sealed);
    }
    sealer.finish(&mut sealed);
    writer.write(sealed.into()).await?;
    Ok((digests, writer))
}

/// A long body of which nothing slow is computed: each piece is digested and sealed where it arrives, while it is in the processor's
/// cache. Another thread would have to fetch it, and to be woken.
async fn straight(
    plain: &mut PlainBytes,
    mut digests: Digests,
    mut sealer: Sealer,
    writer: Box<dyn BlobWriter>,
) -> Result<(Digests, Box<dyn BlobWriter>), IngestError> {
    let mut outlet = Outlet::new(writer);
    let mut in_chunk = 0;
    while let Some(piece) = plain.next().await? {
        let mut rest = &piece[..];
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(rest.len().min(CHUNK_LEN_PLAIN - in_chunk));
            digests.update(part);
            outlet.seal(&mut sealer, part).await?;
            in_chunk = (in_chunk + part.len()) % CHUNK_LEN_PLAIN;
            rest = behind;
        }
    }
    sealer.finish(&mut outlet);
    Ok((digests, outlet.finish().await?))
}

/// Sealed bytes on their way into a blob: in the memory that it is written from, or beside it where there is no room.
struct Outlet {
    writer: Box<dyn BlobWriter>,
    beside: Option<Buffer>,
    /// What may gather beside it, in bytes.
    max_beside_len: usize,
}

impl Outlet {
    fn new(writer: Box<dyn BlobWriter>) -> Self {
        // Two chunks may come before it is looked at again.
        Self { writer, beside: None, max_beside_len: STEP_LEN - 2 * CHUNK_LEN_STORED }
    }

    /// Seals what ends no later than a chunk does.
    async fn seal(&mut self, sealer: &mut Sealer, part: &[u8]) -> Result<(), BlobError> {
        sealer.update(part, self);
        self.settle().await
    }

    /// Writes what has gathered.
    async fn settle(&mut self) -> Result<(), BlobError> {
        match self.beside.take_if(|beside| beside.len() > self.max_beside_len) {
            Some(beside) => self.writer.write(Bytes::from_owner(beside)).await,
            None => Ok(()),
        }
    }

    async fn finish(mut self) -> Result<Box<dyn BlobWriter>, BlobError> {
        if let Some(beside) = self.beside {
            self.writer.write(Bytes::from_owner(beside)).await?;
        }
        Ok(self.writer)
    }
}

impl Output for Outlet {
    fn append_with(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) {
        // Behind what is beside it, all is.
        let room = if self.beside.is_none() { self.writer.room(len) } else { None };
        match room {
            Some(room) => {
                fill(room);
                // There will be room again soon.
                self.max_beside_len = 0;
            }
            None => self.beside.get_or_insert_with(|| STEPS.take()).append_with(len, fill),
        }
    }
}

/// A long body that takes long to digest: while a step is received, the one before is digested, and the one before that is sealed and
/// written. Digests and sealing have a core each where there are two.
async fn pipelined(
    plain: &mut PlainBytes,
    digests: Digests,
    sealer: Sealer,
    writer: Box<dyn BlobWriter>,
) -> Result<(Digests, Box<dyn BlobWriter>), IngestError> {
    let together = digests.md5.is_some().then(|| Arc::new(Together::join()));
    let mut digesting = Stage::Idle((digests, None));
    let mut sealing = Stage::Idle((sealer, Outlet::new(writer)));
    loop {
        let step = plain.fill(STEPS.take()).await?;
        let is_last = plain.is_drained();
        // The digest of the step before ends; its bytes go on to be sealed.
        let (state, digested) = digesting.wait().await?;
        if let Some(step) = digested {
            sealing = Stage::Busy(tokio::spawn(seal(sealing.wait().await?, step)));
        }
        digesting = Stage::Busy(tokio::spawn(digest(state, step, together.clone())));
        if is_last {
            break;
        }
    }
    plain.expect_end().await?;
    let (digests, last) = digesting.wait().await?;
    let (mut sealer, mut outlet) = sealing.wait().await?;
    if let Some(step) = last {
        (sealer, outlet) = seal((sealer, outlet), step).await?;
    }
    sealer.finish(&mut outlet);
    Ok((digests, outlet.finish().await?))
}

/// Seals a step into the blob, chunk by chunk.
async fn seal(
    (mut sealer, mut outlet): (Sealer, Outlet),
    step: Buffer,
) -> Result<(Sealer, Outlet), IngestError> {
    for part in step.chunks(CHUNK_LEN_PLAIN) {
        outlet.seal(&mut sealer, part).await?;
    }
    Ok((sealer, outlet))
}

/// Takes a step into the digests, and gives it back: MD5 together with other bodies', what else takes long on a thread for it.
async fn digest(
    mut digests: Digests,
    mut step: Buffer,
    together: Option<Arc<Together>>,
) -> Result<(Digests, Option<Buffer>), IngestError> {
    let md5 = digests.md5.take();
    if digests.take_long() {
        let task = tokio::task::spawn_blocking(move || {
            digests.update(&step);
            (digests, step)
        });
        (digests, step) = task.await?;
    } else {
        digests.update(&step);
    }
    if let (Some(md5), Some(together)) = (md5, together) {
        let (md5, back) = together.update(md5, step).await?;
        (digests.md5, step) = (Some(md5), back);
    }
    Ok((digests, Some(step)))
}

/// A stage of the pipeline: its state, or the task that has it and gives it back.
enum Stage<S> {
    Idle(S),
    Busy(JoinHandle<Result<S, IngestError>>),
}

impl<S> Stage<S> {
    async fn wait(self) -> Result<S, IngestError> {
        match self {
            Self::Idle(state) => Ok(state),
            Self::Busy(task) => task.await?,
        }
    }
}

/// The digests of one body.
struct Digests {
    md5: Option<Md5>,
    checksum: Option<Hasher>,
    second: Option<Hasher>,
    payload: Option<Sha256>,
}

impl Digests {
    /// Does a step take more than a fraction of a millisecond?
    fn take_long(&self) -> bool {
        self.md5.is_some()
            || self.payload.is_some()
            || [&self.checksum, &self.second].into_iter().flatten().any(|hasher| !hasher.is_fast())
    }

    fn update(&mut self, data: &[u8]) {
        // A few chunks at a time, so that the second digest finds them in the cache.
        for piece in data.chunks(32 * 1024) {
            if let Some(md5) = &mut self.md5 {
                md5.update(piece);
            }
            for checksum in [&mut self.checksum, &mut self.second].into_iter().flatten() {
                checksum.update(piece);
            }
            if let Some(payload) = &mut self.payload {
                payload.update(piece);
            }
        }
    }
}

/// The plain bytes of a source, of the announced length.
struct PlainBytes {
    source: Decoded,
    /// What was announced, and at the end what there was.
    announced: Announced,
    remaining: u64,
    /// Decoded and not taken yet.
    rest: Bytes,
    claimed_hash: Option<[u8; 32]>,
}

enum Decoded {
    Plain(RequestBody),
    Chunked { body: RequestBody, decoder: Box<Decoder>, wire: Bytes },
    Stream(ByteStream),
}

impl PlainBytes {
    fn new(source: Source, announced: Announced) -> Self {
        let mut claimed_hash = None;
        let source = match source {
            Source::Stream(stream) => Decoded::Stream(stream),
            Source::Body { body, payload } => match payload {
                PayloadAuth::Unsigned => Decoded::Plain(body),
                PayloadAuth::Sha256(hash) => {
                    claimed_hash = Some(hash);
                    Decoded::Plain(body)
                }
                streaming => {
                    Decoded::Chunked { body, decoder: Box::new(Decoder::new(streaming)), wire: Bytes::new() }
                }
            },
        };
        Self { source, announced, remaining: announced.max(), rest: Bytes::new(), claimed_hash }
    }

    /// The next piece; `None` at the announced length, once the source has ended there too.
    async fn next(&mut self) -> Result<Option<Bytes>, IngestError> {
        match self.source.next().await? {
            Some(piece) => match self.remaining.checked_sub(piece.len() as u64) {
                Some(remaining) => {
                    self.remaining = remaining;
                    Ok(Some(piece))
                }
                None => Err(self.too_long(piece.len() as u64).await?),
            },
            None => self.ended().map(|()| None),
        }
    }

    /// The source has ended: is that as it was announced?
    fn ended(&mut self) -> Result<(), IngestError> {
        match self.announced {
            // Chunks that break off are no length.
            Announced::Exactly(_) if self.remaining > 0 && self.source.breaks_off() => {
                Err(ChunkedError::Incomplete.into())
            }
            Announced::Exactly(announced_len_plain) if self.remaining > 0 => Err(IngestError::Length {
                announced_len_plain,
                len_plain: Some(announced_len_plain - self.remaining),
            }),
            Announced::Exactly(_) => Ok(()),
            Announced::Between { min, max } => {
                let len_plain = max - std::mem::take(&mut self.remaining);
                if len_plain < min {
                    return Err(IngestError::TooShort { len_plain, min_len_plain: min });
                }
                self.announced = Announced::Exactly(len_plain);
                Ok(())
            }
        }
    }

    /// Fills a buffer up to a step; a shorter one is the last.
    async fn fill(&mut self, mut buffer: Buffer) -> Result<Buffer, IngestError> {
        while buffer.len() < STEP_LEN {
            if self.rest.is_empty() {
                if self.remaining == 0 {
                    break;
                }
                match self.next().await? {
                    Some(piece) => self.rest = piece,
                    None => break,
                }
            }
            let len = self.rest.len().min(STEP_LEN - buffer.len());
            buffer.extend_from_slice(&self.rest.split_to(len));
        }
        Ok(buffer)
    }

    /// Was everything that was announced taken?
    fn is_drained(&self) -> bool {
        self.remaining == 0 && self.rest.is_empty()
    }

    /// Nothing may follow.
    async fn expect_end(&mut self) -> Result<(), IngestError> {
        match self.next().await? {
            None => Ok(()),
            Some(piece) => Err(self.too_long(piece.len() as u64).await?),
        }
    }

    /// The signed hash, and the trailers of an aws-chunked body, which must be whole.
    fn finish(self) -> Result<(Option<[u8; 32]>, Trailers), IngestError> {
        let trailers = match self.source {
            Decoded::Chunked { decoder, .. } => decoder.finish()?,
            _ => Vec::new(),
        };
        Ok((self.claimed_hash, trailers))
    }

    /// The refusal of a body that goes on, of which one more piece has come. What follows is counted, within reason.
    async fn too_long(&mut self, piece_len: u64) -> Result<IngestError, IngestError> {
        let max = self.announced.max();
        let mut len = max - self.remaining + piece_len;
        let mut is_whole = false;
        while len - max < COUNTED_LEN {
            match self.source.next().await? {
                Some(piece) => len += piece.len() as u64,
                None => {
                    is_whole = true;
                    break;
                }
            }
        }
        let len_plain = is_whole.then_some(len);
        Ok(match self.announced {
            Announced::Exactly(announced_len_plain) => IngestError::Length { announced_len_plain, len_plain },
            Announced::Between { max, .. } => IngestError::TooLong { max_len_plain: max, len_plain },
        })
    }
}

impl Decoded {
    /// Do its chunks break off, once it has ended?
    fn breaks_off(&self) -> bool {
        matches!(self, Self::Chunked { decoder, .. } if !decoder.is_behind_chunks())
    }

    /// The next bytes. Frames and parts of forms may end with an empty piece, which is nothing.
    async fn next(&mut self) -> Result<Option<Bytes>, IngestError> {
        loop {
            match self.next_piece().await? {
                Some(piece) if piece.is_empty() => {}
                other => return Ok(other),
            }
        }
    }

    async fn next_piece(&mut self) -> Result<Option<Bytes>, IngestError> {
        match self {
            Self::Plain(body) => Ok(body.next().await.transpose()?),
            Self::Stream(stream) => stream.next().await.transpose().map_err(IngestError::Source),
            Self::Chunked { body, decoder, wire } => loop {
                if let Some(data) = decoder.next(wire)? {
                    return Ok(Some(data));
                }
                match body.next().await.transpose()? {
                    Some(more) => *wire = more,
                    None => return Ok(None),
                }
            },
        }
    }
}

/// Trailers: lower-case names and values.
type Trailers = Vec<(String, String)>;

/// The value of the trailer of a checksum, which must be the only one.
fn trailing_value(
    algorithm: ChecksumAlgorithm,
    trailers: &[(String, String)],
) -> Result<Vec<u8>, IngestError> {
    use base64::Engine;
    let name = algorithm.header();
    match trailers {
        [(trailer, value)] if *trailer == name.as_str() => {
            let value = base64::engine::general_purpose::STANDARD.decode(value.trim()).ok();
            value.filter(|value| value.len() == algorithm.len()).ok_or(IngestError::Trailer(algorithm))
        }
        _ => Err(IngestError::Trailers),
    }
}

fn random_salt() -> [u8; SALT_LEN] {
    let mut salt = [0; SALT_LEN];
    getrandom::fill(&mut salt).expect("the operating system gives random bytes");
    salt
}

#[cfg(test)]
mod tests;
