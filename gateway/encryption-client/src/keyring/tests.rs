use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use zeroize::Zeroizing;

use super::*;
use crate::envelope::Wrapping;
use crate::error::KmsError;
use crate::suite::WrapAlgorithm;

/// A KMS of keys that are derived from their ids; the context is authenticated as a KMS does it.
#[derive(Default)]
pub(crate) struct LocalKms {
    disabled: Mutex<HashSet<String>>,
}

impl LocalKms {
    pub(crate) fn disable(&self, key_id: &str) {
        self.disabled.lock().unwrap().insert(key_id.to_owned());
    }

    fn key(&self, key_id: &str) -> Result<aws_lc_rs::aead::LessSafeKey, KmsError> {
        if self.disabled.lock().unwrap().contains(key_id) {
            return Err(KmsError {
                code: "DisabledException".to_owned(),
                message: format!("{key_id} is disabled."),
            });
        }
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key_id.as_bytes());
        let key = aws_lc_rs::aead::UnboundKey::new(&aws_lc_rs::aead::AES_256_GCM, digest.as_ref());
        Ok(aws_lc_rs::aead::LessSafeKey::new(key.unwrap()))
    }
}

fn nonce() -> aws_lc_rs::aead::Nonce {
    aws_lc_rs::aead::Nonce::assume_unique_for_key([0; 12])
}

#[async_trait]
impl KmsClient for LocalKms {
    async fn generate_data_key(&self, key_id: &str, context: &Description) -> Result<Generated, KmsError> {
        let key = DataKey::random().unwrap();
        let ciphertext = self.encrypt(key_id, key.as_bytes(), context).await?;
        Ok(Generated { plaintext: Zeroizing::new(key.as_bytes().to_vec()), ciphertext })
    }

    async fn encrypt(
        &self,
        key_id: &str,
        plaintext: &[u8],
        context: &Description,
    ) -> Result<Vec<u8>, KmsError> {
        let mut sealed = plaintext.to_vec();
        let aad = aws_lc_rs::aead::Aad::from(context.to_json());
        self.key(key_id)?.seal_in_place_append_tag(nonce(), aad, &mut sealed).unwrap();
        Ok([&[key_id.len() as u8], key_id.as_bytes(), &sealed].concat())
    }

    async fn decrypt(
        &self,
        key_id: Option<&str>,
        ciphertext: &[u8],
        context: &Description,
    ) -> Result<Unwrapped, KmsError> {
        let invalid = || KmsError { code: "InvalidCiphertextException".to_owned(), message: String::new() };
        let (len, rest) = ciphertext.split_first().ok_or_else(invalid)?;
        let (named, sealed) = rest.split_at_checked(usize::from(*len)).ok_or_else(invalid)?;
        let named = std::str::from_utf8(named).map_err(|_| invalid())?;
        if key_id.is_some_and(|key_id| key_id != named) {
            return Err(KmsError { code: "IncorrectKeyException".to_owned(), message: String::new() });
        }
        let mut sealed = sealed.to_vec();
        let aad = aws_lc_rs::aead::Aad::from(context.to_json());
        let opened = self.key(named)?.open_in_place(nonce(), aad, &mut sealed).map_err(|_| invalid())?;
        let key_arn = Some(format!("arn:aws:kms:us-east-1:111122223333:key/{named}"));
        Ok(Unwrapped { plaintext: Zeroizing::new(opened.to_vec()), key_arn })
    }
}

const V3: ContentSuite = ContentSuite::Aes256GcmHkdfSha512CommitKey;
const V2: ContentSuite = ContentSuite::Aes256Gcm;

pub(crate) const RSA_PRIVATE: &str = include_str!("test-key.pem");

fn none() -> Description {
    Description::new()
}

#[tokio::test]
async fn a_wrapped_key_opens_with_its_keyring_and_its_suite_alone() {
    let kms = Arc::new(LocalKms::default());
    let keyrings: [(Arc<dyn Keyring>, Arc<dyn Keyring>); 3] = [
        (Arc::new(AesKeyring::new(&[1; 32]).unwrap()), Arc::new(AesKeyring::new(&[2; 32]).unwrap())),
        (Arc::new(KmsKeyring::new(kms.clone(), "a")), Arc::new(KmsKeyring::new(kms, "b"))),
        (Arc::new(RsaKeyring::from_pem(RSA_PRIVATE).unwrap()), Arc::new(AesKeyring::new(&[2; 32]).unwrap())),
    ];
    for (own, other) in &keyrings {
        for (suite, weaker) in [(V3, V2), (V2, V3)] {
            let (key, wrapped) = own.generate(suite, &none()).await.unwrap();
            assert_eq!(own.open(&wrapped, suite, &none()).await.unwrap().as_bytes(), key.as_bytes());
            let again = own.wrap(&key, suite, &none()).await.unwrap();
            assert_eq!(own.open(&again, suite, &none()).await.unwrap().as_bytes(), key.as_bytes());
            own.open(&wrapped, weaker, &none()).await.expect_err("an envelope of another suite");
            other.open(&wrapped, suite, &none()).await.expect_err("another key");
            for at in 0..wrapped.ciphertext.len() {
                let mut damaged = wrapped.clone();
                damaged.ciphertext[at] ^= 1;
                assert!(own.open(&damaged, suite, &none()).await.is_err(), "{own:?} {at}");
                damaged.ciphertext.truncate(at);
                assert!(own.open(&damaged, suite, &none()).await.is_err(), "{own:?} {at}");
            }
        }
    }
}

#[tokio::test]
async fn the_context_must_be_the_one_that_was_given() {
    let kms = Arc::new(LocalKms::default());
    let keyring = KmsKeyring::new(kms.clone(), "a");
    let context = Description::from([("dept", "it")]);
    let (_, wrapped) = keyring.generate(V3, &context).await.unwrap();
    assert_eq!(wrapped.description.get("aws:x-amz-cek-alg"), Some("115"));
    keyring.open(&wrapped, V3, &context).await.unwrap();
    for given in
        [none(), Description::from([("dept", "hr")]), Description::from([("dept", "it"), ("a", "b")])]
    {
        assert!(matches!(keyring.open(&wrapped, V3, &given).await, Err(KeyringError::Context)));
    }
    // Stored and given agree, and the KMS knows better.
    let mut tampered = wrapped.clone();
    tampered.description.insert("dept", "hr");
    let opened = keyring.open(&tampered, V3, &Description::from([("dept", "hr")])).await;
    assert!(matches!(opened, Err(KeyringError::Kms(_))));
    assert!(matches!(keyring.open(&wrapped, V2, &context).await, Err(KeyringError::ContextAlgorithm)));
    for reserved in ["aws:x-amz-cek-alg", "kms_cmk_id"] {
        let refused = keyring.generate(V3, &Description::from([(reserved, "x")])).await;
        assert!(matches!(refused, Err(KeyringError::ReservedContext(_))));
    }
    kms.disable("a");
    let refused = keyring.open(&wrapped, V3, &context).await.unwrap_err().to_string();
    assert!(refused.contains("DisabledException: a is disabled"), "{refused}");
}

#[tokio::test]
async fn legacy_wrapping_is_read_where_it_was_enabled() {
    let kms = Arc::new(LocalKms::default());
    let description = Description::from([("kms_cmk_id", "a")]);
    let Generated { ciphertext, .. } = kms.generate_data_key("a", &description).await.unwrap();
    let wrapped = WrappedKey { wrapping: Wrapping::Known(WrapAlgorithm::Kms), ciphertext, description };
    let cbc = ContentSuite::Aes256Cbc;
    let strict = KmsKeyring::new(kms.clone(), "a");
    assert!(matches!(strict.open(&wrapped, cbc, &none()).await, Err(KeyringError::Legacy("kms"))));
    let legacy = KmsKeyring::new(kms, "a").enable_legacy_wrapping_algorithms();
    legacy.open(&wrapped, cbc, &none()).await.unwrap();
    let given = Description::from([("a", "b")]);
    assert!(matches!(legacy.open(&wrapped, cbc, &given).await, Err(KeyringError::Context)));
}

#[tokio::test]
async fn a_discovering_keyring_opens_keys_of_named_accounts() {
    let kms = Arc::new(LocalKms::default());
    let (_, wrapped) = KmsKeyring::new(kms.clone(), "a").generate(V3, &none()).await.unwrap();
    let discovery = |account: &str| {
        let accounts = vec![account.to_owned()];
        KmsKeyring::discovery(kms.clone(), DiscoveryFilter { partition: "aws".to_owned(), accounts })
    };
    discovery("111122223333").open(&wrapped, V3, &none()).await.unwrap();
    let refused = discovery("999999999999").open(&wrapped, V3, &none()).await;
    assert!(matches!(refused, Err(KeyringError::Filtered(_))));
    let refused = discovery("111122223333").generate(V3, &none()).await;
    assert!(matches!(refused, Err(KeyringError::OneWay(_))));
}

#[tokio::test]
async fn several_keyrings_wrap_with_one_and_open_with_any() {
    let old: Arc<dyn Keyring> = Arc::new(AesKeyring::new(&[1; 32]).unwrap());
    let new: Arc<dyn Keyring> = Arc::new(AesKeyring::new(&[2; 32]).unwrap());
    let both = MultiKeyring::new(new.clone(), vec![old.clone()]);
    let (_, of_old) = old.generate(V3, &none()).await.unwrap();
    both.open(&of_old, V3, &none()).await.unwrap();
    let (_, of_both) = both.generate(V3, &none()).await.unwrap();
    new.open(&of_both, V3, &none()).await.unwrap();
    let (_, foreign) = AesKeyring::new(&[3; 32]).unwrap().generate(V3, &none()).await.unwrap();
    let refused = both.open(&foreign, V3, &none()).await;
    assert!(matches!(refused, Err(KeyringError::None(errors)) if errors.len() == 2));
}

#[tokio::test]
async fn raw_keys_have_a_description_and_no_context() {
    let keyring = AesKeyring::new(&[1; 32]).unwrap().described([("key", "1")]);
    let (_, wrapped) = keyring.generate(V3, &none()).await.unwrap();
    assert_eq!(wrapped.description, Description::from([("key", "1")]));
    let other = AesKeyring::new(&[1; 32]).unwrap();
    assert!(matches!(other.open(&wrapped, V3, &none()).await, Err(KeyringError::Description)));
    other.accept_any_description().open(&wrapped, V3, &none()).await.unwrap();
    let given = Description::from([("a", "b")]);
    assert!(matches!(keyring.generate(V3, &given).await, Err(KeyringError::NoContext)));
    assert!(matches!(keyring.open(&wrapped, V3, &given).await, Err(KeyringError::NoContext)));
}

#[tokio::test]
async fn a_public_key_seals_and_does_not_open() {
    let both = RsaKeyring::from_pem(RSA_PRIVATE).unwrap();
    let public = RsaKeyring::from_pem(include_str!("test-key.pub.pem")).unwrap();
    let (key, wrapped) = public.generate(V3, &none()).await.unwrap();
    assert!(matches!(public.open(&wrapped, V3, &none()).await, Err(KeyringError::OneWay(_))));
    assert_eq!(both.open(&wrapped, V3, &none()).await.unwrap().as_bytes(), key.as_bytes());
    for text in ["", "-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\nAAAA", "x"] {
        assert!(matches!(RsaKeyring::from_pem(text), Err(KeyringError::Key(_))), "{text}");
    }
}

#[test]
fn keyrings_do_not_show_their_keys() {
    let shown = format!("{:?}", AesKeyring::new(&[65; 32]).unwrap());
    assert!(!shown.contains("65") && !shown.contains("AAAA"), "{shown}");
    assert!(matches!(AesKeyring::new(&[1; 16]), Err(KeyringError::Key(_))));
}
