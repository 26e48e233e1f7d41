//! ListObjects, ListObjectsV2, ListObjectVersions.

use std::sync::Arc;

use storage::catalog::{Bucket, ListPage, ObjectSummary};

use crate::api::s3::error::S3Error;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::wire::listing::{self, OwnerOf, Page};
use crate::api::s3::wire::version;
use crate::app::App;
use crate::authz::Permit;
use crate::bucket::OwnershipControls;
use crate::http::header::OPTIONAL_OBJECT_ATTRIBUTES;
use crate::iam::Account;

/// Lists objects, as clients of the first version ask for them.
pub async fn list_objects(app: &App, permit: Permit, request: S3Request) -> Result<S3Response, S3Error> {
    check_optional_attributes(&request)?;
    let bucket = permit.bucket();
    let page = Page::parse(&bucket.name, &request.query, "max-keys", "marker")?;
    let objects = list(app, bucket, page, page.marker.map(str::to_owned)).await?;
    let owner_of = owner_of(app, bucket)?;
    // Nobody is not told whose an object is.
    let owner_of: Option<OwnerOf<'_>> = if request.identity.is_anonymous() { None } else { Some(&owner_of) };
    Ok(of_bucket(bucket, listing::write_objects(page, owner_of, &objects)))
}

/// Lists objects.
pub async fn list_objects_v2(app: &App, permit: Permit, request: S3Request) -> Result<S3Response, S3Error> {
    check_optional_attributes(&request)?;
    let bucket = permit.bucket();
    let page = Page::parse(&bucket.name, &request.query, "max-keys", "start-after")?;
    let token = request.query.get("continuation-token");
    let after = match token {
        Some(token) => Some(listing::parse_token(token)?),
        None => page.marker.map(str::to_owned),
    };
    let fetch_owner =
        request.query.get("fetch-owner").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let objects = list(app, bucket, page, after).await?;
    let owner_of = owner_of(app, bucket)?;
    let owner_of: Option<OwnerOf<'_>> =
        if fetch_owner && !request.identity.is_anonymous() { Some(&owner_of) } else { None };
    Ok(of_bucket(bucket, listing::write_objects_v2(page, owner_of, token, &objects)))
}

/// Lists versions and delete markers.
pub async fn list_object_versions(
    app: &App,
    permit: Permit,
    request: S3Request,
) -> Result<S3Response, S3Error> {
    check_optional_attributes(&request)?;
    let bucket = permit.bucket();
    let page = Page::parse(&bucket.name, &request.query, "max-keys", "key-marker")?;
    let version_id_marker = request.query.get("version-id-marker").unwrap_or_default();
    let after_version = match (version_id_marker, page.marker) {
        ("", _) => None,
        (marker, Some(_)) => Some(version::parse(Some(marker)).map_err(|_| {
            S3Error::invalid_argument("Invalid version id specified", "version-id-marker", marker)
        })?),
        (marker, None) => {
            return Err(S3Error::invalid_argument(
                "A version-id marker cannot be specified without a key marker.",
                "version-id-marker",
                marker,
            ));
        }
    };
    let after = page.marker.map(str::to_owned);
    let versions = app.catalog.list_versions(bucket, &page.request(after), after_version).await?;
    let owner_of = owner_of(app, bucket)?;
    Ok(response::xml(listing::write_versions(page, &owner_of, version_id_marker, &versions)))
}

fn of_bucket(bucket: &Bucket, listing: Vec<u8>) -> S3Response {
    let mut response = response::xml(listing);
    super::tell_region(bucket, response.headers_mut());
    response
}

/// Tells who owns an object of this bucket.
fn owner_of(app: &App, bucket: &Bucket) -> Result<impl Fn(&ObjectSummary) -> Arc<Account>, S3Error> {
    let has_acls = OwnershipControls::has_acls(bucket)?;
    let owner = app.owner_of(bucket);
    Ok(move |object: &ObjectSummary| match &object.owner {
        Some(writer) if has_acls => app.account_of(writer),
        _ => owner.clone(),
    })
}

async fn list(
    app: &App,
    bucket: &Bucket,
    page: Page<'_>,
    after: Option<String>,
) -> Result<Arc<ListPage<ObjectSummary>>, S3Error> {
    Ok(app.catalog.list_objects(bucket, &page.request(after)).await?)
}

/// `RestoreStatus` is all that can be asked for beside the usual, and no object here is ever restored.
fn check_optional_attributes(request: &S3Request) -> Result<(), S3Error> {
    let Some(value) = request.headers.get(OPTIONAL_OBJECT_ATTRIBUTES) else { return Ok(()) };
    let value = String::from_utf8_lossy(value.as_bytes());
    match value.split(',').map(str::trim).find(|name| !name.is_empty() && *name != "RestoreStatus") {
        None => Ok(()),
        Some(_) => Err(S3Error::invalid_argument(
            "Invalid attribute name specified.",
            OPTIONAL_OBJECT_ATTRIBUTES.as_str(),
            value.clone(),
        )),
    }
}
