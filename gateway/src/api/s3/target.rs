//! What a request is about: bucket and object, from its host and its raw path, and its query parameters.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use storage::name::{BucketName, NameError, ObjectKey};

use super::error::{Code, S3Error};
use super::operation::Level;
use super::request::Query;

/// The most query parameters that a request may have; AWS's longest has about a dozen.
const MAX_QUERY_PARAMETERS: usize = 256;

/// The bucket and the object that a request names. An object key is decoded and nothing else: `//`, `..` and blanks
/// are characters like others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The bucket, unless it is about the service.
    pub bucket: Option<BucketName>,
    /// The object, unless it is about the bucket.
    pub object: Option<ObjectKey>,
}

impl Target {
    /// Reads `raw_path` (as it came on the wire, without the query) in virtual-host style if `host` (Host or `:authority`)
    /// is a subdomain of one of `domains`, else in path style.
    pub fn parse(raw_path: &str, host: &str, domains: &[String]) -> Result<Self, S3Error> {
        let path = raw_path.strip_prefix('/').unwrap_or(raw_path);
        let (bucket, key) = match bucket_of_host(host, domains) {
            Some(bucket) => (Cow::Owned(bucket), path),
            None => {
                let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
                if bucket.is_empty() && key.is_empty() {
                    return Ok(Self { bucket: None, object: None });
                }
                (decode(bucket)?, key)
            }
        };
        let name = BucketName::parse(&bucket)
            .ok()
            .filter(|name| !name.is_internal())
            .ok_or_else(|| S3Error::new(Code::InvalidBucketName).field("BucketName", bucket.as_ref()))?;
        let object = if key.is_empty() { None } else { Some(parse_key(&decode(key)?)?) };
        Ok(Self { bucket: Some(name), object })
    }

    /// What the request works on.
    pub fn level(&self) -> Level {
        match (&self.bucket, &self.object) {
            (None, _) => Level::Service,
            (Some(_), None) => Level::Bucket,
            (Some(_), Some(_)) => Level::Object,
        }
    }
}

/// An object key from a client, with AWS's refusals.
pub fn parse_key(key: &str) -> Result<ObjectKey, S3Error> {
    ObjectKey::parse(key).map_err(|error| match error {
        NameError::ObjectKeyTooLong => S3Error::from(error).field("Size", key.len().to_string()),
        _ => error.into(),
    })
}

impl Query {
    /// Reads a raw query: pairs joined by `&`, percent-encoded, `+` for a space.
    pub fn parse(raw_query: &str) -> Result<Self, S3Error> {
        let mut pairs = Vec::new();
        for pair in raw_query.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == MAX_QUERY_PARAMETERS {
                return Err(Code::InvalidUri.into());
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode_form(name)?, decode_form(value)?));
        }
        Ok(Self(pairs))
    }
}

/// The bucket that a host names in front of a configured domain; ports do not count. The longest domain wins, and a
/// domain itself names no bucket.
pub fn bucket_of_host(host: &str, domains: &[String]) -> Option<String> {
    let host = without_port(host);
    let mut best: Option<&str> = None;
    let mut longest = 0;
    for domain in domains {
        let domain = without_port(domain);
        let Some(split) = host.len().checked_sub(domain.len()) else { continue };
        let matches = host.is_char_boundary(split) && host[split..].eq_ignore_ascii_case(domain);
        if !matches || domain.is_empty() || domain.len() <= longest {
            continue;
        }
        if split == 0 {
            best = None;
            longest = domain.len();
        } else if let Some(bucket) = host[..split].strip_suffix('.') {
            best = Some(bucket);
            longest = domain.len();
        }
    }
    best.map(str::to_ascii_lowercase)
}

/// `host` of `host:port`; brackets of an IPv6 address are left alone.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Percent-decodes to UTF-8. A `%` without two digits behind it and what is no UTF-8 are InvalidURI.
pub fn decode(text: &str) -> Result<Cow<'_, str>, S3Error> {
    let bytes = text.as_bytes();
    for (at, _) in bytes.iter().enumerate().filter(|&(_, &byte)| byte == b'%') {
        let digits = bytes.get(at + 1..at + 3).unwrap_or_default();
        if digits.len() != 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(Code::InvalidUri.into());
        }
    }
    percent_decode_str(text).decode_utf8().map_err(|_| Code::InvalidUri.into())
}

fn decode_form(text: &str) -> Result<String, S3Error> {
    if text.contains('+') {
        Ok(decode(&text.replace('+', " "))?.into_owned())
    } else {
        Ok(decode(text)?.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str, host: &str) -> Result<(Option<String>, Option<String>), Code> {
        let domains = ["S3.example.com:9000".to_owned(), "example.com".to_owned()];
        let target = Target::parse(path, host, &domains).map_err(|e| e.code)?;
        Ok((target.bucket.map(|b| b.to_string()), target.object.map(|o| o.to_string())))
    }

    fn named(bucket: &str, object: &str) -> Result<(Option<String>, Option<String>), Code> {
        let object = (!object.is_empty()).then(|| object.to_owned());
        Ok((Some(bucket.to_owned()), object))
    }

    #[test]
    fn path_style() {
        assert_eq!(parse("/", "127.0.0.1:9000"), Ok((None, None)));
        assert_eq!(parse("", "127.0.0.1:9000"), Ok((None, None)));
        assert_eq!(parse("/bucket", "[::1]:9000"), named("bucket", ""));
        assert_eq!(parse("/bucket/", "s3.example.com"), named("bucket", ""));
        assert_eq!(parse("/bucket/a//..//b/", "localhost"), named("bucket", "a//..//b/"));
        assert_eq!(parse("/bucket//a", "localhost"), named("bucket", "/a"));
        assert_eq!(parse("/bucket/a%20b+c%2Fd%C3%BC%25", "localhost"), named("bucket", "a b+c/dü%"));
        assert_eq!(parse("/bucket/..", "localhost"), named("bucket", ".."));
    }

    #[test]
    fn virtual_host_style() {
        assert_eq!(parse("/a/b", "bucket.s3.example.com:9000"), named("bucket", "a/b"));
        assert_eq!(parse("/", "My.Bucket.S3.Example.COM"), named("my.bucket", ""));
        assert_eq!(parse("/a", "s3.bucket.example.com"), named("s3.bucket", "a"));
        assert_eq!(parse("/bucket/a", "otherexample.com"), named("bucket", "a"));
        assert_eq!(parse("//a", "bucket.example.com"), named("bucket", "/a"));
    }

    #[test]
    fn refusals() {
        assert_eq!(parse("/Bucket", "localhost"), Err(Code::InvalidBucketName));
        assert_eq!(parse("/a", "x_.example.com"), Err(Code::InvalidBucketName));
        assert_eq!(parse("//a", "localhost"), Err(Code::InvalidBucketName));
        assert_eq!(parse("/bucket/%ff", "localhost"), Err(Code::InvalidUri));
        assert_eq!(parse("/bucket/%zz", "localhost"), Err(Code::InvalidUri));
        assert_eq!(parse("/bucket/a%2", "localhost"), Err(Code::InvalidUri));
        let long = format!("/bucket/{}", "k".repeat(1025));
        assert_eq!(parse(&long, "localhost"), Err(Code::KeyTooLongError));
        assert_eq!(parse(&long[..long.len() - 1], "localhost").map(|_| ()), Ok(()));
    }

    #[test]
    fn queries() {
        let query = Query::parse("prefix=a+b%2Bc&&delete&x=&y=1=2").unwrap();
        assert_eq!(query.get("prefix"), Some("a b+c"));
        assert_eq!(query.get("delete"), Some(""));
        assert_eq!((query.get("x"), query.get("y"), query.get("z")), (Some(""), Some("1=2"), None));
        assert!(Query::parse("%").is_err());
        assert!(Query::parse(&"a&".repeat(257)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn survives_anything(path in "[/%0-9a-fA-F.+é]{0,40}", host in "[a-c.:\\[\\]é]{0,20}", query in "[%=&+0-9a-f]{0,40}") {
            let domains = ["b.c".to_owned(), "c".to_owned(), String::new()];
            let _ = Target::parse(&path, &host, &domains);
            let _ = Query::parse(&query);
        }

        #[test]
        fn keys_come_back(key in "\\PC{1,40}") {
            let path = format!("/bucket/{}", percent_encoding::utf8_percent_encode(&key, percent_encoding::NON_ALPHANUMERIC));
            let target = Target::parse(&path, "localhost", &[]).unwrap();
            let object = target.object.unwrap();
            proptest::prop_assert_eq!(object.as_str(), key);
        }
    }
}
