//! PutBucketAcl, GetBucketAcl.

use super::set;
use crate::api::s3::error::S3Error;
use crate::api::s3::ops::object::properties::asked_acl;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::wire::acl;
use crate::app::App;
use crate::authz::Permit;
use crate::bucket::{Acl, OwnershipControls, Setting};

/// `PutBucketAcl`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketAcl.html>.
pub async fn put_bucket_acl(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let acl = asked_acl(app, bucket, &app.owner_of(bucket), &mut request).await?;
    set(app, bucket, &acl).await?;
    Ok(response::empty())
}

/// `GetBucketAcl`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketAcl.html>.
pub async fn get_bucket_acl(app: &App, permit: Permit, _request: S3Request) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let owner = app.owner_of(bucket);
    let stored = if OwnershipControls::has_acls(bucket)? { Acl::of(bucket)? } else { None };
    let acl = stored.unwrap_or_else(|| Acl::private(&acl::grantee(&owner)));
    Ok(response::xml(acl::write(&acl, &owner)))
}
