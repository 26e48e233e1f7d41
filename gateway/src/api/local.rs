//! A client in the gateway's own process: real requests, signed and answered as any other, without a socket.
//! What proves the gateway to its user (`sealgate doctor`) and what tests it speak through this.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use zeroize::Zeroizing;

use crate::app::App;
use crate::auth::sigv4::sign::{Signer, Unsigned, encoded_pairs, encoded_path};
use crate::http::body::{RequestBody, StreamError};
use crate::http::listener::Peer;

const HOST: &str = "localhost";

/// Speaks to an [`App`] with these credentials.
pub struct LocalClient {
    app: Arc<App>,
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
}

/// A request to be signed and sent; `path` and `query` are not percent-encoded.
#[derive(Debug, Default, Clone)]
pub struct LocalRequest<'a> {
    /// The path: `/bucket/key`.
    pub path: &'a str,
    /// Query parameters.
    pub query: &'a [(&'a str, &'a str)],
    /// Headers, by lower-case name.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: Bytes,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct LocalResponse {
    /// The status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, or why it broke off.
    pub body: Result<Bytes, StreamError>,
}

impl LocalClient {
    /// A client of this gateway.
    pub fn new(app: Arc<App>, access_key_id: String, secret_access_key: Zeroizing<String>) -> Self {
        Self { app, access_key_id, secret_access_key }
    }

    /// Signs (AWS Signature Version 4, unsigned payload), sends, and reads the answer.
    pub async fn send(&self, method: Method, request: LocalRequest<'_>) -> LocalResponse {
        let path = encoded_path(request.path);
        let query = encoded_pairs(request.query);
        let signer = Signer {
            access_key_id: &self.access_key_id,
            secret_access_key: &self.secret_access_key,
            session_token: None,
            region: &self.app.region,
            service: "s3",
        };
        let headers: Vec<_> = request.headers.iter().copied().chain([("host", HOST)]).collect();
        let headers = signer.sign(Unsigned {
            method: &method,
            path: &path,
            query: &query,
            headers: &headers,
            payload_hash: "UNSIGNED-PAYLOAD",
        });
        let separator = if query.is_empty() { "" } else { "?" };
        let mut wire = Request::builder()
            .method(method)
            .uri(format!("{path}{separator}{query}"))
            .header("content-length", request.body.len());
        for (name, value) in headers {
            wire = wire.header(name, value);
        }
        // It is at hand: nothing waits for it.
        let body = RequestBody::new(Full::new(request.body), Duration::from_secs(60), false);
        let wire = wire.body(body).expect("a request of valid parts is valid");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let peer = Peer { address, secure: false, tls_version: None };
        let response = super::handle(self.app.clone(), super::Door::Every, wire, peer).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map(|collected| collected.to_bytes());
        LocalResponse { status: parts.status, headers: parts.headers, body }
    }
}
