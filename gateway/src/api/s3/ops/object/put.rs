//! PutObject.

use http::HeaderMap;
use storage::catalog::Bucket;
use storage::name::VersionId;

use super::lookup::insert;
use super::properties::{self, Properties};
use super::write::{self, MAX_WRITE_LEN, NewVersion};
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::wire::{checksum, conditional, etag, metadata, version};
use crate::app::App;
use crate::authz::Permit;
use crate::http::body::ResponseBody;
use crate::sse::{self, BucketEncryption, EnvelopePlace, Sse, SsePlan};
use crate::transfer::ingest::{Announced, Source};

/// `PutObject`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>.
pub async fn put_object(app: &App, permit: Permit, mut request: S3Request) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    // Everything that headers alone decide comes before the first byte of the body is asked for.
    let plain_len = request.plain_len()?;
    if plain_len > MAX_WRITE_LEN {
        return Err(S3Error::new(Code::EntityTooLarge)
            .field("ProposedSize", plain_len.to_string())
            .field("MaxSizeAllowed", MAX_WRITE_LEN.to_string()));
    }
    let (body, payload) = request.take_body();
    let source = Source::Body { body, payload };
    let stored = store(app, bucket, &request, source, Announced::Exactly(plain_len)).await?;
    let mut response = S3Response::new(ResponseBody::empty());
    response.headers_mut().extend(stored.headers);
    Ok(response)
}

/// An object as it was stored, and what is answered of it.
pub(in crate::api::s3) struct Stored {
    pub(super) etag: String,
    pub(super) headers: HeaderMap,
}

/// Stores an object as the headers of a request ask for it.
pub(in crate::api::s3) async fn store(
    app: &App,
    bucket: &Bucket,
    request: &S3Request,
    source: Source,
    announced: Announced,
) -> Result<Stored, S3Error> {
    let object = request.object()?;
    let headers = &request.headers;
    let precondition = conditional::write_precondition(headers)?;
    let content_md5 = checksum::content_md5(headers)?;
    let wanted = write::wanted_checksum(headers)?;
    let system_headers = metadata::system_headers(headers)?;
    let user_metadata = metadata::user_metadata(headers)?;
    let storage_class = metadata::storage_class(headers)?;
    let properties = Properties::of_request(app, bucket, request)?;
    let default = BucketEncryption::of(bucket);
    let plan = sse::plan(headers, default.as_ref(), &request.object_arn(), request.channel(app))?;
    request.expect_v4_for_kms(matches!(plan, SsePlan::Kms { .. }))?;
    write::check_precondition(app, bucket, object, &precondition).await?;

    let version = VersionId::now();
    let place = EnvelopePlace { bucket: bucket.id, version, bucket_name: &bucket.name, object };
    let (envelope, keys) = app.sse.create(&plan, place, &request.kms_caller()).await?;
    let info = Sse::info(&envelope)?;
    let new = NewVersion {
        bucket,
        object,
        version,
        headers: system_headers,
        user_metadata,
        storage_class,
        properties,
        envelope,
        keys,
        sse: info.clone(),
        precondition,
        announced,
        content_md5,
        checksum: wanted,
    };
    let written = write::write(app, source, new).await?;

    let mut headers = HeaderMap::new();
    insert(&mut headers, http::header::ETAG, etag::quoted(&written.etag));
    if let Some(stored) = &written.checksum {
        checksum::write_headers(stored, &mut headers);
    }
    let customer_md5 = match &plan {
        SsePlan::Customer(customer) => Some(customer.md5_base64.as_str()),
        _ => None,
    };
    headers.extend(sse::response_headers(&info, customer_md5));
    let new = &written.version;
    version::write_new_header(bucket, new.version, new.is_null, &mut headers);
    if let Some(record) = new.object() {
        properties::write_expiration(app, bucket, object, record, new.last_modified, &mut headers);
    }
    Ok(Stored { etag: written.etag, headers })
}
