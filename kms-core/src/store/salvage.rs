//! Two damaged copies may still have everything between them. What is put together of both counts only if a digest fits it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::digest::{Digest, DigestRecord, Hasher, Sum};
use super::verdict::{Unlock, Whole};
use super::{DIGEST_NAME, Entries};
use crate::secret::Secret32;

/// Entries of which it is tried which copy is right: two to this power of possibilities.
const MAX_DOUBTFUL: usize = 16;

/// The one set of entries of both copies that a digest of one of them fits; that of the last commit, if it fits both.
pub(crate) fn salvage(copies: [&Entries; 2], unlock: &Unlock<'_>) -> Option<(Entries, Whole)> {
    let mut records: Vec<(DigestRecord, [&Entries; 2])> = Vec::new();
    for [this, other] in [copies, [copies[1], copies[0]]] {
        records.extend(DigestRecord::among(this).map(|record| (record, [this, other])));
    }
    records.sort_by_key(|(record, _)| std::cmp::Reverse(record.state.number));
    records.iter().find_map(|(record, [this, other])| {
        // The domain key itself may be what is damaged in this copy.
        [this, other].iter().find_map(|having| {
            let domain = unlock(having).ok()?.domain;
            combine(record, record.open(&domain)?, [this, other], domain.clone())
        })
    })
}

/// Takes from the second copy what the first one has not, or has otherwise, until the sum fits.
fn combine(
    record: &DigestRecord,
    told: Sum,
    [this, other]: [&Entries; 2],
    domain: Arc<Secret32>,
) -> Option<(Entries, Whole)> {
    let hasher = Hasher::new(&domain);
    let hash = |entries: &Entries, name: &Vec<u8>| entries.get(name).map(|value| hasher.hash(name, value));
    let names: BTreeSet<&Vec<u8>> =
        this.keys().chain(other.keys()).filter(|name| *name != DIGEST_NAME).collect();
    let (mut sum, mut doubtful) = (Sum::default(), Vec::new());
    for name in names {
        let (mine, theirs) = (hash(this, name).unwrap_or_default(), hash(other, name).unwrap_or_default());
        sum = sum.plus(mine);
        if mine != theirs {
            doubtful.push((name, theirs.minus(mine)));
        }
    }
    let taken = subset(&doubtful, told.minus(sum))?;
    let mut entries = this.clone();
    for name in taken {
        match other.get(name) {
            Some(value) => entries.insert(name.clone(), value.clone()),
            None => entries.remove(name),
        };
    }
    entries.insert(DIGEST_NAME.to_vec(), record.encoded());
    let digest = Digest::of(&domain, record.state, &entries);
    (digest.sum == told).then_some((entries, Whole { domain, digest }))
}

/// Which of these differences add up to what is wanted: all, one, all but one, or any of a few.
fn subset<'a>(doubtful: &[(&'a Vec<u8>, Sum)], wanted: Sum) -> Option<Vec<&'a Vec<u8>>> {
    let all = doubtful.iter().fold(Sum::default(), |sum, (_, difference)| sum.plus(*difference));
    if all == wanted {
        return Some(doubtful.iter().map(|(name, _)| *name).collect());
    }
    for (at, (name, difference)) in doubtful.iter().enumerate() {
        if *difference == wanted {
            return Some(vec![name]);
        }
        if all.minus(*difference) == wanted {
            let others = doubtful.iter().enumerate().filter(|(other, _)| *other != at);
            return Some(others.map(|(_, (name, _))| *name).collect());
        }
    }
    if doubtful.len() > MAX_DOUBTFUL {
        return None;
    }
    (0u32..1 << doubtful.len()).find_map(|chosen| {
        let taken =
            || doubtful.iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1).map(|(_, one)| one);
        let sum = taken().fold(Sum::default(), |sum, (_, difference)| sum.plus(*difference));
        (sum == wanted).then(|| taken().map(|(name, _)| *name).collect())
    })
}
