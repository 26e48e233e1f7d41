//! The admin socket: `admin.sock` in the data folder, which only its owner can enter. A command is a line of JSON, and so is
//! each thing that it tells.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;

use super::{AdminCommand, Host, Told, start};

/// Commands at a time.
const MAX_COMMANDS: usize = 8;
/// The longest command, in bytes.
const MAX_COMMAND_LEN: u64 = 64 << 10;
/// How long a command may take to arrive.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

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

async fn answer(connection: tokio::net::UnixStream, host: Host) -> anyhow::Result<()> {
    let (reader, mut writer) = connection.into_split();
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(reader.take(MAX_COMMAND_LEN));
    tokio::time::timeout(COMMAND_TIMEOUT, reader.read_line(&mut line)).await??;
    let command: AdminCommand = serde_json::from_str(&line)?;
    tracing::info!(?command, "an admin command");
    let mut running = start(host, command);
    while let Some(message) = running.told.recv().await {
        let mut line = serde_json::to_vec(&message)?;
        line.push(b'\n');
        writer.write_all(&line).await?;
    }
    Ok(())
}

/// Has the running gateway of a data folder carry a command out. `None`: none runs there.
pub fn ask(data: &Path, command: &AdminCommand, mut show: impl FnMut(&Told)) -> anyhow::Result<Option<bool>> {
    let Ok(connection) = UnixStream::connect(path(data)) else { return Ok(None) };
    let mut line = serde_json::to_vec(command)?;
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
