//! A database that fails: its standby dies, commits are cancelled, its primary dies and the standby takes over.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use conformance_tests::cluster::Cluster;
use conformance_tests::patroni::Patroni;
use conformance_tests::postgres::Postgres;
use conformance_tests::proxy::Proxy;
use conformance_tests::server::Places;
use http::Method;
use tokio::time::sleep;

use super::gates::Gates;
use super::ledger::{Content, Ledger};
use super::load::{BUCKET, Client, Failure, Load};
use super::stage::{Stage, USUAL};
use super::{Options, Verdict, verify};

/// Rounds of the acceptance.
const ROUNDS: u64 = 3;
const GATEWAYS: usize = 2;
/// The longest that writes may be away when the primary dies.
const BACK: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(90);
/// Commits that wait for the standby, or work.
const COMMITS: &str =
    "from pg_stat_activity where query like '%kv_commit(%' and state = 'active' and pid <> pg_backend_pid()";

pub(crate) async fn run(options: &Options, verdict: &mut Verdict) -> anyhow::Result<()> {
    if options.patroni { by_patroni(options, verdict).await } else { by_hand(options, verdict).await }
}

/// Gateways over this database and the blobs of a cluster.
async fn stage_over(
    cluster: Cluster,
    metadata: &str,
    count: usize,
) -> anyhow::Result<(Stage, Vec<conformance_tests::server::Server>)> {
    let places = Places { metadata: metadata.to_owned(), ..cluster.places() };
    let mut servers = Vec::new();
    for _ in 0..count {
        servers.push(tokio::task::block_in_place(|| cluster.gateway_at(&places, &USUAL))?);
    }
    let mut stage = Stage::over(cluster, 0).await?;
    stage.gates = Gates::of(servers.iter().map(|server| server.endpoint.clone()));
    stage.make_bucket().await?;
    Ok((stage, servers))
}

/// Until a write is acknowledged by each gateway; answers how long it took.
async fn until_writes(gates: &Gates, verdict: &mut Verdict) -> Duration {
    let (mut client, began) = (Client::of(gates), Instant::now());
    for number in 0..gates.count() {
        loop {
            let target = format!("/{BUCKET}/probe");
            let put = client
                .ask(&gates.choose(number), Method::PUT, &target, &[], Bytes::from_static(b"probe"))
                .await;
            if put.is_ok() {
                break;
            }
            if began.elapsed() > PATIENCE {
                verdict.expect(false, || format!("gateway {number} never writes again: {put:?}"));
                return began.elapsed();
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
    began.elapsed()
}

async fn by_hand(options: &Options, verdict: &mut Verdict) -> anyhow::Result<()> {
    let seed = options.seed.unwrap_or_default();
    let cluster = tokio::task::block_in_place(Cluster::start)?;
    let standby = tokio::task::block_in_place(|| cluster.postgres.standby())?;
    // Addresses that stay, whichever server is behind them.
    let doors = [Proxy::start(cluster.postgres.port()).await?, Proxy::start(standby.port()).await?];
    let metadata = Cluster::metadata_of(&[doors[0].port(), doors[1].port()]);
    let (mut stage, servers) = stage_over(cluster, &metadata, GATEWAYS).await?;
    let (mut standby, ledger) = (standby, Ledger::default());
    let rounds = options.rounds.unwrap_or(ROUNDS);
    for round in 0..rounds {
        let old = round as usize % 2;
        let load = Load::start(&stage.gates, &ledger, &format!("r{round}w"), options.workers, seed ^ round);
        sleep(Duration::from_secs(2)).await;
        load.counts.trouble(true);
        let cancelled = cancel(&stage.cluster.postgres, Duration::from_secs(4)).await?;
        verdict.tell(format!("{cancelled} commits were cancelled beside their standby"));
        without_standby(&stage, &standby, verdict).await?;

        // The primary dies under load.
        let before = load.counts.done.load(Ordering::Relaxed);
        sleep(Duration::from_secs(2)).await;
        let began = Instant::now();
        stage.cluster.postgres.kill()?;
        sleep(Duration::from_secs(1)).await;
        tokio::task::block_in_place(|| standby.promote())?;
        until_writes(&stage.gates, verdict).await;
        let away = began.elapsed();
        verdict.expect(away < BACK, || format!("writes were away for {away:.1?}"));
        let done = load.counts.done.load(Ordering::Relaxed) - before;
        load.counts.trouble(false);
        sleep(Duration::from_secs(1)).await;
        load.stop(verdict).await?;
        verdict.tell(format!("the primary died under load ({done} requests): no writes for {away:.1?}"));
        verify::all_is_there(&stage.gates, &ledger, verdict).await?;

        // What is the primary now gets a standby, in the place of the dead one.
        let next = tokio::task::block_in_place(|| standby.standby())?;
        doors[old].lead_to(next.port());
        stage.cluster.postgres = std::mem::replace(&mut standby, next);
    }
    // What is left of commits of unknown outcome is judged once their sessions have ended.
    drop(servers);
    let places = Places { metadata, ..stage.cluster.places() };
    let last = tokio::task::block_in_place(|| stage.cluster.gateway_at(&places, &USUAL))?;
    stage.gates = Gates::of([last.endpoint.clone()]);
    verify::nothing_is_left(&stage, verdict).await
}

/// Cancels commits at random for a while; answers how many.
async fn cancel(postgres: &Postgres, length: Duration) -> anyhow::Result<u64> {
    let (began, mut cancelled) = (Instant::now(), 0);
    while began.elapsed() < length {
        let statement =
            format!("select count(*) from (select pg_cancel_backend(pid) {COMMITS}) as cancelled");
        cancelled += postgres.ask("postgres", &statement)?.parse::<u64>()?;
        sleep(Duration::from_millis(30)).await;
    }
    Ok(cancelled)
}

/// Without its standby nothing is acknowledged, cancelled or not; reads go on.
async fn without_standby(stage: &Stage, standby: &Postgres, verdict: &mut Verdict) -> anyhow::Result<()> {
    let mut client = Client::of(&stage.gates);
    let target = format!("/{BUCKET}/standby");
    let (gate, first) = (stage.gates.choose(0), Content { len: 400, seed: 1 });
    let put = client.ask(&gate, Method::PUT, &target, &[], first.bytes().into()).await;
    verdict.expect(put.is_ok(), || format!("{put:?}"));
    standby.kill()?;
    // What was on its way to the standby may still have arrived.
    sleep(Duration::from_millis(200)).await;
    let (mut refused, mut slowest) = (0, Duration::ZERO);
    for number in 0..4 {
        let canceller = async {
            if number % 2 == 1 {
                cancel(&stage.cluster.postgres, Duration::from_secs(2)).await
            } else {
                Ok(0)
            }
        };
        let (began, mut other) = (Instant::now(), Client::of(&stage.gates));
        let own = format!("/{BUCKET}/standby-{number}");
        let write = other.ask(&gate, Method::PUT, &own, &[], Bytes::from_static(b"alone"));
        let (written, cancelled) = tokio::join!(write, canceller);
        cancelled?;
        slowest = slowest.max(began.elapsed());
        match written {
            Err(Failure::Unavailable(_)) => refused += 1,
            other => verdict.expect(false, || format!("a PUT without the standby: {other:?}")),
        }
        let found = client.ask(&gate, Method::GET, &target, &[], Bytes::new()).await;
        verdict.expect(found.as_ref().is_ok_and(|found| first.is(&found.body)), || {
            format!("a GET without the standby: {:?}", found.as_ref().map(|found| found.status))
        });
    }
    tokio::task::block_in_place(|| {
        standby.run()?;
        stage.cluster.postgres.wait_for_standby()
    })?;
    let back = until_writes(&stage.gates, verdict).await;
    verdict.tell(format!(
        "without the standby {refused} of 4 PUT answered 503, the slowest after {slowest:.1?}; written again {back:.1?} after it was back"
    ));
    Ok(())
}

/// The same by Patroni, which finds the death of the primary by itself.
async fn by_patroni(options: &Options, verdict: &mut Verdict) -> anyhow::Result<()> {
    let seed = options.seed.unwrap_or_default();
    let mut patroni = tokio::task::block_in_place(|| Patroni::start(3))?;
    patroni.create("sealgate")?;
    let cluster = tokio::task::block_in_place(Cluster::start)?;
    let (mut stage, servers) = stage_over(cluster, &patroni.url("sealgate"), GATEWAYS).await?;
    let ledger = Ledger::default();
    for round in 0..options.rounds.unwrap_or(ROUNDS) {
        let load = Load::start(&stage.gates, &ledger, &format!("r{round}w"), options.workers, seed ^ round);
        sleep(Duration::from_secs(3)).await;
        load.counts.trouble(true);
        let primary = patroni.primary().ok_or_else(|| anyhow::anyhow!("there is no primary"))?;
        let began = Instant::now();
        // The whole machine, or the server alone.
        if round.is_multiple_of(2) {
            patroni.kill(primary)?
        } else {
            patroni.kill_server(primary)?
        }
        until_writes(&stage.gates, verdict).await;
        let away = began.elapsed();
        verdict.expect(away < BACK, || format!("writes were away for {away:.1?}"));
        verdict.tell(format!(
            "primary {primary} died, {:?} took over: no writes for {away:.1?}",
            patroni.primary()
        ));
        sleep(Duration::from_secs(1)).await;
        load.counts.trouble(false);
        if round.is_multiple_of(2) {
            patroni.run(primary)?;
        }
        tokio::task::block_in_place(|| patroni.wait_until_synchronous(PATIENCE))?;
        load.counts.trouble(false);
        load.stop(verdict).await?;
        verify::all_is_there(&stage.gates, &ledger, verdict).await?;
    }
    // What is left of commits of unknown outcome is judged once their sessions have ended.
    drop(servers);
    let places = Places { metadata: patroni.url("sealgate"), ..stage.cluster.places() };
    let last = tokio::task::block_in_place(|| stage.cluster.gateway_at(&places, &USUAL))?;
    stage.gates = Gates::of([last.endpoint.clone()]);
    verify::nothing_is_left(&stage, verdict).await
}
