//! Requests of the operations that import key material.

use kms_core::error::KmsError;
use kms_core::ops::{ImportKeyMaterial, WrappingAlgorithm};
use serde_json::Value;

use super::wire::{bytes, optional, required, unsupported};

/// `WrappingAlgorithm` and the bits of `WrappingKeySpec`.
pub(super) fn wrapping(request: &Value) -> Result<(WrappingAlgorithm, u32), KmsError> {
    use WrappingAlgorithm as W;
    let algorithm = match required(request, "WrappingAlgorithm")? {
        "RSAES_OAEP_SHA_1" => W::OaepSha1,
        "RSAES_OAEP_SHA_256" => W::OaepSha256,
        "RSA_AES_KEY_WRAP_SHA_1" => W::AesKeyWrapSha1,
        "RSA_AES_KEY_WRAP_SHA_256" => W::AesKeyWrapSha256,
        other => return Err(unsupported("WrappingAlgorithm", other)),
    };
    let bits = match required(request, "WrappingKeySpec")? {
        "RSA_2048" => 2048,
        "RSA_3072" => 3072,
        "RSA_4096" => 4096,
        other => return Err(unsupported("WrappingKeySpec", other)),
    };
    Ok((algorithm, bits))
}

pub(super) fn import(request: &Value) -> Result<ImportKeyMaterial, KmsError> {
    let valid_to = match request.get("ValidTo") {
        None | Some(Value::Null) => None,
        Some(value) => Some(value.as_f64().filter(|s| *s >= 0.0).ok_or_else(|| {
            KmsError::Validation("ValidTo is not a time in seconds since 1970.".to_owned())
        })?),
    };
    let expires = match optional(request, "ExpirationModel")? {
        None | Some("KEY_MATERIAL_EXPIRES") => true,
        Some("KEY_MATERIAL_DOES_NOT_EXPIRE") => false,
        Some(other) => return Err(unsupported("ExpirationModel", other)),
    };
    let expires_unix_ms = match (expires, valid_to) {
        (true, Some(seconds)) => Some((seconds * 1000.0) as u64),
        (false, None) => None,
        (true, None) => {
            return Err(KmsError::Validation(
                "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES".to_owned(),
            ));
        }
        (false, Some(_)) => {
            return Err(KmsError::Validation(
                "A validTo date must not be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE"
                    .to_owned(),
            ));
        }
    };
    Ok(ImportKeyMaterial {
        key_id: required(request, "KeyId")?.to_owned(),
        token: bytes(request, "ImportToken")?,
        wrapped: bytes(request, "EncryptedKeyMaterial")?,
        expires_unix_ms,
        is_new: match optional(request, "ImportType")? {
            None => None,
            Some("NEW_KEY_MATERIAL") => Some(true),
            Some("EXISTING_KEY_MATERIAL") => Some(false),
            Some(other) => return Err(unsupported("ImportType", other)),
        },
        description: optional(request, "KeyMaterialDescription")?.map(str::to_owned),
        material_id: optional(request, "KeyMaterialId")?.map(str::to_owned),
    })
}
