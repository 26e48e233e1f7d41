//! Commits: a few workers, each of which gives the server many transactions at once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;
use tokio_postgres::Statement;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::batch::{Arguments, take};
use super::reader::Readers;
use super::server::{Connection, connect};
use super::{DEADLINE, PostgresConfig, unavailable};
use crate::figures::COMMITS;
use crate::kv::{Key, KvError, Transaction};

/// Transactions that wait at most; more wait to wait.
const QUEUE: usize = 1024;
/// Of these a worker looks at so many at once, for some that go together.
const WINDOW: usize = 256;

/// How long a transaction waits at most, for its turn and for its answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// In how many entries a counter is kept: as many transactions can add to it at the same time.
const STRIPES_OF_COUNTERS: usize = 16;

/// A transaction that waits for its answer.
struct Waiting {
    transaction: Transaction,
    reply: oneshot::Sender<Result<(), KvError>>,
}

type Waitings = Mutex<(mpsc::Receiver<Waiting>, VecDeque<Waiting>)>;

/// Hands transactions to the workers.
pub(super) struct Committer(mpsc::Sender<Waiting>);

impl Committer {
    pub(super) fn start(config: &Arc<PostgresConfig>, readers: &Arc<Readers>) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let waiting = Arc::new(Mutex::new((receiver, VecDeque::new())));
        // Workers of one gateway never wait for each other's counters, and those of several seldom.
        let first = random().cast_unsigned() as usize;
        for number in 0..config.committers.max(1) {
            let stripe = (first.wrapping_add(number) % STRIPES_OF_COUNTERS) as u8;
            let worker = Worker { config: config.clone(), readers: readers.clone(), open: None, stripe };
            tokio::spawn(worker.run(waiting.clone()));
        }
        Self(sender)
    }

    pub(super) async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        let ended = || KvError::Unavailable("the engine has ended".into());
        let (reply, answer) = oneshot::channel();
        let answered = async {
            self.0.send(Waiting { transaction, reply }).await.map_err(|_| ended())?;
            answer.await.map_err(|_| ended())?
        };
        // Who waits behind others that are not answered has waited long enough by then; what was not sent yet is not sent any more.
        let began = std::time::Instant::now();
        let answer = timeout(PATIENCE, answered).await.map_err(unavailable).flatten();
        COMMITS.answered(began.elapsed(), &answer);
        answer
    }
}

struct Worker {
    config: Arc<PostgresConfig>,
    readers: Arc<Readers>,
    open: Option<(Connection, Statement)>,
    /// Where it adds to counters.
    stripe: u8,
}

impl Worker {
    async fn run(mut self, waiting: Arc<Waitings>) {
        loop {
            let batch = {
                let mut waiting = waiting.lock().await;
                let (receiver, window) = &mut *waiting;
                if window.is_empty() {
                    let Some(first) = receiver.recv().await else { return };
                    window.push_back(first);
                }
                while window.len() < WINDOW
                    && let Ok(next) = receiver.try_recv()
                {
                    window.push_back(next);
                }
                window.retain(|one| !one.reply.is_closed());
                take(window, self.config.transactions_per_trip, |one| &one.transaction)
            };
            self.commit(batch).await;
        }
    }

    async fn commit(&mut self, batch: Vec<Waiting>) {
        let outcome = self.apply(&batch).await;
        match outcome {
            // One that the server can't take must not fail its neighbours.
            Outcome::RolledBack(_) if batch.len() > 1 => {
                for one in batch {
                    Box::pin(self.commit(vec![one])).await;
                }
            }
            outcome => {
                for (number, one) in batch.into_iter().enumerate() {
                    // Who has gone does not wait for it.
                    let _ = one.reply.send(outcome.of(number));
                }
            }
        }
    }

    /// Gives the server a batch. What is not answered is never sent again: its outcome is looked for.
    async fn apply(&mut self, batch: &[Waiting]) -> Outcome {
        let stripe = self.stripe;
        let (connection, statement) = match self.connection().await {
            Ok(open) => open,
            Err(error) => return Outcome::RolledBack(error),
        };
        connection.may_be_lost.store(false, Ordering::SeqCst);
        let arguments = Arguments::of(batch.iter().map(|one| &one.transaction), stripe, random);
        let Arguments { locks_all, locks, asked, asked_revision, asked_of, .. } = &arguments;
        let Arguments { put, put_value, put_revision, put_of, deleted, deleted_of, .. } = &arguments;
        let Arguments { added, added_value, added_revision, added_of, .. } = &arguments;
        let Arguments { bounded, bounded_end, bounded_column, bounded_most, bounded_of, .. } = &arguments;
        let parameters: [&(dyn ToSql + Sync); 20] = [
            locks_all,
            locks,
            asked,
            asked_revision,
            asked_of,
            put,
            put_value,
            put_revision,
            put_of,
            deleted,
            deleted_of,
            added,
            added_value,
            added_revision,
            added_of,
            bounded,
            bounded_end,
            bounded_column,
            bounded_most,
            bounded_of,
        ];
        let began = std::time::Instant::now();
        let answer = timeout(DEADLINE, connection.client.query_one(statement, &parameters)).await;
        COMMITS.batch.observe(batch.len() as u64);
        COMMITS.sync.observe_duration(began.elapsed());
        let may_be_lost = connection.may_be_lost.load(Ordering::SeqCst);
        let error = match answer {
            Ok(Ok(_)) if may_be_lost => "the server's standby may not have the commit".into(),
            Ok(Ok(row)) => {
                let (refused, keys): (Vec<i32>, Vec<Vec<u8>>) = (row.get(0), row.get(1));
                return Outcome::Judged(refused.into_iter().zip(keys.into_iter().map(Key::from)).collect());
            }
            Ok(Err(error)) if error.as_db_error().is_some() && !connection.client.is_closed() => {
                if error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) {
                    // Another host has taken over.
                    self.open = None;
                }
                return Outcome::RolledBack(error.to_string());
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the server does not answer".to_owned(),
        };
        self.open = None;
        if may_be_lost {
            return Outcome::Unknown(error, Vec::new());
        }
        let marks: Vec<_> = (0..batch.len()).map(|number| arguments.mark_of(number as i32)).collect();
        Outcome::Unknown(error, self.look_for(&marks).await)
    }

    /// Which of these transactions are there: a key that they set has the revision that they gave it. One that is not seen may still
    /// come, or has been overwritten since.
    async fn look_for(&self, marks: &[Option<(&[u8], i64)>]) -> Vec<bool> {
        let keys: Vec<Key> = marks.iter().flatten().map(|(key, _)| Key::copy_from_slice(key)).collect();
        let Ok(found) = self.readers.get(&keys).await else { return Vec::new() };
        let mut found = found.into_iter();
        let is_there = |mark: &Option<(&[u8], i64)>| {
            let (_, revision) = mark.as_ref()?;
            Some(found.next()??.revision.0 == revision.cast_unsigned())
        };
        marks.iter().map(is_there).map(|there| there.unwrap_or(false)).collect()
    }

    async fn connection(&mut self) -> Result<&(Connection, Statement), String> {
        if self.open.as_ref().is_none_or(|(connection, _)| connection.client.is_closed()) {
            self.open = None;
            let open = async {
                let connection = connect(&self.config).await.map_err(|error| error.to_string())?;
                let call = "select * from kv_commit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
                            $13, $14, $15, $16, $17, $18, $19, $20)";
                let statement = connection.client.prepare(call).await.map_err(|error| error.to_string())?;
                Ok::<_, String>((connection, statement))
            };
            let opened = timeout(DEADLINE, open).await.map_err(|error| error.to_string())?;
            self.open = Some(opened?);
        }
        self.open.as_ref().ok_or_else(|| "no connection".to_owned())
    }
}

/// What became of a batch.
enum Outcome {
    /// All were applied but these, each with the key whose condition did not hold.
    Judged(HashMap<i32, Key>),
    /// None was applied.
    RolledBack(String),
    /// The answer did not come; of these it is known that they were applied.
    Unknown(String, Vec<bool>),
}

impl Outcome {
    fn of(&self, number: usize) -> Result<(), KvError> {
        match self {
            Self::Judged(refused) => match refused.get(&(number as i32)) {
                Some(key) => Err(KvError::Conflict { key: key.clone() }),
                None => Ok(()),
            },
            Self::Unknown(_, applied) if applied.get(number) == Some(&true) => Ok(()),
            Self::RolledBack(why) | Self::Unknown(why, _) => Err(unavailable(why.clone())),
        }
    }
}

/// A revision: at random, so that it need not be asked for, and that nobody gives it twice.
fn random() -> i64 {
    let mut revision = [0; 8];
    getrandom::fill(&mut revision).expect("the operating system gives random bytes");
    i64::from_le_bytes(revision)
}
