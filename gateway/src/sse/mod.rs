//! Which key: the plan (request over bucket default), and the envelope that keeps a version's ContentKeys wrapped.

use std::sync::Arc;

use bytes::Bytes;
use kms_core::context::EncryptionContext;
use kms_core::error::KmsError;
use kms_core::kms::{Caller, Kms};
use kms_core::secret::Secret32;
use storage::name::{BucketId, BucketName, ObjectKey, VersionId};

use crate::seal::ContentKeys;

/// How an object is to be encrypted: the request's headers over the bucket's default over SSE-S3.
#[derive(Debug)]
pub enum SsePlan {
    /// SSE-S3 (`AES256`).
    S3,
    /// SSE-KMS (`aws:kms`, or `aws:kms:dsse` with `dsse`).
    Kms {
        /// Key id, key ARN, alias name or alias ARN as given; `None`: the AWS managed key.
        key_id: Option<String>,
        /// The caller's encryption context, without what the gateway adds.
        context: EncryptionContext,
        /// Use the bucket-level key.
        bucket_key: bool,
        /// Two independent layers.
        dsse: bool,
    },
    /// SSE-C.
    Customer(CustomerKey),
}

/// A caller's key, as its three headers gave it, checked against its MD5.
#[derive(Debug)]
pub struct CustomerKey {
    /// The key.
    pub secret: Secret32,
    /// Base64 of its MD5, echoed in answers; never stored.
    pub md5_base64: String,
}

/// What an envelope tells of itself without any key: for response headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SseInfo {
    /// SSE-S3.
    S3,
    /// SSE-KMS.
    Kms {
        /// ARN of the key.
        key_arn: String,
        /// The caller's context in its wire form (base64 JSON), where one was given.
        context_base64: Option<String>,
        /// The bucket-level key was used.
        bucket_key: bool,
        /// Two layers.
        dsse: bool,
    },
    /// SSE-C.
    Customer,
}

impl SseInfo {
    /// How many layers seal the content.
    pub fn layers(&self) -> usize {
        match self {
            Self::Kms { dsse: true, .. } => 2,
            _ => 1,
        }
    }

    /// Is the ETag the MD5 of the plain bytes? (SSE-S3 only.)
    pub fn etag_is_md5(&self) -> bool {
        matches!(self, Self::S3)
    }
}

/// The place that an envelope is bound to.
#[derive(Debug, Clone, Copy)]
pub struct EnvelopePlace<'a> {
    /// The bucket's identity: what the wrap is bound to.
    pub bucket: BucketId,
    /// The version that the content is sealed for.
    pub version: VersionId,
    /// The bucket's name, for `aws:s3:arn`.
    pub bucket_name: &'a BucketName,
    /// The object, for `aws:s3:arn`.
    pub object: &'a ObjectKey,
}

/// Why there is no ContentKey.
#[derive(Debug, thiserror::Error)]
pub enum SseError {
    /// The object is under SSE-C and no key was given: 400 InvalidRequest.
    #[error("the object was stored using a form of SSE-C and no key was given")]
    CustomerKeyMissing,
    /// A customer key was given for an object that has none: 400 InvalidRequest.
    #[error("the encryption parameters are not applicable to this object")]
    NotCustomerEncrypted,
    /// Another customer key than the object's: 403 AccessDenied.
    #[error("the provided encryption key is not the object's")]
    WrongCustomerKey,
    /// KMS refused: `KMS.` + its exception, but AccessDenied as AccessDenied.
    #[error(transparent)]
    Kms(#[from] KmsError),
    /// The envelope was tampered with or belongs elsewhere: 500.
    #[error("an envelope does not open")]
    Tampered,
}

/// Makes and opens envelopes.
pub struct Sse {
    #[allow(dead_code)]
    kms: Arc<Kms>,
    #[allow(dead_code)]
    region: String,
}

impl Sse {
    /// Over this KMS.
    pub fn new(kms: Arc<Kms>, region: String) -> Self {
        Self { kms, region }
    }

    /// New ContentKeys for a version and the envelope that keeps them. SSE-KMS asks KMS as `caller`
    /// (its `via_service` is set here).
    pub fn create(
        &self,
        plan: &SsePlan,
        place: EnvelopePlace<'_>,
        caller: &Caller,
    ) -> Result<(Bytes, ContentKeys), SseError> {
        let _ = (plan, place, caller);
        unimplemented!()
    }

    /// The ContentKeys of a version.
    pub fn open(
        &self,
        envelope: &[u8],
        place: EnvelopePlace<'_>,
        customer: Option<&CustomerKey>,
        caller: &Caller,
    ) -> Result<ContentKeys, SseError> {
        let _ = (envelope, place, customer, caller);
        unimplemented!()
    }

    /// The same ContentKeys under another plan of the same number of layers: moves no data.
    #[allow(clippy::too_many_arguments)]
    pub fn rewrap(
        &self,
        keys: &ContentKeys,
        plan: &SsePlan,
        place: EnvelopePlace<'_>,
        caller: &Caller,
    ) -> Result<Bytes, SseError> {
        let _ = (keys, plan, place, caller);
        unimplemented!()
    }

    /// What an envelope tells without any key.
    pub fn info(envelope: &[u8]) -> Result<SseInfo, SseError> {
        let _ = envelope;
        unimplemented!()
    }
}
