//! Annotations: named texts beside a version's content. Each is an object of its own in a bucket that has no door, named by the content
//! that it belongs to and sealed as that content is: so it is stored, read, counted as reachable and rebuilt as every object is.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/annotations-overview.html>

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::header::{CONTENT_LENGTH, ETAG, LAST_MODIFIED};
use storage::catalog::{
    Authority, Bucket, CatalogError, ListRequest, ListRow, ObjectRecord, ObjectSummary, ObjectVersion,
    Precondition, SystemHeaders, VersionRef, Versioning,
};
use storage::name::{BucketId, BucketName, ObjectKey, Timestamp, VersionId};

use super::lookup::{self, Found, insert};
use super::properties::Properties;
use super::rewrap::given_context;
use super::write::{self, NewVersion};
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::ops::bucket::create_recorded;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::request_document;
use crate::api::s3::response;
use crate::api::s3::wire::etag::{self, ETagMatch};
use crate::api::s3::wire::listing::{continuation_token, parse_token};
use crate::api::s3::wire::xml::XmlWriter;
use crate::api::s3::wire::{checksum, metadata, time, version};
use crate::app::App;
use crate::authz::Permit;
use crate::bucket::ANNOTATED_OBJECT;
use crate::http::body::ResponseBody;
use crate::http::header;
use crate::sse::{self, EnvelopePlace, Sse, SseInfo, SsePlan};
use crate::transfer::digest::ChecksumAlgorithm;
use crate::transfer::ingest::{Announced, Expected, Source};
use crate::transfer::journal::ChangeError;

/// The longest text, in bytes.
const MAX_LEN: usize = 1 << 20;
/// The longest name, in bytes.
const NAME_MAX_LEN: usize = 512;
/// The most annotations of a version.
const MAX_COUNT: usize = 1000;
/// Says of a version that it has had annotations, so that others cost nothing.
const ATTRIBUTE: &str = "annotated";

/// `PutObjectAnnotation`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectAnnotation.html>.
pub async fn put_object_annotation(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let name = annotation_name(&request)?;
    let algorithm = checksum::request_checksum(&request.headers)?.map(|given| given.algorithm);
    let body = request_document::read(&mut request, MAX_LEN).await?;
    if body.is_empty() {
        return Err(Code::MissingRequestBodyError.into());
    }
    if std::str::from_utf8(&body).is_err() {
        return Err(Code::UnsupportedMediaType.into());
    }
    let object = request.object()?;
    let found = find(app, bucket, &request).await?;
    let plan = plan_of(&found)?;
    let hidden = hidden_or_new(app, bucket).await?;
    let annotation = own_name(found.record.content.version, &name)?;
    let is_new = app.catalog.current(&hidden, &annotation).await?.is_none();
    if is_new && all(app, &hidden, found.record.content.version, "").await?.len() >= MAX_COUNT {
        return Err(Code::AnnotationLimitExceeded.into());
    }
    if !found.record.attributes.contains_key(ATTRIBUTE) {
        super::record_change::change(app, bucket, object, which(&found), Authority::usual(), |record| {
            flag(&mut record.attributes);
            Ok(())
        })
        .await?;
    }
    let wanted = algorithm.unwrap_or(ChecksumAlgorithm::Crc64Nvme);
    let written =
        store(app, &request, (&hidden, annotation), (bucket, object), &plan, (body, wanted)).await?;
    let mut xml = XmlWriter::document(256);
    xml.root("PutObjectAnnotationOutput");
    xml.text("Key", object.as_str());
    xml.text("AnnotationName", &name);
    xml.close("PutObjectAnnotationOutput");
    let mut response = response::xml(xml.finish());
    let headers = response.headers_mut();
    insert(headers, ETAG, etag::quoted(&written.etag));
    if let Some(stored) = &written.checksum {
        checksum::write_headers(stored, headers);
    }
    headers.extend(sse::response_headers(&found.sse, None));
    write_version(bucket, &found, headers);
    Ok(response)
}

/// `GetObjectAnnotation`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectAnnotation.html>.
pub async fn get_object_annotation(
    app: &App,
    permit: Permit,
    request: S3Request,
) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let name = annotation_name(&request)?;
    let parent = find(app, bucket, &request).await?;
    let (hidden, annotation, found) = find_annotation(app, bucket, &parent, &name).await?;
    let keys = found.open(app, &request, &hidden, &annotation, None).await?;
    let stream = found.read(app, keys, found.whole()).await?.ok_or(Code::InternalError)?;
    let mut response = S3Response::new(ResponseBody::stream(stream, found.record.plain_len));
    let headers = response.headers_mut();
    insert(headers, ETAG, etag::quoted(&found.record.etag));
    insert(headers, LAST_MODIFIED, time::http_date(found.last_modified));
    headers.insert(CONTENT_LENGTH, found.record.plain_len.into());
    if let Some(stored) = found.record.checksum.as_ref().filter(|_| checksum::mode_enabled(&request.headers))
    {
        checksum::write_headers(stored, headers);
    }
    headers.extend(sse::response_headers(&found.sse, None));
    write_version(bucket, &parent, headers);
    Ok(response)
}

/// `DeleteObjectAnnotation`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjectAnnotation.html>. What is not there is deleted.
pub async fn delete_object_annotation(
    app: &App,
    permit: Permit,
    request: S3Request,
) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let name = annotation_name(&request)?;
    let parent = find(app, bucket, &request).await?;
    let authority = request.authority(app, bucket, request.object()?, request.version).await?;
    if !parent.record.lock.allows_deletion(authority) {
        return Err(CatalogError::Locked.into());
    }
    if let Some(hidden) = hidden(app, bucket.id).await? {
        let annotation = own_name(parent.record.content.version, &name)?;
        delete(app, &hidden, &annotation).await?;
    }
    let mut response = response::no_content();
    write_version(bucket, &parent, response.headers_mut());
    Ok(response)
}

/// `ListObjectAnnotations`: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectAnnotations.html>.
pub async fn list_object_annotations(
    app: &App,
    permit: Permit,
    request: S3Request,
) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let parent = find(app, bucket, &request).await?;
    let prefix = request.query.get("annotation-prefix").unwrap_or_default();
    if prefix.len() > NAME_MAX_LEN {
        return Err(Code::InvalidPrefix.into());
    }
    let max = match request.query.get("max-annotation-results") {
        None | Some("") => MAX_COUNT,
        Some(text) => text.parse().ok().filter(|max| (1..=MAX_COUNT).contains(max)).ok_or_else(|| {
            let message = "max-annotation-results must be an integer between 1 and 1000";
            S3Error::invalid_argument(message, "max-annotation-results", text)
        })?,
    };
    let token = request.query.get("continuation-token");
    let after = token.map(parse_token).transpose()?;
    let mut rows = match hidden(app, bucket.id).await? {
        Some(hidden) => all(app, &hidden, parent.record.content.version, prefix).await?,
        None => Vec::new(),
    };
    rows.retain(|(name, _)| after.as_ref().is_none_or(|after| name > after));
    let truncated = rows.len() > max;
    rows.truncate(max);
    let mut xml = XmlWriter::document(512 + rows.len() * 256);
    xml.root("ListObjectAnnotationsOutput");
    xml.text("Bucket", bucket.name.as_str());
    xml.text("Key", request.object()?.as_str());
    xml.optional("AnnotationPrefix", Some(prefix).filter(|prefix| !prefix.is_empty()));
    xml.number("MaxAnnotationResults", max as u64);
    xml.number("AnnotationCount", rows.len() as u64);
    xml.optional("ContinuationToken", token);
    if let Some((last, _)) = rows.last().filter(|_| truncated) {
        xml.text("NextContinuationToken", &continuation_token(last));
    }
    xml.open("Annotations");
    for (name, row) in &rows {
        xml.open("AnnotationEntry");
        xml.text("AnnotationName", name);
        xml.time("LastModified", row.last_modified);
        xml.etag("ETag", &row.etag);
        xml.optional("ChecksumAlgorithm", row.checksum.as_ref().map(|(algorithm, _)| &**algorithm));
        xml.number("Size", row.plain_len);
        xml.close("AnnotationEntry");
    }
    xml.close("Annotations");
    xml.close("ListObjectAnnotationsOutput");
    let mut response = response::xml(xml.finish());
    write_version(bucket, &parent, response.headers_mut());
    Ok(response)
}

/// Does a copy take the annotations of its source along? That needs no data of theirs where the content stays the same.
pub(super) fn are_copied(
    request: &S3Request,
    source: &ObjectRecord,
    plan: &SsePlan,
) -> Result<bool, S3Error> {
    let annotated = source.attributes.contains_key(ATTRIBUTE);
    match request.headers.get(header::ANNOTATION_DIRECTIVE).map(|value| value.as_bytes()) {
        None | Some(b"COPY") if annotated && matches!(plan, SsePlan::Customer(_)) => Err(not_with_sse_c()),
        None | Some(b"COPY") => Ok(annotated),
        Some(b"EXCLUDE") => Ok(false),
        Some(other) => Err(S3Error::invalid_argument(
            "Unknown annotation directive.",
            header::ANNOTATION_DIRECTIVE.as_str(),
            String::from_utf8_lossy(other),
        )),
    }
}

/// Marks a version that has annotations.
pub(super) fn flag(attributes: &mut BTreeMap<String, Bytes>) {
    attributes.insert(ATTRIBUTE.to_owned(), Bytes::from_static(b"true"));
}

/// Copies the annotations of a version to the content of another.
pub(super) async fn copy(
    app: &App,
    request: &S3Request,
    (from_bucket, from): (&Bucket, &Found),
    (bucket, object, content): (&Bucket, &ObjectKey, VersionId),
    plan: &SsePlan,
) -> Result<(), S3Error> {
    let Some(hidden) = hidden(app, from_bucket.id).await? else { return Ok(()) };
    let to = hidden_or_new(app, bucket).await?;
    for (name, _) in all(app, &hidden, from.record.content.version, "").await? {
        let source = own_name(from.record.content.version, &name)?;
        let found = lookup::find(app, &hidden, &source, VersionRef::Current).await?;
        let keys = found.open(app, request, &hidden, &source, None).await?;
        let stream = found.read(app, keys, found.whole()).await?.ok_or(Code::InternalError)?;
        let pieces: Vec<Bytes> =
            stream.try_collect().await.map_err(|error| S3Error::new(Code::InternalError).source(error))?;
        let text = (Bytes::from(pieces.concat()), ChecksumAlgorithm::Crc64Nvme);
        store(app, request, (&to, own_name(content, &name)?), (bucket, object), plan, text).await?;
    }
    Ok(())
}

/// Deletes the annotations of a version that is gone. What is left behind where this fails, the sweep finds.
pub(super) async fn forget(app: &App, bucket: &Bucket, gone: &ObjectVersion) {
    let annotated = gone.object().filter(|record| record.attributes.contains_key(ATTRIBUTE));
    let Some(record) = annotated else { return };
    let forgotten = async {
        let Some(hidden) = hidden(app, bucket.id).await? else { return Ok(()) };
        for (name, _) in all(app, &hidden, record.content.version, "").await? {
            delete(app, &hidden, &own_name(record.content.version, &name)?).await?;
        }
        Ok::<_, S3Error>(())
    };
    if let Err(error) = forgotten.await {
        tracing::debug!(%error, "annotations of a deleted version are left to the sweep");
    }
}

/// Deletes the annotations of a bucket that is about to be deleted, if it is empty: then their objects are gone.
pub(in crate::api::s3::ops) async fn forget_all(app: &App, bucket: &Bucket) -> Result<(), S3Error> {
    let Some(hidden) = hidden(app, bucket.id).await? else { return Ok(()) };
    let one = ListRequest { prefix: String::new(), delimiter: None, after: None, limit: 1 };
    if !app.catalog.list_versions(bucket, &one, None).await?.rows.is_empty() {
        return Ok(());
    }
    let request = ListRequest { limit: MAX_COUNT, ..one };
    loop {
        let page = app.catalog.list_objects(&hidden, &request).await?;
        for row in &page.rows {
            if let ListRow::Item(row) = row {
                delete(app, &hidden, &row.object).await?;
            }
        }
        if !page.truncated {
            return Ok(app.catalog.delete_bucket(&hidden).await?);
        }
    }
}

/// The version that a request names, if it may have annotations and is the one that the request expects.
async fn find(app: &App, bucket: &Bucket, request: &S3Request) -> Result<Found, S3Error> {
    let object = request.object()?;
    let found = lookup::find(app, bucket, object, request.version).await?;
    let expected = request.headers.get(header::OBJECT_IF_MATCH).and_then(|value| value.to_str().ok());
    if expected.is_some_and(|tags| !ETagMatch::parse(tags).matches(&found.record.etag)) {
        return Err(Code::PreconditionFailed.into());
    }
    Ok(found)
}

async fn find_annotation(
    app: &App,
    bucket: &Bucket,
    parent: &Found,
    name: &str,
) -> Result<(Bucket, ObjectKey, Found), S3Error> {
    let absent = || S3Error::new(Code::NoSuchAnnotation).field("AnnotationName", name);
    let hidden = hidden(app, bucket.id).await?.ok_or_else(absent)?;
    let annotation = own_name(parent.record.content.version, name)?;
    match lookup::find(app, &hidden, &annotation, VersionRef::Current).await {
        Err(error) if error.code == Code::NoSuchKey => Err(absent()),
        found => Ok((hidden, annotation, found?)),
    }
}

/// The bucket without a door that has a bucket's annotations.
async fn hidden(app: &App, bucket: BucketId) -> Result<Option<Bucket>, S3Error> {
    match app.catalog.bucket(&BucketName::internal(bucket)).await {
        Ok(hidden) => Ok(Some(hidden)),
        Err(CatalogError::NoSuchBucket) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn hidden_or_new(app: &App, bucket: &Bucket) -> Result<Bucket, S3Error> {
    if let Some(hidden) = hidden(app, bucket.id).await? {
        return Ok(hidden);
    }
    let new = Bucket {
        name: BucketName::internal(bucket.id),
        id: BucketId::random(),
        owner: bucket.owner.clone(),
        created: Timestamp::now(),
        region: bucket.region.clone(),
        versioning: Versioning::Unversioned,
        configs: BTreeMap::new(),
        journal: None,
    };
    match create_recorded(app, new).await {
        Ok(()) | Err(ChangeError::Catalog(CatalogError::BucketExists { .. })) => {}
        Err(error) => return Err(error.into()),
    }
    hidden(app, bucket.id).await?.ok_or_else(|| Code::OperationAborted.into())
}

/// Seals and writes an annotation of an object into the bucket without a door.
async fn store(
    app: &App,
    request: &S3Request,
    (hidden, annotation): (&Bucket, ObjectKey),
    (bucket, object): (&Bucket, &ObjectKey),
    plan: &SsePlan,
    (body, algorithm): (Bytes, ChecksumAlgorithm),
) -> Result<write::Written, S3Error> {
    let version = VersionId::now();
    let place = EnvelopePlace { bucket: hidden.id, version, bucket_name: &bucket.name, object };
    let (envelope, keys) = app.sse.create(plan, place, &request.kms_caller()).await?;
    let new = NewVersion {
        bucket: hidden,
        object: &annotation,
        version,
        headers: SystemHeaders::default(),
        user_metadata: vec![(ANNOTATED_OBJECT.to_owned(), object.to_string())],
        storage_class: metadata::STANDARD_CLASS.to_owned(),
        properties: Properties::default(),
        sse: Sse::info(&envelope)?,
        envelope,
        keys,
        precondition: Precondition::None,
        announced: Announced::Exactly(body.len() as u64),
        content_md5: None,
        checksum: (algorithm, Expected::Nothing),
    };
    let source = Source::Stream(stream::once(async { Ok(body) }).boxed());
    write::write(app, source, new).await
}

async fn delete(app: &App, hidden: &Bucket, annotation: &ObjectKey) -> Result<(), S3Error> {
    let none = Precondition::None;
    app.catalog.delete_version(hidden, annotation, VersionRef::Current, &none, Authority::usual()).await?;
    Ok(())
}

/// All annotations of a content whose names start so: there are at most a thousand.
async fn all(
    app: &App,
    hidden: &Bucket,
    content: VersionId,
    prefix: &str,
) -> Result<Vec<(String, ObjectSummary)>, S3Error> {
    let before = format!("{content}/");
    let prefix = format!("{before}{prefix}");
    let request = ListRequest { prefix, delimiter: None, after: None, limit: MAX_COUNT };
    let page = app.catalog.list_objects(hidden, &request).await?;
    let rows = page.rows.iter().filter_map(|row| match row {
        ListRow::Item(row) => Some((row.object.as_str().strip_prefix(&before)?.to_owned(), row.clone())),
        ListRow::CommonPrefix(_) => None,
    });
    Ok(rows.collect())
}

/// The encryption that an annotation inherits.
fn plan_of(found: &Found) -> Result<SsePlan, S3Error> {
    match &found.sse {
        SseInfo::S3 => Ok(SsePlan::S3),
        SseInfo::Kms { key_arn, bucket_key, dsse, .. } => Ok(SsePlan::Kms {
            key_id: Some(key_arn.clone()),
            context: given_context(&found.sse)?.into_iter().collect(),
            bucket_key: *bucket_key,
            dsse: *dsse,
        }),
        SseInfo::Customer => Err(not_with_sse_c()),
    }
}

fn not_with_sse_c() -> S3Error {
    S3Error::invalid_request("Objects encrypted with SSE-C cannot have annotations.")
}

fn annotation_name(request: &S3Request) -> Result<String, S3Error> {
    let name = request.query.get("annotationName").unwrap_or_default();
    if name.len() > NAME_MAX_LEN {
        return Err(Code::AnnotationNameTooLong.into());
    }
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(Code::InvalidAnnotationName.into());
    }
    Ok(name.to_owned())
}

/// An annotation's name among the objects of the bucket without a door.
fn own_name(content: VersionId, name: &str) -> Result<ObjectKey, S3Error> {
    ObjectKey::parse(&format!("{content}/{name}")).map_err(|_| Code::AnnotationNameTooLong.into())
}

fn which(found: &Found) -> VersionRef {
    if found.is_null { VersionRef::Null } else { VersionRef::Id(found.version) }
}

fn write_version(bucket: &Bucket, found: &Found, headers: &mut http::HeaderMap) {
    if bucket.versioning != Versioning::Unversioned {
        insert(headers, header::OBJECT_VERSION_ID, version::text(found.version, found.is_null));
    }
}
