//! How far this host's clock is from the map's, which gateways over one map share. A clock that is off by much makes locks end early and
//! rules of days act on the wrong day: such a gateway serves nothing until it is right again.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use storage::kv::{KeyValue, KvError};
use storage::name::Timestamp;

/// How often the clocks are compared.
pub const INTERVAL: Duration = Duration::from_secs(30);
/// Beyond this a gateway warns.
const WARN_SKEW: Duration = Duration::from_millis(500);
/// Beyond this it serves nothing.
const MAX_SKEW: Duration = Duration::from_secs(2);

/// See the module.
pub struct Clock(Option<Mutex<Option<Look>>>);

/// One comparison.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// By how much this clock was ahead of the map's, in milliseconds; what the way there and back may explain is left out.
    ahead_ms: i64,
    /// When it was last told that the clock is off, if it is.
    told: Option<Instant>,
    /// What this host's clocks said.
    wall_unix_ms: u64,
    at: Instant,
}

impl Look {
    /// By how much this clock is ahead now: it may have been moved since the look, which the monotonic clock tells.
    fn ahead_ms(&self, wall_unix_ms: u64, at: Instant) -> i64 {
        let by_wall = wall_unix_ms.cast_signed() - self.wall_unix_ms.cast_signed();
        let by_steady = at.saturating_duration_since(self.at).as_millis() as i64;
        self.ahead_ms + by_wall - by_steady
    }
}

fn wall_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

/// By how much the local clock was ahead, when the map told its own between these two moments.
fn ahead_ms(before_unix_ms: u64, way: Duration, map: Timestamp) -> i64 {
    let half = (way.as_millis() / 2) as i64;
    let ahead = before_unix_ms.cast_signed() + half - map.unix_ms().cast_signed();
    // Where on the way the map looked at its clock is not known.
    ahead.signum() * (ahead.abs() - half).max(0)
}

impl Clock {
    /// Of a gateway that has its map for itself: there is nothing to compare with.
    pub fn alone() -> Self {
        Self(None)
    }

    /// Of a gateway that shares its map; compared now.
    ///
    /// # Errors
    /// When the map can't be asked.
    pub async fn shared(kv: &Arc<dyn KeyValue>) -> Result<Self, KvError> {
        let clock = Self(Some(Mutex::default()));
        clock.look(&**kv).await?;
        Ok(clock)
    }

    /// Compares the clocks.
    ///
    /// # Errors
    /// When the map can't be asked: what was found last holds on.
    pub async fn look(&self, kv: &dyn KeyValue) -> Result<(), KvError> {
        let Some(state) = &self.0 else { return Ok(()) };
        let (before, began) = (wall_unix_ms(), Instant::now());
        let Some(map) = kv.clock().await? else { return Ok(()) };
        let ahead_ms = ahead_ms(before, began.elapsed(), map);
        storage::catalog::set_clock_ahead(ahead_ms);
        let is_off = ahead_ms.unsigned_abs() > WARN_SKEW.as_millis() as u64;
        let former = state.lock().and_then(|former| former.told);
        let is_due = former.is_none_or(|told| told.elapsed() >= INTERVAL);
        match (former, is_off) {
            (_, true) if is_due => tracing::warn!(
                ahead_ms,
                limit_ms = MAX_SKEW.as_millis() as u64,
                "the clock of this host is not that of the metadata server: beyond the limit nothing is served"
            ),
            (Some(_), false) => {
                tracing::info!("the clock of this host is that of the metadata server again");
            }
            _ => {}
        }
        let told = is_off.then(|| former.filter(|_| !is_due).unwrap_or(began));
        *state.lock() = Some(Look { ahead_ms, told, wall_unix_ms: before, at: began });
        Ok(())
    }

    /// By how much this host's clock is ahead of the map's, in milliseconds; `None`: there is nothing to compare with.
    pub fn ahead_ms(&self) -> Option<i64> {
        let look = (*self.0.as_ref()?.lock())?;
        Some(look.ahead_ms(wall_unix_ms(), Instant::now()))
    }

    /// Is it right enough to serve?
    pub fn is_right(&self) -> bool {
        self.ahead_ms().is_none_or(|ahead| ahead.unsigned_abs() <= MAX_SKEW.as_millis() as u64)
    }

    /// Compares the clocks again and again, for ever; at once where this host's was moved.
    pub async fn run(&self, kv: &dyn KeyValue) {
        if self.0.is_none() {
            return std::future::pending().await;
        }
        let mut looked = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if looked.elapsed() < INTERVAL && self.is_right() {
                continue;
            }
            looked = Instant::now();
            if let Err(error) = self.look(kv).await {
                tracing::debug!(%error, "the clock of the metadata server can't be seen");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_way_may_explain_is_no_skew() {
        let way = Duration::from_millis(100);
        assert_eq!(ahead_ms(1000, way, Timestamp(1000)), 0);
        assert_eq!(ahead_ms(1000, way, Timestamp(1100)), 0);
        assert_eq!(ahead_ms(5000, way, Timestamp(1000)), 4000);
        assert_eq!(ahead_ms(1000, way, Timestamp(5000)), -3900);
    }

    #[test]
    fn a_clock_that_is_moved_after_a_look_is_noticed() {
        let at = Instant::now();
        let look = Look { ahead_ms: 10, told: None, wall_unix_ms: 1_000_000, at };
        let later = at + Duration::from_secs(20);
        assert_eq!(look.ahead_ms(1_020_000, later), 10);
        assert_eq!(look.ahead_ms(4_620_000, later), 3_600_010);
        assert_eq!(look.ahead_ms(1_000_000, later), -19_990);
    }
}
