//! What each inner error is to a client. Every match is exhaustive: a new variant does not compile until it has a code.

use std::io::ErrorKind;

use kms_core::error::KmsError;
use storage::blob::BlobError;
use storage::catalog::{CatalogError, QuotaOf};
use storage::kv::KvError;
use storage::name::{NameError, ObjectKey};

use super::{Code, S3Error};
use crate::api::s3::wire::checksum;
use crate::auth::AuthError;
use crate::authz::{Denied, Refusal};
use crate::bucket::CorruptSetting;
use crate::http::body::BodyError;
use crate::http::header;
use crate::seal::OpenError;
use crate::sealed_kv::Unsealable;
use crate::sse::{INVALID_KEY, PlanError, SseError};
use crate::transfer::aws_chunked::ChunkedError;
use crate::transfer::egress::EgressError;
use crate::transfer::ingest::IngestError;
use crate::transfer::journal::ChangeError;
use crate::watch::Unseen;

impl From<CatalogError> for S3Error {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::NoSuchBucket => Code::NoSuchBucket.into(),
            CatalogError::BucketExists { .. } => Code::BucketAlreadyExists.into(),
            CatalogError::BucketNotEmpty => Code::BucketNotEmpty.into(),
            CatalogError::NoSuchKey => Code::NoSuchKey.into(),
            CatalogError::NoSuchVersion => Code::NoSuchVersion.into(),
            CatalogError::Locked => Self::new(Code::AccessDenied)
                .message("Access Denied because object protected by object lock."),
            CatalogError::NoSuchUpload => Code::NoSuchUpload.into(),
            CatalogError::InvalidPart(number) => {
                Self::new(Code::InvalidPart).field("PartNumber", number.to_string())
            }
            CatalogError::PartTooSmall { number, plain_len, etag } => Self::new(Code::EntityTooSmall)
                .field("ProposedSize", plain_len.to_string())
                .field("PartNumber", number.to_string())
                .field("ETag", etag),
            CatalogError::PreconditionFailed => Code::PreconditionFailed.into(),
            CatalogError::Contended => Code::OperationAborted.into(),
            CatalogError::QuotaExceeded(of) => Self::new(Code::QuotaExceeded).message(match of {
                QuotaOf::Bucket => {
                    "The bucket would hold more bytes than its quota. Delete objects, versions or unfinished uploads, or \
                     have its quota raised."
                }
                QuotaOf::Account => {
                    "The buckets of this account would hold more bytes than its quota. Delete objects, versions or \
                     unfinished uploads, or have the account's quota raised."
                }
            }),
            CatalogError::DocumentCount { .. } | CatalogError::Corrupt(_) => {
                Self::new(Code::InternalError).source(error)
            }
            CatalogError::Kv(error) => error.into(),
        }
    }
}

impl From<Unseen> for S3Error {
    fn from(error: Unseen) -> Self {
        Self::new(Code::ServiceUnavailable).source(error)
    }
}

impl From<ChangeError> for S3Error {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Catalog(error) => error.into(),
            ChangeError::Blob(error) => error.into(),
        }
    }
}

impl From<CorruptSetting> for S3Error {
    fn from(error: CorruptSetting) -> Self {
        Self::new(Code::InternalError).source(error)
    }
}

impl From<KvError> for S3Error {
    fn from(error: KvError) -> Self {
        let code = match &error {
            KvError::Conflict { .. } => Code::OperationAborted,
            KvError::Unavailable(_) => Code::ServiceUnavailable,
            KvError::Corrupt(_) | KvError::TooLarge { .. } => Code::InternalError,
        };
        Self::new(code).source(error)
    }
}

impl From<BlobError> for S3Error {
    fn from(error: BlobError) -> Self {
        let code = match &error {
            // A record that was read again still points at nothing.
            BlobError::NotFound(_) => Code::InternalError,
            // As AWS says it of itself: clients come again, and more slowly.
            BlobError::Unavailable(cause)
                if matches!(cause.kind(), ErrorKind::TimedOut | ErrorKind::HostUnreachable) =>
            {
                tracing::warn!(error = cause as &dyn std::error::Error, "the blob store does not serve");
                Code::SlowDown
            }
            BlobError::Unavailable(_) => Code::ServiceUnavailable,
            BlobError::Corrupt(..) => Code::InternalError,
        };
        Self::new(code).source(error)
    }
}

impl From<Unsealable> for S3Error {
    fn from(error: Unsealable) -> Self {
        Self::new(Code::InternalError).source(error)
    }
}

impl From<OpenError> for S3Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::WrongKey
            | OpenError::OtherSending
            | OpenError::Tampered { .. }
            | OpenError::Truncated => Self::new(Code::InternalError).source(error),
        }
    }
}

impl From<Refusal> for S3Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Denied(denied) => denied.into(),
            Refusal::Catalog(error) => error.into(),
            Refusal::Corrupt(error) => error.into(),
        }
    }
}

impl From<Denied> for S3Error {
    fn from(denied: Denied) -> Self {
        let error = Self::new(Code::AccessDenied).message(denied.message);
        match denied.encoded {
            Some(encoded) => error.header(header::AUTHORIZATION_MESSAGE, encoded),
            None => error,
        }
    }
}

impl From<NameError> for S3Error {
    fn from(error: NameError) -> Self {
        match error {
            NameError::Bucket => Code::InvalidBucketName.into(),
            NameError::EmptyObjectKey => Self::new(Code::InvalidArgument).message("An object key is needed."),
            NameError::ObjectKeyTooLong => {
                Self::new(Code::KeyTooLongError).field("MaxSizeAllowed", ObjectKey::MAX_LEN.to_string())
            }
            NameError::PartNumber => Self::new(Code::InvalidArgument)
                .message("Part number must be an integer between 1 and 10000, inclusive")
                .field("ArgumentName", "partNumber"),
            // The only ids that a client hands back are those of uploads; version ids have texts of their own.
            NameError::Id => Code::NoSuchUpload.into(),
        }
    }
}

impl From<BodyError> for S3Error {
    fn from(error: BodyError) -> Self {
        let code = match &error {
            BodyError::Broken(_) => Code::IncompleteBody,
            BodyError::TimedOut => Code::RequestTimeout,
        };
        Self::new(code).source(error)
    }
}

impl From<ChunkedError> for S3Error {
    fn from(error: ChunkedError) -> Self {
        match error {
            ChunkedError::Malformed(_) | ChunkedError::Incomplete => Self::new(Code::IncompleteBody)
                .message("The request body terminated unexpectedly")
                .source(error),
            ChunkedError::Trailer(_) => Self::new(Code::MalformedTrailerError).source(error),
            ChunkedError::SignatureDoesNotMatch => Self::new(Code::SignatureDoesNotMatch).source(error),
        }
    }
}

impl From<AuthError> for S3Error {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::InvalidAccessKeyId { access_key_id } => {
                Self::new(Code::InvalidAccessKeyId).field("AWSAccessKeyId", access_key_id)
            }
            AuthError::SignatureDoesNotMatch {
                access_key_id,
                string_to_sign,
                signature_provided,
                canonical_request,
            } => {
                let refused = Self::new(Code::SignatureDoesNotMatch)
                    .field("AWSAccessKeyId", access_key_id)
                    .field("StringToSignBytes", spaced_hex(&string_to_sign))
                    .field("StringToSign", string_to_sign)
                    .field("SignatureProvided", signature_provided);
                // Forms and version 2 have none.
                if canonical_request.is_empty() {
                    return refused;
                }
                refused
                    .field("CanonicalRequestBytes", spaced_hex(&canonical_request))
                    .field("CanonicalRequest", canonical_request)
            }
            AuthError::RequestTimeTooSkewed { request_time, server_time } => {
                Self::new(Code::RequestTimeTooSkewed)
                    .field("RequestTime", request_time)
                    .field("ServerTime", server_time)
                    .field("MaxAllowedSkewMilliseconds", "900000")
            }
            AuthError::Expired { expires_s, expired_at, server_time } => {
                let refused = Self::new(Code::AccessDenied).message("Request has expired");
                let refused = match expires_s {
                    Some(expires_s) => refused.field("X-Amz-Expires", expires_s.to_string()),
                    None => refused,
                };
                refused.field("Expires", expired_at).field("ServerTime", server_time)
            }
            AuthError::AuthorizationHeaderMalformed { message, region } => {
                let error = Self::new(Code::AuthorizationHeaderMalformed).message(message);
                match region {
                    Some(region) => error.field("Region", region),
                    None => error,
                }
            }
            AuthError::QueryParametersError(message) => {
                Self::new(Code::AuthorizationQueryParametersError).message(message)
            }
            AuthError::HeadersNotSigned { headers } => Self::new(Code::AccessDenied)
                .message("There were headers present in the request which were not signed")
                .field("HeadersNotSigned", headers),
            AuthError::InvalidArgument { message, name, value } => {
                Self::invalid_argument(message, name, value)
            }
            AuthError::AccessDenied(message) => Self::new(Code::AccessDenied).message(message),
            AuthError::InvalidRequest(message) => Self::invalid_request(message),
            AuthError::InvalidToken => Code::InvalidToken.into(),
            AuthError::ExpiredToken => Code::ExpiredToken.into(),
            AuthError::AccountProblem => Code::AccountProblem.into(),
            AuthError::TooManyFailures => Code::SlowDown.into(),
            AuthError::NotImplemented(message) => Self::new(Code::NotImplemented).message(message),
        }
    }
}

/// A body of another length than was announced, in plain bytes. What there was is told unless it was not counted to the end.
pub fn incomplete_body(announced_len: u64, len: Option<u64>) -> S3Error {
    let refused = S3Error::new(Code::IncompleteBody).field("NumberBytesExpected", announced_len.to_string());
    match len {
        Some(len) => refused.field("NumberBytesProvided", len.to_string()),
        None => refused,
    }
}

/// How AWS shows the bytes that it signed: pairs of hexadecimal digits with spaces between.
fn spaced_hex(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        out.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
    }
    out
}

impl From<IngestError> for S3Error {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Body(error) => error.into(),
            IngestError::Chunked(error) => error.into(),
            IngestError::Blob(error) => error.into(),
            IngestError::Length { announced_len_plain, len_plain } => {
                incomplete_body(announced_len_plain, len_plain)
            }
            IngestError::TooLong { max_len_plain, len_plain } => {
                let refused = Self::new(Code::EntityTooLarge);
                let refused = match len_plain {
                    Some(len_plain) => refused.field("ProposedSize", len_plain.to_string()),
                    None => refused,
                };
                refused.field("MaxSizeAllowed", max_len_plain.to_string())
            }
            IngestError::TooShort { len_plain, min_len_plain } => Self::new(Code::EntityTooSmall)
                .field("ProposedSize", len_plain.to_string())
                .field("MinSizeAllowed", min_len_plain.to_string()),
            // A form that breaks off in its file.
            IngestError::Source(source) if source.is::<multer::Error>() => Code::MalformedPostRequest.into(),
            IngestError::PayloadHash { claimed, computed } => Self::new(Code::XAmzContentSha256Mismatch)
                .field("ClientComputedContentSHA256", hex::encode(claimed))
                .field("S3ComputedContentSHA256", hex::encode(computed)),
            IngestError::Md5 { claimed, computed } => checksum::md5_mismatch(hex::encode(claimed), &computed),
            IngestError::Checksum(algorithm) => checksum::mismatch(algorithm),
            IngestError::Trailer(algorithm) => {
                Self::invalid_request(format!("Value for {} trailing header is invalid.", algorithm.header()))
            }
            IngestError::Trailers => Code::MalformedTrailerError.into(),
            IngestError::Source(_) | IngestError::Worker(_) | IngestError::Md5Worker(_) => {
                Self::new(Code::InternalError).source(error)
            }
        }
    }
}

impl From<EgressError> for S3Error {
    fn from(error: EgressError) -> Self {
        match error {
            EgressError::Blob(error) => error.into(),
            EgressError::Catalog(error) => error.into(),
            EgressError::Open { .. } | EgressError::MissingPart => {
                Self::new(Code::InternalError).source(error)
            }
        }
    }
}

impl From<PlanError> for S3Error {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::InvalidArgument { message, name, value } => {
                Self::invalid_argument(message, name.as_str(), value)
            }
            PlanError::CustomerAlgorithm(given) => Self::new(Code::InvalidEncryptionAlgorithmError)
                .field("ArgumentName", header::SSE.as_str())
                .field("ArgumentValue", given),
            PlanError::CustomerMd5Missing => {
                Self::invalid_argument(INVALID_KEY, header::SSE.as_str(), "null")
            }
            PlanError::InvalidRequest(message) => Self::invalid_request(message),
            PlanError::CustomerKeysBlocked => Code::AccessDenied.into(),
            PlanError::CorruptDefault => Self::new(Code::InternalError).source(error),
        }
    }
}

impl From<SseError> for S3Error {
    fn from(error: SseError) -> Self {
        match error {
            SseError::CustomerKeyMissing => Self::invalid_request(
                "The object was stored using a form of Server Side Encryption. The correct parameters must be \
                 provided to retrieve the object.",
            ),
            SseError::NotCustomerEncrypted => {
                Self::invalid_request("The encryption parameters are not applicable to this object.")
            }
            SseError::WrongCustomerKey => Self::new(Code::AccessDenied).message(
                "Requests specifying Server Side Encryption with Customer provided keys must provide the correct secret key.",
            ),
            SseError::Kms(error) => error.into(),
            SseError::Tampered => Self::new(Code::InternalError).source(error),
        }
    }
}

impl From<KmsError> for S3Error {
    fn from(error: KmsError) -> Self {
        let code = match &error {
            KmsError::NotFound(_) => Code::KmsNotFound,
            KmsError::Disabled { .. } => Code::KmsDisabled,
            KmsError::InvalidState(_) => Code::KmsInvalidState,
            KmsError::InvalidKeyUsage(_) => Code::KmsInvalidKeyUsage,
            KmsError::InvalidArn(_) => Code::KmsInvalidArn,
            KmsError::AccessDenied(_) => Code::AccessDenied,
            KmsError::InvalidCiphertext => Code::KmsInvalidCiphertext,
            KmsError::IncorrectKey => Code::KmsIncorrectKey,
            KmsError::Validation(_) => Code::KmsValidation,
            KmsError::AlreadyExists(_) => Code::KmsAlreadyExists,
            KmsError::InvalidAliasName(_) => Code::KmsInvalidAliasName,
            KmsError::InvalidMarker(_) => Code::KmsInvalidMarker,
            KmsError::MalformedPolicyDocument(_) => Code::KmsMalformedPolicyDocument,
            KmsError::LimitExceeded(_) => Code::KmsLimitExceeded,
            KmsError::Tag(_) => Code::KmsTag,
            KmsError::Conflict(_) => Code::KmsConflict,
            KmsError::InvalidGrantId(_) => Code::KmsInvalidGrantId,
            KmsError::InvalidGrantToken(_) => Code::KmsInvalidGrantToken,
            KmsError::InvalidImportToken(_) => Code::KmsInvalidImportToken,
            KmsError::ExpiredImportToken(_) => Code::KmsExpiredImportToken,
            KmsError::IncorrectKeyMaterial(_) => Code::KmsIncorrectKeyMaterial,
            KmsError::UnsupportedOperation(_) => Code::KmsUnsupportedOperation,
            KmsError::DryRun => Code::KmsDryRun,
            KmsError::Unavailable(_) => Code::ServiceUnavailable,
            // S3 signs nothing.
            KmsError::InvalidSignature
            | KmsError::InvalidMac
            | KmsError::Contended
            | KmsError::Internal(_) => Code::KmsInternal,
        };
        let message = error.to_string();
        let answer = Self::new(code).source(error);
        if message.is_empty() { answer } else { answer.message(message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kms_refusals_keep_their_names_and_texts() {
        let error = KmsError::Disabled { arn: "arn:aws:kms:us-east-1:1:key/x".to_owned() };
        let name = error.name();
        let answer = S3Error::from(error);
        assert_eq!(answer.code.name(), format!("KMS.{name}"));
        assert_eq!(answer.client_message(), "arn:aws:kms:us-east-1:1:key/x is disabled.");
        let answer = S3Error::from(KmsError::AccessDenied("User: x is not authorized".to_owned()));
        assert_eq!((answer.code, answer.status().as_u16()), (Code::AccessDenied, 403));
        assert_eq!(answer.client_message(), "User: x is not authorized");
    }

    #[test]
    fn storage_failures_are_server_errors_with_a_cause() {
        let answer = S3Error::from(CatalogError::Kv(KvError::Unavailable("disk full".into())));
        assert_eq!(answer.status(), 503);
        assert!(answer.source.is_some());
        assert!(!answer.client_message().contains("disk"));
    }

    #[test]
    fn signed_bytes_are_shown_in_hexadecimal() {
        assert_eq!(spaced_hex("AW\n"), "41 57 0a");
    }
}
