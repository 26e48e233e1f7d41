//! The condition keys that policies ask for.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>

use std::collections::BTreeMap;

use kms_core::policy::Document;

use super::super::{Request, rules};
use super::source;
use crate::api::query::{Answer, Refusal, texts};

/// `GetContextKeysForCustomPolicy`:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetContextKeysForCustomPolicy.html>
pub(in super::super) fn keys_of_custom(request: &Request<'_>) -> Result<Answer, Refusal> {
    request.authorize("*")?;
    if request.parameters().list("PolicyInputList").is_empty() {
        return Err(rules::missing("policyInputList"));
    }
    let sources = source::given(request.parameters(), "PolicyInputList")?;
    Ok(answer(sources.iter().map(|source| &*source.document)))
}

/// `GetContextKeysForPrincipalPolicy`:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetContextKeysForPrincipalPolicy.html>
pub(in super::super) fn keys_of_principal(request: &Request<'_>) -> Result<Answer, Refusal> {
    let principal = source::principal(request)?;
    let mut sources = source::policies(&request.state, &principal);
    sources.extend(source::given(request.parameters(), "PolicyInputList")?);
    Ok(answer(sources.iter().map(|source| &*source.document)))
}

fn answer<'d>(documents: impl Iterator<Item = &'d Document>) -> Answer {
    Answer::of(|xml| texts(xml, "ContextKeyNames", of(documents)))
}

/// Each once, as it was first written: case does not tell them apart.
pub(super) fn of<'d>(documents: impl Iterator<Item = &'d Document>) -> Vec<String> {
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    for name in documents.flat_map(Document::context_keys) {
        names.entry(name.to_ascii_lowercase()).or_insert(name);
    }
    names.into_values().map(str::to_owned).collect()
}
