//! Principals in resource policies. A policy names users and roles by ARN; what is kept beside its text is whom that meant when
//! it was put, so that somebody who later has the same name does not inherit anything.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>

use std::collections::BTreeMap;

use kms_core::policy::{Document, Principal, rename_principals};

use super::state::State;

/// What stands for the principals of a policy, by how its text calls them: unique ids for ARNs, ARNs of accounts for canonical
/// user ids.
pub type Bindings = BTreeMap<String, String>;

/// A principal that does not exist, as the policy calls it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"AWS\":\"{0}\"")]
pub struct NoSuchPrincipal(pub String);

impl State {
    /// Finds everybody whom a policy names. With `accept_unknown` those who do not exist stay as they are named.
    pub fn bind(&self, document: &Document, accept_unknown: bool) -> Result<Bindings, NoSuchPrincipal> {
        let mut bindings = Bindings::new();
        for principal in document.principals() {
            let (name, found) = match principal {
                Principal::Aws(name) => (name, self.binding(name)),
                Principal::CanonicalUser(id) => {
                    (id, self.by_canonical_id(id).map(|account| Some(account.iam_arn("root"))))
                }
                Principal::Service(_) | Principal::Federated(_) => continue,
            };
            match found {
                Some(Some(bound)) => {
                    bindings.insert(name.clone(), bound);
                }
                Some(None) => {}
                None if accept_unknown => {}
                None => return Err(NoSuchPrincipal(name.clone())),
            }
        }
        Ok(bindings)
    }

    /// What stands for a principal; `Some(None)`: its own name does. `None`: it does not exist.
    pub(super) fn binding(&self, name: &str) -> Option<Option<String>> {
        if name.starts_with("AIDA") || name.starts_with("AROA") {
            return self.arn_of(name).map(|_| None);
        }
        let account = self.account_in(name)?;
        let resource = name.splitn(6, ':').nth(5);
        match resource {
            // Accounts, and sessions that have no identity of their own.
            None | Some("root") => Some(None),
            Some(resource) if resource.starts_with("federated-user/") => Some(None),
            Some(_) => account.id_of(name).map(Some),
        }
    }

    /// A policy's text as it is shown: with the ARN that each whom it names has now, and with the unique id of each who does not exist
    /// any more.
    pub fn shown(&self, text: &str, bindings: &Bindings) -> String {
        rename_principals(text, |name| {
            let bound = bindings.get(name).filter(|_| name.starts_with("arn:"))?;
            let now = self.arn_of(bound).unwrap_or_else(|| bound.clone());
            (now != name).then_some(now)
        })
    }
}

/// Puts what stands for its principals into a policy.
pub fn apply(document: &mut Document, bindings: &Bindings) {
    document.bind(|principal| match principal {
        Principal::Aws(name) | Principal::CanonicalUser(name) => bindings.get(name).cloned(),
        Principal::Service(_) | Principal::Federated(_) => None,
    });
}
