//! The bearer tokens with which Prometheus is set up for a MinIO (`mc admin prometheus generate`): a JSON Web Token that names an access
//! key and is signed with its secret. They are taken for metrics alone, since whoever sees one may use it until it expires.
//! <https://github.com/minio/mc/blob/master/cmd/admin-prometheus-generate.go>

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use sha2::Sha512;

use super::{AuthError, Expected, Keys};
use crate::iam::Identity;

/// The longest token, in bytes: `mc` makes some of 230.
const MAX_LEN: usize = 2048;
/// Who issues them.
const ISSUER: &str = "prometheus";
const INVALID: AuthError = AuthError::AccessDenied("The bearer token is not valid.");

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    /// The access key.
    sub: String,
    /// When it expires, in seconds since the Unix epoch.
    exp: u64,
}

/// The bearer token of a request, if it has one.
pub fn token(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Who made a token of this kind.
///
/// # Errors
/// When it is none, has expired, or is not signed with the secret of the access key that it names.
pub fn authenticate(token: &str, keys: Keys<'_>, expected: Expected<'_>) -> Result<Identity, AuthError> {
    let (signed, signature) = token.rsplit_once('.').filter(|_| token.len() <= MAX_LEN).ok_or(INVALID)?;
    let (head, claims) = signed.split_once('.').ok_or(INVALID)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| INVALID)?;
    // Nothing but this algorithm: a token must not choose how it is verified.
    if decode::<Header>(head)?.alg != "HS512" {
        return Err(INVALID);
    }
    let claims: Claims = decode(claims)?;
    if claims.iss != ISSUER {
        return Err(INVALID);
    }
    let identity = keys.judge_by_secret(&claims.sub, None, expected, |secret| {
        let mut mac =
            Hmac::<Sha512>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
        mac.update(signed.as_bytes());
        // Compares in constant time.
        mac.verify_slice(&signature).map_err(|_| INVALID)
    })?;
    match claims.exp > expected.now_unix_ms / 1000 {
        true => Ok(identity),
        false => Err(AuthError::AccessDenied("The bearer token has expired.")),
    }
}

fn decode<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, AuthError> {
    let text = URL_SAFE_NO_PAD.decode(part).map_err(|_| INVALID)?;
    serde_json::from_slice(&text).map_err(|_| INVALID)
}
