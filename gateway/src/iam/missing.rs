//! Documents that others refer to and that are not there. No request takes such a document away: policies and groups that are in use
//! can't be deleted. What a missing policy denied is not known, so whoever has it may do nothing until it is there again, or
//! taken from him.

use std::fmt;
use std::sync::LazyLock;

use kms_core::policy::NamedPolicy;

use super::model::{Group, Role, User};
use super::policy_text::PolicyText;
use super::state::{AccountState, Entity, State};

/// A document that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// ARN of whoever has it.
    pub of: String,
    /// ARN of a managed policy, or unique id of a group.
    pub document: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} has {}, of which there is no document: it may do nothing until that is put back from a backup, made anew, or taken from it",
            self.of, self.document
        )
    }
}

/// What stands in the place of a policy that is missing: it denies everything.
pub fn denial() -> &'static PolicyText {
    static DENIAL: LazyLock<PolicyText> = LazyLock::new(|| {
        let text = r#"{"Version":"2012-10-17","Statement":{"Sid":"MissingDocument","Effect":"Deny","Action":"*","Resource":"*"}}"#;
        PolicyText::parse(text).expect("our own policies are well-formed")
    });
    &DENIAL
}

/// As [`denial`], of a principal that asks: the log tells what he misses.
pub(super) fn denied_without(of: &str, document: &str) -> NamedPolicy {
    let missing = Missing { of: of.to_owned(), document: document.to_owned() };
    tracing::error!("{missing}");
    denial().named(document)
}

impl State {
    /// Every document that is missing.
    pub fn missing(&self) -> Vec<Missing> {
        self.accounts.values().flat_map(|account| account.missing()).collect()
    }
}

impl AccountState {
    /// The groups of a user of which there is no document, by id.
    pub fn missing_groups_of<'a>(&self, user: &'a User) -> impl Iterator<Item = &'a str> {
        user.groups.iter().map(String::as_str).filter(|id| self.groups.by_id(id).is_none())
    }

    fn missing(&self) -> Vec<Missing> {
        let mut all = Vec::new();
        for user in self.users.iter() {
            let User { boundary, attached, .. } = &**user;
            self.add_missing(&**user, attached.iter().chain(boundary), &mut all);
            let of = user.arn(&self.account);
            let groups = self.missing_groups_of(user);
            all.extend(groups.map(|id| Missing { of: of.clone(), document: id.to_owned() }));
        }
        for group in self.groups.iter() {
            let Group { attached, .. } = &**group;
            self.add_missing(&**group, attached, &mut all);
        }
        for role in self.roles.iter() {
            let Role { boundary, attached, .. } = &**role;
            self.add_missing(&**role, attached.iter().chain(boundary), &mut all);
        }
        all
    }

    fn add_missing<'a, T: Entity>(
        &self,
        holder: &T,
        policies: impl IntoIterator<Item = &'a String>,
        all: &mut Vec<Missing>,
    ) {
        let missing = policies.into_iter().filter(|arn| self.managed_text(arn).is_none());
        let of = holder.arn(&self.account);
        all.extend(missing.map(|arn| Missing { of: of.clone(), document: arn.clone() }));
    }
}

#[cfg(test)]
mod tests;
