//! Why a request was denied, for those who may know: sealed beside the answer, opened by DecodeAuthorizationMessage.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_DecodeAuthorizationMessage.html>

use kms_core::policy::{Context, Outcome};
use serde_json::{Value, json};

use super::Denied;
use crate::iam::{Iam, Identity, Principal};

/// What messages to principals of this account (12 digits) are sealed as: nobody of another can have them opened.
pub fn message_purpose(account: &str) -> String {
    format!("authorization message {account}")
}

/// The longest value of a condition key that is told, in bytes.
const MAX_VALUE_LEN: usize = 96;
/// The most condition keys that are told, and values of each: a message has to fit into a header, through proxies too.
const MAX_KEYS: usize = 16;

/// AWS's text of a decision by policy, and the sealed message.
pub(super) fn explain(
    iam: &Iam,
    identity: &Identity,
    (action, resource): (&str, &str),
    outcome: &Outcome,
    context: impl Fn() -> Context,
) -> Denied {
    if identity.is_anonymous() {
        return Denied::new("Access Denied");
    }
    let (arn, why) = (identity.arn(), outcome.why(action));
    // S3 writes its resources between quotes.
    let quoted = if action.starts_with("s3:") { format!("\"{resource}\"") } else { resource.to_owned() };
    let message = format!("User: {arn} is not authorized to perform: {action} on resource: {quoted} {why}");
    let details = details(identity, (action, resource), outcome, &context());
    let purpose = message_purpose(&identity.subject.account);
    Denied { message, encoded: Some(iam.seal_text(&purpose, &details.to_string())) }
}

fn details(
    identity: &Identity,
    (action, resource): (&str, &str),
    outcome: &Outcome,
    context: &Context,
) -> Value {
    let name = match &identity.principal {
        Principal::User { name, .. } | Principal::FederatedUser { name } => name.as_str(),
        Principal::RoleSession { session_name, .. } => session_name.as_str(),
        Principal::Root | Principal::Anonymous => "",
    };
    let items = |items: Vec<Value>| json!({ "items": items });
    let told = context.iter().chain(&identity.subject.context).take(MAX_KEYS);
    let conditions = told.map(|(key, values)| {
        let values = values.iter().filter(|value| value.len() <= MAX_VALUE_LEN).take(MAX_KEYS);
        json!({ "key": key, "values": items(values.map(|value| json!({ "value": value })).collect()) })
    });
    let conditions = items(conditions.collect());
    json!({
        "allowed": false,
        "explicitDeny": matches!(outcome, Outcome::ExplicitDeny { .. }),
        "matchedStatements": items(Vec::new()),
        "failures": items(Vec::new()),
        "context": {
            "principal": { "id": identity.user_id(), "name": name, "arn": identity.arn() },
            "action": action,
            "resource": resource,
            "conditions": conditions,
        },
        "reason": outcome.why(action),
    })
}
