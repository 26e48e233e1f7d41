//! `sealgate user …`

use clap::Subcommand;

use super::client::{Client, child, text};
use super::holder::{Holder, membership};
use super::key;
use super::table::{columns, object, objects};

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
            let mut facts =
                vec![("user", name.clone()), ("arn", text(&child(made, "User"), "Arn").to_owned())];
            if let Some(arn) = policy {
                Holder::user(name).attach(client, &arn)?;
                facts.push(("has", arn));
            }
            client.show_facts(&facts);
        }
        UserCommand::List => {
            let rows = client.all("ListUsers", &[], "Users")?;
            client.show_rows(["name", "made", "arn"], &columns(&rows, ["UserName", "CreateDate", "Arn"]));
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
    let mut facts = Vec::new();
    for (name, member) in [("name", "UserName"), ("arn", "Arn"), ("made", "CreateDate")] {
        facts.push((name, text(&user, member).to_owned()));
    }
    let boundary = child(user, "PermissionsBoundary");
    if !boundary.children.is_empty() {
        facts.push(("boundary", text(&boundary, "PermissionsBoundaryArn").to_owned()));
    }
    let holder = Holder::user(name);
    let lists = [
        ("group", "groups", groups(client, &holder.name)?),
        ("policy", "policies", holder.attached(client)?),
        ("inline", "inline_policies", holder.inline(client)?),
    ];
    let keys = key::rows(client, &holder.name)?;
    if client.as_json {
        let mut told = object(&facts);
        told.extend(lists.into_iter().map(|(_, of, names)| (of.to_owned(), names.into())));
        told.insert("access_keys".to_owned(), objects(key::HEADING, &keys));
        println!("{}", serde_json::Value::Object(told));
        return Ok(());
    }
    for (what, _, names) in lists {
        facts.extend(names.into_iter().map(|name| (what, name)));
    }
    client.show_facts(&facts);
    println!();
    client.show_rows(key::HEADING, &keys);
    Ok(())
}

/// The groups that a user is in.
fn groups(client: &Client, user: &str) -> Result<Vec<String>, super::refusal::AskError> {
    let rows = client.all("ListGroupsForUser", &[("UserName", user)], "Groups")?;
    Ok(rows.iter().map(|row| text(row, "GroupName").to_owned()).collect())
}
