//! What S3 answers when it refuses.

mod code;
mod translate;

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, StatusCode, header};

pub use code::Code;
pub use translate::incomplete_body;

use crate::api::s3::request::S3Response;
use crate::api::s3::wire::xml::XmlWriter;
use crate::http::body::ResponseBody;

/// A refusal.
#[derive(Debug)]
pub struct S3Error {
    /// The code: one row of the table.
    pub code: Code,
    /// The message; the code's default where `None`.
    pub message: Option<Cow<'static, str>>,
    /// Further elements of the XML body (`BucketName`, `StringToSign`, …).
    pub fields: Vec<(&'static str, String)>,
    /// Further headers.
    pub headers: Vec<(HeaderName, String)>,
    /// The cause, for the log only.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl S3Error {
    /// A refusal with its default message.
    pub fn new(code: Code) -> Self {
        Self { code, message: None, fields: Vec::new(), headers: Vec::new(), source: None }
    }

    /// `InvalidArgument`, naming the argument and its value.
    pub fn invalid_argument(
        message: impl Into<Cow<'static, str>>,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        Self::new(Code::InvalidArgument)
            .message(message)
            .field("ArgumentName", name)
            .field("ArgumentValue", value)
    }

    /// `InvalidRequest` with this message.
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest).message(message)
    }

    /// `NotImplemented`, naming what is not.
    pub fn not_implemented(what: impl std::fmt::Display) -> Self {
        Self::new(Code::NotImplemented).message(format!("{what} is not implemented."))
    }

    /// With this message.
    pub fn message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// With one more element in the body.
    pub fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// With one more header.
    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With a cause for the log.
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The status that it is answered with.
    pub fn status(&self) -> StatusCode {
        self.code.status()
    }

    /// Did the gateway fail, rather than refuse? (What is not implemented is refused, and so is who asks too much.)
    pub fn is_failure(&self) -> bool {
        self.status().is_server_error() && ![Code::NotImplemented, Code::SlowDown].contains(&self.code)
    }

    /// What the client is told. A failure tells its default message and nothing from inside.
    pub fn client_message(&self) -> &str {
        match &self.message {
            Some(message) if !self.is_failure() => message,
            _ => self.code.default_message(),
        }
    }

    /// Writes the `Error` element. `Resource`, which is documented, S3 does not send.
    fn write_xml(&self, xml: &mut XmlWriter, request_id: &str, host_id: &str) {
        xml.open("Error");
        xml.text("Code", self.code.name());
        xml.text("Message", self.client_message());
        if !self.is_failure() {
            for (name, value) in &self.fields {
                xml.text(name, value);
            }
        }
        xml.text("RequestId", request_id);
        xml.text("HostId", host_id);
        xml.close("Error");
    }

    /// The answer: S3's XML, or for HEAD (and 304) its status and headers alone.
    pub fn into_response(self, request_id: &str, host_id: &str, is_head: bool) -> S3Response {
        let status = self.status();
        let body = if is_head || status == StatusCode::NOT_MODIFIED {
            ResponseBody::empty()
        } else {
            let mut xml = XmlWriter::document(512);
            self.write_xml(&mut xml, request_id, host_id);
            ResponseBody::full(xml.finish())
        };
        let mut response = S3Response::new(body);
        *response.status_mut() = status;
        if status != StatusCode::NOT_MODIFIED {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        }
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

impl std::fmt::Display for S3Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let message = self.message.as_deref().unwrap_or(self.code.default_message());
        write!(f, "{}: {message}", self.code.name())
    }
}

impl std::error::Error for S3Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as &(dyn std::error::Error + 'static))
    }
}

impl From<Code> for S3Error {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn body(error: S3Error, is_head: bool) -> (StatusCode, String) {
        let response = error.into_response("R1", "H1", is_head);
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts.status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn body_has_code_message_fields_and_ids() {
        let error = S3Error::new(Code::NoSuchKey).field("Key", "a<b>\u{1}");
        let (status, text) = body(error, false).await;
        assert_eq!(status, 404);
        assert_eq!(
            text,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code>\
             <Message>The specified key does not exist.</Message><Key>a&lt;b&gt;&#x1;</Key>\
             <RequestId>R1</RequestId><HostId>H1</HostId></Error>"
        );
    }

    #[tokio::test]
    async fn head_and_not_modified_have_no_body() {
        assert_eq!(body(Code::NoSuchKey.into(), true).await, (StatusCode::NOT_FOUND, String::new()));
        assert_eq!(body(Code::NotModified.into(), false).await, (StatusCode::NOT_MODIFIED, String::new()));
    }

    #[tokio::test]
    async fn server_errors_tell_nothing_from_inside() {
        let error = S3Error::new(Code::InternalError)
            .message("disk /dev/sdx1 is on fire")
            .field("Path", "/dev/sdx1")
            .source(std::io::Error::other("/dev/sdx1"));
        let (status, text) = body(error, false).await;
        assert_eq!(status, 500);
        assert!(!text.contains("sdx1"), "{text}");
        let (_, text) = body(S3Error::not_implemented("PutBucketAcl"), false).await;
        assert!(text.contains("PutBucketAcl is not implemented."), "{text}");
    }
}
