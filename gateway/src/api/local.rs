//! A client in the gateway's own process: real requests, signed and answered as any other, without a socket.
//! What proves the gateway to its user (`sealgate doctor`) and what tests it speak through this.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};
use time::macros::format_description;
use zeroize::Zeroizing;

use crate::app::App;
use crate::auth::sigv4::hmac_sha256;
use crate::http::body::StreamError;
use crate::http::header;
use crate::http::listener::Peer;

const QUERY_SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH_SET: &AsciiSet = &QUERY_SET.remove(b'/');
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
        let path = utf8_percent_encode(request.path, PATH_SET).to_string();
        let encode = |text| utf8_percent_encode(text, QUERY_SET).to_string();
        let mut query: Vec<_> =
            request.query.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
        query.sort_unstable();
        let query = query.join("&");

        let now = SystemTime::now();
        let timestamp = time::OffsetDateTime::from(now)
            .format(format_description!("[year][month][day]T[hour][minute][second]Z"))
            .expect("a time of this century can be written");
        let date = &timestamp[..8];
        let mut headers: BTreeMap<&str, &str> = request.headers.iter().copied().collect();
        headers.insert("host", HOST);
        let (date_name, payload_name) = (header::DATE, header::CONTENT_SHA256);
        headers.insert(date_name.as_str(), &timestamp);
        headers.insert(payload_name.as_str(), "UNSIGNED-PAYLOAD");

        let signed_names = headers.keys().copied().collect::<Vec<_>>().join(";");
        let header_lines: String = headers.iter().map(|(n, v)| format!("{n}:{v}\n")).collect();
        let canonical =
            format!("{method}\n{path}\n{query}\n{header_lines}\n{signed_names}\nUNSIGNED-PAYLOAD");
        let scope = format!("{date}/{}/s3/aws4_request", self.app.region);
        let to_sign =
            format!("AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
        let secret = Zeroizing::new(format!("AWS4{}", *self.secret_access_key));
        let scoped = [date, &self.app.region, "s3", "aws4_request"];
        let signing_key = scoped.iter().fold(Zeroizing::new(secret.as_bytes().to_vec()), |derived, part| {
            Zeroizing::new(hmac_sha256(&derived, part.as_bytes()).to_vec())
        });
        let signature = hex::encode(hmac_sha256(&signing_key, to_sign.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed_names}, Signature={signature}",
            self.access_key_id
        );

        let separator = if query.is_empty() { "" } else { "?" };
        let mut wire = Request::builder()
            .method(method)
            .uri(format!("{path}{separator}{query}"))
            .header("authorization", authorization)
            .header("content-length", request.body.len());
        for (name, value) in headers {
            wire = wire.header(name, value);
        }
        let wire = wire.body(Full::new(request.body)).expect("a request of valid parts is valid");
        let peer = Peer { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), secure: false };
        let response = super::handle(self.app.clone(), super::Door::Every, wire, peer).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map(|collected| collected.to_bytes());
        LocalResponse { status: parts.status, headers: parts.headers, body }
    }
}
