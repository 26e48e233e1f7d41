//! Bodies: what comes in, and what goes out with a length that is known beforehand.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::Instant;

use super::connection::{Exchange, MIN_RATE};
pub use super::incoming::BodyError;
use super::incoming::{Incoming, Leftover};

/// What may be kept of a body while it is not known who sends it. With what hyper has read ahead, 64 KiB in all.
pub const UNAUTHENTICATED_MAX_LEN: usize = 48 * 1024;
/// How long such a body may take.
const UNAUTHENTICATED_TIMEOUT: Duration = Duration::from_secs(20);

/// A request's body as it comes from the wire; by default one that has ended.
#[derive(Default)]
pub struct RequestBody {
    incoming: Option<Incoming>,
    pace: Pace,
    deadline: Option<Instant>,
    /// The client waits for `100 Continue`, which the first read sends.
    awaits_continue: bool,
    exchange: Option<Arc<Exchange>>,
}

/// How long may be waited for what comes next of a body.
#[derive(Debug, Default)]
struct Pace {
    /// The most.
    idle_timeout: Duration,
    /// As much now: what waits took is earned again by bytes, [`MIN_RATE`] a second.
    credit: Duration,
}

impl Pace {
    fn new(idle_timeout: Duration) -> Self {
        Self { idle_timeout, credit: idle_timeout }
    }

    /// So many bytes came after a wait.
    fn has_come(&mut self, len: usize, waited: Duration) {
        let earned = Duration::from_micros(len as u64 * 1_000_000 / MIN_RATE);
        self.credit = (self.credit.saturating_sub(waited) + earned).min(self.idle_timeout);
    }
}

impl RequestBody {
    /// Wraps a body; a wait of more than `idle_timeout` for the next frame ends it, and so does less than [`MIN_RATE`] for longer
    /// than that. `awaits_continue`: the request says `Expect: 100-continue`.
    pub fn new<B>(incoming: B, idle_timeout: Duration, awaits_continue: bool) -> Self
    where
        B: Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let incoming = Some(incoming.map_err(|e| BodyError::Broken(Box::new(e))).boxed());
        Self { incoming, pace: Pace::new(idle_timeout), deadline: None, awaits_continue, exchange: None }
    }

    /// The same, of a request on a connection.
    pub(super) fn of(mut self, exchange: Arc<Exchange>) -> Self {
        self.exchange = Some(exchange);
        self
    }

    /// Tells the connection that whoever asked is known: it is not ended to make place for another one.
    pub fn authenticated(&mut self) {
        self.deadline = None;
        if let Some(exchange) = &self.exchange {
            exchange.authenticated();
        }
    }

    /// For a body that is read before it is known who sends it: all of it has 20 seconds.
    pub fn unauthenticated(&mut self) {
        self.deadline = Some(Instant::now() + UNAUTHENTICATED_TIMEOUT);
    }

    /// The next piece of data; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        self.awaits_continue = false;
        let incoming = self.incoming.as_mut()?;
        let ended = loop {
            let began = Instant::now();
            let until = began + self.pace.credit;
            let until = self.deadline.map_or(until, |deadline| deadline.min(until));
            match tokio::time::timeout_at(until, incoming.frame()).await {
                Err(_) => break Err(BodyError::TimedOut),
                Ok(None) => break Ok(()),
                Ok(Some(Err(error))) => break Err(error),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.pace.has_come(data.len(), began.elapsed());
                        if let Some(record) = self.exchange.as_ref().and_then(|e| e.record.as_ref()) {
                            record.has_received(data.len());
                        }
                        return Some(Ok(data));
                    }
                }
            }
        };
        self.incoming = None;
        if let Some(exchange) = &self.exchange {
            *exchange.leftover.lock() =
                if ended.is_ok() { Leftover::Nothing } else { Leftover::Unread(None) };
        }
        ended.err().map(Err)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let (Some(incoming), Some(exchange)) = (self.incoming.take(), &self.exchange) else { return };
        *exchange.leftover.lock() = match incoming.is_end_stream() {
            true => Leftover::Nothing,
            // What waits for a word may come or not: nobody can tell what the bytes that follow are.
            false if self.awaits_continue => Leftover::Unread(None),
            false => Leftover::Unread(Some(incoming)),
        };
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{Full, StreamBody};

    use super::super::incoming::SETTLE_MAX_LEN;
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    /// How many seconds it takes until a body is given up of which so much comes every so many seconds; at most an hour.
    fn seconds_until_given_up(len: u64, every_s: u64) -> u64 {
        let (mut pace, mut passed_s) = (Pace::new(IDLE), 0);
        let every = Duration::from_secs(every_s);
        while passed_s < 3600 {
            if pace.credit < every {
                return passed_s + pace.credit.as_secs();
            }
            pace.has_come(len as usize, every);
            passed_s += every_s;
        }
        passed_s
    }

    #[test]
    fn a_body_that_drips_is_given_up_and_a_slow_one_is_not() {
        assert_eq!(seconds_until_given_up(1, 61), 60);
        assert_eq!(seconds_until_given_up(1, 25), 60);
        // Half of the least rate takes twice the pause that is allowed.
        assert_eq!(seconds_until_given_up(5 * MIN_RATE, 10), 115);
        assert_eq!(seconds_until_given_up(MIN_RATE, 1), 3600);
        assert!(seconds_until_given_up(64 * MIN_RATE, 59) >= 3600);
    }

    fn pending() -> RequestBody {
        RequestBody::new(StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>()), IDLE, false)
    }

    #[tokio::test]
    async fn an_unknown_sender_has_less_time() {
        let mut body = pending();
        body.unauthenticated();
        body.deadline = body.deadline.map(|deadline| deadline - UNAUTHENTICATED_TIMEOUT);
        assert!(matches!(body.next().await, Some(Err(BodyError::TimedOut))));
    }

    #[tokio::test]
    async fn a_short_rest_is_read_and_a_long_one_is_not() {
        let unread = |mut body: RequestBody| Leftover::Unread(body.incoming.take());
        let whole = |len: u64| RequestBody::new(Full::new(Bytes::from(vec![0; len as usize])), IDLE, false);
        assert!(unread(whole(SETTLE_MAX_LEN)).settle().await);
        assert!(!unread(whole(SETTLE_MAX_LEN + 1)).settle().await);
        assert!(!unread(pending()).settle().await);
        let endless =
            stream::repeat_with(|| Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 1000]))));
        assert!(!unread(RequestBody::new(StreamBody::new(endless), IDLE, false)).settle().await);
        assert!(!Leftover::Unread(None).settle().await && !Leftover::InUse.settle().await);
        assert!(Leftover::Nothing.settle().await);
    }
}
