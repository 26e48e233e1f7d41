//! Where plain and sealed bytes are.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use object_store::path::Path;

/// A place of objects: `s3://BUCKET/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct S3Url {
    pub(super) bucket: String,
    /// An object's name, or what names begin with.
    pub(super) name: Path,
    /// Does it end with a slash, or name the bucket alone?
    pub(super) is_folder: bool,
}

impl S3Url {
    /// The place of another object of the bucket.
    pub(super) fn of(&self, name: Path) -> Self {
        Self { bucket: self.bucket.clone(), name, is_folder: false }
    }

    /// The place of something in this folder.
    pub(super) fn join(&self, relative: &str) -> Result<Self, String> {
        let folder = self.name.as_ref();
        let name = if folder.is_empty() { relative.to_owned() } else { format!("{folder}/{relative}") };
        Ok(self.of(name_of(&name)?))
    }
}

fn name_of(text: &str) -> Result<Path, String> {
    Path::parse(text).map_err(|error| format!("{text:?} can't be the name of an object here: {error}"))
}

impl fmt::Display for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.name)
    }
}

impl FromStr for S3Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest =
            text.strip_prefix("s3://").ok_or_else(|| format!("{text} is no URL such as s3://bucket/name"))?;
        let (bucket, name) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(format!("{text} names no bucket"));
        }
        let is_folder = name.is_empty() || name.ends_with('/');
        Ok(Self { bucket: bucket.to_owned(), name: name_of(name)?, is_folder })
    }
}

/// A source or a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Place {
    /// Sealed objects.
    S3(S3Url),
    /// A file or a folder, in the clear.
    File(PathBuf),
    /// Standard input or output.
    Stream,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "-" => Ok(Self::Stream),
            _ if text.starts_with("s3://") => text.parse().map(Self::S3),
            _ if text.contains("://") => Err(format!("{text} is neither a file nor an s3:// URL")),
            _ => Ok(Self::File(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart() {
        let url = |text: &str| text.parse::<S3Url>();
        let found = url("s3://b/a/b c").expect("a URL");
        assert_eq!((found.bucket.as_str(), found.name.as_ref(), found.is_folder), ("b", "a/b c", false));
        for folder in ["s3://b", "s3://b/", "s3://b/a/"] {
            assert!(url(folder).expect("a URL").is_folder, "{folder}");
        }
        assert_eq!(
            url("s3://b/a/").and_then(|url| url.join("c/d")).expect("a URL").to_string(),
            "s3://b/a/c/d"
        );
        assert_eq!(url("s3://b").and_then(|url| url.join("c")).expect("a URL").to_string(), "s3://b/c");
        for wrong in ["b/a", "s3://", "s3:///a", "s3://b/a/../c", "s3://b/a//c"] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
        assert_eq!("-".parse(), Ok(Place::Stream));
        assert_eq!("a/b".parse(), Ok(Place::File("a/b".into())));
        assert!("http://a/b".parse::<Place>().is_err());
    }
}
