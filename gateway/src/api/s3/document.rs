//! A request's body as one document: read whole, bounded, and checked against all that the request says of it.

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

use super::error::{Code, S3Error};
use super::request::S3Request;
use super::wire::checksum::{self, RequestChecksum};
use crate::auth::PayloadAuth;
use crate::http::header;
use crate::transfer::aws_chunked::Decoder;
use crate::transfer::digest::{self, ChecksumAlgorithm};

/// The longest configuration document.
pub const CONFIG_MAX_LEN: usize = 64 * 1024;

/// Reads the body, which has at most `max_len` plain bytes. Its signature, its hash, `Content-MD5` and checksum are
/// verified where the request has them.
pub async fn read(request: &mut S3Request, max_len: usize) -> Result<Bytes, S3Error> {
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
            return Err(checksum::md5_mismatch(&expected, &calculated));
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
    let declared = request.headers.get(header::DECODED_CONTENT_LENGTH);
    if declared.is_some_and(|len| len.to_str().ok().and_then(|len| len.parse().ok()) != Some(plain.len())) {
        return Err(Code::IncompleteBody.into());
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
