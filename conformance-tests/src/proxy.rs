//! A proxy for TCP that fails as networks do: it cuts, delays, swallows, and lets pass one way alone.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What a proxy does with what passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// It passes.
    Open,
    /// Connections are cut, and refused.
    Closed,
    /// Connections are taken, and nothing passes either way.
    Silent,
    /// Questions pass, answers do not.
    HalfOpen,
    /// Each piece waits this long.
    Slow(Duration),
    /// A commit of PostgreSQL's that holds these bytes waits, and whatever its connection sends behind it; all else passes.
    HoldCommit(Vec<u8>),
}

/// What connections share.
struct Shared {
    way: watch::Receiver<Way>,
    /// Commits whose answers are still to be cut off.
    cuts: AtomicU64,
    /// Commits that were held.
    held: AtomicU64,
    /// The port behind it.
    to: AtomicU16,
}

/// A proxy on a port of its own, gone when it is dropped.
pub struct Proxy {
    port: u16,
    way: watch::Sender<Way>,
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Proxy {
    /// Listens, for this port of 127.0.0.1.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(to: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (way, receiver) = watch::channel(Way::Open);
        let shared = Arc::new(Shared {
            way: receiver,
            cuts: AtomicU64::new(0),
            held: AtomicU64::new(0),
            to: AtomicU16::new(to),
        });
        let task = tokio::spawn(take(listener, shared.clone())).abort_handle();
        Ok(Self { port, way, shared, task })
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Fails so from now on, or no longer; connections that are there notice, too.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    /// New connections go there from now on.
    pub fn lead_to(&self, port: u16) {
        self.shared.to.store(port, Ordering::SeqCst);
    }

    /// The answers to the next `count` commits of PostgreSQL's are cut off: the server has committed, and its client does not know.
    pub fn cut_commits(&self, count: u64) {
        self.shared.cuts.store(count, Ordering::SeqCst);
    }

    /// How many of these are still to come.
    pub fn cuts_left(&self) -> u64 {
        self.shared.cuts.load(Ordering::SeqCst)
    }

    /// How many commits [`Way::HoldCommit`] has held so far.
    pub fn held(&self) -> u64 {
        self.shared.held.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        if *shared.way.borrow() == Way::Closed {
            continue;
        }
        tokio::spawn(connection(client, shared.clone()));
    }
}

/// Until one side ends or is cut: then both do.
async fn connection(client: TcpStream, shared: Arc<Shared>) {
    let to = shared.to.load(Ordering::SeqCst);
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let commits = AtomicBool::new(false);
    let mut way = shared.way.clone();
    tokio::select! {
        () = pass(client_read, server_write, &shared, &commits, true) => {}
        () = pass(server_read, client_write, &shared, &commits, false) => {}
        _ = way.wait_for(|way| *way == Way::Closed) => {}
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    commits: &AtomicBool,
    is_question: bool,
) {
    let mut way = shared.way.clone();
    let mut piece = vec![0; 1 << 16];
    while let Ok(len @ 1..) = from.read(&mut piece).await {
        let piece = &piece[..len];
        if is_question && holds(piece, b"kv_commit(") {
            commits.store(true, Ordering::SeqCst);
        }
        let of_commit = commits.load(Ordering::SeqCst);
        let mut is_held = false;
        loop {
            let now = way.borrow_and_update().clone();
            match now {
                Way::Open => break,
                Way::Closed => return,
                Way::Slow(by) => {
                    tokio::time::sleep(by).await;
                    break;
                }
                Way::HalfOpen if is_question => break,
                Way::HoldCommit(bytes) if !(is_question && of_commit && holds(piece, &bytes)) => break,
                Way::HoldCommit(_) if !is_held => {
                    is_held = true;
                    shared.held.fetch_add(1, Ordering::SeqCst);
                }
                Way::Silent | Way::HalfOpen | Way::HoldCommit(_) => {}
            }
            if way.changed().await.is_err() {
                return;
            }
        }
        // The answer of kv_commit has one row.
        if !is_question && of_commit && holds(piece, b"SELECT 1\0Z\0\0") {
            let less_one = |left: u64| left.checked_sub(1);
            if shared.cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less_one).is_ok() {
                return;
            }
        }
        if to.write_all(piece).await.is_err() {
            return;
        }
    }
}

fn holds(piece: &[u8], bytes: &[u8]) -> bool {
    piece.windows(bytes.len().max(1)).any(|part| part == bytes)
}
