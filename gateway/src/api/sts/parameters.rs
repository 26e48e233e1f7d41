//! What STS's parameters must be like, as its model has them.

use crate::api::query::rules::{self, Rule};
use crate::api::query::{Call, Code, Refusal};

/// Names of sessions and of federated users have these characters.
fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c))
}

fn is_external_id(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c))
}

const NAME_PATTERN: &str = r"[\w+=,.@-]*";
/// `RoleArn`.
pub(super) const ROLE_ARN: Rule = Rule::of_len(20, 2048);

/// `RoleArn`, of which more than its length must hold: `arn:PARTITION:iam::12 DIGITS:role/[PATH/]NAME`.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns>
pub(super) fn role_arn(text: &str) -> Result<&str, Refusal> {
    let is_partition = |text: &str| text == "aws" || text.starts_with("aws-");
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    let is_role = |text: &str| {
        let path_and_name = text.strip_prefix("role/");
        path_and_name.is_some_and(|text| {
            let (path, name) = text.rsplit_once('/').unwrap_or(("", text));
            !name.is_empty() && is_name(name) && path.bytes().all(|b| b.is_ascii_graphic())
        })
    };
    let fields: Vec<&str> = text.splitn(6, ':').collect();
    match fields[..] {
        ["arn", partition, "iam", "", account, role]
            if is_partition(partition) && is_account(account) && is_role(role) =>
        {
            Ok(text)
        }
        _ => Err(Refusal::new(Code::ValidationError, format!("{text} is invalid"))),
    }
}

/// `RoleSessionName`.
pub(super) const SESSION_NAME: Rule = Rule::of_pattern(2, 64, NAME_PATTERN, is_name);
/// `Name` of GetFederationToken.
pub(super) const FEDERATED_NAME: Rule = Rule::of_pattern(2, 32, NAME_PATTERN, is_name);
/// `SourceIdentity`.
pub(super) const SOURCE_IDENTITY: Rule = Rule::of_pattern(2, 64, NAME_PATTERN, is_name);
/// `ExternalId`.
pub(super) const EXTERNAL_ID: Rule = Rule::of_pattern(2, 1224, r"[\w+=,.@:\/-]*", is_external_id);
/// `EncodedMessage`.
pub(super) const ENCODED_MESSAGE: Rule = Rule::of_len(1, 10240);
/// `AccessKeyId`.
pub(super) const ACCESS_KEY_ID: Rule =
    Rule::of_pattern(16, 128, r"[\w]*", |text| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
/// `WebIdentityToken`.
pub(super) const WEB_IDENTITY_TOKEN: Rule = Rule::of_secret(4, 20_000);
/// `LDAPUsername` and `LDAPPassword`.
pub(super) const LDAP_TEXT: Rule = Rule::of_secret(1, 4096);

/// The shortest session, in seconds.
pub(super) const MIN_DURATION_S: u32 = 900;

/// `DurationSeconds`, up to the longest there is; `default` where none is asked for.
pub(super) fn duration_s(call: &Call<'_>, default: u32, max: u32) -> Result<u32, Refusal> {
    let Some(text) = call.parameters.get("DurationSeconds") else { return Ok(default) };
    let constraint = match text.parse::<i64>() {
        Err(_) => "Member must be an integer".to_owned(),
        Ok(asked) if asked < i64::from(MIN_DURATION_S) => {
            format!("Member must have value greater than or equal to {MIN_DURATION_S}")
        }
        Ok(asked) if asked > i64::from(max) => {
            format!("Member must have value less than or equal to {max}")
        }
        Ok(asked) => return Ok(asked as u32),
    };
    Err(rules::constrained_value(text, "durationSeconds", &constraint))
}

/// What would prove a second factor: nobody has one here, so that whichever is named is not the caller's.
pub(super) fn refuse_mfa(call: &Call<'_>) -> Result<(), Refusal> {
    if call.parameters.get("SerialNumber").or(call.parameters.get("TokenCode")).is_some() {
        let message = "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.";
        return Err(Refusal::new(Code::AccessDenied, message));
    }
    match call.parameters.structures("ProvidedContexts").is_empty() {
        true => Ok(()),
        false => Err(Refusal::not_implemented("The parameter ProvidedContexts")),
    }
}

/// A refusal to whoever uses temporary credentials for what long-term ones are for.
pub(super) fn refuse_session(call: &Call<'_>) -> Result<(), Refusal> {
    match call.identity.session {
        None => Ok(()),
        Some(_) => {
            let message = format!("Cannot call {} with session credentials", call.action);
            Err(Refusal::new(Code::AccessDenied, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_of_roles() {
        for good in [
            "arn:aws:iam::111122223333:role/worker",
            "arn:aws:iam::111122223333:role/a/b/worker@x",
            "arn:aws-cn:iam::111122223333:role/worker",
        ] {
            assert!(role_arn(good).is_ok(), "{good}");
        }
        for bad in [
            "arn:aws:iam::111122223333:user/worker",
            "arn:aws:iam::111122223333:role",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/a/",
            "arn:aws:iam::111122223333:role/a b",
            "arn:aws:iam::11112222333:role/worker",
            "arn:aws:iam::11112222333x:role/worker",
            "arn:aws:iam:eu-west-1:111122223333:role/worker",
            "arn:aws:sts::111122223333:assumed-role/worker/x",
            "arn:else:iam::111122223333:role/worker",
            "arn:aws:iam:111122223333:role/worker",
            "aws:iam::111122223333:role/worker1",
        ] {
            assert!(role_arn(bad).is_err(), "{bad}");
        }
    }
}
