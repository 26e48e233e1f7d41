//! The bytes of a blob's owner, as FORMAT.md has them.

use bytes::Bytes;

use super::BlobOwner;
use crate::name::{BucketId, ObjectKey, PartNumber, VersionId};

const CONTENT: u8 = 1;
const JOURNAL: u8 = 2;

/// The longest owner, in bytes: the longest object key, or a catalog key that names one twice.
pub(crate) const MAX_OWNER_LEN: usize = 8 << 10;

impl BlobOwner {
    /// The owner's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Content { bucket, object, version, part } => {
                let object = object.as_str().as_bytes();
                let mut out = Vec::with_capacity(35 + object.len());
                out.push(CONTENT);
                out.extend_from_slice(bucket.as_bytes());
                out.extend_from_slice(version.as_bytes());
                out.extend_from_slice(&part.map_or(0, PartNumber::get).to_le_bytes());
                out.extend_from_slice(object);
                out
            }
            Self::Journal { subject } => {
                let mut out = Vec::with_capacity(1 + subject.len());
                out.push(JOURNAL);
                out.extend_from_slice(subject);
                out
            }
        }
    }

    /// The owner of these bytes; `None` if they are not an owner's.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&CONTENT, rest) => {
                let (bucket, rest) = rest.split_first_chunk::<16>()?;
                let (version, rest) = rest.split_first_chunk::<16>()?;
                let (part, object) = rest.split_first_chunk::<2>()?;
                let part = match u16::from_le_bytes(*part) {
                    0 => None,
                    number => Some(PartNumber::new(number.into()).ok()?),
                };
                Some(Self::Content {
                    bucket: BucketId::from_bytes(*bucket),
                    object: ObjectKey::parse(std::str::from_utf8(object).ok()?).ok()?,
                    version: VersionId::from_bytes(*version),
                    part,
                })
            }
            (&JOURNAL, subject) => Some(Self::Journal { subject: Bytes::copy_from_slice(subject) }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_survives_its_bytes() {
        let content = |part| BlobOwner::Content {
            bucket: BucketId::from_bytes([7; 16]),
            object: ObjectKey::parse("a/ü").unwrap(),
            version: VersionId::from_bytes([9; 16]),
            part,
        };
        let journal = BlobOwner::Journal { subject: Bytes::from_static(b"b\0x") };
        for owner in [content(None), content(Some(PartNumber::new(10_000).unwrap())), journal] {
            assert_eq!(BlobOwner::decode(&owner.encode()), Some(owner));
        }
    }

    #[test]
    fn foreign_bytes_are_no_owner() {
        let good = BlobOwner::Content {
            bucket: BucketId::from_bytes([7; 16]),
            object: ObjectKey::parse("a").unwrap(),
            version: VersionId::from_bytes([9; 16]),
            part: None,
        }
        .encode();
        for len in 0..good.len() {
            assert_eq!(BlobOwner::decode(&good[..len]), None);
        }
        let mut not_utf8 = good.clone();
        *not_utf8.last_mut().unwrap() = 0xff;
        assert_eq!(BlobOwner::decode(&not_utf8), None);
        assert_eq!(BlobOwner::decode(&[3, 1, 2]), None);
    }
}
