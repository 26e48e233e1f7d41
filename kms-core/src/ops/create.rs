//! CreateKey.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::KmsError;
use crate::key::backing::BackingKey;
use crate::key::{KeyManager, KeySpec, KeyState, KeyUsage, KmsKey, KmsKeyId, Origin};
use crate::kms::{Caller, Entry, KeyPolicy, Kms};
use crate::secret::Secret32;

const MAX_DESCRIPTION_LEN: usize = 8192;
const MAX_TAGS: usize = 50;

/// What CreateKey takes.
#[derive(Debug, Clone, Default)]
pub struct CreateKey {
    /// Free text.
    pub description: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// The key policy; the default one where `None`.
    pub policy: Option<String>,
    /// Take a policy that its author could not change again.
    pub bypass_policy_lockout_safety_check: bool,
}

impl Kms {
    /// `CreateKey`: a symmetric key with material of our own.
    pub fn create_key(&self, caller: &Caller, request: CreateKey) -> Result<Arc<Entry>, KmsError> {
        self.authorize_account(caller, "kms:CreateKey")?;
        if request.description.len() > MAX_DESCRIPTION_LEN {
            return Err(KmsError::Validation("The description is longer than 8192 characters.".to_owned()));
        }
        if request.tags.len() > MAX_TAGS {
            return Err(KmsError::Tag("Too many tags".to_owned()));
        }
        let id = KmsKeyId::random();
        let policy = match request.policy {
            None => KeyPolicy::default_of(&self.config.account),
            Some(text) => {
                let policy = KeyPolicy::parse(text)?;
                if !request.bypass_policy_lockout_safety_check {
                    self.refuse_lockout(caller, id, &policy)?;
                }
                policy
            }
        };
        let key = KmsKey { description: request.description, tags: request.tags, ..self.new_key(id) };
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
        }
    }

    /// Makes a key's first backing key, and keeps both durably.
    pub(crate) fn insert_key(
        &self,
        mut key: KmsKey,
        policy: KeyPolicy,
        alias: Option<&str>,
    ) -> Result<Arc<Entry>, KmsError> {
        let backing = Arc::new(BackingKey::new(key.id, Secret32::random()));
        key.current_material = Some(backing.id);
        let entry = Arc::new(Entry { key, policy: Arc::new(policy), backing: vec![backing] });
        self.put_entry(entry.clone(), alias)?;
        Ok(entry)
    }
}
