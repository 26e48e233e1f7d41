//! What gateways share, on this machine: a PostgreSQL and a SeaweedFS; and gateways over them.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::postgres::{Postgres, url_at};
use crate::proxy::Proxy;
use crate::seaweedfs::{self, Seaweedfs};
use crate::server::{Places, Server};

/// The database of records, and the prefix of blobs.
const NAME: &str = "sealgate";
/// Short sessions, so that tests need not wait for a minute.
pub const SESSIONS: [&str; 4] = ["--session-heartbeat-s", "1", "--session-timeout-s", "4"];

/// A database, a store of blobs and a root key.
pub struct Cluster {
    /// Keeps records and keys.
    pub postgres: Postgres,
    /// Keeps blobs.
    pub blobs: Seaweedfs,
    folder: TempDir,
}

impl Cluster {
    /// Starts both, with nothing in them.
    ///
    /// # Errors
    /// When one of them is not installed or does not start.
    pub fn start() -> anyhow::Result<Self> {
        Self::over(Postgres::start(&[])?, Seaweedfs::start()?)
    }

    /// Over these, which are empty: makes the database and the root key.
    ///
    /// # Errors
    /// When the database can't be made.
    pub fn over(postgres: Postgres, blobs: Seaweedfs) -> anyhow::Result<Self> {
        postgres.create(NAME)?;
        let folder = tempfile::tempdir()?;
        let mut root_key = [0; 32];
        getrandom::fill(&mut root_key).map_err(|error| anyhow::anyhow!("{error}"))?;
        let file = folder.path().join("root-key");
        std::fs::write(&file, root_key)?;
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(Self { postgres, blobs, folder })
    }

    /// Where its gateways keep what they share.
    pub fn places(&self) -> Places {
        self.places_at(self.postgres.port(), self.blobs.port())
    }

    /// The same through proxies, or of another server: ports of 127.0.0.1.
    pub fn places_at(&self, metadata: u16, blobs: u16) -> Places {
        Places {
            metadata: url_at(metadata, NAME),
            blobs: Some(seaweedfs::url_at(blobs, NAME)),
            root_key: self.root_key(),
        }
    }

    /// The same through both of these.
    pub fn places_through(&self, metadata: &Proxy, blobs: &Proxy) -> Places {
        self.places_at(metadata.port(), blobs.port())
    }

    /// File of the root key.
    pub fn root_key(&self) -> PathBuf {
        self.folder.path().join("root-key")
    }

    /// A URL of the records that names several servers.
    pub fn metadata_of(ports: &[u16]) -> String {
        let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("postgres://postgres@{}/{NAME}?target_session_attrs=read-write", hosts.join(","))
    }

    /// Starts a gateway with short sessions, and these further arguments.
    ///
    /// # Errors
    /// When it refuses to start.
    pub fn gateway(&self, arguments: &[&str]) -> anyhow::Result<Server> {
        self.gateway_at(&self.places(), arguments)
    }

    /// As [`Cluster::gateway`], with other places.
    ///
    /// # Errors
    /// When it refuses to start.
    pub fn gateway_at(&self, places: &Places, arguments: &[&str]) -> anyhow::Result<Server> {
        Self::gateway_in(places, arguments, |_| {})
    }

    /// As [`Cluster::gateway_at`]; `prepare` may change its environment.
    ///
    /// # Errors
    /// When it refuses to start.
    pub fn gateway_in(
        places: &Places,
        arguments: &[&str],
        prepare: impl FnOnce(&mut Command),
    ) -> anyhow::Result<Server> {
        let mut all = SESSIONS.to_vec();
        all.extend(arguments);
        Server::start_shared(places, &all, prepare)
    }

    /// What a statement answers in the database of records.
    ///
    /// # Errors
    /// When the server refuses or is away.
    pub fn ask(&self, statement: &str) -> anyhow::Result<String> {
        self.postgres.ask(NAME, statement)
    }
}
