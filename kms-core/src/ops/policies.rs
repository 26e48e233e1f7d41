//! GetKeyPolicy, PutKeyPolicy, ListKeyPolicies.

use std::sync::Arc;

use crate::context::EncryptionContext;
use crate::error::KmsError;
use crate::key::KmsKey;
use crate::key::state::Needs;
use crate::kms::{Caller, KeyPolicy, Kms};

/// The only name of a key policy.
const DEFAULT: &str = "default";

impl Kms {
    /// `GetKeyPolicy`: the text as it was put, but for the names of principals who have another now, or none.
    pub fn get_key_policy(
        &self,
        caller: &Caller,
        key_id: &str,
        name: Option<&str>,
    ) -> Result<String, KmsError> {
        check_name(name)?;
        let entry = self.resolve_key(caller, "kms:GetKeyPolicy", key_id)?;
        let conditions = [("kms:policyname", vec![DEFAULT.to_owned()])];
        self.authorize_with(caller, "kms:GetKeyPolicy", &entry, &EncryptionContext::new(), &conditions)?;
        Ok(entry.policy.shown(self.directory().as_deref()))
    }

    /// `PutKeyPolicy`.
    pub fn put_key_policy(
        &self,
        caller: &Caller,
        key_id: &str,
        name: Option<&str>,
        text: String,
        bypass_policy_lockout_safety_check: bool,
    ) -> Result<(), KmsError> {
        check_name(name)?;
        let _change = self.changing()?;
        let entry = self.changeable_with(
            caller,
            "kms:PutKeyPolicy",
            key_id,
            Needs::Nothing,
            &[
                ("kms:policyname", vec![DEFAULT.to_owned()]),
                ("kms:bypasspolicylockoutsafetycheck", vec![bypass_policy_lockout_safety_check.to_string()]),
            ],
        )?;
        let policy = KeyPolicy::of(text, self.directory().as_deref())?;
        if !bypass_policy_lockout_safety_check {
            self.refuse_lockout(caller, &entry.key, &policy)?;
        }
        self.put_entry(Arc::new(entry.with_policy(policy)), None)
    }

    /// `ListKeyPolicies`: there is one.
    pub fn list_key_policies(&self, caller: &Caller, key_id: &str) -> Result<Vec<String>, KmsError> {
        let entry = self.resolve_key(caller, "kms:ListKeyPolicies", key_id)?;
        self.authorize(caller, "kms:ListKeyPolicies", &entry, &EncryptionContext::new())?;
        Ok(vec![DEFAULT.to_owned()])
    }

    /// Whoever sets a policy must be able to set it again.
    pub(crate) fn refuse_lockout(
        &self,
        caller: &Caller,
        key: &KmsKey,
        policy: &KeyPolicy,
    ) -> Result<(), KmsError> {
        match self.could_put_policy(caller, key, policy) {
            true => Ok(()),
            false => Err(KmsError::MalformedPolicyDocument(
                "The new key policy will not allow you to update the key policy in the future.".to_owned(),
            )),
        }
    }
}

fn check_name(name: Option<&str>) -> Result<(), KmsError> {
    match name {
        None | Some(DEFAULT) => Ok(()),
        Some("AWS_RAM") => {
            Err(KmsError::Validation("The AWS_RAM policy can only be managed by the RAM service".to_owned()))
        }
        Some(_) => Err(KmsError::NotFound("No such policy exists".to_owned())),
    }
}
