//! Records in a real PostgreSQL, started here.
// A test that cannot go on says so by its panic.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use conformance_tests::postgres::{Postgres as Server, url_at};
use storage::kv::postgres::{OpenPostgresError, PostgresConfig, PostgresKv};
use storage::kv::{Condition, Direction, Key, KeyRange, KeyValue, KvError, Transaction, Write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn open(server: &Server, database: &str) -> Arc<dyn KeyValue> {
    Arc::new(PostgresKv::open(PostgresConfig::of(&server.url(database)).unwrap()).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract() {
    let server = Server::start(&[]).unwrap();
    server.create("contract").unwrap();
    storage::contract::kv::run(open(&server, "contract").await).await;
    server.create("again").unwrap();
    storage::contract::kv::reopens(async || open(&server, "again").await).await;
    a_former_schema_is_brought_forward(&server).await;
    gateways_race(&server).await;
    commits_are_not_sent_twice(&server).await;
    long_transactions_and_what_the_server_refuses(&server).await;
    a_server_that_goes_away_comes_back(&server).await;
    hosts_that_do_not_answer_are_passed_over(&server).await;
    the_server_asks_after_gateways_that_say_nothing(&server).await;
    let deadlocks = "select deadlocks from pg_stat_database where datname = 'race'";
    assert_eq!(server.ask("contract", deadlocks).unwrap(), "0");
}

/// A map as the first version of the schema had it: the queue lay among all else.
async fn a_former_schema_is_brought_forward(server: &Server) {
    server.create("former").unwrap();
    server.ask("former", include_str!("../src/kv/postgres/schema.sql")).unwrap();
    server
        .ask("former", "create table kv_schema (version int not null); insert into kv_schema values (1)")
        .unwrap();
    let names = ["B", "C\u{7f}", "D", "D1", "D2", "E", "F"];
    for name in names {
        server
            .ask("former", &format!("insert into kv values (convert_to('{name}', 'UTF8'), 'old', 7)"))
            .unwrap();
    }
    // Two first starts of a newer build at once.
    let (kv, _) = tokio::join!(open(server, "former"), open(server, "former"));
    let all = KeyRange { start: Key::new(), end: None };
    let found = async |range: KeyRange, direction| {
        let found = kv.scan(range, direction, 100).await.unwrap();
        found.into_iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(found(all.clone(), Direction::Forward).await, names);
    let mut backward = names;
    backward.reverse();
    assert_eq!(found(all, Direction::Backward).await, backward);
    assert_eq!(found(KeyRange::prefix("D"), Direction::Forward).await, ["D", "D1", "D2"]);
    let across = KeyRange { start: "C".into(), end: Some("D2".into()) };
    assert_eq!(found(across, Direction::Backward).await, ["D1", "D", "C\u{7f}"]);
    assert_eq!(kv.verify().await.unwrap(), 7);
    // A condition on an entry of the queue holds, and what is put there lies in its table.
    let (queued, other) = (Key::from_static(b"D1"), Key::from_static(b"B"));
    let entries = kv.get(&[other.clone(), queued.clone()]).await.unwrap();
    let at = |key: &Key, entry: &Option<storage::kv::Entry>| {
        Condition::At(key.clone(), entry.as_ref().unwrap().revision)
    };
    let conditions = vec![at(&other, &entries[0]), at(&queued, &entries[1])];
    let writes = vec![
        Write::Put(queued.clone(), "new".into()),
        Write::Put("D3".into(), "new".into()),
        Write::Delete("D".into()),
    ];
    let change = Transaction { conditions, writes };
    kv.commit(change.clone()).await.unwrap();
    assert!(matches!(kv.commit(change).await, Err(KvError::Conflict { key }) if key == queued));
    let counts =
        "select (select count(*) from kv), (select count(*) from kv_queue), (select version from kv_schema)";
    assert_eq!(server.ask("former", counts).unwrap(), "4|3|3");
    // Gateways of an earlier build go on committing, and count nothing: who reads counters is told.
    let former = |key: &str| {
        format!(
            "select kv_commit(false, '{{}}', '{{}}', '{{}}', '{{}}', array['{key}'::bytea], array['v'::bytea], array[1::bigint], array[0], \
             '{{}}', '{{}}')"
        )
    };
    let is_counted = || server.ask("former", "select count(*) from kv where key = 'Ns'").unwrap();
    server.ask("former", "insert into kv values ('Ns', '\\x01', 1)").unwrap();
    server.ask("former", &former("Iname")).unwrap();
    assert_eq!(is_counted(), "1");
    server.ask("former", &former("Hname")).unwrap();
    assert_eq!(is_counted(), "0");
}

/// Eight engines, as of eight gateways, count with two keys.
async fn gateways_race(server: &Server) {
    server.create("race").unwrap();
    let first = open(server, "race").await;
    let keys = [Key::from_static(b"n"), Key::from_static(b"m")];
    let set = |to: u32| keys.iter().map(|key| Write::Put(key.clone(), to.to_string().into())).collect();
    first.commit(Transaction { conditions: vec![], writes: set(0) }).await.unwrap();
    let mut counting = Vec::new();
    for _ in 0..8 {
        let (kv, keys) = (open(server, "race").await, keys.clone());
        counting.push(tokio::spawn(async move {
            for _ in 0..25 {
                loop {
                    let found = kv.get(&keys).await.unwrap();
                    let found: Vec<_> = found.into_iter().map(Option::unwrap).collect();
                    let count: u32 = str::from_utf8(&found[0].value).unwrap().parse().unwrap();
                    let next = Bytes::from((count + 1).to_string());
                    let conditions =
                        keys.iter().zip(&found).map(|(k, e)| Condition::At(k.clone(), e.revision));
                    let conditions = conditions.collect();
                    let writes = keys.iter().map(|key| Write::Put(key.clone(), next.clone())).collect();
                    match kv.commit(Transaction { conditions, writes }).await {
                        Ok(()) => break,
                        Err(KvError::Conflict { .. }) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
        }));
    }
    for one in counting {
        one.await.unwrap();
    }
    let found = first.get(&keys).await.unwrap();
    assert!(found.into_iter().all(|entry| entry.unwrap().value == "200"));
}

/// A proxy that, when it is told to, lets the server commit and then cuts the connection before its answer passes.
async fn cutting_proxy(to: u16) -> (u16, Arc<std::sync::atomic::AtomicBool>) {
    use std::sync::atomic::{AtomicBool, Ordering};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let cuts = Arc::new(AtomicBool::new(false));
    let told = cuts.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (server, cuts) = (TcpStream::connect(("127.0.0.1", to)).await.unwrap(), told.clone());
            let (mut client_read, mut client_write) = client.into_split();
            let (mut server_read, mut server_write) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut client_read, &mut server_write).await });
            tokio::spawn(async move {
                let mut answer = vec![0; 65536];
                while let Ok(len @ 1..) = server_read.read(&mut answer).await {
                    // The answer of kv_commit has its two columns.
                    let is_commit = answer[..len].windows(12).any(|part| part == b"SELECT 1\0Z\0\0");
                    if is_commit && cuts.swap(false, Ordering::SeqCst) {
                        break;
                    }
                    if client_write.write_all(&answer[..len]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (port, cuts)
}

async fn commits_are_not_sent_twice(server: &Server) {
    server.create("cut").unwrap();
    let (port, cuts) = cutting_proxy(server.port()).await;
    let mut config = PostgresConfig::of(&url_at(port, "cut")).unwrap();
    // One each, so that the cut meets the commit.
    (config.readers, config.committers) = (1, 1);
    let kv = PostgresKv::open(config).await.unwrap();
    let key = Key::from_static(b"k");
    kv.commit(Transaction { conditions: vec![], writes: vec![Write::Put(key.clone(), "0".into())] })
        .await
        .unwrap();
    for round in 1..=20_u32 {
        let at = kv.get(std::slice::from_ref(&key)).await.unwrap()[0].as_ref().unwrap().revision;
        let change = Transaction {
            conditions: vec![Condition::At(key.clone(), at)],
            writes: vec![Write::Put(key.clone(), round.to_string().into())],
        };
        cuts.store(true, std::sync::atomic::Ordering::SeqCst);
        // Sent again it would meet its own commit, and be refused.
        kv.commit(change).await.unwrap();
        assert!(!cuts.load(std::sync::atomic::Ordering::SeqCst), "nothing was cut");
        assert_eq!(
            kv.get(std::slice::from_ref(&key)).await.unwrap()[0].as_ref().unwrap().value,
            round.to_string()
        );
    }
    // Of a deletion nobody can tell.
    cuts.store(true, std::sync::atomic::Ordering::SeqCst);
    let gone = Transaction { conditions: vec![], writes: vec![Write::Delete(key.clone())] };
    assert!(matches!(kv.commit(gone).await, Err(KvError::Unavailable(_))));
    assert_eq!(kv.get(&[key]).await.unwrap(), [None]);
}

async fn long_transactions_and_what_the_server_refuses(server: &Server) {
    server.create("long").unwrap();
    let kv = open(server, "long").await;
    let names = (0..5000_u32).map(|number| Key::from(format!("long/{number}").into_bytes()));
    let writes = names.map(|name| Write::Put(name, "v".into())).collect();
    kv.commit(Transaction { conditions: vec![], writes }).await.unwrap();
    assert_eq!(kv.verify().await.unwrap(), 5000);
    // A key that no index takes is refused alone, whatever it was sent with.
    let put =
        |name: Vec<u8>| Transaction { conditions: vec![], writes: vec![Write::Put(name.into(), "v".into())] };
    let random: Vec<u8> = (0..9000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let sent: Vec<_> = (0..40)
        .map(|number| {
            let (kv, name) = (kv.clone(), if number == 20 { random.clone() } else { vec![b'n', number] });
            tokio::spawn(async move { kv.commit(put(name)).await })
        })
        .collect();
    for (number, one) in sent.into_iter().enumerate() {
        assert_eq!(one.await.unwrap().is_err(), number == 20);
    }
}

async fn a_server_that_goes_away_comes_back(server: &Server) {
    server.create("away").unwrap();
    let kv = open(server, "away").await;
    let put =
        || Transaction { conditions: vec![], writes: vec![Write::Put(Key::from_static(b"k"), "v".into())] };
    kv.commit(put()).await.unwrap();
    server.stop().unwrap();
    assert!(matches!(kv.commit(put()).await, Err(KvError::Unavailable(_))));
    assert!(matches!(kv.get(&[Key::from_static(b"k")]).await, Err(KvError::Unavailable(_))));
    server.run().unwrap();
    kv.commit(put()).await.unwrap();
    assert!(kv.get(&[Key::from_static(b"k")]).await.unwrap()[0].is_some());
}

/// Passes everything on until it is told to be silent; then it takes connections and says nothing, as a host that hangs.
async fn silencing_proxy(to: u16) -> (u16, Arc<tokio::sync::watch::Sender<bool>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = Arc::new(tokio::sync::watch::channel(false).0);
    let told = silent.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut silent = told.subscribe();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                let hangs = async { drop(silent.wait_for(|silent| *silent).await) };
                let is_cut = tokio::select! {
                    () = hangs => true,
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => false,
                };
                if is_cut {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    (port, silent)
}

/// A gateway whose machine lost power can't end its connections, nor give back the locks of a commit that the server had half of.
async fn the_server_asks_after_gateways_that_say_nothing(server: &Server) {
    server.create("power").unwrap();
    let kv = open(server, "power").await;
    kv.get(&[Key::from_static(b"k")]).await.unwrap();
    let asked = server.ask("contract", "select client_port from pg_stat_activity where datname = 'power'");
    let peers: Vec<String> =
        asked.unwrap().lines().map(|port| format!(":{:04X}", port.trim().parse::<u16>().unwrap())).collect();
    assert!(!peers.is_empty());
    let server_end = format!(":{:04X}", server.port());
    for _ in 0..100 {
        // proc(5): a timer of kind 2 is that of the keepalive, its time is in hundredths of a second.
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let fields = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let ours = fields.filter(|line| {
            line[1].ends_with(&server_end) && peers.iter().any(|peer| line[2].ends_with(peer))
        });
        let timers: Vec<_> = ours.map(|line| line[5].split_once(':').unwrap()).collect();
        let is_soon = |&(kind, when): &(&str, &str)| {
            kind == "02" && u64::from_str_radix(when, 16).is_ok_and(|hundredths| hundredths <= 1_000)
        };
        if timers.len() == peers.len() && timers.iter().all(is_soon) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("a connection has no keepalive of 10 s");
}

/// The first host hangs, then the second is the one that takes writes: both as after a failover to another host.
async fn hosts_that_do_not_answer_are_passed_over(server: &Server) {
    server.create("hosts").unwrap();
    let (first, silent) = silencing_proxy(server.port()).await;
    let url = format!("postgres://postgres@127.0.0.1:{first},127.0.0.1:{}/hosts", server.port());
    let mut config = PostgresConfig::of(&url).unwrap();
    (config.readers, config.committers) = (2, 1);
    let kv = PostgresKv::open(config).await.unwrap();
    let key = Key::from_static(b"k");
    let put = |value: &'static str| Transaction {
        conditions: vec![],
        writes: vec![Write::Put(key.clone(), value.into())],
    };
    kv.commit(put("1")).await.unwrap();
    for _ in 0..4 {
        assert!(kv.get(std::slice::from_ref(&key)).await.unwrap()[0].is_some());
    }
    silent.send_replace(true);
    // Nobody knows yet that it hangs: what is under way waits for its deadline, and is told.
    let began = std::time::Instant::now();
    let (commit, one, other) = tokio::join!(
        kv.commit(put("2")),
        kv.get(std::slice::from_ref(&key)),
        kv.get(std::slice::from_ref(&key))
    );
    assert!(began.elapsed() < std::time::Duration::from_secs(12), "{:?}", began.elapsed());
    assert!(matches!((commit, one, other), (Err(KvError::Unavailable(_)), Err(_), Err(_))));
    // From then on it is the other host.
    let began = std::time::Instant::now();
    kv.commit(put("3")).await.unwrap();
    for _ in 0..4 {
        assert_eq!(kv.get(std::slice::from_ref(&key)).await.unwrap()[0].as_ref().unwrap().value, "3");
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_lose_what_they_acknowledge_are_refused() {
    let refused = async |server: &Server, database: &str, change: fn(&mut PostgresConfig), why: &str| {
        let mut config = PostgresConfig::of(&server.url(database)).unwrap();
        change(&mut config);
        let error = PostgresKv::open(config).await.err().expect("it is refused");
        assert!(matches!(&error, OpenPostgresError::Unsafe(_)), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    };
    let server = Server::start(&["fsync=off"]).unwrap();
    server.create("a").unwrap();
    refused(&server, "a", |_| {}, "fsync is off").await;
    drop(server);
    let server = Server::start(&["full_page_writes=off"]).unwrap();
    server.create("a").unwrap();
    refused(&server, "a", |_| {}, "full_page_writes is off").await;
    drop(server);
    let server = Server::start(&[]).unwrap();
    server
        .ask("postgres", "create database other template template0 lc_collate 'C.UTF-8' lc_ctype 'C.UTF-8'")
        .unwrap();
    refused(&server, "other", |_| {}, "collation C").await;
    server.create("a").unwrap();
    refused(&server, "a", |config| config.require_sync_standby = true, "synchronous standby").await;
    open(&server, "a").await;
    server.ask("a", "update kv_schema set version = 99").unwrap();
    let newer = PostgresKv::open(PostgresConfig::of(&server.url("a")).unwrap()).await.err().unwrap();
    assert!(newer.to_string().contains("run a newer build"), "{newer}");
}
