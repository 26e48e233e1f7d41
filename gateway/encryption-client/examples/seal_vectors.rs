//! Seals vectors for other clients to open: `seal_vectors FOLDER [TABLE]`.
//!
//! TABLE is a JSON file of data keys that a KMS made: `{"V3": {"key_id", "ciphertext", "data_key", "context"}, "V2": …}`.
#![allow(clippy::unwrap_used)] // An example may.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use s3_encryption_client::keyring::{
    AesKeyring, Generated, Keyring, KmsClient, KmsKeyring, RsaKeyring, Unwrapped,
};
use s3_encryption_client::{
    CommitmentPolicy, ContentSuite, Description, KmsError, ObjectCipher, Placement, Settings,
};
use serde_json::{Value, json};

/// A data key that a KMS made beforehand.
struct Made {
    ciphertext: Vec<u8>,
    data_key: Vec<u8>,
    context: BTreeMap<String, String>,
}

#[async_trait]
impl KmsClient for Made {
    async fn generate_data_key(&self, _: &str, context: &Description) -> Result<Generated, KmsError> {
        assert_eq!(*context, self.context.clone().into_iter().collect(), "the context that it was made with");
        Ok(Generated { plaintext: self.data_key.clone().into(), ciphertext: self.ciphertext.clone() })
    }

    async fn encrypt(&self, _: &str, _: &[u8], _: &Description) -> Result<Vec<u8>, KmsError> {
        Err(KmsError::unreachable("it made one key"))
    }

    async fn decrypt(&self, _: Option<&str>, _: &[u8], _: &Description) -> Result<Unwrapped, KmsError> {
        Err(KmsError::unreachable("it made one key"))
    }
}

fn decoded(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let folder = PathBuf::from(arguments.next().expect("a folder"));
    let table: Value = arguments
        .next()
        .map_or(Value::Null, |file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for (version, suite) in
            [("V3", ContentSuite::Aes256GcmHkdfSha512CommitKey), ("V2", ContentSuite::Aes256Gcm)]
        {
            let aes = (0..32).collect::<Vec<u8>>();
            let pem = include_str!("../src/keyring/test-key.pem");
            let mut keyrings: Vec<(&str, Arc<dyn Keyring>, Value, Description)> = vec![
                (
                    "aes",
                    Arc::new(AesKeyring::new(&aes).unwrap()),
                    json!({"kind": "aes", "key": STANDARD.encode(&aes)}),
                    Description::new(),
                ),
                (
                    "rsa",
                    Arc::new(RsaKeyring::from_pem(pem).unwrap()),
                    json!({"kind": "rsa", "private_key": pem}),
                    Description::new(),
                ),
            ];
            if let Some(made) = table.get(version) {
                let context: BTreeMap<String, String> = serde_json::from_value(made["context"].clone()).unwrap();
                let kms = Made {
                    ciphertext: decoded(&made["ciphertext"]),
                    data_key: decoded(&made["data_key"]),
                    context: context.clone(),
                };
                let key_id = made["key_id"].as_str().unwrap().to_owned();
                let keys = json!({"kind": "kms", "key_id": key_id, "data_key": made["data_key"], "stored_context": context});
                let given = context.into_iter().filter(|(name, _)| name != "aws:x-amz-cek-alg").collect();
                keyrings.push(("kms", Arc::new(KmsKeyring::new(Arc::new(kms), key_id)), keys, given));
            }
            for (kind, keyring, keys, context) in keyrings {
                let policy = if suite.commits() {
                    CommitmentPolicy::RequireEncryptRequireDecrypt
                } else {
                    CommitmentPolicy::ForbidEncryptAllowDecrypt
                };
                let settings = Settings::new().suite(suite).commitment_policy(policy);
                let cipher = ObjectCipher::new(keyring, settings).unwrap();
                for (len, placement) in [
                    (0, Placement::Metadata),
                    (1, Placement::Metadata),
                    (1000, Placement::Metadata),
                    (17, Placement::InstructionFile),
                ] {
                    let (key, envelope) = cipher.seal(&context).await.unwrap();
                    let parts = envelope.to_parts(placement).unwrap();
                    let plain: Vec<u8> = (0..len).map(|i: usize| ((i * 31 + i / 251) % 256) as u8).collect();
                    let (mut sealer, mut body) = (key.sealer().unwrap(), Vec::new());
                    plain.chunks(100).for_each(|step| sealer.update(step, &mut body).unwrap());
                    sealer.finish(&mut body);
                    let place = if placement == Placement::Metadata { len.to_string() } else { "file".to_owned() };
                    let vector = json!({
                        "made_by": "s3-encryption-client (Rust)",
                        "version": version,
                        "keyring": keys,
                        "context": context.iter().collect::<BTreeMap<_, _>>(),
                        "metadata": parts.metadata,
                        "instruction_file": parts.instruction_file,
                        "body": STANDARD.encode(&body),
                        "plain_len": len,
                    });
                    let name = format!("rust-{version}-{kind}-{place}.json").to_lowercase();
                    std::fs::write(folder.join(name), format!("{vector:#}\n")).unwrap();
                }
            }
        }
    });
}
