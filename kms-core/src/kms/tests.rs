use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::clock::DAY_MS;
use crate::ops::CreateKey;
use crate::policy::{Document, IdentityPolicies, PolicySet, Subject};
use crate::root::RootKey;
use crate::store::{Expected, KeyStore, MemoryStore, SledStore};

mod accounts;
mod asymmetric;
mod bound;
mod copies;
mod grants;
mod host;
mod identity;
mod life;
mod several;
mod states;

/// A time that tests move.
#[derive(Clone)]
struct TestClock(Arc<AtomicU64>);

impl TestClock {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_800_000_000_000)))
    }

    fn pass_days(&self, days: u64) {
        self.0.fetch_add(days * DAY_MS, Ordering::Relaxed);
    }

    fn config(&self) -> KmsConfig {
        let clock = self.clone();
        KmsConfig { clock: Clock::new(move || clock.0.load(Ordering::Relaxed)), ..config() }
    }

    fn kms(&self) -> Kms {
        Kms::over(Box::new(MemoryStore::default()), &root().0, self.config()).unwrap()
    }
}

fn user(name: &str) -> Caller {
    named(&format!("arn:aws:iam::111122223333:user/{name}"))
}

/// A user with these identity policies' statements.
fn user_with(name: &str, statements: &str) -> Caller {
    with_policies(&format!("arn:aws:iam::111122223333:user/{name}"), statements)
}

fn with_policies(arn: &str, statements: &str) -> Caller {
    let identity = IdentityPolicies::These(policies(statements));
    Caller::of(Arc::new(Subject { identity, ..Subject::named(arn) }))
}

fn policies(statements: &str) -> Arc<PolicySet> {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    Arc::new(PolicySet::of(Document::parse_identity(&text).unwrap()))
}

/// A statement of an identity policy.
fn allow(action: &str, resource: &str) -> String {
    format!(r#"{{"Effect":"Allow","Action":"{action}","Resource":"{resource}"}}"#)
}

/// The one of this ARN, without any policy of its own.
fn named(arn: &str) -> Caller {
    Caller::of(Arc::new(Subject::named(arn)))
}

struct TestRoot(crate::root::SecretRoot, tempfile::TempDir);

fn root() -> TestRoot {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let root = crate::root::FileRoot::open_or_create(&folder.path().join("root"), &data).unwrap();
    TestRoot(root, folder)
}

fn config() -> KmsConfig {
    KmsConfig::new("us-east-1", "111122223333")
}

fn kms() -> Kms {
    Kms::over(Box::new(MemoryStore::default()), &root().0, config()).unwrap()
}

fn root_user() -> Caller {
    Caller::root_user("111122223333")
}

fn context(value: &str) -> EncryptionContext {
    [("purpose".to_owned(), value.to_owned())].into_iter().collect()
}

fn new_key(kms: &Kms) -> String {
    kms.create_key(&root_user(), CreateKey::default()).unwrap().key.id.to_string()
}

#[test]
fn a_data_key_opens_with_its_context_and_nothing_else() {
    let kms = kms();
    let id = new_key(&kms);
    let data_key = kms.generate_data_key(&root_user(), &id, &context("a")).unwrap();
    assert_eq!(data_key.ciphertext_blob.len(), 125);
    let opened = kms.decrypt(&root_user(), None, &data_key.ciphertext_blob, &context("a")).unwrap();
    assert_eq!(opened.plaintext.expose(), data_key.plaintext.expose());
    assert_eq!(opened.key_arn, data_key.key_arn);
    let refused = kms.decrypt(&root_user(), None, &data_key.ciphertext_blob, &context("b")).unwrap_err();
    assert_eq!(refused, KmsError::InvalidCiphertext);
    let other = new_key(&kms);
    let refused =
        kms.decrypt(&root_user(), Some(&other), &data_key.ciphertext_blob, &context("a")).unwrap_err();
    assert_eq!(refused, KmsError::IncorrectKey);
    for at in 0..data_key.ciphertext_blob.len() {
        let mut damaged = data_key.ciphertext_blob.clone();
        damaged[at] ^= 1;
        assert!(kms.decrypt(&root_user(), None, &damaged, &context("a")).is_err(), "byte {at}");
    }
}

#[test]
fn every_form_of_a_key_id_names_the_key() {
    let kms = kms();
    let id = new_key(&kms);
    let arn = format!("arn:aws:kms:us-east-1:111122223333:key/{id}");
    kms.create_alias(&root_user(), "alias/mine", &id).unwrap();
    for form in [&id[..], &arn, "alias/mine", "arn:aws:kms:us-east-1:111122223333:alias/mine"] {
        assert_eq!(kms.generate_data_key(&root_user(), form, &context("a")).unwrap().key_arn, arn);
    }
    for unknown in [
        "nope",
        "alias/nope",
        "00000000-0000-4000-8000-000000000000",
        "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-4000-8000-000000000000",
    ] {
        let refused = kms.generate_data_key(&root_user(), unknown, &context("a")).unwrap_err();
        assert_eq!(refused.name(), "NotFoundException", "{unknown}: {refused}");
    }
}

#[test]
fn states_allow_what_the_table_says() {
    let kms = kms();
    let caller = root_user();
    let id = new_key(&kms);
    let arn = kms.arn(&kms.find(&id).unwrap().key);
    let data_key = kms.generate_data_key(&caller, &id, &context("a")).unwrap();
    kms.disable_key(&caller, &id).unwrap();
    let refused = kms.generate_data_key(&caller, &id, &context("a")).unwrap_err();
    assert_eq!((refused.name(), refused.to_string()), ("DisabledException", format!("{arn} is disabled.")));
    assert!(kms.decrypt(&caller, None, &data_key.ciphertext_blob, &context("a")).is_err());
    assert!(kms.cancel_key_deletion(&caller, &id).is_err());
    kms.enable_key(&caller, &id).unwrap();
    kms.decrypt(&caller, None, &data_key.ciphertext_blob, &context("a")).unwrap();
    assert!(kms.schedule_key_deletion(&caller, &id, Some(6)).is_err());
    kms.schedule_key_deletion(&caller, &id, Some(7)).unwrap();
    let refused = kms.decrypt(&caller, None, &data_key.ciphertext_blob, &context("a")).unwrap_err();
    assert_eq!(
        (refused.name(), refused.to_string()),
        ("KMSInvalidStateException", format!("{arn} is pending deletion."))
    );
    assert!(kms.enable_key(&caller, &id).is_err());
    kms.cancel_key_deletion(&caller, &id).unwrap();
    assert!(
        kms.decrypt(&caller, None, &data_key.ciphertext_blob, &context("a")).is_err(),
        "it is disabled now"
    );
    kms.enable_key(&caller, &id).unwrap();
    kms.decrypt(&caller, None, &data_key.ciphertext_blob, &context("a")).unwrap();
}

#[test]
fn rotation_keeps_every_backing_key() {
    let kms = kms();
    let id = new_key(&kms);
    let mut blobs = Vec::new();
    for _ in 0..25 {
        blobs.push(kms.encrypt(&root_user(), &id, b"secret", &context("a")).unwrap().ciphertext_blob);
        kms.rotate_key_on_demand(&root_user(), &id).unwrap();
    }
    let refused = kms.rotate_key_on_demand(&root_user(), &id).unwrap_err();
    assert_eq!(refused.name(), "LimitExceededException");
    let mut materials = std::collections::BTreeSet::new();
    for blob in &blobs {
        let opened = kms.decrypt(&root_user(), None, blob, &context("a")).unwrap();
        assert_eq!(opened.plaintext.expose(), b"secret");
        materials.insert(opened.key_material_id);
    }
    assert_eq!(materials.len(), 25);
}

#[test]
fn the_managed_key_is_for_its_service_only() {
    let kms = kms();
    let arn = kms.managed_key("s3", "111122223333").unwrap();
    assert_eq!(kms.managed_key("s3", "111122223333").unwrap(), arn);
    let direct = root_user();
    let through = Caller { via_service: Some("s3.us-east-1.amazonaws.com".to_owned()), ..root_user() };
    let elsewhere = Caller { via_service: Some("s3.eu-west-1.amazonaws.com".to_owned()), ..root_user() };
    let subject = Arc::new(Subject::root_user("444455556666"));
    let foreign = Caller { subject, ..through.clone() };
    kms.generate_data_key(&through, &arn, &context("a")).unwrap();
    kms.describe_key(&direct, "alias/aws/s3").unwrap();
    for caller in [&direct, &elsewhere, &foreign] {
        let refused = kms.generate_data_key(caller, &arn, &context("a")).unwrap_err();
        assert_eq!(refused.name(), "AccessDeniedException");
        assert!(refused.to_string().contains("kms:GenerateDataKey"), "{refused}");
    }
    assert!(kms.disable_key(&direct, &arn).is_err());
    assert!(kms.schedule_key_deletion(&direct, &arn, None).is_err());
}

#[test]
fn a_policy_is_the_root_of_access() {
    let kms = kms();
    let caller = root_user();
    let other_only = r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/alice"},"Action":"kms:*","Resource":"*"}]}"#;
    let locked = CreateKey { policy: Some(other_only.to_owned()), ..CreateKey::default() };
    let refused = kms.create_key(&caller, locked.clone()).unwrap_err();
    assert_eq!(refused.name(), "MalformedPolicyDocumentException");
    let bypass = CreateKey { bypass_policy_lockout_safety_check: true, ..locked };
    let id = kms.create_key(&caller, bypass).unwrap().key.id.to_string();
    assert_eq!(
        kms.generate_data_key(&caller, &id, &context("a")).unwrap_err().name(),
        "AccessDeniedException"
    );
    let alice = user("alice");
    kms.generate_data_key(&alice, &id, &context("a")).unwrap();
    let default = new_key(&kms);
    let refused = kms.generate_data_key(&alice, &default, &context("a")).unwrap_err();
    assert!(refused.to_string().contains("because no identity-based policy allows"), "{refused}");
    assert!(kms.get_key_policy(&caller, &default, None).unwrap().contains("Enable IAM User Permissions"));
}

#[test]
fn a_store_is_what_it_was_when_it_is_opened_again_and_only_with_its_root() {
    let TestRoot(first_root, folder) = root();
    let (first_root, store) = (Arc::new(first_root), folder.path().join("kms"));
    let kms = Kms::open(&store, first_root.clone(), config()).unwrap();
    let id = new_key(&kms);
    kms.create_alias(&root_user(), "alias/mine", &id).unwrap();
    let long = format!(
        r#"{{"Statement":[{{"Sid":"{}","Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}}]}}"#,
        "x".repeat(20_000)
    );
    kms.put_key_policy(&root_user(), &id, None, long.clone(), false).unwrap();
    let blob = kms.encrypt(&root_user(), "alias/mine", b"secret", &context("a")).unwrap().ciphertext_blob;
    let internal = kms.generate_internal_key("sse-s3", &context("e")).unwrap();
    let metadata = kms.metadata_key("catalog").unwrap();
    assert!(matches!(
        Kms::open(&store, first_root.clone(), config()),
        Err(OpenError::Store(StoreError::InUse))
    ));
    drop(kms);

    let TestRoot(other_root, _folder) = root();
    let before = std::fs::read_dir(&store).unwrap().count();
    match Kms::open(&store, Arc::new(other_root), config()) {
        Err(OpenError::Root(RootError::WrongRoot { expected, .. })) => assert_eq!(expected, first_root.id()),
        _ => panic!("another root key was taken"),
    }
    assert_eq!(std::fs::read_dir(&store).unwrap().count(), before);

    let kms = Kms::open(&store, first_root, config()).unwrap();
    let opened = kms.decrypt(&root_user(), Some("alias/mine"), &blob, &context("a")).unwrap();
    assert_eq!(opened.plaintext.expose(), b"secret");
    let opened = kms.decrypt_internal_key("sse-s3", &internal.ciphertext_blob, &context("e")).unwrap();
    assert_eq!(opened.expose(), internal.plaintext.expose());
    assert!(kms.decrypt_internal_key("other", &internal.ciphertext_blob, &context("e")).is_err());
    assert_eq!(kms.metadata_key("catalog").unwrap().expose(), metadata.expose());
    assert_eq!(kms.get_key_policy(&root_user(), &id, None).unwrap(), long);
    assert_eq!(kms.list_keys(&root_user(), None, None).unwrap().rows.len(), 1);
}

#[test]
fn names_of_a_context_that_differ_by_case_are_one_condition_with_both_values() {
    let kms = kms();
    let deny = r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"},
        {"Effect":"Deny","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:Dept":"secret"}}}]}"#;
    let id = new_key(&kms);
    kms.put_key_policy(&root_user(), &id, None, deny.to_owned(), false).unwrap();
    let encrypt = |pairs: &[(&str, &str)]| {
        let context = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        kms.encrypt(&root_user(), &id, b"x", &context).is_ok()
    };
    assert!(encrypt(&[("dept", "open")]));
    assert!(!encrypt(&[("dept", "secret")]));
    assert!(!encrypt(&[("Dept", "secret"), ("dept", "open")]));
}

#[test]
fn conditions_of_aliases_and_imports_are_judged() {
    let kms = kms();
    let policy = |effect: &str, operator: &str, key: &str, value: &str, action: &str| {
        format!(
            r#"{{"Statement":[{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::111122223333:root"}},"Action":"kms:*","Resource":"*"}},
            {{"Effect":"{effect}","Principal":"*","Action":"{action}","Resource":"*","Condition":{{"{operator}":{{"{key}":"{value}"}}}}}}]}}"#
        )
    };
    let id = new_key(&kms);
    let deny =
        policy("Deny", "ForAnyValue:StringEquals", "kms:ResourceAliases", "alias/closed", "kms:Encrypt");
    kms.put_key_policy(&root_user(), &id, None, deny, false).unwrap();
    let encrypt = || kms.encrypt(&root_user(), &id, b"x", &context("a")).map(drop);
    encrypt().unwrap();
    kms.create_alias(&root_user(), "alias/closed", &id).unwrap();
    assert_eq!(encrypt().unwrap_err().name(), "AccessDeniedException");

    let request = CreateKey { origin: Some(crate::key::Origin::External), ..CreateKey::default() };
    let id = kms.create_key(&root_user(), request).unwrap().key.id.to_string();
    let action = "kms:GetParametersForImport";
    let begin = |bits| {
        let algorithm = crate::ops::WrappingAlgorithm::OaepSha1;
        kms.get_parameters_for_import(&root_user(), &id, algorithm, bits).map(drop)
    };
    for (key, value, refused, allowed) in [
        ("kms:WrappingKeySpec", "RSA_2048", 2048, true),
        ("kms:WrappingAlgorithm", "RSAES_OAEP_SHA_1", 2048, false),
    ] {
        let deny = policy("Deny", "StringEquals", key, value, action);
        kms.put_key_policy(&root_user(), &id, None, deny, false).unwrap();
        assert_eq!(begin(refused).unwrap_err().name(), "AccessDeniedException");
        assert_eq!(begin(3072).is_ok(), allowed);
    }
    let deny = policy("Deny", "NumericGreaterThan", "kms:ValidTo", "1", "kms:ImportKeyMaterial");
    kms.put_key_policy(&root_user(), &id, None, deny, false).unwrap();
    let now = kms.now_unix_ms();
    let import = |expires_unix_ms| {
        let request =
            crate::ops::ImportKeyMaterial { key_id: id.clone(), expires_unix_ms, ..Default::default() };
        kms.import_key_material(&root_user(), request).map(drop).unwrap_err().name()
    };
    assert_eq!(import(Some(now + DAY_MS)), "AccessDeniedException");
    assert_eq!(import(None), "InvalidImportTokenException");
}
