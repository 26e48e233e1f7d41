//! Brings what a client needs onto this system: below the build folder, or by Debian's packages where this may install them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use conformance_tests::installed;
use sha2::{Digest, Sha256};

use crate::client::SetUp;

/// Longest time for one command of a set-up, as `timeout` takes it. What is cold is compiled.
const LIMIT: &str = "20m";
/// The sources of the encryption client, from the folder of the scripts.
const ENCRYPTION_CLIENT: &str = "../../gateway/encryption-client/src";

/// Why a client can't be run.
pub enum Failure {
    /// Its tool can't be had on this system.
    Missing(String),
    /// What is the project's own does not build.
    Broken(anyhow::Error),
}

type Result<T> = std::result::Result<T, Failure>;

fn missing(error: anyhow::Error) -> Failure {
    Failure::Missing(format!("{error:#}"))
}

/// The folder of the scripts.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

impl SetUp {
    /// Makes it, and answers the client's `{home}`.
    pub fn make(self) -> Result<PathBuf> {
        match self {
            Self::Python => installed::python().map_err(missing),
            Self::PythonOf(name) => {
                let requirements = scripts().join("python").join(format!("{name}.txt"));
                let wanted =
                    std::fs::read_to_string(requirements).map_err(|error| Failure::Broken(error.into()))?;
                installed::python_packages(&format!("clients/python-{name}"), &wanted).map_err(missing)
            }
            Self::Node => {
                needs("node")?;
                installed::node().map_err(missing)
            }
            Self::Go => built("go", "go", None, |folder, home| {
                let build = |arguments: &[&str]| run(go(home).args(arguments).current_dir(folder));
                build(&["mod", "download"]).map_err(missing)?;
                let bin = format!("{}/bin/", home.display());
                build(&["build", "-o", &bin, "./aws", "./minio"]).map_err(Failure::Broken)
            }),
            Self::GoProgram(module) => {
                needs("go")?;
                let name = module.rsplit_once('@').map_or(module, |(path, _)| path);
                let name = name.trim_end_matches("/v2").rsplit('/').next().unwrap_or(name);
                let make = |home: &Path, _: &Path| {
                    run(go(home).env("GOBIN", home.join("bin")).args(["install", module]))?;
                    // What it was made from is many times larger.
                    run(go(home).args(["clean", "-modcache"]))
                };
                installed::install(&format!("clients/{name}"), module, make).map_err(missing)
            }
            Self::Maven => {
                needs("java")?;
                built("mvn", "java", None, |folder, home| {
                    let copied = || {
                        std::fs::create_dir_all(home)?;
                        run(Command::new("cp").args(["-r", "pom.xml", "src"]).arg(home).current_dir(folder))
                    };
                    copied().map_err(Failure::Broken)?;
                    let maven = |goal: &str| {
                        let repository = format!("-Dmaven.repo.local={}", home.join("repository").display());
                        run(limited("mvn")
                            .args(["--quiet", "--batch-mode", &repository, goal])
                            .current_dir(home))
                    };
                    maven("dependency:go-offline").map_err(missing)?;
                    maven("compile").map_err(Failure::Broken)
                })
            }
            Self::Cargo(name) => cargo(name, None),
            Self::EncryptionClient(name) => cargo(name, Some(ENCRYPTION_CLIENT)),
            Self::Debian(programs) => debian(programs).map(|()| PathBuf::new()),
        }
    }
}

/// Builds the package in a folder of `clients`.
fn cargo(name: &str, beside: Option<&str>) -> Result<PathBuf> {
    built("cargo", name, beside, |folder, home| {
        let cargo = |arguments: &[&str]| {
            run(limited("cargo").args(arguments).env("CARGO_TARGET_DIR", home).current_dir(folder))
        };
        cargo(&["fetch", "--locked"]).map_err(missing)?;
        cargo(&["build", "--locked"]).map_err(Failure::Broken)
    })
}

/// What the sources in a folder of `clients`, and in one beside it, make, once for each state of them, by a program that must be there.
fn built(
    program: &str,
    name: &str,
    beside: Option<&str>,
    make: impl FnOnce(&Path, &Path) -> Result<()>,
) -> Result<PathBuf> {
    needs(program)?;
    let folder = scripts().join(name);
    let mut digest = Sha256::new();
    for folder in [Some(name), beside].into_iter().flatten() {
        digest_folder(&scripts().join(folder), &mut digest).map_err(Failure::Broken)?;
    }
    let mut failure = None;
    let done = installed::install(&format!("clients/{name}"), &hex::encode(digest.finalize()), |home, _| {
        make(&folder, home).map_err(|error| {
            failure = Some(error);
            anyhow::anyhow!("it is told by `failure`")
        })
    });
    done.map_err(|error| failure.unwrap_or(Failure::Broken(error)))
}

fn digest_folder(folder: &Path, digest: &mut Sha256) -> anyhow::Result<()> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            digest_folder(&path, digest)?;
        } else {
            digest.update(path.to_string_lossy().as_bytes());
            digest.update(std::fs::read(path)?);
        }
    }
    Ok(())
}

/// Installs the packages of those programs that are not there, as root or by a sudo that asks for no password.
fn debian(programs: &[(&str, &str)]) -> Result<()> {
    let absent = || programs.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package);
    if absent().next().is_none() {
        return Ok(());
    }
    let packages: Vec<_> = absent().collect();
    let line = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    if !is_there("apt-get") {
        return Err(Failure::Missing(format!("install what brings it; on Debian: {line}")));
    }
    let may = rustix::process::geteuid().is_root();
    if !may && !succeeds(Command::new("sudo").args(["-n", "true"])) {
        return Err(Failure::Missing(format!("install it: sudo {line}")));
    }
    for step in ["apt-get update -q", &format!("DEBIAN_FRONTEND=noninteractive {line}")] {
        let mut command = limited(if may { "sh" } else { "sudo" });
        if !may {
            command.args(["-n", "sh"]);
        }
        run(command.args(["-c", step])).map_err(missing)?;
    }
    match absent().next() {
        None => Ok(()),
        Some(package) => Err(Failure::Missing(format!("the package {package} does not bring it"))),
    }
}

fn needs(program: &str) -> Result<()> {
    if is_there(program) { Ok(()) } else { Err(Failure::Missing(format!("there is no {program}"))) }
}

fn is_there(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Go, with all that it keeps below this folder, where it may be removed.
fn go(home: &Path) -> Command {
    let mut command = limited("go");
    command.env("GOPATH", home.join("path")).env("GOCACHE", home.join("cache")).env("GOFLAGS", "-modcacherw");
    command
}

fn limited(program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args([LIMIT, program]).stdin(Stdio::null());
    command
}

/// As [`installed::run`], with the last lines of both outputs where it fails.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?} does not start"))?;
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    let lines: Vec<_> = told.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    ensure!(output.status.success(), "{}", lines[lines.len().saturating_sub(4)..].join(" "));
    Ok(())
}
