//! The signed admin API, `/_sealgate/admin/v1/…`: what the console shows beside S3, IAM, STS and KMS. Requests are signed as those of S3
//! are; each operation is an action `sealgate:…` of its caller's policies. `openapi.json` describes it.
//!
//! A principal of another account than the gateway's own sees what is of its account, and nothing of the host.

mod accounts;
mod audit;
mod dependents;
mod error;
mod history;
mod keys;
mod object;
mod sessions;
mod status;
mod summary;
mod usage;

use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use kms_core::error::KmsError;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use sha2::Digest;
use storage::catalog::{Bucket, VersionRef};
use storage::name::{BucketName, ObjectKey};

pub use self::dependents::{CountDependents, CountError, Dependents};
pub use self::sessions::{REVOKED, policy_before};
pub use self::status::{Disk, Status, Warning};
pub use self::usage::{as_value as usage_as_value, usage_value};
use super::query::{self, Call, Parameters, now_unix_ms};
use super::s3::request::Query;
use super::s3::wire::version;
use super::{iam, record};
use crate::app::App;
use crate::auth::{self, Expected, PayloadAuth};
use crate::authz::{GlobalKeys, Question};
use crate::http::body::{ByteStream, RequestBody, ResponseBody};
use crate::http::header;
use crate::http::host;
use crate::http::listener::Peer;
use crate::iam::{Identity, Principal};
use crate::observe::request;
use error::AdminError;

/// What its paths begin with.
pub(super) const PREFIX: &str = "/_sealgate/admin/v1/";
/// The description of the API, for whoever asks.
const DESCRIPTION: &str = include_str!("openapi.json");
/// The longest body of a request, in bytes.
const MAX_BODY_LEN: usize = 16 * 1024;

/// An operation: its name, its method, its path (with one name in it at the most, for `{}`), and the action that its caller needs.
struct Operation {
    name: &'static str,
    method: Method,
    path: (&'static str, &'static str),
    action: &'static str,
}

macro_rules! operations {
    ($($name:ident $method:ident $before:literal $after:literal $action:literal;)*) => {
        /// An operation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Name {
            $($name,)*
        }

        const OPERATIONS: &[(Name, Operation)] = &[
            $((Name::$name, Operation {
                name: stringify!($name),
                method: Method::$method,
                path: ($before, $after),
                action: $action,
            }),)*
        ];
    };
}

operations! {
    GetCaller GET "whoami" "" "";
    GetStatus GET "status" "" "sealgate:GetStatus";
    GetHistory GET "history" "" "sealgate:GetHistory";
    GetUsage GET "usage" "" "sealgate:GetUsage";
    PutQuota PUT "quota" "" "sealgate:PutQuota";
    ListAccounts GET "accounts" "" "sealgate:ListAccounts";
    CreateAccount POST "accounts" "" "sealgate:CreateAccount";
    GetObjectEncryption GET "object/encryption" "" "sealgate:GetObjectEncryption";
    VerifyObject POST "object/verify" "" "sealgate:VerifyObject";
    GetEncryptionSummary GET "encryption/summary" "" "sealgate:GetEncryptionSummary";
    GetKeyDependents GET "keys/" "/dependents" "sealgate:GetKeyDependents";
    GetKeyAccess GET "keys/" "/who-can" "sealgate:GetKeyAccess";
    GetAuditEvents GET "audit" "" "sealgate:GetAuditEvents";
    RevokeRoleSessions POST "roles/" "/revoke-sessions" "sealgate:RevokeSessions";
    RevokeUserSessions POST "users/" "/revoke-sessions" "sealgate:RevokeSessions";
}

impl Operation {
    /// The name in the path, if it is of this operation; empty where it has none.
    fn name_in<'p>(&self, path: &'p str) -> Option<&'p str> {
        let (before, after) = self.path;
        if after.is_empty() {
            return (path == before).then_some("");
        }
        let name = path.strip_prefix(before)?.strip_suffix(after)?;
        (!name.is_empty()).then_some(name)
    }
}

/// What an operation answers.
enum Told {
    Json(Value),
    /// Lines of JSON, as they come.
    Lines(ByteStream),
}

/// Is it what a request asks for?
pub(super) fn asks(path: &str) -> bool {
    path.starts_with(PREFIX)
}

/// Answers a request while nothing can be served.
pub(super) fn unavailable(message: &'static str) -> Response<ResponseBody> {
    let told = json!({ "code": "ServiceUnavailable", "message": message });
    respond(StatusCode::SERVICE_UNAVAILABLE, ResponseBody::full(told.to_string()), "application/json")
}

/// Answers a request.
pub(super) async fn serve(
    app: &Arc<App>,
    parts: Parts,
    body: RequestBody,
    peer: Peer,
) -> Response<ResponseBody> {
    let request_id = query::request_id();
    record::id(&request_id);
    let mut response = match answer(app, &parts, body, peer, &request_id).await {
        Ok(Told::Json(value)) => {
            respond(StatusCode::OK, ResponseBody::full(value.to_string()), "application/json")
        }
        Ok(Told::Lines(lines)) => {
            respond(StatusCode::OK, ResponseBody::Unsized(lines), "application/x-ndjson")
        }
        Err(error) => {
            record::refused(error.code, &error.message);
            if error.is_failure() {
                let source = error.source.as_deref().map(|source| source as &dyn std::error::Error);
                tracing::error!(request_id, source, code = error.code, "a request of the admin API failed");
            }
            let told = json!({ "code": error.code, "message": error.message, "request_id": request_id });
            let mut response =
                respond(error.status, ResponseBody::full(told.to_string()), "application/json");
            if let Some(encoded) = error.encoded.and_then(|text| HeaderValue::from_str(&text).ok()) {
                response.headers_mut().insert(header::AUTHORIZATION_MESSAGE, encoded);
            }
            response
        }
    };
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(header::REQUEST_ID, value);
    }
    response
}

fn respond(status: StatusCode, body: ResponseBody, kind: &'static str) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn answer(
    app: &Arc<App>,
    parts: &Parts,
    body: RequestBody,
    peer: Peer,
    request_id: &str,
) -> Result<Told, AdminError> {
    let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    if path == "openapi.json" && parts.method == Method::GET {
        let description = serde_json::from_str(DESCRIPTION).map_err(AdminError::failure)?;
        return Ok(Told::Json(description));
    }
    let (name, operation, named) = find(&parts.method, path)?;
    request::note(|record| record.operation = Some(operation.name));
    let now_unix_ms = now_unix_ms();
    let expected = Expected { region: &app.region, service: "s3", now_unix_ms, source: peer.address.ip() };
    host::of(parts).map_err(|error| AdminError::invalid(error.to_string()))?;
    app.watch.identities().await.map_err(crate::iam::IamError::from)?;
    app.watch.keys().await.map_err(KmsError::from)?;
    let authenticated = auth::authenticate(parts, app.keys(), expected)?;
    let identity = authenticated.identity;
    record::authenticated(&identity, authenticated.signed);
    let account = identity.account().map(|account| account.id.clone());
    let Some(account) = account.filter(|_| !identity.is_anonymous()) else {
        return Err(AdminError::unsigned());
    };
    let global_keys = GlobalKeys::of(parts, peer, &app.region, now_unix_ms);
    let query = Query::parse(parts.uri.query().unwrap_or_default())
        .map_err(|_| AdminError::invalid("The query can't be read: percent-encode it as UTF-8."))?;
    let named = percent_decode_str(named).decode_utf8();
    let named =
        named.map_err(|_| AdminError::invalid("The path can't be read: percent-encode it as UTF-8."))?;
    let is_main = account == app.iam.main_account().id;
    let admin =
        Admin { app, parts, peer, identity: &identity, account, is_main, global_keys, request_id, query };
    let body = read(body, &authenticated.payload).await?;
    let action = operation.action;
    Ok(Told::Json(match name {
        Name::GetCaller => admin.caller(),
        Name::GetStatus => {
            admin.authorize_host(action)?;
            status::get(app).await?
        }
        Name::GetHistory => {
            admin.authorize_host(action)?;
            history::get(&admin).await?
        }
        Name::GetUsage => {
            admin.authorize(action, "*")?;
            usage::get(&admin).await?
        }
        Name::PutQuota => {
            admin.authorize(action, "*")?;
            usage::put_quota(&admin, &body).await?
        }
        Name::ListAccounts => {
            admin.authorize(action, "*")?;
            accounts::list(&admin)
        }
        Name::CreateAccount => {
            admin.authorize_host(action)?;
            accounts::create(&admin, &body).await?
        }
        Name::GetObjectEncryption => object::encryption(&admin, action).await?,
        Name::VerifyObject => return object::verify(&admin, action).await.map(Told::Lines),
        Name::GetEncryptionSummary => {
            admin.authorize(action, "*")?;
            summary::get(&admin)
        }
        Name::GetKeyDependents => keys::dependents(&admin, action, &named).await?,
        Name::GetKeyAccess => keys::who_can(&admin, action, &named).await?,
        Name::GetAuditEvents => {
            admin.authorize(action, "*")?;
            audit::get(&admin).await?
        }
        Name::RevokeRoleSessions => {
            admin.authorize(action, "*")?;
            sessions::revoke(&admin, "Role", &named).await?
        }
        Name::RevokeUserSessions => {
            admin.authorize(action, "*")?;
            sessions::revoke(&admin, "User", &named).await?
        }
    }))
}

fn find<'p>(method: &Method, path: &'p str) -> Result<(Name, &'static Operation, &'p str), AdminError> {
    let of_path =
        OPERATIONS.iter().filter_map(|(name, operation)| Some((*name, operation, operation.name_in(path)?)));
    let mut is_known = false;
    for found in of_path {
        is_known = true;
        if found.1.method == *method {
            return Ok(found);
        }
    }
    Err(if is_known { AdminError::method_not_allowed() } else { AdminError::no_such_operation() })
}

/// The body, which must be what was signed.
async fn read(mut body: RequestBody, payload: &PayloadAuth) -> Result<Vec<u8>, AdminError> {
    let mut whole = Vec::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| AdminError::invalid(error.to_string()))?;
        if whole.len() + piece.len() > MAX_BODY_LEN {
            return Err(AdminError::invalid(format!("The body is longer than {MAX_BODY_LEN} bytes.")));
        }
        whole.extend_from_slice(&piece);
    }
    let is_signed = match payload {
        PayloadAuth::Sha256(hash) => sha2::Sha256::digest(&whole).as_slice() == hash,
        PayloadAuth::Unsigned => whole.is_empty(),
        PayloadAuth::StreamingSigned { .. } | PayloadAuth::StreamingUnsignedTrailer => false,
    };
    match is_signed {
        true => Ok(whole),
        false => {
            Err(AdminError::invalid("The body must be signed: send its SHA-256 in x-amz-content-sha256."))
        }
    }
}

/// A request whose signature is verified.
struct Admin<'a> {
    app: &'a Arc<App>,
    parts: &'a Parts,
    peer: Peer,
    identity: &'a Identity,
    /// The caller's account: 12 digits.
    account: String,
    /// Is that the account that owns the gateway?
    is_main: bool,
    global_keys: GlobalKeys<'a>,
    request_id: &'a str,
    query: Query,
}

impl Admin<'_> {
    /// Who asks. Everybody may know who he is.
    fn caller(&self) -> Value {
        json!({
            "account": self.account,
            "arn": self.identity.arn(),
            "user_id": self.identity.user_id(),
            "is_root": self.identity.principal == Principal::Root,
            "session": self.identity.session.is_some(),
        })
    }

    fn authorize(&self, action: &str, resource: &str) -> Result<(), AdminError> {
        let context = || self.global_keys.context();
        Ok(self.app.authorizer.authorize_action(self.identity, action, resource, context)?)
    }

    /// The same of what is the host's: nobody of another account.
    fn authorize_host(&self, action: &str) -> Result<(), AdminError> {
        self.authorize(action, "*")?;
        match self.is_main {
            true => Ok(()),
            false => Err(AdminError::not_of_host(action)),
        }
    }

    /// The account whose things the caller sees; `None`: all.
    fn only_account(&self) -> Option<&str> {
        (!self.is_main).then_some(self.account.as_str())
    }

    /// A parameter that must be there.
    fn required(&self, name: &str) -> Result<&str, AdminError> {
        let value = self.query.get(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| AdminError::invalid(format!("The parameter {name} is missing.")))
    }

    /// A number, if it is there.
    fn number(&self, name: &str) -> Result<Option<u64>, AdminError> {
        let value = self.query.get(name).filter(|value| !value.is_empty());
        let parsed = value.map(str::parse).transpose();
        parsed.map_err(|_| AdminError::invalid(format!("The parameter {name} must be a number.")))
    }

    /// The bucket, object and version that are named, if the caller may do this to them.
    async fn object(&self, action: &str) -> Result<(Bucket, ObjectKey, VersionRef), AdminError> {
        let name = BucketName::parse(self.required("bucket")?)
            .map_err(|error| AdminError::invalid(format!("The parameter bucket: {error}")))?;
        let object = ObjectKey::parse(self.required("key")?)
            .map_err(|error| AdminError::invalid(format!("The parameter key: {error}")))?;
        let version = version::parse(self.query.get("versionId").filter(|id| !id.is_empty()))?;
        let bucket = self.app.catalog.bucket(&name).await?;
        let context = || self.global_keys.context();
        let question = Question {
            identity: self.identity,
            action,
            object: Some(&object),
            version,
            of_new: false,
            context: &context,
        };
        self.app.authorizer.check(&question, &bucket).await.map_err(super::s3::error::S3Error::from)?;
        Ok((bucket, object, version))
    }

    /// Has IAM do something as the caller, who needs IAM's own permission for it.
    async fn iam(&self, action: &str, parameters: &[(&str, &str)]) -> Result<(), AdminError> {
        let parameters = Parameters::of(parameters);
        let Self { app, identity, global_keys, request_id, .. } = *self;
        iam::run(&Call { app, identity, action, parameters: &parameters, global_keys, request_id }).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_is_found_by_its_path() {
        let found = |method: Method, path: &str| {
            find(&method, path).map(|(name, _, named)| (name, named.to_owned())).map_err(|error| error.status)
        };
        assert_eq!(found(Method::GET, "status"), Ok((Name::GetStatus, String::new())));
        assert_eq!(found(Method::GET, "keys/a/b/who-can"), Ok((Name::GetKeyAccess, "a/b".to_owned())));
        assert_eq!(found(Method::POST, "status"), Err(StatusCode::METHOD_NOT_ALLOWED));
        assert_eq!(found(Method::GET, "keys//who-can"), Err(StatusCode::NOT_FOUND));
        assert_eq!(found(Method::GET, "statu"), Err(StatusCode::NOT_FOUND));
    }

    #[test]
    fn the_description_names_every_operation() {
        let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
        let mut described = Vec::new();
        for (path, methods) in description["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap().to_owned();
                let action = operation["x-action"].as_str().unwrap_or_default().to_owned();
                described.push((id, method.to_uppercase(), path.clone(), action));
            }
        }
        let mut known: Vec<_> = OPERATIONS
            .iter()
            .map(|(_, operation)| {
                let (before, after) = operation.path;
                let path = match after {
                    "" => format!("/{before}"),
                    after => format!("/{before}{{{}}}{after}", if before == "keys/" { "id" } else { "name" }),
                };
                let Operation { name, method, action, .. } = operation;
                ((*name).to_owned(), method.to_string(), path, (*action).to_owned())
            })
            .collect();
        described.retain(|(id, ..)| id != "GetDescription");
        described.sort();
        known.sort();
        assert_eq!(described, known);
    }
}
