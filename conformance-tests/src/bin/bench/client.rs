//! One connection to the server, kept open; as light as it can be, since it runs on the server's machine.

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use conformance_tests::caller::{Caller, Credentials};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use md5::{Digest, Md5};

use super::{Shape, Sse, Target};

/// A connection.
pub(crate) struct Connection(Caller);

/// An answer whose body was read and counted.
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body_len: usize,
    /// The body's first bytes.
    pub(crate) head: Bytes,
}

impl Connection {
    pub(crate) async fn open(target: &Target) -> anyhow::Result<Self> {
        Self::open_as(target, target.root()).await
    }

    pub(crate) async fn open_as(target: &Target, credentials: Credentials) -> anyhow::Result<Self> {
        Ok(Self(Caller::open(target.endpoint_of(0), credentials).await?))
    }

    /// That of this number, where there are several endpoints.
    pub(crate) async fn open_of(target: &Target, number: usize) -> anyhow::Result<Self> {
        Ok(Self(Caller::open(target.endpoint_of(number), target.root()).await?))
    }

    /// Makes a bucket, which may be there.
    pub(crate) async fn make_bucket(&mut self, bucket: &str) -> anyhow::Result<()> {
        let answer = self.0.s3(Method::PUT, &format!("/{bucket}"), "").await?;
        if answer.status != StatusCode::CONFLICT {
            answer.success().with_context(|| format!("the bucket {bucket} can't be made"))?;
        }
        Ok(())
    }

    /// Signs and sends a request; any status but success is an error.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path_and_query: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let response = self.0.send(method, path_and_query, headers, body).await?;
        Self::read(path_and_query, response).await
    }

    /// Sends content as this load does; any status but success is an error.
    pub(crate) async fn upload(
        &mut self,
        shape: &Shape,
        path_and_query: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        if !shape.chunked {
            return self.send(Method::PUT, path_and_query, headers, body).await;
        }
        let response = self.0.send_chunked(Method::PUT, path_and_query, headers, &body).await?;
        Self::read(path_and_query, response).await
    }

    /// Reads an answer to its end.
    async fn read(path_and_query: &str, response: Response<Incoming>) -> anyhow::Result<Answer> {
        let (parts, mut body) = response.into_parts();
        let (mut body_len, mut head) = (0, Bytes::new());
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                if body_len == 0 {
                    head = data.slice(..data.len().min(4096));
                }
                body_len += data.len();
            }
        }
        ensure!(
            parts.status.is_success() || parts.status == StatusCode::NOT_FOUND && body_len == 0,
            "{path_and_query}: {} {}",
            parts.status,
            String::from_utf8_lossy(&head)
        );
        Ok(Answer { headers: parts.headers, body_len, head })
    }
}

impl Sse {
    /// Headers of a write to this server.
    pub(crate) fn write_headers(self, target: &Target) -> Vec<(&'static str, String)> {
        let managed = |name: &str| vec![("x-amz-server-side-encryption", name.to_owned())];
        match self {
            Self::None => Vec::new(),
            Self::S3 => managed("AES256"),
            Self::Kms => [managed("aws:kms"), target.kms_key_headers()].concat(),
            Self::Dsse => [managed("aws:kms:dsse"), target.kms_key_headers()].concat(),
            Self::Customer => self.read_headers(),
        }
    }

    /// The header, and its value, by which an answer to a write says that it was encrypted so.
    pub(crate) fn confirmed_by(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::None => None,
            Self::S3 => Some(("x-amz-server-side-encryption", "AES256")),
            Self::Kms => Some(("x-amz-server-side-encryption", "aws:kms")),
            Self::Dsse => Some(("x-amz-server-side-encryption", "aws:kms:dsse")),
            Self::Customer => Some(("x-amz-server-side-encryption-customer-algorithm", "AES256")),
        }
    }

    /// Headers of a read, and of a part.
    pub(crate) fn read_headers(self) -> Vec<(&'static str, String)> {
        if self != Self::Customer {
            return Vec::new();
        }
        let secret = [0x11; 32];
        vec![
            ("x-amz-server-side-encryption-customer-algorithm", "AES256".to_owned()),
            ("x-amz-server-side-encryption-customer-key", STANDARD.encode(secret)),
            ("x-amz-server-side-encryption-customer-key-md5", STANDARD.encode(Md5::digest(secret))),
        ]
    }
}
