//! Accounts and what they have: read from the catalog once, asked in memory, changed by one commit at a time.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kms_core::secret::Secret32;
use parking_lot::RwLock;
use storage::catalog::{Catalog, CatalogError, DocumentChange, ShelfState};
use storage::name::Timestamp;
use zeroize::Zeroizing;

use super::account::Account;
use super::draft::Draft;
use super::error::IamError;
use super::identity::{Identity, Principal};
use super::model::{AccessKey, AccessKeyRecord};
use super::opened_session::Opened;
use super::record::{self, SHELF};
use super::session::Session;
use super::state::{AccountState, State};
use super::uses;
use crate::seal::xaes::Xaes;

/// The most session tokens that are kept open.
const MAX_OPENED: usize = 4096;
/// The most accounts.
const MAX_ACCOUNTS: usize = 1000;
/// How often a change is tried when other gateways change the same shelf.
const MAX_ATTEMPTS: u32 = 8;
/// What secrets of access keys are sealed as.
const SECRET_PURPOSE: &str = "access key";

/// Identities: who they are, and what proves it.
pub struct Iam {
    /// May policies name principals who do not exist?
    pub accept_unknown_principals: bool,
    /// Do other gateways change the same?
    pub(super) shared: bool,
    pub(super) catalog: Catalog,
    xaes: Xaes,
    main: Account,
    main_key: Arc<AccessKey>,
    pub(super) current: RwLock<Arc<State>>,
    pub(super) changing: tokio::sync::Mutex<()>,
    opened: RwLock<HashMap<String, Arc<Opened>>>,
}

/// How identities are kept.
#[derive(Debug, Clone, Default)]
pub struct IamOptions {
    /// The account that owns the gateway: 12 digits.
    pub main: String,
    /// Take policies that name principals who do not exist.
    pub accept_unknown_principals: bool,
    /// Take it that documents are gone which nobody took away.
    pub accept_missing_documents: bool,
    /// Other gateways change the same catalog: each change tells them which documents it is of.
    pub shared: bool,
}

/// Why credentials are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialRefusal {
    /// There is no such access key, or it may not be used, or its user or role is gone.
    Unknown,
    /// The session token is not one of ours, or not of this access key.
    Token,
    /// The session has ended.
    Expired,
    /// The account is disabled.
    Account,
}

/// The credential scope of a signature, and when it is judged.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// `yyyyMMdd`.
    pub date: &'a str,
    /// The region.
    pub region: &'a str,
    /// The service.
    pub service: &'a str,
    /// Now, milliseconds since the Unix epoch.
    pub now_unix_ms: u64,
}

impl Iam {
    /// Reads what the catalog has. The root user's access key of the account that owns the gateway is a setting. `secret` seals
    /// secrets of access keys and session tokens.
    pub async fn open(
        catalog: Catalog,
        secret: &Secret32,
        options: IamOptions,
        root: (String, Zeroizing<String>),
    ) -> Result<Self, IamError> {
        let accepts_loss = options.accept_missing_documents;
        let iam = Self::empty(catalog, secret, options, root)?;
        match iam.reload().await {
            Err(IamError::DocumentCount { expected, found }) if accepts_loss => {
                tracing::warn!(expected, found, "documents of identities are missing; that is accepted");
                iam.catalog.recount_documents(SHELF).await.map_err(of_catalog)?;
                iam.reload().await?;
            }
            read => read?,
        }
        Ok(iam)
    }

    /// As [`Iam::open`], of a catalog that has nothing of it yet.
    pub fn empty(
        catalog: Catalog,
        secret: &Secret32,
        options: IamOptions,
        (access_key_id, secret_access_key): (String, Zeroizing<String>),
    ) -> Result<Self, IamError> {
        let main = Account::new(&options.main, "root", "", 0);
        let record = AccessKeyRecord {
            id: access_key_id,
            account: main.id.clone(),
            user: None,
            sealed_secret: String::new(),
            is_active: true,
            created_unix_ms: 0,
        };
        let main_key = Arc::new(AccessKey {
            record,
            secret: Some(secret_access_key),
            signing_keys: Default::default(),
            last_used: Default::default(),
        });
        let main_of = (main.clone(), main_key.clone());
        let state = record::read(ShelfState::default(), (Vec::new(), Vec::new()), main_of, None)?;
        Ok(Self {
            accept_unknown_principals: options.accept_unknown_principals,
            shared: options.shared,
            catalog,
            xaes: Xaes::new(secret),
            main,
            main_key,
            current: RwLock::new(Arc::new(state)),
            changing: Default::default(),
            opened: Default::default(),
        })
    }

    /// Everything as it is now.
    pub fn state(&self) -> Arc<State> {
        self.current.read().clone()
    }

    /// The account that owns the gateway.
    pub fn main_account(&self) -> Arc<Account> {
        let state = self.state();
        state.account(&self.main.id).map_or_else(|| Arc::new(self.main.clone()), |main| main.account.clone())
    }

    /// An account by its id (12 digits).
    pub fn account(&self, id: &str) -> Option<Arc<Account>> {
        self.state().account(id).map(|account| account.account.clone())
    }

    /// Changes an account: `change` drafts it, and may be asked again with a newer state. The change is durable, and felt by the next
    /// request, when this answers.
    pub async fn change<T>(
        &self,
        account: &str,
        change: impl Fn(&mut Draft) -> Result<T, IamError>,
    ) -> Result<T, IamError> {
        let _turn = self.changing.lock().await;
        for _ in 0..MAX_ATTEMPTS {
            let state = self.state();
            let former = state.account(account).ok_or_else(|| IamError::no_such("account", account))?;
            let now_unix_ms = Timestamp::now().unix_ms();
            let mut draft =
                Draft { account: AccountState::clone(former), changes: Default::default(), now_unix_ms };
            let answer = change(&mut draft)?;
            if draft.changes.is_empty() {
                return Ok(answer);
            }
            if self.commit(&state, draft).await? {
                return Ok(answer);
            }
        }
        Err(IamError::ConcurrentModification)
    }

    /// Makes an account, with this access key of its root user.
    ///
    /// # Errors
    /// When its id or email address is another's, there are too many, or the catalog fails.
    pub async fn create_account(
        &self,
        account: Account,
        access_key: Option<AccessKeyRecord>,
    ) -> Result<(), IamError> {
        let _turn = self.changing.lock().await;
        for _ in 0..MAX_ATTEMPTS {
            let state = self.state();
            if state.accounts.contains_key(&account.id) {
                return Err(IamError::exists("Account", &account.id));
            }
            if state.accounts.len() >= MAX_ACCOUNTS {
                return Err(IamError::LimitExceeded(format!(
                    "there are {MAX_ACCOUNTS} accounts, and no more"
                )));
            }
            if state.by_email(&account.email).next().is_some() {
                let message = format!("another account has the address {}", account.email);
                return Err(IamError::EntityAlreadyExists(message));
            }
            let draft_of = AccountState::new(account.clone());
            let now_unix_ms = account.created_unix_ms;
            let mut draft = Draft { account: draft_of, changes: Default::default(), now_unix_ms };
            draft.put_account(account.clone());
            if let Some(access_key) = &access_key {
                draft.put_access_key(access_key.clone());
            }
            if self.commit(&state, draft).await? {
                return Ok(());
            }
        }
        Err(IamError::ConcurrentModification)
    }

    /// Commits a draft that was made of this state; false: the catalog has a newer one, which is read.
    async fn commit(&self, state: &State, draft: Draft) -> Result<bool, IamError> {
        let changes: Vec<DocumentChange> = draft.changes.into_iter().collect();
        let ended = uses::of_ended(&changes);
        let changed = match self.shared {
            true => self.catalog.change_documents_telling(SHELF, state.shelf, changes).await,
            false => self.catalog.change_documents(SHELF, state.shelf, changes).await,
        };
        let shelf = match changed {
            Ok(shelf) => shelf,
            Err(CatalogError::Contended) => {
                self.follow().await?;
                return Ok(false);
            }
            Err(error) => {
                // Whether it was written is not known: what is in the catalog holds.
                let _ = self.reload().await;
                return Err(IamError::Unavailable(error));
            }
        };
        let mut next = state.clone();
        next.shelf = shelf;
        let id = draft.account.account.id.clone();
        next.access_keys.retain(|_, access_key| access_key.record.account != id);
        let own = draft.account.access_keys.iter().map(|(id, key)| (id.clone(), key.clone()));
        next.access_keys.extend(own);
        next.accounts.insert(id, Arc::new(draft.account));
        *self.current.write() = Arc::new(next);
        self.forget_uses(ended).await;
        Ok(true)
    }

    /// Reads everything.
    pub(super) async fn reload(&self) -> Result<(), IamError> {
        let (shelf, documents) = self.catalog.documents(SHELF).await.map_err(of_catalog)?;
        let notes = self.catalog.notes(uses::SHELF).await.map_err(of_catalog)?;
        let former = self.state();
        let main = (self.main.clone(), self.main_key.clone());
        let state = record::read(shelf, (documents, notes), main, Some(&former))?;
        *self.current.write() = Arc::new(state);
        Ok(())
    }

    /// A new access key's record: of a user, or of the root user.
    pub fn seal_access_key(
        &self,
        id: &str,
        secret_access_key: &str,
        (account, user): (&str, Option<&str>),
        created_unix_ms: u64,
    ) -> AccessKeyRecord {
        let sealed = self.xaes.seal(&secret_name(id), secret_access_key.as_bytes());
        AccessKeyRecord {
            id: id.to_owned(),
            account: account.to_owned(),
            user: user.map(str::to_owned),
            sealed_secret: STANDARD.encode(sealed),
            is_active: true,
            created_unix_ms,
        }
    }

    /// The token of a session.
    pub fn seal_session(&self, session: &Session) -> String {
        session.seal(&self.xaes)
    }

    /// Who has this access key (and, for a temporary one, this session token), and its SigV4 signing key. The secret itself does not
    /// leave.
    pub fn signing_key(
        &self,
        access_key_id: &str,
        token: Option<&str>,
        scope: Scope<'_>,
    ) -> Result<(Identity, Zeroizing<[u8; 32]>), CredentialRefusal> {
        let state = self.state();
        let (identity, signing_key) = match token {
            Some(token) => self.of_session(&state, access_key_id, token, scope)?,
            None => self.of_access_key(&state, access_key_id, scope)?,
        };
        match &identity.account {
            Some(account) if account.is_disabled => Err(CredentialRefusal::Account),
            _ => Ok((identity, signing_key)),
        }
    }

    /// Notes that a request signed with the access key has been let in; GetAccessKeyLastUsed shows it.
    pub fn note_use(&self, access_key_id: &str, scope: Scope<'_>) {
        if let Some(access_key) = self.state().access_keys.get(access_key_id) {
            access_key.last_used.note(scope.now_unix_ms, scope.region, scope.service);
        }
    }

    fn of_access_key(
        &self,
        state: &State,
        access_key_id: &str,
        scope: Scope<'_>,
    ) -> Result<(Identity, Zeroizing<[u8; 32]>), CredentialRefusal> {
        use CredentialRefusal::Unknown;
        let access_key = state.access_keys.get(access_key_id).filter(|key| key.record.is_active);
        let access_key = access_key.ok_or(Unknown)?;
        let account = state.account(&access_key.record.account).ok_or(Unknown)?;
        let (subject, principal) = match &access_key.record.user {
            None => (account.root_subject(), Principal::Root),
            Some(id) => {
                let user = account.users.by_id(id).ok_or(Unknown)?;
                let principal = Principal::User { id: user.id.clone(), name: user.name.clone() };
                (account.user_subject(user), principal)
            }
        };
        let signing_key = access_key.signing_keys.get(scope.date, scope.region, scope.service, || {
            access_key.secret.clone().map_or_else(|| self.open_secret(&access_key.record), Some)
        });
        let signing_key = signing_key.ok_or(Unknown)?;
        let access_key_id = Arc::from(access_key_id);
        let account = Some(account.account.clone());
        Ok((Identity { subject, account, access_key_id, principal, session: None }, signing_key))
    }

    fn of_session(
        &self,
        state: &State,
        access_key_id: &str,
        token: &str,
        scope: Scope<'_>,
    ) -> Result<(Identity, Zeroizing<[u8; 32]>), CredentialRefusal> {
        use CredentialRefusal::{Expired, Token, Unknown};
        let opened = self.open_token(token).ok_or(Token)?;
        if opened.session.access_key_id != access_key_id {
            return Err(Token);
        }
        let identity = opened.identity(state).ok_or(Unknown)?;
        let secret = || Some(opened.session.secret_access_key.clone());
        let signing_key = opened.signing_keys.get(scope.date, scope.region, scope.service, secret);
        match opened.session.expires_unix_s * 1000 > scope.now_unix_ms {
            true => Ok((identity, signing_key.ok_or(Token)?)),
            false => Err(Expired),
        }
    }

    fn open_token(&self, token: &str) -> Option<Arc<Opened>> {
        if let Some(opened) = self.opened.read().get(token) {
            return Some(opened.clone());
        }
        let opened = Arc::new(Opened::open(token, &self.xaes)?);
        let mut all = self.opened.write();
        if all.len() >= MAX_OPENED {
            // Which ones go is of no matter: a token that is asked again is opened again.
            all.clear();
        }
        all.insert(token.to_owned(), opened.clone());
        Some(opened)
    }

    fn open_secret(&self, record: &AccessKeyRecord) -> Option<Zeroizing<String>> {
        let sealed = STANDARD.decode(&record.sealed_secret).ok()?;
        let plain = Zeroizing::new(self.xaes.open(&secret_name(&record.id), &sealed).ok()?);
        Some(Zeroizing::new(str::from_utf8(&plain).ok()?.to_owned()))
    }

    /// Gives whoever signed as this identity's secret access key to `derive`, and its answer back: the secret itself does not leave.
    /// `None`: it is gone.
    pub fn derive_from_secret<T>(&self, identity: &Identity, derive: impl FnOnce(&str) -> T) -> Option<T> {
        if let Some(session) = &identity.session {
            return Some(derive(&session.secret_access_key));
        }
        let access_key = self.state().access_keys.get(&*identity.access_key_id)?.clone();
        let opened = access_key.secret.clone().or_else(|| self.open_secret(&access_key.record));
        Some(derive(&opened?))
    }

    /// Seals what only this gateway may read again: `purpose` tells what it is.
    pub fn seal_text(&self, purpose: &str, text: &str) -> String {
        STANDARD.encode(self.xaes.seal(purpose.as_bytes(), text.as_bytes()))
    }

    /// Opens what [`Iam::seal_text`] made for the same purpose.
    pub fn open_text(&self, purpose: &str, sealed: &str) -> Option<String> {
        let plain = self.xaes.open(purpose.as_bytes(), &STANDARD.decode(sealed).ok()?).ok()?;
        String::from_utf8(plain).ok()
    }
}

pub(super) fn of_catalog(error: CatalogError) -> IamError {
    match error {
        CatalogError::DocumentCount { expected, found, .. } => IamError::DocumentCount { expected, found },
        error => IamError::Unavailable(error),
    }
}

fn secret_name(access_key_id: &str) -> Vec<u8> {
    [SECRET_PURPOSE.as_bytes(), &[0], access_key_id.as_bytes()].concat()
}

#[cfg(test)]
mod tests;
