//! CreateBucket.

use http::{HeaderValue, header};
use storage::catalog::{Bucket, CatalogError};
use storage::name::{BucketId, Timestamp};

use super::with_journal;
use crate::api::s3::document;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::wire::location;
use crate::app::App;
use crate::authz::Permit;
use crate::http::header::BUCKET_ARN;

/// Makes a bucket in this gateway's region.
pub async fn create_bucket(
    app: &App,
    _permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let name = request.bucket.clone().ok_or(Code::InvalidBucketName)?;
    let owner = request.identity.account().ok_or(Code::AccessDenied)?.id.clone();
    let body = document::read(&mut request, document::CONFIG_MAX_LEN).await?;
    check_constraint(&app.region, location::parse(&body)?.as_deref())?;

    // A bucket that exists is found before anything is written.
    let found = match app.catalog.bucket(&name).await {
        Ok(bucket) => Some(bucket.owner),
        Err(CatalogError::NoSuchBucket) => create(app, &name, &owner).await?,
        Err(error) => return Err(error.into()),
    };
    match found {
        None => {}
        // As AWS does in that region alone, for the sake of old clients.
        Some(found) if found == owner && app.region == location::NO_CONSTRAINT => {}
        Some(found) => {
            let code = if found == owner { Code::BucketAlreadyOwnedByYou } else { Code::BucketAlreadyExists };
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

/// Makes it; tells the owner of the bucket that was there first, if one was.
async fn create(app: &App, name: &storage::name::BucketName, owner: &str) -> Result<Option<String>, S3Error> {
    let bucket = Bucket {
        name: name.clone(),
        id: BucketId::random(),
        owner: owner.to_owned(),
        created: Timestamp::now(),
        region: app.region.clone(),
        configs: Default::default(),
        journal: None,
    };
    let bucket = with_journal(app, bucket).await?;
    let created = app.catalog.create_bucket(&bucket).await;
    if let (Err(_), Some(unused)) = (&created, bucket.journal) {
        // What is left behind here is found by the sweep of orphans.
        let _ = app.blobs.delete(&unused.id).await;
    }
    match created {
        Ok(()) => Ok(None),
        Err(CatalogError::BucketExists { owner }) => Ok(Some(owner)),
        Err(error) => Err(error.into()),
    }
}

/// There is one region here: a constraint to any other is refused as AWS's regional endpoints do.
fn check_constraint(region: &str, constraint: Option<&str>) -> Result<(), S3Error> {
    let incompatible = |named: &str| {
        S3Error::new(Code::IllegalLocationConstraintException).message(format!(
            "The {named} location constraint is incompatible for the region specific endpoint this request \
             was sent to."
        ))
    };
    match constraint {
        None if region == location::NO_CONSTRAINT => Ok(()),
        None => Err(incompatible("unspecified")),
        Some(location::NO_CONSTRAINT) if region == location::NO_CONSTRAINT => {
            Err(S3Error::new(Code::InvalidLocationConstraint).field("LocationConstraint", region))
        }
        Some(named) if named == region => Ok(()),
        // The oldest constraint's name.
        Some("EU") if region == "eu-west-1" => Ok(()),
        Some(named) => Err(incompatible(named)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints() {
        let check = |region, constraint| check_constraint(region, constraint).map_err(|error| error.code);
        assert_eq!(check("us-east-1", None), Ok(()));
        assert_eq!(check("us-east-1", Some("us-east-1")), Err(Code::InvalidLocationConstraint));
        let illegal = Err(Code::IllegalLocationConstraintException);
        assert_eq!(check("us-east-1", Some("eu-west-1")), illegal);
        assert_eq!(check("eu-west-1", None), illegal);
        assert_eq!(check("eu-west-1", Some("eu-west-1")), Ok(()));
        assert_eq!(check("eu-west-1", Some("EU")), Ok(()));
        assert_eq!(check("eu-west-1", Some("us-east-1")), illegal);
    }
}
