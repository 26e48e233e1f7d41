//! Requests and answers of the operations on key pairs and HMAC keys.

use kms_core::error::KmsError;
use kms_core::key::{KeySpec, KeyUsage};
use kms_core::kms::{Caller, Kms};
use kms_core::ops::ToSign;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::wire::{algorithms, base64, bytes, context, optional, required, time, unsupported};

/// Runs one of these operations; `None`: it is another.
pub(super) fn run(
    kms: &Kms,
    caller: &Caller,
    operation: &str,
    request: &Value,
) -> Option<Result<Value, KmsError>> {
    Some(match operation {
        "Sign" => sign(kms, caller, request),
        "Verify" => verify(kms, caller, request),
        "GetPublicKey" => public_key(kms, caller, request),
        "DeriveSharedSecret" => shared_secret(kms, caller, request),
        "GenerateMac" => generate_mac(kms, caller, request),
        "VerifyMac" => verify_mac(kms, caller, request),
        "GenerateDataKeyPair" => data_key_pair(kms, caller, request, true),
        "GenerateDataKeyPairWithoutPlaintext" => data_key_pair(kms, caller, request, false),
        "GetKeyLastUsage" => last_usage(kms, caller, request),
        _ => return None,
    })
}

fn to_sign<'r>(request: &'r Value, message: &'r [u8]) -> Result<ToSign<'r>, KmsError> {
    let is_digest = match optional(request, "MessageType")? {
        None | Some("RAW") => false,
        Some("DIGEST") => true,
        Some(other) => return Err(unsupported("MessageType", other)),
    };
    Ok(ToSign { message, is_digest, algorithm: required(request, "SigningAlgorithm")? })
}

fn sign(kms: &Kms, caller: &Caller, request: &Value) -> Result<Value, KmsError> {
    let message = Zeroizing::new(bytes(request, "Message")?);
    let asked = to_sign(request, &message)?;
    let (signature, key_arn) = kms.sign(caller, required(request, "KeyId")?, asked)?;
    Ok(json!({ "KeyId": key_arn, "Signature": base64(&signature), "SigningAlgorithm": asked.algorithm }))
}

fn verify(kms: &Kms, caller: &Caller, request: &Value) -> Result<Value, KmsError> {
    let message = Zeroizing::new(bytes(request, "Message")?);
    let asked = to_sign(request, &message)?;
    let signature = bytes(request, "Signature")?;
    let key_arn = kms.verify(caller, required(request, "KeyId")?, asked, &signature)?;
    Ok(json!({ "KeyId": key_arn, "SignatureValid": true, "SigningAlgorithm": asked.algorithm }))
}

fn public_key(kms: &Kms, caller: &Caller, request: &Value) -> Result<Value, KmsError> {
    let (entry, public_key) = kms.get_public_key(caller, required(request, "KeyId")?)?;
    let key = &entry.key;
    let mut answer = json!({
        "KeyId": kms.arn(key),
        "PublicKey": base64(&public_key),
        "CustomerMasterKeySpec": key.spec.name(),
        "KeySpec": key.spec.name(),
        "KeyUsage": key.usage.name(),
    });
    algorithms(&entry, &mut answer);
    Ok(answer)
}

fn shared_secret(kms: &Kms, caller: &Caller, request: &Value) -> Result<Value, KmsError> {
    let algorithm = required(request, "KeyAgreementAlgorithm")?;
    let peer = bytes(request, "PublicKey")?;
    let (secret, entry) = kms.derive_shared_secret(caller, required(request, "KeyId")?, algorithm, &peer)?;
    Ok(json!({
        "KeyId": kms.arn(&entry.key),
        "SharedSecret": base64(secret.expose()),
        "KeyAgreementAlgorithm": algorithm,
        "KeyOrigin": entry.key.origin.name(),
    }))
}

fn generate_mac(kms: &Kms, caller: &Caller, request: &Value) -> Result<Value, KmsError> {
    let (key_id, algorithm) = (required(request, "KeyId")?, required(request, "MacAlgorithm")?);
    let message = Zeroizing::new(bytes(request, "Message")?);
    let (mac, key_arn) = kms.generate_mac(caller, key_id, algorithm, &message)?;
    Ok(json!({ "KeyId": key_arn, "Mac": base64(&mac), "MacAlgorithm": algorithm }))
}

fn verify_mac(kms: &Kms, caller: &Caller, request: &Value) -> Result<Value, KmsError> {
    let (key_id, algorithm) = (required(request, "KeyId")?, required(request, "MacAlgorithm")?);
    let message = Zeroizing::new(bytes(request, "Message")?);
    let key_arn = kms.verify_mac(caller, key_id, algorithm, &message, &bytes(request, "Mac")?)?;
    Ok(json!({ "KeyId": key_arn, "MacValid": true, "MacAlgorithm": algorithm }))
}

fn data_key_pair(
    kms: &Kms,
    caller: &Caller,
    request: &Value,
    with_plaintext: bool,
) -> Result<Value, KmsError> {
    let name = required(request, "KeyPairSpec")?;
    let is_classic = |spec: &KeySpec| spec.is_asymmetric() && !name.starts_with("ML_");
    let spec = KeySpec::parse(name).filter(is_classic).ok_or_else(|| unsupported("KeyPairSpec", name))?;
    let action = match with_plaintext {
        true => "kms:GenerateDataKeyPair",
        false => "kms:GenerateDataKeyPairWithoutPlaintext",
    };
    let context = context(request, "EncryptionContext")?;
    let pair = kms.generate_data_key_pair(caller, action, required(request, "KeyId")?, spec, &context)?;
    let mut answer = json!({
        "PrivateKeyCiphertextBlob": base64(&pair.ciphertext_blob),
        "PublicKey": base64(&pair.public_key),
        "KeyId": pair.key_arn,
        "KeyPairSpec": name,
        "KeyMaterialId": pair.key_material_id,
    });
    if with_plaintext {
        answer["PrivateKeyPlaintext"] = json!(base64(pair.private_key.expose()));
    }
    Ok(answer)
}

fn last_usage(kms: &Kms, caller: &Caller, request: &Value) -> Result<Value, KmsError> {
    let (entry, last) = kms.get_key_last_usage(caller, required(request, "KeyId")?)?;
    let created = time(entry.key.created_unix_ms);
    let last = last.map_or_else(
        || json!({}),
        |last| {
            json!({
                "Operation": last.operation,
                "Timestamp": time(last.at_unix_ms),
                // The audit names events by the request that they are part of.
                "CloudTrailEventId": last.request_id,
                "KmsRequestId": last.request_id,
            })
        },
    );
    Ok(json!({
        "KeyId": kms.arn(&entry.key),
        "KeyLastUsage": last,
        "TrackingStartDate": created,
        "KeyCreationDate": created,
    }))
}

/// `KeySpec` and `KeyUsage` of CreateKey.
pub(super) fn kind(request: &Value) -> Result<(Option<KeySpec>, Option<KeyUsage>), KmsError> {
    let spec = |name: &str| {
        let given = optional(request, name)?;
        given.map(|given| KeySpec::parse(given).ok_or_else(|| unsupported(name, given))).transpose()
    };
    let spec = match (spec("KeySpec")?, spec("CustomerMasterKeySpec")?) {
        (Some(_), Some(_)) => {
            return Err(KmsError::Validation(
                "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.".to_owned(),
            ));
        }
        (spec, deprecated) => spec.or(deprecated),
    };
    let usage = optional(request, "KeyUsage")?;
    let usage = usage
        .map(|given| KeyUsage::parse(given).ok_or_else(|| unsupported("KeyUsage", given)))
        .transpose()?;
    Ok((spec, usage))
}
