//! `sealgate key …`: access keys.

use clap::Subcommand;
use serde_json::json;
use zeroize::Zeroizing;

use super::client::{Client, child, text};
use super::refusal::AskError;

#[derive(Subcommand)]
pub(in crate::cli) enum KeyCommand {
    /// Create an access key for a user; its secret is shown this once
    Create {
        /// The user's name
        user: String,
    },
    /// List a user's access keys
    List {
        /// The user's name
        user: String,
    },
    /// Disable an access key; `enable` undoes it
    Disable {
        /// The user's name
        user: String,
        /// The access key's id, as `key list` prints it
        id: String,
    },
    /// Enable an access key again
    Enable {
        /// The user's name
        user: String,
        /// The access key's id, as `key list` prints it
        id: String,
    },
    /// Delete an access key
    Delete {
        /// The user's name
        user: String,
        /// The access key's id, as `key list` prints it
        id: String,
    },
}

pub(super) fn run(client: &Client, command: KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::Create { user } => {
            let made = child(client.ask("CreateAccessKey", &[("UserName", &user)])?, "AccessKey");
            if client.as_json {
                let told = json!({
                    "access_key": text(&made, "AccessKeyId"),
                    "secret": text(&made, "SecretAccessKey"),
                });
                println!("{}", *Zeroizing::new(told.to_string()));
                return Ok(());
            }
            println!("access key  {}", text(&made, "AccessKeyId"));
            let line = Zeroizing::new(format!("secret      {}", text(&made, "SecretAccessKey")));
            println!("{}", *line);
            println!("the secret is not shown again");
        }
        KeyCommand::List { user } => list(client, &user)?,
        KeyCommand::Disable { user, id } => set(client, &user, &id, "Inactive", "disabled")?,
        KeyCommand::Enable { user, id } => set(client, &user, &id, "Active", "enabled")?,
        KeyCommand::Delete { user, id } => {
            client.ask("DeleteAccessKey", &[("UserName", &user), ("AccessKeyId", &id)])?;
            client.say(&format!("access key {id} is deleted"));
        }
    }
    Ok(())
}

fn set(client: &Client, user: &str, id: &str, status: &str, told: &str) -> anyhow::Result<()> {
    client.ask("UpdateAccessKey", &[("UserName", user), ("AccessKeyId", id), ("Status", status)])?;
    client.say(&format!("access key {id} is {told}"));
    Ok(())
}

/// What is told of access keys.
pub(super) const HEADING: [&str; 4] = ["access key", "state", "made", "last used"];

/// Shows a user's access keys, and what each was last used for.
pub(super) fn list(client: &Client, user: &str) -> anyhow::Result<()> {
    client.show_rows(HEADING, &rows(client, user)?);
    Ok(())
}

/// A user's access keys.
pub(super) fn rows(client: &Client, user: &str) -> anyhow::Result<Vec<[String; HEADING.len()]>> {
    let mut rows = Vec::new();
    for row in client.all("ListAccessKeys", &[("UserName", user)], "AccessKeyMetadata")? {
        let id = text(&row, "AccessKeyId").to_owned();
        let used = client.ask("GetAccessKeyLastUsed", &[("AccessKeyId", &id)])?;
        let used = child(used, "AccessKeyLastUsed");
        let used = match text(&used, "LastUsedDate") {
            "" => "never".to_owned(),
            date => format!("{date}, {} in {}", text(&used, "ServiceName"), text(&used, "Region")),
        };
        let status = text(&row, "Status").to_ascii_lowercase();
        rows.push([id, status, text(&row, "CreateDate").to_owned(), used]);
    }
    Ok(rows)
}

/// The ids of a user's access keys.
pub(super) fn ids(client: &Client, user: &str) -> Result<Vec<String>, AskError> {
    let rows = client.all("ListAccessKeys", &[("UserName", user)], "AccessKeyMetadata")?;
    Ok(rows.iter().map(|row| text(row, "AccessKeyId").to_owned()).collect())
}
