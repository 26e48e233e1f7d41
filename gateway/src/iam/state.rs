//! Everything that IAM knows, in memory: replaced as a whole when something changes, so that a request sees one state of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kms_core::policy::{IdentityPolicies, PolicySet, Subject};
use parking_lot::RwLock;
use storage::catalog::ShelfState;

use super::account::Account;
use super::error::IamError;
use super::model::{AccessKey, Group, ManagedPolicy, OidcProvider, Role, User};

/// Something that has a name within its account.
pub trait Entity: Clone + serde::Serialize + serde::de::DeserializeOwned {
    /// What messages call it.
    const KIND: &'static str;
    /// With what its ARN begins, behind the account: `user`, `role`, ….
    const RESOURCE: &'static str;

    /// Its unique id.
    fn id(&self) -> &str;
    /// Its name.
    fn name(&self) -> &str;
    /// Its path.
    fn path(&self) -> &str;

    /// Its ARN.
    fn arn(&self, account: &Account) -> String {
        account.iam_arn(&format!("{}{}{}", Self::RESOURCE, self.path(), self.name()))
    }
}

macro_rules! entity {
    ($($type:ident $kind:literal $resource:literal),*) => {$(
        impl Entity for $type {
            const KIND: &'static str = $kind;
            const RESOURCE: &'static str = $resource;

            fn id(&self) -> &str {
                &self.id
            }

            fn name(&self) -> &str {
                &self.name
            }

            fn path(&self) -> &str {
                &self.path
            }
        }
    )*};
}
entity!(User "user" "user", Group "group" "group", Role "role" "role", ManagedPolicy "policy" "policy");

/// The entities of one kind, by name and by id. Case does not tell two names apart; where two that differ in nothing else are kept
/// nevertheless, each is found by its own spelling alone.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateUser.html>
#[derive(Debug, Clone)]
pub struct Named<T> {
    /// By the name in lower case, then by the id.
    by_name: BTreeMap<(String, String), Arc<T>>,
    /// Names in lower case, by id.
    names: HashMap<String, String>,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self { by_name: BTreeMap::new(), names: HashMap::new() }
    }
}

impl<T: Entity> Named<T> {
    /// The one of this name.
    pub fn get(&self, name: &str) -> Result<&Arc<T>, IamError> {
        self.find(name).ok_or_else(|| IamError::no_such(T::KIND, name))
    }

    /// The one of this name, in whatever case; of several the one of this very name.
    pub fn find(&self, name: &str) -> Option<&Arc<T>> {
        let mut alike = self.alike(name);
        match (alike.next()?, alike.next()) {
            (only, None) => Some(only),
            _ => self.exact(name),
        }
    }

    /// The one of this very name: ARNs tell cases apart.
    pub fn exact(&self, name: &str) -> Option<&Arc<T>> {
        self.alike(name).find(|entity| entity.name() == name)
    }

    /// Those whose names differ from this one in case at most.
    pub fn alike(&self, name: &str) -> impl Iterator<Item = &Arc<T>> {
        let name = name.to_lowercase();
        let first = (name.clone(), String::new());
        self.by_name
            .range(first..)
            .take_while(move |((known, _), _)| *known == name)
            .map(|(_, entity)| entity)
    }

    /// Is the name taken, in whatever case?
    pub fn has_name(&self, name: &str) -> bool {
        self.alike(name).next().is_some()
    }

    /// The one of this id.
    pub fn by_id(&self, id: &str) -> Option<&Arc<T>> {
        self.by_name.get(&(self.names.get(id)?.clone(), id.to_owned()))
    }

    /// The one whose ARN ends so, behind the account and the kind: `/path/name`.
    pub fn by_path_and_name(&self, path_and_name: &str) -> Option<&Arc<T>> {
        let (path, name) = path_and_name.split_at(path_and_name.rfind('/')? + 1);
        self.exact(name).filter(|entity| entity.path() == path)
    }

    /// All, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.by_name.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    pub(super) fn insert(&mut self, entity: Arc<T>) {
        self.remove(entity.id());
        let (name, id) = (entity.name().to_lowercase(), entity.id().to_owned());
        self.names.insert(id.clone(), name.clone());
        self.by_name.insert((name, id), entity);
    }

    pub(super) fn remove(&mut self, id: &str) {
        if let Some(name) = self.names.remove(id) {
            self.by_name.remove(&(name, id.to_owned()));
        }
    }
}

/// An account and what it has.
#[derive(Debug)]
pub struct AccountState {
    /// The account.
    pub account: Arc<Account>,
    /// Its users.
    pub users: Named<User>,
    /// Its groups.
    pub groups: Named<Group>,
    /// Its roles.
    pub roles: Named<Role>,
    /// Its own managed policies.
    pub policies: Named<ManagedPolicy>,
    /// Its OpenID Connect providers, by name: the URL without its scheme.
    pub providers: BTreeMap<String, Arc<OidcProvider>>,
    /// Its access keys, by id.
    pub access_keys: BTreeMap<String, Arc<AccessKey>>,
    /// What policies see of users and roles, made when first asked for in this state.
    pub(super) seen: RwLock<HashMap<String, Seen>>,
}

/// What policies see of a user (or of the root user), or of a role (whose sessions add to it).
#[derive(Debug, Clone)]
pub(super) enum Seen {
    User(Arc<Subject>),
    Role(Arc<RolePolicies>),
}

/// What a role may have.
#[derive(Debug)]
pub struct RolePolicies {
    /// Its identity policies.
    pub identity: Arc<PolicySet>,
    /// Its permissions boundary.
    pub boundary: Option<Arc<PolicySet>>,
}

impl Clone for AccountState {
    fn clone(&self) -> Self {
        Self {
            account: self.account.clone(),
            users: self.users.clone(),
            groups: self.groups.clone(),
            roles: self.roles.clone(),
            policies: self.policies.clone(),
            providers: self.providers.clone(),
            access_keys: self.access_keys.clone(),
            // What is seen depends on all of it.
            seen: RwLock::default(),
        }
    }
}

impl AccountState {
    /// An account that has nothing yet.
    pub fn new(account: Account) -> Self {
        Self {
            account: Arc::new(account),
            users: Named::default(),
            groups: Named::default(),
            roles: Named::default(),
            policies: Named::default(),
            providers: BTreeMap::new(),
            access_keys: BTreeMap::new(),
            seen: RwLock::default(),
        }
    }

    /// The access keys of a user; of the root user where `user_id` is `None`.
    pub fn access_keys_of(&self, user_id: Option<&str>) -> impl Iterator<Item = &Arc<AccessKey>> {
        self.access_keys.values().filter(move |access_key| access_key.record.user.as_deref() == user_id)
    }

    /// The groups of a user, in order of joining: those that are there, see [`AccountState::missing_groups_of`].
    pub fn groups_of(&self, user: &User) -> impl Iterator<Item = &Arc<Group>> {
        user.groups.iter().filter_map(|id| self.groups.by_id(id))
    }

    /// The unique id of the user, role or session of this ARN, if there is one in this account: of a session `AROA…:name`.
    pub fn id_of(&self, arn: &str) -> Option<String> {
        let mut fields = arn.splitn(6, ':').skip(2);
        let (service, _, account, resource) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        if account != self.account.id {
            return None;
        }
        let (kind, rest) = resource.split_at(resource.find('/')?);
        match (service, kind) {
            ("iam", "user") => Some(self.users.by_path_and_name(rest)?.id.clone()),
            ("iam", "role") => Some(self.roles.by_path_and_name(rest)?.id.clone()),
            ("sts", "assumed-role") => {
                let (role, session) = rest[1..].split_once('/')?;
                Some(format!("{}:{session}", self.roles.exact(role)?.id))
            }
            _ => None,
        }
    }

    /// The ARN of the user, role or session of this unique id, if there is one in this account.
    pub fn arn_of(&self, id: &str) -> Option<String> {
        if let Some((role, session)) = id.split_once(':') {
            let name = &self.roles.by_id(role)?.name;
            return Some(format!("arn:aws:sts::{}:assumed-role/{name}/{session}", self.account.id));
        }
        let user = self.users.by_id(id).map(|user| user.arn(&self.account));
        user.or_else(|| Some(self.roles.by_id(id)?.arn(&self.account)))
    }
}

/// All accounts.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub(super) shelf: ShelfState,
    /// By id.
    pub accounts: BTreeMap<String, Arc<AccountState>>,
    /// The access keys of all accounts, by id.
    pub access_keys: HashMap<String, Arc<AccessKey>>,
}

impl State {
    /// The account of this id.
    pub fn account(&self, id: &str) -> Option<&Arc<AccountState>> {
        self.accounts.get(id)
    }

    /// The account of this canonical user id.
    pub fn by_canonical_id(&self, canonical_id: &str) -> Option<&Arc<Account>> {
        let mut accounts = self.accounts.values().map(|state| &state.account);
        accounts.find(|account| account.canonical_id == canonical_id)
    }

    /// The accounts that give this email address.
    pub fn by_email(&self, email: &str) -> impl Iterator<Item = &Arc<Account>> {
        let accounts = self.accounts.values().map(|state| &state.account);
        accounts.filter(move |account| !email.is_empty() && account.email == email)
    }

    /// The account that an ARN of IAM or STS names, or a number of 12 digits.
    pub fn account_in(&self, principal: &str) -> Option<&Arc<AccountState>> {
        let number = principal.strip_prefix("arn:").map_or(Some(principal), |_| principal.split(':').nth(4));
        self.accounts.get(number?)
    }

    /// The principal of this ARN as policies see it. Of one who does not exist there is the name alone; a role is seen as its sessions are.
    pub fn subject(&self, arn: &str) -> Arc<Subject> {
        let found = self.account_in(arn).and_then(|account| {
            let id = account.id_of(arn);
            if arn.ends_with(":root") {
                return Some(account.root_subject());
            }
            let id = id?;
            if let Some(user) = account.users.by_id(&id) {
                return Some(account.user_subject(user));
            }
            let role = account.roles.by_id(id.split(':').next().unwrap_or_default())?;
            let policies = account.role_policies(role);
            Some(Arc::new(Subject {
                itself: vec![arn.to_owned(), id],
                role: vec![role.arn(&account.account), role.id.clone()],
                identity: IdentityPolicies::These(policies.identity.clone()),
                boundary: policies.boundary.clone(),
                ..Subject::named(arn)
            }))
        });
        found.unwrap_or_else(|| Arc::new(Subject::named(arn)))
    }

    /// The ARN of the user, role or session of this unique id, whichever account has it.
    pub fn arn_of(&self, id: &str) -> Option<String> {
        self.accounts.values().find_map(|account| account.arn_of(id))
    }
}
