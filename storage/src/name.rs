//! Names and ids: parsed once at the door, valid ever after.

use std::fmt;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a name was refused. The text is for logs; the gateway has AWS's text for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a bucket name by the S3 naming rules for general purpose buckets.
    #[error("not a valid bucket name")]
    Bucket,
    /// An object key has 1 to 1024 bytes of UTF-8.
    #[error("an object key is empty")]
    EmptyObjectKey,
    /// An object key of more than 1024 bytes.
    #[error("an object key is longer than 1024 bytes")]
    ObjectKeyTooLong,
    /// A part number is 1 to 10,000.
    #[error("a part number is 1 to 10000")]
    PartNumber,
    /// Not an id that this store handed out.
    #[error("not a valid id")]
    Id,
}

/// A bucket's name: 3 to 63 bytes by the rules for general purpose buckets
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>). Clones share it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Box<str>")]
pub struct BucketName(Arc<str>);

impl TryFrom<Box<str>> for BucketName {
    type Error = NameError;

    fn try_from(name: Box<str>) -> Result<Self, NameError> {
        Self::parse(&name)
    }
}

impl BucketName {
    /// Parses a name.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let bytes = name.as_bytes();
        let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let well_formed = (3..=63).contains(&bytes.len())
            && bytes.iter().all(|&b| edge(b) || b == b'-' || b == b'.')
            && edge(bytes[0])
            && edge(bytes[bytes.len() - 1])
            && !name.contains("..");
        let reserved = name.parse::<std::net::Ipv4Addr>().is_ok()
            || ["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|p| name.starts_with(p))
            || ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"].iter().any(|s| name.ends_with(s));
        if well_formed && !reserved { Ok(Self(name.into())) } else { Err(NameError::Bucket) }
    }

    /// The name of a bucket that has no door: the host keeps in it what belongs to the bucket of this id.
    pub fn internal(of: BucketId) -> Self {
        Self(format!("of-{of}{INTERNAL_SUFFIX}").into())
    }

    /// The name of a bucket whose own record is lost, by so many digits of its id.
    pub fn recovered(id: BucketId, digits: usize) -> Self {
        let id = id.to_string();
        Self(format!("recovered-{}", id.get(..digits).unwrap_or(&id)).into())
    }

    /// Is it the name of a bucket that has no door?
    pub fn is_internal(&self) -> bool {
        self.0.ends_with(INTERNAL_SUFFIX)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What names of buckets without a door end with.
const INTERNAL_SUFFIX: &str = "--sealgate";

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object's name: 1 to 1024 bytes of UTF-8, otherwise opaque; never mapped to a path. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Box<str>")]
pub struct ObjectKey(Arc<str>);

impl TryFrom<Box<str>> for ObjectKey {
    type Error = NameError;

    fn try_from(name: Box<str>) -> Result<Self, NameError> {
        Self::parse(&name)
    }
}

impl ObjectKey {
    /// The longest key, in bytes.
    pub const MAX_LEN: usize = 1024;

    /// Parses a key.
    pub fn parse(key: &str) -> Result<Self, NameError> {
        match key.len() {
            0 => Err(NameError::EmptyObjectKey),
            1..=Self::MAX_LEN => Ok(Self(key.into())),
            _ => Err(NameError::ObjectKeyTooLong),
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The system clock's time.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(since.as_millis() as u64)
    }

    /// Milliseconds since the Unix epoch.
    pub fn unix_ms(self) -> u64 {
        self.0
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        // Text where the form is for people, else the bare bytes.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
                } else {
                    <[u8; $len]>::deserialize(deserializer).map(Self)
                }
            }
        }

        impl $name {
            /// The id of these bytes.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The id's bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Parses the lower-case hexadecimal digits that `Display` writes.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let mut bytes = [0; $len];
                if text.len() != 2 * $len || text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(NameError::Id);
                }
                hex::decode_to_slice(text, &mut bytes).map_err(|_| NameError::Id)?;
                Ok(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self)
            }
        }
    };
}

id! {
    /// A bucket's identity: random, never reused, so that a bucket re-created under an old name inherits nothing.
    BucketId, 16
}

impl BucketId {
    /// A new random id.
    pub fn random() -> Self {
        Self(crate::random::public_bytes())
    }
}

id! {
    /// One version of one object. The first eight bytes are the inverted creation time in microseconds, so that
    /// byte order is newest first; the rest is random.
    VersionId, 16
}

impl VersionId {
    /// A new id made at this time (microseconds since the Unix epoch); ids of one time differ by their random half.
    pub fn new(unix_us: u64) -> Self {
        let mut bytes: [u8; 16] = crate::random::public_bytes();
        bytes[..8].copy_from_slice(&(!unix_us).to_be_bytes());
        Self(bytes)
    }

    /// A new id that is newer than `former`, whatever the clock says.
    pub fn after(former: Self) -> Self {
        let mut inverted = [0; 8];
        inverted.copy_from_slice(&former.0[..8]);
        let former_us = !u64::from_be_bytes(inverted);
        let now = Self::now();
        if now < former && now.0[..8] != former.0[..8] { now } else { Self::new(former_us.saturating_add(1)) }
    }

    /// A new id made now.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self::new(since.as_micros() as u64)
    }
}

/// A multipart upload: the id of the version that it will become, fixed when the upload is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UploadId(pub VersionId);

impl UploadId {
    /// A new id for an upload of this object. Its last bytes tell the object again: see [`UploadId::fits`].
    pub fn of(object: &ObjectKey) -> Self {
        let VersionId(mut bytes) = VersionId::now();
        let mark = Self::mark(&bytes, object);
        bytes[Self::MARK_AT..].copy_from_slice(&mark);
        Self(VersionId(bytes))
    }

    /// Was it made for an upload of this object? Told without a lookup, so also of uploads that have ended. (Those that were begun by
    /// earlier builds fit none.)
    pub fn fits(self, object: &ObjectKey) -> bool {
        let VersionId(bytes) = self.0;
        bytes[Self::MARK_AT..] == Self::mark(&bytes, object)
    }

    /// Where the mark of the object begins.
    const MARK_AT: usize = 12;

    /// FNV-1a of what stands before the mark, and of the object's name: it keeps nothing secret, it only tells objects apart.
    fn mark(bytes: &[u8; 16], object: &ObjectKey) -> [u8; 4] {
        let seen = bytes[..Self::MARK_AT].iter().chain(object.as_str().as_bytes());
        seen.fold(0x811c_9dc5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
            .to_be_bytes()
    }

    /// Parses what `Display` writes.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        VersionId::parse(text).map(Self)
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

id! {
    /// Where a blob is: an address of the blob store that made it, opaque to everybody else.
    BlobId, 16
}

id! {
    /// What tells one sending of a content from every other: random bytes that its writer draws anew for each attempt and puts in
    /// front of what it stores. Opaque here; a record keeps it, so that no other sending passes for the one that it is of.
    MessageSalt, 24
}

/// The number of a part: 1 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16")]
pub struct PartNumber(u16);

impl TryFrom<u16> for PartNumber {
    type Error = NameError;

    fn try_from(number: u16) -> Result<Self, NameError> {
        Self::new(number.into())
    }
}

impl PartNumber {
    /// The highest part number.
    pub const MAX: u16 = 10_000;

    /// Checks a number.
    pub fn new(number: u64) -> Result<Self, NameError> {
        match number {
            1..=10_000 => Ok(Self(number as u16)),
            _ => Err(NameError::PartNumber),
        }
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for PartNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upload_ids_tell_their_objects_apart() {
        let object = |name: &str| ObjectKey::parse(name).unwrap();
        let id = UploadId::of(&object("a/b"));
        assert!(id.fits(&object("a/b")));
        assert!(!id.fits(&object("a/c")));
        assert!(UploadId::parse(&id.to_string()).unwrap().fits(&object("a/b")));
        assert_ne!(id, UploadId::of(&object("a/b")));
        assert!(!UploadId(VersionId::from_bytes([0; 16])).fits(&object("a/b")));
    }
}
