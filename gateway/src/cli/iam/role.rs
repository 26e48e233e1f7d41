//! `sealgate role …`

use std::path::PathBuf;

use clap::Subcommand;

use super::client::{Client, child, text};
use super::document;
use super::holder::Holder;
use super::table::columns;

#[derive(Subcommand)]
pub(in crate::cli) enum RoleCommand {
    /// Create a role
    Create {
        /// The role's name
        name: String,
        /// The file with its trust policy: who may assume it
        trust_file: PathBuf,
    },
    /// All roles
    List,
    /// Delete a role
    Delete {
        /// The role's name
        name: String,
        /// Take policies away first
        #[arg(long)]
        force: bool,
    },
    /// End all sessions of a role that have begun until now
    RevokeSessions {
        /// The role's name
        name: String,
    },
}

pub(super) fn run(client: &Client, command: RoleCommand) -> anyhow::Result<()> {
    match command {
        RoleCommand::Create { name, trust_file } => {
            let trust = document(&trust_file)?;
            let made =
                client.ask("CreateRole", &[("RoleName", &name), ("AssumeRolePolicyDocument", &trust)])?;
            client.show_facts(&[("role", name), ("arn", text(&child(made, "Role"), "Arn").to_owned())]);
        }
        RoleCommand::List => {
            let rows = client.all("ListRoles", &[], "Roles")?;
            client.show_rows(["name", "made", "arn"], &columns(&rows, ["RoleName", "CreateDate", "Arn"]));
        }
        RoleCommand::Delete { name, force } => Holder::role(name).delete(client, force, || Ok(()))?,
        RoleCommand::RevokeSessions { name } => Holder::role(name).revoke_sessions(client)?,
    }
    Ok(())
}
