//! A shell as people have it in front of a gateway: its address, credentials and folder in the environment, its program and the clients
//! in the path.

use std::path::Path;
use std::process::{Command, Output};

use conformance_tests::installed;
use conformance_tests::server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, Server, binary};

/// A shell whose current folder is `folder`.
pub struct Shell<'a> {
    server: &'a Server,
    folder: &'a Path,
    variables: Vec<(&'a str, String)>,
}

impl<'a> Shell<'a> {
    /// One in front of this gateway.
    pub fn new(server: &'a Server, folder: &'a Path) -> Self {
        Self { server, folder, variables: Vec::new() }
    }

    /// With one more variable in its environment.
    pub fn with(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Runs lines of bash, which end at the first failure.
    pub fn output(&self, lines: &str) -> Output {
        let program = binary().unwrap();
        let path = [
            installed::python().unwrap().display().to_string(),
            program.parent().unwrap().display().to_string(),
            std::env::var("PATH").unwrap(),
        ];
        // Version 1 of the CLI presigns with Signature Version 2 unless it is told otherwise; version 2 does not.
        std::fs::write(self.folder.join("config"), "[default]\ns3 =\n    signature_version = s3v4\n")
            .unwrap();
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", lines])
            .current_dir(self.folder)
            .env("PATH", path.join(":"))
            .env("AWS_ENDPOINT_URL", &self.server.endpoint)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
            .env("AWS_CONFIG_FILE", "config")
            .env("AWS_SHARED_CREDENTIALS_FILE", "none")
            .env_remove("AWS_PROFILE")
            // rclone makes no session where it is set.
            .env_remove("AWS_CA_BUNDLE")
            .env_remove("AWS_SESSION_TOKEN")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("SEALGATE_DATA", &self.server.data)
            .envs(self.variables.iter().cloned())
            .output()
            .unwrap()
    }

    /// The same where all has to succeed: what it printed.
    pub fn run(&self, lines: &str) -> String {
        let output = self.output(lines);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "{}\nprinted: {}\n{lines}",
            text(&output.stderr),
            text(&output.stdout)
        );
        text(&output.stdout)
    }
}
