//! OpenID Connect providers, whose users may act as roles.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html>

use super::context::About;
use super::page::Page;
use super::quota::Quota;
use super::rules::{self, ARN, Rule, URL, constrained};
use super::{Change, Request, tag};
use crate::api::query::{Answer, Code, Parameters, Refusal, list, texts, time};
use crate::federation::oidc::is_issuer;
use crate::iam::{Account, AccountState, IamError, OidcProvider};

const PARAMETER: &str = "OpenIDConnectProviderArn";
const CLIENT_ID: Rule = Rule::of_len(1, 255);
const MAX_THUMBPRINTS: usize = 5;

/// `CreateOpenIDConnectProvider`:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html>
pub(super) fn create(request: &Request<'_>) -> Result<Change, Refusal> {
    let parameters = request.parameters();
    let url = rules::required(parameters, "Url", URL)?;
    if !is_issuer(url) {
        return Err(Refusal::new(Code::ValidationError, "Invalid Open ID Connect Provider URL"));
    }
    let url = url.to_owned();
    let client_ids = client_ids(parameters)?;
    let thumbprints = thumbprints(parameters)?;
    let tags = tag::read(parameters, false)?;
    let name = url.split_once("://").map_or(url.as_str(), |(_, name)| name).to_owned();
    request.authorize(&arn(request.account(), &name))?;
    Ok(Box::new(move |draft| {
        if draft.providers.contains_key(&name) {
            return Err(IamError::EntityAlreadyExists(format!("Provider with url {url} already exists.")));
        }
        Quota::Providers.check(draft.providers.len() + 1)?;
        Quota::ClientIds.check(client_ids.len())?;
        let provider = OidcProvider {
            url: url.clone(),
            client_ids: client_ids.clone(),
            thumbprints: thumbprints.clone(),
            created_unix_ms: draft.now_unix_ms(),
            tags: tags.clone(),
        };
        draft.put_provider(provider);
        Ok(Answer::of(|xml| {
            xml.text(PARAMETER, &arn(&draft.account, &name));
            tag::write_some(xml, &tags);
        }))
    }))
}

fn client_ids(parameters: &Parameters) -> Result<Vec<String>, Refusal> {
    let ids = parameters.list("ClientIDList");
    if ids.iter().any(|id| CLIENT_ID.broken_by(id).is_some()) {
        let constraint = "Member must satisfy constraint: [Member must have length less than or equal to 255, Member must have length greater than or equal to 1]";
        return Err(constrained("clientIDList", constraint));
    }
    let mut unique: Vec<String> = Vec::new();
    for id in ids {
        if !unique.iter().any(|known| known == id) {
            unique.push(id.to_owned());
        }
    }
    Ok(unique)
}

fn thumbprints(parameters: &Parameters) -> Result<Vec<String>, Refusal> {
    let thumbprints = parameters.list("ThumbprintList");
    if thumbprints.len() > MAX_THUMBPRINTS {
        return Err(Refusal::new(Code::InvalidInput, "Thumbprint list must contain fewer than 5 entries."));
    }
    if thumbprints.iter().any(|thumbprint| thumbprint.len() != 40) {
        let constraint = "Member must satisfy constraint: [Member must have length less than or equal to 40, Member must have length greater than or equal to 40]";
        return Err(constrained("thumbprintList", constraint));
    }
    if !thumbprints.iter().all(|thumbprint| thumbprint.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Err(Refusal::new(Code::InvalidInput, "A thumbprint must be a SHA-1 in hexadecimal digits."));
    }
    Ok(thumbprints.into_iter().map(str::to_owned).collect())
}

fn arn(account: &Account, name: &str) -> String {
    account.iam_arn(&format!("oidc-provider/{name}"))
}

/// The provider that a request names: its name. Whether the caller may is asked.
fn named(request: &Request<'_>) -> Result<String, Refusal> {
    let given = rules::required(request.parameters(), PARAMETER, ARN)?;
    let name = given.strip_prefix(&arn(request.account(), ""));
    let provider = name.and_then(|name| request.state.providers.get(name));
    let tags = provider.map(|provider| provider.tags.as_slice()).unwrap_or_default();
    request.authorize_about(given, About { tags, boundary: None })?;
    if name.is_none() && !given.contains(":oidc-provider/") {
        return Err(Refusal::new(Code::InvalidInput, format!("Invalid ARN: {given}")));
    }
    Ok(name.unwrap_or(given).to_owned())
}

fn found<'a>(account: &'a AccountState, name: &str) -> Result<&'a OidcProvider, IamError> {
    let missing = || {
        let arn = arn(&account.account, name);
        IamError::NoSuchEntity(format!("OpenIDConnect Provider not found for arn {arn}"))
    };
    account.providers.get(name).map(|provider| &**provider).ok_or_else(missing)
}

/// `GetOpenIDConnectProvider`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetOpenIDConnectProvider.html>
pub(super) fn get(request: &Request<'_>) -> Result<Answer, Refusal> {
    let name = named(request)?;
    let provider = found(&request.state, &name)?;
    Ok(Answer::of(|xml| {
        xml.text("Url", provider.name());
        texts(xml, "ClientIDList", &provider.client_ids);
        texts(xml, "ThumbprintList", &provider.thumbprints);
        time(xml, "CreateDate", provider.created_unix_ms);
        tag::write(xml, &provider.tags);
    }))
}

/// `ListOpenIDConnectProviders`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListOpenIDConnectProviders.html>
pub(super) fn list_all(request: &Request<'_>) -> Result<Answer, Refusal> {
    request.authorize("*")?;
    Ok(Answer::of(|xml| {
        list(xml, "OpenIDConnectProviderList", request.state.providers.keys(), |xml, name| {
            xml.text("Arn", &arn(request.account(), name));
        });
    }))
}

/// `DeleteOpenIDConnectProvider`:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteOpenIDConnectProvider.html>
pub(super) fn delete(request: &Request<'_>) -> Result<Change, Refusal> {
    let name = named(request)?;
    Ok(Box::new(move |draft| {
        if !draft.providers.contains_key(&name) {
            let arn = arn(&draft.account, &name);
            return Err(IamError::NoSuchEntity(format!("OpenId connect Provider {arn} cannot be found.")));
        }
        draft.remove_provider(&name);
        Ok(Answer::empty())
    }))
}

/// `AddClientIDToOpenIDConnectProvider`:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_AddClientIDToOpenIDConnectProvider.html>
pub(super) fn add_client_id(request: &Request<'_>) -> Result<Change, Refusal> {
    let id = rules::required(request.parameters(), "ClientID", CLIENT_ID)?.to_owned();
    changed(request, move |provider| {
        if !provider.client_ids.contains(&id) {
            Quota::ClientIds.check(provider.client_ids.len() + 1)?;
            provider.client_ids.push(id.clone());
        }
        Ok(())
    })
}

/// `RemoveClientIDFromOpenIDConnectProvider`:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_RemoveClientIDFromOpenIDConnectProvider.html>
pub(super) fn remove_client_id(request: &Request<'_>) -> Result<Change, Refusal> {
    let id = rules::required(request.parameters(), "ClientID", CLIENT_ID)?.to_owned();
    changed(request, move |provider| {
        provider.client_ids.retain(|known| *known != id);
        Ok(())
    })
}

/// `UpdateOpenIDConnectProviderThumbprint`:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateOpenIDConnectProviderThumbprint.html>
pub(super) fn update_thumbprints(request: &Request<'_>) -> Result<Change, Refusal> {
    let thumbprints = thumbprints(request.parameters())?;
    changed(request, move |provider| {
        provider.thumbprints.clone_from(&thumbprints);
        Ok(())
    })
}

/// `TagOpenIDConnectProvider`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_TagOpenIDConnectProvider.html>
pub(super) fn put_tags(request: &Request<'_>) -> Result<Change, Refusal> {
    let tags = tag::read(request.parameters(), false)?;
    changed(request, move |provider| tag::add(&mut provider.tags, &tags, false))
}

/// `UntagOpenIDConnectProvider`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_UntagOpenIDConnectProvider.html>
pub(super) fn delete_tags(request: &Request<'_>) -> Result<Change, Refusal> {
    let keys = tag::keys(request.parameters())?;
    changed(request, move |provider| {
        tag::remove(&mut provider.tags, &keys, false);
        Ok(())
    })
}

/// `ListOpenIDConnectProviderTags`:
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListOpenIDConnectProviderTags.html>
pub(super) fn list_tags(request: &Request<'_>) -> Result<Answer, Refusal> {
    let page = Page::of(request.parameters())?;
    let name = named(request)?;
    Ok(tag::listed(&page, &found(&request.state, &name)?.tags))
}

fn changed(
    request: &Request<'_>,
    change: impl Fn(&mut OidcProvider) -> Result<(), IamError> + Send + Sync + 'static,
) -> Result<Change, Refusal> {
    let name = named(request)?;
    Ok(Box::new(move |draft| {
        let mut provider = found(draft, &name)?.clone();
        change(&mut provider)?;
        draft.put_provider(provider);
        Ok(Answer::empty())
    }))
}
