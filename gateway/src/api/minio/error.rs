//! What MinIO's clients are answered when something is refused.

use http::StatusCode;

use super::crypt::CryptError;
use crate::api::query::Refusal;
use crate::iam::IamError;

/// A refusal. `Display` is what the client is told.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    /// There is no such user.
    #[error("The specified user does not exist.")]
    NoSuchUser,
    /// There is no such group.
    #[error("The specified group does not exist.")]
    NoSuchGroup,
    /// There is no such bucket.
    #[error("The specified bucket does not exist")]
    NoSuchBucket,
    /// There is no such policy.
    #[error("The canned policy does not exist: {0}")]
    NoSuchPolicy(String),
    /// Policies are attached already, or not attached at all.
    #[error("The specified policy change is already in effect.")]
    NoChange,
    /// A parameter or a body makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A body does not open.
    #[error(transparent)]
    Crypt(#[from] CryptError),
    /// MinIO has it, and this gateway does not.
    #[error("{0} of MinIO's admin API is not implemented.")]
    NotImplemented(String),
    /// It can be asked again later.
    #[error("{0}")]
    TooMany(&'static str),
    /// IAM refuses.
    #[error("{}", .0.message)]
    Refused(Refusal),
}

impl From<Refusal> for AdminError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<IamError> for AdminError {
    fn from(error: IamError) -> Self {
        Self::Refused(error.into())
    }
}

impl AdminError {
    /// MinIO's code, and the status.
    pub(super) fn code(&self) -> (&'static str, StatusCode) {
        match self {
            Self::NoSuchUser => ("XMinioAdminNoSuchUser", StatusCode::NOT_FOUND),
            Self::NoSuchGroup => ("XMinioAdminNoSuchGroup", StatusCode::NOT_FOUND),
            Self::NoSuchBucket => ("NoSuchBucket", StatusCode::NOT_FOUND),
            Self::NoSuchPolicy(_) => ("XMinioAdminNoSuchPolicy", StatusCode::NOT_FOUND),
            Self::NoChange => ("XMinioAdminPolicyChangeAlreadyApplied", StatusCode::BAD_REQUEST),
            Self::Invalid(_) | Self::Crypt(_) => ("XMinioAdminInvalidArgument", StatusCode::BAD_REQUEST),
            Self::NotImplemented(_) => ("NotImplemented", StatusCode::NOT_IMPLEMENTED),
            Self::TooMany(_) => ("SlowDown", StatusCode::SERVICE_UNAVAILABLE),
            Self::Refused(refusal) => (refusal.code.name(), refusal.code.status()),
        }
    }
}
