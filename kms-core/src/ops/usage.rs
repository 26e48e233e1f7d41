//! GetKeyLastUsage. <https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyLastUsage.html>

use std::sync::Arc;

use crate::context::EncryptionContext;
use crate::error::KmsError;
use crate::key::usage::Use;
use crate::kms::{Caller, Entry, Kms};

impl Kms {
    /// `GetKeyLastUsage`: the key, and its last successful use.
    pub fn get_key_last_usage(
        &self,
        caller: &Caller,
        key_id: &str,
    ) -> Result<(Arc<Entry>, Option<Use>), KmsError> {
        let entry = self.resolve_key(caller, "kms:GetKeyLastUsage", key_id)?;
        self.authorize(caller, "kms:GetKeyLastUsage", &entry, &EncryptionContext::new())?;
        let last = entry.last_use.get();
        Ok((entry, last))
    }

    /// Remembers a successful use.
    pub(crate) fn used(&self, caller: &Caller, entry: &Entry, action: &str) {
        let operation = action.strip_prefix("kms:").unwrap_or(action);
        let operation = if operation.starts_with("ReEncrypt") { "ReEncrypt" } else { operation };
        entry.last_use.set(operation, self.now_unix_ms(), &caller.request_id);
    }
}
