//! Presigned URLs: the signature in the query.

use std::borrow::Cow;

use super::canonical::{decode_triplet, raw_parameters};
use super::{
    ALGORITHM, ALGORITHM_V4A, Claim, Credential, MAX_SKEW_S, SigningTime, V4A_TEXT, format_extended,
    signed_header_names,
};
use crate::auth::{AuthError, Expected};
use crate::http::header::CONTENT_SHA256_NAME;

/// The longest validity, in seconds: a week.
const MAX_EXPIRES_S: u64 = 604_800;

/// The parameters that sign a URL, decoded; each empty where it is missing.
#[derive(Debug, Default)]
pub(crate) struct Parameters<'a> {
    algorithm: Option<Cow<'a, str>>,
    credential: Option<Cow<'a, str>>,
    date: Option<Cow<'a, str>>,
    expires: Option<Cow<'a, str>>,
    signed_headers: Option<Cow<'a, str>>,
    signature: Option<Cow<'a, str>>,
    /// `X-Amz-Content-Sha256`, where it is not a header.
    pub(crate) content_sha256: Option<Cow<'a, str>>,
    /// `X-Amz-Security-Token`.
    pub(crate) security_token: Option<Cow<'a, str>>,
    /// The parameters of SigV2.
    pub(crate) v2: bool,
}

impl<'a> Parameters<'a> {
    /// Those of a query.
    pub(crate) fn of(query: &'a str) -> Self {
        let mut parameters = Self::default();
        // Nearly every request has none, and is told from the others without decoding.
        if !query.contains("Amz")
            && !query.contains("Signature")
            && !query.contains("AWSAccessKeyId")
            && !query.contains('%')
        {
            return parameters;
        }
        let (mut v2_id, mut v2_signature) = (false, false);
        for (name, value) in raw_parameters(query.as_bytes()) {
            let name = decode(name);
            let slot = match name.as_ref() {
                "X-Amz-Algorithm" => &mut parameters.algorithm,
                "X-Amz-Credential" => &mut parameters.credential,
                "X-Amz-Date" => &mut parameters.date,
                "X-Amz-Expires" => &mut parameters.expires,
                "X-Amz-SignedHeaders" => &mut parameters.signed_headers,
                "X-Amz-Signature" => &mut parameters.signature,
                name if name.eq_ignore_ascii_case(CONTENT_SHA256_NAME) => &mut parameters.content_sha256,
                "X-Amz-Security-Token" => &mut parameters.security_token,
                "AWSAccessKeyId" => {
                    v2_id = true;
                    continue;
                }
                "Signature" => {
                    v2_signature = true;
                    continue;
                }
                _ => continue,
            };
            slot.get_or_insert_with(|| decode(value));
        }
        parameters.v2 = v2_id && v2_signature;
        parameters
    }

    /// Is the URL signed, or meant to be?
    pub(crate) fn sign(&self) -> bool {
        self.algorithm.is_some() || self.credential.is_some() || self.signature.is_some()
    }

    /// What the URL claims; its validity is checked.
    pub(crate) fn claim(&self, expected: Expected<'_>) -> Result<Claim<'_>, AuthError> {
        let refused = |message: &str| AuthError::QueryParametersError(message.to_owned());
        let (
            Some(algorithm),
            Some(credential),
            Some(date),
            Some(expires),
            Some(signed_headers),
            Some(signature),
        ) = (
            &self.algorithm,
            &self.credential,
            &self.date,
            &self.expires,
            &self.signed_headers,
            &self.signature,
        )
        else {
            return Err(refused(
                "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, \
                 X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
            ));
        };
        match algorithm.as_ref() {
            ALGORITHM => {}
            ALGORITHM_V4A => return Err(AuthError::NotImplemented(V4A_TEXT)),
            _ => return Err(refused("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"")),
        }
        let time = SigningTime::parse(date).ok_or_else(|| {
            refused("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
        })?;
        let expires_s = expires_s(expires).map_err(refused)?;
        let credential = Credential::parse(credential, &time, expected).map_err(|error| {
            AuthError::QueryParametersError(format!(
                "Error parsing the X-Amz-Credential parameter; {}",
                error.message
            ))
        })?;
        let now_unix_s = (expected.now_unix_ms / 1000) as i64;
        if time.unix_s - now_unix_s > MAX_SKEW_S {
            return Err(AuthError::AccessDenied("Request is not valid yet"));
        }
        let expired_at_unix_s = time.unix_s + expires_s as i64;
        // To the millisecond: one that holds for no second is never valid.
        if expected.now_unix_ms as i64 > expired_at_unix_s * 1000 {
            return Err(AuthError::Expired {
                expires_s: Some(expires_s),
                expired_at: format_extended(expired_at_unix_s),
                server_time: format_extended(now_unix_s),
            });
        }
        let signed_headers = signed_header_names(signed_headers).ok_or_else(|| {
            refused("X-Amz-SignedHeaders must be lower-case header names with semicolons between")
        })?;
        Ok(Claim {
            credential,
            time,
            signed_headers,
            signature: Cow::Borrowed(signature),
            is_presigned: true,
        })
    }
}

fn expires_s(text: &str) -> Result<u64, &'static str> {
    let number: i128 = text.parse().map_err(|_| "X-Amz-Expires should be a number")?;
    match u64::try_from(number) {
        Err(_) if number < 0 => Err("X-Amz-Expires must be non-negative"),
        Ok(expires_s) if expires_s <= MAX_EXPIRES_S => Ok(expires_s),
        _ => Err(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds",
        ),
    }
}

/// Percent-decoded, with `+` as a space; bytes that are not UTF-8 become the replacement character and so match nothing.
fn decode(raw: &[u8]) -> Cow<'_, str> {
    if !raw.iter().any(|b| matches!(b, b'%' | b'+')) {
        return String::from_utf8_lossy(raw);
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        match decode_triplet(rest) {
            Some(byte) => {
                decoded.push(byte);
                rest = &rest[3..];
            }
            None => {
                decoded.push(if byte == b'+' { b' ' } else { byte });
                rest = tail;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}
