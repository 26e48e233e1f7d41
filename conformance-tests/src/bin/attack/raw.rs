//! Connections on which anything can be said.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// How long an answer may take: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const MAX_ANSWER_LEN: usize = 1 << 20;

/// A connection.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    /// What was read beyond an answer.
    rest: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Told {
    /// Does the head have this header, with this value?
    pub(crate) fn has(&self, header: &str) -> bool {
        self.head.lines().any(|line| line.eq_ignore_ascii_case(header))
    }
}

impl Raw {
    pub(crate) async fn open(to: SocketAddr) -> anyhow::Result<Self> {
        Self::open_from(to, 1).await
    }

    /// From 127.0.0.`last`.
    pub(crate) async fn open_from(to: SocketAddr, last: u8) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)))?;
        Ok(Self::of(timeout(PATIENCE, socket.connect(to)).await.context("no connection")??))
    }

    /// With little room for what comes.
    pub(crate) async fn open_narrow(to: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(16 << 10)?;
        Ok(Self::of(timeout(PATIENCE, socket.connect(to)).await.context("no connection")??))
    }

    fn of(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        Self { stream, rest: Vec::new() }
    }

    /// Sends; answers whether the peer still takes it.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        matches!(timeout(PATIENCE, self.stream.write_all(bytes)).await, Ok(Ok(())))
    }

    /// The next answer whole; `None`: the connection has ended. A connection that is reset has ended too.
    pub(crate) async fn answer(&mut self) -> anyhow::Result<Option<Told>> {
        loop {
            let Some(head) = self.until(|bytes| find(bytes, b"\r\n\r\n").map(|at| at + 4)).await? else {
                return Ok(None);
            };
            let head = String::from_utf8_lossy(&head).into_owned();
            let status: u16 = head.split(' ').nth(1).context("no status")?.parse()?;
            if status == 100 {
                continue;
            }
            let len = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            let len = len.unwrap_or(0);
            let body = self.until(|bytes| (bytes.len() >= len).then_some(len)).await?;
            let body = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
            return Ok(Some(Told { status, head, body }));
        }
    }

    async fn until(&mut self, found: impl Fn(&[u8]) -> Option<usize>) -> anyhow::Result<Option<Vec<u8>>> {
        loop {
            if let Some(len) = found(&self.rest) {
                let rest = self.rest.split_off(len);
                return Ok(Some(std::mem::replace(&mut self.rest, rest)));
            }
            if self.rest.len() > MAX_ANSWER_LEN {
                bail!("an answer without end");
            }
            let mut room = [0; 16 << 10];
            match timeout(PATIENCE, self.stream.read(&mut room)).await.context("no answer")? {
                Ok(0) | Err(_) => return Ok(None),
                Ok(len) => self.rest.extend_from_slice(&room[..len]),
            }
        }
    }

    /// Whether the peer ends the connection in this time; what it says until then is read.
    pub(crate) async fn ends_within(&mut self, limit: Duration) -> bool {
        let read_all = async {
            let mut room = [0; 16 << 10];
            while matches!(self.stream.read(&mut room).await, Ok(1..)) {}
        };
        timeout(limit, read_all).await.is_ok()
    }
}

pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
