//! The Python clients that tests run, installed once below the build folder.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, ensure};

use crate::server::binary;

/// What is installed, with versions.
const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// The folder that holds `python` and `aws`.
///
/// # Errors
/// When there is no `python3` with `venv`, or a package cannot be installed.
pub fn programs() -> anyhow::Result<PathBuf> {
    static PROGRAMS: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let programs = PROGRAMS.get_or_init(|| install().map_err(|error| format!("{error:#}")));
    programs.clone().map_err(anyhow::Error::msg)
}

/// Installs what is not there yet. A file with the requirements is written last: what has been interrupted starts anew, and two
/// test programs at a time wait for each other.
fn install() -> anyhow::Result<PathBuf> {
    let build = binary()?.ancestors().nth(2).context("the binary is in a build folder")?.to_owned();
    let lock = std::fs::File::create(build.join("python-clients.lock"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    let (folder, marker) = (build.join("python-clients"), build.join("python-clients.txt"));
    let programs = folder.join("bin");
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == REQUIREMENTS) {
        return Ok(programs);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let requirements = build.join("python-clients.wanted");
    std::fs::write(&requirements, REQUIREMENTS)?;
    run(Command::new(programs.join("pip")).args(["install", "--quiet", "--requirement"]).arg(&requirements))?;
    std::fs::rename(&requirements, &marker)?;
    Ok(programs)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().context("python3 with venv is not installed")?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
