//! What was written by every format still reads, and means the same. The files are made once, by
//! `GOLDEN_WRITE=1 cargo test -p storage golden`, and never again for a format.

use super::*;
use crate::kv::{Direction, KeyRange, Transaction, Write};

/// What each format wrote: entries, their dump, trailers, and the dump of what those restore to.
const FORMATS: [[&str; 4]; 3] = [
    [
        include_str!("golden/entries-1.hex"),
        include_str!("golden/dump-1.jsonl"),
        include_str!("golden/trailers-1.hex"),
        include_str!("golden/restored-1.jsonl"),
    ],
    [
        include_str!("golden/entries-2.hex"),
        include_str!("golden/dump-2.jsonl"),
        include_str!("golden/trailers-2.hex"),
        include_str!("golden/restored-2.jsonl"),
    ],
    [
        include_str!("golden/entries-3.hex"),
        include_str!("golden/dump-3.jsonl"),
        include_str!("golden/trailers-3.hex"),
        include_str!("golden/restored-3.jsonl"),
    ],
];

fn pairs(text: &str) -> Vec<(Bytes, Bytes)> {
    let bytes = |hex_digits: &str| Bytes::from(hex::decode(hex_digits).expect("hexadecimal"));
    let pair = |line: &str| line.split_once(' ').map(|(first, second)| (bytes(first), bytes(second)));
    text.lines().map(|line| pair(line).expect("a pair")).collect()
}

async fn entries(kv: &MemoryKv) -> Vec<(Bytes, Bytes)> {
    let all = KeyRange { start: Bytes::new(), end: None };
    let found = kv.scan(all, Direction::Forward, 1000).await.expect("a scan");
    found.into_iter().map(|(key, entry)| (key, entry.value)).collect()
}

async fn lines(catalog: &Catalog) -> String {
    catalog.dump(None).await.expect("a dump").0
}

async fn restored(trailers: &[(Bytes, Bytes)]) -> String {
    let catalog = Catalog::new(Arc::new(MemoryKv::new()));
    for (id, trailer) in trailers {
        let id = BlobId::from_bytes(id[..].try_into().expect("an id"));
        let stamped = Trailer::decode(trailer).expect("it decodes");
        catalog
            .restore(&stamped, BlobRef { id, stored_len: StoredLen(1234) }, ContentState::Sound)
            .await
            .expect("it's applied");
    }
    catalog.finish_restore().await.expect("an end");
    lines(&catalog).await
}

/// A dump as it is written now.
async fn as_of_now(dump: &str) -> String {
    let catalog = Catalog::new(Arc::new(MemoryKv::new()));
    catalog.load(dump.lines()).await.expect("it loads");
    lines(&catalog).await
}

#[tokio::test]
async fn entries_of_every_format_read_as_ever() {
    for (format, [stored, dump, ..]) in (1..).zip(FORMATS) {
        let kv = Arc::new(MemoryKv::new());
        let writes = pairs(stored).into_iter().map(|(key, value)| Write::Put(key, value)).collect();
        kv.commit(Transaction { conditions: vec![], writes }).await.expect("a commit");
        let catalog = Catalog::new(kv.clone());
        let displaced = drain(&catalog).await;
        assert_eq!(displaced[..3], [blob(2), blob(20), blob(22)], "the queue's records, too");
        assert_eq!(lines(&catalog).await, as_of_now(dump).await);
        if format == FORMATS.len() {
            // And the newest lines make the very entries again.
            let copy = Arc::new(MemoryKv::new());
            Catalog::new(copy.clone()).load(dump.lines()).await.expect("it loads");
            assert!(entries(&copy).await == entries(&kv).await);
        }
    }
}

#[tokio::test]
async fn trailers_of_every_format_restore_as_ever() {
    for [.., trailers, dump] in FORMATS {
        assert_eq!(restored(&pairs(trailers)).await, as_of_now(dump).await);
    }
}

/// Makes the files.
#[tokio::test]
async fn write_golden_files() {
    if std::env::var_os("GOLDEN_WRITE").is_none() {
        return;
    }
    let hex_lines = |pairs: &[(Bytes, Bytes)]| {
        let line =
            |(first, second): &(Bytes, Bytes)| format!("{} {}\n", hex::encode(first), hex::encode(second));
        pairs.iter().map(line).collect::<String>()
    };
    let write = |name: &str, text: String| {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/catalog/tests/golden").join(name);
        std::fs::write(path, text).expect("a file");
    };
    let kv = Arc::new(MemoryKv::new());
    let catalog = Catalog::new(kv.clone());
    let bucket = Bucket { journal: Some(blob(100)), ..bucket_named("golden-bucket") };
    catalog.create_bucket(&bucket).await.expect("a bucket");
    put(&catalog, &bucket, "a\u{0}é/", blob(1)).await;
    put(&catalog, &bucket, "b", blob(2)).await;
    let mut b = put(&catalog, &bucket, "b", blob(3)).await;
    let former = b.clone();
    b.journal = Some(blob(4));
    record_of(&mut b).lock.legal_hold = true;
    record_of(&mut b).attributes = [("acl".to_owned(), b"a".to_vec().into())].into();
    let replaced = catalog.replace_version(&bucket, &object("b"), &former, &b, Authority::usual()).await;
    replaced.expect("a change");
    let marker = ObjectVersion { kind: VersionKind::DeleteMarker, ..version_in(blob(5)) };
    catalog.commit_version(&bucket, &object("c"), &marker, &Precondition::None).await.expect("a commit");
    let mut trailers = vec![(blob(100), Trailer::Bucket(bucket.clone()).encode())];
    let mut b_content = b.clone();
    record_of(&mut b_content).content.layout = Layout::Single(OWN_BLOB);
    for version in [b_content, b] {
        let at = version.journal.filter(|_| trailers.len() > 1).unwrap_or(blob(3));
        trailers.push((at, Trailer::Object { bucket: bucket.id, object: object("b"), version }.encode()));
    }
    for (name, first) in [("d", 20), ("e", 30)] {
        let upload = Upload { journal: Some(blob(first)), ..multipart::upload_of(name) };
        catalog.create_upload(&bucket, &upload).await.expect("an upload");
        trailers.push((blob(first), Trailer::Upload { bucket: bucket.id, upload: upload.clone() }.encode()));
        let mut parts = Vec::new();
        for number in [1, 2, 3] {
            let part = multipart::part_of(number, 7, blob(first + number as u8));
            catalog.put_part(&bucket, &upload, &part).await.expect("a part");
            let trailer = Trailer::Part { bucket: bucket.id, upload: upload.clone(), part: part.clone() };
            trailers.push((part.blob, trailer.encode()));
            parts.push(part);
        }
        if name == "d" {
            parts.remove(1);
            let version = ObjectVersion { journal: Some(blob(25)), ..multipart::completed(&upload, &parts) };
            let done = catalog.complete_upload(&bucket, &upload, &parts, &version, &Precondition::None).await;
            done.expect("a commit");
            let trailer = Trailer::Object { bucket: bucket.id, object: object("d"), version };
            trailers.push((blob(25), trailer.encode()));
        }
    }
    // Versions: the null one, one whose id is not its content's, a delete marker.
    put(&catalog, &bucket, "v", blob(40)).await;
    let enabled = Bucket { versioning: Versioning::Enabled, journal: Some(blob(101)), ..bucket.clone() };
    catalog.replace_bucket(&bucket, &enabled).await.expect("a change");
    for number in [41, 42] {
        let mut version = ObjectVersion { is_null: false, ..version_in(blob(number)) };
        version.version = catalog.next_version_id(&enabled, &object("v")).await.expect("an id");
        catalog
            .commit_version(&enabled, &object("v"), &version, &Precondition::None)
            .await
            .expect("a commit");
        let mut own = version;
        record_of(&mut own).content.layout = Layout::Single(OWN_BLOB);
        let trailer = Trailer::Object { bucket: bucket.id, object: object("v"), version: own };
        trailers.push((blob(number), trailer.encode()));
    }
    let trailers: Vec<(Bytes, Bytes)> = trailers
        .into_iter()
        .map(|(blob, trailer)| (Bytes::copy_from_slice(blob.id.as_bytes()), trailer))
        .collect();
    write("entries-3.hex", hex_lines(&entries(&kv).await));
    drain(&catalog).await;
    write("dump-3.jsonl", lines(&catalog).await);
    write("trailers-3.hex", hex_lines(&trailers));
    write("restored-3.jsonl", restored(&trailers).await);
}
