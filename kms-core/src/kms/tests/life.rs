use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};

use super::*;
use crate::key::backing::MadeBy;
use crate::key::{KeyState, Origin};
use crate::ops::{ImportKeyMaterial, ScheduledWork, WrappingAlgorithm};

fn encrypt(kms: &Kms, id: &str) -> Vec<u8> {
    kms.encrypt(&root_user(), id, b"secret", &context("a")).unwrap().ciphertext_blob
}

fn opens(kms: &Kms, blob: &[u8]) -> bool {
    let opened = kms.decrypt(&root_user(), None, blob, &context("a"));
    opened.is_ok_and(|opened| opened.plaintext.expose() == b"secret")
}

fn rotations(kms: &Kms, id: &str) -> usize {
    kms.list_key_rotations(&root_user(), id, false, Some(1000), None).unwrap().1.rows.len()
}

#[test]
fn automatic_rotation_keeps_its_days() {
    let (clock, caller) = (TestClock::new(), root_user());
    let kms = clock.kms();
    let id = new_key(&kms);
    for bad in [89, 2561] {
        assert_eq!(
            kms.enable_key_rotation(&caller, &id, Some(bad)).unwrap_err().name(),
            "ValidationException"
        );
    }
    assert_eq!(kms.get_key_rotation_status(&caller, &id).unwrap().automatic, None);
    kms.enable_key_rotation(&caller, &id, Some(90)).unwrap();
    let first = encrypt(&kms, &id);
    clock.pass_days(89);
    assert_eq!(kms.run_scheduled_work().unwrap(), ScheduledWork::default());
    clock.pass_days(1);
    let refused = kms.rotate_key_on_demand(&caller, &id).unwrap_err();
    assert_eq!(refused.name(), "ConflictException", "one is due");
    assert_eq!(kms.run_scheduled_work().unwrap().rotated, 1);
    assert_eq!(kms.run_scheduled_work().unwrap().rotated, 0);
    assert_ne!(encrypt(&kms, &id)[17..49], first[17..49], "another backing key encrypts");
    assert!(opens(&kms, &first));
    // Overdue tenfold, it is rotated once.
    clock.pass_days(900);
    assert_eq!(kms.run_scheduled_work().unwrap().rotated, 1);
    // Not while disabled; at once when it is enabled again.
    kms.disable_key(&caller, &id).unwrap();
    clock.pass_days(100);
    assert_eq!(kms.run_scheduled_work().unwrap().rotated, 0);
    kms.enable_key(&caller, &id).unwrap();
    assert_eq!(rotations(&kms, &id), 3);
    kms.schedule_key_deletion(&caller, &id, Some(30)).unwrap();
    assert_eq!(kms.get_key_rotation_status(&caller, &id).unwrap().automatic, None);
    kms.cancel_key_deletion(&caller, &id).unwrap();
    kms.enable_key(&caller, &id).unwrap();
    let status = kms.get_key_rotation_status(&caller, &id).unwrap().automatic.unwrap();
    assert_eq!(status.period_days, 90);
    kms.disable_key_rotation(&caller, &id).unwrap();
    clock.pass_days(1000);
    assert_eq!(kms.run_scheduled_work().unwrap().rotated, 0);
    kms.rotate_key_on_demand(&caller, &id).unwrap();
    let (entry, page) = kms.list_key_rotations(&caller, &id, true, None, None).unwrap();
    let by: Vec<MadeBy> = page.rows.iter().map(|backing| backing.made.by).collect();
    use MadeBy::{Automatic, Creation, OnDemand};
    assert_eq!(by, [Creation, Automatic, Automatic, Automatic, OnDemand]);
    assert_eq!(entry.key.current_material, page.rows.last().map(|backing| backing.id));
    assert!(opens(&kms, &first));
}

#[test]
fn a_hundred_generations_later_everything_opens_also_after_a_restart() {
    let TestRoot(root, folder) = root();
    let (root, store, clock) = (Arc::new(root), folder.path().join("kms"), TestClock::new());
    let kms = Kms::open(&store, root.clone(), clock.config()).unwrap();
    let id = new_key(&kms);
    kms.enable_key_rotation(&root_user(), &id, Some(90)).unwrap();
    let mut blobs = Vec::new();
    for _ in 0..100 {
        blobs.push(encrypt(&kms, &id));
        clock.pass_days(90);
        assert_eq!(kms.run_scheduled_work().unwrap().rotated, 1);
    }
    drop(kms);
    let kms = Kms::open(&store, root, clock.config()).unwrap();
    assert!(blobs.iter().all(|blob| opens(&kms, blob)));
    assert_eq!(rotations(&kms, &id), 100);
    let (_, page) = kms.list_key_rotations(&root_user(), &id, false, Some(60), None).unwrap();
    let rest =
        kms.list_key_rotations(&root_user(), &id, false, Some(60), page.next_marker.as_deref()).unwrap().1;
    assert_eq!((page.rows.len(), rest.rows.len(), rest.next_marker), (60, 40, None));
}

#[test]
fn managed_keys_rotate_by_themselves_once_a_year() {
    let clock = TestClock::new();
    let kms = clock.kms();
    let arn = kms.managed_key("s3", "111122223333").unwrap();
    clock.pass_days(364);
    assert_eq!(kms.run_scheduled_work().unwrap().rotated, 0);
    clock.pass_days(1);
    assert_eq!(kms.run_scheduled_work().unwrap().rotated, 1);
    assert!(kms.get_key_rotation_status(&root_user(), &arn).unwrap().automatic.is_some());
    assert!(kms.disable_key_rotation(&root_user(), &arn).is_err());
    assert!(kms.enable_key_rotation(&root_user(), &arn, None).is_err());
}

#[test]
fn a_key_is_deleted_when_its_days_are_over_and_not_before() {
    let (clock, caller) = (TestClock::new(), root_user());
    let kms = clock.kms();
    let id = new_key(&kms);
    kms.create_alias(&caller, "alias/mine", &id).unwrap();
    let blob = encrypt(&kms, &id);
    kms.schedule_key_deletion(&caller, &id, Some(7)).unwrap();
    clock.pass_days(6);
    assert_eq!(kms.run_scheduled_work().unwrap().deleted, 0);
    kms.cancel_key_deletion(&caller, &id).unwrap();
    kms.enable_key(&caller, &id).unwrap();
    assert!(opens(&kms, &blob));
    kms.schedule_key_deletion(&caller, &id, Some(7)).unwrap();
    clock.pass_days(7);
    assert_eq!(kms.run_scheduled_work().unwrap().deleted, 1);
    assert_eq!(kms.describe_key(&caller, &id).unwrap_err().name(), "NotFoundException");
    assert_eq!(kms.describe_key(&caller, "alias/mine").unwrap_err().name(), "NotFoundException");
    let refused = kms.decrypt(&caller, None, &blob, &context("a")).unwrap_err();
    assert!(
        refused.to_string().starts_with("The ciphertext refers to a customer master key that does not exist")
    );
}

/// Imports material as a client would.
pub(super) fn import(
    kms: &Kms,
    id: &str,
    material: &[u8],
    request: ImportKeyMaterial,
) -> Result<String, KmsError> {
    let caller = root_user();
    let begun = kms.get_parameters_for_import(&caller, id, WrappingAlgorithm::OaepSha256, 2048)?;
    let public_key = PublicEncryptingKey::from_der(&begun.public_key).unwrap();
    let public_key = OaepPublicEncryptingKey::new(public_key).unwrap();
    let mut wrapped = vec![0; public_key.ciphertext_size()];
    let wrapped = public_key.encrypt(&OAEP_SHA256_MGF1SHA256, material, &mut wrapped, None).unwrap().to_vec();
    let request = ImportKeyMaterial { key_id: id.to_owned(), token: begun.token, wrapped, ..request };
    Ok(kms.import_key_material(&caller, request)?.1.to_string())
}

#[test]
fn imported_material_lives_as_aws_has_it() {
    let (clock, caller) = (TestClock::new(), root_user());
    let kms = clock.kms();
    let external = CreateKey { origin: Some(Origin::External), ..CreateKey::default() };
    let id = kms.create_key(&caller, external.clone()).unwrap().key.id.to_string();
    let state = || kms.describe_key(&caller, &id).unwrap().key.state;
    assert_eq!(state(), KeyState::PendingImport);
    let once = ImportKeyMaterial::default;
    assert_eq!(import(&kms, &id, &[1; 31], once()).unwrap_err().name(), "IncorrectKeyMaterialException");
    let expires_unix_ms = Some(kms.now_unix_ms() + 10 * DAY_MS);
    let first = import(&kms, &id, &[1; 32], ImportKeyMaterial { expires_unix_ms, ..once() }).unwrap();
    assert_eq!(state(), KeyState::Enabled);
    let blob = encrypt(&kms, &id);
    // It expires, at once though nobody has looked yet, and comes back only as itself.
    clock.pass_days(10);
    assert!(!opens(&kms, &blob));
    let refused = kms.encrypt(&caller, &id, b"x", &context("a")).unwrap_err();
    assert!(refused.to_string().ends_with("is pending import."), "{refused}");
    assert_eq!(kms.run_scheduled_work().unwrap().expired, 1);
    assert_eq!(state(), KeyState::PendingImport);
    assert!(!opens(&kms, &blob));
    assert_eq!(import(&kms, &id, &[2; 32], once()).unwrap_err().name(), "IncorrectKeyMaterialException");
    assert_eq!(import(&kms, &id, &[1; 32], once()).unwrap(), first);
    assert!(opens(&kms, &blob));
    // No automatic rotation; on demand to what was imported for it.
    let refused = kms.enable_key_rotation(&caller, &id, None).unwrap_err();
    assert_eq!(refused.name(), "UnsupportedOperationException");
    assert_eq!(kms.rotate_key_on_demand(&caller, &id).unwrap_err().name(), "KMSInvalidStateException");
    let new = || ImportKeyMaterial { is_new: Some(true), ..once() };
    let second = import(&kms, &id, &[2; 32], new()).unwrap();
    assert_eq!(import(&kms, &id, &[3; 32], new()).unwrap_err().name(), "KMSInvalidStateException");
    assert_eq!(encrypt(&kms, &id)[17..49], blob[17..49], "the new material waits");
    kms.rotate_key_on_demand(&caller, &id).unwrap();
    let later = encrypt(&kms, &id);
    assert_ne!(later[17..49], blob[17..49]);
    assert!(opens(&kms, &blob) && opens(&kms, &later));
    // Any material that is gone stops the key; deleting is final only for what never was in use.
    kms.delete_imported_key_material(&caller, &id, Some(&first)).unwrap();
    assert_eq!(state(), KeyState::PendingImport);
    assert!(!opens(&kms, &later));
    import(&kms, &id, &[1; 32], once()).unwrap();
    assert!(opens(&kms, &blob) && opens(&kms, &later));
    let third = import(&kms, &id, &[3; 32], new()).unwrap();
    kms.delete_imported_key_material(&caller, &id, Some(&third)).unwrap();
    assert_eq!(state(), KeyState::Enabled);
    assert_eq!(second.len(), 64);

    // A key that lacks material still lacks it when its deletion is cancelled.
    kms.schedule_key_deletion(&caller, &id, None).unwrap();
    kms.delete_imported_key_material(&caller, &id, Some(&first)).unwrap();
    assert_eq!(kms.cancel_key_deletion(&caller, &id).unwrap().key.state, KeyState::PendingImport);
    import(&kms, &id, &[1; 32], once()).unwrap();
    assert!(opens(&kms, &blob));

    // Tokens are for one key and one day.
    let begun = kms.get_parameters_for_import(&caller, &id, WrappingAlgorithm::OaepSha1, 2048).unwrap();
    let other = kms.create_key(&caller, external).unwrap().key.id.to_string();
    let request = ImportKeyMaterial { key_id: other, token: begun.token.clone(), ..once() };
    assert_eq!(kms.import_key_material(&caller, request).unwrap_err().name(), "InvalidImportTokenException");
    clock.pass_days(2);
    let request = ImportKeyMaterial { key_id: id.clone(), token: begun.token, ..once() };
    assert_eq!(kms.import_key_material(&caller, request).unwrap_err().name(), "ExpiredImportTokenException");
    let ours = new_key(&kms);
    let refused = kms.get_parameters_for_import(&caller, &ours, WrappingAlgorithm::OaepSha1, 2048);
    assert_eq!(refused.unwrap_err().name(), "UnsupportedOperationException");
}

#[test]
fn a_record_that_was_changed_or_moved_is_not_read() {
    let TestRoot(root, folder) = root();
    let (root, store) = (Arc::new(root), folder.path().join("kms"));
    let kms = Kms::open(&store, root.clone(), config()).unwrap();
    let (a, b) = (new_key(&kms), new_key(&kms));
    kms.disable_key(&root_user(), &a).unwrap();
    drop(kms);
    let name = |id: &str| [b"k", &crate::key::KmsKeyId::parse(id).unwrap().as_bytes()[..]].concat();
    let entries: HashMap<Vec<u8>, Vec<u8>> =
        SledStore::open(&store).unwrap().load().unwrap().into_iter().collect();
    let in_the_clear = entries.values().any(|value| value.windows(10).any(|w| w == b"key-defaul"));
    assert!(!in_the_clear, "a policy stands in the clear");
    let mut flipped = entries[&name(&a)].clone();
    *flipped.last_mut().unwrap() ^= 1;
    let places = crate::store::StorePlaces::around(&store);
    std::fs::remove_file(places.mirror_log()).unwrap();
    for changed in [flipped, entries[&name(&b)].clone()] {
        SledStore::open(&store).unwrap().commit(Expected::Anything, vec![(name(&a), Some(changed))]).unwrap();
        let refused = Kms::open(&store, root.clone(), config());
        assert!(matches!(refused, Err(OpenError::Store(StoreError::Damaged(_)))));
    }
    let original = entries[&name(&a)].clone();
    SledStore::open(&store).unwrap().commit(Expected::Anything, vec![(name(&a), Some(original))]).unwrap();
    Kms::open(&store, root, config()).unwrap();
}

#[test]
fn a_key_without_a_piece_of_it_is_not_read() {
    let TestRoot(root, folder) = root();
    let (root, store) = (Arc::new(root), folder.path().join("kms"));
    let kms = Kms::open(&store, root.clone(), config()).unwrap();
    let id = new_key(&kms);
    // So long a policy that it is kept in pieces. White space does not count as one.
    let policy = kms.get_key_policy(&root_user(), &id, None).unwrap();
    let statement = r#"{"Effect":"Deny","Principal":"*","Action":"kms:Decrypt","Resource":"*"}"#;
    let denying = policy.trim_end().trim_end_matches('}').trim_end().trim_end_matches(']');
    let padding = "\n".repeat(5000);
    let policy = format!("{denying},{padding}{statement}]}}");
    kms.put_key_policy(&root_user(), &id, None, policy, false).unwrap();
    drop(kms);
    let bytes = *crate::key::KmsKeyId::parse(&id).unwrap().as_bytes();
    let entries = SledStore::open(&store).unwrap().load().unwrap();
    let own = |kind: u8| {
        let entries = entries.iter();
        entries.filter(move |(name, _)| name[0] == kind && name[1..].starts_with(&bytes)).collect::<Vec<_>>()
    };
    assert_eq!([b'k', b'b', b'p'].map(|kind| own(kind).len()), [1, 1, 2]);
    // Where the other copy is whole, it would be taken.
    std::fs::remove_file(crate::store::StorePlaces::around(&store).mirror_log()).unwrap();
    for (name, value) in [b'k', b'b', b'p'].into_iter().flat_map(own) {
        SledStore::open(&store).unwrap().commit(Expected::Anything, vec![(name.clone(), None)]).unwrap();
        let refused = Kms::open(&store, root.clone(), config());
        let is_refused = matches!(refused, Err(OpenError::Store(StoreError::Damaged(_))));
        assert!(is_refused, "without {:?}", char::from(name[0]));
        SledStore::open(&store)
            .unwrap()
            .commit(Expected::Anything, vec![(name.clone(), Some(value.clone()))])
            .unwrap();
    }
    Kms::open(&store, root, config()).unwrap();
}
