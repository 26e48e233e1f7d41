//! The catalog over the map in memory; what every engine does is checked by the engines' contract.

mod bare;
mod damage;
mod documents;
mod golden;
mod inline;
mod listing;
mod multipart;
mod rebuild;
mod usage;
mod versions;

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::blob::{BlobOwner, BlobRef, StoredLen};
use crate::kv::memory::MemoryKv;
use crate::name::{BlobId, BucketId, BucketName, MessageSalt, ObjectKey, Timestamp, UploadId, VersionId};

const LATER: Timestamp = Timestamp(u64::MAX);

async fn with_bucket() -> (Catalog, Bucket) {
    let catalog = Catalog::new(Arc::new(MemoryKv::new()));
    let bucket = bucket_named("some-bucket");
    catalog.create_bucket(&bucket).await.expect("a bucket");
    (catalog, bucket)
}

fn bucket_named(name: &str) -> Bucket {
    Bucket {
        name: BucketName::parse(name).expect("a name"),
        id: BucketId::random(),
        owner: "111122223333".into(),
        created: Timestamp(5),
        region: "us-east-1".into(),
        versioning: Versioning::Unversioned,
        configs: [("encryption".to_owned(), b"c".to_vec().into())].into(),
        journal: None,
    }
}

fn blob(number: u8) -> BlobRef {
    BlobRef { id: BlobId::from_bytes([number; 16]), stored_len: StoredLen(100 + u64::from(number)) }
}

/// Which sending the blob is: as the trailer that is its own has it too.
fn salt_of(blob: BlobRef) -> MessageSalt {
    MessageSalt::from_bytes([blob.id.as_bytes()[0]; 24])
}

fn object(name: &str) -> ObjectKey {
    ObjectKey::parse(name).expect("a name")
}

fn version_in(blob: BlobRef) -> ObjectVersion {
    let id = VersionId::now();
    let record = ObjectRecord {
        plain_len: blob.stored_len.0,
        etag: hex::encode(blob.id.as_bytes()),
        headers: SystemHeaders { content_type: Some("text/plain".into()), ..SystemHeaders::default() },
        user_metadata: vec![("b".into(), "2".into()), ("a".into(), "1".into())],
        checksum: Some(StoredChecksum {
            algorithm: "CRC32".into(),
            composite: false,
            value: "AAAAAA==".into(),
        }),
        storage_class: "STANDARD".into(),
        tags: vec![("t".into(), "é".into())],
        lock: Lock::default(),
        attributes: Default::default(),
        envelope: b"wrapped".to_vec().into(),
        content: Content { version: id, layout: Layout::Single(blob), salt: Some(salt_of(blob)) },
    };
    ObjectVersion {
        version: id,
        is_null: true,
        last_modified: Timestamp(7),
        kind: VersionKind::Object(Box::new(record)),
        renamed: false,
        journal: None,
    }
}

fn record_of(version: &mut ObjectVersion) -> &mut ObjectRecord {
    match &mut version.kind {
        VersionKind::Object(record) => record,
        VersionKind::DeleteMarker => panic!("a delete marker"),
    }
}

async fn put(catalog: &Catalog, bucket: &Bucket, name: &str, blob: BlobRef) -> ObjectVersion {
    let version = version_in(blob);
    catalog.commit_version(bucket, &object(name), &version, &Precondition::None).await.expect("a commit");
    version
}

/// Everything displaced, as if its blobs were deleted.
async fn drain(catalog: &Catalog) -> Vec<BlobRef> {
    let mut blobs = Vec::new();
    for _ in 0..200 {
        let displaced = catalog.next_displaced(LATER, 100).await.expect("a queue");
        blobs.extend(displaced.iter().flat_map(|displaced| displaced.blobs.iter().copied()));
        catalog.forget_displaced(displaced).await.expect("a queue");
    }
    blobs.sort_by_key(|blob| blob.id);
    blobs
}

#[tokio::test]
async fn a_version_reads_back_whole_and_displaces_what_it_replaces() {
    let (catalog, bucket) = with_bucket().await;
    let first = put(&catalog, &bucket, "o", blob(1)).await;
    assert_eq!(catalog.current(&bucket, &object("o")).await.expect("a read"), Some(first));
    let second = put(&catalog, &bucket, "o", blob(2)).await;
    assert_eq!(drain(&catalog).await, [blob(1)]);
    let deleted = catalog
        .delete_version(&bucket, &object("o"), VersionRef::Current, &Precondition::None, Authority::usual())
        .await
        .expect("a deletion");
    assert_eq!(deleted, Some(second));
    assert_eq!(drain(&catalog).await, [blob(2)]);
    let again = catalog
        .delete_version(&bucket, &object("o"), VersionRef::Current, &Precondition::None, Authority::usual())
        .await
        .expect("a deletion");
    assert_eq!(again, None);
    assert_eq!(drain(&catalog).await, []);
}

#[tokio::test]
async fn preconditions_judge_the_current_object() {
    let (catalog, bucket) = with_bucket().await;
    let (name, version) = (object("o"), version_in(blob(1)));
    let etag = Precondition::Etag(hex::encode(blob(1).id.as_bytes()));
    let commit = async |precondition: &Precondition| {
        catalog.commit_version(&bucket, &name, &version, precondition).await
    };
    assert!(matches!(commit(&etag).await, Err(CatalogError::NoSuchKey)));
    commit(&Precondition::Absent).await.expect("it is absent");
    assert!(matches!(commit(&Precondition::Absent).await, Err(CatalogError::PreconditionFailed)));
    assert!(matches!(commit(&Precondition::Etag("x".into())).await, Err(CatalogError::PreconditionFailed)));
    commit(&etag).await.expect("the ETag fits");
    commit(&Precondition::Etag("*".into())).await.expect("there is one");
    let wrong = catalog
        .delete_version(
            &bucket,
            &name,
            VersionRef::Current,
            &Precondition::Etag("x".into()),
            Authority::usual(),
        )
        .await;
    assert!(matches!(wrong, Err(CatalogError::PreconditionFailed)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_racing_creators_one_wins_and_racing_overwriters_leave_no_blob_behind() {
    let (catalog, bucket) = with_bucket().await;
    let race = async |precondition: Precondition| {
        let tasks = (1..=64).map(|number| {
            let (catalog, bucket, precondition) = (catalog.clone(), bucket.clone(), precondition.clone());
            tokio::spawn(async move {
                catalog.commit_version(&bucket, &object("o"), &version_in(blob(number)), &precondition).await
            })
        });
        let mut won = 0;
        for task in tasks.collect::<Vec<_>>() {
            match task.await.expect("a task") {
                Ok(()) => won += 1,
                Err(CatalogError::PreconditionFailed) => {}
                Err(error) => panic!("{error}"),
            }
        }
        won
    };
    assert_eq!(race(Precondition::Absent).await, 1);
    assert_eq!(race(Precondition::None).await, 64);
    assert_eq!(drain(&catalog).await.len(), 64);
}

#[tokio::test]
async fn a_pinned_content_is_not_handed_out() {
    let (catalog, bucket) = with_bucket().await;
    let first = put(&catalog, &bucket, "o", blob(1)).await;
    let (pin, other_pin) = (catalog.pin(first.version), catalog.pin(first.version));
    put(&catalog, &bucket, "o", blob(2)).await;
    drop(other_pin);
    assert_eq!(drain(&catalog).await, []);
    drop(pin);
    let now = Timestamp::now();
    assert_eq!(catalog.next_displaced(Timestamp(now.0 - 60_000), 10).await.expect("a queue"), []);
    assert_eq!(drain(&catalog).await, [blob(1)]);
}

#[tokio::test]
async fn a_change_in_place_keeps_the_content_and_displaces_the_former_journal() {
    let (catalog, bucket) = with_bucket().await;
    let first = put(&catalog, &bucket, "o", blob(1)).await;
    let mut second = ObjectVersion { journal: Some(blob(7)), ..first.clone() };
    record_of(&mut second).tags = vec![];
    let replace = async |expected: &ObjectVersion, version: &ObjectVersion| {
        catalog.replace_version(&bucket, &object("o"), expected, version, Authority::usual()).await
    };
    assert!(matches!(replace(&second, &second).await, Err(CatalogError::Contended)));
    // The blob moves between the read and the change: the record's place for it holds.
    let owner =
        BlobOwner::Content { bucket: bucket.id, object: object("o"), version: first.version, part: None };
    assert!(catalog.relocate(&owner, blob(1), blob(3)).await.expect("a move"));
    assert!(!catalog.relocate(&owner, blob(1), blob(4)).await.expect("a move"));
    replace(&first, &second).await.expect("it is expected");
    let mut third = ObjectVersion { journal: Some(blob(8)), ..second.clone() };
    replace(&second, &third).await.expect("it is expected");
    assert_eq!(drain(&catalog).await, [blob(7)]);
    record_of(&mut third).content.layout = Layout::Single(blob(3));
    assert_eq!(catalog.current(&bucket, &object("o")).await.expect("a read"), Some(third));
    catalog
        .delete_version(&bucket, &object("o"), VersionRef::Current, &Precondition::None, Authority::usual())
        .await
        .expect("a deletion");
    assert_eq!(drain(&catalog).await, [blob(3), blob(8)]);
}

#[tokio::test]
async fn owners_tell_which_blobs_live() {
    let (catalog, bucket) = with_bucket().await;
    let version = put(&catalog, &bucket, "o", blob(1)).await;
    let content =
        |version| BlobOwner::Content { bucket: bucket.id, object: object("o"), version, part: None };
    let state =
        async |owner: &BlobOwner, id: BlobRef| catalog.owner_state(owner, id.id).await.expect("an answer");
    assert_eq!(state(&content(version.version), blob(1)).await, OwnerState::Alive);
    assert_eq!(state(&content(version.version), blob(2)).await, OwnerState::Dead);
    let other = VersionId::now();
    assert_eq!(state(&content(other), blob(2)).await, OwnerState::Unknown);
    let pin = catalog.pin(other);
    assert_eq!(state(&content(other), blob(2)).await, OwnerState::Alive);
    drop(pin);
    let journal = Trailer::Bucket(bucket.clone()).owner();
    assert_eq!(state(&journal, blob(9)).await, OwnerState::Unknown);
    catalog
        .replace_bucket(&bucket, &Bucket { journal: Some(blob(9)), ..bucket.clone() })
        .await
        .expect("a change");
    assert_eq!(state(&journal, blob(9)).await, OwnerState::Alive);
    assert!(catalog.relocate(&journal, blob(9), blob(10)).await.expect("a move"));
    assert_eq!(state(&journal, blob(10)).await, OwnerState::Alive);
}

#[tokio::test]
async fn buckets_are_made_changed_listed_and_deleted() {
    let (catalog, bucket) = with_bucket().await;
    let twin = Bucket { id: BucketId::random(), ..bucket.clone() };
    assert!(
        matches!(catalog.create_bucket(&twin).await, Err(CatalogError::BucketExists { owner }) if owner == bucket.owner)
    );
    let mut changed = bucket.clone();
    changed.configs.insert("policy".into(), b"p".to_vec().into());
    catalog.replace_bucket(&bucket, &changed).await.expect("a change");
    assert_eq!(catalog.bucket(&bucket.name).await.expect("a bucket"), changed);
    let stale = catalog.replace_bucket(&bucket, &twin).await;
    assert!(matches!(stale, Err(CatalogError::Contended)));

    for name in ["another", "some-bucket-2", "zzz"] {
        let owner = if name == "zzz" { "444455556666" } else { "111122223333" };
        catalog.create_bucket(&Bucket { owner: owner.into(), ..bucket_named(name) }).await.expect("a bucket");
    }
    let list = async |owner, prefix: &str, after: Option<&str>, limit| {
        let request =
            ListRequest { prefix: prefix.into(), delimiter: None, after: after.map(Into::into), limit };
        let page = catalog.list_buckets(owner, &request).await.expect("a page");
        let names = page.rows.into_iter().map(|row| match row {
            ListRow::Item(bucket) => bucket.name.to_string(),
            ListRow::CommonPrefix(_) => panic!("buckets are not rolled up"),
        });
        (names.collect::<Vec<_>>().join(" "), page.truncated)
    };
    assert_eq!(list(None, "", None, 10).await, ("another some-bucket some-bucket-2 zzz".into(), false));
    assert!(!list(Some("111122223333"), "", None, 3).await.1);
    assert_eq!(list(None, "some", None, 1).await, ("some-bucket".into(), true));
    assert_eq!(list(None, "some", Some("some-bucket"), 9).await, ("some-bucket-2".into(), false));

    put(&catalog, &changed, "o", blob(1)).await;
    assert!(matches!(catalog.delete_bucket(&bucket).await, Err(CatalogError::BucketNotEmpty)));
    catalog
        .delete_version(&bucket, &object("o"), VersionRef::Current, &Precondition::None, Authority::usual())
        .await
        .expect("a deletion");
    catalog.delete_bucket(&bucket).await.expect("it is empty");
    assert!(matches!(catalog.delete_bucket(&bucket).await, Err(CatalogError::NoSuchBucket)));
    // Made anew under its old name it is another bucket.
    catalog.create_bucket(&twin).await.expect("a bucket");
    let late = catalog.commit_version(&bucket, &object("o"), &version_in(blob(2)), &Precondition::None).await;
    assert!(matches!(late, Err(CatalogError::NoSuchBucket)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_never_deleted_beneath_an_object() {
    for round in 0..200_u32 {
        let (catalog, bucket) = with_bucket().await;
        let writer = tokio::spawn({
            let (catalog, bucket) = (catalog.clone(), bucket.clone());
            async move {
                for _ in 0..round % 7 {
                    tokio::task::yield_now().await;
                }
                catalog.commit_version(&bucket, &object("o"), &version_in(blob(1)), &Precondition::None).await
            }
        });
        let deleted = catalog.delete_bucket(&bucket).await;
        let written = writer.await.expect("a task");
        match (&deleted, &written) {
            (Ok(()), Err(CatalogError::NoSuchBucket)) | (Err(CatalogError::BucketNotEmpty), Ok(())) => {}
            other => panic!("{other:?}"),
        }
    }
}
