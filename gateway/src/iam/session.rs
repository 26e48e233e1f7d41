//! Temporary credentials. A session token is the whole session, sealed: whoever verifies a request opens it and looks nothing up.
//!
//! ```text
//! token  = base64( version (1) ‖ XAES-256-GCM( postcard(Session) ), AAD "session token" )
//! ```

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kms_core::policy::Context;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

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

impl Session {
    /// The token.
    pub(super) fn seal(&self, xaes: &Xaes) -> String {
        let plain = Zeroizing::new(postcard::to_allocvec(self).expect("a session can be written"));
        STANDARD.encode([&[VERSION][..], &xaes.seal(PURPOSE, &plain)].concat())
    }

    /// What a token holds; `None`: it is none of ours.
    pub(super) fn open(token: &str, xaes: &Xaes) -> Option<Self> {
        if token.len() > MAX_TOKEN_LEN {
            return None;
        }
        let bytes = STANDARD.decode(token).ok()?;
        let (&VERSION, sealed) = bytes.split_first()? else { return None };
        let plain = Zeroizing::new(xaes.open(PURPOSE, sealed).ok()?);
        postcard::from_bytes(&plain).ok()
    }
}

/// `yyyy-MM-dd'T'HH:mm:ss'Z'`.
pub fn iso8601(unix_s: u64) -> String {
    let at = i64::try_from(unix_s).ok().and_then(|s| time::OffsetDateTime::from_unix_timestamp(s).ok());
    let at = at.unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
    at.format(format).unwrap_or_default()
}
