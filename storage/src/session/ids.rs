//! The ids of a session's blobs, in stores that several gateways share, and which of those blobs are not accounted for yet.
//!
//! An id is the session (4 bytes), a shard (1), zeros (3) and a number that counts up (8). The shard spreads what is written at one
//! time over a store's key space. A blob is *open* from before its first byte is stored until it is known to have a record, or to be
//! gone; the least number of those that are open is the session's *settled counter*: nothing below it can be an orphan. So whoever
//! judges what a dead session left behind looks at the blobs from there on, not at the whole store.
//!
//! Small blobs may lie together in one object, a *pack*. Its id is session (4), shard (1), 1, the pack's number (7), zeros (3); a blob
//! in it has the place where it begins there of the zeros. With 2 in place of the 1, it was taken out of its pack and lies alone.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use super::SessionId;
use crate::blob::{BlobError, BlobOwner, BlobRef};
use crate::name::BlobId;

/// Open blobs that are kept in mind at the most; beyond it the settled counter stands still.
const MAX_OPEN: usize = 100_000;

/// See the module. Clones share their counter.
#[derive(Debug, Clone)]
pub struct BlobIds(Arc<Ids>);

#[derive(Debug)]
struct Ids {
    session: SessionId,
    has_ended: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The number of the next blob, or pack.
    next: u64,
    /// By number, and by place in a pack.
    open: BTreeMap<(u64, u32), Open>,
    /// The first number that is not kept in mind though it is open.
    forgotten: Option<u64>,
}

/// A blob that is not accounted for yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) id: BlobId,
    pub(crate) owner: BlobOwner,
    pub(crate) stage: Stage,
    /// When its writing began.
    pub(crate) since: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It is being written.
    Written,
    /// It is whole; its record comes next.
    Finished(BlobRef),
    /// Its writer is gone. Something of it may lie in the store; no record will ever name it.
    Abandoned,
}

impl BlobIds {
    /// Those of this session, from number 1 on.
    pub fn new(session: SessionId) -> Self {
        let state = State { next: 1, open: BTreeMap::new(), forgotten: None };
        Self(Arc::new(Ids { session, has_ended: AtomicBool::new(false), state: Mutex::new(state) }))
    }

    /// The session.
    pub fn session(&self) -> SessionId {
        self.0.session
    }

    /// The session has ended: no record will name a blob that begins now.
    pub(crate) fn end(&self) {
        self.0.has_ended.store(true, Ordering::Relaxed);
    }

    /// Refuses a blob that no record will name, so that nobody has to look for it.
    pub(crate) fn check(&self) -> Result<(), BlobError> {
        match self.0.has_ended.load(Ordering::Relaxed) {
            true => Err(BlobError::Unavailable(io::Error::other("the session of this gateway has ended"))),
            false => Ok(()),
        }
    }

    /// The id for a blob whose writing begins.
    pub fn begin(&self, owner: BlobOwner) -> BlobTicket {
        self.open(owner, id_of)
    }

    /// The id for a pack whose writing begins.
    pub(crate) fn begin_pack(&self) -> BlobTicket {
        // Nobody's: as a whole it never has a record.
        self.open(BlobOwner::Journal { subject: Bytes::new() }, pack_of)
    }

    fn open(&self, owner: BlobOwner, id_of: fn(SessionId, u64) -> BlobId) -> BlobTicket {
        let mut state = self.0.state.lock();
        let number = state.next;
        state.next += 1;
        let id = id_of(self.0.session, number);
        self.keep(&mut state, (number, 0), id, owner)
    }

    /// The ticket of a blob that begins at this place of a pack, whose own ticket is open.
    pub(crate) fn begin_in(&self, pack: &BlobTicket, place: u32, owner: BlobOwner) -> BlobTicket {
        let id = in_pack(pack.id, place);
        let number = Self::parse(&id).map_or(0, |(_, number)| number);
        self.keep(&mut self.0.state.lock(), (number, place), id, owner)
    }

    fn keep(&self, state: &mut State, at: (u64, u32), id: BlobId, owner: BlobOwner) -> BlobTicket {
        if state.open.len() < MAX_OPEN {
            state.open.insert(at, Open { id, owner, stage: Stage::Written, since: Instant::now() });
        } else {
            state.forgotten = Some(state.forgotten.map_or(at.0, |forgotten| forgotten.min(at.0)));
        }
        BlobTicket { ids: self.clone(), id, is_over: false }
    }

    /// A blob is accounted for: a durable record names it, or it is deleted for good. Blobs of other sessions are not counted here.
    pub fn settle(&self, blob: &BlobId) {
        if let Some((session, number)) = Self::parse(blob)
            && session == self.0.session
        {
            self.0.state.lock().open.remove(&(number, place_in_pack(blob)));
        }
    }

    /// The settled counter: every blob of the session with a lower number is accounted for.
    pub fn settled(&self) -> u64 {
        let state = self.0.state.lock();
        let first = state.open.first_key_value().map_or(state.next, |((number, _), _)| *number);
        first.min(state.forgotten.unwrap_or(u64::MAX))
    }

    /// Is every blob accounted for?
    pub(crate) fn is_settled(&self) -> bool {
        let state = self.0.state.lock();
        state.open.is_empty() && state.forgotten.is_none()
    }

    /// The session and the number that an id tells: its own, or that of its pack.
    pub fn parse(blob: &BlobId) -> Option<(SessionId, u64)> {
        let (session, rest) = blob.as_bytes().split_first_chunk::<4>()?;
        let (middle, number) = rest.split_first_chunk::<4>()?;
        let number = u64::from_be_bytes(number.try_into().ok()?);
        let session = SessionId(u32::from_be_bytes(*session));
        match *middle {
            [_, 0, 0, 0] => Some((session, number)),
            [_, PACKED | UNPACKED, high, low] => {
                Some((session, u64::from(high) << 48 | u64::from(low) << 40 | number >> PLACE_BITS))
            }
            _ => None,
        }
    }

    /// What has been open for this long, but for what is still being written.
    pub(crate) fn open_for(&self, age: Duration) -> Vec<Open> {
        let state = self.0.state.lock();
        let old =
            state.open.values().filter(|open| open.stage != Stage::Written && open.since.elapsed() >= age);
        old.cloned().collect()
    }

    fn set_stage(&self, blob: &BlobId, stage: Stage) {
        if let Some((_, number)) = Self::parse(blob)
            && let Some(open) = self.0.state.lock().open.get_mut(&(number, place_in_pack(blob)))
        {
            open.stage = stage;
        }
    }
}

/// Byte 5 of the id of a pack, and of what lies in one.
const PACKED: u8 = 1;
/// Byte 5 of the id of what was taken out of a pack.
const UNPACKED: u8 = 2;
/// Bits of a place in a pack, at the end of an id.
const PLACE_BITS: u32 = 24;
/// The last place that there is in a pack, in bytes from its beginning.
pub(crate) const MAX_PLACE: u32 = (1 << PLACE_BITS) - 1;

/// Any spread will do: neighbours in time lie in different shards. There are 16, since a listing looks at each.
fn shard_of(number: u64) -> u8 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as u8
}

fn id_of(session: SessionId, number: u64) -> BlobId {
    alone_in_shard(session, shard_of(number), number)
}

fn pack_of(session: SessionId, number: u64) -> BlobId {
    packed_in_shard(session, shard_of(number), number, 0)
}

/// The id of a session's blob of this number that lies alone.
pub(crate) fn alone_in_shard(session: SessionId, shard: u8, number: u64) -> BlobId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&session.0.to_be_bytes());
    id[4] = shard;
    id[8..].copy_from_slice(&number.to_be_bytes());
    BlobId::from_bytes(id)
}

/// The id of a session's pack of this number, or of what begins at a place in it.
pub(crate) fn packed_in_shard(session: SessionId, shard: u8, number: u64, place: u32) -> BlobId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&session.0.to_be_bytes());
    id[4] = shard;
    id[5] = PACKED;
    id[6..13].copy_from_slice(&number.to_be_bytes()[1..]);
    id[13..].copy_from_slice(&place.to_be_bytes()[1..]);
    BlobId::from_bytes(id)
}

fn with_place(id: BlobId, place: u32) -> BlobId {
    let mut id = *id.as_bytes();
    id[13..].copy_from_slice(&place.to_be_bytes()[1..]);
    BlobId::from_bytes(id)
}

/// What begins at this place of a pack; of place 0, the pack.
pub(crate) fn in_pack(pack: BlobId, place: u32) -> BlobId {
    with_place(pack, place)
}

/// Is it a pack, or in one?
pub(crate) fn is_packed(id: &BlobId) -> bool {
    id.as_bytes()[5] == PACKED
}

/// The pack, and where in it this blob begins; `None`: it lies alone, or is a pack.
pub(crate) fn pack_and_place(id: &BlobId) -> Option<(BlobId, u32)> {
    let place = place_in_pack(id);
    (is_packed(id) && place > 0).then(|| (with_place(*id, 0), place))
}

/// The id of what lies in a pack once it is taken out of it.
pub(crate) fn unpacked(id: BlobId) -> BlobId {
    let mut id = *id.as_bytes();
    id[5] = UNPACKED;
    BlobId::from_bytes(id)
}

/// 0 where there is none.
fn place_in_pack(id: &BlobId) -> u32 {
    match id.as_bytes() {
        [_, _, _, _, _, PACKED | UNPACKED, .., a, b, c] => u32::from_be_bytes([0, *a, *b, *c]),
        _ => 0,
    }
}

/// A blob that a store is writing. Dropped before it is finished, its writer is gone, and something of it may be in the store.
#[derive(Debug)]
pub struct BlobTicket {
    ids: BlobIds,
    id: BlobId,
    is_over: bool,
}

impl BlobTicket {
    /// The blob's id.
    pub fn id(&self) -> BlobId {
        self.id
    }

    /// The blob is whole and durable: it is open until [`BlobIds::settle`].
    pub fn finished(mut self, blob: BlobRef) {
        self.is_over = true;
        self.ids.set_stage(&self.id, Stage::Finished(blob));
    }

    /// Nothing of the blob is in the store, nor will be.
    pub fn cancelled(mut self) {
        self.is_over = true;
        self.ids.settle(&self.id);
    }
}

impl Drop for BlobTicket {
    fn drop(&mut self) {
        if !self.is_over {
            self.ids.set_stage(&self.id, Stage::Abandoned);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::StoredLen;

    #[test]
    fn an_id_tells_its_session_and_its_number() {
        let ids = BlobIds::new(SessionId(0x0102_0304));
        let owner = BlobOwner::Journal { subject: "s".into() };
        let first = ids.begin(owner.clone()).id();
        let second = ids.begin(owner).id();
        assert_eq!(BlobIds::parse(&first), Some((SessionId(0x0102_0304), 1)));
        assert_eq!(BlobIds::parse(&second), Some((SessionId(0x0102_0304), 2)));
        assert_ne!(first.as_bytes()[4], second.as_bytes()[4]);
        assert_eq!(BlobIds::parse(&BlobId::from_bytes([7; 16])), None);
    }

    #[test]
    fn a_pack_is_one_number_and_its_blobs_are_told_apart_by_their_place() {
        let (session, ids) = (SessionId(0x0102_0304), BlobIds::new(SessionId(0x0102_0304)));
        let owner = || BlobOwner::Journal { subject: "s".into() };
        let alone = ids.begin(owner());
        let pack = ids.begin_pack();
        let [one, two] = [40, MAX_PLACE].map(|place| ids.begin_in(&pack, place, owner()));
        for (id, place) in [(pack.id(), 0), (one.id(), 40), (two.id(), MAX_PLACE)] {
            assert_eq!((BlobIds::parse(&id), place_in_pack(&id)), (Some((session, 2)), place));
            assert_eq!(pack_and_place(&id), (place > 0).then_some((pack.id(), place)));
            assert_eq!(BlobIds::parse(&unpacked(id)), Some((session, 2)));
            assert_eq!(pack_and_place(&unpacked(id)), None);
        }
        let far = packed_in_shard(session, 3, 0x00ab_cdef_0123_4567, 9);
        assert_eq!(BlobIds::parse(&far), Some((session, 0x00ab_cdef_0123_4567)));
        // The pack is over before its blobs are, and the counter waits for the last of them.
        alone.cancelled();
        let ids_of = [one.id(), two.id()];
        pack.cancelled();
        one.finished(BlobRef { id: ids_of[0], stored_len: StoredLen(1) });
        drop(two);
        assert_eq!(ids.settled(), 2);
        ids.settle(&ids_of[1]);
        assert_eq!(ids.settled(), 2);
        ids.settle(&ids_of[0]);
        assert_eq!(ids.settled(), 3);
    }

    #[test]
    fn the_settled_counter_stops_at_the_first_blob_that_is_open() {
        let ids = BlobIds::new(SessionId(9));
        let owner = BlobOwner::Journal { subject: "s".into() };
        assert_eq!(ids.settled(), 1);
        let [one, two, three, four] = [(); 4].map(|()| ids.begin(owner.clone()));
        let id = two.id();
        one.cancelled();
        two.finished(BlobRef { id, stored_len: StoredLen(0) });
        assert_eq!(ids.settled(), 2);
        drop(three);
        ids.settle(&id);
        assert_eq!(ids.settled(), 3, "what was abandoned may be in the store");
        assert_eq!(ids.open_for(Duration::ZERO).len(), 1, "what is being written is let alone");
        ids.settle(&id_of(SessionId(8), 3));
        assert_eq!(ids.settled(), 3, "of another session");
        ids.settle(&id_of(SessionId(9), 3));
        assert_eq!(ids.settled(), 4);
        four.cancelled();
        assert_eq!(ids.settled(), 5);
    }
}
