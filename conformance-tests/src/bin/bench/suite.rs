//! The project's own targets of one server.

use std::path::PathBuf;

use clap::Args;
use conformance_tests::process;

use super::against::{self, Other};
use super::load::{Load, Outcome};
use super::{Shape, Sse, Target};

/// What is measured, and what is written of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Plan {
    /// Another server to compare with, which takes turns with ours; may be repeated. Over plain HTTP. Without `key` ours is taken
    #[arg(long, value_name = "NAME=ENDPOINT[,pid=PID][,key=ID:SECRET][,kms=KEY]")]
    pub(crate) against: Vec<Other>,
    /// Only what has this text in its name
    #[arg(long)]
    only: Option<String>,
    /// Where the figures of every round are written, as JSON
    #[arg(long, value_name = "FILE", requires = "against")]
    pub(crate) json: Option<PathBuf>,
    /// Where a picture of the ratios is written, as SVG
    #[arg(long, value_name = "FILE", requires = "against")]
    pub(crate) picture: Option<PathBuf>,
}

impl Plan {
    /// Is what has this name to be measured?
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }
}

/// A target: what is measured, its unit, and the most (or least) it may be.
struct Goal {
    name: &'static str,
    load: Load,
    measure: fn(&Outcome) -> f64,
    unit: &'static str,
    at_most: Option<f64>,
    at_least: Option<f64>,
}

/// Measures the targets, or, with others, compares.
pub(crate) async fn run(target: &Target, plan: &Plan) -> anyhow::Result<()> {
    if !plan.against.is_empty() {
        return against::run(target, plan).await;
    }
    anyhow::ensure!(target.pid.is_some(), "the targets are of the server's CPU time: give its --pid");
    println!("| target | wanted | measured | |\n| --- | --- | --- | --- |");
    for goal in goals() {
        if !plan.wants(goal.name) {
            continue;
        }
        let outcome = goal.load.run(target).await?;
        let measured = (goal.measure)(&outcome);
        let (wanted, holds) = match (goal.at_most, goal.at_least) {
            (Some(most), _) => (format!("≤ {most}"), measured <= most),
            (_, Some(least)) => (format!("≥ {least}"), measured >= least),
            (None, None) => (String::new(), true),
        };
        let verdict = if holds { "ok" } else { "MISSED" };
        println!("| {} | {wanted} {} | {measured:.3} | {verdict} |", goal.name, goal.unit);
    }
    if let Some(pid) = target.pid {
        let memory = process::Memory::of(pid)?;
        println!("\nserver memory: {} MiB now, {} MiB at most", memory.now_mib, memory.peak_mib);
    }
    Ok(())
}

/// The targets.
fn goals() -> Vec<Goal> {
    use super::load::Operation as Op;
    const MIB: usize = 1 << 20;
    let shape = |size, concurrency, count, sse| Shape { size, concurrency, count, sse, ..Shape::default() };
    let per_gb = |outcome: &Outcome| outcome.cpu_s_per_gb();
    let per_op = |outcome: &Outcome| outcome.cpu_ms_per_op();
    let at_most = |name, operation, shape, measure: fn(&Outcome) -> f64, unit, most| Goal {
        name,
        load: Load { operation, shape },
        measure,
        unit,
        at_most: Some(most),
        at_least: None,
    };
    let large = |sse| Shape { objects: 2, ..shape(64 * MIB, 2, 24, sse) };
    let mut goals = vec![
        at_most("GET 64 MiB, SSE-S3", Op::Get, large(Sse::S3), per_gb, "CPU-s/GB", 0.6),
        at_most("multipart PUT 64 MiB, SSE-S3", Op::Multipart, large(Sse::S3), per_gb, "CPU-s/GB", 3.0),
        at_most("multipart PUT 64 MiB, SSE-KMS", Op::Multipart, large(Sse::Kms), per_gb, "CPU-s/GB", 1.2),
        at_most("multipart PUT 64 MiB, SSE-C", Op::Multipart, large(Sse::Customer), per_gb, "CPU-s/GB", 1.2),
        at_most(
            "GET of a 64 KiB range",
            Op::Get,
            Shape { range: 64 * 1024, objects: 2, ..shape(64 * MIB, 4, 6000, Sse::S3) },
            per_op,
            "CPU-ms",
            0.15,
        ),
        at_most("GET 4 KiB", Op::Get, shape(4096, 4, 20_000, Sse::S3), per_op, "CPU-ms", 0.08),
        at_most(
            "PUT 4 KiB, 16 connections",
            Op::Put,
            shape(4096, 16, 20_000, Sse::S3),
            per_op,
            "CPU-ms",
            0.25,
        ),
    ];
    goals.push(Goal {
        name: "PUT 4 KiB, 16 connections",
        load: Load { operation: Op::Put, shape: shape(4096, 16, 20_000, Sse::S3) },
        measure: |outcome| outcome.ops_per_s(),
        unit: "ops/s",
        at_most: None,
        at_least: Some(4000.0),
    });
    let listing = Shape { objects: 20_000, ..shape(64, 2, 400, Sse::None) };
    goals.push(at_most("LIST of 1000 among 20,000", Op::List, listing, per_op, "CPU-ms", 2.0));
    goals
}
