//! A process that rotates, imports, deletes and re-keys is killed at random moments. Every ciphertext that it was given must open.

#![allow(clippy::unwrap_used)] // A test may.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use kms_core::clock::{Clock, DAY_MS};
use kms_core::context::EncryptionContext;
use kms_core::key::Origin;
use kms_core::kms::{Caller, Kms, KmsConfig, OpenError};
use kms_core::ops::{CreateKey, ImportKeyMaterial, WrappingAlgorithm};
use kms_core::root::{FileRoot, RootError, SecretRoot};

const DIR: &str = "SEALGATE_KMS_KILL_TEST_DIR";
const ROUND: &str = "SEALGATE_KMS_KILL_TEST_ROUND";
const BEGAN_UNIX_MS: u64 = 1_800_000_000_000;

/// With whichever of the two roots it needs now; answers which that is.
fn open(dir: &Path, clock: &Arc<AtomicU64>) -> (Kms, [Arc<SecretRoot>; 2], usize) {
    let store = dir.join("kms");
    let roots = ["a", "b"].map(|name| Arc::new(FileRoot::open_or_create(&dir.join(name), &store).unwrap()));
    for (which, root) in roots.iter().enumerate() {
        let clock = clock.clone();
        let config = KmsConfig {
            clock: Clock::new(move || clock.load(Ordering::Relaxed)),
            ..KmsConfig::new("us-east-1", "111122223333")
        };
        match Kms::open(&store, root.clone(), config) {
            Ok(kms) => return (kms, roots, which),
            Err(OpenError::Root(RootError::WrongRoot { .. })) => {}
            Err(error) => panic!("the store does not open: {error}"),
        }
    }
    panic!("neither root key fits");
}

fn caller() -> Caller {
    Caller::root_user("111122223333")
}

fn context() -> EncryptionContext {
    [("a".to_owned(), "b".to_owned())].into_iter().collect()
}

fn create(kms: &Kms, origin: Origin) -> String {
    let request = CreateKey { origin: Some(origin), ..CreateKey::default() };
    kms.create_key(&caller(), request).unwrap().key.id.to_string()
}

fn import(kms: &Kms, id: &str, material: &[u8; 32]) {
    let begun = kms.get_parameters_for_import(&caller(), id, WrappingAlgorithm::OaepSha256, 2048).unwrap();
    let key =
        OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(&begun.public_key).unwrap()).unwrap();
    let mut wrapped = vec![0; key.ciphertext_size()];
    key.encrypt(&OAEP_SHA256_MGF1SHA256, material, &mut wrapped, None).unwrap();
    let (key_id, token) = (id.to_owned(), begun.token);
    let request = ImportKeyMaterial { key_id, token, wrapped, ..ImportKeyMaterial::default() };
    kms.import_key_material(&caller(), request).unwrap();
}

/// The child: goes on without end, and says what it was given, and what it did.
#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let dir = Path::new(&dir);
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let clock = Arc::new(AtomicU64::new(BEGAN_UNIX_MS + round * 10_000 * DAY_MS));
    let say = |line: &str| std::io::stdout().write_all(format!("\n{line}\n").as_bytes()).unwrap();
    let (mut kms, _, _) = open(dir, &clock);
    for step in 0u64.. {
        let encrypt = |kms: &Kms, id: &str| {
            let text = format!("{round}/{step}");
            let sealed = kms.encrypt(&caller(), id, text.as_bytes(), &context()).unwrap();
            say(&format!("given {} {text}", hex::encode(sealed.ciphertext_blob)));
        };
        let id = create(&kms, Origin::AwsKms);
        kms.enable_key_rotation(&caller(), &id, Some(90)).unwrap();
        encrypt(&kms, &id);
        kms.rotate_key_on_demand(&caller(), &id).unwrap();
        encrypt(&kms, &id);
        say("did rotate");
        if step % 2 == 0 {
            let imported = create(&kms, Origin::External);
            import(&kms, &imported, &[step as u8; 32]);
            encrypt(&kms, &imported);
            say("did import");
        }
        let condemned = create(&kms, Origin::AwsKms);
        kms.schedule_key_deletion(&caller(), &condemned, Some(7)).unwrap();
        clock.fetch_add(40 * DAY_MS, Ordering::Relaxed);
        if kms.run_scheduled_work().unwrap().deleted > 0 {
            say("did purge");
        }
        drop(kms);
        let (reopened, roots, which) = open(dir, &clock);
        if step % 2 == 0 {
            reopened.rekey_root(&dir.join("kms"), &*roots[which], &*roots[1 - which]).unwrap();
            say("did rekey-root");
        } else {
            reopened.rekey_domain(&*roots[which]).unwrap();
            say("did rekey-domain");
        }
        kms = open(dir, &clock).0;
        encrypt(&kms, &id);
    }
}

#[test]
fn every_ciphertext_opens_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let rounds: u64 = std::env::var("SEALGATE_KILL_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let (mut given, mut did) = (Vec::new(), std::collections::BTreeMap::new());
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(DIR, dir.path())
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let lines = || BufReader::new(output).lines().map_while(Result::ok).collect::<Vec<String>>();
        let reader = std::thread::spawn(lines);
        let jitter = u64::from(std::process::id()).wrapping_mul(round * 7919 + 13) % 900;
        std::thread::sleep(Duration::from_millis(300 + jitter));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in reader.join().unwrap() {
            match line.split(' ').collect::<Vec<&str>>()[..] {
                ["given", sealed, text] => given.push((hex::decode(sealed).unwrap(), text.to_owned())),
                ["did", what] => *did.entry(what.to_owned()).or_insert(0) += 1,
                _ => {}
            }
        }
        let (kms, _, _) = open(dir.path(), &Arc::new(AtomicU64::new(BEGAN_UNIX_MS)));
        for (sealed, text) in &given {
            let opened = kms.decrypt(&caller(), None, sealed, &context());
            let opened =
                opened.unwrap_or_else(|error| panic!("round {round}: what {text} was given: {error}"));
            assert_eq!(opened.plaintext.expose(), text.as_bytes());
        }
    }
    println!("{rounds} kills, {} ciphertexts, all open; between the kills: {did:?}", given.len());
    for what in ["rotate", "import", "purge", "rekey-root", "rekey-domain"] {
        assert!(did.contains_key(what), "{what} never came between the kills: {did:?}");
    }
}
