//! Looks at texts in blocks, without a way out of them, so that a block is one step of the processor.

const LEN: usize = 16;

/// Is no byte odd? The last block goes back over what the one before has seen; a text that is shorter is filled up with spaces, which must
/// not be odd.
#[inline]
pub fn has_none(text: &[u8], is_odd: impl Fn(u8) -> bool) -> bool {
    let is_even = |block: &[u8; LEN]| block.iter().fold(0, |odd, byte| odd | u8::from(is_odd(*byte))) == 0;
    match text.last_chunk() {
        Some(last) => text.as_chunks().0.iter().all(is_even) && is_even(last),
        None => {
            let mut block = [b' '; LEN];
            block.iter_mut().zip(text).for_each(|(to, byte)| *to = *byte);
            is_even(&block)
        }
    }
}
