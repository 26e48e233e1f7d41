//! Fields of JSON requests, and the JSON of answers.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kms_core::context::EncryptionContext;
use kms_core::error::KmsError;
use kms_core::key::backing::{BackingKey, expiration_model};
use kms_core::key::{KeySpec, KeyState, KeyUsage, Origin};
use kms_core::kms::{Entry, Kms};
use serde_json::{Value, json};

/// A field that must be there.
pub(super) fn required<'r>(request: &'r Value, name: &str) -> Result<&'r str, KmsError> {
    optional(request, name)?.ok_or_else(|| {
        let field = name[..1].to_ascii_lowercase() + &name[1..];
        KmsError::Validation(format!(
            "1 validation error detected: Value null at '{field}' failed to satisfy constraint: Member must not be null"
        ))
    })
}

/// A string that may be there.
pub(super) fn optional<'r>(request: &'r Value, name: &str) -> Result<Option<&'r str>, KmsError> {
    match request.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(KmsError::Validation(format!("{name} is not a string."))),
    }
}

/// A number that may be there.
pub(super) fn number(request: &Value, name: &str) -> Result<Option<u64>, KmsError> {
    match request.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) => Ok(Some(number)),
            None => Err(KmsError::Validation(format!("{name} is not a number of 0 or more."))),
        },
    }
}

/// A boolean; false where it is not there.
pub(super) fn flag(request: &Value, name: &str) -> Result<bool, KmsError> {
    match request.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(KmsError::Validation(format!("{name} is not a boolean."))),
    }
}

/// Bytes in base64.
pub(super) fn bytes(request: &Value, name: &str) -> Result<Vec<u8>, KmsError> {
    let text = required(request, name)?;
    STANDARD.decode(text).map_err(|_| KmsError::Validation(format!("{name} is not base64.")))
}

/// A list of strings; the empty one where it is not there.
pub(super) fn texts(request: &Value, name: &str) -> Result<Vec<String>, KmsError> {
    let refused = || KmsError::Validation(format!("{name} is not a list of strings."));
    match request.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => {
            list.iter().map(|value| value.as_str().map(str::to_owned).ok_or_else(refused)).collect()
        }
        Some(_) => Err(refused()),
    }
}

/// An encryption context; the empty one where it is not there.
pub(super) fn context(request: &Value, name: &str) -> Result<EncryptionContext, KmsError> {
    let refused = || KmsError::Validation(format!("{name} is not a map of strings."));
    match request.get(name) {
        None | Some(Value::Null) => Ok(EncryptionContext::new()),
        Some(Value::Object(map)) => map
            .iter()
            .map(|(name, value)| Ok((name.clone(), value.as_str().ok_or_else(refused)?.to_owned())))
            .collect(),
        Some(_) => Err(refused()),
    }
}

/// Bytes as base64.
pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Milliseconds since the Unix epoch as seconds.
pub(super) fn time(unix_ms: u64) -> Value {
    json!(unix_ms as f64 / 1000.0)
}

/// `KeyMetadata`.
pub(super) fn key_metadata(kms: &Kms, entry: &Entry) -> Value {
    let key = &entry.key;
    let mut metadata = json!({
        "AWSAccountId": key.account,
        "KeyId": key.id.to_string(),
        "Arn": kms.arn(key),
        "CreationDate": time(key.created_unix_ms),
        "Enabled": key.state == KeyState::Enabled,
        "Description": key.description,
        "KeyUsage": key.usage.name(),
        "KeyState": key.state.name(),
        "Origin": key.origin.name(),
        "KeyManager": key.manager.name(),
        "CustomerMasterKeySpec": key.spec.name(),
        "KeySpec": key.spec.name(),
        "MultiRegion": false,
    });
    algorithms(entry, &mut metadata);
    if let KeyState::PendingDeletion { deletion_unix_ms } = key.state {
        metadata["DeletionDate"] = time(deletion_unix_ms);
    }
    let current = entry.backing().iter().find(|backing| Some(backing.id) == key.current_material);
    let is_imported = |backing: &&Arc<BackingKey>| key.origin == Origin::External && backing.has_material();
    if let Some(made) = current.filter(is_imported).map(|backing| &backing.made) {
        metadata["ExpirationModel"] = json!(expiration_model(made.expires_unix_ms));
        if let Some(at) = made.expires_unix_ms {
            metadata["ValidTo"] = time(at);
        }
    }
    if let Some(material) = key.current_material.filter(|_| key.spec == KeySpec::SymmetricDefault) {
        metadata["CurrentKeyMaterialId"] = json!(material.to_string());
    }
    metadata
}

/// Puts the key's algorithms under the name that its usage has for them.
pub(super) fn algorithms(entry: &Entry, answer: &mut Value) {
    let name = match entry.key.usage {
        KeyUsage::EncryptDecrypt => "EncryptionAlgorithms",
        KeyUsage::SignVerify => "SigningAlgorithms",
        KeyUsage::GenerateVerifyMac => "MacAlgorithms",
        KeyUsage::KeyAgreement => "KeyAgreementAlgorithms",
    };
    answer[name] = json!(entry.key.spec.algorithms(entry.key.usage));
}

/// A value that the model has, and this KMS has not.
pub(super) fn unsupported(member: &str, value: &str) -> KmsError {
    KmsError::UnsupportedOperation(format!("{member} {value} is not supported."))
}
