//! Accounts: who owns buckets, keys and users.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// 12 digits.
    pub id: String,
    /// The canonical user id: 64 hexadecimal digits.
    pub canonical_id: String,
    /// The name shown as owner.
    pub display_name: String,
    /// How to reach whoever is responsible; may be empty.
    pub email: String,
    /// The alias that the account has given itself, if it has.
    pub alias: Option<String>,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
    /// Nobody of it is let in.
    pub is_disabled: bool,
}

/// Stands for the id of an account where nobody signed.
pub const ANONYMOUS: &str = "anonymous";

impl Account {
    /// Who owns what nobody signed for: S3's well-known canonical user id.
    pub fn anonymous() -> Self {
        let canonical_id = "65a011a29cdf8ec533ec3d1ccaae921c".to_owned();
        Self { canonical_id, ..Self::new(ANONYMOUS, "", "", 0) }
    }

    /// A new account. Its canonical user id is derived from its id, so that it is the same wherever it is asked for.
    pub fn new(id: &str, display_name: &str, email: &str, created_unix_ms: u64) -> Self {
        let canonical_id = hex::encode(Sha256::digest(format!("sealgate canonical user {id}")));
        let (id, display_name, email) = (id.to_owned(), display_name.to_owned(), email.to_owned());
        Self { id, canonical_id, display_name, email, alias: None, created_unix_ms, is_disabled: false }
    }

    /// ARN of what the account has: `resource` is `user/alice`, `role/…`, `root`, ….
    pub fn iam_arn(&self, resource: &str) -> String {
        format!("arn:aws:iam::{}:{resource}", self.id)
    }
}
