//! The account itself: its alias, and how much it has.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/console_account-alias.html>

use super::page::Page;
use super::quota::Quota;
use super::rules::{self, ALIAS};
use super::{Change, Request};
use crate::api::query::{Answer, Refusal, texts};
use crate::iam::{Account, IamError};

/// `GetAccountSummary`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountSummary.html>
pub(super) fn summary(request: &Request<'_>) -> Result<Answer, Refusal> {
    request.authorize("*")?;
    let state = &request.state;
    let versions: usize = state.policies.iter().map(|policy| policy.versions.len()).sum();
    let has_root_keys = state.access_keys_of(None).next().is_some();
    let counts = [
        ("Users", state.users.len()),
        ("Groups", state.groups.len()),
        ("Roles", state.roles.len()),
        ("Policies", state.policies.len()),
        ("PolicyVersionsInUse", versions),
        ("PolicyVersionsInUseQuota", 10_000),
        ("Providers", state.providers.len()),
        ("AccountAccessKeysPresent", usize::from(has_root_keys)),
        // There are no passwords, devices, certificates and instances.
        ("AccountPasswordPresent", 0),
        ("AccountMFAEnabled", 0),
        ("AccountSigningCertificatesPresent", 0),
        ("MFADevices", 0),
        ("MFADevicesInUse", 0),
        ("ServerCertificates", 0),
        ("ServerCertificatesQuota", 0),
        ("SigningCertificatesPerUserQuota", 0),
        ("InstanceProfiles", 0),
        ("InstanceProfilesQuota", 0),
        ("GlobalEndpointTokenVersion", 2),
    ];
    let quotas = Quota::ALL.iter().map(|quota| (quota.summary_name(), quota.limit()));
    let all = counts.into_iter().chain(quotas.filter(|(name, _)| !name.is_empty()));
    Ok(Answer::of(|xml| {
        xml.open("SummaryMap");
        for (name, value) in all {
            xml.open("entry");
            xml.text("key", name);
            xml.number("value", value as u64);
            xml.close("entry");
        }
        xml.close("SummaryMap");
    }))
}

/// `ListAccountAliases`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListAccountAliases.html>
pub(super) fn list_aliases(request: &Request<'_>) -> Result<Answer, Refusal> {
    let page = Page::of(request.parameters())?;
    request.authorize("*")?;
    let listed = page.cut(request.account().alias.iter().map(|alias| (alias.clone(), alias)));
    Ok(Answer::of(|xml| {
        listed.write_end(xml);
        texts(xml, "AccountAliases", &listed.rows);
    }))
}

/// `CreateAccountAlias`, in the place of the one before:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateAccountAlias.html>
pub(super) fn create_alias(request: &Request<'_>) -> Result<Change, Refusal> {
    let alias = rules::required(request.parameters(), "AccountAlias", ALIAS)?.to_owned();
    request.authorize("*")?;
    let mut accounts = request.all.accounts.values().map(|state| &state.account);
    if accounts.any(|account| account.alias.as_ref() == Some(&alias)) {
        let message = format!("The account alias {alias} already exists.");
        return Err(IamError::EntityAlreadyExists(message).into());
    }
    Ok(Box::new(move |draft| {
        let account = Account { alias: Some(alias.clone()), ..Account::clone(&draft.account) };
        draft.put_account(account);
        Ok(Answer::empty())
    }))
}

/// `DeleteAccountAlias`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteAccountAlias.html>
pub(super) fn delete_alias(request: &Request<'_>) -> Result<Change, Refusal> {
    let alias = rules::required(request.parameters(), "AccountAlias", ALIAS)?.to_owned();
    request.authorize("*")?;
    Ok(Box::new(move |draft| {
        if draft.account.alias.as_ref() != Some(&alias) {
            return Err(IamError::no_such("account alias", &alias));
        }
        let account = Account { alias: None, ..Account::clone(&draft.account) };
        draft.put_account(account);
        Ok(Answer::empty())
    }))
}

/// `GetAccountPasswordPolicy`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountPasswordPolicy.html>
pub(super) fn password_policy(request: &Request<'_>) -> Result<Answer, Refusal> {
    request.authorize("*")?;
    let account = &request.account().id;
    let message = format!("The Password Policy with domain name {account} cannot be found.");
    Err(IamError::NoSuchEntity(message).into())
}
