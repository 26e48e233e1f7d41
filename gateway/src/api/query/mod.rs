//! The query protocol of IAM and STS: an action and its parameters in a form, answered in XML.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/programming.html>

mod answer;
mod error;
mod form;
pub mod rules;

use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};

pub use answer::{Answer, encoded, list, now_unix_ms, texts, time};
pub use error::{Code, Refusal};
pub use form::Parameters;

use super::signed_body::{self, SignedBodyError};
use super::{iam, record, sts};
use crate::app::App;
use crate::auth::{self, Expected};
use crate::authz::{Context, GlobalKeys};
use crate::http::body::{RequestBody, ResponseBody};
use crate::http::header;
use crate::http::host;
use crate::http::listener::Peer;
use crate::iam::{IamError, Identity};
use crate::observe::request;

/// The longest form.
const MAX_BODY_LEN: usize = 1 << 20;
/// The regions that requests to services without a region are signed for.
const GLOBAL_REGIONS: [&str; 2] = ["us-east-1", "aws-global"];
const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// A service of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Iam,
    Sts,
}

impl Service {
    /// Its name in credential scopes.
    fn name(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Sts => "sts",
        }
    }

    /// The version of its API.
    fn version(self) -> &'static str {
        match self {
            Self::Iam => "2010-05-08",
            Self::Sts => "2011-06-15",
        }
    }

    /// As those know it who are told of requests.
    fn observed(self) -> request::Service {
        match self {
            Self::Iam => request::Service::Iam,
            Self::Sts => request::Service::Sts,
        }
    }

    fn namespace(self) -> &'static str {
        match self {
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
        }
    }
}

/// A request whose signature, if it has one, is verified.
pub struct Call<'a> {
    /// The gateway.
    pub app: &'a App,
    /// Who asks; nobody where the request is not signed.
    pub identity: &'a Identity,
    /// The operation.
    pub action: &'a str,
    /// Its parameters.
    pub parameters: &'a Parameters,
    /// What policies' conditions may ask of the request.
    pub global_keys: GlobalKeys<'a>,
    /// The request's id.
    pub request_id: &'a str,
}

impl Call<'_> {
    /// May the caller do this (`iam:CreateUser`) to the resource? `further` has values of condition keys beside those that every
    /// request has.
    pub fn authorize(
        &self,
        action: &str,
        resource: &str,
        further: impl Fn() -> Context,
    ) -> Result<(), Refusal> {
        let context = || {
            let mut context = self.global_keys.context();
            context.extend(further());
            context
        };
        Ok(self.app.authorizer.authorize_action(self.identity, action, resource, context)?)
    }

    /// What an action is answered that the service does not have.
    pub fn no_such_action(&self, version: &str) -> Refusal {
        let message = format!("Could not find operation {} for version {version}", self.action);
        Refusal::new(Code::InvalidAction, message)
    }
}

/// Is it a request of this protocol? S3 posts no such form to a path of its own, and knows no parameter of this name.
pub fn asks(parts: &Parts) -> bool {
    if parts.uri.path() != "/" || Scope::of(parts).is_some_and(|scope| scope.service == "s3") {
        return false;
    }
    let content_type = parts.headers.get(http::header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_form = content_type
        .and_then(|value| value.get(..FORM.len()))
        .is_some_and(|value| value.eq_ignore_ascii_case(FORM));
    let query = parts.uri.query().unwrap_or_default();
    let has_action = query.split('&').any(|pair| pair.starts_with("Action="));
    match parts.method {
        Method::POST => has_action || is_form && query.is_empty(),
        Method::GET => has_action,
        _ => false,
    }
}

/// Answers one request.
pub async fn serve(app: &App, parts: Parts, body: RequestBody, peer: Peer) -> Response<ResponseBody> {
    let request_id = request_id();
    record::id(&request_id);
    let signed = Scope::of(&parts);
    // A signature tells the service; without one, the form does.
    let named = service(signed.as_ref(), &Parameters::default());
    let expected = expected(app, named, signed.as_ref(), peer);
    let read = read(app, &parts, body, expected).await;
    let (service, result) = match read.and_then(|body| Ok((parameters(&parts, &body)?, body))) {
        Err(refusal) => (named, Err(refusal)),
        Ok((parameters, body)) => {
            let service = service(signed.as_ref(), &parameters);
            record::parameters(parameters.all());
            let expected = Expected { service: service.name(), ..expected };
            let result =
                answer(app, &parts, (&parameters, &body), peer, (service, expected), &request_id).await;
            (service, result)
        }
    };
    request::note(|record| record.service = service.observed());
    let mut encoded = None;
    let (status, document) = match result {
        Ok(document) => {
            record::answered_xml(&document);
            (StatusCode::OK, document)
        }
        Err(refusal) => {
            record::refused(refusal.code.name(), &refusal.message);
            if refusal.is_failure() {
                let source = refusal.source.as_deref().map(|source| source as &dyn std::error::Error);
                tracing::error!(request_id, source, "a request of {} failed", service.name());
            }
            encoded = refusal.encoded.clone();
            (refusal.code.status(), refusal.document(service.namespace(), &request_id))
        }
    };
    let mut response = respond(status, document, &request_id);
    if let Some(encoded) = encoded.and_then(|encoded| HeaderValue::from_str(&encoded).ok()) {
        response.headers_mut().insert(header::AUTHORIZATION_MESSAGE, encoded);
    }
    response
}

/// Answers a request that came while nothing can be read yet.
pub fn unavailable(message: &'static str) -> Response<ResponseBody> {
    let request_id = request_id();
    let refusal = Refusal::new(Code::ServiceUnavailable, message);
    respond(refusal.code.status(), refusal.document(Service::Iam.namespace(), &request_id), &request_id)
}

fn respond(status: StatusCode, document: Vec<u8>, request_id: &str) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(document));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(header::AMZN_REQUEST_ID, value);
    }
    response
}

async fn answer(
    app: &App,
    parts: &Parts,
    (parameters, body): (&Parameters, &[u8]),
    peer: Peer,
    (service, expected): (Service, Expected<'_>),
    request_id: &str,
) -> Result<Vec<u8>, Refusal> {
    let region = expected.region;
    let action = parameters.get("Action").unwrap_or_default();
    request::note(|record| {
        record.operation = match service {
            Service::Iam => iam::known(action),
            Service::Sts => sts::known(action),
        }
    });
    let identity = auth::authenticate_body(parts, body, app.keys(), expected)?;
    record::authenticated_body(&identity, parts);
    let Some(action) = parameters.get("Action").filter(|action| !action.is_empty()) else {
        return Err(Refusal::new(Code::MissingAction, "The request is missing an action."));
    };
    let global_keys = GlobalKeys::of(parts, peer, region, expected.now_unix_ms);
    let call = Call { app, identity: &identity, action, parameters, global_keys, request_id };
    if parameters.get("Version").is_some_and(|version| version != service.version()) {
        return Err(call.no_such_action(parameters.get("Version").unwrap_or_default()));
    }
    let answer = match service {
        Service::Iam => iam::run(&call).await?,
        Service::Sts => sts::run(&call).await?,
    };
    Ok(answer.document(action, service.namespace(), request_id))
}

/// What a request must have been signed for.
fn expected<'a>(app: &'a App, service: Service, signed: Option<&'a Scope>, peer: Peer) -> Expected<'a> {
    // A region that is taken is the one to verify by; any other is refused with the gateway's.
    let region = signed.map(|scope| scope.region.as_str());
    let region = region.filter(|region| GLOBAL_REGIONS.contains(region)).unwrap_or(&app.region);
    Expected { region, service: service.name(), now_unix_ms: now_unix_ms(), source: peer.address.ip() }
}

/// The region and the service that a request says it is signed for.
pub(super) struct Scope {
    pub(super) region: String,
    pub(super) service: String,
}

impl Scope {
    /// As the header or the query has it; nothing is verified here.
    pub(super) fn of(parts: &Parts) -> Option<Self> {
        let header = parts.headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let in_header = header.and_then(|text| {
            let (_, rest) = text.split_once("Credential=")?;
            Self::parse(rest.split([',', ' ']).next()?)
        });
        in_header.or_else(|| {
            let query =
                parts.uri.query()?.split('&').find_map(|pair| pair.strip_prefix("X-Amz-Credential="))?;
            Self::parse(&percent_encoding::percent_decode_str(query).decode_utf8().ok()?)
        })
    }

    fn parse(credential: &str) -> Option<Self> {
        let mut fields = credential.rsplit('/').skip(1);
        let (service, region) = (fields.next()?, fields.next()?);
        Some(Self { region: region.to_owned(), service: service.to_owned() })
    }
}

/// Which service is asked: the one that the request is signed for; without a signature, the one whose version it names.
fn service(signed: Option<&Scope>, parameters: &Parameters) -> Service {
    match signed {
        Some(scope) if scope.service == Service::Sts.name() => Service::Sts,
        Some(_) => Service::Iam,
        None if parameters.get("Version") == Some(Service::Sts.version()) => Service::Sts,
        None => Service::Iam,
    }
}

fn parameters(parts: &Parts, body: &[u8]) -> Result<Parameters, Refusal> {
    Parameters::parse(&[body, parts.uri.query().unwrap_or_default().as_bytes()])
}

/// A body to its end; a long one is refused, and so is a request that doesn't say for which host it is.
pub(super) async fn read(
    app: &App,
    parts: &Parts,
    body: RequestBody,
    expected: Expected<'_>,
) -> Result<Vec<u8>, Refusal> {
    host::of(parts).map_err(|error| Refusal::new(Code::ValidationError, error.to_string()))?;
    let read = signed_body::read(app, parts, body, expected, MAX_BODY_LEN).await;
    read.map_err(|error| match error {
        SignedBodyError::Auth(error) => error.into(),
        SignedBodyError::Unseen(error) => IamError::from(error).into(),
        SignedBodyError::Busy => Refusal::new(Code::Throttling, error.to_string()),
        SignedBodyError::Body(_) | SignedBodyError::TooLong(_) => {
            Refusal::new(Code::ValidationError, error.to_string())
        }
    })
}

/// As AWS writes them: a UUID.
pub(super) fn request_id() -> String {
    let mut id = [0; 16];
    getrandom::fill(&mut id).expect("the operating system gives random bytes");
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    let digits = hex::encode(id);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: &str, uri: &str, content_type: Option<&str>) -> Parts {
        let mut request = http::Request::builder().method(method).uri(uri);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn requests_of_this_protocol() {
        let form = Some("application/x-www-form-urlencoded; charset=utf-8");
        assert!(asks(&parts("POST", "/", form)));
        assert!(asks(&parts("POST", "/?Version=1&Action=A", None)));
        assert!(asks(&parts("GET", "/?Action=ListUsers&Version=2010-05-08", None)));
        assert!(!asks(&parts("GET", "/", None)));
        assert!(!asks(&parts("GET", "/?max-buckets=1", None)));
        assert!(!asks(&parts("POST", "/bucket", form)));
        assert!(!asks(&parts("POST", "/?delete", form)));
        assert!(!asks(&parts("PUT", "/", form)));
    }

    #[test]
    fn the_scope_tells_the_service() {
        let parameters = Parameters::parse(&[b"Version=2011-06-15"]).unwrap();
        let scope = Scope::parse("AKIA/20260101/eu-west-1/iam/aws4_request").unwrap();
        assert_eq!((scope.region.as_str(), scope.service.as_str()), ("eu-west-1", "iam"));
        assert_eq!(service(Some(&scope), &parameters), Service::Iam);
        assert_eq!(service(None, &parameters), Service::Sts);
        assert_eq!(service(None, &Parameters::default()), Service::Iam);
        assert!(Scope::parse("nothing").is_none());
        let presigned =
            parts("GET", "/?X-Amz-Credential=AKIA%2F20260101%2Fus-east-1%2Fsts%2Faws4_request", None);
        assert_eq!(Scope::of(&presigned).unwrap().service, "sts");
    }

    #[test]
    fn request_ids_are_uuids() {
        let id = request_id();
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'));
    }
}
