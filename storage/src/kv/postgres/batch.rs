//! Which transactions the server is given together, and in which form.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::kv::counter::Addition;
use crate::kv::{Condition, Key, Transaction, Write, prefix_end};

/// Transactions of one round trip at most.
pub(super) const MAX_TRANSACTIONS: usize = 64;
/// Keys of one round trip at most, unless one transaction alone has more.
const MAX_KEYS: usize = 512;
/// Bytes of values of one round trip at most, likewise.
const MAX_LEN: usize = 8 << 20;
/// A transaction that locks more than this locks out all others instead: the server's table of locks is small.
pub(super) const MAX_LOCKS: usize = 2048;
/// Into how many stripes keys fall. Two keys of one stripe wait for each other; nothing else comes of it.
const STRIPES: u32 = 1 << 16;

/// The keys that a transaction asks for, and those that it changes. Spread counters are not among them: nobody waits for these.
fn keys(transaction: &Transaction) -> impl Iterator<Item = (&Key, bool)> {
    let asked =
        transaction.conditions.iter().filter(|condition| !matches!(condition, Condition::AtMost { .. }));
    let is_spread = |write: &&Write| matches!(write, Write::Add(Addition { is_spread: true, .. }));
    let changed = transaction.writes.iter().filter(move |write| !is_spread(write));
    asked.map(|condition| (condition.key(), false)).chain(changed.map(|write| (write.key(), true)))
}

fn len(transaction: &Transaction) -> usize {
    let of = |write: &Write| if let Write::Put(_, value) = write { value.len() } else { 0 };
    transaction.writes.iter().map(of).sum()
}

/// Takes from the front of a queue what can be judged together, `most` at the most: no transaction touches what another one changes. What is left behind
/// stays in order, and nothing overtakes it on its keys.
pub(super) fn take<T>(
    queue: &mut VecDeque<T>,
    most: usize,
    transaction: impl Fn(&T) -> &Transaction,
) -> Vec<T> {
    let (mut asked, mut changed) = (HashSet::new(), HashSet::new());
    let (mut taken, mut left) = (Vec::new(), VecDeque::new());
    let (mut count, mut total) = (0, 0);
    while let Some(next) = queue.pop_front() {
        let of = transaction(&next);
        let touches = keys(of).any(|(key, changes)| changed.contains(key) || changes && asked.contains(key));
        let (more, longer) = (keys(of).count(), len(of));
        let is_full = taken.len() >= most || count + more > MAX_KEYS || total + longer > MAX_LEN;
        let waits = touches || is_full && !taken.is_empty();
        for (key, changes) in keys(of) {
            asked.insert(key.clone());
            if changes || waits {
                changed.insert(key.clone());
            }
        }
        if waits {
            left.push_back(next);
        } else {
            (count, total) = (count + more, total + longer);
            taken.push(next);
        }
    }
    *queue = left;
    taken
}

/// The arguments of `kv_commit`.
#[derive(Default)]
pub(super) struct Arguments<'a> {
    pub(super) locks_all: bool,
    pub(super) locks: Vec<i32>,
    pub(super) asked: Vec<&'a [u8]>,
    pub(super) asked_revision: Vec<Option<i64>>,
    pub(super) asked_of: Vec<i32>,
    pub(super) put: Vec<&'a [u8]>,
    pub(super) put_value: Vec<&'a [u8]>,
    pub(super) put_revision: Vec<i64>,
    pub(super) put_of: Vec<i32>,
    pub(super) deleted: Vec<&'a [u8]>,
    pub(super) deleted_of: Vec<i32>,
    pub(super) added: Vec<Vec<u8>>,
    pub(super) added_value: Vec<Vec<u8>>,
    pub(super) added_revision: Vec<i64>,
    pub(super) added_of: Vec<i32>,
    pub(super) bounded: Vec<&'a [u8]>,
    pub(super) bounded_end: Vec<Vec<u8>>,
    pub(super) bounded_column: Vec<i32>,
    pub(super) bounded_most: Vec<i64>,
    pub(super) bounded_of: Vec<i32>,
}

impl<'a> Arguments<'a> {
    /// Those of these transactions, whose puts get these revisions, and whose additions go to this stripe of what is spread.
    pub(super) fn of(
        batch: impl Iterator<Item = &'a Transaction>,
        stripe_of_counters: u8,
        mut revision: impl FnMut() -> i64,
    ) -> Self {
        let mut arguments = Self::default();
        let mut locks: HashMap<u32, bool> = HashMap::new();
        for (of, transaction) in (0..).zip(batch) {
            for (key, changes) in keys(transaction) {
                *locks.entry(stripe(key)).or_default() |= changes;
            }
            for condition in &transaction.conditions {
                let (key, at) = match condition {
                    Condition::Absent(key) => (key, None),
                    Condition::At(key, at) => (key, Some(at.0.cast_signed())),
                    Condition::AtMost { counter, column, most } => {
                        arguments.bounded.push(counter);
                        arguments.bounded_end.push(prefix_end(counter).unwrap_or_default().to_vec());
                        arguments.bounded_column.push(i32::try_from(*column).unwrap_or(i32::MAX));
                        arguments.bounded_most.push(*most);
                        arguments.bounded_of.push(of);
                        continue;
                    }
                };
                arguments.asked.push(key);
                arguments.asked_revision.push(at);
                arguments.asked_of.push(of);
            }
            for write in &transaction.writes {
                match write {
                    Write::Put(key, value) => {
                        arguments.put.push(key);
                        arguments.put_value.push(value);
                        arguments.put_revision.push(revision());
                        arguments.put_of.push(of);
                    }
                    Write::Delete(key) => {
                        arguments.deleted.push(key);
                        arguments.deleted_of.push(of);
                    }
                    Write::Add(addition) => {
                        arguments.added.push(addition.entry_key(stripe_of_counters).to_vec());
                        arguments.added_value.push(addition.amounts.to_bytes().to_vec());
                        arguments.added_revision.push(revision());
                        arguments.added_of.push(of);
                    }
                }
            }
        }
        arguments.locks_all = locks.len() > MAX_LOCKS;
        if !arguments.locks_all {
            let marked =
                |(stripe, exclusive): (u32, bool)| (stripe << 1 | u32::from(exclusive)).cast_signed();
            arguments.locks = locks.into_iter().map(marked).collect();
            arguments.locks.sort_unstable();
        }
        arguments
    }

    /// A key that the transaction of this number sets, and the revision that it gives it.
    pub(super) fn mark_of(&self, transaction: i32) -> Option<(&'a [u8], i64)> {
        let at = self.put_of.iter().position(|of| *of == transaction)?;
        Some((self.put[at], self.put_revision[at]))
    }
}

/// FNV-1a: all gateways over one server must agree.
fn stripe(key: &[u8]) -> u32 {
    let hash =
        key.iter().fold(0x811c_9dc5_u32, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash ^ (hash >> 16)) % STRIPES
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kv::Revision;

    fn key(number: u8) -> Key {
        Key::copy_from_slice(&[number])
    }

    fn transaction((asked, changed): (Vec<u8>, Vec<u8>)) -> Transaction {
        let conditions = asked.into_iter().map(|n| Condition::At(key(n), Revision(1))).collect();
        let writes = changed.into_iter().map(|n| Write::Delete(key(n))).collect();
        Transaction { conditions, writes }
    }

    fn collide(a: &Transaction, b: &Transaction) -> bool {
        keys(a).any(|(key, changes)| {
            keys(b).any(|(other, changes_too)| key == other && (changes || changes_too))
        })
    }

    proptest! {
        /// Nothing of a batch touches another, all are sent in the end, and of two that touch each other the first goes first.
        #[test]
        fn batches_keep_apart_what_touches(
            all in prop::collection::vec((prop::collection::vec(0..12_u8, 0..4), prop::collection::vec(0..12_u8, 0..3)), 0..80)
        ) {
            let all: Vec<Transaction> = all.into_iter().map(transaction).collect();
            let mut queue: VecDeque<(usize, &Transaction)> = all.iter().enumerate().collect();
            let mut sent_in = vec![usize::MAX; all.len()];
            for round in 0..=all.len() {
                for (number, _) in take(&mut queue, MAX_TRANSACTIONS, |one| one.1) {
                    sent_in[number] = round;
                }
            }
            for (later, of_later) in all.iter().enumerate() {
                prop_assert!(sent_in[later] != usize::MAX);
                for earlier in 0..later {
                    if collide(&all[earlier], of_later) {
                        prop_assert!(sent_in[earlier] < sent_in[later]);
                    }
                }
            }
        }
    }

    #[test]
    fn batches_are_bounded_but_for_what_is_long_by_itself() {
        let long = |number: u8| Transaction {
            conditions: vec![],
            writes: vec![Write::Put(key(number), vec![0; MAX_LEN - 1].into())],
        };
        let mut queue: VecDeque<_> = (0..3).map(long).collect();
        assert_eq!(take(&mut queue, MAX_TRANSACTIONS, |one| one).len(), 1);
        let mut queue: VecDeque<_> = (0..200).map(|number| transaction((vec![], vec![number]))).collect();
        assert_eq!(take(&mut queue, MAX_TRANSACTIONS, |one| one).len(), MAX_TRANSACTIONS);
    }

    #[test]
    fn locks_ascend_and_very_many_are_one() {
        let many = |count: u16| {
            let writes = (0..count).map(|n| Write::Delete(Key::copy_from_slice(&n.to_be_bytes()))).collect();
            Transaction { conditions: vec![], writes }
        };
        let few = many(500);
        let arguments = Arguments::of(std::iter::once(&few), 0, || 0);
        assert!(arguments.locks.is_sorted() && arguments.locks.iter().all(|lock| lock & 1 == 1));
        let most = many(4000);
        let arguments = Arguments::of(std::iter::once(&most), 0, || 0);
        assert!(arguments.locks_all && arguments.locks.is_empty());
    }
}
