//! CompleteMultipartUpload.

use http::HeaderMap;
use storage::catalog::{
    Bucket, CatalogError, CompletedPart, Content, Layout, ObjectRecord, ObjectVersion, Part, PartDirectory,
    Precondition, StoredChecksum, Trailer, Upload, VersionKind, Versioning,
};
use storage::name::{ObjectKey, PartNumber, UploadId};

use super::{part, total};
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::ops::object::properties;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::wire::checksum;
use crate::api::s3::wire::conditional::write_precondition;
use crate::api::s3::wire::multipart::{COMPLETE_MAX_LEN, parse_complete, write_completed};
use crate::api::s3::wire::version::write_header;
use crate::api::s3::wire::xml::XmlWriter;
use crate::api::s3::{request_document, response};
use crate::app::App;
use crate::authz::Permit;
use crate::http::header;
use crate::sse::{Sse, response_headers};
use crate::transfer::digest::ChecksumAlgorithm;
use crate::transfer::journal;
use crate::work;

/// Turns an upload into the object. A request that is sent again after it succeeded is answered as before while the
/// object is there: its first answer may have been lost.
pub async fn complete_multipart_upload(
    app: &App,
    permit: Permit,
    mut request: S3Request,
) -> Result<S3Response, S3Error> {
    let bucket = permit.bucket();
    let demands = Demands::take(&mut request.headers)?;
    let body = request_document::read(&mut request, COMPLETE_MAX_LEN).await?;
    let named = work::compute(|| parse_complete(&body)).await?;
    let object = request.object()?;
    let id = super::upload_id(&request.query)?;
    let done = match app.catalog.upload(bucket, object, id).await {
        Ok(upload) => {
            part::check_named_encryption(app, &request.headers, &Sse::info(&upload.envelope)?)?;
            complete(app, bucket, &upload, &named, &demands).await
        }
        Err(error) => Err(error.into()),
    };
    let version = match done {
        Err(error) if error.code == Code::NoSuchUpload => {
            completed_before(app, bucket, object, id, &named).await?.ok_or(error)?
        }
        done => done?,
    };
    let record = version.object().ok_or(Code::InternalError)?;
    let mut xml = XmlWriter::document(1024);
    let location = request.url_of(bucket, object);
    write_completed(&mut xml, &location, &bucket.name, object, &record.etag, record.checksum.as_ref());
    let mut response = response::xml(xml.finish());
    let headers = response.headers_mut();
    headers.extend(response_headers(&Sse::info(&record.envelope)?, None));
    write_header(bucket, version.version, version.is_null, headers);
    properties::write_expiration(app, bucket, object, record, version.last_modified, headers);
    Ok(response)
}

/// What the request demands of the object beside its parts.
struct Demands {
    precondition: Precondition,
    plain_len: Option<u64>,
    composite: Option<bool>,
    checksum: Option<(ChecksumAlgorithm, String)>,
}

impl Demands {
    /// Reads the headers. Those of checksums speak of the object, not of the request's body: they are taken out.
    fn take(headers: &mut HeaderMap) -> Result<Self, S3Error> {
        let mut sum = None;
        for algorithm in ChecksumAlgorithm::ALL {
            let Some(value) = headers.remove(algorithm.header()) else { continue };
            let value = value.to_str().unwrap_or_default().trim().to_owned();
            // A composite value may have the number of parts behind it.
            checksum::parse_named_value(algorithm, value.split('-').next().unwrap_or_default())?;
            if sum.replace((algorithm, value)).is_some() {
                return Err(S3Error::invalid_request(format!(
                    "Expecting a single {} header. Multiple checksum Types are not allowed.",
                    header::CHECKSUM_PREFIX
                )));
            }
        }
        let plain_len = match headers.get(header::MP_OBJECT_SIZE) {
            None => None,
            Some(value) => Some(value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
                S3Error::invalid_request(format!("Value for {} header is invalid.", header::MP_OBJECT_SIZE))
            })?),
        };
        Ok(Self {
            precondition: write_precondition(headers)?,
            plain_len,
            composite: checksum::checksum_type(headers)?,
            checksum: sum,
        })
    }

    fn check(&self, plain_len: u64, computed: Option<&StoredChecksum>) -> Result<(), S3Error> {
        if let Some(expected) = self.plain_len.filter(|&expected| expected != plain_len) {
            return Err(S3Error::invalid_request(format!(
                "The provided '{}' header value {expected} does not match what was computed: {plain_len}",
                header::MP_OBJECT_SIZE
            )));
        }
        let is_composite = computed.is_some_and(|computed| computed.composite);
        if self.composite.is_some_and(|composite| computed.is_some() && composite != is_composite) {
            return Err(S3Error::invalid_request(format!(
                "The upload was created using the {} checksum mode. The complete request must use the same checksum \
                 mode.",
                checksum::type_name(is_composite)
            )));
        }
        let Some((algorithm, expected)) = &self.checksum else { return Ok(()) };
        let computed = computed.ok_or_else(|| checksum::mismatch(*algorithm))?;
        if computed.algorithm != algorithm.name() {
            let computed = ChecksumAlgorithm::parse(&computed.algorithm).ok_or(Code::InternalError)?;
            return Err(part::type_mismatch(computed, Some(*algorithm)));
        }
        let bare = computed.value.split('-').next();
        if computed.value == *expected || bare == Some(expected) {
            Ok(())
        } else {
            Err(checksum::mismatch(*algorithm))
        }
    }
}

async fn complete(
    app: &App,
    bucket: &Bucket,
    upload: &Upload,
    named: &[CompletedPart],
    demands: &Demands,
) -> Result<ObjectVersion, S3Error> {
    total::require_checksums(upload.checksum.as_ref(), named)?;
    let refuse = |error| refusal(error, upload.id, named, app.min_part_len, &demands.precondition);
    let parts = app.catalog.select_parts(upload.id, named, app.min_part_len).await.map_err(refuse)?;
    let plain_len = total::plain_len(&parts)?;
    work::pause().await;
    let sum = work::compute(|| total::checksum(upload.checksum.as_ref(), &parts)).await;
    demands.check(plain_len, sum.as_ref())?;
    let record = ObjectRecord {
        plain_len,
        etag: total::etag(&parts),
        headers: upload.headers.clone(),
        user_metadata: upload.user_metadata.clone(),
        checksum: sum,
        storage_class: upload.storage_class.clone(),
        tags: upload.tags.clone(),
        lock: upload.lock,
        attributes: upload.attributes.clone(),
        envelope: upload.envelope.clone(),
        content: Content {
            version: upload.id.0,
            layout: Layout::Parts(PartDirectory::of(&parts)),
            salt: None,
        },
    };
    let mut version = ObjectVersion {
        version: match bucket.versioning {
            Versioning::Unversioned => upload.id.0,
            _ => app.catalog.next_version_id(bucket, &upload.object).await?,
        },
        is_null: bucket.versioning != Versioning::Enabled,
        // As on AWS an object is as old as its upload.
        last_modified: upload.initiated,
        kind: VersionKind::Object(Box::new(record)),
        renamed: false,
        journal: None,
    };
    let trailer =
        Trailer::Object { bucket: bucket.id, object: upload.object.clone(), version: version.clone() };
    version.journal = Some(journal::write(&app.blobs, &app.metadata_key, &trailer).await?);
    let precondition = &demands.precondition;
    app.catalog.complete_upload(bucket, upload, &parts, &version, precondition).await.map_err(refuse)?;
    Ok(version)
}

/// The answer to a refusal of the catalog's, with what AWS tells beside.
fn refusal(
    error: CatalogError,
    id: UploadId,
    named: &[CompletedPart],
    min_part_len: u64,
    precondition: &Precondition,
) -> S3Error {
    let etag = |number: PartNumber| {
        let part = named.iter().find(|part| part.number == number);
        part.map(|part| part.etag.clone()).unwrap_or_default()
    };
    match error {
        CatalogError::InvalidPart(number) => S3Error::from(CatalogError::InvalidPart(number))
            .field("UploadId", id.to_string())
            .field("ETag", etag(number)),
        CatalogError::PartTooSmall { .. } => {
            S3Error::from(error).field("MinSizeAllowed", min_part_len.to_string())
        }
        CatalogError::Contended if *precondition != Precondition::None => {
            Code::ConditionalRequestConflict.into()
        }
        error => error.into(),
    }
}

/// The object, if this very upload became it from these very parts.
async fn completed_before(
    app: &App,
    bucket: &Bucket,
    object: &ObjectKey,
    id: UploadId,
    named: &[CompletedPart],
) -> Result<Option<ObjectVersion>, S3Error> {
    let Some(version) = app.catalog.current(bucket, object).await? else { return Ok(None) };
    let Some(record) = version.object() else { return Ok(None) };
    if record.content.version != id.0 {
        return Ok(None);
    }
    let (_, parts) = app.catalog.parts_from_offset(&record.content, 0, PartNumber::MAX.into()).await?;
    let same =
        |(part, named): (&Part, &CompletedPart)| part.number == named.number && part.etag == named.etag;
    let all = parts.len() == named.len() && parts.iter().zip(named).all(same);
    Ok(all.then_some(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demands(pairs: &[(http::HeaderName, &str)]) -> Result<Demands, Code> {
        let mut headers: HeaderMap = pairs.iter().map(|(n, v)| (n.clone(), v.parse().unwrap())).collect();
        let demands = Demands::take(&mut headers).map_err(|error| error.code);
        assert!(!headers.contains_key(header::CHECKSUM_CRC32));
        demands
    }

    fn stored(algorithm: &str, composite: bool, value: &str) -> StoredChecksum {
        StoredChecksum { algorithm: algorithm.into(), composite, value: value.into() }
    }

    #[test]
    fn checksums_are_compared() {
        let full = stored("CRC32", false, "AAAAAA==");
        let composite = stored("CRC32", true, "AAAAAA==-3");
        let check = |pairs: &[(http::HeaderName, &str)], sum: Option<&StoredChecksum>| {
            demands(pairs).and_then(|demands| demands.check(7, sum).map_err(|error| error.code))
        };
        let crc = |value| (header::CHECKSUM_CRC32, value);
        assert_eq!(check(&[], None), Ok(()));
        assert_eq!(check(&[crc("AAAAAA==")], Some(&full)), Ok(()));
        assert_eq!(check(&[crc("AAAAAA==-3")], Some(&composite)), Ok(()));
        assert_eq!(check(&[crc("AAAAAA==")], Some(&composite)), Ok(()));
        assert_eq!(check(&[crc("AAAAAA==-2")], Some(&composite)), Err(Code::BadDigest));
        assert_eq!(check(&[crc("AAAAAQ==")], Some(&full)), Err(Code::BadDigest));
        assert_eq!(check(&[crc("AAAAAQ==")], None), Err(Code::BadDigest));
        assert_eq!(check(&[crc("x")], Some(&full)), Err(Code::InvalidRequest));
        let sha = stored("SHA1", true, "a-1");
        assert_eq!(check(&[crc("AAAAAA==")], Some(&sha)), Err(Code::InvalidRequest));
        let twice = [crc("AAAAAA=="), (header::CHECKSUM_CRC32C, "AAAAAA==")];
        assert_eq!(check(&twice, Some(&full)), Err(Code::InvalidRequest));
        let kind = |value| (header::CHECKSUM_TYPE, value);
        assert_eq!(check(&[kind("COMPOSITE")], Some(&composite)), Ok(()));
        assert_eq!(check(&[kind("COMPOSITE")], Some(&full)), Err(Code::InvalidRequest));
        assert_eq!(check(&[kind("FULL_OBJECT")], Some(&composite)), Err(Code::InvalidRequest));
    }

    #[test]
    fn lengths_are_compared() {
        let size = |value| demands(&[(header::MP_OBJECT_SIZE, value)]);
        assert!(size("7").unwrap().check(7, None).is_ok());
        let error = size("8").unwrap().check(7, None).unwrap_err();
        assert_eq!(
            error.client_message(),
            "The provided 'x-amz-mp-object-size' header value 8 does not match what was computed: 7"
        );
        assert_eq!(size("-1").err(), Some(Code::InvalidRequest));
    }
}
