//! Sessions: the life of one gateway over a catalog, from a start to its end.
//!
//! Every blob names the session that made it. A session's record is put when it begins and taken away when somebody saw it end;
//! every commit that changes the catalog is conditional on it, so nothing of a session that has ended can still come. Only then
//! may be judged what it left behind: a blob without a record, of a session of which the catalog knows the very end, is of a write
//! that was never committed. Of any other session nobody knows that, and such a blob is not deleted.
//!
//! With one gateway, which holds its data folder's lock, a start sees the end of every session before it.

mod ids;

use bytes::Bytes;

pub use self::ids::{BlobIds, BlobTicket};
use crate::catalog::layout::SESSION;
use crate::catalog::{Catalog, CatalogError};
use crate::kv::{Condition, Direction, Key, KeyRange, Transaction, Write};
use crate::name::Timestamp;

/// What a session is called: at random, never 0. Blobs of builds without sessions name 0, or what happens to stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// It has ended, and the catalog has every commit of it, up to this last one.
    Ended(Timestamp),
    /// It has ended, or so it seems; the catalog may lack some of its commits.
    Unsure,
    /// The catalog has never heard of it, or has forgotten it.
    Unknown,
}

/// Format and state, then the time of the change and of the session's last commit in unix milliseconds.
const FORMAT: u8 = 1;
const LIVE: u8 = 0;
const ENDED: u8 = 1;
const UNSURE: u8 = 2;
/// Sessions that are kept in mind at the most.
const MAX_SESSIONS: usize = 10_000;

fn key_of(session: SessionId) -> Key {
    [&[SESSION], &session.0.to_be_bytes()[..]].concat().into()
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
        _ => SessionState::Unsure,
    };
    (state, time(2))
}

impl Catalog {
    /// Begins the session of this process, and ends every other: the caller holds what only one may hold. `former_end`: when the
    /// last commit was made, if the catalog is as the last of them left it.
    pub async fn begin_session(
        &self,
        session: SessionId,
        former_end: Option<Timestamp>,
    ) -> Result<(), CatalogError> {
        let ended = former_end.map_or_else(|| encode(UNSURE, Timestamp(0)), |end| encode(ENDED, end));
        let mut writes = Vec::new();
        for (key, entry) in self.sessions().await? {
            if decode(&entry.value).0 == SessionState::Live {
                writes.push(Write::Put(key, ended.clone()));
            }
        }
        let key = key_of(session);
        writes.push(Write::Put(key.clone(), encode(LIVE, Timestamp(0))));
        let conditions = vec![Condition::Absent(key.clone())];
        self.kv.commit(Transaction { conditions, writes }).await?;
        let begun = self.kv.get(std::slice::from_ref(&key)).await?.pop().flatten();
        let begun = begun.ok_or(CatalogError::Corrupt("a session that was begun"))?;
        self.set_session(Condition::At(key, begun.revision));
        Ok(())
    }

    /// What is known of a session.
    pub async fn session_state(&self, session: SessionId) -> Result<SessionState, CatalogError> {
        let found = self.kv.get(&[key_of(session)]).await?.pop().flatten();
        Ok(found.map_or(SessionState::Unknown, |entry| decode(&entry.value).0))
    }

    /// Forgets all sessions that ended but the last `kept`: what they left behind is gone, unless a crash undid a deletion.
    pub async fn forget_sessions(&self, kept: usize) -> Result<(), CatalogError> {
        let mut ended = Vec::new();
        for (key, entry) in self.sessions().await? {
            let (state, at) = decode(&entry.value);
            if matches!(state, SessionState::Ended(_)) {
                ended.push((at, key));
            }
        }
        ended.sort_unstable();
        ended.truncate(ended.len().saturating_sub(kept));
        if !ended.is_empty() {
            let writes = ended.into_iter().map(|(_, key)| Write::Delete(key)).collect();
            self.kv.commit(Transaction { conditions: Vec::new(), writes }).await?;
        }
        Ok(())
    }

    async fn sessions(&self) -> Result<Vec<(Key, crate::kv::Entry)>, CatalogError> {
        let range = KeyRange::prefix(vec![SESSION]);
        Ok(self.kv.scan(range, Direction::Forward, MAX_SESSIONS).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::kv::memory::MemoryKv;

    #[tokio::test]
    async fn a_start_ends_the_sessions_before_it_and_they_can_commit_no_more() {
        let kv = Arc::new(MemoryKv::new());
        let [first, second, third] = [(); 3].map(|()| SessionId::random());
        let state = async |session| Catalog::new(kv.clone()).session_state(session).await.expect("a read");
        let one = Catalog::new(kv.clone());
        one.begin_session(first, Some(Timestamp(1))).await.expect("it begins");
        assert_eq!(state(first).await, SessionState::Live);
        assert_eq!(state(second).await, SessionState::Unknown);
        one.put_document("shelf", "a").await.expect("a commit");
        let other = Catalog::new(kv.clone());
        other.begin_session(second, Some(Timestamp(7))).await.expect("it begins");
        assert_eq!(
            (state(first).await, state(second).await),
            (SessionState::Ended(Timestamp(7)), SessionState::Live)
        );
        one.put_document("shelf", "b").await.expect_err("its session has ended");
        other.put_document("shelf", "b").await.expect("a commit");
        Catalog::new(kv.clone()).begin_session(third, None).await.expect("it begins");
        assert_eq!(
            (state(first).await, state(second).await),
            (SessionState::Ended(Timestamp(7)), SessionState::Unsure)
        );
        other.forget_sessions(1).await.expect("nothing to do");
        assert_eq!(state(first).await, SessionState::Ended(Timestamp(7)));
        other.forget_sessions(0).await.expect("a commit");
        assert_eq!((state(first).await, state(second).await), (SessionState::Unknown, SessionState::Unsure));
    }

    impl Catalog {
        async fn put_document(&self, shelf: &str, name: &str) -> Result<(), CatalogError> {
            let (state, _) = self.documents(shelf).await?;
            let change = (name.to_owned(), Some(Bytes::from_static(b"{}")));
            self.change_documents(shelf, state, vec![change]).await.map(drop)
        }
    }
}
