//! A key store that is kept twice. Each commit goes to the first copy, then to the second, then to the head. When it is opened both
//! copies are read and judged; what is not as it was written is made anew from the other. After a commit that failed nothing that
//! is in memory is trusted: the copies are closed, and opened again from what is on the disk.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::digest::{Digest, DigestRecord, Sum};
use super::head::{Head, Told};
use super::place::{MirrorPlace, Place, SledPlace};
use super::salvage::salvage;
use super::sled::lock;
use super::verdict::{Judged, Unlock, UnlockError, Unlocked, Verdict, Whole};
use super::{Change, DIGEST_NAME, Entries, Expected, KeyStore, StoreError, StorePlaces, StoreState};
use crate::crypto;
use crate::root::RootError;
use crate::secret::Secret32;

/// The name of the wrapped domain key.
const DOMAIN_NAME: &[u8] = b"m";

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenStoreError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Root(RootError),
}

/// What becomes of a store that its head does not vouch for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfBehind {
    Refuse,
    /// Somebody said so: its best copy is taken as right.
    Accept,
}

/// What an opened store has.
pub(crate) struct Contents {
    pub(crate) entries: Entries,
    pub(crate) domain: Arc<Secret32>,
    /// An earlier build wrote it: [`Copies::bring_forward`] comes next.
    pub(crate) is_former: bool,
}

/// See the module.
pub(crate) struct Copies {
    first: Box<dyn Place>,
    second: Option<Box<dyn Place>>,
    head: Option<Head>,
    open: Mutex<Option<Open>>,
    /// Whether it is, beside the lock that is held while something is read or written: who only asks waits for nobody.
    is_open: AtomicBool,
    /// The wrapped domain key of the store that is open, or was, and what is in it.
    known: Mutex<Option<(Vec<u8>, Unlocked)>>,
    /// The last field, so that the folders are let go once all is closed.
    _locks: Vec<File>,
}

struct Open {
    first: Box<dyn KeyStore>,
    second: Option<Box<dyn KeyStore>>,
    domain: Arc<Secret32>,
    digest: Digest,
    /// The digest entry as the last commit left it.
    revision: Option<Vec<u8>>,
}

/// Which entries are the store's.
enum Choice {
    New,
    Former(Unlocked),
    First,
    Second,
    Salvaged(Entries, Whole),
}

impl Copies {
    /// The store at these places, held for this process; nothing is opened yet.
    pub(crate) fn at(places: &StorePlaces) -> Result<Self, StoreError> {
        let locks = vec![lock(&places.folder)?, lock(&places.mirror)?];
        let first = Box::new(SledPlace(places.database()));
        let second = Box::new(MirrorPlace(places.mirror_log()));
        Ok(Self { _locks: locks, ..Self::of(first, Some(second), Some(Head::at(&places.head))) })
    }

    /// A store in places of any kind.
    pub(crate) fn of(first: Box<dyn Place>, second: Option<Box<dyn Place>>, head: Option<Head>) -> Self {
        let (open, is_open, known) = (Mutex::default(), AtomicBool::default(), Mutex::default());
        Self { first, second, head, open, is_open, known, _locks: Vec::new() }
    }

    /// Reads both copies, decides which is right, and makes the other so. `None`: no store was made yet.
    /// `was_made`: a root key was bound to it once.
    pub(crate) fn open(
        &self,
        unlock: &Unlock<'_>,
        was_made: bool,
        if_behind: IfBehind,
    ) -> Result<Option<Contents>, OpenStoreError> {
        let mut open = self.open.lock();
        self.put(&mut open, None);
        let mut first = self.first.read(unlock)?;
        let mut second = match &self.second {
            Some(place) => place.read(unlock)?,
            None => Judged::absent(),
        };
        let told = self.told()?;
        let choice = self.choose(&first, &second, unlock, was_made, (&told, if_behind))?;
        let agree = first.whole().is_some() && (second.whole().is_some() || self.second.is_none());
        let (of_first, of_second) = (Found::of(&first), Found::of(&second));
        let (first_store, second_store) = (first.store.take(), second.store.take());
        let (entries, whole) = match choice {
            Choice::New => {
                self.vouch_empty(&told, if_behind)?;
                return Ok(None);
            }
            Choice::Former(Unlocked { domain, .. }) => {
                self.vouch_empty(&told, if_behind)?;
                let Some(store) = first_store else { return Err(not_whole().into()) };
                let entries = first.entries;
                let state = StoreState { store_id: crypto::random(), number: 0 };
                let digest = Digest::of(&domain, state, &entries);
                let opened =
                    Open { first: store, second: None, domain: domain.clone(), digest, revision: None };
                self.put(&mut open, Some(opened));
                return Ok(Some(Contents { entries, domain, is_former: true }));
            }
            Choice::First => (first.entries, into_whole(first.verdict)),
            Choice::Second => (second.entries, into_whole(second.verdict)),
            Choice::Salvaged(entries, whole) => (entries, Some(whole)),
        };
        let Whole { domain, digest } = whole.ok_or_else(not_whole)?;
        let remake_head = self.vouch(&told, (&domain, &digest), agree, if_behind)?;
        let first = self.mend(&*self.first, first_store, of_first, (&entries, &digest))?;
        let second = match &self.second {
            Some(place) => Some(self.mend(&**place, second_store, of_second, (&entries, &digest))?),
            None => None,
        };
        if let Some(head) = self.head.as_ref().filter(|_| remake_head) {
            head.make(&digest.record(&domain)).map_err(|error| at_head(head, &error))?;
        }
        self.know(&entries, &domain);
        let revision = entries.get(DIGEST_NAME).cloned();
        let opened = Open { first, second, domain: domain.clone(), digest, revision };
        self.put(&mut open, Some(opened));
        Ok(Some(Contents { entries, domain, is_former: false }))
    }

    /// The copy as it is, if it is of the state that is right; else it is made so.
    fn mend(
        &self,
        place: &dyn Place,
        store: Option<Box<dyn KeyStore>>,
        found: Found,
        (entries, digest): (&Entries, &Digest),
    ) -> Result<Box<dyn KeyStore>, StoreError> {
        let (state, sum) = (digest.state, digest.sum);
        if let Some(store) = store.filter(|_| found.digest == Some((state, sum))) {
            return Ok(store);
        }
        let (file, number) = (place.path().display(), state.number);
        // A crash between the two writes leaves this of the second copy, or one within the second write.
        let is_usual = place.is_second()
            && match found.digest {
                Some((former, former_sum)) => {
                    former.number + 1 == number || (former, former_sum) == (state, sum)
                }
                None => found.is_absent && number <= 1,
            };
        if is_usual {
            tracing::info!(%file, number, "the second copy of the key store is brought up to the first");
        } else {
            let why = &found.why;
            let done = if found.is_absent { "made anew" } else { "moved aside and made anew" };
            tracing::warn!(%file, why, number, "a copy of the key store is not right: it is {done} from what is whole");
        }
        place.make(entries, !is_usual)
    }

    /// As [`Copies::open`], after a failure, with the domain key that is known.
    pub(crate) fn reopen(&self) -> Result<Option<Contents>, OpenStoreError> {
        let known = self.known.lock().clone();
        let unlock = |entries: &Entries| match (&known, entries.get(DOMAIN_NAME)) {
            (Some((wrapped, unlocked)), Some(value)) if wrapped == value => Ok(unlocked.clone()),
            _ => Err(UnlockError::Damaged("its domain key is another one")),
        };
        self.open(&unlock, true, IfBehind::Refuse)
    }

    /// Makes a store of these entries where there is none.
    pub(crate) fn make(&self, mut entries: Entries, domain: &Arc<Secret32>) -> Result<(), StoreError> {
        let mut open = self.open.lock();
        let state = StoreState { store_id: crypto::random(), number: 1 };
        let digest = Digest::of(domain, state, &entries);
        let record = digest.record(domain);
        entries.insert(DIGEST_NAME.to_vec(), record.encoded());
        let first = self.first.make(&entries, true)?;
        let second = self.second.as_ref().map(|place| place.make(&entries, true)).transpose()?;
        if let Some(head) = &self.head {
            head.make(&record).map_err(|error| at_head(head, &error))?;
        }
        self.know(&entries, domain);
        let revision = Some(record.encoded());
        let opened = Open { first, second, domain: domain.clone(), digest, revision };
        self.put(&mut open, Some(opened));
        Ok(())
    }

    /// Gives the store of an earlier build, which is open, its digest, its second copy and its head. `changes` go with it.
    pub(crate) fn bring_forward(&self, mut entries: Entries, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut slot = self.open.lock();
        let Some(open) = slot.as_mut() else { return Err(StoreError::Doubtful) };
        let record = open.commit(changes.clone())?;
        for (name, value) in changes {
            match value {
                Some(value) => entries.insert(name, value),
                None => entries.remove(&name),
            };
        }
        entries.insert(DIGEST_NAME.to_vec(), record.encoded());
        open.second = self.second.as_ref().map(|place| place.make(&entries, true)).transpose()?;
        if let Some(head) = &self.head {
            head.make(&record).map_err(|error| at_head(head, &error))?;
        }
        let domain = open.domain.clone();
        self.know(&entries, &domain);
        Ok(())
    }

    /// Makes a store of a backup's entries, where there is none.
    pub(crate) fn restore(&self, entries: &Entries) -> Result<(), StoreError> {
        // That of an earlier build gets its second copy and its head when it is opened.
        if let Some(record) = DigestRecord::among(entries) {
            self.second.as_ref().map(|place| place.make(entries, true)).transpose()?;
            if let Some(head) = &self.head {
                head.make(&record).map_err(|error| at_head(head, &error))?;
            }
        }
        self.first.make(entries, true).map(drop)
    }

    /// Applies all changes or none. After an error nothing is known of the store until [`Copies::reopen`].
    pub(crate) fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut slot = self.open.lock();
        let open = slot.as_mut().ok_or(StoreError::Doubtful)?;
        let rewrapped = changes.iter().rev().find(|(name, _)| name == DOMAIN_NAME);
        let rewrapped = rewrapped.and_then(|(_, value)| value.clone());
        let done = open.commit(changes);
        let domain = open.domain.clone();
        if let (Ok(_), Some(value)) = (&done, rewrapped) {
            *self.known.lock() = Some((value, Unlocked { domain, needs_digest: true }));
        }
        self.finish(&mut slot, done)
    }

    /// Puts these entries, which are under another domain key, in the place of all there are, in one commit.
    pub(crate) fn rekey(&self, entries: Entries, domain: Arc<Secret32>) -> Result<(), StoreError> {
        let mut slot = self.open.lock();
        let open = slot.as_mut().ok_or(StoreError::Doubtful)?;
        let former = open.digest.names().filter(|name| !entries.contains_key(*name));
        let mut changes: Vec<Change> = former.map(|name| (name.clone(), None)).collect();
        let state = StoreState { number: open.digest.state.number + 1, ..open.digest.state };
        let digest = Digest::of(&domain, state, &entries);
        let record = digest.record(&domain);
        self.know(&entries, &domain);
        changes.extend(entries.into_iter().map(|(name, value)| (name, Some(value))));
        changes.push((DIGEST_NAME.to_vec(), Some(record.encoded())));
        let done = open.write(changes).map(|()| record);
        if done.is_ok() {
            (open.domain, open.digest) = (domain, digest);
            open.revision = done.as_ref().ok().map(DigestRecord::encoded);
        }
        self.finish(&mut slot, done)
    }

    fn finish(
        &self,
        slot: &mut Option<Open>,
        done: Result<DigestRecord, StoreError>,
    ) -> Result<(), StoreError> {
        let record = match done {
            Ok(record) => record,
            // Nothing is in doubt: the store is stale from now on, and is read again before the next change.
            Err(StoreError::Contended) => return Err(StoreError::Contended),
            Err(error) => {
                tracing::error!(%error, "a commit to the key store failed: it is opened again before the next one");
                // sled still wants to write when it is closed, and may panic if it can't.
                let closed = self.put(slot, None);
                let _ = catch_unwind(AssertUnwindSafe(|| drop(closed)));
                return Err(error);
            }
        };
        if let Some(head) = &self.head {
            // The commit is durable twice. A head that lags notices less, and does no harm.
            if let Err(error) = head.write(&record) {
                tracing::warn!(file = %head.path().display(), %error, "the key store's head can't be written");
            }
        }
        Ok(())
    }

    /// Is it open, with nothing in doubt?
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// What is open from now on; answers what was.
    fn put(&self, slot: &mut Option<Open>, open: Option<Open>) -> Option<Open> {
        self.is_open.store(open.is_some(), Ordering::Release);
        std::mem::replace(slot, open)
    }

    /// Can others write to it while it is open here?
    pub(crate) fn is_shared(&self) -> bool {
        self.first.is_shared()
    }

    /// Was it changed by somebody else since it was read here?
    pub(crate) fn is_stale(&self) -> Result<bool, StoreError> {
        let slot = self.open.lock();
        let Some(open) = slot.as_ref().filter(|open| open.first.is_shared()) else { return Ok(false) };
        Ok(open.first.revision()? != open.revision)
    }

    /// The digest entry that was last read or written; `None` where nothing is open.
    pub(crate) fn revision(&self) -> Option<Option<Vec<u8>>> {
        self.open.lock().as_ref().map(|open| open.revision.clone())
    }

    /// Closes both copies; nothing is known of the store until [`Copies::reopen`].
    pub(crate) fn close(&self) {
        self.put(&mut self.open.lock(), None);
    }

    /// Which commit the store is at.
    pub(crate) fn state(&self) -> Option<StoreState> {
        self.open.lock().as_ref().map(|open| open.digest.state)
    }

    /// Puts the head on the disk, where the kernel has not done so.
    pub(crate) fn sync_head(&self) {
        if let Some(head) = &self.head {
            head.sync_or_warn();
        }
    }

    /// Every entry, read again; from the second copy if the first is not as it was written.
    pub(crate) fn load(&self) -> Result<Entries, StoreError> {
        let slot = self.open.lock();
        let Some(open) = slot.as_ref() else { return Err(StoreError::Doubtful) };
        for (store, name) in [(Some(&open.first), "first"), (open.second.as_ref(), "second")] {
            let Some(store) = store else { continue };
            let entries: Entries = match store.load() {
                Ok(entries) => entries.into_iter().collect(),
                Err(error) => {
                    tracing::warn!(%error, "the {name} copy of the key store can't be read");
                    continue;
                }
            };
            let state = DigestRecord::among(&entries).map(|record| record.state);
            let is_whole = Digest::of(&open.domain, open.digest.state, &entries).sum == open.digest.sum;
            if is_whole && (state == Some(open.digest.state) || open.digest.state.number == 0) {
                return Ok(entries);
            }
            tracing::warn!("the {name} copy of the key store is not as it was written");
        }
        Err(StoreError::Damaged("neither copy is as it was written".to_owned()))
    }

    fn know(&self, entries: &Entries, domain: &Arc<Secret32>) {
        let unlocked = Unlocked { domain: domain.clone(), needs_digest: true };
        *self.known.lock() = entries.get(DOMAIN_NAME).map(|value| (value.clone(), unlocked));
    }

    fn told(&self) -> Result<Told, StoreError> {
        match &self.head {
            Some(head) => head.read().map_err(|error| at_head(head, &error)),
            None => Ok(Told::Nothing),
        }
    }

    fn choose(
        &self,
        first: &Judged,
        second: &Judged,
        unlock: &Unlock<'_>,
        was_made: bool,
        (told, if_behind): (&Told, IfBehind),
    ) -> Result<Choice, OpenStoreError> {
        for (locked, other) in [(first, second), (second, first)] {
            if let Verdict::Locked(error) = &locked.verdict {
                // Under another root key it is either the state that a crash left before this one, or the one after it.
                let is_former = other.whole().is_some_and(|whole| {
                    let is_other_root = matches!(error, RootError::WrongRoot { .. });
                    !is_other_root || locked.number().unwrap_or(0) <= whole.digest.state.number
                });
                if !is_former {
                    return Err(OpenStoreError::Root(copy_of(error)));
                }
            }
        }
        match (first.whole(), second.whole()) {
            (Some(a), Some(b)) => {
                let (a, b) = (&a.digest, &b.digest);
                if a.state.store_id != b.state.store_id {
                    let place =
                        self.second.as_ref().map_or_else(Default::default, |place| place.path().to_owned());
                    return Err(StoreError::Foreign(place).into());
                }
                if a.state.number != b.state.number {
                    return Ok(if a.state.number > b.state.number { Choice::First } else { Choice::Second });
                }
                if a.sum == b.sum {
                    return Ok(Choice::First);
                }
                // Two states of one commit: the head knows which was acknowledged.
                let is_told = |whole: Option<&Whole>| match (told, whole) {
                    (Told::Reached(record), Some(whole)) => {
                        record.open(&whole.domain) == Some(whole.digest.sum)
                    }
                    _ => false,
                };
                match (is_told(first.whole()), is_told(second.whole())) {
                    (true, _) => Ok(Choice::First),
                    (_, true) => Ok(Choice::Second),
                    _ if if_behind == IfBehind::Accept => Ok(Choice::First),
                    _ => Err(StoreError::Unvouched(format!(
                        "its two copies have different states of commit {}, and the head is of neither",
                        a.state.number
                    ))
                    .into()),
                }
            }
            (Some(_), None) => Ok(Choice::First),
            (None, Some(_)) => Ok(Choice::Second),
            (None, None) => {
                if first.is_nothing() && second.is_nothing() {
                    return Ok(Choice::New);
                }
                if let Verdict::Former(unlocked) = &first.verdict
                    && (second.is_nothing() || if_behind == IfBehind::Accept)
                {
                    return Ok(Choice::Former(unlocked.clone()));
                }
                if let Some((entries, whole)) = salvage([&first.entries, &second.entries], unlock) {
                    return Ok(Choice::Salvaged(entries, whole));
                }
                // The making of the store was cut off: it is bound to a root key only afterwards.
                if !was_made && second.is_nothing() && *told == Told::Nothing && first.entries.is_empty() {
                    return Ok(Choice::New);
                }
                let fault = |place: &dyn Place, judged: &Judged| {
                    format!("{}: {}", place.path().display(), judged.fault().unwrap_or_default())
                };
                let second = self.second.as_ref().map(|place| format!("; {}", fault(&**place, second)));
                let why = fault(&*self.first, first) + &second.unwrap_or_default();
                Err(StoreError::Damaged(why).into())
            }
        }
    }

    /// Does the head allow that there is no store, or one without a digest?
    fn vouch_empty(&self, told: &Told, if_behind: IfBehind) -> Result<(), StoreError> {
        match (told, &self.head) {
            (Told::Reached(record), Some(head)) if if_behind == IfBehind::Refuse => Err(StoreError::Behind {
                found: 0,
                acknowledged: record.state.number,
                head: head.path().to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Does the head allow this state? `true`: it is to be written anew.
    fn vouch(
        &self,
        told: &Told,
        (domain, digest): (&Secret32, &Digest),
        copies_agree: bool,
        if_behind: IfBehind,
    ) -> Result<bool, StoreError> {
        let Some(head) = &self.head else { return Ok(false) };
        let (file, number) = (head.path().display(), digest.state.number);
        let refusal = match told {
            Told::Reached(record) if record.state.store_id != digest.state.store_id => {
                StoreError::Foreign(head.path().to_owned())
            }
            Told::Reached(record) if record.state.number > number => StoreError::Behind {
                found: number,
                acknowledged: record.state.number,
                head: head.path().to_owned(),
            },
            Told::Reached(record) if record.state.number < number => return Ok(true),
            Told::Reached(record) => match record.open(domain) == Some(digest.sum) {
                true => return Ok(false),
                false => StoreError::Unvouched(format!("{file} tells another state of commit {number}")),
            },
            Told::Nothing | Told::Nonsense => {
                let what = if *told == Told::Nothing { "missing" } else { "damaged" };
                if copies_agree || number <= 1 {
                    if number > 1 {
                        tracing::warn!(%file, number, "the key store's head is {what}: it is made anew, since both copies are whole");
                    }
                    return Ok(true);
                }
                StoreError::Unvouched(format!(
                    "only one copy of the key store is whole, it ends at commit {number}, and {file}, which would tell whether that \
                     is all, is {what}"
                ))
            }
        };
        match if_behind {
            IfBehind::Refuse => Err(refusal),
            IfBehind::Accept => {
                tracing::warn!(%file, number, "the key store is taken as it is: {refusal}");
                Ok(true)
            }
        }
    }
}

impl Open {
    /// Commits to both copies, with the digest.
    fn commit(&mut self, mut changes: Vec<Change>) -> Result<DigestRecord, StoreError> {
        let (step, record) = self.digest.step(&self.domain, &changes);
        changes.push((DIGEST_NAME.to_vec(), Some(record.encoded())));
        self.write(changes)?;
        self.digest.apply(step);
        self.revision = Some(record.encoded());
        Ok(record)
    }

    fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let expected = Expected::Revision(self.revision.as_deref());
        match &self.second {
            None => self.first.commit(expected, changes),
            Some(second) => {
                self.first.commit(expected, changes.clone())?;
                second.commit(Expected::Anything, changes)
            }
        }
    }
}

/// What was found of a copy.
struct Found {
    is_absent: bool,
    /// Of a whole one.
    digest: Option<(StoreState, Sum)>,
    why: String,
}

impl Found {
    fn of(judged: &Judged) -> Self {
        let digest = judged.whole().map(|whole| (whole.digest.state, whole.digest.sum));
        let lags = || format!("it ends at commit {}", digest.map_or(0, |(state, _)| state.number));
        Self {
            is_absent: matches!(judged.verdict, Verdict::Absent),
            digest,
            why: judged.fault().unwrap_or_else(lags),
        }
    }
}

fn into_whole(verdict: Verdict) -> Option<Whole> {
    if let Verdict::Whole(whole) = verdict { Some(whole) } else { None }
}

fn not_whole() -> StoreError {
    StoreError::Damaged("no copy is whole".to_owned())
}

fn at_head(head: &Head, error: &std::io::Error) -> StoreError {
    StoreError::Failed(format!("{}: {error}", head.path().display()))
}

fn copy_of(error: &RootError) -> RootError {
    match error {
        RootError::Unavailable(why) => RootError::Unavailable(why.clone()),
        RootError::WrongRoot { expected, found } => {
            RootError::WrongRoot { expected: expected.clone(), found: found.clone() }
        }
        RootError::Tampered(id) => RootError::Tampered(id.clone()),
    }
}
