//! AWS Signature Version 2: in presigned URLs and forms, which some SDKs still make with it by default, and in headers, as old clients do.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html>

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use http::request::Parts;
use percent_encoding::percent_decode;
use sha1::Sha1;

use super::sigv4::{MAX_SKEW_S, SigningTime, format_extended};
use super::{AuthError, AuthType, Authenticated, Expected, Keys, PayloadKind, Signed, UNSIGNED_PAYLOAD};
use crate::http::header;
use crate::iam::Identity;

/// Parameters of the query that are part of what is signed.
pub const SIGNED_PARAMETERS: [&str; 41] = [
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "defaultObjectAcl",
    "delete",
    "encryption",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "partNumber",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "retention",
    "select",
    "select-type",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

/// A presigned URL.
#[derive(Debug)]
struct Claim<'a> {
    access_key_id: Cow<'a, str>,
    signature: Vec<u8>,
    expires: Cow<'a, str>,
}

/// Verifies a URL that is presigned with version 2; its bucket, where the host names that.
pub(super) fn authenticate(
    parts: &Parts,
    host_bucket: Option<&str>,
    keys: Keys<'_>,
    expected: Expected<'_>,
) -> Result<Authenticated, AuthError> {
    let parameters = parameters(parts.uri.query().unwrap_or_default());
    let claim = claim(&parameters)?;
    let now_unix_s = (expected.now_unix_ms / 1000) as i64;
    let invalid_expires = || AuthError::AccessDenied("Invalid date (should be seconds since epoch)");
    let expires_unix_s: i64 = claim.expires.parse().map_err(|_| invalid_expires())?;
    if expires_unix_s < now_unix_s {
        return Err(AuthError::Expired {
            expires_s: None,
            expired_at: format_extended(expires_unix_s),
            server_time: format_extended(now_unix_s),
        });
    }
    let to_sign = strings_to_sign(parts, &parameters, host_bucket, &claim.expires);
    let token =
        parts.headers.get(header::SECURITY_TOKEN).map(|token| String::from_utf8_lossy(token.as_bytes()));
    let in_query = || find(&parameters, header::SECURITY_TOKEN.as_str());
    let token = token.or_else(in_query);
    let identity = judge(&claim.access_key_id, token.as_deref(), &to_sign, &claim.signature, keys, expected)?;
    // When it was signed it does not say: conditions on its age see it as signed now.
    let signed = Signed { by: AuthType::Query, is_v2: true, at_unix_ms: expected.now_unix_ms };
    let given = parts.headers.get(header::CONTENT_SHA256).map(|hash| hash.to_str().unwrap_or_default());
    let payload = PayloadKind::parse(given.unwrap_or(UNSIGNED_PAYLOAD))?.unsigned()?;
    Ok(Authenticated { identity, payload, signed: Some(signed) })
}

/// What an `Authorization` header of version 2 begins with.
const SCHEME: &str = "AWS ";

/// Is it an `Authorization` header of version 2?
pub(super) fn is_header(authorization: &HeaderValue) -> bool {
    authorization.as_bytes().starts_with(SCHEME.as_bytes())
}

/// Verifies a request whose header is signed with version 2: `Authorization: AWS ACCESS_KEY_ID:SIGNATURE`.
pub(super) fn authenticate_header(
    parts: &Parts,
    authorization: &HeaderValue,
    host_bucket: Option<&str>,
    keys: Keys<'_>,
    expected: Expected<'_>,
) -> Result<Authenticated, AuthError> {
    let text = authorization.to_str().unwrap_or_default();
    let fields = text.strip_prefix(SCHEME).and_then(|fields| fields.trim().split_once(':'));
    let (access_key_id, signature) = fields.ok_or_else(|| AuthError::InvalidArgument {
        message: "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature",
        name: "Authorization",
        value: text.to_owned(),
    })?;
    let text_of = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let (amz_date, date) = (text_of(header::DATE), text_of(http::header::DATE));
    let time = amz_date
        .or(date)
        .and_then(SigningTime::parse_http)
        .ok_or(AuthError::AccessDenied("AWS authentication requires a valid Date or x-amz-date header"))?;
    let now_unix_s = (expected.now_unix_ms / 1000) as i64;
    if (time.unix_s - now_unix_s).abs() > MAX_SKEW_S {
        return Err(AuthError::RequestTimeTooSkewed {
            request_time: time.as_str().to_owned(),
            server_time: format_extended(now_unix_s),
        });
    }
    // A date that is signed with the other headers does not stand in a line of its own.
    let date = if amz_date.is_some() { "" } else { date.unwrap_or_default() };
    let parameters = parameters(parts.uri.query().unwrap_or_default());
    let to_sign = strings_to_sign(parts, &parameters, host_bucket, date);
    let signature = STANDARD.decode(signature).unwrap_or_default();
    let identity =
        judge(access_key_id, text_of(header::SECURITY_TOKEN), &to_sign, &signature, keys, expected)?;
    let signed = Signed { is_v2: true, ..Signed::new(AuthType::Header, &time) };
    let payload = PayloadKind::parse(text_of(header::CONTENT_SHA256).unwrap_or(UNSIGNED_PAYLOAD))?;
    Ok(Authenticated { identity, payload: payload.unsigned()?, signed: Some(signed) })
}

/// The fields of a form that sign its policy with version 2.
#[derive(Debug, Clone, Copy)]
pub struct SignedFormV2<'a> {
    /// `AWSAccessKeyId`.
    pub access_key_id: &'a str,
    /// `signature`: base64.
    pub signature: &'a str,
    /// `policy`, as it came: base64.
    pub policy: &'a str,
    /// `x-amz-security-token`, where there is one.
    pub security_token: Option<&'a str>,
}

/// Verifies the signature of a form's policy.
pub fn authenticate_form(
    form: SignedFormV2<'_>,
    keys: Keys<'_>,
    expected: Expected<'_>,
) -> Result<(Identity, Signed), AuthError> {
    let signature = STANDARD.decode(form.signature).unwrap_or_default();
    let to_sign = [form.policy.to_owned()];
    let identity = judge(form.access_key_id, form.security_token, &to_sign, &signature, keys, expected)?;
    Ok((identity, Signed { by: AuthType::Form, is_v2: true, at_unix_ms: expected.now_unix_ms }))
}

/// Who has the access key, if the signature is by its secret.
fn judge(
    access_key_id: &str,
    token: Option<&str>,
    to_sign: &[String],
    signature: &[u8],
    keys: Keys<'_>,
    expected: Expected<'_>,
) -> Result<Identity, AuthError> {
    keys.judge_by_secret(access_key_id, token, expected, |secret| {
        let matches = |to_sign: &String| {
            let mut mac =
                Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
            mac.update(to_sign.as_bytes());
            // Compares in constant time.
            mac.verify_slice(signature).is_ok()
        };
        match to_sign.iter().any(matches) {
            true => Ok(()),
            false => Err(AuthError::SignatureDoesNotMatch {
                access_key_id: access_key_id.to_owned(),
                string_to_sign: to_sign.first().cloned().unwrap_or_default(),
                signature_provided: STANDARD.encode(signature),
                canonical_request: String::new(),
            }),
        }
    })
}

/// The parameters of a query, decoded; whether each has a value.
fn parameters(query: &str) -> Vec<(Cow<'_, str>, Option<Cow<'_, str>>)> {
    let decode = |text: &'_ str| percent_decode(text.as_bytes()).decode_utf8_lossy().into_owned();
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) => (Cow::Owned(decode(name)), Some(Cow::Owned(decode(value)))),
            None => (Cow::Owned(decode(pair)), None),
        })
        .collect()
}

type Parameters<'a> = [(Cow<'a, str>, Option<Cow<'a, str>>)];

fn find<'a>(parameters: &Parameters<'a>, name: &str) -> Option<Cow<'a, str>> {
    let found = parameters.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.clone().unwrap_or_default())
}

fn claim<'a>(parameters: &Parameters<'a>) -> Result<Claim<'a>, AuthError> {
    let required = |name: &str| {
        find(parameters, name).ok_or(AuthError::AccessDenied(
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters",
        ))
    };
    // A plus that nobody encoded is read as it is.
    let signature = required("Signature")?.replace(' ', "+");
    Ok(Claim {
        access_key_id: required("AWSAccessKeyId")?,
        signature: STANDARD.decode(signature).unwrap_or_default(),
        expires: required("Expires")?,
    })
}

/// What may have been signed, with the line that tells when it was or until when it holds: of a bucket in path style its path as it came, or as SDKs sign it, with a slash at its end.
fn strings_to_sign(
    parts: &Parts,
    parameters: &Parameters<'_>,
    host_bucket: Option<&str>,
    date: &str,
) -> Vec<String> {
    let path = parts.uri.path();
    let is_bucket = host_bucket.is_none() && path.len() > 1 && !path[1..].contains('/');
    let paths = [Some(path.to_owned()), is_bucket.then(|| format!("{path}/"))];
    let sign = |path: String| string_to_sign(parts, &path, parameters, host_bucket, date);
    paths.into_iter().flatten().map(sign).collect()
}

fn string_to_sign(
    parts: &Parts,
    path: &str,
    parameters: &Parameters<'_>,
    host_bucket: Option<&str>,
    date: &str,
) -> String {
    // SDKs put headers that they sign into the query, where S3 takes them for headers.
    let header = |name: &str| {
        let in_header = parts.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let found = in_header.map(Cow::into_owned).or_else(|| find(parameters, name).map(Cow::into_owned));
        found.unwrap_or_default()
    };
    let mut amz: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in parts.headers.keys().filter(|name| name.as_str().starts_with(header::AMZ_PREFIX)) {
        let values = parts.headers.get_all(name).iter();
        let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned());
        amz.insert(name.as_str().to_owned(), values.collect());
    }
    for (name, value) in parameters {
        let name = name.to_ascii_lowercase();
        if name.starts_with(header::AMZ_PREFIX) {
            let value = value.as_deref().unwrap_or_default().trim().to_owned();
            amz.entry(name).or_insert_with(|| vec![value]);
        }
    }
    let mut to_sign =
        format!("{}\n{}\n{}\n{date}\n", parts.method, header("content-md5"), header("content-type"));
    for (name, values) in amz {
        to_sign += &format!("{name}:{}\n", values.join(","));
    }
    if let Some(bucket) = host_bucket {
        to_sign += "/";
        to_sign += bucket;
    }
    to_sign += path;
    let mut signed: Vec<_> =
        parameters.iter().filter(|(name, _)| SIGNED_PARAMETERS.contains(&name.as_ref())).collect();
    signed.sort();
    for (n, (name, value)) in signed.into_iter().enumerate() {
        to_sign.push(if n == 0 { '?' } else { '&' });
        to_sign += name;
        if let Some(value) = value {
            to_sign.push('=');
            to_sign += value;
        }
    }
    to_sign
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn signed(parts: &Parts, bucket: Option<&str>) -> String {
        let parameters = parameters(parts.uri.query().unwrap_or_default());
        strings_to_sign(parts, &parameters, bucket, "1141889120").pop().unwrap()
    }

    /// The example of AWS's page on query string authentication: host-style bucket, a key and its expiry.
    #[test]
    fn documented_example() {
        let uri = "/photos/puppy.jpg?AWSAccessKeyId=A&Expires=1141889120&Signature=x";
        let to_sign = signed(&parts("GET", uri, &[]), Some("johnsmith"));
        assert_eq!(to_sign, "GET\n\n\n1141889120\n/johnsmith/photos/puppy.jpg");
        assert_eq!(signed(&parts("GET", "/b?acl", &[]), None), "GET\n\n\n1141889120\n/b/?acl");
    }

    /// The examples of AWS's page on signing and authenticating requests, whose secret is public.
    #[test]
    fn documented_headers() {
        let date = "Tue, 27 Mar 2007 19:36:42 +0000";
        let get = parts("GET", "/photos/puppy.jpg", &[("date", date)]);
        let to_sign = strings_to_sign(&get, &[], Some("awsexamplebucket1"), date).pop().unwrap();
        assert_eq!(to_sign, format!("GET\n\n\n{date}\n/awsexamplebucket1/photos/puppy.jpg"));
        let mut mac = Hmac::<Sha1>::new_from_slice(b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").unwrap();
        mac.update(to_sign.as_bytes());
        assert_eq!(STANDARD.encode(mac.finalize().into_bytes()), "qgk2+6Sv9/oM7G3qLEjTH1a1l1g=");
        let dated = parts("DELETE", "/b/k", &[("x-amz-date", date), ("date", "another")]);
        assert_eq!(
            strings_to_sign(&dated, &[], None, "").pop().unwrap(),
            format!("DELETE\n\n\n\nx-amz-date:{date}\n/b/k")
        );
    }

    #[test]
    fn headers_and_parameters_are_signed() {
        let uri = "/b/k?uploadId=u%2Bv&partNumber=2&x-amz-acl=private&content-type=text%2Fplain&prefix=p&acl&Signature=s";
        let headers = [("x-amz-meta-b", "2"), ("x-amz-meta-a", " 1 "), ("content-md5", "m")];
        assert_eq!(
            signed(&parts("PUT", uri, &headers), None),
            "PUT\nm\ntext/plain\n1141889120\nx-amz-acl:private\nx-amz-meta-a:1\nx-amz-meta-b:2\n/b/k?acl&partNumber=2&uploadId=u+v"
        );
    }
}
