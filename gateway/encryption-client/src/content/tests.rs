use aws_lc_rs::cipher::{EncryptionContext, StreamingEncryptingKey};

use super::*;

const SUITES: [ContentSuite; 2] = [ContentSuite::Aes256GcmHkdfSha512CommitKey, ContentSuite::Aes256Gcm];
/// Around each bound: blocks, the steps of the cipher, the tag.
const LENGTHS: [usize; 14] = [0, 1, 15, 16, 17, 31, 32, 33, 255, 32_767, 32_768, 32_769, 65_552, 100_001];

fn data_key() -> DataKey {
    DataKey::new(&[9; 32]).unwrap()
}

fn body(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 251) as u8).collect()
}

fn sealed(suite: ContentSuite, plain: &[u8]) -> (Vec<u8>, OpeningKey) {
    let (sealing, nonces, commitment) = SealingKey::new(suite, &data_key()).unwrap();
    let mut body = plain.to_vec();
    sealing.seal(&mut body).unwrap();
    (body, OpeningKey::new(suite, data_key(), nonces, commitment.as_ref()).unwrap())
}

fn open_in_steps(key: &OpeningKey, sealed: &[u8], step_len: usize) -> Result<Vec<u8>, Error> {
    let (mut opener, mut plain) = (key.opener()?, Vec::new());
    for step in sealed.chunks(step_len) {
        opener.update(step, &mut plain)?;
    }
    opener.finish(&mut plain).map(|()| plain)
}

fn verify_in_steps(key: &OpeningKey, sealed: &[u8], step_len: usize) -> Result<(), Error> {
    let mut verifier = key.verifier()?.unwrap();
    sealed.chunks(step_len).try_for_each(|step| verifier.update(step))?;
    verifier.finish()
}

#[test]
fn a_body_of_any_length_opens_whole_and_in_steps() {
    for suite in SUITES {
        for len in LENGTHS {
            let plain = body(len);
            let (mut stored, key) = sealed(suite, &plain);
            assert_eq!(stored.len() as u64, sealed_len(len as u64));
            assert_eq!(plain_len(stored.len() as u64), Some(len as u64));
            for step_len in [1, 7, 16, 17, 4096, 1 << 20] {
                if len / step_len < 70_000 {
                    assert!(
                        open_in_steps(&key, &stored, step_len).unwrap() == plain,
                        "{suite} {len} {step_len}"
                    );
                    verify_in_steps(&key, &stored, step_len).unwrap();
                }
            }
            key.open(&mut stored).unwrap();
            assert!(stored == plain, "{suite} {len}");
        }
    }
}

#[test]
fn steps_seal_what_opens_whole() {
    for suite in SUITES {
        for step_len in [1, 15, 16, 33, 5000] {
            let plain = body(20_000);
            let (sealing, nonces, commitment) = SealingKey::new(suite, &data_key()).unwrap();
            let (mut sealer, mut stored) = (sealing.sealer().unwrap(), Vec::new());
            for step in plain.chunks(step_len) {
                sealer.update(step, &mut stored).unwrap();
            }
            sealer.finish(&mut stored);
            let key = OpeningKey::new(suite, data_key(), nonces, commitment.as_ref()).unwrap();
            key.open(&mut stored).unwrap();
            assert!(stored == plain, "{suite} {step_len}");
        }
    }
}

#[test]
fn every_changed_bit_and_every_cut_is_noticed() {
    for suite in SUITES {
        let (stored, key) = sealed(suite, &body(40));
        let refused = |damaged: &[u8]| {
            let mut whole = damaged.to_vec();
            assert!(matches!(key.open(&mut whole), Err(Error::Authentication)), "{damaged:?}");
            assert!(whole.is_empty(), "nothing of it is released");
            for step_len in [1, 16, 100] {
                assert!(matches!(open_in_steps(&key, damaged, step_len), Err(Error::Authentication)));
                assert!(matches!(verify_in_steps(&key, damaged, step_len), Err(Error::Authentication)));
            }
        };
        for at in 0..stored.len() * 8 {
            let mut damaged = stored.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            refused(&damaged);
        }
        for len in 0..stored.len() {
            refused(&stored[..len]);
        }
        refused(&[&stored[..], &[0]].concat());
        refused(&[&[0], &stored[..]].concat());
    }
}

#[test]
fn a_body_opens_with_its_own_key_alone() {
    for suite in SUITES {
        let (mut stored, _) = sealed(suite, &body(100));
        let (_, other) = sealed(suite, &body(100));
        assert!(matches!(other.open(&mut stored), Err(Error::Authentication)));
    }
}

#[test]
fn another_data_key_is_refused_before_the_body_is_read() {
    let suite = ContentSuite::Aes256GcmHkdfSha512CommitKey;
    let (_, nonces, commitment) = SealingKey::new(suite, &data_key()).unwrap();
    let other = DataKey::new(&[8; 32]).unwrap();
    let opened = OpeningKey::new(suite, other, nonces, commitment.as_ref());
    assert!(matches!(opened, Err(Error::Commitment)));
    let dropped = OpeningKey::new(suite, data_key(), nonces, None);
    assert!(matches!(dropped, Err(Error::Commitment)));
}

#[test]
fn a_range_opens_at_any_block_without_being_authenticated() {
    for suite in SUITES {
        let plain = body(5000);
        let (mut stored, key) = sealed(suite, &plain);
        for block in [0, 1, 17, 300] {
            let from = block as usize * 16;
            let opened = key.open_range_unauthenticated(block, &stored[from..from + 50]).unwrap();
            assert!(opened == plain[from..from + 50]);
        }
        stored[20] ^= 1;
        assert_eq!(key.open_range_unauthenticated(1, &stored[16..32]).unwrap()[4], plain[20] ^ 1);
    }
}

#[test]
fn a_body_beyond_the_bound_of_the_mode_is_refused() {
    assert_eq!(MAX_PLAIN_LEN, 68_719_476_704);
    let (sealing, ..) = SealingKey::new(ContentSuite::Aes256Gcm, &data_key()).unwrap();
    let mut sealer = sealing.sealer().unwrap();
    sealer.plain_len = MAX_PLAIN_LEN - 1;
    sealer.update(&[0], &mut Vec::new()).unwrap();
    assert!(matches!(sealer.update(&[0], &mut Vec::new()), Err(Error::TooLong { .. })));
    let (_, key) = sealed(ContentSuite::Aes256Gcm, &[]);
    let (mut opener, mut verifier) = (key.opener().unwrap(), key.verifier().unwrap().unwrap());
    opener.sealed_len = MAX_PLAIN_LEN + TAG_LEN as u64;
    verifier.sealed_len = MAX_PLAIN_LEN + TAG_LEN as u64;
    assert!(matches!(opener.update(&[0], &mut Vec::new()), Err(Error::TooLong { .. })));
    assert!(matches!(verifier.update(&[0]), Err(Error::TooLong { .. })));
}

#[test]
fn legacy_bodies_open_and_their_damage_has_one_error() {
    for len in [0, 1, 15, 16, 17, 5000] {
        let plain = body(len);
        let key = UnboundCipherKey::new(&AES_256, data_key().as_bytes()).unwrap();
        let context = EncryptionContext::Iv128(FixedLength::from([3; 16]));
        let mut cipher = StreamingEncryptingKey::less_safe_cbc_pkcs7(key, context).unwrap();
        let mut stored = vec![0; len + 16];
        let written = cipher.update(&plain, &mut stored).unwrap().written().len();
        let mut last = [0; 16];
        let last = cipher.finish(&mut last).unwrap().1.written().to_vec();
        stored.truncate(written);
        stored.extend(last);

        let key = OpeningKey::new(ContentSuite::Aes256Cbc, data_key(), Nonces::Cbc([3; 16]), None).unwrap();
        for step_len in [1, 16, 1000] {
            assert!(open_in_steps(&key, &stored, step_len).unwrap() == plain, "{len}");
        }
        assert!(matches!(open_in_steps(&key, &stored[1..], 100), Err(Error::Authentication)));
        assert!(key.verifier().unwrap().is_none());
        assert!(key.open_range_unauthenticated(0, &stored).is_err());
        key.open(&mut stored).unwrap();
        assert!(stored == plain, "{len}");
    }
    let refused = SealingKey::new(ContentSuite::Aes256Cbc, &data_key());
    assert!(refused.is_err(), "it is never written");
}
