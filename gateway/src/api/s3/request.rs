//! A request on its way through the spine.

use std::net::IpAddr;

use http::{HeaderMap, Method};
use kms_core::kms::Caller;
use storage::name::{BucketName, ObjectKey};

use crate::auth::PayloadAuth;
use crate::http::body::{RequestBody, ResponseBody};
use crate::iam::Identity;

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
}

/// A routed and authenticated request.
pub struct S3Request {
    /// Its id.
    pub request_id: String,
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
    /// How the body is protected.
    pub payload: PayloadAuth,
    /// The body.
    pub body: RequestBody,
    /// The peer's address.
    pub peer: IpAddr,
    /// Did it come over TLS?
    pub secure: bool,
}

impl S3Request {
    /// The caller as KMS sees it.
    pub fn kms_caller(&self) -> Caller {
        Caller {
            arn: self.identity.arn(),
            account: self.identity.account().map(|a| a.id.clone()).unwrap_or_default(),
            via_service: None,
            source_ip: Some(self.peer),
            secure_transport: self.secure,
        }
    }
}
