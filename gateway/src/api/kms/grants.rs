//! Requests and answers that speak of grants.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kms_core::error::KmsError;
use kms_core::grant::{Constraints, Grant};
use kms_core::kms::Kms;
use kms_core::ops::CreateGrant;
use serde_json::{Value, json};

use super::wire::{context, optional, required, texts, time};

/// `GrantTokens`.
pub(super) fn grant_tokens(request: &Value) -> Result<Vec<Vec<u8>>, KmsError> {
    let tokens = texts(request, "GrantTokens")?;
    let invalid = |_| KmsError::InvalidGrantToken("The grant token is not valid.".to_owned());
    tokens.iter().map(|token| STANDARD.decode(token).map_err(invalid)).collect()
}

/// What CreateGrant is asked for.
pub(super) fn create_grant(request: &Value) -> Result<CreateGrant, KmsError> {
    for name in ["GranteeServicePrincipal", "RetiringServicePrincipal"] {
        if optional(request, name)?.is_some() {
            return Err(KmsError::UnsupportedOperation(format!("{name} is not supported.")));
        }
    }
    let constraints = request.get("Constraints").unwrap_or(&Value::Null);
    if constraints.get("SourceArn").is_some_and(|value| !value.is_null()) {
        return Err(KmsError::UnsupportedOperation(
            "The grant constraint SourceArn is not supported.".to_owned(),
        ));
    }
    let pairs = |name: &str| {
        let given = constraints.get(name).is_some_and(|value| !value.is_null());
        let pairs = || {
            context(constraints, name).map(|context| {
                context.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
            })
        };
        given.then(pairs).transpose()
    };
    Ok(CreateGrant {
        key_id: required(request, "KeyId")?.to_owned(),
        grantee: required(request, "GranteePrincipal")?.to_owned(),
        retiring: optional(request, "RetiringPrincipal")?.map(str::to_owned),
        operations: texts(request, "Operations")?,
        constraints: Constraints {
            equals: pairs("EncryptionContextEquals")?,
            subset: pairs("EncryptionContextSubset")?,
        },
        name: optional(request, "Name")?.map(str::to_owned),
    })
}

/// An entry of `Grants`.
pub(super) fn grant(kms: &Kms, grant: &Grant) -> Value {
    let terms = &grant.terms;
    let mut entry = json!({
        "KeyId": kms.arn_of(grant.key_id),
        "GrantId": grant.id.to_string(),
        "Name": terms.name,
        "CreationDate": time(grant.created_unix_ms),
        "GranteePrincipal": terms.grantee,
        "IssuingAccount": terms.issuing_account,
        "Operations": terms.operations,
    });
    if let Some(retiring) = &terms.retiring {
        entry["RetiringPrincipal"] = json!(retiring);
    }
    let Constraints { equals, subset } = &terms.constraints;
    for (name, pairs) in [("EncryptionContextEquals", equals), ("EncryptionContextSubset", subset)] {
        if let Some(pairs) = pairs {
            entry["Constraints"][name] = json!(pairs);
        }
    }
    entry
}
