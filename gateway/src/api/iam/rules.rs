//! What parameters must be like: lengths, patterns, ranges, as IAM's model has them.

use super::kind::Kind;
use crate::api::query::rules::member;
pub(super) use crate::api::query::rules::{
    Rule, TAG_KEY, constrained, constrained_value, missing, optional, required, same_key, tags,
};
use crate::api::query::{Code, Parameters, Refusal};

/// A name that is looked for, or of a policy or a group.
pub(super) const NAME: Rule = Rule::of_pattern(1, 128, r"[\w+=,.@-]+", is_name);
/// A path.
pub(super) const PATH: Rule = Rule::of_pattern(1, 512, r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)", is_path);
/// The path of a policy.
const POLICY_PATH: Rule = Rule::of_pattern(1, 512, r"((/[A-Za-z0-9\.,\+@=_-]+)*)/", is_policy_path);
/// The beginning of a path.
const PATH_PREFIX: Rule = Rule::of_pattern(1, 512, r"\u002F[\u0021-\u007F]*", is_path_prefix);
/// An ARN.
pub(super) const ARN: Rule = Rule::of_len(20, 2048);
/// A description of a role.
pub(super) const ROLE_DESCRIPTION: Rule =
    Rule::of_pattern(0, 1000, r"[\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*", is_described);
/// A description of a policy.
pub(super) const POLICY_DESCRIPTION: Rule = Rule::of_len(0, 1000);
/// The id of an access key.
pub(super) const ACCESS_KEY_ID: Rule = Rule::of_pattern(16, 128, r"[\w]+", is_word);
/// The alias of an account.
pub(super) const ALIAS: Rule =
    Rule::of_pattern(3, 63, r"^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$", is_alias);
/// The number of a policy's version.
pub(super) const VERSION_ID: Rule = Rule::of_pattern(0, 64, r"v[1-9][0-9]*(\.[A-Za-z0-9-]*)?", is_version);
/// The URL of an identity provider.
pub(super) const URL: Rule = Rule::of_len(1, 255);
/// Where a listing goes on.
pub(super) const MARKER: Rule = Rule::of_len(1, 1024);

/// The name of what is looked for.
pub(super) fn name_of<T: Kind>(parameters: &Parameters) -> Result<&str, Refusal> {
    checked_name(T::NAME, required(parameters, T::NAME, Rule::of_len(1, 128))?)
}

/// The name that something new gets.
pub(super) fn new_name<'p, T: Kind>(parameters: &'p Parameters, name: &str) -> Result<&'p str, Refusal> {
    checked_name(name, required(parameters, name, Rule::of_len(1, T::MAX_NAME_LEN))?)
}

/// AWS has a text of its own for characters that no name may have.
pub(super) fn checked_name<'p>(name: &str, text: &'p str) -> Result<&'p str, Refusal> {
    if is_name(text) {
        return Ok(text);
    }
    let message = format!(
        "The specified value for {} is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-",
        member(name)
    );
    Err(Refusal::new(Code::ValidationError, message))
}

/// The path that something new gets; `/` where none is given.
pub(super) fn path<'p>(parameters: &'p Parameters, name: &str, of_policy: bool) -> Result<&'p str, Refusal> {
    let rule = if of_policy { POLICY_PATH } else { PATH };
    Ok(optional(parameters, name, rule)?.unwrap_or("/"))
}

/// What paths of a listing begin with; `/` where none is given.
pub(super) fn path_prefix(parameters: &Parameters) -> Result<&str, Refusal> {
    Ok(optional(parameters, "PathPrefix", PATH_PREFIX)?.unwrap_or("/"))
}

/// `true` or `false`; false where it is not there.
pub(super) fn flag(parameters: &Parameters, name: &str) -> Result<bool, Refusal> {
    match parameters.get(name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(text) => Err(constrained_value(text, &member(name), "Member must be a boolean")),
    }
}

/// A number within these bounds that may be there.
pub(super) fn number(
    parameters: &Parameters,
    name: &str,
    (min, max): (u32, u32),
) -> Result<Option<u32>, Refusal> {
    let Some(text) = parameters.get(name) else { return Ok(None) };
    let refuse = |constraint: String| Err(constrained_value(text, &member(name), &constraint));
    match text.parse::<i64>() {
        Ok(number) if number < min.into() => {
            refuse(format!("Member must have value greater than or equal to {min}"))
        }
        Ok(number) if number > max.into() => {
            refuse(format!("Member must have value less than or equal to {max}"))
        }
        Ok(number) => Ok(u32::try_from(number).ok()),
        Err(_) => refuse("Member must be a number".to_owned()),
    }
}

/// One of these texts; none where it is not there.
pub(super) fn one_of<'p>(
    parameters: &'p Parameters,
    name: &str,
    known: &[&str],
) -> Result<Option<&'p str>, Refusal> {
    match parameters.get(name) {
        Some(text) if !known.contains(&text) => Err(not_one_of(text, name, known)),
        text => Ok(text),
    }
}

/// What a text is answered that is none of these.
fn not_one_of(text: &str, name: &str, known: &[&str]) -> Refusal {
    let constraint = format!("Member must satisfy enum value set: [{}]", known.join(", "));
    constrained_value(text, &member(name), &constraint)
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_word(text: &str) -> bool {
    text.bytes().all(is_word_byte)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| is_word_byte(b) || b"+=,.@-".contains(&b))
}

fn is_path(text: &str) -> bool {
    let inside = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
    text == "/"
        || inside.is_some_and(|inside| !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_graphic()))
}

fn is_policy_path(text: &str) -> bool {
    let part =
        |part: &str| !part.is_empty() && part.bytes().all(|b| is_word_byte(b) || b".,+@=-".contains(&b));
    let inside = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
    text == "/" || inside.is_some_and(|inside| inside.split('/').all(part))
}

fn is_path_prefix(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|b| (0x21..=0x7f).contains(&b))
}

fn is_described(text: &str) -> bool {
    let fits = |c| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{7e}' | '\u{a1}'..='\u{ff}');
    text.chars().all(fits)
}

fn is_alias(text: &str) -> bool {
    let ends = |c: char| c != '-';
    text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && text.starts_with(ends)
        && text.ends_with(ends)
        && !text.contains("--")
}

fn is_version(text: &str) -> bool {
    let Some(rest) = text.strip_prefix('v') else { return false };
    let (number, label) = rest.split_once('.').unwrap_or((rest, ""));
    !number.is_empty()
        && !number.starts_with('0')
        && number.bytes().all(|b| b.is_ascii_digit())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iam::{Role, User};

    fn parsed(text: &str) -> Parameters {
        Parameters::parse(&[text.as_bytes()]).unwrap()
    }

    fn message<T>(result: Result<T, Refusal>) -> String {
        result.err().map(|refusal| refusal.message.into_owned()).unwrap_or_default()
    }

    #[test]
    fn names() {
        for good in ["a", "A_b+=,.@-9", &"x".repeat(64)] {
            let text = format!("UserName={}", good.replace('+', "%2B"));
            assert_eq!(new_name::<User>(&parsed(&text), "UserName").unwrap(), good);
        }
        assert_eq!(
            message(new_name::<User>(&parsed("UserName=a%20b"), "UserName")),
            "The specified value for userName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"
        );
        assert_eq!(
            message(new_name::<Role>(&parsed(&format!("RoleName={}", "x".repeat(65))), "RoleName")),
            format!(
                "1 validation error detected: Value '{}' at 'roleName' failed to satisfy constraint: Member must have length less than or equal to 64",
                "x".repeat(65)
            )
        );
        assert_eq!(
            message(name_of::<User>(&parsed(""))),
            "1 validation error detected: Value null at 'userName' failed to satisfy constraint: Member must not be null"
        );
        assert!(name_of::<User>(&parsed(&format!("UserName={}", "x".repeat(65)))).is_ok());
    }

    #[test]
    fn paths() {
        for good in ["/", "/a/", "/a/b/", "//"] {
            assert_eq!(PATH.broken_by(good).is_none(), good != "//", "{good}");
        }
        for bad in ["", "a", "/a", "a/", "/a b/", "/ü/"] {
            assert!(PATH.broken_by(bad).is_some(), "{bad}");
        }
        assert!(POLICY_PATH.broken_by("/a!b/").is_some());
        assert!(POLICY_PATH.broken_by("/a//b/").is_some());
        assert!(PATH_PREFIX.broken_by("/a").is_none());
    }

    #[test]
    fn other_texts() {
        for (rule, text, fits) in [
            (ALIAS, "my-alias", true),
            (ALIAS, "my--alias", false),
            (ALIAS, "-my-alias", false),
            (ALIAS, "My-alias", false),
            (VERSION_ID, "v12", true),
            (VERSION_ID, "v0", false),
            (VERSION_ID, "v1.a-b", true),
            (VERSION_ID, "1", false),
            (TAG_KEY, "Kostenstelle für alles: a/b@c", true),
            (TAG_KEY, "a!b", false),
            (TAG_KEY, "a\nb", false),
        ] {
            assert_eq!(rule.broken_by(text).is_none(), fits, "{text}");
        }
    }

    #[test]
    fn numbers_and_choices() {
        assert_eq!(number(&parsed("N=5"), "N", (1, 10)).unwrap(), Some(5));
        assert_eq!(number(&parsed(""), "N", (1, 10)).unwrap(), None);
        for bad in ["N=0", "N=11", "N=x", "N="] {
            assert!(number(&parsed(bad), "N", (1, 10)).is_err(), "{bad}");
        }
        assert!(one_of(&parsed("S=Active"), "S", &["Active"]).is_ok());
        assert_eq!(
            message(one_of(&parsed("Status=x"), "Status", &["Active", "Inactive"])),
            "1 validation error detected: Value 'x' at 'status' failed to satisfy constraint: Member must satisfy enum value set: [Active, Inactive]"
        );
    }
}
