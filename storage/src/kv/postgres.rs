//! Records in PostgreSQL: what several gateways share. One table is the map. A commit is judged under advisory locks on its keys, shared
//! where it only asks and exclusive where it writes, so that commits on one bucket do not wait for each other; many are given to the
//! server at once, since each trip to its disk costs the same for one as for many.
//!
//! What was committed is there when the server says so, on its disk and on its synchronous standby's. A commit whose answer is lost is
//! never sent again: it is looked for by the revision that it gave a key, and told as unknown where it can't be seen.

mod batch;
mod committer;
mod hosts;
mod reader;
mod server;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use async_trait::async_trait;

use crate::name::Timestamp;

use super::{Direction, Entry, Key, KeyRange, KeyValue, KvError, Snapshot, Standing, Transaction};
use tokio_postgres::NoTls;

use committer::Committer;
use reader::Readers;
pub use server::{ConnectError, Connection, Dial, Dialer};

/// How long one answer may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Which server, and how it is used.
#[derive(Clone)]
pub struct PostgresConfig {
    /// Hosts, database, user and password: of `postgres://user@host1,host2/database`.
    pub server: tokio_postgres::Config,
    /// Makes connections, and secures them.
    pub dial: Arc<dyn Dial>,
    /// Refuses a server without a synchronous standby.
    pub require_sync_standby: bool,
    /// What the server should be warned of was told already: another map of the same server is open.
    pub is_quiet: bool,
    /// The schema that the tables are in, made where it does not exist; `None`: the one that the server gives its user.
    pub schema: Option<String>,
    /// Connections that read.
    pub readers: usize,
    /// Connections that commit.
    pub committers: usize,
    /// Transactions that one trip to the server takes at the most.
    pub transactions_per_trip: usize,
    /// The host that took the last connection, by its place.
    last: Arc<AtomicUsize>,
}

impl PostgresConfig {
    /// Of a URL or of libpq's `key=value` form, with plain connections.
    ///
    /// # Errors
    /// When it is neither.
    pub fn of(server: &str) -> Result<Self, OpenPostgresError> {
        let server = server.parse()?;
        Ok(Self {
            server,
            dial: Arc::new(Dialer(NoTls)),
            require_sync_standby: false,
            is_quiet: false,
            schema: None,
            readers: 6,
            committers: 3,
            transactions_per_trip: batch::MAX_TRANSACTIONS,
            last: Arc::default(),
        })
    }
}

/// Why a server is not used.
#[derive(Debug, thiserror::Error)]
pub enum OpenPostgresError {
    /// It is not reached, or refuses.
    #[error("the metadata server: {}", chain(.0))]
    Server(tokio_postgres::Error),
    /// No connection comes about.
    #[error("the metadata server is not reached: {0}")]
    Connect(ConnectError),
    /// It would lose what it acknowledges.
    #[error("the metadata server can't be trusted with records: {0}")]
    Unsafe(String),
    /// A newer build has changed the schema.
    #[error("the metadata server's schema has version {found}, this build knows {known}: run a newer build")]
    Newer {
        /// The schema's.
        found: i32,
        /// This build's.
        known: i32,
    },
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

// Their messages have their causes: told as a source, each would be said twice.
impl From<tokio_postgres::Error> for OpenPostgresError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl From<ConnectError> for OpenPostgresError {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> KvError {
    KvError::Unavailable(error.into())
}

/// See the module.
pub struct PostgresKv {
    readers: Arc<Readers>,
    committer: Committer,
}

impl PostgresKv {
    /// Looks at the server, makes the schema where there is none, and starts the workers.
    ///
    /// # Errors
    /// When the server is not reached, or not one that keeps what it acknowledges.
    pub async fn open(config: PostgresConfig) -> Result<Self, OpenPostgresError> {
        let mut connection = server::connect(&config).await?;
        server::check(&connection.client, &config).await?;
        server::migrate(&mut connection.client, config.schema.as_deref()).await?;
        let config = Arc::new(config);
        let readers = Arc::new(Readers::new(config.clone()));
        let committer = Committer::start(&config, &readers);
        Ok(Self { readers, committer })
    }
}

#[async_trait]
impl KeyValue for PostgresKv {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, KvError> {
        self.readers.get(keys).await
    }

    async fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, KvError> {
        self.readers.scan(&range, direction, limit).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        self.limits().check(&transaction)?;
        self.committer.commit(transaction).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, KvError> {
        Ok(Box::new(self.readers.snapshot().await?))
    }

    /// Reads every record, so that the server compares each page with its checksum, where it has them. Records that were taken away
    /// from outside are not missed.
    async fn verify(&self) -> Result<u64, KvError> {
        let mut snapshot = self.snapshot().await?;
        let mut count = 0;
        loop {
            match snapshot.next().await?.len() {
                0 => return Ok(count),
                more => count += more as u64,
            }
        }
    }

    fn standing(&self) -> Standing {
        Standing::Verified
    }

    async fn clock(&self) -> Result<Option<Timestamp>, KvError> {
        self.readers.clock().await.map(Some)
    }
}
