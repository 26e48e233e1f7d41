//! PostgreSQL under Patroni and etcd, from Debian's packages, all on this machine: what fails over by itself. Its configuration is the
//! one that `deploy/patroni/patroni.yaml` shows, with addresses of this machine.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What every node is made of.
const EXAMPLE: &str = include_str!("../../deploy/patroni/patroni.yaml");
/// The password of `postgres`, as the example has it.
const PASSWORD: &str = "superuser-password";
/// How long a cluster may take to come about: the machine may be busy.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Room that a folder in memory must leave.
const ROOM: u64 = 4 << 30;

/// A running cluster; all of it is killed when it is dropped.
pub struct Patroni {
    etcd: Child,
    nodes: Vec<Node>,
    folder: TempDir,
    /// User and group that PostgreSQL runs as, where this is root.
    user: Option<(u32, u32)>,
}

struct Node {
    process: Option<Child>,
    port: u16,
    rest_port: u16,
    folder: PathBuf,
}

/// A node as the cluster sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which one: counted from 0.
    pub node: usize,
    /// `leader`, `sync_standby`, `replica`, …
    pub role: String,
    /// `running`, `streaming`, `start failed`, …
    pub state: String,
}

impl Patroni {
    /// Starts a cluster of so many nodes, and waits for a primary with a synchronous standby (of one node: for a primary, which then
    /// takes no writes).
    ///
    /// # Errors
    /// When patroni, etcd or PostgreSQL is not installed, or does not come up.
    pub fn start(nodes: usize) -> anyhow::Result<Self> {
        let memory = Path::new("/dev/shm");
        let room = rustix::fs::statvfs(memory).map_or(0, |found| found.f_bavail * found.f_frsize);
        let folder = if room > ROOM { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? };
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755))?;
        let user = rustix::process::geteuid().is_root().then(|| user_of("postgres")).transpose()?;
        let (etcd_port, peer_port) = (free_port()?, free_port()?);
        let (client, peer) =
            (format!("http://127.0.0.1:{etcd_port}"), format!("http://127.0.0.1:{peer_port}"));
        let etcd = Command::new("etcd")
            .args(["--name", "etcd", "--data-dir"])
            .arg(folder.path().join("etcd"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("etcd={peer}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("etcd.log"))?)
            .spawn()
            .context("install etcd-server")?;
        let mut cluster = Self { etcd, nodes: Vec::new(), folder, user };
        for number in 0..nodes {
            let node = Node {
                process: None,
                port: free_port()?,
                rest_port: free_port()?,
                folder: cluster.folder.path().join(format!("db{}", number + 1)),
            };
            std::fs::create_dir(&node.folder)?;
            std::fs::set_permissions(&node.folder, PermissionsExt::from_mode(0o700))?;
            std::fs::write(node.folder.join("patroni.yaml"), configuration(&node, number, etcd_port)?)?;
            if let Some((user, group)) = cluster.user {
                chown(&node.folder, Some(user), Some(group))?;
            }
            cluster.nodes.push(node);
            cluster.run(number)?;
            if number == 0 {
                cluster.wait_for(START_TIMEOUT, |members| members.iter().any(is_running_leader))?;
            }
        }
        if nodes > 1 {
            cluster.wait_until_synchronous(START_TIMEOUT)?;
        }
        Ok(cluster)
    }

    /// Runs the agent of a node, which runs its PostgreSQL.
    ///
    /// # Errors
    /// When it does not start.
    pub fn run(&mut self, node: usize) -> anyhow::Result<()> {
        let it = &mut self.nodes[node];
        ensure!(it.process.is_none(), "node {node} runs");
        let mut command = Command::new("patroni");
        command
            .arg(it.folder.join("patroni.yaml"))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::options().append(true).create(true).open(it.folder.join("log"))?);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        it.process = Some(command.spawn().context("install patroni")?);
        Ok(())
    }

    /// Kills a node as a power cut would: its agent and every process of its PostgreSQL, at once.
    ///
    /// # Errors
    /// When a process can't be killed.
    pub fn kill(&mut self, node: usize) -> anyhow::Result<()> {
        let it = &mut self.nodes[node];
        let Some(mut agent) = it.process.take() else { return Ok(()) };
        agent.kill()?;
        it.kill_server();
        agent.wait()?;
        Ok(())
    }

    /// Kills the PostgreSQL of a node, and not its agent: that sees to it that another takes over.
    ///
    /// # Errors
    /// When there is none.
    pub fn kill_server(&self, node: usize) -> anyhow::Result<()> {
        ensure!(self.nodes[node].kill_server(), "node {node} has no PostgreSQL");
        Ok(())
    }

    /// What the cluster says of its nodes. None answers: empty.
    pub fn members(&self) -> Vec<Member> {
        let answers = self.nodes.iter().filter(|node| node.process.is_some());
        let answer = answers.filter_map(|node| ask(node.rest_port, "GET", "/cluster", None).ok()).next();
        let answer =
            answer.and_then(|(_, text)| serde_json::from_str::<Value>(&text).ok()).unwrap_or_default();
        let text = |member: &Value, name: &str| member[name].as_str().unwrap_or_default().to_owned();
        let members = answer["members"].as_array().map_or(&[][..], Vec::as_slice).iter();
        members
            .filter_map(|member| {
                let number: usize = member["name"].as_str()?.strip_prefix("db")?.parse().ok()?;
                Some(Member {
                    node: number.checked_sub(1)?,
                    role: text(member, "role"),
                    state: text(member, "state"),
                })
            })
            .collect()
    }

    /// The node that takes writes now.
    pub fn primary(&self) -> Option<usize> {
        let is_primary = |node: &Node| matches!(ask(node.rest_port, "GET", "/primary", None), Ok((200, _)));
        // While it is promoted it has the lock, and takes no writes yet.
        let is_open =
            |node| self.ask(node, "postgres", "select pg_is_in_recovery()").is_ok_and(|it| it == "f");
        (0..self.nodes.len()).find(|&node| {
            self.nodes[node].process.is_some() && is_primary(&self.nodes[node]) && is_open(node)
        })
    }

    /// Waits until another node than this one takes writes; answers which, and after how long.
    ///
    /// # Errors
    /// When none does in this time.
    pub fn wait_for_primary_but(
        &self,
        former: Option<usize>,
        limit: Duration,
    ) -> anyhow::Result<(usize, Duration)> {
        let began = Instant::now();
        loop {
            match self.primary() {
                Some(node) if Some(node) != former => return Ok((node, began.elapsed())),
                _ if began.elapsed() > limit => bail!("no other primary: {:?}{}", self.members(), self.log()),
                _ => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Waits until a synchronous standby follows the primary.
    ///
    /// # Errors
    /// When none does in this time.
    pub fn wait_until_synchronous(&self, limit: Duration) -> anyhow::Result<()> {
        self.wait_for(limit, |members| {
            members.iter().any(is_running_leader)
                && members
                    .iter()
                    .any(|it| it.role == "sync_standby" && matches!(&*it.state, "running" | "streaming"))
        })
    }

    /// Lets the synchronous standby take over in order, as an operator would before work on the primary's machine.
    ///
    /// # Errors
    /// When it is refused.
    pub fn switch_over(&self) -> anyhow::Result<()> {
        let from = self.primary().context("there is no primary")?;
        let next = self.members().into_iter().find(|member| member.role == "sync_standby");
        let next = next.context("there is no synchronous standby")?.node;
        let wish = json!({ "leader": format!("db{}", from + 1), "candidate": format!("db{}", next + 1) });
        let (status, answer) =
            ask(self.nodes[from].rest_port, "POST", "/switchover", Some(&wish.to_string()))?;
        ensure!(status == 200, "{status} {answer}");
        Ok(())
    }

    /// Where the map is: all nodes, of which the one is used that takes writes.
    pub fn url(&self, database: &str) -> String {
        let hosts: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("postgres://postgres:{PASSWORD}@{}/{database}", hosts.join(","))
    }

    /// Where one node's PostgreSQL listens.
    pub fn port(&self, node: usize) -> u16 {
        self.nodes[node].port
    }

    /// Makes a database as a map needs it.
    ///
    /// # Errors
    /// When the primary refuses.
    pub fn create(&self, database: &str) -> anyhow::Result<()> {
        let statement = format!("create database {database} template template0 lc_collate 'C' lc_ctype 'C'");
        let primary = self.primary().context("there is no primary")?;
        self.ask(primary, "postgres", &statement).map(drop)
    }

    /// What a node's PostgreSQL answers to a statement.
    ///
    /// # Errors
    /// When it refuses, or does not run.
    pub fn ask(&self, node: usize, database: &str, statement: &str) -> anyhow::Result<String> {
        let url = format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/{database}", self.nodes[node].port);
        let output = Command::new(program("psql"))
            .args(["--no-psqlrc", "--tuples-only", "--no-align", "--command", statement, &url])
            .env("PGCONNECT_TIMEOUT", "5")
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    fn wait_for(&self, limit: Duration, is_so: impl Fn(&[Member]) -> bool) -> anyhow::Result<()> {
        let began = Instant::now();
        while !is_so(&self.members()) {
            ensure!(
                began.elapsed() < limit,
                "the cluster does not come up: {:?}{}",
                self.members(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// The end of what the agents logged.
    fn log(&self) -> String {
        let logs = self
            .nodes
            .iter()
            .map(|node| std::fs::read_to_string(node.folder.join("log")).unwrap_or_default());
        let end = |log: String| {
            let lines: Vec<&str> = log.lines().collect();
            lines[lines.len().saturating_sub(12)..].join("\n")
        };
        logs.map(|log| format!("\n---\n{}", end(log))).collect()
    }
}

impl Node {
    /// Kills the server with all its processes; false: there is none.
    fn kill_server(&self) -> bool {
        let file = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        let Some(server) = file.lines().next().and_then(|line| line.parse().ok()) else { return false };
        let children = std::fs::read_to_string(format!("/proc/{server}/task/{server}/children"));
        let children = children.unwrap_or_default();
        let pids =
            std::iter::once(server).chain(children.split_whitespace().filter_map(|pid| pid.parse().ok()));
        let mut killed = false;
        for pid in pids.filter_map(rustix::process::Pid::from_raw) {
            killed |= rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok();
        }
        killed
    }
}

impl Drop for Patroni {
    fn drop(&mut self) {
        for node in 0..self.nodes.len() {
            let _ = self.kill(node);
        }
        let _ = self.etcd.kill();
        let _ = self.etcd.wait();
    }
}

fn is_running_leader(member: &Member) -> bool {
    member.role == "leader" && member.state == "running"
}

/// The example with what is this node's; each of its parts must be there.
fn configuration(node: &Node, number: usize, etcd_port: u16) -> anyhow::Result<String> {
    let folder = node.folder.display();
    let (own, rest) = (format!("127.0.0.1:{}", node.port), format!("127.0.0.1:{}", node.rest_port));
    let changes = [
        ("name: db1", format!("name: db{}", number + 1)),
        ("10.0.0.1:8008", rest),
        ("[10.0.0.1:2379, 10.0.0.2:2379, 10.0.0.3:2379]", format!("[127.0.0.1:{etcd_port}]")),
        ("10.0.0.1:5432", own),
        ("/var/lib/postgresql/15/sealgate", format!("{folder}/data")),
        (
            "/usr/lib/postgresql/15/bin",
            program("postgres").parent().context("it has a folder")?.display().to_string(),
        ),
        ("/var/lib/postgresql/patroni.pgpass", format!("{folder}/pgpass")),
        ("10.0.0.0/24", "127.0.0.1/32".to_owned()),
        ("/var/run/postgresql", folder.to_string()),
        ("wal_keep_size: 1GB", "wal_keep_size: 128MB".to_owned()),
    ];
    let mut text = EXAMPLE.to_owned();
    for (example, here) in changes {
        ensure!(text.contains(example), "the example lacks {example}");
        text = text.replace(example, &here);
    }
    Ok(text)
}

/// Asks an agent over HTTP: status and body.
fn ask(port: u16, method: &str, path: &str, body: Option<&str>) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    // A switchover is answered when it is over.
    stream.set_read_timeout(Some(Duration::from_secs(if body.is_some() { 60 } else { 5 })))?;
    let body = body.unwrap_or_default();
    let len = body.len();
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {len}\r\n\r\n{body}")?;
    let mut answer = String::new();
    stream.take(1 << 20).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
    let status =
        head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    Ok((status, body.to_owned()))
}

/// Id and group of a user of this machine.
fn user_of(name: &str) -> anyhow::Result<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd")?;
    let mut fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = fields.find(|fields| fields.first() == Some(&name)).context("install postgresql")?;
    let number = |at: usize| found.get(at).and_then(|field| field.parse().ok());
    number(2).zip(number(3)).context("a line of /etc/passwd")
}

/// A port that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Debian keeps servers of several versions beside each other; the newest is taken.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|path| path.exists());
    found.sort();
    found.pop().unwrap_or_else(|| PathBuf::from(name))
}
