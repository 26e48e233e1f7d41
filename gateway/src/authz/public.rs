//! Is a policy public, in the sense of the block of public access?
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html#access-control-block-public-access-policy-status>

use kms_core::policy::{Document, Effect, Principals};

/// Condition keys that, with fixed values, make a statement for everybody one for some.
const NARROWING: [&str; 13] = [
    "aws:sourceip",
    "aws:sourcearn",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:sourceowner",
    "aws:sourceaccount",
    "aws:userid",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalarn",
    "aws:principalaccount",
    "s3:dataaccesspointarn",
    "s3:dataaccesspointaccount",
];

/// Does a statement allow everybody something, without a condition that narrows it?
pub fn is_public(document: &Document) -> bool {
    document.statements.iter().any(|statement| {
        statement.effect == Effect::Allow
            && matches!(statement.principals, Some(Principals::Everybody | Principals::AllBut(_)))
            && !statement.conditions.narrow(&NARROWING)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(principal: &str, condition: &str) -> bool {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{principal},"Action":"s3:GetObject",
               "Resource":"arn:aws:s3:::b/*","Condition":{condition}}}}}"#
        );
        is_public(&Document::parse_resource(&text).unwrap())
    }

    #[test]
    fn everybody_unless_narrowed() {
        let everybody = r#""*""#;
        assert!(public(everybody, "{}"));
        assert!(public(r#"{"AWS":"*"}"#, "{}"));
        assert!(!public(r#"{"AWS":"111122223333"}"#, "{}"));
        assert!(!public(everybody, r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#));
        assert!(public(everybody, r#"{"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}}"#));
        assert!(public(everybody, r#"{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#));
        assert!(!public(everybody, r#"{"StringEquals":{"aws:SourceVpc":"vpc-1"}}"#));
        assert!(public(everybody, r#"{"StringLike":{"aws:SourceVpc":"vpc-*"}}"#));
        assert!(public(everybody, r#"{"Bool":{"aws:SecureTransport":"true"}}"#));
    }
}
