//! From a request to the operation of [`kms_core`], and from its result to an answer.

use std::collections::BTreeMap;

use kms_core::error::KmsError;
use kms_core::key::backing::{BackingKey, MadeBy, expiration_model};
use kms_core::key::{KeyManager, KeyMaterialId, KeySpec, Origin};
use kms_core::kms::{Caller, Entry, Kms};
use kms_core::ops::{CreateKey, Page, RotationStatus, SYMMETRIC_DEFAULT, Side};
use serde_json::{Value, json};

use super::Refusal;
use super::asymmetric;
use super::constraints;
use super::grants::{create_grant, grant, grant_tokens};
use super::import::{import, wrapping};
use super::wire::{
    base64, bytes, context, flag, key_metadata, number, optional, required, texts, time, unsupported,
};

/// Operations of KMS's model that are not there: of custom key stores, replicas, and key encapsulation.
const NOT_HERE: &[&str] = &[
    "ConnectCustomKeyStore",
    "CreateCustomKeyStore",
    "Decapsulate",
    "DeleteCustomKeyStore",
    "DescribeCustomKeyStores",
    "DisconnectCustomKeyStore",
    "Encapsulate",
    "ReplicateKey",
    "UpdateCustomKeyStore",
    "UpdatePrimaryRegion",
];

/// Parameters that change what an operation means and are not honoured yet.
const REFUSED_PARAMETERS: &[&str] = &["Recipient", "CustomKeyStoreId", "XksKeyId"];

/// Operations that take `DryRun`.
const DRY_RUNS: &[&str] = &[
    "CreateGrant",
    "Decrypt",
    "DeriveSharedSecret",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "ReEncrypt",
    "RetireGrant",
    "RevokeGrant",
    "Sign",
    "Verify",
    "VerifyMac",
];

/// Operations of a few microseconds: they read memory and compute.
const SHORT: &[&str] = &[
    "Decrypt",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "GenerateRandom",
    "ReEncrypt",
    "VerifyMac",
];

/// May it wait for the medium, or compute for long? Then it must not run on a thread that serves requests.
pub(super) fn waits(operation: &str) -> bool {
    !SHORT.contains(&operation)
}

/// Runs an operation.
pub(super) fn run(kms: &Kms, caller: &Caller, operation: &str, request: &Value) -> Result<Value, Refusal> {
    constraints::check(operation, request)?;
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
    let dry_run = DRY_RUNS.contains(&operation) && flag(request, "DryRun")?;
    let caller = &Caller { dry_run, ..caller.clone() };
    kms.check_grant_tokens(&grant_tokens(request)?)?;
    let key_id = || required(request, "KeyId");
    let page = || Ok::<_, KmsError>((number(request, "Limit")?, optional(request, "Marker")?));
    if let Some(answer) = asymmetric::run(kms, caller, operation, request) {
        return Ok(answer?);
    }
    Ok(match operation {
        "CreateKey" => json!({ "KeyMetadata": create_key(kms, caller, request)? }),
        "DescribeKey" => json!({ "KeyMetadata": key_metadata(kms, &*kms.describe_key(caller, key_id()?)?) }),
        "ListKeys" => {
            let page = kms.list_keys(caller, number(request, "Limit")?, optional(request, "Marker")?)?;
            let keys = page
                .rows
                .iter()
                .map(|entry| json!({ "KeyId": entry.key.id.to_string(), "KeyArn": kms.arn(&entry.key) }));
            listed("Keys", keys.collect(), &page)
        }
        "EnableKey" => nothing(kms.enable_key(caller, key_id()?))?,
        "DisableKey" => nothing(kms.disable_key(caller, key_id()?))?,
        "ScheduleKeyDeletion" => {
            let days = number(request, "PendingWindowInDays")?;
            let (entry, deletion_unix_ms) = kms.schedule_key_deletion(caller, key_id()?, days)?;
            json!({
                "KeyId": kms.arn(&entry.key),
                "DeletionDate": time(deletion_unix_ms),
                "KeyState": entry.key.state.name(),
                "PendingWindowInDays": days.unwrap_or(30),
            })
        }
        "CancelKeyDeletion" => {
            json!({ "KeyId": kms.arn(&kms.cancel_key_deletion(caller, key_id()?)?.key) })
        }
        "RotateKeyOnDemand" => {
            json!({ "KeyId": kms.arn(&kms.rotate_key_on_demand(caller, key_id()?)?.key) })
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
                    "AliasArn": alias.arn,
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
        "UpdateKeyDescription" => {
            let description = required(request, "Description")?.to_owned();
            nothing(kms.update_key_description(caller, key_id()?, description))?
        }
        "TagResource" => nothing(kms.tag_resource(caller, key_id()?, tags(request)?))?,
        "UntagResource" => nothing(kms.untag_resource(caller, key_id()?, &texts(request, "TagKeys")?))?,
        "ListResourceTags" => {
            let (limit, marker) = page()?;
            let page = kms.list_resource_tags(caller, key_id()?, limit, marker)?;
            let tags = page.rows.iter().map(|(name, value)| json!({"TagKey": name, "TagValue": value}));
            listed("Tags", tags.collect(), &page)
        }
        "EnableKeyRotation" => {
            let period_days = number(request, "RotationPeriodInDays")?;
            nothing(kms.enable_key_rotation(caller, key_id()?, period_days))?
        }
        "DisableKeyRotation" => nothing(kms.disable_key_rotation(caller, key_id()?))?,
        "GetKeyRotationStatus" => rotation_status(&kms.get_key_rotation_status(caller, key_id()?)?),
        "ListKeyRotations" => {
            let all = match optional(request, "IncludeKeyMaterial")? {
                None | Some("ROTATIONS_ONLY") => false,
                Some("ALL_KEY_MATERIAL") => true,
                Some(other) => return Err(unsupported("IncludeKeyMaterial", other).into()),
            };
            let (limit, marker) = page()?;
            let (entry, page) = kms.list_key_rotations(caller, key_id()?, all, limit, marker)?;
            let rows = page.rows.iter().map(|backing| rotation(&entry, backing, all)).collect();
            listed("Rotations", rows, &page)
        }
        "GetParametersForImport" => {
            let (algorithm, bits) = wrapping(request)?;
            let begun = kms.get_parameters_for_import(caller, key_id()?, algorithm, bits)?;
            json!({
                "KeyId": kms.arn_of(begun.key_id),
                "ImportToken": base64(&begun.token),
                "PublicKey": base64(&begun.public_key),
                "ParametersValidTo": time(begun.valid_to_unix_ms),
            })
        }
        "ImportKeyMaterial" => {
            let (entry, material) = kms.import_key_material(caller, import(request)?)?;
            let material = shown_material(&entry, Some(material));
            without_nulls(json!({ "KeyId": kms.arn(&entry.key), "KeyMaterialId": material }))
        }
        "DeleteImportedKeyMaterial" => {
            let material = optional(request, "KeyMaterialId")?;
            let (entry, material) = kms.delete_imported_key_material(caller, key_id()?, material)?;
            let material = shown_material(&entry, material);
            without_nulls(json!({ "KeyId": kms.arn(&entry.key), "KeyMaterialId": material }))
        }
        "CreateGrant" => {
            let (grant, token) = kms.create_grant(caller, create_grant(request)?)?;
            json!({ "GrantId": grant.id.to_string(), "GrantToken": base64(&token) })
        }
        "RetireGrant" => match optional(request, "GrantToken")? {
            Some(_) => nothing(kms.retire_grant_by_token(caller, &bytes(request, "GrantToken")?))?,
            None => nothing(kms.retire_grant(caller, key_id()?, required(request, "GrantId")?))?,
        },
        "RevokeGrant" => nothing(kms.revoke_grant(caller, key_id()?, required(request, "GrantId")?))?,
        "ListGrants" => {
            let only = (optional(request, "GrantId")?, optional(request, "GranteePrincipal")?);
            let (limit, marker) = page()?;
            let page = kms.list_grants(caller, key_id()?, only, limit, marker)?;
            listed("Grants", page.rows.iter().map(|row| grant(kms, row)).collect(), &page)
        }
        "ListRetirableGrants" => {
            let (limit, marker) = page()?;
            let retiring = required(request, "RetiringPrincipal")?;
            let page = kms.list_retirable_grants(caller, retiring, limit, marker)?;
            listed("Grants", page.rows.iter().map(|row| grant(kms, row)).collect(), &page)
        }
        "Encrypt" => {
            let plaintext = zeroize::Zeroizing::new(bytes(request, "Plaintext")?);
            let context = context(request, "EncryptionContext")?;
            let side = Side {
                key_id: Some(key_id()?),
                context: &context,
                algorithm: algorithm(request, "EncryptionAlgorithm")?,
            };
            let encrypted = kms.encrypt_by(caller, side, &plaintext)?;
            json!({
                "CiphertextBlob": base64(&encrypted.ciphertext_blob),
                "KeyId": encrypted.key_arn,
                "EncryptionAlgorithm": side.algorithm,
            })
        }
        "Decrypt" => {
            let context = context(request, "EncryptionContext")?;
            let side = Side {
                key_id: optional(request, "KeyId")?,
                context: &context,
                algorithm: algorithm(request, "EncryptionAlgorithm")?,
            };
            if ignores_ciphertext(caller, request)? {
                kms.try_decrypt(caller, "kms:Decrypt", side)?;
                return Err(KmsError::DryRun.into());
            }
            let blob = bytes(request, "CiphertextBlob")?;
            let decrypted = kms.decrypt_by(caller, side, &blob)?;
            without_nulls(json!({
                "Plaintext": base64(decrypted.plaintext.expose()),
                "KeyId": decrypted.key_arn,
                "EncryptionAlgorithm": side.algorithm,
                "KeyMaterialId": decrypted.key_material_id,
            }))
        }
        "ReEncrypt" => {
            let contexts = (
                context(request, "SourceEncryptionContext")?,
                context(request, "DestinationEncryptionContext")?,
            );
            let source = Side {
                key_id: optional(request, "SourceKeyId")?,
                context: &contexts.0,
                algorithm: algorithm(request, "SourceEncryptionAlgorithm")?,
            };
            let destination = Side {
                key_id: Some(required(request, "DestinationKeyId")?),
                context: &contexts.1,
                algorithm: algorithm(request, "DestinationEncryptionAlgorithm")?,
            };
            if ignores_ciphertext(caller, request)? {
                kms.try_decrypt(caller, "kms:ReEncryptFrom", source)?;
                kms.try_decrypt(caller, "kms:ReEncryptTo", destination)?;
                return Err(KmsError::DryRun.into());
            }
            let moved = kms.re_encrypt(caller, source, &bytes(request, "CiphertextBlob")?, destination)?;
            without_nulls(json!({
                "CiphertextBlob": base64(&moved.ciphertext_blob),
                "SourceKeyId": moved.source_key_arn,
                "KeyId": moved.key_arn,
                "SourceEncryptionAlgorithm": source.algorithm,
                "DestinationEncryptionAlgorithm": destination.algorithm,
                "SourceKeyMaterialId": moved.source_key_material_id,
                "DestinationKeyMaterialId": moved.destination_key_material_id,
            }))
        }
        "GenerateDataKey" => data_key(kms, caller, request, true)?,
        "GenerateDataKeyWithoutPlaintext" => data_key(kms, caller, request, false)?,
        "GenerateRandom" => {
            let missing = || KmsError::Validation("NumberOfBytes is required.".to_owned());
            let len = number(request, "NumberOfBytes")?.ok_or_else(missing)?;
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
    let (spec, usage) = asymmetric::kind(request)?;
    if flag(request, "MultiRegion")? {
        return Err(KmsError::UnsupportedOperation("Multi-Region keys are not supported.".to_owned()));
    }
    let origin = match optional(request, "Origin")? {
        None | Some("AWS_KMS") => Origin::AwsKms,
        Some("EXTERNAL") => Origin::External,
        Some(other) => return Err(unsupported("Origin", other)),
    };
    let entry = kms.create_key(
        caller,
        CreateKey {
            description: optional(request, "Description")?.unwrap_or_default().to_owned(),
            tags: tags(request)?,
            origin: Some(origin),
            spec,
            usage,
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
        (Some(other), None) => return Err(unsupported("KeySpec", other)),
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

/// Is a dry run to judge permissions alone? `DryRunModifiers` means nothing else, and nothing without `DryRun`.
fn ignores_ciphertext(caller: &Caller, request: &Value) -> Result<bool, KmsError> {
    let modifiers = texts(request, "DryRunModifiers")?;
    match modifiers.iter().find(|modifier| *modifier != "IGNORE_CIPHERTEXT") {
        Some(other) => Err(unsupported("DryRunModifiers", other)),
        None if !modifiers.is_empty() && !caller.dry_run => {
            Err(KmsError::Validation("DryRunModifiers can be given with DryRun only.".to_owned()))
        }
        None => Ok(!modifiers.is_empty()),
    }
}

/// An algorithm of encryption; the symmetric one where none is named.
fn algorithm<'r>(request: &'r Value, name: &str) -> Result<&'r str, KmsError> {
    Ok(optional(request, name)?.unwrap_or(SYMMETRIC_DEFAULT))
}

/// The id of key material, which AWS tells of symmetric keys alone.
fn shown_material(entry: &Entry, material: Option<KeyMaterialId>) -> Option<String> {
    material.filter(|_| entry.key.spec == KeySpec::SymmetricDefault).map(|id| id.to_string())
}

/// Without the fields that have no value.
fn without_nulls(mut answer: Value) -> Value {
    if let Value::Object(fields) = &mut answer {
        fields.retain(|_, value| !value.is_null());
    }
    answer
}

/// `Tags`.
fn tags(request: &Value) -> Result<BTreeMap<String, String>, KmsError> {
    let mut tags = BTreeMap::new();
    for tag in request.get("Tags").and_then(Value::as_array).into_iter().flatten() {
        let (name, value) = (required(tag, "TagKey")?, optional(tag, "TagValue")?.unwrap_or_default());
        if tags.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(KmsError::Tag("Duplicate tag keys".to_owned()));
        }
    }
    Ok(tags)
}

fn rotation_status(status: &RotationStatus) -> Value {
    let mut answer = json!({
        "KeyId": status.key_id.to_string(),
        "KeyRotationEnabled": status.automatic.is_some(),
    });
    if let Some(rotation) = status.automatic {
        answer["RotationPeriodInDays"] = json!(rotation.period_days);
        answer["NextRotationDate"] = time(rotation.next_unix_ms);
    }
    answer
}

/// An entry of `Rotations`.
fn rotation(entry: &Entry, backing: &BackingKey, with_material: bool) -> Value {
    let made = &backing.made;
    let mut row = json!({ "KeyId": entry.key.id.to_string(), "KeyMaterialId": backing.id.to_string() });
    match made.by {
        MadeBy::Automatic => row["RotationType"] = json!("AUTOMATIC"),
        MadeBy::OnDemand => row["RotationType"] = json!("ON_DEMAND"),
        MadeBy::Creation | MadeBy::Pending => {}
    }
    if matches!(made.by, MadeBy::Automatic | MadeBy::OnDemand) {
        row["RotationDate"] = time(made.at_unix_ms);
    }
    if with_material {
        row["KeyMaterialState"] = json!(match made.by {
            MadeBy::Pending => "PENDING_ROTATION",
            _ if entry.key.current_material == Some(backing.id) => "CURRENT",
            _ => "NON_CURRENT",
        });
    }
    if entry.key.origin == Origin::External {
        row["ImportState"] = json!(if backing.has_material() { "IMPORTED" } else { "PENDING_IMPORT" });
        row["KeyMaterialDescription"] = json!(made.description);
        row["ExpirationModel"] = json!(expiration_model(made.expires_unix_ms));
        if let Some(at) = made.expires_unix_ms {
            row["ValidTo"] = time(at);
        }
    }
    row
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
