//! The `Authorization` header.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::{AUTHORIZATION, DATE};

use super::{
    ALGORITHM, ALGORITHM_V4A, Claim, Credential, MAX_SKEW_S, SigningTime, V2_TEXT, V4A_TEXT, format_extended,
    signed_header_names,
};
use crate::auth::{AuthError, Expected};
use crate::http::header;

/// What a request with an `Authorization` header claims; its clock is checked.
pub(crate) fn claim<'a>(headers: &'a HeaderMap, expected: Expected<'_>) -> Result<Claim<'a>, AuthError> {
    let authorization = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| malformed("the authorization header is not text."))?;
    let fields = fields(authorization)?;
    let time = signing_time(headers)?;
    let credential = Credential::parse(fields.credential, &time, expected).map_err(|error| {
        AuthError::AuthorizationHeaderMalformed {
            message: format!("{PREFIX}{}", error.message),
            region: error.region,
        }
    })?;
    let now_unix_s = (expected.now_unix_ms / 1000) as i64;
    if (time.unix_s - now_unix_s).abs() > MAX_SKEW_S {
        return Err(AuthError::RequestTimeTooSkewed {
            request_time: time.as_str().to_owned(),
            server_time: format_extended(now_unix_s),
        });
    }
    let signed_headers = signed_header_names(fields.signed_headers)
        .ok_or_else(|| malformed("the authorization component \"SignedHeaders\" is malformed."))?;
    Ok(Claim {
        credential,
        time,
        signed_headers,
        signature: Cow::Borrowed(fields.signature),
        is_presigned: false,
    })
}

const PREFIX: &str = "The authorization header is malformed; ";

fn malformed(what: &str) -> AuthError {
    AuthError::AuthorizationHeaderMalformed { message: format!("{PREFIX}{what}"), region: None }
}

/// The components of an `Authorization` header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fields<'a> {
    pub(crate) credential: &'a str,
    pub(crate) signed_headers: &'a str,
    pub(crate) signature: &'a str,
}

/// Parses `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`; blanks behind commas are optional.
pub(crate) fn fields(authorization: &str) -> Result<Fields<'_>, AuthError> {
    let authorization = authorization.trim();
    let (scheme, components) = authorization.split_once(' ').unwrap_or((authorization, ""));
    match scheme {
        ALGORITHM => {}
        ALGORITHM_V4A => return Err(AuthError::NotImplemented(V4A_TEXT)),
        "AWS" => return Err(AuthError::InvalidRequest(V2_TEXT)),
        _ => {
            return Err(AuthError::InvalidArgument {
                message: "Unsupported Authorization Type",
                name: "Authorization",
                value: authorization.to_owned(),
            });
        }
    }
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for component in components.split(',').map(str::trim).filter(|c| !c.is_empty()) {
        let broken = || malformed(&format!("the authorization component \"{component}\" is malformed."));
        let (name, value) = component.split_once('=').ok_or_else(broken)?;
        let slot = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            _ => return Err(broken()),
        };
        if slot.replace(value).is_some() {
            return Err(broken());
        }
    }
    match (credential, signed_headers, signature) {
        (Some(credential), Some(signed_headers), Some(signature)) => {
            Ok(Fields { credential, signed_headers, signature })
        }
        _ => Err(malformed(
            "the authorization header requires three components: Credential, SignedHeaders, and Signature.",
        )),
    }
}

/// `x-amz-date`, or `Date` where it is missing.
fn signing_time(headers: &HeaderMap) -> Result<SigningTime, AuthError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let time = if headers.contains_key(header::DATE) {
        text(header::DATE).and_then(SigningTime::parse)
    } else {
        text(DATE).and_then(SigningTime::parse_http)
    };
    time.ok_or(AuthError::AccessDenied("AWS authentication requires a valid Date or x-amz-date header"))
}
