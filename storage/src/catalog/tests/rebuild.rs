use super::multipart::{completed, part_of, upload_of};
use super::*;

async fn dumped(catalog: &Catalog) -> Vec<String> {
    let (mut lines, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = catalog.dump(after).await.expect("a dump");
        lines.extend(page.lines().map(str::to_owned));
        match next {
            Some(next) => after = Some(next),
            None => return lines,
        }
    }
}

/// Lines without the time of the records' making, and without what a rebuild can't know of uploads.
fn timeless(lines: &[String]) -> Vec<serde_json::Value> {
    fn strip(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(fields) => {
                fields.remove("stamp_us");
                fields.remove("replacements");
                fields.remove("precursor");
                fields.values_mut().for_each(strip);
            }
            serde_json::Value::Array(values) => values.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let values = lines.iter().map(|line| {
        let mut value = serde_json::from_str(line).expect("a line is JSON");
        strip(&mut value);
        value
    });
    values.collect()
}

#[tokio::test]
async fn a_dump_loads_into_the_same_catalog() {
    let (catalog, bucket) = with_bucket().await;
    for number in 0..300 {
        put(&catalog, &bucket, &format!("o{number}\u{0}é"), blob(1)).await;
    }
    let upload = upload_of("u");
    catalog.create_upload(&bucket, &upload).await.expect("an upload");
    catalog.put_part(&bucket, &upload, &part_of(3, 9, blob(8))).await.expect("a part");
    let lines = dumped(&catalog).await;
    assert_eq!(lines.len(), 1 + 1 + 300 + 2);
    let copy = Catalog::new(Arc::new(MemoryKv::new()));
    copy.load(lines.iter().map(String::as_str)).await.expect("it loads");
    assert_eq!(dumped(&copy).await, lines);
    assert!(copy.load(["{\"sealgate_catalog\":5}"]).await.is_err());
}

/// A store's life as the trailers of its blobs; what the catalog holds after it; which blobs it has no use for.
async fn life() -> (Catalog, Vec<(Bytes, BlobRef)>, Vec<BlobRef>) {
    let (catalog, bucket) = with_bucket().await;
    let mut trailers = Vec::new();
    let mut journal = |trailer: Trailer, blob: BlobRef| trailers.push((trailer.encode(), blob));
    let own = |version: &ObjectVersion| {
        let mut version = version.clone();
        record_of(&mut version).content.layout = Layout::Single(OWN_BLOB);
        version
    };
    let id = bucket.id;

    journal(Trailer::Bucket(bucket.clone()), blob(100));
    let with_journal = Bucket { journal: Some(blob(100)), ..bucket.clone() };
    catalog.replace_bucket(&bucket, &with_journal).await.expect("a change");
    let mut configured = with_journal.clone();
    configured.configs.insert("policy".into(), b"p".to_vec().into());
    journal(Trailer::Bucket(configured.clone()), blob(101));
    configured.journal = Some(blob(101));
    catalog.replace_bucket(&with_journal, &configured).await.expect("a change");

    // Overwritten.
    let first = version_in(blob(1));
    journal(Trailer::Object { bucket: id, object: object("o"), version: own(&first) }, blob(1));
    catalog.commit_version(&bucket, &object("o"), &first, &Precondition::None).await.expect("a commit");
    let second = version_in(blob(2));
    journal(Trailer::Object { bucket: id, object: object("o"), version: own(&second) }, blob(2));
    catalog.commit_version(&bucket, &object("o"), &second, &Precondition::None).await.expect("a commit");

    // Changed in place, twice.
    let mut version = version_in(blob(3));
    journal(Trailer::Object { bucket: id, object: object("p"), version: own(&version) }, blob(3));
    catalog.commit_version(&bucket, &object("p"), &version, &Precondition::None).await.expect("a commit");
    for number in [4, 5] {
        let former = version.clone();
        record_of(&mut version).tags = vec![("n".into(), number.to_string())];
        version.journal = Some(blob(number));
        journal(Trailer::Object { bucket: id, object: object("p"), version: version.clone() }, blob(number));
        catalog
            .replace_version(&bucket, &object("p"), &former, &version, Authority::usual())
            .await
            .expect("a change");
    }

    // Completed with an unnamed part and a replaced one, over a former object; and an upload in progress.
    let former = version_in(blob(10));
    journal(Trailer::Object { bucket: id, object: object("q"), version: own(&former) }, blob(10));
    catalog.commit_version(&bucket, &object("q"), &former, &Precondition::None).await.expect("a commit");
    for (name, first) in [("q", 20), ("r", 30)] {
        let mut upload = upload_of(name);
        journal(Trailer::Upload { bucket: id, upload: upload.clone() }, blob(first));
        upload.journal = Some(blob(first));
        catalog.create_upload(&bucket, &upload).await.expect("an upload");
        let mut parts = Vec::new();
        for (number, at) in [(1, 1), (2, 2), (2, 3), (3, 4)] {
            let part = part_of(number, at.into(), blob(first + at));
            let trailer = Trailer::Part { bucket: id, upload: upload.clone(), part: part.clone() };
            journal(trailer, part.blob);
            catalog.put_part(&bucket, &upload, &part).await.expect("a part");
            parts.push(part);
        }
        if name == "q" {
            let keep = [parts[0].clone(), parts[2].clone()];
            let mut version = completed(&upload, &keep);
            version.journal = Some(blob(29));
            journal(Trailer::Object { bucket: id, object: object("q"), version: version.clone() }, blob(29));
            catalog
                .complete_upload(&bucket, &upload, &keep, &version, &Precondition::None)
                .await
                .expect("a commit");
        }
    }
    let displaced = drain(&catalog).await;
    (catalog, trailers, displaced)
}

#[tokio::test]
async fn trailers_in_any_order_make_the_same_catalog() {
    let (catalog, trailers, displaced) = life().await;
    let expected = timeless(&dumped(&catalog).await);
    let mut seed = 1_u64;
    for round in 0..300 {
        let mut order: Vec<_> = trailers.iter().collect();
        for index in (1..order.len()).rev() {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            order.swap(index, (seed >> 33) as usize % (index + 1));
        }
        let rebuilt = Catalog::new(Arc::new(MemoryKv::new()));
        // Blobs that were reclaimed before do not change what comes out; nor does applying some twice.
        let reclaimed = if round % 2 == 0 { &displaced[..] } else { &[] };
        for (trailer, blob) in order.iter().chain(&order[..round % order.len()]) {
            if !reclaimed.contains(blob) {
                let stamped = Trailer::decode(trailer).expect("it decodes");
                rebuilt.restore(&stamped, *blob, ContentState::Sound).await.expect("it's applied");
            }
        }
        assert_eq!(rebuilt.finish_restore().await.expect("an end"), Restored::default());
        let freed = drain(&rebuilt).await;
        assert_eq!(timeless(&dumped(&rebuilt).await), expected, "round {round}");
        assert!(freed.iter().all(|blob| displaced.contains(blob)), "round {round}: a live blob was queued");
        if reclaimed.is_empty() {
            assert!(displaced.iter().all(|blob| freed.contains(blob)), "round {round}: an orphan stays");
        }
    }
}

#[tokio::test]
async fn a_journal_whose_content_is_gone_leaves_no_dangling_record() {
    let (catalog, trailers, _) = life().await;
    drop(catalog);
    let rebuilt = Catalog::new(Arc::new(MemoryKv::new()));
    for (trailer, at) in trailers.iter().filter(|(_, at)| *at != blob(3)) {
        let stamped = Trailer::decode(trailer).expect("it decodes");
        rebuilt.restore(&stamped, *at, ContentState::Sound).await.expect("it's applied");
    }
    assert_eq!(rebuilt.finish_restore().await.expect("an end").lost_objects, 1);
    let bucket = rebuilt.bucket(&BucketName::parse("some-bucket").expect("a name")).await.expect("a bucket");
    assert_eq!(rebuilt.current(&bucket, &object("p")).await.expect("a read"), None);
}

#[test]
fn a_trailer_names_its_owner() {
    let version = version_in(OWN_BLOB);
    let (bucket, name) = (BucketId::random(), object("o"));
    let owner = Trailer::Object { bucket, object: name.clone(), version: version.clone() }.owner();
    assert_eq!(
        owner,
        BlobOwner::Content { bucket, object: name.clone(), version: version.version, part: None }
    );
    let journal = Trailer::Object { bucket, object: name, version: version_in(blob(1)) };
    assert!(matches!(journal.owner(), BlobOwner::Journal { .. }));
    let cut = journal.encode();
    for len in 0..cut.len() {
        assert!(Trailer::decode(&cut[..len]).is_err());
    }
}

#[tokio::test]
async fn versions_come_back_in_order_whatever_the_order_of_blobs() {
    let (catalog, bucket) = with_bucket().await;
    let enabled = Bucket { versioning: Versioning::Enabled, ..bucket.clone() };
    let mut trailers = vec![(Trailer::Bucket(enabled.clone()), blob(100))];
    let mut written = Vec::new();
    for (number, is_null, is_marker) in
        [(1, true, false), (2, false, false), (3, false, true), (4, false, false)]
    {
        let mut version = ObjectVersion { is_null, ..version_in(blob(number)) };
        version.version = written
            .last()
            .map_or_else(VersionId::now, |former: &ObjectVersion| VersionId::after(former.version));
        let mut own = version.clone();
        if is_marker {
            version.kind = VersionKind::DeleteMarker;
            own.kind = VersionKind::DeleteMarker;
            version.journal = Some(blob(number));
        } else {
            record_of(&mut own).content.layout = Layout::Single(OWN_BLOB);
        }
        trailers
            .push((Trailer::Object { bucket: bucket.id, object: object("o"), version: own }, blob(number)));
        written.push(version);
    }
    // A change in place of one that is not current.
    record_of(&mut written[1]).tags = vec![("late".into(), "1".into())];
    written[1].journal = Some(blob(5));
    let changed = Trailer::Object { bucket: bucket.id, object: object("o"), version: written[1].clone() };
    trailers.push((changed, blob(5)));
    drop(catalog);
    let trailers: Vec<_> =
        trailers.iter().map(|(t, at)| (Trailer::decode(&t.encode()).expect("it decodes"), *at)).collect();
    written.reverse();
    for turn in 0..trailers.len() {
        let rebuilt = Catalog::new(Arc::new(MemoryKv::new()));
        for at in 0..trailers.len() {
            let (stamped, blob) = &trailers[(at + turn) % trailers.len()];
            rebuilt.restore(stamped, *blob, ContentState::Sound).await.expect("it's applied");
        }
        assert_eq!(rebuilt.finish_restore().await.expect("an end"), Restored::default());
        let bucket = rebuilt.bucket(&bucket.name).await.expect("a bucket");
        let request = ListRequest { prefix: String::new(), delimiter: None, after: None, limit: 1000 };
        let page = rebuilt.list_versions(&bucket, &request, None).await.expect("a page");
        let ids = page.rows.iter().filter_map(|row| match row {
            ListRow::Item(row) => Some(row.version),
            ListRow::CommonPrefix(_) => None,
        });
        assert_eq!(ids.collect::<Vec<_>>(), written.iter().map(|v| v.version).collect::<Vec<_>>());
        for expected in &written {
            let which = if expected.is_null { VersionRef::Null } else { VersionRef::Id(expected.version) };
            let found = rebuilt.version(&bucket, &object("o"), which).await.expect("a read");
            assert_eq!(found.as_ref(), Some(expected));
        }
    }
}

#[tokio::test]
async fn a_renamed_object_comes_back_under_its_last_name_alone() {
    let (catalog, bucket) = with_bucket().await;
    drop(catalog);
    let version = version_in(blob(1));
    let mut own = version.clone();
    record_of(&mut own).content.layout = Layout::Single(OWN_BLOB);
    let mut trailers = vec![(Trailer::Bucket(bucket.clone()), blob(100))];
    let trailer = |name: &str, version| Trailer::Object { bucket: bucket.id, object: object(name), version };
    trailers.push((trailer("a", own), blob(1)));
    for (name, number) in [("b", 2), ("c", 3)] {
        trailers.push((trailer(name, ObjectVersion { renamed: true, ..version.clone() }), blob(number)));
    }
    let trailers: Vec<_> =
        trailers.iter().map(|(t, at)| (Trailer::decode(&t.encode()).expect("it decodes"), *at)).collect();
    for turn in 0..trailers.len() {
        let rebuilt = Catalog::new(Arc::new(MemoryKv::new()));
        for at in 0..trailers.len() {
            let (stamped, blob) = &trailers[(at + turn) % trailers.len()];
            rebuilt.restore(stamped, *blob, ContentState::Sound).await.expect("it's applied");
        }
        assert_eq!(rebuilt.finish_restore().await.expect("an end"), Restored::default());
        let read = async |name: &str| rebuilt.current(&bucket, &object(name)).await.expect("a read");
        assert_eq!((read("a").await, read("b").await), (None, None));
        let expected = ObjectVersion { renamed: true, journal: Some(blob(3)), ..version.clone() };
        assert_eq!(read("c").await, Some(expected));
        let owner = BlobOwner::Content {
            bucket: bucket.id,
            object: object("a"),
            version: version.version,
            part: None,
        };
        assert_eq!(rebuilt.owner_state(&owner, blob(1).id).await.expect("a state"), OwnerState::Alive);
        assert_eq!(drain(&rebuilt).await, [blob(2)]);
    }
}

/// Which sending an object is the journal of a later change knows too: the trailer of a blob can't say otherwise.
#[tokio::test]
async fn a_journal_says_which_sending_its_content_is() {
    let bucket = bucket_named("some-bucket");
    let version = version_in(blob(1));
    let mut other = version.clone();
    record_of(&mut other).content.layout = Layout::Single(OWN_BLOB);
    record_of(&mut other).content.salt = Some(salt_of(blob(9)));
    let renamed = ObjectVersion { renamed: true, ..version.clone() };
    for (changed, name) in [(version.clone(), "o"), (renamed, "p")] {
        let trailers = [
            (Trailer::Bucket(bucket.clone()), blob(100)),
            (Trailer::Object { bucket: bucket.id, object: object("o"), version: other.clone() }, blob(1)),
            (Trailer::Object { bucket: bucket.id, object: object(name), version: changed.clone() }, blob(2)),
        ];
        let trailers = trailers.map(|(t, at)| (Trailer::decode(&t.encode()).expect("it decodes"), at));
        for turn in 0..trailers.len() {
            let rebuilt = Catalog::new(Arc::new(MemoryKv::new()));
            for at in 0..trailers.len() {
                let (stamped, blob) = &trailers[(at + turn) % trailers.len()];
                rebuilt.restore(stamped, *blob, ContentState::Sound).await.expect("it's applied");
            }
            rebuilt.finish_restore().await.expect("an end");
            let expected = ObjectVersion { journal: Some(blob(2)), ..changed.clone() };
            assert_eq!(rebuilt.current(&bucket, &object(name)).await.expect("a read"), Some(expected));
        }
    }
}

#[tokio::test]
async fn a_catalog_that_is_kept_takes_in_what_is_newer() {
    let (catalog, trailers, displaced) = life().await;
    let expected = timeless(&dumped(&catalog).await);
    for known in 0..=trailers.len() {
        let kept = Catalog::new(Arc::new(MemoryKv::new()));
        let stamped: Vec<_> =
            trailers.iter().map(|(t, at)| (Trailer::decode(t).expect("it decodes"), *at)).collect();
        for (stamped, at) in &stamped[..known] {
            kept.restore(stamped, *at, ContentState::Sound).await.expect("it's applied");
        }
        kept.finish_restore().await.expect("an end");
        // As the newer catalog left them: what it displaced is gone.
        let queued = kept.displaced_set().await.expect("a set");
        let mut touched = Touched::default();
        for (stamped, at) in stamped.iter().filter(|(_, at)| !displaced.contains(at)) {
            let owner = stamped.trailer.owner();
            let state = kept.owner_state(&owner, at.id).await.expect("a state");
            if state != OwnerState::Alive && !queued.explains(&owner, at.id) {
                kept.add(stamped, *at, ContentState::Sound, &mut touched).await.expect("it's added");
            }
        }
        let restored = kept.finish_add(touched).await.expect("an end");
        drain(&kept).await;
        let now = timeless(&dumped(&kept).await);
        assert_eq!(restored.named, [], "{known} known");
        assert_eq!(now, expected, "{known} known");
    }
}

#[tokio::test]
async fn what_is_added_behind_and_before_a_current_version_leaves_the_newest_current() {
    let (catalog, bucket) = with_bucket().await;
    let enabled = Bucket { versioning: Versioning::Enabled, ..bucket.clone() };
    catalog.replace_bucket(&bucket, &enabled).await.expect("a change");
    let (mut versions, mut trailers) = (Vec::<ObjectVersion>::new(), Vec::new());
    for number in 1..=4 {
        let mut version = ObjectVersion { is_null: number == 2, ..version_in(blob(number)) };
        version.version = versions.last().map_or_else(VersionId::now, |last| VersionId::after(last.version));
        let mut own = version.clone();
        record_of(&mut own).content.layout = Layout::Single(OWN_BLOB);
        let trailer = Trailer::Object { bucket: bucket.id, object: object("o"), version: own };
        trailers.push((Trailer::decode(&trailer.encode()).expect("it decodes"), blob(number)));
        versions.push(version);
    }
    for known in [0b0100, 0b0010, 0b1000, 0b0001, 0b1010, 0b0101, 0b0110] {
        let kept = Catalog::new(Arc::new(MemoryKv::new()));
        kept.create_bucket(&enabled).await.expect("a bucket");
        let is_known = |at: usize| known & 1 << at != 0;
        for (at, (stamped, blob)) in trailers.iter().enumerate() {
            if is_known(at) {
                kept.restore(stamped, *blob, ContentState::Sound).await.expect("it's applied");
            }
        }
        kept.finish_restore().await.expect("an end");
        let mut touched = Touched::default();
        for (at, (stamped, blob)) in trailers.iter().enumerate() {
            if !is_known(at) {
                kept.add(stamped, *blob, ContentState::Sound, &mut touched).await.expect("it's added");
            }
        }
        kept.finish_add(touched).await.expect("an end");
        assert_eq!(drain(&kept).await, [], "{known:b}: nothing of it is superfluous");
        for version in &versions {
            let which = if version.is_null { VersionRef::Null } else { VersionRef::Id(version.version) };
            let found = kept.version(&enabled, &object("o"), which).await.expect("a read");
            assert_eq!(found.as_ref(), Some(version), "{known:b}");
        }
        let current = kept.current(&enabled, &object("o")).await.expect("a read");
        assert_eq!(current.as_ref(), versions.last(), "{known:b}");
    }
}

#[tokio::test]
async fn damaged_content_displaces_nothing_and_is_displaced_by_what_is_newer() {
    let (catalog, bucket) = with_bucket().await;
    drop(catalog);
    let mut trailers = Vec::new();
    for number in 1..=3 {
        let mut own = version_in(OWN_BLOB);
        record_of(&mut own).content.layout = Layout::Single(OWN_BLOB);
        let trailer = Trailer::Object { bucket: bucket.id, object: object("o"), version: own };
        trailers.push((Trailer::decode(&trailer.encode()).expect("it decodes"), blob(number)));
    }
    for damaged in 0..3 {
        let rebuilt = Catalog::new(Arc::new(MemoryKv::new()));
        rebuilt.create_bucket(&bucket).await.expect("a bucket");
        for (at, (stamped, blob)) in trailers.iter().enumerate().filter(|(at, _)| *at != damaged) {
            assert_ne!(at, damaged);
            rebuilt.restore(stamped, *blob, ContentState::Sound).await.expect("it's applied");
        }
        let (stamped, at) = &trailers[damaged];
        rebuilt.restore(stamped, *at, ContentState::Damaged).await.expect("it's applied");
        rebuilt.finish_restore().await.expect("an end");
        let freed = drain(&rebuilt).await;
        // Of the two sound ones the older was displaced by the newer; the damaged one displaced neither.
        let expected = match damaged {
            0 => vec![blob(1), blob(2)],
            1 => vec![blob(1), blob(2)],
            _ => vec![blob(1)],
        };
        assert_eq!(freed, expected, "damaged: {damaged}");
    }
}

#[tokio::test]
async fn missing_parts_and_lost_contents_are_named() {
    let (_, trailers, displaced) = life().await;
    let rebuilt = Catalog::new(Arc::new(MemoryKv::new()));
    for (trailer, at) in trailers.iter().filter(|(_, at)| *at != blob(23) && !displaced.contains(at)) {
        let stamped = Trailer::decode(trailer).expect("it decodes");
        rebuilt.restore(&stamped, *at, ContentState::Sound).await.expect("it's applied");
    }
    let restored = rebuilt.finish_restore().await.expect("an end");
    assert_eq!((restored.lost_objects, restored.incomplete_objects), (0, 1), "{restored:?}");
    assert_eq!((restored.named[0].object.as_str(), restored.named[0].missing_parts), ("q", 1));
}

#[tokio::test]
async fn objects_of_a_bucket_whose_record_is_lost_come_back() {
    let (former, trailers, displaced) = life().await;
    let id = former.bucket(&BucketName::parse("some-bucket").expect("a name")).await.expect("a bucket").id;
    former
        .change_documents("shelf", ShelfState::default(), vec![("name".into(), Some("v".into()))])
        .await
        .expect("a document");
    for knows_former in [false, true] {
        let rebuilt = Catalog::new(Arc::new(MemoryKv::new()));
        let salvaged = rebuilt.salvage(&former).await.expect("it's read");
        assert_eq!((salvaged.documents, salvaged.is_whole), (1, true));
        let (_, documents) = rebuilt.documents("shelf").await.expect("a shelf");
        assert_eq!(documents, [("name".to_owned(), Bytes::from_static(b"v"))]);
        for (trailer, at) in trailers.iter().filter(|(_, at)| !displaced.contains(at)) {
            let stamped = Trailer::decode(trailer).expect("it decodes");
            if !matches!(stamped.trailer, Trailer::Bucket(_)) {
                rebuilt.restore(&stamped, *at, ContentState::Sound).await.expect("it's applied");
            }
        }
        rebuilt.finish_restore().await.expect("an end");
        let buckets = if knows_former { &salvaged.buckets[..] } else { &[] };
        let recovered = rebuilt
            .recover_buckets("111122223333", "us-east-1", buckets, &DisplacedSet::default())
            .await
            .expect("buckets");
        let [bucket] = &recovered[..] else { panic!("{recovered:?}") };
        let expected = match knows_former {
            true => "some-bucket".to_owned(),
            false => format!("recovered-{}", &id.to_string()[..8]),
        };
        assert_eq!((bucket.name.as_str(), bucket.id), (expected.as_str(), id));
        assert_eq!(bucket.configs.is_empty(), !knows_former);
        assert!(rebuilt.current(bucket, &object("q")).await.expect("a read").is_some());
        let uploads = ListRequest { prefix: String::new(), delimiter: None, after: None, limit: 10 };
        assert_eq!(rebuilt.list_uploads(bucket, &uploads, None).await.expect("a page").rows.len(), 1);
        let none = rebuilt.recover_buckets("1", "r", &[], &DisplacedSet::default()).await.expect("buckets");
        assert_eq!(none, []);
    }
}
