//! AWS Signature Version 4. [`header`] and [`presigned`] read what a request claims of itself; [`verify`] checks it.

pub(crate) mod canonical;
pub(crate) mod header;
pub(crate) mod presigned;
pub(crate) mod sign;
pub(crate) mod streaming;

use std::borrow::Cow;

use hmac::{Hmac, KeyInit, Mac};
use http::request::Parts;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};
use zeroize::Zeroizing;

use super::{AuthError, Expected, Keys};
use crate::http::header::{AMZ_PREFIX, CONTENT_SHA256_NAME};
use crate::iam::{Identity, Scope};
use canonical::{EncodedSlash, canonical_request, has_encoded_slash};

/// The algorithm, as it is named in headers, queries and strings to sign.
pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// SigV4A's.
pub(crate) const ALGORITHM_V4A: &str = "AWS4-ECDSA-P256-SHA256";
/// What SigV4A is answered.
pub(crate) const V4A_TEXT: &str =
    "The signing algorithm AWS4-ECDSA-P256-SHA256 (SigV4A) is not implemented. Please use AWS4-HMAC-SHA256.";
/// What SigV2 is answered.
pub const V2_TEXT: &str =
    "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
/// How far the clocks may differ, in seconds.
pub(crate) const MAX_SKEW_S: i64 = 15 * 60;
const TERMINATOR: &str = "aws4_request";

/// What a request claims of itself.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) credential: Credential<'a>,
    pub(crate) time: SigningTime,
    /// Lower-case, sorted.
    pub(crate) signed_headers: Vec<&'a str>,
    pub(crate) signature: Cow<'a, str>,
    /// Does the query say it?
    pub(crate) is_presigned: bool,
}

/// `ACCESS_KEY_ID/yyyyMMdd/region/service/aws4_request`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Credential<'a> {
    pub(crate) access_key_id: &'a str,
    pub(crate) date: &'a str,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

/// What is wrong with a credential: AWS's text, and the region expected where that is what is wrong.
#[derive(Debug)]
pub(crate) struct CredentialError {
    pub(crate) message: String,
    pub(crate) region: Option<String>,
}

impl<'a> Credential<'a> {
    /// Parses a credential and checks that it is for here and for this time.
    pub(crate) fn parse(
        text: &'a str,
        time: &SigningTime,
        expected: Expected<'_>,
    ) -> Result<Self, CredentialError> {
        let wrong = |message: String| CredentialError { message, region: None };
        let mut fields = text.rsplitn(5, '/');
        let (Some(terminator), Some(service), Some(region), Some(date), Some(access_key_id)) =
            (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(wrong(
                "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."
                    .into(),
            ));
        };
        if access_key_id.is_empty() {
            return Err(wrong("a non-empty Access Key (AKID) must be provided in the credential.".into()));
        }
        if terminator != TERMINATOR {
            return Err(wrong(format!(
                "incorrect terminal \"{terminator}\". This endpoint uses \"{TERMINATOR}\"."
            )));
        }
        if service != expected.service {
            return Err(wrong(format!(
                "incorrect service \"{service}\". This endpoint belongs to \"{}\".",
                expected.service
            )));
        }
        if region != expected.region {
            return Err(CredentialError {
                message: format!("the region '{region}' is wrong; expecting '{}'", expected.region),
                region: Some(expected.region.to_owned()),
            });
        }
        if date.len() != 8 || !date.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong(format!(
                "incorrect date format \"{date}\". This date in the credential must be in the format \"yyyyMMdd\"."
            )));
        }
        if date != time.date() {
            return Err(wrong(format!(
                "Invalid credential date \"{date}\". This date is not the same as X-Amz-Date: \"{}\".",
                time.date()
            )));
        }
        Ok(Self { access_key_id, date, region, service })
    }

    /// What its signing key is for.
    pub(crate) fn at(&self, expected: Expected<'_>) -> Scope<'a> {
        let Self { date, region, service, .. } = *self;
        Scope { date, region, service, now_unix_ms: expected.now_unix_ms }
    }

    /// `yyyyMMdd/region/service/aws4_request`.
    pub(crate) fn scope(&self) -> String {
        [self.date, self.region, self.service, TERMINATOR].join("/")
    }
}

/// When a request was signed, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SigningTime {
    /// `yyyyMMdd'T'HHmmss'Z'`.
    text: [u8; 16],
    pub(crate) unix_s: i64,
}

impl SigningTime {
    /// Parses `yyyyMMdd'T'HHmmss'Z'`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text: [u8; 16] = text.as_bytes().try_into().ok()?;
        if text[8] != b'T' || text[15] != b'Z' {
            return None;
        }
        let number = |from: usize, to: usize| {
            text[from..to].iter().try_fold(0u16, |n, &b| Some(n * 10 + u16::from(digit(b)?)))
        };
        let month = Month::try_from(number(4, 6)? as u8).ok()?;
        let date = Date::from_calendar_date(i32::from(number(0, 4)?), month, number(6, 8)? as u8).ok()?;
        let time = Time::from_hms(number(9, 11)? as u8, number(11, 13)? as u8, number(13, 15)? as u8).ok()?;
        let unix_s = PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp();
        Some(Self { text, unix_s })
    }

    /// The time of a `Date` header: an HTTP date, also with `+0000` for `GMT`, or the form of [`SigningTime::parse`].
    pub(crate) fn parse_http(text: &str) -> Option<Self> {
        let in_gmt = text.strip_suffix("+0000").map(|text| format!("{text}GMT"));
        let at = match httpdate::parse_http_date(in_gmt.as_deref().unwrap_or(text)) {
            Ok(at) => at,
            Err(_) => return Self::parse(text),
        };
        Self::parse(&format_basic(at.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs() as i64))
    }

    /// `yyyyMMdd'T'HHmmss'Z'`.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    fn date(&self) -> &str {
        &self.as_str()[..8]
    }
}

fn digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

fn format_basic(unix_s: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(unix_s).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day, hour, minute, second) =
        (at.year(), u8::from(at.month()), at.day(), at.hour(), at.minute(), at.second());
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// `yyyy-MM-dd'T'HH:mm:ss'Z'`, as error bodies have it.
pub(crate) fn format_extended(unix_s: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(unix_s).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day, hour, minute, second) =
        (at.year(), u8::from(at.month()), at.day(), at.hour(), at.minute(), at.second());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Splits `SignedHeaders` into lower-case names, sorted; `None` if one isn't a lower-case header name.
pub(crate) fn signed_header_names(text: &str) -> Option<Vec<&str>> {
    let mut names = Vec::with_capacity(16);
    for name in text.split(';') {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()) {
            return None;
        }
        names.push(name);
    }
    names.sort_unstable();
    Some(names)
}

/// Who signed, and the key that did.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) identity: Identity,
    pub(crate) signing_key: Zeroizing<[u8; 32]>,
}

/// Checks that the headers that must be signed are, and the signature.
pub(crate) fn verify(
    parts: &Parts,
    claim: &Claim<'_>,
    payload_hash: &str,
    token: Option<&str>,
    keys: Keys<'_>,
    expected: Expected<'_>,
) -> Result<Verified, AuthError> {
    require_signed_headers(parts, claim)?;
    let matches = |signing_key: &[u8; 32]| {
        let mut canonical = canonical_request(parts, &claim.signed_headers, payload_hash, EncodedSlash::Kept);
        let mut to_sign = string_to_sign(claim, &canonical);
        let mut matches = signature_matches(signing_key, &to_sign, &claim.signature);
        if !matches && has_encoded_slash(parts.uri.path()) {
            canonical = canonical_request(parts, &claim.signed_headers, payload_hash, EncodedSlash::Decoded);
            to_sign = string_to_sign(claim, &canonical);
            matches = signature_matches(signing_key, &to_sign, &claim.signature);
        }
        match matches {
            true => Ok(()),
            false => Err(AuthError::SignatureDoesNotMatch {
                access_key_id: claim.credential.access_key_id.to_owned(),
                string_to_sign: to_sign,
                signature_provided: claim.signature.to_string(),
                canonical_request: String::from_utf8_lossy(&canonical).into_owned(),
            }),
        }
    };
    let (identity, signing_key) = keys.judge(&claim.credential, token, expected, matches)?;
    Ok(Verified { identity, signing_key })
}

/// `host` and every `x-amz-` header that is there must be signed: an unsigned one could have been added on the way. The hash of the body
/// may come unsigned with a presigned URL, whose maker does not know the body: it can only make the request fail.
fn require_signed_headers(parts: &Parts, claim: &Claim<'_>) -> Result<(), AuthError> {
    let (mut missing, signed) = (Vec::new(), &claim.signed_headers);
    if !signed.contains(&"host") {
        missing.push("host");
    }
    for name in parts.headers.keys() {
        let name = name.as_str();
        let may_be_unsigned = claim.is_presigned && name == CONTENT_SHA256_NAME;
        if name.starts_with(AMZ_PREFIX) && !may_be_unsigned && signed.binary_search(&name).is_err() {
            missing.push(name);
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(AuthError::HeadersNotSigned { headers: missing.join(", ") }) }
}

fn string_to_sign(claim: &Claim<'_>, canonical: &[u8]) -> String {
    let Credential { date, region, service, .. } = claim.credential;
    let mut text = String::with_capacity(192);
    for piece in
        [ALGORITHM, "\n", claim.time.as_str(), "\n", date, "/", region, "/", service, "/", TERMINATOR, "\n"]
    {
        text.push_str(piece);
    }
    push_hex(&Sha256::digest(canonical), &mut text);
    text
}

/// Compares the signature of `to_sign` with the given one, in constant time.
pub(crate) fn signature_matches(signing_key: &[u8; 32], to_sign: &str, given: &str) -> bool {
    let mut signature = String::with_capacity(64);
    push_hex(&hmac_sha256(signing_key, to_sign.as_bytes()), &mut signature);
    signature.as_bytes().ct_eq(given.as_bytes()).into()
}

/// HMAC-SHA256.
pub(crate) fn hmac_sha256(secret: &[u8], data: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(data);
    mac.finalize().into_bytes().into()
}

/// Appends lower-case hexadecimal digits.
pub(crate) fn push_hex(bytes: &[u8], text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for &byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}
