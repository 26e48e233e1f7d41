//! What a request tells to conditions of policies.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/amazon-s3-policy-keys.html>

use http::{HeaderMap, HeaderName};
use percent_encoding::percent_decode_str;
use storage::name::Timestamp;

use super::request::S3Request;
use crate::app::App;
use crate::auth::PayloadAuth;
use crate::authz::{Circumstances, Context};
use crate::http::header;

/// Headers that are condition keys of S3 by their own name.
const HEADERS: [HeaderName; 17] = [
    header::ACL,
    header::CONTENT_SHA256,
    header::COPY_SOURCE,
    header::GRANT_FULL_CONTROL,
    header::GRANT_READ,
    header::GRANT_READ_ACP,
    header::GRANT_WRITE,
    header::GRANT_WRITE_ACP,
    header::METADATA_DIRECTIVE,
    header::OBJECT_OWNERSHIP,
    header::SSE,
    header::SSE_KMS_KEY_ID,
    header::SSE_C_ALGORITHM,
    header::STORAGE_CLASS,
    header::WEBSITE_REDIRECT_LOCATION,
    header::BYPASS_GOVERNANCE_RETENTION,
    header::REQUEST_PAYER,
];

/// Query parameters that are condition keys of S3.
const PARAMETERS: [&str; 4] = ["prefix", "delimiter", "max-keys", "versionId"];

/// Values of condition keys by their lower-case names.
pub fn of(app: &App, request: &S3Request) -> Context {
    let circumstances = Circumstances {
        source_ip: request.peer,
        secure_transport: request.secure,
        user_agent: text(&request.headers, &http::header::USER_AGENT),
        requested_region: &app.region,
        now_unix_ms: Timestamp::now().unix_ms(),
    };
    let mut context = circumstances.context();
    let mut put = |name: &str, value: String| {
        context.insert(name.to_owned(), vec![value]);
    };
    for name in HEADERS {
        if let Some(value) = text(&request.headers, &name) {
            put(&format!("s3:{name}"), value.to_owned());
        }
    }
    for name in PARAMETERS {
        if let Some(value) = request.query.get(name) {
            put(&format!("s3:{}", name.to_ascii_lowercase()), value.to_owned());
        }
    }
    for (name, header) in [
        ("s3:object-lock-mode", header::OBJECT_LOCK_MODE),
        ("s3:object-lock-legal-hold", header::OBJECT_LOCK_LEGAL_HOLD),
        ("s3:object-lock-retain-until-date", header::OBJECT_LOCK_RETAIN_UNTIL_DATE),
        ("s3:if-match", http::header::IF_MATCH),
        ("s3:if-none-match", http::header::IF_NONE_MATCH),
        ("aws:referer", http::header::REFERER),
    ] {
        if let Some(value) = text(&request.headers, &header) {
            put(name, value.to_owned());
        }
    }
    put("s3:signatureversion", "AWS4-HMAC-SHA256".to_owned());
    let presigned =
        request.query.0.iter().any(|(name, _)| name.eq_ignore_ascii_case(header::SIGNATURE_PARAMETER));
    put("s3:authtype", if presigned { "REST-QUERY-STRING" } else { "REST-HEADER" }.to_owned());
    let streams = matches!(request.payload, PayloadAuth::StreamingSigned { .. });
    if streams {
        put("s3:signaturepayload", "STREAMING".to_owned());
    }
    let tags = request_tags(&request.headers);
    if !tags.is_empty() {
        let names: Vec<String> = tags.iter().map(|(name, _)| name.clone()).collect();
        for (name, value) in tags {
            put(&format!("s3:requestobjecttag/{}", name.to_ascii_lowercase()), value);
        }
        context.insert("s3:requestobjecttagkeys".to_owned(), names);
    }
    context
}

/// The tags of the header, as far as they can be read; whoever writes them judges them.
fn request_tags(headers: &HeaderMap) -> Vec<(String, String)> {
    let decoded = |piece: &str| percent_decode_str(&piece.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs =
        text(headers, &header::TAGGING).unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(n, v)| (decoded(n), decoded(v)))
        .collect()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
}
