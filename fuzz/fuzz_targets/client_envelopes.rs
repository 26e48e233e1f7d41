//! The envelopes of client-side encryption: whatever stands in metadata and instruction files is read without a panic, and what is read is
//! written and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use s3_encryption_client::{Envelope, Located, Metadata, Placement};

fn read(metadata: &Metadata, file: &[u8]) -> Option<Envelope> {
    match Envelope::locate(metadata).ok()? {
        Located::Whole(envelope) => Some(*envelope),
        Located::Partial(partial) => partial.complete(file).ok(),
    }
}

// Lines of metadata, `name=value`, then an empty line, then the instruction file.
fuzz_target!(|input: &str| {
    let (head, file) = input.split_once("\n\n").unwrap_or((input, ""));
    let entries = head.lines().filter_map(|line| line.split_once('='));
    let metadata: Metadata = entries.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let Some(envelope) = read(&metadata, file.as_bytes()) else { return };
    for placement in [Placement::Metadata, Placement::InstructionFile] {
        let Ok(parts) = envelope.to_parts(placement) else { continue };
        let file = parts.instruction_file.unwrap_or_default();
        let again = read(&parts.metadata, file.as_bytes());
        assert_eq!(again.as_ref(), Some(&envelope));
    }
});
