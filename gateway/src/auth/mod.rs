//! Who is it: AWS Signature Version 4 in headers, query and streams.

pub mod bearer;
mod failures;
mod sigv2;
pub(crate) mod sigv4;

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::AUTHORIZATION;
use http::request::Parts;
use sha2::Digest as _;
use zeroize::Zeroizing;

use crate::http::header;
use crate::iam::{CredentialRefusal, Iam, Identity};
use sigv4::presigned::Parameters;

pub use failures::Failures;
pub use sigv2::{
    SIGNED_PARAMETERS as V2_SIGNED_PARAMETERS, SignedFormV2, authenticate_form as authenticate_form_v2,
};
pub use sigv4::V2_TEXT;

/// How the body is protected.
#[derive(Debug)]
pub enum PayloadAuth {
    /// `UNSIGNED-PAYLOAD`, or no authentication at all.
    Unsigned,
    /// The body must have this SHA-256.
    Sha256([u8; 32]),
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD` and its `-TRAILER` form: aws-chunked, each chunk signed.
    StreamingSigned {
        /// What chunk signatures are made with.
        signer: ChunkSigner,
        /// Signed trailers follow.
        trailer: bool,
    },
    /// `STREAMING-UNSIGNED-PAYLOAD-TRAILER`: aws-chunked with trailers, unsigned.
    StreamingUnsignedTrailer,
}

/// The state of a chain of chunk signatures.
#[derive(Debug)]
pub struct ChunkSigner {
    /// The signing key of date, region and service.
    pub signing_key: Zeroizing<[u8; 32]>,
    /// `x-amz-date` of the request.
    pub timestamp: String,
    /// `date/region/service/aws4_request`.
    pub scope: String,
    /// The signature before: the request's own for the first chunk, as 64 hexadecimal digits.
    pub previous_signature: String,
}

/// An authenticated (or anonymous) request.
#[derive(Debug)]
pub struct Authenticated {
    /// Who.
    pub identity: Identity,
    /// How the body is protected.
    pub payload: PayloadAuth,
    /// How and when it was signed; `None` of an anonymous request.
    pub signed: Option<Signed>,
}

/// Where a signature was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthType {
    /// In the header `Authorization`.
    Header,
    /// In the query: a presigned URL.
    Query,
    /// In the fields of a form.
    Form,
}

impl AuthType {
    /// As `s3:authType` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Header => "REST-HEADER",
            Self::Query => "REST-QUERY-STRING",
            Self::Form => "POST",
        }
    }
}

/// How and when a request was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// Where the signature was.
    pub by: AuthType,
    /// Is it one of version 2?
    pub is_v2: bool,
    /// When it was made, as it says itself, in milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
}

impl Signed {
    fn new(by: AuthType, time: &sigv4::SigningTime) -> Self {
        Self { by, is_v2: false, at_unix_ms: u64::try_from(time.unix_s).unwrap_or_default() * 1000 }
    }
}

/// Why a request is not authentic. Each maps to one S3 error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// 403 InvalidAccessKeyId.
    #[error("no such access key")]
    InvalidAccessKeyId {
        /// The key.
        access_key_id: String,
    },
    /// 403 SignatureDoesNotMatch.
    #[error("the signature does not match")]
    SignatureDoesNotMatch {
        /// The key.
        access_key_id: String,
        /// What we signed.
        string_to_sign: String,
        /// What was given.
        signature_provided: String,
        /// What we hashed.
        canonical_request: String,
    },
    /// 403 RequestTimeTooSkewed.
    #[error("the clocks differ by more than 15 minutes")]
    RequestTimeTooSkewed {
        /// The request's time, ISO 8601.
        request_time: String,
        /// Our time, ISO 8601.
        server_time: String,
    },
    /// 403 AccessDenied "Request has expired" (presigned).
    #[error("the request has expired")]
    Expired {
        /// How long it was to hold, in seconds, where it says so (version 4).
        expires_s: Option<u64>,
        /// When it expired, ISO 8601.
        expired_at: String,
        /// Our time, ISO 8601.
        server_time: String,
    },
    /// 400 AuthorizationHeaderMalformed, with the region expected where that is what is wrong.
    #[error("{message}")]
    AuthorizationHeaderMalformed {
        /// AWS's text.
        message: String,
        /// The region expected.
        region: Option<String>,
    },
    /// 400 AuthorizationQueryParametersError.
    #[error("{0}")]
    QueryParametersError(String),
    /// 403 AccessDenied: a header that must be signed is not.
    #[error("headers that must be signed are not: {headers}")]
    HeadersNotSigned {
        /// Their names, lower-case, with commas between: the element `HeadersNotSigned`.
        headers: String,
    },
    /// 400 InvalidArgument with the elements `ArgumentName` and `ArgumentValue`.
    #[error("{message}")]
    InvalidArgument {
        /// AWS's text.
        message: &'static str,
        /// The header or parameter.
        name: &'static str,
        /// What was given.
        value: String,
    },
    /// 403 AccessDenied with this text.
    #[error("{0}")]
    AccessDenied(&'static str),
    /// 400 InvalidRequest with this text.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// 400 InvalidToken: it is not one of ours, or not of this access key.
    #[error("the session token is not one of ours")]
    InvalidToken,
    /// 400 ExpiredToken.
    #[error("the session has ended")]
    ExpiredToken,
    /// 403 AccountProblem.
    #[error("the account is disabled")]
    AccountProblem,
    /// 503 SlowDown: too many signatures from there were wrong.
    #[error("too many failed signatures from this address")]
    TooManyFailures,
    /// 501 NotImplemented with this text: SigV4A.
    #[error("{0}")]
    NotImplemented(&'static str),
}

impl AuthError {
    /// Is it for want of an identity, which another gateway may have made or changed meanwhile?
    pub fn is_of_unknown(&self) -> bool {
        matches!(self, Self::InvalidAccessKeyId { .. } | Self::InvalidToken | Self::AccountProblem)
    }
}

/// What a request must have been signed for.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The region in the credential scope.
    pub region: &'a str,
    /// The service in the credential scope: `s3`, `kms`, `iam` or `sts`.
    pub service: &'a str,
    /// Our time, milliseconds since the Unix epoch.
    pub now_unix_ms: u64,
    /// Where the request comes from.
    pub source: IpAddr,
}

/// What signatures are checked against.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    /// Who has which access key.
    pub iam: &'a Iam,
    /// Who has guessed.
    pub failures: &'a Failures,
    /// Is one who is not known a failure? Not while another gateway may have made him just now.
    pub counts_unknown: bool,
}

impl Keys<'_> {
    /// Who has this access key, and its signing key; judged by whether `matches` finds the signature to be by that key. Unknown keys
    /// take as long as known ones: their signature is computed with a key of nobody's.
    fn judge(
        &self,
        credential: &sigv4::Credential<'_>,
        token: Option<&str>,
        expected: Expected<'_>,
        matches: impl FnOnce(&[u8; 32]) -> Result<(), AuthError>,
    ) -> Result<(Identity, Zeroizing<[u8; 32]>), AuthError> {
        let known = self.find(credential, token, expected)?;
        let nobodys = [0; 32];
        let matched = matches(known.as_ref().map_or(&nobodys, |(_, signing_key)| signing_key));
        let judged = known.and_then(|known| matched.map(|()| known));
        match &judged {
            Ok(_) => {
                self.failures.succeeded(expected.source, credential.access_key_id);
                self.iam.note_use(credential.access_key_id, credential.at(expected));
            }
            Err(error) => self.note_failure(error, credential, expected),
        }
        judged
    }

    /// As [`Keys::judge`], by a signature that the secret itself makes.
    fn judge_by_secret(
        &self,
        access_key_id: &str,
        token: Option<&str>,
        expected: Expected<'_>,
        matches: impl Fn(&str) -> Result<(), AuthError>,
    ) -> Result<Identity, AuthError> {
        // No day has this name: what is derived for it signs nothing.
        let (date, region, service) = ("sigv2", expected.region, expected.service);
        let credential = sigv4::Credential { access_key_id, date, region, service };
        let known = self.find(&credential, token, expected)?.map(|(identity, _)| identity);
        let by_secret = |identity: &Identity| self.iam.derive_from_secret(identity, &matches);
        let matched = known.as_ref().ok().and_then(by_secret).unwrap_or_else(|| matches("nobody's"));
        let judged = known.and_then(|identity| matched.map(|()| identity));
        match &judged {
            Ok(_) => {
                self.failures.succeeded(expected.source, access_key_id);
                self.iam.note_use(access_key_id, credential.at(expected));
            }
            Err(error) => self.note_failure(error, &credential, expected),
        }
        judged
    }

    /// Could a signature by this access key be right?
    fn admit(
        &self,
        credential: &sigv4::Credential<'_>,
        token: Option<&str>,
        expected: Expected<'_>,
    ) -> Result<(), AuthError> {
        let known = self.find(credential, token, expected)?;
        known.map(drop).inspect_err(|error| self.note_failure(error, credential, expected))
    }

    /// Who has this access key, and its signing key, or why there is none. Fails for whoever is held off.
    #[allow(clippy::type_complexity)] // As `judge` answers it.
    fn find(
        &self,
        credential: &sigv4::Credential<'_>,
        token: Option<&str>,
        expected: Expected<'_>,
    ) -> Result<Result<(Identity, Zeroizing<[u8; 32]>), AuthError>, AuthError> {
        let access_key_id = credential.access_key_id;
        if !self.failures.admits(expected.source, access_key_id, expected.now_unix_ms) {
            return Err(AuthError::TooManyFailures);
        }
        let known = self.iam.signing_key(access_key_id, token, credential.at(expected));
        Ok(known.map_err(|refusal| match refusal {
            CredentialRefusal::Unknown => {
                AuthError::InvalidAccessKeyId { access_key_id: access_key_id.to_owned() }
            }
            CredentialRefusal::Token => AuthError::InvalidToken,
            CredentialRefusal::Expired => AuthError::ExpiredToken,
            CredentialRefusal::Account => AuthError::AccountProblem,
        }))
    }

    fn note_failure(&self, error: &AuthError, credential: &sigv4::Credential<'_>, expected: Expected<'_>) {
        if !self.counts_unknown && error.is_of_unknown() {
            return;
        }
        if !matches!(error, AuthError::ExpiredToken | AuthError::AccountProblem) {
            self.failures.failed(expected.source, credential.access_key_id, expected.now_unix_ms);
        }
    }
}

/// As [`authenticate`], of a presigned URL of version 2 too, and where `by_header` of its header; `host_bucket`: the bucket that its
/// host names.
pub fn authenticate_any(
    parts: &Parts,
    host_bucket: impl FnOnce() -> Option<String>,
    by_header: bool,
    keys: Keys<'_>,
    expected: Expected<'_>,
) -> Result<Authenticated, AuthError> {
    let parameters = Parameters::of(parts.uri.query().unwrap_or_default());
    let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
    match (headers.next(), headers.next()) {
        (None, _) if parameters.v2 && !parameters.sign() => {
            sigv2::authenticate(parts, host_bucket().as_deref(), keys, expected)
        }
        (Some(header), None)
            if by_header && sigv2::is_header(header) && !parameters.v2 && !parameters.sign() =>
        {
            sigv2::authenticate_header(parts, header, host_bucket().as_deref(), keys, expected)
        }
        _ => authenticate(parts, keys, expected),
    }
}

/// Verifies a request's signature; a request without any is anonymous. The URI must be as it came on the wire.
pub fn authenticate(
    parts: &Parts,
    keys: Keys<'_>,
    expected: Expected<'_>,
) -> Result<Authenticated, AuthError> {
    let parameters = Parameters::of(parts.uri.query().unwrap_or_default());
    let given = parts.headers.get(header::CONTENT_SHA256).map(|v| v.to_str().unwrap_or_default());
    let (claim, payload_hash, by) = match credentials(parts, &parameters)? {
        Credentials::None => {
            let payload = PayloadKind::parse(given.unwrap_or(UNSIGNED_PAYLOAD))?.unsigned()?;
            return Ok(Authenticated { identity: Identity::anonymous(), payload, signed: None });
        }
        Credentials::Header => {
            let claim = sigv4::header::claim(&parts.headers, expected)?;
            let payload_hash = given.ok_or(AuthError::InvalidRequest(
                "Missing required header for this request: x-amz-content-sha256",
            ))?;
            (claim, payload_hash, AuthType::Header)
        }
        Credentials::Query => {
            let claim = parameters.claim(expected)?;
            let is_signed = claim.signed_headers.contains(&header::CONTENT_SHA256_NAME);
            let in_url = parameters.content_sha256.as_deref();
            // A header that nobody signed may say what the body is where the URL does not, and is no part of what was signed.
            if !is_signed && in_url.is_some_and(|in_url| given.is_some_and(|given| given != in_url)) {
                return Err(AuthError::HeadersNotSigned { headers: header::CONTENT_SHA256_NAME.to_owned() });
            }
            (claim, given.filter(|_| is_signed).or(in_url).unwrap_or(UNSIGNED_PAYLOAD), AuthType::Query)
        }
    };
    let kind = PayloadKind::parse(given.unwrap_or(payload_hash))?;
    let token = security_token(parts, &parameters);
    let verified = sigv4::verify(parts, &claim, payload_hash, token.as_deref(), keys, expected)?;
    let signed = Some(Signed::new(by, &claim.time));
    let payload = match kind {
        PayloadKind::StreamingSigned { trailer } => PayloadAuth::StreamingSigned {
            signer: ChunkSigner {
                signing_key: verified.signing_key,
                timestamp: claim.time.as_str().to_owned(),
                scope: claim.credential.scope(),
                previous_signature: claim.signature.into_owned(),
            },
            trailer,
        },
        kind => kind.unsigned()?,
    };
    Ok(Authenticated { identity: verified.identity, payload, signed })
}

/// Verifies a request whose body is at hand, for services whose requests need not tell its hash (KMS, IAM, STS).
pub fn authenticate_body(
    parts: &Parts,
    body: &[u8],
    keys: Keys<'_>,
    expected: Expected<'_>,
) -> Result<Identity, AuthError> {
    let parameters = Parameters::of(parts.uri.query().unwrap_or_default());
    let claim = match credentials(parts, &parameters)? {
        Credentials::None => return Ok(Identity::anonymous()),
        Credentials::Header => sigv4::header::claim(&parts.headers, expected)?,
        Credentials::Query => parameters.claim(expected)?,
    };
    let payload_hash = hex::encode(sha2::Sha256::digest(body));
    let token = security_token(parts, &parameters);
    Ok(sigv4::verify(parts, &claim, &payload_hash, token.as_deref(), keys, expected)?.identity)
}

/// What is known of who asks before a body is read whose hash is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beforehand {
    /// The request is not signed.
    Nobody,
    /// It names an access key that there is, for here and now.
    Claimed,
    /// It is signed, with the hash that it tells of its body.
    Verified,
}

/// What can be verified of such a request before its body is read: all but the body where `x-amz-content-sha256` tells its hash.
/// [`authenticate_body`] has the last word.
pub fn before_body(parts: &Parts, keys: Keys<'_>, expected: Expected<'_>) -> Result<Beforehand, AuthError> {
    let parameters = Parameters::of(parts.uri.query().unwrap_or_default());
    let claim = match credentials(parts, &parameters)? {
        Credentials::None => return Ok(Beforehand::Nobody),
        Credentials::Header => sigv4::header::claim(&parts.headers, expected)?,
        Credentials::Query => parameters.claim(expected)?,
    };
    let token = security_token(parts, &parameters);
    let told = parts.headers.get(header::CONTENT_SHA256).and_then(|value| value.to_str().ok());
    match told.filter(|told| matches!(PayloadKind::parse(told), Ok(PayloadKind::Sha256(_)))) {
        Some(hash) => {
            sigv4::verify(parts, &claim, hash, token.as_deref(), keys, expected)?;
            Ok(Beforehand::Verified)
        }
        None => {
            keys.admit(&claim.credential, token.as_deref(), expected)?;
            Ok(Beforehand::Claimed)
        }
    }
}

/// The fields of a form that sign its policy.
#[derive(Debug, Clone, Copy)]
pub struct SignedForm<'a> {
    /// `x-amz-algorithm`.
    pub algorithm: &'a str,
    /// `x-amz-credential`.
    pub credential: &'a str,
    /// `x-amz-date`.
    pub date: &'a str,
    /// `x-amz-signature`.
    pub signature: &'a str,
    /// `policy`, as it came: base64.
    pub policy: &'a str,
    /// `x-amz-security-token`, where there is one.
    pub security_token: Option<&'a str>,
}

/// Verifies the signature of a form's policy.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-authentication-HTTPPOST.html>
pub fn authenticate_form(
    form: SignedForm<'_>,
    keys: Keys<'_>,
    expected: Expected<'_>,
) -> Result<(Identity, Signed), AuthError> {
    let invalid =
        |message, name, value: &str| AuthError::InvalidArgument { message, name, value: value.to_owned() };
    match form.algorithm {
        sigv4::ALGORITHM => {}
        sigv4::ALGORITHM_V4A => return Err(AuthError::NotImplemented(sigv4::V4A_TEXT)),
        other => {
            return Err(invalid(
                "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"",
                "X-Amz-Algorithm",
                other,
            ));
        }
    }
    let message = "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"";
    let time =
        sigv4::SigningTime::parse(form.date).ok_or_else(|| invalid(message, "X-Amz-Date", form.date))?;
    let credential = sigv4::Credential::parse(form.credential, &time, expected).map_err(|error| {
        let message = format!("Error parsing the X-Amz-Credential parameter; {}", error.message);
        AuthError::QueryParametersError(message)
    })?;
    let judged =
        keys.judge(&credential, form.security_token, expected, |signing_key| match sigv4::signature_matches(
            signing_key,
            form.policy,
            form.signature,
        ) {
            true => Ok(()),
            false => Err(AuthError::SignatureDoesNotMatch {
                access_key_id: credential.access_key_id.to_owned(),
                string_to_sign: form.policy.to_owned(),
                signature_provided: form.signature.to_owned(),
                canonical_request: String::new(),
            }),
        });
    judged.map(|(identity, _)| (identity, Signed::new(AuthType::Form, &time)))
}

/// The token of temporary credentials, in a header or in the query.
fn security_token<'a>(parts: &'a Parts, parameters: &'a Parameters<'_>) -> Option<Cow<'a, str>> {
    let in_header = parts.headers.get(header::SECURITY_TOKEN);
    let in_header = in_header.map(|value| String::from_utf8_lossy(value.as_bytes()));
    in_header.or_else(|| parameters.security_token.as_deref().map(Cow::Borrowed))
}

/// Where a request carries its credentials.
enum Credentials {
    None,
    Header,
    Query,
}

fn credentials(parts: &Parts, parameters: &Parameters<'_>) -> Result<Credentials, AuthError> {
    let in_header = parts.headers.get_all(AUTHORIZATION).iter().count();
    if in_header + usize::from(parameters.sign()) + usize::from(parameters.v2) > 1 {
        return Err(AuthError::InvalidArgument {
            message: "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, \
                      Signature query string parameter or the Authorization header should be specified",
            name: "Authorization",
            value: parts
                .headers
                .get(AUTHORIZATION)
                .map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned())
                .unwrap_or_default(),
        });
    }
    if parameters.v2 {
        return Err(AuthError::InvalidRequest(sigv4::V2_TEXT));
    }
    Ok(match (in_header, parameters.sign()) {
        (0, false) => Credentials::None,
        (0, true) => Credentials::Query,
        _ => Credentials::Header,
    })
}

/// A body whose hash is not signed.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// What `x-amz-content-sha256` says.
enum PayloadKind {
    Unsigned,
    Sha256([u8; 32]),
    StreamingSigned { trailer: bool },
    StreamingUnsignedTrailer,
}

impl PayloadKind {
    fn parse(value: &str) -> Result<Self, AuthError> {
        Ok(match value {
            UNSIGNED_PAYLOAD => Self::Unsigned,
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Self::StreamingSigned { trailer: false },
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Self::StreamingSigned { trailer: true },
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Self::StreamingUnsignedTrailer,
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"
            | "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER" => {
                return Err(AuthError::NotImplemented(sigv4::V4A_TEXT));
            }
            _ => {
                let mut sha256 = [0; 32];
                hex::decode_to_slice(value, &mut sha256).map_err(|_| AuthError::InvalidArgument {
                    message: "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, \
                              STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, \
                              STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, \
                              STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
                    name: header::CONTENT_SHA256_NAME,
                    value: value.to_owned(),
                })?;
                Self::Sha256(sha256)
            }
        })
    }

    fn unsigned(self) -> Result<PayloadAuth, AuthError> {
        match self {
            Self::Unsigned => Ok(PayloadAuth::Unsigned),
            Self::Sha256(sha256) => Ok(PayloadAuth::Sha256(sha256)),
            Self::StreamingUnsignedTrailer => Ok(PayloadAuth::StreamingUnsignedTrailer),
            Self::StreamingSigned { .. } => {
                Err(AuthError::InvalidRequest("A body with signed chunks requires a signed request."))
            }
        }
    }
}

/// Signs the next link of a chain with these lines: for tests of what verifies it.
#[cfg(test)]
pub(crate) fn sign_for_tests(signer: &ChunkSigner, algorithm: &str, lines: &str) -> String {
    let ChunkSigner { signing_key, timestamp, scope, previous_signature } = signer;
    let to_sign = format!("{algorithm}\n{timestamp}\n{scope}\n{previous_signature}\n{lines}");
    hex::encode(sigv4::hmac_sha256(&signing_key[..], to_sign.as_bytes()))
}

#[cfg(test)]
mod tests;
