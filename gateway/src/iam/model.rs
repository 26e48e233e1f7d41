//! What an account has: users, groups, roles, policies, identity providers, access keys.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::policy_text::{PolicyText, TrustPolicy};
use super::signing_keys::SigningKeys;

/// Tags, in the order in which they were set.
pub type Tags = Vec<(String, String)>;

/// A user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct User {
    /// `AIDA…`.
    pub id: String,
    /// Unique within the account, whatever the case.
    pub name: String,
    /// `/` or `/…/`.
    pub path: String,
    /// Milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
    /// Tags.
    pub tags: Tags,
    /// ARN of the policy that is its permissions boundary.
    pub boundary: Option<String>,
    /// Inline policies by name.
    pub inline: BTreeMap<String, PolicyText>,
    /// ARNs of managed policies, in order of attachment.
    pub attached: Vec<String>,
    /// Ids of the groups that it is in, in order of joining.
    pub groups: Vec<String>,
}

/// A group of users.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Group {
    /// `AGPA…`.
    pub id: String,
    /// Unique within the account, whatever the case.
    pub name: String,
    /// `/` or `/…/`.
    pub path: String,
    /// Milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
    /// Inline policies by name.
    pub inline: BTreeMap<String, PolicyText>,
    /// ARNs of managed policies, in order of attachment.
    pub attached: Vec<String>,
}

/// A role.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Role {
    /// `AROA…`.
    pub id: String,
    /// Unique within the account, whatever the case.
    pub name: String,
    /// `/` or `/…/`.
    pub path: String,
    /// Milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
    /// Free text; `None` where none was given.
    pub description: Option<String>,
    /// The longest session, in seconds.
    pub max_session_s: u32,
    /// Who may assume it.
    pub trust: TrustPolicy,
    /// Tags.
    pub tags: Tags,
    /// ARN of the policy that is its permissions boundary.
    pub boundary: Option<String>,
    /// Inline policies by name.
    pub inline: BTreeMap<String, PolicyText>,
    /// ARNs of managed policies, in order of attachment.
    pub attached: Vec<String>,
}

/// A policy of its own, with up to five versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ManagedPolicy {
    /// `ANPA…`.
    pub id: String,
    /// Unique within the account, whatever the case.
    pub name: String,
    /// `/` or `/…/`.
    pub path: String,
    /// Free text; `None` where none was given.
    pub description: Option<String>,
    /// Milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
    /// When a version was last made or chosen.
    pub updated_unix_ms: u64,
    /// Tags.
    pub tags: Tags,
    /// By number; numbers are not used again.
    pub versions: BTreeMap<u32, PolicyVersion>,
    /// The number of the version in force.
    pub default_version: u32,
    /// The number of the next version.
    pub next_version: u32,
}

/// A version of a managed policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// What it says.
    pub policy: PolicyText,
    /// Milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
}

/// An OpenID Connect provider, whose tokens roles may trust.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OidcProvider {
    /// The issuer, with its scheme: `https://host/path`.
    pub url: String,
    /// The audiences that are taken.
    pub client_ids: Vec<String>,
    /// Fingerprints of certificates; kept and told, as certificates are judged by their chain.
    pub thumbprints: Vec<String>,
    /// Milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
    /// Tags.
    pub tags: Tags,
}

impl OidcProvider {
    /// How ARNs and condition keys call it: its URL without the scheme.
    pub fn name(&self) -> &str {
        self.url.split_once("://").map_or(self.url.as_str(), |(_, name)| name)
    }
}

/// An access key, of a user or of the account's root user.
pub struct AccessKey {
    /// What is kept of it.
    pub record: AccessKeyRecord,
    /// Its secret, where that is not in the record but in the gateway's own settings.
    pub(super) secret: Option<Zeroizing<String>>,
    pub(super) signing_keys: SigningKeys,
    /// When, where and for what it was last used.
    pub last_used: Arc<LastUsed>,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AccessKey").field(&self.record.id).finish()
    }
}

/// What is kept of an access key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKeyRecord {
    /// `AKIA…`.
    pub id: String,
    /// The account's id.
    pub account: String,
    /// The user's id; `None`: the root user.
    pub user: Option<String>,
    /// The secret, sealed for this id, in base64; empty where the gateway's settings have it.
    pub sealed_secret: String,
    /// May it be used?
    pub is_active: bool,
    /// Milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
}

/// The last use of an access key.
#[derive(Debug, Default)]
pub struct LastUsed {
    /// To the minute, so that most uses write nothing.
    unix_min: AtomicU64,
    /// A hash of minute, region and service: most uses are as the one before, and take no lock.
    stamp: AtomicU64,
    of: Mutex<(String, String)>,
    written_unix_min: AtomicU64,
}

/// A last use as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Milliseconds since the Unix epoch, to the minute.
    pub unix_ms: u64,
    /// The region that was signed for.
    pub region: String,
    /// The service that was signed for.
    pub service: String,
}

const MINUTE_MS: u64 = 60_000;

impl LastUsed {
    /// Notes a use.
    pub fn note(&self, now_unix_ms: u64, region: &str, service: &str) {
        let minute = now_unix_ms / MINUTE_MS;
        let mut hasher = std::hash::DefaultHasher::new();
        (minute, region, service).hash(&mut hasher);
        let stamp = hasher.finish();
        if self.stamp.swap(stamp, Ordering::Relaxed) != stamp {
            *self.of.lock() = (region.to_owned(), service.to_owned());
            self.unix_min.store(minute, Ordering::Relaxed);
        }
    }

    /// The last use, if there was one.
    pub fn get(&self) -> Option<Use> {
        let minute = self.unix_min.load(Ordering::Relaxed);
        let (region, service) = self.of.lock().clone();
        (minute > 0).then_some(Use { unix_ms: minute * MINUTE_MS, region, service })
    }

    /// The last use, if it was not taken before.
    pub(super) fn take_new(&self) -> Option<Use> {
        let used = self.get()?;
        let minute = used.unix_ms / MINUTE_MS;
        (self.written_unix_min.swap(minute, Ordering::Relaxed) != minute).then_some(used)
    }

    /// What was taken could not be written.
    pub(super) fn give_back(&self) {
        self.written_unix_min.store(0, Ordering::Relaxed);
    }

    /// What another gateway tells: the later use counts.
    pub(super) fn learn(&self, told: &Use) {
        let minute = told.unix_ms / MINUTE_MS;
        let mut of = self.of.lock();
        if self.unix_min.load(Ordering::Relaxed) < minute {
            *of = (told.region.clone(), told.service.clone());
            self.unix_min.store(minute, Ordering::Relaxed);
            self.written_unix_min.store(minute, Ordering::Relaxed);
        }
    }
}
