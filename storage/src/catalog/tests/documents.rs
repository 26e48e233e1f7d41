//! Documents change as a whole shelf, and only by who has read its latest state.

use super::*;

fn put(name: &str, value: &str) -> DocumentChange {
    (name.to_owned(), Some(Bytes::copy_from_slice(value.as_bytes())))
}

async fn read(catalog: &Catalog, shelf: &str) -> (ShelfState, Vec<(String, String)>) {
    let (state, documents) = catalog.documents(shelf).await.expect("a shelf");
    let text = |value: Bytes| String::from_utf8(value.to_vec()).expect("a text");
    (state, documents.into_iter().map(|(name, value)| (name, text(value))).collect())
}

#[tokio::test]
async fn a_shelf_changes_as_a_whole() {
    let catalog = Catalog::new(Arc::new(MemoryKv::new()));
    let (empty, documents) = read(&catalog, "iam").await;
    assert_eq!((empty, documents.len()), (ShelfState::default(), 0));
    let changes = vec![put("b", "2"), put("a", "1")];
    let one = catalog.change_documents("iam", empty, changes).await.expect("a change");
    let changes = vec![put("c", "3"), ("a".to_owned(), None)];
    // Who has read an older state changes nothing.
    let stale = catalog.change_documents("iam", empty, changes.clone()).await;
    assert!(matches!(stale, Err(CatalogError::Contended)));
    let two = catalog.change_documents("iam", one, changes).await.expect("a change");
    let expected = [("b".to_owned(), "2".to_owned()), ("c".to_owned(), "3".to_owned())];
    assert_eq!(read(&catalog, "iam").await, (two, expected.to_vec()));
    // Another shelf, even one whose name begins alike, is another.
    catalog.change_documents("iam2", empty, vec![put("x", "y")]).await.expect("a change");
    assert_eq!(read(&catalog, "iam").await.1.len(), 2);
}

#[tokio::test]
async fn a_long_shelf_is_read_whole_and_moves_by_dump() {
    let catalog = Catalog::new(Arc::new(MemoryKv::new()));
    let changes = (0..3 * SCAN_LEN).map(|n| put(&format!("{n:06}"), &n.to_string())).collect();
    catalog.change_documents("iam", ShelfState::default(), changes).await.expect("a change");
    let all = read(&catalog, "iam").await;
    assert_eq!(all.1.len(), 3 * SCAN_LEN);
    let copy = Catalog::new(Arc::new(MemoryKv::new()));
    let mut after = None;
    loop {
        let (lines, next) = catalog.dump(after).await.expect("a dump");
        copy.load(lines.lines()).await.expect("it loads");
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(read(&copy, "iam").await, all);
}
