//! Networks that fail between a gateway and the database, and between it and the store of blobs.

use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use conformance_tests::proxy::Way;
use http::Method;
use tokio::time::sleep;

use super::gates::Gates;
use super::ledger::{Content, Ledger};
use super::load::{BUCKET, Client, Failure, Load};
use super::stage::Stage;
use super::{Options, Verdict, verify};

/// Rounds of the acceptance.
const ROUNDS: u64 = 3;
/// By when a gateway that can't see the database must have said so; a busy machine adds to the 10 s.
const REFUSED: Duration = Duration::from_secs(13);
const PATIENCE: Duration = Duration::from_secs(45);
/// Commits whose answers are cut off, in a round.
const CUTS: u64 = 20;

pub(crate) async fn run(options: &Options, verdict: &mut Verdict) -> anyhow::Result<()> {
    let seed = options.seed.unwrap_or_default();
    let mut stage = Stage::start(2).await?;
    let ledger = Ledger::default();
    let rounds = options.rounds.unwrap_or(ROUNDS);
    for round in 0..rounds {
        let load =
            Load::start(&stage.gates, &ledger, &format!("r{round}w"), options.workers.min(3), seed ^ round);
        // What is slow is no failure.
        for gateway in &stage.gateways {
            gateway.to_map.set(Way::Slow(Duration::from_millis(30)));
            gateway.to_blobs.set(Way::Slow(Duration::from_millis(30)));
        }
        sleep(Duration::from_secs(3)).await;
        for gateway in &stage.gateways {
            gateway.to_map.set(Way::Open);
            gateway.to_blobs.set(Way::Open);
        }
        // Clients of the other one notice nothing.
        stage.gates.down(0);
        let gates = Gates::of([stage.gateways[0].server.endpoint.clone()]);
        for way in [Way::Silent, Way::Closed, Way::HalfOpen] {
            // Shorter than a session, and longer.
            for length in [Duration::from_secs(2), Duration::from_secs(9)] {
                from_map(&stage, &gates, &way, length, verdict).await?;
            }
        }
        for way in [Way::Silent, Way::Closed] {
            from_blobs(&stage, &gates, &way, verdict).await?;
        }
        stage.gates.up(0, &stage.gateways[0].server.endpoint);
        load.stop(verdict).await?;
        behind_the_commit(&stage, round, verdict).await?;
        verify::all_is_there(&stage.gates, &ledger, verdict).await?;
    }
    // What is left of commits of unknown outcome is judged once their sessions have ended.
    for number in 0..stage.gateways.len() {
        stage.gates.down(number);
        stage.gateways[number].server.kill()?;
        stage.replace(number)?;
    }
    verify::nothing_is_left(&stage, verdict).await
}

async fn put(client: &mut Client, gates: &Gates, name: &str, len: usize) -> Result<(), Failure> {
    let (target, content) = (format!("/{BUCKET}/{name}"), Content { len, seed: 5 });
    client.ask(&gates.choose(0), Method::PUT, &target, &[], content.bytes().into()).await.map(drop)
}

async fn until_it_serves(client: &mut Client, gates: &Gates, verdict: &mut Verdict) -> Duration {
    let began = Instant::now();
    loop {
        let done = put(client, gates, "probe", 9000).await;
        if done.is_ok() {
            return began.elapsed();
        }
        if began.elapsed() > PATIENCE {
            verdict.expect(false, || format!("it never came back: {done:?}"));
            return began.elapsed();
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn from_map(
    stage: &Stage,
    gates: &Gates,
    way: &Way,
    length: Duration,
    verdict: &mut Verdict,
) -> anyhow::Result<()> {
    let mut client = Client::of(gates);
    until_it_serves(&mut client, gates, verdict).await;
    stage.gateways[0].to_map.set(way.clone());
    let (began, mut slowest, mut refused, mut read) = (Instant::now(), Duration::ZERO, 0, 0);
    // At least one answer must be seen to come in time.
    while began.elapsed() < length || refused == 0 {
        let asked = Instant::now();
        let written = put(&mut client, gates, "probe", 100).await;
        slowest = slowest.max(asked.elapsed());
        match written {
            Err(Failure::Unavailable(_)) => refused += 1,
            other => verdict.expect(false, || format!("{way:?}: a PUT without the database: {other:?}")),
        }
        let asked = Instant::now();
        let found =
            client.ask(&gates.choose(0), Method::GET, &format!("/{BUCKET}/probe"), &[], Bytes::new()).await;
        slowest = slowest.max(asked.elapsed());
        match found {
            Err(Failure::Unavailable(_)) => read += 1,
            other => verdict.expect(false, || format!("{way:?}: a GET without the database: {other:?}")),
        }
        if began.elapsed() > PATIENCE {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    verdict.expect(slowest < REFUSED, || format!("{way:?}: 503 came after {slowest:.1?}"));
    stage.gateways[0].to_map.set(Way::Open);
    let back = until_it_serves(&mut client, gates, verdict).await;
    verdict.tell(format!(
        "database {way:?} for {:.0?}: {refused} PUT and {read} GET answered 503, the slowest after {slowest:.1?}; served again after {back:.1?}",
        began.elapsed()
    ));
    Ok(())
}

async fn from_blobs(stage: &Stage, gates: &Gates, way: &Way, verdict: &mut Verdict) -> anyhow::Result<()> {
    let mut client = Client::of(gates);
    until_it_serves(&mut client, gates, verdict).await;
    let inline = put(&mut client, gates, "inline", 500).await;
    verdict.expect(inline.is_ok(), || format!("{inline:?}"));
    stage.gateways[0].to_blobs.set(way.clone());
    let asked = Instant::now();
    let upload = put(&mut client, gates, "upload", 300_000).await;
    let waited = asked.elapsed();
    verdict.expect(matches!(upload, Err(Failure::Unavailable(_))), || {
        format!("blobs {way:?}: an upload: {upload:?}")
    });
    let target = format!("/{BUCKET}/inline");
    let found = client.ask(&gates.choose(0), Method::GET, &target, &[], Bytes::new()).await;
    verdict.expect(found.as_ref().is_ok_and(|found| found.body.len() == 500), || {
        format!("blobs {way:?}: what needs no blob: {found:?}")
    });
    let asked = Instant::now();
    let target = format!("/{BUCKET}/probe");
    let found = client.ask(&gates.choose(0), Method::GET, &target, &[], Bytes::new()).await;
    let read_waited = asked.elapsed();
    verdict.expect(matches!(found, Err(Failure::Unavailable(_) | Failure::Cut(_))), || {
        format!("blobs {way:?}: what needs one: {:?}", found.map(|found| found.status))
    });
    stage.gateways[0].to_blobs.set(Way::Open);
    let back = until_it_serves(&mut client, gates, verdict).await;
    let other = Client::of(&stage.gates)
        .ask(&stage.gates.choose(1), Method::GET, &format!("/{BUCKET}/upload"), &[], Bytes::new())
        .await;
    let status = other.context("GET of what was not uploaded")?.status;
    verdict
        .expect(status.as_u16() == 404, || format!("blobs {way:?}: the upload that was refused is {status}"));
    verdict.tell(format!(
        "blobs {way:?}: an upload failed after {waited:.1?}, a read after {read_waited:.1?}; served again after {back:.1?}"
    ));
    Ok(())
}

/// The server commits, and its answer is cut off: what was asked for has happened, and is told so or told as unknown.
async fn behind_the_commit(stage: &Stage, round: u64, verdict: &mut Verdict) -> anyhow::Result<()> {
    let mut client = Client::of(&stage.gates);
    let (cutting, other) = (stage.gates.choose(0), stage.gates.choose(1));
    let (mut told, mut unknown) = (0, 0);
    for number in 0..CUTS {
        let content = Content { len: if number.is_multiple_of(2) { 500 } else { 30_000 }, seed: number };
        let target = format!("/{BUCKET}/cut-{round}-{number}");
        // A commit that is sent twice meets itself, and would be answered so.
        let headers = [("if-none-match", "*".to_owned())];
        stage.gateways[0].to_map.cut_commits(1);
        let put = client.ask(&cutting, Method::PUT, &target, &headers, content.bytes().into()).await;
        let found = client.ask(&other, Method::GET, &target, &[], Bytes::new()).await;
        let found = found?;
        let is_there = found.status.is_success() && content.is(&found.body);
        match &put {
            Ok(answer) if answer.status.is_success() => {
                told += 1;
                verdict.expect(is_there, || format!("{target} was acknowledged and is {}", found.status));
            }
            Err(Failure::Unavailable(_)) => {
                unknown += 1;
                verdict.expect(is_there || found.status.as_u16() == 404, || {
                    format!("{target} is {}", found.status)
                });
            }
            other => verdict.expect(false, || format!("PUT {target} with its commit cut off: {other:?}")),
        }
    }
    let left = stage.gateways[0].to_map.cuts_left();
    stage.gateways[0].to_map.cut_commits(0);
    verdict.expect(left == 0, || "no commit was cut off".to_owned());
    verdict
        .tell(format!("{CUTS} commits cut off behind the server: {told} told as done, {unknown} as unknown"));
    Ok(())
}
