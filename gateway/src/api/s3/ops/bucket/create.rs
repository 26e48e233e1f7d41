//! CreateBucket.

use http::{HeaderMap, HeaderValue, header};
use storage::catalog::{Bucket, CatalogError, Versioning};
use storage::name::{BucketId, Timestamp};

use super::with_journal;
use crate::api::minio::RESERVED_BUCKET;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::request_document;
use crate::api::s3::response;
use crate::api::s3::wire::{acl, location};
use crate::app::App;
use crate::authz::Permit;
use crate::bucket::{Acl, ObjectLock, Ownership, OwnershipControls, PublicAccessBlock, Setting, Tags};
use crate::config::SseCNewBuckets;
use crate::http::header::{BUCKET_ARN, BUCKET_OBJECT_LOCK_ENABLED, OBJECT_OWNERSHIP};
use crate::iam::Account;
use crate::sse::BucketEncryption;
use crate::transfer::journal::ChangeError;

/// Makes a bucket in this gateway's region.
pub async fn create_bucket(
    app: &App,
    _permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let name = request.bucket.clone().ok_or(Code::InvalidBucketName)?;
    // Such names exist from former releases.
    if name.as_str().contains(".-") || name.as_str().contains("-.") {
        return Err(S3Error::new(Code::InvalidBucketName).field("BucketName", name.as_str()));
    }
    if name.as_str() == RESERVED_BUCKET {
        return Err(S3Error::new(Code::BucketAlreadyExists).field("BucketName", name.as_str()));
    }
    let account = request.identity.account.clone().ok_or(Code::AccessDenied)?;
    let owner = &account.id;
    let body = request_document::read(&mut request, request_document::CONFIG_MAX_LEN).await?;
    let asked = location::parse(&body)?;
    check_constraint(&app.region, asked.constraint.as_deref(), app.strict_location_constraint)?;
    let has_tags = !asked.tags.is_empty();
    let settings = settings(app, &account, &request.headers, asked.tags)?;

    // A bucket that exists is found before anything is written.
    let found = match app.catalog.bucket(&name).await {
        Ok(bucket) => Some(bucket.owner),
        Err(CatalogError::NoSuchBucket) => create(app, &name, owner, settings).await?,
        Err(error) => return Err(error.into()),
    };
    match found {
        None => {}
        // As AWS does in that region alone, for the sake of old clients; none of those gives tags.
        Some(found) if found == *owner && app.region == location::NO_CONSTRAINT && !has_tags => {}
        Some(found) => {
            let code =
                if found == *owner { Code::BucketAlreadyOwnedByYou } else { Code::BucketAlreadyExists };
            return Err(S3Error::new(code).field("BucketName", name.as_str()));
        }
    }
    let mut response = response::empty();
    for (header, value) in
        [(header::LOCATION, format!("/{name}")), (BUCKET_ARN, format!("arn:aws:s3:::{name}"))]
    {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(header, value);
        }
    }
    Ok(response)
}

/// What the request sets on the bucket from the beginning.
fn settings(
    app: &App,
    owner: &Account,
    headers: &HeaderMap,
    tags: Vec<(String, String)>,
) -> Result<impl FnOnce(&mut Bucket) + use<>, S3Error> {
    let text = |name| {
        headers.get(name).map(|value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let ownership = match text(OBJECT_OWNERSHIP) {
        None => None,
        Some(name) => Some(Ownership::parse(&name).ok_or_else(|| {
            S3Error::new(Code::InvalidArgument)
                .message(format!("Invalid {OBJECT_OWNERSHIP} header: {name}"))
                .field("ArgumentName", OBJECT_OWNERSHIP.as_str())
        })?),
    };
    let locked = text(BUCKET_OBJECT_LOCK_ENABLED).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let accounts = acl::Accounts { owner, bucket_owner: owner, all: &app.iam.state() };
    let acl = acl::of_headers(headers, accounts)?.filter(|acl| *acl != Acl::private(&acl::grantee(owner)));
    let enforced = ownership.unwrap_or(app.default_object_ownership) == Ownership::BucketOwnerEnforced;
    if acl.is_some() && enforced {
        return Err(Code::InvalidBucketAclWithObjectOwnership.into());
    }
    let is_open = !app.default_block_public_access;
    if acl.as_ref().is_some_and(Acl::is_public) && !is_open {
        return Err(Code::InvalidBucketAclWithBlockPublicAccessError.into());
    }
    let ownership = match (ownership, app.default_object_ownership) {
        (Some(asked), _) => Some(OwnershipControls(Some(asked))),
        // What a bucket has that says nothing.
        (None, Ownership::BucketOwnerEnforced) => None,
        // As it was before April 2023: without any controls.
        (None, Ownership::ObjectWriter) => Some(OwnershipControls(None)),
        (None, default) => Some(OwnershipControls(Some(default))),
    };
    let block_sse_c = app.sse_c_new_buckets == SseCNewBuckets::Block;
    Ok(move |bucket: &mut Bucket| {
        if let Some(ownership) = ownership {
            ownership.set(bucket);
        }
        if is_open {
            PublicAccessBlock::REMOVED.set(bucket);
        }
        if let Some(acl) = acl {
            acl.set(bucket);
        }
        if locked {
            bucket.versioning = Versioning::Enabled;
            ObjectLock::default().set(bucket);
        }
        if !tags.is_empty() {
            Tags(tags).set(bucket);
        }
        if block_sse_c {
            let encryption = BucketEncryption { sse_c_blocked: true, ..BucketEncryption::default() };
            bucket.configs.insert(BucketEncryption::CONFIG.to_owned(), encryption.encode().into());
        }
    })
}

/// Makes it; tells the owner of the bucket that was there first, if one was.
async fn create(
    app: &App,
    name: &storage::name::BucketName,
    owner: &str,
    settings: impl FnOnce(&mut Bucket),
) -> Result<Option<String>, S3Error> {
    let mut bucket = Bucket {
        name: name.clone(),
        id: BucketId::random(),
        owner: owner.to_owned(),
        created: Timestamp::now(),
        region: app.region.clone(),
        versioning: Versioning::Unversioned,
        configs: Default::default(),
        journal: None,
    };
    settings(&mut bucket);
    match create_recorded(app, bucket).await {
        Ok(()) => Ok(None),
        Err(ChangeError::Catalog(CatalogError::BucketExists { owner })) => Ok(Some(owner)),
        Err(error) => Err(error.into()),
    }
}

/// Makes a bucket, with the journal that records it for a rebuild.
pub(in crate::api::s3::ops) async fn create_recorded(app: &App, bucket: Bucket) -> Result<(), ChangeError> {
    let bucket = with_journal(app, bucket).await?;
    let created = app.catalog.create_bucket(&bucket).await;
    if let (Err(_), Some(unused)) = (&created, bucket.journal) {
        // What is left behind here is found by the sweep of orphans.
        let _ = app.blobs.delete(&unused.id).await;
    }
    Ok(created?)
}

/// There is one region here: a constraint to any other is refused as AWS's regional endpoints do. AWS refuses us-east-1 by name too;
/// here it is `strict` that does, since the SDKs of MinIO and others send it.
fn check_constraint(region: &str, constraint: Option<&str>, strict: bool) -> Result<(), S3Error> {
    let incompatible = |named: &str| {
        S3Error::new(Code::IllegalLocationConstraintException).message(format!(
            "The {named} location constraint is incompatible for the region specific endpoint this request \
             was sent to."
        ))
    };
    match constraint {
        None if region == location::NO_CONSTRAINT => Ok(()),
        None => Err(incompatible("unspecified")),
        Some(location::NO_CONSTRAINT) if strict && region == location::NO_CONSTRAINT => {
            Err(S3Error::new(Code::InvalidLocationConstraint).field("LocationConstraint", region))
        }
        Some(named) if named == region => Ok(()),
        // The oldest constraint's name.
        Some("EU") if region == "eu-west-1" => Ok(()),
        Some(named) if location::is_known(named) => Err(incompatible(named)),
        Some(named) => Err(S3Error::new(Code::InvalidLocationConstraint).field("LocationConstraint", named)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints() {
        let check =
            |region, constraint| check_constraint(region, constraint, true).map_err(|error| error.code);
        assert!(check_constraint("us-east-1", Some("us-east-1"), false).is_ok());
        assert_eq!(check("us-east-1", None), Ok(()));
        assert_eq!(check("us-east-1", Some("us-east-1")), Err(Code::InvalidLocationConstraint));
        let illegal = Err(Code::IllegalLocationConstraintException);
        assert_eq!(check("us-east-1", Some("eu-west-1")), illegal);
        assert_eq!(check("eu-west-1", None), illegal);
        assert_eq!(check("eu-west-1", Some("eu-west-1")), Ok(()));
        assert_eq!(check("eu-west-1", Some("EU")), Ok(()));
        assert_eq!(check("eu-west-1", Some("us-east-1")), illegal);
        assert_eq!(check("eu-west-1", Some("moon-1")), Err(Code::InvalidLocationConstraint));
        assert_eq!(check("moon-1", Some("moon-1")), Ok(()));
    }
}
