//! The aws-chunked decoder: no bytes make it panic, and how they are cut does not matter.
#![no_main]

use bytes::Bytes;
use gateway::auth::{ChunkSigner, PayloadAuth};
use gateway::transfer::aws_chunked::{ChunkedError, Decoder};
use libfuzzer_sys::fuzz_target;

type Decoded = Result<(Vec<u8>, Vec<(String, String)>), ChunkedError>;

fn decode(payload: PayloadAuth, wire: &[u8], step: usize) -> Decoded {
    let mut decoder = Decoder::new(payload);
    let mut plain = Vec::new();
    for frame in wire.chunks(step) {
        let mut frame = Bytes::copy_from_slice(frame);
        while let Some(data) = decoder.next(&mut frame)? {
            plain.extend_from_slice(&data);
        }
        assert!(frame.is_empty());
    }
    Ok((plain, decoder.finish()?))
}

fn signed(trailer: bool) -> PayloadAuth {
    let signer = ChunkSigner {
        signing_key: zeroize::Zeroizing::new([7; 32]),
        timestamp: "20130524T000000Z".into(),
        scope: "20130524/us-east-1/s3/aws4_request".into(),
        previous_signature: "0".repeat(64),
    };
    PayloadAuth::StreamingSigned { signer, trailer }
}

fuzz_target!(|input: &[u8]| {
    let Some((&step, wire)) = input.split_first() else { return };
    let step = usize::from(step) + 1;
    let whole = decode(PayloadAuth::StreamingUnsignedTrailer, wire, wire.len().max(1));
    assert_eq!(decode(PayloadAuth::StreamingUnsignedTrailer, wire, step), whole);
    if let Ok((plain, _)) = whole {
        assert!(plain.len() <= wire.len());
    }
    assert!(decode(signed(step % 2 == 0), wire, step).is_err());
});
