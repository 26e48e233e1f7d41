//! The keys of providers, kept for a while: no request waits for a provider whose keys are known, and nobody can make us ask one
//! more often than now and then.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::discovery::FetchError;
use super::keys::KeySet;

/// Most issuers: as many as an account may register, which is what AWS has for a limit.
const MAX_ISSUERS: usize = 100;
/// Age at which keys are asked for anew.
const REFRESH_AGE: Duration = Duration::from_secs(15 * 60);
/// Age up to which they serve while the provider is away: how long a key that was withdrawn can still verify.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);
/// The shortest time between two askings of an issuer.
const PAUSE: Duration = Duration::from_secs(10);

type Source = dyn Fn(&str) -> Result<KeySet, FetchError> + Send + Sync;

/// See the module.
pub(super) struct Cache {
    source: Arc<Source>,
    failure_after: Duration,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

/// What is known of an issuer.
#[derive(Default)]
struct Slot {
    state: Mutex<State>,
    /// Held by the one that asks.
    asking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    /// Keys, and when they came.
    held: Option<(Arc<KeySet>, Instant)>,
    /// How the last asking ended, and when.
    last: Option<(Result<(), FetchError>, Instant)>,
}

/// What to do for a token.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    /// Verify with what is held.
    Serve,
    /// Ask the provider first.
    Ask,
    /// There is nothing to verify with, and it is too early to ask again.
    Refuse,
}

impl State {
    fn decide(&self, key_id: Option<&str>, now: Instant) -> Decision {
        let is_new = |since: Instant, limit| now.saturating_duration_since(since) < limit;
        let usable = self.usable(now);
        let is_fresh = self.held.as_ref().is_some_and(|(_, since)| is_new(*since, REFRESH_AGE));
        if is_fresh && usable.as_ref().is_some_and(|keys| keys.holds(key_id)) {
            return Decision::Serve;
        }
        match (&self.last, usable) {
            (Some((_, since)), Some(_)) if is_new(*since, PAUSE) => Decision::Serve,
            (Some((_, since)), None) if is_new(*since, PAUSE) => Decision::Refuse,
            _ => Decision::Ask,
        }
    }

    fn usable(&self, now: Instant) -> Option<Arc<KeySet>> {
        let (keys, since) = self.held.as_ref()?;
        (now.saturating_duration_since(*since) < MAX_AGE).then(|| keys.clone())
    }

    fn store(&mut self, asked: Result<KeySet, FetchError>, now: Instant) {
        let outcome = asked.map(|keys| self.held = Some((Arc::new(keys), now)));
        self.last = Some((outcome, now));
    }

    /// What is held, or why there is nothing.
    fn outcome(&self, now: Instant) -> Result<Arc<KeySet>, FetchError> {
        self.usable(now).ok_or_else(|| match &self.last {
            Some((Err(error), _)) => error.clone(),
            _ => FetchError::Unreachable("it was not asked".to_owned()),
        })
    }
}

impl Cache {
    /// An empty cache in front of a source, which may block. That it has failed is told so long after it was asked, so that the time
    /// tells nothing of how it failed.
    pub(super) fn new(
        failure_after: Duration,
        source: impl Fn(&str) -> Result<KeySet, FetchError> + Send + Sync + 'static,
    ) -> Self {
        Self { source: Arc::new(source), failure_after, slots: Mutex::default() }
    }

    /// The keys of an issuer, for a token that names this one.
    pub(super) async fn keys(&self, issuer: &str, key_id: Option<&str>) -> Result<Arc<KeySet>, FetchError> {
        let slot = self.slot(issuer);
        if slot.decide(key_id) != Decision::Ask {
            return slot.outcome();
        }
        // Who can do with older keys waits for nobody.
        let asking = match slot.asking.clone().try_lock_owned() {
            Ok(asking) => asking,
            Err(_) => match slot.outcome() {
                Ok(keys) if keys.holds(key_id) => return Ok(keys),
                _ => slot.asking.clone().lock_owned().await,
            },
        };
        if slot.decide(key_id) == Decision::Ask {
            // The asking goes on when the client that caused it leaves.
            let (source, issuer, slot) = (self.source.clone(), issuer.to_owned(), slot.clone());
            let told_at = tokio::time::Instant::now() + self.failure_after;
            let asked = tokio::task::spawn_blocking(move || source(&issuer));
            let kept = tokio::spawn(async move {
                let keys =
                    asked.await.unwrap_or_else(|error| Err(FetchError::Unreachable(error.to_string())));
                if keys.is_err() {
                    tokio::time::sleep_until(told_at).await;
                }
                slot.state.lock().store(keys, Instant::now());
                drop(asking);
            });
            kept.await.map_err(|error| FetchError::Unreachable(error.to_string()))?;
        }
        slot.outcome()
    }

    fn slot(&self, issuer: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.get(issuer) {
            return slot.clone();
        }
        if slots.len() >= MAX_ISSUERS {
            let asked = |slot: &Slot| slot.state.lock().last.as_ref().map(|(_, since)| *since);
            let oldest = slots.iter().min_by_key(|(_, slot)| asked(slot)).map(|(issuer, _)| issuer.clone());
            oldest.map(|issuer| slots.remove(&issuer));
        }
        slots.entry(issuer.to_owned()).or_default().clone()
    }
}

impl Slot {
    fn decide(&self, key_id: Option<&str>) -> Decision {
        self.state.lock().decide(key_id, Instant::now())
    }

    fn outcome(&self) -> Result<Arc<KeySet>, FetchError> {
        self.state.lock().outcome(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Ed25519's generator stands in for a key.
    fn keys(id: &str) -> KeySet {
        let x = "WGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY";
        let json = serde_json::json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": id}]});
        KeySet::parse(json.to_string().as_bytes()).unwrap()
    }

    fn away() -> Result<KeySet, FetchError> {
        Err(FetchError::Unreachable("away".to_owned()))
    }

    #[test]
    fn when_a_provider_is_asked() {
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let mut state = State::default();
        assert_eq!(state.decide(Some("a"), start), Decision::Ask);
        state.store(away(), start);
        assert_eq!(state.decide(Some("a"), start + PAUSE - second), Decision::Refuse);
        assert_eq!(state.decide(Some("a"), start + PAUSE), Decision::Ask);

        state.store(Ok(keys("a")), start);
        assert_eq!(state.decide(Some("a"), start + REFRESH_AGE - second), Decision::Serve);
        assert_eq!(state.decide(None, start + REFRESH_AGE - second), Decision::Serve);
        assert_eq!(state.decide(Some("b"), start + PAUSE - second), Decision::Serve, "and find no key");
        assert_eq!(state.decide(Some("b"), start + PAUSE), Decision::Ask);

        let later = start + REFRESH_AGE;
        assert_eq!(state.decide(Some("a"), later), Decision::Ask);
        state.store(away(), later);
        assert!(state.outcome(later).unwrap().holds(Some("a")), "an older key serves");
        assert_eq!(state.decide(Some("a"), later + second), Decision::Serve);
        let end = start + MAX_AGE;
        assert_eq!(state.decide(Some("a"), end), Decision::Ask);
        state.store(away(), end);
        assert_eq!(state.decide(Some("a"), end), Decision::Refuse);
        assert!(state.outcome(end).is_err());
    }

    #[tokio::test]
    async fn one_asks_for_all() {
        let asked = Arc::new(AtomicUsize::new(0));
        let cache = Cache::new(Duration::from_millis(200), {
            let asked = asked.clone();
            move |issuer| {
                asked.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(50));
                if issuer == "gone" { away() } else { Ok(keys("a")) }
            }
        });
        let all = futures_util::future::join_all((0..20).map(|_| cache.keys("here", Some("a")))).await;
        assert!(all.into_iter().all(|keys| keys.is_ok_and(|keys| keys.holds(Some("a")))));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(!cache.keys("here", Some("b")).await.unwrap().holds(Some("b")));
        assert_eq!(asked.load(Ordering::SeqCst), 1, "so soon after the first");
        let before = Instant::now();
        let all = futures_util::future::join_all((0..20).map(|_| cache.keys("gone", Some("a")))).await;
        assert!(before.elapsed() >= Duration::from_millis(200), "the time of a failure tells nothing");
        assert!(all.iter().all(|keys| matches!(keys, Err(FetchError::Unreachable(why)) if why == "away")));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        for n in 0..2 * MAX_ISSUERS {
            cache.slot(&n.to_string());
        }
        assert_eq!(cache.slots.lock().len(), MAX_ISSUERS);
    }
}
