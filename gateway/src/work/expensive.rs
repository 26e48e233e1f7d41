//! Calls that cost the processor a lot (RSA keys are made in up to a second): each caller has a rate of his own for them, and all
//! together leave most of the machine to other requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kms_core::policy::Subject;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Seconds of his rate that a caller may spend at once.
const BURST_S: f64 = 10.0;
/// The most callers remembered. Beyond, those who have all of their rate again are forgotten, or else all.
const MAX_CALLERS: usize = 10_000;
/// How long a call waits for others that compute before it is refused.
const MAX_WAIT: Duration = Duration::from_secs(20);
/// The most calls of one caller that wait or compute at a time.
const MAX_AT_A_TIME: u32 = 16;

/// The caller has had too many expensive calls, or the machine has: AWS answers ThrottlingException.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Rate exceeded")]
pub struct TooMany;

/// Counts expensive calls by caller.
#[derive(Debug)]
pub struct ExpensiveCalls {
    /// Units of cost per second and caller; 0: no limit. One unit is about a tenth of a second of one core.
    per_second: f64,
    callers: Arc<Mutex<HashMap<String, Spent>>>,
    /// One for each call that may compute now: those of a tenth of a unit and more, and the shorter ones, which do not wait for those.
    long: Arc<Semaphore>,
    short: Arc<Semaphore>,
}

/// What a caller has spent.
#[derive(Debug)]
struct Spent {
    /// Units that are not forgiven yet, as of `at`.
    units: f64,
    at: Instant,
    running: u32,
}

/// The right to compute, for as long as it is kept.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
    _running: Running,
}

/// Counts a caller's call as running until it is dropped.
#[derive(Debug)]
struct Running {
    callers: Arc<Mutex<HashMap<String, Spent>>>,
    caller: String,
}

impl ExpensiveCalls {
    /// With so many units per second and caller. Half of the cores may compute long ones.
    pub fn new(per_second: u32) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let slots = || Arc::new(Semaphore::new((cores / 2).max(1)));
        Self { per_second: per_second.into(), callers: Arc::default(), long: slots(), short: slots() }
    }

    /// Lets a call of this cost in, once there is a core for it. Sessions of a role are one caller.
    ///
    /// # Errors
    /// The caller has spent his rate, or others compute for too long.
    pub async fn admit(&self, caller: &Subject, cost: f64) -> Result<Slot, TooMany> {
        let caller = caller.role.last().or(caller.itself.last()).unwrap_or(&caller.arn);
        let running = self.spend(caller, cost, Instant::now())?;
        let slots = if cost < 0.1 { &self.short } else { &self.long };
        let permit = tokio::time::timeout(MAX_WAIT, slots.clone().acquire_owned()).await;
        match permit {
            Ok(Ok(permit)) => Ok(Slot { _permit: permit, _running: running }),
            Ok(Err(_)) | Err(_) => Err(TooMany),
        }
    }

    fn spend(&self, caller: &str, cost: f64, now: Instant) -> Result<Running, TooMany> {
        let mut callers = self.callers.lock();
        if callers.len() >= MAX_CALLERS && !callers.contains_key(caller) {
            callers.retain(|_, spent| spent.running > 0 || spent.left(self.per_second, now) > 0.0);
            if callers.len() >= MAX_CALLERS {
                callers.retain(|_, spent| spent.running > 0);
            }
        }
        let spent = callers.entry(caller.to_owned()).or_insert(Spent { units: 0.0, at: now, running: 0 });
        spent.units = spent.left(self.per_second, now);
        spent.at = now;
        // Who has spent nothing may have any one call, whatever it costs.
        let is_limited = self.per_second > 0.0;
        let is_over = spent.units > 0.0 && spent.units + cost > self.per_second * BURST_S;
        if is_limited && (is_over || spent.running >= MAX_AT_A_TIME) {
            return Err(TooMany);
        }
        spent.units += cost;
        spent.running += 1;
        Ok(Running { callers: self.callers.clone(), caller: caller.to_owned() })
    }
}

impl Spent {
    /// What is not forgiven by now.
    fn left(&self, per_second: f64, now: Instant) -> f64 {
        let passed_s = now.saturating_duration_since(self.at).as_secs_f64();
        (self.units - per_second * passed_s).max(0.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(spent) = self.callers.lock().get_mut(&self.caller) {
            spent.running = spent.running.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_a_burst_and_then_a_rate() {
        let calls = ExpensiveCalls::new(2);
        let begun = Instant::now();
        for _ in 0..2 {
            calls.spend("alice", 10.0, begun).unwrap();
        }
        assert_eq!(calls.spend("alice", 1.0, begun).err(), Some(TooMany));
        assert!(calls.spend("bob", 10.0, begun).is_ok());
        assert_eq!(calls.spend("alice", 10.0, begun + Duration::from_secs(4)).err(), Some(TooMany));
        assert!(calls.spend("alice", 10.0, begun + Duration::from_secs(5)).is_ok());
    }

    #[test]
    fn any_one_call_is_let_in_and_few_run_at_a_time() {
        let calls = ExpensiveCalls::new(1);
        assert!(calls.spend("alice", 100.0, Instant::now()).is_ok());
        let all: Vec<_> = (0..20).map(|_| calls.spend("bob", 0.1, Instant::now())).collect();
        assert_eq!(all.iter().filter(|admitted| admitted.is_ok()).count(), 16);
        drop(all);
        assert!(calls.spend("bob", 0.1, Instant::now()).is_ok());
        let unlimited = ExpensiveCalls::new(0);
        let all: Vec<_> = (0..100).map(|_| unlimited.spend("bob", 100.0, Instant::now())).collect();
        assert!(all.iter().all(Result::is_ok));
    }

    #[test]
    fn callers_are_bounded() {
        let calls = ExpensiveCalls::new(1);
        for n in 0..2 * MAX_CALLERS {
            let _ = calls.spend(&n.to_string(), 5.0, Instant::now());
        }
        assert!(calls.callers.lock().len() <= MAX_CALLERS);
    }
}
