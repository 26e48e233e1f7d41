use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use storage::name::MessageSalt;

use super::*;

fn keys(layers: usize) -> ContentKeys {
    let layers = (0..layers).map(|n| ContentKey(Secret32::take(&mut [n as u8 + 1; 32]))).collect();
    ContentKeys { layers }
}

fn context() -> SealContext {
    SealContext { version: VersionId::from_bytes([7; 16]), part: 3 }
}

fn salts(layers: usize) -> Vec<[u8; SALT_LEN]> {
    (0..layers).map(|n| [0xa0 + n as u8; SALT_LEN]).collect()
}

fn plain(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251) as u8).collect()
}

fn seal(plain: &[u8], layers: usize, step: usize) -> Vec<u8> {
    let mut sealer = Sealer::new(&keys(layers), context(), &salts(layers));
    let mut out = Vec::new();
    for piece in plain.chunks(step.max(1)) {
        sealer.update(piece, &mut out);
    }
    sealer.finish(&mut out);
    out
}

fn open_range(
    stored: &[u8],
    keys: &ContentKeys,
    context: SealContext,
    plain_len: usize,
    range: PlainRange,
    max_len: usize,
) -> Result<Vec<u8>, OpenError> {
    let plain_len = PlainLen(plain_len as u64);
    let read = |range: storage::blob::StoredRange| {
        stored.get(range.offset as usize..range.offset as usize + range.len).ok_or(OpenError::Truncated)
    };
    let mut header = read(Opener::header_range(plain_len, keys.layers.len()))?.to_vec();
    let opener = Opener::new(keys, context, plain_len, None, &mut header)?;
    let mut opened = Vec::new();
    // Of another length each time, and full of something else.
    let mut apart = Vec::new();
    // One behind the other.
    let (mut run, mut place_in_run) = (Vec::new(), None);
    for span in opener.spans(range, max_len) {
        let stored = read(span.stored)?;
        let piece = opener.open(&span, BytesMut::from(stored));
        let place = opener.open_into(&span, &mut stored.to_vec(), &mut apart, 0);
        assert_eq!(place.map(|place| Bytes::copy_from_slice(&apart[place])), piece);
        let piece = piece?;
        assert_eq!(piece.len() as u64, span.plain.len);
        opened.extend_from_slice(&piece);
        let at = place_in_run.as_ref().map_or(0, |place: &std::ops::Range<usize>| place.end);
        let behind = opener.open_into(&span, &mut stored.to_vec(), &mut run, at)?;
        place_in_run = Some(place_in_run.map_or(behind.start, |place| place.start)..behind.end);
    }
    assert_eq!(run[place_in_run.unwrap_or_default()], opened[..]);
    Ok(opened)
}

fn open(stored: &[u8], layers: usize, plain_len: usize) -> Result<Vec<u8>, OpenError> {
    let whole = PlainRange { offset: 0, len: plain_len as u64 };
    open_range(stored, &keys(layers), context(), plain_len, whole, 100_000)
}

const LENGTHS: [usize; 11] = [0, 1, 15, 16, 16_327, 16_383, 16_384, 16_385, 32_767, 32_768, 100_000];

#[test]
fn every_length_in_every_step_has_one_sealed_form_and_opens() {
    for layers in [1, 2] {
        for len in LENGTHS {
            let plain = plain(len);
            let whole = seal(&plain, layers, usize::MAX);
            assert_eq!(whole.len() as u64, stored_len(PlainLen(len as u64), layers).0, "{len} × {layers}");
            for step in [1, 1000, 16_383, 16_384, 16_385, 70_000] {
                if step > 1 || len < 20_000 {
                    assert_eq!(seal(&plain, layers, step), whole, "{len} in steps of {step}");
                }
            }
            assert_eq!(open(&whole, layers, len).unwrap(), plain);
        }
    }
}

#[test]
fn every_tampered_byte_is_noticed() {
    for layers in [1, 2] {
        let len = 16_384 + 40;
        let sealed = seal(&plain(len), layers, usize::MAX);
        // Every byte of header, chunk borders and tail; every 97th of what lies between.
        for at in (0..sealed.len()).filter(|at| *at < 200 || at % 97 == 0 || *at > sealed.len() - 200) {
            let mut damaged = sealed.clone();
            damaged[at] ^= 0x40;
            assert!(open(&damaged, layers, len).is_err(), "byte {at} of {layers} layers");
        }
    }
}

#[test]
fn truncated_reordered_and_foreign_bytes_are_refused() {
    for layers in [1, 2] {
        let len = 3 * CHUNK_LEN_PLAIN;
        let sealed = seal(&plain(len), layers, usize::MAX);
        for cut in
            [0, 10, HEADER_LEN, HEADER_LEN + CHUNK_LEN_STORED, sealed.len() - TAG_LEN, sealed.len() - 1]
        {
            assert!(open(&sealed[..cut], layers, len).is_err(), "cut at {cut}");
        }
        let mut swapped = sealed.clone();
        let (first, second) = swapped[HEADER_LEN..].split_at_mut(CHUNK_LEN_STORED);
        first.swap_with_slice(&mut second[..CHUNK_LEN_STORED]);
        assert_eq!(open(&swapped, layers, len), Err(OpenError::Tampered { index: 0 }));

        // A shorter message's length does not open a longer one: its last chunk is not where it should be.
        let shorter = stored_len(PlainLen(len as u64 - 5), layers).0 as usize;
        assert!(open(&sealed[..shorter], layers, len - 5).is_err());
    }
}

#[test]
fn another_key_version_or_part_is_refused_before_any_content() {
    let sealed = seal(&plain(100), 1, usize::MAX);
    let whole = PlainRange { offset: 0, len: 100 };
    let other_key = ContentKeys { layers: vec![ContentKey(Secret32::take(&mut [9; 32]))] };
    let other_version = SealContext { version: VersionId::from_bytes([8; 16]), ..context() };
    let other_part = SealContext { part: 4, ..context() };
    for (keys, context) in [(other_key, context()), (keys(1), other_version), (keys(1), other_part)] {
        assert_eq!(open_range(&sealed, &keys, context, 100, whole, 100_000), Err(OpenError::WrongKey));
    }
}

#[test]
fn another_sending_is_refused_before_any_content() {
    for layers in [1, 2] {
        let plain_len = PlainLen(40_000);
        let sealed = seal(&plain(40_000), layers, usize::MAX);
        let outermost = *salts(layers).last().unwrap();
        let mut innermost = salts(layers)[0];
        innermost[0] ^= u8::from(layers == 1);
        let open = |salt: Option<[u8; SALT_LEN]>| {
            let mut header = sealed[..Opener::header_range(plain_len, layers).len].to_vec();
            let salt = salt.map(MessageSalt::from_bytes);
            Opener::new(&keys(layers), context(), plain_len, salt, &mut header).map(drop)
        };
        assert_eq!(open(None), Ok(()));
        assert_eq!(open(Some(outermost)), Ok(()));
        assert_eq!(open(Some(innermost)), Err(OpenError::OtherSending));
        let mut last = outermost;
        last[SALT_LEN - 1] ^= 1;
        assert_eq!(open(Some(last)), Err(OpenError::OtherSending));
    }
}

#[test]
fn chunks_are_what_aes_gcm_of_another_library_makes() {
    use hkdf::Hkdf;
    let plain = plain(20_000);
    let sealed = seal(&plain, 1, usize::MAX);
    let mut secret = [0; 64];
    secret[..32].copy_from_slice(&[1; 32]);
    let mut info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0".to_vec();
    info.extend_from_slice(&salts(1)[0]);
    info.extend_from_slice(&context().to_bytes());
    let mut derived = [0; 76];
    Hkdf::<sha2::Sha512>::from_prk(&secret).unwrap().expand(&info, &mut derived).unwrap();
    assert_eq!(sealed[SALT_LEN..HEADER_LEN], derived[44..]);
    let oracle = aead::oracle::Oracle::new(derived[..32].try_into().unwrap());
    let mut expected = Vec::new();
    for (index, chunk) in plain.chunks(CHUNK_LEN_PLAIN).enumerate() {
        let mut nonce: [u8; 12] = derived[32..44].try_into().unwrap();
        nonce[11] ^= index as u8;
        let mut chunk = chunk.to_vec();
        let tag = oracle.seal(&nonce, b"", &mut chunk);
        expected.extend(chunk);
        expected.extend(tag);
    }
    assert!(sealed[HEADER_LEN..] == expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn a_range_yields_the_slice(len in 0usize..120_000, a in 0.0f64..1.0, b in 0.0f64..1.0, layers in 1usize..=2, max in 1usize..70_000) {
        let plain = plain(len);
        let sealed = seal(&plain, layers, usize::MAX);
        let (from, to) = ((a.min(b) * len as f64) as usize, (a.max(b) * len as f64) as usize);
        let range = PlainRange { offset: from as u64, len: (to - from) as u64 };
        let opened = open_range(&sealed, &keys(layers), context(), len, range, max).unwrap();
        prop_assert!(opened == plain[from..to]);
    }
}

/// Messages made by `vectors/make_vectors.py`, which shares no code with this crate.
#[test]
fn an_independent_implementation_makes_the_same_bytes() {
    use sha2::Digest;
    let vectors: serde_json::Value = serde_json::from_str(include_str!("vectors/vectors.json")).unwrap();
    let bytes = |value: &serde_json::Value| hex::decode(value.as_str().unwrap()).unwrap();
    let vectors = vectors.as_array().unwrap();
    assert_eq!(vectors.len(), 12);
    for vector in vectors {
        let list = |name: &str| vector[name].as_array().unwrap().clone();
        let layers = list("keys")
            .iter()
            .map(|key| ContentKey(Secret32::take(&mut bytes(key).try_into().unwrap())))
            .collect();
        let keys = ContentKeys { layers };
        let salts: Vec<[u8; SALT_LEN]> = list("salts").iter().map(|s| bytes(s).try_into().unwrap()).collect();
        let context = SealContext {
            version: VersionId::from_bytes(bytes(&vector["version"]).try_into().unwrap()),
            part: vector["part"].as_u64().unwrap() as u16,
        };
        let plain = plain(vector["plain_len"].as_u64().unwrap() as usize);
        let mut sealer = Sealer::new(&keys, context, &salts);
        let mut sealed = Vec::new();
        sealer.update(&plain, &mut sealed);
        sealer.finish(&mut sealed);
        assert_eq!(sealed.len() as u64, vector["stored_len"].as_u64().unwrap());
        assert_eq!(sealed[..72], bytes(&vector["head"])[..]);
        assert_eq!(hex::encode(sha2::Sha256::digest(&sealed)), vector["sha256"].as_str().unwrap());
        let whole = PlainRange { offset: 0, len: plain.len() as u64 };
        assert!(open_range(&sealed, &keys, context, plain.len(), whole, 100_000).unwrap() == plain);
    }
}
