use bytes::BytesMut;
use kms_core::secret::Secret32;
use storage::blob::StoredRange;
use storage::blob::fs::{FsBlobStore, FsOptions};
use storage::name::VersionId;

use super::*;
use crate::seal::{ContentKey, Opener, PlainRange};

const CONTEXT: SealContext = SealContext { version: VersionId::from_bytes([7; 16]), part: 0 };

/// Opens a stored message whole.
fn open(stored: &[u8], keys: &ContentKeys, len: usize) -> Vec<u8> {
    let of = |range: StoredRange| &stored[range.offset as usize..][..range.len];
    let plain_len = PlainLen(len as u64);
    let mut header = of(Opener::header_range(plain_len, keys.layers.len())).to_vec();
    let opener = Opener::new(keys, CONTEXT, plain_len, None, &mut header).unwrap();
    let whole = PlainRange { offset: 0, len: len as u64 };
    let spans = opener.spans(whole, STEP_LEN);
    spans.flat_map(|span| opener.open(&span, BytesMut::from(of(span.stored))).unwrap()).collect()
}

#[tokio::test]
async fn a_body_is_stored_and_digested_the_same_however_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let options = FsOptions { reserve_free: 0, ..FsOptions::default() };
    let blobs: Arc<dyn BlobStore> = Arc::new(FsBlobStore::open(folder.path(), options).unwrap());
    let algorithm = ChecksumAlgorithm::Crc64Nvme;
    for (len, layers) in [
        (INLINE_LEN as usize, 1),
        (INLINE_LEN as usize + 1, 2),
        (STEP_LEN - 1, 1),
        (STEP_LEN, 1),
        (STEP_LEN + 1, 2),
        (2 * STEP_LEN, 2),
        (3 * STEP_LEN + 12_345, 1),
        // More than a frame takes: a file.
        (6 * STEP_LEN + 1, 1),
    ] {
        let body: Vec<u8> = (0..len).map(|i| (i * 31 + i / 251) as u8).collect();
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&body);
        let checksum = hasher.finish();
        let layers = (1..=layers).map(|n| ContentKey(Secret32::take(&mut [n; 32]))).collect();
        let keys = ContentKeys { layers };
        let keep_lens = [0, 0, u64::MAX, 0, 0];
        for ((piece_len, md5), keep_len) in [1000, 70_001, 400 << 10, 300_000, len]
            .into_iter()
            .zip([false, true, false, false, true])
            .zip(keep_lens)
        {
            let pieces: Vec<_> = body.chunks(piece_len).map(|p| Ok(Bytes::copy_from_slice(p))).collect();
            let stream: ByteStream = Box::pin(futures_util::stream::iter(pieces));
            let intake = Intake {
                announced: Announced::Exactly(len as u64),
                keys: &keys,
                context: CONTEXT,
                owner: BlobOwner::Journal { subject: Bytes::new() },
                md5,
                content_md5: None,
                checksum: Some((algorithm, Expected::Value(checksum.clone()))),
                second: None,
                keep_len,
            };
            let received = receive(&blobs, Source::Stream(stream), intake).await.unwrap();
            assert_eq!((received.plain_len, received.md5.is_some()), (len as u64, md5));
            let stored = match received.kept() {
                Some(kept) => kept,
                None => {
                    let blob = received.finish(Bytes::new()).await.unwrap();
                    let reader = blobs.open(&blob).await.unwrap();
                    let mut stored = BytesMut::new();
                    while (stored.len() as u64) < blob.stored_len.0 {
                        let (offset, len) = (stored.len() as u64, blob.stored_len.0 as usize - stored.len());
                        let range = StoredRange { offset, len: len.min(STEP_LEN) };
                        stored.unsplit(reader.read(range).await.unwrap());
                    }
                    stored.freeze()
                }
            };
            assert!(open(&stored, &keys, len) == body, "{len} bytes in pieces of {piece_len}");
        }
    }
}

/// Has room every other time, and tells at the end what it got.
struct Narrow {
    bytes: Vec<u8>,
    has_room: bool,
    told: Arc<Mutex<Vec<u8>>>,
}

#[async_trait]
impl BlobWriter for Narrow {
    async fn write(&mut self, data: Bytes) -> Result<(), BlobError> {
        self.bytes.extend_from_slice(&data);
        Ok(())
    }

    fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        self.has_room = !self.has_room;
        let start = self.bytes.len();
        self.has_room.then(|| {
            self.bytes.resize(start + len, 0);
            &mut self.bytes[start..]
        })
    }

    async fn finish(self: Box<Self>, _trailer: Bytes) -> Result<BlobRef, BlobError> {
        *self.told.lock() = self.bytes;
        Err(BlobError::Unavailable(std::io::Error::other("it is no blob")))
    }
}

#[tokio::test]
async fn what_finds_no_room_stays_in_its_place() {
    let told = Arc::default();
    let narrow = Narrow { bytes: Vec::new(), has_room: false, told: Arc::clone(&told) };
    let mut outlet = Outlet::new(Box::new(narrow));
    for number in 0..10_u8 {
        outlet.append_with(3, |room| room.fill(number));
        if number % 4 == 3 {
            outlet.settle().await.unwrap();
            assert!(outlet.beside.is_none());
        }
    }
    let _ = outlet.finish().await.unwrap().finish(Bytes::new()).await;
    assert_eq!(*told.lock(), (0..10_u8).flat_map(|number| [number; 3]).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_empty_piece_behind_the_longest_body_is_nothing() {
    let pieces = ["ab", "", "cd", ""].map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
    let stream: ByteStream = Box::pin(futures_util::stream::iter(pieces));
    let mut bytes = PlainBytes::new(Source::Stream(stream), Announced::Between { min: 1, max: 4 });
    assert_eq!(**bytes.fill(STEPS.take()).await.unwrap(), b"abcd"[..]);
    bytes.expect_end().await.unwrap();
}
