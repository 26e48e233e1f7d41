//! PutObjectAcl, GetObjectAcl.

use storage::catalog::Authority;

use super::lookup;
use super::properties::{asked_acl, encode, owner};
use super::record_change::change;
use crate::api::s3::error::S3Error;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::wire::{acl, version};
use crate::app::App;
use crate::authz::{ACL_ATTRIBUTE, Permit};
use crate::bucket::{Acl, CorruptSetting, OwnershipControls};

/// `PutObjectAcl`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectAcl.html>.
pub async fn put_object_acl(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let found = lookup::find(app, bucket, request.object()?, request.version).await;
    let found = found.map_err(lookup::seeing_marker)?;
    let owner = owner(app, bucket, &found.record.attributes)?;
    let acl = asked_acl(app, bucket, &owner, &mut request).await?;
    let changed = change(app, bucket, request.object()?, request.version, Authority::usual(), |record| {
        record.attributes.insert(ACL_ATTRIBUTE.to_owned(), encode(&acl));
        Ok(())
    });
    let changed = changed.await.map_err(lookup::seeing_marker)?;
    let mut response = response::empty();
    version::write_header(bucket, changed.version, changed.is_null, response.headers_mut());
    Ok(response)
}

/// `GetObjectAcl`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAcl.html>.
pub async fn get_object_acl(app: &App, permit: Permit, request: S3Request) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let found = lookup::find(app, bucket, request.object()?, request.version).await?;
    let owner = owner(app, bucket, &found.record.attributes)?;
    let stored = found.record.attributes.get(ACL_ATTRIBUTE);
    let acl: Acl = match stored {
        Some(stored) if OwnershipControls::has_acls(bucket)? => {
            serde_json::from_slice(stored).map_err(|_| CorruptSetting(ACL_ATTRIBUTE))?
        }
        _ => Acl::private(&acl::grantee(&owner)),
    };
    let mut response = response::xml(acl::write(&acl, &owner));
    version::write_header(bucket, found.version, found.is_null, response.headers_mut());
    Ok(response)
}
