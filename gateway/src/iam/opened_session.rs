//! A session as a request shows it: its token opened, and who it is by the state of IAM.

use std::sync::Arc;

use kms_core::policy::{Context, IdentityPolicies, NamedPolicy, PolicySet, Subject};
use parking_lot::Mutex;
use storage::catalog::ShelfState;

use super::account::Account;
use super::identity::{Identity, Principal};
use super::policy_text::PolicyText;
use super::session::{Session, SessionOf, iso8601};
use super::signing_keys::SigningKeys;
use super::state::{AccountState, Entity, State};
use super::subject::{self, add_principal_tags, assumed_role_arn};
use crate::seal::xaes::Xaes;

/// A session whose token was opened.
pub(super) struct Opened {
    pub(super) session: Arc<Session>,
    pub(super) signing_keys: SigningKeys,
    policies: Vec<NamedPolicy>,
    /// The identity, and in which state of IAM it was looked at.
    seen: Mutex<Option<(ShelfState, Option<Identity>)>>,
}

impl Opened {
    /// Opens a token; `None`: it is none of ours.
    pub(super) fn open(token: &str, xaes: &Xaes) -> Option<Self> {
        let session = Session::open(token, xaes)?;
        let texts = session.policies.iter().flat_map(|policies| &policies.texts);
        let policies = texts.map(|text| Some(PolicyText::parse(text).ok()?.named("")));
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
                let role_arn = Entity::arn(&**role, &account.account);
                let arn = assumed_role_arn(&account.account, role, name);
                let mut context = subject::context(&[
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
                let context = subject::context(&[
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
        let issued = iso8601(session.issued_unix_s);
        let further = [
            ("aws:principalaccount", account.id.as_str()),
            ("aws:tokenissuetime", &issued),
            ("aws:multifactorauthpresent", "false"),
        ];
        context.extend(subject::context(&further));
        if let Some(source) = &session.source_identity {
            context.insert("aws:sourceidentity".to_owned(), vec![source.clone()]);
        }
    }
}
