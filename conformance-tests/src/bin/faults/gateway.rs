//! The built gateway on a folder: a start that may be refused, a stop, and commands.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use conformance_tests::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, binary};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long a start, a stop or a command may take: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// A data folder, and what a gateway needs besides it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The data folder.
    pub(crate) data: PathBuf,
    /// The root key's file.
    pub(crate) root_key: PathBuf,
    /// Free space that the gateway leaves alone.
    pub(crate) min_free_mib: u64,
}

/// What came of a start.
pub(crate) enum Started {
    /// It serves.
    Serving(Box<Gateway>),
    /// It ended, with this exit code and these words.
    Refused { code: Option<i32>, words: String },
}

/// A running gateway; killed when it is dropped.
pub(crate) struct Gateway {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub(crate) endpoint: String,
    log: PathBuf,
}

/// What a command answered.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// Its exit code.
    pub(crate) code: Option<i32>,
    /// All that it wrote.
    pub(crate) text: String,
}

impl Place {
    pub(crate) fn new(data: PathBuf, root_key: PathBuf) -> Self {
        Self { data, root_key, min_free_mib: 16 }
    }

    fn binary(&self, arguments: &[String]) -> anyhow::Result<Command> {
        let mut command = Command::new(binary()?);
        command
            .args(arguments)
            .arg("--data")
            .arg(&self.data)
            .arg("--root-key")
            .arg(&self.root_key)
            .env("SEALGATE_ROOT_ACCESS_KEY_ID", ACCESS_KEY_ID)
            .env("SEALGATE_ROOT_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }

    /// The gateway, not waited for.
    pub(crate) fn spawn(&self) -> anyhow::Result<(Child, PathBuf)> {
        let log = self.data.with_extension("log");
        let written = std::fs::File::options().create(true).append(true).open(&log)?;
        let min_free_mib = self.min_free_mib.to_string();
        let arguments = ["--listen", "127.0.0.1:0", "--log", "warn", "--min-free-mib", &min_free_mib];
        let mut command = self.binary(&arguments.map(str::to_owned))?;
        Ok((command.stdout(Stdio::piped()).stderr(written).spawn()?, log))
    }

    /// Starts the gateway.
    pub(crate) async fn start(&self) -> anyhow::Result<Started> {
        let before = std::fs::metadata(self.data.with_extension("log")).map_or(0, |log| log.len() as usize);
        let (mut child, log) = self.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("its output is piped")?).lines();
        let greeting = async {
            let mut endpoint = None;
            while let Some(line) = lines.next_line().await? {
                if let Some(text) = line.trim().strip_prefix("S3 endpoint") {
                    endpoint = Some(text.trim().to_owned());
                }
                if line.trim_start().starts_with("aws s3 cp") {
                    break;
                }
            }
            anyhow::Ok(endpoint)
        };
        match timeout(PATIENCE, greeting).await.context("it neither starts nor refuses")?? {
            Some(endpoint) => Ok(Started::Serving(Box::new(Gateway { child, endpoint, log }))),
            None => {
                let status =
                    timeout(PATIENCE, child.wait()).await.context("a refused start does not end")??;
                let text = std::fs::read(&log)?;
                let words = String::from_utf8_lossy(&text[before.min(text.len())..]).into_owned();
                Ok(Started::Refused { code: status.code(), words })
            }
        }
    }

    /// Starts the gateway where nothing stands against it.
    pub(crate) async fn serve(&self) -> anyhow::Result<Gateway> {
        match self.start().await? {
            Started::Serving(gateway) => Ok(*gateway),
            Started::Refused { code, words } => bail!("refused with {code:?}: {}", words.trim()),
        }
    }

    /// Runs a command on the folder.
    pub(crate) async fn run(&self, arguments: &[String]) -> anyhow::Result<Told> {
        let mut command = self.binary(arguments)?;
        let output = command.args(["--log", "warn"]).output();
        let what = || format!("`sealgate {}` does not end", arguments.join(" "));
        let output = timeout(PATIENCE, output).await.with_context(what)??;
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(Told { code: output.status.code(), text: text.concat() })
    }
}

impl Gateway {
    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid =
            self.child.id().and_then(|id| Pid::from_raw(id as i32)).context("it has ended by itself")?;
        Ok(kill_process(pid, signal)?)
    }

    /// SIGTERM, and its end.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let told = || std::fs::read_to_string(&self.log).unwrap_or_default();
        self.signal(Signal::TERM).with_context(told)?;
        let status = timeout(PATIENCE, self.child.wait()).await.context("it does not stop")??;
        // What a stop can't write is told by its code; what counts is what the next start finds.
        if status.code().is_none() {
            bail!("it stopped with {status}");
        }
        Ok(())
    }

    /// SIGKILL, and its end.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }
}

/// Copies a folder whole.
pub(crate) async fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("cp");
    let status = command.args(["-a", "--reflink=auto"]).arg(from).arg(to).status().await?;
    anyhow::ensure!(status.success(), "{} can't be copied to {}", from.display(), to.display());
    Ok(())
}
