//! Runs a client against a gateway of its own, for a bounded time, and reads from its lines how each mode ended.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use conformance_tests::caller::{Caller, Credentials};
use conformance_tests::installed;
use conformance_tests::seaweedfs::{self, Seaweedfs};
use conformance_tests::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server};
use http::Method;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::client::{Client, Mode, SetUp};
use crate::set_up::{Failure, scripts};

/// Longest time that a client has for all of its modes.
const LIMIT: Duration = Duration::from_secs(300);
const BUCKET: &str = "clients";
/// How much is told of why a client did not do what it should.
const TOLD_LEN: usize = 1000;

/// How a mode of a client ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All was as it should be.
    Ok,
    /// Something was not.
    Failed(String),
    /// The client can't be had on this system.
    Skipped(String),
}

/// How a client's modes ended.
pub type Outcomes = BTreeMap<&'static str, Outcome>;

impl Client {
    /// Sets it up and runs it; tells each mode's outcome as soon as it is known.
    pub async fn run(&self, tell: impl Fn(Mode, &Outcome)) -> Outcomes {
        let set_up = self.set_up;
        let made = tokio::task::spawn_blocking(move || set_up.make()).await;
        let all = |outcome: &Outcome| self.modes.iter().map(|mode| (mode.name(), outcome.clone())).collect();
        let home = match made {
            Ok(Ok(home)) => home,
            Ok(Err(Failure::Missing(why))) => return all(&Outcome::Skipped(why)),
            Ok(Err(Failure::Broken(error))) => return all(&Outcome::Failed(format!("{error:#}"))),
            Err(error) => return all(&Outcome::Failed(error.to_string())),
        };
        let mut outcomes = Outcomes::new();
        let failure = match self.run_in(&home, &mut outcomes, tell).await {
            Ok(()) => "it did not say".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        for mode in self.modes {
            outcomes.entry(mode.name()).or_insert_with(|| Outcome::Failed(failure.clone()));
        }
        outcomes
    }

    async fn run_in(
        &self,
        home: &Path,
        outcomes: &mut Outcomes,
        tell: impl Fn(Mode, &Outcome),
    ) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        // A database server is another user's.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o711))?;
        let gateway = Gateway::start(folder.path(), self.tls).await?;
        let other = matches!(self.set_up, SetUp::EncryptionClient(_)).then(Seaweedfs::start).transpose()?;
        let work = folder.path().join("work");
        std::fs::create_dir(&work)?;
        let log = folder.path().join("client.log");
        let fill = |text: &str| {
            text.replace("{home}", &home.to_string_lossy()).replace("{clients}", &scripts().to_string_lossy())
        };
        let mut command = Command::new(fill(self.command[0]));
        // What this system tells SDKs is about somebody else.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"AWS_") {
                command.env_remove(name);
            }
        }
        command
            .args(self.command[1..].iter().map(|argument| fill(argument)))
            .current_dir(&work)
            .envs(gateway.variables()?)
            .envs(other.iter().flat_map(variables_of))
            .env("CLIENT_HOME", home)
            .env("CLIENT_WORK", &work)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .process_group(0);
        let mut group =
            Group(command.spawn().with_context(|| format!("{} does not start", self.command[0]))?);
        let lines = async {
            let mut lines = BufReader::new(group.0.stdout.take().context("its output is piped")?).lines();
            while let Some(line) = lines.next_line().await? {
                let Some((name, told)) = line.split_once(": ") else { continue };
                let Some(mode) = self.modes.iter().find(|mode| mode.name() == name) else { continue };
                let outcome = match told {
                    "ok" => Outcome::Ok,
                    _ => {
                        Outcome::Failed(told.trim_start_matches("failed: ").chars().take(TOLD_LEN).collect())
                    }
                };
                tell(*mode, &outcome);
                outcomes.insert(mode.name(), outcome);
            }
            anyhow::Ok(group.0.wait().await?)
        };
        let ended = tokio::time::timeout(LIMIT, lines)
            .await
            .with_context(|| format!("it took more than {LIMIT:?}"))??;
        ensure!(ended.success(), "{ended}: {}", end_of(&log)?);
        Ok(())
    }
}

/// A client's process and all that it started, ended with it.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// A gateway with an empty bucket and a KMS key, both made over plain HTTP before it serves TLS.
struct Gateway {
    server: Server,
    kms_key: String,
    certificate: Option<PathBuf>,
}

impl Gateway {
    async fn start(folder: &Path, tls: bool) -> anyhow::Result<Self> {
        let data = folder.join("data");
        let mut server = Server::start_on(&data, &[])?;
        let mut caller = Caller::open(&server.endpoint, Credentials::root()).await?;
        caller.s3(Method::PUT, &format!("/{BUCKET}"), "").await?.success()?;
        let made = caller.kms("CreateKey", &serde_json::json!({})).await?.success()?;
        let made: serde_json::Value = serde_json::from_slice(&made.body)?;
        let kms_key = made["KeyMetadata"]["Arn"].as_str().context("CreateKey answers an ARN")?.to_owned();
        if !tls {
            return Ok(Self { server, kms_key, certificate: None });
        }
        drop(caller);
        server.stop()?;
        let (certificate, private_key) = (folder.join("certificate.pem"), folder.join("private-key.pem"));
        let mut openssl = std::process::Command::new("openssl");
        openssl.args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ]);
        openssl.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
        installed::run(openssl.arg("-out").arg(&certificate).arg("-keyout").arg(&private_key))?;
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let arguments = ["--tls-cert", &path(&certificate), "--tls-key", &path(&private_key)];
        let server = Server::start_on(&data, &arguments)?;
        Ok(Self { server, kms_key, certificate: Some(certificate) })
    }

    /// What a client is told, by the names that it looks for.
    fn variables(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let aws = installed::python()?.join("aws").to_string_lossy().into_owned();
        let mut variables: Vec<(&str, String)> = [
            ("AWS_ENDPOINT_URL", &*self.server.endpoint),
            ("AWS_REGION", "us-east-1"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
            ("AWS_CONFIG_FILE", "none"),
            ("AWS_SHARED_CREDENTIALS_FILE", "none"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("CLIENT_BUCKET", BUCKET),
            ("CLIENT_KMS_KEY", &*self.kms_key),
            ("CLIENT_AWS", &*aws),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into();
        if let Some(certificate) = &self.certificate {
            let names = ["AWS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "CLIENT_CA"];
            variables.extend(names.map(|name| (name, certificate.to_string_lossy().into_owned())));
        }
        Ok(variables)
    }
}

/// What a client is told of the other S3. Its credentials are the gateway's: that one takes any.
fn variables_of(other: &Seaweedfs) -> [(&'static str, String); 2] {
    [("CLIENT_OTHER_ENDPOINT", other.endpoint()), ("CLIENT_OTHER_BUCKET", seaweedfs::BUCKET.to_owned())]
}

/// The end of a file, in one line.
fn end_of(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(path)?;
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TOLD_LEN)..]).into_owned();
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}
