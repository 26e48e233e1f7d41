//! Two copies and a head: what is damaged, lost or put back in one of them is noticed, and comes back from the other.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::root::{FileRoot, PassphraseRoot, SecretRoot};
use crate::store::{FixedPlace, Item, MirrorLog, StorePlaces};

const KEYS: usize = 100;

/// A store on a disk, with its root key.
struct OnDisk {
    folder: tempfile::TempDir,
    root: Arc<SecretRoot>,
}

impl OnDisk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = FileRoot::open_or_create(&folder.path().join("root"), &folder.path().join("kms")).unwrap();
        Self { folder, root: Arc::new(root) }
    }

    fn places(&self) -> StorePlaces {
        StorePlaces::around(&self.folder.path().join("kms"))
    }

    fn try_open(&self) -> Result<Kms, OpenError> {
        Kms::open(self.places(), self.root.clone(), config())
    }

    fn open(&self) -> Kms {
        self.try_open().unwrap()
    }

    /// All of it at another place, where it may be damaged.
    fn copy(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), folder.path());
        Self { folder, root: self.root.clone() }
    }

    /// Puts this part back as it is in another one.
    fn put_back(&self, part: &str, from: &Self) {
        let (from, to) = (from.folder.path().join(part), self.folder.path().join(part));
        if to.is_dir() {
            fs::remove_dir_all(&to).unwrap();
            fs::create_dir(&to).unwrap();
            copy_folder(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }

    fn entries(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        SledStore::open(&self.places().folder).unwrap().load().unwrap().into_iter().collect()
    }

    fn mirrored(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let (log, _) = MirrorLog::open(&self.places().mirror_log()).unwrap().unwrap();
        log.unwrap().load().unwrap().into_iter().collect()
    }

    /// What was moved aside.
    fn damaged(&self) -> usize {
        let places = self.places();
        let names =
            [&places.folder, &places.mirror].into_iter().flat_map(|folder| fs::read_dir(folder).unwrap());
        names
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains(".damaged-"))
            .count()
    }

    fn is_whole(&self) -> bool {
        let report = Kms::verify_closed_store(self.places(), &*self.root).unwrap();
        report.is_whole()
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// The same numbers in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 24) % limit
    }
}

fn flip(path: &Path, dice: &mut Dice) {
    let mut bytes = fs::read(path).unwrap();
    if bytes.is_empty() {
        return;
    }
    let at = dice.below(bytes.len() as u64) as usize;
    bytes[at] ^= 1 << dice.below(8);
    fs::write(path, bytes).unwrap();
}

fn encrypted(kms: &Kms, count: usize) -> Vec<Vec<u8>> {
    let keys: Vec<String> = (0..count).map(|_| new_key(kms)).collect();
    let encrypt =
        |id: &String| kms.encrypt(&root_user(), id, b"secret", &context("a")).unwrap().ciphertext_blob;
    keys.iter().map(encrypt).collect()
}

fn all_open(kms: &Kms, blobs: &[Vec<u8>]) -> bool {
    blobs.iter().all(|blob| kms.decrypt(&root_user(), None, blob, &context("a")).is_ok())
}

#[test]
fn flips_anywhere_in_either_copy_lose_no_key() {
    let base = OnDisk::new();
    let kms = base.open();
    let blobs = encrypted(&kms, KEYS);
    drop(kms);
    let rounds: u64 = std::env::var("SEALGATE_FLIPS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let mut dice = Dice(11);
    let mut mended = 0;
    for round in 0..rounds {
        let damaged = base.copy();
        let places = damaged.places();
        let mut targets = Vec::new();
        match round % 3 {
            0 => files(&places.folder, &mut targets),
            1 => files(&places.mirror, &mut targets),
            // The log alone: most of the bytes that matter.
            _ => targets.push(places.database().join("db")),
        }
        targets.sort_unstable();
        let flips = if round % 2 == 0 { 1 } else { 25 };
        for _ in 0..flips {
            let target = &targets[dice.below(targets.len() as u64) as usize];
            flip(target, &mut dice);
        }
        let kms = damaged.try_open().unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert!(all_open(&kms, &blobs), "round {round}: a key is lost");
        assert_eq!(kms.counts().keys, KEYS);
        let one_more = new_key(&kms);
        drop(kms);
        mended += damaged.damaged();
        assert!(damaged.is_whole(), "round {round}");
        assert_eq!(damaged.entries(), damaged.mirrored());
        assert!(damaged.open().find(&one_more).is_ok());
    }
    assert!(mended as u64 > rounds / 4, "only {mended} copies of {rounds} were ever mended");
    println!("{rounds} rounds, {mended} copies mended, no key lost");
}

#[test]
fn a_copy_that_is_cut_removed_or_older_comes_back_from_the_other() {
    let base = OnDisk::new();
    let kms = base.open();
    let mut blobs = encrypted(&kms, 10);
    drop(kms);
    let older = base.copy();
    let kms = base.open();
    blobs.extend(encrypted(&kms, 10));
    drop(kms);
    let places = |disk: &OnDisk| disk.places();
    type Damage<'a> = Box<dyn Fn(&OnDisk) + 'a>;
    let cut = |path: &Path, share: u64| {
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() * share / 10).unwrap();
    };
    let cut = &cut;
    let mut damages: Vec<(&str, Damage<'_>)> = vec![
        ("the database is gone", Box::new(|d| fs::remove_dir_all(places(d).database()).unwrap())),
        ("its log is gone", Box::new(|d| fs::remove_file(places(d).database().join("db")).unwrap())),
        ("its settings are gone", Box::new(|d| fs::remove_file(places(d).database().join("conf")).unwrap())),
        (
            "its settings are torn",
            Box::new(|d| fs::write(places(d).database().join("conf"), "torn torn torn").unwrap()),
        ),
        ("all its folder is gone", Box::new(|d| fs::remove_dir_all(places(d).folder).unwrap())),
        ("the mirror is gone", Box::new(|d| fs::remove_file(places(d).mirror_log()).unwrap())),
        ("all its folder is gone", Box::new(|d| fs::remove_dir_all(places(d).mirror).unwrap())),
        ("the mirror is something else", Box::new(|d| fs::write(places(d).mirror_log(), "else").unwrap())),
        ("the folder is older", Box::new(|d| d.put_back("kms", &older))),
        ("the mirror is older", Box::new(|d| d.put_back("kms-mirror", &older))),
        ("the head is older", Box::new(|d| d.put_back("kms.head", &older))),
        ("the head is gone", Box::new(|d| fs::remove_file(places(d).head).unwrap())),
        ("the head is something else", Box::new(|d| fs::write(places(d).head, "else").unwrap())),
        (
            "the root's name is something else",
            Box::new(|d| fs::write(places(d).folder.join("root-id"), "else").unwrap()),
        ),
    ];
    for share in [0, 1, 3, 5, 7, 9] {
        damages.push(("the log is cut", Box::new(move |d| cut(&d.places().database().join("db"), share))));
        damages.push(("the mirror is cut", Box::new(move |d| cut(&d.places().mirror_log(), share))));
    }
    for (what, damage) in damages {
        let disk = base.copy();
        damage(&disk);
        let kms = disk.try_open().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(all_open(&kms, &blobs), "{what}");
        drop(kms);
        assert!(disk.is_whole(), "{what}");
        assert_eq!(disk.entries(), disk.mirrored(), "{what}");
    }
}

#[test]
fn what_belongs_to_another_store_is_never_taken() {
    let (ours, theirs) = (OnDisk::new(), OnDisk::new());
    let theirs = OnDisk { root: ours.root.clone(), ..theirs };
    let (kms, their_kms) = (ours.open(), theirs.open());
    let blobs = encrypted(&kms, 1);
    encrypted(&their_kms, 5);
    drop((kms, their_kms));
    for part in ["kms-mirror", "kms.head", "kms"] {
        let disk = ours.copy();
        disk.put_back(part, &theirs);
        assert!(matches!(disk.try_open(), Err(OpenError::Store(StoreError::Foreign(_)))), "{part}");
        disk.put_back(part, &ours);
        assert!(all_open(&disk.open(), &blobs));
    }
}

#[test]
fn one_record_that_is_put_back_in_one_copy_is_noticed() {
    let disk = OnDisk::new();
    let kms = disk.open();
    let id = new_key(&kms);
    let grant = crate::ops::CreateGrant {
        key_id: id.clone(),
        grantee: user("a").arn().to_owned(),
        operations: vec!["Encrypt".to_owned()],
        ..Default::default()
    };
    let granted = kms.create_grant(&root_user(), grant).unwrap();
    drop(kms);
    let before = disk.entries();
    let kms = disk.open();
    kms.revoke_grant(&root_user(), &id, &granted.0.id.to_string()).unwrap();
    kms.disable_key(&root_user(), &id).unwrap();
    drop(kms);
    let after = disk.entries();
    for kind in [b'k', b'g'] {
        let (name, value) = before.iter().find(|(name, _)| name[0] == kind).unwrap();
        assert_ne!(after.get(name), Some(value));
        for copy in ["store", "mirror"] {
            let disk = disk.copy();
            if copy == "store" {
                let store = SledStore::open(&disk.places().folder).unwrap();
                store.commit(Expected::Anything, vec![(name.clone(), Some(value.clone()))]).unwrap();
            } else {
                let mut entries = after.clone();
                entries.insert(name.clone(), value.clone());
                MirrorLog::make(&disk.places().mirror_log(), &entries).unwrap();
            }
            assert!(!disk.is_whole());
            let kms = disk.open();
            assert!(kms.encrypt(&user("a"), &id, b"x", &context("a")).is_err());
            assert_eq!((kms.counts().grants, disk.damaged()), (0, 1));
            drop(kms);
            assert_eq!((disk.entries(), disk.mirrored()), (after.clone(), after.clone()));
        }
    }
}

#[test]
fn both_copies_put_back_are_refused_until_the_loss_is_accepted() {
    let disk = OnDisk::new();
    let kms = disk.open();
    let blobs = encrypted(&kms, 1);
    drop(kms);
    let older = disk.copy();
    let kms = disk.open();
    let lost = encrypted(&kms, 1);
    drop(kms);
    disk.put_back("kms", &older);
    disk.put_back("kms-mirror", &older);
    match disk.try_open() {
        Err(OpenError::Store(error @ StoreError::Behind { found, acknowledged, .. })) => {
            assert_eq!(found + 1, acknowledged);
            assert!(error.to_string().contains("verify-store --accept"), "{error}");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("an older state was taken"),
    }
    assert!(!disk.is_whole());
    // Nor is a missing store taken for a new one.
    let empty = disk.copy();
    fs::remove_dir_all(empty.places().folder).unwrap();
    fs::remove_dir_all(empty.places().mirror).unwrap();
    assert!(matches!(empty.try_open(), Err(OpenError::Store(StoreError::Behind { found: 0, .. }))));
    assert!(Kms::accept_loss(empty.places(), &*empty.root).is_err());

    Kms::accept_loss(disk.places(), &*disk.root).unwrap();
    assert!(disk.is_whole());
    let kms = disk.open();
    assert!(all_open(&kms, &blobs) && !all_open(&kms, &lost));
    // One whole copy alone, and no head to tell whether that is all of it.
    drop(kms);
    fs::remove_file(disk.places().head).unwrap();
    fs::remove_file(disk.places().mirror_log()).unwrap();
    assert!(matches!(disk.try_open(), Err(OpenError::Store(StoreError::Unvouched(_)))));
    Kms::accept_loss(disk.places(), &*disk.root).unwrap();
    assert!(all_open(&disk.open(), &blobs));
}

#[test]
fn a_crash_between_the_two_writes_leaves_what_the_first_has() {
    let disk = OnDisk::new();
    let kms = disk.open();
    encrypted(&kms, 1);
    drop(kms);
    let before = disk.copy();
    let kms = disk.open();
    let blobs = encrypted(&kms, 1);
    drop(kms);
    let whole = fs::read(disk.places().mirror_log()).unwrap();
    let short = fs::metadata(before.places().mirror_log()).unwrap().len() as usize;
    for len in [short, short + 1, short + 30, whole.len() - 1] {
        let disk = disk.copy();
        fs::write(disk.places().mirror_log(), &whole[..len]).unwrap();
        disk.put_back("kms.head", &before);
        assert!(all_open(&disk.open(), &blobs));
        assert_eq!((disk.entries(), disk.damaged()), (disk.mirrored(), 0), "{len}");
    }
}

#[test]
fn damage_in_both_copies_is_mended_if_all_is_still_there_between_them() {
    let base = OnDisk::new();
    let kms = base.open();
    let blobs = encrypted(&kms, 10);
    drop(kms);
    let entries = base.entries();
    let backing: Vec<&Vec<u8>> = entries.keys().filter(|name| name[0] == b'b').collect();
    let damage = |disk: &OnDisk, in_store: &[u8], in_mirror: &[u8]| {
        let store = SledStore::open(&disk.places().folder).unwrap();
        store.commit(Expected::Anything, vec![(in_store.to_vec(), Some(b"\x01rotten".to_vec()))]).unwrap();
        drop(store);
        let mut mirrored = disk.mirrored();
        mirrored.remove(in_mirror);
        MirrorLog::make(&disk.places().mirror_log(), &mirrored).unwrap();
    };
    let disk = base.copy();
    damage(&disk, backing[0], backing[1]);
    assert!(all_open(&disk.open(), &blobs));
    assert_eq!((disk.entries(), disk.mirrored(), disk.damaged()), (entries.clone(), entries.clone(), 2));
    // The same entry in both: nothing is taken that is not what was written.
    let disk = base.copy();
    damage(&disk, backing[0], backing[0]);
    match disk.try_open() {
        Err(OpenError::Store(error @ StoreError::Damaged(_))) => {
            assert!(error.to_string().contains("restore a backup"), "{error}");
        }
        _ => panic!("it was opened"),
    }
    assert_eq!(disk.damaged(), 0);
}

#[test]
fn a_store_cannot_be_made_one_of_an_earlier_build() {
    let disk = OnDisk::new();
    encrypted(&disk.open(), 1);
    fs::remove_file(disk.places().mirror_log()).unwrap();
    fs::remove_file(disk.places().head).unwrap();
    let store = SledStore::open(&disk.places().folder).unwrap();
    store.commit(Expected::Anything, vec![(b"d".to_vec(), None)]).unwrap();
    drop(store);
    assert!(matches!(disk.try_open(), Err(OpenError::Store(StoreError::Damaged(_)))));
}

#[test]
fn stores_of_earlier_builds_are_brought_forward_at_their_first_open() {
    let bytes = |value: &serde_json::Value| hex::decode(value.as_str().unwrap()).unwrap();
    for (golden, keys) in [
        (include_str!("golden/store-1.json"), 1),
        (include_str!("golden/store-2.json"), 3),
        (include_str!("golden/store-3.json"), 5),
    ] {
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut secret: [u8; 32] = bytes(&golden["root"]).try_into().unwrap();
        let root = Arc::new(SecretRoot::new(Secret32::take(&mut secret)));
        let disk = OnDisk { folder, root };
        let store = SledStore::open(&disk.places().folder).unwrap();
        for entry in golden["entries"].as_array().unwrap() {
            store.commit(Expected::Anything, vec![(bytes(&entry[0]), Some(bytes(&entry[1])))]).unwrap();
        }
        drop(store);
        fs::write(disk.places().folder.join("root-id"), disk.root.id()).unwrap();
        let cut_off = disk.copy();
        for opened in 0..2 {
            let kms = disk.open();
            assert_eq!((kms.counts().keys, kms.store_state().unwrap().number), (keys, 1));
            let blob = bytes(&golden["blob"]);
            assert!(kms.decrypt(&root_user(), Some("alias/mine"), &blob, &context("a")).is_ok());
            drop(kms);
            assert!(disk.is_whole(), "{opened}");
        }
        assert_eq!((disk.entries(), disk.damaged()), (disk.mirrored(), 0));
        // Cut off after its first write, it is brought forward at the next.
        cut_off.put_back("kms", &disk);
        assert_eq!(cut_off.open().counts().keys, keys);
        assert!(cut_off.is_whole());
    }
}

#[test]
fn a_first_start_that_was_cut_off_starts_again() {
    let whole = OnDisk::new();
    drop(whole.open());
    type Cut<'a> = Box<dyn Fn(&StorePlaces) + 'a>;
    let only = |kept: &[&str]| {
        let kept: Vec<String> = kept.iter().map(|part| (*part).to_owned()).collect();
        move |places: &StorePlaces| {
            for (part, path) in
                [("kms", places.database()), ("mirror", places.mirror_log()), ("head", places.head.clone())]
            {
                if !kept.iter().any(|kept| kept == part) {
                    let _ = fs::remove_dir_all(&path);
                    let _ = fs::remove_file(&path);
                }
            }
        }
    };
    let cuts: Vec<(&str, Cut<'_>)> = vec![
        ("nothing but the folder", Box::new(only(&[]))),
        ("the database without the mirror", Box::new(only(&["kms"]))),
        ("both copies without the head", Box::new(only(&["kms", "mirror"]))),
        (
            "an empty database",
            Box::new(|places| {
                only(&[])(places);
                drop(SledStore::open(&places.folder).unwrap());
            }),
        ),
        (
            "a database with torn settings",
            Box::new(|places| {
                only(&[])(places);
                drop(SledStore::open(&places.folder).unwrap());
                fs::write(places.database().join("conf"), "segment_s").unwrap();
            }),
        ),
        (
            "a database that is torn all over",
            Box::new(|places| {
                only(&[])(places);
                fs::create_dir(places.database()).unwrap();
                fs::write(places.database().join("db"), [7; 100_000]).unwrap();
                fs::write(places.database().join("conf"), [7; 100]).unwrap();
            }),
        ),
        (
            "a half made database",
            Box::new(|places| {
                only(&[])(places);
                fs::create_dir(places.folder.join("db.new")).unwrap();
                fs::write(places.folder.join("db.new/db"), "half").unwrap();
            }),
        ),
    ];
    for (what, cut) in cuts {
        let disk = whole.copy();
        let places = disk.places();
        fs::remove_file(places.folder.join("root-id")).unwrap();
        fs::remove_file(places.mirror.join("root-id")).unwrap();
        cut(&places);
        let kms = disk.try_open().unwrap_or_else(|error| panic!("{what}: {error}"));
        let blobs = encrypted(&kms, 1);
        drop(kms);
        assert!(all_open(&disk.open(), &blobs), "{what}");
        assert!(disk.is_whole(), "{what}");
    }
}

/// Both copies are right after each change of what the store is under, whichever was damaged before.
#[test]
fn a_damaged_copy_does_not_outlive_a_rekey() {
    let base = OnDisk::new();
    let kms = base.open();
    let blobs = encrypted(&kms, 3);
    let kit_passphrase = SecretBytes::new(b"correct horse battery".to_vec());
    let kit = kms.recovery_kit(&kit_passphrase).unwrap();
    drop(kms);
    let recovery = kit.open(&kit_passphrase).unwrap();
    let new = Arc::new(SecretRoot::new(Secret32::random()));
    let mut dice = Dice(5);
    for damaged in ["kms/db/db", "kms-mirror/keys.log"] {
        for what in ["domain", "root", "recovery"] {
            let mut disk = base.copy();
            let path = disk.folder.path().join(damaged);
            let bytes = fs::read(&path).unwrap();
            fs::write(&path, &bytes[..bytes.len() / 3]).unwrap();
            flip(&path, &mut dice);
            let former = disk.entries_of_either();
            match what {
                "domain" => disk.open().rekey_domain(&*disk.root).unwrap(),
                "root" => {
                    disk.open().rekey_root(disk.places(), &*disk.root, &*new).unwrap();
                    disk.root = new.clone();
                }
                _ => {
                    Kms::recover(disk.places(), &recovery, &*new).unwrap();
                    disk.root = new.clone();
                }
            }
            assert!(disk.is_whole(), "{what}");
            assert!(all_open(&disk.open(), &blobs), "{what}");
            // Nothing is left in the mirror that another root or domain key opens.
            let log = fs::read(disk.places().mirror_log()).unwrap();
            let domain = &former[&b"m"[..]];
            assert!(!log.windows(domain.len()).any(|window| window == domain), "{what}");
        }
    }
}

impl OnDisk {
    /// What was there before: of the copy that can be read.
    fn entries_of_either(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let scratch = self.copy();
        drop(scratch.open());
        scratch.entries()
    }
}

#[test]
fn a_crash_within_rekey_root_leaves_a_store_that_one_of_the_roots_opens() {
    let disk = OnDisk::new();
    let kms = disk.open();
    let blobs = encrypted(&kms, 1);
    drop(kms);
    let before = disk.copy();
    let new = Arc::new(SecretRoot::new(Secret32::random()));
    disk.open().rekey_root(disk.places(), &*disk.root, &*new).unwrap();
    // The first copy has it, the second and the head have not yet, and the file names both.
    disk.put_back("kms-mirror/keys.log", &before);
    disk.put_back("kms.head", &before);
    super::super::host::write_root_ids(&disk.places(), &[disk.root.id(), new.id()]).unwrap();
    match disk.try_open() {
        Err(OpenError::Root(crate::root::RootError::WrongRoot { expected, .. })) => {
            assert_eq!(expected, new.id())
        }
        _ => panic!("the former root key was taken"),
    }
    let disk = OnDisk { root: new, ..disk };
    assert!(all_open(&disk.open(), &blobs));
    assert!(disk.is_whole());
    assert_eq!(disk.entries(), disk.mirrored());
}

#[test]
fn a_backup_is_restored_to_both_copies_and_never_beside_another_one() {
    let disk = OnDisk::new();
    let kms = disk.open();
    let blobs = encrypted(&kms, 3);
    let copied: Vec<Item> = kms.copy().unwrap().entries;
    drop(kms);
    let restored = OnDisk { root: disk.root.clone(), ..OnDisk::new() };
    Kms::restore(restored.places(), copied.clone()).unwrap();
    assert_eq!(restored.entries(), restored.mirrored());
    assert!(restored.places().head.exists());
    assert!(all_open(&restored.open(), &blobs));
    assert!(restored.is_whole());
    assert!(Kms::restore(restored.places(), copied.clone()).is_err());
    fs::remove_dir_all(&restored.places().folder).unwrap();
    let refused = Kms::restore(restored.places(), copied).unwrap_err().to_string();
    assert!(refused.contains("keys.log"), "{refused}");
    assert!(all_open(&restored.open(), &blobs));
}

#[test]
fn salt_and_costs_of_a_passphrase_lie_beside_both_copies() {
    let disk = OnDisk::new();
    let places = disk.places();
    let words = SecretBytes::new(b"correct horse battery".to_vec());
    let root = Arc::new(PassphraseRoot::open_or_create(&places.folder, &words).unwrap());
    let disk = OnDisk { root: root.clone(), ..disk };
    let blobs = encrypted(&disk.open(), 1);
    for damage in 0..2 {
        match damage {
            0 => fs::remove_dir_all(&places.folder).unwrap(),
            _ => fs::write(places.folder.join("passphrase.json"), "{").unwrap(),
        }
        PassphraseRoot::put_back(&places.folder, &places.mirror).unwrap();
        let again = Arc::new(PassphraseRoot::open(&places.folder, &words).unwrap());
        assert_eq!(again.id(), root.id());
        assert!(all_open(&Kms::open(&places, again, config()).unwrap(), &blobs));
    }
}

/// A store that fails when it is told to, with or without having written.
#[derive(Default)]
struct Faulty {
    inner: MemoryStore,
    fails: AtomicBool,
    writes_all_the_same: AtomicBool,
    loads: AtomicU64,
}

impl KeyStore for Faulty {
    fn load(&self) -> Result<Vec<Item>, StoreError> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        match self.fails.load(Ordering::Relaxed) {
            true => Err(StoreError::Failed("no space left".to_owned())),
            false => self.inner.load(),
        }
    }

    fn commit(&self, expected: Expected<'_>, changes: Vec<Change>) -> Result<(), StoreError> {
        if self.fails.load(Ordering::Relaxed) {
            if self.writes_all_the_same.load(Ordering::Relaxed) {
                self.inner.commit(expected, changes)?;
            }
            return Err(StoreError::Failed("no space left".to_owned()));
        }
        self.inner.commit(expected, changes)
    }
}

#[test]
fn a_store_that_failed_heals_and_goes_on_from_what_is_durable() {
    for (which, writes_all_the_same) in [(0, false), (0, true), (1, false), (1, true)] {
        let stores = [Arc::new(Faulty::default()), Arc::new(Faulty::default())];
        let place = |at: usize| -> Box<FixedPlace> { Box::new(FixedPlace::new(stores[at].clone())) };
        let TestRoot(root, _folder) = root();
        let copies = Copies::of(place(0), Some(place(1)), None);
        let kms = Kms::over_copies(copies, &root, config(), false).unwrap();
        let id = new_key(&kms);
        let blob = kms.encrypt(&root_user(), &id, b"secret", &context("a")).unwrap().ciphertext_blob;
        stores[which].fails.store(true, Ordering::Relaxed);
        stores[which].writes_all_the_same.store(writes_all_the_same, Ordering::Relaxed);
        assert_eq!(kms.standing(), Standing::Writable);
        assert!(kms.create_alias(&root_user(), "alias/lost", &id).is_err());
        assert_eq!(kms.standing(), Standing::Failed);
        // Reads go on; what failed is not shown.
        assert!(kms.decrypt(&root_user(), None, &blob, &context("a")).is_ok());
        assert!(kms.find("alias/lost").is_err());
        // While it fails it is opened once a second at most.
        let loads = stores[which].loads.load(Ordering::Relaxed);
        for _ in 0..20 {
            assert!(kms.create_alias(&root_user(), "alias/other", &id).is_err());
        }
        assert!(stores[which].loads.load(Ordering::Relaxed) <= loads + 1);
        stores[which].fails.store(false, Ordering::Relaxed);
        std::thread::sleep(std::time::Duration::from_millis(1050));
        kms.create_alias(&root_user(), "alias/after", &id).unwrap();
        assert_eq!(kms.standing(), Standing::Writable);
        // In memory there is what is durable: that of the first copy, or of whichever got further.
        let durable = which == 1 || writes_all_the_same;
        assert_eq!(kms.find("alias/lost").is_ok(), durable, "{which} {writes_all_the_same}");
        assert_eq!(stores[0].load().unwrap(), stores[1].load().unwrap());
        let number = kms.store_state().unwrap().number;
        assert_eq!(number, if durable { 4 } else { 3 });
    }
}

#[test]
fn a_store_on_a_disk_is_opened_again_without_a_restart() {
    let disk = OnDisk::new();
    let kms = disk.open();
    let id = new_key(&kms);
    kms.store.close();
    assert_eq!(kms.standing(), Standing::Failed);
    kms.create_alias(&root_user(), "alias/after", &id).unwrap();
    assert_eq!(kms.standing(), Standing::Writable);
    kms.store.close();
    assert_eq!(kms.try_heal(), Standing::Writable);
    assert!(kms.verify_store(disk.places()).unwrap().is_whole());
    drop(kms);
    assert!(disk.is_whole() && disk.damaged() == 0);
    assert!(disk.open().find("alias/after").is_ok());
}

#[test]
fn a_look_at_the_disk_finds_what_a_running_store_does_not_see() {
    let disk = OnDisk::new();
    let kms = disk.open();
    let blobs = encrypted(&kms, 5);
    let report = kms.verify_store(disk.places()).unwrap();
    assert!(report.is_whole(), "{report:?}");
    let numbers: Vec<_> = report.parts.iter().map(|part| (part.name, part.number, part.entries)).collect();
    assert_eq!(
        numbers,
        [("store", Some(6), Some(17)), ("mirror", Some(6), Some(17)), ("head", Some(6), None)]
    );
    let log = disk.places().mirror_log();
    let mut bytes = fs::read(&log).unwrap();
    bytes[300] ^= 1;
    fs::write(&log, bytes).unwrap();
    let report = kms.verify_store(disk.places()).unwrap();
    assert!(!report.is_whole() && report.parts[1].fault.is_some() && report.parts[0].fault.is_none());
    assert!(!disk.places().folder.join("verify").exists());
    assert!(all_open(&kms, &blobs));
}
