//! Objects that other clients sealed (`vectors/`): every one opens, whole and in steps, and none does once it was changed.
#![allow(clippy::unwrap_used)] // A test may.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use s3_encryption_client::keyring::{
    AesKeyring, Generated, Keyring, KmsClient, KmsKeyring, RsaKeyring, Unwrapped,
};
use s3_encryption_client::{
    CommitmentPolicy, ContentSuite, Description, Envelope, Error, KmsError, Located, Metadata, ObjectCipher,
    Settings,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    version: String,
    keyring: Keys,
    context: BTreeMap<String, String>,
    metadata: Metadata,
    instruction_file: Option<String>,
    body: String,
    plain_len: usize,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Keys {
    Kms { key_id: String, data_key: String, stored_context: BTreeMap<String, String> },
    Aes { key: String },
    Rsa { private_key: String },
}

/// The KMS that a vector was made with, as far as the vector tells of it.
struct RecordedKms {
    key_id: String,
    ciphertext: Vec<u8>,
    context: Description,
    data_key: Vec<u8>,
}

#[async_trait]
impl KmsClient for RecordedKms {
    async fn generate_data_key(&self, _: &str, _: &Description) -> Result<Generated, KmsError> {
        Err(KmsError::unreachable("it is a record"))
    }

    async fn encrypt(&self, _: &str, _: &[u8], _: &Description) -> Result<Vec<u8>, KmsError> {
        Err(KmsError::unreachable("it is a record"))
    }

    async fn decrypt(
        &self,
        key_id: Option<&str>,
        ciphertext: &[u8],
        context: &Description,
    ) -> Result<Unwrapped, KmsError> {
        if key_id != Some(&self.key_id) || ciphertext != self.ciphertext || *context != self.context {
            return Err(KmsError::unreachable("it knows one key, one ciphertext and one context"));
        }
        Ok(Unwrapped { plaintext: self.data_key.clone().into(), key_arn: None })
    }
}

fn decoded(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

fn plain(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * 31 + i / 251) % 256) as u8).collect()
}

fn envelope(metadata: &Metadata, file: Option<&str>) -> Result<Envelope, Error> {
    match Envelope::locate(metadata)? {
        Located::Whole(envelope) => Ok(*envelope),
        Located::Partial(partial) => partial.complete(file.ok_or(Error::NotEncrypted)?.as_bytes()),
    }
}

impl Vector {
    fn cipher(&self) -> ObjectCipher {
        let keyring: Arc<dyn Keyring> = match &self.keyring {
            Keys::Aes { key } => Arc::new(AesKeyring::new(&decoded(key)).unwrap()),
            Keys::Rsa { private_key } => Arc::new(RsaKeyring::from_pem(private_key).unwrap()),
            Keys::Kms { key_id, data_key, stored_context } => {
                let envelope = envelope(&self.metadata, self.instruction_file.as_deref()).unwrap();
                let kms = RecordedKms {
                    key_id: key_id.clone(),
                    ciphertext: envelope.wrapped_key().ciphertext.clone(),
                    context: stored_context.clone().into_iter().collect(),
                    data_key: decoded(data_key),
                };
                Arc::new(KmsKeyring::new(Arc::new(kms), key_id))
            }
        };
        let settings = match self.version.as_str() {
            "V3" => Settings::new(),
            _ => Settings::new()
                .suite(ContentSuite::Aes256Gcm)
                .commitment_policy(CommitmentPolicy::ForbidEncryptAllowDecrypt),
        };
        ObjectCipher::new(keyring, settings).unwrap()
    }

    async fn open(&self, metadata: &Metadata, file: Option<&str>, body: &[u8]) -> Result<Vec<u8>, Error> {
        let context = self.context.clone().into_iter().collect();
        let key = self.cipher().open(&envelope(metadata, file)?, &context).await?;
        let mut whole = body.to_vec();
        key.open(&mut whole)?;
        let (mut opener, mut stepwise) = (key.opener()?, Vec::new());
        body.chunks(7).try_for_each(|step| opener.update(step, &mut stepwise))?;
        opener.finish(&mut stepwise)?;
        assert!(whole == stepwise);
        Ok(whole)
    }

    async fn check(&self, name: &str) {
        let (file, body) = (self.instruction_file.as_deref(), decoded(&self.body));
        let opened = self.open(&self.metadata, file, &body).await;
        assert!(opened.unwrap_or_else(|error| panic!("{name}: {error}")) == plain(self.plain_len), "{name}");
        for at in 0..body.len().min(64) {
            let mut damaged = body.clone();
            damaged[at] ^= 0x80;
            assert!(self.open(&self.metadata, file, &damaged).await.is_err(), "{name}: byte {at}");
        }
        for (entry, value) in &self.metadata {
            let mut less = self.metadata.clone();
            less.remove(entry);
            let opened = self.open(&less, file, &body).await;
            // What describes a raw key may be missing where it is empty.
            let optional = ["x-amz-matdesc", "x-amz-m"].contains(&entry.as_str()) && value == "{}";
            let foreign = !entry.starts_with("x-amz-") || entry == "x-amz-unencrypted-content-length";
            assert!(optional || foreign || opened.is_err(), "{name}: without {entry}");
        }
    }
}

#[tokio::test]
async fn objects_of_other_clients_open() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let vector: Vector = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            vector.check(&path.file_stem().unwrap().to_string_lossy()).await;
            count += 1;
        }
    }
    assert!(count >= 46, "{count} vectors");
}
