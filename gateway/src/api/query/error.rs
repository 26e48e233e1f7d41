//! What the services of the query protocol answer when they refuse.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html>

use std::borrow::Cow;

use http::StatusCode;
use storage::catalog::CatalogError;
use storage::kv::KvError;

use crate::api::xml::XmlWriter;
use crate::auth::AuthError;
use crate::authz::Denied;
use crate::iam::IamError;
use crate::work::TooMany;

macro_rules! codes {
    ($($variant:ident $status:literal;)*) => {
        /// An error code: one row of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $(
                #[doc = concat!("HTTP ", stringify!($status), ".")]
                $variant,
            )*
        }

        impl Code {
            /// The code's name on the wire.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)*
                }
            }

            /// The status that it is answered with.
            pub fn status(self) -> StatusCode {
                let status = match self {
                    $(Self::$variant => $status,)*
                };
                StatusCode::from_u16(status).expect("the table holds valid statuses")
            }
        }
    };
}

codes! {
    AccessDenied 403;
    ConcurrentModification 409;
    DeleteConflict 409;
    EntityAlreadyExists 409;
    ExpiredToken 403;
    ExpiredTokenException 400;
    IDPCommunicationError 400;
    IDPRejectedClaim 403;
    IncompleteSignature 400;
    InvalidAction 400;
    InvalidAuthorizationMessageException 400;
    InvalidClientTokenId 403;
    InvalidIdentityToken 400;
    InvalidInput 400;
    InvalidParameterValue 400;
    LimitExceeded 409;
    MalformedPolicyDocument 400;
    MissingAction 400;
    MissingAuthenticationToken 403;
    NoSuchEntity 404;
    NotImplemented 501;
    PackedPolicyTooLarge 400;
    PolicyNotAttachable 400;
    RequestExpired 400;
    ServiceFailure 500;
    ServiceUnavailable 503;
    SignatureDoesNotMatch 403;
    Throttling 400;
    UnmodifiableEntity 400;
    ValidationError 400;
}

/// A refusal.
#[derive(Debug)]
pub struct Refusal {
    /// The code: one row of the table.
    pub code: Code,
    /// What the client is told.
    pub message: Cow<'static, str>,
    /// Why access was denied, sealed: a header of the answer.
    pub encoded: Option<String>,
    /// The cause, for the log only.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What a failure tells the client, whatever is behind it.
const FAILURE: &str = "The request processing has failed because of an unknown error, exception or failure.";
/// What a failure tells that passes.
pub(super) const UNAVAILABLE: &str = "The request has failed due to a temporary failure of the server.";
const WRONG_REGION: &str = "Credential should be scoped to a valid region.";
const INVALID_TOKEN: &str = "The security token included in the request is invalid.";

impl Refusal {
    /// One with this message.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), encoded: None, source: None }
    }

    /// `NotImplemented`, naming what is not.
    pub fn not_implemented(what: impl std::fmt::Display) -> Self {
        Self::new(Code::NotImplemented, format!("{what} is not implemented."))
    }

    /// The credentials are none, or none that this may be done with.
    pub fn invalid_token() -> Self {
        Self::new(Code::InvalidClientTokenId, INVALID_TOKEN)
    }

    /// The caller, or the gateway, computes too much already.
    pub fn throttled(why: TooMany) -> Self {
        Self::new(Code::Throttling, why.to_string())
    }

    /// The gateway failed.
    pub fn failure(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..Self::new(Code::ServiceFailure, FAILURE) }
    }

    /// Did the gateway fail, rather than refuse? (What is not implemented is refused.)
    pub fn is_failure(&self) -> bool {
        self.code.status().is_server_error() && self.code != Code::NotImplemented
    }

    /// The answer's document.
    pub fn document(&self, namespace: &str, request_id: &str) -> Vec<u8> {
        let mut xml = XmlWriter::fragment(512);
        xml.root_of("ErrorResponse", namespace);
        xml.open("Error");
        xml.text("Type", if self.is_failure() { "Receiver" } else { "Sender" });
        xml.text("Code", self.code.name());
        xml.text("Message", &self.message);
        xml.close("Error");
        xml.text("RequestId", request_id);
        xml.close("ErrorResponse");
        xml.finish()
    }
}

impl From<IamError> for Refusal {
    fn from(error: IamError) -> Self {
        let code = match &error {
            IamError::NoSuchEntity(_) => Code::NoSuchEntity,
            IamError::EntityAlreadyExists(_) => Code::EntityAlreadyExists,
            IamError::DeleteConflict(_) => Code::DeleteConflict,
            IamError::LimitExceeded(_) => Code::LimitExceeded,
            IamError::MalformedPolicyDocument(_) => Code::MalformedPolicyDocument,
            IamError::ValidationError(_) => Code::ValidationError,
            IamError::InvalidInput(_) => Code::InvalidInput,
            IamError::UnmodifiableEntity(_) => Code::UnmodifiableEntity,
            IamError::NotImplemented(_) => Code::NotImplemented,
            IamError::ConcurrentModification => Code::ConcurrentModification,
            // The map is away for a while, or has not said what became of a change.
            IamError::Unavailable(CatalogError::Kv(KvError::Unavailable(_))) => {
                return Self {
                    source: Some(error.into()),
                    ..Self::new(Code::ServiceUnavailable, UNAVAILABLE)
                };
            }
            IamError::Unavailable(_) | IamError::Corrupt { .. } | IamError::DocumentCount { .. } => {
                return Self::failure(error);
            }
        };
        Self::new(code, error.to_string())
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        Self { encoded: denied.encoded, ..Self::new(Code::AccessDenied, denied.message) }
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::InvalidAccessKeyId { .. } | AuthError::InvalidToken | AuthError::AccountProblem => {
                Self::invalid_token()
            }
            AuthError::ExpiredToken => {
                Self::new(Code::ExpiredToken, "The security token included in the request is expired")
            }
            AuthError::TooManyFailures => Self::new(Code::Throttling, "Rate exceeded"),
            AuthError::SignatureDoesNotMatch { .. } => Self::new(
                Code::SignatureDoesNotMatch,
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
            ),
            AuthError::RequestTimeTooSkewed { request_time, server_time } => Self::new(
                Code::SignatureDoesNotMatch,
                format!("Signature expired: {request_time} is not within 15 minutes of {server_time}"),
            ),
            AuthError::Expired { expired_at, server_time, .. } => Self::new(
                Code::SignatureDoesNotMatch,
                format!("Signature expired: {expired_at} is now earlier than {server_time}"),
            ),
            AuthError::NotImplemented(message) => Self::new(Code::NotImplemented, message),
            AuthError::AuthorizationHeaderMalformed { region: Some(_), .. } => {
                Self::new(Code::SignatureDoesNotMatch, WRONG_REGION)
            }
            AuthError::AuthorizationHeaderMalformed { message, .. }
            | AuthError::QueryParametersError(message) => Self::new(Code::IncompleteSignature, message),
            AuthError::HeadersNotSigned { .. }
            | AuthError::InvalidArgument { .. }
            | AuthError::AccessDenied(_)
            | AuthError::InvalidRequest(_) => Self::new(Code::IncompleteSignature, error.to_string()),
        }
    }
}
