//! DeleteObjects.

use futures_util::StreamExt;
use storage::catalog::{Bucket, Precondition};

use super::write::write_error;
use crate::api::s3::document;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::target::parse_key;
use crate::api::s3::wire::delete::{DeleteResult, ObjectToDelete, parse};
use crate::api::s3::wire::etag;
use crate::app::App;
use crate::authz::Permit;

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
    let document = document::read(&mut request, DOCUMENT_MAX_LEN).await?;
    let asked = parse(&document)?;
    let bucket = permit.bucket();
    let deletions: Vec<_> = asked.objects.iter().map(|object| delete_one(app, bucket, object)).collect();
    let outcomes: Vec<Result<(), S3Error>> =
        futures_util::stream::iter(deletions).buffered(AT_A_TIME).collect().await;
    let mut result = DeleteResult::new(asked.quiet);
    for (object, outcome) in asked.objects.iter().zip(outcomes) {
        match outcome {
            Ok(()) => result.deleted(object),
            Err(error) => result.error(object, &error),
        }
    }
    Ok(response::xml(result.finish()))
}

async fn delete_one(app: &App, bucket: &Bucket, asked: &ObjectToDelete) -> Result<(), S3Error> {
    let object = parse_key(&asked.key)?;
    if asked.version_id.as_deref().is_some_and(|version| version != "null") {
        return Err(S3Error::new(Code::NoSuchVersion));
    }
    if asked.last_modified_time.is_some() || asked.size.is_some() {
        return Err(S3Error::not_implemented("A condition on size or time in DeleteObjects"));
    }
    let precondition = match &asked.etag {
        None => Precondition::None,
        Some(tag) => Precondition::Etag(etag::bare(tag).to_owned()),
    };
    app.catalog
        .delete_current(bucket, &object, &precondition)
        .await
        .map(drop)
        .map_err(|error| write_error(error, &precondition))
}
