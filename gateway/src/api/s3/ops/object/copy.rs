//! CopyObject.

use http::HeaderMap;
use storage::catalog::{
    Authority, Bucket, Layout, ObjectVersion, StoredChecksum, VersionKind, VersionRef, Versioning,
};
use storage::name::{ObjectKey, Timestamp, VersionId};

use super::lookup::{self, Found, insert};
use super::properties::Properties;
use super::write::{self, MAX_WRITE_LEN, NewVersion};
use super::{annotation, archive};
use crate::api::record;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::permissions::versioned;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::request_context;
use crate::api::s3::response;
use crate::api::s3::route::check_expected_owner;
use crate::api::s3::wire::conditional::{self, Conditions};
use crate::api::s3::wire::copy_source::CopySource;
use crate::api::s3::wire::multipart::write_copied;
use crate::api::s3::wire::{checksum, metadata, version};
use crate::app::App;
use crate::authz::{Context, Permit};
use crate::http::header;
use crate::sse::{self, BucketEncryption, CustomerHeaders, EnvelopePlace, Sse, SseInfo, SsePlan};
use crate::transfer::digest::ChecksumAlgorithm;
use crate::transfer::ingest::{Announced, Expected, Source};
use crate::transfer::journal::Records;

/// `CopyObject`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>.
pub async fn copy_object(app: &App, permit: Permit, request: S3Request) -> Result<S3Response, S3Error> {
    match copy_once(app, &permit, &request).await? {
        Some(response) => Ok(response),
        // Once more with the source's record as it is now: nothing was written yet.
        None => copy_once(app, &permit, &request).await?.ok_or_else(|| Code::InternalError.into()),
    }
}

/// `None`: the record of the source was out of date.
async fn copy_once(app: &App, permit: &Permit, request: &S3Request) -> Result<Option<S3Response>, S3Error> {
    let bucket = permit.bucket();
    let object = request.object()?;
    let headers = &request.headers;
    let precondition = conditional::write_precondition(headers)?;
    let default = BucketEncryption::of(bucket);
    let plan = sse::plan(headers, default.as_ref(), &request.object_arn(), request.channel(app))?;
    request.expect_v4_for_kms(matches!(plan, SsePlan::Kms { .. }))?;
    let replaces = replaces_metadata(request)?;
    let wanted_algorithm = checksum::copy_checksum(headers)?;
    let storage_class =
        headers.contains_key(header::STORAGE_CLASS).then(|| metadata::storage_class(headers)).transpose()?;

    let source = CopySource::of(request)?;
    let source_bucket = readable_bucket(app, request, &source).await?;
    let found = find_source(app, request, &source_bucket, &source).await?;
    archive::expect_readable(&found.record)?;
    let source_customer = lookup::customer_key(app, request, CustomerHeaders::CopySource, &found.sse)?;
    Conditions::of_copy_source(headers).check_copy_source(&found.record.etag, found.last_modified)?;
    if found.record.plain_len > MAX_WRITE_LEN {
        return Err(S3Error::invalid_request(
            "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120",
        ));
    }
    let names_itself = source_bucket.id == bucket.id && source.object == *object;
    // An older version that is copied over the current one is brought back, not copied onto itself.
    let is_onto_itself = names_itself && source.version == VersionRef::Current;
    let changes = replaces
        || storage_class.is_some()
        || wanted_algorithm.is_some()
        || headers.contains_key(header::SSE)
        || headers.contains_key(header::WEBSITE_REDIRECT_LOCATION)
        || matches!(plan, SsePlan::Customer(_))
        || source_customer.is_some()
        // What names no encryption gets the bucket's: another one than that of KMS, or one that somebody has chosen.
        || matches!(found.sse, SseInfo::Kms { .. })
        || bucket.configs.contains_key(BucketEncryption::CONFIG);
    if is_onto_itself && !changes {
        return Err(S3Error::invalid_request(
            "This copy request is illegal because it is trying to copy an object to itself without changing the \
             object's metadata, storage class, website redirect location or encryption attributes.",
        ));
    }
    write::check_precondition(app, bucket, object, &precondition).await?;
    let keys = found.open(app, request, &source_bucket, &source.object, source_customer.as_ref()).await?;

    let mut record = found.record.clone();
    if replaces {
        record.headers = metadata::system_headers(headers)?;
        record.user_metadata = metadata::user_metadata(headers)?;
    } else {
        // The redirect is never copied.
        record.headers.website_redirect_location =
            metadata::system_headers(headers)?.website_redirect_location;
    }
    let mut properties = Properties::of_copy(app, bucket, request, &found.record)?;
    // What goes along with a copy is read and written as by its own operation.
    let (from, to) =
        ((&source_bucket, &source.object, source.version), (bucket, object, VersionRef::Current));
    if !properties.tags.is_empty() && !request_context::sets_tags(request) {
        let mut copied = Context::new();
        request_context::add_object_tags(&mut copied, &properties.tags);
        for (action, (of, object, version)) in [("s3:GetObjectTagging", from), ("s3:PutObjectTagging", to)] {
            let action = versioned(action, version);
            request.authorize_with(app, action, of, Some(object), version, &copied).await?;
        }
    }
    let annotated = annotation::are_copied(request, &found.record, &plan)?;
    if annotated {
        for (action, (of, object, version)) in
            [("s3:GetObjectAnnotation", from), ("s3:PutObjectAnnotation", to)]
        {
            request.authorize(app, versioned(action, version), of, Some(object), version).await?;
        }
        annotation::flag(&mut properties.attributes);
    }
    record.tags = properties.tags.clone();
    record.lock = properties.lock;
    record.attributes = properties.attributes.clone();
    record.storage_class = storage_class.unwrap_or_else(|| metadata::STANDARD_CLASS.to_owned());

    let stored_algorithm =
        found.record.checksum.as_ref().and_then(|c| ChecksumAlgorithm::parse(&c.algorithm));
    let keeps_checksum = wanted_algorithm.is_none_or(|wanted| Some(wanted) == stored_algorithm);
    // An ETag that is an MD5 can't be known without reading where none was computed before.
    let keeps_etag_kind = found.sse.etag_is_md5() == matches!(plan, SsePlan::S3);
    // What was uploaded in parts becomes one object by a copy, with a tag and a checksum of the whole.
    let stays_whole = !matches!(found.record.content.layout, Layout::Parts(_));
    if is_onto_itself
        && keeps_checksum
        && (keeps_etag_kind || !matches!(plan, SsePlan::S3))
        && found.sse.layers() == plan.layers()
        && stays_whole
        && bucket.versioning == Versioning::Unversioned
    {
        let place = found.place(bucket, object);
        record.envelope = app.sse.rewrap(&keys, &plan, place, &request.kms_caller()).await?;
        if !keeps_etag_kind {
            record.etag = write::opaque_etag();
        }
        let replaced = replace(app.records(), bucket, object, &found, record, Timestamp::now()).await?;
        return respond((&source_bucket, &found), bucket, &plan, &replaced).map(Some);
    }

    let algorithm = wanted_algorithm.or(stored_algorithm).unwrap_or(ChecksumAlgorithm::Crc64Nvme);
    let Some(stream) = found.read(app, keys, found.whole()).await? else { return Ok(None) };
    let version = VersionId::now();
    let place = EnvelopePlace { bucket: bucket.id, version, bucket_name: &bucket.name, object };
    let (envelope, keys) = app.sse.create(&plan, place, &request.kms_caller()).await?;
    let info = Sse::info(&envelope)?;
    let new = NewVersion {
        bucket,
        object,
        version,
        headers: record.headers,
        user_metadata: record.user_metadata,
        storage_class: record.storage_class,
        properties,
        envelope: envelope.clone(),
        keys,
        sse: info,
        precondition,
        announced: Announced::Exactly(record.plain_len),
        content_md5: None,
        checksum: (algorithm, Expected::Nothing),
    };
    let written = write::write(app, Source::Stream(stream), new).await?;
    if annotated {
        let to = (bucket, object, version);
        annotation::copy(app, request, (&source_bucket, &found), to, &plan).await?;
    }
    let copied = Copied {
        etag: written.etag,
        last_modified: written.version.last_modified,
        checksum: written.checksum,
        envelope,
        version: written.version.version,
        is_null: written.version.is_null,
    };
    respond((&source_bucket, &found), bucket, &plan, &copied).map(Some)
}

/// An object as a copy left it.
pub(super) struct Copied {
    etag: String,
    last_modified: Timestamp,
    checksum: Option<StoredChecksum>,
    envelope: bytes::Bytes,
    version: VersionId,
    is_null: bool,
}

/// Another record over the same content: no byte moves.
pub(super) async fn replace(
    records: Records<'_>,
    bucket: &Bucket,
    object: &ObjectKey,
    found: &Found,
    record: storage::catalog::ObjectRecord,
    last_modified: Timestamp,
) -> Result<Copied, S3Error> {
    let copied = Copied {
        etag: record.etag.clone(),
        last_modified,
        checksum: record.checksum.clone(),
        envelope: record.envelope.clone(),
        version: found.version,
        is_null: found.is_null,
    };
    let former = found.as_version();
    let next = ObjectVersion { last_modified, kind: VersionKind::Object(Box::new(record)), ..former.clone() };
    records.replace(bucket, object, &former, next, Authority::usual()).await?;
    Ok(copied)
}

fn respond(
    (source_bucket, found): (&Bucket, &Found),
    bucket: &Bucket,
    plan: &SsePlan,
    copied: &Copied,
) -> Result<S3Response, S3Error> {
    let body = write_copied("CopyObjectResult", &copied.etag, copied.last_modified, copied.checksum.as_ref());
    let mut response = response::xml(body);
    let customer_md5 = match plan {
        SsePlan::Customer(customer) => Some(customer.md5_base64.as_str()),
        _ => None,
    };
    let headers = response.headers_mut();
    headers.extend(sse::response_headers(&Sse::info(&copied.envelope)?, customer_md5));
    version::write_header(bucket, copied.version, copied.is_null, headers);
    write_source_version(source_bucket, found, headers);
    Ok(response)
}

/// `x-amz-metadata-directive`: is metadata to be taken from the request?
fn replaces_metadata(request: &S3Request) -> Result<bool, S3Error> {
    match request.headers.get(header::METADATA_DIRECTIVE).map(|v| v.as_bytes()) {
        None | Some(b"COPY") => Ok(false),
        Some(b"REPLACE") => Ok(true),
        Some(other) => Err(S3Error::invalid_argument(
            "Unknown metadata directive.",
            header::METADATA_DIRECTIVE.as_str(),
            String::from_utf8_lossy(other),
        )),
    }
}

/// The bucket of a copy's source, which the caller must be allowed to read from.
pub(in crate::api::s3::ops) async fn readable_bucket(
    app: &App,
    request: &S3Request,
    source: &CopySource,
) -> Result<Bucket, S3Error> {
    let bucket = app.catalog.bucket(&source.bucket).await.map_err(|error| match error {
        storage::catalog::CatalogError::NoSuchBucket => {
            S3Error::new(Code::NoSuchBucket).field("BucketName", source.bucket.as_str())
        }
        error => error.into(),
    })?;
    record::copies(&bucket, &source.object, source.version);
    check_expected_owner(&request.headers, &header::SOURCE_EXPECTED_BUCKET_OWNER, &bucket.owner)?;
    let action = versioned("s3:GetObject", source.version);
    request.authorize(app, action, &bucket, Some(&source.object), source.version).await?;
    Ok(bucket)
}

/// The source of a copy. Who may not list its bucket is not told whether it exists.
pub(in crate::api::s3::ops) async fn find_source(
    app: &App,
    request: &S3Request,
    bucket: &Bucket,
    source: &CopySource,
) -> Result<Found, S3Error> {
    match lookup::find(app, bucket, &source.object, source.version).await {
        Err(error) if error.code == Code::MethodNotAllowed => Err(S3Error::invalid_request(
            "The source of a copy request may not specifically refer to a delete marker by version id.",
        )),
        Err(error)
            if [Code::NoSuchKey, Code::NoSuchVersion].contains(&error.code)
                && !request.may_list(app, bucket, &source.object).await? =>
        {
            Err(Code::AccessDenied.into())
        }
        found => found.inspect(|found| record::found_copied(found.record.plain_len)),
    }
}

/// Tells which version was copied, where the source's bucket keeps them. S3 does not tell of `null` that it was that one.
pub(in crate::api::s3::ops) fn write_source_version(bucket: &Bucket, found: &Found, headers: &mut HeaderMap) {
    if bucket.versioning != Versioning::Unversioned && !found.is_null {
        insert(headers, header::COPY_SOURCE_VERSION_ID, found.version.to_string());
    }
}

impl CopySource {
    /// The source that a request names.
    pub(in crate::api::s3::ops) fn of(request: &S3Request) -> Result<Self, S3Error> {
        let value =
            request.headers.get(header::COPY_SOURCE).and_then(|v| std::str::from_utf8(v.as_bytes()).ok());
        Self::parse(value.unwrap_or_default())
    }
}
