use async_trait::async_trait;
use kms_core::secret::Secret32;
use storage::name::VersionId;

use super::*;
use crate::seal::{CHUNK_LEN_PLAIN, ContentKey, SALT_LEN, Sealer};

const CONTEXT: SealContext = SealContext { version: VersionId::from_bytes([7; 16]), part: 0 };
/// Plain bytes of a span.
const SPAN_PLAIN_LEN: usize = 16 * CHUNK_LEN_PLAIN;

/// A message at hand, each read of which takes so long.
struct Paced(Bytes, Duration);

#[async_trait]
impl BlobReader for Paced {
    async fn read(&self, range: StoredRange) -> Result<BytesMut, BlobError> {
        tokio::time::sleep(self.1).await;
        Ok(BytesMut::from(&self.0[range.offset as usize..][..range.len]))
    }
}

/// What is handed on of a range, piece by piece.
async fn pieces(plain: &[u8], layers: u8, range: PlainRange, pause: Duration) -> Vec<Bytes> {
    let keys =
        ContentKeys { layers: (1..=layers).map(|n| ContentKey(Secret32::take(&mut [n; 32]))).collect() };
    let mut sealer = Sealer::new(&keys, CONTEXT, &vec![[3; SALT_LEN]; layers.into()]);
    let mut message = Vec::new();
    sealer.update(plain, &mut message);
    sealer.finish(&mut message);
    let plain_len = PlainLen(plain.len() as u64);
    let header = Opener::header_range(plain_len, layers.into());
    let opener = Opener::new(&keys, CONTEXT, plain_len, None, &mut message[..header.len].to_vec()).unwrap();
    let mut message = Message {
        blob: OWN_BLOB,
        spans: Box::new(opener.spans(range, SPAN_LEN)),
        reader: Some(Box::new(Paced(message.into(), pause))),
        opener,
        range: range.offset..range.offset + range.len,
        ahead: Ahead::Nothing,
    };
    let mut pieces = Vec::new();
    while let Some(piece) = message.next().await.unwrap() {
        pieces.push(piece);
    }
    pieces
}

#[tokio::test(start_paused = true)]
async fn long_answers_go_by_runs_of_spans_but_what_comes_slowly_goes_as_it_comes() {
    let plain: Vec<u8> = (0..2_500_000_u32).map(|i| (i * 31 + i / 251) as u8).collect();
    let whole = PlainRange { offset: 0, len: plain.len() as u64 };
    let within = PlainRange { offset: 300_001, len: 2_000_000 };
    for layers in [1, 2] {
        for range in [whole, within] {
            let expected = &plain[range.offset as usize..][..range.len as usize];
            for pause in [Duration::ZERO, 2 * RUN_PATIENCE] {
                let pieces = pieces(&plain, layers, range, pause).await;
                assert!(pieces.concat() == expected, "{layers} {range:?} {pause:?}");
                assert!(pieces[0].len() <= SPAN_PLAIN_LEN);
                let longest = pieces.iter().map(Bytes::len).max().unwrap();
                let wanted = if pause.is_zero() { RUN_SPANS * SPAN_PLAIN_LEN } else { SPAN_PLAIN_LEN };
                assert_eq!(longest, wanted, "{layers} {range:?} {pause:?}");
            }
        }
    }
}
