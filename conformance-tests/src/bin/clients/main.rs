//! Runs real clients against the built gateway, each doing its own work in every mode that it knows, and tells what came of each.

mod client;
mod report;
mod run;
mod set_up;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{bail, ensure};
use clap::{ArgGroup, Parser};

use client::{CLIENTS, Client};
use report::Table;
use run::Outcome;

/// Runs real clients against the built gateway, each in every mode that it knows
///
/// What a client needs is installed below the build folder when it is first asked for; Debian's packages as root or by sudo. Exit codes:
/// 0 nothing failed, 1 something did, 2 nothing could be run. A client that can't be had on this system is skipped, and said to be.
#[derive(Parser)]
#[command(name = "clients", version, group = ArgGroup::new("which").required(true))]
struct Cli {
    /// Every client
    #[arg(long, group = "which")]
    all: bool,
    /// Those that the test command runs
    #[arg(long, group = "which")]
    fast: bool,
    /// These
    #[arg(long, group = "which", value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Prints their names and modes, and runs none
    #[arg(long, group = "which")]
    list: bool,
    /// Prints a line of JSON for each client in place of the table
    #[arg(long)]
    json: bool,
    /// Writes the table into README
    #[arg(long, requires = "all")]
    readme: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("clients: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    if cli.list {
        for client in CLIENTS {
            let modes: Vec<_> = client.modes.iter().map(|mode| mode.name()).collect();
            let fast = if client.fast { " (fast)" } else { "" };
            println!("{}{fast}: {}: {}", client.name, client.title, modes.join(", "));
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(unknown) = cli.only.iter().find(|name| !CLIENTS.iter().any(|client| client.name == **name)) {
        bail!("there is no client {unknown}; --list tells which there are");
    }
    let asked = |client: &&Client| {
        cli.all || cli.fast && client.fast || cli.only.iter().any(|name| name == client.name)
    };
    let asked: Vec<&'static Client> = CLIENTS.iter().filter(asked).collect();
    ensure!(!asked.is_empty(), "none is asked for");

    let (mut results, began) = (Vec::new(), Instant::now());
    for (number, client) in (1..).zip(&asked) {
        eprintln!("{number} of {}: {}", asked.len(), client.name);
        let start = Instant::now();
        let outcomes = client
            .run(|mode, outcome| {
                if *outcome == Outcome::Ok {
                    eprintln!("    {mode}: ok, {:.0?} so far", start.elapsed());
                }
            })
            .await;
        for (mode, outcome) in &outcomes {
            if let Outcome::Failed(why) = outcome {
                eprintln!("    {mode}: FAILED: {why}");
            }
        }
        // Who can't be had knows no mode.
        if let Some(Outcome::Skipped(why)) = outcomes.values().next() {
            eprintln!("    skipped: {why}");
        }
        if cli.json {
            println!("{}", report::json(client, &outcomes));
        }
        results.push((*client, outcomes));
    }
    let table = Table(&results);
    if !cli.json {
        println!("{table}");
    }
    if cli.readme {
        report::write_readme(&table)?;
    }
    let count = |kind: fn(&Outcome) -> bool| {
        results.iter().flat_map(|(_, outcomes)| outcomes.values()).filter(|outcome| kind(outcome)).count()
    };
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    let passed = count(|outcome| *outcome == Outcome::Ok);
    eprintln!("{passed} passed, {failed} failed, {skipped} skipped, in {:.0?}", began.elapsed());
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
