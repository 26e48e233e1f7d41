use super::*;

fn inline(content: &'static [u8]) -> ObjectVersion {
    let mut version = version_in(blob(1));
    let record = record_of(&mut version);
    record.plain_len = content.len() as u64;
    record.content.layout = Layout::Inline(Bytes::from_static(content));
    version
}

async fn dumped(catalog: &Catalog) -> Vec<String> {
    let (lines, next) = catalog.dump(None).await.expect("a dump");
    assert!(next.is_none());
    lines.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn content_in_its_record_comes_and_goes_with_it() {
    let (catalog, bucket) = with_bucket().await;
    let name = object("o");
    let commit = async |version: &ObjectVersion| {
        catalog.commit_version(&bucket, &name, version, &Precondition::None).await.expect("a commit");
    };
    let first = inline(b"sealed bytes");
    commit(&first).await;
    assert_eq!(catalog.current(&bucket, &name).await.expect("a read"), Some(first.clone()));
    // A blob that says it is of this content is none: the record has all there is.
    let owner =
        BlobOwner::Content { bucket: bucket.id, object: name.clone(), version: first.version, part: None };
    let state = catalog.owner_state(&owner, blob(9).id).await.expect("a state");
    assert_eq!(state, OwnerState::Dead);
    assert_eq!(catalog.content_blob(&owner).await.expect("a read"), None);
    assert!(!catalog.relocate(&owner, blob(9), blob(8)).await.expect("a look"));
    // Changed in place it stays; what is written over it is all that is displaced.
    let mut tagged = first.clone();
    record_of(&mut tagged).tags = vec![("n".into(), "1".into())];
    catalog.replace_version(&bucket, &name, &first, &tagged, Authority::usual()).await.expect("a change");
    assert_eq!(catalog.current(&bucket, &name).await.expect("a read"), Some(tagged.clone()));
    commit(&version_in(blob(2))).await;
    assert!(drain(&catalog).await.is_empty());
    commit(&inline(b"other bytes")).await;
    assert_eq!(drain(&catalog).await, [blob(2)]);
    let request = ListRequest { prefix: String::new(), delimiter: None, after: None, limit: 10 };
    assert_eq!(catalog.list_objects(&bucket, &request).await.expect("a listing").rows.len(), 1);
    // It goes into a dump and comes back from it.
    let lines = dumped(&catalog).await;
    assert!(lines.iter().any(|line| line.contains(&hex::encode("other bytes"))), "{lines:?}");
    let copy = Catalog::new(Arc::new(MemoryKv::new()));
    copy.load(lines.iter().map(String::as_str)).await.expect("it loads");
    assert_eq!(dumped(&copy).await, lines);
}

#[tokio::test]
async fn a_journal_of_content_in_its_record_brings_all_of_it_back() {
    let bucket = bucket_named("some-bucket");
    let mut version = inline(b"sealed bytes");
    record_of(&mut version).tags = vec![("n".into(), "1".into())];
    let trailers = [
        Trailer::Object { bucket: bucket.id, object: object("o"), version: version.clone() },
        Trailer::Bucket(bucket.clone()),
    ];
    let catalog = Catalog::new(Arc::new(MemoryKv::new()));
    for (number, trailer) in (1..).zip(&trailers) {
        let stamped = Trailer::decode(&trailer.encode()).expect("it decodes");
        catalog.restore(&stamped, blob(number), ContentState::Sound).await.expect("it is applied");
    }
    catalog.finish_restore().await.expect("an end");
    let found = catalog.current(&bucket, &object("o")).await.expect("a read").expect("it is there");
    assert_eq!(found.object().map(|record| &record.content), version.object().map(|record| &record.content));
    assert_eq!(found.journal, Some(blob(1)));
}
