//! Aliases: names of keys, each account's own.

use std::collections::BTreeMap;

use crate::key::KmsKeyId;

/// The aliases of all accounts: which key each points to.
#[derive(Debug, Default)]
pub(crate) struct Aliases(BTreeMap<String, BTreeMap<String, KmsKeyId>>);

impl Aliases {
    pub(crate) fn get(&self, account: &str, name: &str) -> Option<KmsKeyId> {
        self.0.get(account)?.get(name).copied()
    }

    pub(crate) fn insert(&mut self, account: &str, name: &str, target: KmsKeyId) {
        self.0.entry(account.to_owned()).or_default().insert(name.to_owned(), target);
    }

    pub(crate) fn remove(&mut self, account: &str, name: &str) {
        if let Some(own) = self.0.get_mut(account) {
            own.remove(name);
        }
    }

    /// Those of an account, in order.
    pub(crate) fn of_account(&self, account: &str) -> impl Iterator<Item = (&String, KmsKeyId)> {
        self.0.get(account).into_iter().flatten().map(|(name, target)| (name, *target))
    }

    /// Those of an account that point to a key, in order.
    pub(crate) fn of_key(&self, account: &str, key: KmsKeyId) -> Vec<String> {
        let own = self.of_account(account).filter(|(_, target)| *target == key);
        own.map(|(name, _)| name.clone()).collect()
    }

    /// All: account, name, key.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &String, KmsKeyId)> {
        self.0
            .iter()
            .flat_map(|(account, own)| own.iter().map(move |(name, target)| (account, name, *target)))
    }
}
