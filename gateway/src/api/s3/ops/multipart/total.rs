//! What a completed object's ETag, length and checksum are made of. Pure.

use storage::catalog::{CompletedPart, Part, StoredChecksum};

use crate::api::s3::error::{Code, S3Error};
use crate::api::s3::wire::checksum;
use crate::transfer::digest::{ChecksumAlgorithm, combine, composite};
use crate::transfer::md5::Md5;

/// The longest object, in bytes: 50 TB.
const MAX_LEN: u64 = 50_000_000_000_000;

/// An entity tag that tells nothing of the content.
pub(super) fn opaque_tag() -> [u8; 16] {
    let mut tag = [0; 16];
    getrandom::fill(&mut tag).expect("the operating system gives random bytes");
    tag
}

/// Parts may be named with checksums of the upload's algorithm alone, and must be where the object's is composite.
pub(super) fn check_named_checksums(
    declared: Option<&(String, bool)>,
    parts: &[CompletedPart],
) -> Result<(), S3Error> {
    let Some((declared, composite)) = declared else { return Ok(()) };
    for part in parts {
        match &part.checksum {
            Some((algorithm, _)) if algorithm != declared => {
                return Err(S3Error::new(Code::BadDigest).message(format!(
                    "The {} you specified for part {} did not match what we received.",
                    algorithm.to_ascii_lowercase(),
                    part.number
                )));
            }
            None if *composite => {
                return Err(S3Error::invalid_request(format!(
                    "The upload was created using a {} checksum. The complete request must include the checksum for \
                     each part. It was missing for part {} in the request.",
                    declared.to_ascii_lowercase(),
                    part.number
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The plain length of all parts.
pub(super) fn plain_len(parts: &[Part]) -> Result<u64, S3Error> {
    let len = parts.iter().map(|part| part.plain_len).sum();
    if len <= MAX_LEN {
        return Ok(len);
    }
    Err(S3Error::new(Code::EntityTooLarge)
        .field("ProposedSize", len.to_string())
        .field("MaxSizeAllowed", MAX_LEN.to_string()))
}

/// The MD5 of the parts' MD5s, and their number; where parts have none (their tags are opaque) the object's is too.
pub(super) fn etag(parts: &[Part]) -> String {
    let mut md5 = Md5::default();
    let all = parts.iter().all(|part| match &part.md5 {
        Some(value) => {
            md5.update(value);
            true
        }
        None => false,
    });
    let tag = if all { md5.finish() } else { opaque_tag() };
    format!("{}-{}", hex::encode(tag), parts.len())
}

/// The object's checksum: of the algorithm and kind declared when the upload was created; where nothing was declared, of
/// what its parts agree on.
pub(super) fn checksum(declared: Option<&(String, bool)>, parts: &[Part]) -> Option<StoredChecksum> {
    let name = &parts.first()?.checksum.as_ref()?.algorithm;
    let algorithm = ChecksumAlgorithm::parse(name)?;
    let is_composite = match declared {
        Some((declared, _)) if declared != name => return None,
        Some((_, composite)) => *composite,
        None => !algorithm.combines(),
    };
    let values: Vec<(Vec<u8>, u64)> = parts
        .iter()
        .map(|part| {
            let stored = part.checksum.as_ref().filter(|stored| stored.algorithm == *name)?;
            Some((checksum::parse_value(algorithm, &stored.value)?, part.plain_len))
        })
        .collect::<Option<_>>()?;
    let value = if is_composite {
        let value = composite(algorithm, values.iter().map(|(value, _)| value.as_slice()));
        format!("{}-{}", checksum::format_value(&value), parts.len())
    } else {
        checksum::format_value(&combine(algorithm, &values)?)
    };
    Some(StoredChecksum { algorithm: name.clone(), composite: is_composite, value })
}

#[cfg(test)]
mod tests {
    use storage::blob::{BlobRef, StoredLen};
    use storage::name::{BlobId, PartNumber, Timestamp};

    use super::*;
    use crate::transfer::digest;

    fn part(number: u64, data: &[u8], algorithm: Option<ChecksumAlgorithm>) -> Part {
        let mut md5 = Md5::default();
        md5.update(data);
        Part {
            number: PartNumber::new(number).unwrap(),
            plain_len: data.len() as u64,
            etag: String::new(),
            md5: Some(md5.finish()),
            checksum: algorithm.map(|algorithm| StoredChecksum {
                algorithm: algorithm.name().into(),
                composite: false,
                value: checksum::format_value(&digest::checksum(algorithm, data)),
            }),
            last_modified: Timestamp(0),
            blob: BlobRef { id: BlobId::from_bytes([0; 16]), stored_len: StoredLen(0) },
            salt: None,
        }
    }

    #[test]
    fn etags() {
        let mut parts = [part(1, b"a", None), part(2, b"b", None)];
        // md5(md5("a") ‖ md5("b")), from Python's hashlib.
        assert_eq!(etag(&parts), "96e024ba2074fe77e8e965ba43a704be-2");
        parts[1].md5 = None;
        let opaque = etag(&parts);
        assert!(opaque.ends_with("-2") && opaque.len() == 34);
        assert_ne!(opaque, etag(&parts));
    }

    #[test]
    fn lengths() {
        let mut parts = [part(1, b"abc", None), part(2, b"d", None)];
        assert_eq!(plain_len(&parts).unwrap(), 4);
        parts[0].plain_len = MAX_LEN;
        assert_eq!(plain_len(&parts).unwrap_err().code, Code::EntityTooLarge);
    }

    #[test]
    fn checksums() {
        use ChecksumAlgorithm as A;
        for algorithm in A::ALL {
            let parts = [part(1, b"one", Some(algorithm)), part(7, b"two", Some(algorithm))];
            let whole = checksum::format_value(&digest::checksum(algorithm, b"onetwo"));
            let values = [digest::checksum(algorithm, b"one"), digest::checksum(algorithm, b"two")].concat();
            let of_parts = format!("{}-2", checksum::format_value(&digest::checksum(algorithm, &values)));
            let name = algorithm.name().to_owned();
            let made = |declared: Option<bool>| {
                let declared = declared.map(|composite| (name.clone(), composite));
                super::checksum(declared.as_ref(), &parts).map(|sum| (sum.composite, sum.value))
            };
            assert_eq!(made(Some(true)), Some((true, of_parts.clone())));
            assert_eq!(made(Some(false)), algorithm.combines().then_some((false, whole.clone())));
            assert_eq!(
                made(None),
                Some(if algorithm.combines() { (false, whole) } else { (true, of_parts) })
            );
        }
        let mixed = [part(1, b"a", Some(A::Sha1)), part(2, b"b", Some(A::Crc32))];
        assert_eq!(super::checksum(None, &mixed), None);
        assert_eq!(super::checksum(Some(&("SHA1".into(), true)), &mixed), None);
        assert_eq!(super::checksum(None, &[part(1, b"a", None)]), None);
    }

    #[test]
    fn composite_checksums_are_required() {
        let named = |checksum: Option<(String, String)>| CompletedPart {
            number: PartNumber::new(3).unwrap(),
            etag: String::new(),
            checksum,
        };
        let with = [named(Some(("SHA1".into(), String::new())))];
        assert!(check_named_checksums(Some(&("SHA1".into(), true)), &with).is_ok());
        assert!(check_named_checksums(Some(&("CRC32".into(), false)), &[named(None)]).is_ok());
        assert!(check_named_checksums(None, &[named(None)]).is_ok());
        let error = check_named_checksums(Some(&("SHA1".into(), true)), &[named(None)]).unwrap_err();
        assert!(error.client_message().contains("a sha1 checksum"), "{error}");
        assert!(error.client_message().contains("for part 3"), "{error}");
    }
}
