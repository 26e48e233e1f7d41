//! What users, groups and roles have in common: policies.

use anyhow::Result;

use super::client::{Client, text};
use super::refusal::AskError;
use crate::api::admin::{REVOKED, policy_before};
use crate::iam::iso8601;

/// A user, a group or a role.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    /// As actions call it: `User`.
    kind: &'static str,
    /// What its name is called: `UserName`.
    parameter: &'static str,
    pub(super) name: String,
}

impl Holder {
    pub(super) fn user(name: String) -> Self {
        Self { kind: "User", parameter: "UserName", name }
    }

    pub(super) fn group(name: String) -> Self {
        Self { kind: "Group", parameter: "GroupName", name }
    }

    pub(super) fn role(name: String) -> Self {
        Self { kind: "Role", parameter: "RoleName", name }
    }

    /// `user alice`.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.kind.to_ascii_lowercase(), self.name)
    }

    /// The parameter that names it.
    fn named(&self) -> (&'static str, &str) {
        (self.parameter, &self.name)
    }

    pub(super) fn attach(&self, client: &Client, arn: &str) -> Result<(), AskError> {
        let action = format!("Attach{}Policy", self.kind);
        client.ask(&action, &[self.named(), ("PolicyArn", arn)]).map(drop)
    }

    pub(super) fn detach(&self, client: &Client, arn: &str) -> Result<(), AskError> {
        let action = format!("Detach{}Policy", self.kind);
        client.ask(&action, &[self.named(), ("PolicyArn", arn)]).map(drop)
    }

    /// ARNs of its managed policies.
    pub(super) fn attached(&self, client: &Client) -> Result<Vec<String>, AskError> {
        let action = format!("ListAttached{}Policies", self.kind);
        let rows = client.all(&action, &[self.named()], "AttachedPolicies")?;
        Ok(rows.iter().map(|row| text(row, "PolicyArn").to_owned()).collect())
    }

    /// Names of its inline policies.
    pub(super) fn inline(&self, client: &Client) -> Result<Vec<String>, AskError> {
        let action = format!("List{}Policies", self.kind);
        let rows = client.all(&action, &[self.named()], "PolicyNames")?;
        Ok(rows.into_iter().map(|row| row.text).collect())
    }

    /// Deletes it, and with `force` its policies before; `first` takes away what else it has.
    pub(super) fn delete(
        &self,
        client: &Client,
        force: bool,
        first: impl FnOnce() -> Result<(), AskError>,
    ) -> Result<()> {
        if force {
            first()?;
            for arn in self.attached(client)? {
                self.detach(client, &arn)?;
            }
            for policy in self.inline(client)? {
                let action = format!("Delete{}Policy", self.kind);
                client.ask(&action, &[self.named(), ("PolicyName", &policy)])?;
            }
        }
        client.ask(&format!("Delete{}", self.kind), &[self.named()])?;
        client.say(&format!("{} is deleted", self.title()));
        Ok(())
    }

    /// Ends all sessions that there are, by a policy as AWS's console makes it.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html>
    pub(super) fn revoke_sessions(&self, client: &Client) -> Result<()> {
        // Times have whole seconds: one that is issued in this second is to end too.
        let before = iso8601(crate::api::query::now_unix_ms() / 1000 + 1);
        let action = format!("Put{}Policy", self.kind);
        let policy = policy_before(&before).to_string();
        client.ask(&action, &[self.named(), ("PolicyName", REVOKED), ("PolicyDocument", &policy)])?;
        client.say(&format!(
            "sessions of {} from before {before} may do nothing any more (policy {REVOKED})",
            self.title()
        ));
        Ok(())
    }
}

/// Adds somebody to a group, or takes him out.
pub(super) fn membership(client: &Client, action: &str, group: &str, user: &str) -> Result<(), AskError> {
    client.ask(action, &[("GroupName", group), ("UserName", user)]).map(drop)
}
