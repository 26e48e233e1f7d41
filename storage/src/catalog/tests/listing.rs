use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// What a listing is, said plainly: every name in order, rolled up, and only then cut.
pub(super) fn oracle(names: &BTreeSet<String>, request: &ListRequest) -> (Vec<(String, bool)>, bool) {
    let mut rows: BTreeMap<String, bool> = BTreeMap::new();
    let delimiter = request.delimiter.as_deref().filter(|d| !d.is_empty());
    let rolled = |name: &str| {
        let (rest, delimiter) = (name.strip_prefix(&request.prefix)?, delimiter?);
        Some(format!("{}{}{delimiter}", request.prefix, rest.split_once(delimiter)?.0))
    };
    for name in names.iter().filter(|name| name.starts_with(&request.prefix)) {
        if let Some(after) = &request.after {
            // A marker within a common prefix stands for all of it.
            let within_same = rolled(after).is_some_and(|common| name.starts_with(&common));
            if name <= after || within_same {
                continue;
            }
        }
        match rolled(name) {
            Some(common) => rows.insert(common, true),
            None => rows.insert(name.clone(), false),
        };
    }
    let truncated = request.limit > 0 && rows.len() > request.limit;
    (rows.into_iter().take(request.limit).collect(), truncated)
}

pub(super) fn plain(page: Arc<ListPage<ObjectSummary>>) -> (Vec<(String, bool)>, bool) {
    let rows = page.rows.iter().map(|row| match row {
        ListRow::Item(summary) => (summary.object.to_string(), false),
        ListRow::CommonPrefix(common) => (common.clone(), true),
    });
    (rows.collect(), page.truncated)
}

async fn filled(names: &BTreeSet<String>) -> (Catalog, Bucket) {
    let (catalog, bucket) = with_bucket().await;
    for name in names {
        put(&catalog, &bucket, name, blob(1)).await;
    }
    (catalog, bucket)
}

#[tokio::test]
async fn a_page_that_is_kept_is_what_is_there() {
    let (catalog, bucket) = with_bucket().await;
    let request = ListRequest { prefix: String::new(), delimiter: None, after: None, limit: 3 };
    let page = async || catalog.list_objects(&bucket, &request).await.expect("a page");
    let mut names = BTreeSet::new();
    for name in ["b", "a", "d", "c", "e"] {
        put(&catalog, &bucket, name, blob(1)).await;
        names.insert(name.to_owned());
        let pages = [page().await, page().await, page().await];
        for page in &pages {
            assert_eq!(plain(page.clone()), oracle(&names, &request));
        }
        assert!(!Arc::ptr_eq(&pages[0], &pages[1]), "what is asked for once is not kept");
        assert!(Arc::ptr_eq(&pages[1], &pages[2]), "what is asked for again is");
        // Of another bucket and another request it is no page.
        let other = ListRequest { after: Some("b".into()), ..request.clone() };
        assert_eq!(
            plain(catalog.list_objects(&bucket, &other).await.expect("a page")),
            oracle(&names, &other)
        );
        let elsewhere = Bucket { id: bucket_named("elsewhere").id, ..bucket.clone() };
        assert!(catalog.list_objects(&elsewhere, &request).await.expect("a page").rows.is_empty());
    }
    // An overwrite moves no name.
    let before = page().await;
    put(&catalog, &bucket, "a", blob(2)).await;
    assert_ne!(page().await, before);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn pages_are_what_the_oracle_says(
        names in prop::collection::btree_set("[ab/é\u{0}\u{10ffff}]{1,6}", 0..40),
        prefix in "[ab/é]{0,2}",
        delimiter in prop::option::of(prop_oneof!["/", "a", "é", "/a", "ab/", ""]),
        after in prop::option::of("[ab/é\u{10ffff}]{0,4}"),
        limit in 0_usize..12,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let (catalog, bucket) = filled(&names).await;
            let request = ListRequest { prefix, delimiter, after, limit };
            let page = plain(catalog.list_objects(&bucket, &request).await.expect("a page"));
            prop_assert_eq!(&page, &oracle(&names, &request), "{:?}", request);
            // Page by page it is the same as at once.
            let whole = plain(catalog.list_objects(&bucket, &ListRequest { limit: 1000, ..request.clone() }).await.expect("a page"));
            let (mut rows, mut next, mut truncated) = (page.0, request, page.1);
            while truncated {
                next.after = rows.last().map(|(name, _)| name.clone());
                let page = plain(catalog.list_objects(&bucket, &next).await.expect("a page"));
                prop_assert!(!page.0.is_empty());
                rows.extend(page.0);
                truncated = page.1;
            }
            if next.limit > 0 {
                prop_assert_eq!(rows, whole.0);
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_summary_shows_what_the_record_has() {
    let (catalog, bucket) = with_bucket().await;
    put(&catalog, &bucket, "o", blob(1)).await;
    let request = ListRequest { prefix: String::new(), delimiter: None, after: None, limit: 1000 };
    let page = catalog.list_objects(&bucket, &request).await.expect("a page");
    let summary = ObjectSummary {
        object: object("o"),
        last_modified: Timestamp(7),
        plain_len: 101,
        etag: hex::encode([1; 16]),
        storage_class: "STANDARD".into(),
        checksum: Some(("CRC32".into(), false)),
        owner: None,
    };
    assert_eq!(page.rows, [ListRow::Item(summary.clone())]);
    let mut version = version_in(blob(2));
    if let VersionKind::Object(record) = &mut version.kind {
        record.attributes.insert(OWNER_ATTRIBUTE.to_owned(), "111122223333".into());
    }
    catalog.commit_version(&bucket, &object("o"), &version, &Precondition::None).await.expect("a commit");
    let page = catalog.list_objects(&bucket, &request).await.expect("a page");
    let [ListRow::Item(found)] = page.rows.as_slice() else { panic!("one row") };
    assert_eq!(found.owner.as_deref(), Some("111122223333"));
}

#[tokio::test]
async fn long_listings_go_on_over_many_scans() {
    let names: BTreeSet<String> = (0..1500).map(|n| format!("d{}/{n:04}", n / 500)).collect();
    let (catalog, bucket) = filled(&names).await;
    for delimiter in [None, Some("/".to_owned())] {
        for limit in [1, 2, 3, 255, 256, 257, 1000] {
            let request =
                ListRequest { prefix: "d".into(), delimiter: delimiter.clone(), after: None, limit };
            let page = plain(catalog.list_objects(&bucket, &request).await.expect("a page"));
            assert_eq!(page, oracle(&names, &request), "{request:?}");
        }
    }
}

#[tokio::test]
async fn uploads_list_by_object_then_initiation() {
    let (catalog, bucket) = with_bucket().await;
    let mut uploads = Vec::new();
    for (name, us) in [("a", 30), ("b/x", 10), ("b/x", 20), ("b/x", 400), ("b/y", 5), ("c", 1)] {
        let upload = Upload { id: UploadId(VersionId::new(us)), ..multipart::upload_of(name) };
        uploads.push(upload);
    }
    for upload in uploads.iter().rev() {
        catalog.create_upload(&bucket, upload).await.expect("an upload");
    }
    let list = async |delimiter: Option<&str>, after: Option<&str>, id: Option<UploadId>, limit| {
        let request = ListRequest {
            prefix: String::new(),
            delimiter: delimiter.map(Into::into),
            after: after.map(Into::into),
            limit,
        };
        let page = catalog.list_uploads(&bucket, &request, id).await.expect("a page");
        let rows = page.rows.into_iter().map(|row| match row {
            ListRow::Item(upload) => {
                uploads.iter().position(|known| *known == upload).expect("known").to_string()
            }
            ListRow::CommonPrefix(common) => common,
        });
        (rows.collect::<Vec<_>>().join(" "), page.truncated)
    };
    assert_eq!(list(None, None, None, 10).await, ("0 1 2 3 4 5".into(), false));
    assert_eq!(list(None, Some("b/x"), Some(uploads[1].id), 2).await, ("2 3".into(), true));
    assert_eq!(list(None, Some("b/x"), None, 10).await, ("4 5".into(), false));
    assert_eq!(list(Some("/"), None, None, 10).await, ("0 b/ 5".into(), false));
    assert_eq!(list(Some("/"), Some("b/"), None, 10).await, ("5".into(), false));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn pages_of_versions_are_what_the_oracle_says(
        names in prop::collection::vec("[ab/\u{0}\u{10ffff}]{1,4}", 0..30),
        prefix in "[ab/]{0,2}",
        delimiter in prop::option::of(prop_oneof!["/", "a", "/a"]),
        limit in 1_usize..9,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let (catalog, bucket) = with_bucket().await;
            let enabled = Bucket { versioning: Versioning::Enabled, ..bucket.clone() };
            catalog.replace_bucket(&bucket, &enabled).await.expect("a change");
            // Newest first.
            let mut versions: BTreeMap<String, Vec<VersionId>> = BTreeMap::new();
            for name in &names {
                let mut version = ObjectVersion { is_null: false, ..version_in(blob(1)) };
                version.version = catalog.next_version_id(&enabled, &object(name)).await.expect("an id");
                catalog.commit_version(&enabled, &object(name), &version, &Precondition::None).await.expect("a commit");
                versions.entry(name.clone()).or_default().insert(0, version.version);
            }
            let mut expected: Vec<(String, Option<VersionId>)> = Vec::new();
            for (name, ids) in versions.iter().filter(|(name, _)| name.starts_with(&prefix)) {
                let rest = &name[prefix.len()..];
                match delimiter.as_deref().and_then(|d| rest.split_once(d).map(|(start, _)| format!("{prefix}{start}{d}"))) {
                    Some(common) if expected.last().is_some_and(|(last, _)| *last == common) => {}
                    Some(common) => expected.push((common, None)),
                    None => expected.extend(ids.iter().map(|id| (name.clone(), Some(*id)))),
                }
            }
            let (mut listed, mut after, mut after_version) = (Vec::new(), None, None);
            loop {
                let request = ListRequest { prefix: prefix.clone(), delimiter: delimiter.clone(), after: after.take(), limit };
                let page = catalog.list_versions(&enabled, &request, after_version).await.expect("a page");
                assert!(page.rows.len() <= limit);
                for row in &page.rows {
                    let row = match row {
                        ListRow::Item(row) => (row.summary.object.to_string(), Some(row.version)),
                        ListRow::CommonPrefix(common) => (common.clone(), None),
                    };
                    (after, after_version) = (Some(row.0.clone()), row.1.map(VersionRef::Id));
                    listed.push(row);
                }
                if !page.truncated {
                    break;
                }
            }
            assert_eq!(listed, expected);
        });
    }
}
