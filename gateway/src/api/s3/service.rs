//! The spine: target, route, authenticate, authorize, operate, and answer or refuse.

use http::request::Parts;
use http::{HeaderValue, Method};
use storage::name::Timestamp;

use super::error::{Code, S3Error, translate};
use super::operation::{Operation, Support};
use super::ops::{bucket, multipart, object};
use super::request::{Query, S3Request, S3Response};
use super::target::Target;
use super::{operation, route};
use crate::app::App;
use crate::auth::{self, Expected};
use crate::authz::{self, Permit};
use crate::http::body::RequestBody;
use crate::http::header;
use crate::http::listener::Peer;

/// Answers one request of S3.
pub async fn serve(app: &App, parts: Parts, body: RequestBody, peer: Peer) -> S3Response {
    let request_id = RequestId::new();
    let is_head = parts.method == Method::HEAD;
    let resource = parts.uri.path().to_owned();
    let method = parts.method.clone();
    let mut response = match answer(app, parts, body, peer, &request_id.text).await {
        Ok(response) => response,
        Err(error) => {
            let status = error.code.status();
            if status.is_server_error() {
                tracing::error!(request_id = request_id.text, %method, resource, error = %error, "request failed");
            } else {
                tracing::debug!(request_id = request_id.text, %method, resource, error = %error, "request refused");
            }
            error.into_response(&resource, &request_id.text, &request_id.host_id, is_head)
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::REQUEST_ID, header_value(&request_id.text));
    headers.insert(header::ID_2, header_value(&request_id.host_id));
    headers.insert(http::header::SERVER, HeaderValue::from_static("Sealgate"));
    response
}

async fn answer(
    app: &App,
    parts: Parts,
    body: RequestBody,
    peer: Peer,
    request_id: &str,
) -> Result<S3Response, S3Error> {
    let target = Target::parse(&parts, &app.domains)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    let operation = route::route(&parts.method, &target, &query, &parts.headers)?;
    let expected = Expected { region: &app.region, service: "s3", now_unix_ms: Timestamp::now().unix_ms() };
    let authenticated =
        auth::authenticate(&parts, &app.accounts, expected).map_err(translate::auth)?;
    operation::refuse_unsupported(operation, &parts.headers, &query)?;

    let bucket = match &target.bucket {
        Some(name) if operation != Operation::CreateBucket => Some(app.catalog.bucket(name).await?),
        _ => None,
    };
    let permit = authz::authorize(&authenticated.identity, operation.action(), bucket)?;
    let request = S3Request {
        request_id: request_id.to_owned(),
        method: parts.method,
        bucket: target.bucket,
        object: target.object,
        query,
        headers: parts.headers,
        identity: authenticated.identity,
        payload: authenticated.payload,
        body,
        peer: peer.address.ip(),
        secure: peer.secure,
    };
    operate(app, operation, permit, request).await
}

/// One arm per operation that is there.
async fn operate(
    app: &App,
    operation: Operation,
    permit: Permit,
    request: S3Request,
) -> Result<S3Response, S3Error> {
    use Operation as O;
    match operation {
        O::PutObject => object::put::put_object(app, permit, request).await,
        _ => Err(S3Error::new(Code::NotImplemented)),
    }
}

/// The two ids of a request.
struct RequestId {
    text: String,
    host_id: String,
}

impl RequestId {
    fn new() -> Self {
        use base64::Engine;
        let mut random = [0; 40];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        let (id, host) = random.split_at(8);
        Self {
            text: hex::encode_upper(id),
            host_id: base64::engine::general_purpose::STANDARD.encode(host),
        }
    }
}

fn header_value(ascii: &str) -> HeaderValue {
    HeaderValue::from_str(ascii).expect("ids are ASCII")
}
