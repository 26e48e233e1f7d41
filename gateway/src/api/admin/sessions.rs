//! Ends sessions, as AWS's console does.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html>

use serde_json::{Value, json};

use super::Admin;
use super::error::AdminError;
use crate::iam::iso8601;

/// The policy that ends sessions, as AWS's console calls it.
pub const REVOKED: &str = "AWSRevokeOlderSessions";

/// A policy that lets nothing be done with credentials that were given before this time.
pub fn policy_before(before: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Deny",
            "Action": ["*"],
            "Resource": ["*"],
            "Condition": { "DateLessThan": { "aws:TokenIssueTime": before } },
        }],
    })
}

/// RevokeRoleSessions, RevokeUserSessions: all sessions that there are now may do nothing any more. `kind`: `Role`, `User`. The caller
/// needs `iam:PutRolePolicy` or `iam:PutUserPolicy` too.
pub(super) async fn revoke(admin: &Admin<'_>, kind: &str, name: &str) -> Result<Value, AdminError> {
    // Times have whole seconds: one that is issued in this second is to end too.
    let before = iso8601(admin.global_keys.now_unix_ms / 1000 + 1);
    let (action, parameter) = (format!("Put{kind}Policy"), format!("{kind}Name"));
    let policy = policy_before(&before).to_string();
    let parameters =
        [(parameter.as_str(), name), ("PolicyName", REVOKED), ("PolicyDocument", policy.as_str())];
    admin.iam(&action, &parameters).await?;
    Ok(json!({ "policy": REVOKED, "revoked_before": before }))
}
