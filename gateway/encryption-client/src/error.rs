//! What can go wrong, by what a caller can do about it.

use crate::suite::{CommitmentPolicy, ContentSuite};

/// Why an object could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The object carries no envelope, and there is no instruction file beside it: it is not encrypted by such a client.
    #[error(
        "the object is not encrypted by an S3 Encryption Client: it has neither an envelope nor an instruction file"
    )]
    NotEncrypted,
    /// The envelope is malformed, contradicts itself or was tampered with.
    #[error("the object's envelope is not accepted: {0}")]
    Envelope(#[from] EnvelopeError),
    /// The settings forbid it; the message names the setting.
    #[error("{0}")]
    Policy(#[from] PolicyError),
    /// The keyring did not wrap or unwrap the data key.
    #[error("the data key: {0}")]
    Keyring(#[from] KeyringError),
    /// The data key is not the one that the object was sealed with. The object or its envelope was tampered with.
    #[error("the data key is not the one that the object commits to")]
    Commitment,
    /// The body is not what was sealed: it was changed or cut off, or belongs to another envelope.
    #[error("the object's body is not what was sealed: it was changed, cut off or exchanged")]
    Authentication,
    /// The body is longer than AES-GCM seals under one key and nonce.
    #[error("the body is longer than {max} bytes, the most that one object can be sealed with")]
    TooLong {
        /// The longest plain body, in bytes.
        max: u64,
    },
    /// The body can't be authenticated before its release, since it is longer than what may be held meanwhile.
    #[error(
        "the body of {len} bytes is longer than the {max} that may be held until it is authenticated: raise `max_memory`, \
         let it be spooled, or choose delayed authentication"
    )]
    TooLongToHold {
        /// The body, in plain bytes.
        len: u64,
        /// What may be held, in plain bytes.
        max: u64,
    },
    /// The body is longer than what one request may hold in memory.
    #[error("the body is longer than {max} bytes, the most that one put holds in memory: upload it in parts")]
    TooLongForPut {
        /// The longest body of a put, in bytes.
        max: u64,
    },
    /// A former part of the upload failed: what follows would not be what was sealed.
    #[error("the upload has failed at a former part, and can only be aborted")]
    UploadEnded,
    /// A file of sealed bytes that wait for authentication can't be written or read.
    #[error("sealed bytes can't be spooled: {0}")]
    Spool(#[from] std::io::Error),
    /// The store of the objects failed.
    #[error("{}", with_reasons(.0.as_ref()))]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A cryptographic operation failed that has no reason to.
    #[error("{0} failed inside the cryptographic library")]
    Library(&'static str),
}

/// An error and the reasons behind it, of which the SDK's own texts tell nothing.
fn with_reasons(error: &(dyn std::error::Error + 'static)) -> String {
    let (mut text, mut reason) = (error.to_string(), error.source());
    while let Some(error) = reason {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        reason = error.source();
    }
    text
}

/// What is wrong with an envelope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Keys of two formats stand beside each other. No client writes that.
    #[error("{0} and {1} exclude each other")]
    Exclusive(&'static str, &'static str),
    /// What the format demands is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A value is not of the form that the format demands.
    #[error("{name} is malformed: {why}")]
    Malformed {
        /// The entry's name.
        name: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// An algorithm that is not known, or not in this place.
    #[error("{name} names an unknown algorithm: {value:?}")]
    UnknownAlgorithm {
        /// The entry's name.
        name: &'static str,
        /// Its value, shortened.
        value: String,
    },
    /// The instruction file is no JSON object of strings, is too long, or has entries that don't belong into it.
    #[error("the instruction file is malformed: {0}")]
    InstructionFile(String),
    /// Names of entries differ in case alone.
    #[error("{0} is there twice")]
    Twice(String),
    /// The object's own metadata has names that belong to envelopes.
    #[error("the metadata entry {0} is reserved for envelopes")]
    Reserved(String),
    /// The envelope can't be written in this format, or into this place.
    #[error("the envelope can't be written: {0}")]
    Unwritable(&'static str),
}

/// Which setting forbids it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The suite for writing contradicts the commitment policy.
    #[error("the commitment policy {policy} does not allow to seal with {suite}")]
    Seal {
        /// The policy.
        policy: CommitmentPolicy,
        /// The suite.
        suite: ContentSuite,
    },
    /// The object's suite does not commit to its key, and the policy demands that.
    #[error(
        "the object is sealed with {suite}, which does not commit to its key: choose the commitment policy \
         RequireEncryptAllowDecrypt to open it"
    )]
    NotCommitting {
        /// The object's suite.
        suite: ContentSuite,
    },
    /// The object's content is not authenticated.
    #[error(
        "the object is sealed with {suite}, which authenticates nothing: enable legacy unauthenticated modes to open it"
    )]
    Unauthenticated {
        /// The object's suite.
        suite: ContentSuite,
    },
    /// A part of an object can't be authenticated.
    #[error(
        "a range of a sealed object can't be authenticated: read the object whole, or choose ranges by `FetchWhole` or, \
         without authentication, by `Unauthenticated`"
    )]
    Range,
    /// The suite can only be read.
    #[error("{0} can be read, not written")]
    ReadOnly(ContentSuite),
    /// What is asked for needs the key in the metadata, not in an instruction file.
    #[error("{0} can't be done with instruction files: two requests can't be one commit")]
    InstructionFile(&'static str),
}

/// Why a keyring did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// The KMS refused or did not answer.
    #[error("{0}")]
    Kms(#[from] KmsError),
    /// The wrapped key does not open: another key, or it was tampered with.
    #[error("it does not open with this key: it was wrapped with another one, or tampered with")]
    Unwrap,
    /// The keyring does not know this way of wrapping.
    #[error("this keyring does not open keys that are wrapped by {0}")]
    Unsupported(String),
    /// The way of wrapping is a legacy one and was not enabled.
    #[error("it is wrapped by the legacy algorithm {0}: enable legacy wrapping algorithms to open it")]
    Legacy(&'static str),
    /// The encryption context that was given is not the one that is stored with the object.
    #[error("the encryption context is not the one that the object was sealed with")]
    Context,
    /// The stored encryption context names another content algorithm than the envelope.
    #[error(
        "the encryption context says another content algorithm than the envelope: the envelope was tampered with"
    )]
    ContextAlgorithm,
    /// A name of the encryption context is the client's own.
    #[error("{0} is reserved in encryption contexts")]
    ReservedContext(&'static str),
    /// An encryption context was given where nothing would protect it.
    #[error("this keyring has no encryption context: describe its key by a materials description instead")]
    NoContext,
    /// The object's materials description is not this key's.
    #[error("the object's materials description is not this keyring's")]
    Description,
    /// The KMS key is in an account, or a partition, that the filter does not name.
    #[error("the KMS key {0} is not one that the discovery filter allows")]
    Filtered(String),
    /// The keyring can only unwrap, or only wrap.
    #[error("this keyring {0}")]
    OneWay(&'static str),
    /// The data key has not the length of the algorithm.
    #[error("the data key is {0} bytes long, not 32")]
    Length(usize),
    /// The key material can't be used.
    #[error("the key can't be used: {0}")]
    Key(&'static str),
    /// No keyring of several opened it.
    #[error("none of {} keyrings opened it: {}", .0.len(), .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    None(Vec<KeyringError>),
}

/// What a KMS answered instead of a key.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct KmsError {
    /// The service's error code, such as `DisabledException`; `Unreachable` if it did not answer.
    pub code: String,
    /// Its message.
    pub message: String,
}

impl KmsError {
    /// A KMS that did not answer.
    pub fn unreachable(error: impl std::fmt::Display) -> Self {
        Self { code: "Unreachable".to_owned(), message: error.to_string() }
    }
}
