//! AWS Signature Version 4 in headers, written from its specification and independent of the gateway's own code.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, HeaderValue, Request};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::macros::format_description;

/// Signs requests of one access key for one day, region and service.
#[derive(Debug, Clone)]
pub struct Signer {
    access_key_id: String,
    scope: String,
    signing_key: Vec<u8>,
}

impl Signer {
    /// For requests of today to S3 in us-east-1.
    pub fn new(access_key_id: &str, secret_access_key: &str) -> Self {
        let date = timestamp()[..8].to_owned();
        let mut signing_key = format!("AWS4{secret_access_key}").into_bytes();
        for part in [&date, "us-east-1", "s3", "aws4_request"] {
            signing_key = hmac(&signing_key, part.as_bytes());
        }
        let scope = format!("{date}/us-east-1/s3/aws4_request");
        Self { access_key_id: access_key_id.to_owned(), scope, signing_key }
    }

    /// Adds date, payload hash (`UNSIGNED-PAYLOAD`) and signature to a request. Its path and query must be percent-encoded, the
    /// query in order, and all its headers are signed.
    pub fn sign<B>(&self, request: &mut Request<B>) {
        let timestamp = timestamp();
        let headers = request.headers_mut();
        headers.insert(HeaderName::from_static("x-amz-date"), value(&timestamp));
        headers.insert(HeaderName::from_static("x-amz-content-sha256"), value("UNSIGNED-PAYLOAD"));
        let mut names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let signed = names.join(";");
        let mut canonical = format!(
            "{}\n{}\n{}\n",
            request.method(),
            request.uri().path(),
            request.uri().query().unwrap_or_default()
        );
        for name in &names {
            let text = request.headers()[*name].to_str().unwrap_or_default();
            canonical += &format!("{name}:{}\n", text.trim());
        }
        canonical += &format!("\n{signed}\nUNSIGNED-PAYLOAD");
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{timestamp}\n{}\n{}",
            self.scope,
            hex::encode(Sha256::digest(canonical))
        );
        let signature = hex::encode(hmac(&self.signing_key, to_sign.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={signed}, Signature={signature}",
            self.access_key_id, self.scope
        );
        request.headers_mut().insert(http::header::AUTHORIZATION, value(&authorization));
    }
}

fn timestamp() -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    OffsetDateTime::now_utc().format(format).expect("a time of this century can be written")
}

fn value(ascii: &str) -> HeaderValue {
    HeaderValue::from_str(ascii).expect("what is signed is ASCII")
}

fn hmac(secret: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}
