//! Listings: what they ask for, and their answers, written into one buffer.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use storage::catalog::{Bucket, ListPage, ListRequest, ListRow, ObjectSummary, VersionSummary};
use storage::name::BucketName;

use super::time::whole_second;
use super::xml::XmlWriter;
use super::{checksum, version};
use crate::api::s3::error::S3Error;
use crate::api::s3::request::Query;
use crate::iam::Account;

/// The most rows of a page.
pub const MAX_ROWS: usize = 1000;
/// What a token begins with, so that later ones can be of another form.
const TOKEN_VERSION: u8 = 1;

/// A page of a listing as it was asked for, to be echoed.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// The bucket.
    pub bucket: &'a BucketName,
    /// `prefix`.
    pub prefix: &'a str,
    /// `delimiter`, unless it is empty.
    pub delimiter: Option<&'a str>,
    /// `marker`, `key-marker` or `start-after`.
    pub marker: Option<&'a str>,
    /// How many rows at most.
    pub max: usize,
    /// `encoding-type=url`.
    pub url_encoded: bool,
}

impl<'a> Page<'a> {
    /// Reads what all listings of a bucket have in common. `max` and `marker` are the names of those two parameters.
    pub fn parse(
        bucket: &'a BucketName,
        query: &'a Query,
        max: &'static str,
        marker: &str,
    ) -> Result<Self, S3Error> {
        Ok(Self {
            bucket,
            prefix: query.get("prefix").unwrap_or_default(),
            delimiter: query.get("delimiter").filter(|delimiter| !delimiter.is_empty()),
            marker: query.get(marker).filter(|marker| !marker.is_empty()),
            max: max_rows(query, max)?,
            url_encoded: url_encoding(query)?,
        })
    }

    /// What to ask the catalog for, beginning behind `after`.
    pub fn request(&self, after: Option<String>) -> ListRequest {
        ListRequest {
            prefix: self.prefix.to_owned(),
            delimiter: self.delimiter.map(str::to_owned),
            after,
            limit: self.max,
        }
    }

    /// Writes Prefix (if it is to be `with_prefix`), Delimiter and EncodingType.
    pub fn write_prefix_and_delimiter(&self, xml: &mut XmlWriter, with_prefix: bool) {
        if with_prefix {
            xml.object_name("Prefix", self.prefix, self.url_encoded);
        }
        if let Some(delimiter) = self.delimiter {
            xml.object_name("Delimiter", delimiter, self.url_encoded);
        }
        if self.url_encoded {
            xml.text("EncodingType", "url");
        }
    }

    /// Writes the common prefixes among the rows.
    pub fn write_common_prefixes<T>(&self, xml: &mut XmlWriter, rows: &[ListRow<T>]) {
        for row in rows {
            if let ListRow::CommonPrefix(prefix) = row {
                xml.open("CommonPrefixes");
                xml.object_name("Prefix", prefix, self.url_encoded);
                xml.close("CommonPrefixes");
            }
        }
    }

    fn write_head(&self, xml: &mut XmlWriter, truncated: bool) {
        xml.text("Name", self.bucket.as_str());
        self.write_prefix_and_delimiter(xml, true);
        xml.number("MaxKeys", self.max as u64);
        xml.boolean("IsTruncated", truncated);
    }

    fn document(&self, rows: usize) -> XmlWriter {
        // A row of AWS's takes 230 bytes beside its key.
        XmlWriter::document(1024 + rows * (320 + self.prefix.len()))
    }
}

/// `max-keys` and its like: 0 to 1000, where more is 1000, and none is 1000.
pub fn max_rows(query: &Query, name: &'static str) -> Result<usize, S3Error> {
    let Some(value) = query.get(name).filter(|value| !value.is_empty()) else { return Ok(MAX_ROWS) };
    match value.parse::<i32>() {
        Ok(max) if max >= 0 => Ok((max as usize).min(MAX_ROWS)),
        Ok(_) => Err(S3Error::invalid_argument(
            "Argument maxKeys must be an integer between 0 and 2147483647",
            name,
            value,
        )),
        Err(_) => Err(S3Error::invalid_argument(
            "Provided max-keys not an integer or within integer range",
            name,
            value,
        )),
    }
}

/// Is `encoding-type=url`?
pub fn url_encoding(query: &Query) -> Result<bool, S3Error> {
    match query.get("encoding-type") {
        None => Ok(false),
        Some(value) if value.eq_ignore_ascii_case("url") => Ok(true),
        Some(value) => Err(S3Error::invalid_argument(
            "Invalid Encoding Method specified in Request",
            "encoding-type",
            value,
        )),
    }
}

/// The name that a listing goes on behind, as a token that tells a client nothing.
pub fn continuation_token(after: &str) -> String {
    let mut bytes = Vec::with_capacity(after.len() + 1);
    bytes.push(TOKEN_VERSION);
    bytes.extend_from_slice(after.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The name that a token of ours goes on behind.
pub fn parse_token(token: &str) -> Result<String, S3Error> {
    let after = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| {
        let (&version, after) = bytes.split_first()?;
        (version == TOKEN_VERSION).then(|| String::from_utf8(after.to_vec()).ok())?
    });
    after.ok_or_else(|| {
        S3Error::invalid_argument("The continuation token provided is incorrect", "continuation-token", token)
    })
}

/// Writes `<Owner>`.
pub fn write_owner(xml: &mut XmlWriter, owner: &Account) {
    xml.open("Owner");
    xml.text("ID", &owner.canonical_id);
    xml.close("Owner");
}

/// The name of a row: what a next page begins behind.
pub fn row_name(row: &ListRow<ObjectSummary>) -> &str {
    match row {
        ListRow::Item(object) => object.object.as_str(),
        ListRow::CommonPrefix(prefix) => prefix,
    }
}

/// Tells who owns an object.
pub type OwnerOf<'a> = &'a dyn Fn(&ObjectSummary) -> Arc<Account>;

/// Writes the answer of ListObjects; `owner_of` is there unless nobody asks.
pub fn write_objects(
    page: Page<'_>,
    owner_of: Option<OwnerOf<'_>>,
    objects: &ListPage<ObjectSummary>,
) -> Vec<u8> {
    let mut xml = page.document(objects.rows.len());
    xml.root("ListBucketResult");
    page.write_head(&mut xml, objects.truncated);
    xml.object_name("Marker", page.marker.unwrap_or_default(), page.url_encoded);
    // Without a delimiter clients go on behind the last key.
    if let (true, Some(_), Some(last)) = (objects.truncated, page.delimiter, objects.rows.last()) {
        xml.object_name("NextMarker", row_name(last), page.url_encoded);
    }
    write_contents(&mut xml, page, owner_of, &objects.rows);
    page.write_common_prefixes(&mut xml, &objects.rows);
    xml.close("ListBucketResult");
    xml.finish()
}

/// Writes the answer of ListObjectsV2; `page.marker` is start-after, `owner_of` is there if fetch-owner is.
pub fn write_objects_v2(
    page: Page<'_>,
    owner_of: Option<OwnerOf<'_>>,
    token: Option<&str>,
    objects: &ListPage<ObjectSummary>,
) -> Vec<u8> {
    let mut xml = page.document(objects.rows.len());
    xml.root("ListBucketResult");
    page.write_head(&mut xml, objects.truncated);
    xml.number("KeyCount", objects.rows.len() as u64);
    xml.optional("ContinuationToken", token);
    if let (true, Some(last)) = (objects.truncated, objects.rows.last()) {
        xml.text("NextContinuationToken", &continuation_token(row_name(last)));
    }
    // A token says where to begin in its place.
    if let (Some(start_after), None) = (page.marker, token) {
        xml.object_name("StartAfter", start_after, page.url_encoded);
    }
    write_contents(&mut xml, page, owner_of, &objects.rows);
    page.write_common_prefixes(&mut xml, &objects.rows);
    xml.close("ListBucketResult");
    xml.finish()
}

/// Writes the answer of ListObjectVersions.
pub fn write_versions(
    page: Page<'_>,
    owner_of: OwnerOf<'_>,
    version_id_marker: &str,
    objects: &ListPage<VersionSummary>,
) -> Vec<u8> {
    let mut xml = page.document(objects.rows.len());
    xml.root("ListVersionsResult");
    page.write_head(&mut xml, objects.truncated);
    xml.object_name("KeyMarker", page.marker.unwrap_or_default(), page.url_encoded);
    xml.text("VersionIdMarker", version_id_marker);
    if let (true, Some(last)) = (objects.truncated, objects.rows.last()) {
        let (name, version) = match last {
            ListRow::Item(row) => {
                (row.summary.object.as_str(), Some(version::text(row.version, row.is_null)))
            }
            ListRow::CommonPrefix(prefix) => (prefix.as_str(), None),
        };
        xml.object_name("NextKeyMarker", name, page.url_encoded);
        xml.optional("NextVersionIdMarker", version.as_deref());
    }
    for row in &objects.rows {
        let ListRow::Item(row) = row else { continue };
        let element = if row.delete_marker { "DeleteMarker" } else { "Version" };
        xml.open(element);
        xml.object_name("Key", row.summary.object.as_str(), page.url_encoded);
        xml.text("VersionId", &version::text(row.version, row.is_null));
        xml.boolean("IsLatest", row.is_latest);
        if row.delete_marker {
            xml.time("LastModified", whole_second(row.summary.last_modified));
        } else {
            write_summary(&mut xml, &row.summary);
        }
        write_owner(&mut xml, &owner_of(&row.summary));
        xml.close(element);
    }
    page.write_common_prefixes(&mut xml, &objects.rows);
    xml.close("ListVersionsResult");
    xml.finish()
}

fn write_contents(
    xml: &mut XmlWriter,
    page: Page<'_>,
    owner_of: Option<OwnerOf<'_>>,
    rows: &[ListRow<ObjectSummary>],
) {
    for row in rows {
        let ListRow::Item(object) = row else { continue };
        xml.raw("<Contents><Key>");
        xml.name(object.object.as_str(), page.url_encoded);
        xml.raw("</Key>");
        write_summary(xml, object);
        if let Some(owner_of) = owner_of {
            write_owner(xml, &owner_of(object));
        }
        xml.close("Contents");
    }
}

// A page has a thousand of these: few and long pieces are written faster than many short ones.
fn write_summary(xml: &mut XmlWriter, object: &ObjectSummary) {
    xml.raw("<LastModified>");
    // As `Last-Modified` has it, so that both compare equal.
    xml.iso8601(whole_second(object.last_modified));
    xml.raw("</LastModified><ETag>&quot;");
    xml.content(&object.etag);
    xml.raw("&quot;</ETag>");
    if let Some((algorithm, composite)) = &object.checksum {
        xml.raw("<ChecksumAlgorithm>");
        xml.content(algorithm);
        xml.raw("</ChecksumAlgorithm><ChecksumType>");
        xml.raw(checksum::type_name(*composite));
        xml.raw("</ChecksumType>");
    }
    xml.raw("<Size>");
    xml.digits(object.plain_len);
    xml.raw("</Size><StorageClass>");
    xml.content(&object.storage_class);
    xml.raw("</StorageClass>");
}

/// Writes the answer of ListBuckets.
pub fn write_buckets(
    owner: &Account,
    buckets: &[Bucket],
    prefix: Option<&str>,
    next: Option<&str>,
) -> Vec<u8> {
    let mut xml = XmlWriter::document(512 + buckets.len() * 256);
    xml.root("ListAllMyBucketsResult");
    write_owner(&mut xml, owner);
    xml.open("Buckets");
    for bucket in buckets {
        xml.open("Bucket");
        xml.text("Name", bucket.name.as_str());
        xml.time("CreationDate", whole_second(bucket.created));
        xml.text("BucketRegion", &bucket.region);
        xml.text("BucketArn", &format!("arn:aws:s3:::{}", bucket.name));
        xml.close("Bucket");
    }
    xml.close("Buckets");
    if let Some(next) = next {
        xml.text("ContinuationToken", &continuation_token(next));
    }
    xml.optional("Prefix", prefix);
    xml.close("ListAllMyBucketsResult");
    xml.finish()
}

#[cfg(test)]
mod tests {
    use storage::name::{ObjectKey, Timestamp};

    use super::*;
    use crate::api::s3::error::Code;

    fn query(pairs: &[(&str, &str)]) -> Query {
        Query(pairs.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect())
    }

    fn owner(_: &ObjectSummary) -> Arc<Account> {
        Arc::new(Account { canonical_id: "c".to_owned(), ..Account::new(&"1".repeat(12), "root", "", 0) })
    }

    fn objects(names: &[&str], truncated: bool) -> ListPage<ObjectSummary> {
        let rows = names
            .iter()
            .map(|name| {
                if name.ends_with('/') {
                    return ListRow::CommonPrefix((*name).to_owned());
                }
                ListRow::Item(ObjectSummary {
                    object: ObjectKey::parse(name).unwrap(),
                    last_modified: Timestamp(1_795_490_716_000),
                    plain_len: 3,
                    etag: "e".to_owned(),
                    storage_class: "STANDARD".into(),
                    checksum: Some(("CRC64NVME".into(), false)),
                    owner: None,
                })
            })
            .collect();
        ListPage { rows, truncated }
    }

    #[test]
    fn parameters() {
        let max = |value: &str| max_rows(&query(&[("max-keys", value)]), "max-keys").map_err(|e| e.code);
        assert_eq!(max("0"), Ok(0));
        assert_eq!(max("5000"), Ok(1000));
        assert_eq!(max(""), Ok(1000));
        assert_eq!(max("-1"), Err(Code::InvalidArgument));
        assert_eq!(max("ten"), Err(Code::InvalidArgument));
        assert!(url_encoding(&query(&[("encoding-type", "url")])).unwrap());
        assert!(url_encoding(&query(&[("encoding-type", "xml")])).is_err());
        assert_eq!(parse_token(&continuation_token("a/é b")).unwrap(), "a/é b");
        for bad in ["", "x", "AA", "_w"] {
            assert!(parse_token(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn version_two() {
        let bucket = BucketName::parse("bucket").unwrap();
        let query = query(&[
            ("prefix", "a b"),
            ("delimiter", "/"),
            ("max-keys", "2"),
            ("start-after", "a"),
            ("encoding-type", "url"),
        ]);
        let page = Page::parse(&bucket, &query, "max-keys", "start-after").unwrap();
        let text =
            String::from_utf8(write_objects_v2(page, None, None, &objects(&["a b", "a b/"], true))).unwrap();
        let token = continuation_token("a b/");
        assert_eq!(
            text,
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                 <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name>\
                 <Prefix>a+b</Prefix><Delimiter>/</Delimiter><EncodingType>url</EncodingType><MaxKeys>2</MaxKeys>\
                 <IsTruncated>true</IsTruncated><KeyCount>2</KeyCount>\
                 <NextContinuationToken>{token}</NextContinuationToken><StartAfter>a</StartAfter>\
                 <Contents><Key>a+b</Key><LastModified>2026-11-24T03:25:16.000Z</LastModified>\
                 <ETag>&quot;e&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>\
                 <ChecksumType>FULL_OBJECT</ChecksumType><Size>3</Size><StorageClass>STANDARD</StorageClass></Contents>\
                 <CommonPrefixes><Prefix>a+b/</Prefix></CommonPrefixes></ListBucketResult>"
            )
        );
    }

    #[test]
    fn version_one_tells_a_next_marker_with_a_delimiter_only() {
        let bucket = BucketName::parse("bucket").unwrap();
        for (pairs, expected) in [(&[("delimiter", "/")][..], true), (&[][..], false)] {
            let query = query(pairs);
            let page = Page::parse(&bucket, &query, "max-keys", "marker").unwrap();
            let text =
                String::from_utf8(write_objects(page, Some(&owner), &objects(&["a", "b/"], true))).unwrap();
            assert_eq!(text.contains("<NextMarker>b/</NextMarker>"), expected, "{text}");
            assert!(text.contains("<Owner><ID>c</ID>"), "{text}");
        }
    }

    #[test]
    fn a_thousand_rows_fit_the_buffer_set_aside() {
        let bucket = BucketName::parse("bucket").unwrap();
        let names: Vec<String> = (0..1000).map(|n| format!("some/usual/key-{n:06}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let query = Query::default();
        let page = Page::parse(&bucket, &query, "max-keys", "start-after").unwrap();
        let written = write_objects_v2(page, None, None, &objects(&names, false));
        assert!(written.len() <= page.document(1000).finish().capacity(), "{}", written.len());
    }
}
