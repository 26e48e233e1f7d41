//! Documents change as a whole shelf, and only by who has read its latest state.

use super::*;
use crate::kv::{KeyValue, Transaction, Write};

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

/// What somebody does to the entries without the catalog.
async fn meddle(kv: &MemoryKv, writes: Vec<Write>) {
    kv.commit(Transaction { conditions: Vec::new(), writes }).await.expect("a commit");
}

#[tokio::test]
async fn a_document_that_is_gone_is_missed() {
    let kv = Arc::new(MemoryKv::new());
    let catalog = Catalog::new(kv.clone());
    let base = layout::shelf("iam");
    let mut state = ShelfState::default();
    // Counted are documents that are new, not those that change, and not what is taken away in vain.
    for changes in [
        vec![put("a", "1"), put("b", "1")],
        vec![put("a", "2"), put("c", "1"), ("x".to_owned(), None)],
        vec![("b".to_owned(), None)],
        vec![],
    ] {
        state = catalog.change_documents("iam", state, changes).await.expect("a change");
        read(&catalog, "iam").await;
    }
    let taken = layout::document(&base, "a");
    meddle(&kv, vec![Write::Delete(taken.clone())]).await;
    let missed = catalog.documents("iam").await;
    let is_missed = |count| matches!(missed, Err(CatalogError::DocumentCount { expected: 2, found, .. }) if found == count);
    assert!(is_missed(1), "{missed:?}");
    // A change of others does not cover it up.
    state = catalog.change_documents("iam", state, vec![put("d", "1")]).await.expect("a change");
    let missed = catalog.documents("iam").await;
    assert!(matches!(missed, Err(CatalogError::DocumentCount { expected: 3, found: 2, .. })), "{missed:?}");
    // What is put back fits again; what was added does not.
    meddle(&kv, vec![Write::Put(taken.clone(), Bytes::from_static(b"2"))]).await;
    assert_eq!(read(&catalog, "iam").await.1.len(), 3);
    meddle(&kv, vec![Write::Put(layout::document(&base, "b"), Bytes::from_static(b"1"))]).await;
    assert!(catalog.documents("iam").await.is_err());
    // Counted anew, it is as it is.
    assert_eq!(catalog.recount_documents("iam").await.expect("a count"), 4);
    let (after, documents) = read(&catalog, "iam").await;
    assert_eq!(documents.len(), 4);
    assert_ne!(after, state);
    // All gone, its state too: that is for whoever knows that there was something.
    let whole = [layout::document(&base, "b"), layout::document(&base, "c"), taken, base.clone()];
    meddle(&kv, whole[3..].iter().cloned().map(Write::Delete).collect()).await;
    assert!(matches!(
        catalog.documents("iam").await,
        Err(CatalogError::DocumentCount { expected: 0, found: 4, .. })
    ));
}

#[tokio::test]
async fn a_shelf_that_was_not_counted_is_counted_by_its_next_change() {
    let kv = Arc::new(MemoryKv::new());
    let catalog = Catalog::new(kv.clone());
    let base = layout::shelf("iam");
    let state = Write::Put(base.clone(), Bytes::copy_from_slice(&7u64.to_be_bytes()));
    let one = |name: &str| Write::Put(layout::document(&base, name), Bytes::from_static(b"1"));
    meddle(&kv, vec![state, one("a"), one("b")]).await;
    let (state, documents) = read(&catalog, "iam").await;
    assert_eq!((state, documents.len()), (ShelfState(7), 2));
    let state =
        catalog.change_documents("iam", state, vec![put("a", "2"), put("c", "1")]).await.expect("a change");
    assert_eq!(read(&catalog, "iam").await.0, state);
    meddle(&kv, vec![Write::Delete(layout::document(&base, "b"))]).await;
    assert!(matches!(
        catalog.documents("iam").await,
        Err(CatalogError::DocumentCount { expected: 3, found: 2, .. })
    ));
}
