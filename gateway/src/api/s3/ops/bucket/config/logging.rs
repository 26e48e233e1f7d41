//! PutBucketLogging and GetBucketLogging.

use storage::catalog::CatalogError;
use storage::name::{BucketName, ObjectKey};

use super::{set, unset};
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::log_delivery;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::request_document;
use crate::api::s3::response;
use crate::api::s3::wire::{acl, logging};
use crate::app::App;
use crate::authz::Permit;
use crate::bucket::{Logging, OwnershipControls, Setting};
use crate::observe::bucket_log;

/// How much of an object's name is made behind the prefix, at the most: account, region, bucket, day, time.
const NAME_LEN: usize = 192;

/// `PutBucketLogging`: an empty document turns logging off.
pub async fn put_bucket_logging(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let body = request_document::read_config(&mut request).await?;
    let bucket = permit.bucket();
    let owner = app.owner_of(bucket);
    let accounts = acl::Accounts { owner: &owner, bucket_owner: &owner, all: &app.iam.state() };
    let Some(logging) = logging::parse(&body, accounts)? else {
        unset::<Logging>(app, bucket).await?;
        return Ok(response::empty());
    };
    if logging.target_prefix.len() > ObjectKey::MAX_LEN - NAME_LEN {
        let message = format!("The target prefix has more than {} bytes", ObjectKey::MAX_LEN - NAME_LEN);
        return Err(S3Error::invalid_argument(message, "TargetPrefix", logging.target_prefix));
    }
    let absent = || {
        S3Error::new(Code::InvalidTargetBucketForLogging)
            .message("The target bucket for logging does not exist")
            .field("TargetBucket", logging.target_bucket.as_str())
    };
    let name = BucketName::parse(&logging.target_bucket).map_err(|_| absent())?;
    let target = match app.catalog.bucket(&name).await {
        Err(CatalogError::NoSuchBucket) => return Err(absent()),
        found => found?,
    };
    log_delivery::check_target(&bucket.owner, &bucket.region, &target)?;
    if !logging.target_grants.is_empty() && !OwnershipControls::has_acls(&target)? {
        let error = S3Error::new(Code::AccessControlListNotSupported);
        return Err(error.message("Target grants not allowed for bucket owner enforced buckets"));
    }
    log_delivery::check_access(app, bucket, &target).await?;
    set(app, bucket, &logging).await?;
    bucket_log::is_needed_from_now();
    Ok(response::empty())
}

/// `GetBucketLogging`: an empty document where logging is off.
pub async fn get_bucket_logging(
    _app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    Ok(response::xml(logging::write(Logging::of(permit.bucket())?.as_ref())))
}
