//! Tests whose gateways share one database and one store of blobs: each data folder has records and blobs of its own in them.

use std::process::ExitCode;

use anyhow::Context;
use conformance_tests::postgres::Postgres;
use conformance_tests::seaweedfs::Seaweedfs;
use conformance_tests::server::{POSTGRES_VARIABLE, SEAWEEDFS_VARIABLE};
use tokio::process::Command;

pub(crate) async fn run(command: &[String]) -> anyhow::Result<ExitCode> {
    let (postgres, blobs) =
        tokio::task::block_in_place(|| anyhow::Ok((Postgres::start(&[])?, Seaweedfs::start()?)))?;
    let (program, arguments) = command.split_first().context("no command")?;
    let mut command = Command::new(program);
    command.args(arguments);
    command.env(POSTGRES_VARIABLE, postgres.port().to_string());
    command.env(SEAWEEDFS_VARIABLE, blobs.port().to_string());
    let status = command.kill_on_drop(true).status().await?;
    println!(
        "deadlocks: {}, conflicts with the server's own work: {}",
        postgres.ask("postgres", "select sum(deadlocks) from pg_stat_database")?,
        postgres.ask("postgres", "select sum(conflicts) from pg_stat_database")?
    );
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
