//! `sealgate user …`

use clap::Subcommand;

use super::client::{Client, child, text};
use super::holder::{Holder, membership};
use super::key;
use super::table::{columns, table};

#[derive(Subcommand)]
pub(in crate::cli) enum UserCommand {
    /// Create a user, who may do nothing until a policy allows it
    Create {
        /// The user's name
        name: String,
        /// Path, such as /staff/
        #[arg(long, value_name = "PATH", default_value = "/")]
        path: String,
        /// Attach this managed policy
        #[arg(long, value_name = "ARN")]
        policy: Option<String>,
    },
    /// List all users
    List,
    /// Show a user with groups, policies and access keys
    Show {
        /// The user's name
        name: String,
    },
    /// Delete a user
    Delete {
        /// The user's name
        name: String,
        /// Take access keys, policies and memberships away first
        #[arg(long)]
        force: bool,
    },
    /// End all sessions that a user has begun until now; access keys stay
    RevokeSessions {
        /// The user's name
        name: String,
    },
}

pub(super) fn run(client: &Client, command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Create { name, path, policy } => {
            let made = client.ask("CreateUser", &[("UserName", &name), ("Path", &path)])?;
            println!("user  {name}");
            println!("arn   {}", text(&child(made, "User"), "Arn"));
            if let Some(arn) = policy {
                Holder::user(name).attach(client, &arn)?;
                println!("has   {arn}");
            }
        }
        UserCommand::List => {
            let rows = client.all("ListUsers", &[], "Users")?;
            print!("{}", table(["name", "made", "arn"], &columns(&rows, ["UserName", "CreateDate", "Arn"])));
        }
        UserCommand::Show { name } => show(client, name)?,
        UserCommand::Delete { name, force } => {
            let user = Holder::user(name.clone());
            user.delete(client, force, || {
                for id in key::ids(client, &name)? {
                    client.ask("DeleteAccessKey", &[("UserName", &name), ("AccessKeyId", &id)])?;
                }
                for group in groups(client, &name)? {
                    membership(client, "RemoveUserFromGroup", &group, &name)?;
                }
                Ok(())
            })?;
        }
        UserCommand::RevokeSessions { name } => Holder::user(name).revoke_sessions(client)?,
    }
    Ok(())
}

fn show(client: &Client, name: String) -> anyhow::Result<()> {
    let user = child(client.ask("GetUser", &[("UserName", &name)])?, "User");
    println!("name      {}", text(&user, "UserName"));
    println!("arn       {}", text(&user, "Arn"));
    println!("made      {}", text(&user, "CreateDate"));
    let boundary = child(user, "PermissionsBoundary");
    if !boundary.children.is_empty() {
        println!("boundary  {}", text(&boundary, "PermissionsBoundaryArn"));
    }
    let holder = Holder::user(name);
    for (what, names) in [
        ("group", groups(client, &holder.name)?),
        ("policy", holder.attached(client)?),
        ("inline", holder.inline(client)?),
    ] {
        for name in names {
            println!("{what:8}  {name}");
        }
    }
    println!();
    key::list(client, &holder.name)
}

/// The groups that a user is in.
fn groups(client: &Client, user: &str) -> Result<Vec<String>, super::refusal::AskError> {
    let rows = client.all("ListGroupsForUser", &[("UserName", user)], "Groups")?;
    Ok(rows.iter().map(|row| text(row, "GroupName").to_owned()).collect())
}
