//! PutBucketCors, GetBucketCors, DeleteBucketCors, and a browser's question before it asks.

use http::{HeaderMap, header};
use storage::catalog::CatalogError;

use super::{get, set, unset};
use crate::api::s3::cors::{Asked, requested_headers, requested_method};
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::request_document;
use crate::api::s3::response;
use crate::api::s3::target::Target;
use crate::api::s3::wire::cors;
use crate::app::App;
use crate::authz::Permit;
use crate::bucket::{Cors, Setting};

/// `PutBucketCors`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketCors.html>.
pub async fn put_bucket_cors(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let body = request_document::read_config(&mut request).await?;
    set(app, permit.bucket(), &cors::parse(&body)?).await?;
    Ok(response::empty())
}

/// `GetBucketCors`.
pub async fn get_bucket_cors(_app: &App, permit: Permit, _request: S3Request) -> Result<S3Response, S3Error> {
    let cors: Cors = get(permit.bucket(), Code::NoSuchCorsConfiguration)?;
    Ok(response::xml(cors::write(&cors)))
}

/// `DeleteBucketCors`.
pub async fn delete_bucket_cors(
    app: &App,
    permit: Permit,
    _request: S3Request,
) -> Result<S3Response, S3Error> {
    unset::<Cors>(app, permit.bucket()).await?;
    Ok(response::no_content())
}

/// Answers a browser's preflight request. It carries no credentials, so the spine asks for it before it authenticates: the answer
/// tells of the bucket's rules alone.
pub async fn preflight(app: &App, target: &Target, headers: &HeaderMap) -> Result<S3Response, S3Error> {
    let origin = headers.get(header::ORIGIN).ok_or_else(|| {
        S3Error::new(Code::BadRequest).message("Insufficient information. Origin request header needed.")
    })?;
    let method = requested_method(headers);
    let forbidden = |message: &'static str| {
        S3Error::new(Code::AccessForbidden)
            .message(message)
            .field("Method", method.as_deref().unwrap_or("OPTIONS"))
            .field("ResourceType", if target.object.is_some() { "OBJECT" } else { "BUCKET" })
    };
    let none = "CORSResponse: CORS is not enabled for this bucket.";
    let name = target.bucket.as_ref().ok_or_else(|| forbidden(none))?;
    let bucket = match app.catalog.bucket(name).await {
        Err(CatalogError::NoSuchBucket) => return Err(forbidden("CORSResponse: Bucket not found")),
        found => found?,
    };
    if Cors::of(&bucket)?.is_none() {
        return Err(forbidden(none));
    }
    let method = method.as_deref().ok_or_else(|| {
        S3Error::new(Code::BadRequest).message("Invalid Access-Control-Request-Method: null")
    })?;
    let asked = requested_headers(headers);
    let allowed = Asked::with_headers(&bucket, origin, method, &asked).ok_or_else(|| {
        forbidden(
            "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / \
             Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.",
        )
    })?;
    let mut response = response::empty();
    allowed.write(response.headers_mut());
    if let Ok(value) = asked.join(", ").parse()
        && !asked.is_empty()
    {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_HEADERS, value);
    }
    Ok(response)
}
