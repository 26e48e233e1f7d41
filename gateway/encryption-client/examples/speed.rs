//! Sealing and opening 64 MiB on one core, beside the AEAD alone: `cargo run --release --example speed`.
#![allow(clippy::unwrap_used)] // An example may.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use s3_encryption_client::keyring::AesKeyring;
use s3_encryption_client::{Description, ObjectCipher, Settings};

const LEN: usize = 64 << 20;
const STEP_LEN: usize = 256 << 10;
const ROUNDS: usize = 7;

/// The best of several rounds, in GB/s.
fn best(mut round: impl FnMut() -> Duration) -> f64 {
    let best = (0..ROUNDS).map(|_| round()).min().unwrap();
    LEN as f64 / best.as_secs_f64() / 1e9
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let keyring = Arc::new(AesKeyring::new(&[7; 32]).unwrap());
    let cipher = ObjectCipher::new(keyring, Settings::new()).unwrap();
    let sealing = || runtime.block_on(cipher.seal(&Description::new())).unwrap();
    let aead = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
    let nonce = || Nonce::assume_unique_for_key([1; 12]);

    let mut body = Vec::with_capacity(LEN + 16);
    body.resize(LEN, 3);
    let aead_seal = best(|| {
        body.truncate(LEN);
        timed(|| aead.seal_in_place_append_tag(nonce(), Aad::empty(), &mut body).unwrap())
    });
    let sealed = body.clone();
    let aead_open = best(|| {
        body.copy_from_slice(&sealed);
        timed(|| {
            aead.open_in_place(nonce(), Aad::empty(), &mut body).unwrap();
        })
    });

    let (mut last, mut out) = (None, Vec::with_capacity(LEN + 32));
    let whole_seal = best(|| {
        body.truncate(LEN);
        timed(|| {
            let (key, envelope) = sealing();
            key.seal(&mut body).unwrap();
            last = Some(envelope);
        })
    });
    let opening = runtime.block_on(cipher.open(&last.unwrap(), &Description::new())).unwrap();
    let sealed = body.clone();
    let whole_open = best(|| {
        body.clear();
        body.extend_from_slice(&sealed);
        timed(|| opening.open(&mut body).unwrap())
    });
    let steps_open = best(|| {
        timed(|| {
            let mut opener = opening.opener().unwrap();
            for step in sealed.chunks(STEP_LEN) {
                out.clear();
                opener.update(step, &mut out).unwrap();
            }
            opener.finish(&mut out).unwrap();
        })
    });
    let steps_seal = best(|| {
        timed(|| {
            let mut sealer = sealing().0.sealer().unwrap();
            for step in body.chunks(STEP_LEN) {
                out.clear();
                sealer.update(step, &mut out).unwrap();
            }
            sealer.finish(&mut out);
        })
    });
    println!("GB/s, bodies of 64 MiB, best of {ROUNDS}");
    for (what, seal, open) in [
        ("aws-lc's AEAD", aead_seal, aead_open),
        ("whole", whole_seal, whole_open),
        ("in steps", steps_seal, steps_open),
    ] {
        println!(
            "{what:14} seal {seal:5.2} ({:4.2}×)  open {open:5.2} ({:4.2}×)",
            seal / aead_seal,
            open / aead_open
        );
    }
}
