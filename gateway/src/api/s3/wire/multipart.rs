//! The documents of multipart uploads.

use storage::catalog::{CompletedPart, ListPage, ListRow, Part, StoredChecksum, Upload};
use storage::name::{BucketName, ObjectKey, PartNumber, Timestamp, UploadId};

use super::checksum;
use super::listing::{Page, write_owner};
use super::xml::{MalformedXml, XmlParser, XmlWriter};
use crate::api::s3::error::{Code, S3Error};
use crate::iam::Account;
use crate::transfer::digest::ChecksumAlgorithm;

/// The longest body of CompleteMultipartUpload: 10,000 parts with a checksum each, indented.
pub const COMPLETE_MAX_LEN: usize = 8 << 20;

/// Reads the body of CompleteMultipartUpload: 1 to 10,000 parts, strictly ascending.
pub fn parse_complete(document: &[u8]) -> Result<Vec<CompletedPart>, S3Error> {
    let mut xml = XmlParser::root(document, "CompleteMultipartUpload")?;
    let mut parts: Vec<CompletedPart> = Vec::new();
    while let Some(name) = xml.child()? {
        if name != "Part" || parts.len() == usize::from(PartNumber::MAX) {
            return Err(MalformedXml.into());
        }
        let part = completed_part(&mut xml)?;
        if parts.last().is_some_and(|last| last.number >= part.number) {
            return Err(Code::InvalidPartOrder.into());
        }
        parts.push(part);
    }
    xml.end()?;
    if parts.is_empty() { Err(MalformedXml.into()) } else { Ok(parts) }
}

fn completed_part(xml: &mut XmlParser<'_>) -> Result<CompletedPart, S3Error> {
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
    xml.time("LastModified", last_modified);
    xml.etag("ETag", etag);
    if let Some(sum) = sum {
        if root == "CopyObjectResult" {
            xml.text("ChecksumType", checksum::type_name(sum.composite));
        }
        write_checksum(&mut xml, sum);
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

/// What a ListParts asked for.
#[derive(Debug, Clone, Copy)]
pub struct PartsPage<'a> {
    /// The bucket.
    pub bucket: &'a BucketName,
    /// Who owns it.
    pub owner: &'a Account,
    /// Behind which part it begins.
    pub part_number_marker: u16,
    /// How many parts at most.
    pub max_parts: usize,
    /// Percent-encode the key.
    pub url_encoded: bool,
}

/// Writes the answer of ListParts.
pub fn write_parts(page: PartsPage<'_>, upload: &Upload, parts: &[Part], truncated: bool) -> Vec<u8> {
    let mut xml = XmlWriter::document(1024 + parts.len() * 256);
    xml.root("ListPartsResult");
    xml.text("Bucket", page.bucket.as_str());
    xml.object_name("Key", upload.object.as_str(), page.url_encoded);
    xml.text("UploadId", &upload.id.to_string());
    xml.open("Initiator");
    xml.text("ID", &upload.initiator);
    xml.text("DisplayName", &page.owner.display_name);
    xml.close("Initiator");
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
        xml.time("LastModified", part.last_modified);
        xml.etag("ETag", &part.etag);
        xml.number("Size", part.plain_len);
        if let Some(sum) = &part.checksum {
            write_checksum(&mut xml, sum);
        }
        xml.close("Part");
    }
    xml.close("ListPartsResult");
    xml.finish()
}

/// Writes the answer of ListMultipartUploads. `page.marker` is the key-marker.
pub fn write_uploads(
    page: Page<'_>,
    owner: &Account,
    upload_id_marker: &str,
    uploads: &ListPage<Upload>,
) -> Vec<u8> {
    let mut xml = XmlWriter::document(1024 + uploads.rows.len() * 640);
    let url = page.url_encoded;
    xml.root("ListMultipartUploadsResult");
    xml.text("Bucket", page.bucket.as_str());
    xml.object_name("KeyMarker", page.marker.unwrap_or_default(), url);
    xml.text("UploadIdMarker", upload_id_marker);
    if uploads.truncated {
        match uploads.rows.last() {
            Some(ListRow::Item(upload)) => {
                xml.object_name("NextKeyMarker", upload.object.as_str(), url);
                xml.text("NextUploadIdMarker", &upload.id.to_string());
            }
            Some(ListRow::CommonPrefix(prefix)) => {
                xml.object_name("NextKeyMarker", prefix, url);
                xml.text("NextUploadIdMarker", "");
            }
            None => {}
        }
    }
    page.write_prefix_and_delimiter(&mut xml);
    xml.number("MaxUploads", page.max as u64);
    xml.boolean("IsTruncated", uploads.truncated);
    for row in &uploads.rows {
        let ListRow::Item(upload) = row else { continue };
        xml.open("Upload");
        xml.object_name("Key", upload.object.as_str(), url);
        xml.text("UploadId", &upload.id.to_string());
        xml.open("Initiator");
        xml.text("ID", &upload.initiator);
        xml.text("DisplayName", &owner.display_name);
        xml.close("Initiator");
        write_owner(&mut xml, owner);
        xml.text("StorageClass", &upload.storage_class);
        xml.time("Initiated", upload.initiated);
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

    fn parse(inner: &str) -> Result<Vec<CompletedPart>, Code> {
        let document = format!("<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>");
        parse_complete(document.as_bytes()).map_err(|error| error.code)
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
        assert_eq!(parse(""), Err(Code::MalformedXml));
        assert_eq!(parse(&(part(2) + &part(1))), Err(Code::InvalidPartOrder));
        assert_eq!(parse(&(part(2) + &part(2))), Err(Code::InvalidPartOrder));
        assert_eq!(parse(&part(0)), Err(Code::InvalidArgument));
        assert_eq!(parse(&part(10_001)), Err(Code::InvalidArgument));
        assert_eq!(parse("<Part><PartNumber>1</PartNumber></Part>"), Err(Code::MalformedXml));
        assert_eq!(parse("<Part><ETag>1</ETag></Part>"), Err(Code::MalformedXml));
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
