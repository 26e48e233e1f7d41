//! Where providers hand tokens out, as far as that is known: a browser that logs in there has to be let. Nobody waits for a provider:
//! how long an answer takes would tell which hosts of an inner network listen.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::discovery::FetchError;

/// Most issuers: as many as an account may register, which is what AWS has for a limit.
const MAX_ISSUERS: usize = 100;
/// The shortest time between two askings of an issuer.
const PAUSE: Duration = Duration::from_secs(60);

type Source = dyn Fn(&str) -> Result<Option<String>, FetchError> + Send + Sync;

/// See the module.
pub(super) struct TokenEndpoints {
    source: Arc<Source>,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

/// What is known of an issuer.
struct Known {
    endpoint: Option<String>,
    asked: Instant,
}

impl TokenEndpoints {
    /// Knows nothing yet. The source may block.
    pub(super) fn new(
        source: impl Fn(&str) -> Result<Option<String>, FetchError> + Send + Sync + 'static,
    ) -> Self {
        Self { source: Arc::new(source), known: Arc::default() }
    }

    /// What was told last, if anything was; the issuer is asked again behind it, now and then. Within a runtime alone.
    pub(super) fn of(&self, issuer: &str) -> Option<String> {
        let now = Instant::now();
        let mut known = self.known.lock();
        let former = known.get(issuer);
        let endpoint = former.and_then(|former| former.endpoint.clone());
        if former.is_some_and(|former| now.saturating_duration_since(former.asked) < PAUSE) {
            return endpoint;
        }
        if former.is_none() && known.len() >= MAX_ISSUERS {
            let oldest = known.iter().min_by_key(|(_, known)| known.asked).map(|(issuer, _)| issuer.clone());
            oldest.map(|issuer| known.remove(&issuer));
        }
        known.insert(issuer.to_owned(), Known { endpoint: endpoint.clone(), asked: now });
        let (source, all, issuer) = (self.source.clone(), self.known.clone(), issuer.to_owned());
        tokio::task::spawn_blocking(move || match source(&issuer) {
            Ok(endpoint) => {
                if let Some(known) = all.lock().get_mut(&issuer) {
                    known.endpoint = endpoint;
                }
            }
            Err(error) => tracing::info!(issuer, %error, "an identity provider does not describe itself"),
        });
        endpoint
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_provider_is_asked_once_behind_the_answer() {
        let asked = Arc::new(AtomicUsize::new(0));
        let endpoints = TokenEndpoints::new({
            let asked = asked.clone();
            move |issuer| {
                asked.fetch_add(1, Ordering::SeqCst);
                match issuer {
                    "away" => Err(FetchError::Unreachable("away".to_owned())),
                    issuer => Ok(Some(format!("{issuer}/token"))),
                }
            }
        });
        assert_eq!(endpoints.of("here"), None, "nobody waits");
        while endpoints.of("here").is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(endpoints.of("here").as_deref(), Some("here/token"));
        assert_eq!(endpoints.of("away"), None);
        while asked.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!((endpoints.of("away"), asked.load(Ordering::SeqCst)), (None, 2));
        for n in 0..2 * MAX_ISSUERS {
            endpoints.of(&n.to_string());
        }
        assert_eq!(endpoints.known.lock().len(), MAX_ISSUERS);
    }
}
