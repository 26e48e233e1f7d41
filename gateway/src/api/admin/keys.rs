//! What a KMS key protects, and who may use it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kms_core::context::EncryptionContext;
use kms_core::error::KmsError;
use kms_core::kms::{Caller, Entry};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::Admin;
use super::dependents::CountDependents;
use super::error::AdminError;
use crate::iam::Entity;

/// How long a request counts what needs a key; what it found until then is told with `complete: false`.
const COUNT_FOR: Duration = Duration::from_secs(20);
/// Counts at a time: each reads every record.
static COUNTING: Semaphore = Semaphore::const_new(2);
/// Principals that are asked about at the most.
const MAX_PRINCIPALS: usize = 1000;
/// Decisions between two looks at what else is to be done.
const DECISIONS_AT_ONCE: usize = 32;
/// Buckets that are named.
const MAX_BUCKETS: usize = 1000;

/// GetKeyDependents.
pub(super) async fn dependents(admin: &Admin<'_>, action: &str, id: &str) -> Result<Value, AdminError> {
    let entry = key(admin, action, id)?;
    let _turn = COUNTING
        .try_acquire()
        .map_err(|_| AdminError::busy("Others count dependents just now. Try again in a minute."))?;
    let mut counting = CountDependents::of(admin.app, admin.app.kms.arn(&entry.key));
    let began = Instant::now();
    let is_complete = loop {
        if !counting.step().await? {
            break true;
        }
        if began.elapsed() > COUNT_FOR {
            break false;
        }
    };
    let found = &counting.found;
    Ok(json!({
        "key": counting.arn(),
        "objects": found.objects,
        "bytes": found.bytes,
        "uploads": found.uploads,
        "buckets": found.buckets,
        "default_of": found.default_of.iter().take(MAX_BUCKETS).collect::<Vec<_>>(),
        "versions_looked_at": found.versions_looked_at,
        "complete": is_complete,
    }))
}

/// GetKeyAccess: users, roles and the root user of the key's account, and whether each may do something to it.
pub(super) async fn who_can(admin: &Admin<'_>, action: &str, id: &str) -> Result<Value, AdminError> {
    let entry = key(admin, action, id)?;
    let asked = admin.query.get("action").filter(|action| !action.is_empty()).unwrap_or("kms:Decrypt");
    if !asked.starts_with("kms:") {
        return Err(AdminError::invalid("The parameter action must be one of KMS, such as kms:Decrypt."));
    }
    let context: EncryptionContext = match admin.query.get("context").filter(|text| !text.is_empty()) {
        None => EncryptionContext::new(),
        Some(text) => serde_json::from_str::<std::collections::BTreeMap<String, String>>(text)
            .map_err(|_| AdminError::invalid("The parameter context must be a JSON object of strings."))?
            .into_iter()
            .collect(),
    };
    let via_service = admin.query.get("via").filter(|via| !via.is_empty()).map(str::to_owned);
    let state = admin.app.iam.state();
    let Some(account) = state.account(&entry.key.account) else {
        return Err(AdminError::not_found("The account of the key does not exist any more."));
    };
    let root = account.account.iam_arn("root");
    let users = account.users.iter().map(|user| user.arn(&account.account));
    let roles = account.roles.iter().map(|role| role.arn(&account.account));
    let count = 1 + account.users.len() + account.roles.len();
    let mut principals = Vec::new();
    for arn in [root].into_iter().chain(users).chain(roles).take(MAX_PRINCIPALS) {
        let caller = Caller {
            via_service: via_service.clone(),
            request_id: admin.request_id.into(),
            ..Caller::of(state.subject(&arn))
        };
        let (allowed, why) = match admin.app.kms.explain(&caller, asked, &entry.key.id.to_string(), &context)
        {
            Ok(None) => (true, "The key policy, or a policy that it trusts, allows it.".to_owned()),
            Ok(Some(grant)) => (true, format!("Grant {grant} allows it.")),
            Err(error @ (KmsError::Internal(_) | KmsError::Unavailable(_))) => return Err(error.into()),
            Err(error) => (false, error.to_string()),
        };
        if principals.len() % DECISIONS_AT_ONCE == DECISIONS_AT_ONCE - 1 {
            // Requests come first.
            tokio::task::yield_now().await;
        }
        principals.push(json!({ "principal": arn, "allowed": allowed, "why": why }));
    }
    Ok(json!({
        "key": admin.app.kms.arn(&entry.key),
        "action": asked,
        "principals": principals,
        "truncated": count > MAX_PRINCIPALS,
    }))
}

/// The key that is named, if the caller may do this to it. Of another account's key nobody is told that it exists.
fn key(admin: &Admin<'_>, action: &str, id: &str) -> Result<Arc<Entry>, AdminError> {
    let kms = &admin.app.kms;
    let entry = match id.strip_prefix("alias/") {
        Some(_) => kms.find(&format!("arn:aws:kms:{}:{}:{id}", kms.region(), admin.account)),
        None => kms.find(id),
    };
    let entry = entry.ok().filter(|entry| admin.is_main || entry.key.account == admin.account);
    let resource = match &entry {
        Some(entry) => kms.arn(&entry.key),
        None => "*".to_owned(),
    };
    match entry {
        // Keys of other accounts have nobody who could allow it: the gateway's own account looks at all of them.
        Some(entry) if entry.key.account != admin.account => {
            admin.authorize(action, "*")?;
            Ok(entry)
        }
        Some(entry) => {
            admin.authorize(action, &resource)?;
            Ok(entry)
        }
        None => {
            admin.authorize(action, &resource)?;
            Err(AdminError::not_found(format!("There is no key {id}.")))
        }
    }
}
