//! Accounts, users, groups, roles, access keys and sessions: who there is, and what he may have.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/intro-structure.html>

mod account;
mod bind;
mod directory;
mod draft;
mod error;
mod follow;
mod identity;
mod ids;
mod managed;
mod missing;
mod model;
mod new_account;
mod opened_session;
mod policy_text;
mod record;
mod session;
mod signing_keys;
mod state;
mod store;
mod subject;
mod uses;

pub use account::{ANONYMOUS, Account};
pub use bind::{Bindings, NoSuchPrincipal, apply};
pub use directory::directory;
pub use draft::{Draft, Kept};
pub use error::IamError;
pub use identity::{Identity, Principal};
pub use ids::{IdKind, access_key, account_id, account_of_temporary, temporary_access_key, unique_id};
pub use managed::Managed;
pub use missing::{Missing, denial};
pub use model::{
    AccessKey, AccessKeyRecord, Group, LastUsed, ManagedPolicy, OidcProvider, PolicyVersion, Role, Tags, Use,
    User,
};
pub use new_account::{MadeAccount, NewAccount};
pub use policy_text::{PolicyText, TrustPolicy};
pub use record::check_document;
pub use session::{MAX_TOKEN_LEN, Session, SessionOf, SessionPolicies, iso8601};
pub use signing_keys::derive_signing_key;
pub use state::{AccountState, Entity, Named, RolePolicies, State};
pub use store::{CredentialRefusal, Iam, IamOptions, Scope};

/// AWS's own policies.
pub mod aws {
    pub use super::managed::{CREATED_UNIX_MS, all, find};
}
