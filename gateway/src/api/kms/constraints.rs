//! What KMS's model demands of the members of requests, which is asked before anything else of them.
//! <https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html>

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kms_core::error::KmsError;
use regex_lite::Regex;
use serde_json::Value;

use super::Refusal;

/// One member of a request a line, as the model has it (`conformance-tests/clients/model_tables.py` writes it).
const TABLE: &str = include_str!("model/constraints.tsv");
/// The most violations that are told of one request.
const MAX_TOLD: usize = 16;

static CONSTRAINTS: LazyLock<HashMap<&'static str, Vec<Member>>> = LazyLock::new(|| {
    let mut operations: HashMap<_, Vec<Member>> = HashMap::new();
    for line in TABLE.lines().skip(1) {
        if let Some((operation, member)) = line.split_once('\t') {
            operations.entry(operation).or_default().push(Member::parse(member));
        }
    }
    operations
});

/// What holds for a member.
#[derive(Debug)]
struct Member {
    /// Names down to it; `[]` behind a list's.
    path: Vec<&'static str>,
    kind: Kind,
    is_required: bool,
    min: Option<i64>,
    max: Option<i64>,
    /// As the model has it, and compiled to match the whole text.
    pattern: Option<(&'static str, Regex)>,
    values: Vec<&'static str>,
    /// The values that AWS shows.
    shown: Vec<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Bytes,
    Number,
    Flag,
    Time,
    List,
    /// A structure or a map.
    Names,
}

/// Refuses a request of which a member is not what the model demands.
pub(super) fn check(operation: &str, request: &Value) -> Result<(), Refusal> {
    if !request.is_object() {
        return Err(unreadable("The request is not an object."));
    }
    let mut broken = Vec::new();
    for member in CONSTRAINTS.get(operation).into_iter().flatten() {
        member.check(&member.path, request, &mut String::new(), &mut broken)?;
    }
    match broken.len() {
        0 => Ok(()),
        count => {
            let plural = if count == 1 { "error" } else { "errors" };
            broken.truncate(MAX_TOLD);
            let message = format!("{count} validation {plural} detected: {}", broken.join("; "));
            Err(KmsError::Validation(message).into())
        }
    }
}

/// The operation's name, if the model has it.
pub(super) fn known(operation: &str) -> Option<&'static str> {
    CONSTRAINTS.get_key_value(operation).map(|(name, _)| *name)
}

/// What is not of the type that its member has.
fn unreadable(message: &str) -> Refusal {
    Refusal::Door("SerializationException", message.to_owned())
}

impl Member {
    /// From a line of the table, behind the operation.
    fn parse(line: &'static str) -> Self {
        let mut columns = line.split('\t');
        let mut next = || columns.next().unwrap_or_default();
        let path = next().split('.').collect();
        let kind = match next() {
            "blob" => Kind::Bytes,
            "integer" | "long" => Kind::Number,
            "boolean" => Kind::Flag,
            "timestamp" => Kind::Time,
            "list" => Kind::List,
            "structure" | "map" => Kind::Names,
            _ => Kind::Text,
        };
        let list = |text: &'static str| text.split(',').filter(|one| !one.is_empty()).collect::<Vec<_>>();
        let (required, min, max, pattern) = (next(), next(), next(), next());
        let (values, shown) = (list(next()), list(next()));
        let whole = |pattern: &'static str| {
            (pattern, Regex::new(&format!("^(?:{pattern})$")).expect("a test compiles every pattern"))
        };
        Self {
            path,
            kind,
            is_required: !required.is_empty(),
            min: min.parse().ok(),
            max: max.parse().ok(),
            pattern: (!pattern.is_empty()).then(|| whole(pattern)),
            shown: if shown.is_empty() { values.clone() } else { shown },
            values,
        }
    }

    /// Goes down the path from `here`, which messages call `place`.
    fn check(
        &self,
        path: &[&str],
        here: &Value,
        place: &mut String,
        broken: &mut Vec<String>,
    ) -> Result<(), Refusal> {
        let Some((name, rest)) = path.split_first() else { return self.judge(here, place, broken) };
        let name_len = place.len();
        let list_name = name.strip_suffix("[]").unwrap_or(name);
        push_name(place, list_name);
        let found = match here.get(list_name) {
            Some(Value::Null) | None => None,
            found => found,
        };
        let result = match (found, list_name.len() < name.len()) {
            // Who lacks the whole lacks its parts without a word more.
            (None, _) if !rest.is_empty() || !self.is_required => Ok(()),
            (None, false) => {
                broken.push(failed(&format!("Value null at '{place}'"), "Member must not be null"));
                Ok(())
            }
            (None, true) => Ok(()),
            (Some(found), false) => self.check(rest, found, place, broken),
            (Some(found), true) => self.check_elements(rest, found, place, broken),
        };
        place.truncate(name_len);
        result
    }

    /// Judges the elements of a list: of texts together, of structures each by its number, counted from 1.
    fn check_elements(
        &self,
        rest: &[&str],
        list: &Value,
        place: &mut String,
        broken: &mut Vec<String>,
    ) -> Result<(), Refusal> {
        // Whether it is a list is judged with the list itself.
        let Some(elements) = list.as_array() else { return Ok(()) };
        let place_len = place.len();
        for (element, number) in elements.iter().zip(1..) {
            if !rest.is_empty() {
                let _ = write!(place, ".{number}.member");
                self.check(rest, element, place, broken)?;
                place.truncate(place_len);
                continue;
            }
            let mut of_element = Vec::new();
            self.judge(element, place, &mut of_element)?;
            if !of_element.is_empty() {
                let texts: Vec<_> = elements.iter().filter_map(Value::as_str).collect();
                let all = format!("Member must satisfy constraint: [{}]", self.demands().join(", "));
                broken.push(failed(&format!("Value '[{}]' at '{place}'", texts.join(", ")), &all));
                break;
            }
        }
        Ok(())
    }

    fn judge(&self, value: &Value, place: &str, broken: &mut Vec<String>) -> Result<(), Refusal> {
        let (shown, size) = match (self.kind, value) {
            (Kind::Text, Value::String(text)) => {
                (format!("Value '{text}' at '{place}'"), text.chars().count())
            }
            (Kind::Bytes, Value::String(text)) => {
                let bytes = STANDARD.decode(text).map_err(|_| unreadable("A blob is not base64."))?;
                (format!("Value at '{place}'"), zeroize::Zeroizing::new(bytes).len())
            }
            (Kind::List, Value::Array(elements)) => (format!("Value at '{place}'"), elements.len()),
            (Kind::Number, Value::Number(number)) if number.is_i64() || number.is_u64() => {
                let shown = format!("Value '{number}' at '{place}'");
                let number = number.as_i64().unwrap_or(i64::MAX);
                self.check_bounds(&shown, "value", number, broken);
                return Ok(());
            }
            (Kind::Flag, Value::Bool(_))
            | (Kind::Time, Value::Number(_))
            | (Kind::Names, Value::Object(_)) => {
                return Ok(());
            }
            (kind, _) => {
                let wanted = match kind {
                    Kind::Text | Kind::Bytes => "a string",
                    Kind::Number => "an integer",
                    Kind::Flag => "a boolean",
                    Kind::Time => "a timestamp",
                    Kind::List => "a list",
                    Kind::Names => "a structure or a map",
                };
                return Err(unreadable(&format!("{place} is not {wanted}.")));
            }
        };
        self.check_bounds(&shown, "length", i64::try_from(size).unwrap_or(i64::MAX), broken);
        let text = value.as_str().unwrap_or_default();
        if self.pattern.as_ref().is_some_and(|(_, whole)| !whole.is_match(text))
            || !self.values.is_empty() && !self.values.contains(&text)
        {
            broken.extend(
                self.demands()
                    .iter()
                    .filter(|demand| !demand.contains("length"))
                    .map(|demand| failed(&shown, demand)),
            );
        }
        Ok(())
    }

    fn check_bounds(&self, shown: &str, what: &str, size: i64, broken: &mut Vec<String>) {
        if let Some(max) = self.max.filter(|max| size > *max) {
            broken.push(failed(shown, &at_most(what, max)));
        }
        if let Some(min) = self.min.filter(|min| size < *min) {
            broken.push(failed(shown, &at_least(what, min)));
        }
    }

    /// All that is demanded of a text.
    fn demands(&self) -> Vec<String> {
        let mut demands = Vec::new();
        demands.extend(self.max.map(|max| at_most("length", max)));
        demands.extend(self.min.map(|min| at_least("length", min)));
        if let Some((pattern, _)) = &self.pattern {
            demands.push(format!("Member must satisfy regular expression pattern: {pattern}"));
        }
        if !self.values.is_empty() {
            demands.push(format!("Member must satisfy enum value set: [{}]", self.shown.join(", ")));
        }
        demands
    }
}

fn at_most(what: &str, max: i64) -> String {
    format!("Member must have {what} less than or equal to {max}")
}

fn at_least(what: &str, min: i64) -> String {
    format!("Member must have {what} greater than or equal to {min}")
}

fn failed(shown: &str, demand: &str) -> String {
    format!("{shown} failed to satisfy constraint: {demand}")
}

/// Names in messages begin in lower case.
fn push_name(place: &mut String, name: &str) {
    if !place.is_empty() {
        place.push('.');
    }
    let mut letters = name.chars();
    place.extend(letters.next().map(|first| first.to_ascii_lowercase()));
    place.push_str(letters.as_str());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(operation: &str, request: Value) -> Option<String> {
        match check(operation, &request) {
            Ok(()) => None,
            Err(Refusal::Kms(error)) => Some(error.to_string()),
            Err(Refusal::Door(name, message)) => Some(format!("{name}: {message}")),
        }
    }

    #[test]
    fn the_table_is_read() {
        assert!(CONSTRAINTS.len() > 50);
        let tag = CONSTRAINTS["TagResource"].iter().find(|member| member.path.last() == Some(&"TagKey"));
        let tag = tag.unwrap();
        assert_eq!(
            (&tag.path[..], tag.min, tag.max, tag.is_required),
            (&["Tags[]", "TagKey"][..], Some(1), Some(128), true)
        );
    }

    #[test]
    fn messages_are_those_of_aws() {
        let prefix = "1 validation error detected: Value";
        let failed = "failed to satisfy constraint: Member must";
        for (operation, request, message) in [
            (
                "GenerateRandom",
                json!({"NumberOfBytes": 0}),
                format!("{prefix} '0' at 'numberOfBytes' {failed} have value greater than or equal to 1"),
            ),
            (
                "GenerateRandom",
                json!({"NumberOfBytes": 1025}),
                format!("{prefix} '1025' at 'numberOfBytes' {failed} have value less than or equal to 1024"),
            ),
            ("DescribeKey", json!({}), format!("{prefix} null at 'keyId' {failed} not be null")),
            (
                "CreateKey",
                json!({"KeyUsage": "X"}),
                format!(
                    "{prefix} 'X' at 'keyUsage' {failed} satisfy enum value set: [ENCRYPT_DECRYPT, SIGN_VERIFY, GENERATE_VERIFY_MAC]"
                ),
            ),
            (
                "CreateKey",
                json!({"Tags": [{"TagKey": "k", "TagValue": "v"}, {"TagKey": "k"}]}),
                format!("{prefix} null at 'tags.2.member.tagValue' {failed} not be null"),
            ),
            (
                "CreateAlias",
                json!({"AliasName": "a b", "TargetKeyId": "k"}),
                format!(
                    "{prefix} 'a b' at 'aliasName' {failed} satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"
                ),
            ),
            (
                "Encrypt",
                json!({"KeyId": "k", "Plaintext": STANDARD.encode([0; 4097])}),
                format!("{prefix} at 'plaintext' {failed} have length less than or equal to 4096"),
            ),
            (
                "Encrypt",
                json!({"KeyId": "k", "Plaintext": "AA==", "GrantTokens": vec!["t"; 11]}),
                format!("{prefix} at 'grantTokens' {failed} have length less than or equal to 10"),
            ),
            (
                "Decrypt",
                json!({"CiphertextBlob": "AA==", "DryRunModifiers": ["X"]}),
                format!(
                    "{prefix} '[X]' at 'dryRunModifiers' {failed} satisfy constraint: [Member must satisfy enum value set: [IGNORE_CIPHERTEXT]]"
                ),
            ),
        ] {
            assert_eq!(refused(operation, request), Some(message));
        }
        let two = refused("CreateAlias", json!({"AliasName": ""})).unwrap();
        assert!(two.starts_with("3 validation errors detected: Value '' at 'aliasName'"), "{two}");
        assert!(
            two.ends_with(
                "; Value null at 'targetKeyId' failed to satisfy constraint: Member must not be null"
            ),
            "{two}"
        );
    }

    #[test]
    fn other_types_can_not_be_read() {
        for request in [
            json!([]),
            json!({"KeyId": 1}),
            json!({"KeyId": "k", "Plaintext": "%"}),
            json!({"KeyId": "k", "Plaintext": "AA==", "GrantTokens": {}}),
        ] {
            let message = refused("Encrypt", request.clone()).unwrap();
            assert!(message.starts_with("SerializationException"), "{request}: {message}");
        }
        assert_eq!(
            refused("Encrypt", json!({"KeyId": "k", "Plaintext": "AA==", "Unknown": 1, "DryRun": null})),
            None
        );
        assert_eq!(refused("NoOperation", json!({})), None);
    }
}
