//! A digest over all entries of a store: a keyed set hash. Each entry counts as the HMAC-SHA-256 of its name and value, under a key
//! that the domain key gives; the digest is their sum, in four lanes of 64 bits. So a commit adds what is new and takes away what was
//! there, and nothing else need be read. It is kept as an entry of its own, sealed and bound to the commit's number: who writes the
//! disk can neither make one nor learn what it is of.

use std::collections::HashMap;

use super::{Change, Entries, StoreState};
use crate::crypto;
use crate::secret::Secret32;

/// The name of the digest's entry. It is the one that the digest is not over.
pub const DIGEST_NAME: &[u8] = b"d";
const KEY_LABEL: &str = "sealgate kms v1 digest key";
const SEAL_LABEL: &str = "sealgate kms v1 digest";
const VERSION: u8 = 1;

/// What entries add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub(crate) struct Sum([u64; 4]);

impl Sum {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane].wrapping_add(other.0[lane])))
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane].wrapping_sub(other.0[lane])))
    }

    fn from_bytes(bytes: &[u8; 32]) -> Self {
        let lane = |lane: usize| std::array::from_fn(|at| bytes[lane * 8 + at]);
        Self(std::array::from_fn(|at| u64::from_be_bytes(lane(at))))
    }

    fn to_bytes(self) -> Secret32 {
        let mut bytes = [0; 32];
        for (place, lane) in bytes.chunks_exact_mut(8).zip(self.0) {
            place.copy_from_slice(&lane.to_be_bytes());
        }
        Secret32::take(&mut bytes)
    }
}

/// Tells what an entry counts as.
pub(crate) struct Hasher(Secret32);

impl Hasher {
    pub(crate) fn new(domain: &Secret32) -> Self {
        Self(Secret32::take(&mut crypto::derive(domain, KEY_LABEL, b"")))
    }

    pub(crate) fn hash(&self, name: &[u8], value: &[u8]) -> Sum {
        let len = (name.len() as u64).to_be_bytes();
        Sum::from_bytes(&crypto::hmac_sha256(self.0.expose(), &[&len, name, value]))
    }
}

/// A digest as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DigestRecord {
    /// After which commit, in the clear.
    pub(crate) state: StoreState,
    sealed: Vec<u8>,
}

impl DigestRecord {
    fn seal(domain: &Secret32, state: StoreState, sum: Sum) -> Self {
        let sealed = crypto::seal(domain, SEAL_LABEL, sum.to_bytes().expose(), &binding(state));
        Self { state, sealed }
    }

    /// What the entries added up to; `None` if it was not made so under this domain key.
    pub(crate) fn open(&self, domain: &Secret32) -> Option<Sum> {
        let opened = crypto::open_32(domain, SEAL_LABEL, &self.sealed, &binding(self.state))?;
        Some(Sum::from_bytes(opened.expose()))
    }

    /// The value of its entry: `version ‖ store id (16) ‖ number (8) ‖ sealed`.
    pub(crate) fn encoded(&self) -> Vec<u8> {
        [&[VERSION][..], &self.state.store_id, &self.state.number.to_be_bytes(), &self.sealed].concat()
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let (&VERSION, rest) = value.split_first()? else { return None };
        let (store_id, rest) = rest.split_first_chunk()?;
        let (number, sealed) = rest.split_first_chunk()?;
        let state = StoreState { store_id: *store_id, number: u64::from_be_bytes(*number) };
        Some(Self { state, sealed: sealed.to_vec() })
    }

    /// The one among these entries.
    pub(crate) fn among(entries: &Entries) -> Option<Self> {
        Self::decode(entries.get(DIGEST_NAME)?)
    }
}

fn binding(state: StoreState) -> Vec<u8> {
    [DIGEST_NAME, &state.store_id, &state.number.to_be_bytes()].concat()
}

/// The digest of a store that is open, with what each of its entries counts as.
pub(crate) struct Digest {
    hasher: Hasher,
    pub(crate) state: StoreState,
    pub(crate) sum: Sum,
    hashes: HashMap<Vec<u8>, Sum>,
}

/// What a commit does to a digest.
pub(crate) struct Step {
    state: StoreState,
    sum: Sum,
    hashes: HashMap<Vec<u8>, Option<Sum>>,
}

impl Digest {
    /// What these entries have.
    pub(crate) fn of(domain: &Secret32, state: StoreState, entries: &Entries) -> Self {
        let hasher = Hasher::new(domain);
        let counted = entries.iter().filter(|(name, _)| *name != DIGEST_NAME);
        let hashes: HashMap<_, _> =
            counted.map(|(name, value)| (name.clone(), hasher.hash(name, value))).collect();
        let sum = hashes.values().fold(Sum::default(), |sum, hash| sum.plus(*hash));
        Self { hasher, state, sum, hashes }
    }

    /// The same entries' digest as it is kept.
    pub(crate) fn record(&self, domain: &Secret32) -> DigestRecord {
        DigestRecord::seal(domain, self.state, self.sum)
    }

    /// The commit of these changes, and the record that goes with it.
    pub(crate) fn step(&self, domain: &Secret32, changes: &[Change]) -> (Step, DigestRecord) {
        let state = StoreState { number: self.state.number + 1, ..self.state };
        let mut step = Step { state, sum: self.sum, hashes: HashMap::with_capacity(changes.len()) };
        for (name, value) in changes {
            let was = match step.hashes.get(name) {
                Some(earlier) => *earlier,
                None => self.hashes.get(name).copied(),
            };
            let hash = value.as_ref().map(|value| self.hasher.hash(name, value));
            step.sum = step.sum.minus(was.unwrap_or_default()).plus(hash.unwrap_or_default());
            step.hashes.insert(name.clone(), hash);
        }
        let record = DigestRecord::seal(domain, state, step.sum);
        (step, record)
    }

    /// Goes on to what was committed.
    pub(crate) fn apply(&mut self, step: Step) {
        for (name, hash) in step.hashes {
            match hash {
                Some(hash) => self.hashes.insert(name, hash),
                None => self.hashes.remove(&name),
            };
        }
        (self.state, self.sum) = (step.state, step.sum);
    }

    /// Every name that it is over.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.hashes.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_lead_where_counting_anew_does_and_nothing_else_fits() {
        let domain = Secret32::random();
        let state = StoreState { store_id: [7; 16], number: 0 };
        let mut entries = Entries::from([(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"2".to_vec())]);
        let mut digest = Digest::of(&domain, state, &entries);
        let changes: Vec<Change> = vec![
            (b"a".to_vec(), Some(b"3".to_vec())),
            (b"b".to_vec(), None),
            (b"c".to_vec(), Some(b"4".to_vec())),
            (b"c".to_vec(), Some(b"5".to_vec())),
            (b"never".to_vec(), None),
        ];
        let (step, record) = digest.step(&domain, &changes);
        digest.apply(step);
        for (name, value) in changes {
            match value {
                Some(value) => entries.insert(name, value),
                None => entries.remove(&name),
            };
        }
        assert_eq!(Digest::of(&domain, digest.state, &entries).sum, digest.sum);
        let kept = DigestRecord::decode(&record.encoded()).unwrap();
        assert_eq!((kept.state.number, kept.open(&domain)), (1, Some(digest.sum)));
        assert_eq!(kept.open(&Secret32::random()), None);
        let renumbered = DigestRecord { state: StoreState { number: 2, ..kept.state }, ..kept };
        assert_eq!(renumbered.open(&domain), None);
        entries.insert(b"a".to_vec(), b"1".to_vec());
        assert_ne!(Digest::of(&domain, digest.state, &entries).sum, digest.sum);
    }
}
