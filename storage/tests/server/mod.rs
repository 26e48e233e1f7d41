//! A PostgreSQL of one test, in a folder of its own, from Debian's packages.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

pub struct Server {
    folder: TempDir,
    port: u16,
    settings: Vec<String>,
}

impl Server {
    pub fn start(settings: &[&str]) -> Self {
        // In memory where there is room: these tests wait for the disk thousands of times.
        let memory = Path::new("/dev/shm");
        let room = rustix::fs::statvfs(memory).map_or(0, |found| found.f_bavail * found.f_frsize);
        let folder = if room > 1 << 30 { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let server = Self { folder, port, settings };
        // As root it is started as the user that the package made.
        std::fs::set_permissions(server.folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
        server.as_user("initdb", &["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync"]);
        server.run();
        server
    }

    pub fn run(&self) {
        let mut options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200",
            self.port
        );
        for setting in &self.settings {
            options += &format!(" -c {setting}");
        }
        let log = self.folder.path().join("log").display().to_string();
        self.as_user("pg_ctl", &["start", "--wait", "--silent", "--log", &log, "--options", &options]);
    }

    pub fn stop(&self) {
        self.as_user("pg_ctl", &["stop", "--mode=immediate"]);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, database: &str) -> String {
        self.url_at(database, self.port)
    }

    pub fn url_at(&self, database: &str, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/{database}")
    }

    /// Makes a database as a map needs it.
    pub fn create(&self, database: &str) {
        self.ask(
            "postgres",
            &format!("create database {database} template template0 lc_collate 'C' lc_ctype 'C'"),
        );
    }

    /// What the server answers to a statement.
    pub fn ask(&self, database: &str, statement: &str) -> String {
        let output = Command::new(program("psql"))
            .args(["--no-psqlrc", "--tuples-only", "--no-align", "--command", statement, &self.url(database)])
            .output();
        done(output.unwrap())
    }

    fn as_user(&self, name: &str, arguments: &[&str]) {
        let data = self.folder.path().join("data");
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program(name));
            command
        } else {
            Command::new(program(name))
        };
        done(command.arg("-D").arg(data).args(arguments).current_dir("/").output().unwrap());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.folder.path().join("data/postmaster.pid").exists() {
            self.stop();
        }
    }
}

fn done(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Debian keeps servers of several versions beside each other; the newest is taken.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    found.pop().unwrap_or_else(|| PathBuf::from(name))
}
