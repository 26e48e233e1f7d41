//! `sealgate user|group|role|policy|key …`: a client of the IAM API, as anybody else's is. It signs and sends requests to a running
//! gateway and may what its credentials may.

mod client;
mod group;
mod holder;
mod key;
mod policy;
mod refusal;
mod role;
mod table;
mod user;

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};

use crate::config::Config;
use client::Client;

/// The longest policy that is read from a file: far beyond what IAM takes.
const MAX_DOCUMENT_LEN: u64 = 256 << 10;

/// Where the API is.
#[derive(Args)]
pub(super) struct Endpoint {
    /// URL of the gateway; default: where this configuration listens
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL", global = true)]
    endpoint: Option<String>,
    /// One JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
pub(super) enum IamCommand {
    /// Users, and what they may
    User {
        #[command(flatten)]
        at: Endpoint,
        #[command(subcommand)]
        command: user::UserCommand,
    },
    /// Access keys, with which users sign (keys that encrypt are under `kms`)
    Key {
        #[command(flatten)]
        at: Endpoint,
        #[command(subcommand)]
        command: key::KeyCommand,
    },
    /// Managed policies, and who has them
    Policy {
        #[command(flatten)]
        at: Endpoint,
        #[command(subcommand)]
        command: policy::PolicyCommand,
    },
    /// Groups of users
    Group {
        #[command(flatten)]
        at: Endpoint,
        #[command(subcommand)]
        command: group::GroupCommand,
    },
    /// Roles
    Role {
        #[command(flatten)]
        at: Endpoint,
        #[command(subcommand)]
        command: role::RoleCommand,
    },
}

pub(super) fn run(config: &Config, command: IamCommand) -> anyhow::Result<ExitCode> {
    let open = |at: Endpoint| Client::open(config, at.endpoint.as_deref(), at.json);
    match command {
        IamCommand::User { at, command } => user::run(&open(at)?, command)?,
        IamCommand::Key { at, command } => key::run(&open(at)?, command)?,
        IamCommand::Policy { at, command } => policy::run(&open(at)?, command)?,
        IamCommand::Group { at, command } => group::run(&open(at)?, command)?,
        IamCommand::Role { at, command } => role::run(&open(at)?, command)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A policy's text. What it says is for IAM to judge.
fn document(file: &Path) -> anyhow::Result<String> {
    let unreadable = || format!("can't read {}", file.display());
    let mut text = String::new();
    let opened = std::fs::File::open(file).with_context(unreadable)?;
    opened.take(MAX_DOCUMENT_LEN + 1).read_to_string(&mut text).with_context(unreadable)?;
    ensure!(text.len() as u64 <= MAX_DOCUMENT_LEN, "{} is too long for a policy", file.display());
    Ok(text)
}
