//! Pages of object listings that are asked for again while nothing in their bucket changes: engines ask for a table's files with each
//! query, dashboards and syncs for the same folder all day.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::quality::RandomState;
use parking_lot::Mutex;

use super::{ListPage, ListRequest, ListRow, ObjectSummary};
use crate::kv::Mark;
use crate::name::BucketId;

/// The most bytes of pages that are kept.
const MAX_LEN: usize = 4 << 20;
/// The most requests that are known.
const MAX_REQUESTS: usize = 1024;

/// See the module. What is asked for once is not kept.
#[derive(Default)]
pub(super) struct Pages {
    hasher: RandomState,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// By the hash of bucket and request.
    known: HashMap<u64, Known, foldhash::fast::RandomState>,
    /// Bytes of all pages.
    len: usize,
}

/// What was asked for, and when; what was answered if it was asked for again.
struct Known {
    bucket: BucketId,
    request: ListRequest,
    mark: Mark,
    page: Option<Arc<ListPage<ObjectSummary>>>,
}

impl Pages {
    /// The page that was kept at this mark.
    pub(super) fn find(
        &self,
        bucket: BucketId,
        request: &ListRequest,
        mark: Mark,
    ) -> Option<Arc<ListPage<ObjectSummary>>> {
        let kept = self.kept.lock();
        let known = kept.known.get(&self.hasher.hash_one((bucket, request)))?;
        known.is(bucket, request, mark).then(|| known.page.clone())?
    }

    /// Keeps a page that was read after this mark was told, if it was asked for before at the same mark.
    pub(super) fn offer(
        &self,
        bucket: BucketId,
        request: &ListRequest,
        mark: Mark,
        page: &Arc<ListPage<ObjectSummary>>,
    ) {
        let hash = self.hasher.hash_one((bucket, request));
        // Dropped behind the lock: pages are many small blocks.
        let mut former = Kept::default();
        let mut kept = self.kept.lock();
        let is_again = kept.known.get(&hash).is_some_and(|known| known.is(bucket, request, mark));
        let more = if is_again { len(page) } else { 0 };
        if more > MAX_LEN {
            return;
        }
        if kept.len + more > MAX_LEN || kept.known.len() >= MAX_REQUESTS {
            std::mem::swap(&mut *kept, &mut former);
        }
        let page = is_again.then(|| page.clone());
        let known = Known { bucket, request: request.clone(), mark, page };
        let replaced = kept.known.insert(hash, known);
        kept.len += more;
        kept.len -= replaced.as_ref().and_then(|known| known.page.as_deref()).map_or(0, len);
        drop(kept);
        drop((former, replaced));
    }
}

impl Known {
    fn is(&self, bucket: BucketId, request: &ListRequest, mark: Mark) -> bool {
        self.mark == mark && self.bucket == bucket && self.request == *request
    }
}

/// Bytes that a page takes.
fn len(page: &ListPage<ObjectSummary>) -> usize {
    let texts = page.rows.iter().map(|row| match row {
        ListRow::Item(row) => {
            row.object.as_str().len() + row.etag.len() + row.owner.as_ref().map_or(0, String::len)
        }
        ListRow::CommonPrefix(prefix) => prefix.len(),
    });
    texts.sum::<usize>() + page.rows.capacity() * size_of::<ListRow<ObjectSummary>>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::memory::MemoryKv;
    use crate::kv::{KeyValue, Place};
    use crate::name::{ObjectKey, Timestamp};

    fn page(rows: usize) -> Arc<ListPage<ObjectSummary>> {
        let row = |number: usize| {
            ListRow::Item(ObjectSummary {
                object: ObjectKey::parse(&format!("{number}")).expect("a name"),
                last_modified: Timestamp(0),
                plain_len: 0,
                etag: "0".repeat(32),
                storage_class: "STANDARD".into(),
                checksum: None,
                owner: None,
            })
        };
        Arc::new(ListPage { rows: (0..rows).map(row).collect(), truncated: false })
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (pages, bucket) = (Pages::default(), BucketId::from_bytes([1; 16]));
        let mark = MemoryKv::new().mark(Place::Key(b"any")).expect("an engine with marks");
        for number in 0..3000_usize {
            let after = Some(number.to_string());
            let request = ListRequest { prefix: String::new(), delimiter: None, after, limit: 1000 };
            // What comes again takes the place of what was there.
            let page = page(number % 1000);
            for _ in 0..3 {
                pages.offer(bucket, &request, mark, &page);
                let kept = pages.kept.lock();
                assert!(kept.len <= MAX_LEN && kept.known.len() <= MAX_REQUESTS);
                let lens = kept.known.values().filter_map(|known| known.page.as_deref()).map(len);
                assert_eq!(kept.len, lens.sum::<usize>());
            }
            assert!(pages.find(bucket, &request, mark).is_some_and(|found| Arc::ptr_eq(&found, &page)));
        }
        assert!(!pages.kept.lock().known.is_empty());
    }
}
