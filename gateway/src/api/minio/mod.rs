//! The part of MinIO's admin API that `mc admin info`, `trace`, `user` and `policy`, and `mc quota` need. Nothing is kept of its own: a
//! user is IAM's, whose access key has the user's name for its id; a policy is a managed policy of the caller's account, or one of
//! AWS's. Who may do what IAM decides, by its own actions; whoever reads everything at once needs `iam:GetAccountAuthorizationDetails`.
//! <https://github.com/minio/madmin-go>

mod canned;
mod crypt;
mod error;
mod info;
mod policy;
mod quota;
mod trace;
mod user;

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::query::{self, Call, Parameters, Refusal, now_unix_ms};
use super::s3::request::Query;
use super::s3::target::bucket_of_host;
use super::{iam, record};
use crate::app::App;
use crate::auth::{self, Expected};
use crate::authz::GlobalKeys;
use crate::http::body::{ByteStream, RequestBody, ResponseBody};
use crate::http::header;
use crate::http::host;
use crate::http::listener::Peer;
use crate::iam::{AccountState, Identity};
use crate::observe::request;
use crypt::{BodyKey, Header};
use error::AdminError;

/// The bucket that can't be made, since these paths would be its objects'. MinIO does not have it either.
pub const RESERVED_BUCKET: &str = "minio";
/// Versions of the API; what is answered here is the same in both.
const ADMIN: [&str; 2] = ["admin/v3/", "admin/v4/"];
/// Calls, as those know them who are told of requests.
const CALLS: [&str; 18] = [
    "add-canned-policy",
    "add-user",
    "datausageinfo",
    "get-bucket-quota",
    "idp/builtin/policy-entities",
    "idp/builtin/policy/attach",
    "idp/builtin/policy/detach",
    "info",
    "info-canned-policy",
    "list-canned-policies",
    "list-users",
    "remove-canned-policy",
    "remove-user",
    "set-bucket-quota",
    "set-user-or-group-policy",
    "set-user-status",
    "trace",
    "user-info",
];
/// Keys of bodies are derived one after the other: each takes 64 MiB.
static DERIVING: Semaphore = Semaphore::const_new(1);
/// What that costs, in units of [`crate::work::ExpensiveCalls`].
const DERIVING_COST: f64 = 0.5;

/// What an answer is.
enum Told {
    Nothing,
    Plain(Value),
    /// Encrypted for the caller.
    Sealed(Value),
    /// For as long as the client reads.
    Following(ByteStream),
}

/// The path behind `/minio/`, if the request is for MinIO's own APIs.
pub fn path<'a>(parts: &'a Parts, domains: &[String]) -> Option<&'a str> {
    let rest = parts.uri.path().strip_prefix("/minio/")?;
    let is_own = rest.starts_with("admin/") || rest.starts_with("health/");
    let host = host::of(parts).ok()?;
    (is_own && bucket_of_host(host, domains).is_none()).then_some(rest)
}

/// MinIO's health checks: `live`, and `ready`, which a sealed gateway is not.
pub fn health(path: &str, is_open: bool) -> Response<ResponseBody> {
    let status = match path.strip_prefix("health/") {
        Some("live") => StatusCode::OK,
        Some("ready" | "cluster" | "cluster/read") if is_open => StatusCode::OK,
        Some("ready" | "cluster" | "cluster/read") => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::NOT_FOUND,
    };
    respond(status, ResponseBody::empty())
}

/// Answers one request, whose path is this behind `/minio/`.
pub async fn serve(
    app: &App,
    path: &str,
    parts: &Parts,
    body: RequestBody,
    peer: Peer,
) -> Response<ResponseBody> {
    let Some(call) = path.strip_prefix("admin/") else { return health(path, app.is_ready()) };
    let request_id = query::request_id();
    record::id(&request_id);
    let call = ADMIN.iter().find_map(|version| path.strip_prefix(version)).unwrap_or(call);
    request::note(|record| record.operation = CALLS.iter().copied().find(|known| *known == call));
    let result = answer(app, call, parts, body, peer, &request_id).await;
    let mut response = match result {
        Ok(body) => respond(StatusCode::OK, body),
        Err(refused) => {
            if let AdminError::Refused(refusal) = &refused
                && refusal.is_failure()
            {
                let source = refusal.source.as_deref().map(|source| source as &dyn std::error::Error);
                tracing::error!(request_id, source, "a request of MinIO's admin API failed");
            }
            let (code, status) = refused.code();
            record::refused(code, &refused);
            let told = json!({ "Code": code, "Message": refused.to_string(), "RequestId": request_id });
            respond(status, ResponseBody::full(told.to_string()))
        }
    };
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(header::REQUEST_ID, value);
    }
    response
}

fn respond(status: StatusCode, body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

async fn answer(
    app: &App,
    call: &str,
    parts: &Parts,
    body: RequestBody,
    peer: Peer,
    request_id: &str,
) -> Result<ResponseBody, AdminError> {
    // MinIO's clients sign for no region.
    let signed = query::Scope::of(parts);
    let region = signed.as_ref().map(|scope| scope.region.as_str());
    let region = region.filter(|region| region.is_empty()).unwrap_or(&app.region);
    let now_unix_ms = now_unix_ms();
    let expected = Expected { region, service: "s3", now_unix_ms, source: peer.address.ip() };
    let body = query::read(app, parts, body, expected).await?;
    let identity = auth::authenticate_body(parts, &body, app.keys(), expected).map_err(Refusal::from)?;
    record::authenticated_body(&identity, parts);
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let query = query.map_err(|_| AdminError::Invalid("The query can't be read.".to_owned()))?;
    let global_keys = GlobalKeys::of(parts, peer, &app.region, now_unix_ms);
    let host = host::checked(parts);
    let admin = Admin { app, identity: &identity, global_keys, request_id, query, body: &body, host };
    // Nobody, and sessions that IAM does not take, get no further.
    admin.account()?;
    Ok(match run(&admin, &parts.method, call).await? {
        Told::Nothing => ResponseBody::full(Vec::new()),
        Told::Plain(value) => ResponseBody::full(value.to_string()),
        Told::Sealed(value) => ResponseBody::full(admin.seal(value.to_string().as_bytes()).await?),
        Told::Following(lines) => ResponseBody::Unsized(lines),
    })
}

async fn run(admin: &Admin<'_>, method: &Method, call: &str) -> Result<Told, AdminError> {
    match (method.as_str(), call) {
        ("GET", "info") => info::get(admin).await,
        ("GET", "datausageinfo") => info::data_usage(admin).await,
        ("GET", "get-bucket-quota") => quota::get(admin).await,
        ("PUT", "set-bucket-quota") => quota::set(admin).await,
        ("GET", "trace") => trace::follow(admin),
        ("PUT", "add-user") => user::add(admin).await,
        ("GET", "list-users") => user::list(admin),
        ("GET", "user-info") => user::info(admin),
        ("PUT", "set-user-status") => user::set_status(admin).await,
        ("DELETE", "remove-user") => user::remove(admin).await,
        ("PUT", "add-canned-policy") => policy::add(admin).await,
        ("GET", "list-canned-policies") => policy::list(admin),
        ("GET", "info-canned-policy") => policy::info(admin),
        ("DELETE", "remove-canned-policy") => policy::remove(admin).await,
        ("POST", "idp/builtin/policy/attach") => policy::attach(admin).await,
        ("POST", "idp/builtin/policy/detach") => policy::detach(admin).await,
        ("GET", "idp/builtin/policy-entities") => policy::entities(admin),
        ("PUT", "set-user-or-group-policy") => policy::set(admin).await,
        _ => Err(AdminError::NotImplemented(format!("{method} {call}"))),
    }
}

/// A request whose signature is verified.
struct Admin<'a> {
    app: &'a App,
    identity: &'a Identity,
    global_keys: GlobalKeys<'a>,
    request_id: &'a str,
    query: Query,
    body: &'a [u8],
    host: &'a str,
}

impl Admin<'_> {
    /// A parameter that must be there.
    fn required(&self, name: &str) -> Result<&str, AdminError> {
        let value = self.query.get(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| AdminError::Invalid(format!("The parameter {name} is missing.")))
    }

    /// All values of a parameter.
    fn all<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b str> {
        self.query.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The same as a call of IAM's.
    fn call<'b>(&'b self, action: &'b str, parameters: &'b Parameters) -> Call<'b> {
        let Self { app, identity, global_keys, request_id, .. } = *self;
        Call { app, identity, action, parameters, global_keys, request_id }
    }

    /// Has IAM do something as the caller.
    async fn iam(&self, action: &str, parameters: &[(&str, &str)]) -> Result<(), AdminError> {
        let parameters = Parameters::of(parameters);
        iam::run(&self.call(action, &parameters)).await?;
        Ok(())
    }

    /// The caller's account as it is now. What he may is not asked.
    fn account(&self) -> Result<Arc<AccountState>, AdminError> {
        Ok(iam::account_of(&self.call("", &Parameters::default()))?)
    }

    /// The caller's account, for him who may read all of it.
    fn whole_account(&self) -> Result<Arc<AccountState>, AdminError> {
        let nothing = Parameters::default();
        Ok(iam::account_for_all(&self.call("GetAccountAuthorizationDetails", &nothing))?)
    }

    async fn derive(&self, header: Header) -> Result<(Header, BodyKey), AdminError> {
        let slot = self.app.expensive_calls.admit(&self.identity.subject, DERIVING_COST).await;
        let slot = slot.map_err(Refusal::throttled)?;
        let (iam, identity) = (self.app.iam.clone(), self.identity.clone());
        let _turn = DERIVING.acquire().await.map_err(Refusal::failure)?;
        let deriving = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let body_key = iam.derive_from_secret(&identity, |secret| header.derive(secret));
            (header, body_key)
        });
        let (header, body_key) = deriving.await.map_err(Refusal::failure)?;
        Ok((header, body_key.ok_or_else(Refusal::invalid_token)?))
    }

    /// What the caller has encrypted.
    async fn opened(&self) -> Result<Zeroizing<Vec<u8>>, AdminError> {
        let (header, fragments) = Header::read(self.body)?;
        let (header, body_key) = self.derive(header).await?;
        Ok(crypt::open(&header, &body_key, fragments)?)
    }

    async fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, AdminError> {
        let (header, body_key) = self.derive(Header::new()).await?;
        Ok(crypt::seal(&header, &body_key, plain))
    }
}
