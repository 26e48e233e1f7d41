//! A token as it comes: read, believed of nothing but its issuer's name.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Header;
use serde_json::{Map, Value};

use super::session::{self, SessionClaims};
use super::{Provider, WebIdentity, WebIdentityError};

/// The longest token, in bytes: what the parameter `WebIdentityToken` may have.
const MAX_TOKEN_LEN: usize = 20_000;
/// How far clocks may differ, in seconds: "a five-minute window beyond the expiration time".
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_oidc.html>
const LEEWAY_S: u64 = 300;

/// A token in its compact form (RFC 7519), not verified. It is a credential: there is no `Debug`.
pub struct Token<'t> {
    pub(super) header: Header,
    /// What is signed.
    pub(super) message: &'t [u8],
    /// In base64.
    pub(super) signature: &'t str,
    issuer: String,
    claims: Map<String, Value>,
}

impl<'t> Token<'t> {
    /// Reads a token.
    ///
    /// # Errors
    /// `InvalidIdentityToken` when it is no JWT that names an issuer.
    pub fn parse(text: &'t str) -> Result<Self, WebIdentityError> {
        let malformed = || {
            WebIdentityError::invalid(
                "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
            )
        };
        if text.len() > MAX_TOKEN_LEN {
            return Err(malformed());
        }
        let (message, signature) = text.rsplit_once('.').ok_or_else(malformed)?;
        let (_, payload) = message.split_once('.').ok_or_else(malformed)?;
        let header = jsonwebtoken::decode_header(text).map_err(|_| malformed())?;
        // An extension that must be understood is not: RFC 7515, 4.1.11.
        if header.crit.is_some() {
            return Err(malformed());
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| malformed())?;
        let claims: Map<String, Value> = serde_json::from_slice(&payload).map_err(|_| malformed())?;
        let issuer = text_of(&claims, "iss")?.to_owned();
        Ok(Self { header, message: message.as_bytes(), signature, issuer, claims })
    }

    /// Claim `iss`, by which the provider is found.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Which of the provider's keys has signed it, if it says so.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Is it of this provider, for one of these clients, and of now? Everything but the signature.
    pub(super) fn check(
        &self,
        provider: Provider<'_>,
        now_unix_s: u64,
    ) -> Result<WebIdentity, WebIdentityError> {
        if self.issuer != provider.url {
            return Err(WebIdentityError::no_provider(&self.issuer));
        }
        let expires_unix_s = time_of(&self.claims, "exp")?.ok_or_else(|| missing("exp"))?;
        if now_unix_s >= expires_unix_s.saturating_add(LEEWAY_S) {
            return Err(WebIdentityError::ExpiredToken(format!(
                "Token expired: current date/time {now_unix_s} must be before the expiration date/time {expires_unix_s}"
            )));
        }
        for name in ["nbf", "iat"] {
            if let Some(from) = time_of(&self.claims, name)?
                && from > now_unix_s.saturating_add(LEEWAY_S)
            {
                return Err(WebIdentityError::invalid(&format!(
                    "Token not yet valid: current date/time {now_unix_s} must not be before {from}"
                )));
            }
        }
        let subject = text_of(&self.claims, "sub")?.to_owned();
        let audiences = self.claims.get("aud").and_then(texts).ok_or_else(|| missing("aud"))?;
        // Of several audiences the authorized party counts.
        let party = match (self.claims.get("aud"), self.claims.get("azp")) {
            (Some(Value::Array(_)), Some(Value::String(party))) => Some(party),
            _ => None,
        };
        let registered = |audience: &&String| provider.client_ids.contains(audience);
        let audience = match party {
            Some(party) => Some(party).filter(registered),
            None => audiences.iter().find(registered),
        };
        let audience =
            audience.ok_or_else(|| WebIdentityError::invalid("Incorrect token audience"))?.to_owned();
        let mut claims: BTreeMap<String, Vec<String>> =
            self.claims.iter().filter_map(|(name, value)| Some((name.to_owned(), texts(value)?))).collect();
        if party.is_some() {
            claims.insert("oaud".to_owned(), audiences);
        }
        claims.insert("aud".to_owned(), vec![audience.clone()]);
        // What is meant for STS is no condition key.
        claims.retain(|name, _| !name.starts_with(session::NAMESPACE));
        let session = SessionClaims::of(&self.claims)?;
        let provider_url = self.issuer.clone();
        Ok(WebIdentity { provider_url, subject, audience, claims, session, expires_unix_s })
    }
}

fn missing(claim: &str) -> WebIdentityError {
    WebIdentityError::invalid(&format!("Missing a required claim: {claim}"))
}

/// A claim that must be there, and text.
fn text_of<'c>(claims: &'c Map<String, Value>, name: &str) -> Result<&'c str, WebIdentityError> {
    claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).ok_or_else(|| missing(name))
}

/// A claim that is a time, in seconds since 1970; fractions are cut off.
fn time_of(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, WebIdentityError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_u64().or_else(|| value.as_f64().filter(|s| *s >= 0.0).map(|s| s as u64));
    let malformed = || WebIdentityError::invalid(&format!("The claim {name} of the token is not a time"));
    seconds.map(Some).ok_or_else(malformed)
}

/// What conditions can compare: a string, number or boolean, or a list of such.
fn texts(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    };
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        one => Some(vec![text(one)?]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn encoded(header: Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2ln", part(&header), part(claims))
    }

    fn checked(claims: Value) -> Result<WebIdentity, WebIdentityError> {
        let mut whole =
            json!({"iss": "https://idp", "sub": "ada", "aud": "app", "exp": NOW + 60, "iat": NOW});
        for (name, value) in claims.as_object().unwrap() {
            whole[name] = value.clone();
        }
        let text = encoded(json!({"alg": "RS256", "kid": "1"}), &whole);
        let clients = ["other".to_owned(), "app".to_owned()];
        Token::parse(&text)?.check(Provider { url: "https://idp", client_ids: &clients }, NOW)
    }

    fn refusal(claims: Value) -> String {
        checked(claims).unwrap_err().to_string()
    }

    #[test]
    fn claims_become_texts() {
        let who =
            checked(json!({"n": 3, "admin": true, "groups": ["a", "b"], "nested": {"x": 1}, "none": null}));
        let who = who.unwrap();
        assert_eq!((who.subject.as_str(), who.audience.as_str()), ("ada", "app"));
        assert_eq!(who.expires_unix_s, NOW + 60);
        assert_eq!(who.claims["groups"], ["a", "b"]);
        assert_eq!((&who.claims["n"][0][..], &who.claims["admin"][0][..]), ("3", "true"));
        assert!(!who.claims.contains_key("nested") && !who.claims.contains_key("none"));
    }

    #[test]
    fn times_have_a_leeway_of_five_minutes() {
        assert!(checked(json!({"exp": NOW - 299})).is_ok());
        assert!(checked(json!({"exp": NOW as f64 - 298.5})).is_ok());
        let Err(WebIdentityError::ExpiredToken(text)) = checked(json!({"exp": NOW - 300})) else {
            panic!("not expired")
        };
        let (now, exp) = (NOW, NOW - 300);
        let wanted = format!("current date/time {now} must be before the expiration date/time {exp}");
        assert_eq!(text, format!("Token expired: {wanted}"));
        for name in ["iat", "nbf"] {
            assert!(checked(json!({name: NOW + 300})).is_ok());
            assert!(refusal(json!({name: NOW + 301})).starts_with("Token not yet valid"));
            assert!(refusal(json!({name: "soon"})).contains("is not a time"));
        }
        assert!(refusal(json!({"exp": -1})).contains("exp"));
        assert!(refusal(json!({"exp": null})).contains("exp"));
    }

    #[test]
    fn the_audience_is_a_registered_client() {
        assert_eq!(refusal(json!({"aud": "elsewhere"})), "Incorrect token audience");
        assert_eq!(checked(json!({"aud": ["elsewhere", "other"]})).unwrap().audience, "other");
        assert_eq!(refusal(json!({"aud": []})), "Incorrect token audience");
        let who = checked(json!({"aud": ["api", "account"], "azp": "app"})).unwrap();
        assert_eq!((who.audience.as_str(), &who.claims["aud"]), ("app", &vec!["app".to_owned()]));
        assert_eq!(who.claims["oaud"], ["api", "account"]);
        assert_eq!(refusal(json!({"aud": ["app", "api"], "azp": "elsewhere"})), "Incorrect token audience");
        assert_eq!(checked(json!({"aud": "app", "azp": "elsewhere"})).unwrap().audience, "app");
    }

    #[test]
    fn what_must_be_there() {
        for name in ["sub", "aud"] {
            assert_eq!(refusal(json!({name: null})), format!("Missing a required claim: {name}"));
        }
        assert_eq!(refusal(json!({"sub": ""})), "Missing a required claim: sub");
        assert!(refusal(json!({"iss": "https://else"})).ends_with("in your account for https://else"));
    }

    #[test]
    fn what_is_no_token() {
        let claims = json!({"iss": "https://idp"});
        let plain = encoded(json!({"alg": "none"}), &claims);
        let critical = encoded(json!({"alg": "RS256", "crit": ["b64"], "b64": false}), &claims);
        let nameless = encoded(json!({"alg": "RS256"}), &json!({}));
        let long = format!("{}x", encoded(json!({"alg": "RS256"}), &json!({"iss": "x".repeat(20_000)})));
        for text in ["", "a", "a.b", "a.b.c", "a.b.c.d", &plain, &critical, &nameless, &long] {
            assert!(Token::parse(text).is_err(), "{text}");
        }
        assert!(Token::parse(&encoded(json!({"alg": "RS256"}), &claims)).is_ok());
    }
}
