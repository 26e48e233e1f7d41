//! A policy as its author wrote it, and what it says.

use std::sync::Arc;

use kms_core::policy::{Document, MalformedPolicy, NamedPolicy};
use serde::{Deserialize, Serialize};

use super::bind::Bindings;

/// An identity policy, a permissions boundary or a session policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PolicyText {
    text: String,
    document: Arc<Document>,
}

impl PolicyText {
    /// Reads a policy.
    pub fn parse(text: &str) -> Result<Self, MalformedPolicy> {
        let document = Arc::new(Document::parse_identity(text)?);
        Ok(Self { text: text.to_owned(), document })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it says.
    pub fn document(&self) -> &Arc<Document> {
        &self.document
    }

    /// It under its name.
    pub fn named(&self, name: &str) -> NamedPolicy {
        NamedPolicy { name: name.to_owned(), document: self.document.clone() }
    }
}

impl TryFrom<String> for PolicyText {
    type Error = MalformedPolicy;

    fn try_from(text: String) -> Result<Self, MalformedPolicy> {
        Self::parse(&text)
    }
}

impl From<PolicyText> for String {
    fn from(policy: PolicyText) -> Self {
        policy.text
    }
}

/// Whom a role trusts. Users and roles that it names are bound to their unique ids, so that one of the same name made later is
/// not trusted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "StoredTrust", into = "StoredTrust")]
pub struct TrustPolicy {
    stored: StoredTrust,
    document: Arc<Document>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredTrust {
    text: String,
    ids: Bindings,
}

impl TrustPolicy {
    /// A trust policy with the ids of those whom it names.
    pub fn new(text: String, ids: Bindings) -> Result<Self, MalformedPolicy> {
        Self::try_from(StoredTrust { text, ids })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.stored.text
    }

    /// Whom its principals meant when it was put.
    pub fn ids(&self) -> &Bindings {
        &self.stored.ids
    }

    /// What it says, with ids in the place of ARNs.
    pub fn document(&self) -> &Document {
        &self.document
    }
}

impl TryFrom<StoredTrust> for TrustPolicy {
    type Error = MalformedPolicy;

    fn try_from(stored: StoredTrust) -> Result<Self, MalformedPolicy> {
        let mut document = Document::parse_trust(&stored.text)?;
        super::bind::apply(&mut document, &stored.ids);
        Ok(Self { stored, document: Arc::new(document) })
    }
}

impl From<TrustPolicy> for StoredTrust {
    fn from(policy: TrustPolicy) -> Self {
        policy.stored
    }
}
