//! Somebody who asks: signed requests to every service over one connection that is kept open, as light as they can be.

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use crate::signer::Signer;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/x-amz-json-1.1";
/// Bytes of an SDK's chunk.
const SDK_CHUNK_LEN: usize = 64 * 1024;

/// What somebody signs with.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Access key id.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// Of a session alone.
    pub session_token: Option<String>,
}

impl Credentials {
    /// An access key.
    pub fn of_key(access_key_id: &str, secret_access_key: &str) -> Self {
        Self {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: secret_access_key.to_owned(),
            session_token: None,
        }
    }

    /// The root user's, of gateways that tests start.
    pub fn root() -> Self {
        Self::of_key(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    }

    /// Those that IAM (CreateAccessKey) or STS has answered.
    ///
    /// # Errors
    /// When there are none in the answer.
    pub fn of_answer(answer: &Answer) -> anyhow::Result<Self> {
        let field = |name| answer.field(name).with_context(|| format!("no {name}: {}", answer.text()));
        Ok(Self {
            access_key_id: field("AccessKeyId")?,
            secret_access_key: field("SecretAccessKey")?,
            session_token: answer.field("SessionToken"),
        })
    }

    /// The same access key with a secret that is not its own.
    #[must_use]
    pub fn guessed(&self) -> Self {
        Self { secret_access_key: "guess".repeat(8), ..self.clone() }
    }
}

/// A connection, and who asks over it.
pub struct Caller {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    credentials: Credentials,
    s3: Signer,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The text of the first XML element of this name.
    pub fn field(&self, name: &str) -> Option<String> {
        let text = self.text();
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once("</")?.0.to_owned())
    }

    /// The code of a refusal, in XML or in KMS's JSON; empty where there is none.
    pub fn code(&self) -> String {
        let json = || serde_json::from_slice::<serde_json::Value>(&self.body).ok();
        let kind = || Some(json()?.get("__type")?.as_str()?.rsplit('#').next()?.to_owned());
        self.field("Code").or_else(kind).unwrap_or_default()
    }

    /// Itself, if it tells of success.
    ///
    /// # Errors
    /// When it is a refusal.
    pub fn success(self) -> anyhow::Result<Self> {
        ensure!(self.status.is_success(), "{}: {}", self.status, self.text());
        Ok(self)
    }
}

impl Caller {
    /// Connects to an endpoint over plain HTTP.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn open(endpoint: &str, credentials: Credentials) -> anyhow::Result<Self> {
        let s3 = Signer::new(&credentials.access_key_id, &credentials.secret_access_key);
        Self::connect(endpoint, credentials, s3).await
    }

    /// As [`Caller::open`], for requests to S3 that claim to be made at this moment.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn open_at(
        endpoint: &str,
        credentials: Credentials,
        at: time::OffsetDateTime,
    ) -> anyhow::Result<Self> {
        let s3 = Signer::at(&credentials.access_key_id, &credentials.secret_access_key, at);
        Self::connect(endpoint, credentials, s3).await
    }

    async fn connect(endpoint: &str, credentials: Credentials, s3: Signer) -> anyhow::Result<Self> {
        let host = endpoint.strip_prefix("http://").context("the endpoint must begin with http://")?;
        let host = host.trim_end_matches('/').to_owned();
        let stream = tokio::net::TcpStream::connect(&host).await.context("can't connect")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host, credentials, s3 })
    }

    /// The host and port that it is connected to.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Signs and sends a request to S3, whose body is not hashed; answers when the answer's head is there.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send(
        &mut self,
        method: Method,
        target: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut request = self.request(method, target, headers, body)?;
        self.s3.sign(&mut request);
        self.deliver(request).await
    }

    /// As [`Caller::send`], with the body as SDKs send it: in signed chunks, with a CRC-32 of all of it in the trailer.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send_chunked(
        &mut self,
        method: Method,
        target: &str,
        headers: &[(&'static str, String)],
        body: &[u8],
    ) -> anyhow::Result<Response<Incoming>> {
        const CHECKSUM: &str = "x-amz-checksum-crc32";
        let chunked = [
            ("content-encoding", "aws-chunked".to_owned()),
            ("x-amz-decoded-content-length", body.len().to_string()),
            ("x-amz-trailer", CHECKSUM.to_owned()),
        ];
        let mut request = self.request(method, target, &[headers, &chunked].concat(), Bytes::new())?;
        let seed = self.s3.sign_as(&mut request, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER");
        let chunks: Vec<&[u8]> = body.chunks(SDK_CHUNK_LEN).collect();
        let crc = crc_fast::checksum(CrcAlgorithm::Crc32IsoHdlc, body) as u32;
        let trailer = [(CHECKSUM, &*STANDARD.encode(crc.to_be_bytes()))];
        *request.body_mut() = Full::from(self.s3.chunked(&seed, &chunks, &trailer));
        self.deliver(request).await
    }

    /// Asks S3 for this path (and query, in order).
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn s3(&mut self, method: Method, target: &str, body: &str) -> anyhow::Result<Answer> {
        whole(self.send(method, target, &[], Bytes::copy_from_slice(body.as_bytes())).await?).await
    }

    /// As [`Caller::s3`], with the hash of the body, as MinIO's admin API wants it.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn s3_hashed(&mut self, method: Method, target: &str, body: &str) -> anyhow::Result<Answer> {
        let bytes = Bytes::copy_from_slice(body.as_bytes());
        let mut request = self.request(method, target, &[], bytes)?;
        self.s3.sign_body(&mut request, body.as_bytes());
        whole(self.deliver(request).await?).await
    }

    /// Asks S3 by a presigned URL, which is signed anew.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn presigned(&mut self, method: Method, target: &str) -> anyhow::Result<Answer> {
        let unsigned = Request::builder().method(&method).uri(target).header("host", &self.host).body(())?;
        let target = self.s3.presign(&unsigned, 60);
        let request = Request::builder().method(method).uri(target).header("host", &self.host);
        whole(self.deliver(request.body(Full::default())?).await?).await
    }

    /// Asks IAM.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn iam(&mut self, action: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Answer> {
        self.query("iam", ("2010-05-08", action), parameters).await
    }

    /// Asks STS.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn sts(&mut self, action: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Answer> {
        self.query("sts", ("2011-06-15", action), parameters).await
    }

    async fn query(
        &mut self,
        service: &str,
        (version, action): (&str, &str),
        parameters: &[(&str, &str)],
    ) -> anyhow::Result<Answer> {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut form = format!("Action={action}&Version={version}");
        for (name, value) in parameters {
            form += &format!("&{}={}", encoded(name), encoded(value));
        }
        self.post(service, &[("content-type", FORM.to_owned())], form).await
    }

    /// Asks KMS.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn kms(&mut self, operation: &str, body: &serde_json::Value) -> anyhow::Result<Answer> {
        let target = format!("TrentService.{operation}");
        let headers = [("content-type", JSON.to_owned()), ("x-amz-target", target)];
        self.post("kms", &headers, body.to_string()).await
    }

    async fn post(
        &mut self,
        service: &str,
        headers: &[(&'static str, String)],
        body: String,
    ) -> anyhow::Result<Answer> {
        let body = Bytes::from(body);
        let mut request = self.request(Method::POST, "/", headers, body.clone())?;
        let Credentials { access_key_id, secret_access_key, .. } = &self.credentials;
        Signer::of_service(access_key_id, secret_access_key, service).sign_body(&mut request, &body);
        whole(self.deliver(request).await?).await
    }

    fn request(
        &self,
        method: Method,
        target: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder().method(method).uri(target).header("host", &self.host);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(token) = &self.credentials.session_token {
            request = request.header("x-amz-security-token", token);
        }
        Ok(request.body(Full::new(body))?)
    }

    /// Can something be sent on this connection, or has the other side closed it?
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    async fn deliver(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>> {
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }
}

async fn whole(response: Response<Incoming>) -> anyhow::Result<Answer> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: parts.status, headers: parts.headers, body })
}
