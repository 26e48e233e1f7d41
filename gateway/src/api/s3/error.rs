//! What S3 answers when it refuses.

use std::borrow::Cow;

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
    pub headers: Vec<(http::HeaderName, String)>,
    /// The cause, for the log only.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// An error code of S3. (The whole table is made by `code.rs`.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// 500.
    InternalError,
}

impl S3Error {
    /// A refusal with its default message.
    pub fn new(code: Code) -> Self {
        Self { code, message: None, fields: Vec::new(), headers: Vec::new(), source: None }
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

    /// With a cause for the log.
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}
