//! Gateways that end under load: killed at random, and asked to stop one after the other.

use std::time::{Duration, Instant};

use conformance_tests::random::Random;

use super::ledger::Ledger;
use super::load::Load;
use super::stage::Stage;
use super::{Options, Verdict, verify};

const GATEWAYS: usize = 3;
/// Kills of the acceptance.
const ROUNDS: u64 = 50;
/// Restarts of each gateway, of the acceptance.
const ROLLS: u64 = 5;

/// SIGKILL of one of three every two seconds: nobody notices but whose request it cuts.
pub(crate) async fn killed(options: &Options, verdict: &mut Verdict) -> anyhow::Result<()> {
    let seed = options.seed.unwrap_or_default();
    let mut stage = Stage::start(GATEWAYS).await?;
    let (mut random, ledger) = (Random::of(seed, 1000), Ledger::default());
    let load = Load::start(&stage.gates, &ledger, "w", options.workers, seed);
    let rounds = options.rounds.unwrap_or(ROUNDS);
    let began = Instant::now();
    for _ in 0..rounds {
        tokio::time::sleep(Duration::from_millis(1000 + random.below(1000))).await;
        let victim = random.below(GATEWAYS as u64) as usize;
        stage.gates.down(victim);
        stage.gateways[victim].server.kill()?;
        stage.replace(victim)?;
    }
    verdict.tell(format!("{rounds} kills in {:.0?}", began.elapsed()));
    load.stop(verdict).await?;
    verify::all_is_there(&stage.gates, &ledger, verdict).await?;
    verify::nothing_is_left(&stage, verdict).await
}

/// A restart of each in order: nothing fails but connections, which a client opens again.
pub(crate) async fn rolling(options: &Options, verdict: &mut Verdict) -> anyhow::Result<()> {
    let seed = options.seed.unwrap_or_default();
    let mut stage = Stage::start(GATEWAYS).await?;
    let ledger = Ledger::default();
    let load = Load::start(&stage.gates, &ledger, "w", options.workers, seed);
    let rounds = options.rounds.unwrap_or(ROLLS);
    for _ in 0..rounds {
        for number in 0..GATEWAYS {
            tokio::time::sleep(Duration::from_millis(700)).await;
            stage.gates.down(number);
            let code = tokio::task::block_in_place(|| stage.gateways[number].server.stop())?;
            verdict
                .expect(code == Some(0), || format!("a gateway that was asked to stop ended with {code:?}"));
            stage.replace(number)?;
        }
    }
    verdict.tell(format!("{} restarts", rounds * GATEWAYS as u64));
    let doubts = |ledger: &Ledger| ledger.all().values().filter(|possible| possible.len() > 1).count();
    let cut = load.counts.cut.load(std::sync::atomic::Ordering::Relaxed);
    load.stop(verdict).await?;
    verdict.tell(format!("{cut} connections were cut, {} writes among them", doubts(&ledger)));
    verify::all_is_there(&stage.gates, &ledger, verdict).await?;
    verify::nothing_is_left(&stage, verdict).await
}
