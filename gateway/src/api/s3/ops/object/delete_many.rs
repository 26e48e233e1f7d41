//! DeleteObjects.

use futures_util::StreamExt;
use storage::catalog::{Bucket, Precondition};

use super::delete::{Deleted, delete, refuse_bypass_without_lock, refuse_condition_on_version};
use crate::api::record;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::permissions::versioned;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::request_document;
use crate::api::s3::response;
use crate::api::s3::target::parse_key;
use crate::api::s3::wire::delete::{DeleteResult, ObjectToDelete, parse};
use crate::api::s3::wire::time::{parse_http_date, parse_iso8601};
use crate::api::s3::wire::version;
use crate::app::App;
use crate::authz::Permit;
use crate::work;

/// The longest document: 1000 keys of 1024 bytes, escaped, with their elements.
const DOCUMENT_MAX_LEN: usize = 8 << 20;
/// How many objects are deleted at a time: their commits share a sync.
const AT_A_TIME: usize = 64;

/// `DeleteObjects`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>.
pub async fn delete_objects(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let document = request_document::read(&mut request, DOCUMENT_MAX_LEN).await?;
    let asked = work::compute(|| parse(&document)).await?;
    let bucket = permit.bucket();
    refuse_bypass_without_lock(bucket, &request)?;
    let request = &request;
    let deletions: Vec<_> =
        asked.objects.iter().map(|object| delete_one(app, request, bucket, object)).collect();
    let outcomes: Vec<Result<Deleted, S3Error>> =
        futures_util::stream::iter(deletions).buffered(AT_A_TIME).collect().await;
    let mut result = DeleteResult::new(asked.quiet);
    for (object, outcome) in asked.objects.iter().zip(outcomes) {
        let version = match &outcome {
            Ok(deleted) => deleted.version.as_deref().or(object.version_id.as_deref()),
            Err(_) => object.version_id.as_deref(),
        };
        record::deleted(&object.key, version, outcome.as_ref().err());
        match outcome {
            Ok(deleted) => result.deleted(object, deleted.version.as_deref().filter(|_| deleted.is_marker)),
            Err(error) => result.error(object, &error),
        }
    }
    Ok(response::xml(result.finish()))
}

async fn delete_one(
    app: &App,
    request: &S3Request,
    bucket: &Bucket,
    asked: &ObjectToDelete,
) -> Result<Deleted, S3Error> {
    work::pause().await;
    let object = parse_key(&asked.key)?;
    let which = version::parse(asked.version_id.as_deref()).map_err(|_| S3Error::new(Code::NoSuchVersion))?;
    let action = versioned("s3:DeleteObject", which);
    request.authorize(app, action, bucket, Some(&object), which).await?;
    if asked.etag.is_some() || asked.size.is_some() || asked.last_modified_time.is_some() {
        request.authorize(app, versioned("s3:GetObject", which), bucket, Some(&object), which).await?;
    }
    let authority = request.authority(app, bucket, &object, which).await?;
    let modified = |text: &str| {
        let at = parse_http_date(text).or_else(|| parse_iso8601(text).map(|at| at.unix_ms() / 1000));
        at.ok_or_else(|| S3Error::invalid_argument("Invalid LastModifiedTime", "LastModifiedTime", text))
    };
    let precondition = match (&asked.etag, asked.size, &asked.last_modified_time) {
        (None, None, None) => Precondition::None,
        (etag, plain_len, time) => Precondition::Like {
            etag: etag.clone(),
            plain_len,
            last_modified_s: time.as_deref().map(modified).transpose()?,
        },
    };
    refuse_condition_on_version(&precondition, which)?;
    delete(app, bucket, &object, which, &precondition, authority).await
}
