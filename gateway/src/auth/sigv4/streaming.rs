//! The chain of chunk signatures of an aws-chunked body.

use super::{push_hex, signature_matches};
use crate::auth::ChunkSigner;

/// SHA-256 of nothing: a field of every chunk's string to sign.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

impl ChunkSigner {
    /// Does this signature fit a chunk with this SHA-256? It becomes the chain's head.
    pub fn verify_chunk(&mut self, chunk_sha256: &[u8; 32], signature: &str) -> bool {
        self.verify("AWS4-HMAC-SHA256-PAYLOAD", Some(EMPTY_SHA256), chunk_sha256, signature)
    }

    /// Does this signature fit trailers with this SHA-256 (of `name:value` lines)?
    pub fn verify_trailer(&mut self, trailer_sha256: &[u8; 32], signature: &str) -> bool {
        self.verify("AWS4-HMAC-SHA256-TRAILER", None, trailer_sha256, signature)
    }

    fn verify(
        &mut self,
        algorithm: &str,
        headers_hash: Option<&str>,
        sha256: &[u8; 32],
        signature: &str,
    ) -> bool {
        let mut to_sign = String::with_capacity(320);
        for line in [
            Some(algorithm),
            Some(&self.timestamp),
            Some(&self.scope),
            Some(&self.previous_signature),
            headers_hash,
        ]
        .into_iter()
        .flatten()
        {
            to_sign.push_str(line);
            to_sign.push('\n');
        }
        push_hex(sha256, &mut to_sign);
        let matches = signature_matches(&self.signing_key, &to_sign, signature);
        if matches {
            self.previous_signature.clear();
            self.previous_signature.push_str(signature);
        }
        matches
    }
}
