//! Keeps a session: says that it lives, looks whether others do, ends those that don't, and notices when it was ended itself.

use std::collections::HashMap;

use tokio::sync::watch;
use tokio::time::{Duration, Instant, MissedTickBehavior};

use super::{About, Beat, BlobIds, Session, SessionId, SessionState, beat_key, encode, key_of};
use super::{ENDED, SWEPT};
use crate::catalog::{Catalog, CatalogError};
use crate::kv::{Condition, KvError, Revision, Transaction, Write};
use crate::name::Timestamp;

/// How a session is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionOptions {
    /// How often a session says that it lives.
    pub heartbeat: Duration,
    /// For how long another must have said nothing to be ended: by the monotonic clock of the one that looks.
    pub dead_after: Duration,
    /// A read that takes longer does not hold back what is reclaimed, but for what it reads itself.
    pub long_read: Duration,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(5),
            dead_after: Duration::from_secs(60),
            long_read: Duration::from_secs(3600),
        }
    }
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEnd {
    /// In order: every commit of it was made before.
    Left,
    /// Another gateway took this one for dead. Nothing of it can be committed any more.
    ByOthers,
}

/// What a step did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The sessions that this step ended.
    pub ended: Vec<SessionId>,
}

/// A session that others watch, and how it is seen.
#[derive(Debug)]
struct Watched {
    number: u64,
    since: Instant,
}

/// Keeps the session of a gateway that shares its catalog.
pub struct SessionKeeper {
    catalog: Catalog,
    ids: BlobIds,
    about: About,
    options: SessionOptions,
    /// The last heartbeat that was tried, which may or may not be there.
    number: u64,
    /// The heartbeat that is there; not known after a commit of unknown outcome.
    revision: Option<Revision>,
    others: HashMap<SessionId, Watched>,
    /// When all others were seen, by one who could commit.
    looked: Option<Instant>,
}

impl SessionKeeper {
    /// Joins those who share the catalog, whose commits are of this session from now on; its blobs have these ids.
    ///
    /// # Errors
    /// When the catalog is unavailable, or has a session of this id.
    pub async fn join(
        catalog: Catalog,
        ids: BlobIds,
        about: About,
        options: SessionOptions,
    ) -> Result<Self, CatalogError> {
        let mut keeper = Self {
            catalog,
            ids,
            about,
            options,
            number: 1,
            revision: None,
            others: HashMap::new(),
            looked: None,
        };
        let first = keeper.beat();
        keeper.catalog.join_session(&keeper.ids, &first).await?;
        keeper.catalog.in_flight().acknowledge(1);
        keeper.find_revision().await?;
        Ok(keeper)
    }

    /// Says that the session lives, at every interval, and looks at the others, until `stop` is true or the session was ended. Then
    /// nothing of it may be running any more that wants to commit.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> SessionEnd {
        let mut interval = tokio::time::interval(self.options.heartbeat);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ended = self.catalog.session_ended();
        loop {
            tokio::select! {
                _ = ended.wait_for(|ended| *ended) => return SessionEnd::ByOthers,
                stopped = stop.wait_for(|stop| *stop) => {
                    drop(stopped);
                    break;
                }
                _ = interval.tick() => {}
            }
            match self.step().await {
                Ok(step) => {
                    for session in step.ended {
                        tracing::warn!(
                            session = session.0,
                            "a gateway said nothing for long: its session was ended"
                        );
                    }
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a heartbeat failed; it is tried again"
                    );
                }
            }
        }
        match self.leave().await {
            Ok(end) => end,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the session does not end in order: others end it"
                );
                SessionEnd::Left
            }
        }
    }

    /// One heartbeat, and one look at the others.
    pub async fn step(&mut self) -> Result<Step, CatalogError> {
        self.heartbeat().await?;
        self.look_at_others().await
    }

    /// Says that the session lives.
    pub async fn heartbeat(&mut self) -> Result<(), CatalogError> {
        let revision = match self.revision.take() {
            Some(revision) => revision,
            None => self.find_revision().await?,
        };
        self.number += 1;
        let key = beat_key(self.ids.session());
        let conditions = vec![Condition::At(key.clone(), revision)];
        let writes = vec![Write::Put(key, self.beat().encode())];
        match self.catalog.commit(Transaction { conditions, writes }).await {
            Ok(()) => {}
            // An earlier one, of unknown outcome, came after all.
            Err(KvError::Conflict { .. }) => return Err(CatalogError::Contended),
            Err(error) => return Err(error.into()),
        }
        self.catalog.in_flight().acknowledge(self.number);
        self.find_revision().await.map(drop)
    }

    /// Ends the session in order. What was running must be over: its end is its last commit.
    pub async fn leave(mut self) -> Result<SessionEnd, CatalogError> {
        let session = self.ids.session();
        let Some(own) = self.catalog.own() else { return Ok(SessionEnd::Left) };
        let mut transaction = Transaction { conditions: vec![own.condition.clone()], writes: Vec::new() };
        self.number += 1;
        let last = self.beat();
        // Nothing is left where every blob is settled.
        if self.ids.is_settled() {
            transaction.writes.push(Write::Put(key_of(session), encode(SWEPT, Timestamp::now())));
            transaction.writes.push(Write::Delete(beat_key(session)));
        } else {
            transaction.writes.push(Write::Put(key_of(session), encode(ENDED, Timestamp::now())));
            transaction.writes.push(Write::Put(beat_key(session), last.encode()));
        }
        match self.catalog.kv.commit(transaction).await {
            Ok(()) => {
                self.catalog.set_session_ended();
                Ok(SessionEnd::Left)
            }
            Err(KvError::Conflict { .. }) => Ok(SessionEnd::ByOthers),
            Err(error) => Err(error.into()),
        }
    }

    fn beat(&self) -> Beat {
        // First this: what settles later only makes it too low.
        let settled = self.ids.settled();
        let (floor, contents) = self.catalog.in_flight().floor(self.options.long_read);
        let (number, about) = (self.number, self.about.clone());
        Beat { number, floor, contents, settled, time: Timestamp::now(), about }
    }

    async fn find_revision(&mut self) -> Result<Revision, CatalogError> {
        let found = self.catalog.kv.get(&[beat_key(self.ids.session())]).await?.pop().flatten();
        let revision = found.ok_or(CatalogError::Corrupt("a heartbeat that was made"))?.revision;
        self.revision = Some(revision);
        Ok(revision)
    }

    /// Ends those that have said nothing for long. Only looks of one that could commit count, and none after a gap: whoever was
    /// suspended, or cut off from the map as the others may have been, begins to watch anew.
    async fn look_at_others(&mut self) -> Result<Step, CatalogError> {
        let sessions = self.catalog.sessions().await?;
        let now = Instant::now();
        let gap = self.looked.map_or(Duration::MAX, |looked| now - looked);
        if gap > self.options.dead_after / 2 {
            self.others.clear();
        }
        self.looked = Some(now);
        let mut step = Step::default();
        let mut others = HashMap::new();
        for session in sessions {
            if session.id == self.ids.session() || session.state != SessionState::Live {
                continue;
            }
            let number = session.beat.as_ref().map_or(0, |beat| beat.number);
            match self.others.remove(&session.id) {
                Some(seen) if seen.number == number => {
                    if now - seen.since >= self.options.dead_after && self.end(&session).await? {
                        step.ended.push(session.id);
                    } else {
                        others.insert(session.id, seen);
                    }
                }
                _ => drop(others.insert(session.id, Watched { number, since: now })),
            }
        }
        self.others = others;
        Ok(step)
    }

    async fn end(&self, dead: &Session) -> Result<bool, CatalogError> {
        self.catalog.end_session(dead).await
    }
}

impl Catalog {
    /// Which sessions live, for one that has none: waits until some of those that seem to have said something more. If none does for
    /// [`SessionOptions::dead_after`], they are ended, so that nothing of them can be committed any more.
    ///
    /// # Errors
    /// When the sessions can't be read or ended.
    pub async fn living_sessions(&self, options: SessionOptions) -> Result<Vec<Session>, CatalogError> {
        let live = |sessions: Vec<Session>| sessions.into_iter().filter(|it| it.state == SessionState::Live);
        let number = |session: &Session| session.beat.as_ref().map_or(0, |beat| beat.number);
        let mut seen: HashMap<SessionId, u64> =
            live(self.sessions().await?).map(|session| (session.id, number(&session))).collect();
        let (mut since, mut looked) = (Instant::now(), Instant::now());
        while !seen.is_empty() {
            tokio::time::sleep(options.heartbeat).await;
            let sessions = live(self.sessions().await?);
            let (silent, living): (Vec<_>, Vec<_>) =
                sessions.partition(|session| seen.get(&session.id) == Some(&number(session)));
            if !living.is_empty() {
                return Ok(living);
            }
            // Others may have been cut off from the map as long as this one was.
            if looked.elapsed() > options.dead_after / 2 {
                since = Instant::now();
            }
            looked = Instant::now();
            if since.elapsed() >= options.dead_after {
                for session in &silent {
                    self.end_session(session).await?;
                }
            }
            seen.retain(|id, _| silent.iter().any(|session| session.id == *id));
        }
        Ok(Vec::new())
    }
}
