//! What is asked of policy documents before they are kept, with IAM's texts. What is kept has been read by the evaluator.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::rules::{self, Rule};
use crate::api::query::{Code, Parameters, Refusal};
use crate::iam::{IamError, PolicyText};

const DOCUMENT: Rule = Rule::of_len(1, 131_072);
const SYNTAX: &str = "Syntax errors in policy.";

/// Where an identity policy is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a managed policy.
    Managed,
    /// In a user, group or role.
    Inline,
}

/// The document of a request.
pub(super) fn parameter<'p>(parameters: &'p Parameters, name: &str) -> Result<&'p str, Refusal> {
    let text = rules::required(parameters, name, DOCUMENT)?;
    if text.chars().all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{ff}')) {
        return Ok(text);
    }
    let message =
        "The specified value for policyDocument is invalid. It must contain only printable ASCII characters.";
    Err(Refusal::new(Code::ValidationError, message))
}

/// A document's length as quotas count it: without white space.
pub(super) fn counted_len(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

/// A refused document.
pub(super) fn malformed(message: impl Into<String>) -> IamError {
    IamError::MalformedPolicyDocument(message.into())
}

/// Reads an identity policy.
pub(super) fn identity_policy(text: &str, place: Place) -> Result<PolicyText, IamError> {
    let root = object(text).map_err(|why| malformed(why.unwrap_or_else(|| SYNTAX.to_owned())))?;
    let statements = statements(&root).ok_or_else(|| malformed(SYNTAX))?;
    if statements.iter().any(|s| s.contains_key("Principal") || s.contains_key("NotPrincipal")) {
        return Err(malformed("Policy document should not specify a principal."));
    }
    let policy = PolicyText::parse(text).map_err(|_| malformed(SYNTAX))?;
    if place == Place::Managed && root.get("Version").and_then(Value::as_str) != Some("2012-10-17") {
        return Err(malformed("Policy document must be version 2012-10-17 or greater."));
    }
    check_sids(&statements)?;
    for (names, what) in [(["Action", "NotAction"], "actions"), (["Resource", "NotResource"], "resources")] {
        let has = |s: &&Map<String, Value>| names.iter().any(|name| !texts(s, name).is_empty());
        if !statements.iter().all(has) {
            return Err(malformed(format!("Policy statement must contain {what}.")));
        }
    }
    for statement in &statements {
        for resource in ["Resource", "NotResource"].iter().flat_map(|name| texts(statement, name)) {
            check_resource(resource)?;
        }
        for action in ["Action", "NotAction"].iter().flat_map(|name| texts(statement, name)) {
            check_action(action)?;
        }
    }
    Ok(policy)
}

/// The statements of a document.
pub(super) fn statements(root: &Map<String, Value>) -> Option<Vec<&Map<String, Value>>> {
    match root.get("Statement")? {
        Value::Array(list) if !list.is_empty() => list.iter().map(Value::as_object).collect(),
        Value::Object(single) => Some(vec![single]),
        _ => None,
    }
}

/// The texts of an element: a list, or one.
pub(super) fn texts<'v>(statement: &'v Map<String, Value>, name: &str) -> Vec<&'v str> {
    match statement.get(name) {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(single)) => vec![single],
        _ => Vec::new(),
    }
}

/// Names of statements are letters and digits, and two of one name can't be told apart.
pub(super) fn check_sids(statements: &[&Map<String, Value>]) -> Result<(), IamError> {
    let mut seen = BTreeSet::new();
    for sid in statements.iter().filter_map(|statement| statement.get("Sid")) {
        let sid = sid.as_str().ok_or_else(|| malformed(SYNTAX))?;
        if !sid.bytes().all(|b| b.is_ascii_alphanumeric()) {
            let message = "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*";
            return Err(malformed(message));
        }
        if !sid.is_empty() && !seen.insert(sid) {
            return Err(malformed("Statement IDs (SID) in a single policy must be unique."));
        }
    }
    Ok(())
}

/// `vendor:name`, or everything.
fn check_action(action: &str) -> Result<(), IamError> {
    let Some((vendor, name)) = action.split_once(':') else {
        return match action {
            "*" => Ok(()),
            _ => Err(malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")),
        };
    };
    if name.contains(':') {
        return Err(malformed("Actions/Condition can contain only one colon."));
    }
    let is_vendor = vendor == "*" || vendor.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    match is_vendor && !vendor.is_empty() {
        true => Ok(()),
        false => Err(malformed(format!("Vendor {vendor} is not valid"))),
    }
}

/// An ARN, with wildcards or variables, or everything.
fn check_resource(resource: &str) -> Result<(), IamError> {
    if resource == "*" {
        return Ok(());
    }
    let Some((arn, rest)) = resource.split_once(':') else {
        return Err(malformed(format!("Resource {resource} must be in ARN format or \"*\".")));
    };
    let mut fields = rest.splitn(5, ':');
    let partition = fields.next().unwrap_or_default();
    let fields: Vec<&str> = fields.collect();
    if arn == "arn" && !["aws", "*"].contains(&partition) {
        let shown: Vec<&str> = (0..4).map(|n| fields.get(n).copied().unwrap_or("*")).collect();
        return Err(malformed(format!(
            "Partition \"{partition}\" is not valid for resource \"arn:{partition}:{}\".",
            shown.join(":")
        )));
    }
    // Fewer fields stand for ones that match everything: `arn:aws:s3:*`.
    match (arn, fields.as_slice()) {
        ("arn", []) => Err(malformed("Resource vendor must be fully qualified and cannot contain regexes.")),
        ("arn", [vendor, .., last]) if vendor.is_empty() || fields.len() < 4 && !last.ends_with('*') => {
            Err(malformed("The policy failed legacy parsing"))
        }
        ("arn", _) => Ok(()),
        _ => Err(malformed(format!("Resource {resource} must be in ARN format or \"*\"."))),
    }
}

/// Reads an object; `Err` has the message where there is a better one than of the syntax.
pub(super) fn object(text: &str) -> Result<Map<String, Value>, Option<String>> {
    // Not even a blank may come first.
    if !text.starts_with('{') {
        return Err(None);
    }
    let unique = serde_json::from_str::<Unique>(text).map_err(|error| {
        let message = error.to_string();
        message.starts_with(TWICE).then(|| message.split(" at line ").next().unwrap_or(&message).to_owned())
    });
    match unique?.0 {
        Value::Object(root) => Ok(root),
        _ => Err(None),
    }
}

const TWICE: &str = "Statement/policy already has instance of ";

/// A value in which no object has a name twice: of two only one would hold.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }

            fn visit_unit<E>(self) -> Result<Unique, E> {
                Ok(Unique(Value::Null))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Unique, A::Error> {
                let mut all = Vec::new();
                while let Some(Unique(value)) = list.next_element()? {
                    all.push(value);
                }
                Ok(Unique(all.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
                let mut all = Map::new();
                while let Some((name, Unique(value))) = map.next_entry::<String, Unique>()? {
                    if all.insert(name.clone(), value).is_some() {
                        return Err(A::Error::custom(format!("{TWICE}{name}")));
                    }
                }
                Ok(Unique(all.into()))
            }
        }

        deserializer.deserialize_any(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        identity_policy(text, Place::Managed).err().map(|error| error.to_string()).unwrap_or_default()
    }

    fn with(statement: &str) -> String {
        format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow",{statement}}}]}}"#)
    }

    #[test]
    fn good_policies() {
        for good in [
            r#""Action":"*","Resource":"*""#,
            r#""Action":["s3:Get*","kms:*"],"Resource":["arn:aws:s3:::bucket/*","arn:aws:s3:*"]"#,
            r#""NotAction":"iam:*","NotResource":"arn:aws:iam::*:user/${aws:username}""#,
            r#""Action":"s3:*","Resource":"*","Condition":{"StringLike":{"s3:prefix":["a/*",""]}}"#,
        ] {
            assert_eq!(refused(&with(good)), "", "{good}");
        }
        let single =
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"s3:*","Resource":"*"}}"#;
        assert_eq!(refused(single), "");
        let older =
            r#"{"Version":"2008-10-17","Statement":{"Effect":"Deny","Action":"s3:*","Resource":"*"}}"#;
        assert!(identity_policy(older, Place::Inline).is_ok());
        assert_eq!(refused(older), "Policy document must be version 2012-10-17 or greater.");
    }

    #[test]
    fn bad_policies() {
        for (bad, message) in [
            (r#""Action":"s3:*""#, "Policy statement must contain resources."),
            (r#""Action":"s3:*","Resource":[]"#, "Policy statement must contain resources."),
            (r#""Resource":"*""#, "Policy statement must contain actions."),
            (
                r#""Action":"invalid","Resource":"*""#,
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
            ),
            (r#""Action":"a:b:c","Resource":"*""#, "Actions/Condition can contain only one colon."),
            (r#""Action":"a a:b","Resource":"*""#, "Vendor a a is not valid"),
            (r#""Action":"s3:*","Resource":"bucket""#, "Resource bucket must be in ARN format or \"*\"."),
            (
                r#""Action":"s3:*","Resource":"arn:error:s3:::b""#,
                "Partition \"error\" is not valid for resource \"arn:error:s3:::b\".",
            ),
            (
                r#""Action":"s3:*","Resource":"arn:b:c""#,
                "Partition \"b\" is not valid for resource \"arn:b:c:*:*:*\".",
            ),
            (
                r#""Action":"s3:*","Resource":"*","Principal":"*""#,
                "Policy document should not specify a principal.",
            ),
            (
                r#""Action":"s3:*","Action":"kms:*","Resource":"*""#,
                "Statement/policy already has instance of Action",
            ),
            (r#""Action":"s3:*","Resource":"*","Extra":1"#, SYNTAX),
            (r#""Action":"s3:*","Resource":"*","Condition":{"Maybe":{"a":"b"}}"#, SYNTAX),
        ] {
            assert_eq!(refused(&with(bad)), message, "{bad}");
        }
        for bad in ["", "[]", "{}", "x", r#"{"Version":"2012-10-17","Statement":[]}"#] {
            assert_eq!(refused(bad), SYNTAX, "{bad}");
        }
        let twice = r#"{"Version":"2012-10-17","Statement":[
            {"Sid":"a","Effect":"Allow","Action":"s3:*","Resource":"*"},
            {"Sid":"a","Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
        assert_eq!(refused(twice), "Statement IDs (SID) in a single policy must be unique.");
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(refused(&deep), SYNTAX);
    }
}
