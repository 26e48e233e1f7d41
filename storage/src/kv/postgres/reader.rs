//! Reads: a few connections, each with many questions under way, opened again when they break.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::server::{ConnectError, Connection, connect};
use super::{DEADLINE, PostgresConfig, unavailable};
use crate::kv::{Direction, Entry, Key, KeyRange, KvError, Revision, Snapshot};
use crate::name::Timestamp;

/// Entries of a page of a snapshot.
const PAGE: usize = 200;

pub(super) struct Readers {
    config: Arc<PostgresConfig>,
    open: Vec<Mutex<Option<Arc<Reader>>>>,
    next: AtomicUsize,
}

struct Reader {
    connection: Connection,
    get: [Statement; 3],
    forward: [Statement; 3],
    backward: [Statement; 3],
}

/// The tables that the entries asked for can be in: the queue has those whose keys begin with `D`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tables {
    Map,
    Queue,
    Both,
}

/// With which byte keys of the queue begin.
const QUEUED: u8 = b'D';

impl Tables {
    fn of_keys(keys: &[Key]) -> Self {
        let queued = keys.iter().filter(|key| key.first() == Some(&QUEUED)).count();
        match queued {
            0 => Self::Map,
            all if all == keys.len() => Self::Queue,
            _ => Self::Both,
        }
    }

    fn of_range(range: &KeyRange) -> Self {
        let (from, behind) = (&[QUEUED][..], &[QUEUED + 1][..]);
        let ends_by = |bound: &[u8]| range.end.as_deref().is_some_and(|end| end <= bound);
        if &range.start[..] >= behind || ends_by(from) {
            Self::Map
        } else if &range.start[..] >= from && ends_by(behind) {
            Self::Queue
        } else {
            Self::Both
        }
    }

    /// A statement for each, of one for a table.
    async fn prepare(
        client: &Client,
        of: impl Fn(&str) -> String,
        rest: &str,
    ) -> Result<[Statement; 3], tokio_postgres::Error> {
        let (map, queue) = (of("kv"), of("kv_queue"));
        let both = format!("({map}) union all ({queue}) {rest}");
        Ok([
            client.prepare(&format!("{map} {rest}")).await?,
            client.prepare(&format!("{queue} {rest}")).await?,
            client.prepare(&both).await?,
        ])
    }
}

impl Reader {
    async fn open(config: &PostgresConfig) -> Result<Self, ConnectError> {
        let connection = connect(config).await?;
        let client = &connection.client;
        let get = |table: &str| format!("select key, value, revision from {table} where key = any($1)");
        let scan = |table: &str| {
            format!(
                "select key, value, revision from {table} where key >= $1 and ($2::bytea is null or key < $2)"
            )
        };
        let get = Tables::prepare(client, get, "").await?;
        let forward = Tables::prepare(client, scan, "order by key asc limit $3").await?;
        let backward = Tables::prepare(client, scan, "order by key desc limit $3").await?;
        Ok(Self { connection, get, forward, backward })
    }
}

/// What is asked of a reader.
enum Question<'a> {
    Clock,
    Get(Tables, &'a [&'a [u8]]),
    Scan(&'a KeyRange, Direction, i64),
}

impl Readers {
    pub(super) fn new(config: Arc<PostgresConfig>) -> Self {
        let open = (0..config.readers.max(1)).map(|_| Mutex::default()).collect();
        Self { config, open, next: AtomicUsize::new(0) }
    }

    /// An open connection; broken ones are replaced.
    async fn reader(&self) -> Result<Arc<Reader>, KvError> {
        let slot = &self.open[self.next.fetch_add(1, Ordering::Relaxed) % self.open.len()];
        let open = slot.lock().clone();
        if let Some(reader) = open.filter(|reader| !reader.connection.client.is_closed()) {
            return Ok(reader);
        }
        let reader = Arc::new(Reader::open(&self.config).await.map_err(unavailable)?);
        *slot.lock() = Some(reader.clone());
        Ok(reader)
    }

    async fn ask(&self, question: &Question<'_>) -> Result<Vec<Row>, KvError> {
        let reader = self.reader().await?;
        let client = &reader.connection.client;
        let answer = async {
            match question {
                Question::Clock => {
                    client.query("select (extract(epoch from clock_timestamp()) * 1000)::bigint", &[]).await
                }
                Question::Get(tables, keys) => client.query(&reader.get[*tables as usize], &[keys]).await,
                Question::Scan(range, direction, limit) => {
                    let statements = match direction {
                        Direction::Forward => &reader.forward,
                        Direction::Backward => &reader.backward,
                    };
                    let statement = &statements[Tables::of_range(range) as usize];
                    let end: Option<&[u8]> = range.end.as_deref();
                    let parameters: [&(dyn ToSql + Sync); 3] = [&&range.start[..], &end, limit];
                    client.query(statement, &parameters).await
                }
            }
        };
        match tokio::time::timeout(DEADLINE, answer).await {
            Ok(rows) => rows.map_err(unavailable),
            Err(silent) => {
                // Its host may be gone without a word: another may answer by now.
                self.forget(&reader);
                Err(unavailable(silent))
            }
        }
    }

    fn forget(&self, silent: &Arc<Reader>) {
        for slot in &self.open {
            let mut open = slot.lock();
            if open.as_ref().is_some_and(|reader| Arc::ptr_eq(reader, silent)) {
                *open = None;
            }
        }
    }

    /// Asks once more where the connection broke: reading twice does no harm.
    async fn answer(&self, question: Question<'_>) -> Result<Vec<Row>, KvError> {
        let ask = async {
            match self.ask(&question).await {
                Err(KvError::Unavailable(_)) => self.ask(&question).await,
                answer => answer,
            }
        };
        // A little more than an answer may take, so that it is seen which connection is silent.
        tokio::time::timeout(DEADLINE + Duration::from_millis(100), ask).await.map_err(unavailable)?
    }

    pub(super) async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, KvError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let asked: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
        let rows = self.answer(Question::Get(Tables::of_keys(keys), &asked)).await?;
        let found: HashMap<Key, Entry> = rows.iter().map(entry).collect();
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    /// What time it is to the server.
    pub(super) async fn clock(&self) -> Result<Timestamp, KvError> {
        let rows = self.answer(Question::Clock).await?;
        let now = rows.first().map(|row| row.get::<_, i64>(0));
        let now = now.and_then(|now| u64::try_from(now).ok());
        Ok(Timestamp(now.ok_or_else(|| unavailable("the server does not tell the time"))?))
    }

    pub(super) async fn scan(
        &self,
        range: &KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, KvError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.answer(Question::Scan(range, direction, limit)).await?;
        Ok(rows.iter().map(entry).collect())
    }

    /// The entries of one moment, over a connection of its own.
    pub(super) async fn snapshot(&self) -> Result<PostgresSnapshot, KvError> {
        let Connection { client, .. } = connect(&self.config).await.map_err(unavailable)?;
        let begin = "begin isolation level repeatable read read only; \
                     declare entries no scroll cursor for select key, value, revision from kv \
                     union all select key, value, revision from kv_queue";
        client.batch_execute(begin).await.map_err(unavailable)?;
        Ok(PostgresSnapshot(client))
    }
}

/// Ends with its connection, however it is dropped.
pub(super) struct PostgresSnapshot(Client);

#[async_trait]
impl Snapshot for PostgresSnapshot {
    async fn next(&mut self) -> Result<Vec<(Key, Entry)>, KvError> {
        let page = self.0.query(&format!("fetch {PAGE} from entries"), &[]).await.map_err(unavailable)?;
        Ok(page.iter().map(entry).collect())
    }
}

fn entry(row: &Row) -> (Key, Entry) {
    let (key, value, revision): (&[u8], &[u8], i64) = (row.get(0), row.get(1), row.get(2));
    let revision = Revision(revision.cast_unsigned());
    (Key::copy_from_slice(key), Entry { value: Bytes::copy_from_slice(value), revision })
}
