//! One connection to the server, kept open; as light as it can be, since it runs on the server's machine.

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use conformance_tests::signer::Signer;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use md5::{Digest, Md5};

use super::{Sse, Target};

/// A connection.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    signer: Signer,
    host: String,
}

/// An answer whose body was read and counted.
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body_len: usize,
    /// The body's first bytes.
    pub(crate) head: Bytes,
}

impl Connection {
    pub(crate) async fn open(target: &Target) -> anyhow::Result<Self> {
        let host = target.endpoint.strip_prefix("http://").context("the endpoint must begin with http://")?;
        let host = host.trim_end_matches('/').to_owned();
        let stream = tokio::net::TcpStream::connect(&host).await.context("can't connect")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let signer = Signer::new(&target.access_key_id, &target.secret_access_key);
        Ok(Self { sender, signer, host })
    }

    /// Signs and sends a request; any status but success is an error.
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path_and_query: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(path_and_query).header("host", &self.host);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let mut request = request.body(Full::new(body))?;
        self.signer.sign(&mut request);
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
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
    /// Headers of a write.
    pub(crate) fn write_headers(self) -> Vec<(&'static str, String)> {
        let managed = |name: &str| vec![("x-amz-server-side-encryption", name.to_owned())];
        match self {
            Self::None => Vec::new(),
            Self::S3 => managed("AES256"),
            Self::Kms => managed("aws:kms"),
            Self::Dsse => managed("aws:kms:dsse"),
            Self::Customer => self.read_headers(),
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
