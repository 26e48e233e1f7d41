//! Versions against a model: what S3 says of them, said plainly.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// The versions of one object, newest first: number, null, delete marker.
type Model = BTreeMap<&'static str, Vec<(u8, bool, bool)>>;

#[derive(Debug, Clone)]
enum Step {
    Put(&'static str),
    Mark(&'static str),
    Delete(&'static str, usize),
    DeleteNull(&'static str),
    Versioning(Versioning),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = || prop_oneof![Just("a"), Just("a/b"), Just("b")];
    let step = prop_oneof![
        4 => name().prop_map(Step::Put),
        2 => name().prop_map(Step::Mark),
        3 => (name(), 0_usize..6).prop_map(|(name, at)| Step::Delete(name, at)),
        1 => name().prop_map(Step::DeleteNull),
        1 => prop_oneof![Just(Versioning::Enabled), Just(Versioning::Suspended)].prop_map(Step::Versioning),
    ];
    prop::collection::vec(step, 0..40)
}

struct World {
    catalog: Catalog,
    bucket: Bucket,
    model: Model,
    ids: BTreeMap<u8, VersionId>,
    next: u8,
}

impl World {
    async fn step(&mut self, step: Step) {
        match step {
            Step::Versioning(versioning) => {
                let next = Bucket { versioning, ..self.bucket.clone() };
                self.catalog.replace_bucket(&self.bucket, &next).await.expect("a change");
                self.bucket = next;
            }
            Step::Put(name) => self.write(name, false).await,
            Step::Mark(name) if self.bucket.versioning == Versioning::Unversioned => {
                let (which, none) = (VersionRef::Current, Precondition::None);
                let usual = Authority::usual();
                self.catalog
                    .delete_version(&self.bucket, &object(name), which, &none, usual)
                    .await
                    .expect("a deletion");
                self.model.remove(name);
            }
            Step::Mark(name) => self.write(name, true).await,
            Step::Delete(name, at) => {
                let Some(&(number, false, _)) = self.model.get(name).and_then(|versions| versions.get(at))
                else {
                    return;
                };
                self.remove(name, VersionRef::Id(self.ids[&number]), |&(n, ..)| n == number).await;
            }
            Step::DeleteNull(name) => self.remove(name, VersionRef::Null, |&(_, null, _)| null).await,
        }
    }

    async fn write(&mut self, name: &'static str, marker: bool) {
        let is_null = self.bucket.versioning != Versioning::Enabled;
        self.next += 1;
        let mut version = ObjectVersion { is_null, ..version_in(blob(self.next)) };
        version.version = self.catalog.next_version_id(&self.bucket, &object(name)).await.expect("an id");
        if marker {
            version.kind = VersionKind::DeleteMarker;
        }
        self.ids.insert(self.next, version.version);
        self.catalog
            .commit_version(&self.bucket, &object(name), &version, &Precondition::None)
            .await
            .expect("a commit");
        let versions = self.model.entry(name).or_default();
        if is_null {
            versions.retain(|&(_, null, _)| !null);
        }
        versions.insert(0, (self.next, is_null, marker));
    }

    async fn remove(
        &mut self,
        name: &'static str,
        which: VersionRef,
        is: impl Fn(&(u8, bool, bool)) -> bool,
    ) {
        let deleted = self
            .catalog
            .delete_version(&self.bucket, &object(name), which, &Precondition::None, Authority::usual())
            .await
            .expect("a deletion");
        let versions = self.model.entry(name).or_default();
        assert_eq!(deleted.is_some(), versions.iter().any(&is));
        versions.retain(|version| !is(version));
    }

    async fn check(&self) {
        let expected: Vec<_> = self
            .model
            .iter()
            .flat_map(|(name, versions)| {
                versions
                    .iter()
                    .enumerate()
                    .map(move |(at, &(number, null, marker))| (*name, number, null, marker, at == 0))
            })
            .collect();
        for limit in [1, 2, 1000] {
            assert_eq!(self.listed(limit).await, expected);
        }
        for (name, number, null, marker, latest) in &expected {
            let which = if *null { VersionRef::Null } else { VersionRef::Id(self.ids[number]) };
            let found = self
                .catalog
                .version(&self.bucket, &object(name), which)
                .await
                .expect("a read")
                .expect("a version");
            assert_eq!((found.version, found.is_null), (self.ids[number], *null));
            assert_eq!(found.object().is_none(), *marker);
            if *latest {
                let current = self.catalog.current(&self.bucket, &object(name)).await.expect("a read");
                assert_eq!(current, Some(found.clone()));
            }
            // Its blob is alive, and none other of the object's.
            if let Some(record) = found.object() {
                let owner = BlobOwner::Content {
                    bucket: self.bucket.id,
                    object: object(name),
                    version: record.content.version,
                    part: None,
                };
                let state = self.catalog.owner_state(&owner, blob(*number).id).await.expect("a state");
                assert_eq!(state, OwnerState::Alive);
            }
        }
        let alive: Vec<BlobRef> = expected
            .iter()
            .filter(|(_, _, _, marker, _)| !marker)
            .map(|&(_, number, ..)| blob(number))
            .collect();
        let displaced = drain(&self.catalog).await;
        assert!(displaced.iter().all(|blob| !alive.contains(blob)), "a living blob was given up");
    }

    async fn listed(&self, limit: usize) -> Vec<(&'static str, u8, bool, bool, bool)> {
        let mut rows = Vec::new();
        let (mut after, mut after_version) = (None, None);
        loop {
            let request = ListRequest { prefix: String::new(), delimiter: None, after, limit };
            let page =
                self.catalog.list_versions(&self.bucket, &request, after_version).await.expect("a page");
            for row in &page.rows {
                let ListRow::Item(row) = row else { panic!("a prefix") };
                let number = *self.ids.iter().find(|(_, id)| **id == row.version).expect("an id").0;
                let name =
                    *self.model.keys().find(|name| **name == row.summary.object.as_str()).expect("a name");
                rows.push((name, number, row.is_null, row.delete_marker, row.is_latest));
            }
            match page.rows.last() {
                Some(ListRow::Item(last)) if page.truncated => {
                    after = Some(last.summary.object.to_string());
                    after_version =
                        Some(if last.is_null { VersionRef::Null } else { VersionRef::Id(last.version) });
                }
                _ => return rows,
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn versions_are_what_the_model_says(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let (catalog, bucket) = with_bucket().await;
            let mut world = World { catalog, bucket, model: Model::new(), ids: BTreeMap::new(), next: 0 };
            for step in steps {
                world.step(step).await;
                world.check().await;
            }
        });
    }
}

async fn versioned() -> (Catalog, Bucket) {
    let (catalog, bucket) = with_bucket().await;
    let enabled = Bucket { versioning: Versioning::Enabled, ..bucket.clone() };
    catalog.replace_bucket(&bucket, &enabled).await.expect("a change");
    (catalog, enabled)
}

#[tokio::test]
async fn of_two_versions_written_at_once_the_newer_id_is_current() {
    let (catalog, bucket) = versioned().await;
    let [slow, mut fast] = [1, 2].map(|number| ObjectVersion { is_null: false, ..version_in(blob(number)) });
    fast.version = VersionId::after(slow.version);
    let commit = async |version: &ObjectVersion, precondition| {
        catalog.commit_version(&bucket, &object("o"), version, &precondition).await
    };
    commit(&fast, Precondition::None).await.expect("a commit");
    assert!(matches!(commit(&slow, Precondition::Etag("*".into())).await, Err(CatalogError::Contended)));
    commit(&slow, Precondition::None).await.expect("a commit");
    assert_eq!(catalog.current(&bucket, &object("o")).await.expect("a read"), Some(fast.clone()));
    assert!(catalog.next_version_id(&bucket, &object("o")).await.expect("an id") < fast.version);
}

#[tokio::test]
async fn what_is_locked_is_neither_deleted_nor_loosened() {
    let (catalog, bucket) = versioned().await;
    let mut version = ObjectVersion { is_null: false, ..version_in(blob(1)) };
    let until = Timestamp(Timestamp::now().unix_ms() + 60_000);
    record_of(&mut version).lock.retention = Some(Retention { mode: RetentionMode::Governance, until });
    catalog.commit_version(&bucket, &object("o"), &version, &Precondition::None).await.expect("a commit");
    let delete = async |bypasses_governance| {
        let authority = Authority { bypasses_governance, ..Authority::usual() };
        let which = VersionRef::Id(version.version);
        catalog.delete_version(&bucket, &object("o"), which, &Precondition::None, authority).await
    };
    assert!(matches!(delete(false).await, Err(CatalogError::Locked)));
    let mut loose = version.clone();
    record_of(&mut loose).lock = Lock::default();
    let replaced = catalog.replace_version(&bucket, &object("o"), &version, &loose, Authority::usual()).await;
    assert!(matches!(replaced, Err(CatalogError::Locked)));
    assert!(delete(true).await.expect("a deletion").is_some());
}

#[tokio::test]
async fn a_bucket_with_versions_is_never_emptied_by_the_way() {
    let (catalog, bucket) = versioned().await;
    let usual = Authority::usual();
    let deleted =
        catalog.delete_version(&bucket, &object("o"), VersionRef::Current, &Precondition::None, usual).await;
    assert!(matches!(deleted, Err(CatalogError::Contended)));
    let null = catalog.commit_version(&bucket, &object("o"), &version_in(blob(1)), &Precondition::None).await;
    assert!(matches!(null, Err(CatalogError::Contended)), "it was meant for a bucket without versions");
}

#[tokio::test]
async fn a_rename_moves_the_record_and_no_blob() {
    let (catalog, bucket) = with_bucket().await;
    let former = put(&catalog, &bucket, "from", blob(1)).await;
    put(&catalog, &bucket, "to", blob(2)).await;
    let named = ObjectVersion { renamed: true, journal: Some(blob(9)), ..former.clone() };
    let rename = async |from: &str, was: &ObjectVersion, to: &str, is: &ObjectVersion, precondition| {
        catalog.rename(&bucket, (&object(from), was), (&object(to), is), &precondition).await
    };
    let absent = rename("from", &former, "to", &named, Precondition::Absent).await;
    assert!(matches!(absent, Err(CatalogError::PreconditionFailed)));
    rename("from", &former, "to", &named, Precondition::None).await.expect("a rename");
    let again = rename("from", &former, "to", &named, Precondition::None).await;
    assert!(matches!(again, Err(CatalogError::NoSuchKey)));
    assert_eq!(catalog.current(&bucket, &object("to")).await.expect("a read"), Some(named.clone()));
    assert_eq!(drain(&catalog).await, [blob(2)]);
    // Its blob still says the former name, and is found, moved and given up all the same.
    let owner =
        BlobOwner::Content { bucket: bucket.id, object: object("from"), version: former.version, part: None };
    assert_eq!(catalog.owner_state(&owner, blob(1).id).await.expect("a state"), OwnerState::Alive);
    assert!(catalog.relocate(&owner, blob(1), blob(3)).await.expect("a move"));
    // What is written under the former name is another object.
    put(&catalog, &bucket, "from", blob(4)).await;
    assert_eq!(catalog.owner_state(&owner, blob(3).id).await.expect("a state"), OwnerState::Alive);
    put(&catalog, &bucket, "to", blob(5)).await;
    assert_eq!(drain(&catalog).await, [blob(3), blob(9)]);
    assert_eq!(catalog.owner_state(&owner, blob(3).id).await.expect("a state"), OwnerState::Unknown);
}

#[tokio::test]
async fn what_became_current_is_not_deleted_as_one_that_is_not() {
    let (catalog, bucket) = versioned().await;
    let mut ids = Vec::new();
    for number in [1, 2] {
        let mut version = ObjectVersion { is_null: false, ..version_in(blob(number)) };
        version.version = catalog.next_version_id(&bucket, &object("o")).await.expect("an id");
        catalog.commit_version(&bucket, &object("o"), &version, &Precondition::None).await.expect("a commit");
        ids.push(version.version);
    }
    let delete = async |which| {
        let deleted = catalog
            .delete_version(&bucket, &object("o"), which, &Precondition::None, Authority::usual())
            .await;
        deleted.expect("a deletion").is_some()
    };
    assert!(!delete(VersionRef::Noncurrent(ids[1])).await, "it is the current one");
    assert!(delete(VersionRef::Id(ids[1])).await);
    assert!(!delete(VersionRef::Noncurrent(ids[0])).await, "it is by now");
    assert!(catalog.current(&bucket, &object("o")).await.expect("a read").is_some());
}

/// A catalog over a bucket with versions, for tasks that race.
async fn racing() -> (Catalog, Bucket) {
    let (catalog, bucket) = with_bucket().await;
    let versioned = Bucket { versioning: Versioning::Enabled, ..bucket.clone() };
    catalog.replace_bucket(&bucket, &versioned).await.expect("a change");
    (catalog, versioned)
}

async fn put_version(catalog: &Catalog, bucket: &Bucket, number: u8) -> VersionId {
    let mut version = ObjectVersion { is_null: false, ..version_in(blob(number)) };
    version.version = catalog.next_version_id(bucket, &object("raced")).await.expect("an id");
    catalog.commit_version(bucket, &object("raced"), &version, &Precondition::None).await.expect("a commit");
    version.version
}

async fn delete(catalog: &Catalog, bucket: &Bucket, id: VersionId) {
    let deleted = catalog
        .delete_version(bucket, &object("raced"), VersionRef::Id(id), &Precondition::None, Authority::usual())
        .await;
    deleted.expect("a deletion");
}

fn all() -> ListRequest {
    ListRequest { prefix: String::new(), delimiter: None, after: None, limit: 10 }
}

/// A version becomes the current one while it is looked for among the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn versions_of_one_object_that_are_deleted_at_once_are_all_gone() {
    let (catalog, bucket) = racing().await;
    for round in 0..3000 {
        let mut ids = Vec::new();
        for number in 1..5 {
            ids.push(put_version(&catalog, &bucket, number).await);
        }
        let deleting = ids.into_iter().rev().map(|id| {
            let (catalog, bucket) = (catalog.clone(), bucket.clone());
            tokio::spawn(async move { delete(&catalog, &bucket, id).await })
        });
        for one in deleting.collect::<Vec<_>>() {
            one.await.expect("a task");
        }
        let left = catalog.list_versions(&bucket, &all(), None).await;
        assert_eq!(left.expect("a page").rows.len(), 0, "round {round}");
    }
}

/// What is there all the while is listed once, whatever comes and goes before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_listing_beside_writes_shows_every_version_once() {
    let (catalog, bucket) = racing().await;
    let first = put_version(&catalog, &bucket, 1).await;
    let writer = tokio::spawn({
        let (catalog, bucket) = (catalog.clone(), bucket.clone());
        async move {
            for _ in 0..4000 {
                let id = put_version(&catalog, &bucket, 2).await;
                delete(&catalog, &bucket, id).await;
            }
        }
    });
    while !writer.is_finished() {
        let page = catalog.list_versions(&bucket, &all(), None).await.expect("a page");
        let ids = page.rows.iter().map(|row| match row {
            ListRow::Item(version) => version.version,
            ListRow::CommonPrefix(prefix) => panic!("{prefix}"),
        });
        let mut ids: Vec<VersionId> = ids.collect();
        assert_eq!(ids.iter().filter(|id| **id == first).count(), 1, "the first is listed once");
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count, "one version is listed twice");
    }
    writer.await.expect("a task");
}
