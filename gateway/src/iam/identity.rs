//! Who signed a request.

use std::sync::{Arc, LazyLock};

use kms_core::policy::Subject;

use super::account::Account;
use super::session::Session;

/// Who signed a request. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Identity {
    /// As policies see it.
    pub subject: Arc<Subject>,
    /// Its account; `None` for nobody.
    pub account: Option<Arc<Account>>,
    /// Which access key signed; empty for nobody.
    pub access_key_id: Arc<str>,
    /// What it is.
    pub principal: Principal,
    /// The session whose credentials signed, if they are temporary.
    pub session: Option<Arc<Session>>,
}

/// What a principal is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Nobody: the request carries no credentials.
    Anonymous,
    /// The root user of an account.
    Root,
    /// A user, also one that uses temporary credentials of its own.
    User {
        /// `AIDA…`.
        id: String,
        /// Its name.
        name: String,
    },
    /// A session of a role.
    RoleSession {
        /// `AROA…`.
        role_id: String,
        /// The session's name.
        session_name: String,
    },
    /// Somebody whom a user has given credentials to (GetFederationToken).
    FederatedUser {
        /// The name that was given with them.
        name: String,
    },
}

impl Identity {
    /// Nobody.
    pub fn anonymous() -> Self {
        static NOBODY: LazyLock<Arc<Subject>> = LazyLock::new(|| {
            let anonymous = super::subject::context(&[("aws:principaltype", "Anonymous")]);
            Arc::new(Subject { context: anonymous, ..Subject::anonymous() })
        });
        let principal = Principal::Anonymous;
        Self {
            subject: NOBODY.clone(),
            account: None,
            access_key_id: Arc::from(""),
            principal,
            session: None,
        }
    }

    /// Is it nobody?
    pub fn is_anonymous(&self) -> bool {
        self.principal == Principal::Anonymous
    }

    /// The principal's ARN; `anonymous` for nobody.
    pub fn arn(&self) -> &str {
        &self.subject.arn
    }

    /// The principal's account.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_deref()
    }

    /// Is it of this account (12 digits)?
    pub fn is_of(&self, account: &str) -> bool {
        self.account.as_ref().is_some_and(|own| own.id == account)
    }

    /// `UserId` of GetCallerIdentity: `AIDA…`, `AROA…:session`, `account:federated-name`, or the account's id.
    pub fn user_id(&self) -> String {
        let account = self.account.as_ref().map(|account| account.id.as_str()).unwrap_or_default();
        match &self.principal {
            Principal::Anonymous => String::new(),
            Principal::Root => account.to_owned(),
            Principal::User { id, .. } => id.clone(),
            Principal::RoleSession { role_id, session_name } => format!("{role_id}:{session_name}"),
            Principal::FederatedUser { name } => format!("{account}:{name}"),
        }
    }
}
