//! What one connection is doing, and for how long it may go on with that: nobody holds one who neither asks nor listens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foldhash::{HashMap, HashMapExt};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::incoming::Leftover;
use crate::observe::request::Recording;

/// The slowest that a peer may send or read, in bytes per second, once it has lagged for as long as it may pause.
pub(super) const MIN_RATE: u64 = 1024;
/// The most bytes of a request's head; S3 allows 8 KiB of headers and a key of 1 KiB that is percent-encoded.
pub(super) const MAX_HEAD_LEN: usize = 64 * 1024;
/// Bytes taken from the wire at once while nobody has authenticated himself.
pub(super) const GUARDED_READ_LEN: usize = 8 * 1024;

/// How long a connection may go without getting on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For the TLS handshake, the first byte of a request, and its head; with no request at all.
    pub(super) idle: Duration,
    /// With an answer that is not read.
    pub(super) stall: Duration,
}

/// One connection, as its wire, its requests and the holder of all slots see it.
#[derive(Debug)]
pub(super) struct Connection {
    patience: Patience,
    state: Mutex<State>,
    evict: Notify,
    evicted: AtomicBool,
    /// A request's body was left unread: what still comes of it is thrown away before the connection closes.
    lingers: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// Requests without the end of their answers.
    requests: HashMap<u64, Asked>,
    last: u64,
    has_authenticated: bool,
    /// Since when nothing is asked, or the head of a request comes in. A moment to come: until then an answer goes out.
    since: Instant,
    /// Bytes of a request's head so far.
    head_len: usize,
    /// Since when the peer has taken nothing of what is ready for it.
    blocked_since: Option<Instant>,
}

#[derive(Debug, Default)]
struct Asked {
    is_authenticated: bool,
    /// When the last piece of the answer was given, and by when the peer must have taken it.
    given: Option<Instant>,
}

impl Connection {
    pub(super) fn new(patience: Patience) -> Self {
        let state = State {
            requests: HashMap::new(),
            last: 0,
            has_authenticated: false,
            since: Instant::now(),
            head_len: 0,
            blocked_since: None,
        };
        Self {
            patience,
            state: Mutex::new(state),
            evict: Notify::new(),
            evicted: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
        }
    }

    /// A request has come. `is_h2`: its answer may wait where no wire is seen to block.
    pub(super) fn begin(self: &Arc<Self>, is_h2: bool, record: Option<Arc<Recording>>) -> Arc<Exchange> {
        let mut state = self.state.lock();
        state.last += 1;
        state.head_len = 0;
        let number = state.last;
        state.requests.insert(number, Asked::default());
        let leftover = Mutex::new(Leftover::InUse);
        Arc::new(Exchange { connection: self.clone(), number, is_h2, leftover, record })
    }

    /// How many bytes may be taken from the wire now; `None`: any number, `Some(0)`: the head is too long.
    pub(super) fn may_read(&self, is_h2: bool) -> Option<usize> {
        let state = self.state.lock();
        match state.requests.is_empty() {
            true if is_h2 => Some(GUARDED_READ_LEN),
            true => Some(GUARDED_READ_LEN.min(MAX_HEAD_LEN.saturating_sub(state.head_len))),
            false if state.requests.values().any(|asked| asked.is_authenticated) => None,
            false => Some(GUARDED_READ_LEN),
        }
    }

    /// So many bytes came.
    pub(super) fn has_read(&self, len: usize) {
        let mut state = self.state.lock();
        if state.requests.is_empty() {
            if state.head_len == 0 {
                state.since = Instant::now();
            }
            state.head_len += len;
        }
    }

    /// The peer takes nothing at the moment, or takes something again.
    pub(super) fn blocks(&self, is_blocked: bool) {
        self.state.lock().blocked_since = is_blocked.then(Instant::now);
    }

    /// Throws away what still comes before it closes.
    pub(super) fn linger(&self) {
        self.lingers.store(true, Ordering::Relaxed);
    }

    pub(super) fn lingers(&self) -> bool {
        self.lingers.load(Ordering::Relaxed)
    }

    /// In which order connections make place: who never authenticated himself comes first, then who has waited longest. `None`: not
    /// while it does authenticated work.
    pub(super) fn idle_rank(&self) -> Option<(bool, Instant)> {
        let state = self.state.lock();
        let works = state.requests.values().any(|asked| asked.is_authenticated);
        (!works).then_some((state.has_authenticated, state.since))
    }

    /// Ends it, to make place for another one.
    pub(super) fn evict(&self) {
        self.evicted.store(true, Ordering::Relaxed);
        self.evict.notify_one();
    }

    #[cfg(test)]
    pub(super) fn is_evicted(&self) -> bool {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Ends when the connection must, and says why.
    pub(super) async fn overstays(&self) -> &'static str {
        // What it does changes in between: looking often enough is simpler than telling a clock of every change.
        let look = (self.patience.idle.min(self.patience.stall) / 8)
            .clamp(Duration::from_millis(50), Duration::from_secs(5));
        loop {
            let evicted = tokio::time::timeout(look, self.evict.notified()).await.is_ok();
            if evicted {
                return "made place for another one";
            }
            if let Some(why) = self.overdue(Instant::now()) {
                return why;
            }
        }
    }

    fn overdue(&self, now: Instant) -> Option<&'static str> {
        let state = self.state.lock();
        let passed = |since: Instant, limit: Duration| now.saturating_duration_since(since) > limit;
        if state.blocked_since.is_some_and(|since| passed(since, self.patience.stall)) {
            return Some("its peer does not read");
        }
        let given = state.requests.values().filter_map(|asked| asked.given);
        if given.min().is_some_and(|until| passed(until, self.patience.stall)) {
            return Some("its peer does not read an answer");
        }
        let is_idle = state.requests.is_empty() && state.blocked_since.is_none();
        if is_idle && passed(state.since, self.patience.idle) {
            return Some("nothing was asked in time");
        }
        None
    }
}

/// A request and its answer, until that has ended.
#[derive(Debug)]
pub struct Exchange {
    connection: Arc<Connection>,
    number: u64,
    is_h2: bool,
    pub(super) leftover: Mutex<Leftover>,
    /// What is told of it once both have ended, if anybody wants to know.
    pub(super) record: Option<Arc<Recording>>,
}

impl Exchange {
    /// Whoever asked is known.
    pub(super) fn authenticated(&self) {
        let mut state = self.connection.state.lock();
        state.has_authenticated = true;
        if let Some(asked) = state.requests.get_mut(&self.number) {
            asked.is_authenticated = true;
        }
    }

    /// Whether the request's body has ended, so that another request may follow; else the connection is one to close.
    pub(super) async fn settle(&self) -> bool {
        let left = std::mem::take(&mut *self.leftover.lock());
        let is_settled = left.settle().await;
        if !is_settled {
            self.connection.linger();
        }
        is_settled
    }

    pub(super) fn give(&self, len: Option<usize>) {
        let given = len.map(|len| Instant::now() + time_for(len));
        if let Some(asked) = self.connection.state.lock().requests.get_mut(&self.number) {
            asked.given = given;
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut state = self.connection.state.lock();
        let asked = state.requests.remove(&self.number);
        let now = Instant::now();
        // The last piece of an answer may still be on its way inside of h2.
        let given = asked.and_then(|asked| asked.given).filter(|_| self.is_h2);
        state.since = state.since.max(given.unwrap_or(now)).max(now);
        state.head_len = 0;
    }
}

/// How long the slowest peer may take for so many bytes.
fn time_for(len: usize) -> Duration {
    Duration::from_secs(len as u64 / MIN_RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { idle: Duration::from_secs(30), stall: Duration::from_secs(60) };

    fn after(connection: &Connection, seconds: u64) -> bool {
        connection.overdue(Instant::now() + Duration::from_secs(seconds)).is_some()
    }

    #[test]
    fn silence_heads_and_readers_have_their_time() {
        let connection = Arc::new(Connection::new(PATIENCE));
        assert!(!after(&connection, 29) && after(&connection, 31));
        let asked = connection.begin(false, None);
        // Who works has his own limits.
        assert!(!after(&connection, 10_000));
        connection.blocks(true);
        assert!(!after(&connection, 59) && after(&connection, 61));
        connection.blocks(false);
        assert!(!after(&connection, 61));
        asked.give(Some(100 * MIN_RATE as usize));
        assert!(!after(&connection, 159) && after(&connection, 161));
        asked.give(None);
        drop(asked);
        assert!(!after(&connection, 29) && after(&connection, 31));
    }

    #[test]
    fn a_head_is_read_up_to_its_limit() {
        let connection = Arc::new(Connection::new(PATIENCE));
        let mut len = 0;
        while let Some(piece @ 1..) = connection.may_read(false) {
            connection.has_read(piece);
            len += piece;
        }
        assert_eq!(len, MAX_HEAD_LEN);
        assert_eq!(connection.may_read(true), Some(GUARDED_READ_LEN));
        let asked = connection.begin(false, None);
        assert_eq!(connection.may_read(false), Some(GUARDED_READ_LEN));
        asked.authenticated();
        assert_eq!(connection.may_read(false), None);
        drop(asked);
        assert_eq!(connection.may_read(false), Some(GUARDED_READ_LEN));
    }
}
