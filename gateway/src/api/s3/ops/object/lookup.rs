//! The object that a request reads, and what every answer about it says.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use storage::blob::BlobError;
use storage::catalog::{Bucket, ObjectRecord, ObjectVersion, VersionKind, VersionRef};
use storage::name::{ObjectKey, Timestamp, VersionId};

use super::lock::legal_hold;
use super::{archive, properties};
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::request::{Query, S3Request};
use crate::api::s3::wire::{etag, lock, metadata, time, version};
use crate::app::App;
use crate::config::SseCOverHttp;
use crate::http::body::ByteStream;
use crate::http::header;
use crate::seal::{ContentKeys, PlainRange};
use crate::sse::{self, CustomerHeaders, CustomerKey, EnvelopePlace, PlanError, Sse, SseError, SseInfo};
use crate::transfer::egress::{self, EgressError};

/// A version of an object.
pub(in crate::api::s3::ops) struct Found {
    pub(in crate::api::s3::ops) version: VersionId,
    pub(in crate::api::s3::ops) is_null: bool,
    pub(in crate::api::s3::ops) renamed: bool,
    pub(in crate::api::s3::ops) last_modified: Timestamp,
    pub(in crate::api::s3::ops) record: ObjectRecord,
    pub(in crate::api::s3::ops) sse: SseInfo,
}

/// Finds a version of an object: `NoSuchKey` or `NoSuchVersion` if there is none, and `MethodNotAllowed` if a delete marker is named.
pub(in crate::api::s3::ops) async fn find(
    app: &App,
    bucket: &Bucket,
    object: &ObjectKey,
    which: VersionRef,
) -> Result<Found, S3Error> {
    let found = app.catalog.version(bucket, object, which).await?;
    let Some(ObjectVersion { version, is_null, renamed, last_modified, kind, .. }) = found else {
        return Err(absent(object, which));
    };
    match kind {
        VersionKind::Object(record) => {
            let sse = Sse::info(&record.envelope)?;
            Ok(Found { version, is_null, renamed, last_modified, record: *record, sse })
        }
        VersionKind::DeleteMarker => {
            let error = match which {
                VersionRef::Current => absent(object, which),
                VersionRef::Null | VersionRef::Id(_) | VersionRef::Noncurrent(_) => {
                    marker_not_allowed(absent(object, which))
                        .header(http::header::LAST_MODIFIED, time::http_date(last_modified))
                }
            };
            Err(error
                .header(header::DELETE_MARKER, "true")
                .header(header::VERSION_ID, version::text(version, is_null)))
        }
    }
}

/// What of a delete marker is refused because it is one.
fn marker_not_allowed(absent: S3Error) -> S3Error {
    S3Error { headers: absent.headers, ..S3Error::new(Code::MethodNotAllowed) }
        .field("ResourceType", "DeleteMarker")
        .header(http::header::ALLOW, "DELETE")
}

/// As [`find`] refuses, but for those operations to which a delete marker that is current is no absent object but one that can't be
/// asked for this: what is about tags, and a new ACL.
pub(in crate::api::s3::ops) fn seeing_marker(error: S3Error) -> S3Error {
    let is_marker = error.headers.iter().any(|(name, _)| *name == header::DELETE_MARKER);
    if error.code == Code::NoSuchKey && is_marker { marker_not_allowed(error) } else { error }
}

/// The refusal of what is not there.
pub(in crate::api::s3::ops) fn absent(object: &ObjectKey, which: VersionRef) -> S3Error {
    let id = match which {
        VersionRef::Current => return S3Error::new(Code::NoSuchKey).field("Key", object.as_str()),
        VersionRef::Null => version::NULL.to_owned(),
        VersionRef::Id(id) | VersionRef::Noncurrent(id) => id.to_string(),
    };
    S3Error::new(Code::NoSuchVersion).field("Key", object.as_str()).field("VersionId", id)
}

/// The caller's key of a request for this object, which must be there for SSE-C and for nothing else.
pub(in crate::api::s3::ops) fn customer_key(
    app: &App,
    request: &S3Request,
    which: CustomerHeaders,
    sse: &SseInfo,
) -> Result<Option<CustomerKey>, S3Error> {
    customer_key_in(&request.headers, which, request.channel(app), sse)
}

/// The same of headers that came this way: over TLS, from whom, and what the setting says of plain HTTP.
pub(in crate::api::s3::ops) fn customer_key_in(
    headers: &HeaderMap,
    which: CustomerHeaders,
    channel: (bool, IpAddr, SseCOverHttp),
    sse: &SseInfo,
) -> Result<Option<CustomerKey>, S3Error> {
    let customer = match sse::customer_key(headers, which, channel) {
        Err(PlanError::CustomerMd5Missing) => return Err(SseError::WrongCustomerKey.into()),
        customer => customer?,
    };
    match (&customer, sse) {
        (None, SseInfo::Customer) => Err(SseError::CustomerKeyMissing.into()),
        (Some(_), SseInfo::S3 | SseInfo::Kms { .. }) => Err(SseError::NotCustomerEncrypted.into()),
        _ => Ok(customer),
    }
}

impl Found {
    /// The place that its envelope is bound to.
    pub(in crate::api::s3::ops) fn place<'a>(
        &self,
        bucket: &'a Bucket,
        object: &'a ObjectKey,
    ) -> EnvelopePlace<'a> {
        EnvelopePlace {
            bucket: bucket.id,
            version: self.record.content.version,
            bucket_name: &bucket.name,
            object,
        }
    }

    /// Its ContentKeys.
    pub(in crate::api::s3::ops) async fn open(
        &self,
        app: &App,
        request: &S3Request,
        bucket: &Bucket,
        object: &ObjectKey,
        customer: Option<&CustomerKey>,
    ) -> Result<ContentKeys, S3Error> {
        request.expect_v4_for_kms(matches!(self.sse, SseInfo::Kms { .. }))?;
        let place = self.place(bucket, object);
        Ok(app.sse.open(&self.record.envelope, place, customer, &request.kms_caller()).await?)
    }

    /// A range of its content. `None`: the blob that the record names is not there, because it was moved or replaced after the
    /// record was read; find the object again.
    pub(in crate::api::s3::ops) async fn read(
        &self,
        app: &App,
        keys: ContentKeys,
        range: PlainRange,
    ) -> Result<Option<ByteStream>, S3Error> {
        let ObjectRecord { content, plain_len, .. } = &self.record;
        match egress::read(&app.catalog, &app.blobs, content, keys, *plain_len, range).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error @ (EgressError::Blob(BlobError::NotFound(_)) | EgressError::MissingPart)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "a record was out of date");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// All of its content.
    pub(in crate::api::s3::ops) fn whole(&self) -> PlainRange {
        PlainRange { offset: 0, len: self.record.plain_len }
    }

    /// The version as it was read.
    pub(in crate::api::s3::ops) fn as_version(&self) -> ObjectVersion {
        ObjectVersion {
            version: self.version,
            is_null: self.is_null,
            last_modified: self.last_modified,
            kind: VersionKind::Object(Box::new(self.record.clone())),
            renamed: self.renamed,
            journal: None,
        }
    }

    /// The headers that every answer about it has.
    pub(in crate::api::s3::ops) fn write_headers(
        &self,
        app: &App,
        (bucket, object): (&Bucket, &ObjectKey),
        query: &Query,
        customer: Option<&CustomerKey>,
        headers: &mut HeaderMap,
    ) {
        headers.reserve(HEAD_LEN);
        metadata::write_object_headers(&self.record.headers, &self.record.user_metadata, query, headers);
        insert(headers, http::header::ETAG, etag::quoted(&self.record.etag));
        insert(headers, http::header::LAST_MODIFIED, time::http_date(self.last_modified));
        headers.insert(http::header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if self.record.storage_class != metadata::STANDARD_CLASS {
            insert(headers, header::STORAGE_CLASS, &self.record.storage_class);
        }
        version::write_header(bucket, self.version, self.is_null, headers);
        if !self.record.tags.is_empty() {
            headers.insert(header::TAGGING_COUNT, self.record.tags.len().into());
        }
        lock::write_headers(&self.record.lock, legal_hold(&self.record), headers);
        archive::write_header(&self.record, headers);
        // Of a version that is asked for by its id nothing says whether it is the current one.
        if !query.has("versionId") {
            properties::write_expiration(app, bucket, object, &self.record, self.last_modified, headers);
        }
        headers.extend(sse::response_headers(&self.sse, customer.map(|c| c.md5_base64.as_str())));
    }
}

/// Headers that room is made for at once: most answers about an object have fewer, and the map would double on the way.
const HEAD_LEN: usize = 12;

/// Sets a header whose value is ours; one that can't stand in a header is left out.
pub(in crate::api::s3::ops) fn insert(
    headers: &mut HeaderMap,
    name: HeaderName,
    value: impl TryInto<HeaderValue>,
) {
    if let Ok(value) = value.try_into() {
        headers.insert(name, value);
    }
}
