//! Key pairs: RSA, ECDSA, ECDH, Ed25519 and ML-DSA, all by aws-lc-rs, whose private-key operations run in constant time.

use aws_lc_rs::agreement;
use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey,
    OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, PqdsaKeyPair,
    PqdsaSigningAlgorithm, RsaEncoding, RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm,
};

use crate::key::spec::{KeySpec, KeyUsage};
use crate::secret::SecretBytes;

/// A key pair, parsed for its usage.
pub(crate) struct KeyPair {
    private: Private,
    /// DER, SubjectPublicKeyInfo.
    public_der: Vec<u8>,
    /// As verification takes it.
    public_raw: Vec<u8>,
}

enum Private {
    Rsa(RsaKeyPair),
    RsaOaep(OaepPrivateDecryptingKey),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    MlDsa(PqdsaKeyPair),
    Agreement(agreement::PrivateKey),
}

/// What is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message<'m> {
    /// The message itself.
    Raw(&'m [u8]),
    /// Its digest, by the algorithm's hash function.
    Digest(&'m [u8]),
}

/// Why a message can't be signed or verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignError {
    /// A digest has not the length of the algorithm's.
    DigestLength,
    /// The algorithm takes messages only.
    NoDigests,
    /// The library refused.
    Failed,
}

/// A new private key: DER, PKCS#8.
pub(crate) fn generate(spec: KeySpec) -> Option<SecretBytes> {
    let rsa = |size| {
        let pair = aws_lc_rs::rsa::KeyPair::generate(size).ok()?;
        let der: Pkcs8V1Der<'_> = pair.as_der().ok()?;
        Some(SecretBytes::new(der.as_ref().to_vec()))
    };
    match spec {
        KeySpec::Rsa2048 => rsa(KeySize::Rsa2048),
        KeySpec::Rsa3072 => rsa(KeySize::Rsa3072),
        KeySpec::Rsa4096 => rsa(KeySize::Rsa4096),
        KeySpec::EccNistEdwards25519 => {
            let document = Ed25519KeyPair::generate().ok()?.to_pkcs8v1().ok()?;
            Some(SecretBytes::new(document.as_ref().to_vec()))
        }
        _ => {
            let document = match (ecdsa(spec), ml_dsa(spec)) {
                (Some(algorithm), _) => EcdsaKeyPair::generate(algorithm).ok()?.to_pkcs8v1().ok()?,
                (None, algorithm) => PqdsaKeyPair::generate(algorithm?).ok()?.to_pkcs8v1().ok()?,
            };
            Some(SecretBytes::new(document.as_ref().to_vec()))
        }
    }
}

impl KeyPair {
    /// Parses a private key in PKCS#8. `None`: it is not of this kind.
    pub(crate) fn parse(spec: KeySpec, usage: KeyUsage, pkcs8: &[u8]) -> Option<Self> {
        let der = |der: PublicKeyX509Der<'_>| der.as_ref().to_vec();
        if let Some(len) = rsa_len(spec) {
            let pair = RsaKeyPair::from_pkcs8(pkcs8).ok()?;
            if pair.public_modulus_len() != len {
                return None;
            }
            let public_der = der(pair.public_key().as_der().ok()?);
            let public_raw = pair.public_key().as_ref().to_vec();
            let private = match usage {
                KeyUsage::EncryptDecrypt => {
                    let key = PrivateDecryptingKey::from_pkcs8(pkcs8).ok()?;
                    Private::RsaOaep(OaepPrivateDecryptingKey::new(key).ok()?)
                }
                _ => Private::Rsa(pair),
            };
            return Some(Self { private, public_der, public_raw });
        }
        if spec == KeySpec::EccNistEdwards25519 {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).ok()?;
            let public_der = der(pair.public_key().as_der().ok()?);
            let public_raw = pair.public_key().as_ref().to_vec();
            return Some(Self { private: Private::Ed25519(pair), public_der, public_raw });
        }
        if let Some(algorithm) = ml_dsa(spec) {
            let pair = PqdsaKeyPair::from_pkcs8(algorithm, pkcs8).ok()?;
            let public_der = der(pair.public_key().as_der().ok()?);
            let public_raw = pair.public_key().as_ref().to_vec();
            return Some(Self { private: Private::MlDsa(pair), public_der, public_raw });
        }
        let pair = EcdsaKeyPair::from_pkcs8(ecdsa(spec)?, pkcs8).ok()?;
        let public_der = der(pair.public_key().as_der().ok()?);
        let public_raw = pair.public_key().as_ref().to_vec();
        let private = match usage {
            KeyUsage::KeyAgreement => {
                Private::Agreement(agreement::PrivateKey::from_private_key_der(ecdh(spec)?, pkcs8).ok()?)
            }
            _ => Private::Ecdsa(pair),
        };
        Some(Self { private, public_der, public_raw })
    }

    /// The public key: DER, SubjectPublicKeyInfo.
    pub(crate) fn public_der(&self) -> &[u8] {
        &self.public_der
    }

    /// Signs by an algorithm that the key's kind has.
    pub(crate) fn sign(&self, algorithm: &str, message: Message<'_>) -> Result<Vec<u8>, SignError> {
        let random = SystemRandom::new();
        let failed = |_| SignError::Failed;
        match (&self.private, message) {
            (Private::Rsa(pair), message) => {
                let (encoding, _) = rsa_signing(algorithm).ok_or(SignError::Failed)?;
                let mut signature = vec![0; pair.public_modulus_len()];
                match message {
                    Message::Raw(bytes) => pair.sign(encoding, &random, bytes, &mut signature),
                    Message::Digest(bytes) => {
                        pair.sign_digest(encoding, &imported(algorithm, bytes)?, &mut signature)
                    }
                }
                .map_err(failed)?;
                Ok(signature)
            }
            (Private::Ecdsa(pair), Message::Raw(bytes)) => {
                Ok(pair.sign(&random, bytes).map_err(failed)?.as_ref().to_vec())
            }
            (Private::Ecdsa(pair), Message::Digest(bytes)) => {
                Ok(pair.sign_digest(&imported(algorithm, bytes)?).map_err(failed)?.as_ref().to_vec())
            }
            (Private::Ed25519(pair), Message::Raw(bytes)) => {
                Ok(pair.try_sign(bytes).map_err(failed)?.as_ref().to_vec())
            }
            (Private::MlDsa(pair), Message::Raw(bytes)) => {
                let mut signature = vec![0; pair.algorithm().signature_len()];
                let len = pair.sign(bytes, &mut signature).map_err(failed)?;
                signature.truncate(len);
                Ok(signature)
            }
            (Private::Ed25519(_) | Private::MlDsa(_), Message::Digest(_)) => Err(SignError::NoDigests),
            (Private::RsaOaep(_) | Private::Agreement(_), _) => Err(SignError::Failed),
        }
    }

    /// Is this the signature of the message?
    pub(crate) fn verify(
        &self,
        spec: KeySpec,
        algorithm: &str,
        message: Message<'_>,
        signature: &[u8],
    ) -> Result<bool, SignError> {
        let verifier = verifier(spec, algorithm).ok_or(SignError::Failed)?;
        let public = UnparsedPublicKey::new(verifier, &self.public_raw);
        match message {
            Message::Raw(bytes) => Ok(public.verify(bytes, signature).is_ok()),
            Message::Digest(_) if matches!(self.private, Private::Ed25519(_) | Private::MlDsa(_)) => {
                Err(SignError::NoDigests)
            }
            Message::Digest(bytes) => {
                Ok(public.verify_digest(&imported(algorithm, bytes)?, signature).is_ok())
            }
        }
    }

    /// RSAES-OAEP with the public key. `None`: the plaintext is too long.
    pub(crate) fn encrypt(&self, algorithm: &str, plaintext: &[u8]) -> Option<Vec<u8>> {
        let public = PublicEncryptingKey::from_der(&self.public_der).ok()?;
        let public = OaepPublicEncryptingKey::new(public).ok()?;
        let mut ciphertext = vec![0; public.ciphertext_size()];
        let len = public.encrypt(oaep(algorithm)?, plaintext, &mut ciphertext, None).ok()?.len();
        ciphertext.truncate(len);
        Some(ciphertext)
    }

    /// How many bytes RSAES-OAEP encrypts at most.
    pub(crate) fn max_plaintext_len(&self, algorithm: &str) -> usize {
        let key = PublicEncryptingKey::from_der(&self.public_der).ok();
        let key = key.and_then(|key| OaepPublicEncryptingKey::new(key).ok());
        key.zip(oaep(algorithm)).map_or(0, |(key, algorithm)| key.max_plaintext_size(algorithm))
    }

    /// RSAES-OAEP with the private key.
    pub(crate) fn decrypt(&self, algorithm: &str, ciphertext: &[u8]) -> Option<SecretBytes> {
        let Private::RsaOaep(key) = &self.private else { return None };
        let mut buffer = SecretBytes::new(vec![0; key.min_output_size()]);
        let plain = key.decrypt(oaep(algorithm)?, ciphertext, buffer.expose_mut(), None).ok()?;
        Some(SecretBytes::new(plain.to_vec()))
    }

    /// ECDH with another's public key (DER, SubjectPublicKeyInfo): the x coordinate. `None`: it is not a point of the same curve.
    pub(crate) fn agree(&self, peer_public_der: &[u8]) -> Option<SecretBytes> {
        let Private::Agreement(key) = &self.private else { return None };
        let peer = agreement::UnparsedPublicKey::new(key.algorithm(), peer_public_der);
        agreement::agree(key, peer, (), |secret| Ok(SecretBytes::new(secret.to_vec()))).ok()
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyPair(..)")
    }
}

/// Length of an RSA key's modulus, in bytes.
fn rsa_len(spec: KeySpec) -> Option<usize> {
    match spec {
        KeySpec::Rsa2048 => Some(256),
        KeySpec::Rsa3072 => Some(384),
        KeySpec::Rsa4096 => Some(512),
        _ => None,
    }
}

fn ecdsa(spec: KeySpec) -> Option<&'static EcdsaSigningAlgorithm> {
    match spec {
        KeySpec::EccNistP256 => Some(&signature::ECDSA_P256_SHA256_ASN1_SIGNING),
        KeySpec::EccNistP384 => Some(&signature::ECDSA_P384_SHA384_ASN1_SIGNING),
        KeySpec::EccNistP521 => Some(&signature::ECDSA_P521_SHA512_ASN1_SIGNING),
        KeySpec::EccSecgP256k1 => Some(&signature::ECDSA_P256K1_SHA256_ASN1_SIGNING),
        _ => None,
    }
}

fn ecdh(spec: KeySpec) -> Option<&'static agreement::Algorithm> {
    match spec {
        KeySpec::EccNistP256 => Some(&agreement::ECDH_P256),
        KeySpec::EccNistP384 => Some(&agreement::ECDH_P384),
        KeySpec::EccNistP521 => Some(&agreement::ECDH_P521),
        _ => None,
    }
}

fn ml_dsa(spec: KeySpec) -> Option<&'static PqdsaSigningAlgorithm> {
    match spec {
        KeySpec::MlDsa44 => Some(&signature::ML_DSA_44_SIGNING),
        KeySpec::MlDsa65 => Some(&signature::ML_DSA_65_SIGNING),
        KeySpec::MlDsa87 => Some(&signature::ML_DSA_87_SIGNING),
        _ => None,
    }
}

fn rsa_signing(algorithm: &str) -> Option<(&'static dyn RsaEncoding, &'static dyn VerificationAlgorithm)> {
    Some(match algorithm {
        "RSASSA_PSS_SHA_256" => (&signature::RSA_PSS_SHA256, &signature::RSA_PSS_2048_8192_SHA256),
        "RSASSA_PSS_SHA_384" => (&signature::RSA_PSS_SHA384, &signature::RSA_PSS_2048_8192_SHA384),
        "RSASSA_PSS_SHA_512" => (&signature::RSA_PSS_SHA512, &signature::RSA_PSS_2048_8192_SHA512),
        "RSASSA_PKCS1_V1_5_SHA_256" => (&signature::RSA_PKCS1_SHA256, &signature::RSA_PKCS1_2048_8192_SHA256),
        "RSASSA_PKCS1_V1_5_SHA_384" => (&signature::RSA_PKCS1_SHA384, &signature::RSA_PKCS1_2048_8192_SHA384),
        "RSASSA_PKCS1_V1_5_SHA_512" => (&signature::RSA_PKCS1_SHA512, &signature::RSA_PKCS1_2048_8192_SHA512),
        _ => return None,
    })
}

fn verifier(spec: KeySpec, algorithm: &str) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match spec {
        KeySpec::EccNistP256 => &signature::ECDSA_P256_SHA256_ASN1,
        KeySpec::EccNistP384 => &signature::ECDSA_P384_SHA384_ASN1,
        KeySpec::EccNistP521 => &signature::ECDSA_P521_SHA512_ASN1,
        KeySpec::EccSecgP256k1 => &signature::ECDSA_P256K1_SHA256_ASN1,
        KeySpec::EccNistEdwards25519 => &signature::ED25519,
        KeySpec::MlDsa44 => &signature::ML_DSA_44,
        KeySpec::MlDsa65 => &signature::ML_DSA_65,
        KeySpec::MlDsa87 => &signature::ML_DSA_87,
        _ => rsa_signing(algorithm)?.1,
    })
}

fn oaep(algorithm: &str) -> Option<&'static OaepAlgorithm> {
    match algorithm {
        "RSAES_OAEP_SHA_1" => Some(&OAEP_SHA1_MGF1SHA1),
        "RSAES_OAEP_SHA_256" => Some(&OAEP_SHA256_MGF1SHA256),
        _ => None,
    }
}

/// A digest by the hash function that an algorithm's name ends with.
fn imported(algorithm: &str, bytes: &[u8]) -> Result<Digest, SignError> {
    let function = match algorithm.rsplit('_').next() {
        Some("256") => &digest::SHA256,
        Some("384") => &digest::SHA384,
        _ => &digest::SHA512,
    };
    Digest::import_less_safe(bytes, function).map_err(|_| SignError::DigestLength)
}
