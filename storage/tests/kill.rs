//! A process that commits is killed at random moments; whatever it was told is committed must be there.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use storage::kv::sled::{SledConfig, SledKv};
use storage::kv::{Condition, KeyValue, Transaction, Write};

const WRITERS: usize = 8;
const DIR: &str = "SEALGATE_KILL_TEST_DIR";

fn open(dir: &Path) -> SledKv {
    SledKv::open(&SledConfig { head: Some(dir.join("own")), ..SledConfig::new(dir, 8 << 20) })
        .expect("the store opens")
}

fn item(writer: usize, number: u64) -> Bytes {
    format!("item/{writer}/{:04}", number % 500).into()
}

fn last(writer: usize) -> Bytes {
    format!("last/{writer}").into()
}

/// Some are long enough to be split.
fn value(writer: usize, number: u64) -> Bytes {
    let len = if number.is_multiple_of(10) { 15_000 } else { 400 };
    format!("{writer}-{number};").repeat(len / 8).into()
}

async fn number_at(kv: &SledKv, writer: usize) -> (u64, Option<storage::kv::Entry>) {
    let entry = kv.get(&[last(writer)]).await.expect("a read").remove(0);
    let text = entry.as_ref().map(|entry| String::from_utf8(entry.value.to_vec()).expect("text"));
    (text.map_or(0, |text| text.parse().expect("a number")), entry)
}

/// The child: commits without end, and says what was acknowledged.
#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    runtime.block_on(async {
        let kv = Arc::new(open(Path::new(&dir)));
        let tasks: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let kv = kv.clone();
                tokio::spawn(async move {
                    for _ in 0..u64::MAX {
                        let (number, entry) = number_at(&kv, writer).await;
                        let next = number + 1;
                        let condition = match entry {
                            None => Condition::Absent(last(writer)),
                            Some(entry) => Condition::At(last(writer), entry.revision),
                        };
                        let writes = vec![
                            Write::Put(item(writer, next), value(writer, next)),
                            Write::Put(last(writer), next.to_string().into()),
                        ];
                        let transaction = Transaction { conditions: vec![condition], writes };
                        kv.commit(transaction).await.expect("a commit");
                        // One write call: lines of several writers do not mix.
                        let line = format!("ack {writer} {next}\n");
                        std::io::stdout().write_all(line.as_bytes()).expect("the parent listens");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a task");
        }
    });
}

#[tokio::test]
async fn acknowledged_commits_survive_a_kill() {
    let dir = tempfile::tempdir().expect("a folder");
    let rounds = std::env::var("SEALGATE_KILL_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let mut acknowledged = [0_u64; WRITERS];
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let output = child.stdout.take().expect("its output");
        let reader = std::thread::spawn(move || {
            let mut acknowledged = [0_u64; WRITERS];
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // The test harness writes to this line as well.
                let Some(at) = line.find("ack ") else { continue };
                let words: Vec<&str> = line[at..].split(' ').collect();
                if let [_, writer, number] = words[..]
                    && let (Ok(writer), Ok(number)) = (writer.parse::<usize>(), number.parse())
                {
                    acknowledged[writer] = number;
                }
            }
            acknowledged
        });
        let jitter = u64::from(std::process::id()).wrapping_mul(round as u64 * 7919 + 13) % 400;
        std::thread::sleep(Duration::from_millis(150 + jitter));
        child.kill().expect("a kill");
        child.wait().expect("its end");
        let told = reader.join().expect("a reader");
        let kv = open(dir.path());
        for writer in 0..WRITERS {
            acknowledged[writer] = acknowledged[writer].max(told[writer]);
            let (number, _) = number_at(&kv, writer).await;
            assert!(number >= acknowledged[writer], "round {round}: writer {writer} lost a commit");
            for number in (number.saturating_sub(498)..=number).filter(|&number| number > 0) {
                let found = kv.get(&[item(writer, number)]).await.expect("a read").remove(0);
                let found = found.unwrap_or_else(|| panic!("round {round}: item {writer}/{number} is gone"));
                assert!(
                    found.value == value(writer, number),
                    "round {round}: item {writer}/{number} is another"
                );
            }
        }
    }
    let total: u64 = acknowledged.iter().sum();
    println!("{rounds} kills, {total} acknowledged commits, none missing");
    assert!(total > 0, "nothing was written between the kills");
}
