//! What every [`BlobStore`] must do.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::blob::{
    BlobError, BlobInfo, BlobOwner, BlobRef, BlobStore, MAX_READ_LEN, MAX_TRAILER_LEN, SizeHint, StoredLen,
    StoredRange, Why,
};
use crate::name::{BlobId, BucketId, ObjectKey, PartNumber, Timestamp, VersionId};
use crate::session::{BlobIds, SessionId};

/// Lengths around every boundary that an engine may have.
pub const LENGTHS: [usize; 12] = [
    0,
    1,
    4096,
    (64 << 10) - 1,
    (128 << 10) - 1,
    128 << 10,
    (128 << 10) + 1,
    (1 << 20) - 1,
    1 << 20,
    (1 << 20) + 1,
    (2 << 20) + 17,
    5 << 20,
];

/// Runs the whole suite. `open` opens the same store each time it is called; the one before is dropped by then.
pub async fn all<S: BlobStore>(mut open: impl AsyncFnMut() -> Arc<S>) {
    every_length_reads_back(&mut open).await;
    let store = open().await;
    only_finished_blobs_are_visible(&*store).await;
    deletion_frees_a_blob_and_spares_its_readers(&*store).await;
    ranges_are_checked(&*store).await;
    listing_pages_in_order(&*store).await;
    what_is_put_away_is_gone(&*store).await;
    a_session_is_listed_by_itself(&*store).await;
    drop(store);
    concurrent_writers_do_not_meet(&mut open).await;
}

/// Bytes that differ from place to place and from seed to seed.
pub fn pattern(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out.into()
}

/// An owner that only this seed has.
pub fn owner(seed: u64) -> BlobOwner {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&seed.to_be_bytes());
    if seed % 5 == 4 {
        return BlobOwner::Journal { subject: Bytes::from(format!("journal {seed}")) };
    }
    BlobOwner::Content {
        bucket: BucketId::from_bytes(id),
        object: ObjectKey::parse(&format!("object/{seed}")).expect("a valid key"),
        version: VersionId::from_bytes(id),
        part: (seed % 3 == 1).then(|| PartNumber::new(seed % 10_000 + 1).expect("a valid number")),
    }
}

/// Writes a blob in pieces of `step` bytes.
pub async fn put(
    store: &dyn BlobStore,
    owner: BlobOwner,
    hint: SizeHint,
    content: &Bytes,
    step: usize,
    trailer: Bytes,
) -> Result<BlobRef, BlobError> {
    let mut writer = store.create(owner, hint).await?;
    let mut rest = content.clone();
    while !rest.is_empty() {
        writer.write(rest.split_to(step.min(rest.len()))).await?;
    }
    writer.finish(trailer).await
}

/// Reads a whole blob.
pub async fn get(store: &dyn BlobStore, blob: &BlobRef) -> Result<Bytes, BlobError> {
    let reader = store.open(blob).await?;
    let mut out = Vec::new();
    while (out.len() as u64) < blob.stored_len.0 {
        let len = (blob.stored_len.0 - out.len() as u64).min(MAX_READ_LEN as u64) as usize;
        out.extend_from_slice(&reader.read(StoredRange { offset: out.len() as u64, len }).await?);
    }
    Ok(out.into())
}

/// Every row, fetched `limit` at a time.
pub async fn list_all(store: &dyn BlobStore, limit: usize) -> Vec<BlobInfo> {
    let mut rows: Vec<BlobInfo> = Vec::new();
    loop {
        let page = store.list(rows.last().map(|row| row.blob.id), limit).await.expect("a listing");
        assert!(page.len() <= limit, "a page is longer than asked");
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
    }
}

/// The blob is not there: that is told when it is opened, or by the first read.
async fn assert_absent(store: &dyn BlobStore, blob: &BlobRef) {
    let read = async {
        let reader = store.open(blob).await?;
        let len = blob.stored_len.0.min(MAX_READ_LEN as u64) as usize;
        reader.read(StoredRange { offset: 0, len }).await
    };
    let read = read.await;
    assert!(matches!(read, Err(BlobError::NotFound(id)) if id == blob.id), "{} is there", blob.id);
}

async fn put_seed(store: &dyn BlobStore, seed: u64, len: usize) -> BlobRef {
    let content = pattern(seed, len);
    let hint = SizeHint::Exact(len as u64);
    let trailer = pattern(seed + 1, 100);
    put(store, owner(seed), hint, &content, 64 << 10, trailer).await.expect("a blob is written")
}

async fn assert_seed(store: &dyn BlobStore, seed: u64, blob: &BlobRef) {
    let content = get(store, blob).await.expect("a blob is read");
    assert!(content == pattern(seed, blob.stored_len.0 as usize), "blob {} has other bytes", blob.id);
    assert_eq!(store.read_trailer(blob).await.expect("a trailer"), pattern(seed + 1, 100));
}

async fn every_length_reads_back<S: BlobStore>(open: &mut impl AsyncFnMut() -> Arc<S>) {
    let store = open().await;
    let started = Timestamp::now();
    let mut written = Vec::new();
    for (seed, len) in (0u64..).zip(LENGTHS) {
        let content = pattern(seed, len);
        let trailers = [0, 1, 333, 5000, MAX_TRAILER_LEN];
        let hints = [
            (SizeHint::Exact(len as u64), 64 << 10),
            (SizeHint::Unknown, 16 << 10),
            (SizeHint::Unknown, 1000),
            // A hint is a hint: more or fewer bytes are fine.
            (SizeHint::Exact(1), 1 << 20),
            (SizeHint::Exact(1 << 20), 300 << 10),
        ];
        for ((hint, step), trailer_len) in hints.into_iter().zip(trailers) {
            let trailer = pattern(seed ^ 77, trailer_len);
            let blob =
                put(&*store, owner(seed), hint, &content, step, trailer.clone()).await.expect("a blob");
            assert_eq!(blob.stored_len, StoredLen(len as u64));
            written.push((seed, blob, content.clone(), trailer));
        }
    }
    let check = async |store: &dyn BlobStore| {
        for (_, blob, content, trailer) in &written {
            assert!(
                get(store, blob).await.expect("a blob is read") == content,
                "{} bytes differ",
                content.len()
            );
            assert_eq!(store.read_trailer(blob).await.expect("a trailer"), trailer);
        }
        let rows = list_all(store, 7).await;
        for (seed, blob, ..) in &written {
            let row = rows.iter().find(|row| row.blob == *blob).expect("a blob is listed");
            assert_eq!(row.owner, owner(*seed));
            assert!(row.finished >= started && row.finished <= Timestamp::now());
        }
        assert_eq!(rows.len(), written.len());
    };
    check(&*store).await;
    drop(store);
    let store = open().await;
    check(&*store).await;
    for (_, blob, ..) in &written {
        store.delete(&blob.id).await.expect("a blob is deleted");
    }
    assert!(list_all(&*store, 7).await.is_empty());
    drop(store);
    assert!(list_all(&*open().await, 7).await.is_empty(), "deleted blobs came back");
}

async fn only_finished_blobs_are_visible(store: &dyn BlobStore) {
    for len in [100usize, 3 << 20] {
        let mut writer = store.create(owner(1), SizeHint::Exact(len as u64)).await.expect("a writer");
        writer.write(pattern(1, len)).await.expect("bytes are taken");
        assert!(list_all(store, 10).await.is_empty(), "an unfinished blob is listed");
        drop(writer);
        assert!(list_all(store, 10).await.is_empty(), "an abandoned blob is listed");
    }
    let writer = store.create(owner(1), SizeHint::Unknown).await.expect("a writer");
    let refused = writer.finish(pattern(1, MAX_TRAILER_LEN + 1)).await;
    assert!(refused.is_err(), "a trailer of any length is taken");
    assert!(list_all(store, 10).await.is_empty());
}

async fn deletion_frees_a_blob_and_spares_its_readers(store: &dyn BlobStore) {
    for len in [0usize, 500, 128 << 10, 2 << 20] {
        let blob = put_seed(store, 8, len).await;
        let other = put_seed(store, 9, len).await;
        let reader = store.open(&blob).await.expect("a reader");
        store.delete(&blob.id).await.expect("a blob is deleted");
        store.delete(&blob.id).await.expect("deleting twice is fine");
        assert_absent(store, &blob).await;
        assert!(matches!(store.read_trailer(&blob).await, Err(BlobError::NotFound(_))));
        let whole = StoredRange { offset: 0, len: len.min(MAX_READ_LEN) };
        match reader.read(whole).await {
            Ok(read) => assert!(read == pattern(8, len)[..whole.len]),
            Err(BlobError::NotFound(id)) if !store.traits().survives_delete => assert_eq!(id, blob.id),
            Err(error) => panic!("an open reader does not go on: {error}"),
        }
        assert_seed(store, 9, &other).await;
        let rows = list_all(store, 10).await;
        assert_eq!(rows.iter().map(|row| row.blob).collect::<Vec<_>>(), [other]);
        store.delete(&other.id).await.expect("a blob is deleted");
    }
    for foreign in [[0; 16], [1; 16], [2; 16], [0xff; 16]] {
        let blob = BlobRef { id: BlobId::from_bytes(foreign), stored_len: StoredLen(5) };
        store.delete(&blob.id).await.expect("absent is fine");
        assert_absent(store, &blob).await;
    }
}

async fn ranges_are_checked(store: &dyn BlobStore) {
    for len in [0usize, 1, 5000, 3 << 20] {
        let content = pattern(3, len);
        let blob = put_seed(store, 3, len).await;
        let reader = store.open(&blob).await.expect("a reader");
        // Of another length each time, and full of something else.
        let mut buffer = vec![7; 10];
        for start in [0, 1, len / 2, len.saturating_sub(1), len] {
            // All of it, too: who has read that may read on.
            for want in [0, 1, 4096, len.min(MAX_READ_LEN), MAX_READ_LEN] {
                let range = StoredRange { offset: start as u64, len: want };
                let read = reader.read(range).await;
                let again = reader.read_into(range, &mut buffer).await;
                assert_eq!(again.is_ok(), read.is_ok());
                if let Ok(read) = &read {
                    assert!(buffer[..want] == read[..], "{start}+{want} of {len}");
                }
                match content.get(start..start + want) {
                    Some(expected) => assert!(read.expect("a range") == expected, "{start}+{want} of {len}"),
                    None => assert!(matches!(read, Err(BlobError::Corrupt(..))), "{start}+{want} of {len}"),
                }
            }
        }
        for range in [
            StoredRange { offset: u64::MAX, len: 1 },
            StoredRange { offset: 0, len: MAX_READ_LEN + 1 },
            StoredRange { offset: u64::MAX - 10, len: 100 },
        ] {
            assert!(matches!(reader.read(range).await, Err(BlobError::Corrupt(..))));
        }
        store.delete(&blob.id).await.expect("a blob is deleted");
    }
}

async fn listing_pages_in_order(store: &dyn BlobStore) {
    let mut blobs = Vec::new();
    for seed in 0..60 {
        blobs.push(put_seed(store, seed, if seed % 4 == 0 { 200 << 10 } else { 300 }).await);
    }
    for limit in [1, 2, 7, 59, 60, 61, 1000] {
        let rows = list_all(store, limit).await;
        assert!(rows.is_sorted_by(|a, b| a.blob.id < b.blob.id), "not in order");
        assert_eq!(rows.len(), blobs.len());
    }
    assert!(store.list(None, 0).await.expect("an empty page").is_empty());
    for blob in blobs.iter().step_by(2) {
        store.delete(&blob.id).await.expect("a blob is deleted");
    }
    let mut left: Vec<BlobRef> = blobs.iter().copied().skip(1).step_by(2).collect();
    left.sort_by_key(|blob| blob.id);
    let rows = list_all(store, 4).await;
    assert_eq!(rows.iter().map(|row| row.blob).collect::<Vec<_>>(), left);
    for blob in left {
        store.delete(&blob.id).await.expect("a blob is deleted");
    }
}

async fn what_is_put_away_is_gone(store: &dyn BlobStore) {
    for len in [0usize, 500, 300 << 10] {
        let blob = put_seed(store, 5, len).await;
        let other = put_seed(store, 6, len).await;
        store.quarantine(&blob.id, Why::CutOff).await.expect("a blob is put away");
        assert_absent(store, &blob).await;
        let again = store.quarantine(&blob.id, Why::Unknown).await;
        assert!(matches!(again, Err(BlobError::NotFound(id)) if id == blob.id));
        let rows = list_all(store, 10).await;
        assert_eq!(rows.iter().map(|row| row.blob).collect::<Vec<_>>(), [other]);
        assert_eq!(store.expire_quarantine(Duration::from_secs(3600)).await.expect("a look"), 0);
        store.delete_many(&[other.id, other.id, blob.id]).await.expect("blobs are deleted");
        store.sync_deletions().await.expect("deletions are durable");
        assert!(list_all(store, 10).await.is_empty());
    }
    // Kept by the wall clock, to the millisecond or coarser.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(store.expire_quarantine(Duration::ZERO).await.expect("a look"), 3);
    assert_eq!(store.expire_quarantine(Duration::ZERO).await.expect("a look"), 0);
}

async fn a_session_is_listed_by_itself(store: &dyn BlobStore) {
    let mut blobs = Vec::new();
    for seed in 0..20 {
        blobs.push(put_seed(store, seed, 300).await);
    }
    if store.traits().by_session {
        let (session, first) = BlobIds::parse(&blobs[0].id).expect("an id that tells its session");
        let number = |blob: &BlobRef| BlobIds::parse(&blob.id).expect("an id that tells its number").1;
        assert!(blobs.is_sorted_by(|a, b| number(a) < number(b)), "numbers don't count up");
        for (from, limit) in [(0, 100), (first, 3), (first + 7, 4), (first + 7, 1), (u64::MAX, 10)] {
            let mut found: Vec<BlobRef> = Vec::new();
            loop {
                let after = found.last().map(|last| last.id);
                let page = store.list_session(session, from, after, limit).await.expect("a page");
                assert!(page.len() <= limit && page.iter().all(|row| row.session == session));
                if page.is_empty() {
                    break;
                }
                found.extend(page.into_iter().map(|row| row.blob));
            }
            assert!(found.is_sorted_by(|a, b| a.id < b.id), "not in order");
            let mut expected: Vec<BlobRef> =
                blobs.iter().copied().filter(|blob| number(blob) >= from).collect();
            expected.sort_by_key(|blob| blob.id);
            assert_eq!(found, expected);
        }
        let other = SessionId(session.0 ^ 1);
        assert!(store.list_session(other, 0, None, 10).await.expect("a page").is_empty());
    }
    store.delete_many(&blobs.iter().map(|blob| blob.id).collect::<Vec<_>>()).await.expect("deletions");
}

async fn concurrent_writers_do_not_meet<S: BlobStore>(open: &mut impl AsyncFnMut() -> Arc<S>) {
    let store = open().await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..24u64 {
        let store = store.clone();
        tasks.spawn(async move {
            let mut kept = Vec::new();
            for round in 0..12u64 {
                let seed = task * 100 + round;
                let len = if round == 11 { (300 << 10) + seed as usize } else { (seed * 37 % 9000) as usize };
                let blob = put_seed(&*store, seed, len).await;
                assert_seed(&*store, seed, &blob).await;
                if round % 3 == 0 {
                    store.delete(&blob.id).await.expect("a blob is deleted");
                } else {
                    kept.push((seed, blob));
                }
            }
            kept
        });
    }
    let mut kept = Vec::new();
    while let Some(done) = tasks.join_next().await {
        kept.extend(done.expect("a writer ends well"));
    }
    drop(store);
    let store = open().await;
    for (seed, blob) in &kept {
        assert_seed(&*store, *seed, blob).await;
    }
    assert_eq!(list_all(&*store, 50).await.len(), kept.len());
    for (_, blob) in kept {
        store.delete(&blob.id).await.expect("a blob is deleted");
    }
}
