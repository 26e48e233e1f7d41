//! Starts the built `sealgate` on a free port, and stops, kills and starts it again on the same folder.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use sha2::Digest;
use tempfile::TempDir;

/// The access key that started gateways have.
pub const ACCESS_KEY_ID: &str = "AKIACONFORMANCETESTS";
/// Its secret.
pub const SECRET_ACCESS_KEY: &str = "conformance/tests/conformance/tests/1234";
/// How long a start may take: the machine may be busy.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The port of a PostgreSQL that every started gateway uses, each data folder with a database of its own; with
/// [`SEAWEEDFS_VARIABLE`].
pub const POSTGRES_VARIABLE: &str = "SEALGATE_TEST_POSTGRES";
/// The port of a SeaweedFS that every started gateway uses, each data folder with a prefix of its own.
pub const SEAWEEDFS_VARIABLE: &str = "SEALGATE_TEST_SEAWEEDFS";

/// An account of a gateway, and its root user's credentials.
#[derive(Debug, Clone)]
pub struct Account {
    /// 12 digits.
    pub id: String,
    /// The access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
}

/// Where gateways keep what they share, and with which root key.
#[derive(Debug, Clone)]
pub struct Places {
    /// `--metadata`.
    pub metadata: String,
    /// `--blobs`; `None`: in the gateway's own data folder.
    pub blobs: Option<String>,
    /// `--root-key`.
    pub root_key: PathBuf,
}

impl Places {
    /// Those of this data folder, where the environment names a PostgreSQL and a SeaweedFS for all gateways that tests start.
    fn usual(data: &Path) -> anyhow::Result<Option<Self>> {
        let port = |name| std::env::var(name).ok().and_then(|port| port.parse::<u16>().ok());
        let (Some(postgres), Some(blobs)) = (port(POSTGRES_VARIABLE), port(SEAWEEDFS_VARIABLE)) else {
            return Ok(None);
        };
        let data = std::path::absolute(data)?;
        let digest = sha2::Sha256::digest(data.as_os_str().as_encoded_bytes());
        let name = format!("test{}", hex::encode(&digest[..8]));
        crate::postgres::create_at(postgres, &name)?;
        let mut root_key = data.into_os_string();
        root_key.push(".root-key");
        let root_key = PathBuf::from(root_key);
        if !root_key.exists() {
            std::fs::write(&root_key, digest)?;
            std::fs::set_permissions(&root_key, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        }
        let blobs = Some(crate::seaweedfs::url_at(blobs, &name));
        Ok(Some(Self { metadata: crate::postgres::url_at(postgres, &name), blobs, root_key }))
    }

    /// The settings, as variables of the environment: so every command has them.
    fn variables(&self) -> Vec<(&'static str, OsString)> {
        let mut variables = vec![
            ("SEALGATE_METADATA", OsString::from(&self.metadata)),
            ("SEALGATE_ROOT_KEY", self.root_key.clone().into()),
        ];
        variables.extend(self.blobs.iter().map(|blobs| ("SEALGATE_BLOBS", blobs.into())));
        // Of the blobs' store, which a test starts without any.
        variables.extend(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| (name, "test".into())));
        variables
    }
}

/// A running gateway.
pub struct Server {
    child: Child,
    /// Kept open: what it prints behind its greeting's last line must not fail.
    _stdout: BufReader<ChildStdout>,
    /// `http://127.0.0.1:PORT`.
    pub endpoint: String,
    /// What it printed when it started.
    pub greeting: Vec<String>,
    /// Its data folder.
    pub data: PathBuf,
    folder: Option<TempDir>,
    places: Option<Places>,
}

/// The built binary: beside the program that asks, or where `SEALGATE_BIN` says.
pub fn binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("SEALGATE_BIN") {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let folder = own.ancestors().find(|folder| folder.join("sealgate").is_file());
    let folder =
        folder.context("there is no sealgate binary; build it first: cargo build --workspace --bins")?;
    Ok(folder.join("sealgate"))
}

impl Server {
    /// Starts a gateway on a fresh folder.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&[])
    }

    /// As [`Server::start`], with further arguments.
    pub fn start_with(arguments: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let mut server = Self::start_on(&data, arguments)?;
        server.folder = Some(folder);
        Ok(server)
    }

    /// Starts a gateway on this folder.
    pub fn start_on(data: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start_in(data, arguments, None)
    }

    /// As [`Server::start_on`], with one more variable in its environment.
    pub fn start_in(
        data: &Path,
        arguments: &[&str],
        variable: Option<(&str, &Path)>,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(binary()?);
        command.args(["--log", "warn"]).envs(variable);
        Self::launch(command, data, arguments)
    }

    /// As [`Server::start`]; all that it could log goes there.
    pub fn start_logging_to(log: std::fs::File) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(binary()?);
        command.args(["--log", "debug"]).stderr(log);
        let mut server = Self::launch(command, &folder.path().join("data"), &[])?;
        server.folder = Some(folder);
        Ok(server)
    }

    /// Starts a gateway that shares its records, and its blobs, with others; `prepare` may change its environment.
    ///
    /// # Errors
    /// When it refuses to start.
    pub fn start_shared(
        places: &Places,
        arguments: &[&str],
        prepare: impl FnOnce(&mut Command),
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(binary()?);
        command.args(["--log", "warn"]);
        prepare(&mut command);
        let data = folder.path().join("data");
        let mut server = Self::launch_at(command, &data, arguments, Some(places.clone()))?;
        server.folder = Some(folder);
        Ok(server)
    }

    /// As [`Server::start_shared`], with a data folder that outlives it: blobs may be in it.
    ///
    /// # Errors
    /// When it refuses to start.
    pub fn start_shared_on(places: &Places, data: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(binary()?);
        command.args(["--log", "warn"]);
        Self::launch_at(command, data, arguments, Some(places.clone()))
    }

    /// Are records and blobs of started gateways elsewhere than in their data folders?
    pub fn is_shared() -> bool {
        std::env::var_os(POSTGRES_VARIABLE).is_some()
    }

    /// Is a test to be passed by, since it is of what lies in a data folder, and gateways keep that in servers here? Then it says so.
    pub fn skips(what: &str) -> bool {
        let is_shared = Self::is_shared();
        if is_shared {
            eprintln!("skipped where records and blobs are in servers: {what}");
        }
        is_shared
    }

    fn launch(command: Command, data: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let places = Places::usual(data)?;
        Self::launch_at(command, data, arguments, places)
    }

    fn launch_at(
        mut command: Command,
        data: &Path,
        arguments: &[&str],
        places: Option<Places>,
    ) -> anyhow::Result<Self> {
        command.envs(places.iter().flat_map(Places::variables));
        let mut child = command
            .args(["--listen", "127.0.0.1:0", "--min-free-mib", "16", "--data"])
            .arg(data)
            .args(arguments)
            // Many run beside each other: one that is asked for metrics, or for the console, says where.
            .env("SEALGATE_METRICS_LISTEN", "off")
            .env("SEALGATE_CONSOLE_LISTEN", "off")
            .env("SEALGATE_ROOT_ACCESS_KEY_ID", ACCESS_KEY_ID)
            .env("SEALGATE_ROOT_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("sealgate does not start")?;
        let mut stdout = BufReader::new(child.stdout.take().context("its output is piped")?);
        let mut greeting = Vec::new();
        let began = Instant::now();
        for line in stdout.by_ref().lines() {
            let line = line?;
            let is_last = line.trim_start().starts_with("aws s3 cp");
            greeting.push(line);
            if is_last {
                break;
            }
            ensure!(began.elapsed() < START_TIMEOUT, "sealgate takes too long to start");
        }
        let endpoint = greeting.iter().find_map(|line| line.trim().strip_prefix("S3 endpoint"));
        let Some(endpoint) = endpoint.map(|text| text.trim().to_owned()) else {
            let status = child.wait()?;
            bail!("sealgate ended with {status} before it told its endpoint");
        };
        Ok(Self { child, _stdout: stdout, endpoint, greeting, data: data.to_owned(), folder: None, places })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: rustix::process::Signal) -> anyhow::Result<()> {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal)?;
        Ok(())
    }

    /// Kills it as a power cut would (SIGKILL).
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Has it ended? With which code.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn ended(&mut self) -> anyhow::Result<Option<std::process::ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Kills it as a power cut would (SIGKILL) and starts it again on the same folder.
    pub fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        self.restart()
    }

    /// Starts it again on the same folder, once it has ended.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        let again = Self::start_on(&self.data, &[])?;
        let folder = self.folder.take();
        *self = again;
        self.folder = folder;
        Ok(())
    }

    /// Asks it to stop (SIGTERM) and answers its exit code.
    pub fn stop(&mut self) -> anyhow::Result<Option<i32>> {
        self.signal(rustix::process::Signal::TERM)?;
        Ok(self.child.wait()?.code())
    }

    /// Makes a further account.
    pub fn create_account(&self, name: &str) -> anyhow::Result<Account> {
        let email = format!("{name}@example.com");
        let output = self.command(&["account", "create", "--email", &email, name])?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8(output.stdout)?;
        let value = |what: &str| {
            let found = told.lines().find_map(|line| line.strip_prefix(what));
            found.map(|value| value.trim().to_owned()).with_context(|| format!("{what}: {told}"))
        };
        Ok(Account {
            id: value("account ")?,
            access_key_id: value("access key ")?,
            secret_access_key: value("secret ")?,
        })
    }

    /// Runs another command of the binary on the folder of this gateway.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<std::process::Output> {
        Ok(self.prepared(arguments)?.output()?)
    }

    /// The same where others work meanwhile, in bounded time: what it tells. It has to succeed.
    ///
    /// # Errors
    /// When it does not, or does not end.
    pub async fn told(&self, arguments: &[&str], patience: Duration) -> anyhow::Result<String> {
        let mut command = tokio::process::Command::from(self.prepared(arguments)?);
        let output = tokio::time::timeout(patience, command.kill_on_drop(true).output()).await;
        let output = output.with_context(|| format!("{arguments:?} does not end"))??;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn prepared(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(binary()?);
        command.args(arguments).arg("--data").arg(&self.data).args(["--log", "error"]);
        command.envs(self.places.iter().flat_map(Places::variables));
        Ok(command)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
