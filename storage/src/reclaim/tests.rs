use bytes::Bytes;

use super::*;
use crate::blob::fs::{Depth, FsBlobStore, FsOptions, Surveyed};
use crate::blob::{BlobOwner, BlobRef, SizeHint, StoredRange, Why};
use crate::catalog::{
    Bucket, Content, Layout, ObjectRecord, ObjectVersion, Precondition, SystemHeaders, Trailer, VersionKind,
};
use crate::kv::memory::MemoryKv;
use crate::name::{BucketId, BucketName, ObjectKey, Timestamp, VersionId};
use crate::session::SessionId;

struct World {
    folder: tempfile::TempDir,
    kv: Arc<MemoryKv>,
    catalog: Catalog,
    blobs: Arc<FsBlobStore>,
    bucket: Bucket,
}

fn store(folder: &std::path::Path, session: SessionId) -> Arc<FsBlobStore> {
    let options = FsOptions { segment_len: 64 << 10, reserve_free: 0, session, ..FsOptions::default() };
    Arc::new(FsBlobStore::open(folder.join("blobs"), options).unwrap())
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let kv = Arc::new(MemoryKv::new());
    let catalog = Catalog::new(kv.clone());
    let session = SessionId::random();
    catalog.begin_session(session, None).await.unwrap();
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
    catalog.create_bucket(&bucket).await.unwrap();
    let blobs = store(folder.path(), session);
    World { folder, kv, catalog, blobs, bucket }
}

impl World {
    /// Writes a blob for an object, and its record unless the writer "crashes" before.
    async fn put(&self, name: &str, len: usize, commit: bool) {
        let object = ObjectKey::parse(name).unwrap();
        let version = VersionId::now();
        let record = |layout| ObjectVersion {
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
        };
        let trailer = Trailer::Object {
            bucket: self.bucket.id,
            object: object.clone(),
            version: record(Layout::Single(crate::catalog::OWN_BLOB)),
        };
        let mut writer = self.blobs.create(trailer.owner(), SizeHint::Exact(len as u64)).await.unwrap();
        writer.write(vec![name.as_bytes()[0]; len].into()).await.unwrap();
        let blob = writer.finish(trailer.encode()).await.unwrap();
        if commit {
            let version = record(Layout::Single(blob));
            self.catalog.commit_version(&self.bucket, &object, &version, &Precondition::None).await.unwrap();
        }
    }

    /// Another process goes on with the folder.
    async fn restart(&mut self, former_end: Option<Timestamp>) {
        let session = SessionId::random();
        self.blobs.close().await;
        self.blobs = store(self.folder.path(), session);
        self.catalog = Catalog::new(self.kv.clone());
        self.catalog.begin_session(session, former_end).await.unwrap();
    }

    async fn count(&self) -> usize {
        crate::contract::blob::list_all(&*self.blobs, 100).await.len()
    }

    async fn blob_of(&self, name: &str) -> BlobRef {
        let version =
            self.catalog.current(&self.bucket, &ObjectKey::parse(name).unwrap()).await.unwrap().unwrap();
        match version.kind {
            VersionKind::Object(record) => match record.content.layout {
                Layout::Single(blob) => blob,
                _ => panic!("one blob was written"),
            },
            VersionKind::DeleteMarker => panic!("an object was written"),
        }
    }

    async fn content(&self, name: &str) -> Vec<u8> {
        let blob = self.blob_of(name).await;
        let reader = self.blobs.open(&blob).await.unwrap();
        reader.read(StoredRange { offset: 0, len: blob.stored_len.0 as usize }).await.unwrap().to_vec()
    }

    fn reclaimer(&self) -> Reclaimer {
        let options = ReclaimOptions { displaced_grace: Duration::ZERO, ..ReclaimOptions::default() };
        Reclaimer::new(self.catalog.clone(), self.blobs.clone(), options)
    }

    fn disk_len(&self) -> u64 {
        let mut len = 0;
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => len += entry.metadata().unwrap().len(),
                }
            }
        }
        len
    }
}

#[tokio::test]
async fn orphans_of_a_crash_are_swept_at_the_next_start_and_not_before() {
    let mut world = world().await;
    world.put("kept", 300_000, true).await;
    world.put("lost", 300_000, false).await;
    world.put("small", 100, true).await;
    world.put("gone", 100, false).await;
    for _ in 0..2 {
        assert_eq!(world.reclaimer().sweep().await.unwrap().orphans, 0, "their records may still come");
    }
    world.restart(Some(Timestamp::now())).await;
    let done = world.reclaimer().sweep().await.unwrap();
    assert_eq!((done.orphans, done.looked_at, done.quarantined), (2, 4, 0));
    assert_eq!(world.content("kept").await, vec![b'k'; 300_000]);
    assert_eq!(world.content("small").await, vec![b's'; 100]);
}

#[tokio::test]
async fn what_nobody_can_account_for_is_put_away_and_can_be_put_back() {
    let mut world = world().await;
    for (name, len) in [("kept", 300_000), ("small", 100)] {
        world.put(name, len, true).await;
    }
    for (name, len) in [("large", 300_000), ("gone", 100)] {
        world.put(name, len, false).await;
    }
    world.restart(None).await;
    world.put("displaced", 100, true).await;
    world.put("displaced", 100, true).await;
    let done = world.reclaimer().sweep().await.unwrap();
    assert_eq!((done.orphans, done.quarantined, done.looked_at), (0, 2, 6));
    assert_eq!(world.count().await, 4);
    let away = world.blobs.quarantined().await.unwrap();
    let mut names: Vec<&str> = away
        .iter()
        .map(|away| match &away.owner {
            BlobOwner::Content { object, .. } => object.as_str(),
            BlobOwner::Journal { .. } => panic!("content was put away"),
        })
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["gone", "large"]);
    assert_eq!(world.blobs.count_quarantined().await.unwrap(), 2);
    assert_eq!(world.blobs.expire_quarantine(Duration::from_secs(60)).await.unwrap(), 0);

    assert_eq!(world.blobs.release_quarantine(&[Why::CutOff]).await.unwrap(), 0);
    assert_eq!(world.blobs.release_quarantine(&[Why::Unknown]).await.unwrap(), 2);
    assert!(world.blobs.quarantined().await.unwrap().is_empty());
    let rows = crate::contract::blob::list_all(&*world.blobs, 100).await;
    let mut found = 0;
    for row in rows.iter().filter(|row| matches!(&row.owner, BlobOwner::Content { object, .. } if ["gone", "large"].contains(&object.as_str()))) {
        let reader = world.blobs.open(&row.blob).await.unwrap();
        let len = row.blob.stored_len.0 as usize;
        let content = reader.read(StoredRange { offset: 0, len }).await.unwrap();
        assert!(content.iter().all(|byte| *byte == if len == 100 { b'g' } else { b'l' }));
        Trailer::decode(&world.blobs.read_trailer(&row.blob).await.unwrap()).unwrap();
        found += 1;
    }
    assert_eq!(found, 2);
    world.blobs.quarantine(&rows[0].blob.id, Why::Unknown).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(world.blobs.expire_quarantine(Duration::ZERO).await.unwrap(), 1);
}

#[tokio::test]
async fn what_came_after_the_last_commit_that_is_known_is_not_deleted() {
    for (before_ms, why) in [(1000, Why::CutOff), (60_000, Why::Unknown)] {
        let mut world = world().await;
        world.put("kept", 100, true).await;
        world.put("late", 100, false).await;
        world.restart(Some(Timestamp(Timestamp::now().unix_ms() - before_ms))).await;
        let done = world.reclaimer().sweep().await.unwrap();
        assert_eq!((done.orphans, done.quarantined), (0, 1));
        assert_eq!(world.blobs.quarantined().await.unwrap()[0].why, why);
    }
}

#[tokio::test]
async fn where_much_is_missing_nothing_is_touched() {
    let mut world = world().await;
    world.put("kept", 100, true).await;
    for number in 0..=MAX_DOUBTFUL {
        world.put(&format!("{number}"), 100, false).await;
    }
    let before = world.count().await;
    // The catalog of another time: it knows nothing of what was written since.
    world.restart(None).await;
    assert!(matches!(world.reclaimer().sweep().await, Err(ReclaimError::Doubtful)));
    assert_eq!(world.count().await, before);
    assert!(world.blobs.quarantined().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_record_that_names_a_blob_that_is_gone_does_not_cost_its_copy() {
    let mut world = world().await;
    world.put("moved", 100, true).await;
    let info = crate::contract::blob::list_all(&*world.blobs, 100).await.remove(0);
    let catalog_before = world.blob_of("moved").await;
    assert!(world.reclaimer().move_blob(&world.catalog, &info).await.unwrap());
    let copy = world.blob_of("moved").await;
    // An older catalog is put back.
    assert!(world.catalog.relocate(&info.owner, copy, catalog_before).await.unwrap());
    world.restart(None).await;
    let done = world.reclaimer().sweep().await.unwrap();
    assert_eq!((done.orphans, done.quarantined), (0, 1));
}

#[tokio::test]
async fn overwritten_blobs_give_their_space_back() {
    let world = world().await;
    for _ in 0..200 {
        world.put("hot", 4000, true).await;
    }
    world.put("cold", 4000, true).await;
    world.put("large", 300_000, true).await;
    world.put("large", 300_000, true).await;
    let before = world.disk_len();
    let reclaimer = world.reclaimer();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(reclaimer.drain().await.unwrap().displaced, 200);
    reclaimer.compact().await.unwrap();
    let after = world.disk_len();
    assert!(after < before / 2, "{before} bytes became {after}");
    assert_eq!(world.content("hot").await, vec![b'h'; 4000]);
    assert_eq!(world.content("cold").await, vec![b'c'; 4000]);
}

#[tokio::test]
async fn live_blobs_move_out_of_dead_segments_and_stay_readable() {
    let world = world().await;
    world.put("anchor", 4000, true).await;
    for _ in 0..40 {
        world.put("hot", 4000, true).await;
    }
    let was = world.blob_of("anchor").await;
    let reclaimer = world.reclaimer();
    tokio::time::sleep(Duration::from_millis(5)).await;
    reclaimer.drain().await.unwrap();
    assert!(reclaimer.compact().await.unwrap().moved >= 1);
    assert_ne!(world.blob_of("anchor").await.id, was.id);
    assert_eq!(world.content("anchor").await, vec![b'a'; 4000]);
    assert!(matches!(world.blobs.open(&was).await.map(drop), Err(BlobError::NotFound(_))));
}

#[tokio::test]
async fn what_is_read_is_not_moved() {
    let world = world().await;
    world.put("anchor", 4000, true).await;
    for _ in 0..40 {
        world.put("hot", 4000, true).await;
    }
    let was = world.blob_of("anchor").await;
    let reclaimer = world.reclaimer();
    tokio::time::sleep(Duration::from_millis(5)).await;
    reclaimer.drain().await.unwrap();
    let anchor = ObjectKey::parse("anchor").unwrap();
    let version = world.catalog.current(&world.bucket, &anchor).await.unwrap().unwrap().version;
    let pin = world.catalog.pin(version);
    reclaimer.compact().await.unwrap();
    assert_eq!(world.blob_of("anchor").await.id, was.id);
    drop(pin);
    reclaimer.compact().await.unwrap();
    assert_ne!(world.blob_of("anchor").await.id, was.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overwrites_race_with_moves_and_win() {
    let world = Arc::new(world().await);
    for round in 0..15 {
        for number in 0..40 {
            world.put(&format!("{}{number}", round % 10), 1000, true).await;
        }
        let reclaimer = Reclaimer {
            options: ReclaimOptions {
                dead_percent_min: 0,
                displaced_grace: Duration::ZERO,
                ..ReclaimOptions::default()
            },
            ..world.reclaimer()
        };
        let writer = tokio::spawn({
            let world = world.clone();
            async move {
                for number in (0..40).rev() {
                    world.put(&format!("{}{number}", round % 10), 2000 + round, true).await;
                }
            }
        });
        reclaimer.compact().await.unwrap();
        reclaimer.drain().await.unwrap();
        writer.await.unwrap();
        for number in 0..40 {
            let name = format!("{}{number}", round % 10);
            assert_eq!(world.content(&name).await, vec![name.as_bytes()[0]; 2000 + round]);
        }
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    let reclaimer = world.reclaimer();
    reclaimer.drain().await.unwrap();
    let mut live = std::collections::BTreeSet::new();
    for (round, number) in (0..10).flat_map(|round| (0..40).map(move |number| (round, number))) {
        live.insert(world.blob_of(&format!("{round}{number}")).await.id);
    }
    let options = ReclaimOptions { orphan_grace: Duration::ZERO, ..reclaimer.options };
    Reclaimer { options, ..reclaimer }.sweep().await.unwrap();
    let rows = crate::contract::blob::list_all(&*world.blobs, 100).await;
    assert_eq!(rows.into_iter().map(|row| row.blob.id).collect::<std::collections::BTreeSet<_>>(), live);
}

#[tokio::test]
async fn a_survey_finds_damage_and_the_queue_goes_on_past_it() {
    let world = world().await;
    for number in 0..5 {
        world.put(&format!("small{number}"), 500, true).await;
        world.put(&format!("large{number}"), 200_000, true).await;
    }
    let damaged = async || {
        let rows = world.blobs.survey(None, 100, Depth::Content).await.unwrap();
        let sound = rows.iter().filter(|row| matches!(row, Surveyed::Sound(_))).count();
        assert_eq!(rows.len(), 10, "{rows:?}");
        rows.len() - sound
    };
    assert_eq!(damaged().await, 0);
    let damage = |folder: &str, place: fn(usize) -> usize| {
        let mut paths = vec![world.folder.path().join("blobs").join(folder)];
        while let Some(path) = paths.pop() {
            if path.is_dir() {
                paths.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                let mut bytes = std::fs::read(&path).unwrap();
                let at = place(bytes.len());
                bytes[at] ^= 1;
                std::fs::write(&path, bytes).unwrap();
                return;
            }
        }
    };
    damage("files", |_| 100_000);
    assert_eq!(damaged().await, 1);
    damage("segments", |_| 32 + 100);
    assert_eq!(damaged().await, 2);
    // The first frame's header: its blob can't even be found any more.
    damage("segments", |_| 32 + 10);
    assert_eq!(damaged().await, 2, "the frame is a gap now");
    for number in 0..5 {
        world.put(&format!("small{number}"), 500, true).await;
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(world.reclaimer().drain().await.unwrap().displaced, 5);
    assert_eq!(world.content("small0").await, vec![b's'; 500]);
}
