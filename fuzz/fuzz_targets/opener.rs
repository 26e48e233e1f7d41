//! The opener: whatever became of the stored bytes, and whatever length a record claims, it opens what was sealed or nothing.
#![no_main]

use bytes::BytesMut;
use gateway::seal::{ContentKey, ContentKeys, Opener, PlainLen, PlainRange, SALT_LEN, SealContext, Sealer};
use kms_core::secret::Secret32;
use libfuzzer_sys::fuzz_target;
use storage::blob::StoredRange;
use storage::name::VersionId;

fn keys(layers: usize) -> ContentKeys {
    let layers = (0..layers).map(|n| ContentKey(Secret32::take(&mut [n as u8 + 1; 32]))).collect();
    ContentKeys { layers }
}

fn open(stored: &[u8], layers: usize, claimed: u64, range: PlainRange, max_len: usize) -> Option<Vec<u8>> {
    let context = SealContext { version: VersionId::from_bytes([7; 16]), part: 3 };
    let read = |range: StoredRange| {
        let start = usize::try_from(range.offset).ok()?;
        stored.get(start..start.checked_add(range.len)?)
    };
    let claimed = PlainLen(claimed);
    let mut header = read(Opener::header_range(claimed, layers))?.to_vec();
    let opener = Opener::new(&keys(layers), context, claimed, None, &mut header).ok()?;
    let mut opened = Vec::new();
    for span in opener.spans(range, max_len) {
        opened.extend_from_slice(&opener.open(&span, BytesMut::from(read(span.stored)?)).ok()?);
    }
    Some(opened)
}

// Sixteen bytes of parameters, then changes: each a position (3 bytes) and what is flipped there.
fuzz_target!(|input: &[u8]| {
    let Some((parameters, changes)) = input.split_at_checked(16) else { return };
    let number =
        |at: usize| u32::from_be_bytes([0, parameters[at], parameters[at + 1], parameters[at + 2]]) as usize;
    let layers = 1 + usize::from(parameters[0] & 1);
    let plain: Vec<u8> = (0..number(1) % 70_000).map(|i| (i * 31 + i / 251) as u8).collect();
    let context = SealContext { version: VersionId::from_bytes([7; 16]), part: 3 };
    let mut sealer = Sealer::new(&keys(layers), context, &[[5; SALT_LEN], [6; SALT_LEN]][..layers]);
    let mut stored = Vec::new();
    sealer.update(&plain, &mut stored);
    sealer.finish(&mut stored);
    let sealed = stored.clone();
    for change in changes.chunks_exact(4) {
        let at = u32::from_be_bytes([0, change[0], change[1], change[2]]) as usize;
        match stored.get_mut(at) {
            Some(byte) => *byte ^= change[3],
            None if change[3] & 1 == 0 => stored.truncate(at % (stored.len() + 1)),
            None => stored.extend_from_slice(change),
        }
    }
    let claimed = match parameters[0] & 6 {
        0 => number(4) % 140_000,
        _ => plain.len(),
    };
    let offset = number(7) % (claimed + 1);
    let len = number(10) % (claimed - offset + 1);
    let range = PlainRange { offset: offset as u64, len: len as u64 };
    let max_len = 1 + number(13) % 100_000;
    let opened = open(&stored, layers, claimed as u64, range, max_len);
    match opened {
        Some(opened) => assert_eq!(Some(&opened[..]), plain.get(offset..offset + len)),
        None => assert!(stored != sealed || claimed != plain.len()),
    }
});
