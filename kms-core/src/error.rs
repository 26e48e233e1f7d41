//! What KMS answers when it refuses: one variant per modelled exception, with AWS's text.

/// A refusal. `Display` is the message a client sees; [`KmsError::name`] is the exception's name on the wire.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KmsError {
    /// The key, alias or other resource does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Another gateway changed the keys meanwhile, and nothing was done: the operation is to be run again ([`rerun`](crate::kms::rerun)).
    #[error("The keys were changed by another request at the same time. Try again.")]
    Contended,
    /// The key is disabled.
    #[error("{arn} is disabled.")]
    Disabled {
        /// The key's ARN.
        arn: String,
    },
    /// The key's state does not allow the operation.
    #[error("{0}")]
    InvalidState(String),
    /// The key's usage does not fit the operation.
    #[error("{0}")]
    InvalidKeyUsage(String),
    /// An ARN or principal is malformed.
    #[error("{0}")]
    InvalidArn(String),
    /// The caller may not; the text names caller, action, resource and why.
    #[error("{0}")]
    AccessDenied(String),
    /// The ciphertext was not made by this key with this context. Says nothing more.
    #[error("")]
    InvalidCiphertext,
    /// A signature is not that of the message.
    #[error("")]
    InvalidSignature,
    /// An HMAC is not that of the message.
    #[error("")]
    InvalidMac,
    /// The ciphertext was made by another key than the one named.
    #[error("The key ID in the request does not identify a CMK that can perform this operation.")]
    IncorrectKey,
    /// A parameter is malformed.
    #[error("{0}")]
    Validation(String),
    /// An alias of this name exists.
    #[error("{0}")]
    AlreadyExists(String),
    /// An alias name is malformed or reserved.
    #[error("{0}")]
    InvalidAliasName(String),
    /// A marker is not one we gave.
    #[error("{0}")]
    InvalidMarker(String),
    /// A key policy is malformed or would lock its author out.
    #[error("{0}")]
    MalformedPolicyDocument(String),
    /// A grant id is not one of ours.
    #[error("{0}")]
    InvalidGrantId(String),
    /// A grant token is not one of ours.
    #[error("{0}")]
    InvalidGrantToken(String),
    /// An import token is not one of ours, or not for this key.
    #[error("{0}")]
    InvalidImportToken(String),
    /// An import token is older than a day.
    #[error("{0}")]
    ExpiredImportToken(String),
    /// Other key material than the key had.
    #[error("{0}")]
    IncorrectKeyMaterial(String),
    /// Another operation on the key stands in the way.
    #[error("{0}")]
    Conflict(String),
    /// A quota is exhausted.
    #[error("{0}")]
    LimitExceeded(String),
    /// A tag is malformed.
    #[error("{0}")]
    Tag(String),
    /// Not supported for this key, or at all.
    #[error("{0}")]
    UnsupportedOperation(String),
    /// The request would have succeeded, but for `DryRun`.
    #[error("The request would have succeeded, but the DryRun option is set.")]
    DryRun,
    /// A store that several gateways share can't be asked now, or it is not known whether it took a change: what is true is read again
    /// before the next operation. The cause is logged, not answered.
    #[error("The system timed out while trying to fulfill the request. You can retry the request.")]
    Unavailable(String),
    /// The store or the root of trust can't serve now. The cause is logged, not answered.
    #[error("The request was rejected because an internal exception occurred. The request can be retried.")]
    Internal(String),
}

impl KmsError {
    /// A number that is not in its range.
    pub(crate) fn out_of_range(member: &str, number: u64, range: std::ops::RangeInclusive<u64>) -> Self {
        let bound = match number > *range.end() {
            true => format!("less than or equal to {}", range.end()),
            false => format!("greater than or equal to {}", range.start()),
        };
        Self::Validation(format!(
            "1 validation error detected: Value '{number}' at '{member}' failed to satisfy constraint: Member must have value {bound}"
        ))
    }

    /// Bytes that are none, or more than `max`.
    pub(crate) fn too_long(member: &str, len: usize, max: usize) -> Self {
        let bound = match len {
            0 => "greater than or equal to 1".to_owned(),
            _ => format!("less than or equal to {max}"),
        };
        Self::Validation(format!(
            "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must have length {bound}"
        ))
    }

    /// The exception's name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "NotFoundException",
            Self::Disabled { .. } => "DisabledException",
            Self::InvalidState(_) => "KMSInvalidStateException",
            Self::InvalidKeyUsage(_) => "InvalidKeyUsageException",
            Self::InvalidArn(_) => "InvalidArnException",
            Self::AccessDenied(_) => "AccessDeniedException",
            Self::InvalidCiphertext => "InvalidCiphertextException",
            Self::InvalidSignature => "KMSInvalidSignatureException",
            Self::InvalidMac => "KMSInvalidMacException",
            Self::IncorrectKey => "IncorrectKeyException",
            Self::Validation(_) => "ValidationException",
            Self::AlreadyExists(_) => "AlreadyExistsException",
            Self::InvalidAliasName(_) => "InvalidAliasNameException",
            Self::InvalidMarker(_) => "InvalidMarkerException",
            Self::MalformedPolicyDocument(_) => "MalformedPolicyDocumentException",
            Self::InvalidGrantId(_) => "InvalidGrantIdException",
            Self::InvalidGrantToken(_) => "InvalidGrantTokenException",
            Self::InvalidImportToken(_) => "InvalidImportTokenException",
            Self::ExpiredImportToken(_) => "ExpiredImportTokenException",
            Self::IncorrectKeyMaterial(_) => "IncorrectKeyMaterialException",
            Self::Conflict(_) => "ConflictException",
            Self::LimitExceeded(_) => "LimitExceededException",
            Self::Tag(_) => "TagException",
            Self::UnsupportedOperation(_) => "UnsupportedOperationException",
            Self::DryRun => "DryRunOperationException",
            Self::Unavailable(_) => "DependencyTimeoutException",
            Self::Internal(_) | Self::Contended => "KMSInternalException",
        }
    }
}
