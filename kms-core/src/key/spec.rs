//! Kinds of keys: what each is for, and by which algorithms.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/symm-asymm-choose-key-spec.html>

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUsage {
    /// `ENCRYPT_DECRYPT`.
    EncryptDecrypt,
    /// `SIGN_VERIFY`.
    SignVerify,
    /// `GENERATE_VERIFY_MAC`.
    GenerateVerifyMac,
    /// `KEY_AGREEMENT`.
    KeyAgreement,
}

/// The kind of a key's material.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySpec {
    /// `SYMMETRIC_DEFAULT`: 256 bits for AES-256-GCM.
    SymmetricDefault,
    /// `HMAC_224`: 28 bytes.
    Hmac224,
    /// `HMAC_256`: 32 bytes.
    Hmac256,
    /// `HMAC_384`: 48 bytes.
    Hmac384,
    /// `HMAC_512`: 64 bytes.
    Hmac512,
    /// `RSA_2048`.
    Rsa2048,
    /// `RSA_3072`.
    Rsa3072,
    /// `RSA_4096`.
    Rsa4096,
    /// `ECC_NIST_P256`.
    EccNistP256,
    /// `ECC_NIST_P384`.
    EccNistP384,
    /// `ECC_NIST_P521`.
    EccNistP521,
    /// `ECC_SECG_P256K1`.
    EccSecgP256k1,
    /// `ECC_NIST_EDWARDS25519`.
    EccNistEdwards25519,
    /// `ML_DSA_44`.
    MlDsa44,
    /// `ML_DSA_65`.
    MlDsa65,
    /// `ML_DSA_87`.
    MlDsa87,
}

impl KeyUsage {
    /// All, in the order of their numbers in the store.
    const ALL: [Self; 4] =
        [Self::EncryptDecrypt, Self::SignVerify, Self::GenerateVerifyMac, Self::KeyAgreement];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::EncryptDecrypt => "ENCRYPT_DECRYPT",
            Self::SignVerify => "SIGN_VERIFY",
            Self::GenerateVerifyMac => "GENERATE_VERIFY_MAC",
            Self::KeyAgreement => "KEY_AGREEMENT",
        }
    }

    /// By its name on the wire.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|usage| usage.name() == name)
    }

    pub(crate) fn number(self) -> u8 {
        self as u8
    }

    pub(crate) fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl KeySpec {
    /// All, in the order of their numbers in the store.
    const ALL: [Self; 16] = [
        Self::SymmetricDefault,
        Self::Hmac224,
        Self::Hmac256,
        Self::Hmac384,
        Self::Hmac512,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::EccNistP256,
        Self::EccNistP384,
        Self::EccNistP521,
        Self::EccSecgP256k1,
        Self::EccNistEdwards25519,
        Self::MlDsa44,
        Self::MlDsa65,
        Self::MlDsa87,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::SymmetricDefault => "SYMMETRIC_DEFAULT",
            Self::Hmac224 => "HMAC_224",
            Self::Hmac256 => "HMAC_256",
            Self::Hmac384 => "HMAC_384",
            Self::Hmac512 => "HMAC_512",
            Self::Rsa2048 => "RSA_2048",
            Self::Rsa3072 => "RSA_3072",
            Self::Rsa4096 => "RSA_4096",
            Self::EccNistP256 => "ECC_NIST_P256",
            Self::EccNistP384 => "ECC_NIST_P384",
            Self::EccNistP521 => "ECC_NIST_P521",
            Self::EccSecgP256k1 => "ECC_SECG_P256K1",
            Self::EccNistEdwards25519 => "ECC_NIST_EDWARDS25519",
            Self::MlDsa44 => "ML_DSA_44",
            Self::MlDsa65 => "ML_DSA_65",
            Self::MlDsa87 => "ML_DSA_87",
        }
    }

    /// By its name on the wire.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|spec| spec.name() == name)
    }

    /// What a key of this kind may be for. Each key is for one of them.
    pub fn usages(self) -> &'static [KeyUsage] {
        use KeyUsage::*;
        match self {
            Self::SymmetricDefault => &[EncryptDecrypt],
            Self::Hmac224 | Self::Hmac256 | Self::Hmac384 | Self::Hmac512 => &[GenerateVerifyMac],
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => &[EncryptDecrypt, SignVerify],
            Self::EccNistP256 | Self::EccNistP384 | Self::EccNistP521 => &[SignVerify, KeyAgreement],
            Self::EccSecgP256k1
            | Self::EccNistEdwards25519
            | Self::MlDsa44
            | Self::MlDsa65
            | Self::MlDsa87 => &[SignVerify],
        }
    }

    /// The algorithms of a key of this kind and usage, in AWS's names.
    pub fn algorithms(self, usage: KeyUsage) -> &'static [&'static str] {
        match (self, usage) {
            (Self::SymmetricDefault, _) => &["SYMMETRIC_DEFAULT"],
            (Self::Hmac224, _) => &["HMAC_SHA_224"],
            (Self::Hmac256, _) => &["HMAC_SHA_256"],
            (Self::Hmac384, _) => &["HMAC_SHA_384"],
            (Self::Hmac512, _) => &["HMAC_SHA_512"],
            (_, KeyUsage::KeyAgreement) => &["ECDH"],
            (Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096, KeyUsage::EncryptDecrypt) => {
                &["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]
            }
            (Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096, _) => &[
                "RSASSA_PKCS1_V1_5_SHA_256",
                "RSASSA_PKCS1_V1_5_SHA_384",
                "RSASSA_PKCS1_V1_5_SHA_512",
                "RSASSA_PSS_SHA_256",
                "RSASSA_PSS_SHA_384",
                "RSASSA_PSS_SHA_512",
            ],
            (Self::EccNistP256 | Self::EccSecgP256k1, _) => &["ECDSA_SHA_256"],
            (Self::EccNistP384, _) => &["ECDSA_SHA_384"],
            (Self::EccNistP521, _) => &["ECDSA_SHA_512"],
            (Self::EccNistEdwards25519, _) => &["ED25519_SHA_512"],
            (Self::MlDsa44 | Self::MlDsa65 | Self::MlDsa87, _) => &["ML_DSA_SHAKE_256"],
        }
    }

    /// Has it a public half?
    pub fn is_asymmetric(self) -> bool {
        self != Self::SymmetricDefault && self.mac_key_len().is_none()
    }

    /// Length of an HMAC key, in bytes.
    pub(crate) fn mac_key_len(self) -> Option<usize> {
        match self {
            Self::Hmac224 => Some(28),
            Self::Hmac256 => Some(32),
            Self::Hmac384 => Some(48),
            Self::Hmac512 => Some(64),
            _ => None,
        }
    }

    pub(crate) fn number(self) -> u8 {
        self as u8
    }

    pub(crate) fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for (number, spec) in (0u8..).zip(KeySpec::ALL) {
            assert_eq!((spec.number(), KeySpec::of_number(number)), (number, Some(spec)));
            assert_eq!(KeySpec::parse(spec.name()), Some(spec));
            assert!(spec.usages().iter().all(|usage| !spec.algorithms(*usage).is_empty()));
        }
        for (number, usage) in (0u8..).zip(KeyUsage::ALL) {
            assert_eq!((usage.number(), KeyUsage::of_number(number)), (number, Some(usage)));
            assert_eq!(KeyUsage::parse(usage.name()), Some(usage));
        }
        assert_eq!((KeySpec::of_number(16), KeyUsage::of_number(4)), (None, None));
    }
}
