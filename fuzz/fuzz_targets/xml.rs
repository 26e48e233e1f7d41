//! The documents that clients send: none makes their parsers panic, and what is read comes back when it is written.
#![no_main]

use gateway::api::s3::wire::{
    acl, cors, delete, encryption, lifecycle, location, lock, multipart, settings, tagging,
};
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
    if let Ok(rules) = cors::parse(document) {
        assert_eq!(cors::parse(&cors::write(&rules)).expect("what we write is well-formed"), rules);
    }
    if let Ok(rules) = lifecycle::parse(document) {
        assert_eq!(lifecycle::parse(&lifecycle::write(&rules)).expect("what we write is well-formed"), rules);
    }
    if let Ok(tags) = tagging::parse(document, tagging::BUCKET_MAX) {
        let again = tagging::parse(&tagging::write(&tags), tagging::BUCKET_MAX);
        assert_eq!(again.expect("what we write is well-formed"), tags);
    }
    if let Ok(config) = lock::parse_configuration(document) {
        let again = lock::parse_configuration(&lock::write_configuration(&config));
        assert_eq!(again.expect("what we write is well-formed"), config);
    }
    let _ = (lock::parse_retention(document), lock::parse_legal_hold(document));
    let _ = (acl::parse_ownership(document), acl::parse_public_access_block(document));
    let _ = settings::parse_versioning(document);
});
