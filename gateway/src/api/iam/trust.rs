//! What is asked of trust policies of roles.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>

use kms_core::policy::is_principal;
use serde_json::{Map, Value};

use super::policy_document::{check_sids, counted_len, malformed, object, statements, texts};
use super::quota::Quota;
use crate::iam::{Bindings, IamError, State, TrustPolicy};

/// Reads a trust policy. Everybody whom it names must exist, and is bound to the id that he has now.
pub(super) fn policy(text: &str, all: &State, accept_unknown: bool) -> Result<TrustPolicy, IamError> {
    Quota::AssumeRolePolicySize.check(counted_len(text))?;
    let syntax = || malformed("Syntax errors in policy.");
    let invalid_json = || malformed("This policy contains invalid Json");
    let root = object(text).map_err(|why| why.map_or_else(invalid_json, malformed))?;
    let statements = statements(&root).ok_or_else(syntax)?;
    check_sids(&statements)?;
    for statement in statements {
        check(statement)?;
    }
    let unbound = TrustPolicy::new(text.to_owned(), Bindings::new()).map_err(|_| syntax())?;
    let ids = all.bind(unbound.document(), accept_unknown);
    let ids = ids.map_err(|unknown| malformed(format!("Invalid principal in policy: {unknown}")))?;
    TrustPolicy::new(text.to_owned(), ids).map_err(|_| syntax())
}

fn check(statement: &Map<String, Value>) -> Result<(), IamError> {
    for name in ["Resource", "NotResource", "NotPrincipal"] {
        if statement.contains_key(name) {
            return Err(malformed(format!("Has prohibited field {name}")));
        }
    }
    let principals =
        statement.get("Principal").ok_or_else(|| malformed("Missing required field Principal"))?;
    let actions = [texts(statement, "Action"), texts(statement, "NotAction")].concat();
    if actions.is_empty() {
        return Err(malformed("Missing required field Action"));
    }
    if !actions.iter().all(|action| action.to_ascii_lowercase().starts_with("sts:")) {
        return Err(malformed("AssumeRole policy may only specify STS AssumeRole actions."));
    }
    for (kind, principals) in principals.as_object().into_iter().flatten() {
        let names: Vec<&str> = match principals {
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            single => single.as_str().into_iter().collect(),
        };
        for name in names {
            let may_stand = match kind.as_str() {
                "AWS" => name == "*" || is_principal(name),
                "Service" => name.ends_with(".amazonaws.com"),
                "Federated" => true,
                _ => false,
            };
            if !may_stand {
                return Err(malformed(format!("Invalid principal in policy: \"{kind}\":\"{name}\"")));
            }
        }
    }
    Ok(())
}
