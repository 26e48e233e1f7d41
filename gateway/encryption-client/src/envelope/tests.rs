use super::*;
use crate::error::Error;

fn v3() -> Envelope {
    Envelope {
        version: Version::V3,
        suite: ContentSuite::Aes256GcmHkdfSha512CommitKey,
        nonces: Nonces::MessageId([1; 28]),
        commitment: Some([2; 28]),
        wrapped_key: WrappedKey {
            wrapping: Wrapping::Known(WrapAlgorithm::KmsContext),
            ciphertext: vec![3; 60],
            description: Description::from([("aws:x-amz-cek-alg", "115"), ("a", "b")]),
        },
        claimed_plain_len: None,
    }
}

fn v2() -> Envelope {
    Envelope {
        version: Version::V2,
        suite: ContentSuite::Aes256Gcm,
        nonces: Nonces::Gcm([1; 12]),
        commitment: None,
        wrapped_key: WrappedKey {
            wrapping: Wrapping::Known(WrapAlgorithm::AesGcm),
            ciphertext: vec![3; 60],
            description: Description::from([("a", "b")]),
        },
        claimed_plain_len: None,
    }
}

fn metadata(envelope: &Envelope) -> Metadata {
    envelope.to_parts(Placement::Metadata).unwrap().metadata
}

fn refused(metadata: &Metadata) -> EnvelopeError {
    Envelope::locate(metadata).expect_err("a malformed envelope")
}

fn with(envelope: &Envelope, name: &str, value: &str) -> Metadata {
    let mut metadata = metadata(envelope);
    metadata.insert(name.to_owned(), value.to_owned());
    metadata
}

#[test]
fn envelopes_are_written_by_the_names_of_the_format() {
    let names: Vec<_> = metadata(&v3()).into_keys().collect();
    assert_eq!(names, ["x-amz-3", "x-amz-c", "x-amz-d", "x-amz-i", "x-amz-t", "x-amz-w"]);
    let written = metadata(&v3());
    assert_eq!((written["x-amz-c"].as_str(), written["x-amz-w"].as_str()), ("115", "12"));
    assert_eq!(written["x-amz-t"], r#"{"a":"b","aws:x-amz-cek-alg":"115"}"#);
    let names: Vec<_> = metadata(&v2()).into_keys().collect();
    let expected =
        ["x-amz-cek-alg", "x-amz-iv", "x-amz-key-v2", "x-amz-matdesc", "x-amz-tag-len", "x-amz-wrap-alg"];
    assert_eq!(names, expected);
    assert_eq!(metadata(&v2())["x-amz-cek-alg"], "AES/GCM/NoPadding");
}

#[test]
fn envelopes_come_back_from_both_places() {
    for envelope in [v3(), v2()] {
        assert_eq!(Envelope::locate(&metadata(&envelope)), Ok(Located::Whole(Box::new(envelope.clone()))));
        let parts = envelope.to_parts(Placement::InstructionFile).unwrap();
        let Ok(Located::Partial(partial)) = Envelope::locate(&parts.metadata) else { panic!("{parts:?}") };
        assert_eq!(partial.says_sealed(), envelope.version == Version::V3);
        let file = parts.instruction_file.unwrap();
        assert_eq!(partial.complete(file.as_bytes()).unwrap(), envelope);
    }
    let parts = v3().to_parts(Placement::InstructionFile).unwrap();
    assert_eq!(parts.metadata.into_keys().collect::<Vec<_>>(), ["x-amz-c", "x-amz-d", "x-amz-i"]);
}

#[test]
fn names_are_compared_without_regard_to_case() {
    let upper: Metadata =
        metadata(&v3()).into_iter().map(|(name, value)| (name.to_uppercase(), value)).collect();
    assert_eq!(Envelope::locate(&upper), Ok(Located::Whole(Box::new(v3()))));
    let twice = with(&v3(), "X-Amz-3", "AAAA");
    assert_eq!(refused(&twice), EnvelopeError::Twice("x-amz-3".to_owned()));
}

#[test]
fn keys_of_two_formats_exclude_each_other() {
    for (envelope, name) in [
        (v3(), "x-amz-key"),
        (v3(), "x-amz-key-v2"),
        (v2(), "x-amz-key"),
        (v2(), "x-amz-3"),
        (v2(), "x-amz-d"),
    ] {
        assert!(matches!(refused(&with(&envelope, name, "AAAA")), EnvelopeError::Exclusive(..)), "{name}");
    }
    for name in ["x-amz-iv", "x-amz-cek-alg", "x-amz-matdesc", "x-amz-m"] {
        assert!(matches!(refused(&with(&v3(), name, "{}")), EnvelopeError::Exclusive(..)), "{name}");
    }
}

#[test]
fn every_entry_is_needed() {
    for (envelope, optional) in [(v3(), "x-amz-t"), (v2(), "x-amz-matdesc")] {
        for name in metadata(&envelope).into_keys() {
            let mut less = metadata(&envelope);
            less.remove(&name);
            match Envelope::locate(&less) {
                Ok(_) => assert_eq!(name, optional),
                Err(error) => assert_ne!(name, optional, "{error}"),
            }
        }
    }
    // Without its key and what says how that is wrapped, V3 points to an instruction file.
    let mut content = metadata(&v3());
    content.retain(|name, _| ["x-amz-c", "x-amz-d", "x-amz-i"].contains(&name.as_str()));
    assert!(matches!(Envelope::locate(&content), Ok(Located::Partial(partial)) if partial.says_sealed()));
}

#[test]
fn malformed_values_are_refused() {
    for (envelope, name, values) in [
        (v3(), "x-amz-c", &["", "114", "0115", "AES/GCM/NoPadding"][..]),
        (v3(), "x-amz-w", &["", "2", "32", "kms+context", "12 "]),
        (v3(), "x-amz-d", &["", "AAAA", "!", "Ag=="]),
        (v3(), "x-amz-i", &["", "AAAA"]),
        (v3(), "x-amz-3", &["", "A", "AAA=="]),
        (v3(), "x-amz-t", &["", "[]", "{\"a\":1}"]),
        (v2(), "x-amz-cek-alg", &["", "115", "AES/CTR/NoPadding", "AES/CBC/PKCS5Padding"]),
        (v2(), "x-amz-tag-len", &["", "96", "12", "0128"]),
        (v2(), "x-amz-iv", &["", "AQEBAQEBAQEBAQEBAQEBAQ=="]),
        (v2(), "x-amz-unencrypted-content-length", &["-1", "x"]),
    ] {
        for value in values {
            refused(&with(&envelope, name, value));
        }
    }
    let long = STANDARD.encode(vec![0; MAX_WRAPPED_LEN + 1]);
    refused(&with(&v3(), "x-amz-3", &long));
}

#[test]
fn instruction_files_have_what_belongs_into_them() {
    let partial = |metadata: &Metadata| match Envelope::locate(metadata) {
        Ok(Located::Partial(partial)) => partial,
        other => panic!("{other:?}"),
    };
    let parts = v3().to_parts(Placement::InstructionFile).unwrap();
    let sealed = partial(&parts.metadata);
    let none = partial(&Metadata::from([("owner".to_owned(), "me".to_owned())]));
    assert!(!none.says_sealed());
    let v3_file = parts.instruction_file.unwrap();
    let v2_file = v2().to_parts(Placement::InstructionFile).unwrap().instruction_file.unwrap();
    let refused = |partial: &Partial, file: &str| match partial.complete(file.as_bytes()) {
        Err(Error::Envelope(error)) => error,
        other => panic!("{file}: {other:?}"),
    };
    // The key of another format would take the commitment away.
    assert!(matches!(refused(&sealed, &v2_file), EnvelopeError::Exclusive(..)));
    assert_eq!(refused(&none, &v3_file), EnvelopeError::Missing("x-amz-c"));
    for file in ["", "{}", "[]", "{\"a\":\"b\"}", "{\"x-amz-3\":1}", "{\"x-amz-w\":\"12\"}"] {
        refused(&sealed, file);
        refused(&none, file);
    }
    let with_content = v3_file.replacen('{', "{\"x-amz-c\":\"115\",", 1);
    assert!(matches!(refused(&sealed, &with_content), EnvelopeError::InstructionFile(_)));
    let long = format!("{v3_file}{}", " ".repeat(1 << 16));
    assert!(matches!(refused(&sealed, &long), EnvelopeError::InstructionFile(_)));
}

#[test]
fn the_first_format_is_read_and_never_written() {
    let entries = [
        ("x-amz-key", STANDARD.encode([3; 40])),
        ("x-amz-iv", STANDARD.encode([1; 16])),
        ("x-amz-matdesc", r#"{"kms_cmk_id":"k"}"#.to_owned()),
        ("x-amz-wrap-alg", "kms".to_owned()),
        ("x-amz-unencrypted-content-length", "11".to_owned()),
    ];
    let mut metadata: Metadata = entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let Ok(Located::Whole(envelope)) = Envelope::locate(&metadata) else { panic!() };
    assert_eq!((envelope.version, envelope.suite), (Version::V1, ContentSuite::Aes256Cbc));
    assert_eq!(envelope.plain_len(16), Some(11));
    assert!(envelope.to_parts(Placement::Metadata).is_err());
    metadata.remove("x-amz-wrap-alg");
    let Ok(Located::Whole(envelope)) = Envelope::locate(&metadata) else { panic!() };
    assert_eq!(envelope.wrapped_key.wrapping, Wrapping::Other("AES".to_owned()));
    metadata.insert("x-amz-cek-alg".to_owned(), "AES/GCM/NoPadding".to_owned());
    refused(&metadata);
    metadata.remove("x-amz-cek-alg");
    metadata.remove("x-amz-matdesc");
    refused(&metadata);
}
