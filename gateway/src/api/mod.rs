//! The front doors.

pub mod admin;
pub mod iam;
pub mod kms;
pub mod local;
pub mod metrics;
pub mod minio;
pub mod query;
pub mod ready;
mod record;
pub mod s3;
mod signed_body;
pub mod sts;
pub mod xml;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};

use self::ready::Closed;
use crate::app::App;
use crate::http::body::{RequestBody, ResponseBody};
use crate::http::header;
use crate::http::listener::Peer;
use crate::observe::request::{self, Service};

/// What a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// S3, and KMS, IAM, STS and MinIO's admin API beside it.
    Every,
    /// KMS alone.
    Kms,
}

/// What a request is answered whose audit line can't be written.
const NO_AUDIT: &str =
    "The audit log of this gateway can't be written, and the settings require it. Try another one.";

/// What paths of health checks begin with. No bucket's name starts with an underscore, so these paths are free.
const HEALTH: &str = "/_sealgate/";

/// Answers a request that came to this door.
pub async fn handle(
    app: Arc<App>,
    door: Door,
    request: Request<RequestBody>,
    peer: Peer,
) -> Response<ResponseBody> {
    let (parts, body) = request.into_parts();
    if let Some(response) = health_check(door, parts.uri.path(), Ok(&app)) {
        return response;
    }
    let unavailable = |parts: &Parts, message| {
        note_service(service(door, parts, &app.domains));
        unavailable(door, parts, message)
    };
    if !app.watch.is_current() {
        return unavailable(&parts, "What other gateways changed can't be seen now. Try again.");
    }
    if !app.clock.is_right() {
        return unavailable(&parts, "The clock of this gateway is wrong. Try another one.");
    }
    if let Some(audit) = &app.audit
        && let Err(error) = audit.check()
    {
        tracing::debug!(%error, "a request is refused: its audit line could not be written");
        return unavailable(&parts, NO_AUDIT);
    }
    let speech = app.audit.is_some().then(|| Speech::of(door, &parts));
    // Until it is answered, nothing that it has read of the records is reclaimed, on whichever gateway.
    let mut response = app.catalog.request(dispatched(&app, door, parts, body, peer)).await;
    if let (Some(audit), Some(recording)) = (&app.audit, request::current())
        && let Err(error) = recording.look(response.status(), |record| audit.answered(record))
    {
        tracing::error!(%error, "a request was carried out, and its audit line could not be written");
        if let Some(speech) = speech {
            response = speech.unavailable(NO_AUDIT);
        }
    }
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().entry(http::header::RETRY_AFTER).or_insert(HeaderValue::from_static("1"));
    }
    response
}

/// [`dispatch`] on the heap: what answers a request is large, and each future around it would be moved with it, and hold room for it
/// twice. In a function of its own it is laid out where it stays; in a future it would be laid out on the stack first, and copied.
fn dispatched(
    app: &Arc<App>,
    door: Door,
    parts: Parts,
    body: RequestBody,
    peer: Peer,
) -> BoxFuture<'_, Response<ResponseBody>> {
    dispatch(app, door, parts, body, peer).boxed()
}

async fn dispatch(
    app: &Arc<App>,
    door: Door,
    parts: Parts,
    body: RequestBody,
    peer: Peer,
) -> Response<ResponseBody> {
    // Boxed one by one, so that a request of S3 is not as large as the largest of others.
    if metrics::asks(parts.uri.path()) && door == Door::Every {
        note_service(Service::Admin);
        return metrics::serve(app, &parts, peer).boxed().await;
    }
    if door == Door::Every && admin::asks(parts.uri.path()) {
        note_service(Service::Admin);
        return admin::serve(app, parts, body, peer).boxed().await;
    }
    if door == Door::Every
        && let Some(path) = minio::path(&parts, &app.domains)
    {
        note_service(Service::Minio);
        return minio::serve(app, path, &parts, body, peer).boxed().await;
    }
    if door == Door::Kms || asks_kms(&parts) {
        note_service(Service::Kms);
        kms::serve(app, parts, body, peer).boxed().await
    } else if query::asks(&parts) {
        note_service(Service::Iam);
        query::serve(app, parts, body, peer).boxed().await
    } else {
        s3::service::serve(app, parts, body, peer).await
    }
}

/// Answers a request that came while the stores are not open.
pub fn closed<B>(door: Door, request: Request<B>, why: Closed) -> Response<ResponseBody> {
    let (parts, _) = request.into_parts();
    if let Some(response) = health_check(door, parts.uri.path(), Err(why)) {
        return response;
    }
    note_service(service(door, &parts, &[]));
    let message = match why {
        Closed::Sealed => "The gateway is sealed: it waits for the passphrase of its root key.",
        Closed::SessionLost => "The gateway's session was lost, and it is opened anew. Try again.",
    };
    match door == Door::Kms || asks_kms(&parts) {
        true => kms::unavailable(message),
        false => unavailable(door, &parts, message),
    }
}

/// Writes down which service is asked, where it is not S3; which one of the query protocol its form may tell yet.
fn note_service(service: Service) {
    request::note(|record| record.service = service);
}

/// The service that is asked by a request that is not dispatched.
fn service(door: Door, parts: &Parts, domains: &[String]) -> Service {
    let path = parts.uri.path();
    if door == Door::Every && minio::path(parts, domains).is_some() {
        Service::Minio
    } else if metrics::asks(path) || admin::asks(path) {
        Service::Admin
    } else if door == Door::Kms || asks_kms(parts) {
        Service::Kms
    } else if query::asks(parts) {
        Service::Iam
    } else {
        Service::S3
    }
}

/// Answers a request that can't be served now, and may be sent again.
fn unavailable(door: Door, parts: &Parts, message: &'static str) -> Response<ResponseBody> {
    let mut response = refusal(door, parts, message);
    if response.status().is_server_error() {
        response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn refusal(door: Door, parts: &Parts, message: &'static str) -> Response<ResponseBody> {
    if let Some(path) = minio::path(parts, &[]).filter(|path| path.starts_with("health/")) {
        return minio::health(path, false);
    }
    Speech::of(door, parts).unavailable(message)
}

/// In which protocol a request is refused.
#[derive(Clone, Copy)]
enum Speech {
    Admin,
    Kms,
    Query,
    S3 { is_head: bool },
}

impl Speech {
    fn of(door: Door, parts: &Parts) -> Self {
        if door == Door::Every && admin::asks(parts.uri.path()) {
            Self::Admin
        } else if door == Door::Kms || asks_kms(parts) {
            Self::Kms
        } else if query::asks(parts) {
            Self::Query
        } else {
            Self::S3 { is_head: parts.method == http::Method::HEAD }
        }
    }

    fn unavailable(self, message: &'static str) -> Response<ResponseBody> {
        match self {
            Self::Admin => admin::unavailable(message),
            Self::Kms => kms::timed_out(),
            Self::Query => query::unavailable(message),
            Self::S3 { is_head } => {
                let error = s3::error::S3Error::new(s3::error::Code::ServiceUnavailable).message(message);
                request::note(|record| record.error_code = Some(error.code.name()));
                error.into_response("", "", is_head)
            }
        }
    }
}

/// Is it a request of KMS's JSON protocol? S3 knows no such header.
fn asks_kms(parts: &Parts) -> bool {
    let target = parts.headers.get(header::TARGET).map(|value| value.as_bytes());
    parts.method == http::Method::POST && target.is_some_and(|t| t.starts_with(kms::TARGET_PREFIX.as_bytes()))
}

/// Answers a health check, whatever else this gateway can do now; `None`: it is another request.
fn health_check(door: Door, path: &str, app: Result<&App, Closed>) -> Option<Response<ResponseBody>> {
    if path == ready::PATH {
        note_service(Service::Admin);
        return Some(ready::answer(app));
    }
    let rest = path.strip_prefix(HEALTH)?;
    let is_other = metrics::asks(path) || admin::asks(path);
    (door == Door::Kms || !is_other).then(|| {
        note_service(Service::Admin);
        health(rest, app)
    })
}

/// For orchestrators: `/_sealgate/health/live`, and `/_sealgate/health/ready`, which tells the same as [`ready::PATH`].
fn health(path: &str, app: Result<&App, Closed>) -> Response<ResponseBody> {
    let (status, text) = match path {
        "health/live" => (StatusCode::OK, "live\n"),
        "health/ready" => return ready::answer(app),
        _ => (StatusCode::NOT_FOUND, "not found\n"),
    };
    let mut response = Response::new(ResponseBody::full(text));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of what this answers with.
    fn future_len<F>(_: impl Fn(Arc<App>, Door, Request<RequestBody>, Peer) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn what_answers_a_request_is_small_enough_to_be_moved() {
        assert!(future_len(handle) <= 4096, "{}", future_len(handle));
    }
}
