//! How fast the embedded metadata engine is: `cargo run --release -p storage --example kv -- DIR`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use storage::kv::sled::{SledConfig, SledKv};
use storage::kv::{Condition, Direction, KeyRange, KeyValue, Transaction, Write};

fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")).unwrap_or_default()
}

fn name(number: u64) -> Bytes {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
    format!("H0123456789abcdef/some/prefix/object-{spread:08}-{number:08}").into()
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let dir: PathBuf = std::env::args().nth(1).expect("a folder").into();
    let cache_mib: u64 = std::env::args().nth(3).map_or(64, |n| n.parse().expect("a number"));
    let count: u64 = std::env::args().nth(2).map_or(200_000, |n| n.parse().expect("a number"));
    println!("rss before open {}", memory());
    let scans: u64 = std::env::args().nth(4).map_or(200, |n| n.parse().expect("a number"));
    let opened = Instant::now();
    let kv = Arc::new(SledKv::open(&SledConfig::new(dir, cache_mib << 20)).expect("it opens"));
    println!("open {:?}, rss {}", opened.elapsed(), memory());

    let value = Bytes::from(vec![b'v'; 427]);
    let began = Instant::now();
    let tasks: Vec<_> = (0..16)
        .map(|task| {
            let (kv, value) = (kv.clone(), value.clone());
            tokio::spawn(async move {
                for chunk in 0..count / 16 / 100 {
                    let first = (task * (count / 16)) + chunk * 100;
                    let writes = (first..first + 100).map(|n| Write::Put(name(n), value.clone())).collect();
                    kv.commit(Transaction { conditions: vec![], writes }).await.expect("a commit");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a task");
    }
    println!("load {count} in {:?}, rss {}", began.elapsed(), memory());

    for writers in [1, 4, 16, 64] {
        let until = Instant::now() + Duration::from_secs(3);
        let began = Instant::now();
        let tasks: Vec<_> = (0..writers)
            .map(|writer| {
                let (kv, value) = (kv.clone(), value.clone());
                tokio::spawn(async move {
                    let (mut done, mut slowest) = (0_u64, Duration::ZERO);
                    while Instant::now() < until {
                        let name = name((writer * 1_000_003 + done * 7919) % count);
                        let began = Instant::now();
                        let entry = kv.get(std::slice::from_ref(&name)).await.expect("a read").remove(0);
                        let condition = match entry {
                            Some(entry) => Condition::At(name.clone(), entry.revision),
                            None => Condition::Absent(name.clone()),
                        };
                        let writes = vec![Write::Put(name, value.clone())];
                        let _ = kv.commit(Transaction { conditions: vec![condition], writes }).await;
                        slowest = slowest.max(began.elapsed());
                        done += 1;
                    }
                    (done, slowest)
                })
            })
            .collect();
        let (mut done, mut slowest) = (0, Duration::ZERO);
        for task in tasks {
            let (task_done, task_slowest) = task.await.expect("a task");
            done += task_done;
            slowest = slowest.max(task_slowest);
        }
        let rate = done as f64 / began.elapsed().as_secs_f64();
        println!("{writers:3} writers: {rate:8.0} durable commits/s, slowest {slowest:?}, rss {}", memory());
    }

    let began = Instant::now();
    for n in 0..50_000 {
        kv.get(&[name(n * 7919 % count)]).await.expect("a read");
    }
    println!("get {:?} each, rss {}", began.elapsed() / 50_000, memory());
    for limit in [1, 3, 256, 1000] {
        let began = Instant::now();
        for n in 0..scans {
            let range = KeyRange { start: name(n * 7919 % count), end: None };
            kv.scan(range, Direction::Forward, limit).await.expect("a scan");
        }
        println!("scan of {limit}: {:?}, rss {}", began.elapsed() / scans as u32, memory());
    }
    println!("rss {}", memory());
}
