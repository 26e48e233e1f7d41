//! CreateKey.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::KmsError;
use crate::key::backing::{BackingKey, Made};
use crate::key::{KeyManager, KeySpec, KeyState, KeyUsage, KmsKey, KmsKeyId, Origin};
use crate::kms::{Caller, Entry, KeyPolicy, Kms};
use crate::ops::keys::check_description;
use crate::ops::tags::check_tags;
use crate::secret::Secret32;

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
    /// Take a policy that its author could not change again.
    pub bypass_policy_lockout_safety_check: bool,
}

impl Kms {
    /// `CreateKey`: a symmetric key, with material of our own unless it is to be imported.
    pub fn create_key(&self, caller: &Caller, request: CreateKey) -> Result<Arc<Entry>, KmsError> {
        self.authorize_account(caller, "kms:CreateKey")?;
        check_description(&request.description)?;
        check_tags(&request.tags)?;
        let id = KmsKeyId::random();
        let policy = match request.policy {
            None => KeyPolicy::default_of(&self.config.account),
            Some(text) => {
                let policy = KeyPolicy::parse(text)?;
                if !request.bypass_policy_lockout_safety_check {
                    self.refuse_lockout(caller, &self.new_key(id), &policy)?;
                }
                policy
            }
        };
        let mut key = KmsKey { description: request.description, tags: request.tags, ..self.new_key(id) };
        key.origin = request.origin.unwrap_or(Origin::AwsKms);
        self.insert_key(key, policy, None)
    }

    /// A key of ours with nothing said of it.
    pub(crate) fn new_key(&self, id: KmsKeyId) -> KmsKey {
        KmsKey {
            id,
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
            let entry = Arc::new(Entry { key, policy: Arc::new(policy), backing: Vec::new() });
            self.put_entry(entry.clone(), alias)?;
            return Ok(entry);
        }
        let made = Made { at_unix_ms: key.created_unix_ms, ..Made::default() };
        let backing = Arc::new(BackingKey::new(key.id, Secret32::random(), made));
        key.current_material = Some(backing.id);
        let entry = Arc::new(Entry { key, policy: Arc::new(policy), backing: vec![backing] });
        self.put_entry(entry.clone(), alias)?;
        Ok(entry)
    }
}
