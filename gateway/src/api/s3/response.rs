//! The usual answers.

use http::{HeaderValue, StatusCode, header};

use super::request::S3Response;
use crate::http::body::ResponseBody;

/// 200 with a document of XML.
pub fn xml(document: Vec<u8>) -> S3Response {
    let mut response = S3Response::new(ResponseBody::full(document));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

/// 200 with no body.
pub fn empty() -> S3Response {
    S3Response::new(ResponseBody::empty())
}

/// 204.
pub fn no_content() -> S3Response {
    let mut response = empty();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
