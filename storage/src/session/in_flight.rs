//! What this gateway is doing now with what it read of the catalog: nothing that it may still read is reclaimed.
//!
//! Each thing that runs is marked with the number of this gateway's last heartbeat that was acknowledged when it began. The least such
//! number is the *read floor*, which the next heartbeat tells. Whoever reclaims reads the queue of displaced blobs, then every
//! session's heartbeat, and deletes those blobs once each floor is above the number that it read: whatever runs by then began when
//! the blobs had been displaced already. No clock is compared with another.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::HashMap;
use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use crate::name::VersionId;

/// Contents that a heartbeat names at the most.
const MAX_CONTENTS: usize = 256;

tokio::task_local! {
    /// Where the request that a task works for is registered, and as what it began.
    static REQUEST: (usize, u64);
}

/// See the module. Clones share what they know.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlight(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The last heartbeat that was acknowledged.
    beat: u64,
    /// Tells apart what began after one heartbeat.
    next: u64,
    running: BTreeMap<(u64, u64), Running>,
    /// How many readers or writers each content has.
    contents: HashMap<VersionId, usize>,
}

#[derive(Debug)]
struct Running {
    content: Option<VersionId>,
    since: Instant,
}

impl InFlight {
    /// Something begins that may read records and what they refer to.
    pub(crate) fn begin(&self, content: Option<VersionId>) -> ReadPin {
        let of_request = REQUEST.try_with(|(registry, beat)| (*registry == self.address()).then_some(*beat));
        let mut state = self.0.lock();
        // What works for a request goes on with what the request has read.
        let beat = of_request.ok().flatten().unwrap_or(state.beat);
        state.next += 1;
        let at = (beat, state.next);
        state.running.insert(at, Running { content, since: Instant::now() });
        if let Some(content) = content {
            *state.contents.entry(content).or_default() += 1;
        }
        ReadPin { in_flight: self.clone(), at }
    }

    /// Does the work of a request: whatever it begins counts as begun when the request was.
    pub(crate) async fn request<T>(&self, work: impl Future<Output = T>) -> T {
        let pin = self.begin(None);
        REQUEST.scope((self.address(), pin.at.0), work).await
    }

    /// Is this content being read or written here?
    pub(crate) fn holds(&self, content: VersionId) -> bool {
        self.0.lock().contents.contains_key(&content)
    }

    /// A heartbeat was acknowledged.
    pub(crate) fn acknowledge(&self, beat: u64) {
        let mut state = self.0.lock();
        state.beat = state.beat.max(beat);
    }

    /// The read floor, and the contents below it: what has run for `long` does not hold it back, as long as it is not too much.
    pub(crate) fn floor(&self, long: Duration) -> (u64, Vec<VersionId>) {
        let state = self.0.lock();
        let mut contents = Vec::new();
        for ((beat, _), running) in &state.running {
            let is_long = running.since.elapsed() >= long;
            match running.content {
                // Whoever has not opened anything for so long will read records anew.
                None if is_long => {}
                Some(content) if is_long && contents.contains(&content) => {}
                Some(content) if is_long && contents.len() < MAX_CONTENTS => contents.push(content),
                _ => return (*beat, contents),
            }
        }
        (state.beat, contents)
    }

    /// When the oldest of what runs began.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.0.lock().running.values().map(|running| running.since).min()
    }

    fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }
}

/// Something that runs: what it may read stays until this is dropped. See [`crate::catalog::Catalog::pin`].
#[derive(Debug)]
pub struct ReadPin {
    in_flight: InFlight,
    at: (u64, u64),
}

impl Drop for ReadPin {
    fn drop(&mut self) {
        let mut state = self.in_flight.0.lock();
        let content = state.running.remove(&self.at).and_then(|running| running.content);
        if let Some(content) = content
            && let Some(count) = state.contents.get_mut(&content)
        {
            *count -= 1;
            if *count == 0 {
                state.contents.remove(&content);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn the_floor_is_where_the_oldest_of_what_runs_began() {
        let here = InFlight::default();
        here.acknowledge(4);
        assert_eq!(here.floor(HOUR), (4, vec![]));
        let content = VersionId::now();
        let old = here.begin(Some(content));
        here.acknowledge(5);
        let new = here.begin(None);
        assert_eq!(here.floor(HOUR), (4, vec![]));
        assert!(here.holds(content));
        drop(old);
        here.acknowledge(6);
        assert!(!here.holds(content));
        assert_eq!(here.floor(HOUR), (5, vec![]));
        drop(new);
        assert_eq!(here.floor(HOUR), (6, vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_request_begins_counts_from_its_start() {
        let (here, other) = (InFlight::default(), InFlight::default());
        here.acknowledge(1);
        let pins = here
            .request(async {
                here.acknowledge(9);
                other.acknowledge(3);
                (here.begin(None), other.begin(None))
            })
            .await;
        assert_eq!((here.floor(HOUR).0, other.floor(HOUR).0), (1, 3));
        drop(pins);
        assert_eq!(here.floor(HOUR).0, 9);
    }

    #[tokio::test(start_paused = true)]
    async fn long_reads_are_named_and_let_the_floor_pass() {
        let here = InFlight::default();
        here.acknowledge(1);
        let contents: Vec<VersionId> = (0..MAX_CONTENTS).map(|_| VersionId::now()).collect();
        let mut long: Vec<ReadPin> = contents.iter().map(|content| here.begin(Some(*content))).collect();
        long.push(here.begin(Some(contents[0])));
        long.push(here.begin(None));
        tokio::time::advance(HOUR).await;
        here.acknowledge(2);
        let _short = here.begin(None);
        here.acknowledge(3);
        assert_eq!(here.floor(HOUR), (2, contents.clone()));
        // One more than a heartbeat names.
        tokio::time::advance(HOUR).await;
        let _more = here.begin(Some(VersionId::now()));
        let _after = here.begin(None);
        tokio::time::advance(HOUR).await;
        here.acknowledge(4);
        assert_eq!(here.floor(HOUR), (3, contents));
    }
}
