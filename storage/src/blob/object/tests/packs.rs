//! Small blobs that lie together.

use futures_util::future::join_all;

use super::*;
use crate::blob::BlobWriter;
use crate::session::pack_and_place;

fn gateway_that_waits(faulty: &Arc<Faulty>, session: u32, pack_window: Duration) -> ObjectBlobStore {
    let (pack_len, compact_interval) = (128 << 10, Duration::ZERO);
    let options = ObjectOptions { pack_len, pack_window, compact_interval, ..options() };
    ObjectBlobStore::new(faulty.clone(), Path::from("p"), BlobIds::new(SessionId(session)), options)
}

/// Its window stays open however busy the machine is.
fn gateway(faulty: &Arc<Faulty>, session: u32) -> ObjectBlobStore {
    gateway_that_waits(faulty, session, Duration::from_millis(400))
}

/// So many blobs that come at one time, all in one pack; the first has the number 0.
async fn together(store: &ObjectBlobStore, count: u64) -> Vec<std::result::Result<BlobRef, BlobError>> {
    // Somebody else is on his way, so that there is a window.
    let other = store.create(owner(0), SizeHint::Exact(5)).await.expect("a writer");
    let blobs = join_all((0..count).map(|seed| put_len(store, seed, 2000 + 10 * seed as usize))).await;
    drop(other);
    blobs
}

async fn pack_of(store: &ObjectBlobStore, count: u64) -> (BlobId, Vec<BlobRef>) {
    let blobs: Vec<_> = together(store, count).await.into_iter().map(|blob| blob.expect("a blob")).collect();
    let packs = blobs.iter().map(|blob| pack_and_place(&blob.id).expect("it is in a pack").0);
    let mut packs: Vec<_> = packs.collect();
    packs.dedup();
    assert_eq!(packs.len(), 1, "they came at one time");
    (packs[0], blobs)
}

async fn objects(faulty: &Faulty) -> usize {
    faulty.inner.list(None).count().await
}

async fn listed(store: &ObjectBlobStore) -> Vec<BlobRef> {
    list_all(store, 7).await.into_iter().map(|row| row.blob).collect()
}

fn sorted(mut blobs: Vec<BlobRef>) -> Vec<BlobRef> {
    blobs.sort_by_key(|blob| blob.id);
    blobs
}

/// A store each of whose small blobs lies in a pack with another one, which is deleted.
struct Paired(ObjectBlobStore);

struct PairedWriter(ObjectBlobStore, Box<dyn BlobWriter>);

#[async_trait]
impl BlobWriter for PairedWriter {
    async fn write(&mut self, data: Bytes) -> std::result::Result<(), BlobError> {
        self.1.write(data).await
    }

    async fn finish(self: Box<Self>, trailer: Bytes) -> std::result::Result<BlobRef, BlobError> {
        let Self(store, writer) = *self;
        let other = async {
            let mut other = store.create(owner(99), SizeHint::Exact(9)).await?;
            other.write(pattern(99, 9)).await?;
            other.finish(Bytes::new()).await
        };
        let (blob, other) = tokio::join!(writer.finish(trailer), other);
        store.delete(&other?.id).await?;
        blob
    }
}

#[async_trait]
impl BlobStore for Paired {
    async fn create(
        &self,
        owner: BlobOwner,
        hint: SizeHint,
    ) -> std::result::Result<Box<dyn BlobWriter>, BlobError> {
        Ok(Box::new(PairedWriter(self.0.clone(), self.0.create(owner, hint).await?)))
    }

    async fn open(&self, blob: &BlobRef) -> std::result::Result<Box<dyn BlobReader>, BlobError> {
        self.0.open(blob).await
    }

    async fn read_trailer(&self, blob: &BlobRef) -> std::result::Result<Bytes, BlobError> {
        self.0.read_trailer(blob).await
    }

    async fn delete(&self, blob: &BlobId) -> std::result::Result<(), BlobError> {
        self.0.delete(blob).await
    }

    async fn list(&self, after: Option<BlobId>, n: usize) -> std::result::Result<Vec<BlobInfo>, BlobError> {
        self.0.list(after, n).await
    }

    fn traits(&self) -> BlobTraits {
        self.0.traits()
    }

    async fn list_session(
        &self,
        session: SessionId,
        from: u64,
        after: Option<BlobId>,
        limit: usize,
    ) -> std::result::Result<Vec<BlobInfo>, BlobError> {
        self.0.list_session(session, from, after, limit).await
    }

    async fn quarantine(&self, blob: &BlobId, why: Why) -> std::result::Result<(), BlobError> {
        self.0.quarantine(blob, why).await
    }

    async fn count_quarantined(&self) -> std::result::Result<u64, BlobError> {
        self.0.count_quarantined().await
    }

    async fn expire_quarantine(&self, kept: Duration) -> std::result::Result<u64, BlobError> {
        self.0.expire_quarantine(kept).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_in_packs_keep_the_contract() {
    let faulty = Arc::new(Faulty::default());
    let mut session = 7;
    let mut open = || {
        session += 1;
        gateway_that_waits(&faulty, session, Duration::from_millis(3))
    };
    crate::contract::blob::all(async || Arc::new(Paired(open()))).await;
    // What one gateway began to delete and another ended is found by a look at all names.
    assert!(open().mostly_dead(50).await.expect("a look").is_empty());
    assert_eq!(objects(&faulty).await, 0, "something was left behind");
    crate::contract::blob::all(async || Arc::new(open())).await;
    assert!(open().mostly_dead(50).await.expect("a look").is_empty());
    assert_eq!(objects(&faulty).await, 0, "something was left behind");
}

#[tokio::test]
async fn what_comes_at_one_time_is_one_object_and_reads_back() {
    let faulty = Arc::new(Faulty::default());
    let store = gateway(&faulty, 7);
    let (_, blobs) = pack_of(&store, 40).await;
    assert_eq!((objects(&faulty).await, faulty.put_count.load(Ordering::SeqCst)), (1, 1));
    // Another gateway, which has made none of them.
    let other = gateway(&faulty, 8);
    for (seed, blob) in blobs.iter().enumerate() {
        assert_whole(&other, seed as u64, blob).await;
        other.verify(blob).await.expect("it is whole");
    }
    assert_eq!(listed(&other).await, sorted(blobs.clone()));
    let rows = list_all(&other, 3).await;
    assert!(rows.iter().all(|row| row.session == SessionId(7)));
    // Nobody else comes: alone, and at once.
    let alone = put_len(&gateway(&faulty, 9), 1, 500).await.expect("a blob");
    assert_eq!(pack_and_place(&alone.id), None);
    assert_eq!(store.shared.ids.settled(), 42, "a pack is open until all of its blobs have a record");
    blobs.iter().for_each(|blob| store.shared.ids.settle(&blob.id));
    assert_eq!(store.shared.ids.settled(), 43);
}

#[tokio::test]
async fn a_pack_that_fails_fails_for_all_and_nothing_of_it_is_seen() {
    for fault in [Fault::Refused, Fault::Hangs] {
        let faulty = Arc::new(Faulty::default());
        let store = gateway(&faulty, 7);
        let kept = put_len(&store, 3, 2000).await.expect("a blob");
        store.shared.ids.settle(&kept.id);
        faulty.puts.lock().extend([Some(fault); 9]);
        let blobs = together(&store, 12).await;
        assert!(blobs.iter().all(|blob| matches!(blob, Err(BlobError::Unavailable(_)))), "{fault:?}");
        assert_eq!(listed(&store).await, [kept]);
        // Something of it may still come: it goes as one.
        let open = store.shared.ids.open_for(Duration::ZERO);
        assert_eq!(open.len(), 1);
        assert_eq!(open[0].stage, crate::session::Stage::Abandoned);
        store.delete(&open[0].id).await.expect("it is deleted");
        assert!(store.shared.ids.is_settled());
    }
    let faulty = Arc::new(Faulty::default());
    let store = gateway(&faulty, 7);
    faulty.puts.lock().push_back(Some(Fault::AnswerLost));
    let (_, blobs) = pack_of(&store, 5).await;
    assert_whole(&store, 4, &blobs[4]).await;
    assert_eq!(objects(&faulty).await, 1);
}

#[tokio::test]
async fn whoever_does_not_wait_for_the_pack_leaves_a_blob_that_is_found() {
    let faulty = Arc::new(Faulty::default());
    let store = gateway(&faulty, 7);
    let other = store.create(owner(0), SizeHint::Exact(5)).await.expect("a writer");
    let (kept, gone) = tokio::join!(
        put_len(&store, 1, 3000),
        tokio::time::timeout(Duration::from_millis(1), put_len(&store, 2, 3000))
    );
    drop(other);
    let kept = kept.expect("the other one goes on");
    assert!(gone.is_err());
    assert_whole(&store, 1, &kept).await;
    let open = store.shared.ids.open_for(Duration::ZERO);
    let abandoned: Vec<_> =
        open.iter().filter(|open| open.stage == crate::session::Stage::Abandoned).collect();
    assert_eq!(abandoned.len(), 1);
    store.delete(&abandoned[0].id).await.expect("it is deleted");
    assert_eq!(listed(&gateway(&faulty, 8)).await, [kept]);
}

#[tokio::test]
async fn what_is_deleted_of_a_pack_is_so_for_all_and_the_pack_goes_with_the_last() {
    let faulty = Arc::new(Faulty::default());
    let store = gateway(&faulty, 7);
    let (_, blobs) = pack_of(&store, 50).await;
    let (dead, alive) = blobs.split_at(45);
    store.delete_many(&dead.iter().map(|blob| blob.id).collect::<Vec<_>>()).await.expect("they go");
    assert_eq!(objects(&faulty).await, 3, "two names say it");
    assert!(matches!(get(&store, &dead[0]).await, Err(BlobError::NotFound(id)) if id == dead[0].id));
    let other = gateway(&faulty, 8);
    assert_eq!(listed(&other).await, sorted(alive.to_vec()));
    let page = other.list_session(SessionId(7), 0, None, 100).await.expect("a page");
    assert_eq!(page.len(), 5);
    assert!(other.list_session(SessionId(7), 1000, None, 100).await.expect("a page").is_empty());
    // Mostly dead: what lives is listed, to be moved out.
    let packs = other.mostly_dead(50).await.expect("a look");
    assert_eq!(packs, [pack_and_place(&dead[0].id).expect("a pack").0]);
    let segment = other.list_segment(&packs[0], None, 100).await.expect("a page");
    assert_eq!(segment.iter().map(|row| row.blob).collect::<Vec<_>>(), sorted(alive.to_vec()));
    let rest = other.list_segment(&packs[0], Some(segment[1].blob.id), 2).await.expect("a page");
    assert_eq!(rest, segment[2..4]);
    assert!(other.mostly_dead(99).await.expect("a look").is_empty());
    // The last of them: whoever knows of all deletes the pack, and what said that they are dead.
    store.delete_many(&alive.iter().map(|blob| blob.id).collect::<Vec<_>>()).await.expect("they go");
    assert_eq!(objects(&faulty).await, 0);
    store.delete(&alive[0].id).await.expect("absent is fine");

    // One that begins behind a crash finds what was deleted before it.
    let (_, blobs) = pack_of(&store, 4).await;
    store.delete_many(&blobs[..3].iter().map(|blob| blob.id).collect::<Vec<_>>()).await.expect("they go");
    assert_eq!(objects(&faulty).await, 2);
    gateway(&faulty, 10).delete(&blobs[3].id).await.expect("it goes");
    assert_eq!(objects(&faulty).await, 0, "a pack goes with its last blob, whoever deletes that");

    // Nor does it matter which of two gateways deletes which.
    let (_, blobs) = pack_of(&store, 4).await;
    for (blob, store) in blobs.iter().zip([&store, &other, &store, &other]) {
        store.delete(&blob.id).await.expect("it goes");
    }
    assert_eq!(objects(&faulty).await, 0);

    // A crash before the pack goes whose last blob was marked: a look at the names finds it.
    let (pack, blobs) = pack_of(&store, 4).await;
    for blob in &blobs {
        let (_, place) = pack_and_place(&blob.id).expect("it is in a pack");
        let name = store.shared.places.tombstone(pack, &[place]);
        faulty.inner.put(&name, "x".into()).await.expect("an object");
    }
    assert!(listed(&other).await.is_empty());
    assert_eq!(objects(&faulty).await, 5);
    assert!(gateway(&faulty, 9).mostly_dead(50).await.expect("a look").is_empty());
    assert_eq!(objects(&faulty).await, 0);

    // A crash between the pack's deletion and that of its tombstones.
    let name = store.shared.places.tombstone(pack, &[100]);
    faulty.inner.put(&name, "x".into()).await.expect("an object");
    assert!(listed(&other).await.is_empty());
    other.mostly_dead(50).await.expect("a look");
    assert_eq!(objects(&faulty).await, 0);
}

#[tokio::test]
async fn a_packed_blob_comes_back_from_quarantine_alone() {
    let faulty = Arc::new(Faulty::default());
    let store = gateway(&faulty, 7);
    let (_, blobs) = pack_of(&store, 3).await;
    store.quarantine(&blobs[1].id, Why::Unknown).await.expect("it is put away");
    let other = gateway(&faulty, 8);
    assert!(matches!(other.quarantine(&blobs[1].id, Why::CutOff).await, Err(BlobError::NotFound(_))));
    assert_eq!(listed(&other).await, sorted(vec![blobs[0], blobs[2]]));
    let away = other.quarantined().await.expect("a list");
    assert_eq!((away[0].owner.clone(), away[0].blob.stored_len), (owner(1), blobs[1].stored_len));
    assert_eq!(other.release_quarantine(&[Why::Unknown]).await.expect("it comes back"), 1);
    let back = away[0].blob;
    assert_whole(&other, 1, &back).await;
    other.verify(&back).await.expect("it is whole");
    assert_eq!(listed(&other).await, sorted(vec![blobs[0], blobs[2], back]));
    assert_eq!(BlobIds::parse(&back.id), BlobIds::parse(&blobs[1].id));
}

#[tokio::test]
async fn a_damaged_pack_is_no_end_of_a_listing() {
    let faulty = Arc::new(Faulty::default());
    let store = gateway(&faulty, 7);
    let (pack, blobs) = pack_of(&store, 3).await;
    let (_, sound) = pack_of(&gateway(&faulty, 8), 3).await;
    let name = store.shared.places.of(pack);
    let bytes = faulty.inner.get(&name).await.expect("it").bytes().await.expect("it");
    for at in [40, bytes.len() - 150] {
        let mut bad = bytes.to_vec();
        bad[at] ^= 1;
        faulty.inner.put(&name, bad.into()).await.expect("it is damaged");
        let other = gateway(&faulty, 9);
        assert!(matches!(other.verify(&blobs[2]).await, Err(BlobError::Corrupt(..))), "byte {at}");
        let expected = if at == 40 { sound.clone() } else { [blobs.clone(), sound.clone()].concat() };
        assert_eq!(listed(&other).await, sorted(expected), "byte {at}");
    }
}
