//! The admin socket: `admin.sock` in the data folder, which only its owner can enter. A command is a line of JSON, and so is
//! each thing that it tells.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::{AdminCommand, Host, Passphrase, Told, start};

/// Commands at a time.
const MAX_COMMANDS: usize = 8;
/// The longest command, in bytes.
const MAX_COMMAND_LEN: u64 = 64 << 10;
/// How long a command may take to arrive.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// What is asked of a gateway.
#[derive(Debug, Serialize, Deserialize)]
pub enum Asked {
    /// A command for one that has its stores open.
    Command(AdminCommand),
    /// The passphrase of the root key, for one that is sealed.
    Unseal(Passphrase),
}

/// Where the socket of a data folder is.
pub fn path(data: &Path) -> PathBuf {
    data.join("admin.sock")
}

/// Makes the socket. The data folder must be held by this process: what is left of an earlier one is removed.
pub fn bind(data: &Path) -> anyhow::Result<UnixListener> {
    let path = path(data);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let listener =
        UnixListener::bind(&path).with_context(|| format!("can't make the socket {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves commands until it is dropped; those that run then are cut off.
pub async fn serve(listener: UnixListener, host: impl Fn() -> Host) {
    let places = Arc::new(Semaphore::new(MAX_COMMANDS));
    let mut running = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let connection = match listener.accept().await {
            Ok((connection, _)) => connection,
            Err(error) => {
                tracing::warn!(%error, "the admin socket can't accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        while running.try_join_next().is_some() {}
        let host = host();
        running.spawn(async move {
            if let Err(error) = answer(connection, host).await {
                tracing::debug!(%error, "an admin command was given up");
            }
            drop(place);
        });
    }
}

/// Waits for a passphrase that opens the root key. Everything else is refused meanwhile.
pub async fn unsealed<T>(listener: &UnixListener, open: impl Fn(Passphrase) -> anyhow::Result<T>) -> T {
    loop {
        let opened = async {
            let (mut connection, _) = listener.accept().await?;
            let asked = read(&mut connection).await?;
            let opened = match asked {
                // Costly by intent, for a guesser too: one at a time.
                Asked::Unseal(passphrase) => tokio::task::block_in_place(|| open(passphrase)),
                Asked::Command(_) => {
                    Err(anyhow::anyhow!("the gateway is sealed; open it with `sealgate kms unseal`"))
                }
            };
            let told = match &opened {
                Ok(_) => vec![Told::Line("unsealed".to_owned()), Told::Ended(true)],
                Err(error) => vec![Told::Failed(format!("{error:#}")), Told::Ended(false)],
            };
            for message in told {
                tell(&mut connection, &message).await?;
            }
            opened
        };
        match opened.await {
            Ok(opened) => return opened,
            Err(error) => tracing::warn!("still sealed: {error:#}"),
        }
    }
}

async fn read(connection: &mut tokio::net::UnixStream) -> anyhow::Result<Asked> {
    let mut line = Zeroizing::new(String::new());
    let mut reader = tokio::io::BufReader::new(connection.take(MAX_COMMAND_LEN));
    tokio::time::timeout(COMMAND_TIMEOUT, reader.read_line(&mut line)).await??;
    Ok(serde_json::from_str(&line)?)
}

async fn tell(connection: &mut tokio::net::UnixStream, told: &Told) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(told)?;
    line.push(b'\n');
    Ok(connection.write_all(&line).await?)
}

async fn answer(mut connection: tokio::net::UnixStream, host: Host) -> anyhow::Result<()> {
    let command = match read(&mut connection).await? {
        Asked::Command(command) => command,
        Asked::Unseal(_) => {
            tell(&mut connection, &Told::Line("it is not sealed".to_owned())).await?;
            return tell(&mut connection, &Told::Ended(true)).await;
        }
    };
    tracing::info!(?command, "an admin command");
    let mut running = start(host, command);
    while let Some(message) = running.told.recv().await {
        tell(&mut connection, &message).await?;
    }
    Ok(())
}

/// Has the running gateway of a data folder carry a command out. `None`: none runs there.
pub fn ask(data: &Path, asked: &Asked, mut show: impl FnMut(&Told)) -> anyhow::Result<Option<bool>> {
    let Ok(connection) = UnixStream::connect(path(data)) else { return Ok(None) };
    let mut line = Zeroizing::new(serde_json::to_vec(asked)?);
    line.push(b'\n');
    (&connection).write_all(&line)?;
    for line in BufReader::new(connection).lines() {
        let told: Told = serde_json::from_str(&line?).context("the gateway's answer")?;
        show(&told);
        if let Told::Ended(success) = told {
            return Ok(Some(success));
        }
    }
    anyhow::bail!("the gateway ended before the command did; run it again")
}
