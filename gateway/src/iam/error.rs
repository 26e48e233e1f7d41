//! Why IAM refuses: AWS's codes, with AWS's texts.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html>

use storage::catalog::CatalogError;

/// A refusal. `Display` is the message that the client sees.
#[derive(Debug, thiserror::Error)]
pub enum IamError {
    /// What is named does not exist.
    #[error("{0}")]
    NoSuchEntity(String),
    /// What is to be made exists.
    #[error("{0}")]
    EntityAlreadyExists(String),
    /// What is to be deleted is still in use, or has something.
    #[error("{0}")]
    DeleteConflict(String),
    /// A quota is exhausted.
    #[error("{0}")]
    LimitExceeded(String),
    /// A policy can't be read, or says what it must not.
    #[error("{0}")]
    MalformedPolicyDocument(String),
    /// A parameter breaks its rules.
    #[error("{0}")]
    ValidationError(String),
    /// A parameter's value makes no sense here.
    #[error("{0}")]
    InvalidInput(String),
    /// What AWS made can't be changed.
    #[error("{0}")]
    UnmodifiableEntity(String),
    /// It exists on AWS, and not here.
    #[error("{0}")]
    NotImplemented(String),
    /// Somebody else changed the same at the same time.
    #[error(
        "The request was rejected because multiple requests to change this object were submitted simultaneously. Wait a few minutes and submit your request again."
    )]
    ConcurrentModification,
    /// The catalog failed. The cause is logged, not answered.
    #[error("The request processing has failed because of an unknown error, exception or failure.")]
    Unavailable(#[source] CatalogError),
    /// A stored document is not one that this program wrote, or lacks another. This is logged, not answered.
    #[error(
        "the document {document} of the catalog's shelf `iam` {what}: put the catalog back from a backup"
    )]
    Corrupt {
        /// Its name.
        document: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Documents are gone, or came back, and no change of an account did it. This is logged, not answered.
    #[error(
        "there are {found} documents of users, groups, roles and policies, not the {expected} that were written: put the catalog back from a backup, or accept the loss by one start with --accept-missing-documents=true"
    )]
    DocumentCount {
        /// As many were written.
        expected: u64,
        /// As many there are.
        found: u64,
    },
}

impl IamError {
    /// `The user with name alice cannot be found.`
    pub fn no_such(kind: &str, name: &str) -> Self {
        Self::NoSuchEntity(format!("The {kind} with name {name} cannot be found."))
    }

    /// `User with name alice already exists.`
    pub fn exists(kind: &str, name: &str) -> Self {
        Self::EntityAlreadyExists(format!("{kind} with name {name} already exists."))
    }
}
