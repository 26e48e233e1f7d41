//! The recovery kit: a second root key of a store, sealed under a passphrase, to be kept away from the machine. It opens the
//! store whatever became of the root key, and stays good when root key or domain key are changed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::passphrase::{Derivation, check_new};
use super::{RootError, RootKey, SecretRoot};
use crate::crypto;
use crate::secret::{Secret32, SecretBytes};

const LABEL: &str = "sealgate recovery kit v1";
const FORM: u32 = 1;

/// A kit as it is printed: JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryKit {
    sealgate_recovery_kit: u32,
    /// The account that the store is of.
    pub account: String,
    /// Id of the recovery root: the store names it too.
    pub root_id: String,
    derivation: Derivation,
    sealed: String,
}

impl RecoveryKit {
    /// Seals a recovery root under a passphrase.
    pub(crate) fn seal(
        account: &str,
        secret: &Secret32,
        root: &SecretRoot,
        passphrase: &SecretBytes,
    ) -> Result<Self, RootError> {
        check_new(passphrase)?;
        let derivation = Derivation::new();
        let sealed = crypto::seal(&derivation.derive(passphrase)?, LABEL, secret.expose(), &[]);
        Ok(Self {
            sealgate_recovery_kit: FORM,
            account: account.to_owned(),
            root_id: root.id().to_owned(),
            derivation,
            sealed: STANDARD.encode(sealed),
        })
    }

    /// The recovery root.
    pub fn open(&self, passphrase: &SecretBytes) -> Result<SecretRoot, RootError> {
        let refused = |why: &str| RootError::Unavailable(format!("the recovery kit: {why}"));
        if self.sealgate_recovery_kit != FORM {
            return Err(refused("a newer sealgate made it"));
        }
        let sealed = STANDARD.decode(&self.sealed).map_err(|_| refused("it is damaged"))?;
        let secret = crypto::open_32(&self.derivation.derive(passphrase)?, LABEL, &sealed, &[]);
        let root = SecretRoot::new(secret.ok_or_else(|| refused("the passphrase is not the right one"))?);
        match root.id() == self.root_id {
            true => Ok(root),
            false => Err(refused("it is damaged")),
        }
    }
}
