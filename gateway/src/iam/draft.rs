//! A change to one account, before it is committed: the account as it will be, and the documents that make it so.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use super::account::Account;
use super::model::{AccessKey, AccessKeyRecord, OidcProvider};
use super::record;
use super::state::{AccountState, Entity, Named};

/// See the module. It reads as the account that it will be.
pub struct Draft {
    pub(super) account: AccountState,
    /// By document; `None` takes it away.
    pub(super) changes: BTreeMap<String, Option<Bytes>>,
    pub(super) now_unix_ms: u64,
}

impl Deref for Draft {
    type Target = AccountState;

    fn deref(&self) -> &AccountState {
        &self.account
    }
}

/// Entities that a draft can put and remove.
pub trait Kept: Entity {
    /// Those that the account has.
    fn of(account: &AccountState) -> &Named<Self>;
    /// As [`Kept::of`], to change them.
    fn of_mut(account: &mut AccountState) -> &mut Named<Self>;
}

macro_rules! kept {
    ($($type:ident $field:ident),*) => {$(
        impl Kept for super::model::$type {
            fn of(account: &AccountState) -> &Named<Self> {
                &account.$field
            }

            fn of_mut(account: &mut AccountState) -> &mut Named<Self> {
                &mut account.$field
            }
        }
    )*};
}
kept!(User users, Group groups, Role roles, ManagedPolicy policies);

impl Draft {
    /// A draft of an account that is kept nowhere.
    #[cfg(test)]
    pub(crate) fn for_tests(account: AccountState) -> Self {
        Self { account, changes: BTreeMap::new(), now_unix_ms: 0 }
    }

    /// The account that it makes.
    #[cfg(test)]
    pub(crate) fn account_for_tests(self) -> AccountState {
        self.account
    }

    /// When the change is made, milliseconds since the Unix epoch.
    pub fn now_unix_ms(&self) -> u64 {
        self.now_unix_ms
    }

    /// Puts an entity, in the place of the one of the same id.
    pub fn put<T: Kept>(&mut self, entity: T) {
        let name = record::entity_name::<T>(&self.account.account.id, entity.id());
        self.changes.insert(name, Some(record::encode(&entity)));
        T::of_mut(&mut self.account).insert(Arc::new(entity));
    }

    /// Removes the entity of this id.
    pub fn remove<T: Kept>(&mut self, id: &str) {
        self.changes.insert(record::entity_name::<T>(&self.account.account.id, id), None);
        T::of_mut(&mut self.account).remove(id);
    }

    /// Puts what is known of the account itself.
    pub fn put_account(&mut self, account: Account) {
        self.changes.insert(record::account_name(&account.id), Some(record::encode(&account)));
        self.account.account = Arc::new(account);
    }

    /// Puts an identity provider, in the place of the one of the same URL.
    pub fn put_provider(&mut self, provider: OidcProvider) {
        let document = record::provider_name(&self.account.account.id, provider.name());
        self.changes.insert(document, Some(record::encode(&provider)));
        self.account.providers.insert(provider.name().to_owned(), Arc::new(provider));
    }

    /// Removes the identity provider of this name: its URL without the scheme.
    pub fn remove_provider(&mut self, name: &str) {
        self.changes.insert(record::provider_name(&self.account.account.id, name), None);
        self.account.providers.remove(name);
    }

    /// Puts an access key, in the place of the one of the same id.
    pub fn put_access_key(&mut self, record: AccessKeyRecord) {
        let name = record::access_key_name(&record.account, &record.id);
        self.changes.insert(name, Some(record::encode(&record)));
        let former = self.account.access_keys.get(&record.id);
        let last_used = former.map(|former| former.last_used.clone()).unwrap_or_default();
        let id = record.id.clone();
        let access_key = AccessKey { record, secret: None, signing_keys: Default::default(), last_used };
        self.account.access_keys.insert(id, Arc::new(access_key));
    }

    /// Removes an access key.
    pub fn remove_access_key(&mut self, id: &str) {
        let account = &self.account.account.id;
        self.changes.insert(record::access_key_name(account, id), None);
        self.changes.insert(record::use_name(account, id), None);
        self.account.access_keys.remove(id);
    }
}
