//! Bare stretches: listings that go round what was deleted show what those show that don't.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::listing::{oracle, plain};
use super::*;
use crate::kv::{Direction, Entry, Key, KeyRange, KeyValue, Snapshot};

type Work = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// A map that counts the entries that it reads, and has something else done before one of its calls.
#[derive(Default)]
struct Watched {
    kv: Arc<MemoryKv>,
    read: AtomicUsize,
    calls: AtomicUsize,
    between: Mutex<Option<(usize, Work)>>,
}

impl Watched {
    async fn call(&self) {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let work = self.between.lock().take_if(|(at, _)| *at == number);
        match work {
            Some((_, work)) => work.await,
            // Elsewhere an engine takes its time, and others come between.
            None => tokio::task::yield_now().await,
        }
    }

    fn take_read(&self) -> usize {
        self.read.swap(0, Ordering::Relaxed)
    }
}

#[async_trait]
impl KeyValue for Watched {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, KvError> {
        self.call().await;
        self.read.fetch_add(keys.len(), Ordering::Relaxed);
        self.kv.get(keys).await
    }

    async fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, KvError> {
        self.call().await;
        let found = self.kv.scan(range, direction, limit).await?;
        self.read.fetch_add(found.len(), Ordering::Relaxed);
        Ok(found)
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        self.call().await;
        self.kv.commit(transaction).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, KvError> {
        self.kv.snapshot().await
    }

    async fn verify(&self) -> Result<u64, KvError> {
        self.kv.verify().await
    }

    fn standing(&self) -> Standing {
        self.kv.standing()
    }
}

async fn versioned() -> (Catalog, Bucket, Arc<Watched>) {
    let kv = Arc::new(Watched::default());
    let catalog = Catalog::new(kv.clone());
    let bucket = Bucket { versioning: Versioning::Enabled, ..bucket_named("some-bucket") };
    catalog.create_bucket(&bucket).await.expect("a bucket");
    (catalog, bucket, kv)
}

/// Writes a version of its own, or a delete marker.
async fn write(catalog: &Catalog, bucket: &Bucket, name: &str, is_marker: bool) {
    let is_null = bucket.versioning == Versioning::Suspended;
    loop {
        let mut version = ObjectVersion { is_null, ..version_in(blob(1)) };
        version.version = catalog.next_version_id(bucket, &object(name)).await.expect("an id");
        if is_marker {
            version.kind = VersionKind::DeleteMarker;
        }
        match catalog.commit_version(bucket, &object(name), &version, &Precondition::None).await {
            Err(CatalogError::Contended) => {}
            other => return other.expect("a commit"),
        }
    }
}

async fn delete_newest(catalog: &Catalog, bucket: &Bucket, name: &str) {
    let Some(current) = catalog.current(bucket, &object(name)).await.expect("a read") else { return };
    let which = if current.is_null { VersionRef::Null } else { VersionRef::Id(current.version) };
    let usual = Authority::usual();
    catalog
        .delete_version(bucket, &object(name), which, &Precondition::None, usual)
        .await
        .expect("a deletion");
}

async fn listed(catalog: &Catalog, bucket: &Bucket, request: &ListRequest) -> (Vec<(String, bool)>, bool) {
    plain(catalog.list_objects(bucket, request).await.expect("a page"))
}

fn all() -> ListRequest {
    ListRequest { prefix: String::new(), delimiter: None, after: None, limit: 1000 }
}

#[derive(Debug, Clone)]
enum Step {
    Put(String),
    Mark(String),
    DeleteNewest(String),
    Suspend(bool),
    List(ListRequest),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = || "[ab/]{1,3}|\u{10ffff}|a\u{0}";
    let list = (
        "[ab]{0,1}",
        prop::option::of(prop_oneof!["/", "a"]),
        prop::option::of("[ab/]{0,3}"),
        prop_oneof![Just(1000_usize), 1_usize..4],
    );
    let list =
        list.prop_map(|(prefix, delimiter, after, limit)| ListRequest { prefix, delimiter, after, limit });
    let step = prop_oneof![
        3 => name().prop_map(Step::Put),
        12 => name().prop_map(Step::Mark),
        2 => name().prop_map(Step::DeleteNewest),
        1 => any::<bool>().prop_map(Step::Suspend),
        1 => Just(Step::List(all())),
        3 => list.prop_map(Step::List),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn listings_that_go_round_show_what_lives(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let (catalog, mut bucket, _) = versioned().await;
            let mut live = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Put(name) => {
                        write(&catalog, &bucket, &name, false).await;
                        live.insert(name);
                    }
                    Step::Mark(name) => {
                        write(&catalog, &bucket, &name, true).await;
                        live.remove(&name);
                    }
                    Step::DeleteNewest(name) => {
                        delete_newest(&catalog, &bucket, &name).await;
                        let current = catalog.current(&bucket, &object(&name)).await.expect("a read");
                        match current.is_some_and(|current| current.object().is_some()) {
                            true => live.insert(name),
                            false => live.remove(&name),
                        };
                    }
                    Step::Suspend(is_suspended) => {
                        let versioning = if is_suspended { Versioning::Suspended } else { Versioning::Enabled };
                        let next = Bucket { versioning, ..bucket.clone() };
                        catalog.replace_bucket(&bucket, &next).await.expect("a change");
                        bucket = next;
                    }
                    Step::List(request) => {
                        prop_assert_eq!(listed(&catalog, &bucket, &request).await, oracle(&live, &request), "{:?}", request);
                    }
                }
                catalog.check_stretches(bucket.id).await;
            }
            // Page by page it is the same.
            for limit in [1, 2, 1000] {
                let (mut rows, mut next) = (Vec::new(), ListRequest { limit, ..all() });
                loop {
                    let (page, is_truncated) = listed(&catalog, &bucket, &next).await;
                    rows.extend(page.into_iter().map(|(name, _)| name));
                    next.after = rows.last().cloned();
                    if !is_truncated {
                        break;
                    }
                }
                prop_assert!(rows.iter().eq(&live));
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn what_was_deleted_is_passed_once() {
    let (catalog, bucket, kv) = versioned().await;
    for number in 0..3000 {
        write(&catalog, &bucket, &format!("{number:04}"), true).await;
    }
    for name in ["", "1499-", "9"] {
        write(&catalog, &bucket, &format!("{name}lives"), false).await;
    }
    let mut costs = Vec::new();
    for _ in 0..4 {
        kv.take_read();
        assert_eq!(listed(&catalog, &bucket, &all()).await.0.len(), 3);
        costs.push(kv.take_read());
    }
    assert!(costs[0] > 3000 && costs[1..].iter().all(|cost| *cost < 60), "{costs:?}");
    // One that comes back is shown at once, and costs no more than itself.
    write(&catalog, &bucket, "0777", false).await;
    kv.take_read();
    assert_eq!(listed(&catalog, &bucket, &all()).await.0.len(), 4);
    assert!(kv.take_read() < 70);
    write(&catalog, &bucket, "0777", true).await;
    for _ in 0..3 {
        assert_eq!(listed(&catalog, &bucket, &all()).await.0.len(), 3);
    }
    // In parts: a long one is noted while it goes on, and parts that follow each other become one.
    assert!(catalog.check_stretches(bucket.id).await <= 4, "parts become one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_is_listed_whoever_notes_stretches_meanwhile() {
    let (catalog, bucket, _) = versioned().await;
    for number in 0..64 {
        write(&catalog, &bucket, &format!("{number:02}"), true).await;
    }
    let tasks = (0..8).map(|task| {
        let (catalog, bucket) = (catalog.clone(), bucket.clone());
        tokio::spawn(async move {
            for round in 0..60 {
                // Its own names, among those of others.
                let name = format!("{:02}", (round * 8 + task) % 64);
                write(&catalog, &bucket, &name, false).await;
                let (rows, _) = listed(&catalog, &bucket, &all()).await;
                assert!(rows.iter().any(|(row, _)| *row == name), "{name} is not in {rows:?}");
                match round % 2 {
                    0 => write(&catalog, &bucket, &name, true).await,
                    _ => delete_newest(&catalog, &bucket, &name).await,
                }
                let (rows, _) = listed(&catalog, &bucket, &all()).await;
                assert!(!rows.iter().any(|(row, _)| *row == name));
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("a task");
    }
    catalog.check_stretches(bucket.id).await;
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Doing {
    Writes,
    Lists,
}

async fn does(doing: Doing, catalog: &Catalog, bucket: &Bucket) {
    match doing {
        Doing::Writes => write(catalog, bucket, "e", false).await,
        Doing::Lists => drop(listed(catalog, bucket, &all()).await),
    }
}

/// Whatever the call of one gateway before which another does all of its own: nothing that lives is in a stretch, and it is listed. How
/// often there is a stretch then.
async fn interleaved(own: Doing, other: Doing, is_noted: bool) -> usize {
    let mut noted = 0;
    for at in 0.. {
        let (catalog, bucket, kv) = versioned().await;
        for name in ["a", "b", "c", "d", "e", "f", "g", "h", "i"] {
            write(&catalog, &bucket, name, true).await;
        }
        if is_noted {
            listed(&catalog, &bucket, &all()).await;
            for name in ["1", "2", "3", "j", "k", "l"] {
                write(&catalog, &bucket, name, true).await;
            }
        }
        kv.calls.store(0, Ordering::Relaxed);
        let (elsewhere, same) = (Catalog::new(kv.kv.clone()), bucket.clone());
        let work: Work = Box::pin(async move { does(other, &elsewhere, &same).await });
        *kv.between.lock() = Some((at, work));
        does(own, &catalog, &bucket).await;
        if kv.between.lock().is_some() {
            assert!(at > 2, "it has calls");
            return noted;
        }
        noted += usize::from(catalog.check_stretches(bucket.id).await > 0);
        if (own, other) == (Doing::Lists, Doing::Lists) {
            does(Doing::Writes, &catalog, &bucket).await;
        }
        assert_eq!(listed(&catalog, &bucket, &all()).await.0, [("e".to_owned(), false)], "before call {at}");
        catalog.check_stretches(bucket.id).await;
    }
    noted
}

#[tokio::test]
async fn one_who_comes_between_any_two_steps_is_seen() {
    for is_noted in [false, true] {
        for (own, other) in
            [(Doing::Writes, Doing::Lists), (Doing::Lists, Doing::Writes), (Doing::Lists, Doing::Lists)]
        {
            assert!(interleaved(own, other, is_noted).await > 0, "some of it ends with a stretch");
        }
    }
}

#[tokio::test]
async fn stretches_are_noted_where_all_know_of_them_and_go_with_their_bucket() {
    let (catalog, bucket, _) = versioned().await;
    for name in ["a", "b", "c", "d", "e"] {
        write(&catalog, &bucket, name, true).await;
    }
    catalog.set_notes_stretches(false);
    listed(&catalog, &bucket, &all()).await;
    assert_eq!(catalog.check_stretches(bucket.id).await, 0);
    catalog.set_notes_stretches(true);
    listed(&catalog, &bucket, &all()).await;
    assert_eq!(catalog.check_stretches(bucket.id).await, 1);
    // Those that another has noted are kept true.
    catalog.set_notes_stretches(false);
    write(&catalog, &bucket, "c", false).await;
    assert_eq!(catalog.check_stretches(bucket.id).await, 2);
    assert_eq!(listed(&catalog, &bucket, &all()).await.0, [("c".to_owned(), false)]);
    // They are told as what is the catalog's own.
    assert!(
        catalog
            .inspect(None)
            .await
            .expect("records")
            .0
            .iter()
            .all(|row| !matches!(row, Inspected::Damaged { .. }))
    );
    for name in ["a", "b", "c", "c", "d", "e"] {
        delete_newest(&catalog, &bucket, name).await;
    }
    catalog.delete_bucket(&bucket).await.expect("a deletion");
    drain(&catalog).await;
    assert_eq!(catalog.check_stretches(bucket.id).await, 0);
}

#[tokio::test]
async fn stretches_that_cannot_be_read_are_forgotten() {
    for breaks_mark in [true, false] {
        for reads in [true, false] {
            let (catalog, bucket, kv) = versioned().await;
            for name in ["a", "b", "c", "d", "e"] {
                write(&catalog, &bucket, name, true).await;
            }
            listed(&catalog, &bucket, &all()).await;
            let range = KeyRange::prefix(layout::within(layout::BARE, bucket.id));
            let found = kv.scan(range.clone(), Direction::Forward, 10).await.expect("a scan");
            let (key, _) = &found[usize::from(!breaks_mark)];
            let writes = vec![Write::Put(key.clone(), b"\xffjunk".to_vec().into())];
            kv.commit(Transaction { conditions: Vec::new(), writes }).await.expect("a commit");
            if reads {
                assert_eq!(listed(&catalog, &bucket, &all()).await.0, []);
            }
            write(&catalog, &bucket, "c", false).await;
            assert_eq!(listed(&catalog, &bucket, &all()).await.0, [("c".to_owned(), false)]);
            catalog.check_stretches(bucket.id).await;
        }
    }
}
