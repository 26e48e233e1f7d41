use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Duration;

use super::*;
use crate::blob::memory::MemoryBlobStore;
use crate::blob::{BlobOwner, BlobStore, SizeHint};
use crate::kv::memory::MemoryKv;

#[tokio::test]
async fn a_start_ends_the_sessions_before_it_and_they_can_commit_no_more() {
    let kv = Arc::new(MemoryKv::new());
    let [first, second, third] = [(); 3].map(|()| SessionId::random());
    let state = async |session| Catalog::new(kv.clone()).session_state(session).await.expect("a read");
    let one = Catalog::new(kv.clone());
    one.begin_session(first, Some(Timestamp(1))).await.expect("it begins");
    assert_eq!(state(first).await, SessionState::Live);
    assert_eq!(state(second).await, SessionState::Unknown);
    one.put_document("shelf", "a").await.expect("a commit");
    let other = Catalog::new(kv.clone());
    other.begin_session(second, Some(Timestamp(7))).await.expect("it begins");
    assert_eq!(
        (state(first).await, state(second).await),
        (SessionState::Ended(Timestamp(7)), SessionState::Live)
    );
    one.put_document("shelf", "b").await.expect_err("its session has ended");
    other.put_document("shelf", "b").await.expect("a commit");
    let last = Catalog::new(kv.clone());
    last.begin_session(third, None).await.expect("it begins");
    assert_eq!(
        (state(first).await, state(second).await),
        (SessionState::Ended(Timestamp(7)), SessionState::Unsure)
    );
    last.forget_sessions(1).await.expect("nothing to do");
    assert_eq!(state(first).await, SessionState::Ended(Timestamp(7)));
    last.forget_sessions(0).await.expect("a commit");
    assert_eq!((state(first).await, state(second).await), (SessionState::Unknown, SessionState::Unsure));
}

impl Catalog {
    async fn put_document(&self, shelf: &str, name: &str) -> Result<(), CatalogError> {
        let (state, _) = self.documents(shelf).await?;
        let change = (name.to_owned(), Some(Bytes::from_static(b"{}")));
        self.change_documents(shelf, state, vec![change]).await.map(drop)
    }
}

const BEAT_INTERVAL: Duration = Duration::from_secs(5);

async fn join(kv: &Arc<MemoryKv>) -> (Catalog, BlobIds, SessionKeeper) {
    let (catalog, ids) = (Catalog::new(kv.clone()), BlobIds::new(SessionId::random()));
    let keeper =
        SessionKeeper::join(catalog.clone(), ids.clone(), About::default(), SessionOptions::default()).await;
    (catalog, ids, keeper.expect("it joins"))
}

async fn state(kv: &Arc<MemoryKv>, ids: &BlobIds) -> SessionState {
    Catalog::new(kv.clone()).session_state(ids.session()).await.expect("a read")
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_is_frozen_beyond_its_session_can_not_commit() {
    let kv = Arc::new(MemoryKv::new());
    let (frozen, its, mut keeper) = join(&kv).await;
    let (_, one, mut first) = join(&kv).await;
    let (_, two, mut second) = join(&kv).await;
    frozen.put_document("shelf", "a").await.expect("a commit");
    let mut ended = Vec::new();
    let told = frozen.session_ended();
    // Two minutes by the clock of the others.
    for _ in 0..24 {
        tokio::time::advance(BEAT_INTERVAL).await;
        let steps = tokio::join!(first.step(), second.step());
        for step in [steps.0, steps.1] {
            ended.extend(step.expect("a step").ended);
        }
    }
    assert_eq!(ended, [its.session()], "both found it dead and one of them won");
    assert!(matches!(state(&kv, &its).await, SessionState::Ended(_)));
    for ids in [&one, &two] {
        assert_eq!(state(&kv, ids).await, SessionState::Live);
    }
    assert!(!*told.borrow());
    its.check().expect("it has heard nothing");
    let refused = frozen.put_document("shelf", "b").await;
    assert!(matches!(refused, Err(CatalogError::Kv(KvError::Unavailable(_)))), "{refused:?}");
    assert!(*told.borrow(), "it learned of it");
    its.check().expect_err("no record will name a blob that begins now");
    keeper.step().await.expect_err("its session has ended");
    assert_eq!(keeper.leave().await.expect("an answer"), SessionEnd::ByOthers);
    let (_, stop) = watch::channel(false);
    let (_, ids, keeper) = join(&kv).await;
    let dead = Catalog::new(kv.clone()).sessions().await.expect("a read");
    let dead = dead.into_iter().find(|session| session.id == ids.session()).expect("it joined");
    first.step().await.expect("a step");
    assert!(Catalog::new(kv.clone()).end_session(&dead).await.expect("an answer"));
    assert_eq!(keeper.run(stop).await, SessionEnd::ByOthers);
}

#[tokio::test(start_paused = true)]
async fn who_has_no_session_learns_who_lives_and_ends_who_does_not() {
    let kv = Arc::new(MemoryKv::new());
    let (dead, its, _keeper) = join(&kv).await;
    let (_, lives, keeper) = join(&kv).await;
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(keeper.run(stopped));
    let outside = Catalog::new(kv.clone());
    let options = SessionOptions::default();
    let living = outside.living_sessions(options).await.expect("a look");
    assert_eq!(living.iter().map(|session| session.id).collect::<Vec<_>>(), [lives.session()]);
    assert_eq!(state(&kv, &its).await, SessionState::Live, "who lives is told at once");
    stop.send(true).expect("it runs");
    assert_eq!(running.await.expect("it ends"), SessionEnd::Left);

    let began = tokio::time::Instant::now();
    assert!(outside.living_sessions(options).await.expect("a look").is_empty());
    assert!(began.elapsed() >= options.dead_after);
    assert!(matches!(state(&kv, &its).await, SessionState::Ended(_)));
    dead.put_document("shelf", "a").await.expect_err("its session has ended");
    let began = tokio::time::Instant::now();
    assert!(outside.living_sessions(options).await.expect("a look").is_empty());
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_could_not_see_or_commit_begins_to_watch_anew() {
    let kv = Arc::new(MemoryKv::new());
    let (_, quiet, _keeper) = join(&kv).await;
    let (_, _, mut first) = join(&kv).await;
    for _ in 0..11 {
        tokio::time::advance(BEAT_INTERVAL).await;
        assert_eq!(first.step().await.expect("a step").ended, []);
    }
    // Suspended itself; the other may have been so, too.
    tokio::time::advance(Duration::from_secs(100)).await;
    for _ in 0..12 {
        assert_eq!(first.step().await.expect("a step").ended, []);
        tokio::time::advance(BEAT_INTERVAL).await;
    }
    assert_eq!(first.step().await.expect("a step").ended, [quiet.session()]);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_in_order_leaves_nothing_to_be_dealt_with() {
    let kv = Arc::new(MemoryKv::new());
    let store = MemoryBlobStore::new();
    let owner = BlobOwner::Journal { subject: "s".into() };
    for is_settled in [true, false] {
        let (catalog, ids, keeper) = join(&kv).await;
        let blobs = store.of_session(ids.clone());
        let writer = blobs.create(owner.clone(), SizeHint::Unknown).await.expect("a writer");
        let blob = writer.finish(Bytes::new()).await.expect("a blob");
        if is_settled {
            blobs.delete(&blob.id).await.expect("a deletion");
        }
        let (stop, stopped) = watch::channel(false);
        let run = tokio::spawn(keeper.run(stopped));
        tokio::time::sleep(BEAT_INTERVAL * 3).await;
        let session = ids.session();
        let seen = catalog.sessions().await.expect("a read");
        let beat = seen.into_iter().find(|seen| seen.id == session).and_then(|seen| seen.beat);
        let beat = beat.expect("it said something");
        assert_eq!((beat.settled, beat.number >= 3), (1 + u64::from(is_settled), true));
        stop.send(true).expect("it runs");
        assert_eq!(run.await.expect("it ends well"), SessionEnd::Left);
        let sessions = Catalog::new(kv.clone()).sessions().await.expect("a read");
        let left = sessions.into_iter().find(|left| left.id == session).expect("it is kept in mind");
        assert_eq!(matches!(left.state, SessionState::Swept(_)), is_settled);
        assert_eq!(left.beat.is_none(), is_settled);
        catalog.put_document("shelf", "late").await.expect_err("its session has ended");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_done_by_one_and_by_another_once_that_is_gone() {
    let kv = Arc::new(MemoryKv::new());
    let (one, its, _frozen) = join(&kv).await;
    let (two, other, mut keeper) = join(&kv).await;
    let lease = one.lease("sweep").await.expect("an answer").expect("it is free");
    assert!(one.lease("sweep").await.expect("an answer").is_some(), "it is one's own");
    assert!(two.lease("sweep").await.expect("an answer").is_none());
    assert!(two.lease("drain").await.expect("an answer").is_some(), "another job");
    lease.catalog().put_document("shelf", "a").await.expect("a commit under the lease");
    lease.clone().release().await.expect("it is given back");
    assert!(lease.catalog().put_document("shelf", "b").await.is_err(), "it was given back");
    let taken = two.lease("sweep").await.expect("an answer").expect("it is free");
    assert!(lease.catalog().put_document("shelf", "c").await.is_err(), "another has it");
    assert!(lease.clone().release().await.is_err());
    taken.catalog().put_document("shelf", "d").await.expect("a commit under the lease");
    assert_eq!(one.lease_holder("sweep").await.expect("a read"), Some(other.session()));
    let held = one.lease("lifecycle").await.expect("an answer").expect("it is free");
    for _ in 0..13 {
        tokio::time::advance(BEAT_INTERVAL).await;
        keeper.step().await.expect("a step");
    }
    assert!(matches!(state(&kv, &its).await, SessionState::Ended(_)));
    assert!(held.catalog().put_document("shelf", "e").await.is_err());
    assert!(two.lease("lifecycle").await.expect("an answer").is_some(), "its holder is gone");
}
