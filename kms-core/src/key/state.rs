//! What a key's state allows: one table, with AWS's texts.

use super::{KeyState, KmsKey};
use crate::error::KmsError;

/// How an operation depends on the key's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Cryptographic operations and CreateGrant: the key must be enabled.
    Enabled,
    /// EnableKey and DisableKey: not pending deletion, and its material present.
    Usable,
    /// Changes of attributes and aliases, ScheduleKeyDeletion: not pending deletion.
    NotPendingDeletion,
    /// CancelKeyDeletion.
    PendingDeletion,
    /// Reading, policies, grants' ends.
    Nothing,
}

/// Is the operation allowed in the key's state? The key is asked for its `arn` where it is not.
pub fn check(key: &KmsKey, arn: impl Fn() -> String, needs: Needs) -> Result<(), KmsError> {
    let invalid = |what: &str| Err(KmsError::InvalidState(format!("{} is {what}.", arn())));
    match (needs, key.state) {
        (Needs::Nothing, _) => Ok(()),
        (Needs::PendingDeletion, KeyState::PendingDeletion { .. }) => Ok(()),
        (Needs::PendingDeletion, _) => invalid("not pending deletion"),
        (_, KeyState::PendingDeletion { .. }) => invalid("pending deletion"),
        (Needs::NotPendingDeletion, _) => Ok(()),
        (Needs::Enabled | Needs::Usable, KeyState::PendingImport) => invalid("pending import"),
        (Needs::Enabled, KeyState::Disabled) => Err(KmsError::Disabled { arn: arn() }),
        (Needs::Enabled, KeyState::Enabled) | (Needs::Usable, KeyState::Enabled | KeyState::Disabled) => {
            Ok(())
        }
    }
}
