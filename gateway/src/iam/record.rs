//! How accounts and what they have are kept: a document each on the catalog's shelf `iam`.
//!
//! | name | document |
//! | --- | --- |
//! | `account/` id | an [`Account`] |
//! | `user/`, `group/`, `role/`, `policy/` account, `/`, unique id | the entity |
//! | `provider/` account, `/`, hash of its name | an [`OidcProvider`] |
//! | `key/` account, `/`, access key id | an [`AccessKeyRecord`]: its secret is sealed once more |
//! | `used/` account, `/`, access key id | the last [`Use`] of an access key |
//!
//! Names tell ids alone: whatever people call things is within the values, which are sealed. A value is its version (1) and JSON.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use storage::catalog::ShelfState;

use super::account::Account;
use super::error::IamError;
use super::model::{
    AccessKey, AccessKeyRecord, Group, LastUsed, ManagedPolicy, OidcProvider, Role, Use, User,
};
use super::state::{AccountState, Entity, Named, State};

/// The catalog's shelf.
pub(super) const SHELF: &str = "iam";
const VERSION: u8 = 1;

pub(super) fn encode(value: &impl Serialize) -> Bytes {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, value).expect("a document has only text keys");
    bytes.into()
}

fn decode<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, IamError> {
    match bytes.split_first() {
        Some((&VERSION, json)) => serde_json::from_slice(json).map_err(|_| corrupt(name, "can't be read")),
        _ => Err(corrupt(name, "is of an unknown version")),
    }
}

fn corrupt(document: &str, what: &'static str) -> IamError {
    IamError::Corrupt { document: document.to_owned(), what }
}

pub(super) fn account_name(id: &str) -> String {
    format!("account/{id}")
}

pub(super) fn entity_name<T: Entity>(account: &str, id: &str) -> String {
    format!("{}/{account}/{id}", T::RESOURCE)
}

pub(super) fn provider_name(account: &str, name: &str) -> String {
    format!("provider/{account}/{}", hex::encode(&Sha256::digest(name)[..16]))
}

pub(super) fn access_key_name(account: &str, id: &str) -> String {
    format!("key/{account}/{id}")
}

pub(super) fn use_name(account: &str, id: &str) -> String {
    format!("used/{account}/{id}")
}

/// Is a document of this shelf one of these? Of other shelves others know. For whoever names the damaged ones.
pub fn check_document(shelf: &str, name: &str, value: &[u8]) -> Result<(), IamError> {
    if shelf != SHELF {
        return Ok(());
    }
    match name.split('/').next().unwrap_or_default() {
        "account" => decode::<Account>(name, value).map(drop),
        "user" => decode::<User>(name, value).map(drop),
        "group" => decode::<Group>(name, value).map(drop),
        "role" => decode::<Role>(name, value).map(drop),
        "policy" => decode::<ManagedPolicy>(name, value).map(drop),
        "provider" => decode::<OidcProvider>(name, value).map(drop),
        "key" => decode::<AccessKeyRecord>(name, value).map(drop),
        "used" => decode::<Use>(name, value).map(drop),
        _ => Err(corrupt(name, "is of an unknown kind")),
    }
}

/// Two whose names differ in case alone, from before case told no two apart, are both kept.
fn keep<T: Entity>(all: &mut Named<T>, document: &str, value: &[u8]) -> Result<(), IamError> {
    let entity: T = decode(document, value)?;
    if let Some(other) = all.alike(entity.name()).next() {
        let (kind, name, other) = (T::KIND, entity.name(), other.name());
        tracing::warn!(
            kind,
            name,
            other,
            "two names differ in case alone: each is found by its own spelling only"
        );
    }
    all.insert(Arc::new(entity));
    Ok(())
}

/// Everything that is kept. `main` is there in any case: the account that owns the gateway.
pub(super) fn read(
    shelf: ShelfState,
    documents: Vec<(String, Bytes)>,
    main: Account,
    main_key: Arc<AccessKey>,
) -> Result<State, IamError> {
    let mut accounts: BTreeMap<String, AccountState> = BTreeMap::new();
    accounts.insert(main.id.clone(), AccountState::new(main));
    let (mut used, mut access_keys) = (HashMap::new(), Vec::new());
    // In order of name accounts come before whatever they have, but for access keys' uses.
    for (name, value) in &documents {
        let mut parts = name.splitn(3, '/');
        let (kind, account, id) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let account = account.ok_or_else(|| corrupt(name, "has no account in its name"))?;
        if kind == "account" {
            accounts.insert(account.to_owned(), AccountState::new(decode(name, value)?));
            continue;
        }
        let state = accounts.get_mut(account);
        let state = state.ok_or_else(|| corrupt(name, "is of an account that has no document"))?;
        match kind {
            "user" => keep::<User>(&mut state.users, name, value)?,
            "group" => keep::<Group>(&mut state.groups, name, value)?,
            "role" => keep::<Role>(&mut state.roles, name, value)?,
            "policy" => keep::<ManagedPolicy>(&mut state.policies, name, value)?,
            "provider" => {
                let provider: OidcProvider = decode(name, value)?;
                state.providers.insert(provider.name().to_owned(), Arc::new(provider));
            }
            "key" => access_keys.push(decode::<AccessKeyRecord>(name, value)?),
            "used" => {
                used.insert(id.unwrap_or_default().to_owned(), decode::<Use>(name, value)?);
            }
            _ => return Err(corrupt(name, "is of an unknown kind")),
        }
    }
    let mut all = HashMap::from([(main_key.record.id.clone(), main_key.clone())]);
    for record in access_keys {
        let last_used = Arc::new(used.get(&record.id).map(LastUsed::of).unwrap_or_default());
        let access_key =
            Arc::new(AccessKey { record, secret: None, signing_keys: Default::default(), last_used });
        all.insert(access_key.record.id.clone(), access_key);
    }
    for access_key in all.values() {
        if let Some(account) = accounts.get_mut(&access_key.record.account) {
            account.access_keys.insert(access_key.record.id.clone(), access_key.clone());
        }
    }
    let accounts = accounts.into_iter().map(|(id, state)| (id, Arc::new(state))).collect();
    let state = State { shelf, accounts, access_keys: all };
    for missing in state.missing() {
        tracing::error!("{missing}");
    }
    Ok(state)
}
