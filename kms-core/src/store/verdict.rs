//! What a copy is worth: judged by its entries and the digest among them, with the domain key that they wrap.

use std::sync::Arc;

use super::digest::{Digest, DigestRecord};
use super::{DIGEST_NAME, Entries, KeyStore};
use crate::root::RootError;
use crate::secret::Secret32;

/// The domain key of a store.
#[derive(Clone)]
pub(crate) struct Unlocked {
    pub(crate) domain: Arc<Secret32>,
    /// Was it wrapped for a store with a digest? One without is not what was written then.
    pub(crate) needs_digest: bool,
}

/// Why there is no domain key to be had.
#[derive(Debug)]
pub(crate) enum UnlockError {
    /// It is under another root key, or the root key can't be asked.
    Root(RootError),
    /// It is missing or damaged.
    Damaged(&'static str),
}

/// Tells the domain key of the store that has these entries.
pub(crate) type Unlock<'a> = dyn Fn(&Entries) -> Result<Unlocked, UnlockError> + 'a;

/// What a copy is worth.
pub(crate) enum Verdict {
    /// There is none.
    Absent,
    /// Nothing is in it.
    Empty,
    /// Its digest fits.
    Whole(Whole),
    /// An earlier build wrote it: it has no digest, and need not have one.
    Former(Unlocked),
    /// It is under another root key.
    Locked(RootError),
    /// It is not as it was written.
    Damaged(String),
}

/// A copy whose digest fits.
pub(crate) struct Whole {
    pub(crate) domain: Arc<Secret32>,
    pub(crate) digest: Digest,
}

/// A copy that was read.
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    /// What it has; of a damaged one: what could be read.
    pub(crate) entries: Entries,
    /// Where it was opened: where commits go.
    pub(crate) store: Option<Box<dyn KeyStore>>,
    /// It ends in a write that was cut off.
    pub(crate) is_torn: bool,
}

impl Judged {
    pub(crate) fn absent() -> Self {
        Self { verdict: Verdict::Absent, entries: Entries::new(), store: None, is_torn: false }
    }

    pub(crate) fn damaged(why: String, entries: Entries) -> Self {
        Self { verdict: Verdict::Damaged(why), entries, store: None, is_torn: false }
    }

    /// Judges what was read.
    pub(crate) fn of(entries: Entries, store: Option<Box<dyn KeyStore>>, unlock: &Unlock<'_>) -> Self {
        Self { verdict: judge(&entries, unlock), entries, store, is_torn: false }
    }

    /// Neither there nor anything in it.
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self.verdict, Verdict::Absent | Verdict::Empty)
    }

    pub(crate) fn whole(&self) -> Option<&Whole> {
        if let Verdict::Whole(whole) = &self.verdict { Some(whole) } else { None }
    }

    /// The number of its last commit, as it says itself.
    pub(crate) fn number(&self) -> Option<u64> {
        DigestRecord::among(&self.entries).map(|record| record.state.number)
    }

    /// What is wrong with it.
    pub(crate) fn fault(&self) -> Option<String> {
        match &self.verdict {
            Verdict::Absent => Some("it is missing".to_owned()),
            Verdict::Empty => Some("it is empty".to_owned()),
            Verdict::Whole(_) if self.is_torn => Some("its last write was cut off".to_owned()),
            Verdict::Whole(_) => None,
            Verdict::Former(_) => Some("an earlier build wrote it, it has no digest".to_owned()),
            Verdict::Locked(error) => Some(error.to_string()),
            Verdict::Damaged(why) => Some(why.clone()),
        }
    }
}

fn judge(entries: &Entries, unlock: &Unlock<'_>) -> Verdict {
    if entries.is_empty() {
        return Verdict::Empty;
    }
    let unlocked = match unlock(entries) {
        Ok(unlocked) => unlocked,
        Err(UnlockError::Root(error)) => return Verdict::Locked(error),
        Err(UnlockError::Damaged(why)) => return Verdict::Damaged(why.to_owned()),
    };
    let damaged = |why: &str| Verdict::Damaged(why.to_owned());
    let Some(value) = entries.get(DIGEST_NAME) else {
        return match unlocked.needs_digest {
            true => damaged("its digest is missing"),
            false => Verdict::Former(unlocked),
        };
    };
    let record = DigestRecord::decode(value);
    let told = record.as_ref().and_then(|record| record.open(&unlocked.domain));
    let (Some(record), Some(told)) = (record, told) else {
        return damaged("its digest does not open");
    };
    let digest = Digest::of(&unlocked.domain, record.state, entries);
    match digest.sum == told {
        true => Verdict::Whole(Whole { domain: unlocked.domain, digest }),
        false => damaged("its digest does not fit: an entry was changed, removed, added or put back"),
    }
}
