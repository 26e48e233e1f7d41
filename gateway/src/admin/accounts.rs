//! The gateway's accounts: who they are, and credentials of their root users.

use std::sync::Arc;

use anyhow::ensure;
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::json;
use storage::name::Timestamp;
use zeroize::Zeroizing;

use super::Out;
use crate::api::s3::wire::time::iso8601;
use crate::app::App;
use crate::iam::{Account, NewAccount, access_key};

/// The most access keys of a root user: AWS's two.
const MAX_ACCESS_KEYS: usize = 2;

/// What can be done with accounts.
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum AccountCommand {
    /// Make an account with an access key of its root user, whose secret is shown this once
    Create {
        /// The name shown as owner
        name: String,
        /// How to reach whoever is responsible
        #[arg(long, value_name = "ADDRESS", default_value = "")]
        email: String,
        /// 12 digits; by default random ones
        #[arg(long, value_name = "DIGITS")]
        id: Option<String>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// All accounts
    List {
        /// One JSON object per account
        #[arg(long)]
        json: bool,
    },
    /// Let nobody of an account in any more; what it has stays
    Disable {
        /// 12 digits
        id: String,
    },
    /// Let an account in again
    Enable {
        /// 12 digits
        id: String,
    },
    /// Tell how many bytes an account may hold in all its buckets, or set it
    Quota {
        /// 12 digits
        id: String,
        /// Such as 500GiB, 1.5TB or 1048576; `none` takes the quota away
        size: Option<String>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Make a further access key of an account's root user, whose secret is shown this once
    CreateKey {
        /// 12 digits
        id: String,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Delete an access key of an account's root user
    DeleteKey {
        /// 12 digits
        id: String,
        /// The access key
        access_key_id: String,
    },
}

pub(super) async fn run(app: &Arc<App>, command: AccountCommand, out: &Out) -> anyhow::Result<bool> {
    match command {
        AccountCommand::Create { name, email, id, json } => {
            create(app, NewAccount { name, email, id }, json, out).await?
        }
        AccountCommand::List { json } => list(app, json, out).await?,
        AccountCommand::Disable { id } => set_disabled(app, &id, true, out).await?,
        AccountCommand::Enable { id } => set_disabled(app, &id, false, out).await?,
        AccountCommand::Quota { id, size, json } => {
            super::usage::account(app, &id, (size.as_deref(), json), out).await?
        }
        AccountCommand::CreateKey { id, json } => create_access_key(app, &id, json, out).await?,
        AccountCommand::DeleteKey { id, access_key_id } => {
            delete_access_key(app, &id, &access_key_id).await?;
            out.fact("account", &*id).await?;
            out.fact("access_key", &*access_key_id).await?;
            out.line(format!("access key {access_key_id} is deleted")).await?;
        }
    }
    Ok(true)
}

async fn create(app: &App, wanted: NewAccount, as_json: bool, out: &Out) -> anyhow::Result<()> {
    let made = app.iam.make_account(&wanted).await?;
    let Account { id, canonical_id, .. } = &made.account;
    if !as_json {
        out.line(format!("account       {id}")).await?;
        out.line(format!("canonical id  {canonical_id}")).await?;
    }
    let key = (made.access_key_id.as_str(), made.secret_access_key.as_str());
    tell_access_key((id, Some(canonical_id)), key, as_json, out).await
}

async fn create_access_key(app: &App, account: &str, as_json: bool, out: &Out) -> anyhow::Result<()> {
    let (id, secret) = access_key();
    let made = app.iam.change(account, |draft| {
        let record = app.iam.seal_access_key(&id, &secret, (account, None), draft.now_unix_ms());
        let has = draft.access_keys_of(None).count();
        if has < MAX_ACCESS_KEYS {
            draft.put_access_key(record);
        }
        Ok(has < MAX_ACCESS_KEYS)
    });
    ensure!(made.await?, "the root user has {MAX_ACCESS_KEYS} access keys, and can have no more");
    tell_access_key((account, None), (&id, &secret), as_json, out).await
}

/// `canonical_id`: of an account that was made just now.
async fn tell_access_key(
    (account, canonical_id): (&str, Option<&str>),
    (id, secret): (&str, &str),
    as_json: bool,
    out: &Out,
) -> anyhow::Result<()> {
    if as_json {
        let told =
            json!({ "account": account, "canonical_id": canonical_id, "access_key": id, "secret": secret });
        return out.line(Zeroizing::new(told.to_string()).as_str()).await;
    }
    out.line(format!("access key    {id}")).await?;
    let line = Zeroizing::new(format!("secret        {secret}"));
    out.line(line.as_str()).await?;
    out.line("the secret is not shown again").await
}

async fn delete_access_key(app: &App, account: &str, id: &str) -> anyhow::Result<()> {
    let state = app.iam.state();
    let access_key = state.access_keys.get(id).filter(|key| key.record.account == account);
    let is_kept =
        access_key.is_some_and(|key| key.record.user.is_none() && !key.record.sealed_secret.is_empty());
    ensure!(is_kept, "{id} is no access key of that account's root user that could be deleted here");
    app.iam
        .change(account, |draft| {
            draft.remove_access_key(id);
            Ok(())
        })
        .await?;
    Ok(())
}

async fn set_disabled(app: &App, id: &str, is_disabled: bool, out: &Out) -> anyhow::Result<()> {
    ensure!(
        !is_disabled || app.iam.main_account().id != id,
        "account {id} owns the gateway: nobody could enable it again"
    );
    app.iam
        .change(id, |draft| {
            let account = Account { is_disabled, ..(*draft.account).clone() };
            draft.put_account(account);
            Ok(())
        })
        .await?;
    out.fact("account", id).await?;
    out.fact("state", if is_disabled { "disabled" } else { "enabled" }).await?;
    let now = if is_disabled { "disabled: nobody of it is let in" } else { "enabled" };
    out.line(format!("account {id} is {now}")).await
}

async fn list(app: &App, as_json: bool, out: &Out) -> anyhow::Result<()> {
    let main = app.iam.main_account();
    if !as_json {
        let head =
            format!("{:12}  {:8}  {:20}  {:5}  {:5}  name", "account", "state", "made", "users", "roles");
        out.line(head).await?;
    }
    for state in app.iam.state().accounts.values() {
        let account = &state.account;
        let status = match account.is_disabled {
            true => "disabled",
            false if account.id == main.id => "main",
            false => "enabled",
        };
        let made = match account.created_unix_ms {
            0 => "-".to_owned(),
            at => iso8601(Timestamp(at)),
        };
        let (users, roles) = (state.users.len(), state.roles.len());
        if as_json {
            let told = json!({
                "account": account.id,
                "state": status,
                "made": made,
                "users": users,
                "roles": roles,
                "name": account.display_name,
                "email": account.email,
            });
            out.line(told.to_string()).await?;
            continue;
        }
        let email = if account.email.is_empty() { String::new() } else { format!(" <{}>", account.email) };
        let name = format!("{}{email}", account.display_name);
        out.line(format!("{:12}  {status:8}  {made:20}  {users:5}  {roles:5}  {name}", account.id)).await?;
    }
    Ok(())
}
