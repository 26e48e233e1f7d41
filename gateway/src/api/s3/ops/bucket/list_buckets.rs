//! ListBuckets.

use storage::catalog::{ListRequest, ListRow};

use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{Query, S3Request, S3Response};
use crate::api::s3::response;
use crate::api::s3::wire::{listing, location};
use crate::app::App;
use crate::authz::Permit;

/// The most buckets of a page, and what a page has that asks for no other number.
const MAX_BUCKETS: usize = 10_000;

/// Lists the caller's buckets.
pub async fn list_buckets(app: &App, _permit: Permit, request: S3Request) -> Result<S3Response, S3Error> {
    let owner = request.identity.account().ok_or(Code::AccessDenied)?;
    let prefix = request.query.get("prefix").filter(|prefix| !prefix.is_empty());
    let list = ListRequest {
        prefix: prefix.unwrap_or_default().to_owned(),
        delimiter: None,
        // An empty one is none.
        after: request
            .query
            .get("continuation-token")
            .filter(|token| !token.is_empty())
            .map(listing::parse_token)
            .transpose()?,
        limit: max_buckets(&request.query)?,
    };
    let region = request.query.get("bucket-region").filter(|region| !region.is_empty());
    if let Some(elsewhere) = region.filter(|&region| region != app.region) {
        if !location::is_aws_region(elsewhere) {
            return Err(S3Error::new(Code::InvalidArgument)
                .message(format!("Argument value {elsewhere} is not a valid AWS Region"))
                .field("ArgumentName", "bucket-region"));
        }
        return Ok(response::xml(listing::write_buckets(owner, &[], prefix, None)));
    }
    let page = app.catalog.list_buckets(Some(&owner.id), &list).await?;
    let mut buckets = Vec::with_capacity(page.rows.len());
    for row in page.rows {
        if let ListRow::Item(bucket) = row {
            buckets.push(bucket);
        }
    }
    let next = buckets.last().filter(|_| page.truncated).map(|bucket| bucket.name.to_string());
    Ok(response::xml(listing::write_buckets(owner, &buckets, prefix, next.as_deref())))
}

fn max_buckets(query: &Query) -> Result<usize, S3Error> {
    match query.get("max-buckets") {
        None => Ok(MAX_BUCKETS),
        Some(value) => value.parse().ok().filter(|max| (1..=MAX_BUCKETS).contains(max)).ok_or_else(|| {
            S3Error::invalid_argument(
                "Argument max-buckets must be an integer between 1 and 10000",
                "max-buckets",
                value,
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes() {
        let of = |value: &str| {
            max_buckets(&Query(vec![("max-buckets".to_owned(), value.to_owned())])).map_err(|e| e.code)
        };
        assert_eq!(of("1"), Ok(1));
        assert_eq!(of("10000"), Ok(10_000));
        for bad in ["0", "10001", "-1", "x", ""] {
            assert_eq!(of(bad), Err(Code::InvalidArgument), "{bad}");
        }
        assert_eq!(max_buckets(&Query::default()).unwrap(), MAX_BUCKETS);
    }
}
