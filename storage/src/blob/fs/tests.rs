use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::contract::blob::{all, get, list_all, owner, pattern, put};

fn open(folder: &Path, segment_len: u64) -> FsBlobStore {
    let options = FsOptions { segment_len, reserve_free: 0, ..FsOptions::default() };
    FsBlobStore::open(folder.join("blobs"), options).unwrap()
}

/// The same, with all that is of known length in segments of this layout.
fn open_layout(folder: &Path, layout: Layout) -> FsBlobStore {
    let small_len_max = match layout {
        Layout::Packed => FsOptions::default().small_len_max,
        Layout::Blocks => 0,
    };
    let options = FsOptions { small_len_max, segment_len: 1 << 20, reserve_free: 0, ..FsOptions::default() };
    FsBlobStore::open(folder.join("blobs"), options).unwrap()
}

const LAYOUTS: [Layout; 2] = [Layout::Packed, Layout::Blocks];

fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("blobs/segments")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "seg"));
    paths.sort();
    paths
}

/// Every file below a folder.
fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(all_files(&path)) } else { found.push(path) }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract() {
    // Of the last, no medium blob fits a segment.
    for segment_len in [64 << 20, 4 << 20, 1 << 20] {
        let folder = tempfile::tempdir().unwrap();
        all(async || Arc::new(open(folder.path(), segment_len))).await;
        drop(open(folder.path(), segment_len));
        assert_eq!(all_files(folder.path()), Vec::<PathBuf>::new(), "space did not come back");
    }
}

#[tokio::test]
async fn an_abandoned_file_is_removed_at_once_and_at_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1 << 20);
    let temp = folder.path().join("blobs/tmp");
    let mut writer = store.create(owner(1), SizeHint::Exact(8 << 20)).await.unwrap();
    for _ in 0..3 {
        writer.write(pattern(1, 1 << 20)).await.unwrap();
    }
    assert_eq!(std::fs::read_dir(&temp).unwrap().count(), 1);
    drop(writer);
    for _ in 0..500 {
        if std::fs::read_dir(&temp).unwrap().count() == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(std::fs::read_dir(&temp).unwrap().count(), 0);
    drop(store);
    std::fs::write(temp.join("left by a crash"), b"x").unwrap();
    drop(open(folder.path(), 1 << 20));
    assert_eq!(std::fs::read_dir(&temp).unwrap().count(), 0);
}

/// Files of this process that are open below a folder.
fn open_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    // One that was listed may be closed by now: by another test.
    let targets = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(folder) && !target.is_dir()).collect()
}

#[tokio::test]
async fn what_is_read_stays_open_until_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1 << 20);
    let finished = std::fs::canonicalize(folder.path()).unwrap().join("blobs/files");
    let mut blobs = Vec::new();
    for seed in 0..40 {
        let hint = SizeHint::Exact(4 << 20);
        let content = pattern(seed, 4 << 20);
        blobs.push(put(&store, owner(seed), hint, &content, 1 << 20, Bytes::new()).await.unwrap());
    }
    for _ in 0..2 {
        for (seed, blob) in (0..).zip(&blobs) {
            assert!(get(&store, blob).await.unwrap() == pattern(seed, 4 << 20));
        }
    }
    let count = open_files(&finished).len();
    assert!((10..40).contains(&count), "{count}");
    let (kept, rest) = blobs.split_last().unwrap();
    let (put_away, deleted) = rest.split_last().unwrap();
    for blob in deleted {
        store.delete(&blob.id).await.unwrap();
    }
    store.quarantine(&put_away.id, Why::Unknown).await.unwrap();
    // Of the deleted ones the space is free.
    let left = open_files(&finished);
    assert!(left.len() == 1 && left[0].exists(), "{left:?}");
    assert!(matches!(get(&store, &deleted[0]).await, Err(BlobError::NotFound(_))));
    assert!(matches!(get(&store, put_away).await, Err(BlobError::NotFound(_))));
    assert!(get(&store, kept).await.is_ok());
}

/// A segment with three blobs, as a crash leaves it: without footer, and with room behind the frames.
async fn crashed_segment(folder: &Path, layout: Layout) -> (PathBuf, Vec<u8>, Vec<BlobRef>) {
    let store = open_layout(folder, layout);
    let mut blobs = Vec::new();
    for seed in 0..3 {
        let content = pattern(seed, 40);
        let hint = SizeHint::Exact(40);
        blobs.push(put(&store, owner(seed), hint, &content, 40, pattern(seed, 9)).await.unwrap());
    }
    drop(store);
    let path = segments(folder).pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes[4], layout.version());
    bytes.truncate(bytes.len() - 32);
    (path, bytes, blobs)
}

/// The places of `range` that are looked at: all where frames begin, and of long padding some.
fn places(range: std::ops::RangeInclusive<usize>) -> impl Iterator<Item = usize> {
    let last = *range.end();
    range.filter(move |at| at % 4096 < 200 || at % 509 == 0 || *at == last)
}

/// Opens the store over these bytes of a segment, and says which of the blobs it lists and which it reads.
async fn recover(folder: &Path, path: &Path, bytes: &[u8], blobs: &[BlobRef]) -> (Vec<bool>, Vec<bool>) {
    std::fs::write(path, bytes).unwrap();
    let store = open(folder, 1 << 20);
    let rows: BTreeSet<BlobId> = list_all(&store, 2).await.iter().map(|row| row.blob.id).collect();
    let listed = blobs.iter().map(|blob| rows.contains(&blob.id)).collect();
    let mut read = Vec::new();
    for (seed, blob) in (0..).zip(blobs) {
        match get(&store, blob).await {
            Ok(content) => read.push(content == pattern(seed, 40)),
            Err(_) => read.push(false),
        }
    }
    // What is written next must not be hurt by what was found.
    let next = put(&store, owner(9), SizeHint::Unknown, &pattern(9, 50), 50, Bytes::new()).await.unwrap();
    drop(store);
    let store = open(folder, 1 << 20);
    assert!(get(&store, &next).await.unwrap() == pattern(9, 50));
    store.delete(&next.id).await.unwrap();
    (listed, read)
}

#[tokio::test]
async fn a_torn_tail_shows_no_half_blob_and_loses_no_earlier_one() {
    for layout in LAYOUTS {
        torn_tails(layout).await;
    }
}

async fn torn_tails(layout: Layout) {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes, blobs) = crashed_segment(folder.path(), layout).await;
    let Some(Address::Frame(last)) = Address::parse(&blobs[2].id) else {
        panic!("a small blob lies in a frame")
    };
    let header = Header::decode(&bytes[last.offset as usize..]).unwrap();
    let whole = last.offset as usize + HEADER_LEN + header.body_len();
    for len in places(last.offset as usize..=bytes.len()) {
        for zeros in [0, 4096] {
            let mut torn = bytes[..len].to_vec();
            torn.resize(len + zeros, 0);
            let (listed, read) = recover(folder.path(), &path, &torn, &blobs).await;
            // The padding behind the last body is nobody's, but a file that ends in it is cut.
            let there = len == bytes.len() || (zeros > 0 && len >= whole);
            assert_eq!(listed, [true, true, there], "cut at {len} of {}", bytes.len());
            assert_eq!(read[..2], [true, true]);
            assert!(there || !read[2]);
        }
    }
}

#[tokio::test]
async fn a_flipped_byte_hides_only_the_blob_it_hits() {
    for layout in LAYOUTS {
        flipped_bytes(layout).await;
    }
}

async fn flipped_bytes(layout: Layout) {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes, blobs) = crashed_segment(folder.path(), layout).await;
    let offsets: Vec<usize> = blobs
        .iter()
        .map(|blob| match Address::parse(&blob.id) {
            Some(Address::Frame(address)) => address.offset as usize,
            _ => panic!("a small blob lies in a frame"),
        })
        .collect();
    for at in places(0..=bytes.len() - 1) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let (listed, read) = recover(folder.path(), &path, &flipped, &blobs).await;
        let hit = offsets.iter().rposition(|&offset| offset <= at);
        for (index, listed) in listed.iter().enumerate() {
            let header = Header::decode(&bytes[offsets[index]..]).unwrap();
            let end = offsets[index] + HEADER_LEN + header.body_len();
            let hurt = hit == Some(index) && at < end;
            // Of blocks a listing leaves contents out; what a crash may have torn is looked at whole.
            let content = offsets[index] + HEADER_LEN..end - header.tail_len();
            let is_left_out = layout == Layout::Blocks && index < 2 && content.contains(&at);
            assert_eq!(*listed, !hurt || is_left_out, "byte {at}, blob {index}");
            assert!(!(hurt && content.contains(&at) && read[index]), "byte {at}, blob {index}");
        }
    }
}

#[tokio::test]
async fn a_damaged_file_is_told_from_a_missing_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1 << 20);
    let content = pattern(5, 300 << 10);
    let blob = put(&store, owner(5), SizeHint::Unknown, &content, 1 << 20, pattern(6, 50)).await.unwrap();
    let [path] = &all_files(&folder.path().join("blobs/files"))[..] else { panic!("one file") };
    let bytes = std::fs::read(path).unwrap();
    for at in content.len()..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x40;
        std::fs::write(path, &flipped).unwrap();
        assert!(matches!(store.read_trailer(&blob).await, Err(BlobError::Corrupt(..))), "byte {at}");
        assert!(list_all(&store, 10).await.is_empty(), "byte {at}");
    }
    std::fs::write(path, &bytes).unwrap();
    assert!(get(&store, &blob).await.is_ok());
    std::fs::write(path, &bytes[..1000]).unwrap();
    assert!(matches!(get(&store, &blob).await, Err(BlobError::Corrupt(..))));
    std::fs::remove_file(path).unwrap();
    assert!(matches!(get(&store, &blob).await, Err(BlobError::NotFound(..))));
}

#[tokio::test]
async fn a_full_disk_refuses_writes_before_they_begin() {
    let folder = tempfile::tempdir().unwrap();
    let options = FsOptions { reserve_free: u64::MAX, ..FsOptions::default() };
    let store = FsBlobStore::open(folder.path(), options).unwrap();
    for hint in [SizeHint::Exact(1), SizeHint::Exact(1 << 30), SizeHint::Unknown] {
        let Err(BlobError::Unavailable(error)) = store.create(owner(1), hint).await else {
            panic!("refused")
        };
        assert_eq!(error.kind(), std_io::ErrorKind::StorageFull);
    }
}

#[tokio::test]
async fn the_medium_is_taken_as_bytes_come_and_not_as_they_are_announced() {
    use std::os::unix::fs::MetadataExt;
    // In memory alone, space may not be reserved.
    let folder = tempfile::tempdir_in(".").unwrap();
    let store = open(folder.path(), 1 << 20);
    let taken = || {
        let sizes = all_files(folder.path()).into_iter().map(|file| file.metadata().unwrap().blocks() * 512);
        sizes.sum::<u64>()
    };
    let before = taken();
    let mut writer = store.create(owner(1), SizeHint::Exact(3 << 30)).await.unwrap();
    writer.write(Bytes::from_static(b"abc")).await.unwrap();
    assert!(taken() - before < 1 << 20, "{}", taken() - before);
    let mut most = 0;
    for written in 1..=64_u64 {
        writer.write(Bytes::from(vec![7; 1 << 20])).await.unwrap();
        let taken = taken() - before;
        assert!(taken <= (2 * written + 8) << 20, "{taken} after {written} MiB");
        most = most.max(taken);
    }
    // But some way ahead, so that it lies in few pieces.
    assert!(most > 66 << 20, "{most}");
    drop(writer);
}

#[tokio::test]
async fn a_closed_store_writes_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1 << 20);
    let blob = put(&store, owner(1), SizeHint::Unknown, &pattern(1, 10), 10, Bytes::new()).await.unwrap();
    store.close().await;
    let refused = put(&store, owner(2), SizeHint::Unknown, &pattern(1, 10), 10, Bytes::new()).await;
    assert!(matches!(refused, Err(BlobError::Unavailable(_))));
    assert!(get(&store, &blob).await.unwrap() == pattern(1, 10));
}

#[tokio::test]
async fn a_segment_without_a_sound_frame_is_removed_only_if_nothing_was_written_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1 << 20);
    put(&store, owner(1), SizeHint::Exact(500), &pattern(1, 500), 500, Bytes::new()).await.unwrap();
    // As after a kill: without a footer.
    let [path] = &segments(folder.path())[..] else { panic!("one segment") };
    let unsealed = std::fs::read(path).unwrap();
    drop(store);
    let mut damaged = unsealed.clone();
    damaged[32 + 100] ^= 1;
    std::fs::write(path, &damaged).unwrap();
    drop(open(folder.path(), 1 << 20));
    let kept = std::fs::read(path).unwrap();
    assert!(damaged.starts_with(&kept) && damaged[kept.len()..].iter().all(|byte| *byte == 0));
    std::fs::write(path, &unsealed[..32]).unwrap();
    drop(open(folder.path(), 1 << 20));
    assert!(!path.exists());
}

/// Every row of a survey, asked for page by page.
async fn survey_all(store: &FsBlobStore, limit: usize) -> Vec<Surveyed> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = store.survey(after, limit, Depth::Content).await.unwrap();
        let Some(last) = page.last() else { return rows };
        after = Some(last.id());
        rows.extend(page);
        assert!(rows.len() < 100, "a survey that does not end: {rows:#?}");
    }
}

fn sound_ids(rows: &[Surveyed]) -> Vec<BlobId> {
    let sound = rows.iter().filter(|row| matches!(row, Surveyed::Sound(_)));
    sound.map(Surveyed::id).collect()
}

#[tokio::test]
async fn a_survey_tells_every_damaged_byte_of_a_segment() {
    for layout in LAYOUTS {
        damaged_bytes(layout).await;
    }
}

async fn damaged_bytes(layout: Layout) {
    let folder = tempfile::tempdir().unwrap();
    let (path, _, blobs) = crashed_segment(folder.path(), layout).await;
    // Sealed again: as a stop leaves it.
    drop(open(folder.path(), 1 << 20));
    let bytes = std::fs::read(&path).unwrap();
    let end = bytes.len() - 32;
    let frames: Vec<(usize, usize)> = blobs
        .iter()
        .map(|blob| match Address::parse(&blob.id) {
            Some(Address::Frame(address)) => {
                let offset = address.offset as usize;
                let header = Header::decode(&bytes[offset..]).unwrap();
                (offset, offset + HEADER_LEN + header.body_len())
            }
            _ => panic!("a small blob lies in a frame"),
        })
        .collect();
    for at in places(0..=bytes.len() - 1) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(&path, &flipped).unwrap();
        let store = open(folder.path(), 1 << 20);
        let rows = survey_all(&store, 100).await;
        assert_eq!(survey_all(&store, 1).await, rows, "byte {at}");
        drop(store);
        let hit = frames.iter().position(|&(start, end)| (start..end).contains(&at));
        let sound: Vec<BlobId> =
            (0..).zip(&blobs).filter(|(index, _)| hit != Some(*index)).map(|(_, blob)| blob.id).collect();
        assert_eq!(sound_ids(&rows), sound, "byte {at}");
        let told = rows.len() - sound.len();
        // Padding belongs to nobody; a damaged footer is made again.
        let expected = usize::from(hit.is_some() || at < 32);
        assert_eq!(told, expected, "byte {at}: {rows:#?}");
        if let Some((start, frame_end)) = hit.map(|hit| frames[hit])
            && at >= start + HEADER_LEN
            && at < frame_end - 80
        {
            let seed = hit.unwrap() as u64;
            let told = rows.iter().find_map(|row| match row {
                Surveyed::Damaged { owner, .. } => owner.clone(),
                _ => None,
            });
            assert_eq!(told, Some(owner(seed)), "byte {at}");
        }
    }
    assert!(end > 32);
}

#[tokio::test]
async fn damage_in_what_was_deleted_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes, blobs) = crashed_segment(folder.path(), Layout::Packed).await;
    let store = open(folder.path(), 1 << 20);
    store.delete(&blobs[1].id).await.unwrap();
    store.close().await;
    drop(store);
    let Some(Address::Frame(dead)) = Address::parse(&blobs[1].id) else { panic!("a frame") };
    let mut flipped = bytes;
    flipped[dead.offset as usize + 8] ^= 1;
    std::fs::write(&path, flipped).unwrap();
    let store = open(folder.path(), 1 << 20);
    let rows = survey_all(&store, 100).await;
    assert_eq!(sound_ids(&rows), [blobs[0].id, blobs[2].id]);
    assert_eq!(rows.len(), 2, "{rows:#?}");
}

#[tokio::test]
async fn what_is_cut_off_or_does_not_fit_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes, blobs) = crashed_segment(folder.path(), Layout::Packed).await;
    let Some(Address::Frame(last)) = Address::parse(&blobs[2].id) else { panic!("a frame") };
    let mut torn = bytes.clone();
    torn.resize(bytes.len() + 8192, 0);
    for (at, told) in [(last.offset as usize + 3, true), (last.offset as usize + 60, true), (0, false)] {
        let mut torn = torn.clone();
        torn[at] ^= u8::from(told);
        std::fs::write(&path, &torn).unwrap();
        let store = open(folder.path(), 1 << 20);
        let len = bytes.len() as u64 - u64::from(last.offset);
        match store.findings() {
            [] => assert!(!told),
            [Finding::CutOff { segment: 1, offset, len: cut }] => {
                assert!(told && *offset == u64::from(last.offset) && (len - 8..=len).contains(cut), "{cut}");
            }
            other => panic!("{other:?}"),
        }
        drop(store);
        assert_eq!(open(folder.path(), 1 << 20).findings(), []);
    }
    std::fs::write(&path, &bytes).unwrap();
    let store = open(folder.path(), 1 << 20);
    for blob in &blobs[..2] {
        store.delete(&blob.id).await.unwrap();
    }
    store.close().await;
    drop(store);
    let list = path.with_extension("dead");
    let mut records = std::fs::read(&list).unwrap();
    records[1] ^= 4;
    records.extend([0; 12]);
    records.extend([7; 5]);
    std::fs::write(&list, records).unwrap();
    let store = open(folder.path(), 1 << 20);
    assert_eq!(store.findings(), [Finding::DeadList { segment: 1, records: 1 }]);
    assert_eq!(sound_ids(&survey_all(&store, 100).await), [blobs[0].id, blobs[2].id]);
    drop(store);
    let store = open(folder.path(), 1 << 20);
    assert_eq!(store.findings(), []);
    assert_eq!(sound_ids(&survey_all(&store, 100).await), [blobs[0].id, blobs[2].id]);
}

#[tokio::test]
async fn damage_of_files_is_told_by_what_is_left_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), 1 << 20);
    let content = pattern(5, 300 << 10);
    let blob = put(&store, owner(5), SizeHint::Unknown, &content, 1 << 20, pattern(6, 50)).await.unwrap();
    let small = put(&store, owner(6), SizeHint::Unknown, &pattern(6, 9), 9, pattern(6, 50)).await.unwrap();
    store.verify(&blob).await.unwrap();
    store.verify(&small).await.unwrap();
    assert!(store.verify(&BlobRef { stored_len: StoredLen(7), ..blob }).await.is_err());
    assert_eq!(store.foreign_files(10).await.unwrap(), Vec::<PathBuf>::new());
    let [path] = &all_files(&folder.path().join("blobs/files"))[..] else { panic!("one file") };
    let bytes = std::fs::read(path).unwrap();
    let flip = |at: usize| {
        let mut flipped = bytes.clone();
        flipped[at] ^= 2;
        std::fs::write(path, flipped).unwrap();
    };
    flip(200_000);
    let rows = survey_all(&store, 10).await;
    assert!(matches!(&rows[..], [Surveyed::DamagedContent(info), Surveyed::Sound(_)] if info.blob == blob));
    assert!(matches!(store.verify(&blob).await, Err(BlobError::Corrupt(..))));
    assert_eq!(sound_ids(&store.survey(None, 10, Depth::Rows).await.unwrap()), [blob.id, small.id]);
    flip(bytes.len() - 20);
    let rows = survey_all(&store, 10).await;
    assert!(matches!(&rows[..], [Surveyed::Damaged { id, .. }, Surveyed::Sound(_)] if *id == blob.id));
    let foreign = ["blobs/notes", "blobs/segments/x.seg", "blobs/files/a", "blobs/files/0000001"];
    for name in &foreign[..3] {
        std::fs::write(folder.path().join(name), "x").unwrap();
    }
    std::fs::create_dir(folder.path().join(foreign[3])).unwrap();
    std::fs::rename(path, folder.path().join(foreign[3]).join(path.file_name().unwrap())).unwrap();
    assert_eq!(store.foreign_files(10).await.unwrap().len(), 4);
}
