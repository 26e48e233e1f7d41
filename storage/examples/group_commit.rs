//! What it gains that many transactions travel together: commits of 64 writers on one bucket over a PostgreSQL that it starts, many to a
//! trip and one by one, in turns. `group_commit [SECONDS]`: of each round, 4 by default, 60 at the most; `SEALGATE_TEST_POSTGRES_DIR` names
//! a disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use conformance_tests::postgres::Postgres;
use storage::kv::postgres::{PostgresConfig, PostgresKv};
use storage::kv::{Condition, Key, KeyValue, Transaction, Write};

const WRITERS: usize = 64;
const ROUNDS: usize = 3;
/// So many connections that commit, and so many transactions to a trip.
const WAYS: [(usize, usize); 3] = [(3, 64), (3, 1), (64, 1)];

/// Commits of a second.
async fn rate(server: &Postgres, way: (usize, usize), names: &str, time: Duration) -> f64 {
    let mut config = PostgresConfig::of(&server.url("map")).expect("a URL");
    (config.committers, config.transactions_per_trip) = way;
    let kv = Arc::new(PostgresKv::open(config).await.expect("it opens"));
    let bucket = Key::from_static(b"Bbucket");
    let put = vec![Write::Put(bucket.clone(), "bucket".into())];
    kv.commit(Transaction { conditions: vec![], writes: put }).await.expect("a commit");
    let found = kv.get(std::slice::from_ref(&bucket)).await.expect("an answer").pop().flatten();
    let at = found.expect("it was written").revision;
    let began = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (kv, bucket, names) = (kv.clone(), bucket.clone(), names.to_owned());
        writers.spawn(async move {
            let mut done = 0_u32;
            while began.elapsed() < time {
                let key = Key::from(format!("Hbucket/{names}/{writer}/{done}"));
                let conditions = vec![Condition::At(bucket.clone(), at), Condition::Absent(key.clone())];
                let writes = vec![Write::Put(key, vec![7; 400].into())];
                kv.commit(Transaction { conditions, writes }).await.expect("a commit");
                done += 1;
            }
            done
        });
    }
    let mut all = 0;
    while let Some(done) = writers.join_next().await {
        all += done.expect("a writer");
    }
    f64::from(all) / began.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() {
    let seconds =
        std::env::args().nth(1).map_or(4, |text| text.parse::<u64>().expect("a number")).clamp(1, 60);
    let server = Postgres::start(&[]).expect("PostgreSQL");
    server.create("map").expect("a database");
    let mut rates = WAYS.map(|_| Vec::new());
    for round in 0..ROUNDS {
        for (number, way) in WAYS.into_iter().enumerate() {
            let names = format!("{round}/{number}");
            rates[number].push(rate(&server, way, &names, Duration::from_secs(seconds)).await);
        }
    }
    for ((committers, per_trip), mut rates) in WAYS.into_iter().zip(rates) {
        rates.sort_by(f64::total_cmp);
        println!("{committers} connections, {per_trip} transactions to a trip: {:.0}/s", rates[ROUNDS / 2]);
    }
    let deadlocks = server.ask("map", "select sum(deadlocks) from pg_stat_database").expect("an answer");
    println!("deadlocks: {deadlocks}");
}
