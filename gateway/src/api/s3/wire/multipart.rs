//! The documents of multipart uploads.

use std::sync::Arc;

use storage::catalog::{CompletedPart, ListPage, ListRow, Part, StoredChecksum, Upload};
use storage::name::{BucketName, NameError, ObjectKey, PartNumber, Timestamp, UploadId};

use super::checksum;
use super::listing::{Page, write_owner};
use super::time::whole_second;
use super::xml::{MalformedXml, XmlParser, XmlWriter};
use crate::api::s3::error::{Code, S3Error};
use crate::iam::Account;
use crate::transfer::digest::ChecksumAlgorithm;

/// The longest body of CompleteMultipartUpload: 10,000 parts with a checksum each, indented.
pub const COMPLETE_MAX_LEN: usize = 8 << 20;

/// Reads the body of CompleteMultipartUpload: 1 to 10,000 parts, strictly ascending.
pub fn parse_complete(document: &[u8]) -> Result<Vec<CompletedPart>, CompleteError> {
    if document.is_empty() {
        return Err(CompleteError::Empty);
    }
    let mut xml = XmlParser::root(document, "CompleteMultipartUpload")?;
    let mut parts: Vec<CompletedPart> = Vec::new();
    while let Some(name) = xml.child()? {
        if name != "Part" || parts.len() == usize::from(PartNumber::MAX) {
            return Err(MalformedXml.into());
        }
        let part = completed_part(&mut xml)?;
        if parts.last().is_some_and(|last| last.number >= part.number) {
            return Err(CompleteError::Order);
        }
        parts.push(part);
    }
    xml.end()?;
    if parts.is_empty() { Err(MalformedXml.into()) } else { Ok(parts) }
}

/// Why the body of CompleteMultipartUpload is refused, once it is known that there is the upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompleteError {
    /// There is none.
    Empty,
    /// It is not of the schema.
    Malformed,
    /// A number is that of no part.
    PartNumber,
    /// The parts do not ascend.
    Order,
}

impl CompleteError {
    /// The answer to whoever completes this upload.
    pub fn of_upload(self, upload: UploadId) -> S3Error {
        match self {
            Self::Empty => S3Error::invalid_request("You must specify at least one part"),
            Self::Malformed => MalformedXml.into(),
            Self::PartNumber => NameError::PartNumber.into(),
            Self::Order => S3Error::new(Code::InvalidPartOrder).field("UploadId", upload.to_string()),
        }
    }
}

impl From<MalformedXml> for CompleteError {
    fn from(_: MalformedXml) -> Self {
        Self::Malformed
    }
}

impl From<NameError> for CompleteError {
    fn from(_: NameError) -> Self {
        Self::PartNumber
    }
}

fn completed_part(xml: &mut XmlParser<'_>) -> Result<CompletedPart, CompleteError> {
    let (mut number, mut etag, mut sum) = (None, None, None);
    while let Some(name) = xml.child()? {
        match &*name {
            "PartNumber" => number = Some(xml.number()?),
            "ETag" => etag = Some(super::etag::bare(&xml.token()?).to_owned()),
            name => {
                let algorithm = checksum::of_element(name).ok_or(MalformedXml)?;
                let value = xml.token()?;
                if !value.is_empty() && sum.replace((algorithm.name().to_owned(), value)).is_some() {
                    return Err(MalformedXml.into());
                }
            }
        }
    }
    Ok(CompletedPart {
        number: PartNumber::new(number.ok_or(MalformedXml)?)?,
        etag: etag.ok_or(MalformedXml)?,
        checksum: sum,
    })
}

/// Writes the answer of CreateMultipartUpload.
pub fn write_initiated(bucket: &BucketName, object: &ObjectKey, upload: UploadId) -> Vec<u8> {
    let mut xml = XmlWriter::document(320 + object.as_str().len());
    xml.root("InitiateMultipartUploadResult");
    xml.text("Bucket", bucket.as_str());
    xml.text("Key", object.as_str());
    xml.text("UploadId", &upload.to_string());
    xml.close("InitiateMultipartUploadResult");
    xml.finish()
}

/// Writes the answer of CompleteMultipartUpload, without the declaration if `xml` is a fragment.
pub fn write_completed(
    xml: &mut XmlWriter,
    location: &str,
    bucket: &BucketName,
    object: &ObjectKey,
    etag: &str,
    sum: Option<&StoredChecksum>,
) {
    xml.root("CompleteMultipartUploadResult");
    xml.text("Location", location);
    xml.text("Bucket", bucket.as_str());
    xml.text("Key", object.as_str());
    xml.etag("ETag", etag);
    if let Some(sum) = sum {
        write_checksum(xml, sum);
        xml.text("ChecksumType", checksum::type_name(sum.composite));
    }
    xml.close("CompleteMultipartUploadResult");
}

/// Writes the answer of CopyObject (`CopyObjectResult`) or UploadPartCopy (`CopyPartResult`).
pub fn write_copied(
    root: &str,
    etag: &str,
    last_modified: Timestamp,
    sum: Option<&StoredChecksum>,
) -> Vec<u8> {
    let mut xml = XmlWriter::document(384);
    xml.root(root);
    xml.time("LastModified", whole_second(last_modified));
    xml.etag("ETag", etag);
    if let Some(sum) = sum {
        write_checksum(&mut xml, sum);
        // A part's checksum has no type; the object's will have.
        if root == "CopyObjectResult" {
            xml.text("ChecksumType", checksum::type_name(sum.composite));
        }
    }
    xml.close(root);
    xml.finish()
}

/// Writes `<ChecksumCRC32>…`.
pub fn write_checksum(xml: &mut XmlWriter, sum: &StoredChecksum) {
    if let Some(algorithm) = ChecksumAlgorithm::parse(&sum.algorithm) {
        xml.text(checksum::element(algorithm), &sum.value);
    }
}

/// Who began an upload.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Initiator.html>
#[derive(Debug, Clone)]
pub struct Initiator {
    /// The canonical user id of an account; of everybody else the ARN.
    pub id: String,
    /// The account's name; of everybody else the last part of the ARN.
    pub display_name: String,
}

/// What a ListParts asked for.
#[derive(Debug, Clone)]
pub struct PartsPage<'a> {
    /// The bucket.
    pub bucket: &'a BucketName,
    /// Who owns it.
    pub owner: &'a Account,
    /// Who began the upload.
    pub initiator: Initiator,
    /// Behind which part it begins.
    pub part_number_marker: u16,
    /// How many parts at most.
    pub max_parts: usize,
    /// Percent-encode the key.
    pub url_encoded: bool,
}

/// Writes the answer of ListParts.
pub fn write_parts(page: &PartsPage<'_>, upload: &Upload, parts: &[Part], truncated: bool) -> Vec<u8> {
    let mut xml = XmlWriter::document(1024 + parts.len() * 256);
    xml.root("ListPartsResult");
    xml.text("Bucket", page.bucket.as_str());
    xml.object_name("Key", upload.object.as_str(), page.url_encoded);
    xml.text("UploadId", &upload.id.to_string());
    write_initiator(&mut xml, &page.initiator);
    write_owner(&mut xml, page.owner);
    xml.text("StorageClass", &upload.storage_class);
    xml.number("PartNumberMarker", page.part_number_marker.into());
    let next = parts.last().map_or(0, |part| part.number.get());
    xml.number("NextPartNumberMarker", next.into());
    xml.number("MaxParts", page.max_parts as u64);
    xml.boolean("IsTruncated", truncated);
    if page.url_encoded {
        xml.text("EncodingType", "url");
    }
    if let Some((algorithm, composite)) = &upload.checksum {
        xml.text("ChecksumAlgorithm", algorithm);
        xml.text("ChecksumType", checksum::type_name(*composite));
    }
    for part in parts {
        xml.open("Part");
        xml.number("PartNumber", part.number.get().into());
        xml.time("LastModified", whole_second(part.last_modified));
        xml.etag("ETag", &part.etag);
        xml.number("Size", part.plain_len);
        // What the upload did not declare is for the object alone.
        if let Some(sum) = part.checksum.as_ref().filter(|_| upload.checksum.is_some()) {
            write_checksum(&mut xml, sum);
        }
        xml.close("Part");
    }
    xml.close("ListPartsResult");
    xml.finish()
}

fn write_initiator(xml: &mut XmlWriter, initiator: &Initiator) {
    xml.open("Initiator");
    xml.text("ID", &initiator.id);
    xml.text("DisplayName", &initiator.display_name);
    xml.close("Initiator");
}

/// Writes the answer of ListMultipartUploads. `page.marker` is the key-marker, `initiator_of` tells who an ARN is.
pub fn write_uploads(
    page: Page<'_>,
    owner_of: impl Fn(&Upload) -> Arc<Account>,
    initiator_of: impl Fn(&str) -> Initiator,
    upload_id_marker: &str,
    uploads: &ListPage<Upload>,
) -> Vec<u8> {
    let mut xml = XmlWriter::document(1024 + uploads.rows.len() * 640);
    let url = page.url_encoded;
    xml.root("ListMultipartUploadsResult");
    xml.text("Bucket", page.bucket.as_str());
    xml.object_name("KeyMarker", page.marker.unwrap_or_default(), url);
    xml.text("UploadIdMarker", upload_id_marker);
    // The last upload of the page, whether more follow or not; of common prefixes AWS tells nothing here.
    let last = uploads.rows.iter().rev().find_map(|row| match row {
        ListRow::Item(upload) => Some(upload),
        ListRow::CommonPrefix(_) => None,
    });
    xml.object_name("NextKeyMarker", last.map_or("", |upload| upload.object.as_str()), url);
    xml.text("NextUploadIdMarker", &last.map(|upload| upload.id.to_string()).unwrap_or_default());
    page.write_prefix_and_delimiter(&mut xml, !page.prefix.is_empty());
    xml.number("MaxUploads", page.max as u64);
    xml.boolean("IsTruncated", uploads.truncated);
    for row in &uploads.rows {
        let ListRow::Item(upload) = row else { continue };
        xml.open("Upload");
        xml.object_name("Key", upload.object.as_str(), url);
        xml.text("UploadId", &upload.id.to_string());
        write_initiator(&mut xml, &initiator_of(&upload.initiator));
        write_owner(&mut xml, &owner_of(upload));
        xml.text("StorageClass", &upload.storage_class);
        xml.time("Initiated", whole_second(upload.initiated));
        if let Some((algorithm, composite)) = &upload.checksum {
            xml.text("ChecksumAlgorithm", algorithm);
            xml.text("ChecksumType", checksum::type_name(*composite));
        }
        xml.close("Upload");
    }
    page.write_common_prefixes(&mut xml, &uploads.rows);
    xml.close("ListMultipartUploadsResult");
    xml.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(inner: &str) -> Result<Vec<CompletedPart>, CompleteError> {
        let document = format!("<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>");
        parse_complete(document.as_bytes())
    }

    fn part(number: u32) -> String {
        format!("<Part><PartNumber>{number}</PartNumber><ETag>&quot;e{number}&quot;</ETag></Part>")
    }

    #[test]
    fn completions() {
        let parts = parse(&(part(1) + "<Part><ChecksumCRC64NVME>AAAAAAAAAAA=</ChecksumCRC64NVME><ETag>x</ETag><PartNumber>7</PartNumber></Part>")).unwrap();
        assert_eq!((parts[0].number.get(), parts[0].etag.as_str(), &parts[0].checksum), (1, "e1", &None));
        let sum = ("CRC64NVME".to_owned(), "AAAAAAAAAAA=".to_owned());
        assert_eq!((parts[1].number.get(), &parts[1].checksum), (7, &Some(sum)));
        assert_eq!(parse(""), Err(CompleteError::Malformed));
        assert_eq!(parse(&(part(2) + &part(1))), Err(CompleteError::Order));
        assert_eq!(parse(&(part(2) + &part(2))), Err(CompleteError::Order));
        assert_eq!(parse(&part(0)), Err(CompleteError::PartNumber));
        assert_eq!(parse(&part(10_001)), Err(CompleteError::PartNumber));
        assert_eq!(parse("<Part><PartNumber>1</PartNumber></Part>"), Err(CompleteError::Malformed));
        assert_eq!(parse("<Part><ETag>1</ETag></Part>"), Err(CompleteError::Malformed));
        let many: String = (1..=10_000).map(part).collect();
        assert_eq!(parse(&many).map(|parts| parts.len()), Ok(10_000));
    }

    #[test]
    fn completed() {
        let mut xml = XmlWriter::fragment(0);
        let sum =
            StoredChecksum { algorithm: "CRC32".to_owned(), composite: true, value: "AAAAAA==-2".to_owned() };
        let bucket = BucketName::parse("bucket").unwrap();
        let object = ObjectKey::parse("k&").unwrap();
        write_completed(&mut xml, "http://h/bucket/k&", &bucket, &object, "e-2", Some(&sum));
        let text = String::from_utf8(xml.finish()).unwrap();
        assert!(text.starts_with("<CompleteMultipartUploadResult xmlns="), "{text}");
        assert!(
            text.ends_with(
                "<Location>http://h/bucket/k&amp;</Location><Bucket>bucket</Bucket><Key>k&amp;</Key>\
                 <ETag>&quot;e-2&quot;</ETag><ChecksumCRC32>AAAAAA==-2</ChecksumCRC32>\
                 <ChecksumType>COMPOSITE</ChecksumType></CompleteMultipartUploadResult>"
            ),
            "{text}"
        );
    }
}
