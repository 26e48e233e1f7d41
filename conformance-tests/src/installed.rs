//! The Python and JavaScript clients that tests run, installed once below the build folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, ensure};

use crate::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server, binary};

/// The Python packages, with versions.
const REQUIREMENTS: &str = include_str!("../requirements.txt");
/// The JavaScript packages, and the versions of all that they need.
const PACKAGES: (&str, &str) =
    (include_str!("../clients/js/package.json"), include_str!("../clients/js/package-lock.json"));

/// The folder that holds `python` and `aws`.
///
/// # Errors
/// When there is no `python3` with `venv`, or a package cannot be installed.
pub fn python() -> anyhow::Result<PathBuf> {
    static FOLDER: Installed = OnceLock::new();
    once(&FOLDER, || python_packages("python-clients", REQUIREMENTS))
}

/// The folder that holds the `python` of an environment of this name with these packages (one a line, with versions).
///
/// # Errors
/// When there is no `python3` with `venv`, or a package cannot be installed.
pub fn python_packages(name: &str, requirements: &str) -> anyhow::Result<PathBuf> {
    let folder = install(name, requirements, |folder, wanted| {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
        run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "--requirement"]).arg(wanted))
    });
    Ok(folder?.join("bin"))
}

/// Runs a Python script against an endpoint, with the credentials of started gateways; answers what it printed.
///
/// # Errors
/// When it does not succeed, with what it wrote to standard error.
pub fn run_python(endpoint: &str, script: &str) -> anyhow::Result<String> {
    let mut command = Command::new(python()?.join("python"));
    let environment = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
    ];
    let output = command.args(["-c", script]).envs(environment).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Runs one of the scripts in `clients` against a gateway, with its root user's credentials and these further variables.
///
/// # Errors
/// When it does not succeed, with what it wrote.
pub fn run_client(server: &Server, script: &str, variables: &[(&str, String)]) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let output = Command::new(python()?.join("python"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(script))
        .current_dir(folder.path())
        .env("AWS_ENDPOINT_URL", &server.endpoint)
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
        .env("AWS_CONFIG_FILE", "none")
        .envs(variables.iter().cloned())
        .output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    Ok(())
}

/// The folder that holds `node_modules`.
///
/// # Errors
/// When there is no `npm`, or a package cannot be installed.
pub fn node() -> anyhow::Result<PathBuf> {
    static FOLDER: Installed = OnceLock::new();
    let (packages, lock) = PACKAGES;
    let make = |folder: &Path, _: &Path| {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("package.json"), packages)?;
        std::fs::write(folder.join("package-lock.json"), lock)?;
        run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--silent"]).current_dir(folder))
    };
    once(&FOLDER, || install("node-clients", &format!("{packages}{lock}"), make))
}

type Installed = OnceLock<Result<PathBuf, String>>;

/// What has been made in this process is not looked for again.
fn once(installed: &Installed, make: impl FnOnce() -> anyhow::Result<PathBuf>) -> anyhow::Result<PathBuf> {
    let folder = installed.get_or_init(|| make().map_err(|error| format!("{error:#}")));
    folder.clone().map_err(anyhow::Error::msg)
}

/// Installs what is not there yet into a folder of this name below the build folder, and answers that folder. `make` gets it, and a file
/// that says what was `wanted`. That file stays beside once all is there: what has been interrupted starts anew, and two programs at a
/// time wait for each other.
///
/// # Errors
/// When `make` fails, or the folder can't be written.
pub fn install(
    name: &str,
    wanted: &str,
    make: impl FnOnce(&Path, &Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let build = binary()?.ancestors().nth(2).context("the binary is in a build folder")?.to_owned();
    let folder = build.join(name);
    std::fs::create_dir_all(folder.parent().context("it is below the build folder")?)?;
    let lock = std::fs::File::create(build.join(format!("{name}.lock")))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    let marker = build.join(format!("{name}.txt"));
    if std::fs::read_to_string(&marker).is_ok_and(|there| there == wanted) {
        return Ok(folder);
    }
    let file = build.join(format!("{name}.wanted"));
    std::fs::write(&file, wanted)?;
    make(&folder, &file)?;
    std::fs::rename(&file, &marker)?;
    Ok(folder)
}

/// Runs a command to its end.
///
/// # Errors
/// When it does not start or does not succeed, with what it wrote to standard error.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?} does not start: is it installed?"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
