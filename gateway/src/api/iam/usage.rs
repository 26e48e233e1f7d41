//! How many users, groups and roles have a managed policy.

use std::collections::HashMap;

use super::kind::Holder;
use crate::iam::{AccountState, Group, IamError, Role, User};

/// How often each policy is used, by ARN: attached, and as a boundary.
pub(super) struct Usages<'a>(HashMap<&'a str, (usize, usize)>);

impl<'a> Usages<'a> {
    /// Those of an account.
    pub(super) fn of(account: &'a AccountState) -> Self {
        let mut usages = Self(HashMap::new());
        usages.count::<User>(account);
        usages.count::<Group>(account);
        usages.count::<Role>(account);
        usages
    }

    fn count<T: Holder>(&mut self, account: &'a AccountState) {
        for holder in T::of(account).iter() {
            for arn in holder.attached() {
                self.0.entry(arn).or_default().0 += 1;
            }
            if let Some(arn) = holder.boundary() {
                self.0.entry(arn).or_default().1 += 1;
            }
        }
    }

    /// How many have this policy attached, and how many as a boundary.
    pub(super) fn get(&self, arn: &str) -> (usize, usize) {
        self.0.get(arn).copied().unwrap_or_default()
    }
}

/// Refuses to delete a policy that is used.
pub(super) fn unused(account: &AccountState, arn: &str) -> Result<(), IamError> {
    match Usages::of(account).get(arn) {
        (0, 0) => Ok(()),
        _ => Err(IamError::DeleteConflict("Cannot delete a policy attached to entities.".to_owned())),
    }
}
