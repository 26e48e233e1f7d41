//! The documents that clients send: none makes their parsers panic, and what is read comes back when it is written.
#![no_main]

use gateway::api::s3::wire::{delete, encryption, location, multipart};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|document: &[u8]| {
    let _ = location::parse(document);
    if let Ok(parts) = multipart::parse_complete(document) {
        assert!(parts.is_sorted_by(|one, next| one.number < next.number));
    }
    if let Ok(request) = delete::parse(document) {
        assert!((1..=delete::MAX_OBJECTS).contains(&request.objects.len()));
    }
    if let Ok(config) = encryption::parse(document) {
        let again = encryption::parse(&encryption::write(&config)).expect("what we write is well-formed");
        assert_eq!(again, config);
    }
});
