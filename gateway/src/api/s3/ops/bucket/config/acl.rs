//! PutBucketAcl, GetBucketAcl.

use storage::catalog::Bucket;

use super::set;
use crate::api::s3::document;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::ops::object::extras::check_public;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::wire::acl;
use crate::app::App;
use crate::authz::Permit;
use crate::bucket::{Acl, Ownership, OwnershipControls, Setting};

/// Refuses where ACLs are off.
pub fn expect_acls(bucket: &Bucket) -> Result<(), S3Error> {
    let ownership =
        OwnershipControls::of(bucket)?.map_or(Ownership::BucketOwnerEnforced, OwnershipControls::ownership);
    match ownership {
        Ownership::BucketOwnerEnforced => Err(Code::AccessControlListNotSupported.into()),
        Ownership::BucketOwnerPreferred | Ownership::ObjectWriter => Ok(()),
    }
}

/// `PutBucketAcl`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketAcl.html>.
pub async fn put_bucket_acl(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    expect_acls(bucket)?;
    let owner = app.accounts.root();
    let body = document::read(&mut request, document::CONFIG_MAX_LEN).await?;
    let acl = match (acl::of_headers(&request.headers, owner)?, body.is_empty()) {
        (Some(acl), true) => acl,
        (None, false) => acl::parse(&body, owner)?,
        (Some(_), false) => return Err(Code::UnexpectedContent.into()),
        (None, true) => return Err(Code::MissingSecurityHeader.into()),
    };
    check_public(bucket, &acl)?;
    set(app, bucket, &acl).await?;
    Ok(response::empty())
}

/// `GetBucketAcl`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketAcl.html>.
pub async fn get_bucket_acl(app: &App, permit: Permit, _request: S3Request) -> Result<S3Response, S3Error> {
    let owner = app.accounts.root();
    let acl = Acl::of(permit.bucket())?.unwrap_or_else(|| Acl::private(&acl::grantee(owner)));
    Ok(response::xml(acl::write(&acl, owner)))
}
