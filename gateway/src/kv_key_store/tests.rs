use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use kms_core::context::EncryptionContext;
use kms_core::error::KmsError;
use kms_core::kms::{Caller, Kms, KmsConfig, OpenError, rerun};
use kms_core::ops::CreateKey;
use kms_core::root::RootError;
use kms_core::secret::Secret32;
use storage::kv::memory::MemoryKv;
use storage::kv::{Snapshot, Standing};

use super::*;

const ACCOUNT: &str = "111122223333";

fn root() -> SecretRoot {
    SecretRoot::new(Secret32::random())
}

fn caller() -> Caller {
    Caller::root_user(ACCOUNT)
}

fn open(kv: &Arc<dyn KeyValue>, root: &SecretRoot) -> Result<Kms, OpenError> {
    let store = KvKeyStore::new(kv.clone(), Handle::current());
    Kms::over_shared(Arc::new(store), root, KmsConfig::new("us-east-1", ACCOUNT))
}

/// A map whose commits can be lost on their way, or their answers.
#[derive(Default)]
struct Unsteady {
    inner: MemoryKv,
    gets: AtomicUsize,
    loses_answer: AtomicBool,
    loses_commit: AtomicBool,
    /// Commits wait while this is so.
    holds: AtomicBool,
    held: AtomicUsize,
}

#[async_trait]
impl KeyValue for Unsteady {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, KvError> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.inner.get(keys).await
    }

    async fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, KvError> {
        // As engines do whose answers come over a network.
        tokio::task::yield_now().await;
        self.inner.scan(range, direction, limit).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        tokio::task::yield_now().await;
        while self.holds.load(Ordering::Relaxed) {
            self.held.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        if self.loses_commit.swap(false, Ordering::Relaxed) {
            return Err(KvError::Unavailable("cut".into()));
        }
        let done = self.inner.commit(transaction).await;
        match self.loses_answer.swap(false, Ordering::Relaxed) {
            true => Err(KvError::Unavailable("cut".into())),
            false => done,
        }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_starts_at_once_make_one_store() {
    for _ in 0..50 {
        let kv: Arc<dyn KeyValue> = Arc::new(Unsteady::default());
        let root = Arc::new(root());
        let start = || {
            let (kv, root) = (kv.clone(), root.clone());
            tokio::task::spawn_blocking(move || {
                let kms = open(&kv, &root).unwrap();
                let sealed = kms.generate_internal_key("sse-s3", &EncryptionContext::new()).unwrap();
                (*kms.metadata_key("catalog").unwrap().expose(), sealed)
            })
        };
        let (one, two) = tokio::join!(start(), start());
        let ((one, sealed), (two, sealed_too)) = (one.unwrap(), two.unwrap());
        assert_eq!(one, two);
        let later = open(&kv, &root).unwrap();
        for sealed in [sealed, sealed_too] {
            let context = EncryptionContext::new();
            let opened = later.decrypt_internal_key("sse-s3", &sealed.ciphertext_blob, &context).unwrap();
            assert_eq!(opened.expose(), sealed.plaintext.expose());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_first_starts_with_different_root_keys_the_second_is_refused_and_nothing_is_harmed() {
    for _ in 0..20 {
        let kv: Arc<dyn KeyValue> = Arc::new(Unsteady::default());
        let start = |root: SecretRoot| {
            let kv = kv.clone();
            tokio::task::spawn_blocking(move || open(&kv, &root).map(|_| root))
        };
        let (one, two) = tokio::join!(start(root()), start(root()));
        let mut won = Vec::new();
        for started in [one.unwrap(), two.unwrap()] {
            match started {
                Ok(root) => won.push(root),
                Err(OpenError::Root(error @ RootError::WrongRoot { .. })) => {
                    assert!(error.to_string().contains("--root-key"), "{error}");
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(won.len(), 1);
        open(&kv, &won[0]).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passphrase_is_the_same_root_key_on_every_gateway() {
    let words = |text: &str| SecretBytes::new(text.as_bytes().to_vec());
    let kv: Arc<dyn KeyValue> = Arc::new(MemoryKv::new());
    let store = || KvKeyStore::new(kv.clone(), Handle::current());
    assert!(store().passphrase_root(&words("too short")).await.is_err());
    let one = store().passphrase_root(&words("correct horse battery")).await.unwrap();
    let kms = open(&kv, &one).unwrap();
    kms.metadata_key("catalog").unwrap();
    let two = store().passphrase_root(&words("correct horse battery")).await.unwrap();
    open(&kv, &two).unwrap();
    let other = store().passphrase_root(&words("correct horse buttery")).await.unwrap();
    assert!(matches!(open(&kv, &other), Err(OpenError::Root(RootError::WrongRoot { .. }))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_unknown_outcome_is_told_so_and_what_is_true_is_read_again() {
    let unsteady = Arc::new(Unsteady::default());
    let kv: Arc<dyn KeyValue> = unsteady.clone();
    let (root, caller) = (root(), caller());
    let kms = open(&kv, &root).unwrap();
    let create = || rerun(|| kms.create_key(&caller, CreateKey::default()));
    create().unwrap();
    for (lost, count) in [(&unsteady.loses_commit, 1), (&unsteady.loses_answer, 2)] {
        lost.store(true, Ordering::Relaxed);
        assert!(matches!(create(), Err(KmsError::Unavailable(_))));
        // A store that failed is opened again once a second at most.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        kms.refresh().unwrap();
        assert_eq!(kms.counts().keys, count);
    }
    create().unwrap();
    assert_eq!(open(&kv, &root).unwrap().counts().keys, 3);
}

/// Answers of a server come by the threads that serve requests: none of these may wait for what waits for an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_only_asks_waits_for_a_commit_under_way() {
    let unsteady = Arc::new(Unsteady::default());
    let kv: Arc<dyn KeyValue> = unsteady.clone();
    let kms = Arc::new(open(&kv, &root()).unwrap());
    let context = EncryptionContext::new();
    let sealed = kms.generate_internal_key("sse-s3", &context).unwrap();
    let revision = KvKeyStore::new(kv.clone(), Handle::current()).now().await.unwrap();
    unsteady.holds.store(true, Ordering::Relaxed);
    let commits = tokio::task::spawn_blocking({
        let kms = kms.clone();
        move || kms.create_key(&caller(), CreateKey::default()).map(drop)
    });
    while unsteady.held.load(Ordering::Relaxed) == 0 {
        assert!(!commits.is_finished(), "it is to be held");
        tokio::task::yield_now().await;
    }
    let asks = std::thread::spawn({
        let kms = kms.clone();
        move || {
            kms.decrypt_internal_key("sse-s3", &sealed.ciphertext_blob, &context).unwrap();
            (kms.standing(), kms.is_of(revision.as_deref()), kms.made_managed_key("s3", ACCOUNT))
        }
    });
    let began = std::time::Instant::now();
    while !asks.is_finished() && began.elapsed().as_secs() < 5 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let is_finished = asks.is_finished();
    unsteady.holds.store(false, Ordering::Relaxed);
    commits.await.unwrap().unwrap();
    assert!(is_finished, "it waited for a commit");
    assert_eq!(asks.join().unwrap(), (kms_core::kms::Standing::Writable, true, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_of_sse_s3_asks_the_store_nothing() {
    let unsteady = Arc::new(Unsteady::default());
    let kv: Arc<dyn KeyValue> = unsteady.clone();
    let kms = open(&kv, &root()).unwrap();
    let context = EncryptionContext::new();
    let sealed = kms.generate_internal_key("sse-s3", &context).unwrap();
    let before = unsteady.gets.load(Ordering::Relaxed);
    for _ in 0..100 {
        kms.decrypt_internal_key("sse-s3", &sealed.ciphertext_blob, &context).unwrap();
        kms.generate_internal_key("sse-s3", &context).unwrap();
    }
    assert_eq!(unsteady.gets.load(Ordering::Relaxed), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_changes_while_it_is_read_is_read_whole() {
    let kv: Arc<dyn KeyValue> = Arc::new(Unsteady::default());
    let root = Arc::new(root());
    let writer = open(&kv, &root).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writes = tokio::task::spawn_blocking({
        let stop = stop.clone();
        move || {
            while !stop.load(Ordering::Relaxed) {
                writer.create_key(&caller(), CreateKey::default()).unwrap();
                std::thread::sleep(std::time::Duration::from_micros(300));
            }
        }
    });
    for _ in 0..50 {
        open(&kv, &root).unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    writes.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_is_done_by_the_holder_of_the_last_lease_alone() {
    let kv: Arc<dyn KeyValue> = Arc::new(Unsteady::default());
    let root = root();
    let stores = [(); 2].map(|()| Arc::new(KvKeyStore::new(kv.clone(), Handle::current())));
    let [one, two] = stores.each_ref().map(|store| {
        let config = KmsConfig::new("us-east-1", ACCOUNT);
        Kms::over_shared(store.clone(), &root, config).unwrap()
    });
    let make = |kms: &Kms| rerun(|| kms.create_key(&caller(), CreateKey::default())).map(drop);
    let first = stores[0].fence(1).await.unwrap();
    stores[0].under(&first, || make(&one)).unwrap();
    let second = stores[1].fence(2).await.unwrap();
    // It was suspended meanwhile, and goes on.
    let refused = stores[0].under(&first, || make(&one));
    assert!(matches!(refused, Err(KmsError::Unavailable(_) | KmsError::Internal(_))), "{refused:?}");
    stores[1].under(&second, || make(&two)).unwrap();
    // What a client asks for is nobody's alone.
    make(&one).unwrap();
    assert_eq!(stores[1].fence(2).await.unwrap().0, second.0, "it is there already");
}
