//! How fast the KMS is in process, with few keys and grants and with AWS's most: `cargo run --release -p kms-core --example measure`.

#![allow(clippy::unwrap_used)] // It measures, and stops where something is wrong.

use std::sync::Arc;
use std::time::Instant;

use kms_core::context::EncryptionContext;
use kms_core::grant::Constraints;
use kms_core::kms::{Caller, Kms, KmsConfig};
use kms_core::ops::{CreateGrant, CreateKey};
use kms_core::policy::Subject;
use kms_core::root::{FileRoot, SecretRoot};

const KEYS: usize = 10_000;
const GRANTS: usize = 50_000;
const CALLS: usize = 200_000;

fn caller(name: &str) -> Caller {
    match name {
        "root" => Caller::root_user("111122223333"),
        name => Caller::of(Arc::new(Subject::named(&format!("arn:aws:iam::111122223333:{name}")))),
    }
}

fn context(value: usize) -> EncryptionContext {
    [("tenant".to_owned(), value.to_string())].into_iter().collect()
}

fn rates(kms: &Kms, caller: &Caller, key: &str, value: usize, what: &str) {
    let context = context(value);
    let began = Instant::now();
    let mut blob = Vec::new();
    for _ in 0..CALLS {
        blob = kms.generate_data_key(caller, key, &context).unwrap().ciphertext_blob;
    }
    let generated = CALLS as f64 / began.elapsed().as_secs_f64();
    let began = Instant::now();
    for _ in 0..CALLS {
        kms.decrypt(caller, None, &blob, &context).unwrap();
    }
    let decrypted = CALLS as f64 / began.elapsed().as_secs_f64();
    println!("{what:52}  GenerateDataKey {generated:8.0}/s  Decrypt {decrypted:8.0}/s");
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("kms");
    let root: Arc<SecretRoot> =
        Arc::new(FileRoot::open_or_create(&folder.path().join("root"), &store).unwrap());
    let open = || Kms::open(&store, root.clone(), KmsConfig::new("us-east-1", "111122223333")).unwrap();
    let kms = open();
    let owner = caller("root");
    let key = kms.create_key(&owner, CreateKey::default()).unwrap().key.id.to_string();
    rates(&kms, &owner, &key, 0, "one key, by its policy");

    let began = Instant::now();
    for _ in 1..KEYS {
        kms.create_key(&owner, CreateKey::default()).unwrap();
    }
    println!(
        "{:52}  {:.2} ms each",
        format!("CreateKey, {KEYS} keys"),
        began.elapsed().as_secs_f64() * 1e3 / KEYS as f64
    );
    let began = Instant::now();
    for tenant in 0..GRANTS {
        let subset = [("tenant".to_owned(), tenant.to_string())].into_iter().collect();
        let request = CreateGrant {
            key_id: key.clone(),
            grantee: caller("user/app").arn().to_owned(),
            operations: vec!["GenerateDataKey".to_owned(), "Decrypt".to_owned()],
            constraints: Constraints { equals: None, subset: Some(subset) },
            ..CreateGrant::default()
        };
        kms.create_grant(&owner, request).unwrap();
    }
    println!(
        "{:52}  {:.2} ms each",
        format!("CreateGrant, {GRANTS} of one grantee on one key"),
        began.elapsed().as_secs_f64() * 1e3 / GRANTS as f64
    );
    rates(&kms, &owner, &key, 0, "all keys and grants, by the key's policy");
    rates(&kms, &caller("user/app"), &key, 1, "all keys and grants, by the second grant");
    rates(&kms, &caller("user/app"), &key, GRANTS - 1, "all keys and grants, by the last grant");
    let refused = context(GRANTS);
    let began = Instant::now();
    for _ in 0..CALLS {
        kms.generate_data_key(&caller("user/app"), &key, &refused).unwrap_err();
    }
    println!("{:52}  {:.0}/s", "refused by all grants", CALLS as f64 / began.elapsed().as_secs_f64());
    drop(kms);
    let began = Instant::now();
    drop(open());
    println!("{:52}  {:.2} s", "opening the store, everything unsealed", began.elapsed().as_secs_f64());
}
