//! What the admin API answers when it refuses.

use http::StatusCode;
use kms_core::error::KmsError;
use storage::catalog::CatalogError;

use super::dependents::CountError;
use crate::api::query::Refusal;
use crate::api::s3::error::S3Error;
use crate::auth::AuthError;
use crate::authz::Denied;
use crate::http::header;
use crate::iam::IamError;

/// What a failure tells the client, whatever is behind it.
const FAILURE: &str = "The gateway failed to answer. Its log tells more.";

/// A refusal.
#[derive(Debug)]
pub(super) struct AdminError {
    /// Its code.
    pub(super) code: &'static str,
    /// The status that it is answered with.
    pub(super) status: StatusCode,
    /// What the client is told.
    pub(super) message: String,
    /// Why access was denied, sealed.
    pub(super) encoded: Option<String>,
    /// The cause, for the log only.
    pub(super) source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl AdminError {
    fn new(code: &'static str, status: StatusCode, message: impl Into<String>) -> Self {
        Self { code, status, message: message.into(), encoded: None, source: None }
    }

    /// A parameter or a body makes no sense.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValue", StatusCode::BAD_REQUEST, message)
    }

    /// The path is of no operation.
    pub(super) fn no_such_operation() -> Self {
        let message = "There is no such operation. /_sealgate/admin/v1/openapi.json describes all of them.";
        Self::new("NoSuchOperation", StatusCode::NOT_FOUND, message)
    }

    /// The path is of an operation with another method.
    pub(super) fn method_not_allowed() -> Self {
        let message = "The operation has another method. /_sealgate/admin/v1/openapi.json describes it.";
        Self::new("MethodNotAllowed", StatusCode::METHOD_NOT_ALLOWED, message)
    }

    /// What is asked for is not there.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new("NoSuchEntity", StatusCode::NOT_FOUND, message)
    }

    /// The request is not signed.
    pub(super) fn unsigned() -> Self {
        let message = "The request is not signed. Sign it by AWS Signature Version 4 for the service s3.";
        Self::new("MissingAuthenticationToken", StatusCode::FORBIDDEN, message)
    }

    /// It is the host's, and the caller is of another account.
    pub(super) fn not_of_host(action: &str) -> Self {
        let message = format!("{action} is for principals of the account that owns the gateway.");
        Self::new("AccessDenied", StatusCode::FORBIDDEN, message)
    }

    /// Too much of the kind is under way.
    pub(super) fn busy(message: impl Into<String>) -> Self {
        Self::new("Throttling", StatusCode::TOO_MANY_REQUESTS, message)
    }

    /// The gateway failed.
    pub(super) fn failure(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let failure = Self::new("ServiceFailure", StatusCode::INTERNAL_SERVER_ERROR, FAILURE);
        Self { source: Some(source.into()), ..failure }
    }

    /// Did the gateway fail, rather than refuse?
    pub(super) fn is_failure(&self) -> bool {
        self.status == StatusCode::INTERNAL_SERVER_ERROR
    }
}

impl From<Refusal> for AdminError {
    fn from(refusal: Refusal) -> Self {
        let Refusal { code, message, encoded, source } = refusal;
        Self { encoded, source, ..Self::new(code.name(), code.status(), message) }
    }
}

impl From<AuthError> for AdminError {
    fn from(error: AuthError) -> Self {
        Refusal::from(error).into()
    }
}

impl From<IamError> for AdminError {
    fn from(error: IamError) -> Self {
        Refusal::from(error).into()
    }
}

impl From<Denied> for AdminError {
    fn from(denied: Denied) -> Self {
        Refusal::from(denied).into()
    }
}

impl From<S3Error> for AdminError {
    fn from(error: S3Error) -> Self {
        let told = Self::new(error.code.name(), error.status(), error.client_message());
        let encoded = error.headers.into_iter().find(|(name, _)| *name == header::AUTHORIZATION_MESSAGE);
        Self { encoded: encoded.map(|(_, text)| text), source: error.source, ..told }
    }
}

impl From<CatalogError> for AdminError {
    fn from(error: CatalogError) -> Self {
        S3Error::from(error).into()
    }
}

impl From<CountError> for AdminError {
    fn from(error: CountError) -> Self {
        match error {
            CountError::Catalog(error) => error.into(),
            CountError::Sse(error) => S3Error::from(error).into(),
        }
    }
}

impl From<KmsError> for AdminError {
    fn from(error: KmsError) -> Self {
        let status = match &error {
            KmsError::Internal(_) => return Self::failure(error),
            KmsError::Unavailable(_) | KmsError::Contended => StatusCode::SERVICE_UNAVAILABLE,
            KmsError::NotFound(_) => StatusCode::NOT_FOUND,
            KmsError::AccessDenied(_) => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(error.name(), status, error.to_string())
    }
}
