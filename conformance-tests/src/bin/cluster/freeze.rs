//! A gateway that stands still (SIGSTOP) while others go on: between a blob and its record, and while it reads.

use std::time::{Duration, Instant};

use bytes::Bytes;
use conformance_tests::proxy::Way;
use conformance_tests::random::Random;
use http::Method;
use rustix::process::Signal;
use tokio::time::sleep;

use super::asking::{PATIENCE, until};
use super::ledger::{Content, Ledger};
use super::load::{BUCKET, Client, Failure, Load};
use super::stage::Stage;
use super::{Options, Verdict, reads, verify};

/// Rounds of the acceptance.
const ROUNDS: u64 = 5;
/// How long it may take until a session that is not heard of is ended, and swept: timeout, a look or two, and a busy machine.
const SWEPT: Duration = Duration::from_secs(120);

pub(crate) async fn run(options: &Options, verdict: &mut Verdict) -> anyhow::Result<()> {
    let seed = options.seed.unwrap_or_default();
    let stage = Stage::start(2).await?;
    let (mut random, ledger) = (Random::of(seed, 2000), Ledger::default());
    let rounds = options.rounds.unwrap_or(ROUNDS);
    for round in 0..rounds {
        stage.gates.down(0);
        let content = Content { len: 100_000, seed: random.next() };
        let load = || Load::start(&stage.gates, &ledger, &format!("r{round}w"), 2, seed ^ round);
        between(&stage, round, content, load, verdict).await?;
        stage.gates.up(0, &stage.gateways[0].server.endpoint);
        verify::all_is_there(&stage.gates, &ledger, verdict).await?;
    }
    verdict.tell(format!("{rounds} frozen between blob and record, whose blobs went meanwhile"));
    reads::overwritten(&stage, verdict).await?;
    verify::nothing_is_left(&stage, verdict).await
}

/// A gateway stands still once a blob is whole and before its record is; the blob goes when its session was ended.
async fn between(
    stage: &Stage,
    round: u64,
    content: Content,
    load: impl FnOnce() -> Load,
    verdict: &mut Verdict,
) -> anyhow::Result<()> {
    let (frozen, endpoint) = (&stage.gateways[0], stage.gateways[0].server.endpoint.clone());
    let name = format!("frozen-{round}");
    let (held, before) = (frozen.to_map.held(), verify::blobs(stage).await?);
    frozen.to_map.set(Way::HoldCommit(name.clone().into_bytes()));
    let gates = super::gates::Gates::of([endpoint]);
    let (put_gates, target) = (gates.clone(), format!("/{BUCKET}/{name}"));
    let put_target = target.clone();
    let put = tokio::spawn(async move {
        let mut client = Client::of(&put_gates);
        client.ask(&put_gates.choose(0), Method::PUT, &put_target, &[], content.bytes().into()).await
    });
    let (is_held, _) = until(PATIENCE, async || Ok(frozen.to_map.held() > held)).await?;
    anyhow::ensure!(is_held, "the commit never came");
    frozen.server.signal(Signal::STOP)?;
    let mut own = verify::blobs(stage).await?;
    own.retain(|name| !before.contains(name));
    verdict.expect(own.len() == 1, || format!("round {round}: {} blobs of the frozen one", own.len()));
    // The other one works on.
    let load = load();
    let began = Instant::now();
    // A sweep that begins before the session of the frozen one is ended leaves its blobs alone.
    let (is_swept, _) = until(SWEPT, async || {
        stage.gateways[1].server.told(&["sweep"], SWEPT).await?;
        let left = verify::blobs(stage).await?;
        Ok(!own.iter().any(|name| left.contains(name)))
    })
    .await?;
    verdict.expect(is_swept, || format!("round {round}: the blob of the frozen one is there behind a sweep"));
    verdict.tell(format!("round {round}: its blob was swept {:.1?} after it was frozen", began.elapsed()));
    // The commit reaches the server before the gateway wakes, or behind.
    if round.is_multiple_of(2) {
        frozen.to_map.set(Way::Open);
        sleep(Duration::from_millis(300)).await;
    }
    frozen.server.signal(Signal::CONT)?;
    if !round.is_multiple_of(2) {
        sleep(Duration::from_millis(300)).await;
        frozen.to_map.set(Way::Open);
    }
    let answer = put.await?;
    verdict.expect(matches!(answer, Err(Failure::Unavailable(_) | Failure::Cut(_))), || {
        format!("round {round}: the PUT of a frozen gateway was answered {answer:?}")
    });
    let mut client = Client::of(&stage.gates);
    let found = client.ask(&stage.gates.choose(1), Method::GET, &target, &[], Bytes::new()).await;
    verdict.expect(found.as_ref().is_ok_and(|found| found.status.as_u16() == 404), || {
        format!("round {round}: what the frozen gateway wrote is {found:?}")
    });
    // It opens itself anew.
    let (mut client, began) = (Client::of(&gates), Instant::now());
    loop {
        let target = format!("/{BUCKET}/again-{round}");
        let put = client.ask(&gates.choose(0), Method::PUT, &target, &[], Bytes::from_static(b"again")).await;
        if put.is_ok() {
            client.ask(&gates.choose(0), Method::DELETE, &target, &[], Bytes::new()).await?;
            break;
        }
        if began.elapsed() > PATIENCE {
            verdict.expect(false, || format!("round {round}: it never came back: {put:?}"));
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    verdict.tell(format!("round {round}: it served again {:.1?} after it woke", began.elapsed()));
    load.stop(verdict).await
}
