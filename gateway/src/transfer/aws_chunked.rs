//! The aws-chunked content encoding, signed and unsigned, with trailers: a decoder that is fed bytes and gives bytes.
//!
//! ```text
//! body    = 1*chunk trailers            the last chunk is empty
//! chunk   = size-hex [";chunk-signature=" signature] CRLF data CRLF
//! trailers = *(name ":" value [LF] CRLF) ["x-amz-trailer-signature:" signature CRLF] [CRLF]
//! ```

use bytes::{Buf, Bytes};
use sha2::{Digest, Sha256};

use crate::auth::{ChunkSigner, PayloadAuth};
use crate::http::header;

/// The longest chunk header or trailer line, in bytes.
const MAX_LINE_LEN: usize = 4096;
/// The most trailers.
const MAX_TRAILERS: usize = 32;
/// The largest chunk, in bytes: more than any part or object may have.
const MAX_CHUNK_LEN: u64 = 1 << 40;

/// Why an aws-chunked body is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkedError {
    /// Framing is wrong or a limit was passed: 400 IncompleteBody.
    #[error("malformed aws-chunked body: {0}")]
    Malformed(&'static str),
    /// What follows the last chunk is wrong: 400 MalformedTrailerError.
    #[error("malformed trailers: {0}")]
    Trailer(&'static str),
    /// A chunk's or the trailer's signature does not match: 403 SignatureDoesNotMatch.
    #[error("a chunk signature does not match")]
    SignatureDoesNotMatch,
    /// The body ended before its last chunk: 400 IncompleteBody.
    #[error("the body ended early")]
    Incomplete,
}

/// Decodes an aws-chunked body. Data is handed out as it comes; a signed chunk's data counts only once
/// [`Decoder::finish`] answered `Ok`, because its signature is known to fit only at the chunk's end.
pub struct Decoder {
    state: State,
    signatures: Option<Signatures>,
    expects_trailer: bool,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    trailers: Vec<(String, String)>,
    trailer_is_signed: bool,
    /// What is wrong behind the last chunk. It is told at the end: a wrong length comes first.
    trailer_error: Option<ChunkedError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In a chunk header.
    ChunkHeader,
    /// In a chunk's data.
    Data { remaining: u64 },
    /// Between a chunk's data and the next header.
    DataEnd,
    /// Behind the last chunk's header.
    Trailers,
}

/// What a signed body is checked with.
struct Signatures {
    signer: ChunkSigner,
    /// Of the current chunk's data, or of the trailers.
    hash: Sha256,
    /// The current chunk's, as its header claims.
    claimed: String,
}

impl Decoder {
    /// For a body protected so (one of the two streaming forms).
    pub fn new(payload: PayloadAuth) -> Self {
        let (signatures, expects_trailer) = match payload {
            PayloadAuth::StreamingSigned { signer, trailer } => {
                (Some(Signatures { signer, hash: Sha256::new(), claimed: String::new() }), trailer)
            }
            PayloadAuth::StreamingUnsignedTrailer | PayloadAuth::Unsigned | PayloadAuth::Sha256(_) => {
                (None, true)
            }
        };
        Self {
            state: State::ChunkHeader,
            signatures,
            expects_trailer,
            line: Vec::new(),
            trailers: Vec::new(),
            trailer_is_signed: false,
            trailer_error: None,
        }
    }

    /// Takes wire bytes and returns the next run of plain bytes in them without copying; `None`: all of `wire` is used up.
    pub fn next(&mut self, wire: &mut Bytes) -> Result<Option<Bytes>, ChunkedError> {
        while !wire.is_empty() {
            match self.state {
                State::Data { remaining } => {
                    let len = remaining.min(wire.len() as u64);
                    let data = wire.split_to(len as usize);
                    self.end_of_data(&data, remaining - len)?;
                    return Ok(Some(data));
                }
                State::ChunkHeader => {
                    if let Some(line) = self.take_line(wire)? {
                        self.chunk_header(&line)?;
                    }
                }
                State::DataEnd => {
                    if let Some(line) = self.take_line(wire)? {
                        if !line.is_empty() {
                            return Err(ChunkedError::Malformed("a chunk is longer than its header says"));
                        }
                        self.state = State::ChunkHeader;
                    }
                }
                State::Trailers if self.trailer_error.is_some() => wire.clear(),
                State::Trailers => {
                    let line = self.take_line(wire);
                    let read = line.and_then(|line| line.map_or(Ok(()), |line| self.trailer_line(&line)));
                    self.trailer_error = read.err();
                }
            }
        }
        Ok(None)
    }

    /// Was the last chunk seen?
    pub fn is_behind_chunks(&self) -> bool {
        self.state == State::Trailers
    }

    /// Checks that the body is whole, and returns its trailers: lower-case names and values.
    pub fn finish(mut self) -> Result<Vec<(String, String)>, ChunkedError> {
        if self.state != State::Trailers {
            return Err(ChunkedError::Incomplete);
        }
        if let Some(error) = self.trailer_error {
            return Err(error);
        }
        // Some clients send the last line without its end.
        let line = std::mem::take(&mut self.line);
        self.trailer_line(line.strip_suffix(b"\r").unwrap_or(&line))?;
        let must_be_signed = self.signatures.is_some() && self.expects_trailer;
        if must_be_signed && !self.trailer_is_signed {
            return Err(ChunkedError::SignatureDoesNotMatch);
        }
        Ok(self.trailers)
    }

    /// The next line without its end; `None` if its end has not come yet.
    fn take_line(&mut self, wire: &mut Bytes) -> Result<Option<Bytes>, ChunkedError> {
        let end = wire.iter().position(|&b| b == b'\n');
        let len = end.unwrap_or(wire.len());
        if self.line.len() + len > MAX_LINE_LEN {
            return Err(ChunkedError::Malformed("a line is too long"));
        }
        let mut line = wire.split_to(len);
        if end.is_none() {
            self.line.extend_from_slice(&line);
            return Ok(None);
        }
        wire.advance(1);
        if !self.line.is_empty() {
            self.line.extend_from_slice(&line);
            line = std::mem::take(&mut self.line).into();
        }
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Ok(Some(line))
    }

    /// `size-hex *( ";" name [ "=" value ] )`.
    fn chunk_header(&mut self, line: &[u8]) -> Result<(), ChunkedError> {
        let line =
            std::str::from_utf8(line).map_err(|_| ChunkedError::Malformed("a chunk header is not text"))?;
        let mut fields = line.split(';');
        let size = fields.next().unwrap_or_default().trim();
        if size.is_empty() || size.len() > 16 || !size.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ChunkedError::Malformed("a chunk's size is not a hexadecimal number"));
        }
        let remaining = u64::from_str_radix(size, 16)
            .ok()
            .filter(|&len| len <= MAX_CHUNK_LEN)
            .ok_or(ChunkedError::Malformed("a chunk is too large"))?;
        if let Some(signatures) = &mut self.signatures {
            let signature = fields
                .find_map(|field| field.trim().strip_prefix("chunk-signature="))
                .filter(|signature| !signature.is_empty())
                .ok_or(ChunkedError::Malformed("a chunk lacks its signature"))?;
            if signature.len() != 64 {
                return Err(ChunkedError::SignatureDoesNotMatch);
            }
            signatures.claimed.clear();
            signatures.claimed.push_str(signature);
        }
        if remaining == 0 {
            self.check_chunk()?;
            self.state = State::Trailers;
        } else {
            self.state = State::Data { remaining };
        }
        Ok(())
    }

    fn end_of_data(&mut self, data: &[u8], remaining: u64) -> Result<(), ChunkedError> {
        if let Some(signatures) = &mut self.signatures {
            signatures.hash.update(data);
        }
        if remaining == 0 {
            self.check_chunk()?;
            self.state = State::DataEnd;
        } else {
            self.state = State::Data { remaining };
        }
        Ok(())
    }

    fn check_chunk(&mut self) -> Result<(), ChunkedError> {
        let Some(signatures) = &mut self.signatures else { return Ok(()) };
        let sha256 = signatures.hash.finalize_reset().into();
        if signatures.signer.verify_chunk(&sha256, &signatures.claimed) {
            Ok(())
        } else {
            Err(ChunkedError::SignatureDoesNotMatch)
        }
    }

    /// `name:value`, or nothing: AWS's own examples have an empty line between trailers and their signature.
    fn trailer_line(&mut self, line: &[u8]) -> Result<(), ChunkedError> {
        if line.is_empty() {
            return Ok(());
        }
        if !self.expects_trailer {
            return Err(ChunkedError::Trailer("data behind the last chunk"));
        }
        let line = std::str::from_utf8(line).map_err(|_| ChunkedError::Trailer("a trailer is not text"))?;
        let (name, value) = line.split_once(':').ok_or(ChunkedError::Trailer("a trailer lacks its colon"))?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if self.trailer_is_signed {
            return Err(ChunkedError::Trailer("a trailer behind the trailers' signature"));
        }
        if name == header::TRAILER_SIGNATURE.as_str() {
            return self.check_trailers(value);
        }
        if self.trailers.len() == MAX_TRAILERS {
            return Err(ChunkedError::Trailer("too many trailers"));
        }
        match self.trailers.iter_mut().find(|(known, _)| *known == name) {
            None => self.trailers.push((name, value.to_owned())),
            // As on AWS the last one holds; which of them is signed nobody can tell.
            Some((_, known)) if self.signatures.is_none() => value.clone_into(known),
            Some(_) => return Err(ChunkedError::Trailer("a trailer twice")),
        }
        Ok(())
    }

    fn check_trailers(&mut self, signature: &str) -> Result<(), ChunkedError> {
        self.trailer_is_signed = true;
        let Some(signatures) = &mut self.signatures else { return Ok(()) };
        let mut sorted: Vec<_> = self.trailers.iter().collect();
        sorted.sort_unstable();
        for (name, value) in sorted {
            for piece in [name, ":", value, "\n"] {
                signatures.hash.update(piece);
            }
        }
        let sha256 = signatures.hash.finalize_reset().into();
        if signatures.signer.verify_trailer(&sha256, signature) {
            Ok(())
        } else {
            Err(ChunkedError::SignatureDoesNotMatch)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    /// The signing key and places of AWS's documented examples.
    fn signer(seed: &str) -> ChunkSigner {
        let mut signing_key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(
            "dbb893acc010964918f1fd433add87c70e8b0db6be30c1fbeafefa5ec6ba8378",
            &mut signing_key[..],
        )
        .unwrap();
        ChunkSigner {
            signing_key,
            timestamp: "20130524T000000Z".into(),
            scope: "20130524/us-east-1/s3/aws4_request".into(),
            previous_signature: seed.into(),
        }
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>: 65 KiB of `a` in two chunks.
    fn documented() -> (PayloadAuth, Vec<u8>) {
        let signer = signer("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");
        let mut wire = Vec::new();
        for (len, signature) in [
            (65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
            (1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
            (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
        ] {
            wire.extend_from_slice(format!("{len:x};chunk-signature={signature}\r\n").as_bytes());
            wire.extend_from_slice(&vec![b'a'; len]);
            wire.extend_from_slice(b"\r\n");
        }
        (PayloadAuth::StreamingSigned { signer, trailer: false }, wire)
    }

    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>
    fn documented_with_trailer() -> (PayloadAuth, Vec<u8>) {
        let signer = signer("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e");
        let mut wire = Vec::new();
        for (len, signature) in [
            (65536, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"),
            (1024, "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"),
        ] {
            wire.extend_from_slice(format!("{len:x};chunk-signature={signature}\r\n").as_bytes());
            wire.extend_from_slice(&vec![b'a'; len]);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(
            b"0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n\
              x-amz-checksum-crc32c:sOO8/Q==\n\r\n\
              x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
        );
        (PayloadAuth::StreamingSigned { signer, trailer: true }, wire)
    }

    type Decoded = Result<(Vec<u8>, Vec<(String, String)>), ChunkedError>;

    fn decode(payload: PayloadAuth, frames: &[&[u8]]) -> Decoded {
        let mut decoder = Decoder::new(payload);
        let mut plain = Vec::new();
        for frame in frames {
            let mut wire = Bytes::copy_from_slice(frame);
            while let Some(data) = decoder.next(&mut wire)? {
                assert!(!data.is_empty());
                plain.extend_from_slice(&data);
            }
            assert!(wire.is_empty());
        }
        Ok((plain, decoder.finish()?))
    }

    fn unsigned(wire: &str) -> Decoded {
        decode(PayloadAuth::StreamingUnsignedTrailer, &[wire.as_bytes()])
    }

    #[test]
    fn documented_examples() {
        let (payload, wire) = documented();
        assert_eq!(decode(payload, &[&wire]), Ok((vec![b'a'; 66560], vec![])));
        let (payload, wire) = documented_with_trailer();
        let trailers = vec![("x-amz-checksum-crc32c".to_owned(), "sOO8/Q==".to_owned())];
        assert_eq!(decode(payload, &[&wire]), Ok((vec![b'a'; 66560], trailers)));
    }

    #[test]
    fn byte_by_byte() {
        for (payload, wire) in [documented(), documented_with_trailer()] {
            let frames: Vec<&[u8]> = wire.chunks(1).collect();
            assert_eq!(decode(payload, &frames).unwrap().0.len(), 66560);
        }
    }

    /// A body of a few dozen bytes, signed by the chain itself, so that each of its bytes can be tampered with.
    fn small_signed(trailer: bool) -> (impl Fn() -> PayloadAuth, Vec<u8>) {
        use crate::auth::sign_for_tests;
        let payload = move || PayloadAuth::StreamingSigned { signer: signer(&"0".repeat(64)), trailer };
        let mut previous = "0".repeat(64);
        let mut wire = Vec::new();
        for data in ["first chunk", "2nd", ""] {
            let lines = format!("{}\n{}", hex::encode(Sha256::digest("")), hex::encode(Sha256::digest(data)));
            previous = sign_for_tests(&signer(&previous), "AWS4-HMAC-SHA256-PAYLOAD", &lines);
            wire.extend_from_slice(format!("{:x};chunk-signature={previous}\r\n", data.len()).as_bytes());
            if !data.is_empty() {
                wire.extend_from_slice(format!("{data}\r\n").as_bytes());
            }
        }
        if trailer {
            let line = hex::encode(Sha256::digest("x-amz-checksum-md5:abc\n"));
            let signature = sign_for_tests(&signer(&previous), "AWS4-HMAC-SHA256-TRAILER", &line);
            wire.extend_from_slice(
                format!("x-amz-checksum-md5:abc\r\nx-amz-trailer-signature:{signature}\r\n\r\n").as_bytes(),
            );
        }
        (payload, wire)
    }

    #[test]
    fn every_byte_tampered_and_every_truncation() {
        for trailer in [false, true] {
            let (payload, wire) = small_signed(trailer);
            let whole = decode(payload(), &[&wire]).unwrap();
            assert_eq!(whole.0, b"first chunk2nd");
            for at in 0..wire.len() {
                for flip in [0x01, 0x20, 0x80] {
                    let mut bad = wire.clone();
                    bad[at] ^= flip;
                    // What is framing or case may change without changing what the body says; then it says the same.
                    if let Ok(decoded) = decode(payload(), &[&bad]) {
                        assert_eq!(decoded, whole, "byte {at}");
                    }
                }
                if let Ok(decoded) = decode(payload(), &[&wire[..at]]) {
                    assert_eq!(decoded, whole, "cut at {at}");
                    assert!(at + 4 >= wire.len(), "cut at {at}");
                }
            }
        }
    }

    #[test]
    fn a_missing_trailer_signature_is_refused() {
        let (payload, wire) = small_signed(true);
        let at = wire.windows(23).position(|w| w == b"x-amz-trailer-signature").unwrap();
        assert_eq!(decode(payload(), &[&wire[..at]]), Err(ChunkedError::SignatureDoesNotMatch));
    }

    #[test]
    fn what_clients_send() {
        let trailers = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
        };
        let crc = trailers(&[("x-amz-checksum-crc32", "NSRBwg==")]);
        for end in ["\r\n\r\n", "\r\n", "", "\n\r\n\r\n", "\r\n\r\n\r\n"] {
            let wire = format!("3\r\nabc\r\n0\r\nX-Amz-Checksum-Crc32: NSRBwg=={end}");
            assert_eq!(unsigned(&wire), Ok((b"abc".to_vec(), crc.clone())), "{end:?}");
        }
        for end in ["\r\n\r\n", "\r\n"] {
            assert_eq!(unsigned(&format!("3\r\nabc\r\n0{end}")), Ok((b"abc".to_vec(), vec![])));
        }
        assert_eq!(unsigned("3;x=y;chunk-signature=z\r\nabc\r\n0;q\r\n\r\n"), Ok((b"abc".to_vec(), vec![])));
        assert_eq!(unsigned("A\r\n0123456789\r\n00\r\n\r\n"), Ok((b"0123456789".to_vec(), vec![])));
    }

    #[test]
    fn malformed() {
        for wire in [
            "x\r\n",
            "\r\n",
            "-1\r\n",
            "+3\r\nabc\r\n0\r\n\r\n",
            "ffffffffffffffff\r\n",
            "10000000000000000\r\n",
            "3\r\nabcd\r\n0\r\n\r\n",
        ] {
            assert!(matches!(unsigned(wire), Err(ChunkedError::Malformed(_))), "{wire:?}");
        }
        assert!(matches!(unsigned("0\r\nno colon\r\nmore\r\n"), Err(ChunkedError::Trailer(_))));
        let last = vec![("a".to_owned(), "2".to_owned())];
        assert_eq!(unsigned("0\r\na:1\r\na:2\r\n"), Ok((Vec::new(), last)));
        for wire in ["", "3", "3\r\nab", "3\r\nabc", "3\r\nabc\r\n", "0"] {
            assert_eq!(unsigned(wire), Err(ChunkedError::Incomplete), "{wire:?}");
        }
        let long = "0".repeat(MAX_LINE_LEN + 1);
        assert_eq!(unsigned(&long), Err(ChunkedError::Malformed("a line is too long")));
        let many: String = (0..=MAX_TRAILERS).map(|i| format!("t{i}:v\r\n")).collect();
        assert!(matches!(unsigned(&format!("0\r\n{many}")), Err(ChunkedError::Trailer(_))));
    }

    proptest! {
        #[test]
        fn fragmentation_does_not_matter(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..200), 0..6),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\nname:value\r\n\r\n");
            let mut cuts: Vec<usize> = cuts.iter().map(|i| i.index(wire.len() + 1)).collect();
            cuts.extend([0, wire.len()]);
            cuts.sort_unstable();
            let frames: Vec<&[u8]> = cuts.windows(2).map(|w| &wire[w[0]..w[1]]).collect();
            let (plain, trailers) = decode(PayloadAuth::StreamingUnsignedTrailer, &frames).unwrap();
            prop_assert_eq!(plain, chunks.concat());
            prop_assert_eq!(trailers, vec![("name".to_owned(), "value".to_owned())]);
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(wire in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(PayloadAuth::StreamingUnsignedTrailer, &[&wire]);
        }
    }
}
