//! The gateways as their clients see them: addresses that come and go.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A gateway's place.
#[derive(Debug, Clone, Default)]
struct Gate {
    /// `None`: it is down.
    endpoint: Option<String>,
    /// How often it has been taken down.
    downs: u64,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gates(Arc<Mutex<Vec<Gate>>>);

/// A gateway at the moment that a request begins.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    pub(crate) number: usize,
    pub(crate) endpoint: Option<String>,
    downs: u64,
}

impl Gates {
    pub(crate) fn of(endpoints: impl IntoIterator<Item = String>) -> Self {
        let gates = endpoints.into_iter().map(|endpoint| Gate { endpoint: Some(endpoint), downs: 0 });
        Self(Arc::new(Mutex::new(gates.collect())))
    }

    fn all(&self) -> MutexGuard<'_, Vec<Gate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self) -> usize {
        self.all().len()
    }

    pub(crate) fn choose(&self, number: usize) -> Chosen {
        let gate = self.all().get(number).cloned().unwrap_or_default();
        Chosen { number, endpoint: gate.endpoint, downs: gate.downs }
    }

    /// From here on its requests may be cut.
    pub(crate) fn down(&self, number: usize) {
        if let Some(gate) = self.all().get_mut(number) {
            (gate.endpoint, gate.downs) = (None, gate.downs + 1);
        }
    }

    pub(crate) fn up(&self, number: usize, endpoint: &str) {
        if let Some(gate) = self.all().get_mut(number) {
            gate.endpoint = Some(endpoint.to_owned());
        }
    }

    /// Has it been taken down since, or was it down?
    pub(crate) fn was_down(&self, chosen: &Chosen) -> bool {
        chosen.endpoint.is_none() || self.choose(chosen.number).downs != chosen.downs
    }
}
