//! ListParts.

use crate::api::s3::error::S3Error;
use crate::api::s3::ops::object::properties;
use crate::api::s3::request::{Query, S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::wire::listing::{max_rows, url_encoding};
use crate::api::s3::wire::multipart::{PartsPage, write_parts};
use crate::app::App;
use crate::authz::Permit;

/// Answers the parts that an upload has.
pub async fn list_parts(app: &App, permit: Permit, request: S3Request) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let part_number_marker = marker(&request.query)?;
    let max_parts = max_rows(&request.query, "max-parts")?;
    let url_encoded = url_encoding(&request.query)?;
    let upload = super::upload(app, bucket, &request).await?;
    let owner = properties::owner(app, bucket, &upload.attributes)?;
    let page = PartsPage {
        bucket: &bucket.name,
        owner: &owner,
        initiator: super::initiator(app, &upload.initiator),
        part_number_marker,
        max_parts,
        url_encoded,
    };
    let (parts, truncated) =
        app.catalog.list_parts(upload.id, page.part_number_marker, page.max_parts).await?;
    let mut response = response::xml(write_parts(&page, &upload, &parts, truncated));
    properties::write_abort_date(app, bucket, &upload, response.headers_mut());
    Ok(response)
}

/// Behind which part the page begins; no part has a number beyond 65,535.
fn marker(query: &Query) -> Result<u16, S3Error> {
    let Some(text) = query.get("part-number-marker").filter(|text| !text.is_empty()) else { return Ok(0) };
    match text.parse::<i32>() {
        Ok(number) if number >= 0 => Ok(number.min(u16::MAX.into()) as u16),
        _ => {
            let message = "Argument part-number-marker must be an integer between 0 and 2147483647";
            Err(S3Error::invalid_argument(message, "part-number-marker", text))
        }
    }
}
