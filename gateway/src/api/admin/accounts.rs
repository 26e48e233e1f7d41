//! The gateway's accounts, and new ones.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Admin;
use super::error::AdminError;
use crate::iam::{MadeAccount, NewAccount};

/// ListAccounts: all of them to principals of the gateway's own account, their own to others.
pub(super) fn list(admin: &Admin<'_>) -> Value {
    let main = admin.app.iam.main_account();
    let state = admin.app.iam.state();
    let seen = state.accounts.values().filter(|state| {
        let is_own = |own| own == state.account.id;
        admin.only_account().is_none_or(is_own)
    });
    let accounts = seen.map(|state| {
        let account = &state.account;
        let status = match account.is_disabled {
            true => "disabled",
            false if account.id == main.id => "main",
            false => "enabled",
        };
        json!({
            "id": account.id,
            "name": account.display_name,
            "email": account.email,
            "state": status,
            // The first one is as old as the gateway, and keeps no time of its own.
            "created_unix_ms": Some(account.created_unix_ms).filter(|at| *at > 0),
            "users": state.users.len(),
            "roles": state.roles.len(),
        })
    });
    json!({ "accounts": accounts.collect::<Vec<_>>() })
}

/// CreateAccount. The secret of its root user's access key is told this once.
pub(super) async fn create(admin: &Admin<'_>, body: &[u8]) -> Result<Value, AdminError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        name: String,
        #[serde(default)]
        email: String,
        id: Option<String>,
    }
    let wanted: Wanted = serde_json::from_slice(body).map_err(|_| {
        AdminError::invalid(
            "The body must be {\"name\": \"…\"}; it may have the members email, and id of 12 digits.",
        )
    })?;
    let Wanted { name, email, id } = wanted;
    let made = admin.app.iam.make_account(&NewAccount { name, email, id }).await?;
    let MadeAccount { account, access_key_id, secret_access_key } = &made;
    Ok(json!({
        "account": account.id,
        "canonical_id": account.canonical_id,
        "access_key_id": access_key_id,
        "secret_access_key": **secret_access_key,
    }))
}
