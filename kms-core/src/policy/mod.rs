//! The AWS policy language: documents, and what they decide. Pure: no clock, no I/O.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>

mod condition;
mod document;
mod evaluate;
mod pattern;

pub use condition::Conditions;
pub(crate) use document::invalid_principal;
pub use document::{Document, Effect, MalformedPolicy, Principal, Principals, Statement};
pub use evaluate::{Decision, Outcome, Policies, Request, Which, decide, evaluate, evaluate_identity};

#[cfg(test)]
mod vectors;
