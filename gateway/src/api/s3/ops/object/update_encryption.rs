//! UpdateObjectEncryption.

use super::{lookup, rewrap};
use crate::api::s3::error::S3Error;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::request_document;
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
    let body = request_document::read_config(&mut request).await?;
    let wanted = encryption::parse_object(&body)?;
    let (bucket, object) = (permit.bucket(), request.object()?);
    let found = lookup::find(app, bucket, object, request.version).await?;
    let context = match &found.sse {
        SseInfo::S3 | SseInfo::Kms { dsse: false, .. } => rewrap::given_context(&found.sse)?,
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
    rewrap::put((app, app.records()), bucket, object, &found, &plan, &request.kms_caller()).await?;
    Ok(response::empty())
}
