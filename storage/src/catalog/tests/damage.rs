use super::*;
use crate::kv::{Entry, Key, KeyRange, KeyValue, KvError, Transaction, Write};

/// An engine over another that can't read what begins so, as a decorator that opens seals.
struct Opening {
    inner: MemoryKv,
}

const ROTTEN: &[u8] = b"rotten";

impl Opening {
    async fn rot(&self, key: &Key) {
        let writes = vec![Write::Put(key.clone(), ROTTEN.into())];
        self.inner.commit(Transaction { conditions: vec![], writes }).await.expect("a commit");
    }
}

fn opened(entry: Entry) -> Entry {
    if entry.value == ROTTEN { Entry::damaged(entry.revision) } else { entry }
}

#[async_trait::async_trait]
impl KeyValue for Opening {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, KvError> {
        Ok(self.inner.get(keys).await?.into_iter().map(|entry| entry.map(opened)).collect())
    }

    async fn scan(
        &self,
        range: KeyRange,
        direction: crate::kv::Direction,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, KvError> {
        let found = self.inner.scan(range, direction, limit).await?;
        Ok(found.into_iter().map(|(key, entry)| (key, opened(entry))).collect())
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        self.inner.commit(transaction).await
    }

    async fn snapshot(&self) -> Result<Box<dyn crate::kv::Snapshot>, KvError> {
        self.inner.snapshot().await
    }

    async fn verify(&self) -> Result<u64, KvError> {
        self.inner.verify().await
    }

    fn standing(&self) -> crate::kv::Standing {
        self.inner.standing()
    }
}

async fn world(versioning: Versioning, configs: &[&str]) -> (Arc<Opening>, Catalog, Bucket) {
    let kv = Arc::new(Opening { inner: MemoryKv::new() });
    let catalog = Catalog::new(kv.clone());
    let mut bucket = Bucket { versioning, ..bucket_named("some-bucket") };
    bucket.configs.extend(configs.iter().map(|name| ((*name).to_owned(), Bytes::new())));
    catalog.create_bucket(&bucket).await.expect("a bucket");
    (kv, catalog, bucket)
}

fn every(name: &str) -> ListRequest {
    ListRequest { prefix: name.into(), delimiter: None, after: None, limit: 1000 }
}

async fn listed(catalog: &Catalog, bucket: &Bucket) -> Vec<String> {
    let page = catalog.list_objects(bucket, &every("")).await.expect("a page");
    let names = page.rows.iter().map(|row| match row {
        ListRow::Item(row) => row.object.to_string(),
        ListRow::CommonPrefix(prefix) => prefix.clone(),
    });
    names.collect()
}

#[tokio::test]
async fn a_damaged_record_hides_no_other_and_can_be_deleted_and_overwritten() {
    let (kv, catalog, bucket) = world(Versioning::Unversioned, &[]).await;
    for (name, number) in [("a", 1), ("b", 2), ("c", 3)] {
        put(&catalog, &bucket, name, blob(number)).await;
    }
    let key = layout::head(bucket.id, &object("b"));
    for overwrites in [true, false] {
        kv.rot(&key).await;
        assert_eq!(listed(&catalog, &bucket).await, ["a", "c"]);
        let versions = catalog.list_versions(&bucket, &every(""), None).await.expect("a page");
        assert_eq!(versions.rows.len(), 2);
        assert_eq!(catalog.damaged_records_met(), 1);
        assert!(matches!(catalog.current(&bucket, &object("b")).await, Err(CatalogError::Corrupt(_))));
        // It is not absent, and nobody knows what it was like.
        let version = version_in(blob(4));
        for precondition in [Precondition::Absent, Precondition::Etag("*".into())] {
            let refused = catalog.commit_version(&bucket, &object("b"), &version, &precondition).await;
            assert!(matches!(refused, Err(CatalogError::Corrupt(_))), "{precondition:?}");
            let deleted = catalog
                .delete_version(&bucket, &object("b"), VersionRef::Current, &precondition, Authority::usual())
                .await;
            assert!(matches!(deleted, Err(CatalogError::Corrupt(_))), "{precondition:?}");
        }
        let owner = BlobOwner::Content {
            bucket: bucket.id,
            object: object("b"),
            version: version.version,
            part: None,
        };
        assert_eq!(catalog.owner_state(&owner, blob(2).id).await.expect("a state"), OwnerState::Unreadable);
        if overwrites {
            let version = put(&catalog, &bucket, "b", blob(4)).await;
            assert_eq!(catalog.current(&bucket, &object("b")).await.expect("a read"), Some(version));
        } else {
            catalog
                .delete_version(
                    &bucket,
                    &object("b"),
                    VersionRef::Current,
                    &Precondition::None,
                    Authority::usual(),
                )
                .await
                .expect("a deletion");
            assert_eq!(catalog.current(&bucket, &object("b")).await.expect("a read"), None);
        }
        assert_eq!(drain(&catalog).await, [], "what it referred to was displaced by nothing that is known");
    }
    assert_eq!(listed(&catalog, &bucket).await, ["a", "c"]);
}

#[tokio::test]
async fn what_object_lock_may_protect_stays() {
    for (configs, stays) in [(&[][..], false), (&[LOCK_SETTING][..], true)] {
        let (kv, catalog, bucket) = world(Versioning::Enabled, configs).await;
        let mut ids = Vec::new();
        for number in 1..=3 {
            let mut version = ObjectVersion { is_null: false, ..version_in(blob(number)) };
            version.version = catalog.next_version_id(&bucket, &object("o")).await.expect("an id");
            ids.push(version.version);
            catalog
                .commit_version(&bucket, &object("o"), &version, &Precondition::None)
                .await
                .expect("a commit");
        }
        kv.rot(&layout::version(bucket.id, &object("o"), ids[1])).await;
        let delete = async |which| {
            catalog
                .delete_version(&bucket, &object("o"), which, &Precondition::None, Authority::usual())
                .await
        };
        let deleted = delete(VersionRef::Id(ids[1])).await;
        assert_eq!(matches!(deleted, Err(CatalogError::Locked)), stays, "{deleted:?}");
        assert_eq!(deleted.is_ok(), !stays);
        kv.rot(&layout::head(bucket.id, &object("o"))).await;
        // Which version the current one is, nobody knows: none is deleted for it.
        let unknown = delete(VersionRef::Id(ids[2])).await;
        assert!(matches!(unknown, Err(CatalogError::Corrupt(_))), "{unknown:?}");
        // Those behind it are there as before.
        let found = catalog.version(&bucket, &object("o"), VersionRef::Id(ids[0])).await.expect("a read");
        assert_eq!(found.expect("a version").version, ids[0]);
        let mut next = ObjectVersion { is_null: false, ..version_in(blob(9)) };
        next.version = catalog.next_version_id(&bucket, &object("o")).await.expect("an id");
        let put = catalog.commit_version(&bucket, &object("o"), &next, &Precondition::None).await;
        assert_eq!(matches!(put, Err(CatalogError::Locked)), stays, "{put:?}");
        if !stays {
            let versions = catalog.list_versions(&bucket, &every(""), None).await.expect("a page");
            let ids_now = versions.rows.iter().map(|row| match row {
                ListRow::Item(row) => row.version,
                ListRow::CommonPrefix(_) => panic!("no delimiter was asked for"),
            });
            assert_eq!(ids_now.collect::<Vec<_>>(), [next.version, ids[0]]);
        }
    }
}

#[tokio::test]
async fn a_null_version_beside_a_damaged_current_one_is_found_and_replaced() {
    let (kv, catalog, bucket) = world(Versioning::Unversioned, &[]).await;
    let null = put(&catalog, &bucket, "o", blob(1)).await;
    let enabled = Bucket { versioning: Versioning::Enabled, ..bucket.clone() };
    catalog.replace_bucket(&bucket, &enabled).await.expect("a change");
    let mut version = ObjectVersion { is_null: false, ..version_in(blob(2)) };
    version.version = catalog.next_version_id(&enabled, &object("o")).await.expect("an id");
    catalog.commit_version(&enabled, &object("o"), &version, &Precondition::None).await.expect("a commit");
    let head = layout::head(bucket.id, &object("o"));
    kv.rot(&head).await;
    let found = catalog.version(&enabled, &object("o"), VersionRef::Null).await.expect("a read");
    assert_eq!(found.as_ref().map(|found| found.version), Some(null.version));
    let mut next = ObjectVersion { is_null: false, ..version_in(blob(3)) };
    next.version = catalog.next_version_id(&enabled, &object("o")).await.expect("an id");
    catalog.commit_version(&enabled, &object("o"), &next, &Precondition::None).await.expect("a commit");
    let found = catalog.version(&enabled, &object("o"), VersionRef::Null).await.expect("a read");
    assert_eq!(found.map(|found| found.version), Some(null.version));
    kv.rot(&head).await;
    let suspended = Bucket { versioning: Versioning::Suspended, ..enabled.clone() };
    catalog.replace_bucket(&enabled, &suspended).await.expect("a change");
    put(&catalog, &suspended, "o", blob(4)).await;
    assert_eq!(drain(&catalog).await, [blob(1)], "the null version was overwritten");
    let versions = catalog.list_versions(&suspended, &every(""), None).await.expect("a page");
    assert_eq!(versions.rows.len(), 1);
}

#[tokio::test]
async fn every_kind_of_damaged_record_is_told_by_name() {
    use super::multipart::{part_of, upload_of};
    let (kv, catalog, bucket) = world(Versioning::Unversioned, &[]).await;
    put(&catalog, &bucket, "o", blob(1)).await;
    put(&catalog, &bucket, "o", blob(2)).await;
    let upload = upload_of("u");
    catalog.create_upload(&bucket, &upload).await.expect("an upload");
    catalog.put_part(&bucket, &upload, &part_of(3, 9, blob(8))).await.expect("a part");
    let value = Some(Bytes::from_static(b"v"));
    catalog
        .change_documents("shelf", ShelfState::default(), vec![("name".into(), value)])
        .await
        .expect("a document");
    let (rows, next) = catalog.inspect(None).await.expect("a look");
    assert!(next.is_none() && !rows.iter().any(|row| matches!(row, Inspected::Damaged { .. })), "{rows:#?}");
    let all = kv.inner.scan(KeyRange { start: Key::new(), end: None }, crate::kv::Direction::Forward, 100);
    let all = all.await.expect("a scan");
    assert_eq!(all.len(), rows.len());
    for (key, _) in &all {
        kv.rot(key).await;
    }
    let (rows, _) = catalog.inspect(None).await.expect("a look");
    let names: Vec<&str> = rows
        .iter()
        .map(|row| match row {
            Inspected::Damaged { name, why: "its seal does not open", .. } => name.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    let bucket_id = bucket.id.to_string();
    for part in [
        "bucket some-bucket",
        "an entry of the queue",
        &format!("the current version of \"o\" in bucket {bucket_id}"),
        "the state of shelf shelf",
        "document \"name\" of shelf shelf",
        "part 3 of version",
        &format!("of \"u\" in bucket {bucket_id}"),
    ] {
        assert!(names.iter().any(|name| name.contains(part)), "{part}: {names:#?}");
    }
    // Nothing takes them for something else.
    assert!(matches!(catalog.bucket(&bucket.name).await, Err(CatalogError::Corrupt(_))));
    assert!(catalog.list_buckets(None, &every("")).await.expect("a page").rows.is_empty());
    assert!(catalog.documents("shelf").await.is_err());
    assert!(catalog.upload(&bucket, &object("u"), upload.id).await.is_err());
    assert!(catalog.dump(None).await.is_err());
    assert_eq!(drain(&catalog).await, []);
    // An upload whose record is damaged can be ended.
    catalog.abort_upload(&bucket, &object("u"), upload.id).await.expect("an end");
}
