//! Ownership controls and the block of public access.

use super::set;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::request_document;
use crate::api::s3::response;
use crate::api::s3::wire::acl;
use crate::app::App;
use crate::authz::Permit;
use crate::bucket::{Acl, Ownership, OwnershipControls, PublicAccessBlock, Setting};

/// `PutBucketOwnershipControls`: ACLs that grant something to others stand in the way of turning ACLs off.
pub async fn put_bucket_ownership_controls(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let body = request_document::read_config(&mut request).await?;
    let ownership = acl::parse_ownership(&body)?;
    let own = Acl::private(&acl::grantee(&app.owner_of(permit.bucket())));
    let others = Acl::of(permit.bucket())?.is_some_and(|acl| acl != own);
    if ownership == Ownership::BucketOwnerEnforced && others && OwnershipControls::has_acls(permit.bucket())?
    {
        return Err(Code::InvalidBucketAclWithObjectOwnership.into());
    }
    set(app, permit.bucket(), &OwnershipControls(Some(ownership))).await?;
    Ok(response::empty())
}

/// `GetBucketOwnershipControls`: what a new bucket has until something is set.
pub async fn get_bucket_ownership_controls(
    _app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let controls =
        OwnershipControls::of(bucket)?.unwrap_or(OwnershipControls(Some(Ownership::BucketOwnerEnforced)));
    let absent =
        || S3Error::new(Code::OwnershipControlsNotFoundError).field("BucketName", bucket.name.as_str());
    Ok(response::xml(acl::write_ownership(controls.0.ok_or_else(absent)?)))
}

/// `DeleteBucketOwnershipControls`.
pub async fn delete_bucket_ownership_controls(
    app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    set(app, permit.bucket(), &OwnershipControls(None)).await?;
    Ok(response::no_content())
}

/// `PutPublicAccessBlock`.
pub async fn put_public_access_block(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let body = request_document::read_config(&mut request).await?;
    set(app, permit.bucket(), &acl::parse_public_access_block(&body)?).await?;
    Ok(response::empty())
}

/// `GetPublicAccessBlock`: what a new bucket has until something is set.
pub async fn get_public_access_block(
    _app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let block = match PublicAccessBlock::of(bucket)? {
        None => PublicAccessBlock::ALL,
        Some(block) if block.removed => {
            let absent = S3Error::new(Code::NoSuchPublicAccessBlockConfiguration);
            return Err(absent.field("BucketName", bucket.name.as_str()));
        }
        Some(block) => block,
    };
    Ok(response::xml(acl::write_public_access_block(&block)))
}

/// `DeletePublicAccessBlock`.
pub async fn delete_public_access_block(
    app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    set(app, permit.bucket(), &PublicAccessBlock::REMOVED).await?;
    Ok(response::no_content())
}
