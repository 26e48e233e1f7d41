use std::sync::Arc;

use super::*;
use crate::envelope::{Located, Metadata};
use crate::error::{EnvelopeError, KeyringError};
use crate::keyring::tests::{LocalKms, RSA_PRIVATE};
use crate::keyring::{AesKeyring, KmsKeyring, RsaKeyring};

fn cipher(keyring: impl Keyring + 'static, suite: ContentSuite) -> ObjectCipher {
    let policy = if suite.commits() {
        CommitmentPolicy::RequireEncryptRequireDecrypt
    } else {
        CommitmentPolicy::ForbidEncryptAllowDecrypt
    };
    ObjectCipher::new(Arc::new(keyring), Settings::new().suite(suite).commitment_policy(policy)).unwrap()
}

fn none() -> Description {
    Description::new()
}

async fn sealed(cipher: &ObjectCipher, context: &Description) -> (Metadata, Vec<u8>) {
    let (key, envelope) = cipher.seal(context).await.unwrap();
    let mut body = b"a body".to_vec();
    key.seal(&mut body).unwrap();
    (envelope.to_parts(Placement::Metadata).unwrap().metadata, body)
}

async fn opened(
    cipher: &ObjectCipher,
    metadata: &Metadata,
    body: &[u8],
    context: &Description,
) -> Result<Vec<u8>, Error> {
    let envelope = match Envelope::locate(metadata)? {
        Located::Whole(envelope) => envelope,
        Located::Partial(_) => return Err(Error::NotEncrypted),
    };
    let mut body = body.to_vec();
    cipher.open(&envelope, context).await?.open(&mut body)?;
    Ok(body)
}

const SUITES: [ContentSuite; 2] = [ContentSuite::Aes256GcmHkdfSha512CommitKey, ContentSuite::Aes256Gcm];

#[tokio::test]
async fn every_changed_byte_of_an_envelope_is_refused() {
    for suite in SUITES {
        let context = Description::from([("dept", "it")]);
        let ciphers = [
            (cipher(KmsKeyring::new(Arc::new(LocalKms::default()), "a"), suite), context),
            (cipher(AesKeyring::new(&[1; 32]).unwrap().described([("key", "1")]), suite), none()),
            (cipher(RsaKeyring::from_pem(RSA_PRIVATE).unwrap(), suite), none()),
        ];
        for (cipher, context) in &ciphers {
            let (metadata, body) = sealed(cipher, context).await;
            assert_eq!(opened(cipher, &metadata, &body, context).await.unwrap(), b"a body");
            for (name, value) in &metadata {
                for at in 0..value.len() {
                    for flip in [0x01, 0x02, 0x10, 0x20, 0x40] {
                        let mut bytes = value.clone().into_bytes();
                        bytes[at] ^= flip;
                        let Ok(changed) = String::from_utf8(bytes) else { continue };
                        let mut tampered = metadata.clone();
                        tampered.insert(name.clone(), changed.clone());
                        let outcome = opened(cipher, &tampered, &body, context).await;
                        assert!(outcome.is_err(), "{cipher:?} {name}: {changed}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn every_changed_byte_of_an_instruction_file_is_refused() {
    for suite in SUITES {
        let context = Description::from([("dept", "it")]);
        let ciphers = [
            (cipher(KmsKeyring::new(Arc::new(LocalKms::default()), "a"), suite), context),
            (cipher(AesKeyring::new(&[1; 32]).unwrap().described([("key", "1")]), suite), none()),
            (cipher(RsaKeyring::from_pem(RSA_PRIVATE).unwrap(), suite), none()),
        ];
        for (cipher, context) in &ciphers {
            let (key, envelope) = cipher.seal(context).await.unwrap();
            let mut body = b"a body".to_vec();
            key.seal(&mut body).unwrap();
            let parts = envelope.to_parts(Placement::InstructionFile).unwrap();
            let Located::Partial(partial) = Envelope::locate(&parts.metadata).unwrap() else { panic!() };
            let opens = async |file: &[u8]| match partial.complete(file) {
                Ok(envelope) => match cipher.open(&envelope, context).await {
                    Ok(key) => key.open(&mut body.clone()).is_ok(),
                    Err(_) => false,
                },
                Err(_) => false,
            };
            let file = parts.instruction_file.unwrap().into_bytes();
            assert!(opens(&file).await);
            for at in 0..file.len() {
                for flip in [0x01, 0x20] {
                    let mut changed = file.clone();
                    changed[at] ^= flip;
                    assert!(!opens(&changed).await, "{cipher:?}: {}", String::from_utf8_lossy(&changed));
                }
            }
        }
    }
}

#[tokio::test]
async fn a_body_opens_with_its_own_envelope_alone() {
    for suite in SUITES {
        let cipher = cipher(AesKeyring::new(&[1; 32]).unwrap(), suite);
        let (first, body) = sealed(&cipher, &none()).await;
        let (second, _) = sealed(&cipher, &none()).await;
        assert!(matches!(opened(&cipher, &second, &body, &none()).await, Err(Error::Authentication)));
        // Each single entry of another envelope is noticed too.
        for name in ["x-amz-3", "x-amz-d", "x-amz-i", "x-amz-key-v2", "x-amz-iv"] {
            let Some(foreign) = second.get(name) else { continue };
            let mut mixed = first.clone();
            mixed.insert(name.to_owned(), foreign.clone());
            assert!(opened(&cipher, &mixed, &body, &none()).await.is_err(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_committing_object_does_not_open_as_one_that_does_not_commit() {
    let keyring = || AesKeyring::new(&[1; 32]).unwrap();
    let (metadata, body) = sealed(&cipher(keyring(), SUITES[0]), &none()).await;
    let downgraded: Metadata = [
        ("x-amz-key-v2", metadata["x-amz-3"].clone()),
        ("x-amz-iv", "AQEBAQEBAQEBAQEB".to_owned()),
        ("x-amz-cek-alg", "AES/GCM/NoPadding".to_owned()),
        ("x-amz-tag-len", "128".to_owned()),
        ("x-amz-wrap-alg", "AES/GCM".to_owned()),
        ("x-amz-matdesc", "{}".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    let strict = cipher(keyring(), SUITES[0]);
    let refused = opened(&strict, &downgraded, &body, &none()).await;
    assert!(matches!(refused, Err(Error::Policy(PolicyError::NotCommitting { .. }))));
    // The wrapped key knows its suite, so that the one who allows both is not deceived either.
    let both = cipher(keyring(), SUITES[1]);
    let refused = opened(&both, &downgraded, &body, &none()).await;
    assert!(matches!(refused, Err(Error::Keyring(KeyringError::Unwrap))));
}

#[tokio::test]
async fn commitment_policies_are_those_of_the_other_clients() {
    use CommitmentPolicy::{
        ForbidEncryptAllowDecrypt, RequireEncryptAllowDecrypt, RequireEncryptRequireDecrypt,
    };
    let make = |policy, suite| {
        let settings = Settings::new().commitment_policy(policy).suite(suite);
        ObjectCipher::new(Arc::new(AesKeyring::new(&[1; 32]).unwrap()), settings)
    };
    let [v3, v2] = SUITES;
    for (policy, suite, fits) in [
        (ForbidEncryptAllowDecrypt, v3, false),
        (ForbidEncryptAllowDecrypt, v2, true),
        (RequireEncryptAllowDecrypt, v3, true),
        (RequireEncryptAllowDecrypt, v2, false),
        (RequireEncryptRequireDecrypt, v3, true),
        (RequireEncryptRequireDecrypt, v2, false),
        (ForbidEncryptAllowDecrypt, ContentSuite::Aes256Cbc, false),
    ] {
        assert_eq!(make(policy, suite).is_ok(), fits, "{policy} {suite}");
    }
    let (of_v2, v2_body) = sealed(&make(ForbidEncryptAllowDecrypt, v2).unwrap(), &none()).await;
    let (of_v3, v3_body) = sealed(&make(RequireEncryptRequireDecrypt, v3).unwrap(), &none()).await;
    for (policy, suite, opens_v2) in [
        (ForbidEncryptAllowDecrypt, v2, true),
        (RequireEncryptAllowDecrypt, v3, true),
        (RequireEncryptRequireDecrypt, v3, false),
    ] {
        let cipher = make(policy, suite).unwrap();
        assert_eq!(opened(&cipher, &of_v2, &v2_body, &none()).await.is_ok(), opens_v2, "{policy}");
        opened(&cipher, &of_v3, &v3_body, &none()).await.unwrap();
    }
    assert_eq!(Settings::new().policy, RequireEncryptRequireDecrypt);
}

#[tokio::test]
async fn legacy_content_opens_where_it_was_enabled() {
    let metadata: Metadata = [
        ("x-amz-key-v2", "AAAA"),
        ("x-amz-iv", "AQEBAQEBAQEBAQEBAQEBAQ=="),
        ("x-amz-cek-alg", "AES/CBC/PKCS5Padding"),
        ("x-amz-wrap-alg", "AES/GCM"),
        ("x-amz-matdesc", "{}"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    let make = |settings: Settings| {
        let settings =
            settings.suite(SUITES[1]).commitment_policy(CommitmentPolicy::ForbidEncryptAllowDecrypt);
        ObjectCipher::new(Arc::new(AesKeyring::new(&[1; 32]).unwrap()), settings).unwrap()
    };
    let refused = opened(&make(Settings::new()), &metadata, &[], &none()).await;
    assert!(matches!(refused, Err(Error::Policy(PolicyError::Unauthenticated { .. }))));
    let enabled = make(Settings::new().enable_legacy_unauthenticated_modes());
    let refused = opened(&enabled, &metadata, &[], &none()).await;
    assert!(matches!(refused, Err(Error::Keyring(KeyringError::Unwrap))), "{refused:?}");
}

#[tokio::test]
async fn a_key_is_wrapped_anew_without_the_body() {
    for suite in SUITES {
        let kms = Arc::new(LocalKms::default());
        let old = cipher(AesKeyring::new(&[1; 32]).unwrap(), suite);
        let (key, envelope) = old.seal(&none()).await.unwrap();
        let mut body = b"a body".to_vec();
        key.seal(&mut body).unwrap();
        let context = Description::from([("a", "b")]);
        let new = KmsKeyring::new(kms.clone(), "a");
        let rewrapped = old.rewrap(&envelope, &none(), &new, &context).await.unwrap();
        let parts = rewrapped.to_parts(Placement::InstructionFile).unwrap();
        let Located::Partial(partial) = Envelope::locate(&parts.metadata).unwrap() else { panic!() };
        let envelope = partial.complete(parts.instruction_file.unwrap().as_bytes()).unwrap();
        let new = cipher(new, suite);
        new.open(&envelope, &context).await.unwrap().open(&mut body).unwrap();
        assert_eq!(body, b"a body");
        assert!(matches!(old.open(&envelope, &none()).await, Err(Error::Keyring(_))));
    }
}

#[tokio::test]
async fn an_instruction_file_of_another_object_is_refused() {
    let cipher = cipher(AesKeyring::new(&[1; 32]).unwrap(), SUITES[0]);
    let parts = async || {
        let (key, envelope) = cipher.seal(&none()).await.unwrap();
        drop(key);
        envelope.to_parts(Placement::InstructionFile).unwrap()
    };
    let (first, second) = (parts().await, parts().await);
    let Located::Partial(partial) = Envelope::locate(&first.metadata).unwrap() else { panic!() };
    let swapped = partial.complete(second.instruction_file.unwrap().as_bytes()).unwrap();
    assert!(matches!(cipher.open(&swapped, &none()).await, Err(Error::Commitment)));
    let v2 = r#"{"x-amz-key-v2":"AAAA","x-amz-iv":"AQEBAQEBAQEBAQEB","x-amz-cek-alg":"AES/GCM/NoPadding"}"#;
    let refused = partial.complete(v2.as_bytes());
    assert!(matches!(refused, Err(Error::Envelope(EnvelopeError::Exclusive(..)))));
}
