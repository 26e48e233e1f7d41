//! What a token says of the session that it begins: tags, which of them the next session of a chain has as well, and who stands behind it.
//! Tags come nested or flat, and both count:
//!
//! ```text
//! "https://aws.amazon.com/tags": {"principal_tags": {"Team": ["a"]}, "transitive_tag_keys": ["Team"]}
//! "https://aws.amazon.com/tags/principal_tags/Team": "a", "https://aws.amazon.com/tags/transitive_tag_keys": ["Team"]
//! "https://aws.amazon.com/source_identity": "ada"
//! ```
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html#id_session-tags_adding-assume-role-idp>,
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_monitor.html>

use serde_json::{Map, Value};

use super::WebIdentityError;

/// With what the names of these claims begin.
pub(super) const NAMESPACE: &str = "https://aws.amazon.com/";
const TAGS: &str = "https://aws.amazon.com/tags";
const FLAT_TAG: &str = "https://aws.amazon.com/tags/principal_tags/";
const FLAT_TRANSITIVE: &str = "https://aws.amazon.com/tags/transitive_tag_keys";
const SOURCE_IDENTITY: &str = "https://aws.amazon.com/source_identity";

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionClaims {
    /// Session tags; their lengths and characters are not judged yet.
    pub tags: Vec<(String, String)>,
    /// Keys of transitive ones.
    pub transitive: Vec<String>,
    /// Who stands behind the session.
    pub source_identity: Option<String>,
}

impl SessionClaims {
    /// Of a token's claims.
    ///
    /// # Errors
    /// `InvalidIdentityToken` where one has another form: what can't be honoured is not left out.
    pub(super) fn of(claims: &Map<String, Value>) -> Result<Self, WebIdentityError> {
        let mut session = Self::default();
        if let Some(nested) = claims.get(TAGS) {
            let nested = nested.as_object().ok_or_else(|| malformed(TAGS))?;
            for (name, value) in nested {
                match name.as_str() {
                    "principal_tags" => {
                        for (key, value) in value.as_object().ok_or_else(|| malformed(TAGS))? {
                            session.add(key, value)?;
                        }
                    }
                    "transitive_tag_keys" => session.add_transitive(value)?,
                    _ => return Err(malformed(TAGS)),
                }
            }
        }
        for (name, value) in claims {
            if let Some(key) = name.strip_prefix(FLAT_TAG) {
                session.add(key, value)?;
            }
        }
        if let Some(keys) = claims.get(FLAT_TRANSITIVE) {
            session.add_transitive(keys)?;
        }
        if let Some(source) = claims.get(SOURCE_IDENTITY) {
            session.source_identity = Some(single(source).ok_or_else(|| malformed(SOURCE_IDENTITY))?);
        }
        Ok(session)
    }

    fn add(&mut self, key: &str, value: &Value) -> Result<(), WebIdentityError> {
        let tag = (key.to_owned(), single(value).ok_or_else(|| malformed(TAGS))?);
        // Both forms of one tag are one tag.
        if !self.tags.contains(&tag) {
            self.tags.push(tag);
        }
        Ok(())
    }

    fn add_transitive(&mut self, keys: &Value) -> Result<(), WebIdentityError> {
        let keys = match keys {
            Value::Array(keys) => keys.as_slice(),
            one => std::slice::from_ref(one),
        };
        for key in keys {
            let key = key.as_str().ok_or_else(|| malformed(FLAT_TRANSITIVE))?.to_owned();
            if !self.transitive.contains(&key) {
                self.transitive.push(key);
            }
        }
        Ok(())
    }
}

/// A text, or a list of just one.
fn single(value: &Value) -> Option<String> {
    match value {
        Value::Array(list) => <&[Value; 1]>::try_from(list.as_slice()).ok().and_then(|[one]| single(one)),
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Object(_) => None,
    }
}

fn malformed(claim: &str) -> WebIdentityError {
    WebIdentityError::invalid(&format!("The claim {claim} of the token is malformed"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(claims: Value) -> Result<SessionClaims, WebIdentityError> {
        SessionClaims::of(claims.as_object().unwrap())
    }

    fn tag(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn tags_come_nested_and_flat() {
        let both = read(json!({
            TAGS: {"principal_tags": {"Team": ["a"], "Cost": "7"}, "transitive_tag_keys": ["Team"]},
            "https://aws.amazon.com/tags/principal_tags/Team": "a",
            "https://aws.amazon.com/tags/principal_tags/Unit": ["u"],
            FLAT_TRANSITIVE: ["Unit", "Team"],
            SOURCE_IDENTITY: "ada",
        }))
        .unwrap();
        let mut tags = both.tags.clone();
        tags.sort();
        assert_eq!(tags, [tag("Cost", "7"), tag("Team", "a"), tag("Unit", "u")]);
        assert_eq!(both.transitive, ["Team", "Unit"]);
        assert_eq!(both.source_identity.as_deref(), Some("ada"));
        assert_eq!(read(json!({"sub": "x"})).unwrap(), SessionClaims::default());
        // Two values of one key stay two: whoever judges tags refuses them.
        let two = json!({TAGS: {"principal_tags": {"Team": "a"}}, "https://aws.amazon.com/tags/principal_tags/Team": "b"});
        assert_eq!(read(two).unwrap().tags.len(), 2);
    }

    #[test]
    fn other_forms_are_refused() {
        for bad in [
            json!({TAGS: "Team"}),
            json!({TAGS: [{"principal_tags": {}}]}),
            json!({TAGS: {"principal_tags": ["Team"]}}),
            json!({TAGS: {"principal_tags": {"Team": ["a", "b"]}}}),
            json!({TAGS: {"principal_tags": {"Team": {}}}}),
            json!({TAGS: {"transitive_tag_keys": [1]}}),
            json!({TAGS: {"principal_tag": {}}}),
            json!({"https://aws.amazon.com/tags/principal_tags/Team": []}),
            json!({SOURCE_IDENTITY: ["a", "b"]}),
            json!({SOURCE_IDENTITY: null}),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
