//! `sealgate group …`

use clap::Subcommand;

use super::client::{Client, text};
use super::holder::{Holder, membership};
use super::table::columns;

#[derive(Subcommand)]
pub(in crate::cli) enum GroupCommand {
    /// Create a group
    Create {
        /// The group's name
        name: String,
    },
    /// List all groups
    List,
    /// Delete a group
    Delete {
        /// The group's name
        name: String,
        /// Take members and policies away first
        #[arg(long)]
        force: bool,
    },
    /// Put a user in a group
    Add {
        /// The group's name
        group: String,
        /// The user's name
        user: String,
    },
    /// Take a user out of a group
    Remove {
        /// The group's name
        group: String,
        /// The user's name
        user: String,
    },
}

pub(super) fn run(client: &Client, command: GroupCommand) -> anyhow::Result<()> {
    match command {
        GroupCommand::Create { name } => {
            client.ask("CreateGroup", &[("GroupName", &name)])?;
            client.say(&format!("group {name} is made"));
        }
        GroupCommand::List => {
            let rows = client.all("ListGroups", &[], "Groups")?;
            client.show_rows(["name", "made", "arn"], &columns(&rows, ["GroupName", "CreateDate", "Arn"]));
        }
        GroupCommand::Delete { name, force } => {
            let group = Holder::group(name.clone());
            group.delete(client, force, || {
                for user in client.all("GetGroup", &[("GroupName", &name)], "Users")? {
                    membership(client, "RemoveUserFromGroup", &name, text(&user, "UserName"))?;
                }
                Ok(())
            })?;
        }
        GroupCommand::Add { group, user } => {
            membership(client, "AddUserToGroup", &group, &user)?;
            client.say(&format!("user {user} is in group {group}"));
        }
        GroupCommand::Remove { group, user } => {
            membership(client, "RemoveUserFromGroup", &group, &user)?;
            client.say(&format!("user {user} is not in group {group} any more"));
        }
    }
    Ok(())
}
