//! What counters tell against a full count.

use proptest::prelude::*;

use super::multipart::{completed, part_of, upload_of};
use super::*;
use crate::kv::{Key, KeyRange, Transaction, Write};

#[derive(Debug, Clone)]
enum Step {
    Put(&'static str, u8),
    Mark(&'static str),
    Delete(&'static str, usize),
    DeleteNull(&'static str),
    Versioning(Versioning),
    Replace(&'static str),
    Rename(&'static str, &'static str),
    Begin(&'static str),
    Part(usize, u16, u8),
    Complete(usize),
    Abort(usize),
    Damage(&'static str),
    DeleteBucket,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = || prop_oneof![Just("a"), Just("a/b"), Just("b")];
    let step = prop_oneof![
        6 => (name(), 1_u8..200).prop_map(|(name, len)| Step::Put(name, len)),
        2 => name().prop_map(Step::Mark),
        4 => (name(), 0_usize..6).prop_map(|(name, at)| Step::Delete(name, at)),
        1 => name().prop_map(Step::DeleteNull),
        1 => prop_oneof![Just(Versioning::Enabled), Just(Versioning::Suspended)].prop_map(Step::Versioning),
        1 => name().prop_map(Step::Replace),
        2 => (name(), name()).prop_map(|(from, to)| Step::Rename(from, to)),
        2 => name().prop_map(Step::Begin),
        6 => (0_usize..3, 1_u16..5, 1_u8..200).prop_map(|(at, number, len)| Step::Part(at, number, len)),
        2 => (0_usize..3).prop_map(Step::Complete),
        1 => (0_usize..3).prop_map(Step::Abort),
        1 => name().prop_map(Step::Damage),
        1 => Just(Step::DeleteBucket),
    ];
    prop::collection::vec(step, 0..60)
}

struct World {
    kv: Arc<MemoryKv>,
    catalog: Catalog,
    bucket: Bucket,
    uploads: Vec<(Upload, std::collections::BTreeMap<u16, Part>)>,
    next: u8,
}

impl World {
    async fn new() -> Self {
        let kv = Arc::new(MemoryKv::new());
        let catalog = Catalog::new(kv.clone());
        let bucket = bucket_named("some-bucket");
        catalog.create_bucket(&bucket).await.expect("a bucket");
        catalog.create_bucket(&bucket_named("another")).await.expect("a bucket");
        catalog.recount().await.expect("a count");
        Self { kv, catalog, bucket, uploads: Vec::new(), next: 0 }
    }

    fn version(&mut self, len: u8) -> ObjectVersion {
        self.next = self.next.wrapping_add(1);
        let mut version = version_in(blob(self.next));
        record_of(&mut version).plain_len = len.into();
        version.is_null = self.bucket.versioning != Versioning::Enabled;
        version
    }

    async fn all(&self, name: &str) -> Vec<(VersionId, bool)> {
        let request = ListRequest { prefix: name.to_owned(), delimiter: None, after: None, limit: 1000 };
        let page = self.catalog.list_versions(&self.bucket, &request, None).await.expect("a listing");
        let rows = page.rows.into_iter().filter_map(|row| match row {
            ListRow::Item(row) if row.summary.object.as_str() == name => Some((row.version, row.is_null)),
            _ => None,
        });
        rows.collect()
    }

    async fn step(&mut self, step: Step) {
        let (none, usual) = (Precondition::None, Authority::usual());
        // What is damaged is refused here and there: a refused change counts for nothing, which is what is looked at.
        match step {
            Step::Put(name, len) => {
                let mut version = self.version(len);
                let id = self.catalog.next_version_id(&self.bucket, &object(name)).await;
                version.version = id.expect("an id");
                record_of(&mut version).content.version = version.version;
                let _ = self.catalog.commit_version(&self.bucket, &object(name), &version, &none).await;
            }
            Step::Mark(name) if self.bucket.versioning == Versioning::Unversioned => {
                let which = VersionRef::Current;
                let _ = self.catalog.delete_version(&self.bucket, &object(name), which, &none, usual).await;
            }
            Step::Mark(name) => {
                let mut version = self.version(1);
                version.kind = VersionKind::DeleteMarker;
                version.version =
                    self.catalog.next_version_id(&self.bucket, &object(name)).await.expect("an id");
                let _ = self.catalog.commit_version(&self.bucket, &object(name), &version, &none).await;
            }
            Step::Delete(name, at) => {
                if let Some(&(id, _)) = self.all(name).await.get(at) {
                    let which = VersionRef::Noncurrent(id);
                    let _ =
                        self.catalog.delete_version(&self.bucket, &object(name), which, &none, usual).await;
                    let which = VersionRef::Id(id);
                    let _ =
                        self.catalog.delete_version(&self.bucket, &object(name), which, &none, usual).await;
                }
            }
            Step::DeleteNull(name) => {
                let which = VersionRef::Null;
                let _ = self.catalog.delete_version(&self.bucket, &object(name), which, &none, usual).await;
            }
            Step::Versioning(versioning) => {
                let next = Bucket { versioning, ..self.bucket.clone() };
                self.catalog.replace_bucket(&self.bucket, &next).await.expect("a change");
                self.bucket = next;
            }
            Step::Replace(name) => {
                let Ok(Some(found)) = self.catalog.current(&self.bucket, &object(name)).await else { return };
                if found.kind == VersionKind::DeleteMarker {
                    return;
                }
                let mut next = found.clone();
                record_of(&mut next).tags.push(("n".into(), self.next.to_string()));
                self.catalog
                    .replace_version(&self.bucket, &object(name), &found, &next, usual)
                    .await
                    .expect("a change");
            }
            Step::Rename(from, to) => {
                let Ok(Some(found)) = self.catalog.current(&self.bucket, &object(from)).await else { return };
                let renamed = ObjectVersion { renamed: true, ..found.clone() };
                let (from, to) = (object(from), object(to));
                if from != to {
                    let _ = self.catalog.rename(&self.bucket, (&from, &found), (&to, &renamed), &none).await;
                }
            }
            Step::Begin(name) if self.uploads.len() < 3 => {
                let upload = upload_of(name);
                self.catalog.create_upload(&self.bucket, &upload).await.expect("an upload");
                self.uploads.push((upload, Default::default()));
            }
            Step::Begin(_) => {}
            Step::Part(at, number, len) => {
                self.next = self.next.wrapping_add(1);
                let Some((upload, parts)) = self.uploads.get_mut(at) else { return };
                let part = part_of(number, len.into(), blob(self.next));
                self.catalog.put_part(&self.bucket, upload, &part).await.expect("a part");
                parts.insert(number, part);
            }
            Step::Complete(at) if at < self.uploads.len() => {
                let (upload, parts) = self.uploads.remove(at);
                // Not all are named.
                let parts: Vec<Part> = parts.into_values().take(2).collect();
                let mut version = completed(&upload, &parts);
                version.is_null = self.bucket.versioning != Versioning::Enabled;
                record_of(&mut version).plain_len = parts.iter().map(|part| part.plain_len).sum();
                let done = self.catalog.complete_upload(&self.bucket, &upload, &parts, &version, &none).await;
                if done.is_err() {
                    let _ = self.catalog.abort_upload(&self.bucket, &upload.object, upload.id).await;
                }
            }
            Step::Complete(_) => {}
            Step::Abort(at) if at < self.uploads.len() => {
                let (upload, _) = self.uploads.remove(at);
                self.catalog.abort_upload(&self.bucket, &upload.object, upload.id).await.expect("it ends");
            }
            Step::Abort(_) => {}
            Step::Damage(name) => {
                let key = layout::head(self.bucket.id, &object(name));
                if self.kv.get(std::slice::from_ref(&key)).await.expect("a read")[0].is_some() {
                    let writes = vec![Write::Put(key, Key::from_static(b"\xff damaged"))];
                    self.kv.commit(Transaction { conditions: vec![], writes }).await.expect("a commit");
                }
            }
            Step::DeleteBucket => {
                if self.catalog.delete_bucket(&self.bucket).await.is_ok() {
                    drain(&self.catalog).await;
                    self.bucket = bucket_named("some-bucket");
                    self.catalog.create_bucket(&self.bucket).await.expect("a bucket");
                    self.uploads.clear();
                }
            }
        }
    }

    /// Counters tell what there is, or say that they do not.
    async fn check(&self, damaged: bool) {
        let count = self.catalog.count().await.expect("a count");
        assert_eq!(count.was_counted, self.catalog.is_counted().await.expect("a read"));
        // Until something is done with it, nobody has noticed that a record was damaged.
        if count.was_counted && !damaged {
            assert_eq!(count.differences, []);
        }
        let mut of_buckets = Usage::default();
        self.catalog
            .usage_of_buckets()
            .await
            .expect("a read")
            .values()
            .for_each(|usage| of_buckets.add(usage));
        if count.was_counted && !damaged {
            let of_account = self.catalog.account_usage("111122223333").await.expect("a read");
            assert_eq!(of_account, of_buckets);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn counters_tell_what_a_full_count_does(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut world = World::new().await;
            let mut damaged = false;
            for step in steps {
                damaged |= matches!(step, Step::Damage(_));
                world.step(step).await;
                world.check(damaged).await;
            }
            world.catalog.recount().await.expect("a count");
            world.check(false).await;
            assert!(world.catalog.is_counted().await.expect("a read"));
        });
    }

    /// Records of an earlier build, which counted nothing.
    #[test]
    fn what_was_not_counted_is_counted_by_a_recount(before in steps(), after in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in before {
                world.step(step).await;
            }
            let range = KeyRange::prefix(vec![layout::COUNTER]);
            let counters = world.kv.scan(range, crate::kv::Direction::Forward, 1000).await.expect("a scan");
            let writes = counters.into_iter().map(|(key, _)| Write::Delete(key)).collect();
            world.kv.commit(Transaction { conditions: vec![], writes }).await.expect("a commit");
            assert!(!world.catalog.is_counted().await.expect("a read"));
            let mut damaged = false;
            for (number, step) in after.into_iter().enumerate() {
                if number == 10 {
                    world.catalog.recount().await.expect("a count");
                    damaged = false;
                }
                damaged |= matches!(step, Step::Damage(_));
                world.step(step).await;
                world.check(damaged).await;
            }
            world.catalog.recount().await.expect("a count");
            world.check(false).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_recount_beside_racing_writers_is_exact() {
    let catalog = Catalog::new(Arc::new(MemoryKv::new()));
    let bucket = bucket_named("some-bucket");
    catalog.create_bucket(&bucket).await.expect("a bucket");
    for number in 0..50 {
        put(&catalog, &bucket, &format!("before/{number}"), blob(number)).await;
    }
    let range = KeyRange::prefix(vec![layout::COUNTER]);
    let counters = catalog.kv.scan(range, crate::kv::Direction::Forward, 1000).await.expect("a scan");
    let writes = counters.into_iter().map(|(key, _)| Write::Delete(key)).collect();
    catalog.kv.commit(Transaction { conditions: vec![], writes }).await.expect("a commit");
    let writers: Vec<_> = (0..8_u8)
        .map(|writer| {
            let (catalog, bucket) = (catalog.clone(), bucket.clone());
            tokio::spawn(async move {
                for number in 0..100_u8 {
                    put(&catalog, &bucket, &format!("{writer}/{}", number % 7), blob(number)).await;
                    put(&catalog, &bucket, &format!("before/{}", number % 50), blob(writer)).await;
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for _ in 0..20 {
        match catalog.recount().await {
            Ok(_) | Err(CatalogError::Contended) => {}
            Err(error) => panic!("{error}"),
        }
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.expect("a writer");
    }
    let count = catalog.count().await.expect("a count");
    assert!(count.was_counted);
    assert_eq!(count.differences, []);
    assert_eq!(catalog.usage(bucket.id).await.expect("a read").objects, 50 + 8 * 7);
}

#[tokio::test]
async fn what_an_earlier_build_wrote_in_between_is_counted_anew() {
    use crate::session::SessionId;
    let kv = Arc::new(MemoryKv::new());
    let begin = async |number: u32| {
        let catalog = Catalog::new(kv.clone());
        catalog.begin_session(SessionId(number), None).await.expect("a session");
        catalog
    };
    let catalog = begin(1).await;
    catalog.recount().await.expect("a count");
    assert!(begin(2).await.is_counted().await.expect("a read"));
    // An earlier build knows nothing of counters: it begins a session, and leaves it as it is.
    let catalog = begin(3).await;
    let theirs = kv.get(&[layout::COUNTS]).await.expect("a read").remove(0).expect("it is there").value;
    catalog
        .kv
        .commit(Transaction {
            conditions: vec![],
            writes: vec![Write::Put(layout::COUNTS, Key::from_static(&[0, 0, 0, 2]))],
        })
        .await
        .expect("a commit");
    assert_eq!(theirs, &[0, 0, 0, 3][..]);
    assert!(catalog.is_counted().await.expect("a read"));
    assert!(!begin(4).await.is_counted().await.expect("a read"));
}

#[tokio::test]
async fn quotas_hold_for_buckets_and_accounts_and_let_shrink() {
    let (catalog, bucket) = with_bucket().await;
    let limited = |quota: u64| {
        let mut bucket = bucket.clone();
        bucket.configs.insert(QUOTA_SETTING.to_owned(), quota_value(quota));
        bucket
    };
    let with_quota = limited(300);
    catalog.replace_bucket(&bucket, &with_quota).await.expect("a change");
    put(&catalog, &with_quota, "a", blob(1)).await;
    put(&catalog, &with_quota, "b", blob(2)).await;
    let refused = async |bucket: &Bucket, name: &str, number: u8| {
        let (version, none) = (version_in(blob(number)), Precondition::None);
        match catalog.commit_version(bucket, &object(name), &version, &none).await {
            Err(CatalogError::QuotaExceeded(of)) => Some(of),
            done => {
                done.expect("a commit");
                None
            }
        }
    };
    assert_eq!(refused(&with_quota, "c", 3).await, Some(QuotaOf::Bucket));
    // 101 + 102 bytes are there: one may grow by 97.
    assert_eq!(refused(&with_quota, "a", 98).await, None);
    assert_eq!(refused(&with_quota, "a", 99).await, Some(QuotaOf::Bucket));
    let less = limited(10);
    catalog.replace_bucket(&with_quota, &less).await.expect("a change");
    assert_eq!(refused(&less, "a", 5).await, None, "what shrinks is let");
    let room = async |len, freed| catalog.expect_room(&less, len, async move { Ok(freed) }).await.is_ok();
    assert!(!room(1, 0).await && room(0, 0).await && room(10, 10).await && !room(10, 9).await);

    let upload = upload_of("m");
    catalog.create_upload(&less, &upload).await.expect("an upload");
    let part = catalog.put_part(&less, &upload, &part_of(1, 5, blob(9))).await;
    assert!(matches!(part, Err(CatalogError::QuotaExceeded(QuotaOf::Bucket))));
    let free = limited(1000);
    catalog.replace_bucket(&less, &free).await.expect("a change");
    let parts = [part_of(1, 50, blob(9))];
    catalog.put_part(&free, &upload, &parts[0]).await.expect("there is room");
    catalog.set_account_quota(&bucket.owner, Some(207 + 50)).await.expect("a commit");
    assert_eq!(catalog.account_quotas().await.expect("a read").len(), 1);
    assert_eq!(refused(&free, "z", 0).await, Some(QuotaOf::Account));
    // What is uploaded already is completed, whatever there is beside it.
    let mut version = completed(&upload, &parts);
    record_of(&mut version).plain_len = 50;
    catalog
        .complete_upload(&free, &upload, &parts, &version, &Precondition::None)
        .await
        .expect("it completes");
    catalog.set_account_quota(&bucket.owner, None).await.expect("a commit");
    assert_eq!(refused(&free, "z", 0).await, None);
    assert_eq!(catalog.account_usage(&bucket.owner).await.expect("a read").bytes, 207 + 50 + 100);
}
