//! Prints a key store with one of everything as JSON, for `src/kms/tests/golden/`: once for each version of its format, when that is
//! new. Its root key is in it: it protects nothing.
#![allow(clippy::unwrap_used)] // An example may.

use std::sync::Arc;

use kms_core::context::EncryptionContext;
use kms_core::directory::{Directory, Lookup};
use kms_core::key::{KeySpec, KeyUsage};
use kms_core::kms::{Caller, Kms, KmsConfig};
use kms_core::ops::{CreateGrant, CreateKey, ToSign};
use kms_core::root::FileRoot;
use kms_core::secret::SecretBytes;
use kms_core::store::{KeyStore, SledStore};

const ACCOUNT: &str = "111122223333";
const OTHER_ACCOUNT: &str = "444455556666";

/// Knows users `…:user/name` of our account as `AIDANAME`.
struct Users;

impl Directory for Users {
    fn id_of(&self, name: &str) -> Lookup {
        match name.strip_prefix(&format!("arn:aws:iam::{ACCOUNT}:user/")) {
            Some(name) => Lookup::Id(format!("AIDA{}", name.to_uppercase())),
            None => Lookup::NotOurs,
        }
    }

    fn arn_of(&self, id: &str) -> Option<String> {
        let name = id.strip_prefix("AIDA")?;
        Some(format!("arn:aws:iam::{ACCOUNT}:user/{}", name.to_lowercase()))
    }

    fn has_account(&self, _: &str) -> bool {
        true
    }
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let (path, store) = (folder.path().join("root"), folder.path().join("kms"));
    let root = Arc::new(FileRoot::open_or_create(&path, &store).unwrap());
    let kms = Kms::open(&store, root, KmsConfig::new("us-east-1", ACCOUNT)).unwrap();
    let caller = Caller::root_user(ACCOUNT);
    let key_id = kms.create_key(&caller, CreateKey::default()).unwrap().key.id.to_string();
    kms.create_alias(&caller, "alias/mine", &key_id).unwrap();
    let grant = CreateGrant {
        key_id: key_id.clone(),
        grantee: format!("arn:aws:iam::{ACCOUNT}:user/a"),
        operations: vec!["Encrypt".to_owned()],
        ..CreateGrant::default()
    };
    kms.create_grant(&caller, grant).unwrap();
    let context: EncryptionContext = [("purpose".to_owned(), "a".to_owned())].into_iter().collect();
    let blob = kms.encrypt(&caller, &key_id, b"secret", &context).unwrap().ciphertext_blob;
    kms.rotate_key_on_demand(&caller, &key_id).unwrap();
    let of_kind = |spec, usage| {
        let request = CreateKey { spec: Some(spec), usage: Some(usage), ..CreateKey::default() };
        kms.create_key(&caller, request).unwrap().key.id.to_string()
    };
    let pair = of_kind(KeySpec::EccNistP256, KeyUsage::SignVerify);
    kms.create_alias(&caller, "alias/pair", &pair).unwrap();
    let asked = ToSign { message: b"message", is_digest: false, algorithm: "ECDSA_SHA_256" };
    let (signature, _) = kms.sign(&caller, &pair, asked).unwrap();
    let mac_key = of_kind(KeySpec::Hmac384, KeyUsage::GenerateVerifyMac);
    kms.create_alias(&caller, "alias/mac", &mac_key).unwrap();
    let (mac, _) = kms.generate_mac(&caller, &mac_key, "HMAC_SHA_384", b"message").unwrap();
    kms.set_directory(Arc::new(Users));
    let policy = format!(
        r#"{{"Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{ACCOUNT}"}},"Action":"kms:*","Resource":"*"}},{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{ACCOUNT}:user/b"}},"Action":"kms:*","Resource":"*"}}]}}"#
    );
    let request = CreateKey { policy: Some(policy), ..CreateKey::default() };
    let bound = kms.create_key(&caller, request).unwrap().key.id.to_string();
    kms.create_alias(&caller, "alias/bound", &bound).unwrap();
    let grant = CreateGrant {
        key_id: bound,
        grantee: format!("arn:aws:iam::{ACCOUNT}:user/c"),
        retiring: Some(format!("arn:aws:iam::{ACCOUNT}:user/d")),
        operations: vec!["Encrypt".to_owned()],
        ..CreateGrant::default()
    };
    kms.create_grant(&caller, grant).unwrap();
    let other = Caller::root_user(OTHER_ACCOUNT);
    let theirs = kms.create_key(&other, CreateKey::default()).unwrap().key.id.to_string();
    kms.create_alias(&other, "alias/mine", &theirs).unwrap();
    let their_blob = kms.encrypt(&other, &theirs, b"secret", &context).unwrap().ciphertext_blob;
    let kit = kms.recovery_kit(&SecretBytes::new(b"a golden passphrase".to_vec())).unwrap();
    kms.write_last_uses().unwrap();
    drop(kms);
    let entries = SledStore::open(&store).unwrap().load().unwrap();
    let entries: Vec<_> =
        entries.iter().map(|(name, value)| (hex::encode(name), hex::encode(value))).collect();
    let root = hex::encode(std::fs::read(path).unwrap());
    let golden = serde_json::json!({ "root": root, "blob": hex::encode(blob), "their_blob": hex::encode(their_blob), "signature": hex::encode(signature),
        "mac": hex::encode(mac), "kit": kit, "entries": entries });
    println!("{}", serde_json::to_string_pretty(&golden).unwrap());
}
