//! MD5 (RFC 1321), the ETag of most objects: one stream at a time, or several together on one core.

mod lanes;
mod together;

pub use together::Ended;
pub(super) use together::Together;

use lanes::{Block, State};

/// Computes an MD5.
#[derive(Clone)]
pub struct Md5 {
    state: State,
    /// Bytes taken, modulo 2^64.
    len: u64,
    /// The beginning of a block whose end is yet to come: the first `len % 64` bytes.
    pending: Block,
}

impl Default for Md5 {
    fn default() -> Self {
        let state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
        Self { state, len: 0, pending: [0; 64] }
    }
}

impl Md5 {
    /// Takes the next bytes.
    pub fn update(&mut self, data: &[u8]) {
        let blocks = self.complete(data);
        let (blocks, rest) = blocks.as_chunks();
        lanes::compress_one(&mut self.state, blocks);
        self.keep(rest);
    }

    /// The value.
    pub fn finish(mut self) -> [u8; 16] {
        let bit_len = self.len.wrapping_mul(8);
        // One bit, and zeros up to eight bytes before the end of a block.
        let zeros = (119 - self.len % 64) % 64;
        self.update(&[0x80]);
        self.update(&[0; 64][..zeros as usize]);
        self.update(&bit_len.to_le_bytes());
        let mut value = [0; 16];
        for (bytes, word) in value.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        value
    }

    /// Counts these bytes, and completes the block that is pending; what is left of them begins a block.
    fn complete<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let pending = (self.len % 64) as usize;
        self.len = self.len.wrapping_add(data.len() as u64);
        if pending == 0 {
            return data;
        }
        let (head, rest) = data.split_at(data.len().min(64 - pending));
        self.pending[pending..pending + head.len()].copy_from_slice(head);
        if pending + head.len() == 64 {
            lanes::compress_one(&mut self.state, &[self.pending]);
        }
        rest
    }

    /// Keeps the beginning of a block, counted already.
    fn keep(&mut self, rest: &[u8]) {
        self.pending[..rest.len()].copy_from_slice(rest);
    }
}

#[cfg(test)]
mod tests {
    use md5::Digest;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_md5_however_it_is_cut(data in prop::collection::vec(any::<u8>(), 0..400), cuts in prop::collection::vec(0_usize..150, 0..8)) {
            let mut md5 = Md5::default();
            let mut rest = &data[..];
            for cut in cuts {
                let (head, tail) = rest.split_at(cut.min(rest.len()));
                md5.update(head);
                rest = tail;
            }
            md5.update(rest);
            prop_assert_eq!(md5.finish(), <[u8; 16]>::from(md5::Md5::digest(&data)));
        }
    }
}
