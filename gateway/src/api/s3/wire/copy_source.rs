//! The source of a copy.

use storage::catalog::VersionRef;
use storage::name::{BucketName, ObjectKey};

use super::version;
use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::target::{decode, parse_key};
use crate::http::header;

/// The object that a copy reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    /// Its bucket.
    pub bucket: BucketName,
    /// Its key.
    pub object: ObjectKey,
    /// Its version.
    pub version: VersionRef,
}

impl CopySource {
    /// Reads the header: `bucket/key`, `/bucket/key` or a URL with this path, percent-encoded, `+` for a space, with `?versionId=…` at
    /// most.
    pub fn parse(value: &str) -> Result<Self, S3Error> {
        let name = header::COPY_SOURCE;
        let malformed = || {
            S3Error::invalid_argument(
                "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
                name.as_str(),
                value,
            )
        };
        let url = ["https://", "http://"].iter().find_map(|scheme| value.strip_prefix(scheme));
        // Whatever the host is: it is this service that is asked.
        let value_path = url.map_or(value, |url| url.find('/').map_or("", |at| &url[at..]));
        let (path, version) = match value_path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (value_path, None),
        };
        let version = match version.map(|query| query.strip_prefix("versionId=")) {
            None => VersionRef::Current,
            Some(Some(id)) => version::parse(Some(id))?,
            Some(None) => {
                return Err(S3Error::invalid_argument(
                    "Unsupported copy source parameter.",
                    name.as_str(),
                    value,
                ));
            }
        };
        // Some clients encode the slash between bucket and key too.
        let path = path.replace('+', " ");
        let path = decode(&path).map_err(|_| malformed())?;
        let path = path.strip_prefix('/').unwrap_or(&path);
        if path.starts_with("arn:") {
            return Err(S3Error::not_implemented(format_args!("The header {name} with an ARN"))
                .field("Header", name.as_str()));
        }
        let Some((bucket, key)) = path.split_once('/') else {
            // AWS shows the header's name in the place of its value.
            let message = "Invalid copy source object key";
            return Err(S3Error::invalid_argument(message, name.as_str(), name.as_str()));
        };
        if key.is_empty() {
            return Err(malformed());
        }
        let bucket = BucketName::parse(bucket)
            .ok()
            .filter(|name| !name.is_internal())
            .ok_or_else(|| S3Error::new(Code::InvalidBucketName).field("BucketName", bucket))?;
        Ok(Self { bucket, object: parse_key(key)?, version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (value, bucket, key) in [
            ("bucket/key", "bucket", "key"),
            ("/bucket/a%20b%2Bc+d", "bucket", "a b+c d"),
            ("https://s3.example.com/bucket/a/b", "bucket", "a/b"),
            ("http://localhost:9000/bucket/k?versionId=null", "bucket", "k"),
            ("bucket%2Fa/b", "bucket", "a/b"),
            ("/bucket//a//b?versionId=null", "bucket", "/a//b"),
            ("bucket/%C3%BC%3F", "bucket", "ü?"),
        ] {
            let source = CopySource::parse(value).unwrap();
            assert_eq!((source.bucket.as_str(), source.object.as_str()), (bucket, key), "{value}");
        }
    }

    #[test]
    fn refusals() {
        let code = |value: &str| CopySource::parse(value).unwrap_err().code;
        for value in [
            "",
            "bucket",
            "bucket/",
            "/",
            "bucket/%zz",
            "bucket/%ff",
            "bucket/k?versionId=1",
            "bucket/k?x",
            "http://h",
        ] {
            assert_eq!(code(value), Code::InvalidArgument, "{value}");
        }
        assert_eq!(code("B/k"), Code::InvalidBucketName);
        assert_eq!(code("arn:aws:s3:us-west-2:1:accesspoint/a/object/k"), Code::NotImplemented);
        assert_eq!(code(&format!("bucket/{}", "k".repeat(1025))), Code::KeyTooLongError);
    }
}
