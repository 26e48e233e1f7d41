//! Temporary credentials. A session token is the whole session, sealed: whoever verifies a request opens it and looks nothing up.
//!
//! ```text
//! token  = base64( version (1) ‖ XAES-256-GCM( postcard(Session) ), AAD "session token" )
//! ```

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kms_core::policy::{Context, IdentityPolicies, NamedPolicy, PolicySet, Subject};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use storage::catalog::ShelfState;
use zeroize::Zeroizing;

use super::account::Account;
use super::identity::{Identity, Principal};
use super::policy_text::PolicyText;
use super::signing_keys::SigningKeys;
use super::state::{AccountState, State};
use super::subject::{add_principal_tags, assumed_role_arn, named};
use crate::seal::xaes::Xaes;

const VERSION: u8 = 1;
const PURPOSE: &[u8] = b"session token";
/// The longest token that is read, in characters.
pub const MAX_TOKEN_LEN: usize = 16 << 10;

/// Temporary credentials and whom they are of.
#[derive(Clone, Serialize, Deserialize)]
pub struct Session {
    /// `ASIA…`.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Zeroizing<String>,
    /// The account: 12 digits.
    pub account: String,
    /// Whose it is.
    pub of: SessionOf,
    /// When it was given, seconds since the Unix epoch.
    pub issued_unix_s: u64,
    /// When it ends, seconds since the Unix epoch.
    pub expires_unix_s: u64,
    /// Policies that limit it, as they were given, and ARNs of managed ones; `None`: nothing does.
    pub policies: Option<SessionPolicies>,
    /// Session tags.
    pub tags: Vec<(String, String)>,
    /// Names of tags that the next session of a chain has as well.
    pub transitive: Vec<String>,
    /// Who stands behind it (`aws:SourceIdentity`).
    pub source_identity: Option<String>,
    /// Further condition keys: what an identity provider says of its user.
    pub claims: Context,
}

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionOf {
    /// Of a role.
    Role {
        /// `AROA…`.
        id: String,
        /// The session's name.
        name: String,
        /// Was it assumed with credentials of another session of a role?
        is_chained: bool,
    },
    /// Of a user; of the root user where the id is `None`.
    User {
        /// `AIDA…`.
        id: Option<String>,
    },
    /// Of somebody whom this user (`None`: the root user) has given it to.
    Federated {
        /// `AIDA…`.
        by: Option<String>,
        /// The name that was given with it.
        name: String,
    },
}

/// Policies that limit a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionPolicies {
    /// As they were given.
    pub texts: Vec<String>,
    /// ARNs of managed policies.
    pub arns: Vec<String>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("access_key_id", &self.access_key_id).field("of", &self.of).finish()
    }
}

/// A session whose token was opened.
pub(super) struct Opened {
    pub(super) session: Arc<Session>,
    pub(super) signing_keys: SigningKeys,
    policies: Vec<NamedPolicy>,
    /// The identity, and in which state of IAM it was looked at.
    seen: Mutex<Option<(ShelfState, Option<Identity>)>>,
}

impl Session {
    /// The token.
    pub(super) fn seal(&self, xaes: &Xaes) -> String {
        let plain = Zeroizing::new(postcard::to_allocvec(self).expect("a session can be written"));
        STANDARD.encode([&[VERSION][..], &xaes.seal(PURPOSE, &plain)].concat())
    }
}

impl Opened {
    /// Opens a token; `None`: it is none of ours.
    pub(super) fn open(token: &str, xaes: &Xaes) -> Option<Self> {
        if token.len() > MAX_TOKEN_LEN {
            return None;
        }
        let bytes = STANDARD.decode(token).ok()?;
        let (&VERSION, sealed) = bytes.split_first()? else { return None };
        let plain = Zeroizing::new(xaes.open(PURPOSE, sealed).ok()?);
        let session: Session = postcard::from_bytes(&plain).ok()?;
        let texts = session.policies.iter().flat_map(|policies| &policies.texts);
        let policies = texts.map(|text| Some(named("", &PolicyText::parse(text).ok()?)));
        let policies = policies.collect::<Option<_>>()?;
        let session = Arc::new(session);
        Some(Self { session, signing_keys: SigningKeys::default(), policies, seen: Mutex::new(None) })
    }

    /// Who it is in this state; `None`: whose session it is does not exist any more.
    pub(super) fn identity(&self, state: &State) -> Option<Identity> {
        let mut seen = self.seen.lock();
        match &*seen {
            Some((of, identity)) if *of == state.shelf => identity.clone(),
            _ => {
                let identity = state.account(&self.session.account).and_then(|account| self.see(account));
                *seen = Some((state.shelf, identity.clone()));
                identity
            }
        }
    }

    fn see(&self, account: &AccountState) -> Option<Identity> {
        let session = &*self.session;
        let limits = session.policies.as_ref().map(|given| {
            let arns = given.arns.iter().map(|arn| account.named_policy(&session.access_key_id, arn));
            Arc::new(PolicySet::new(self.policies.iter().cloned().chain(arns).collect()))
        });
        let (mut subject, principal) = match &session.of {
            SessionOf::Role { id, name, .. } => {
                let role = account.roles.by_id(id)?;
                let policies = account.role_policies(role);
                let role_arn = super::state::Entity::arn(&**role, &account.account);
                let arn = assumed_role_arn(&account.account, role, name);
                let mut context = super::subject::context(&[
                    ("aws:principaltype", "AssumedRole"),
                    ("aws:principalarn", &role_arn),
                    ("aws:userid", &format!("{id}:{name}")),
                ]);
                add_principal_tags(&mut context, &role.tags);
                let subject = Subject {
                    itself: vec![arn.clone(), format!("{id}:{name}")],
                    role: vec![role_arn, id.clone()],
                    arn,
                    identity: IdentityPolicies::These(policies.identity.clone()),
                    boundary: policies.boundary.clone(),
                    context,
                    ..Subject::default()
                };
                (subject, Principal::RoleSession { role_id: id.clone(), session_name: name.clone() })
            }
            SessionOf::User { id: None } => ((*account.root_subject()).clone(), Principal::Root),
            SessionOf::User { id: Some(id) } => {
                let user = account.users.by_id(id)?;
                let principal = Principal::User { id: id.clone(), name: user.name.clone() };
                ((*account.user_subject(user)).clone(), principal)
            }
            SessionOf::Federated { by, name } => {
                let of = match by {
                    None => account.root_subject(),
                    Some(id) => account.user_subject(account.users.by_id(id)?),
                };
                let arn = format!("arn:aws:sts::{}:federated-user/{name}", account.account.id);
                let context = super::subject::context(&[
                    ("aws:principaltype", "FederatedUser"),
                    ("aws:principalarn", &arn),
                    ("aws:userid", &format!("{}:{name}", account.account.id)),
                ]);
                let role = of.itself.clone();
                let subject = Subject { itself: vec![arn.clone()], role, arn, context, ..(*of).clone() };
                (subject, Principal::FederatedUser { name: name.clone() })
            }
        };
        subject.account.clone_from(&account.account.id);
        subject.session = limits;
        self.add_context(&account.account, &mut subject.context);
        Some(Identity {
            subject: Arc::new(subject),
            account: Some(account.account.clone()),
            access_key_id: Arc::from(session.access_key_id.as_str()),
            principal,
            session: Some(self.session.clone()),
        })
    }

    fn add_context(&self, account: &Account, context: &mut Context) {
        let session = &*self.session;
        context.extend(session.claims.iter().map(|(name, values)| (name.clone(), values.clone())));
        add_principal_tags(context, &session.tags);
        let issued = super::session::iso8601(session.issued_unix_s);
        let further = [
            ("aws:principalaccount", account.id.as_str()),
            ("aws:tokenissuetime", &issued),
            ("aws:multifactorauthpresent", "false"),
        ];
        context.extend(super::subject::context(&further));
        if let Some(source) = &session.source_identity {
            context.insert("aws:sourceidentity".to_owned(), vec![source.clone()]);
        }
    }
}

/// `yyyy-MM-dd'T'HH:mm:ss'Z'`.
pub fn iso8601(unix_s: u64) -> String {
    let at = i64::try_from(unix_s).ok().and_then(|s| time::OffsetDateTime::from_unix_timestamp(s).ok());
    let at = at.unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    at.format(format).unwrap_or_default()
}
