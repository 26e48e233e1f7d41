use super::*;
use crate::root::{FileRoot, SecretRoot};

fn root_at(folder: &tempfile::TempDir, name: &str) -> Arc<SecretRoot> {
    Arc::new(FileRoot::open_or_create(&folder.path().join(name), &folder.path().join("kms")).unwrap())
}

/// A store with one of everything: its key's id and a ciphertext.
fn full(kms: &Kms) -> (String, Vec<u8>) {
    let id = new_key(kms);
    kms.create_alias(&root_user(), "alias/mine", &id).unwrap();
    let operations = vec!["Encrypt".to_owned()];
    let grant = crate::ops::CreateGrant {
        key_id: id.clone(),
        grantee: user("a").arn().to_owned(),
        operations,
        ..Default::default()
    };
    kms.create_grant(&root_user(), grant).unwrap();
    let blob = kms.encrypt(&root_user(), &id, b"secret", &context("a")).unwrap().ciphertext_blob;
    kms.rotate_key_on_demand(&root_user(), &id).unwrap();
    (id, blob)
}

#[test]
fn the_domain_key_and_the_root_key_change_and_everything_still_opens() {
    let folder = tempfile::tempdir().unwrap();
    let (store, old, new) = (folder.path().join("kms"), root_at(&folder, "old"), root_at(&folder, "new"));
    let kms = Kms::open(&store, old.clone(), config()).unwrap();
    let (id, blob) = full(&kms);
    // A policy that was longer once leaves nothing behind that the new domain key would not open.
    let short = kms.get_key_policy(&root_user(), &id, None).unwrap();
    let long = short.clone() + &" ".repeat(20_000);
    kms.put_key_policy(&root_user(), &id, None, long, false).unwrap();
    kms.put_key_policy(&root_user(), &id, None, short, false).unwrap();
    let internal = kms.generate_internal_key("sse-s3", &context("e")).unwrap();
    let metadata = kms.metadata_key("catalog").unwrap();
    let counts = kms.counts();
    assert_eq!((counts.keys, counts.backing_keys, counts.grants, counts.aliases), (1, 2, 1, 1));
    let holds = |kms: &Kms| {
        let domain_generation = kms.counts().domain_generation;
        assert_eq!(kms.counts(), super::super::StoreCounts { domain_generation, ..counts });
        let opened = kms.decrypt(&root_user(), Some("alias/mine"), &blob, &context("a")).unwrap();
        assert_eq!(opened.plaintext.expose(), b"secret");
        kms.encrypt(&user("a"), &id, b"x", &context("a")).unwrap();
        kms.decrypt_internal_key("sse-s3", &internal.ciphertext_blob, &context("e")).unwrap();
        assert_eq!(kms.metadata_key("catalog").unwrap().expose(), metadata.expose());
    };
    let before = SledStore::load;
    drop(kms);
    let entries = |store: &std::path::Path| before(&SledStore::open(store).unwrap()).unwrap();
    let sealed = entries(&store);
    Kms::open(&store, old.clone(), config()).unwrap().rekey_domain(&*old).unwrap();
    let resealed = entries(&store);
    assert!(sealed.iter().zip(&resealed).all(|(a, b)| a.0 == b.0 && a.1 != b.1), "every record is another");
    holds(&Kms::open(&store, old.clone(), config()).unwrap());

    Kms::open(&store, old.clone(), config()).unwrap().rekey_root(&store, &*old, &*new).unwrap();
    match Kms::open(&store, old.clone(), config()) {
        Err(OpenError::Root(RootError::WrongRoot { expected, found })) => {
            assert_eq!((expected.as_str(), found.as_str()), (new.id(), old.id()));
        }
        _ => panic!("the old root key was taken"),
    }
    holds(&Kms::open(&store, new.clone(), config()).unwrap());
    // Cut off in the middle, the store still opens with the root that it is wrapped by, and says which that is.
    super::super::host::write_root_ids(&(&store).into(), &[new.id(), old.id()]).unwrap();
    assert!(matches!(Kms::open(&store, old, config()), Err(OpenError::Root(RootError::WrongRoot { .. }))));
    holds(&Kms::open(&store, new, config()).unwrap());
}

#[test]
fn the_host_breaks_the_glass() {
    let kms = kms();
    let nobody = r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/gone"},"Action":"kms:*","Resource":"*"}]}"#;
    let locked = CreateKey {
        policy: Some(nobody.to_owned()),
        bypass_policy_lockout_safety_check: true,
        ..CreateKey::default()
    };
    let id = kms.create_key(&root_user(), locked).unwrap().key.id.to_string();
    let explain = |caller: &Caller| kms.explain(caller, "kms:DisableKey", &id, &EncryptionContext::new());
    assert!(explain(&root_user()).unwrap_err().to_string().contains("no resource-based policy allows"));
    assert_eq!(explain(&user("gone")).unwrap(), None);
    kms.reset_key_policy(&id).unwrap();
    kms.disable_key(&root_user(), &id).unwrap();
    assert_eq!(explain(&root_user()).unwrap(), None);
}

fn bytes(value: &serde_json::Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

/// Opens a golden store, in memory.
fn open_golden(golden: &serde_json::Value) -> Kms {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root");
    std::fs::write(&path, bytes(&golden["root"])).unwrap();
    let private = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
    std::fs::set_permissions(&path, private).unwrap();
    let root = FileRoot::open(&path, &folder.path().join("data")).unwrap();
    let store = MemoryStore::default();
    for entry in golden["entries"].as_array().unwrap() {
        store.commit(Expected::Anything, vec![(bytes(&entry[0]), Some(bytes(&entry[1])))]).unwrap();
    }
    let kms = Kms::over(Box::new(store), &root, config()).unwrap();
    let blob = bytes(&golden["blob"]);
    let opened = kms.decrypt(&root_user(), Some("alias/mine"), &blob, &context("a")).unwrap();
    assert_eq!(opened.plaintext.expose(), b"secret");
    kms
}

/// Stores of this format, each written once by `cargo run -p kms-core --example golden`: they open for good.
#[test]
fn the_golden_stores_open() {
    // The first: symmetric keys only, domain keys not counted.
    let kms = open_golden(&serde_json::from_str(include_str!("golden/store-1.json")).unwrap());
    let counts = kms.counts();
    assert_eq!((counts.keys, counts.backing_keys, counts.grants, counts.aliases), (1, 2, 1, 1));
    assert_eq!(kms.find("alias/mine").unwrap().key.account, "111122223333");
    // The second: with a key pair, an HMAC key, a recovery root and last uses.
    let golden: serde_json::Value = serde_json::from_str(include_str!("golden/store-2.json")).unwrap();
    let kms = open_golden(&golden);
    let counts = kms.counts();
    assert_eq!((counts.keys, counts.backing_keys, counts.grants, counts.aliases), (3, 4, 1, 3));
    holds_pairs(&kms, &golden);
    kms.encrypt(&user("a"), "alias/mine", b"x", &context("a")).unwrap();
    // The third: with another account's key, and unique ids of those whom a policy and a grant name.
    let golden: serde_json::Value = serde_json::from_str(include_str!("golden/store-3.json")).unwrap();
    let kms = open_golden(&golden);
    let counts = kms.counts();
    assert_eq!((counts.keys, counts.backing_keys, counts.grants, counts.aliases), (5, 6, 2, 5));
    holds_pairs(&kms, &golden);
    let they = Caller::root_user("444455556666");
    let opened =
        kms.decrypt(&they, Some("alias/mine"), &bytes(&golden["their_blob"]), &context("a")).unwrap();
    assert_eq!(opened.plaintext.expose(), b"secret");
    let may = |name: &str, id: &str| {
        let mut subject = Subject::named(user(name).arn());
        subject.itself.push(id.to_owned());
        kms.encrypt(&Caller::of(Arc::new(subject)), "alias/bound", b"x", &context("a")).is_ok()
    };
    assert!(may("b", "AIDAB") && may("c", "AIDAC") && may("renamed", "AIDAB"));
    assert!(!may("b", "AIDAX") && !may("c", "AIDAX") && !may("d", "AIDAD"));
    let bound = kms.find("alias/bound").unwrap().key.id.to_string();
    let grants = kms.list_grants(&root_user(), &bound, (None, None), None, None).unwrap().rows;
    let ids = (grants[0].bound.grantee_id.as_deref(), grants[0].bound.retiring_id.as_deref());
    assert_eq!(ids, (Some("AIDAC"), Some("AIDAD")));
}

/// What the second and the third store have alike.
fn holds_pairs(kms: &Kms, golden: &serde_json::Value) {
    let counts = kms.counts();
    assert!(counts.has_recovery_kit && counts.domain_generation == 1);
    let asked = crate::ops::ToSign { message: b"message", is_digest: false, algorithm: "ECDSA_SHA_256" };
    kms.verify(&root_user(), "alias/pair", asked, &bytes(&golden["signature"])).unwrap();
    kms.verify_mac(&root_user(), "alias/mac", "HMAC_SHA_384", b"message", &bytes(&golden["mac"])).unwrap();
    let pair = kms.find("alias/pair").unwrap().key.id.to_string();
    assert_eq!(kms.get_key_last_usage(&root_user(), &pair).unwrap().1.unwrap().operation, "Verify");
    let kit: crate::root::RecoveryKit = serde_json::from_value(golden["kit"].clone()).unwrap();
    kit.open(&SecretBytes::new(b"a golden passphrase".to_vec())).unwrap();
}

#[test]
fn a_recovery_kit_opens_a_store_whose_root_key_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (store, old, new) = (folder.path().join("kms"), root_at(&folder, "old"), root_at(&folder, "new"));
    let words = |text: &str| SecretBytes::new(text.as_bytes().to_vec());
    let kms = Kms::open(&store, old.clone(), config()).unwrap();
    let (id, blob) = full(&kms);
    assert!(!kms.counts().has_recovery_kit);
    drop(kms);
    let early = crate::root::SecretRoot::new(Secret32::random());
    assert!(matches!(Kms::recover(&store, &early, &*new), Err(OpenError::Corrupt(_))));
    let kms = Kms::open(&store, old.clone(), config()).unwrap();
    assert!(kms.recovery_kit(&words("short")).is_err());
    let kit = kms.recovery_kit(&words("correct horse battery")).unwrap();
    assert!(kms.counts().has_recovery_kit);
    // The kit outlives a change of the domain key, and of the root key.
    kms.rekey_domain(&*old).unwrap();
    let kms = Kms::open(&store, old.clone(), config()).unwrap();
    assert_eq!(kms.counts().domain_generation, 2);
    drop(kms);
    let kit: crate::root::RecoveryKit = serde_json::from_str(&serde_json::to_string(&kit).unwrap()).unwrap();
    assert!(kit.open(&words("correct horse buttery")).is_err());
    let recovery = kit.open(&words("correct horse battery")).unwrap();
    assert!(Kms::recover(&store, &early, &*new).is_err());
    Kms::recover(&store, &recovery, &*new).unwrap();
    assert!(matches!(Kms::open(&store, old, config()), Err(OpenError::Root(RootError::WrongRoot { .. }))));
    let kms = Kms::open(&store, new, config()).unwrap();
    assert_eq!(
        kms.decrypt(&root_user(), Some(&id), &blob, &context("a")).unwrap().plaintext.expose(),
        b"secret"
    );
}
