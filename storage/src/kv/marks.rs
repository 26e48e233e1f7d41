//! Marks by which whoever keeps what it read knows whether it is still so, without reading it again.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use foldhash::quality::RandomState;

use super::Key;

/// Keys that begin with the same bytes of this many are of one group; a shorter key is one of its own.
pub const GROUP_LEN: usize = 17;

/// How many keys and groups are told apart. Those that share a place change together: a mark is never the same by mistake, but it may
/// change for nothing.
const KEYS: usize = 1 << 14;
const GROUPS: usize = 1 << 10;

/// What a mark is asked of.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// One key.
    Key(&'a [u8]),
    /// The group of the keys that begin with these bytes, [`GROUP_LEN`] of them.
    Group(&'a [u8]),
}

/// What an engine says of a place: a read that began after the mark was told, and any read for as long as the same is told again, find the
/// same there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    opening: u64,
    changes: u32,
}

/// The marks of an engine that is written by one thread at a time: how often each place has begun and ended to change. Odd: it is changing.
#[derive(Debug)]
pub(super) struct Marks {
    hasher: RandomState,
    /// How often the engine was opened and closed; odd: it is closed.
    opening: AtomicU64,
    changes: Box<[AtomicU32]>,
}

impl Default for Marks {
    fn default() -> Self {
        let changes = std::iter::repeat_with(AtomicU32::default).take(KEYS + GROUPS).collect();
        Self { hasher: RandomState::default(), opening: AtomicU64::new(0), changes }
    }
}

impl Marks {
    /// The mark of a place; `None` while it changes, and while the engine is closed.
    pub(super) fn of(&self, place: Place<'_>) -> Option<Mark> {
        // What is read after this was there when the mark was told, or came later: then the mark is another one by now.
        let opening = self.opening.load(Ordering::Acquire);
        let changes = self.changes[self.slot(place)].load(Ordering::Acquire);
        let is_still = opening.is_multiple_of(2) && changes.is_multiple_of(2);
        is_still.then_some(Mark { opening, changes })
    }

    /// These keys change until the answer is dropped. Nobody else changes any meanwhile.
    pub(super) fn change<'a>(&self, keys: impl Iterator<Item = &'a Key>) -> Changing<'_> {
        let mut slots: Vec<usize> = keys
            .flat_map(|key| [Place::Key(key), Place::Group(&key[..key.len().min(GROUP_LEN)])])
            .map(|place| self.slot(place))
            .collect();
        slots.sort_unstable();
        slots.dedup();
        let changing = Changing { marks: self, slots };
        changing.step();
        changing
    }

    /// Nothing can be read from here on.
    pub(super) fn close(&self) {
        self.opening.fetch_or(1, Ordering::AcqRel);
    }

    /// What can be read from here on may be something else.
    pub(super) fn open(&self) {
        self.close();
        self.opening.fetch_add(1, Ordering::AcqRel);
    }

    fn slot(&self, place: Place<'_>) -> usize {
        match place {
            Place::Key(key) => self.hasher.hash_one(key) as usize % KEYS,
            Place::Group(group) => KEYS + self.hasher.hash_one(group) as usize % GROUPS,
        }
    }
}

/// See [`Marks::change`].
pub(super) struct Changing<'a> {
    marks: &'a Marks,
    slots: Vec<usize>,
}

impl Changing<'_> {
    fn step(&self) {
        for &slot in &self.slots {
            self.marks.changes[slot].fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.step();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_the_same_as_long_as_its_place_is() {
        let marks = Marks::default();
        let (one, other) =
            (Key::from_static(b"a group of 17 by: one"), Key::from_static(b"another group by: two"));
        let all = || {
            [Place::Key(&one), Place::Group(&one[..GROUP_LEN]), Place::Key(&other)]
                .map(|place| marks.of(place))
        };
        let before = all();
        assert!(before.iter().all(Option::is_some));
        assert_eq!(all(), before);
        // Twice in a batch: it changes all the while.
        let changing = marks.change([&one, &one].into_iter());
        assert_eq!(all()[..2], [None, None]);
        drop(changing);
        let after = all();
        assert!(after.iter().all(Option::is_some));
        assert!(after[0] != before[0] && after[1] != before[1]);
        if marks.slot(Place::Key(&one)) != marks.slot(Place::Key(&other)) {
            assert_eq!(after[2], before[2]);
        }
        marks.close();
        marks.close();
        assert_eq!(all(), [None; 3]);
        marks.open();
        assert!(all().iter().zip(after).all(|(now, then)| now.is_some() && *now != then));
    }
}
