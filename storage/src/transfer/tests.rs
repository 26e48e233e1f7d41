use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::*;
use crate::blob::memory::MemoryBlobStore;
use crate::blob::{BlobReader, BlobTraits, BlobWriter, Why};
use crate::catalog::{
    Authority, Bucket, Content, Layout, OWN_BLOB, ObjectRecord, ObjectVersion, Part, PartDirectory,
    Precondition, SystemHeaders, Trailer, Upload, VersionKind, VersionRef, Versioning,
};
use crate::kv::memory::MemoryKv;
use crate::kv::{Direction, Entry, KeyRange, KeyValue, KvError, Snapshot, Standing, Transaction};
use crate::name::{BlobId, BucketId, BucketName, ObjectKey, PartNumber, Timestamp, UploadId, VersionId};
use crate::session::SessionId;

fn side(kv: &Arc<MemoryKv>, blobs: &MemoryBlobStore) -> Side {
    Side { catalog: Catalog::new(kv.clone()), blobs: Arc::new(blobs.clone()) }
}

fn object(name: &str) -> ObjectKey {
    ObjectKey::parse(name).unwrap()
}

fn bucket(name: &str, versioning: Versioning) -> Bucket {
    Bucket {
        name: BucketName::parse(name).unwrap(),
        id: BucketId::random(),
        owner: "111122223333".to_owned(),
        created: Timestamp(5),
        region: "us-east-1".to_owned(),
        versioning,
        configs: Default::default(),
        journal: None,
    }
}

fn version(layout: Layout, id: VersionId, is_null: bool) -> ObjectVersion {
    ObjectVersion {
        version: id,
        is_null,
        last_modified: Timestamp(7),
        kind: VersionKind::Object(Box::new(ObjectRecord {
            plain_len: 1,
            etag: "e".to_owned(),
            headers: SystemHeaders::default(),
            user_metadata: Vec::new(),
            checksum: None,
            storage_class: "STANDARD".to_owned(),
            tags: Vec::new(),
            lock: Default::default(),
            attributes: Default::default(),
            envelope: Bytes::new(),
            content: Content { version: id, layout, salt: None },
        })),
        renamed: false,
        journal: None,
    }
}

impl Side {
    async fn blob(&self, trailer: &Trailer, content: &[u8]) -> BlobRef {
        let hint = SizeHint::Exact(content.len() as u64);
        let mut writer = self.blobs.create(trailer.owner(), hint).await.unwrap();
        writer.write(Bytes::copy_from_slice(content)).await.unwrap();
        writer.finish(trailer.encode()).await.unwrap()
    }

    async fn bucket(&self, name: &str, versioning: Versioning) -> Bucket {
        let mut bucket = bucket(name, versioning);
        bucket.journal = Some(self.blob(&Trailer::Bucket(bucket.clone()), b"").await);
        self.catalog.create_bucket(&bucket).await.unwrap();
        bucket
    }

    async fn put(&self, bucket: &Bucket, name: &str, content: &[u8]) -> ObjectVersion {
        let (id, is_null) = (VersionId::now(), bucket.versioning == Versioning::Unversioned);
        let own = version(Layout::Single(OWN_BLOB), id, is_null);
        let trailer = Trailer::Object { bucket: bucket.id, object: object(name), version: own };
        let put = version(Layout::Single(self.blob(&trailer, content).await), id, is_null);
        self.catalog.commit_version(bucket, &object(name), &put, &Precondition::None).await.unwrap();
        put
    }

    /// A change in place, with the journal of it.
    async fn tag(&self, bucket: &Bucket, name: &str, of: &ObjectVersion, tag: &str) -> ObjectVersion {
        let mut next = of.clone();
        let VersionKind::Object(record) = &mut next.kind else { panic!("a delete marker") };
        record.tags = vec![("t".to_owned(), tag.to_owned())];
        let trailer = Trailer::Object { bucket: bucket.id, object: object(name), version: next.clone() };
        next.journal = Some(self.blob(&trailer, b"").await);
        let done = self.catalog.replace_version(bucket, &object(name), of, &next, Authority::usual()).await;
        done.unwrap();
        next
    }

    async fn upload(&self, bucket: &Bucket, name: &str, parts: &[u16]) -> (Upload, Vec<Part>) {
        let mut upload = Upload {
            id: UploadId(VersionId::now()),
            object: object(name),
            initiated: Timestamp(3),
            initiator: "root".to_owned(),
            headers: SystemHeaders::default(),
            user_metadata: Vec::new(),
            tags: Vec::new(),
            storage_class: "STANDARD".to_owned(),
            checksum: None,
            lock: Default::default(),
            attributes: Default::default(),
            envelope: Bytes::new(),
            journal: None,
        };
        let trailer = Trailer::Upload { bucket: bucket.id, upload: upload.clone() };
        upload.journal = Some(self.blob(&trailer, b"").await);
        self.catalog.create_upload(bucket, &upload).await.unwrap();
        let mut done = Vec::new();
        for &number in parts {
            let mut part = Part {
                number: PartNumber::new(number.into()).unwrap(),
                plain_len: 6 << 20,
                etag: format!("{number}"),
                md5: None,
                checksum: None,
                last_modified: Timestamp(4),
                blob: OWN_BLOB,
                salt: None,
            };
            let trailer = Trailer::Part { bucket: bucket.id, upload: upload.clone(), part: part.clone() };
            part.blob = self.blob(&trailer, &vec![number as u8; 100 + usize::from(number)]).await;
            self.catalog.put_part(bucket, &upload, &part).await.unwrap();
            done.push(part);
        }
        (upload, done)
    }

    async fn complete(&self, bucket: &Bucket, upload: &Upload, parts: &[Part]) {
        let mut whole = version(Layout::Parts(PartDirectory::of(parts)), upload.id.0, true);
        let trailer =
            Trailer::Object { bucket: bucket.id, object: upload.object.clone(), version: whole.clone() };
        whole.journal = Some(self.blob(&trailer, b"").await);
        self.catalog.complete_upload(bucket, upload, parts, &whole, &Precondition::None).await.unwrap();
    }
}

/// A catalog with everything that refers to blobs, and blobs that nothing refers to.
async fn filled(side: &Side) -> (Bucket, ObjectVersion) {
    let plain = side.bucket("plain", Versioning::Unversioned).await;
    let kept = side.bucket("versions", Versioning::Enabled).await;
    let mut last = side.put(&plain, "o", b"first").await;
    last = side.tag(&plain, "o", &last, "1").await;
    side.put(&plain, "displaced", b"former").await;
    side.put(&plain, "displaced", b"later").await;
    for number in 0..600 {
        side.put(&plain, &format!("many/{number:04}"), format!("content {number}").as_bytes()).await;
    }
    for content in ["a", "b", "c"] {
        side.put(&kept, "o", content.as_bytes()).await;
    }
    let old = side.put(&kept, "tagged", b"t").await;
    side.put(&kept, "tagged", b"u").await;
    side.tag(&kept, "tagged", &old, "2").await;
    let marker = ObjectVersion {
        kind: VersionKind::DeleteMarker,
        ..version(Layout::Single(OWN_BLOB), VersionId::now(), false)
    };
    side.catalog.commit_version(&kept, &object("tagged"), &marker, &Precondition::None).await.unwrap();
    let (upload, parts) = side.upload(&plain, "multipart", &[1, 2, 3, 9]).await;
    // Part 3 stays behind for the queue.
    side.complete(&plain, &upload, &[parts[0].clone(), parts[1].clone(), parts[3].clone()]).await;
    side.upload(&plain, "under way", &[1, 5]).await;
    let from = side.put(&plain, "from", b"renamed").await;
    let mut named = ObjectVersion { renamed: true, ..from.clone() };
    let trailer = Trailer::Object { bucket: plain.id, object: object("to"), version: named.clone() };
    named.journal = Some(side.blob(&trailer, b"").await);
    let (old, new) = (object("from"), object("to"));
    side.catalog.rename(&plain, (&old, &from), (&new, &named), &Precondition::None).await.unwrap();
    let (shelf, _) = side.catalog.documents("shelf").await.unwrap();
    let put = vec![("d".to_owned(), Some(Bytes::from_static(b"document")))];
    side.catalog.change_documents("shelf", shelf, put).await.unwrap();
    let big = vec![7; 3 << 20];
    side.put(&plain, "big", &big).await;
    // Of a write that was cut off.
    let orphan = version(Layout::Single(OWN_BLOB), VersionId::now(), true);
    side.blob(&Trailer::Object { bucket: plain.id, object: object("x"), version: orphan }, b"orphan").await;
    (plain, last)
}

async fn moved(transfer: &Transfer) -> Result<(u64, u64), TransferError> {
    let progress = Progress::default();
    transfer.copy_records(&progress).await?;
    transfer.copy_blobs(&progress).await?;
    assert_eq!(progress.faults(), (vec![], 0));
    Ok((progress.changed.into_inner(), progress.done.into_inner()))
}

async fn faults(transfer: &Transfer) -> Vec<String> {
    let progress = Progress::default();
    transfer.compare(&progress).await.unwrap();
    progress.faults().0
}

async fn begun(kv: &Arc<MemoryKv>, blobs: &MemoryBlobStore) -> Side {
    let side = side(kv, blobs);
    side.catalog.begin_session(SessionId::random(), None).await.unwrap();
    side
}

#[tokio::test]
async fn everything_arrives_and_what_changed_since_is_all_that_goes_again() {
    let (kv, blobs) = (Arc::new(MemoryKv::new()), MemoryBlobStore::new());
    let from = begun(&kv, &blobs).await;
    let (plain, last) = filled(&from).await;
    let (other_kv, other_blobs) = (Arc::new(MemoryKv::new()), MemoryBlobStore::new());
    let transfer = Transfer { from: from.clone(), to: begun(&other_kv, &other_blobs).await };
    let (changed, copied) = moved(&transfer).await.unwrap();
    assert!(changed > 600 && copied > 600, "{changed} {copied}");
    assert_eq!(faults(&transfer).await, [""; 0]);
    // Everything reads there, and nothing else is there.
    let listed = transfer.to.blobs.list(None, 10_000).await.unwrap();
    assert_eq!(listed.len() as u64, copied);
    let here = from.catalog.current(&plain, &object("o")).await.unwrap().unwrap();
    let there = transfer.to.catalog.current(&plain, &object("o")).await.unwrap().unwrap();
    assert_ne!(here.journal, there.journal);
    assert_eq!(moved(&transfer).await.unwrap(), (0, 0), "all of it is there");

    // The source goes on for a day.
    from.tag(&plain, "o", &last, "3").await;
    from.put(&plain, "many/0005", b"another").await;
    from.put(&plain, "new", b"new").await;
    let gone = from
        .catalog
        .delete_version(
            &plain,
            &object("many/0006"),
            VersionRef::Current,
            &Precondition::None,
            Authority::usual(),
        )
        .await;
    gone.unwrap().unwrap();
    assert_eq!(faults(&transfer).await.len(), 4);
    let (changed, copied) = moved(&transfer).await.unwrap();
    // The tagged object's content goes again with its record.
    assert_eq!((changed, copied), (4, 4));
    assert_eq!(faults(&transfer).await, [""; 0]);
    // What they referred to before is in the target's queue.
    let queue = transfer.to.catalog.next_displaced(Timestamp(u64::MAX), 100).await.unwrap();
    let displaced = queue.iter().flat_map(|displaced| &displaced.blobs);
    let mut there = 0;
    for blob in displaced {
        there += usize::from(transfer.to.blobs.read_trailer(blob).await.is_ok());
    }
    // Part 3, the content and the journal of the tagged one, the content that was replaced and the one that was deleted.
    assert_eq!(there, 5);

    // And back.
    let (back_kv, back_blobs) = (Arc::new(MemoryKv::new()), MemoryBlobStore::new());
    let back = Transfer { from: transfer.to.clone(), to: begun(&back_kv, &back_blobs).await };
    moved(&back).await.unwrap();
    let round = Transfer { from, to: back.to };
    assert_eq!(faults(&round).await, [""; 0]);
}

#[tokio::test]
async fn a_comparison_names_what_differs() {
    let (kv, blobs) = (Arc::new(MemoryKv::new()), MemoryBlobStore::new());
    let from = begun(&kv, &blobs).await;
    let bucket = from.bucket("bucket", Versioning::Unversioned).await;
    for name in ["a", "b", "c"] {
        from.put(&bucket, name, name.as_bytes()).await;
    }
    let (other_kv, other_blobs) = (Arc::new(MemoryKv::new()), MemoryBlobStore::new());
    let transfer = Transfer { from, to: begun(&other_kv, &other_blobs).await };
    moved(&transfer).await.unwrap();
    let to = &transfer.to;
    let blob_of = async |name: &str| {
        let version = to.catalog.current(&bucket, &object(name)).await.unwrap().unwrap();
        match version.kind {
            VersionKind::Object(record) => match record.content.layout {
                Layout::Single(blob) => (version.version, blob),
                Layout::Parts(_) | Layout::Inline(_) => panic!("parts"),
            },
            VersionKind::DeleteMarker => panic!("a delete marker"),
        }
    };
    // One blob is lost, one has other bytes.
    to.blobs.delete(&blob_of("a").await.1.id).await.unwrap();
    let (id, blob) = blob_of("b").await;
    let trailer = Trailer::Object {
        bucket: bucket.id,
        object: object("b"),
        version: version(Layout::Single(OWN_BLOB), id, true),
    };
    let other = to.blob(&trailer, b"x").await;
    assert!(to.catalog.relocate(&trailer.owner(), blob, other).await.unwrap());
    to.put(&bucket, "surplus", b"s").await;
    let faults = faults(&transfer).await;
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults.iter().any(|fault| fault.contains("does not exist")), "{faults:?}");
    assert!(faults.iter().any(|fault| fault.contains("not the bytes of")), "{faults:?}");
    assert!(faults.iter().any(|fault| fault.contains("is there alone")), "{faults:?}");
}

/// Fails after so many more calls, as what is killed does.
#[derive(Clone)]
struct Failing<T>(T, Arc<AtomicU64>);

impl<T> Failing<T> {
    fn call(&self) -> Result<(), std::io::Error> {
        let left = self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| std::io::Error::other("killed"))
    }
}

#[async_trait]
impl KeyValue for Failing<Arc<MemoryKv>> {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, KvError> {
        self.call().map_err(|error| KvError::Unavailable(error.into()))?;
        self.0.get(keys).await
    }

    async fn scan(
        &self,
        range: KeyRange,
        way: Direction,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, KvError> {
        self.call().map_err(|error| KvError::Unavailable(error.into()))?;
        self.0.scan(range, way, limit).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        self.call().map_err(|error| KvError::Unavailable(error.into()))?;
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
impl BlobStore for Failing<MemoryBlobStore> {
    async fn create(&self, owner: BlobOwner, hint: SizeHint) -> Result<Box<dyn BlobWriter>, BlobError> {
        self.call().map_err(BlobError::Unavailable)?;
        self.0.create(owner, hint).await
    }

    async fn open(&self, blob: &BlobRef) -> Result<Box<dyn BlobReader>, BlobError> {
        self.call().map_err(BlobError::Unavailable)?;
        self.0.open(blob).await
    }

    async fn read_trailer(&self, blob: &BlobRef) -> Result<Bytes, BlobError> {
        self.0.read_trailer(blob).await
    }

    async fn delete(&self, blob: &BlobId) -> Result<(), BlobError> {
        self.0.delete(blob).await
    }

    async fn list(&self, after: Option<BlobId>, limit: usize) -> Result<Vec<BlobInfo>, BlobError> {
        self.call().map_err(BlobError::Unavailable)?;
        self.0.list(after, limit).await
    }

    fn traits(&self) -> BlobTraits {
        self.0.traits()
    }

    async fn quarantine(&self, blob: &BlobId, why: Why) -> Result<(), BlobError> {
        self.0.quarantine(blob, why).await
    }

    async fn count_quarantined(&self) -> Result<u64, BlobError> {
        self.0.count_quarantined().await
    }

    async fn expire_quarantine(&self, kept: Duration) -> Result<u64, BlobError> {
        self.0.expire_quarantine(kept).await
    }
}

#[tokio::test]
async fn cut_off_at_any_moment_it_goes_on() {
    let (kv, blobs) = (Arc::new(MemoryKv::new()), MemoryBlobStore::new());
    let from = begun(&kv, &blobs).await;
    filled(&from).await;
    let (other_kv, other_blobs) = (Arc::new(MemoryKv::new()), MemoryBlobStore::new());
    let mut cuts = 0;
    for calls in (10..).step_by(41) {
        let left = Arc::new(AtomicU64::new(u64::MAX));
        let kv: Arc<dyn KeyValue> = Arc::new(Failing(other_kv.clone(), left.clone()));
        let to =
            Side { catalog: Catalog::new(kv), blobs: Arc::new(Failing(other_blobs.clone(), left.clone())) };
        // A run of its own is a session of its own; what the one before has not committed is nobody's.
        to.catalog.begin_session(SessionId::random(), None).await.unwrap();
        left.store(calls, Ordering::SeqCst);
        match moved(&Transfer { from: from.clone(), to }).await {
            Ok(_) => break,
            Err(_) => cuts += 1,
        }
    }
    assert!(cuts > 10, "{cuts}");
    let transfer = Transfer { from, to: side(&other_kv, &other_blobs) };
    assert_eq!(faults(&transfer).await, [""; 0]);
}
