//! Several gateways over one map and one store of blobs, in one process: each has a catalog, a session and blobs of its own.

mod explore;
mod simulation;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::*;
use crate::blob::memory::MemoryBlobStore;
use crate::blob::object::{ObjectBlobStore, ObjectOptions};
use crate::blob::{
    BlobInfo, BlobOwner, BlobReader, BlobRef, BlobTraits, BlobWriter, SizeHint, StoredRange, Why,
};
use crate::catalog::{
    Bucket, Content, Layout, ObjectRecord, ObjectVersion, Precondition, SystemHeaders, Trailer, VersionKind,
};
use crate::kv::memory::MemoryKv;
use crate::kv::{Direction, Entry, Key, KeyRange, KeyValue, KvError, Snapshot, Transaction};
use crate::name::{BucketId, BucketName, ObjectKey, Timestamp, VersionId};
use crate::session::{About, BlobIds, SessionId, SessionKeeper, SessionOptions};

/// Lets others go on before each call: between two calls everything may happen.
struct Step(bool);

impl Future for Step {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

async fn step() {
    Step(false).await;
}

/// An engine that lets others go on before each call.
struct Stepped<E>(E);

#[async_trait]
impl KeyValue for Stepped<Arc<MemoryKv>> {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, KvError> {
        step().await;
        self.0.get(keys).await
    }

    async fn scan(&self, r: KeyRange, d: Direction, limit: usize) -> Result<Vec<(Key, Entry)>, KvError> {
        step().await;
        self.0.scan(r, d, limit).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        step().await;
        self.0.commit(transaction).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, KvError> {
        self.0.snapshot().await
    }

    async fn verify(&self) -> Result<u64, KvError> {
        self.0.verify().await
    }

    fn standing(&self) -> Standing {
        self.0.standing()
    }
}

#[async_trait]
impl BlobStore for Stepped<Arc<dyn BlobStore>> {
    async fn create(&self, owner: BlobOwner, hint: SizeHint) -> Result<Box<dyn BlobWriter>, BlobError> {
        Ok(Box::new(Stepped(self.0.create(owner, hint).await?)))
    }

    async fn open(&self, blob: &BlobRef) -> Result<Box<dyn BlobReader>, BlobError> {
        step().await;
        Ok(Box::new(Stepped(self.0.open(blob).await?)))
    }

    async fn read_trailer(&self, blob: &BlobRef) -> Result<Bytes, BlobError> {
        self.0.read_trailer(blob).await
    }

    async fn delete(&self, blob: &BlobId) -> Result<(), BlobError> {
        step().await;
        self.0.delete(blob).await
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<BlobInfo>, BlobError> {
        step().await;
        self.0.list(after, limit).await
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
    ) -> Result<Vec<BlobInfo>, BlobError> {
        step().await;
        self.0.list_session(session, from, after, limit).await
    }

    async fn delete_many(&self, blobs: &[BlobId]) -> Result<(), BlobError> {
        step().await;
        self.0.delete_many(blobs).await
    }

    async fn mostly_dead(&self, dead_percent_min: u64) -> Result<Vec<BlobId>, BlobError> {
        step().await;
        self.0.mostly_dead(dead_percent_min).await
    }

    async fn list_segment(
        &self,
        first: &BlobId,
        after: Option<BlobId>,
        limit: usize,
    ) -> Result<Vec<BlobInfo>, BlobError> {
        step().await;
        self.0.list_segment(first, after, limit).await
    }

    async fn quarantine(&self, blob: &BlobId, why: Why) -> Result<(), BlobError> {
        step().await;
        self.0.quarantine(blob, why).await
    }

    async fn count_quarantined(&self) -> Result<u64, BlobError> {
        self.0.count_quarantined().await
    }

    async fn expire_quarantine(&self, kept: Duration) -> Result<u64, BlobError> {
        self.0.expire_quarantine(kept).await
    }
}

#[async_trait]
impl BlobWriter for Stepped<Box<dyn BlobWriter>> {
    async fn write(&mut self, data: Bytes) -> Result<(), BlobError> {
        self.0.write(data).await
    }

    async fn finish(self: Box<Self>, trailer: Bytes) -> Result<BlobRef, BlobError> {
        step().await;
        self.0.finish(trailer).await
    }
}

#[async_trait]
impl BlobReader for Stepped<Box<dyn BlobReader>> {
    async fn read(&self, range: StoredRange) -> Result<BytesMut, BlobError> {
        step().await;
        self.0.read(range).await
    }
}

/// The blobs that all gateways share.
enum Shared {
    /// Each by itself.
    Alone(MemoryBlobStore),
    /// Those that come at one time together in one object.
    Packs(Arc<dyn object_store::ObjectStore>),
}

impl Shared {
    /// As the gateway has them whose blobs get these ids.
    fn of_session(&self, ids: BlobIds) -> Arc<dyn BlobStore> {
        match self {
            Self::Alone(blobs) => Arc::new(blobs.of_session(ids)),
            Self::Packs(store) => {
                let options = ObjectOptions {
                    pack_len: 1 << 10,
                    pack_window: Duration::from_millis(1),
                    compact_interval: Duration::ZERO,
                    ..ObjectOptions::default()
                };
                Arc::new(ObjectBlobStore::new(store.clone(), "p".into(), ids, options))
            }
        }
    }
}

/// What all gateways share.
struct World {
    kv: Arc<MemoryKv>,
    blobs: Shared,
    bucket: Bucket,
}

impl World {
    /// With a store that deletes blobs for their readers, too.
    async fn new() -> Self {
        Self::over(Shared::Alone(MemoryBlobStore::strict())).await
    }

    async fn over(blobs: Shared) -> Self {
        let kv = Arc::new(MemoryKv::new());
        let bucket = Bucket {
            name: BucketName::parse("bucket").unwrap(),
            id: BucketId::random(),
            owner: "111122223333".to_owned(),
            created: Timestamp::now(),
            region: "us-east-1".to_owned(),
            versioning: Default::default(),
            configs: Default::default(),
            journal: None,
        };
        Catalog::new(kv.clone()).create_bucket(&bucket).await.unwrap();
        Self { kv, blobs, bucket }
    }

    async fn gateway(&self, options: SessionOptions) -> (Arc<Gateway>, SessionKeeper) {
        let ids = BlobIds::new(SessionId::random());
        let catalog = Catalog::new(Arc::new(Stepped(self.kv.clone())));
        let blobs: Arc<dyn BlobStore> = Arc::new(Stepped(self.blobs.of_session(ids.clone())));
        let keeper = SessionKeeper::join(catalog.clone(), ids, About::default(), options).await.unwrap();
        let reclaim = ReclaimOptions {
            displaced_grace: Duration::ZERO,
            orphan_grace: Duration::from_millis(300),
            ..ReclaimOptions::default()
        };
        let reclaimer = Reclaimer::new(catalog.clone(), blobs.clone(), reclaim);
        (Arc::new(Gateway { catalog, blobs, reclaimer, bucket: self.bucket.clone() }), keeper)
    }

    /// Every blob, whichever record refers to it.
    async fn rows(&self) -> Vec<BlobInfo> {
        crate::contract::blob::list_all(&*self.blobs.of_session(BlobIds::new(SessionId(1))), 1000).await
    }
}

struct Gateway {
    catalog: Catalog,
    blobs: Arc<dyn BlobStore>,
    reclaimer: Reclaimer,
    bucket: Bucket,
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::parse(name).unwrap()
}

fn version(version: VersionId, len: usize, layout: Layout) -> ObjectVersion {
    ObjectVersion {
        version,
        is_null: true,
        renamed: false,
        last_modified: Timestamp::now(),
        kind: VersionKind::Object(Box::new(ObjectRecord {
            plain_len: len as u64,
            etag: "e".to_owned(),
            headers: SystemHeaders::default(),
            user_metadata: Vec::new(),
            checksum: None,
            storage_class: "STANDARD".to_owned(),
            tags: Vec::new(),
            lock: Default::default(),
            attributes: Default::default(),
            envelope: Bytes::new(),
            content: Content { version, layout, salt: None },
        })),
        journal: None,
    }
}

fn content_of(version: &ObjectVersion) -> &Content {
    match &version.kind {
        VersionKind::Object(record) => &record.content,
        VersionKind::DeleteMarker => panic!("an object was written"),
    }
}

/// What a reader does between two reads.
#[derive(Clone, Copy)]
enum Pause {
    None,
    /// Lets others go on.
    Step,
    Sleep(Duration),
}

impl Pause {
    async fn wait(self) {
        match self {
            Self::None => {}
            Self::Step => step().await,
            Self::Sleep(time) => tokio::time::sleep(time).await,
        }
    }
}

/// What became of a read.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    /// All of one sending.
    Whole(Vec<u8>),
    Absent,
    /// A blob was gone while it was read.
    Broken,
}

impl Gateway {
    /// As PutObject does.
    async fn put(&self, name: &str, content: Vec<u8>) -> Result<(), CatalogError> {
        let id = VersionId::now();
        let work = async {
            let _pin = self.catalog.pin(id);
            let (object, len) = (key(name), content.len());
            let own = version(id, len, Layout::Single(crate::catalog::OWN_BLOB));
            let trailer = Trailer::Object { bucket: self.bucket.id, object: object.clone(), version: own };
            let mut writer = self.blobs.create(trailer.owner(), SizeHint::Exact(len as u64)).await.unwrap();
            writer.write(content.into()).await.unwrap();
            let blob = writer.finish(trailer.encode()).await.unwrap();
            let version = version(id, len, Layout::Single(blob));
            let done =
                self.catalog.commit_version(&self.bucket, &object, &version, &Precondition::None).await;
            if matches!(&done, Err(error) if !matches!(error, CatalogError::Kv(KvError::Unavailable(_)))) {
                self.blobs.delete(&blob.id).await.unwrap();
            }
            done
        };
        self.catalog.request(work).await
    }

    /// As GetObject does, by two reads with `pause` between them.
    async fn get(&self, name: &str, pause: Pause) -> Read {
        let opened = self.catalog.request(async {
            let mut missed = None;
            loop {
                let Some(found) = self.catalog.current(&self.bucket, &key(name)).await.unwrap() else {
                    return Ok(None);
                };
                let content = content_of(&found).clone();
                let pin = self.catalog.pin(content.version);
                match &content.layout {
                    Layout::Single(blob) => match self.read(blob, pause).await {
                        // It has moved, or there is another: the record is read once more.
                        Err(Some(BlobError::NotFound(_))) if missed != Some(blob.id) => {
                            missed = Some(blob.id);
                        }
                        Err(_) => return Err(()),
                        Ok(whole) => return Ok(Some((pin, whole))),
                    },
                    Layout::Parts(_) => {
                        let mut whole = Vec::new();
                        let (_, parts) = self.catalog.parts_from_offset(&content, 0, 64).await.unwrap();
                        for part in parts {
                            pause.wait().await;
                            whole.extend(self.read(&part.blob, pause).await.map_err(drop)?);
                        }
                        return Ok(Some((pin, whole)));
                    }
                    Layout::Inline(_) => panic!("blobs were written"),
                }
            }
        });
        match opened.await {
            Ok(Some((_, whole))) => Read::Whole(whole),
            Ok(None) => Read::Absent,
            Err(()) => Read::Broken,
        }
    }

    /// `Err(Some)`: it did not open; `Err(None)`: it was gone later.
    async fn read(&self, blob: &BlobRef, pause: Pause) -> Result<Vec<u8>, Option<BlobError>> {
        let reader = self.blobs.open(blob).await.map_err(Some)?;
        let half = blob.stored_len.0 / 2;
        let first = reader.read(StoredRange { offset: 0, len: half as usize }).await.map_err(Some)?;
        pause.wait().await;
        let rest = StoredRange { offset: half, len: (blob.stored_len.0 - half) as usize };
        let rest = reader.read(rest).await.map_err(|_| None)?;
        Ok([first, rest].concat())
    }
}
