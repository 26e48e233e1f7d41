//! Sessions: the life of one gateway over a catalog, from a start to its end.
//!
//! Every blob names the session that made it. A session's record is put when it begins and taken away when somebody saw it end;
//! every commit that changes the catalog is conditional on it, so nothing of a session that has ended can still come. Only then
//! may be judged what it left behind: a blob without a record, of a session of which the catalog knows the very end, is of a write
//! that was never committed. Of any other session nobody knows that, and such a blob is not deleted.
//!
//! With one gateway, which holds its data folder's lock, a start sees the end of every session before it
//! ([`Catalog::begin_session`]). Gateways that share a catalog join it ([`SessionKeeper`]): each says every few seconds that it lives,
//! and one that has not said so for long is ended by whoever notices, by the noticing one's own monotonic clock.

mod ids;
mod in_flight;
mod keeper;
mod lease;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use self::ids::{BlobIds, BlobTicket};
pub(crate) use self::ids::{
    MAX_PLACE, Stage, alone_in_shard, in_pack, is_packed, pack_and_place, packed_in_shard, unpacked,
};
pub(crate) use self::in_flight::InFlight;
pub use self::in_flight::ReadPin;
pub use self::keeper::{SessionEnd, SessionKeeper, SessionOptions};
pub use self::lease::Lease;
use crate::catalog::layout::{self, BEAT, SESSION};
use crate::catalog::{Catalog, CatalogError};
use crate::kv::{Condition, Direction, Entry, Key, KeyRange, KvError, Transaction, Write};
use crate::name::{Timestamp, VersionId};

/// What a session is called: at random, never 0. Blobs of builds without sessions name 0, or what happens to stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

impl SessionId {
    /// A new one.
    pub fn random() -> Self {
        let mut id = [0; 4];
        getrandom::fill(&mut id).expect("the operating system gives random bytes");
        Self(u32::from_be_bytes(id).max(1))
    }
}

/// What the catalog knows of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionState {
    /// It goes on.
    Live,
    /// It has ended, and the catalog has every commit of it, up to this last one. Of one that others ended: the time when it last said
    /// that it lives.
    Ended(Timestamp),
    /// It has ended at this time, and what it left behind was dealt with.
    Swept(Timestamp),
    /// It has ended, or so it seems; the catalog may lack some of its commits.
    Unsure,
    /// The catalog has never heard of it, or has forgotten it.
    Unknown,
}

/// What a gateway says of itself to others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Where it is to be reached: for people.
    #[serde(default)]
    pub address: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Which build of it.
    #[serde(default)]
    pub build: String,
    /// The newest format of records that it reads.
    #[serde(default)]
    pub format: u32,
}

/// What a session said last: its heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Counts the heartbeats.
    pub number: u64,
    /// The read floor: whatever runs there now and may hold what it read of the catalog began after the heartbeat of this number was
    /// acknowledged. So what was displaced before that is held by none of it.
    pub floor: u64,
    /// Content that is being read for so long that the floor passed it by.
    #[serde(default)]
    pub contents: Vec<VersionId>,
    /// The settled counter: see [`BlobIds`].
    #[serde(default)]
    pub settled: u64,
    /// When, by its own clock.
    pub time: Timestamp,
    /// Who it is.
    #[serde(default)]
    pub about: About,
}

/// A session and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Which.
    pub id: SessionId,
    /// How it is.
    pub state: SessionState,
    /// What it said last. Of one that holds its catalog alone, and of one whose remains were dealt with: nothing.
    pub beat: Option<Beat>,
    /// That its record is as it was read.
    pub(crate) condition: Condition,
}

/// The session that a catalog's commits are of.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) id: SessionId,
    /// That it goes on.
    pub(crate) condition: Condition,
    /// Others have sessions beside it.
    pub(crate) is_shared: bool,
    /// The ids of its blobs, where the store takes them from here.
    pub(crate) ids: Option<BlobIds>,
}

/// Format and state, then the time of the change and of the session's last commit in unix milliseconds.
const FORMAT: u8 = 1;
const LIVE: u8 = 0;
const ENDED: u8 = 1;
const UNSURE: u8 = 2;
const SWEPT: u8 = 3;
/// Sessions that are kept in mind at the most.
const MAX_SESSIONS: usize = 10_000;

fn key_of(session: SessionId) -> Key {
    [&[SESSION], &session.0.to_be_bytes()[..]].concat().into()
}

fn beat_key(session: SessionId) -> Key {
    [&[BEAT], &session.0.to_be_bytes()[..]].concat().into()
}

fn session_in(key: &Key) -> Result<SessionId, CatalogError> {
    let id = key.get(1..).and_then(|id| id.try_into().ok()).map(u32::from_be_bytes);
    id.map(SessionId).ok_or(CatalogError::Corrupt("a session's key"))
}

fn encode(state: u8, end: Timestamp) -> Bytes {
    let times = [Timestamp::now(), end].map(|time| time.unix_ms().to_be_bytes());
    [&[FORMAT, state], &times.concat()[..]].concat().into()
}

fn decode(value: &[u8]) -> (SessionState, u64) {
    let time =
        |at: usize| value.get(at..at + 8).and_then(|at| at.try_into().ok()).map_or(0, u64::from_be_bytes);
    let state = match value {
        [FORMAT, LIVE, ..] => SessionState::Live,
        [FORMAT, ENDED, ..] => SessionState::Ended(Timestamp(time(10))),
        [FORMAT, SWEPT, ..] => SessionState::Swept(Timestamp(time(10))),
        _ => SessionState::Unsure,
    };
    (state, time(2))
}

impl Beat {
    fn encode(&self) -> Bytes {
        let mut value = vec![FORMAT];
        serde_json::to_writer(&mut value, self).expect("a heartbeat is JSON");
        value.into()
    }

    fn decode(value: &[u8]) -> Result<Self, CatalogError> {
        let json = value.strip_prefix(&[FORMAT]).ok_or(CatalogError::Corrupt("a heartbeat"))?;
        serde_json::from_slice(json).map_err(|_| CatalogError::Corrupt("a heartbeat"))
    }
}

impl Catalog {
    /// Begins the session of this process, and ends every other: the caller holds what only one may hold. `former_end`: when the
    /// last commit was made, if the catalog is as the last of them left it.
    pub async fn begin_session(
        &self,
        session: SessionId,
        former_end: Option<Timestamp>,
    ) -> Result<(), CatalogError> {
        self.end_others_and_begin(session, former_end).await?;
        self.go_on_as(session, false, None).await
    }

    async fn end_others_and_begin(
        &self,
        session: SessionId,
        former_end: Option<Timestamp>,
    ) -> Result<(), CatalogError> {
        let ended = former_end.map_or_else(|| encode(UNSURE, Timestamp(0)), |end| encode(ENDED, end));
        let mut writes = Vec::new();
        let counts = self.kv.get(&[layout::COUNTS]).await?.pop().flatten();
        let mut is_counted = true;
        for (key, entry) in self.session_records(SESSION).await? {
            if decode(&entry.value).0 == SessionState::Live {
                is_counted &= counts.as_ref().is_some_and(|counts| key.ends_with(&counts.value));
                writes.push(Write::Put(key, ended.clone()));
            }
        }
        if !is_counted {
            // It was an earlier build, which counts nothing.
            writes.push(Write::Delete(layout::COUNTED));
        }
        writes.push(Write::Put(layout::COUNTS, session.0.to_be_bytes().to_vec().into()));
        let key = key_of(session);
        writes.push(Write::Put(key.clone(), encode(LIVE, Timestamp(0))));
        let conditions = vec![Condition::Absent(key)];
        Ok(self.kv.commit(Transaction { conditions, writes }).await?)
    }

    /// As [`Catalog::begin_session`], for one whose blobs have these ids.
    pub async fn begin_session_of(
        &self,
        ids: &BlobIds,
        former_end: Option<Timestamp>,
    ) -> Result<(), CatalogError> {
        self.end_others_and_begin(ids.session(), former_end).await?;
        self.go_on_as(ids.session(), false, Some(ids.clone())).await
    }

    /// Joins those who share this catalog, as the session that makes blobs of these ids, with its first heartbeat.
    pub(crate) async fn join_session(&self, ids: &BlobIds, first: &Beat) -> Result<(), CatalogError> {
        let session = ids.session();
        let (key, beat) = (key_of(session), beat_key(session));
        let writes = vec![
            Write::Put(key.clone(), encode(LIVE, Timestamp(0))),
            Write::Put(beat.clone(), first.encode()),
        ];
        let conditions = vec![Condition::Absent(key), Condition::Absent(beat)];
        self.kv.commit(Transaction { conditions, writes }).await?;
        self.go_on_as(session, true, Some(ids.clone())).await
    }

    async fn go_on_as(
        &self,
        session: SessionId,
        is_shared: bool,
        ids: Option<BlobIds>,
    ) -> Result<(), CatalogError> {
        let key = key_of(session);
        let begun = self.kv.get(std::slice::from_ref(&key)).await?.pop().flatten();
        let begun = begun.ok_or(CatalogError::Corrupt("a session that was begun"))?;
        let condition = Condition::At(key, begun.revision);
        self.set_session(Own { id: session, condition, is_shared, ids });
        Ok(())
    }

    /// What is known of a session.
    pub async fn session_state(&self, session: SessionId) -> Result<SessionState, CatalogError> {
        let found = self.kv.get(&[key_of(session)]).await?.pop().flatten();
        Ok(found.map_or(SessionState::Unknown, |entry| decode(&entry.value).0))
    }

    /// What is known of a session, and its settled counter if it has told one.
    pub(crate) async fn session_and_settled(
        &self,
        session: SessionId,
    ) -> Result<(SessionState, u64), CatalogError> {
        let found = self.kv.get(&[key_of(session), beat_key(session)]).await?;
        let [state, beat] =
            <[_; 2]>::try_from(found).map_err(|_| CatalogError::Corrupt("the engine's answer"))?;
        let state = state.map_or(SessionState::Unknown, |entry| decode(&entry.value).0);
        let beat = beat.map(|entry| Beat::decode(&entry.value)).transpose()?;
        Ok((state, beat.map_or(0, |beat| beat.settled)))
    }

    /// All sessions that are kept in mind, with what they said last, by id.
    pub async fn sessions(&self) -> Result<Vec<Session>, CatalogError> {
        // In this order: a session that begins between the two has a heartbeat or is not seen.
        let records = self.session_records(SESSION).await?;
        let mut beats = self.session_records(BEAT).await?.into_iter().peekable();
        let mut sessions = Vec::with_capacity(records.len());
        for (key, entry) in records {
            let id = session_in(&key)?;
            let mut beat = None;
            while let Some((of, stored)) = beats.next_if(|(of, _)| of[1..] <= key[1..]) {
                if of[1..] == key[1..] {
                    beat = Some(Beat::decode(&stored.value)?);
                }
            }
            let state = decode(&entry.value).0;
            sessions.push(Session { id, state, beat, condition: Condition::At(key, entry.revision) });
        }
        Ok(sessions)
    }

    /// Ends another session: it was dead for long. False: it said something, ended, or was ended by somebody else meanwhile.
    pub(crate) async fn end_session(&self, dead: &Session) -> Result<bool, CatalogError> {
        let value = match &dead.beat {
            Some(beat) => encode(ENDED, beat.time),
            None => encode(UNSURE, Timestamp(0)),
        };
        self.commit_session(dead.condition.clone(), vec![Write::Put(key_of(dead.id), value)]).await
    }

    /// Says of an ended session that nothing of it is left to be dealt with. False: somebody else said something of it.
    pub(crate) async fn set_swept(&self, session: &Session) -> Result<bool, CatalogError> {
        let SessionState::Ended(end) = session.state else { return Ok(false) };
        let writes =
            vec![Write::Put(key_of(session.id), encode(SWEPT, end)), Write::Delete(beat_key(session.id))];
        self.commit_session(session.condition.clone(), writes).await
    }

    /// False: the condition, on another session, does not hold.
    async fn commit_session(&self, condition: Condition, writes: Vec<Write>) -> Result<bool, CatalogError> {
        match self.commit(Transaction { conditions: vec![condition], writes }).await {
            Ok(()) => Ok(true),
            Err(KvError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets all sessions that ended but the last `kept`: what they left behind is gone, unless a crash undid a deletion. Those that
    /// have said something and were not swept are kept in mind.
    pub async fn forget_sessions(&self, kept: usize) -> Result<(), CatalogError> {
        let mut ended = Vec::new();
        let records = self.session_records(SESSION).await?;
        let beats = self.session_records(BEAT).await?;
        for (key, entry) in records {
            let (state, at) = decode(&entry.value);
            let is_over = match state {
                SessionState::Ended(_) => beats.binary_search_by(|(of, _)| of[1..].cmp(&key[1..])).is_err(),
                SessionState::Swept(_) => true,
                _ => false,
            };
            if is_over {
                ended.push((at, key));
            }
        }
        ended.sort_unstable();
        ended.truncate(ended.len().saturating_sub(kept));
        if !ended.is_empty() {
            let writes = ended.into_iter().map(|(_, key)| Write::Delete(key)).collect();
            self.commit(Transaction { conditions: Vec::new(), writes }).await?;
        }
        Ok(())
    }

    async fn session_records(&self, kind: u8) -> Result<Vec<(Key, Entry)>, CatalogError> {
        let range = KeyRange::prefix(vec![kind]);
        Ok(self.kv.scan(range, Direction::Forward, MAX_SESSIONS).await?)
    }
}
