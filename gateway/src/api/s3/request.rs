//! A request on its way through the spine.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use kms_core::kms::Caller;
use kms_core::policy;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use storage::catalog::{Bucket, VersionRef};
use storage::name::{BucketName, ObjectKey};

use super::error::{Code, S3Error};
use super::operation::Operation;
use crate::app::App;
use crate::auth::{PayloadAuth, Signed, UNSIGNED_PAYLOAD};
use crate::config::SseCOverHttp;
use crate::http::body::{RequestBody, ResponseBody};
use crate::http::header;
use crate::iam::Identity;

/// What an object's name in a URL has encoded.
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// An answer.
pub type S3Response = http::Response<ResponseBody>;

/// Query parameters, percent-decoded, in order; a parameter without `=` has an empty value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(pub Vec<(String, String)>);

impl Query {
    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Is the name there?
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Is it that of a presigned URL?
    pub fn is_presigned(&self) -> bool {
        self.0.iter().any(|(name, _)| name.eq_ignore_ascii_case(header::SIGNATURE_PARAMETER))
    }

    /// What the body is signed as in a presigned URL: a hash, or `UNSIGNED-PAYLOAD`.
    pub fn presigned_payload(&self) -> &str {
        let mut given =
            self.0.iter().filter(|(name, _)| name.eq_ignore_ascii_case(header::CONTENT_SHA256_NAME));
        given.next().map_or(UNSIGNED_PAYLOAD, |(_, value)| value)
    }
}

/// A routed and authenticated request.
pub struct S3Request {
    /// Its id.
    pub request_id: Arc<str>,
    /// What it asks for.
    pub operation: Operation,
    /// Its method.
    pub method: Method,
    /// The bucket it names.
    pub bucket: Option<BucketName>,
    /// The object it names.
    pub object: Option<ObjectKey>,
    /// Query parameters.
    pub query: Query,
    /// Headers.
    pub headers: HeaderMap,
    /// Who.
    pub identity: Identity,
    /// How and when it was signed; `None` of an anonymous one.
    pub signed: Option<Signed>,
    /// How the body is protected.
    pub payload: PayloadAuth,
    /// The body.
    pub body: RequestBody,
    /// The peer's address.
    pub peer: IpAddr,
    /// Did it come over TLS?
    pub secure: bool,
    /// The version of TLS that it came over: `1.2`, `1.3`.
    pub tls_version: Option<&'static str>,
    /// The document in its body, once it was read for its values.
    pub document: Option<Bytes>,
    /// Values of condition keys that stand in the document, or belong to the upload that it names.
    pub of_document: policy::Context,
    /// The version it names.
    pub version: VersionRef,
}

impl S3Request {
    /// Refuses what has to do with a KMS key where version 2 signed for it, as AWS does.
    pub fn expect_v4_for_kms(&self, has_kms_key: bool) -> Result<(), S3Error> {
        if !has_kms_key || !self.signed.is_some_and(|signed| signed.is_v2) {
            return Ok(());
        }
        Err(S3Error::invalid_argument(
            "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature Version 4.",
            "Authorization",
            "null",
        ))
    }

    /// Its body, and how that is protected; what is left has none.
    pub fn take_body(&mut self) -> (RequestBody, PayloadAuth) {
        (std::mem::take(&mut self.body), std::mem::replace(&mut self.payload, PayloadAuth::Unsigned))
    }

    /// The object it names; the route gives an operation on objects to nothing else.
    pub fn object(&self) -> Result<&ObjectKey, S3Error> {
        self.object.as_ref().ok_or_else(|| Code::MethodNotAllowed.into())
    }

    /// ARN of the object it names.
    pub fn object_arn(&self) -> String {
        let text = |name: Option<&str>| name.unwrap_or_default().to_owned();
        let bucket = text(self.bucket.as_ref().map(BucketName::as_str));
        format!("arn:aws:s3:::{bucket}/{}", text(self.object.as_ref().map(ObjectKey::as_str)))
    }

    /// Where an object is: the host that the client spoke to, in the style that it spoke in.
    pub fn url_of(&self, bucket: &Bucket, object: &ObjectKey) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        let host =
            self.headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let object = utf8_percent_encode(object.as_str(), &RESERVED);
        let named_by_host = host.strip_prefix(bucket.name.as_str()).is_some_and(|rest| rest.starts_with('.'));
        match (host, named_by_host) {
            ("", _) => format!("/{}/{object}", bucket.name),
            (host, true) => format!("{scheme}://{host}/{object}"),
            (host, false) => format!("{scheme}://{host}/{}/{object}", bucket.name),
        }
    }

    /// How it came: over TLS, from whom, and what the setting says of plain HTTP.
    pub fn channel(&self, app: &App) -> (bool, IpAddr, SseCOverHttp) {
        (self.secure, self.peer, app.sse_c_over_http)
    }

    /// The announced length of its body in plain bytes: `x-amz-decoded-content-length` of an aws-chunked one, else
    /// `Content-Length`. `MissingContentLength` where it is not there or no number; `NotImplemented` where the body is sent by
    /// `Transfer-Encoding` in its place.
    pub fn plain_len(&self) -> Result<u64, S3Error> {
        let number =
            |name: &http::HeaderName| self.headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
        let announced = match &self.payload {
            PayloadAuth::StreamingSigned { .. } | PayloadAuth::StreamingUnsignedTrailer => {
                number(&header::DECODED_CONTENT_LENGTH)
            }
            PayloadAuth::Unsigned | PayloadAuth::Sha256(_) => number(&http::header::CONTENT_LENGTH),
        };
        let is_chunked_by_http = self.headers.contains_key(http::header::TRANSFER_ENCODING)
            && matches!(self.payload, PayloadAuth::Unsigned | PayloadAuth::Sha256(_));
        match announced {
            Some(len) => Ok(len),
            None if is_chunked_by_http => {
                Err(S3Error::new(Code::NotImplemented).field("Header", "Transfer-Encoding"))
            }
            None => Err(Code::MissingContentLength.into()),
        }
    }

    /// The caller as KMS sees it.
    pub fn kms_caller(&self) -> Caller {
        Caller {
            credentials: self.identity.access_key_id.clone(),
            source_ip: Some(self.peer),
            secure_transport: self.secure,
            request_id: self.request_id.clone(),
            subject: self.identity.subject.clone(),
            via_service: None,
            dry_run: false,
        }
    }
}
