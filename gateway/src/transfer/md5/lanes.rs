//! MD5's blocks (RFC 1321, section 3.4), of one stream, or of several at once: then a vector holds the same word of the state of 8 or 16.
//!
//! One stream is a chain of dependent additions that leaves most of a core idle; the chains of other streams fill it. How fast the chain
//! goes is how few operations of a step wait for the step before: see `ready!`.

/// A block of MD5's input.
pub(super) type Block = [u8; 64];
/// The four words of MD5's state.
pub(super) type State = [u32; 4];

/// The most streams that this machine takes at once; 1: it has no vectors for it.
pub(super) fn width() -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
            return 16;
        }
        if is_x86_feature_detected!("avx2") {
            return 8;
        }
    }
    1
}

/// floor(2^32 × abs(sin(i + 1))).
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

/// A sum that is ready before what is added to it, and stays one: the compiler does not see how it came to be. LLVM adds constants last,
/// so it would move a step's constant behind the step's function, and the chain would be five operations a step in place of four.
macro_rules! ready {
    ($class:ident, $sum:expr) => {{
        let mut sum = $sum;
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        // SAFETY: there is no instruction in it, but for a comment, which names the whole register of a number that fills half of it.
        #[allow(unsafe_code, asm_sub_register)]
        unsafe {
            std::arch::asm!("/* {0} */", inout($class) sum, options(pure, nomem, nostack, preserves_flags));
        }
        sum
    }};
}

/// Takes a block, `words`, into the words of the state, with these operations. `f` to `i` add their function to a sum that is ready.
macro_rules! take_block {
    (
        $words:expr => $a:ident, $b:ident, $c:ident, $d:ident;
        register: $class:ident, splat: $splat:path, add: $add:path, rotate: $rotate:ident,
        f: $f:expr, g: $g:expr, h: $h:expr, i: $i:expr
    ) => {
        let words = $words;
        let before = ($a, $b, $c, $d);
        macro_rules! step {
            ($function:expr, $w:ident, $x:ident, $y:ident, $z:ident, $step:expr, $word:expr, $shift:literal) => {
                let sum = $add($w, $add(words[$word], $splat(SINES[$step].cast_signed())));
                $w = $add($x, $rotate!($function(ready!($class, sum), $x, $y, $z), $shift));
            };
        }
        macro_rules! round {
            ($function:expr, $first:literal, $word:expr, $s:literal, $t:literal, $u:literal, $v:literal) => {
                round!(@four $function, $first + 0, $word, $s, $t, $u, $v);
                round!(@four $function, $first + 4, $word, $s, $t, $u, $v);
                round!(@four $function, $first + 8, $word, $s, $t, $u, $v);
                round!(@four $function, $first + 12, $word, $s, $t, $u, $v);
            };
            (@four $function:expr, $step:expr, $word:expr, $s:literal, $t:literal, $u:literal, $v:literal) => {
                step!($function, $a, $b, $c, $d, $step, $word($step), $s);
                step!($function, $d, $a, $b, $c, $step + 1, $word($step + 1), $t);
                step!($function, $c, $d, $a, $b, $step + 2, $word($step + 2), $u);
                step!($function, $b, $c, $d, $a, $step + 3, $word($step + 3), $v);
            };
        }
        round!($f, 0, |step: usize| step % 16, 7, 12, 17, 22);
        round!($g, 16, |step: usize| (5 * step + 1) % 16, 5, 9, 14, 20);
        round!($h, 32, |step: usize| (3 * step + 5) % 16, 4, 11, 16, 23);
        round!($i, 48, |step: usize| (7 * step) % 16, 6, 10, 15, 21);
        ($a, $b, $c, $d) = ($add($a, before.0), $add($b, before.1), $add($c, before.2), $add($d, before.3));
    };
}

macro_rules! rotate {
    ($x:expr, $n:literal) => {
        $x.rotate_left($n)
    };
}

/// Takes the blocks of one stream into its state.
pub(super) fn compress_one(state: &mut State, blocks: &[Block]) {
    let [mut a, mut b, mut c, mut d] = *state;
    for block in blocks {
        let (words, _) = block.as_chunks::<4>();
        take_block!(
            std::array::from_fn::<_, 16, _>(|word| u32::from_le_bytes(words[word])) => a, b, c, d;
            register: reg, splat: i32::cast_unsigned, add: u32::wrapping_add, rotate: rotate,
            f: |sum: u32, b: u32, c: u32, d: u32| sum.wrapping_add(d ^ (b & (c ^ d))),
            // The two terms have no bit in common, and the first does not wait for `b`.
            g: |sum: u32, b: u32, c: u32, d: u32| sum.wrapping_add(c & !d).wrapping_add(b & d),
            h: |sum: u32, b: u32, c: u32, d: u32| sum.wrapping_add(b ^ (c ^ d)),
            i: |sum: u32, b: u32, c: u32, d: u32| sum.wrapping_add(c ^ (b | !d))
        );
    }
    *state = [a, b, c, d];
}

/// Takes the blocks of each stream into its state. There are as many states as streams, at most [`width`] of them, and all streams
/// have equally many blocks.
pub(super) fn compress(states: &mut [&mut State], streams: &[&[Block]]) {
    assert_eq!(states.len(), streams.len());
    let len = streams.first().map_or(0, |blocks| blocks.len());
    assert!(streams.iter().all(|blocks| blocks.len() == len));
    if let ([state], [blocks]) = (&mut *states, streams) {
        return compress_one(state, blocks);
    }
    #[cfg(target_arch = "x86_64")]
    {
        let has_avx512 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
        match streams.len() {
            0 => return,
            // SAFETY: the processor has what the function is compiled for.
            #[allow(unsafe_code)]
            1..=8 if has_avx512 => return unsafe { x86::eight_avx512(states, streams) },
            // SAFETY: as above.
            #[allow(unsafe_code)]
            9..=16 if has_avx512 => return unsafe { x86::sixteen_avx512(states, streams) },
            // SAFETY: as above.
            #[allow(unsafe_code)]
            1..=8 if is_x86_feature_detected!("avx2") => return unsafe { x86::eight_avx2(states, streams) },
            _ => {}
        }
    }
    for (state, blocks) in states.iter_mut().zip(streams) {
        compress_one(state, blocks);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::array;

    use super::{Block, SINES, State};

    /// Words `first` to `first + 7` of the block of each of eight streams, as one vector a word.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn transposed(rows: [__m256i; 8]) -> [__m256i; 8] {
        let [a, b, c, d, e, f, g, h] = rows;
        let pairs = |a, b| (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let ((ab_low, ab_high), (cd_low, cd_high)) = (pairs(a, b), pairs(c, d));
        let ((ef_low, ef_high), (gh_low, gh_high)) = (pairs(e, f), pairs(g, h));
        let quads = |a, b| (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
        let ((w0, w1), (w2, w3)) = (quads(ab_low, cd_low), quads(ab_high, cd_high));
        let ((v0, v1), (v2, v3)) = (quads(ef_low, gh_low), quads(ef_high, gh_high));
        let low = |a, b| _mm256_permute2x128_si256::<0x20>(a, b);
        let high = |a, b| _mm256_permute2x128_si256::<0x31>(a, b);
        [
            low(w0, v0),
            low(w1, v1),
            low(w2, v2),
            low(w3, v3),
            high(w0, v0),
            high(w1, v1),
            high(w2, v2),
            high(w3, v3),
        ]
    }

    /// Half of a block: words 0 to 7, or 8 to 15.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn half(block: &Block, which: usize) -> __m256i {
        let (halves, _) = block.as_chunks::<32>();
        // SAFETY: it reads 32 bytes, which the chunk has, at whatever alignment.
        #[allow(unsafe_code)]
        unsafe {
            _mm256_loadu_si256(halves[which].as_ptr().cast())
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn words_of_eight(streams: &[&[Block]; 8], index: usize) -> [__m256i; 16] {
        let half_of_all = |which| transposed(array::from_fn(|lane| half(&streams[lane][index], which)));
        let (low, high) = (half_of_all(0), half_of_all(1));
        array::from_fn(|word| if word < 8 { low[word] } else { high[word - 8] })
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn words_of_sixteen(streams: &[&[Block]; 16], index: usize) -> [__m512i; 16] {
        let eight = |first: usize, which| {
            transposed(array::from_fn(|lane| half(&streams[first + lane][index], which)))
        };
        let (a, b, c, d) = (eight(0, 0), eight(0, 1), eight(8, 0), eight(8, 1));
        array::from_fn(|word| {
            let (low, high) = if word < 8 { (a[word], c[word]) } else { (b[word - 8], d[word - 8]) };
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
        })
    }

    /// A function that takes the blocks of up to `$lanes` streams, with these operations on vectors.
    macro_rules! compress {
        (
            $name:ident, $lanes:literal, $feature:literal, $words:ident, $load:ident, $store:ident,
            $($operations:tt)*
        ) => {
            #[target_feature(enable = $feature)]
            pub(super) fn $name(states: &mut [&mut State], streams: &[&[Block]]) {
                // Lanes without a stream repeat the first, and what they compute is dropped.
                let streams: [&[Block]; $lanes] = array::from_fn(|lane| *streams.get(lane).unwrap_or(&streams[0]));
                let mut rows = [[0_u32; $lanes]; 4];
                for (lane, state) in states.iter().enumerate() {
                    for word in 0..4 {
                        rows[word][lane] = state[word];
                    }
                }
                // SAFETY: it reads and writes as many bytes as the row has, at whatever alignment.
                #[allow(unsafe_code)]
                let load = |row: &[u32; $lanes]| unsafe { $load(row.as_ptr().cast()) };
                let [mut a, mut b, mut c, mut d] = [load(&rows[0]), load(&rows[1]), load(&rows[2]), load(&rows[3])];
                for index in 0..streams[0].len() {
                    take_block!($words(&streams, index) => a, b, c, d; $($operations)*);
                }
                for (row, vector) in rows.iter_mut().zip([a, b, c, d]) {
                    // SAFETY: as for loading.
                    #[allow(unsafe_code)]
                    unsafe {
                        $store(row.as_mut_ptr().cast(), vector);
                    }
                }
                for (lane, state) in states.iter_mut().enumerate() {
                    for word in 0..4 {
                        state[word] = rows[word][lane];
                    }
                }
            }
        };
    }

    macro_rules! rotate_avx2 {
        ($x:expr, $n:literal) => {{
            let x = $x;
            _mm256_or_si256(_mm256_slli_epi32::<$n>(x), _mm256_srli_epi32::<{ 32 - $n }>(x))
        }};
    }
    macro_rules! rotate_eight {
        ($x:expr, $n:literal) => {
            _mm256_rol_epi32::<$n>($x)
        };
    }
    macro_rules! rotate_sixteen {
        ($x:expr, $n:literal) => {
            _mm512_rol_epi32::<$n>($x)
        };
    }

    compress!(
        eight_avx2, 8, "avx2", words_of_eight, _mm256_loadu_si256, _mm256_storeu_si256,
        register: ymm_reg, splat: _mm256_set1_epi32, add: _mm256_add_epi32, rotate: rotate_avx2,
        f: |sum, b, c, d| _mm256_add_epi32(sum, _mm256_xor_si256(d, _mm256_and_si256(b, _mm256_xor_si256(c, d)))),
        // As for one stream.
        g: |sum, b, c, d| _mm256_add_epi32(_mm256_add_epi32(sum, _mm256_andnot_si256(d, c)), _mm256_and_si256(b, d)),
        h: |sum, b, c, d| _mm256_add_epi32(sum, _mm256_xor_si256(b, _mm256_xor_si256(c, d))),
        i: |sum, b, c, d| {
            let not_d = _mm256_xor_si256(d, _mm256_set1_epi32(-1));
            _mm256_add_epi32(sum, _mm256_xor_si256(c, _mm256_or_si256(b, not_d)))
        }
    );
    // The constants are the truth tables of F, G, H and I, with `b` as the highest bit of a row's number.
    compress!(
        eight_avx512, 8, "avx512f,avx512vl", words_of_eight, _mm256_loadu_si256, _mm256_storeu_si256,
        register: ymm_reg, splat: _mm256_set1_epi32, add: _mm256_add_epi32, rotate: rotate_eight,
        f: |sum, b, c, d| _mm256_add_epi32(sum, _mm256_ternarylogic_epi32::<0xca>(b, c, d)),
        g: |sum, b, c, d| _mm256_add_epi32(sum, _mm256_ternarylogic_epi32::<0xe4>(b, c, d)),
        h: |sum, b, c, d| _mm256_add_epi32(sum, _mm256_ternarylogic_epi32::<0x96>(b, c, d)),
        i: |sum, b, c, d| _mm256_add_epi32(sum, _mm256_ternarylogic_epi32::<0x39>(b, c, d))
    );
    compress!(
        sixteen_avx512, 16, "avx512f", words_of_sixteen, _mm512_loadu_si512, _mm512_storeu_si512,
        register: zmm_reg, splat: _mm512_set1_epi32, add: _mm512_add_epi32, rotate: rotate_sixteen,
        f: |sum, b, c, d| _mm512_add_epi32(sum, _mm512_ternarylogic_epi32::<0xca>(b, c, d)),
        g: |sum, b, c, d| _mm512_add_epi32(sum, _mm512_ternarylogic_epi32::<0xe4>(b, c, d)),
        h: |sum, b, c, d| _mm512_add_epi32(sum, _mm512_ternarylogic_epi32::<0x96>(b, c, d)),
        i: |sum, b, c, d| _mm512_add_epi32(sum, _mm512_ternarylogic_epi32::<0x39>(b, c, d))
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn streams_together_are_as_each_alone(
            seed in any::<[u32; 4]>(), lanes in 1_usize..=16, len in 0_usize..6, fill in any::<u64>()
        ) {
            let lanes = lanes.min(width());
            let mut random = fill;
            let mut byte = || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 56) as u8
            };
            let streams: Vec<Vec<Block>> =
                (0..lanes).map(|_| (0..len).map(|_| std::array::from_fn(|_| byte())).collect()).collect();
            let mut together: Vec<State> =
                (0..lanes as u32).map(|lane| seed.map(|word| word.wrapping_mul(lane + 1))).collect();
            let mut alone = together.clone();
            for (state, blocks) in alone.iter_mut().zip(&streams) {
                md5::block_api::compress(state, blocks);
            }
            let blocks: Vec<&[Block]> = streams.iter().map(|blocks| &**blocks).collect();
            compress(&mut together.iter_mut().collect::<Vec<_>>(), &blocks);
            prop_assert_eq!(&together, &alone);

            // The narrower vectors of machines that have no wider ones.
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && lanes <= 8 {
                let mut narrow: Vec<State> =
                    (0..lanes as u32).map(|lane| seed.map(|word| word.wrapping_mul(lane + 1))).collect();
                // SAFETY: the processor has them.
                #[allow(unsafe_code)]
                unsafe {
                    x86::eight_avx2(&mut narrow.iter_mut().collect::<Vec<_>>(), &blocks);
                }
                prop_assert_eq!(&narrow, &alone);
            }
        }
    }
}
