//! What keys and aliases are called, and which key a caller means: ids and aliases are of its own account, ARNs of the one in them.

use std::sync::Arc;

use super::{Caller, Entry, Kms};
use crate::error::KmsError;
use crate::key::{KmsKey, KmsKeyId};

/// Why nobody is told more of another account's keys, whether they are there or not.
pub(super) const ELSEWHERE: &str = "because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access";

/// A name, taken apart.
#[derive(Clone, Copy)]
struct Place<'t> {
    account: &'t str,
    /// `key/id`, a bare id, or `alias/name`.
    local: &'t str,
}

impl Kms {
    /// ARN of a key.
    pub fn arn(&self, key: &KmsKey) -> String {
        self.key_arn(&key.account, key.id)
    }

    /// ARN of the key of this id; as if it were the store's own account's, where there is none.
    pub fn arn_of(&self, id: KmsKeyId) -> String {
        match self.entry(id) {
            Some(entry) => self.arn(&entry.key),
            None => self.key_arn(&self.config.account, id),
        }
    }

    /// ARN of an account's alias (`alias/name`).
    pub fn alias_arn(&self, account: &str, name: &str) -> String {
        format!("arn:aws:kms:{}:{account}:{name}", self.config.region)
    }

    fn key_arn(&self, account: &str, id: KmsKeyId) -> String {
        format!("arn:aws:kms:{}:{account}:key/{id}", self.config.region)
    }

    /// The key of an id, ARN, alias or alias ARN, as this caller means it, who wants to do this with it.
    pub(crate) fn resolve(&self, caller: &Caller, action: &str, text: &str) -> Result<Arc<Entry>, KmsError> {
        let place = self.place(caller.account(), text)?;
        self.at(place, text).map_err(|absent| unless_elsewhere(caller, action, (place, text), absent))
    }

    /// The key of an id or ARN, as [`Kms::resolve`].
    pub(crate) fn resolve_key(
        &self,
        caller: &Caller,
        action: &str,
        text: &str,
    ) -> Result<Arc<Entry>, KmsError> {
        let place = self.place(caller.account(), text)?;
        self.key_at(place, text).map_err(|absent| unless_elsewhere(caller, action, (place, text), absent))
    }

    /// The key of an id or ARN, as [`Kms::resolve`], of the caller's own account only.
    pub(crate) fn resolve_own_key(
        &self,
        caller: &Caller,
        action: &str,
        text: &str,
    ) -> Result<Arc<Entry>, KmsError> {
        let place = self.place(caller.account(), text)?;
        match place.account == caller.account() {
            true => self.key_at(place, text),
            false => Err(elsewhere(caller, action, text)),
        }
    }

    /// The key of an id, ARN, alias or alias ARN, whatever its policy says. Ids are looked for in all accounts, aliases in the store's
    /// own.
    pub fn find(&self, text: &str) -> Result<Arc<Entry>, KmsError> {
        let place = self.place(&self.config.account, text)?;
        match KmsKeyId::parse(text).and_then(|id| self.entry(id)) {
            Some(entry) => Ok(entry),
            None => self.at(place, text),
        }
    }

    fn at(&self, place: Place<'_>, text: &str) -> Result<Arc<Entry>, KmsError> {
        let Place { account, local } = place;
        if !local.starts_with("alias/") {
            return self.key_at(place, text);
        }
        let entry = self.alias(account, local).and_then(|id| self.entry(id));
        entry.ok_or_else(|| {
            KmsError::NotFound(format!("Alias {} is not found.", self.alias_arn(account, local)))
        })
    }

    fn key_at(&self, Place { account, local }: Place<'_>, text: &str) -> Result<Arc<Entry>, KmsError> {
        let id = local.strip_prefix("key/").unwrap_or(local);
        let region = &self.config.region;
        let absent =
            || KmsError::NotFound(format!("Key 'arn:aws:kms:{region}:{account}:key/{id}' does not exist"));
        match KmsKeyId::parse(id) {
            Some(known) => self.entry(known).filter(|entry| entry.key.account == account).ok_or_else(absent),
            // No key here is a multi-Region key.
            None if is_of_multi_region(id) => Err(absent()),
            None => Err(KmsError::NotFound(format!("Invalid keyId '{text}'"))),
        }
    }

    /// What stands in an ARN of this region; anything else is of `own_account`.
    fn place<'t>(&self, own_account: &'t str, text: &'t str) -> Result<Place<'t>, KmsError> {
        if !text.starts_with("arn:") {
            return Ok(Place { account: own_account, local: text });
        }
        let fields: Vec<&str> = text.splitn(6, ':').collect();
        match fields[..] {
            ["arn", "aws", "kms", region, account, local] if region == self.config.region => {
                Ok(Place { account, local })
            }
            ["arn", "aws", "kms", region, ..] if fields.len() == 6 => {
                Err(KmsError::NotFound(format!("Invalid arn {region}")))
            }
            _ => Err(KmsError::InvalidArn(format!("{text} is not a valid key ARN"))),
        }
    }
}

/// Is it a well-formed id of a multi-Region key?
fn is_of_multi_region(id: &str) -> bool {
    let digits = id.strip_prefix("mrk-").unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What is absent from another account is no other answer than what is forbidden there.
fn unless_elsewhere(
    caller: &Caller,
    action: &str,
    (place, text): (Place<'_>, &str),
    absent: KmsError,
) -> KmsError {
    match place.account == caller.account() {
        true => absent,
        false => elsewhere(caller, action, text),
    }
}

fn elsewhere(caller: &Caller, action: &str, text: &str) -> KmsError {
    KmsError::AccessDenied(format!(
        "User: {} is not authorized to perform: {action} on resource: {text} {ELSEWHERE}",
        caller.arn()
    ))
}
