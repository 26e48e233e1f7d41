//! What the audit tells of a request's parameters: never a secret, and nothing without a bound.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::super::detail::RequestDetail;
use super::super::request::{RequestRecord, Service};
use crate::observe::texts::Text;

/// The most parameters that are told.
const MAX_COUNT: usize = 64;
/// The most characters of a value that are told.
const MAX_VALUE_LEN: usize = 2048;
/// What is told in place of a secret.
pub(crate) const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";

/// Parameters whose values are secrets, or open something: parts of their names in lower case.
const SECRET: [&str; 14] = [
    "signature",
    "security-token",
    "securitytoken",
    "sessiontoken",
    "webidentitytoken",
    "samlassertion",
    "password",
    "secret",
    "plaintext",
    "keymaterial",
    "ciphertext",
    "tokencode",
    "serialnumber",
    "granttoken",
];

/// What may be told of a parameter's value.
pub(crate) fn told(name: &str, value: &str) -> String {
    if is_secret(name) {
        return HIDDEN.to_owned();
    }
    match value.char_indices().nth(MAX_VALUE_LEN) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

/// How deep a value may be nested that is told.
const MAX_DEPTH: usize = 8;

/// What may be told of a value of JSON: nested ones are judged by their own names, which are written as CloudTrail does.
pub(crate) fn told_value(name: &str, value: &Value) -> Value {
    told_within(name, value, MAX_DEPTH)
}

fn told_within(name: &str, value: &Value, depth: usize) -> Value {
    // Names in encryption contexts tell what was asked for, values are nobody's business.
    let is_context = name.eq_ignore_ascii_case("encryptioncontext");
    match value {
        Value::String(text) => told(name, text).into(),
        Value::Null | Value::Bool(_) | Value::Number(_) if is_secret(name) => HIDDEN.into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        Value::Array(_) | Value::Object(_) if depth == 0 || is_secret(name) => HIDDEN.into(),
        Value::Array(items) => {
            items.iter().take(MAX_COUNT).map(|item| told_within(name, item, depth - 1)).collect()
        }
        Value::Object(members) => {
            let told = members.iter().take(MAX_COUNT).map(|(inner, value)| match is_context {
                true => (inner.clone(), HIDDEN.into()),
                false => (camel_case(inner), told_within(inner, value, depth - 1)),
            });
            Value::Object(told.collect())
        }
    }
}

/// A name as CloudTrail writes it: `UserName` is `userName`.
pub(crate) fn camel_case(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + letters.as_str())
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|part| name.contains(part))
}

/// The parameters of a request.
pub(super) fn of_request(record: &RequestRecord, detail: &RequestDetail) -> Option<Map<String, Value>> {
    let mut all = Map::new();
    if record.service == Service::S3 {
        if let Some(bucket) = detail.bucket() {
            all.insert("bucketName".to_owned(), json!(bucket));
        }
        if let Some(object) = detail.object() {
            all.insert("key".to_owned(), json!(object));
        }
        if let Some(host) = detail.texts.bytes(Text::Host) {
            all.insert("Host".to_owned(), json!(String::from_utf8_lossy(host)));
        }
    }
    if record.service == Service::S3 || record.service == Service::Minio {
        for pair in
            detail.texts.text(Text::Query).unwrap_or_default().split('&').filter(|pair| !pair.is_empty())
        {
            if all.len() >= MAX_COUNT {
                break;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            let name = decoded(name);
            let value = told(&name, &decoded(value));
            all.entry(name).or_insert(Value::String(value));
        }
    }
    for (name, value) in detail.parameters.iter().take(MAX_COUNT) {
        all.insert(name.clone(), value.clone());
    }
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_values_are_judged_by_their_own_names() {
        let given = json!({
            "Credentials": { "AccessKeyId": "AKIA", "SecretAccessKey": "s", "SessionToken": "t" },
            "EncryptionContext": { "Patient": "Alice" },
            "GrantTokens": ["g"],
            "DryRun": true,
            "Tags": [{ "TagKey": "k", "TagValue": "v" }],
            "Plaintext": "cGxhaW4=",
        });
        let told = told_value("", &given);
        let expected = json!({
            "credentials": { "accessKeyId": "AKIA", "secretAccessKey": HIDDEN, "sessionToken": HIDDEN },
            "encryptionContext": { "Patient": HIDDEN },
            "grantTokens": HIDDEN,
            "dryRun": true,
            "tags": [{ "tagKey": "k", "tagValue": "v" }],
            "plaintext": HIDDEN,
        });
        assert_eq!(told, expected);
        let deep = (0..20).fold(json!("x"), |inner, _| json!({ "a": inner }));
        assert!(told_value("", &deep).to_string().contains(HIDDEN));
    }

    #[test]
    fn secrets_are_hidden_and_long_values_are_cut() {
        assert_eq!(told("X-Amz-Signature", "ab12"), HIDDEN);
        assert_eq!(told("Password", "p"), HIDDEN);
        assert_eq!(told("SecretAccessKey", "p"), HIDDEN);
        assert_eq!(told("UserName", "alice"), "alice");
        assert_eq!(told("PolicyDocument", &"ä".repeat(5000)).chars().count(), MAX_VALUE_LEN + 1);
    }
}
