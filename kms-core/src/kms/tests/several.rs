//! Several services over one store, as several gateways have them.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::context::EncryptionContext;
use crate::key::KeyState;
use crate::key::backing::MadeBy;
use crate::kms::rerun;
use crate::store::{Change, Item, StoreError};

struct Gateways {
    store: Arc<MemoryStore>,
    root: TestRoot,
    clock: TestClock,
}

impl Gateways {
    fn new() -> Self {
        Self { store: Arc::default(), root: root(), clock: TestClock::new() }
    }

    fn another(&self) -> Kms {
        Kms::over(Box::new(self.store.clone()), &self.root.0, self.clock.config()).unwrap()
    }
}

fn no_context() -> EncryptionContext {
    EncryptionContext::new()
}

#[test]
fn keys_that_are_made_at_first_use_are_made_once() {
    let gateways = Gateways::new();
    let (one, two) = (gateways.another(), gateways.another());
    let sealed = one.generate_internal_key("sse-s3", &no_context()).unwrap();
    let sealed_too = two.generate_internal_key("sse-s3", &no_context()).unwrap();
    assert_eq!(one.metadata_key("catalog").unwrap().expose(), two.metadata_key("catalog").unwrap().expose());
    assert_eq!(
        one.managed_key("s3", "111122223333").unwrap(),
        two.managed_key("s3", "111122223333").unwrap()
    );
    for kms in [one, two, gateways.another()] {
        for data_key in [&sealed, &sealed_too] {
            let opened =
                kms.decrypt_internal_key("sse-s3", &data_key.ciphertext_blob, &no_context()).unwrap();
            assert_eq!(opened.expose(), data_key.plaintext.expose());
        }
    }
}

#[test]
fn first_starts_at_once_make_one_store() {
    for _ in 0..50 {
        let gateways = Gateways::new();
        let made: Vec<Secret32> = std::thread::scope(|scope| {
            let start = || gateways.another().metadata_key("catalog").unwrap();
            let started: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
            started.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(made.iter().all(|key| key.expose() == made[0].expose()));
    }
}

#[test]
fn a_rotation_on_each_of_two_gateways_keeps_both_backing_keys() {
    let gateways = Gateways::new();
    let (one, two) = (gateways.another(), gateways.another());
    let id = one.create_key(&root_user(), CreateKey::default()).unwrap().key.id.to_string();
    one.rotate_key_on_demand(&root_user(), &id).unwrap();
    let first = one.generate_data_key(&root_user(), &id, &no_context()).unwrap();
    two.rotate_key_on_demand(&root_user(), &id).unwrap();
    let second = two.generate_data_key(&root_user(), &id, &no_context()).unwrap();
    assert_ne!(first.key_material_id, second.key_material_id);
    one.refresh().unwrap();
    for kms in [one, two, gateways.another()] {
        for data_key in [&first, &second] {
            kms.decrypt(&root_user(), None, &data_key.ciphertext_blob, &no_context()).unwrap();
        }
    }
}

#[test]
fn a_stale_gateway_does_not_delete_a_key_whose_deletion_was_cancelled() {
    let gateways = Gateways::new();
    let (one, two) = (gateways.another(), gateways.another());
    let key = one.create_key(&root_user(), CreateKey::default()).unwrap().key.id;
    let id = key.to_string();
    one.schedule_key_deletion(&root_user(), &id, Some(7)).unwrap();
    assert!(two.refresh().unwrap() && !two.refresh().unwrap());
    one.cancel_key_deletion(&root_user(), &id).unwrap();
    gateways.clock.pass_days(8);
    // It still believes that the key is to go.
    assert!(matches!(two.entry(key).unwrap().key.state, KeyState::PendingDeletion { .. }));
    assert_eq!(two.run_scheduled_work().unwrap().deleted, 0);
    assert!(gateways.another().entry(key).is_some());
}

#[test]
fn the_later_use_of_a_key_is_kept() {
    let gateways = Gateways::new();
    let (one, two) = (gateways.another(), gateways.another());
    let key = one.create_key(&root_user(), CreateKey::default()).unwrap().key.id;
    two.refresh().unwrap();
    one.generate_data_key(&root_user(), &key.to_string(), &no_context()).unwrap();
    gateways.clock.pass_days(1);
    two.generate_data_key(&root_user(), &key.to_string(), &no_context()).unwrap();
    let latest = two.now_unix_ms();
    two.write_last_uses().unwrap();
    one.write_last_uses().unwrap();
    for kms in [one, two, gateways.another()] {
        assert_eq!(kms.entry(key).unwrap().last_use.get().unwrap().at_unix_ms, latest);
    }
}

/// A store in which another gateway's change comes between a check and its commit.
struct Overtaken {
    inner: Arc<MemoryStore>,
    overtakes: Arc<AtomicBool>,
}

impl KeyStore for Overtaken {
    fn load(&self) -> Result<Vec<Item>, StoreError> {
        self.inner.load()
    }

    fn commit(&self, expected: Expected<'_>, changes: Vec<Change>) -> Result<(), StoreError> {
        match self.overtakes.load(Ordering::Relaxed) {
            true => Err(StoreError::Contended),
            false => self.inner.commit(expected, changes),
        }
    }

    fn is_shared(&self) -> bool {
        true
    }
}

#[test]
fn what_was_overtaken_changes_nothing_and_runs_again() {
    let overtakes = Arc::new(AtomicBool::new(false));
    let store = Overtaken { inner: Arc::default(), overtakes: overtakes.clone() };
    let kms = Kms::over(Box::new(store), &root().0, config()).unwrap();
    let create = || kms.create_key(&root_user(), CreateKey::default());
    overtakes.store(true, Ordering::Relaxed);
    assert_eq!(create().unwrap_err(), KmsError::Contended);
    assert_eq!(rerun(create).unwrap_err(), KmsError::Contended);
    assert!(kms.key_ids().is_empty());
    let mut runs = 0;
    let created = rerun(|| {
        runs += 1;
        overtakes.store(runs < 3, Ordering::Relaxed);
        create()
    });
    assert_eq!((runs, kms.key_ids()), (3, vec![created.unwrap().key.id]));
}

/// What one gateway did and saw.
#[derive(Default)]
struct Seen {
    sealed: Vec<(crate::key::KmsKeyId, Vec<u8>)>,
    deleted: Vec<crate::key::KmsKeyId>,
}

/// A thousand operations at random from two gateways at a time, with days that pass.
#[test]
fn whatever_two_gateways_do_every_ciphertext_opens() {
    for seed in 1..=3_u64 {
        let gateways = Gateways::new();
        let seen: Vec<Seen> = std::thread::scope(|scope| {
            let run = |which: u64| {
                let kms = gateways.another();
                let clock = gateways.clock.clone();
                scope.spawn(move || act(&kms, &clock, seed * 2 + which))
            };
            [run(0), run(1)].map(|gateway| gateway.join().unwrap()).into()
        });
        let later = gateways.another();
        let deleted: Vec<_> = seen.iter().flat_map(|seen| seen.deleted.iter().copied()).collect();
        for id in &deleted {
            assert!(later.entry(*id).is_none(), "a key that was deleted is there again");
        }
        let all = seen.iter().flat_map(|seen| &seen.sealed);
        let mut opened = 0;
        for (id, ciphertext) in all {
            let Some(entry) = later.entry(*id) else { continue };
            if entry.key.state == KeyState::Disabled {
                later.enable_key(&root_user(), &id.to_string()).unwrap();
            }
            if matches!(entry.key.state, KeyState::PendingDeletion { .. }) {
                later.cancel_key_deletion(&root_user(), &id.to_string()).unwrap();
                later.enable_key(&root_user(), &id.to_string()).unwrap();
            }
            later.decrypt(&root_user(), None, ciphertext, &no_context()).unwrap();
            opened += 1;
        }
        assert!(opened > 50, "{opened}");
        let mut rotated = 0;
        for id in later.key_ids() {
            let entry = later.entry(id).unwrap();
            // Each due date rotates a key once.
            let automatic = entry.backing().iter().filter(|backing| backing.made.by == MadeBy::Automatic);
            let at: Vec<u64> = automatic.map(|backing| backing.made.at_unix_ms).collect();
            assert!(at.windows(2).all(|two| two[1] - two[0] >= 90 * DAY_MS), "{at:?}");
            rotated += at.len();
            let distinct: BTreeSet<_> = entry.backing().iter().map(|b| b.id).collect();
            assert_eq!(distinct.len(), entry.backing().len());
        }
        assert!(rotated > 0);
    }
}

/// 500 operations of one gateway.
fn act(kms: &Kms, clock: &TestClock, seed: u64) -> Seen {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let caller = root_user();
    let mut seen = Seen::default();
    for _ in 0..500 {
        let mut ids = kms.key_ids();
        ids.sort_by_key(|id| *id.as_bytes());
        let key_id = (!ids.is_empty()).then(|| ids[random(ids.len() as u64) as usize]);
        let (Some(key), kind) = (key_id, random(20)) else {
            rerun(|| kms.create_key(&caller, CreateKey::default())).unwrap();
            continue;
        };
        let id = key.to_string();
        // The other gateway may have disabled or deleted the key: refusals are right, as long as nothing is lost.
        let refused = |error: KmsError| match error {
            KmsError::Contended | KmsError::Internal(_) | KmsError::InvalidCiphertext => panic!("{error:?}"),
            _ => {}
        };
        let done = match kind {
            0 => rerun(|| kms.create_key(&caller, CreateKey::default())).map(drop),
            1 => rerun(|| kms.disable_key(&caller, &id)).map(drop),
            2 | 3 => rerun(|| kms.enable_key(&caller, &id)).map(drop),
            4 if random(3) == 0 => rerun(|| kms.schedule_key_deletion(&caller, &id, Some(7))).map(drop),
            5 => rerun(|| kms.cancel_key_deletion(&caller, &id)).map(drop),
            6 => rerun(|| kms.rotate_key_on_demand(&caller, &id)).map(drop),
            7 | 8 => rerun(|| kms.enable_key_rotation(&caller, &id, Some(90))),
            9 => {
                clock.pass_days(3);
                kms.refresh().map(drop).map_err(|error| KmsError::Internal(error.to_string()))
            }
            10 | 11 => {
                let before = kms.key_ids();
                let done = kms.run_scheduled_work();
                let gone = before.into_iter().filter(|id| kms.entry(*id).is_none());
                seen.deleted.extend(gone);
                done.map(drop)
            }
            _ => kms.generate_data_key(&caller, &id, &no_context()).map(|made| {
                seen.sealed.push((key, made.ciphertext_blob));
            }),
        };
        done.unwrap_or_else(refused);
    }
    seen
}
