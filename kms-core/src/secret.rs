//! Secret bytes: zeroized on drop, with no `Debug` of their content and no `Clone`.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A 256-bit secret.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret32(Box<[u8; 32]>);

impl Secret32 {
    /// Takes these bytes; the caller's copy is zeroized.
    pub fn take(bytes: &mut [u8; 32]) -> Self {
        let secret = Self(Box::new(*bytes));
        bytes.zeroize();
        secret
    }

    /// Random bytes from the operating system.
    pub fn random() -> Self {
        let mut secret = Self(Box::new([0; 32]));
        getrandom::fill(&mut secret.0[..]).expect("the operating system gives random bytes");
        secret
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for Secret32 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret32(..)")
    }
}

/// Secret bytes of any length.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes ownership of these bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Random bytes from the operating system.
    pub fn random(len: usize) -> Self {
        let mut bytes = vec![0; len];
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        Self(bytes)
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to be overwritten in place.
    pub(crate) fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// A secret of 32 bytes, if these are 32.
    pub fn to_32(&self) -> Option<Secret32> {
        Some(Secret32(Box::new(self.0.as_slice().try_into().ok()?)))
    }
}

impl std::fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}
