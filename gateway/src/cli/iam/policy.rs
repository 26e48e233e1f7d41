//! `sealgate policy …`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use percent_encoding::percent_decode_str;

use super::client::{Client, child, text};
use super::document;
use super::holder::Holder;
use super::table::columns;

#[derive(Subcommand)]
pub(in crate::cli) enum PolicyCommand {
    /// Create a managed policy from a JSON file in the policy language
    Create {
        /// The policy's name
        name: String,
        /// The file with the policy document
        file: PathBuf,
    },
    /// List the account's own policies
    List {
        /// List AWS managed policies too
        #[arg(long)]
        all: bool,
    },
    /// Print a policy's document
    Show {
        /// The policy's ARN, as `policy list` prints it
        arn: String,
    },
    /// Delete a policy that nobody has
    Delete {
        /// The policy's ARN, as `policy list` prints it
        arn: String,
    },
    /// Attach a policy to a user, group or role
    Attach {
        /// The policy's ARN, as `policy list --all` prints it
        arn: String,
        #[command(flatten)]
        to: Whom,
    },
    /// Detach a policy from a user, group or role
    Detach {
        /// As `user show` and `policy list` tell it
        arn: String,
        #[command(flatten)]
        from: Whom,
    },
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(in crate::cli) struct Whom {
    /// A user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// A role
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
}

impl Whom {
    fn holder(self) -> Option<Holder> {
        let group = || self.group.map(Holder::group);
        self.user.map(Holder::user).or_else(group).or_else(|| self.role.map(Holder::role))
    }
}

pub(super) fn run(client: &Client, command: PolicyCommand) -> anyhow::Result<()> {
    match command {
        PolicyCommand::Create { name, file } => {
            let text_of = document(&file)?;
            let made = client.ask("CreatePolicy", &[("PolicyName", &name), ("PolicyDocument", &text_of)])?;
            client.show_facts(&[("policy", name), ("arn", text(&child(made, "Policy"), "Arn").to_owned())]);
        }
        PolicyCommand::List { all } => {
            let scope = if all { "All" } else { "Local" };
            let rows = client.all("ListPolicies", &[("Scope", scope)], "Policies")?;
            let members = ["PolicyName", "DefaultVersionId", "AttachmentCount", "UpdateDate", "Arn"];
            client.show_rows(["name", "version", "attached", "changed", "arn"], &columns(&rows, members));
        }
        PolicyCommand::Show { arn } => {
            let policy = child(client.ask("GetPolicy", &[("PolicyArn", &arn)])?, "Policy");
            let asked = [("PolicyArn", arn.as_str()), ("VersionId", text(&policy, "DefaultVersionId"))];
            let version = child(client.ask("GetPolicyVersion", &asked)?, "PolicyVersion");
            println!("{}", percent_decode_str(text(&version, "Document")).decode_utf8()?);
        }
        PolicyCommand::Delete { arn } => {
            client.ask("DeletePolicy", &[("PolicyArn", &arn)])?;
            client.say(&format!("policy {arn} is deleted"));
        }
        PolicyCommand::Attach { arn, to } => {
            if let Some(holder) = to.holder() {
                holder.attach(client, &arn)?;
                client.say(&format!("{} has {arn}", holder.title()));
            }
        }
        PolicyCommand::Detach { arn, from } => {
            if let Some(holder) = from.holder() {
                holder.detach(client, &arn)?;
                client.say(&format!("{} does not have {arn} any more", holder.title()));
            }
        }
    }
    Ok(())
}
