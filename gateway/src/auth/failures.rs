//! Signatures that failed, counted by where they came from: who guesses access keys or secrets is held off.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::http::place;

/// The most sources remembered. Beyond, those that have waited long enough are forgotten, or else all.
const MAX_SOURCES: usize = 10_000;
/// The most access keys of a source that are known to be good.
const MAX_GOOD: usize = 32;
const MINUTE_MS: u64 = 60_000;

/// Failed signatures by source: an IPv4 address, or the /64 of an IPv6 address.
#[derive(Debug)]
pub struct Failures {
    /// Failures that a source may have per minute, and at once; 0: as many as it likes.
    per_minute: AtomicU32,
    /// Gateways that take requests beside each other, each of which counts for itself: the failures are divided among them.
    gateways: AtomicU32,
    /// How many sources there are, so that a request looks no further while there are none.
    len: AtomicUsize,
    sources: Mutex<HashMap<IpAddr, Source>>,
}

#[derive(Debug, Default)]
struct Source {
    /// Failures that are not forgiven yet, as of `at_unix_ms`.
    count: f64,
    at_unix_ms: u64,
    /// Access keys that have signed well since there were failures, and not ill since then: they are let in even now.
    good: Vec<String>,
}

impl Failures {
    /// With this many failures per minute and source.
    pub fn new(per_minute: u32) -> Self {
        let (gateways, len) = (AtomicU32::new(1), AtomicUsize::new(0));
        Self { per_minute: AtomicU32::new(per_minute), gateways, len, sources: Mutex::default() }
    }

    /// From now on a source may have this many failures per minute.
    pub fn set_per_minute(&self, per_minute: u32) {
        self.per_minute.store(per_minute, Ordering::Relaxed);
    }

    /// So many gateways take requests beside each other, this one included.
    pub fn divide_among(&self, gateways: usize) {
        self.gateways.store(u32::try_from(gateways).unwrap_or(u32::MAX).max(1), Ordering::Relaxed);
    }

    /// Failures that a source may have per minute of this gateway.
    fn own_per_minute(&self) -> u32 {
        match self.per_minute.load(Ordering::Relaxed) {
            0 => 0,
            all => (all / self.gateways.load(Ordering::Relaxed)).max(1),
        }
    }

    /// May this source try this access key?
    pub fn admits(&self, source: IpAddr, access_key_id: &str, now_unix_ms: u64) -> bool {
        if self.len.load(Ordering::Relaxed) == 0 {
            return true;
        }
        let mut sources = self.sources.lock();
        let Some(known) = sources.get_mut(&place(source)) else { return true };
        let per_minute = self.own_per_minute();
        known.forgive(per_minute, now_unix_ms);
        known.count + 1.0 <= f64::from(per_minute) || known.good.iter().any(|good| good == access_key_id)
    }

    /// A signature was wrong, or its access key unknown.
    pub fn failed(&self, source: IpAddr, access_key_id: &str, now_unix_ms: u64) {
        let per_minute = self.own_per_minute();
        if per_minute == 0 {
            return;
        }
        let mut sources = self.sources.lock();
        if sources.len() >= MAX_SOURCES {
            sources.retain(|_, known| {
                known.forgive(per_minute, now_unix_ms);
                known.count > 0.0
            });
            if sources.len() >= MAX_SOURCES {
                sources.clear();
            }
        }
        let known = sources.entry(place(source)).or_default();
        known.forgive(per_minute, now_unix_ms);
        known.count = (known.count + 1.0).min(f64::from(per_minute));
        known.good.retain(|good| good != access_key_id);
        self.len.store(sources.len(), Ordering::Relaxed);
    }

    /// A signature was right.
    pub fn succeeded(&self, source: IpAddr, access_key_id: &str) {
        if self.len.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut sources = self.sources.lock();
        let Some(known) = sources.get_mut(&place(source)) else { return };
        if known.count <= 0.0 {
            sources.remove(&place(source));
            self.len.store(sources.len(), Ordering::Relaxed);
        } else if known.good.len() < MAX_GOOD && !known.good.iter().any(|good| good == access_key_id) {
            known.good.push(access_key_id.to_owned());
        }
    }
}

impl Source {
    fn forgive(&mut self, per_minute: u32, now_unix_ms: u64) {
        let passed_ms = now_unix_ms.saturating_sub(self.at_unix_ms);
        let forgiven = f64::from(per_minute) * passed_ms as f64 / MINUTE_MS as f64;
        self.count = (self.count - forgiven).max(0.0);
        self.at_unix_ms = now_unix_ms.max(self.at_unix_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUESSER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 8));

    #[test]
    fn a_guesser_is_held_off_and_forgiven() {
        let failures = Failures::new(60);
        for guess in 0..60 {
            assert!(failures.admits(GUESSER, "AKIA", 0), "{guess}");
            failures.failed(GUESSER, "AKIA", 0);
        }
        assert!(!failures.admits(GUESSER, "AKIA", 0));
        assert!(failures.admits(OTHER, "AKIA", 0));
        // One failure a second is forgiven.
        assert!(failures.admits(GUESSER, "AKIA", 1_100));
        failures.failed(GUESSER, "AKIA", 1_100);
        assert!(!failures.admits(GUESSER, "AKIA", 1_200));
        assert!(failures.admits(GUESSER, "AKIA", 120_000));
        failures.succeeded(GUESSER, "AKIA");
        assert_eq!(failures.len.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_has_signed_well_beside_a_guesser_is_let_in() {
        let failures = Failures::new(3);
        failures.failed(GUESSER, "AKIA1", 0);
        failures.succeeded(GUESSER, "AKIA2");
        for _ in 0..5 {
            failures.failed(GUESSER, "AKIA1", 0);
        }
        assert!(failures.admits(GUESSER, "AKIA2", 0));
        // But not to guess its secret.
        failures.failed(GUESSER, "AKIA2", 0);
        assert!(!failures.admits(GUESSER, "AKIA2", 0));
    }

    #[test]
    fn a_guesser_has_no_more_guesses_of_several_gateways_than_of_one() {
        let gateways = [Failures::new(60), Failures::new(60), Failures::new(60)];
        let mut guesses = 0;
        for failures in &gateways {
            failures.divide_among(gateways.len());
            while failures.admits(GUESSER, "AKIA", 0) {
                failures.failed(GUESSER, "AKIA", 0);
                guesses += 1;
            }
        }
        assert_eq!(guesses, 60);
        // Whoever is left alone counts for all.
        gateways[0].divide_among(1);
        assert!(gateways[0].admits(GUESSER, "AKIA", 0));
        Failures::new(0).divide_among(2);
    }

    #[test]
    fn an_ipv6_network_is_one_source_and_all_are_bounded() {
        let failures = Failures::new(1);
        failures.failed("2001:db8::1".parse().unwrap(), "AKIA", 0);
        assert!(!failures.admits("2001:db8::2".parse().unwrap(), "AKIA", 0));
        for n in 0..20_000u32 {
            failures.failed(IpAddr::V4(n.into()), "AKIA", 0);
        }
        assert!(failures.sources.lock().len() <= MAX_SOURCES);
        assert!(Failures::new(0).admits(GUESSER, "AKIA", 0));
    }
}
