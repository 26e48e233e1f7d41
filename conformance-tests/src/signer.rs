//! AWS Signature Version 4, written from its specification and independent of the gateway's own code: in headers, in the query
//! (presigned) and of aws-chunked bodies.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html>

use std::borrow::Cow;

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, HeaderValue, Request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use time::macros::format_description;
use time::{Duration, OffsetDateTime};

/// What a presigned URL's values keep as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Signs requests of one access key in us-east-1 for one service, at one moment or at each request's own.
#[derive(Debug, Clone)]
pub struct Signer {
    access_key_id: String,
    secret_access_key: String,
    /// `None`: the present moment of each request.
    at: Option<OffsetDateTime>,
    service: String,
    /// Of the day on which this was made: of nearly all requests.
    first_day: DayKey,
}

/// What signs a service's requests of one day (UTC).
#[derive(Debug, Clone)]
struct DayKey {
    scope: String,
    signing_key: Vec<u8>,
}

impl DayKey {
    /// For this date, `20150830`.
    fn of(secret_access_key: &str, date: &str, service: &str) -> Self {
        let mut signing_key = format!("AWS4{secret_access_key}").into_bytes();
        for part in [date, "us-east-1", service, "aws4_request"] {
            signing_key = hmac(&signing_key, part.as_bytes());
        }
        Self { scope: format!("{date}/us-east-1/{service}/aws4_request"), signing_key }
    }

    fn sign(&self, to_sign: &str) -> String {
        hex::encode(hmac(&self.signing_key, to_sign.as_bytes()))
    }
}

/// What the signatures of a streaming body's chunks go on from.
#[derive(Debug, Clone)]
pub struct Seed {
    timestamp: String,
    signature: String,
}

impl Signer {
    /// For requests to S3, each of the moment at which it is signed.
    pub fn new(access_key_id: &str, secret_access_key: &str) -> Self {
        Self::of_service(access_key_id, secret_access_key, "s3")
    }

    /// As [`Signer::new`], to this service (`iam`, `kms`, `sts`), which wants a hash of the body: sign with [`Signer::sign_body`].
    pub fn of_service(access_key_id: &str, secret_access_key: &str, service: &str) -> Self {
        Self { at: None, ..Self::made(access_key_id, secret_access_key, OffsetDateTime::now_utc(), service) }
    }

    /// For requests to S3 made, as they claim, at this moment.
    pub fn at(access_key_id: &str, secret_access_key: &str, at: OffsetDateTime) -> Self {
        Self::made(access_key_id, secret_access_key, at, "s3")
    }

    fn made(access_key_id: &str, secret_access_key: &str, at: OffsetDateTime, service: &str) -> Self {
        Self {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: secret_access_key.to_owned(),
            at: Some(at),
            service: service.to_owned(),
            first_day: DayKey::of(secret_access_key, date(&timestamp(at)), service),
        }
    }

    /// The key of the day in which this moment lies.
    fn day_key(&self, timestamp: &str) -> Cow<'_, DayKey> {
        let date = date(timestamp);
        if self.first_day.scope.starts_with(date) {
            return Cow::Borrowed(&self.first_day);
        }
        Cow::Owned(DayKey::of(&self.secret_access_key, date, &self.service))
    }

    /// Adds date, payload hash (`UNSIGNED-PAYLOAD`) and signature to a request. Its path and query must be percent-encoded, the
    /// query in order, and all its headers are signed.
    pub fn sign<B>(&self, request: &mut Request<B>) {
        self.sign_as(request, "UNSIGNED-PAYLOAD");
    }

    /// As [`Signer::sign`], with the hash of this body.
    pub fn sign_body<B>(&self, request: &mut Request<B>, body: &[u8]) {
        self.sign_as(request, &sha256(body));
    }

    /// As [`Signer::sign`], with this payload hash (or word in place of one).
    pub fn sign_as<B>(&self, request: &mut Request<B>, payload: &str) -> Seed {
        let timestamp = self.timestamp();
        let headers = request.headers_mut();
        headers.insert(HeaderName::from_static("x-amz-date"), value(&timestamp));
        headers.insert(HeaderName::from_static("x-amz-content-sha256"), value(payload));
        let day_key = self.day_key(&timestamp);
        let (signed, signature) = signature(&day_key, request, &timestamp, payload);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={signed}, Signature={signature}",
            self.access_key_id, day_key.scope
        );
        request.headers_mut().insert(http::header::AUTHORIZATION, value(&authorization));
        Seed { timestamp, signature }
    }

    /// The path and query of a presigned request, good for so many seconds. All headers of the request are signed.
    pub fn presign<B>(&self, request: &Request<B>, expires_s: i64) -> String {
        self.presign_as(request, expires_s, "UNSIGNED-PAYLOAD")
    }

    /// As [`Signer::presign`], with this payload hash.
    pub fn presign_as<B>(&self, request: &Request<B>, expires_s: i64, payload: &str) -> String {
        let timestamp = self.timestamp();
        let day_key = self.day_key(&timestamp);
        let mut names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let encoded = |text: &str| utf8_percent_encode(text, UNRESERVED).to_string();
        let mut query: Vec<String> =
            request.uri().query().into_iter().flat_map(|q| q.split('&')).map(str::to_owned).collect();
        query.extend([
            "X-Amz-Algorithm=AWS4-HMAC-SHA256".to_owned(),
            format!("X-Amz-Credential={}", encoded(&format!("{}/{}", self.access_key_id, day_key.scope))),
            format!("X-Amz-Date={timestamp}"),
            format!("X-Amz-Expires={expires_s}"),
            format!("X-Amz-SignedHeaders={}", encoded(&names.join(";"))),
        ]);
        query.sort_unstable();
        let target = format!("{}?{}", request.uri().path(), query.join("&"));
        let mut presigned = Request::new(());
        *presigned.uri_mut() = target.parse().expect("what was encoded is a path");
        *presigned.method_mut() = request.method().clone();
        *presigned.headers_mut() = request.headers().clone();
        let (_, signature) = signature(&day_key, &presigned, &timestamp, payload);
        format!("{target}&X-Amz-Signature={signature}")
    }

    /// An aws-chunked body of these chunks (an empty one is added), each signed, and these trailers, signed too where there are
    /// some. <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>
    pub fn chunked(&self, seed: &Seed, chunks: &[&[u8]], trailers: &[(&str, &str)]) -> Vec<u8> {
        let (mut body, mut previous) = (Vec::new(), seed.signature.clone());
        let day_key = self.day_key(&seed.timestamp);
        let sign = |kind: &str, previous: &str, rest: String| {
            day_key.sign(&format!("{kind}\n{}\n{}\n{previous}\n{rest}", seed.timestamp, day_key.scope))
        };
        for chunk in chunks.iter().copied().chain([&[][..]]) {
            let hashes = format!("{}\n{}", sha256(b""), sha256(chunk));
            previous = sign("AWS4-HMAC-SHA256-PAYLOAD", &previous, hashes);
            body.extend_from_slice(format!("{:x};chunk-signature={previous}\r\n", chunk.len()).as_bytes());
            body.extend_from_slice(chunk);
            if !chunk.is_empty() || trailers.is_empty() {
                body.extend_from_slice(b"\r\n");
            }
        }
        if !trailers.is_empty() {
            let lines: String = trailers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
            let signature = sign("AWS4-HMAC-SHA256-TRAILER", &previous, sha256(lines.as_bytes()));
            for (name, value) in trailers {
                body.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
            }
            body.extend_from_slice(format!("x-amz-trailer-signature:{signature}\r\n\r\n").as_bytes());
        }
        body
    }

    fn timestamp(&self) -> String {
        timestamp(self.at.unwrap_or_else(OffsetDateTime::now_utc))
    }
}

/// The signed headers' names and the signature.
fn signature<B>(day_key: &DayKey, request: &Request<B>, timestamp: &str, payload: &str) -> (String, String) {
    let mut names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let signed = names.join(";");
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let mut canonical = format!("{}\n{path}\n{query}\n", request.method());
    for name in &names {
        let text = request.headers()[*name].to_str().unwrap_or_default();
        canonical += &format!("{name}:{}\n", text.trim());
    }
    canonical += &format!("\n{signed}\n{payload}");
    let hash = sha256(canonical.as_bytes());
    let to_sign = format!("AWS4-HMAC-SHA256\n{timestamp}\n{}\n{hash}", day_key.scope);
    (signed, day_key.sign(&to_sign))
}

/// The present moment, moved by so many minutes.
pub fn in_minutes(minutes: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::minutes(minutes)
}

fn timestamp(at: OffsetDateTime) -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    at.format(format).expect("a time of this century can be written")
}

/// The day of a timestamp, `20150830`.
fn date(timestamp: &str) -> &str {
    &timestamp[..8]
}

fn value(ascii: &str) -> HeaderValue {
    HeaderValue::from_str(ascii).expect("what is signed is ASCII")
}

fn sha256(data: &[u8]) -> String {
    hex::encode(Sha256::digest(data))
}

fn hmac(secret: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signer_that_is_kept_over_midnight_signs_for_the_day_of_the_request() {
        let (id, secret) = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let kept = Signer { at: None, ..Signer::at(id, secret, in_minutes(-24 * 60)) };
        let mut request = Request::get("/bucket/key").header("host", "localhost").body(()).unwrap();
        let seed = kept.sign_as(&mut request, "UNSIGNED-PAYLOAD");
        let day_key = DayKey::of(secret, date(&seed.timestamp), "s3");
        assert_ne!(day_key.scope, kept.first_day.scope);
        let authorization = request.headers_mut().remove("authorization").unwrap();
        let (signed, signature) = signature(&day_key, &request, &seed.timestamp, "UNSIGNED-PAYLOAD");
        let scope = &day_key.scope;
        let wanted = format!(
            "AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={signed}, Signature={signature}"
        );
        assert_eq!(authorization, wanted);
        assert_eq!(seed.signature, signature);
    }
}
