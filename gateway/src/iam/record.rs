//! How accounts and what they have are kept: a document each on the catalog's shelf `iam`.
//!
//! | name | document |
//! | --- | --- |
//! | `account/` id | an [`Account`] |
//! | `user/`, `group/`, `role/`, `policy/` account, `/`, unique id | the entity |
//! | `provider/` account, `/`, hash of its name | an [`OidcProvider`] |
//! | `key/` account, `/`, access key id | an [`AccessKeyRecord`]: its secret is sealed once more |
//! | `used/` account, `/`, access key id | the last [`Use`] of an access key, as builds before kept it; now it is a note (`uses.rs`) |
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
use super::draft::Kept;
use super::error::IamError;
use super::model::{AccessKey, AccessKeyRecord, Group, ManagedPolicy, OidcProvider, Role, Use, User};
use super::state::{AccountState, Entity, Named, State};
use super::uses;

/// The catalog's shelf.
pub(super) const SHELF: &str = "iam";
const VERSION: u8 = 1;

pub(super) fn encode(value: &impl Serialize) -> Bytes {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, value).expect("a document has only text keys");
    bytes.into()
}

pub(super) fn decode<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, IamError> {
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
    if shelf == uses::SHELF {
        return decode::<Use>(name, value).map(drop);
    }
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

/// Documents or notes by name.
pub(super) type Documents = Vec<(String, Bytes)>;

/// Everything that is kept, with notes of last uses. `main` is there in any case: the account that owns the gateway. What `former` knows
/// of access keys that are still there is kept.
pub(super) fn read(
    shelf: ShelfState,
    (documents, notes): (Documents, Documents),
    (main, main_key): (Account, Arc<AccessKey>),
    former: Option<&State>,
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
        let access_key = access_key(record, former);
        if let Some(used) = used.get(&access_key.record.id) {
            access_key.last_used.learn(used);
        }
        all.insert(access_key.record.id.clone(), access_key);
    }
    for (name, value) in &notes {
        learn(&all, name, value);
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

/// An access key, with what is known of it: of one that has not changed its derived keys, of any its last use.
fn access_key(record: AccessKeyRecord, former: Option<&State>) -> Arc<AccessKey> {
    let known = former.and_then(|former| former.access_keys.get(&record.id));
    if let Some(known) = known.filter(|known| known.record == record) {
        return known.clone();
    }
    let last_used = known.map(|known| known.last_used.clone()).unwrap_or_default();
    Arc::new(AccessKey { record, secret: None, signing_keys: Default::default(), last_used })
}

/// Takes over a note of a last use. One that can't be read harms nothing else.
pub(super) fn learn(access_keys: &HashMap<String, Arc<AccessKey>>, name: &str, value: &[u8]) {
    let Some(access_key) = name.split_once('/').and_then(|(_, id)| access_keys.get(id)) else { return };
    match decode::<Use>(name, value) {
        Ok(used) => access_key.last_used.learn(&used),
        Err(error) => tracing::warn!(%error, "the last use of an access key is not known"),
    }
}

/// The state after changes of these documents; `None` where they do not tell it, and everything is to be read.
pub(super) fn apply(
    state: &State,
    shelf: ShelfState,
    mut changed: Vec<(String, Option<Bytes>)>,
) -> Result<Option<State>, IamError> {
    // In order of name an account comes before what it has.
    changed.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    let mut accounts: BTreeMap<String, AccountState> = BTreeMap::new();
    for (name, value) in &changed {
        let mut parts = name.splitn(3, '/');
        let (Some(kind), Some(account)) = (parts.next(), parts.next()) else { return Ok(None) };
        let known = accounts.remove(account).or_else(|| Some(AccountState::clone(state.account(account)?)));
        let (mut known, value) = match (known, value) {
            (Some(known), value) => (known, value.as_deref()),
            (None, Some(value)) if kind == "account" => {
                (AccountState::new(decode(name, value)?), Some(&value[..]))
            }
            (None, _) => return Ok(None),
        };
        let id = parts.next().unwrap_or_default();
        match (kind, value) {
            ("account", Some(value)) => known.account = Arc::new(decode(name, value)?),
            ("account", None) => return Ok(None),
            ("user", value) => put::<User>(&mut known, (name, id), value)?,
            ("group", value) => put::<Group>(&mut known, (name, id), value)?,
            ("role", value) => put::<Role>(&mut known, (name, id), value)?,
            ("policy", value) => put::<ManagedPolicy>(&mut known, (name, id), value)?,
            ("provider", Some(value)) => {
                let provider: OidcProvider = decode(name, value)?;
                known.providers.insert(provider.name().to_owned(), Arc::new(provider));
            }
            ("provider", None) => known.providers.retain(|url, _| provider_name(account, url) != *name),
            ("key", Some(value)) => {
                known.access_keys.insert(id.to_owned(), access_key(decode(name, value)?, Some(state)));
            }
            ("key", None) => drop(known.access_keys.remove(id)),
            // Last uses change nothing else.
            ("used", _) => {}
            _ => return Ok(None),
        }
        accounts.insert(account.to_owned(), known);
    }
    let mut next = state.clone();
    next.shelf = shelf;
    next.access_keys.retain(|_, access_key| !accounts.contains_key(&access_key.record.account));
    for (id, account) in accounts {
        let own = account.access_keys.iter().map(|(id, access_key)| (id.clone(), access_key.clone()));
        next.access_keys.extend(own);
        next.accounts.insert(id, Arc::new(account));
    }
    Ok(Some(next))
}

fn put<T: Kept>(
    account: &mut AccountState,
    (name, id): (&str, &str),
    value: Option<&[u8]>,
) -> Result<(), IamError> {
    match value {
        Some(value) => T::of_mut(account).insert(Arc::new(decode(name, value)?)),
        None => T::of_mut(account).remove(id),
    }
    Ok(())
}
