//! A connection to the server, and what must hold of a server before anything is entrusted to it.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{AsyncMessage, Client, Config, Socket};

use super::{OpenPostgresError, PostgresConfig, batch, hosts};

/// How long a connection may take to come about, whichever host it is to.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// So many gateways' largest commits at one time the server's table of locks should have room for.
const GATEWAYS: usize = 4;
/// The version of the schema that this build writes.
const SCHEMA_VERSION: i32 = 3;
/// The tables of the first version, what came with the second, and the functions as they are now (with the third they count).
const TABLES: &str = include_str!("schema.sql");
const QUEUE: &str = include_str!("displaced.sql");
const FUNCTION: &str = include_str!("commit.sql");
/// Held while the schema is made or brought forward.
const SCHEMA_LOCK: &str = "select pg_advisory_xact_lock(9, 0)";

/// A connection. It closes when it is dropped.
pub struct Connection {
    pub(super) client: Client,
    /// The server said of a commit that no standby may have it.
    pub(super) may_be_lost: Arc<AtomicBool>,
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No host takes it.
    #[error("{}", super::chain(.0))]
    Server(tokio_postgres::Error),
    /// No host answers.
    #[error("no host answers")]
    Silent,
}

impl From<tokio_postgres::Error> for ConnectError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

/// Connects to whichever host takes writes.
pub(super) async fn connect(config: &PostgresConfig) -> Result<Connection, ConnectError> {
    let (hosts, share) = hosts::each(&config.server, config.last.load(Ordering::Relaxed), CONNECT_TIMEOUT);
    let mut failed = ConnectError::Silent;
    for (host, server) in hosts {
        match tokio::time::timeout(share, connect_to(config, &server)).await {
            Ok(Ok(connection)) => {
                config.last.store(host, Ordering::Relaxed);
                return Ok(connection);
            }
            Ok(Err(error)) => failed = error.into(),
            Err(_) => {}
        }
    }
    Err(failed)
}

async fn connect_to(config: &PostgresConfig, server: &Config) -> Result<Connection, tokio_postgres::Error> {
    let connection = config.dial.dial(server).await?;
    // A commit counts on locks taken before its snapshot, and on what the server says being on its disk and its standby's. A gateway
    // whose machine loses power between two packets of a commit leaves its locks to the server, which has to find out by itself: 25 s.
    let settings = "set default_transaction_isolation = 'read committed'; set statement_timeout = 0; set lock_timeout = 0; \
                    set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3; \
                    set tcp_user_timeout = 25000; \
                    set idle_in_transaction_session_timeout = 0; set enable_seqscan = off; set enable_hashjoin = off; \
                    set enable_mergejoin = off; \
                    select set_config('synchronous_commit', 'on', false) \
                    where current_setting('synchronous_commit') in ('off', 'local', 'remote_write')";
    connection.client.batch_execute(settings).await?;
    if let Some(schema) = &config.schema {
        connection.client.batch_execute(&format!("set search_path = {}", quoted(schema))).await?;
    }
    Ok(connection)
}

/// A name, as SQL writes one that may hold anything.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Makes connections. How they are secured is the caller's: there is no cipher here.
#[async_trait]
pub trait Dial: Send + Sync + 'static {
    /// Connects to this server.
    ///
    /// # Errors
    /// When it is not reached, or refuses.
    async fn dial(&self, server: &Config) -> Result<Connection, tokio_postgres::Error>;
}

/// Makes connections that this TLS secures; [`tokio_postgres::NoTls`] leaves them plain.
pub struct Dialer<T>(pub T);

#[async_trait]
impl<T> Dial for Dialer<T>
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send + 'static,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    async fn dial(&self, server: &Config) -> Result<Connection, tokio_postgres::Error> {
        let (client, mut connection) = server.connect(self.0.clone()).await?;
        let may_be_lost = Arc::new(AtomicBool::new(false));
        let told = may_be_lost.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notice(notice) = message {
                    match notice.severity() {
                        "WARNING" => tracing::warn!(notice = notice.message(), "the metadata server says"),
                        _ => tracing::debug!(notice = notice.message(), "the metadata server says"),
                    }
                    // Asked to stop waiting for its standby, it answers success all the same.
                    if notice.detail().is_some_and(|detail| detail.contains("might not have been replicated"))
                    {
                        told.store(true, Ordering::SeqCst);
                    }
                }
            }
        });
        Ok(Connection { client, may_be_lost })
    }
}

/// Refuses a server that would lose what it has acknowledged, or that is not what it seems.
pub(super) async fn check(client: &Client, config: &PostgresConfig) -> Result<(), OpenPostgresError> {
    let refuse = |why: &str| Err(OpenPostgresError::Unsafe(why.to_owned()));
    let row = client
        .query_one(
            "select version(), current_setting('fsync'), current_setting('full_page_writes'), pg_is_in_recovery(), \
             datcollate, datlocprovider::text, current_setting('synchronous_standby_names'), \
             current_setting('data_checksums'), current_setting('max_locks_per_transaction')::bigint, \
             current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint \
             from pg_database where datname = current_database()",
            &[],
        )
        .await?;
    let text = |at: usize| row.get::<_, &str>(at);
    // Others speak its protocol, and take advisory locks without holding them.
    if !text(0).starts_with("PostgreSQL ") {
        return refuse("it is no PostgreSQL: others that speak its protocol do not keep its locks");
    }
    for (at, name) in [(1, "fsync"), (2, "full_page_writes")] {
        if text(at) != "on" {
            return refuse(&format!("{name} is off: a power cut would lose or break what it acknowledged"));
        }
    }
    if row.get(3) {
        return refuse("it is a standby");
    }
    if !matches!(text(4), "C" | "POSIX") || text(5) != "c" {
        return refuse(
            "its database does not have the collation C; make one: create database sealgate template template0 lc_collate 'C' \
             lc_ctype 'C' encoding 'UTF8'",
        );
    }
    if text(6).is_empty() && config.require_sync_standby {
        return refuse(
            "it has no synchronous standby (synchronous_standby_names), and require_sync_standby is set",
        );
    }
    if config.is_quiet {
        return Ok(());
    }
    if text(7) != "on" {
        tracing::warn!(
            "the metadata server has no checksums of its pages (data_checksums): what its disk damages is not always noticed; stop it \
             and run: pg_checksums --enable"
        );
    }
    if text(6).is_empty() {
        tracing::warn!(
            "the metadata server has no synchronous standby: what it acknowledged is lost with its disk"
        );
    }
    // The table of locks is one for all connections.
    let (per_transaction, transactions): (i64, i64) = (row.get(8), row.get(9));
    let wanted = (batch::MAX_LOCKS * config.committers * GATEWAYS) as i64;
    if per_transaction * transactions < wanted {
        let enough = (wanted as u64).div_ceil(transactions.max(1) as u64);
        tracing::warn!(
            max_locks_per_transaction = per_transaction,
            "the metadata server's table of locks is too small for the largest commits of {GATEWAYS} gateways, which fail when it is \
             full: set max_locks_per_transaction = {enough} and restart it"
        );
    }
    Ok(())
}

/// Makes the tables where there is none.
pub(super) async fn migrate(client: &mut Client, schema: Option<&str>) -> Result<(), OpenPostgresError> {
    let change = client.transaction().await?;
    change.batch_execute(SCHEMA_LOCK).await?;
    if let Some(schema) = schema {
        // Who may not make it can use one that is there.
        let is_there = change.query("select 1 from pg_namespace where nspname = $1", &[&schema]).await?;
        if is_there.is_empty() {
            change.batch_execute(&format!("create schema {}", quoted(schema))).await?;
        }
    }
    // Looked for first: `if not exists` would have the server say at each start that it exists.
    let is_there = "select 1 from pg_tables where schemaname = current_schema() and tablename = 'kv_schema'";
    if change.query(is_there, &[]).await?.is_empty() {
        change.batch_execute("create table kv_schema (version int not null)").await?;
    }
    match change.query_opt("select max(version) from kv_schema having count(*) > 0", &[]).await? {
        None => {
            for part in [TABLES, QUEUE, FUNCTION] {
                change.batch_execute(part).await?;
            }
            change.execute("insert into kv_schema values ($1)", &[&SCHEMA_VERSION]).await?;
        }
        Some(row) if row.get::<_, i32>(0) > SCHEMA_VERSION => {
            return Err(OpenPostgresError::Newer { found: row.get(0), known: SCHEMA_VERSION });
        }
        Some(row) if row.get::<_, i32>(0) < SCHEMA_VERSION => {
            // Commits that run end first, and those that come wait.
            change.batch_execute("select pg_advisory_xact_lock(8, 0)").await?;
            if row.get::<_, i32>(0) < 2 {
                change.batch_execute(QUEUE).await?;
            }
            change.batch_execute(FUNCTION).await?;
            change.execute("update kv_schema set version = $1", &[&SCHEMA_VERSION]).await?;
        }
        Some(_) => {}
    }
    Ok(change.commit().await?)
}
