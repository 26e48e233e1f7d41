use std::sync::atomic::{AtomicBool, AtomicUsize};

use async_trait::async_trait;
use kms_core::kms::{Caller, KmsConfig};
use kms_core::ops::CreateKey;
use kms_core::root::SecretRoot;
use kms_core::secret::Secret32;
use storage::kv::memory::MemoryKv;
use storage::kv::{Direction, Entry, Key, KeyRange, KeyValue, Snapshot, Standing, Transaction};
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::*;
use crate::iam::{AccessKeyRecord, CredentialRefusal, Draft, IamOptions, Scope, User};

const MAIN: &str = "111122223333";

/// A map that can be cut off, and counts what it is asked.
#[derive(Default)]
struct Cut {
    inner: MemoryKv,
    is_cut: AtomicBool,
    asked: AtomicUsize,
}

impl Cut {
    fn reach(&self) -> Result<(), KvError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.is_cut.load(Ordering::Relaxed) {
            true => Err(KvError::Unavailable("cut off".into())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl KeyValue for Cut {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, KvError> {
        self.reach()?;
        tokio::task::yield_now().await;
        self.inner.get(keys).await
    }

    async fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, KvError> {
        self.reach()?;
        self.inner.scan(range, direction, limit).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        self.reach()?;
        self.inner.commit(transaction).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, KvError> {
        self.inner.snapshot().await
    }

    async fn verify(&self) -> Result<u64, KvError> {
        self.inner.verify().await
    }

    fn standing(&self) -> Standing {
        self.inner.standing()
    }
}

/// What the gateways of a test share.
#[derive(Default)]
struct Cluster {
    records: Arc<Cut>,
    keys: Arc<Cut>,
    root: std::sync::OnceLock<SecretRoot>,
}

/// One of them.
struct Gateway {
    iam: Arc<Iam>,
    kms: Arc<Kms>,
    watch: Arc<Watch>,
    catalog: Catalog,
}

impl Cluster {
    async fn gateway(&self) -> Gateway {
        let root = self.root.get_or_init(|| SecretRoot::new(Secret32::random()));
        let keys = Arc::new(KvKeyStore::new(self.keys.clone(), Handle::current()));
        let kms = Kms::over_shared(keys.clone(), root, KmsConfig::new("us-east-1", MAIN)).unwrap();
        let (kms, catalog) = (Arc::new(kms), Catalog::new(self.records.clone()));
        let options = IamOptions { main: MAIN.to_owned(), shared: true, ..IamOptions::default() };
        let credentials = ("AKIAROOT".to_owned(), Zeroizing::new("root's secret".to_owned()));
        let secret = kms.metadata_key("identities").unwrap();
        let iam = Arc::new(Iam::open(catalog.clone(), &secret, options, credentials).await.unwrap());
        let watch = Arc::new(Watch::shared(catalog.clone(), iam.clone(), kms.clone(), keys));
        Gateway { iam, kms, watch, catalog }
    }
}

fn user(id: &str, name: &str) -> User {
    serde_json::from_value(serde_json::json!({
        "id": id, "name": name, "path": "/", "created_unix_ms": 1, "tags": [], "boundary": null,
        "inline": {}, "attached": [], "groups": [],
    }))
    .unwrap()
}

impl Gateway {
    async fn change(&self, change: impl Fn(&mut Draft)) {
        let changed = self.iam.change(MAIN, |draft| {
            change(draft);
            Ok(())
        });
        changed.await.unwrap();
    }

    /// Makes a user with an access key.
    async fn make_user(&self, number: u32) -> AccessKeyRecord {
        let (user, record) = self.sealed_user(number);
        self.change(|draft| {
            draft.put(user.clone());
            draft.put_access_key(record.clone());
        })
        .await;
        record
    }

    fn sealed_user(&self, number: u32) -> (User, AccessKeyRecord) {
        let (id, key) = (format!("AIDA{number}"), format!("AKIA{number}"));
        let record = self.iam.seal_access_key(&key, "a secret", (MAIN, Some(&id)), 1);
        (user(&id, &format!("user{number}")), record)
    }

    /// As a request does that is signed with this access key.
    fn judge(&self, id: &str) -> Result<(), CredentialRefusal> {
        let scope = Scope { date: "20260101", region: "us-east-1", service: "s3", now_unix_ms: 60_000 };
        self.iam.signing_key(id, None, scope).map(drop)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_changed_on_one_gateway_is_felt_by_the_next_request_on_another() {
    let cluster = Cluster::default();
    let (one, two) = (cluster.gateway().await, cluster.gateway().await);
    let record = one.make_user(1).await;
    assert_eq!(two.judge("AKIA1"), Err(CredentialRefusal::Unknown));
    // Who is not known is looked for.
    assert!(two.watch.doubt().await.unwrap());
    two.judge("AKIA1").unwrap();
    // A request for a bucket sees a revocation with the bucket.
    one.change(|draft| draft.put_access_key(AccessKeyRecord { is_active: false, ..record.clone() })).await;
    two.judge("AKIA1").unwrap();
    let name = BucketName::parse("bucket").unwrap();
    let known = two.watch.known();
    let (bucket, has_changed) = two.watch.bucket(&two.catalog, &name, known).await.unwrap();
    assert!(matches!(bucket, Err(CatalogError::NoSuchBucket)) && has_changed);
    assert_eq!(two.judge("AKIA1"), Err(CredentialRefusal::Unknown));
    assert!(!two.watch.bucket(&two.catalog, &name, two.watch.known()).await.unwrap().1);
    // Who was authenticated before another request took it over is authenticated again all the same.
    assert!(two.watch.bucket(&two.catalog, &name, known).await.unwrap().1);
    assert!(two.watch.identities_since(known).await.unwrap());
    // One without a bucket looks for itself.
    one.change(|draft| draft.put_access_key(record.clone())).await;
    assert!(two.watch.identities().await.unwrap());
    two.judge("AKIA1").unwrap();
    one.change(|draft| draft.remove_access_key("AKIA1")).await;
    one.change(|draft| draft.remove::<User>("AIDA1")).await;
    assert!(two.watch.identities().await.unwrap());
    assert!(!two.watch.identities().await.unwrap());
    assert_eq!(two.judge("AKIA1"), Err(CredentialRefusal::Unknown));
    assert!(two.iam.state().accounts[MAIN].users.is_empty());
}

/// Whatever two gateways change, each knows what reading everything tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_over_piece_by_piece_is_what_is_there() {
    let cluster = Cluster::default();
    let (one, two) = (cluster.gateway().await, cluster.gateway().await);
    for number in 0..40 {
        let (by, other) = if number % 3 == 0 { (&two, &one) } else { (&one, &two) };
        by.make_user(number).await;
        if number % 4 == 3 {
            other.watch.identities().await.unwrap();
            let id = format!("AIDA{}", number - 1);
            other.change(|draft| draft.put(User { path: "/else/".to_owned(), ..user(&id, "renamed") })).await;
            other.change(|draft| draft.remove_access_key(&format!("AKIA{}", number - 2))).await;
        }
        if number == 20 {
            let account = crate::iam::Account::new("444455556666", "other", "o@example.com", 5);
            one.watch.identities().await.unwrap();
            one.iam.create_account(account, None).await.unwrap();
        }
    }
    let fresh = cluster.gateway().await;
    let told = |gateway: &Gateway| {
        let state = gateway.iam.state();
        let users = state.accounts[MAIN].users.iter().map(|user| format!("{user:?}")).collect::<Vec<_>>();
        let mut keys: Vec<_> = state.access_keys.keys().cloned().collect();
        keys.sort_unstable();
        (gateway.iam.shelf_state(), state.accounts.keys().cloned().collect::<Vec<_>>(), users, keys)
    };
    for gateway in [&one, &two] {
        gateway.watch.identities().await.unwrap();
        assert_eq!(told(gateway), told(&fresh));
    }
    // Only what changed is read.
    one.make_user(1000).await;
    let before = cluster.records.asked.load(Ordering::Relaxed);
    two.watch.identities().await.unwrap();
    assert!(cluster.records.asked.load(Ordering::Relaxed) - before <= 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_that_was_put_back_is_read_anew() {
    let cluster = Cluster::default();
    let one = cluster.gateway().await;
    one.make_user(1).await;
    let mut states = Vec::new();
    for key in cluster.records.inner.scan(KeyRange::prefix(vec![]), Direction::Forward, 100).await.unwrap() {
        states.push(key);
    }
    one.make_user(2).await;
    let now = cluster.records.inner.scan(KeyRange::prefix(vec![]), Direction::Forward, 100).await.unwrap();
    let gone = now.into_iter().map(|(key, _)| storage::kv::Write::Delete(key)).collect();
    cluster.records.inner.commit(Transaction { conditions: vec![], writes: gone }).await.unwrap();
    let put = states.into_iter().map(|(key, entry)| storage::kv::Write::Put(key, entry.value)).collect();
    cluster.records.inner.commit(Transaction { conditions: vec![], writes: put }).await.unwrap();
    assert!(one.watch.identities().await.unwrap());
    assert_eq!(one.judge("AKIA2"), Err(CredentialRefusal::Unknown));
    one.judge("AKIA1").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_disabled_on_one_gateway_is_refused_by_the_next_request_on_another() {
    let cluster = Cluster::default();
    let (one, two) = (cluster.gateway().await, cluster.gateway().await);
    let caller = Caller::root_user(MAIN);
    let id = one.kms.create_key(&caller, CreateKey::default()).unwrap().key.id.to_string();
    let context = kms_core::context::EncryptionContext::new();
    let uses = || two.kms.generate_data_key(&caller, &id, &context);
    assert!(matches!(uses(), Err(KmsError::NotFound(_))));
    two.watch.keys().await.unwrap();
    uses().unwrap();
    one.kms.disable_key(&caller, &id).unwrap();
    two.watch.keys().await.unwrap();
    assert!(matches!(uses(), Err(KmsError::Disabled { .. })));
    // Its own changes are no news to a gateway.
    let asked = || cluster.keys.asked.load(Ordering::Relaxed);
    let before = asked();
    one.watch.keys().await.unwrap();
    assert_eq!(asked() - before, 1);
    cluster.keys.is_cut.store(true, Ordering::Relaxed);
    assert!(two.watch.keys().await.is_err());
    assert!(matches!(one.kms.enable_key(&caller, &id), Err(KmsError::Unavailable(_))));
    cluster.keys.is_cut.store(false, Ordering::Relaxed);
    two.watch.keys().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_ask_at_once_share_a_look() {
    let cluster = Cluster::default();
    let two = cluster.gateway().await;
    let before = cluster.records.asked.load(Ordering::Relaxed);
    let asks = (0..1000).map(|_| two.watch.identities());
    for asked in futures_util::future::join_all(asks).await {
        asked.unwrap();
    }
    assert!(cluster.records.asked.load(Ordering::Relaxed) - before < 20);
    // Who is not known is looked for ten times a second at most.
    let began = Instant::now();
    for _ in 0..4 {
        two.watch.doubt().await.unwrap();
    }
    assert!(began.elapsed() >= DOUBT_INTERVAL * 3);
}

#[tokio::test]
async fn a_failed_look_is_told_to_those_who_waited_for_it_alone() {
    let looks = Looks::default();
    let fails = || async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(Unseen("down".into()))
    };
    let (one, two) = tokio::join!(looks.ask(fails()), looks.ask(async { Ok(()) }));
    assert!(one.is_err());
    two.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uses_of_access_keys_change_no_identity_and_the_later_is_kept() {
    let cluster = Cluster::default();
    let (one, two) = (cluster.gateway().await, cluster.gateway().await);
    one.make_user(1).await;
    two.watch.identities().await.unwrap();
    let state = one.iam.shelf_state();
    let note = |gateway: &Gateway, minute: u64| {
        let scope =
            Scope { date: "20260101", region: "us-east-1", service: "s3", now_unix_ms: minute * 60_000 };
        gateway.iam.note_use("AKIA1", scope);
    };
    note(&one, 5);
    note(&two, 7);
    two.iam.write_last_uses().await.unwrap();
    one.iam.write_last_uses().await.unwrap();
    assert_eq!(two.catalog.shelf_state(Iam::SHELF).await.unwrap(), state);
    let last = |gateway: &Gateway| gateway.iam.state().access_keys["AKIA1"].last_used.get().unwrap().unix_ms;
    assert_eq!((last(&one), last(&two), last(&cluster.gateway().await)), (420_000, 420_000, 420_000));
    // What could not be written is written later.
    note(&one, 9);
    cluster.records.is_cut.store(true, Ordering::Relaxed);
    one.iam.write_last_uses().await.unwrap_err();
    cluster.records.is_cut.store(false, Ordering::Relaxed);
    one.iam.write_last_uses().await.unwrap();
    two.iam.write_last_uses().await.unwrap();
    assert_eq!((last(&two), last(&cluster.gateway().await)), (540_000, 540_000));
    // An access key that is gone leaves nothing.
    one.change(|draft| draft.remove_access_key("AKIA1")).await;
    assert!(one.catalog.notes("iam.uses").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_has_not_seen_the_map_for_long_is_not_current() {
    let cluster = Cluster::default();
    let two = cluster.gateway().await;
    let Some(shared) = &two.watch.0 else { panic!("it is shared") };
    assert!(two.watch.is_current());
    cluster.records.is_cut.store(true, Ordering::Relaxed);
    two.watch.identities().await.unwrap_err();
    assert!(two.watch.is_current(), "for a while what it knows is good");
    let later = Shared { began: Instant::now() - MAX_AGE - Duration::from_millis(1), ..shared.again() };
    let watch = Watch(Some(later));
    watch.identities().await.unwrap_err();
    assert!(!watch.is_current());
    cluster.records.is_cut.store(false, Ordering::Relaxed);
    watch.identities().await.unwrap();
    assert!(watch.is_current());
    assert!(Watch::alone().is_current() && !Watch::alone().doubt().await.unwrap());
}

impl Shared {
    fn again(&self) -> Self {
        let (iam, kms, keys) = (self.iam.clone(), self.kms.clone(), self.keys.clone());
        let Watch(Some(again)) = Watch::shared(self.catalog.clone(), iam, kms, keys) else {
            panic!("it is shared")
        };
        again
    }
}

/// Not a test: how long it takes to take over identities of 10,000 users, all and one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measure_reload() {
    const COUNT: u32 = 10_000;
    let cluster = Cluster::default();
    let one = cluster.gateway().await;
    // One after the other each would copy all that are there.
    let made: Vec<(User, AccessKeyRecord)> = (0..COUNT).map(|number| one.sealed_user(number)).collect();
    for some in made.chunks(1000) {
        one.change(|draft| {
            for (user, record) in some {
                draft.put(user.clone());
                draft.put_access_key(record.clone());
            }
        })
        .await;
    }
    let began = Instant::now();
    let two = cluster.gateway().await;
    println!("all of {COUNT} users: {:?}", began.elapsed());
    one.make_user(COUNT + 1).await;
    let began = Instant::now();
    assert!(two.watch.identities().await.unwrap());
    println!("one user among them: {:?}", began.elapsed());
    two.judge(&format!("AKIA{}", COUNT + 1)).unwrap();
    let began = Instant::now();
    for _ in 0..COUNT {
        two.watch.identities().await.unwrap();
    }
    println!("a look: {:?}", began.elapsed() / COUNT);
}
