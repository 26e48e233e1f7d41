//! A connection's bytes: heads end at their limit, who doesn't read is noticed, and a connection that closes on a request which was
//! not read to its end does so without losing the answer.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::connection::{Connection, GUARDED_READ_LEN};

/// What is read and thrown away after the last answer of a connection, so that the peer gets to read it: a close with unread bytes
/// resets the connection, and the answer is lost with it (RFC 9112 section 9.6).
const LINGER_MAX_LEN: u64 = 8 << 20;
const LINGER_TIMEOUT: Duration = Duration::from_secs(10);
/// What begins a connection of h2, RFC 9113 section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// AWS's code and text for a head that is too long; it does not tell more either.
const HEAD_TOO_LONG: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/xml\r\nContent-Length: 213\r\n\
Connection: close\r\nServer: Sealgate\r\n\r\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>RequestHeaderSectionTooLarge</Code>\
<Message>Your request header section exceeds the maximum allowed size.</Message><MaxSizeAllowed>65536</MaxSizeAllowed></Error>";

/// A stream that its [`Connection`] hears of.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    connection: Arc<Connection>,
    /// How much of h2's preface has come; more than it has once anything else came.
    preface_len: usize,
    is_blocked: bool,
    /// What is left to write of the refusal of a head.
    refusal: Option<&'static [u8]>,
    closing: Closing,
}

#[derive(Debug)]
enum Closing {
    No,
    Shutdown,
    Linger { left: u64, until: Pin<Box<Sleep>> },
    Done,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S, connection: Arc<Connection>) -> Self {
        Self { stream, connection, preface_len: 0, is_blocked: false, refusal: None, closing: Closing::No }
    }

    fn is_h2(&self) -> bool {
        self.preface_len == PREFACE.len()
    }

    fn has_read(&mut self, bytes: &[u8]) {
        if self.preface_len < PREFACE.len() {
            let rest = &PREFACE[self.preface_len..];
            let len = rest.len().min(bytes.len());
            // Anything else never becomes h2.
            self.preface_len = if rest[..len] == bytes[..len] { self.preface_len + len } else { usize::MAX };
        }
        self.connection.has_read(bytes.len());
    }

    /// Notes whether the peer takes what is written.
    fn note<T>(&mut self, polled: &Poll<T>) {
        if polled.is_pending() != self.is_blocked {
            self.is_blocked = polled.is_pending();
            self.connection.blocks(self.is_blocked);
        }
    }

    /// Ends what is written; what still comes is read and thrown away for a while.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.closing {
                Closing::No => self.closing = Closing::Shutdown,
                Closing::Shutdown => {
                    ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
                    let until = Box::pin(tokio::time::sleep(LINGER_TIMEOUT));
                    self.closing = Closing::Linger { left: LINGER_MAX_LEN, until };
                }
                Closing::Linger { left, until } => {
                    if until.as_mut().poll(cx).is_ready() {
                        self.closing = Closing::Done;
                        continue;
                    }
                    let mut room = [MaybeUninit::uninit(); GUARDED_READ_LEN];
                    let mut room = ReadBuf::uninit(&mut room);
                    let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room));
                    let len = room.filled().len() as u64;
                    *left = left.saturating_sub(len);
                    if read.is_err() || len == 0 || *left == 0 {
                        self.closing = Closing::Done;
                    }
                }
                Closing::Done => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_refuse(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            match self.refusal {
                None => self.refusal = Some(HEAD_TOO_LONG),
                Some([]) => break,
                Some(rest) => match ready!(Pin::new(&mut self.stream).poll_write(cx, rest)) {
                    Ok(len @ 1..) => self.refusal = Some(&rest[len..]),
                    Ok(0) => return Poll::Ready(io::ErrorKind::WriteZero.into()),
                    Err(error) => return Poll::Ready(error),
                },
            }
        }
        let _ = ready!(self.poll_linger(cx));
        Poll::Ready(io::Error::new(io::ErrorKind::InvalidData, "the head of the request is too long"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(max_len) = this.connection.may_read(this.is_h2()) else {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        };
        if max_len == 0 {
            return this.poll_refuse(cx).map(Err);
        }
        let mut room = [MaybeUninit::uninit(); GUARDED_READ_LEN];
        let mut room = ReadBuf::uninit(&mut room[..max_len.min(buf.remaining())]);
        ready!(Pin::new(&mut this.stream).poll_read(cx, &mut room))?;
        this.has_read(room.filled());
        buf.put_slice(room.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.note(&polled);
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.note(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_flush(cx);
        this.note(&polled);
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.connection.lingers() {
            true => this.poll_linger(cx),
            false => Pin::new(&mut this.stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::http::connection::{MAX_HEAD_LEN, Patience};

    fn wire() -> (Wire<tokio::io::DuplexStream>, tokio::io::DuplexStream, Arc<Connection>) {
        let (near, far) = tokio::io::duplex(1 << 20);
        let second = Duration::from_secs(1);
        let connection = Arc::new(Connection::new(Patience { idle: second, stall: second }));
        (Wire::new(near, connection.clone()), far, connection)
    }

    #[tokio::test]
    async fn a_head_that_is_too_long_is_refused_and_what_follows_is_thrown_away() {
        let (mut wire, mut far, _) = wire();
        far.write_all(&vec![b'x'; 3 * MAX_HEAD_LEN]).await.unwrap();
        far.shutdown().await.unwrap();
        let mut head = Vec::new();
        let error = wire.read_to_end(&mut head).await.unwrap_err();
        assert_eq!((error.kind(), head.len()), (io::ErrorKind::InvalidData, MAX_HEAD_LEN));
        let mut answer = String::new();
        far.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{answer}");
        assert!(body.contains(&MAX_HEAD_LEN.to_string()) && body.ends_with("</Error>"), "{answer}");
    }

    #[tokio::test]
    async fn h2_is_told_by_its_whole_preface() {
        for (sent, is_h2) in
            [(PREFACE, true), (&PREFACE[..23], false), (b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n", false)]
        {
            let (mut wire, mut far, _) = wire();
            for byte in sent {
                far.write_all(&[*byte]).await.unwrap();
                wire.read_u8().await.unwrap();
            }
            assert_eq!(wire.is_h2(), is_h2);
        }
    }

    #[tokio::test]
    async fn only_a_connection_with_an_unread_body_lingers() {
        let (mut wire, mut far, connection) = wire();
        far.write_all(b"unread").await.unwrap();
        wire.shutdown().await.unwrap();
        connection.linger();
        let close = tokio::spawn(async move { wire.shutdown().await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!close.is_finished());
        drop(far);
        close.await.unwrap().unwrap();
    }
}
