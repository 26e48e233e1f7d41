use super::*;
use crate::name::PartNumber;

pub(super) fn upload_of(name: &str) -> Upload {
    Upload {
        id: UploadId(VersionId::now()),
        object: object(name),
        initiated: Timestamp(3),
        initiator: "arn:aws:iam::111122223333:root".into(),
        headers: SystemHeaders::default(),
        user_metadata: vec![("k".into(), "v".into())],
        tags: vec![],
        storage_class: "STANDARD".into(),
        checksum: Some(("CRC64NVME".into(), false)),
        lock: Lock::default(),
        attributes: Default::default(),
        envelope: b"wrapped".to_vec().into(),
        journal: None,
    }
}

pub(super) fn part_of(number: u16, plain_len: u64, blob: BlobRef) -> Part {
    Part {
        number: PartNumber::new(number.into()).expect("a number"),
        plain_len,
        etag: format!("{number}-{plain_len}"),
        md5: Some([number as u8; 16]),
        checksum: None,
        last_modified: Timestamp(4),
        blob,
        salt: Some(salt_of(blob)),
    }
}

fn named(parts: &[Part]) -> Vec<CompletedPart> {
    let named = |part: &Part| CompletedPart { number: part.number, etag: part.etag.clone(), checksum: None };
    parts.iter().map(named).collect()
}

pub(super) fn completed(upload: &Upload, parts: &[Part]) -> ObjectVersion {
    let mut version = version_in(blob(0));
    version.version = upload.id.0;
    let layout = Layout::Parts(PartDirectory::of(parts));
    record_of(&mut version).content = Content { version: upload.id.0, layout, salt: None };
    version
}

/// An upload with a part of each length, and its parts.
async fn uploaded(catalog: &Catalog, bucket: &Bucket, lens: &[(u16, u64)]) -> (Upload, Vec<Part>) {
    let upload = upload_of("o");
    catalog.create_upload(bucket, &upload).await.expect("an upload");
    let mut parts = Vec::new();
    for &(number, len) in lens {
        let mut part = part_of(number, len, blob(0));
        part.blob.id = BlobId::from_bytes(u128::from(number).to_be_bytes());
        catalog.put_part(bucket, &upload, &part).await.expect("a part");
        parts.push(part);
    }
    (upload, parts)
}

#[tokio::test]
async fn complete_keeps_named_parts_and_displaces_the_rest() {
    let (catalog, bucket) = with_bucket().await;
    put(&catalog, &bucket, "o", blob(99)).await;
    let (upload, parts) = uploaded(&catalog, &bucket, &[(1, 10), (2, 20), (3, 30), (7, 5)]).await;
    let keep = [parts[0].clone(), parts[2].clone(), parts[3].clone()];
    let selected = catalog.select_parts(upload.id, &named(&keep), 6).await.expect("they fit");
    assert_eq!(selected, keep);
    let version = completed(&upload, &selected);
    catalog
        .complete_upload(&bucket, &upload, &selected, &version, &Precondition::None)
        .await
        .expect("it completes");
    assert_eq!(catalog.current(&bucket, &upload.object).await.expect("a read"), Some(version.clone()));
    let again = catalog.complete_upload(&bucket, &upload, &selected, &version, &Precondition::None).await;
    assert!(matches!(again, Err(CatalogError::NoSuchUpload)));
    let late = catalog.put_part(&bucket, &upload, &parts[0]).await;
    assert!(matches!(late, Err(CatalogError::NoSuchUpload)));

    let content =
        Content { version: upload.id.0, layout: Layout::Parts(PartDirectory::of(&keep)), salt: None };
    let read = async || {
        let mut found = Vec::new();
        for offset in [0, 9, 10, 39, 40, 44, 45] {
            let (at, parts) = catalog.parts_from_offset(&content, offset, 2).await.expect("parts");
            found.push((at, parts.iter().map(|part| part.number.get()).collect::<Vec<_>>()));
        }
        let mut single = Vec::new();
        for number in [1, 2, 3, 7, 8] {
            let number = PartNumber::new(number).expect("a number");
            let part = catalog.part(&content, number).await.expect("a part");
            single.push(part.map(|(at, part)| (at, part.number.get())));
        }
        (found, single)
    };
    let expected = (
        vec![
            (0, vec![1, 3]),
            (0, vec![1, 3]),
            (10, vec![3, 7]),
            (10, vec![3, 7]),
            (40, vec![7]),
            (40, vec![7]),
            (45, vec![]),
        ],
        vec![Some((0, 1)), None, Some((10, 3)), Some((40, 7)), None],
    );
    assert_eq!(read().await, expected, "with the unnamed part's record");
    let displaced = drain(&catalog).await;
    assert_eq!(displaced, [parts[1].blob, blob(99)]);
    assert_eq!(read().await, expected, "without it");
    catalog
        .delete_version(&bucket, &upload.object, VersionRef::Current, &Precondition::None, Authority::usual())
        .await
        .expect("a deletion");
    assert_eq!(drain(&catalog).await.len(), 3);
    assert_eq!(catalog.list_parts(upload.id, 0, 10).await.expect("parts"), (vec![], false));
}

#[tokio::test]
async fn select_parts_refuses_what_does_not_fit() {
    let (catalog, bucket) = with_bucket().await;
    let (upload, parts) = uploaded(&catalog, &bucket, &[(1, 10), (2, 20), (4, 3)]).await;
    let select = async |named: &[CompletedPart], min| catalog.select_parts(upload.id, named, min).await;
    assert!(matches!(
        select(&named(&parts), 11).await,
        Err(CatalogError::PartTooSmall { plain_len: 10, .. })
    ));
    let mut wrong = named(&parts);
    wrong[1].etag = "x".into();
    assert!(matches!(select(&wrong, 0).await, Err(CatalogError::InvalidPart(number)) if number.get() == 2));
    let mut wrong = named(&parts);
    wrong[1].number = PartNumber::new(3).expect("a number");
    assert!(matches!(select(&wrong, 0).await, Err(CatalogError::InvalidPart(number)) if number.get() == 3));
    let mut wrong = named(&parts);
    wrong[2].checksum = Some(("CRC32".into(), "x".into()));
    assert!(matches!(select(&wrong, 0).await, Err(CatalogError::InvalidPart(number)) if number.get() == 4));
    let list = async |after, limit| {
        let (parts, truncated) = catalog.list_parts(upload.id, after, limit).await.expect("parts");
        (parts.iter().map(|part| part.number.get()).collect::<Vec<_>>(), truncated)
    };
    assert_eq!(list(0, 2).await, (vec![1, 2], true));
    assert_eq!(list(1, 2).await, (vec![2, 4], false));
    assert_eq!(list(0, 0).await, (vec![], false));
}

#[tokio::test]
async fn a_part_replaced_after_its_selection_fails_complete() {
    let (catalog, bucket) = with_bucket().await;
    let (upload, parts) = uploaded(&catalog, &bucket, &[(1, 10)]).await;
    let version = completed(&upload, &parts);
    catalog.put_part(&bucket, &upload, &part_of(1, 11, blob(50))).await.expect("a part");
    let stale = catalog.complete_upload(&bucket, &upload, &parts, &version, &Precondition::None).await;
    assert!(matches!(stale, Err(CatalogError::InvalidPart(_))));
    assert_eq!(drain(&catalog).await, [parts[0].blob]);
    catalog.abort_upload(&bucket, &upload.object, upload.id).await.expect("it ends");
    let again = catalog.abort_upload(&bucket, &upload.object, upload.id).await;
    assert!(matches!(again, Err(CatalogError::NoSuchUpload)));
    assert_eq!(drain(&catalog).await, [blob(50)]);
}

#[tokio::test]
async fn ten_thousand_parts_are_found_by_offset_and_displaced_by_pages() {
    let (catalog, bucket) = with_bucket().await;
    let lens: Vec<(u16, u64)> = (1..=10_000).map(|n| (n, u64::from(n % 5))).collect();
    let (upload, parts) = uploaded(&catalog, &bucket, &lens).await;
    // Every third number is unnamed: as many runs as there can be, nearly.
    let keep: Vec<Part> = parts.iter().filter(|part| part.number.get() % 3 != 0).cloned().collect();
    let selected = catalog.select_parts(upload.id, &named(&keep), 0).await.expect("they fit");
    let version = completed(&upload, &selected);
    catalog
        .complete_upload(&bucket, &upload, &selected, &version, &Precondition::None)
        .await
        .expect("it completes");
    let content =
        Content { version: upload.id.0, layout: Layout::Parts(PartDirectory::of(&keep)), salt: None };
    let first = catalog.next_displaced(LATER, 1).await.expect("a queue");
    assert!(first.iter().map(|displaced| displaced.blobs.len()).sum::<usize>() <= SCAN_LEN);
    assert_eq!(drain(&catalog).await.len(), 3333);
    let mut at = 0;
    for (index, part) in keep.iter().enumerate() {
        if part.plain_len > 0 && index % 37 == 0 {
            let (from, found) = catalog.parts_from_offset(&content, at, 3).await.expect("parts");
            assert_eq!((from, &found[..]), (at, &keep[index..(index + 3).min(keep.len())]));
            let (from, found) = catalog.part(&content, part.number).await.expect("a read").expect("a part");
            assert_eq!((from, &found), (at, part));
        }
        at += part.plain_len;
    }
    let (_, all) = catalog.parts_from_offset(&content, 0, 10_000).await.expect("parts");
    assert_eq!(all, keep[..]);
}

#[tokio::test]
async fn a_deleted_bucket_takes_its_uploads_along() {
    let (catalog, bucket) = with_bucket().await;
    let (upload, _) = uploaded(&catalog, &bucket, &[(1, 10), (2, 1)]).await;
    let other = Upload { journal: Some(blob(77)), ..upload_of("p") };
    catalog.create_upload(&bucket, &other).await.expect("an upload");
    catalog.delete_bucket(&bucket).await.expect("it has no objects");
    let late = catalog.put_part(&bucket, &upload, &part_of(3, 1, blob(3))).await;
    assert!(matches!(late, Err(CatalogError::NoSuchBucket)));
    assert_eq!(drain(&catalog).await.len(), 3);
    assert!(catalog.is_empty().await.expect("an answer"));
}

#[tokio::test]
async fn complete_with_a_condition_sees_what_was_written_since() {
    let (catalog, bucket) = with_bucket().await;
    let complete = async |upload: &Upload, parts: &[Part], precondition: &Precondition| {
        catalog.complete_upload(&bucket, upload, parts, &completed(upload, parts), precondition).await
    };
    let former = put(&catalog, &bucket, "o", blob(1)).await;
    let same = Precondition::Etag(former.object().expect("an object").etag.clone());
    // The same bytes again are another write.
    let (upload, parts) = uploaded(&catalog, &bucket, &[(1, 10)]).await;
    put(&catalog, &bucket, "o", blob(1)).await;
    assert!(matches!(complete(&upload, &parts, &same).await, Err(CatalogError::Contended)));
    assert!(matches!(
        complete(&upload, &parts, &Precondition::Absent).await,
        Err(CatalogError::PreconditionFailed)
    ));
    // What is gone was there when it was created.
    catalog
        .delete_version(&bucket, &object("o"), VersionRef::Current, &Precondition::None, Authority::usual())
        .await
        .expect("a deletion");
    assert!(matches!(complete(&upload, &parts, &Precondition::Absent).await, Err(CatalogError::Contended)));
    assert!(complete(&upload, &parts, &Precondition::None).await.is_ok());
    // Nothing happened since, and the attribute stays the upload's own.
    let (upload, parts) = uploaded(&catalog, &bucket, &[(1, 10)]).await;
    let found = catalog.upload(&bucket, &upload.object, upload.id).await.expect("an upload");
    assert!(found.attributes.is_empty());
    let current = catalog.current(&bucket, &object("o")).await.expect("a record").expect("an object");
    let same = Precondition::Etag(current.object().expect("an object").etag.clone());
    assert!(complete(&upload, &parts, &same).await.is_ok());
}
