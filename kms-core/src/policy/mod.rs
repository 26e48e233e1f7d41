//! The AWS policy language: documents, and what they decide. Pure: no clock, no I/O.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>

mod condition;
mod evaluate;
mod grammar;
mod malformed;
mod network;
mod pattern;
mod rename;
mod subject;
mod values;
mod wildcard;
mod work;

pub use condition::Conditions;
pub use evaluate::{Decision, Outcome, Policies, Request, Which, decide, evaluate, within_limits};
pub(crate) use grammar::is_account_id;
pub use grammar::{Document, Effect, Principal, Principals, Statement};
pub use grammar::{MAX_LEN, STATEMENT_ELEMENTS, invalid_principal, is_principal};
pub use malformed::MalformedPolicy;
pub use network::Network;
pub use rename::rename_principals;
pub use subject::{IdentityPolicies, NamedPolicy, PolicySet, Subject};
pub use values::{Context, Gathered, Values};
pub use wildcard::wildcard_matches;

#[cfg(test)]
mod vectors;
