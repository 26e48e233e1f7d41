//! A request's body as one document: read whole, bounded, and checked against all that the request says of it.

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

use super::error::{Code, S3Error, incomplete_body};
use super::request::S3Request;
use super::wire::checksum::{self, RequestChecksum};
use crate::auth::PayloadAuth;
use crate::http::body::UNAUTHENTICATED_MAX_LEN;
use crate::http::header;
use crate::transfer::aws_chunked::Decoder;
use crate::transfer::digest::{self, ChecksumAlgorithm};

/// The longest configuration document.
pub const CONFIG_MAX_LEN: usize = 64 * 1024;

/// Reads a configuration, which must be there.
pub async fn read_config(request: &mut S3Request) -> Result<Bytes, S3Error> {
    let body = read(request, CONFIG_MAX_LEN).await?;
    if body.is_empty() { Err(Code::MissingRequestBodyError.into()) } else { Ok(body) }
}

/// Reads the body, which has at most `max_len` plain bytes, and less from nobody. Its signature, its hash, `Content-MD5` and checksum are
/// verified where the request has them. What was read for its values before is answered once more.
pub async fn read(request: &mut S3Request, max_len: usize) -> Result<Bytes, S3Error> {
    if let Some(document) = request.document.take() {
        return Ok(document);
    }
    let max_len = match request.identity.is_anonymous() {
        true => {
            request.body.unauthenticated();
            max_len.min(UNAUTHENTICATED_MAX_LEN)
        }
        false => max_len,
    };
    let md5 = checksum::content_md5(&request.headers)?;
    let sum = checksum::request_checksum(&request.headers)?;
    let payload = std::mem::replace(&mut request.payload, PayloadAuth::Unsigned);
    let (plain, trailers) = match payload {
        PayloadAuth::Unsigned => (read_plain(request, max_len).await?, Vec::new()),
        PayloadAuth::Sha256(expected) => {
            let plain = read_plain(request, max_len).await?;
            check_hash(&expected, &plain)?;
            (plain, Vec::new())
        }
        payload @ (PayloadAuth::StreamingSigned { .. } | PayloadAuth::StreamingUnsignedTrailer) => {
            read_chunked(request, Decoder::new(payload), max_len).await?
        }
    };
    if let Some(expected) = md5 {
        let calculated = digest::checksum(ChecksumAlgorithm::Md5, &plain);
        if calculated != expected {
            let calculated = calculated.try_into().unwrap_or_default();
            return Err(checksum::md5_mismatch(checksum::format_value(&expected), &calculated));
        }
    }
    if let Some(sum) = sum {
        check_sum(&sum, &trailers, &plain)?;
    }
    Ok(plain)
}

async fn read_plain(request: &mut S3Request, max_len: usize) -> Result<Bytes, S3Error> {
    let mut whole = Growing::new(max_len);
    while let Some(piece) = request.body.next().await {
        whole.push(piece?)?;
    }
    Ok(whole.finish())
}

type Trailers = Vec<(String, String)>;

async fn read_chunked(
    request: &mut S3Request,
    mut decoder: Decoder,
    max_len: usize,
) -> Result<(Bytes, Trailers), S3Error> {
    let mut whole = Growing::new(max_len);
    while let Some(wire) = request.body.next().await {
        let mut wire = wire?;
        while let Some(piece) = decoder.next(&mut wire)? {
            whole.push(piece)?;
        }
    }
    let trailers = decoder.finish()?;
    let plain = whole.finish();
    // Without a number it is nothing to compare with: a document is short.
    let declared = request.headers.get(header::DECODED_CONTENT_LENGTH);
    let declared = declared.and_then(|len| len.to_str().ok()?.trim().parse::<u64>().ok());
    if let Some(declared) = declared.filter(|&len| len != plain.len() as u64) {
        return Err(incomplete_body(declared, Some(plain.len() as u64)));
    }
    Ok((plain, trailers))
}

/// Pieces that become one buffer; the first alone is not copied.
struct Growing {
    first: Bytes,
    rest: BytesMut,
    left: usize,
}

impl Growing {
    fn new(max_len: usize) -> Self {
        Self { first: Bytes::new(), rest: BytesMut::new(), left: max_len }
    }

    fn push(&mut self, piece: Bytes) -> Result<(), S3Error> {
        self.left = self.left.checked_sub(piece.len()).ok_or(Code::MaxMessageLengthExceeded)?;
        if self.first.is_empty() && self.rest.is_empty() {
            self.first = piece;
        } else {
            self.rest.extend_from_slice(&std::mem::take(&mut self.first));
            self.rest.extend_from_slice(&piece);
        }
        Ok(())
    }

    fn finish(self) -> Bytes {
        if self.rest.is_empty() { self.first } else { self.rest.freeze() }
    }
}

fn check_hash(expected: &[u8; 32], plain: &[u8]) -> Result<(), S3Error> {
    let calculated: [u8; 32] = Sha256::digest(plain).into();
    if calculated == *expected {
        return Ok(());
    }
    Err(S3Error::new(Code::XAmzContentSha256Mismatch)
        .field("ClientComputedContentSHA256", hex::encode(expected))
        .field("S3ComputedContentSHA256", hex::encode(calculated)))
}

fn check_sum(sum: &RequestChecksum, trailers: &Trailers, plain: &[u8]) -> Result<(), S3Error> {
    let trailing;
    let expected = match &sum.value {
        Some(value) => value,
        None => {
            let name = sum.algorithm.header();
            let (_, value) = trailers
                .iter()
                .find(|(trailer, _)| trailer == name.as_str())
                .ok_or(Code::MalformedTrailerError)?;
            trailing = checksum::parse_named_value(sum.algorithm, value)?;
            &trailing
        }
    };
    if digest::checksum(sum.algorithm, plain) == *expected {
        Ok(())
    } else {
        Err(checksum::mismatch(sum.algorithm))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use futures_util::stream;
    use http::{HeaderMap, HeaderName, HeaderValue, Method};
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;
    use crate::api::s3::operation::Operation;
    use crate::api::s3::request::Query;
    use crate::http::body::RequestBody;
    use crate::iam::Identity;

    fn request(pieces: &[&'static str], payload: PayloadAuth, headers: &[(HeaderName, &str)]) -> S3Request {
        let frames: Vec<_> = pieces
            .iter()
            .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece.as_bytes()))))
            .collect();
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect();
        S3Request {
            request_id: "R".into(),
            operation: Operation::PutObject,
            method: Method::PUT,
            bucket: None,
            object: None,
            query: Query::default(),
            headers,
            identity: Identity::anonymous(),
            signed: None,
            payload,
            body: RequestBody::new(StreamBody::new(stream::iter(frames)), Duration::from_secs(5), false),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            secure: false,
            tls_version: None,
            document: None,
            of_document: crate::authz::Context::new(),
            version: storage::catalog::VersionRef::Current,
        }
    }

    async fn read_all(
        pieces: &[&'static str],
        payload: PayloadAuth,
        headers: &[(HeaderName, &str)],
    ) -> Result<String, Code> {
        let read = read(&mut request(pieces, payload, headers), 16).await;
        read.map(|plain| String::from_utf8(plain.to_vec()).unwrap()).map_err(|error| error.code)
    }

    #[tokio::test]
    async fn plain_bodies_are_bounded_and_hashed() {
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(read_all(&[], PayloadAuth::Unsigned, &[]).await, ok(""));
        assert_eq!(read_all(&["abc", "", "def"], PayloadAuth::Unsigned, &[]).await, ok("abcdef"));
        let too_long = read_all(&["0123456789", "0123456"], PayloadAuth::Unsigned, &[]).await;
        assert_eq!(too_long, Err(Code::MaxMessageLengthExceeded));
        let hash = |text: &str| PayloadAuth::Sha256(Sha256::digest(text).into());
        assert_eq!(read_all(&["ab", "c"], hash("abc"), &[]).await, ok("abc"));
        assert_eq!(read_all(&["ab", "d"], hash("abc"), &[]).await, Err(Code::XAmzContentSha256Mismatch));
    }

    #[tokio::test]
    async fn digests_are_verified() {
        fn md5(value: &str) -> [(HeaderName, &str); 1] {
            [(checksum::CONTENT_MD5, value)]
        }
        let of_abc = checksum::format_value(&digest::checksum(ChecksumAlgorithm::Md5, b"abc"));
        assert_eq!(read_all(&["abc"], PayloadAuth::Unsigned, &md5(&of_abc)).await, Ok("abc".to_owned()));
        assert_eq!(read_all(&["abd"], PayloadAuth::Unsigned, &md5(&of_abc)).await, Err(Code::BadDigest));
        assert_eq!(read_all(&["abc"], PayloadAuth::Unsigned, &md5("x")).await, Err(Code::InvalidDigest));
        let of_abc = checksum::format_value(&digest::checksum(ChecksumAlgorithm::Crc32, b"abc"));
        let crc = [(header::CHECKSUM_CRC32, of_abc.as_str())];
        assert_eq!(read_all(&["abc"], PayloadAuth::Unsigned, &crc).await, Ok("abc".to_owned()));
        assert_eq!(read_all(&["abd"], PayloadAuth::Unsigned, &crc).await, Err(Code::BadDigest));
    }

    #[tokio::test]
    async fn trailing_checksums_are_verified() {
        let name = header::CHECKSUM_CRC32;
        let headers = [(header::TRAILER, name.as_str()), (header::DECODED_CONTENT_LENGTH, "3")];
        let read = |trailer: String| {
            let body: &'static str = Box::leak(format!("3\r\nabc\r\n0\r\n{trailer}\r\n").into_boxed_str());
            let headers = headers.clone();
            async move { read_all(&[body], PayloadAuth::StreamingUnsignedTrailer, &headers).await }
        };
        let of_abc = checksum::format_value(&digest::checksum(ChecksumAlgorithm::Crc32, b"abc"));
        assert_eq!(read(format!("{name}:{of_abc}\r\n")).await, Ok("abc".to_owned()));
        assert_eq!(read(format!("{name}:AAAAAA==\r\n")).await, Err(Code::BadDigest));
        assert_eq!(read(format!("{name}:AAA=\r\n")).await, Err(Code::InvalidRequest));
        assert_eq!(read(String::new()).await, Err(Code::MalformedTrailerError));
    }
}
