//! From a request to the operation of [`kms_core`], and from its result to an answer.

use kms_core::error::KmsError;
use kms_core::key::KeyManager;
use kms_core::kms::{Caller, Kms};
use kms_core::ops::{CreateKey, Page};
use serde_json::{Value, json};

use super::Refusal;
use super::wire::{base64, bytes, context, flag, key_metadata, number, optional, required, time};

/// Operations of KMS's model that are not there yet, or will not be.
const NOT_HERE: &[&str] = &[
    "ConnectCustomKeyStore",
    "CreateCustomKeyStore",
    "CreateGrant",
    "Decapsulate",
    "DeleteCustomKeyStore",
    "DeleteImportedKeyMaterial",
    "DeriveSharedSecret",
    "DescribeCustomKeyStores",
    "DisableKeyRotation",
    "DisconnectCustomKeyStore",
    "EnableKeyRotation",
    "Encapsulate",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateMac",
    "GetKeyLastUsage",
    "GetKeyRotationStatus",
    "GetParametersForImport",
    "GetPublicKey",
    "ImportKeyMaterial",
    "ListGrants",
    "ListKeyRotations",
    "ListRetirableGrants",
    "ReplicateKey",
    "RetireGrant",
    "RevokeGrant",
    "Sign",
    "TagResource",
    "UntagResource",
    "UpdateCustomKeyStore",
    "UpdateKeyDescription",
    "UpdatePrimaryRegion",
    "Verify",
    "VerifyMac",
];

/// Parameters that change what an operation means and are not honoured yet.
const REFUSED_PARAMETERS: &[&str] =
    &["GrantTokens", "DryRun", "Recipient", "CustomKeyStoreId", "XksKeyId", "DryRunModifiers"];

/// Runs an operation.
pub(super) fn run(kms: &Kms, caller: &Caller, operation: &str, request: &Value) -> Result<Value, Refusal> {
    for name in REFUSED_PARAMETERS {
        let is_set = match request.get(name) {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Array(list)) => !list.is_empty(),
            Some(_) => true,
        };
        if is_set {
            return Err(
                KmsError::UnsupportedOperation(format!("The parameter {name} is not supported.")).into()
            );
        }
    }
    let key_id = || required(request, "KeyId");
    Ok(match operation {
        "CreateKey" => json!({ "KeyMetadata": create_key(kms, caller, request)? }),
        "DescribeKey" => json!({ "KeyMetadata": key_metadata(kms, &*kms.describe_key(caller, key_id()?)?) }),
        "ListKeys" => {
            let page = kms.list_keys(caller, number(request, "Limit")?, optional(request, "Marker")?)?;
            let keys = page.rows.iter().map(|id| json!({"KeyId": id.to_string(), "KeyArn": kms.arn(*id)}));
            listed("Keys", keys.collect(), &page)
        }
        "EnableKey" => nothing(kms.enable_key(caller, key_id()?))?,
        "DisableKey" => nothing(kms.disable_key(caller, key_id()?))?,
        "ScheduleKeyDeletion" => {
            let days = number(request, "PendingWindowInDays")?;
            let (entry, deletion_unix_ms) = kms.schedule_key_deletion(caller, key_id()?, days)?;
            json!({
                "KeyId": kms.arn(entry.key.id),
                "DeletionDate": time(deletion_unix_ms),
                "KeyState": entry.key.state.name(),
                "PendingWindowInDays": days.unwrap_or(30),
            })
        }
        "CancelKeyDeletion" => {
            json!({ "KeyId": kms.arn(kms.cancel_key_deletion(caller, key_id()?)?.key.id) })
        }
        "RotateKeyOnDemand" => {
            json!({ "KeyId": kms.rotate_key_on_demand(caller, key_id()?)?.key.id.to_string() })
        }
        "CreateAlias" => nothing(kms.create_alias(
            caller,
            required(request, "AliasName")?,
            required(request, "TargetKeyId")?,
        ))?,
        "UpdateAlias" => nothing(kms.update_alias(
            caller,
            required(request, "AliasName")?,
            required(request, "TargetKeyId")?,
        ))?,
        "DeleteAlias" => nothing(kms.delete_alias(caller, required(request, "AliasName")?))?,
        "ListAliases" => {
            let (limit, marker) = (number(request, "Limit")?, optional(request, "Marker")?);
            let page = kms.list_aliases(caller, optional(request, "KeyId")?, limit, marker)?;
            let aliases = page.rows.iter().map(|alias| {
                json!({
                    "AliasName": alias.name,
                    "AliasArn": kms.alias_arn(&alias.name),
                    "TargetKeyId": alias.target.to_string(),
                })
            });
            listed("Aliases", aliases.collect(), &page)
        }
        "GetKeyPolicy" => {
            let policy = kms.get_key_policy(caller, key_id()?, optional(request, "PolicyName")?)?;
            json!({ "Policy": policy, "PolicyName": "default" })
        }
        "PutKeyPolicy" => {
            let policy = required(request, "Policy")?.to_owned();
            let bypass = flag(request, "BypassPolicyLockoutSafetyCheck")?;
            nothing(kms.put_key_policy(caller, key_id()?, optional(request, "PolicyName")?, policy, bypass))?
        }
        "ListKeyPolicies" => {
            json!({ "PolicyNames": kms.list_key_policies(caller, key_id()?)?, "Truncated": false })
        }
        "ListResourceTags" => {
            let entry = kms.describe_key(caller, key_id()?)?;
            let tags = entry.key.tags.iter().map(|(name, value)| json!({"TagKey": name, "TagValue": value}));
            json!({ "Tags": tags.collect::<Vec<_>>(), "Truncated": false })
        }
        "Encrypt" => {
            refuse_asymmetric(request, "EncryptionAlgorithm")?;
            let plaintext = zeroize::Zeroizing::new(bytes(request, "Plaintext")?);
            let context = context(request, "EncryptionContext")?;
            let encrypted = kms.encrypt(caller, key_id()?, &plaintext, &context)?;
            json!({
                "CiphertextBlob": base64(&encrypted.ciphertext_blob),
                "KeyId": encrypted.key_arn,
                "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
            })
        }
        "Decrypt" => {
            refuse_asymmetric(request, "EncryptionAlgorithm")?;
            let blob = bytes(request, "CiphertextBlob")?;
            let context = context(request, "EncryptionContext")?;
            let decrypted = kms.decrypt(caller, optional(request, "KeyId")?, &blob, &context)?;
            json!({
                "Plaintext": base64(decrypted.plaintext.expose()),
                "KeyId": decrypted.key_arn,
                "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
                "KeyMaterialId": decrypted.key_material_id,
            })
        }
        "ReEncrypt" => {
            let moved = kms.re_encrypt(
                caller,
                optional(request, "SourceKeyId")?,
                &bytes(request, "CiphertextBlob")?,
                &context(request, "SourceEncryptionContext")?,
                required(request, "DestinationKeyId")?,
                &context(request, "DestinationEncryptionContext")?,
            )?;
            json!({
                "CiphertextBlob": base64(&moved.ciphertext_blob),
                "SourceKeyId": moved.source_key_arn,
                "KeyId": moved.key_arn,
                "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
                "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
                "SourceKeyMaterialId": moved.source_key_material_id,
                "DestinationKeyMaterialId": moved.destination_key_material_id,
            })
        }
        "GenerateDataKey" => data_key(kms, caller, request, true)?,
        "GenerateDataKeyWithoutPlaintext" => data_key(kms, caller, request, false)?,
        "GenerateRandom" => {
            let len = number(request, "NumberOfBytes")?.unwrap_or(0);
            let random = kms.generate_random(caller, len.min(1 << 20) as usize)?;
            json!({ "Plaintext": base64(random.expose()) })
        }
        other if NOT_HERE.contains(&other) => {
            return Err(
                KmsError::UnsupportedOperation(format!("The operation {other} is not supported.")).into()
            );
        }
        other => {
            let message = format!("The operation '{other}' is not one of KMS.");
            return Err(Refusal::Door("UnknownOperationException", message));
        }
    })
}

fn create_key(kms: &Kms, caller: &Caller, request: &Value) -> Result<Value, KmsError> {
    for (name, only) in [
        ("KeyUsage", "ENCRYPT_DECRYPT"),
        ("KeySpec", "SYMMETRIC_DEFAULT"),
        ("CustomerMasterKeySpec", "SYMMETRIC_DEFAULT"),
        ("Origin", "AWS_KMS"),
    ] {
        if let Some(given) = optional(request, name)?.filter(|given| *given != only) {
            return Err(KmsError::UnsupportedOperation(format!("{name} {given} is not supported.")));
        }
    }
    if flag(request, "MultiRegion")? {
        return Err(KmsError::UnsupportedOperation("Multi-Region keys are not supported.".to_owned()));
    }
    let mut tags = std::collections::BTreeMap::new();
    for tag in request.get("Tags").and_then(Value::as_array).into_iter().flatten() {
        tags.insert(
            required(tag, "TagKey")?.to_owned(),
            optional(tag, "TagValue")?.unwrap_or_default().to_owned(),
        );
    }
    let entry = kms.create_key(
        caller,
        CreateKey {
            description: optional(request, "Description")?.unwrap_or_default().to_owned(),
            tags,
            policy: optional(request, "Policy")?.map(str::to_owned),
            bypass_policy_lockout_safety_check: flag(request, "BypassPolicyLockoutSafetyCheck")?,
        },
    )?;
    debug_assert_eq!(entry.key.manager, KeyManager::Customer);
    Ok(key_metadata(kms, &entry))
}

fn data_key(kms: &Kms, caller: &Caller, request: &Value, with_plaintext: bool) -> Result<Value, KmsError> {
    let len = match (optional(request, "KeySpec")?, number(request, "NumberOfBytes")?) {
        (Some("AES_256"), None) => 32,
        (Some("AES_128"), None) => 16,
        (Some(other), None) => {
            return Err(KmsError::Validation(format!(
                "1 validation error detected: Value '{other}' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [AES_256, AES_128]"
            )));
        }
        (None, Some(len)) => len.min(1 << 20) as usize,
        _ => {
            return Err(KmsError::Validation(
                "Please specify either number of bytes or key spec.".to_owned(),
            ));
        }
    };
    let action = if with_plaintext { "kms:GenerateDataKey" } else { "kms:GenerateDataKeyWithoutPlaintext" };
    let context = context(request, "EncryptionContext")?;
    let key = kms.generate_data_key_of(caller, action, required(request, "KeyId")?, len, &context)?;
    let mut answer = json!({
        "CiphertextBlob": base64(&key.ciphertext_blob),
        "KeyId": key.key_arn,
        "KeyMaterialId": key.key_material_id,
    });
    if with_plaintext {
        answer["Plaintext"] = json!(base64(key.plaintext.expose()));
    }
    Ok(answer)
}

fn refuse_asymmetric(request: &Value, name: &str) -> Result<(), KmsError> {
    match optional(request, name)? {
        None | Some("SYMMETRIC_DEFAULT") => Ok(()),
        Some(other) => {
            Err(KmsError::InvalidKeyUsage(format!("The algorithm {other} does not fit a symmetric key.")))
        }
    }
}

fn listed<T>(name: &str, rows: Vec<Value>, page: &Page<T>) -> Value {
    let mut answer = json!({ name: rows, "Truncated": page.next_marker.is_some() });
    if let Some(marker) = &page.next_marker {
        answer["NextMarker"] = json!(marker);
    }
    answer
}

/// The answer of operations that tell nothing.
fn nothing(result: Result<(), KmsError>) -> Result<Value, KmsError> {
    result.map(|()| Value::Null)
}
