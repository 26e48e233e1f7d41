//! Leases: which of the gateways over one catalog does a job that one is enough for. Who holds one holds it as long as its session
//! goes on, or gives it back. What the job commits is conditional on the lease, so that a holder that was cut off and replaced can't
//! go on beside its successor.

use super::{SessionId, SessionState};
use crate::catalog::layout::LEASE;
use crate::catalog::{Catalog, CatalogError};
use crate::kv::{Condition, Key, KvError, Transaction, Write};

/// Format.
const FORMAT: u8 = 1;

/// The right to do a job.
#[derive(Clone)]
pub struct Lease {
    catalog: Catalog,
    /// None where nobody else can be: the session holds its catalog alone.
    condition: Option<Condition>,
}

impl Lease {
    /// The catalog whose commits are conditional on the lease: once another gateway has it they fail as unavailable.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// A number that tells this holding of the lease from every other one; `None` where nobody else can have it.
    pub fn number(&self) -> Option<u64> {
        match self.condition {
            Some(Condition::At(_, revision)) => Some(revision.0),
            _ => None,
        }
    }

    /// Gives it back, so that others need not wait for the session's end.
    pub async fn release(self) -> Result<(), CatalogError> {
        let Some(Condition::At(key, _)) = self.condition else { return Ok(()) };
        let transaction = Transaction { conditions: Vec::new(), writes: vec![Write::Delete(key)] };
        match self.catalog.commit(transaction).await {
            // Another has it.
            Ok(()) | Err(KvError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Catalog {
    /// Takes the lease of a job, or finds that this session has it; `None` while another session that goes on has it. A session that
    /// holds its catalog alone has every lease, and nothing is written for it.
    pub async fn lease(&self, job: &str) -> Result<Option<Lease>, CatalogError> {
        let Some(own) = self.own().filter(|own| own.is_shared) else {
            return Ok(Some(Lease { catalog: self.clone(), condition: None }));
        };
        let key: Key = [&[LEASE], job.as_bytes()].concat().into();
        loop {
            let found = self.kv.get(std::slice::from_ref(&key)).await?.pop().flatten();
            let mut conditions = Vec::new();
            match &found {
                None => conditions.push(Condition::Absent(key.clone())),
                Some(entry) => {
                    let holder = decode(&entry.value)?;
                    let condition = Condition::At(key.clone(), entry.revision);
                    if holder == own.id {
                        return Ok(Some(self.lease_of(condition)));
                    }
                    if self.session_state(holder).await? == SessionState::Live {
                        return Ok(None);
                    }
                    conditions.push(condition);
                }
            }
            let value = [&[FORMAT], &own.id.0.to_be_bytes()[..]].concat().into();
            let writes = vec![Write::Put(key.clone(), value)];
            match self.commit(Transaction { conditions, writes }).await {
                // The next look finds it: taken here, or by another that was faster.
                Ok(()) | Err(KvError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Which session holds the lease of a job, if one does; it may have ended.
    pub async fn lease_holder(&self, job: &str) -> Result<Option<SessionId>, CatalogError> {
        let key: Key = [&[LEASE], job.as_bytes()].concat().into();
        let found = self.kv.get(std::slice::from_ref(&key)).await?.pop().flatten();
        found.map(|entry| decode(&entry.value)).transpose()
    }

    fn lease_of(&self, condition: Condition) -> Lease {
        Lease { catalog: self.clone().with_condition(condition.clone()), condition: Some(condition) }
    }
}

fn decode(value: &[u8]) -> Result<SessionId, CatalogError> {
    match value.split_first() {
        Some((&FORMAT, id)) => id.try_into().ok().map(|id| SessionId(u32::from_be_bytes(id))),
        _ => None,
    }
    .ok_or(CatalogError::Corrupt("a lease"))
}
