//! Random bytes for ids. A request needs many of them, and a call of the system for each costs more than the bytes do: each thread takes
//! some ahead. Keys, and nonces that must never repeat under a key that lasts, do not come from here: the system knows when its machine was
//! copied while it ran, and what was taken ahead before is in both copies.

use std::cell::RefCell;

/// Bytes that a thread takes ahead.
const POOL_LEN: usize = 512;

struct Pool {
    bytes: [u8; POOL_LEN],
    /// How many of them, at the front, nobody has had yet.
    left: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; POOL_LEN], left: 0 }) };
}

/// Bytes that nobody else has in this machine, and nobody could foretell; for what everybody may see.
///
/// # Panics
/// When the operating system has no random bytes.
pub fn public_bytes<const N: usize>() -> [u8; N] {
    const { assert!(N <= POOL_LEN) };
    POOL.with_borrow_mut(|pool| {
        if pool.left < N {
            getrandom::fill(&mut pool.bytes).expect("the operating system gives random bytes");
            pool.left = POOL_LEN;
        }
        let mut taken = [0; N];
        let begin = pool.left - N;
        taken.copy_from_slice(&pool.bytes[begin..pool.left]);
        pool.bytes[begin..pool.left].fill(0);
        pool.left = begin;
        taken
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_bytes_are_given_twice() {
        let take = || (0..1000).map(|_| public_bytes::<24>()).collect::<Vec<_>>();
        let others = std::thread::spawn(take);
        let all: HashSet<_> = take().into_iter().chain(others.join().unwrap()).collect();
        assert_eq!(all.len(), 2000);
        // Nor parts of them, and none is left zero.
        let pieces: HashSet<&[u8]> = all.iter().flat_map(|bytes| bytes.chunks(8)).collect();
        assert_eq!(pieces.len(), 6000);
        assert!(!pieces.contains(&[0; 8][..]));
        assert_ne!(public_bytes::<POOL_LEN>(), public_bytes::<POOL_LEN>());
    }
}
