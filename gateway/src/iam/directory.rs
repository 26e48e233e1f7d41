//! Whom key policies and grants may name, as the KMS asks it.

use std::sync::{Arc, Weak};

use kms_core::directory::{Directory, Lookup};

use super::store::Iam;

/// The directory of these identities. It does not keep them open.
pub fn directory(iam: &Arc<Iam>) -> Arc<dyn Directory> {
    Arc::new(OfIam(Arc::downgrade(iam)))
}

struct OfIam(Weak<Iam>);

impl Directory for OfIam {
    fn id_of(&self, name: &str) -> Lookup {
        let Some(iam) = self.0.upgrade() else { return Lookup::NotOurs };
        match iam.state().binding(name) {
            Some(Some(id)) => Lookup::Id(id),
            // It stands for itself.
            Some(None) if name.starts_with("arn:") => Lookup::NotOurs,
            Some(None) => Lookup::Id(name.to_owned()),
            None if iam.accept_unknown_principals => Lookup::NotOurs,
            None => Lookup::NoSuchPrincipal,
        }
    }

    fn arn_of(&self, id: &str) -> Option<String> {
        self.0.upgrade()?.state().arn_of(id)
    }

    fn has_account(&self, account: &str) -> bool {
        let Some(iam) = self.0.upgrade() else { return true };
        iam.accept_unknown_principals || iam.state().accounts.contains_key(account)
    }
}
