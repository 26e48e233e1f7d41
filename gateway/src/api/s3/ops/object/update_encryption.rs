//! UpdateObjectEncryption.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use storage::catalog::Precondition;

use super::copy::replace;
use super::found;
use crate::api::s3::document;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::wire::encryption;
use crate::app::App;
use crate::authz::Permit;
use crate::sse::{SseInfo, SsePlan};

/// `UpdateObjectEncryption`: another KMS key for an object, whatever its size, by rewrapping its key alone. ETag, metadata and
/// Last-Modified stay. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_UpdateObjectEncryption.html>.
pub async fn update_object_encryption(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let body = document::read_config(&mut request).await?;
    let wanted = encryption::parse_object(&body)?;
    let (bucket, object) = (permit.bucket(), request.object()?);
    let found = found::find(app, bucket, object).await?;
    let context = match &found.sse {
        SseInfo::S3 => BTreeMap::new(),
        SseInfo::Kms { dsse: false, context_base64, .. } => given_context(context_base64.as_deref())?,
        SseInfo::Kms { .. } | SseInfo::Customer => {
            return Err(S3Error::invalid_request(
                "The encryption type of this object can't be updated: only objects with SSE-S3 or SSE-KMS can.",
            ));
        }
    };
    let plan = SsePlan::Kms {
        key_id: Some(wanted.key_arn),
        context: context.into_iter().collect(),
        bucket_key: wanted.bucket_key_enabled,
        dsse: false,
    };
    let caller = request.kms_caller();
    let keys = found.open(app, &request, bucket, object, None)?;
    let mut record = found.record.clone();
    record.envelope = app.sse.rewrap(&keys, &plan, found.place(bucket, object), &caller)?;
    replace(app, bucket, object, &found, record, found.last_modified, &Precondition::default()).await?;
    Ok(response::empty())
}

/// The caller's encryption context as it was given when the object was written; it stays.
fn given_context(base64: Option<&str>) -> Result<BTreeMap<String, String>, S3Error> {
    let Some(base64) = base64 else { return Ok(BTreeMap::new()) };
    let decoded = STANDARD.decode(base64).ok().and_then(|json| serde_json::from_slice(&json).ok());
    decoded.ok_or_else(|| S3Error::new(Code::InternalError).source("a stored encryption context is corrupt"))
}
