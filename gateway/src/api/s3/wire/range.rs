//! Ranges of an object's bytes.

use crate::api::s3::error::{Code, S3Error};
use crate::http::header;
use crate::seal::PlainRange;

/// One range as a client asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeSpec {
    /// `first-last`, both included.
    Bounded(u64, u64),
    /// `first-`.
    From(u64),
    /// `-count`: the last bytes.
    Last(u64),
}

impl RangeSpec {
    /// Reads a `Range` header. `None`: what it says is to be ignored, as AWS ignores other units, several ranges, and
    /// what can't be read.
    pub fn parse(value: &str) -> Option<Self> {
        let (unit, spec) = value.trim().split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = spec.trim().split_once('-')?;
        match (first.trim(), last.trim()) {
            ("", count) => digits(count).map(Self::Last),
            (first, "") => digits(first).map(Self::From),
            (first, last) => {
                let (first, last) = (digits(first)?, digits(last)?);
                (first <= last).then_some(Self::Bounded(first, last))
            }
        }
    }

    /// The bytes that it means of an object of this length; `InvalidRange` if there are none.
    pub fn resolve(self, object_len: u64) -> Result<PlainRange, S3Error> {
        let (offset, end) = match self {
            Self::Bounded(first, last) => (first, last.saturating_add(1).min(object_len)),
            Self::From(first) => (first, object_len),
            Self::Last(count) => (object_len - count.min(object_len), object_len),
        };
        if offset < end {
            return Ok(PlainRange { offset, len: end - offset });
        }
        Err(S3Error::new(Code::InvalidRange)
            .field("RangeRequested", self.to_string())
            .field("ActualObjectSize", object_len.to_string())
            .header(http::header::CONTENT_RANGE, format!("bytes */{object_len}")))
    }
}

impl std::fmt::Display for RangeSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bounded(first, last) => write!(f, "bytes={first}-{last}"),
            Self::From(first) => write!(f, "bytes={first}-"),
            Self::Last(count) => write!(f, "bytes=-{count}"),
        }
    }
}

/// `Content-Range` of this range of an object of this length.
pub fn content_range(range: PlainRange, object_len: u64) -> String {
    let last = (range.offset + range.len).saturating_sub(1);
    format!("bytes {}-{last}/{object_len}", range.offset)
}

/// The range of the source that an UploadPartCopy names: `bytes=first-last`, wholly within the source.
pub fn copy_source_range(value: &str, source_len: u64) -> Result<PlainRange, S3Error> {
    let name = header::COPY_SOURCE_RANGE;
    match RangeSpec::parse(value) {
        Some(RangeSpec::Bounded(first, last)) if last < source_len => {
            Ok(PlainRange { offset: first, len: last - first + 1 })
        }
        Some(RangeSpec::Bounded(first, _)) if first >= source_len => {
            Err(S3Error::invalid_request("The specified copy range is invalid for the source object size"))
        }
        Some(RangeSpec::Bounded(..)) => Err(S3Error::invalid_argument(
            format!("Range specified is not valid for source object of size: {source_len}"),
            name.as_str(),
            value,
        )),
        _ => Err(S3Error::invalid_argument(
            format!(
                "The {name} value must be of the form bytes=first-last where first and last are the \
                 zero-based offsets of the first and last bytes to copy"
            ),
            name.as_str(),
            value,
        )),
    }
}

/// A number of digits alone; one too large for 64 bits is as good as the largest.
fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(value: &str, len: u64) -> Option<Result<(u64, u64), Code>> {
        let spec = RangeSpec::parse(value)?;
        Some(spec.resolve(len).map(|range| (range.offset, range.len)).map_err(|error| error.code))
    }

    #[test]
    fn ranges() {
        assert_eq!(resolved("bytes=0-0", 10), Some(Ok((0, 1))));
        assert_eq!(resolved("bytes=3-", 10), Some(Ok((3, 7))));
        assert_eq!(resolved("Bytes = 3 - 20", 10), Some(Ok((3, 7))));
        assert_eq!(resolved("bytes=-4", 10), Some(Ok((6, 4))));
        assert_eq!(resolved("bytes=-40", 10), Some(Ok((0, 10))));
        assert_eq!(resolved("bytes=0-99999999999999999999999", 10), Some(Ok((0, 10))));
        let unsatisfiable = Some(Err(Code::InvalidRange));
        assert_eq!(resolved("bytes=10-", 10), unsatisfiable);
        assert_eq!(resolved("bytes=-0", 10), unsatisfiable);
        assert_eq!(resolved("bytes=0-", 0), unsatisfiable);
        assert_eq!(resolved("bytes=-5", 0), unsatisfiable);
        assert_eq!(resolved("bytes=99999999999999999999-", 10), unsatisfiable);
        for ignored in [
            "bytes=5-2",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=+1-2",
        ] {
            assert_eq!(resolved(ignored, 10), None, "{ignored}");
        }
    }

    #[test]
    fn unsatisfiable_ranges_tell_the_length() {
        let error = RangeSpec::From(10).resolve(10).unwrap_err();
        assert_eq!(error.fields[1], ("ActualObjectSize", "10".to_owned()));
        assert_eq!(content_range(PlainRange { offset: 2, len: 3 }, 10), "bytes 2-4/10");
    }

    #[test]
    fn ranges_of_a_copy_are_strict() {
        assert_eq!(copy_source_range("bytes=2-9", 10).unwrap(), PlainRange { offset: 2, len: 8 });
        assert_eq!(copy_source_range("bytes=10-12", 10).unwrap_err().code, Code::InvalidRequest);
        for refused in ["bytes=2-10", "bytes=2-", "bytes=-2", "2-3", "bytes=0-18446744073709551615"] {
            assert_eq!(copy_source_range(refused, 10).unwrap_err().code, Code::InvalidArgument, "{refused}");
        }
    }

    proptest::proptest! {
        #[test]
        fn resolved_ranges_lie_within(value in "bytes=[0-9]{0,4}-[0-9]{0,21}", len in 0_u64..2000) {
            if let Some(Ok((offset, count))) = resolved(&value, len) {
                proptest::prop_assert!(count > 0 && offset + count <= len);
            }
        }

        #[test]
        fn survives_anything(value in "[bytes=0-9,é -]{0,24}", len: u64) {
            if let Some(spec) = RangeSpec::parse(&value) {
                let _ = spec.resolve(len);
            }
            let _ = copy_source_range(&value, len);
        }
    }
}
