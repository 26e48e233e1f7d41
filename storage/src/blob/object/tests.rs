mod packs;

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use parking_lot::Mutex;

use super::*;
use crate::blob::{StoredLen, StoredRange, Why};
use crate::contract::blob::{get, list_all, owner, pattern, put};
use crate::session::alone_in_shard;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It is refused, and nothing happens.
    Refused,
    /// It is done, and its answer is lost.
    AnswerLost,
    /// It is never answered.
    Hangs,
    /// The bytes of its answer break off after so many.
    BreaksAfter(usize),
}

/// A store in memory whose requests go wrong as they are told to, in order.
#[derive(Debug, Default)]
struct Faulty {
    inner: InMemory,
    puts: Mutex<VecDeque<Option<Fault>>>,
    gets: Mutex<VecDeque<Option<Fault>>>,
    parts: Arc<Mutex<VecDeque<Option<Fault>>>>,
    completes: Arc<Mutex<VecDeque<Option<Fault>>>>,
    get_count: AtomicUsize,
    put_count: AtomicUsize,
    aborted: Arc<AtomicUsize>,
    parts_now: Arc<AtomicUsize>,
    parts_most: Arc<AtomicUsize>,
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("faulty")
    }
}

fn broken() -> Error {
    Error::Generic { store: "faulty", source: "it broke off".into() }
}

async fn suffer<T>(fault: Option<Fault>, done: impl Future<Output = Result<T>>) -> Result<T> {
    match fault {
        Some(Fault::Refused) => Err(broken()),
        Some(Fault::AnswerLost) => done.await.and(Err(broken())),
        Some(Fault::Hangs) => std::future::pending().await,
        Some(Fault::BreaksAfter(_)) | None => done.await,
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.put_count.fetch_add(1, Ordering::SeqCst);
        let fault = self.puts.lock().pop_front().flatten();
        suffer(fault, self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(FaultyUpload {
            inner,
            parts: self.parts.clone(),
            completes: self.completes.clone(),
            aborted: self.aborted.clone(),
            now: self.parts_now.clone(),
            most: self.parts_most.clone(),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.get_count.fetch_add(1, Ordering::SeqCst);
        let fault = self.gets.lock().pop_front().flatten();
        let mut answer = suffer(fault, self.inner.get_opts(location, options)).await?;
        let GetResultPayload::Stream(bytes) = answer.payload;
        let pieces = bytes.flat_map(|bytes| {
            let bytes = bytes.expect("memory reads");
            let pieces: Vec<_> =
                bytes.chunks(10_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            stream::iter(pieces)
        });
        answer.payload = GetResultPayload::Stream(match fault {
            Some(Fault::BreaksAfter(len)) => {
                pieces.take(len.div_ceil(10_000)).chain(stream::iter([Err(broken())])).boxed()
            }
            _ => pieces.boxed(),
        });
        Ok(answer)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    parts: Arc<Mutex<VecDeque<Option<Fault>>>>,
    completes: Arc<Mutex<VecDeque<Option<Fault>>>>,
    aborted: Arc<AtomicUsize>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

/// A part that is being sent, or was cut off.
struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let fault = self.parts.lock().pop_front().flatten();
        let (now, most, part) = (self.now.clone(), self.most.clone(), self.inner.put_part(data));
        Box::pin(async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let _under_way = UnderWay(now);
            tokio::time::sleep(Duration::from_millis(2)).await;
            suffer(fault, part).await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let fault = self.completes.lock().pop_front().flatten();
        suffer(fault, self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.aborted.fetch_add(1, Ordering::SeqCst);
        self.inner.abort().await
    }
}

/// Small enough that contents of the contract are of every kind.
fn options() -> ObjectOptions {
    ObjectOptions {
        single_len: 1 << 20,
        part_len: 1 << 20,
        read: Duration::from_millis(500),
        write: Duration::from_millis(500),
        wait: Duration::from_millis(300),
        ..ObjectOptions::default()
    }
}

const SESSION: SessionId = SessionId(0x0a0b_0c0d);

fn world() -> (Arc<Faulty>, ObjectBlobStore) {
    let faulty = Arc::new(Faulty::default());
    let store =
        ObjectBlobStore::new(faulty.clone(), Path::from("some/prefix"), BlobIds::new(SESSION), options());
    (faulty, store)
}

async fn put_len(store: &ObjectBlobStore, seed: u64, len: usize) -> std::result::Result<BlobRef, BlobError> {
    let content = pattern(seed, len);
    put(store, owner(seed), SizeHint::Exact(len as u64), &content, 64 << 10, pattern(seed + 1, 100)).await
}

async fn assert_whole(store: &ObjectBlobStore, seed: u64, blob: &BlobRef) {
    assert!(get(store, blob).await.expect("a blob is read") == pattern(seed, blob.stored_len.0 as usize));
    assert_eq!(store.read_trailer(blob).await.expect("a trailer"), pattern(seed + 1, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract() {
    let (faulty, _) = world();
    // One session ends and another goes on, over the same objects.
    let mut session = 7;
    let open = async || {
        session += 1;
        let ids = BlobIds::new(SessionId(session));
        Arc::new(ObjectBlobStore::new(faulty.clone(), Path::from("p"), ids, options()))
    };
    crate::contract::blob::all(open).await;
    assert_eq!(faulty.inner.list(None).count().await, 0, "something was left behind");
    assert!(faulty.parts_most.load(Ordering::SeqCst) <= options().parts_in_flight);
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_told_from_another_object_in_its_place() {
    for len in [5000, 3 << 20] {
        let (faulty, store) = world();
        faulty.puts.lock().push_back(Some(Fault::AnswerLost));
        faulty.completes.lock().push_back(Some(Fault::AnswerLost));
        let blob = put_len(&store, 1, len).await.expect("it is there");
        assert_whole(&store, 1, &blob).await;
        assert_eq!(list_all(&store, 10).await.len(), 1);
        assert_eq!(faulty.aborted.load(Ordering::SeqCst), 0);
    }
    let (faulty, store) = world();
    for shard in 0..=255 {
        let name = format!("some/prefix/{shard:02x}/0a0b0c0d/0000000000000000000001");
        faulty.inner.put(&Path::from(name), "foreign".into()).await.expect("an object");
    }
    assert!(matches!(put_len(&store, 1, 500).await, Err(BlobError::Unavailable(_))));
    let lost = faulty.inner.list(None).filter(|object| {
        let is_other = object.as_ref().is_ok_and(|object| object.size != 7);
        std::future::ready(is_other)
    });
    assert_eq!(lost.count().await, 0, "an object was overwritten");
}

#[tokio::test]
async fn what_is_refused_or_never_answered_fails_in_time_and_leaves_nothing() {
    for (fault, is_once_enough) in [(Fault::Refused, false), (Fault::Hangs, true)] {
        for len in [5000, 5 << 20] {
            let (faulty, store) = world();
            let other = put_len(&store, 3, 2000).await.expect("a blob");
            let times = if is_once_enough { 1 } else { 10 };
            faulty.puts.lock().extend(vec![Some(fault); times]);
            faulty.parts.lock().extend([None, None, Some(fault)]);
            let begun = std::time::Instant::now();
            let (written, ()) = tokio::join!(put_len(&store, 1, len), assert_whole(&store, 3, &other));
            assert!(matches!(written, Err(BlobError::Unavailable(_))), "{fault:?} {len}");
            assert!(begun.elapsed() < Duration::from_secs(3));
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(list_all(&store, 10).await.iter().map(|row| row.blob).collect::<Vec<_>>(), [other]);
            assert_eq!(faulty.aborted.load(Ordering::SeqCst), usize::from(len > 1 << 20), "{fault:?} {len}");
        }
    }
    // One refusal is no failure.
    let (faulty, store) = world();
    faulty.puts.lock().push_back(Some(Fault::Refused));
    faulty.gets.lock().push_back(Some(Fault::Refused));
    let blob = put_len(&store, 1, 5000).await.expect("it is written");
    assert_whole(&store, 1, &blob).await;
    faulty.gets.lock().push_back(Some(Fault::Hangs));
    assert!(matches!(get(&store, &blob).await, Err(BlobError::Unavailable(_))));
}

#[tokio::test]
async fn an_upload_that_is_dropped_is_given_up() {
    let (faulty, store) = world();
    let mut writer = store.create(owner(1), SizeHint::Unknown).await.expect("a writer");
    writer.write(pattern(1, 3 << 20)).await.expect("it is taken");
    drop(writer);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(faulty.aborted.load(Ordering::SeqCst), 1);
    assert!(list_all(&store, 10).await.is_empty());
}

#[tokio::test]
async fn what_is_read_in_order_is_one_request_and_goes_on_where_it_broke_off() {
    let (faulty, store) = world();
    let len = 6 << 20;
    let blob = put_len(&store, 1, len).await.expect("a blob");
    let span = 300_000;
    for faults in [vec![], vec![Fault::BreaksAfter(1_000_000), Fault::BreaksAfter(10_000), Fault::Hangs]] {
        let requests = 1 + faults.len();
        faulty.gets.lock().extend(faults.into_iter().map(Some));
        let before = faulty.get_count.load(Ordering::SeqCst);
        let reader = store.open(&blob).await.expect("a reader");
        reader.will_read(0..len as u64).await;
        let mut read = Vec::new();
        while read.len() < len {
            let len = span.min(len - read.len());
            read.extend_from_slice(
                &reader.read(StoredRange { offset: read.len() as u64, len }).await.expect("a span"),
            );
        }
        assert!(read == pattern(1, len));
        assert_eq!(faulty.get_count.load(Ordering::SeqCst) - before, requests);
    }
    // Three times in one place is enough.
    faulty.gets.lock().extend([
        Some(Fault::BreaksAfter(700_000)),
        Some(Fault::Refused),
        Some(Fault::Refused),
        Some(Fault::Refused),
    ]);
    let reader = store.open(&blob).await.expect("a reader");
    reader.will_read(0..len as u64).await;
    let spans: Vec<_> = stream::iter(0..4)
        .then(|n| reader.read(StoredRange { offset: n * span as u64, len: span }))
        .map(|read| read.is_ok())
        .collect()
        .await;
    assert_eq!(spans[..3], [true, true, false]);
    faulty.gets.lock().clear();
    // Single ranges are requests of their own.
    let before = faulty.get_count.load(Ordering::SeqCst);
    let reader = store.open(&blob).await.expect("a reader");
    for offset in [5 << 20, 100, 3 << 20, 0] {
        let read = reader.read(StoredRange { offset, len: 1000 }).await.expect("a range");
        assert!(read == pattern(1, len)[offset as usize..offset as usize + 1000]);
    }
    assert_eq!(faulty.get_count.load(Ordering::SeqCst) - before, 4);
}

#[tokio::test]
async fn a_reader_that_stops_holds_two_spans_and_no_more() {
    let (_, store) = world();
    let blob = put_len(&store, 1, 6 << 20).await.expect("a blob");
    let reader = store.open(&blob).await.expect("a reader");
    reader.will_read(0..6 << 20).await;
    reader.read(StoredRange { offset: 0, len: 100_000 }).await.expect("a span");
    tokio::time::sleep(Duration::from_millis(100)).await;
    // What was received stays good after the deletion, what was not is gone: that is what this store is like.
    store.delete(&blob.id).await.expect("it is deleted");
    for n in 1..3u64 {
        let read = reader.read(StoredRange { offset: n * 100_000, len: 100_000 }).await.expect("a span");
        assert!(read == pattern(1, 6 << 20)[n as usize * 100_000..][..100_000]);
    }
    drop(reader);
    assert!(matches!(get(&store, &blob).await, Err(BlobError::NotFound(id)) if id == blob.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_bounded_and_who_waits_too_long_is_refused() {
    let faulty = Arc::new(Faulty::default());
    let options = ObjectOptions { buffer_len: 2 << 20, ..options() };
    let store = ObjectBlobStore::new(faulty, Path::from("p"), BlobIds::new(SESSION), options);
    // Each is larger than the whole: they go through, as parts leave.
    let blob = put_len(&store, 1, 10 << 20).await.expect("it is written");
    assert_whole(&store, 1, &blob).await;
    let mut hoarders = Vec::new();
    for seed in 0..2 {
        let mut writer = store.create(owner(seed), SizeHint::Unknown).await.expect("a writer");
        writer.write(pattern(seed, 1 << 20)).await.expect("it is taken");
        hoarders.push(writer);
    }
    assert!(matches!(put_len(&store, 5, 100_000).await, Err(BlobError::Unavailable(_))));
    drop(hoarders.pop());
    put_len(&store, 5, 100_000).await.expect("there is room again");
    let many = (0..20).map(|seed| {
        let store = store.clone();
        tokio::spawn(async move { put_len(&store, seed, 100_000).await })
    });
    for done in many.collect::<Vec<_>>() {
        done.await.expect("it ends").expect("it is written");
    }
}

#[tokio::test]
async fn foreign_and_damaged_objects_are_no_blobs_and_stay() {
    let (faulty, store) = world();
    let blobs =
        [put_len(&store, 1, 500).await.expect("a blob"), put_len(&store, 2, 600).await.expect("a blob")];
    let name = |blob: &BlobRef| store.shared.places.of(blob.id);
    let bytes = faulty.inner.get(&name(&blobs[0])).await.expect("it").bytes().await.expect("it");
    let other = alone_in_shard(SessionId(9), 3, 77);
    for (at, foreign) in [
        (Path::from("some/prefix/readme"), Bytes::from("hello")),
        (Path::from("some/prefix/00/readme"), Bytes::from("hello")),
        (Path::from("some/prefixes/00/0a0b0c0d/0000000000000000000001"), bytes.clone()),
        (store.shared.places.of(other), bytes.clone()),
    ] {
        faulty.inner.put(&at, foreign.into()).await.expect("an object");
    }
    for page in [1, 2, 10] {
        let mut rows: Vec<_> = list_all(&store, page).await.into_iter().map(|row| row.blob).collect();
        rows.sort_by_key(|blob| blob.stored_len);
        assert_eq!(rows, blobs);
    }
    store.verify(&blobs[0]).await.expect("it is whole");
    let mut bad = bytes.to_vec();
    bad[77] ^= 1;
    faulty.inner.put(&name(&blobs[0]), bad.into()).await.expect("it is damaged");
    assert!(matches!(store.verify(&blobs[0]).await, Err(BlobError::Corrupt(..))));
    let moved = BlobRef { id: other, ..blobs[0] };
    assert!(matches!(store.read_trailer(&moved).await, Err(BlobError::Corrupt(..))));
    let longer = BlobRef { stored_len: StoredLen(501), ..blobs[0] };
    assert!(matches!(store.read_trailer(&longer).await, Err(BlobError::Corrupt(..))));
    faulty.inner.put(&name(&blobs[1]), bytes.slice(..300).into()).await.expect("it is cut");
    assert!(matches!(
        store.read_trailer(&blobs[1]).await,
        Err(BlobError::Unavailable(_) | BlobError::Corrupt(..))
    ));
    assert!(matches!(get(&store, &blobs[1]).await, Err(BlobError::Corrupt(..))));
    assert_eq!(list_all(&store, 10).await.len(), 1);
    assert_eq!(faulty.inner.list(None).count().await, 6);
}

#[tokio::test]
async fn a_blob_comes_back_from_quarantine_or_is_deleted_when_its_time_is_over() {
    let (faulty, store) = world();
    let mut blobs = Vec::new();
    for seed in 0..3 {
        blobs.push(put_len(&store, seed, 1000 + seed as usize).await.expect("a blob"));
    }
    store.quarantine(&blobs[0].id, Why::Unknown).await.expect("it is put away");
    store.quarantine(&blobs[1].id, Why::CutOff).await.expect("it is put away");
    assert!(matches!(store.quarantine(&blobs[1].id, Why::CutOff).await, Err(BlobError::NotFound(_))));
    assert!(matches!(get(&store, &blobs[0]).await, Err(BlobError::NotFound(_))));
    assert_eq!(list_all(&store, 10).await.len(), 1);
    let away = store.quarantined().await.expect("a list");
    let mut said: Vec<_> = away.iter().map(|away| (away.blob, away.owner.clone(), away.why)).collect();
    said.sort_by_key(|(blob, ..)| blob.stored_len);
    assert_eq!(said, [(blobs[0], owner(0), Why::Unknown), (blobs[1], owner(1), Why::CutOff)]);
    assert_eq!(store.expire_quarantine(Duration::from_secs(60)).await.expect("nothing to do"), 0);
    assert_eq!(store.release_quarantine(&[Why::Unknown]).await.expect("it comes back"), 1);
    assert_whole(&store, 0, &blobs[0]).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(store.expire_quarantine(Duration::ZERO).await.expect("one"), 1);
    assert_eq!(faulty.inner.list(None).count().await, 2);
    // What is longer than a store copies at once goes by itself.
    let from = store.shared.places.of(blobs[2].id);
    let to = store.shared.places.quarantined(blobs[2].id, 1, "u");
    store.shared.copy_in_parts(blobs[2].id, &from, &to).await.expect("it is copied");
    let both = [faulty.inner.get(&from).await.expect("it"), faulty.inner.get(&to).await.expect("it")];
    let [a, b] = both.map(|object| object.bytes());
    assert_eq!(a.await.expect("bytes"), b.await.expect("bytes"));
}

#[tokio::test]
async fn a_session_that_has_ended_begins_no_blob() {
    let (_, store) = world();
    store.shared.ids.end();
    let refused = store.create(owner(1), SizeHint::Unknown).await.map(drop);
    assert!(matches!(refused, Err(BlobError::Unavailable(_))), "{refused:?}");
    assert_eq!(store.shared.ids.settled(), 1, "no number is taken");
}

#[tokio::test]
async fn many_are_deleted_at_once_and_a_session_lists_alone() {
    let (_, store) = world();
    let ids = BlobIds::new(SessionId(SESSION.0 + 1));
    let other = ObjectBlobStore::new(store.shared.store.clone(), Path::from("some/prefix"), ids, options());
    let mut ids = Vec::new();
    for seed in 0..40 {
        ids.push(put_len(&store, seed, 10).await.expect("a blob").id);
        put_len(&other, seed, 20).await.expect("a blob");
    }
    let mut of_session = Vec::new();
    loop {
        let after = of_session.last().map(|row: &BlobInfo| row.blob.id);
        let page = store.list_session(SESSION, 11, after, 7).await.expect("a page");
        if page.is_empty() {
            break;
        }
        of_session.extend(page);
    }
    assert!(of_session.iter().all(|row| row.session == SESSION));
    let mut sorted = ids[10..].to_vec();
    sorted.sort();
    assert_eq!(of_session.iter().map(|row| row.blob.id).collect::<Vec<_>>(), sorted);
    ids.push(alone_in_shard(SessionId(1), 0, 1));
    assert_eq!(store.shared.ids.settled(), 1);
    store.delete_many(&ids).await.expect("they are deleted");
    // What was never sent is no blob that anybody has to look for.
    drop(store.create(owner(1), SizeHint::Unknown).await.expect("a writer"));
    assert_eq!(store.shared.ids.settled(), 42);
    assert!(list_all(&store, 100).await.iter().all(|row| row.blob.stored_len.0 == 20));
    assert_eq!(list_all(&store, 9).await.len(), 40);
}
