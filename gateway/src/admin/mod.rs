//! What the host's administrator asks and does, on a running gateway through its admin socket, or on a stopped one.

mod accounts;
pub mod backup;
pub mod jobs;
mod keys;
mod live;
mod objects;
pub mod socket;
mod usage;
mod witness;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Subcommand;
use kms_core::kms::{Caller, Kms};
use kms_core::secret::SecretBytes;
use kms_core::store::StorePlaces;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::app::App;
use crate::observe::live::TraceFilter;

pub use accounts::AccountCommand;
pub use keys::{report_json, report_lines};

/// A command for whoever has the key store open.
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum AdminCommand {
    /// What the key store holds and which root key it needs; everything in it is unsealed to tell this
    Status {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Compare both copies of the key store and its head, read from the disk; exit code 1 if anything is not as it was written
    VerifyStore {
        /// Take the best copy of a stopped gateway's store as right, whatever its head says: what was committed afterwards is lost
        #[arg(long)]
        accept: bool,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// All keys
    List {
        /// One JSON object per key
        #[arg(long)]
        json: bool,
    },
    /// One key, with its policy
    Describe {
        /// Id, ARN, alias or alias ARN
        key: String,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Tell whether a principal may do something to a key, and why
    WhoCan {
        /// Id, ARN, alias or alias ARN
        key: String,
        /// The principal's ARN
        #[arg(long, value_name = "ARN")]
        principal: String,
        /// The action
        #[arg(long, value_name = "ACTION", default_value = "kms:Decrypt")]
        action: String,
        /// A pair of the encryption context, as NAME=VALUE; may be repeated
        #[arg(long = "context", value_name = "NAME=VALUE")]
        context: Vec<String>,
        /// Through this service, such as s3.us-east-1.amazonaws.com
        #[arg(long, value_name = "SERVICE")]
        via: Option<String>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Give a key that nobody can administer any more the default policy
    ResetKeyPolicy {
        /// Id, ARN, alias or alias ARN
        key: String,
    },
    /// Writes a backup of key store and catalog.
    #[command(skip)]
    Backup {
        /// The file to make.
        file: PathBuf,
    },
    /// Makes a recovery kit.
    #[command(skip)]
    RecoveryKitExport {
        /// The file to make.
        file: PathBuf,
        /// The kit's own passphrase.
        passphrase: Passphrase,
    },
    /// Notes down how far the data folder has come, or compares it with a note.
    #[command(skip)]
    Witness {
        /// The note.
        note: Option<String>,
    },
    /// Tells how the background jobs are getting on.
    #[command(skip)]
    Jobs {
        /// As one JSON object.
        json: bool,
    },
    /// Looks at every blob for those without a record.
    #[command(skip)]
    Sweep {
        /// As one JSON object.
        json: bool,
    },
    /// Tells requests as they end.
    #[command(skip)]
    Trace {
        /// Which ones.
        filter: TraceFilter,
        /// As JSON objects.
        json: bool,
        /// How many, at the most.
        count: Option<u64>,
    },
    /// Tells which operations are asked for, and how often.
    #[command(skip)]
    Top {
        /// Time between two tables, in seconds.
        interval_s: u64,
        /// As JSON objects.
        json: bool,
        /// How many tables, at the most.
        count: Option<u64>,
    },
    /// Does something with accounts.
    #[command(skip)]
    Account(AccountCommand),
    /// Tells what buckets and accounts hold.
    #[command(skip)]
    Usage {
        /// As one JSON object.
        json: bool,
    },
    /// Tells how much a bucket may hold, and sets it.
    #[command(skip)]
    BucketQuota {
        /// The bucket.
        bucket: String,
        /// How much, or `none`.
        size: Option<String>,
        /// As one JSON object.
        json: bool,
    },
    /// Count what would become unreadable without a key: objects, uploads under way, buckets with it as their default
    Dependents {
        /// Id, ARN, alias or alias ARN
        key: String,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Tell what depends on a key, and with --yes schedule its deletion
    ScheduleDeletion {
        /// Id, ARN, alias or alias ARN
        key: String,
        /// Days until then, 7 to 30
        #[arg(long, value_name = "DAYS", default_value_t = 30)]
        days: u64,
        /// Do it
        #[arg(long)]
        yes: bool,
    },
    /// Wrap objects' keys anew, under a key's newest backing key or under another key; no data moves. Run it again to go on
    Rewrap {
        /// Objects under this key (id, ARN, alias or alias ARN), or `sse-s3`: those that are under SSE-S3
        key: String,
        /// Move them to this key; by default they stay under theirs
        #[arg(long, value_name = "KEY")]
        to: Option<String>,
        /// Only in this bucket
        #[arg(long, value_name = "BUCKET")]
        bucket: Option<String>,
        /// Only objects whose names start so
        #[arg(long, value_name = "PREFIX", default_value = "")]
        prefix: String,
        /// Most objects per second
        #[arg(long, value_name = "COUNT")]
        rate: Option<u32>,
        /// Count them only
        #[arg(long)]
        dry_run: bool,
    },
}

/// A passphrase on its way through the socket.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes a passphrase; bytes that are not UTF-8 are refused.
    pub fn new(secret: &SecretBytes) -> anyhow::Result<Self> {
        let text = str::from_utf8(secret.expose()).context("a passphrase is text in UTF-8")?;
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The passphrase.
    pub fn secret(&self) -> SecretBytes {
        SecretBytes::new(self.0.as_bytes().to_vec())
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

impl AdminCommand {
    /// Does it look at what the catalog has (objects, users), or at keys alone?
    pub fn needs_objects(&self) -> bool {
        use AdminCommand::{
            Account, Backup, BucketQuota, Dependents, Jobs, Rewrap, ScheduleDeletion, Sweep, Usage, WhoCan,
            Witness,
        };
        matches!(
            self,
            Account(_)
                | BucketQuota { .. }
                | Usage { .. }
                | Backup { .. }
                | Jobs { .. }
                | Dependents { .. }
                | Rewrap { .. }
                | ScheduleDeletion { .. }
                | Sweep { .. }
                | WhoCan { .. }
                | Witness { .. }
        )
    }
}

/// Who carries commands out.
pub struct Host {
    /// The key store.
    pub kms: Arc<Kms>,
    /// Objects, where they are open too.
    pub app: Option<Arc<App>>,
    /// The root key: its id and where it is from.
    pub root: String,
    /// Where the key store lies.
    pub places: StorePlaces,
    /// What listens of a running gateway, and the URL of it.
    pub addresses: Vec<(&'static str, String)>,
}

/// What a command tells, line by line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// For standard output.
    Line(String),
    /// Something that programs want to know, by name: a line says it to people.
    Fact(String, Value),
    /// How far long work is, for a terminal.
    Progress(String),
    /// For standard error.
    Warning(String),
    /// It goes on, and there is nothing to tell.
    Alive,
    /// It failed.
    Failed(String),
    /// The last: did it succeed (or, of a question: is the answer yes)?
    Ended(bool),
}

/// Where a command tells. It ends when nobody listens any more.
pub struct Out(mpsc::Sender<Told>);

impl Out {
    async fn line(&self, text: impl Into<String>) -> anyhow::Result<()> {
        self.0.send(Told::Line(text.into())).await.map_err(|_| anyhow::anyhow!("nobody listens any more"))
    }

    /// Tells programs what lines tell people.
    async fn fact(&self, name: &str, value: impl Into<Value>) -> anyhow::Result<()> {
        self.send(Told::Fact(name.to_owned(), value.into())).await
    }

    /// Goes on only as long as somebody listens.
    async fn alive(&self) -> anyhow::Result<()> {
        self.send(Told::Alive).await
    }

    async fn send(&self, told: Told) -> anyhow::Result<()> {
        self.0.send(told).await.map_err(|_| anyhow::anyhow!("nobody listens any more"))
    }

    /// Tells how far it is, and whether anybody still listens. Who does not read is not waited for.
    async fn progress(&self, text: String) -> anyhow::Result<()> {
        match self.0.try_send(Told::Progress(text)) {
            Err(mpsc::error::TrySendError::Closed(_)) => anyhow::bail!("nobody listens any more"),
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => Ok(()),
        }
    }
}

/// Lines that wait for a slow reader.
const TOLD_LEN: usize = 64;

/// A command that is carried out; cut off when this is dropped.
pub struct Running {
    /// What it tells; the last is [`Told::Ended`].
    pub told: mpsc::Receiver<Told>,
    _task: JoinSet<()>,
}

/// Carries a command out.
pub fn start(host: Host, command: AdminCommand) -> Running {
    let (told, listener) = mpsc::channel(TOLD_LEN);
    let mut task = JoinSet::new();
    task.spawn(async move {
        let out = Out(told.clone());
        let ended = match run(&host, command, &out).await {
            Ok(success) => success,
            Err(error) => {
                let _ = told.send(Told::Failed(format!("{error:#}"))).await;
                false
            }
        };
        // The stores are let go before the end is told: whoever waits for it may close them.
        drop(host);
        let _ = told.send(Told::Ended(ended)).await;
    });
    Running { told: listener, _task: task }
}

/// What speaks of a data folder is refused by a gateway that has its records and keys in a server.
fn refuse_of_folders(command: &AdminCommand) -> anyhow::Result<()> {
    let (what, instead) = match command {
        AdminCommand::Backup { .. } => {
            ("a backup", "back up the database by its own means: what is in it is sealed (OPERATIONS.md)")
        }
        AdminCommand::Witness { .. } => ("a witness", "a database that is put back is its server's to tell"),
        AdminCommand::VerifyStore { .. } => {
            ("verify-store", "the key store is compared with its digest each time that it is read")
        }
        _ => return Ok(()),
    };
    anyhow::bail!("{what} is of a data folder, and records and keys are in a server (metadata): {instead}")
}

async fn run(host: &Host, command: AdminCommand, out: &Out) -> anyhow::Result<bool> {
    use AdminCommand as C;
    if let Some(app) = &host.app {
        // What other gateways changed.
        app.watch.identities().await?;
        app.watch.keys().await?;
        if app.stores.folder.is_state() {
            refuse_of_folders(&command)?;
        }
    }
    let objects = || host.app.as_ref().ok_or_else(|| anyhow::anyhow!("objects are not open"));
    match command {
        C::Status { json } => keys::status(host, json, out).await,
        C::VerifyStore { accept, json } => keys::verify_store(host, accept, json, out).await,
        C::List { json } => keys::list(&host.kms, json, out).await,
        C::Describe { key, json } => keys::describe(&host.kms, &key, json, out).await,
        C::WhoCan { key, principal, action, context, via, json } => {
            let asked = keys::Question { principal, action, context, via, json };
            keys::who_can(objects()?, &key, asked, out).await
        }
        C::ResetKeyPolicy { key } => keys::reset_policy(host, key, out).await,
        C::Backup { file } => backup::backup(objects()?, &file, out).await,
        C::RecoveryKitExport { file, passphrase } => {
            keys::recovery_kit(host, file, passphrase.secret(), out).await
        }
        C::Witness { note } => witness::witness(objects()?, note.as_deref(), out).await,
        C::Sweep { json } => jobs::sweep(objects()?, json, out).await,
        C::Jobs { json } => jobs::tell(objects()?, &host.addresses, json, out).await,
        C::Usage { json } => usage::tell(objects()?, json, out).await,
        C::BucketQuota { bucket, size, json } => {
            usage::bucket(objects()?, &bucket, (size.as_deref(), json), out).await
        }
        C::Trace { filter, json, count } => live::trace(filter, json, count, out).await,
        C::Top { interval_s, json, count } => live::top(interval_s, json, count, out).await,
        C::Account(command) => accounts::run(objects()?, command, out).await,
        C::Dependents { key, json } => objects::dependents(objects()?, &key, json, out).await.map(|_| true),
        C::ScheduleDeletion { key, days, yes } => {
            objects::schedule_deletion(objects()?, &key, days, yes, out).await
        }
        C::Rewrap { key, to, bucket, prefix, rate, dry_run } => {
            let asked = objects::Rewrap { key, to, bucket, prefix, rate, dry_run };
            objects::rewrap(objects()?, asked, out).await
        }
    }
}

/// The root user of an account, as whom the host asks what policies decide.
fn root_user(account: &str, request_id: &str) -> Caller {
    Caller { request_id: request_id.into(), ..Caller::root_user(account) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_does_not_read_is_not_waited_for() {
        let (told, listener) = mpsc::channel(TOLD_LEN);
        let out = Out(told);
        for number in 0..10 * TOLD_LEN {
            out.progress(format!("{number} records")).await.expect("somebody listens");
        }
        drop(listener);
        out.progress(String::new()).await.expect_err("nobody does");
    }
}
