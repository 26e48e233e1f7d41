//! The policy of a form: what its fields may be.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use storage::name::Timestamp;

use super::time::parse_iso8601;
use crate::api::s3::error::{Code, S3Error};
use crate::http::header;

/// Fields that no condition need speak of.
const FREE_FIELDS: [&str; 5] = ["policy", "file", "signature", "awsaccesskeyid", header::SIGNATURE_PARAMETER];
/// Fields of this beginning are of no interest to anybody.
const IGNORED_PREFIX: &str = "x-ignore-";

/// A policy.
#[derive(Debug)]
pub struct PostPolicy {
    expiration: Timestamp,
    conditions: Vec<Condition>,
    /// The fewest and the most bytes of the file.
    length: Option<(u64, u64)>,
}

#[derive(Debug)]
struct Condition {
    test: Test,
    /// As it was written, for the refusal.
    text: String,
}

#[derive(Debug)]
enum Test {
    /// This field, in lower case, has this value or begins so.
    Field { name: String, value: String, is_prefix: bool },
    /// It speaks of nothing that could be: it fails.
    Nothing,
}

impl PostPolicy {
    /// Reads the field `policy`.
    pub fn parse(base64: &str) -> Result<Self, S3Error> {
        let invalid =
            |why: &str| S3Error::new(Code::InvalidPolicyDocument).message(format!("Invalid Policy: {why}"));
        let json = STANDARD.decode(base64.trim()).map_err(|_| invalid("Invalid Base64 encoding."))?;
        let root: Value = serde_json::from_slice(&json).map_err(|_| invalid("Invalid JSON."))?;
        let root = root.as_object().ok_or_else(|| invalid("Invalid JSON."))?;
        let expiration = root.get("expiration").ok_or_else(|| invalid("Policy missing expiration."))?;
        let expiration = expiration.as_str().filter(|text| text.contains('T')).and_then(parse_iso8601);
        let expiration = expiration.ok_or_else(|| invalid("Invalid 'expiration' value"))?;
        let listed = root.get("conditions").ok_or_else(|| invalid("Policy missing conditions."))?;
        let listed =
            listed.as_array().ok_or_else(|| invalid("Invalid 'conditions' value: must be a List."))?;
        let mut policy = Self { expiration, conditions: Vec::new(), length: None };
        for condition in listed {
            if let Value::Object(pairs) = condition
                && pairs.len() != 1
            {
                return Err(invalid(
                    "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.",
                ));
            }
            policy.add(condition).ok_or_else(|| invalid(&format!("Invalid Condition: {condition}")))?;
        }
        Ok(policy)
    }

    fn add(&mut self, condition: &Value) -> Option<()> {
        match condition {
            Value::Object(pairs) if pairs.len() == 1 => {
                let (field, value) = pairs.iter().next()?;
                let value = value.as_str()?.to_owned();
                let text = shown(&["eq", &format!("${field}"), &value]);
                let test = Test::Field { name: field.to_ascii_lowercase(), value, is_prefix: false };
                self.conditions.push(Condition { test, text });
            }
            Value::Array(list) => match &list[..] {
                [Value::String(operator), min, max]
                    if operator.eq_ignore_ascii_case("content-length-range") =>
                {
                    if let (Value::String(low), Value::String(high)) = (min, max)
                        && (number(min).is_none() || number(max).is_none())
                    {
                        let text = shown(&["content-length-range", low, high]);
                        self.conditions.push(Condition { test: Test::Nothing, text });
                        return Some(());
                    }
                    let (min, max) = (number(min)?, number(max)?);
                    if min > max {
                        return None;
                    }
                    // Of two both hold.
                    let (low, high) = self.length.unwrap_or((0, u64::MAX));
                    self.length = Some((low.max(min), high.min(max)));
                }
                [Value::String(operator), Value::String(field), Value::String(value)] => {
                    let operator = operator.to_ascii_lowercase();
                    let is_prefix = match operator.as_str() {
                        "eq" => false,
                        "starts-with" => true,
                        _ => return None,
                    };
                    let text = shown(&[&operator, field, value]);
                    let test = match field.strip_prefix('$') {
                        Some(field) => {
                            Test::Field { name: field.to_ascii_lowercase(), value: value.clone(), is_prefix }
                        }
                        None => Test::Nothing,
                    };
                    self.conditions.push(Condition { test, text });
                }
                _ => return None,
            },
            _ => return None,
        }
        Some(())
    }

    /// Refuses fields that the policy does not allow. `fields` are by lower-case names.
    pub fn check<'a>(
        &self,
        bucket: &'a str,
        fields: &'a [(String, String)],
        now: Timestamp,
    ) -> Result<(), S3Error> {
        let denied = |why: String| {
            S3Error::new(Code::AccessDenied).message(format!("Invalid according to Policy: {why}"))
        };
        if self.expiration <= now {
            return Err(denied("Policy expired.".to_owned()));
        }
        let value_of = |name: &str| match name {
            "bucket" => Some(bucket),
            name => fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str()),
        };
        for condition in &self.conditions {
            let holds = match &condition.test {
                Test::Nothing => false,
                Test::Field { name, value, is_prefix } => {
                    let given = value_of(name).unwrap_or_default();
                    match is_prefix {
                        // A list of types in one field: each begins so.
                        true if name == "content-type" => {
                            given.split(',').all(|one| one.trim().starts_with(value))
                        }
                        true => given.starts_with(value),
                        false => given == value,
                    }
                }
            };
            if !holds {
                return Err(denied(format!("Policy Condition failed: {}", condition.text)));
            }
        }
        let is_spoken_of = |field: &str| {
            FREE_FIELDS.contains(&field)
                || field.starts_with(IGNORED_PREFIX)
                || self
                    .conditions
                    .iter()
                    .any(|condition| matches!(&condition.test, Test::Field { name, .. } if name == field))
        };
        // The bucket is one, though it stands in the address.
        let mut given = fields.iter().map(|(name, _)| name.as_str()).chain(["bucket"]);
        match given.find(|name| !is_spoken_of(name)) {
            Some(name) => Err(denied(format!("Extra input fields: {name}"))),
            None => Ok(()),
        }
    }

    /// The fewest and the most bytes that the file may have.
    pub fn length(&self) -> (u64, u64) {
        self.length.unwrap_or((0, u64::MAX))
    }
}

/// A condition as refusals show it.
fn shown(parts: &[&str; 3]) -> String {
    let parts = parts.map(|part| Value::from(part).to_string());
    format!("[{}]", parts.join(", "))
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(conditions: &str) -> Result<PostPolicy, S3Error> {
        let json = format!(r#"{{"expiration":"2030-01-01T00:00:00Z","conditions":[{conditions}]}}"#);
        PostPolicy::parse(&STANDARD.encode(json))
    }

    fn check(conditions: &str, fields: &[(&str, &str)]) -> Result<(), String> {
        let fields: Vec<_> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let checked = policy(conditions).unwrap().check("b", &fields, Timestamp(1_795_000_000_000));
        checked.map_err(|error| error.client_message().to_owned())
    }

    #[test]
    fn conditions_are_judged() {
        let key = ("key", "user/a");
        assert_eq!(check(r#"{"bucket":"b"},["starts-with","$key","user/"]"#, &[key]), Ok(()));
        let failed =
            |text: &str| Err(format!("Invalid according to Policy: Policy Condition failed: {text}"));
        assert_eq!(check(r#"{"bucket":"c"}"#, &[]), failed(r#"["eq", "$bucket", "c"]"#));
        assert_eq!(
            check(r#"["starts-with","$key","me/"]"#, &[key]),
            failed(r#"["starts-with", "$key", "me/"]"#)
        );
        assert_eq!(check(r#"["eq","$acl","private"]"#, &[]), failed(r#"["eq", "$acl", "private"]"#));
        let extra = Err("Invalid according to Policy: Extra input fields: acl".to_owned());
        assert_eq!(check(r#"{"bucket":"b"},["starts-with","$key",""]"#, &[key, ("acl", "private")]), extra);
        assert_eq!(
            check(
                r#"{"bucket":"b"},["STARTS-with","$key",""]"#,
                &[key, ("x-ignore-me", "1"), ("policy", "p")]
            ),
            Ok(())
        );
        assert_eq!(
            check(
                r#"{"bucket":"b"},["starts-with","$Content-Type","image/"]"#,
                &[("content-type", "image/a,image/b")]
            ),
            Ok(())
        );
    }

    #[test]
    fn conditions_of_nothing_fail() {
        let failed =
            |text: &str| Err(format!("Invalid according to Policy: Policy Condition failed: {text}"));
        assert_eq!(check(r#"["eq","key","a"]"#, &[("key", "a")]), failed(r#"["eq", "key", "a"]"#));
        let range = r#"["content-length-range", "test", "10"]"#;
        assert_eq!(check(range, &[]), failed(range));
        let extra = Err("Invalid according to Policy: Extra input fields: bucket".to_owned());
        assert_eq!(check(r#"["eq","$key","a"]"#, &[("key", "a")]), extra);
    }

    #[test]
    fn malformed_policies_are_refused() {
        assert_eq!(policy(r#"["content-length-range",1,10]"#).unwrap().length(), (1, 10));
        for bad in [
            r#"["content-length-range",10,1]"#,
            r#"["content-length-range",-1,1]"#,
            r#"["content-length-range",0]"#,
            "{}",
            r#"["like","$key","a"]"#,
            r#"{"a":1}"#,
            "1",
        ] {
            assert_eq!(policy(bad).unwrap_err().code, Code::InvalidPolicyDocument, "{bad}");
        }
        for bad in ["%", "e30=", "W10="] {
            assert_eq!(PostPolicy::parse(bad).unwrap_err().code, Code::InvalidPolicyDocument, "{bad}");
        }
        let expired =
            PostPolicy::parse(&STANDARD.encode(r#"{"expiration":"2020-01-01T00:00:00Z","conditions":[]}"#));
        let refused = expired.unwrap().check("b", &[], Timestamp(1_795_000_000_000)).unwrap_err();
        assert_eq!(refused.client_message(), "Invalid according to Policy: Policy expired.");
    }
}
