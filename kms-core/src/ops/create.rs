//! CreateKey.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::KmsError;
use crate::key::backing::{BackingKey, Made};
use crate::key::material::Material;
use crate::key::{KeyManager, KeySpec, KeyState, KeyUsage, KmsKey, KmsKeyId, Origin};
use crate::kms::{Caller, Entry, KeyPolicy, Kms};
use crate::ops::keys::check_description;
use crate::ops::tags::{check_tags, tag_conditions};

/// What CreateKey takes.
#[derive(Debug, Clone, Default)]
pub struct CreateKey {
    /// Free text.
    pub description: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// The key policy; the default one where `None`.
    pub policy: Option<String>,
    /// Where the key's material comes from.
    pub origin: Option<Origin>,
    /// The kind of its material; by default a symmetric key's.
    pub spec: Option<KeySpec>,
    /// What it is for; may be left out for a symmetric key.
    pub usage: Option<KeyUsage>,
    /// Take a policy that its author could not change again.
    pub bypass_policy_lockout_safety_check: bool,
}

impl Kms {
    /// `CreateKey` in the caller's account, with material of our own unless it is to be imported.
    pub fn create_key(&self, caller: &Caller, request: CreateKey) -> Result<Arc<Entry>, KmsError> {
        check_description(&request.description)?;
        check_tags(&request.tags)?;
        let spec = request.spec.unwrap_or(KeySpec::SymmetricDefault);
        let usage = usage_of(spec, request.usage)?;
        let origin = request.origin.unwrap_or(Origin::AwsKms);
        self.authorize_creation(caller, &request, (spec, usage, origin))?;
        let new = self.new_key(KmsKeyId::random(), caller.account());
        let policy = match request.policy {
            None => KeyPolicy::default_of(caller.account()),
            Some(text) => {
                let policy = KeyPolicy::of(text, self.directory().as_deref())?;
                if !request.bypass_policy_lockout_safety_check {
                    self.refuse_lockout(caller, &new, &policy)?;
                }
                policy
            }
        };
        let (description, tags) = (request.description, request.tags);
        let key = KmsKey { description, tags, spec, usage, origin, ..new };
        let _change = self.changing()?;
        self.insert_key(key, policy, None)
    }

    /// Tags want a permission of their own. A policy does not: who sets one must only be able to set it again, which is seen later.
    fn authorize_creation(
        &self,
        caller: &Caller,
        request: &CreateKey,
        (spec, usage, origin): (KeySpec, KeyUsage, Origin),
    ) -> Result<(), KmsError> {
        let tags = tag_conditions(&request.tags);
        let bypass = request.bypass_policy_lockout_safety_check.to_string();
        let of_kind = [
            ("kms:keyspec", spec.name()),
            ("kms:customermasterkeyspec", spec.name()),
            ("kms:keyusage", usage.name()),
            ("kms:customermasterkeyusage", usage.name()),
            ("kms:keyorigin", origin.name()),
            ("kms:multiregion", "false"),
            ("kms:bypasspolicylockoutsafetycheck", &bypass),
        ];
        let mut conditions: Vec<(&str, Vec<String>)> =
            of_kind.iter().map(|(name, value)| (*name, vec![(*value).to_owned()])).collect();
        conditions.extend(tags.iter().map(|(name, values)| (name.as_str(), values.clone())));
        self.authorize_own(caller, "kms:CreateKey", "*", &conditions)?;
        match request.tags.is_empty() {
            true => Ok(()),
            false => self.authorize_own(caller, "kms:TagResource", "*", &conditions),
        }
    }

    /// A key of this account with nothing said of it.
    pub(crate) fn new_key(&self, id: KmsKeyId, account: &str) -> KmsKey {
        KmsKey {
            id,
            account: account.to_owned(),
            created_unix_ms: self.now_unix_ms(),
            description: String::new(),
            usage: KeyUsage::EncryptDecrypt,
            spec: KeySpec::SymmetricDefault,
            origin: Origin::AwsKms,
            manager: KeyManager::Customer,
            state: KeyState::Enabled,
            tags: BTreeMap::new(),
            current_material: None,
            on_demand_rotations: 0,
            rotation: None,
        }
    }

    /// Makes a key's first backing key, and keeps both durably.
    pub(crate) fn insert_key(
        &self,
        mut key: KmsKey,
        policy: KeyPolicy,
        alias: Option<&str>,
    ) -> Result<Arc<Entry>, KmsError> {
        if key.origin == Origin::External {
            key.state = KeyState::PendingImport;
            return self.put_new(key, policy, Vec::new(), alias);
        }
        let made = Made { at_unix_ms: key.created_unix_ms, ..Made::default() };
        let material = Material::generate(key.spec, key.usage)
            .ok_or_else(|| KmsError::Internal("key material could not be made".to_owned()))?;
        let backing = Arc::new(BackingKey::of(key.id, material, made));
        key.current_material = Some(backing.id);
        self.put_new(key, policy, vec![backing], alias)
    }

    fn put_new(
        &self,
        key: KmsKey,
        policy: KeyPolicy,
        backing: Vec<Arc<BackingKey>>,
        alias: Option<&str>,
    ) -> Result<Arc<Entry>, KmsError> {
        let entry = Arc::new(Entry { key, policy: Arc::new(policy), backing, last_use: Arc::default() });
        self.put_entry(entry.clone(), alias)?;
        Ok(entry)
    }
}

/// What a key of this kind is for.
fn usage_of(spec: KeySpec, asked: Option<KeyUsage>) -> Result<KeyUsage, KmsError> {
    let usage = match (asked, spec) {
        (Some(usage), _) => usage,
        (None, KeySpec::SymmetricDefault) => KeyUsage::EncryptDecrypt,
        (None, _) => {
            return Err(KmsError::Validation(
                "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
                    .to_owned(),
            ));
        }
    };
    match spec.usages().contains(&usage) {
        true => Ok(usage),
        false => Err(KmsError::Validation(format!(
            "KeyUsage {} is not compatible with KeySpec {}",
            usage.name(),
            spec.name()
        ))),
    }
}
