//! `s3://bucket/prefix?endpoint=…&region=…`.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::BlobsError;

/// Which protocol a store speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// S3, of AWS or of somebody else.
    S3,
    /// Azure's blobs.
    Azure,
    /// Google's Cloud Storage.
    Google,
}

/// Where blobs are, from the setting `blobs`. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobsUrl {
    /// The protocol.
    pub scheme: Scheme,
    /// The bucket, or container.
    pub bucket: String,
    /// What the names of all objects begin with; may be empty.
    pub prefix: String,
    /// The server, if it is not the cloud's own.
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: Option<String>,
    /// Azure's storage account.
    pub account: Option<String>,
    /// Certificates of who signs for the server, beside those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// Is the bucket named in the host (`bucket.endpoint`) and not in the path?
    pub virtual_hosted: bool,
    /// Does the store keep small objects together by itself?
    pub packs_small: bool,
}

impl BlobsUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// When it is none, or has parameters that are not known.
    pub fn parse(text: &str) -> Result<Self, BlobsError> {
        let refuse =
            |why: &str| Err(BlobsError::Url(format!("{why}: s3://BUCKET/PREFIX?endpoint=URL&region=REGION")));
        let Some((scheme, rest)) = text.split_once("://") else { return refuse("it is no URL") };
        let scheme = match scheme {
            "s3" => Scheme::S3,
            "az" | "azure" => Scheme::Azure,
            "gs" => Scheme::Google,
            _ => return refuse("it begins with none of s3://, az:// and gs://"),
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if bucket.is_empty() || !bucket.bytes().all(is_name) {
            return refuse("it names no bucket (credentials do not belong into it)");
        }
        let mut url = Self {
            scheme,
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            endpoint: None,
            region: None,
            account: None,
            ca_file: None,
            virtual_hosted: false,
            packs_small: false,
        };
        if url.prefix.split('/').any(|part| matches!(part, "." | "..")) {
            return refuse("its prefix has a part that is no name");
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Ok(value) = percent_decode_str(value).decode_utf8() else {
                return refuse("a parameter is no text");
            };
            let value = value.into_owned();
            match name {
                "endpoint" if value.starts_with("http://") || value.starts_with("https://") => {
                    url.endpoint = Some(value.trim_end_matches('/').to_owned());
                }
                "endpoint" => return refuse("the endpoint begins with neither http:// nor https://"),
                "region" => url.region = Some(value),
                "account" if scheme == Scheme::Azure => url.account = Some(value),
                "ca_file" => url.ca_file = Some(value.into()),
                "virtual_hosted" | "packs_small" => {
                    let is_so = match value.as_str() {
                        "true" => true,
                        "false" => false,
                        _ => return refuse(&format!("{name} is neither true nor false")),
                    };
                    if name == "packs_small" {
                        url.packs_small = is_so;
                    } else {
                        url.virtual_hosted = is_so;
                    }
                }
                name if name.contains("key") || name.contains("token") => {
                    return refuse(
                        "it has a credential, which does not belong into it (AWS_… in the environment, or blobs_credentials)",
                    );
                }
                name => return refuse(&format!("its parameter {name:?} is not known")),
            }
        }
        Ok(url)
    }
}

impl fmt::Display for BlobsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::S3 => "s3",
            Scheme::Azure => "az",
            Scheme::Google => "gs",
        };
        write!(f, "{scheme}://{}", self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        self.endpoint.as_ref().map_or(Ok(()), |endpoint| write!(f, " at {endpoint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_blobs_are() {
        let url = BlobsUrl::parse("s3://b-1/some/prefix/?endpoint=https%3A%2F%2Fh%3A1/&region=r&ca_file=/x")
            .expect("a URL");
        assert_eq!(
            (url.scheme, url.bucket.as_str(), url.prefix.as_str()),
            (Scheme::S3, "b-1", "some/prefix")
        );
        assert_eq!((url.endpoint.as_deref(), url.region.as_deref()), (Some("https://h:1"), Some("r")));
        assert_eq!(url.ca_file, Some("/x".into()));
        assert_eq!(url.to_string(), "s3://b-1/some/prefix at https://h:1");
        assert_eq!(BlobsUrl::parse("gs://b").expect("a URL").scheme, Scheme::Google);
        let refused = BlobsUrl::parse("s3://AKIA:secret@bucket/").expect_err("a secret").to_string();
        assert!(!refused.contains("secret@"), "{refused}");
        assert!(BlobsUrl::parse("s3://b?account=x").is_err());
        assert!(!BlobsUrl::parse("s3://b").expect("a URL").packs_small);
        assert!(BlobsUrl::parse("s3://b?packs_small=true").expect("a URL").packs_small);
        assert!(BlobsUrl::parse("s3://b?packs_small=1").is_err());
    }
}
