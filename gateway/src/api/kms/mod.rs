//! The AWS KMS API: JSON 1.1, `X-Amz-Target: TrentService.<Operation>`, signed for the service `kms`.
//!
//! <https://docs.aws.amazon.com/kms/latest/APIReference/Welcome.html>

mod asymmetric;
mod constraints;
mod cost;
mod grants;
mod import;
mod operations;
mod wire;

use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use kms_core::error::KmsError;
use kms_core::kms::{Caller, rerun};
use serde_json::{Value, json};
use storage::name::Timestamp;

use super::record;
use super::signed_body::{self, SignedBodyError};
use crate::app::App;
use crate::auth::{self, AuthError, Expected};
use crate::http::body::{RequestBody, ResponseBody};
use crate::http::header;
use crate::http::host;
use crate::http::listener::Peer;
use crate::observe::request;
use crate::work::TooMany;

/// The longest request: a policy of 32 KiB, escaped, is far below.
const MAX_BODY_LEN: usize = 256 * 1024;
/// What the target of every operation starts with.
pub const TARGET_PREFIX: &str = "TrentService.";

/// A refusal on this door.
#[derive(Debug)]
enum Refusal {
    Kms(KmsError),
    /// Before an operation was reached: the exception's name and its message.
    Door(&'static str, String),
}

impl From<KmsError> for Refusal {
    fn from(error: KmsError) -> Self {
        Self::Kms(error)
    }
}

/// Answers one request.
pub async fn serve(app: &App, parts: Parts, body: RequestBody, peer: Peer) -> Response<ResponseBody> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).expect("the operating system gives random bytes");
    let request_id = hex::encode(id);
    record::id(&request_id);
    let (status, answer) = match answer(app, &parts, body, peer, &request_id).await {
        Ok(answer) => {
            record::answered(&answer);
            (StatusCode::OK, answer)
        }
        Err(refusal) => {
            record::refused(refusal.name(), &refusal);
            refusal.answer(&request_id)
        }
    };
    let mut response = Response::new(match &answer {
        Value::Null => ResponseBody::empty(),
        answer => ResponseBody::full(answer.to_string()),
    });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(header::AMZN_REQUEST_ID, value);
    }
    response
}

/// `KeyUnavailableException`: the request can be sent again later.
pub fn unavailable(message: &str) -> Response<ResponseBody> {
    failed(StatusCode::INTERNAL_SERVER_ERROR, "KeyUnavailableException", message)
}

/// `DependencyTimeoutException`: what the answer depends on can't be seen now.
pub fn timed_out() -> Response<ResponseBody> {
    let error = KmsError::Unavailable(String::new());
    failed(StatusCode::SERVICE_UNAVAILABLE, error.name(), &error.to_string())
}

fn failed(status: StatusCode, name: &str, message: &str) -> Response<ResponseBody> {
    let answer = json!({"__type": name, "message": message});
    let mut response = Response::new(ResponseBody::full(answer.to_string()));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("application/x-amz-json-1.1");
    response.headers_mut().insert(http::header::CONTENT_TYPE, content_type);
    response
}

async fn answer(
    app: &App,
    parts: &Parts,
    body: RequestBody,
    peer: Peer,
    request_id: &str,
) -> Result<Value, Refusal> {
    let expected = Expected {
        region: &app.region,
        service: "kms",
        now_unix_ms: Timestamp::now().unix_ms(),
        source: peer.address.ip(),
    };
    let target = parts.headers.get(header::TARGET).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let operation = target.strip_prefix(TARGET_PREFIX).unwrap_or_default();
    request::note(|record| record.operation = constraints::known(operation));
    let body = read(app, parts, body, expected).await?;
    app.watch.keys().await.map_err(KmsError::from)?;
    let identity = auth::authenticate_body(parts, &body, app.keys(), expected).map_err(refused)?;
    record::authenticated_body(&identity, parts);
    if identity.is_anonymous() {
        return Err(Refusal::Door(
            "MissingAuthenticationTokenException",
            "Missing Authentication Token".to_owned(),
        ));
    }
    let caller = Caller {
        credentials: identity.access_key_id,
        source_ip: Some(peer.address.ip()),
        secure_transport: peer.secure,
        request_id: request_id.into(),
        ..Caller::of(identity.subject)
    };
    let request: Value = match body.is_empty() {
        true => json!({}),
        false => serde_json::from_slice(&body)
            .map_err(|_| Refusal::Door("SerializationException", "The request is not JSON.".to_owned()))?,
    };
    record::members(&request);
    let cost = cost::of(operation, &request);
    // A key that is made when it is first named may have to wait for a store that others share.
    if cost.is_none() && !operations::waits(operation) && !app.watch.is_shared() {
        return operations::run(&app.kms, &caller, operation, &request);
    }
    let slot = match cost {
        Some(cost) => Some(app.expensive_calls.admit(&caller.subject, cost).await.map_err(throttled)?),
        None => None,
    };
    let (kms, operation) = (app.kms.clone(), operation.to_owned());
    let ended = tokio::task::spawn_blocking(move || {
        // It computes on, even if nobody waits for it any more.
        let _slot = slot;
        // What another gateway's change came before, did nothing and runs again.
        let mut refusal = None;
        let done = rerun(|| match operations::run(&kms, &caller, &operation, &request) {
            Err(Refusal::Kms(error)) => Err(error),
            Err(other) => {
                refusal = Some(other);
                Ok(Value::Null)
            }
            Ok(answer) => Ok(answer),
        });
        refusal.map_or_else(|| Ok(done?), Err)
    });
    ended.await.map_err(|error| KmsError::Internal(error.to_string()))?
}

async fn read(
    app: &App,
    parts: &Parts,
    body: RequestBody,
    expected: Expected<'_>,
) -> Result<Vec<u8>, Refusal> {
    host::of(parts).map_err(|error| Refusal::Door("ValidationException", error.to_string()))?;
    let read = signed_body::read(app, parts, body, expected, MAX_BODY_LEN).await;
    read.map_err(|error| match error {
        SignedBodyError::Auth(error) => refused(error),
        SignedBodyError::Body(error) => Refusal::Door("SerializationException", error.to_string()),
        SignedBodyError::TooLong(_) => Refusal::Door("ValidationException", error.to_string()),
        SignedBodyError::Unseen(error) => Refusal::Kms(error.into()),
        SignedBodyError::Busy => Refusal::Door("ThrottlingException", error.to_string()),
    })
}

/// What whoever asks for too much is answered.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/throttling.html>
fn throttled(error: TooMany) -> Refusal {
    Refusal::Door("ThrottlingException", error.to_string())
}

/// What a failed authentication is on this door.
fn refused(error: AuthError) -> Refusal {
    let (name, message) = match &error {
        AuthError::InvalidAccessKeyId { .. } | AuthError::InvalidToken | AuthError::AccountProblem => (
            "UnrecognizedClientException",
            "The security token included in the request is invalid.".to_owned(),
        ),
        AuthError::ExpiredToken => (
            "ExpiredTokenException",
            "The security token included in the request is expired".to_owned(),
        ),
        AuthError::TooManyFailures => ("ThrottlingException", "Rate exceeded".to_owned()),
        AuthError::SignatureDoesNotMatch { .. } => (
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.".to_owned(),
        ),
        AuthError::RequestTimeTooSkewed { request_time, server_time } => (
            "InvalidSignatureException",
            format!("Signature expired: {request_time} is not within 15 minutes of {server_time}"),
        ),
        AuthError::Expired { expired_at, server_time, .. } => (
            "InvalidSignatureException",
            format!("Signature expired: {expired_at} is now earlier than {server_time}"),
        ),
        AuthError::AuthorizationHeaderMalformed { region: Some(_), .. } => {
            ("InvalidSignatureException", "Credential should be scoped to a valid region.".to_owned())
        }
        AuthError::AuthorizationHeaderMalformed { message, .. } => {
            ("IncompleteSignatureException", message.clone())
        }
        AuthError::QueryParametersError(message) => ("IncompleteSignatureException", message.clone()),
        AuthError::HeadersNotSigned { .. }
        | AuthError::InvalidArgument { .. }
        | AuthError::AccessDenied(_)
        | AuthError::InvalidRequest(_)
        | AuthError::NotImplemented(_) => ("IncompleteSignatureException", error.to_string()),
    };
    Refusal::Door(name, message)
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kms(error) => error.fmt(f),
            Self::Door(_, message) => f.write_str(message),
        }
    }
}

impl Refusal {
    /// The exception's name.
    fn name(&self) -> &'static str {
        match self {
            Self::Kms(error) => error.name(),
            Self::Door(name, _) => name,
        }
    }

    fn answer(self, request_id: &str) -> (StatusCode, Value) {
        match self {
            Self::Door(name, message) => {
                (StatusCode::BAD_REQUEST, json!({"__type": name, "message": message}))
            }
            Self::Kms(error) => {
                let status = match &error {
                    KmsError::Internal(cause) => {
                        tracing::error!(request_id, cause, "a KMS request failed");
                        StatusCode::INTERNAL_SERVER_ERROR
                    }
                    KmsError::Unavailable(cause) => {
                        tracing::warn!(request_id, cause, "the key store can't be asked");
                        StatusCode::SERVICE_UNAVAILABLE
                    }
                    // Others were faster each time: nothing was done, and it may be sent again.
                    KmsError::Contended => StatusCode::INTERNAL_SERVER_ERROR,
                    _ => StatusCode::BAD_REQUEST,
                };
                let mut answer = json!({"__type": error.name()});
                // AWS writes the name of this field with a capital where the model does not have the exception, and sends no empty one.
                let field = if matches!(error, KmsError::AccessDenied(_)) { "Message" } else { "message" };
                let message = error.to_string();
                if !message.is_empty() {
                    answer[field] = message.into();
                }
                (status, answer)
            }
        }
    }
}
