//! Bodies: what comes in, and what goes out with a length that is known beforehand.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;

/// Why a request's body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection broke or its framing was wrong.
    #[error("the request body broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nothing came for too long: AWS answers 400 RequestTimeout.
    #[error("the request body stalled")]
    TimedOut,
}

/// What is read and thrown away of a body that its operation did not want, so that the client sees the answer before
/// the connection closes.
const DRAIN_MAX_LEN: u64 = 8 << 20;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

type Incoming = BoxBody<Bytes, BodyError>;

/// A request's body as it comes from the wire; by default one that has ended.
#[derive(Default)]
pub struct RequestBody {
    incoming: Option<Incoming>,
    idle_timeout: Duration,
    /// The client waits for `100 Continue`, which the first read sends.
    awaits_continue: bool,
}

impl RequestBody {
    /// Wraps a body; a wait of more than `idle_timeout` for the next frame ends it. `awaits_continue`: the request
    /// says `Expect: 100-continue`.
    pub fn new<B>(incoming: B, idle_timeout: Duration, awaits_continue: bool) -> Self
    where
        B: Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let incoming = incoming.map_err(|e| BodyError::Broken(Box::new(e))).boxed();
        Self { incoming: Some(incoming), idle_timeout, awaits_continue }
    }

    /// The next piece of data; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        self.awaits_continue = false;
        let incoming = self.incoming.as_mut()?;
        let frame = loop {
            match tokio::time::timeout(self.idle_timeout, incoming.frame()).await {
                Err(_) => break Some(Err(BodyError::TimedOut)),
                Ok(None) => break None,
                Ok(Some(Err(error))) => break Some(Err(error)),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
            }
        };
        self.incoming = None;
        frame
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(incoming) = self.incoming.take().filter(|body| !body.is_end_stream()) else { return };
        if self.awaits_continue || incoming.size_hint().lower() > DRAIN_MAX_LEN {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(DRAIN_TIMEOUT, drain(incoming)));
        }
    }
}

async fn drain(mut incoming: Incoming) {
    let mut drained = 0;
    while drained <= DRAIN_MAX_LEN
        && let Some(Ok(frame)) = incoming.frame().await
    {
        drained += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
}

/// An error in the middle of an answer: the connection is broken, so that the client sees it.
pub type StreamError = Box<dyn std::error::Error + Send + Sync>;

/// Pieces of an answer.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, StreamError>> + Send>>;

/// An answer's body; its length is known, so every answer carries Content-Length.
pub enum ResponseBody {
    /// All of it.
    Full(Option<Bytes>),
    /// Pieces, of this length together.
    Stream {
        /// The pieces.
        stream: ByteStream,
        /// Bytes still to come.
        remaining: u64,
    },
    /// Pieces of unknown length: for long-running answers that keep the connection alive (CompleteMultipartUpload). Never an object.
    Unsized(ByteStream),
}

impl ResponseBody {
    /// An empty body.
    pub fn empty() -> Self {
        Self::Full(None)
    }

    /// These bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Full(Some(bytes.into()))
    }

    /// A stream of exactly `len` bytes.
    pub fn stream(stream: ByteStream, len: u64) -> Self {
        Self::Stream { stream, remaining: len }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Unsized(stream) => {
                stream.as_mut().poll_next(cx).map(|item| item.map(|r| r.map(Frame::data)))
            }
            Self::Stream { stream, remaining } => {
                let item = std::task::ready!(stream.as_mut().poll_next(cx));
                Poll::Ready(match item {
                    Some(Ok(bytes)) => match remaining.checked_sub(bytes.len() as u64) {
                        Some(rest) => {
                            *remaining = rest;
                            Some(Ok(Frame::data(bytes)))
                        }
                        None => Some(Err("an answer ran past its length".into())),
                    },
                    None if *remaining > 0 => Some(Err("an answer fell short of its length".into())),
                    Some(Err(error)) => Some(Err(error)),
                    None => None,
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Stream { remaining, .. } => *remaining == 0,
            Self::Unsized(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Stream { remaining, .. } => SizeHint::with_exact(*remaining),
            Self::Unsized(_) => SizeHint::default(),
        }
    }
}
