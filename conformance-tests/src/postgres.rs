//! A PostgreSQL in a folder of its own, from Debian's packages, and a standby of it.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

/// How long a standby may take to catch up: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a standby is called in `pg_stat_replication`, and so in `synchronous_standby_names`.
const STANDBY: &str = "standby";

/// A server, stopped when it is dropped.
pub struct Postgres {
    folder: TempDir,
    port: u16,
    /// `NAME=VALUE`, given at each start.
    settings: Vec<String>,
}

impl Postgres {
    /// Makes one with checksums of its pages and starts it with these settings (`NAME=VALUE`).
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start(settings: &[&str]) -> anyhow::Result<Self> {
        let server = Self::prepare(settings)?;
        let made =
            ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync", "--data-checksums"];
        server.as_user("initdb", &made)?;
        server.run()?;
        Ok(server)
    }

    fn prepare(settings: &[&str]) -> anyhow::Result<Self> {
        // In memory where there is room: tests wait for the disk thousands of times. `SEALGATE_TEST_POSTGRES_DIR` names another place.
        let memory = Path::new("/dev/shm");
        let room = rustix::fs::statvfs(memory).map_or(0, |found| found.f_bavail * found.f_frsize);
        let folder = match std::env::var_os("SEALGATE_TEST_POSTGRES_DIR") {
            Some(place) => tempfile::tempdir_in(place)?,
            None if room > 1 << 30 => tempfile::tempdir_in(memory)?,
            None => tempfile::tempdir()?,
        };
        // As root it is started as the user that the package made.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777))?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        Ok(Self { folder, port, settings })
    }

    /// Starts it (again).
    ///
    /// # Errors
    /// When it does not start.
    pub fn run(&self) -> anyhow::Result<()> {
        let mut options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300 \
             -c max_locks_per_transaction=256 -c shared_buffers=64MB",
            self.port
        );
        for setting in &self.settings {
            options += &format!(" -c {setting}");
        }
        let log = self.folder.path().join("log").display().to_string();
        self.as_user("pg_ctl", &["start", "--wait", "--silent", "--log", &log, "--options", &options])
    }

    /// Makes a standby of it, starts that, and lets each commit wait for it from now on.
    ///
    /// # Errors
    /// When it does not follow in time.
    pub fn standby(&self) -> anyhow::Result<Self> {
        let mut settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        let name = format!("cluster_name={STANDBY}");
        settings.push(&name);
        let standby = Self::prepare(&settings)?;
        let source = format!("host=127.0.0.1 port={} user=postgres application_name={STANDBY}", self.port);
        standby.as_user(
            "pg_basebackup",
            &["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--dbname", &source],
        )?;
        standby.run()?;
        self.require_standby()?;
        Ok(standby)
    }

    /// Keeps every change in a folder of its own from now on, for [`Postgres::restored`]. It must run with `archive_mode=on`.
    ///
    /// # Errors
    /// When it refuses.
    pub fn archive(&self) -> anyhow::Result<()> {
        let archive = self.archive_folder();
        std::fs::create_dir(&archive)?;
        std::fs::set_permissions(&archive, PermissionsExt::from_mode(0o777))?;
        let command = format!("cp %p {}/%f", archive.display());
        self.ask("postgres", &format!("alter system set archive_command = '{command}'"))?;
        self.ask("postgres", "select pg_reload_conf()").map(drop)
    }

    fn archive_folder(&self) -> PathBuf {
        self.folder.path().join("archive")
    }

    /// A copy of it as a whole, which is not started: a base backup.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn base_backup(&self) -> anyhow::Result<Self> {
        let settings: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        let copy = Self::prepare(&settings)?;
        let source = format!("host=127.0.0.1 port={} user=postgres", self.port);
        copy.as_user("pg_basebackup", &["--checkpoint=fast", "--no-sync", "--dbname", &source])?;
        Ok(copy)
    }

    /// Starts a base backup of `original` as that was at this time (as the server's `now()` tells it), which its archive reaches.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn recover(&self, original: &Self, time: &str) -> anyhow::Result<()> {
        let data = self.folder.path().join("data");
        let archive = original.archive_folder();
        let settings = format!(
            "restore_command = 'cp {}/%f %p'\nrecovery_target_time = '{time}'\nrecovery_target_action = 'promote'\n\
             archive_command = '/bin/true'\n",
            archive.display()
        );
        let mut file = std::fs::File::options().append(true).open(data.join("postgresql.auto.conf"))?;
        file.write_all(settings.as_bytes())?;
        std::fs::write(data.join("recovery.signal"), "")?;
        self.run()?;
        let began = Instant::now();
        while self.ask("postgres", "select pg_is_in_recovery()")? != "f" {
            ensure!(began.elapsed() < PATIENCE, "it does not recover: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Lets each commit wait for the standby, and waits until that is here.
    ///
    /// # Errors
    /// When it does not follow in time.
    pub fn require_standby(&self) -> anyhow::Result<()> {
        // Of two statements at once each would be in one transaction, which this one must not be.
        self.ask("postgres", &format!("alter system set synchronous_standby_names = '{STANDBY}'"))?;
        self.ask("postgres", "select pg_reload_conf()")?;
        self.wait_for_standby()
    }

    /// Waits until a synchronous standby is here.
    ///
    /// # Errors
    /// When there is none in time.
    pub fn wait_for_standby(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.ask("postgres", "select count(*) from pg_stat_replication where sync_state = 'sync'")?
            != "1"
        {
            ensure!(began.elapsed() < PATIENCE, "the standby does not follow: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Makes a standby the primary.
    ///
    /// # Errors
    /// When it does not become one.
    pub fn promote(&self) -> anyhow::Result<()> {
        self.as_user("pg_ctl", &["promote", "--wait"])
    }

    /// Stops it as a crash would, but in order.
    ///
    /// # Errors
    /// When it does not run.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.as_user("pg_ctl", &["stop", "--mode=immediate"])
    }

    /// Kills all of its processes at once, as a power cut would.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&self) -> anyhow::Result<()> {
        use rustix::process::{Pid, Signal, kill_process};
        let file = self.folder.path().join("data/postmaster.pid");
        let told = std::fs::read_to_string(&file)?;
        let main: i32 = told.lines().next().context("an empty pid file")?.trim().parse()?;
        let mut killed = vec![main];
        kill_process(Pid::from_raw(main).context("no process id")?, Signal::KILL)?;
        // Its children are told by their parent's end, later.
        for child in self.children()? {
            let _ = kill_process(Pid::from_raw(child).context("no process id")?, Signal::KILL);
            killed.push(child);
        }
        let began = Instant::now();
        while killed.iter().any(|pid| is_running(*pid)) {
            ensure!(began.elapsed() < PATIENCE, "processes outlive their end: {killed:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        // As long as nobody has asked for how it ended, its number is in use, and another start would take it for alive.
        std::fs::remove_file(file)?;
        Ok(())
    }

    /// Its processes but for the first one.
    fn children(&self) -> anyhow::Result<Vec<i32>> {
        let data = self.folder.path().join("data");
        let mut found = Vec::new();
        for process in std::fs::read_dir("/proc")?.flatten() {
            let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let cwd = std::fs::read_link(process.path().join("cwd")).unwrap_or_default();
            if command.starts_with(b"postgres:") && cwd == data {
                found.push(pid);
            }
        }
        Ok(found)
    }

    /// CPU seconds that the processes have used which it has now.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn cpu_s(&self) -> anyhow::Result<f64> {
        let mut all = 0.0;
        for child in self.children()? {
            // One that has ended meanwhile has no more.
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            // The name in parentheses may hold blanks; fields are counted from behind it.
            let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
            all += fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0;
        }
        Ok(all)
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        url_at(self.port, database)
    }

    /// Makes a database as a map needs it.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn create(&self, database: &str) -> anyhow::Result<()> {
        create_at(self.port, database)
    }

    /// What the server answers to a statement, a row a line.
    ///
    /// # Errors
    /// When the server refuses or is away.
    pub fn ask(&self, database: &str, statement: &str) -> anyhow::Result<String> {
        ask_at(self.port, database, statement)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn as_user(&self, name: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let data = self.folder.path().join("data");
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program(name));
            command
        } else {
            Command::new(program(name))
        };
        command.arg("-D").arg(data).args(arguments).current_dir("/");
        let output =
            command.output().with_context(|| format!("{name} does not start: install postgresql"))?;
        done(name, &output).with_context(|| self.log()).map(drop)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.folder.path().join("data/postmaster.pid").exists() {
            let _ = self.stop();
        }
    }
}

/// Runs it, or has it ended, be it that its parent has not asked for that yet?
fn is_running(pid: i32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // `pid (name) state …`, where a name may hold anything.
    state.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

/// The URL of a database of a server, or of a proxy before one, on 127.0.0.1.
pub fn url_at(port: u16, database: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/{database}")
}

/// Makes a database as a map needs it in the server on this port of 127.0.0.1, unless it is there.
///
/// # Errors
/// When the server refuses or is away.
pub fn create_at(port: u16, database: &str) -> anyhow::Result<()> {
    let found = ask_at(port, "postgres", &format!("select 1 from pg_database where datname = '{database}'"))?;
    if found.is_empty() {
        let options = "template template0 lc_collate 'C' lc_ctype 'C'";
        ask_at(port, "postgres", &format!("create database {database} {options}"))?;
    }
    Ok(())
}

fn ask_at(port: u16, database: &str, statement: &str) -> anyhow::Result<String> {
    let url = url_at(port, database);
    let output = Command::new(program("psql"))
        .args(["--no-psqlrc", "--tuples-only", "--no-align", "--command", statement, &url])
        .output()
        .context("install postgresql-client")?;
    done("psql", &output)
}

fn done(name: &str, output: &Output) -> anyhow::Result<String> {
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Debian keeps servers of several versions beside each other; the newest is taken.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    found.pop().unwrap_or_else(|| PathBuf::from(name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // Tests may.
mod tests {
    use super::*;

    #[test]
    fn a_standby_has_what_was_committed_when_its_primary_dies() {
        let primary = Postgres::start(&[]).unwrap();
        primary.create("map").unwrap();
        let standby = primary.standby().unwrap();
        primary.ask("map", "create table t as select 1 as n").unwrap();
        primary.kill().unwrap();
        assert!(primary.ask("map", "select 1").is_err());
        standby.promote().unwrap();
        assert_eq!(standby.ask("map", "select n from t").unwrap(), "1");
        // What was killed starts again, beside it.
        primary.run().unwrap();
        assert_eq!(primary.ask("map", "select n from t").unwrap(), "1");
    }
}
