//! Sealing and opening 64 MiB on one core, beside the AEAD alone: `cargo run --release --example speed`.
#![allow(clippy::unwrap_used)] // An example may.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustix::time::{ClockId, clock_gettime};
use s3_encryption_client::keyring::AesKeyring;
use s3_encryption_client::{Description, ObjectCipher, Settings};

const LEN: usize = 64 << 20;
const STEP_LEN: usize = 256 << 10;
const ROUNDS: usize = 40;

/// CPU time of this thread, which other programs don't change as they do the time of day.
fn now() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
}

/// What all rounds of each took together. Rounds of all go by turns, so that a bad minute is bad for all.
struct Took(Vec<(&'static str, Duration)>);

impl Took {
    fn time(&mut self, what: &'static str, work: impl FnOnce()) {
        let start = now();
        work();
        let took = now() - start;
        match self.0.iter_mut().find(|(name, _)| *name == what) {
            Some((_, sum)) => *sum += took,
            None => self.0.push((what, took)),
        }
    }

    /// GB/s.
    fn of(&self, what: &str) -> f64 {
        let (_, sum) = self.0.iter().find(|(name, _)| *name == what).unwrap();
        (ROUNDS * LEN) as f64 / sum.as_secs_f64() / 1e9
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let keyring = Arc::new(AesKeyring::new(&[7; 32]).unwrap());
    let cipher = ObjectCipher::new(keyring, Settings::new()).unwrap();
    let sealing = || runtime.block_on(cipher.seal(&Description::new())).unwrap();
    // A process draws its first random bytes in 40 ms: aws-lc gathers their seed. No object costs that.
    sealing();
    let aead = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
    let nonce = || Nonce::assume_unique_for_key([1; 12]);
    let mut took = Took(Vec::new());
    let mut body = Vec::with_capacity(LEN + 16);
    body.resize(LEN, 3);
    let mut out = Vec::with_capacity(STEP_LEN + 32);
    for _ in 0..ROUNDS {
        took.time("AEAD seals", || aead.seal_in_place_append_tag(nonce(), Aad::empty(), &mut body).unwrap());
        took.time("AEAD opens", || {
            aead.open_in_place(nonce(), Aad::empty(), &mut body).unwrap();
        });
        body.truncate(LEN);
        let mut envelope = None;
        took.time("seals", || {
            let (key, made) = sealing();
            key.seal(&mut body).unwrap();
            envelope = Some(made);
        });
        let opening = runtime.block_on(cipher.open(&envelope.unwrap(), &Description::new())).unwrap();
        took.time("verifies", || {
            let mut verifier = opening.verifier().unwrap().unwrap();
            body.chunks(STEP_LEN).for_each(|step| verifier.update(step).unwrap());
            verifier.finish().unwrap();
        });
        took.time("opens in steps", || {
            let mut opener = opening.opener().unwrap();
            for step in body.chunks(STEP_LEN) {
                out.clear();
                opener.update(step, &mut out).unwrap();
            }
            opener.finish(&mut out).unwrap();
        });
        took.time("opens", || opening.open(&mut body).unwrap());
        took.time("seals in steps", || {
            let mut sealer = sealing().0.sealer().unwrap();
            for step in body.chunks(STEP_LEN) {
                out.clear();
                sealer.update(step, &mut out).unwrap();
            }
            sealer.finish(&mut out);
        });
    }
    println!("GB/s of CPU time, bodies of 64 MiB, mean of {ROUNDS}");
    println!("aws-lc's AEAD    seals {:.2}  opens {:.2}", took.of("AEAD seals"), took.of("AEAD opens"));
    for (what, of) in [
        ("seals", "AEAD seals"),
        ("opens", "AEAD opens"),
        ("seals in steps", "AEAD seals"),
        ("opens in steps", "AEAD opens"),
        ("verifies", "AEAD opens"),
    ] {
        println!("{what:14} {:.2} ({:.2}×)", took.of(what), took.of(what) / took.of(of));
    }
}
