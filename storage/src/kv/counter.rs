//! Counters: entries to which commits add, without reading them first and without a condition on them, so that writers who count the
//! same thing don't wait for each other. They lie in the clear, since an engine adds and holds no key.

use bytes::Bytes;

use super::Key;

/// What the keys of counters begin with. Whoever seals values leaves these as they are.
pub const COUNTER: u8 = b'N';
/// How many numbers a counter holds.
pub const COLUMNS: usize = 8;
/// The stripe that an engine with one committing thread uses.
pub(super) const ONLY_STRIPE: u8 = 0;

/// The numbers of a counter, or what is added to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts(pub [i64; COLUMNS]);

impl Amounts {
    /// Adds each number. Wraps, so that additions commute whatever they are.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum = sum.wrapping_add(more));
    }

    /// These, with each sign turned.
    pub fn negated(&self) -> Self {
        Self(self.0.map(i64::wrapping_neg))
    }

    /// Nothing?
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// As they are stored: each number in eight bytes, the highest first.
    pub fn to_bytes(&self) -> Bytes {
        self.0.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>().into()
    }

    /// What [`Amounts::to_bytes`] made; `None` if it did not.
    pub fn from_bytes(stored: &[u8]) -> Option<Self> {
        let (numbers, rest) = stored.as_chunks::<8>();
        let numbers: [[u8; 8]; COLUMNS] = numbers.try_into().ok()?;
        rest.is_empty().then(|| Self(numbers.map(i64::from_be_bytes)))
    }

    /// What an engine adds to. A damaged counter must not end every write of its bucket: it begins anew, which a full count tells.
    pub fn stored_or_none(stored: &[u8]) -> Self {
        Self::from_bytes(stored).unwrap_or_else(|| {
            tracing::error!(
                "a counter is damaged, and begins anew: count again with `sealgate check --recount`"
            );
            Self::default()
        })
    }
}

/// An addition to a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addition {
    /// The counter. It begins with [`COUNTER`].
    pub counter: Key,
    /// What is added.
    pub amounts: Amounts,
    /// The engine may keep the counter in several entries, so that nobody waits for it: under its name followed by one byte. Who reads
    /// adds up what begins with the name. Else it is one entry of this key, on which conditions can be.
    pub is_spread: bool,
}

impl Addition {
    /// The key of the entry that is added to, in this stripe where the counter is spread.
    pub(super) fn entry_key(&self, stripe: u8) -> Key {
        match self.is_spread {
            true => [&self.counter[..], &[stripe]].concat().into(),
            false => self.counter.clone(),
        }
    }
}

/// Is this the key of a counter?
pub fn is_counter(key: &[u8]) -> bool {
    key.first() == Some(&COUNTER)
}
