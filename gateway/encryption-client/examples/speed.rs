//! Sealing and opening 64 MiB on one core, beside the AEAD alone: `cargo run --release --example speed`.
#![allow(clippy::unwrap_used)] // An example may.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use s3_encryption_client::keyring::AesKeyring;
use s3_encryption_client::{Description, ObjectCipher, Settings};

const LEN: usize = 64 << 20;
const STEP_LEN: usize = 256 << 10;
const ROUNDS: usize = 15;

/// CPU time of this thread where the system tells it, which other programs don't change as they do the time of day.
fn now() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let on_cpu = told.and_then(|told| told.split(' ').next()?.parse().ok());
    on_cpu.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

/// The best of several rounds of each, in GB/s. Rounds of all go by turns, so that a bad minute is bad for all.
struct Best(Vec<(&'static str, Duration)>);

impl Best {
    fn time(&mut self, what: &'static str, work: impl FnOnce()) {
        let start = now();
        work();
        let took = now() - start;
        match self.0.iter_mut().find(|(name, _)| *name == what) {
            Some((_, best)) => *best = took.min(*best),
            None => self.0.push((what, took)),
        }
    }

    fn of(&self, what: &str) -> f64 {
        let (_, best) = self.0.iter().find(|(name, _)| *name == what).unwrap();
        LEN as f64 / best.as_secs_f64() / 1e9
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let keyring = Arc::new(AesKeyring::new(&[7; 32]).unwrap());
    let cipher = ObjectCipher::new(keyring, Settings::new()).unwrap();
    let sealing = || runtime.block_on(cipher.seal(&Description::new())).unwrap();
    let aead = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap());
    let nonce = || Nonce::assume_unique_for_key([1; 12]);
    let mut best = Best(Vec::new());
    let mut body = Vec::with_capacity(LEN + 16);
    body.resize(LEN, 3);
    let mut out = Vec::with_capacity(STEP_LEN + 32);
    for _ in 0..ROUNDS {
        best.time("AEAD seals", || aead.seal_in_place_append_tag(nonce(), Aad::empty(), &mut body).unwrap());
        best.time("AEAD opens", || {
            aead.open_in_place(nonce(), Aad::empty(), &mut body).unwrap();
        });
        body.truncate(LEN);
        let mut envelope = None;
        best.time("seals", || {
            let (key, made) = sealing();
            key.seal(&mut body).unwrap();
            envelope = Some(made);
        });
        let opening = runtime.block_on(cipher.open(&envelope.unwrap(), &Description::new())).unwrap();
        best.time("verifies", || {
            let mut verifier = opening.verifier().unwrap().unwrap();
            body.chunks(STEP_LEN).for_each(|step| verifier.update(step).unwrap());
            verifier.finish().unwrap();
        });
        best.time("opens in steps", || {
            let mut opener = opening.opener().unwrap();
            for step in body.chunks(STEP_LEN) {
                out.clear();
                opener.update(step, &mut out).unwrap();
            }
            opener.finish(&mut out).unwrap();
        });
        best.time("opens", || opening.open(&mut body).unwrap());
        best.time("seals in steps", || {
            let mut sealer = sealing().0.sealer().unwrap();
            for step in body.chunks(STEP_LEN) {
                out.clear();
                sealer.update(step, &mut out).unwrap();
            }
            sealer.finish(&mut out);
        });
    }
    println!("GB/s of CPU time, bodies of 64 MiB, best of {ROUNDS}");
    println!("aws-lc's AEAD    seals {:.2}  opens {:.2}", best.of("AEAD seals"), best.of("AEAD opens"));
    for (what, of) in [
        ("seals", "AEAD seals"),
        ("opens", "AEAD opens"),
        ("seals in steps", "AEAD seals"),
        ("opens in steps", "AEAD opens"),
        ("verifies", "AEAD opens"),
    ] {
        println!("{what:14} {:.2} ({:.2}×)", best.of(what), best.of(what) / best.of(of));
    }
}
