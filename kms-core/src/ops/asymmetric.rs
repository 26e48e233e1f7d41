//! Sign, Verify, GetPublicKey, DeriveSharedSecret, GenerateMac, VerifyMac, GenerateDataKeyPair and its sibling.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/symmetric-asymmetric.html>

use std::sync::Arc;

use aws_lc_rs::hmac;

use crate::context::EncryptionContext;
use crate::crypto::blob;
use crate::crypto::pair::{self, KeyPair, Message, SignError};
use crate::error::KmsError;
use crate::key::material::Material;
use crate::key::spec::{KeySpec, KeyUsage};
use crate::key::state::Needs;
use crate::kms::{Caller, Entry, Kms};
use crate::secret::SecretBytes;

/// The longest message, in bytes.
const MAX_MESSAGE_LEN: usize = 4096;

/// What GenerateDataKeyPair answers.
#[derive(Debug)]
pub struct DataKeyPair {
    /// The private key in the clear: DER, PKCS#8.
    pub private_key: SecretBytes,
    /// The private key under the KMS key.
    pub ciphertext_blob: Vec<u8>,
    /// The public key: DER, SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// ARN of the KMS key.
    pub key_arn: String,
    /// The backing key.
    pub key_material_id: String,
}

/// What is to be signed, or was.
#[derive(Debug, Clone, Copy)]
pub struct ToSign<'m> {
    /// The message, or its digest.
    pub message: &'m [u8],
    /// Is it the digest?
    pub is_digest: bool,
    /// `SigningAlgorithm`, in AWS's name.
    pub algorithm: &'m str,
}

impl ToSign<'_> {
    fn conditions(&self) -> [(&'static str, Vec<String>); 2] {
        let kind = if self.is_digest { "DIGEST" } else { "RAW" };
        [
            ("kms:signingalgorithm", vec![self.algorithm.to_owned()]),
            ("kms:messagetype", vec![kind.to_owned()]),
        ]
    }

    fn message(&self) -> Message<'_> {
        if self.is_digest { Message::Digest(self.message) } else { Message::Raw(self.message) }
    }

    fn refused(&self, error: SignError) -> KmsError {
        let algorithm = self.algorithm;
        match error {
            SignError::DigestLength => {
                KmsError::Validation(format!("Digest is invalid length for algorithm {algorithm}."))
            }
            SignError::NoDigests => {
                KmsError::Validation(format!("Algorithm {algorithm} takes messages of MessageType RAW only."))
            }
            SignError::Failed => KmsError::Internal(format!("{algorithm} failed")),
        }
    }
}

impl Kms {
    /// `Sign`: the signature, and the key's ARN.
    pub fn sign(
        &self,
        caller: &Caller,
        key_id: &str,
        asked: ToSign<'_>,
    ) -> Result<(Vec<u8>, String), KmsError> {
        check_message(asked.message)?;
        let (kind, conditions) = ((KeyUsage::SignVerify, asked.algorithm), asked.conditions());
        let entry = self.fit_for(caller, "kms:Sign", key_id, kind, &conditions)?;
        caller.stop_if_dry()?;
        let signature = pair_of(&entry)?.sign(asked.algorithm, asked.message());
        let signature = signature.map_err(|error| asked.refused(error))?;
        self.used(caller, &entry, "Sign");
        Ok((signature, self.arn(&entry.key)))
    }

    /// `Verify`: the key's ARN, if this is the signature.
    pub fn verify(
        &self,
        caller: &Caller,
        key_id: &str,
        asked: ToSign<'_>,
        signature: &[u8],
    ) -> Result<String, KmsError> {
        check_message(asked.message)?;
        let (kind, conditions) = ((KeyUsage::SignVerify, asked.algorithm), asked.conditions());
        let entry = self.fit_for(caller, "kms:Verify", key_id, kind, &conditions)?;
        caller.stop_if_dry()?;
        let pair = pair_of(&entry)?;
        let is_valid = pair.verify(entry.key.spec, asked.algorithm, asked.message(), signature);
        match is_valid.map_err(|error| asked.refused(error))? {
            true => {
                self.used(caller, &entry, "Verify");
                Ok(self.arn(&entry.key))
            }
            false => Err(KmsError::InvalidSignature),
        }
    }

    /// `GetPublicKey`: the key, and its public half (DER, SubjectPublicKeyInfo).
    pub fn get_public_key(&self, caller: &Caller, key_id: &str) -> Result<(Arc<Entry>, Vec<u8>), KmsError> {
        let entry = self.resolve(caller, "kms:GetPublicKey", key_id)?;
        let conditions: Vec<_> = super::request_alias(key_id).into_iter().collect();
        let circumstances = (&EncryptionContext::new(), &conditions[..]);
        let material = entry.key.current_material;
        self.authorize_use(caller, "kms:GetPublicKey", &entry, circumstances, material, || {
            if !entry.key.spec.is_asymmetric() {
                return Err(KmsError::UnsupportedOperation(format!(
                    "{} key spec is {} which is not valid for GetPublicKey.",
                    self.arn(&entry.key),
                    entry.key.spec.name()
                )));
            }
            self.check_state(&entry, Needs::Enabled)
        })?;
        let public_key = pair_of(&entry)?.public_der().to_vec();
        Ok((entry, public_key))
    }

    /// `DeriveSharedSecret` by ECDH with another's public key (DER, SubjectPublicKeyInfo): the x coordinate, and the key.
    pub fn derive_shared_secret(
        &self,
        caller: &Caller,
        key_id: &str,
        algorithm: &str,
        peer_public_key: &[u8],
    ) -> Result<(SecretBytes, Arc<Entry>), KmsError> {
        let conditions = [("kms:keyagreementalgorithm", vec![algorithm.to_owned()])];
        let kind = (KeyUsage::KeyAgreement, algorithm);
        let entry = self.fit_for(caller, "kms:DeriveSharedSecret", key_id, kind, &conditions)?;
        caller.stop_if_dry()?;
        // Of a public key that is none, or of another curve, AWS says nothing more.
        let refused = || KmsError::Validation(String::new());
        let secret = pair_of(&entry)?.agree(peer_public_key).ok_or_else(refused)?;
        self.used(caller, &entry, "DeriveSharedSecret");
        Ok((secret, entry))
    }

    /// `GenerateMac`: the HMAC, and the key's ARN.
    pub fn generate_mac(
        &self,
        caller: &Caller,
        key_id: &str,
        algorithm: &str,
        message: &[u8],
    ) -> Result<(Vec<u8>, String), KmsError> {
        let (entry, key) = self.mac_key(caller, "kms:GenerateMac", key_id, algorithm, message)?;
        let mac = hmac::sign(&key, message).as_ref().to_vec();
        self.used(caller, &entry, "GenerateMac");
        Ok((mac, self.arn(&entry.key)))
    }

    /// `VerifyMac`, in constant time: the key's ARN, if this is the HMAC.
    pub fn verify_mac(
        &self,
        caller: &Caller,
        key_id: &str,
        algorithm: &str,
        message: &[u8],
        mac: &[u8],
    ) -> Result<String, KmsError> {
        let (entry, key) = self.mac_key(caller, "kms:VerifyMac", key_id, algorithm, message)?;
        hmac::verify(&key, message, mac).map_err(|_| KmsError::InvalidMac)?;
        self.used(caller, &entry, "VerifyMac");
        Ok(self.arn(&entry.key))
    }

    /// `GenerateDataKeyPair` and `GenerateDataKeyPairWithoutPlaintext`, as `action` says.
    pub fn generate_data_key_pair(
        &self,
        caller: &Caller,
        action: &str,
        key_id: &str,
        spec: KeySpec,
        context: &EncryptionContext,
    ) -> Result<DataKeyPair, KmsError> {
        let conditions = [("kms:datakeypairspec", vec![spec.name().to_owned()])];
        let entry = self.usable_with(caller, action, key_id, context, &conditions)?;
        caller.stop_if_dry()?;
        let failed = || KmsError::Internal("a key pair could not be made".to_owned());
        let private_key = pair::generate(spec).ok_or_else(failed)?;
        let made = KeyPair::parse(spec, KeyUsage::SignVerify, private_key.expose()).ok_or_else(failed)?;
        let backing = entry.current()?;
        let ciphertext_blob = blob::seal(entry.key.id, backing, private_key.expose(), context)?;
        self.used(caller, &entry, action);
        Ok(DataKeyPair {
            private_key,
            ciphertext_blob,
            public_key: made.public_der().to_vec(),
            key_arn: self.arn(&entry.key),
            key_material_id: backing.id.to_string(),
        })
    }

    fn mac_key(
        &self,
        caller: &Caller,
        action: &str,
        key_id: &str,
        algorithm: &str,
        message: &[u8],
    ) -> Result<(Arc<Entry>, hmac::Key), KmsError> {
        check_message(message)?;
        let conditions = [("kms:macalgorithm", vec![algorithm.to_owned()])];
        let kind = (KeyUsage::GenerateVerifyMac, algorithm);
        let entry = self.fit_for(caller, action, key_id, kind, &conditions)?;
        caller.stop_if_dry()?;
        let function = match entry.key.spec {
            KeySpec::Hmac224 => hmac::HMAC_SHA224,
            KeySpec::Hmac256 => hmac::HMAC_SHA256,
            KeySpec::Hmac384 => hmac::HMAC_SHA384,
            _ => hmac::HMAC_SHA512,
        };
        match entry.current()?.material() {
            Some(Material::Mac(bytes)) => {
                let key = hmac::Key::new(function, bytes.expose());
                Ok((entry, key))
            }
            _ => Err(KmsError::Internal("an HMAC key has no key material".to_owned())),
        }
    }

    /// A key of this usage and algorithm that the caller may use for this action now.
    fn fit_for(
        &self,
        caller: &Caller,
        action: &str,
        key_id: &str,
        (usage, algorithm): (KeyUsage, &str),
        conditions: &[(&str, Vec<String>)],
    ) -> Result<Arc<Entry>, KmsError> {
        let entry = self.resolve(caller, action, key_id)?;
        let conditions: Vec<_> = conditions.iter().cloned().chain(super::request_alias(key_id)).collect();
        let circumstances = (&EncryptionContext::new(), &conditions[..]);
        let material = entry.key.current_material;
        self.authorize_use(caller, action, &entry, circumstances, material, || {
            self.check_state(&entry, Needs::Enabled)?;
            self.check_fit(&entry, action, usage, algorithm)
        })?;
        Ok(entry)
    }

    /// Is the key for that, and by this algorithm?
    pub(crate) fn check_fit(
        &self,
        entry: &Entry,
        action: &str,
        usage: KeyUsage,
        algorithm: &str,
    ) -> Result<(), KmsError> {
        let key = &entry.key;
        let operation = action.strip_prefix("kms:").unwrap_or(action);
        if key.usage != usage {
            return Err(KmsError::InvalidKeyUsage(format!(
                "{} key usage is {} which is not valid for {operation}.",
                self.arn(key),
                key.usage.name()
            )));
        }
        match key.spec.algorithms(usage).contains(&algorithm) {
            true => Ok(()),
            false => Err(KmsError::InvalidKeyUsage(format!(
                "Algorithm {algorithm} is incompatible with key spec {}.",
                key.spec.name()
            ))),
        }
    }
}

/// The current key pair of an asymmetric key.
pub(crate) fn pair_of(entry: &Entry) -> Result<&KeyPair, KmsError> {
    match entry.current()?.material() {
        Some(Material::Pair(_, pair)) => Ok(pair),
        _ => Err(KmsError::Internal("an asymmetric key has no key pair".to_owned())),
    }
}

fn check_message(message: &[u8]) -> Result<(), KmsError> {
    match (1..=MAX_MESSAGE_LEN).contains(&message.len()) {
        true => Ok(()),
        false => Err(KmsError::too_long("message", message.len(), MAX_MESSAGE_LEN)),
    }
}
