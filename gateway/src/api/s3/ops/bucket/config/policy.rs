//! PutBucketPolicy, GetBucketPolicy, DeleteBucketPolicy, GetBucketPolicyStatus.

use http::{HeaderValue, header};
use kms_core::policy::{Document, Effect, STATEMENT_ELEMENTS, Statement, invalid_principal};
use serde_json::Value;
use storage::name::BucketName;

use super::{get, set, unset};
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::request_document;
use crate::api::s3::response;
use crate::api::s3::wire::settings::word;
use crate::app::App;
use crate::authz::condition_keys::{self, Action};
use crate::authz::{self, Permit};
use crate::bucket::{Policy, PublicAccessBlock, Setting};

/// The longest policy, in bytes: AWS's quota.
const MAX_LEN: usize = 20 << 10;

/// `PutBucketPolicy`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketPolicy.html>.
pub async fn put_bucket_policy(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let body = request_document::read(&mut request, request_document::CONFIG_MAX_LEN).await?;
    let bucket = permit.bucket();
    let text = String::from_utf8(body.to_vec())
        .map_err(|_| malformed("Policies must be valid JSON and the first byte must be '{'"))?;
    let document = check(&text, &bucket.name)?;
    let bindings = app.iam.state().bind(&document, app.iam.accept_unknown_principals);
    let bindings =
        bindings.map_err(|error| malformed(INVALID_PRINCIPAL).field("Detail", error.to_string()))?;
    let block = PublicAccessBlock::in_force(bucket)?;
    if block.block_public_policy && authz::is_public(&document) {
        return Err(S3Error::new(Code::AccessDenied).message(
            "public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.",
        ));
    }
    set(app, bucket, &Policy { text, bindings }).await?;
    Ok(response::no_content())
}

/// Reads a policy as AWS does when it is set: of this bucket, for actions of S3.
fn check(text: &str, bucket: &BucketName) -> Result<Document, S3Error> {
    if text.len() > MAX_LEN {
        return Err(malformed("Policy exceeds the maximum allowed document size."));
    }
    if !text.starts_with('{') {
        return Err(malformed("Policies must be valid JSON and the first byte must be '{'"));
    }
    let root: Value =
        serde_json::from_str(text).map_err(|_| malformed("This policy contains invalid Json"))?;
    expect_fields(&root, &["Version", "Id", "Statement"])?;
    let statements = match root.get("Statement") {
        Some(Value::Array(list)) => list.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => return Err(malformed("Missing required field Statement")),
    };
    if statements.is_empty() {
        return Err(malformed("Could not parse the policy: Statement is empty!"));
    }
    let version = root.get("Version");
    if version.is_some_and(|version| version != "2012-10-17" && version != "2008-10-17") {
        return Err(malformed("The policy must contain a valid version string"));
    }
    for statement in statements {
        expect_elements(statement)?;
    }
    let document = Document::parse_resource(text).map_err(|error| {
        let is_of_principals = error == invalid_principal();
        malformed(if is_of_principals { INVALID_PRINCIPAL.to_owned() } else { error.0 })
    })?;
    for (statement, read) in statements.iter().zip(&document.statements) {
        check_statement(statement, read, bucket)?;
    }
    Ok(document)
}

const INVALID_PRINCIPAL: &str = "Invalid principal in policy";

fn expect_fields(value: &Value, known: &[&str]) -> Result<(), S3Error> {
    let Some(map) = value.as_object() else { return Err(malformed("Invalid policy syntax.")) };
    match map.keys().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => Err(malformed(format!("Unknown field {unknown}"))),
        None => Ok(()),
    }
}

/// Does a statement have what every statement of a bucket policy has?
fn expect_elements(statement: &Value) -> Result<(), S3Error> {
    expect_fields(statement, &STATEMENT_ELEMENTS)?;
    let given = |names: &[&str]| names.iter().find_map(|name| statement.get(name));
    let required = |name: &str, negated: &str| {
        given(&[name, negated]).ok_or_else(|| malformed(format!("Missing required field {name}")))
    };
    match required("Effect", "Effect")?.as_str() {
        Some("Allow" | "Deny") => {}
        other => return Err(malformed(format!("Invalid effect: {}", other.unwrap_or_default()))),
    }
    if required("Principal", "NotPrincipal")?.as_object().is_some_and(serde_json::Map::is_empty) {
        return Err(malformed("Missing required field Principal cannot be empty!"));
    }
    required("Action", "NotAction")?;
    required("Resource", "NotResource")?;
    Ok(())
}

fn check_statement(statement: &Value, read: &Statement, bucket: &BucketName) -> Result<(), S3Error> {
    let strings = |names: [&str; 2]| {
        let value = names.iter().find_map(|name| statement.get(name));
        match value {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(single)) => vec![single.as_str()],
            _ => Vec::new(),
        }
    };
    let (actions, resources) = (strings(["Action", "NotAction"]), strings(["Resource", "NotResource"]));
    if read.effect == Effect::Allow && statement.get("NotPrincipal").is_some() {
        return Err(malformed("Allow with NotPrincipal is not allowed."));
    }
    if actions.is_empty() {
        return Err(malformed("Missing required field Action"));
    }
    if resources.is_empty() {
        return Err(malformed("Missing required field Resource"));
    }
    if actions.iter().any(|action| condition_keys::actions_like(action).next().is_none()) {
        return Err(malformed("Policy has invalid action"));
    }
    if !resources.iter().all(|resource| is_of(resource, bucket)) {
        return Err(malformed("Policy has invalid resource"));
    }
    let keys: Vec<String> = read.conditions.names().map(str::to_ascii_lowercase).collect();
    if !keys.iter().all(|key| condition_keys::is_known(key)) {
        return Err(malformed("Policy has an invalid condition key"));
    }
    // All but some are of both kinds, and so may a pattern be.
    let is_negated = statement.get("NotResource").is_some();
    let of_buckets = is_negated || resources.iter().any(|resource| !resource.contains('/'));
    let of_objects =
        is_negated || resources.iter().any(|resource| resource.contains('/') || resource.ends_with('*'));
    let speaks_of = |action: &Action| of_buckets && action.of_buckets || of_objects && action.of_objects;
    // What is not to be meant may be anything.
    let meant = if statement.get("NotAction").is_some() { vec!["s3:*"] } else { actions };
    for pattern in meant {
        let of_resources = || condition_keys::actions_like(pattern).filter(|(_, action)| speaks_of(action));
        if of_resources().next().is_none() {
            return Err(malformed("Action does not apply to any resource(s) in statement"));
        }
        if !keys.iter().all(|key| of_resources().any(|(name, _)| condition_keys::applies(name, key))) {
            return Err(malformed(
                "Conditions do not apply to combination of actions and resources in statement",
            ));
        }
    }
    Ok(())
}

/// Is it this bucket, its objects, or a pattern of them?
fn is_of(resource: &str, bucket: &BucketName) -> bool {
    let Some(rest) = resource.strip_prefix("arn:aws:s3:::") else { return resource == "*" };
    let name = rest.split('/').next().unwrap_or_default();
    let fits = match name.find(['*', '?', '$']) {
        None => name == bucket.as_str(),
        Some(at) => bucket.as_str().starts_with(&name[..at]),
    };
    fits && !name.is_empty()
}

fn malformed(message: impl Into<std::borrow::Cow<'static, str>>) -> S3Error {
    S3Error::new(Code::MalformedPolicy).message(message)
}

/// `GetBucketPolicy`: the text as it was given, but for principals who are gone.
pub async fn get_bucket_policy(
    app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    let Policy { text, bindings } = get(permit.bucket(), Code::NoSuchBucketPolicy)?;
    let text = app.iam.state().shown(&text, &bindings);
    let mut response = response::xml(text.into_bytes());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// `DeleteBucketPolicy`.
pub async fn delete_bucket_policy(
    app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    unset::<Policy>(app, permit.bucket()).await?;
    Ok(response::no_content())
}

/// `GetBucketPolicyStatus`: is the policy public?
pub async fn get_bucket_policy_status(
    _app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    let Policy { text, .. } = get(permit.bucket(), Code::NoSuchBucketPolicy)?;
    let document =
        Document::parse_resource(&text).map_err(|_| crate::bucket::CorruptSetting(Policy::NAME))?;
    let is_public = if authz::is_public(&document) { "true" } else { "false" };
    Ok(response::xml(word("PolicyStatus", Some(("IsPublic", is_public)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_checked_when_they_are_set() {
        let bucket = BucketName::parse("bucket").unwrap();
        let policy = |action: &str, resource: &str| {
            let text = format!(
                r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":"*","Action":{action},"Resource":{resource}}}]}}"#
            );
            super::check(&text, &bucket).map(drop).map_err(|error| error.client_message().to_owned())
        };
        assert_eq!(policy(r#""s3:GetObject""#, r#""arn:aws:s3:::bucket/*""#), Ok(()));
        assert_eq!(
            policy(
                r#"["s3:ListBucket","s3:GetObject"]"#,
                r#"["arn:aws:s3:::bucket","arn:aws:s3:::bucket/*"]"#
            ),
            Ok(())
        );
        assert_eq!(policy(r#""s3:*""#, r#""arn:aws:s3:::bucket*""#), Ok(()));
        let invalid = |what: &str| Err(format!("Policy has invalid {what}"));
        assert_eq!(policy(r#""s3:GetObject""#, r#""arn:aws:s3:::other/*""#), invalid("resource"));
        assert_eq!(policy(r#""kms:Decrypt""#, r#""arn:aws:s3:::bucket/*""#), invalid("action"));
        let none = Err("Action does not apply to any resource(s) in statement".to_owned());
        assert_eq!(policy(r#""s3:GetObject""#, r#""arn:aws:s3:::bucket""#), none);
        assert_eq!(policy(r#""s3:ListBucket""#, r#""arn:aws:s3:::bucket/*""#), none);
        let conditioned = |action: &str, condition: &str| {
            let text = format!(
                r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Principal":"*","Action":{action},
                   "Resource":["arn:aws:s3:::bucket","arn:aws:s3:::bucket/*"],"Condition":{{"StringEquals":{{{condition}}}}}}}]}}"#
            );
            super::check(&text, &bucket).map(drop).map_err(|error| error.client_message().to_owned())
        };
        assert_eq!(conditioned(r#""s3:ListBucket""#, r#""s3:prefix":"a""#), Ok(()));
        assert_eq!(conditioned(r#""s3:*""#, r#""S3:Prefix":"a","aws:SourceVpce":"v""#), Ok(()));
        assert_eq!(conditioned(r#""s3:GetObject""#, r#""s3:ExistingObjectTag/a":"b""#), Ok(()));
        let elsewhere =
            Err("Conditions do not apply to combination of actions and resources in statement".to_owned());
        assert_eq!(conditioned(r#""s3:GetObject""#, r#""s3:prefix":"a""#), elsewhere);
        assert_eq!(conditioned(r#"["s3:ListBucket","s3:GetObject"]"#, r#""s3:prefix":"a""#), elsewhere);
        assert_eq!(conditioned(r#""s3:PutObject""#, r#""s3:ExistingObjectTag/a":"b""#), elsewhere);
        for unknown in ["s3:prefixes", "aws:SourcIp", "prefix", "s3:ExistingObjectTag"] {
            let condition = format!(r#""{unknown}":"a""#);
            let refused = Err("Policy has an invalid condition key".to_owned());
            assert_eq!(conditioned(r#""s3:*""#, &condition), refused, "{unknown}");
        }
        let all_but = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",
            "NotResource":"arn:aws:s3:::bucket"}}"#;
        assert!(super::check(all_but, &bucket).is_ok());
        assert_eq!(policy(r#""s3:GetObjects""#, r#""arn:aws:s3:::bucket/*""#), invalid("action"));
        let but = r#"{"Statement":[{"Effect":"Allow","NotPrincipal":{"AWS":"111122223333"},"Action":"s3:GetObject",
            "Resource":"arn:aws:s3:::bucket/*"}]}"#;
        let refused = super::check(but, &bucket).unwrap_err();
        assert_eq!(refused.client_message(), "Allow with NotPrincipal is not allowed.");
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        let bucket = BucketName::parse("bucket").unwrap();
        let refused = |text: &str| {
            let error = super::check(text, &bucket).unwrap_err();
            assert_eq!(error.code, Code::MalformedPolicy, "{text}");
            error.client_message().to_owned()
        };
        let first_byte = "Policies must be valid JSON and the first byte must be '{'";
        for (text, message) in [
            ("", first_byte),
            ("[]", first_byte),
            ("{", "This policy contains invalid Json"),
            (r#"{"Version":"2012-10-17"}"#, "Missing required field Statement"),
            (r#"{"Statement":[]}"#, "Could not parse the policy: Statement is empty!"),
            (r#"{"Version":"2020","Statement":[{}]}"#, "The policy must contain a valid version string"),
            (r#"{"Statement":[{}],"Else":1}"#, "Unknown field Else"),
        ] {
            assert_eq!(refused(text), message, "{text}");
        }
        for (inner, message) in [
            (r#""Principal":"*","Action":"s3:*","Resource":"*""#, "Missing required field Effect"),
            (r#""Effect":"Perhaps","Principal":"*""#, "Invalid effect: Perhaps"),
            (r#""Effect":"Allow","Action":"s3:*","Resource":"*""#, "Missing required field Principal"),
            (r#""Effect":"Allow","Principal":{}"#, "Missing required field Principal cannot be empty!"),
            (r#""Effect":"Allow","Principal":"*","Resource":"*""#, "Missing required field Action"),
            (r#""Effect":"Allow","Principal":"*","Action":"s3:*""#, "Missing required field Resource"),
            (r#""Effect":"Allow","Principal":"x","Action":"s3:*","Resource":"*""#, INVALID_PRINCIPAL),
            (r#""Effect":"Allow","Actions":"s3:*""#, "Unknown field Actions"),
        ] {
            assert_eq!(refused(&format!(r#"{{"Statement":[{{{inner}}}]}}"#)), message, "{inner}");
        }
    }
}
