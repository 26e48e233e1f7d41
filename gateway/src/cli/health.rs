//! `sealgate health`: is the gateway of this configuration up? For containers that hold no other program.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::config::Config;

const TIMEOUT: Duration = Duration::from_secs(2);

/// Asks once.
pub(super) fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let address = super::own_address(config);
    super::output::fact("address", address.to_string());
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)
        .with_context(|| format!("nothing answers on {address}"))?;
    if config.tls.is_some() {
        // That it accepts is all that can be told without its certificate's name.
        return Ok(ExitCode::SUCCESS);
    }
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream
        .write_all(b"GET /_sealgate/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).context("the gateway does not answer")?;
    ensure!(&answer == b"HTTP/1.1 200 OK", "the gateway is not well");
    Ok(ExitCode::SUCCESS)
}
