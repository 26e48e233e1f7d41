//! The root of trust: what wraps the domain key that wraps everything else.

mod file;
mod passphrase;
mod pkcs11;
mod recovery;
mod secret;

pub use file::FileRoot;
pub use passphrase::PassphraseRoot;
pub use pkcs11::{Pkcs11Place, Pkcs11Root};
pub use recovery::RecoveryKit;
pub use secret::SecretRoot;

use crate::secret::Secret32;

/// Why the root of trust can't serve.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The provider can't be reached or read.
    #[error("the root key is unavailable: {0}")]
    Unavailable(String),
    /// The root key is not the one that the store was made with.
    #[error(
        "the key store needs root key {expected}, but root key {found} was given; start with the right one (--root-key)"
    )]
    WrongRoot {
        /// Id in the store.
        expected: String,
        /// Id of the key that was given.
        found: String,
    },
    /// Wrapped bytes were not made by this root key for this purpose.
    #[error("a wrapped key does not open under root key {0}")]
    Tampered(String),
}

/// A root key: wraps and unwraps 256-bit keys, bound to a purpose.
pub trait RootKey: Send + Sync + 'static {
    /// A short public id of the key (hexadecimal), by which stores name the root they need.
    fn id(&self) -> &str;

    /// Wraps a key; `purpose` is bound as additional data.
    fn wrap(&self, purpose: &str, secret: &Secret32) -> Result<Vec<u8>, RootError>;

    /// Unwraps what [`RootKey::wrap`] made for the same purpose.
    fn unwrap(&self, purpose: &str, wrapped: &[u8]) -> Result<Secret32, RootError>;
}
