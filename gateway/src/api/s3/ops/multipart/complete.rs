//! CompleteMultipartUpload.

use http::HeaderMap;
use storage::catalog::{
    Bucket, CatalogError, CompletedPart, Content, Layout, ObjectRecord, ObjectVersion, Part, PartDirectory,
    Precondition, STORED_LEN_ATTRIBUTE, StoredChecksum, Trailer, Upload, VersionKind, Versioning,
    quota_value,
};
use storage::name::{ObjectKey, PartNumber, UploadId};

use super::{part, total};
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::ops::object::properties;
use crate::api::s3::ops::object::write::write_error;
use crate::api::s3::request::{S3Request, S3Response};
use crate::api::s3::wire::checksum;
use crate::api::s3::wire::conditional::write_precondition;
use crate::api::s3::wire::multipart::{COMPLETE_MAX_LEN, parse_complete, write_completed};
use crate::api::s3::wire::version::write_new_header;
use crate::api::s3::wire::xml::XmlWriter;
use crate::api::s3::{request_document, response};
use crate::app::App;
use crate::authz::Permit;
use crate::http::header;
use crate::sse::{Sse, response_headers};
use crate::transfer::digest::ChecksumAlgorithm;
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
    let named = work::compute(|| parse_complete(&body)).await;
    let object = request.object()?;
    let id = super::upload_id(&request.query)?;
    // That there is no such upload is told before what the document lacks.
    let done = match super::upload(app, bucket, &request).await {
        Ok(upload) => {
            let named = named.as_deref().map_err(|error| error.of_upload(id))?;
            part::check_named_encryption(app, &request.headers, &Sse::info(&upload.envelope)?)?;
            complete(app, bucket, &upload, named, &demands).await
        }
        Err(error) => Err(error),
    };
    let version = match (done, &named) {
        (Err(error), Ok(named)) if error.code == Code::NoSuchUpload => {
            completed_before(app, bucket, object, id, named).await?.ok_or(error)?
        }
        (done, _) => done?,
    };
    let record = version.object().ok_or(Code::InternalError)?;
    let mut xml = XmlWriter::document(1024);
    let location = request.url_of(bucket, object);
    write_completed(&mut xml, &location, &bucket.name, object, &record.etag, record.checksum.as_ref());
    let mut response = response::xml(xml.finish());
    let headers = response.headers_mut();
    headers.extend(response_headers(&Sse::info(&record.envelope)?, None));
    write_new_header(bucket, version.version, version.is_null, headers);
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
                return Err(checksum::many_checksums());
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

    /// Refuses a type of checksum that is not the upload's.
    fn check_type(&self, declared: Option<&(String, bool)>) -> Result<(), S3Error> {
        let own = declared.map(|(_, composite)| *composite);
        if self.composite.is_none() || self.composite == own {
            return Ok(());
        }
        Err(S3Error::invalid_request(format!(
            "The upload was created using the {} checksum mode. The complete request must use the same checksum mode.",
            own.map_or("null", checksum::type_name)
        )))
    }

    fn check(
        &self,
        plain_len: u64,
        declared: Option<&(String, bool)>,
        computed: Option<&StoredChecksum>,
    ) -> Result<(), S3Error> {
        if let Some(expected) = self.plain_len.filter(|&expected| expected != plain_len) {
            return Err(S3Error::invalid_request(format!(
                "The provided '{}' header value {expected} does not match what was computed: {plain_len}",
                header::MP_OBJECT_SIZE
            )));
        }
        let Some((algorithm, expected)) = &self.checksum else { return Ok(()) };
        let is_value = |computed: &StoredChecksum| {
            computed.value == *expected || computed.value.split('-').next() == Some(expected)
        };
        let fits = match declared {
            // Without a type it is of the one that its algorithm has by default.
            Some((own, composite)) => {
                algorithm.name() == own
                    && self.composite.unwrap_or(!algorithm.is_full_object_alone()) == *composite
                    && computed.is_some_and(is_value)
            }
            // Of an upload that declared none AWS ignores every other algorithm than the one that it computes itself.
            None => computed.is_none_or(|sum| sum.algorithm != algorithm.name() || is_value(sum)),
        };
        match declared.map_or(algorithm.name(), |(own, _)| own) {
            _ if fits => Ok(()),
            own => Err(S3Error::new(Code::BadDigest).message(format!(
                "The {} you specified did not match the calculated checksum.",
                own.to_ascii_lowercase()
            ))),
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
    let declared = upload.checksum.as_ref();
    let refuse = |error| refusal(error, upload, named, app.min_part_len, &demands.precondition);
    demands.check_type(declared)?;
    total::check_named_checksums(declared, named)?;
    if let Some(part) = named.iter().find(|part| declared.is_none() && part.checksum.is_some()) {
        return Err(refuse(CatalogError::InvalidPart(part.number)));
    }
    let parts = app.catalog.select_parts(upload.id, named, app.min_part_len).await.map_err(refuse)?;
    let plain_len = total::plain_len(&parts)?;
    work::pause().await;
    let sum = work::compute(|| total::checksum(declared, &parts)).await;
    demands.check(plain_len, declared, sum.as_ref())?;
    let stored_len = parts.iter().map(|part| part.blob.stored_len.0).sum();
    let mut attributes = upload.attributes.clone();
    attributes.insert(STORED_LEN_ATTRIBUTE.to_owned(), quota_value(stored_len));
    let record = ObjectRecord {
        plain_len,
        etag: total::etag(&parts),
        headers: upload.headers.clone(),
        user_metadata: upload.user_metadata.clone(),
        checksum: sum,
        storage_class: upload.storage_class.clone(),
        tags: upload.tags.clone(),
        lock: upload.lock,
        attributes,
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
    version.journal = app.records().write_journal(&trailer).await?;
    let precondition = &demands.precondition;
    app.catalog.complete_upload(bucket, upload, &parts, &version, precondition).await.map_err(refuse)?;
    Ok(version)
}

/// The answer to a refusal of the catalog's, with what AWS tells beside.
fn refusal(
    error: CatalogError,
    upload: &Upload,
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
            .field("UploadId", upload.id.to_string())
            .field("ETag", etag(number)),
        CatalogError::PartTooSmall { .. } => {
            S3Error::from(error).field("MinSizeAllowed", min_part_len.to_string())
        }
        CatalogError::NoSuchUpload => super::no_such_upload(upload.id),
        error => write_error(error, precondition, &upload.object),
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
        let crc = |value| (header::CHECKSUM_CRC32, value);
        let kind = |value| (header::CHECKSUM_TYPE, value);
        let check = |pairs: &[(http::HeaderName, &str)],
                     declared: Option<(&str, bool)>,
                     sum: Option<&StoredChecksum>| {
            let declared = declared.map(|(name, composite)| (name.to_owned(), composite));
            let demands = demands(pairs)?;
            let checked = demands.check_type(declared.as_ref());
            checked.and_then(|()| demands.check(7, declared.as_ref(), sum)).map_err(|error| error.code)
        };
        let (as_full, as_composite) = (Some(("CRC32", false)), Some(("CRC32", true)));
        let (of_full, of_composite) = (kind("FULL_OBJECT"), kind("COMPOSITE"));
        assert_eq!(check(&[], None, None), Ok(()));
        assert_eq!(check(&[crc("AAAAAA=="), of_full.clone()], as_full, Some(&full)), Ok(()));
        assert_eq!(check(&[crc("AAAAAQ=="), of_full.clone()], as_full, Some(&full)), Err(Code::BadDigest));
        // Without a type a CRC32 is a composite one.
        assert_eq!(check(&[crc("AAAAAA==")], as_full, Some(&full)), Err(Code::BadDigest));
        assert_eq!(check(&[crc("AAAAAA==-3")], as_composite, Some(&composite)), Ok(()));
        assert_eq!(check(&[crc("AAAAAA==")], as_composite, Some(&composite)), Ok(()));
        assert_eq!(check(&[crc("AAAAAA==-2")], as_composite, Some(&composite)), Err(Code::BadDigest));
        assert_eq!(check(&[crc("x")], as_full, Some(&full)), Err(Code::InvalidRequest));
        let sha = stored("SHA1", true, "a-1");
        assert_eq!(check(&[crc("AAAAAA==")], Some(("SHA1", true)), Some(&sha)), Err(Code::BadDigest));
        let nvme = stored("CRC64NVME", false, "AAAAAAAAAAA=");
        let nvme_is = |value| (header::CHECKSUM_CRC64NVME, value);
        assert_eq!(check(&[nvme_is("AAAAAAAAAAA=")], Some(("CRC64NVME", false)), Some(&nvme)), Ok(()));
        // An upload that declared none.
        assert_eq!(check(&[crc("AAAAAQ==-2")], None, Some(&nvme)), Ok(()));
        assert_eq!(check(&[nvme_is("AAAAAAAAAAE=")], None, Some(&nvme)), Err(Code::BadDigest));
        assert_eq!(check(std::slice::from_ref(&of_full), None, Some(&nvme)), Err(Code::InvalidRequest));
        let twice = [crc("AAAAAA=="), (header::CHECKSUM_CRC32C, "AAAAAA==")];
        assert_eq!(check(&twice, as_full, Some(&full)), Err(Code::InvalidRequest));
        assert_eq!(check(std::slice::from_ref(&of_composite), as_composite, Some(&composite)), Ok(()));
        assert_eq!(check(&[of_composite], as_full, Some(&full)), Err(Code::InvalidRequest));
        assert_eq!(check(&[of_full], as_composite, Some(&composite)), Err(Code::InvalidRequest));
    }

    #[test]
    fn lengths_are_compared() {
        let size = |value| demands(&[(header::MP_OBJECT_SIZE, value)]);
        assert!(size("7").unwrap().check(7, None, None).is_ok());
        let error = size("8").unwrap().check(7, None, None).unwrap_err();
        assert_eq!(
            error.client_message(),
            "The provided 'x-amz-mp-object-size' header value 8 does not match what was computed: 7"
        );
        assert_eq!(size("-1").err(), Some(Code::InvalidRequest));
    }
}
