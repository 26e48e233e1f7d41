//! What the audit tells of a request's parameters: never a secret, and nothing without a bound.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::super::request::{RequestDetail, RequestRecord, Service};

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
    "granttokens",
];

/// What may be told of a parameter's value.
pub(crate) fn told(name: &str, value: &str) -> String {
    let name = name.to_ascii_lowercase();
    if SECRET.iter().any(|part| name.contains(part)) {
        return HIDDEN.to_owned();
    }
    match value.char_indices().nth(MAX_VALUE_LEN) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

/// The parameters of a request.
pub(super) fn of_request(record: &RequestRecord, detail: &RequestDetail) -> Option<Map<String, Value>> {
    let mut all = Map::new();
    if record.service == Service::S3 {
        if let Some(bucket) = &detail.bucket {
            all.insert("bucketName".to_owned(), json!(bucket));
        }
        if let Some(object) = &detail.object {
            all.insert("key".to_owned(), json!(object));
        }
        if let Some(host) = &detail.host {
            all.insert("Host".to_owned(), json!(String::from_utf8_lossy(host.as_bytes())));
        }
    }
    if record.service == Service::S3 || record.service == Service::Minio {
        for pair in detail.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
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
        all.insert(name.clone(), Value::String(value.clone()));
    }
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_long_values_are_cut() {
        assert_eq!(told("X-Amz-Signature", "ab12"), HIDDEN);
        assert_eq!(told("Password", "p"), HIDDEN);
        assert_eq!(told("SecretAccessKey", "p"), HIDDEN);
        assert_eq!(told("UserName", "alice"), "alice");
        assert_eq!(told("PolicyDocument", &"ä".repeat(5000)).chars().count(), MAX_VALUE_LEN + 1);
    }
}
