//! The aws-chunked content encoding, signed and unsigned, with trailers: a decoder that is fed bytes and gives bytes.

use bytes::Bytes;

use crate::auth::PayloadAuth;

/// Why an aws-chunked body is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkedError {
    /// Framing is wrong or a limit was passed: 400 IncompleteBody or InvalidRequest.
    #[error("malformed aws-chunked body: {0}")]
    Malformed(&'static str),
    /// A chunk's or the trailer's signature does not match: 403 SignatureDoesNotMatch.
    #[error("a chunk signature does not match")]
    SignatureDoesNotMatch,
    /// The body ended before its last chunk: 400 IncompleteBody.
    #[error("the body ended early")]
    Incomplete,
}

/// Decodes an aws-chunked body. Data is handed out as it comes; a signed chunk's data counts only once
/// [`Decoder::finish`] answered `Ok`, because its signature is known last.
pub struct Decoder {
    _private: (),
}

impl Decoder {
    /// For a body protected so (one of the two streaming forms).
    pub fn new(payload: PayloadAuth) -> Self {
        let _ = payload;
        unimplemented!()
    }

    /// Takes wire bytes and returns the next run of plain bytes in them without copying; `None`: all of `wire` is used up.
    pub fn next(&mut self, wire: &mut Bytes) -> Result<Option<Bytes>, ChunkedError> {
        let _ = wire;
        unimplemented!()
    }

    /// Checks that the body is whole, and returns its trailers: lower-case names and values.
    pub fn finish(self) -> Result<Vec<(String, String)>, ChunkedError> {
        unimplemented!()
    }
}
