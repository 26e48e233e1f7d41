//! Access keys of users, and of the root user.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_access-keys.html>

use super::kind::Kind;
use super::page::Page;
use super::quota::Quota;
use super::rules::{self, ACCESS_KEY_ID};
use super::{Change, Request};
use crate::api::query::{Answer, Code, Refusal, list, now_unix_ms, time};
use crate::api::xml::XmlWriter;
use crate::iam::{AccessKey, AccessKeyRecord, AccountState, IamError, User, access_key};

/// Whose access keys: of a user by name, or of the root user.
#[derive(Debug, Clone)]
struct Whose(Option<String>);

impl Whose {
    /// `UserName`, or else the caller. Whether the caller may is asked.
    fn of(request: &Request<'_>) -> Result<Self, Refusal> {
        let name = match request.parameters().get(User::NAME) {
            Some(_) => Some(rules::name_of::<User>(request.parameters())?),
            None => request.calling_user()?,
        };
        match name {
            Some(name) => request.authorize_named::<User>(name)?,
            None => request.authorize(&request.account().iam_arn("root"))?,
        }
        let shown = |name| request.state.users.find(name).map_or(name, |user| &user.name).to_owned();
        Ok(Self(name.map(shown)))
    }

    /// The user's id; `None` of the root user.
    fn id(&self, account: &AccountState) -> Result<Option<String>, IamError> {
        self.0.as_deref().map(|name| Ok(account.users.get(name)?.id.clone())).transpose()
    }

    fn write(&self, xml: &mut XmlWriter) {
        xml.optional(User::NAME, self.0.as_deref());
    }
}

/// `CreateAccessKey`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateAccessKey.html>
pub(super) fn create(request: &Request<'_>) -> Result<Change, Refusal> {
    let whose = Whose::of(request)?;
    let user = whose.id(&request.state)?;
    let (id, secret) = access_key();
    let of = (request.account().id.as_str(), user.as_deref());
    let record = request.call.app.iam.seal_access_key(&id, &secret, of, now_unix_ms());
    Ok(Box::new(move |draft| {
        // Meanwhile somebody else may have the name.
        if whose.id(draft)? != record.user {
            return Err(IamError::ConcurrentModification);
        }
        Quota::AccessKeysPerUser.check(draft.access_keys_of(record.user.as_deref()).count() + 1)?;
        draft.put_access_key(record.clone());
        Ok(Answer::of(|xml| {
            xml.open("AccessKey");
            write(xml, &whose, &record);
            xml.text("SecretAccessKey", &secret);
            xml.close("AccessKey");
        }))
    }))
}

/// An access key whose id and secret are chosen by who makes it, as clients of MinIO do. The user's one of the same id gets this secret.
pub(super) fn put(request: &Request<'_>, id: &str, secret: &str) -> Result<Change, Refusal> {
    let whose = Whose::of(request)?;
    let user = whose.id(&request.state)?;
    let iam = request.call.app.iam.clone();
    let of = (request.account().id.as_str(), user.as_deref());
    let record = iam.seal_access_key(id, secret, of, now_unix_ms());
    Ok(Box::new(move |draft| {
        if whose.id(draft)? != record.user {
            return Err(IamError::ConcurrentModification);
        }
        // No two accounts have the same id.
        match iam.state().access_keys.get(&record.id).map(|known| &known.record) {
            None => {
                let has = draft.access_keys_of(record.user.as_deref()).count();
                Quota::AccessKeysPerUser.check(has + 1)?;
            }
            Some(known) if known.account == record.account && known.user == record.user => {}
            Some(_) => {
                let message = format!("The Access Key with id {} already exists.", record.id);
                return Err(IamError::EntityAlreadyExists(message));
            }
        }
        draft.put_access_key(record.clone());
        Ok(Answer::empty())
    }))
}

/// `ListAccessKeys`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListAccessKeys.html>
pub(super) fn list_all(request: &Request<'_>) -> Result<Answer, Refusal> {
    let page = Page::of(request.parameters())?;
    let whose = Whose::of(request)?;
    let user = whose.id(&request.state)?;
    let access_keys = request.state.access_keys_of(user.as_deref());
    let listed = page.cut(access_keys.map(|access_key| (access_key.record.id.clone(), access_key)));
    Ok(Answer::of(|xml| {
        whose.write(xml);
        listed.write_end(xml);
        list(xml, "AccessKeyMetadata", &listed.rows, |xml, access_key| {
            write(xml, &whose, &access_key.record)
        });
    }))
}

/// `UpdateAccessKey`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateAccessKey.html>
pub(super) fn update(request: &Request<'_>) -> Result<Change, Refusal> {
    let parameters = request.parameters();
    let id = id(request)?.to_owned();
    let states = ["Active", "Inactive", "Expired"];
    let status = rules::one_of(parameters, "Status", &states)?;
    let status = status.ok_or_else(|| rules::missing("status"))?;
    if status == "Expired" {
        return Err(Refusal::new(Code::InvalidInput, "An access key can't be set to Expired."));
    }
    let is_active = status == "Active";
    let whose = Whose::of(request)?;
    Ok(Box::new(move |draft| {
        let record = kept(draft, &whose, &id)?.clone();
        draft.put_access_key(AccessKeyRecord { is_active, ..record });
        Ok(Answer::empty())
    }))
}

/// `DeleteAccessKey`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteAccessKey.html>
pub(super) fn delete(request: &Request<'_>) -> Result<Change, Refusal> {
    let id = id(request)?.to_owned();
    let whose = Whose::of(request)?;
    Ok(Box::new(move |draft| {
        kept(draft, &whose, &id)?;
        draft.remove_access_key(&id);
        Ok(Answer::empty())
    }))
}

/// `AccessKeyId`. One that there is may break the rule for ids: clients of MinIO choose them.
fn id<'a>(request: &'a Request<'_>) -> Result<&'a str, Refusal> {
    match request.parameters().get("AccessKeyId") {
        Some(id) if request.state.access_keys.contains_key(id) => Ok(id),
        _ => rules::required(request.parameters(), "AccessKeyId", ACCESS_KEY_ID),
    }
}

/// The access key of this id, if it is his. The one of the gateway's own settings is not changed here.
fn kept<'a>(account: &'a AccountState, whose: &Whose, id: &str) -> Result<&'a AccessKeyRecord, IamError> {
    let user = whose.id(account)?;
    let found = account.access_keys.get(id).map(|access_key| &access_key.record);
    match found.filter(|record| record.user == user) {
        None => Err(IamError::NoSuchEntity(format!("The Access Key with id {id} cannot be found."))),
        Some(record) if record.sealed_secret.is_empty() => {
            let message =
                format!("The Access Key with id {id} is part of the gateway's settings, and changed there.");
            Err(IamError::UnmodifiableEntity(message))
        }
        Some(record) => Ok(record),
    }
}

/// `GetAccessKeyLastUsed`: <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccessKeyLastUsed.html>
pub(super) fn last_used(request: &Request<'_>) -> Result<Answer, Refusal> {
    let id = id(request)?;
    let access_key = request.state.access_keys.get(id);
    let name = access_key.and_then(|access_key| owner(&request.state, access_key));
    match &name {
        Some(name) => request.authorize_named::<User>(name)?,
        None => request.authorize(&request.account().iam_arn("root"))?,
    }
    let Some(access_key) = access_key else {
        // AWS does not tell apart whether there is none, or whether it is somebody else's.
        let who = request.call.identity.arn();
        let message = format!(
            "User: {who} is not authorized to perform iam:GetAccessKeyLastUsed on resource: access key {id}"
        );
        return Err(Refusal::new(Code::AccessDenied, message));
    };
    let used = access_key.last_used.get();
    Ok(Answer::of(|xml| {
        xml.optional(User::NAME, name.as_deref());
        xml.open("AccessKeyLastUsed");
        if let Some(used) = &used {
            time(xml, "LastUsedDate", used.unix_ms);
        }
        xml.text("ServiceName", used.as_ref().map_or("N/A", |used| &used.service));
        xml.text("Region", used.as_ref().map_or("N/A", |used| &used.region));
        xml.close("AccessKeyLastUsed");
    }))
}

/// The name of the user whose it is; none of the root user's.
fn owner(account: &AccountState, access_key: &AccessKey) -> Option<String> {
    Some(account.users.by_id(access_key.record.user.as_deref()?)?.name.clone())
}

fn write(xml: &mut XmlWriter, whose: &Whose, record: &AccessKeyRecord) {
    whose.write(xml);
    xml.text("AccessKeyId", &record.id);
    xml.text("Status", if record.is_active { "Active" } else { "Inactive" });
    time(xml, "CreateDate", record.created_unix_ms);
}
