//! What a backing key consists of, by the kind of its key.

use super::spec::{KeySpec, KeyUsage};
use crate::crypto::pair::{self, KeyPair};
use crate::secret::{Secret32, SecretBytes};

/// Key material in the clear.
#[derive(Debug)]
pub(crate) enum Material {
    /// 256 bits for AES-256-GCM.
    Symmetric(Secret32),
    /// An HMAC key.
    Mac(SecretBytes),
    /// A private key in PKCS#8, and what was parsed from it.
    Pair(SecretBytes, Box<KeyPair>),
}

impl Material {
    /// New material. `None`: the library could make none.
    pub(crate) fn generate(spec: KeySpec, usage: KeyUsage) -> Option<Self> {
        match spec.mac_key_len() {
            _ if spec == KeySpec::SymmetricDefault => Some(Self::Symmetric(Secret32::random())),
            Some(len) => Some(Self::Mac(SecretBytes::random(len))),
            None => Self::parse(spec, usage, pair::generate(spec)?),
        }
    }

    /// From its bytes. `None`: they are not of this kind.
    pub(crate) fn parse(spec: KeySpec, usage: KeyUsage, bytes: SecretBytes) -> Option<Self> {
        match spec.mac_key_len() {
            _ if spec == KeySpec::SymmetricDefault => bytes.to_32().map(Self::Symmetric),
            Some(len) => (bytes.expose().len() == len).then_some(Self::Mac(bytes)),
            None => {
                let pair = KeyPair::parse(spec, usage, bytes.expose())?;
                Some(Self::Pair(bytes, Box::new(pair)))
            }
        }
    }

    /// What [`Material::parse`] takes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Symmetric(secret) => secret.expose(),
            Self::Mac(bytes) | Self::Pair(bytes, _) => bytes.expose(),
        }
    }
}
