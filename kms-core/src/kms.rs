//! The service: keys in a store of their own, behind the policy gate.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard, RwLock};

use crate::audit::Audit;
use crate::clock::Clock;
use crate::context::EncryptionContext;
use crate::crypto::{self, blob};
use crate::directory::Directory;
use crate::error::KmsError;
use crate::grant::{Grant, Grants};
use crate::key::backing::{BackingKey, Made};
use crate::key::usage::LastUse;
use crate::key::{KeyManager, KmsKey, KmsKeyId};
use crate::policy::{self, Document};
use crate::root::{RootError, RootKey};
use crate::secret::{Secret32, SecretBytes};
use crate::store::{Change, KeyStore, SledStore, StoreError};
use record::{Stored, WRAP_LABEL, WrappedDomain};

mod gate;
mod host;
mod record;

pub use host::{StoreCopy, StoreCounts};

/// Who calls, as the gateway authenticated it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The principal's ARN: `arn:aws:iam::111122223333:root`, `…:user/name`, …
    pub arn: String,
    /// The principal's account: 12 digits.
    pub account: String,
    /// The service that calls on the principal's behalf, e.g. `s3.us-east-1.amazonaws.com` (`kms:ViaService`). Never from the wire.
    pub via_service: Option<String>,
    /// `aws:SourceIp` of a direct call.
    pub source_ip: Option<std::net::IpAddr>,
    /// `aws:SecureTransport`.
    pub secure_transport: bool,
    /// The request that this is part of, for the audit.
    pub request_id: String,
    /// `DryRun`: judge the request, and then answer [`KmsError::DryRun`].
    pub dry_run: bool,
}

impl Caller {
    /// The root user of an account, from this host.
    pub fn root_user(account: &str) -> Self {
        Self {
            arn: format!("arn:aws:iam::{account}:root"),
            account: account.to_owned(),
            via_service: None,
            source_ip: None,
            secure_transport: true,
            request_id: String::new(),
            dry_run: false,
        }
    }

    /// What it is known as: its ARN, and the role of a session. <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>
    fn principals(&self) -> Vec<String> {
        let session =
            self.arn.strip_prefix("arn:aws:sts::").and_then(|rest| rest.split_once(":assumed-role/"));
        let role = session.and_then(|(account, rest)| {
            Some(format!("arn:aws:iam::{account}:role/{}", rest.rsplit_once('/')?.0))
        });
        std::iter::once(self.arn.clone()).chain(role).collect()
    }

    /// Ends a request that is only to be judged, once it would be carried out.
    pub(crate) fn stop_if_dry(&self) -> Result<(), KmsError> {
        if self.dry_run { Err(KmsError::DryRun) } else { Ok(()) }
    }
}

/// A data key, in the clear and wrapped.
#[derive(Debug)]
pub struct DataKey {
    /// The key in the clear.
    pub plaintext: SecretBytes,
    /// The key under the KMS key: what [`Kms::decrypt`] opens. At most 160 bytes for a 32-byte key.
    pub ciphertext_blob: Vec<u8>,
    /// ARN of the KMS key.
    pub key_arn: String,
    /// The backing key: 64 hexadecimal digits.
    pub key_material_id: String,
}

/// What Decrypt answers.
#[derive(Debug)]
pub struct Decrypted {
    /// The plaintext.
    pub plaintext: SecretBytes,
    /// ARN of the KMS key.
    pub key_arn: String,
    /// The backing key of a symmetric key.
    pub key_material_id: Option<String>,
}

/// Where and for whom a [`Kms`] runs.
#[derive(Debug, Clone)]
pub struct KmsConfig {
    /// The region in ARNs.
    pub region: String,
    /// The account that owns the keys.
    pub account: String,
    /// What time it is.
    pub clock: Clock,
    /// Days between two rotations of an AWS managed key.
    pub managed_key_rotation_days: u16,
    /// Who is told of every decision.
    pub audit: Audit,
    /// Whom a key policy may name.
    pub directory: Directory,
}

impl KmsConfig {
    /// With the system's clock and AWS's rotation of managed keys, once a year.
    pub fn new(region: impl Into<String>, account: impl Into<String>) -> Self {
        let (region, account) = (region.into(), account.into());
        let (clock, audit) = (Clock::default(), Audit::default());
        let directory = Directory::default();
        Self { region, account, clock, managed_key_rotation_days: 365, audit, directory }
    }
}

/// Why a store did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The root of trust refused.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The database failed, or another process has it open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored is not what was written.
    #[error("the key store is corrupt: {0}")]
    Corrupt(&'static str),
    /// The folder can't be read or written.
    #[error("the key store: {0}")]
    Io(#[from] std::io::Error),
}

/// A KMS key with its policy and its backing keys in the clear. Shared, and replaced as a whole when it changes.
#[derive(Debug)]
pub struct Entry {
    /// What it is.
    pub key: KmsKey,
    /// Who may use it.
    pub policy: Arc<KeyPolicy>,
    /// Every backing key it ever had, oldest first.
    pub(crate) backing: Vec<Arc<BackingKey>>,
    /// Shared by all that replace one another.
    pub(crate) last_use: Arc<LastUse>,
}

/// A key policy: the text as it was put, and what it says.
#[derive(Debug)]
pub struct KeyPolicy {
    /// As it was put.
    pub text: String,
    document: Document,
    /// Does it speak of `kms:ResourceAliases`? Only then are a key's aliases looked up.
    names_aliases: bool,
}

/// The key management service. Every call is synchronous, takes microseconds, and is safe from any thread.
pub struct Kms {
    pub(crate) config: KmsConfig,
    store: Box<dyn KeyStore>,
    domain: Secret32,
    /// How many domain keys the store had.
    generation: u32,
    state: RwLock<State>,
    /// Held by who reads, changes and writes.
    change: Mutex<()>,
}

#[derive(Default)]
struct State {
    keys: HashMap<KmsKeyId, Arc<Entry>>,
    grants: Grants,
    aliases: BTreeMap<String, KmsKeyId>,
    /// The gateway's own, by purpose.
    internal: HashMap<String, Arc<BackingKey>>,
    secrets: HashMap<String, Vec<u8>>,
}

/// In the store's folder, in the clear: the id of the root key that it needs, to be read before anything is opened.
const ROOT_ID_FILE: &str = "root-id";
/// What the domain key is wrapped as.
const DOMAIN_PURPOSE: &str = "sealgate kms v1 domain key 1";

impl Kms {
    /// Opens (or makes) the key store in this folder. A root key that does not fit is refused before anything is touched.
    pub fn open(folder: &Path, root: Arc<dyn RootKey>, config: KmsConfig) -> Result<Self, OpenError> {
        let expected = Self::check_root(folder, &*root)?;
        let store = SledStore::open(folder)?;
        let kms = Self::over(Box::new(store), &*root, config)?;
        if expected != [root.id()] {
            // Written last: a store whose making was cut off is made on at the next start.
            host::write_root_ids(folder, &[root.id()])?;
        }
        Ok(kms)
    }

    /// Is this the root key that the store in this folder names? Answers the ids that it names.
    pub fn check_root(folder: &Path, root: &dyn RootKey) -> Result<Vec<String>, OpenError> {
        let expected = host::read_root_ids(folder)?;
        match expected.is_empty() || expected.iter().any(|id| id == root.id()) {
            true => Ok(expected),
            false => {
                let expected = expected.join(" or ");
                Err(RootError::WrongRoot { expected, found: root.id().to_owned() }.into())
            }
        }
    }

    /// Over a store of any kind.
    pub fn over(store: Box<dyn KeyStore>, root: &dyn RootKey, config: KmsConfig) -> Result<Self, OpenError> {
        let mut stored = Stored::read(store.load()?)?;
        let (domain, generation) = match stored.domain.take() {
            Some(wrapped) => (wrapped.open(root)?, wrapped.generation),
            None if stored.is_empty() => {
                let domain = Secret32::random();
                store.commit(vec![WrappedDomain::of(root, &domain, 1)?.for_root()])?;
                (domain, 1)
            }
            None => return Err(OpenError::Corrupt("the domain key is missing")),
        };
        let state = stored.open(&domain)?;
        Ok(Self { config, store, domain, generation, state: RwLock::new(state), change: Mutex::new(()) })
    }

    /// ARN of the AWS managed key of a service (`s3` → `alias/aws/s3`), made on first use.
    pub fn managed_key(&self, service: &str) -> Result<String, KmsError> {
        let alias = format!("alias/aws/{service}");
        if let Some(id) = self.alias(&alias) {
            return Ok(self.arn(id));
        }
        let _change = self.changing();
        if let Some(id) = self.alias(&alias) {
            return Ok(self.arn(id));
        }
        let key = KmsKey {
            manager: KeyManager::Aws,
            description: format!(
                "Default key that protects my {} objects when no other key is defined",
                service.to_uppercase()
            ),
            ..self.new_key(KmsKeyId::random())
        };
        let policy = KeyPolicy::managed(service, &self.config)?;
        let entry = self.insert_key(key, policy, Some(&alias))?;
        Ok(self.arn(entry.key.id))
    }

    /// A data key of the gateway's own domain (SSE-S3), outside the keys that anybody can list, disable or delete.
    /// `purpose` names the use; `context` is bound as for any data key.
    pub fn generate_internal_key(
        &self,
        purpose: &str,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        let backing = self.internal(purpose)?;
        let plaintext = Secret32::random();
        let ciphertext_blob =
            blob::seal(KmsKeyId::from_bytes([0; 16]), &backing, plaintext.expose(), context)?;
        Ok(DataKey {
            plaintext: SecretBytes::new(plaintext.expose().to_vec()),
            ciphertext_blob,
            key_arn: String::new(),
            key_material_id: backing.id.to_string(),
        })
    }

    /// Opens what [`Kms::generate_internal_key`] made.
    pub fn decrypt_internal_key(
        &self,
        purpose: &str,
        ciphertext_blob: &[u8],
        context: &EncryptionContext,
    ) -> Result<SecretBytes, KmsError> {
        let backing = self.internal(purpose)?;
        let header = blob::parse(ciphertext_blob).filter(|header| header.material == backing.id);
        header.and_then(|_| blob::open(&backing, ciphertext_blob, context)).ok_or(KmsError::InvalidCiphertext)
    }

    /// A secret of this store's owner (the gateway's metadata key): made at first use, the same ever after.
    pub fn metadata_key(&self, purpose: &str) -> Result<Secret32, KmsError> {
        let _change = self.changing();
        if let Some(wrapped) = self.state.read().secrets.get(purpose) {
            return crypto::open_32(&self.domain, WRAP_LABEL, wrapped, purpose.as_bytes())
                .ok_or_else(|| KmsError::Internal("a wrapped secret does not open".to_owned()));
        }
        let secret = Secret32::random();
        let wrapped = crypto::seal(&self.domain, WRAP_LABEL, secret.expose(), purpose.as_bytes());
        self.commit(vec![record::secret(purpose, &wrapped, &self.domain)])?;
        self.state.write().secrets.insert(purpose.to_owned(), wrapped);
        Ok(secret)
    }

    /// ARN of a key.
    pub fn arn(&self, id: KmsKeyId) -> String {
        format!("arn:aws:kms:{}:{}:key/{id}", self.config.region, self.config.account)
    }

    /// ARN of an alias (`alias/name`).
    pub fn alias_arn(&self, name: &str) -> String {
        format!("arn:aws:kms:{}:{}:{name}", self.config.region, self.config.account)
    }

    /// The account that owns the keys.
    pub fn account(&self) -> &str {
        &self.config.account
    }

    /// The region in ARNs.
    pub fn region(&self) -> &str {
        &self.config.region
    }

    /// The key of an id, ARN, alias or alias ARN.
    pub(crate) fn resolve(&self, text: &str) -> Result<Arc<Entry>, KmsError> {
        let local = self.local_part(text)?;
        if local.starts_with("alias/") {
            let id = self.alias(local);
            let entry = id.and_then(|id| self.entry(id));
            return entry
                .ok_or_else(|| KmsError::NotFound(format!("Alias {} is not found.", self.alias_arn(local))));
        }
        self.resolve_key(text)
    }

    /// The key of an id or ARN.
    pub(crate) fn resolve_key(&self, text: &str) -> Result<Arc<Entry>, KmsError> {
        let local = self.local_part(text)?;
        let id = local.strip_prefix("key/").unwrap_or(local);
        match KmsKeyId::parse(id) {
            Some(id) => self
                .entry(id)
                .ok_or_else(|| KmsError::NotFound(format!("Key '{}' does not exist", self.arn(id)))),
            None => Err(KmsError::NotFound(format!("Invalid keyId {text}"))),
        }
    }

    /// What stands behind region and account of an ARN of ours; anything else as it is.
    fn local_part<'t>(&self, text: &'t str) -> Result<&'t str, KmsError> {
        if !text.starts_with("arn:") {
            return Ok(text);
        }
        let mut fields = text.splitn(6, ':').skip(1);
        let (partition, service, region, account, local) =
            (fields.next(), fields.next(), fields.next(), fields.next(), fields.next());
        match (partition, service, local) {
            (Some("aws"), Some("kms"), Some(local)) => {
                if region != Some(self.config.region.as_str()) {
                    return Err(KmsError::NotFound(format!("Invalid arn {}", region.unwrap_or_default())));
                }
                if account != Some(self.config.account.as_str()) {
                    return Err(KmsError::NotFound(format!("Key '{text}' does not exist")));
                }
                Ok(local)
            }
            _ => Err(KmsError::InvalidArn(format!("{text} is not a valid key ARN"))),
        }
    }

    pub(crate) fn domain(&self) -> &Secret32 {
        &self.domain
    }

    pub(crate) fn entry(&self, id: KmsKeyId) -> Option<Arc<Entry>> {
        self.state.read().keys.get(&id).cloned()
    }

    pub(crate) fn key_ids(&self) -> Vec<KmsKeyId> {
        self.state.read().keys.keys().copied().collect()
    }

    pub(crate) fn alias(&self, name: &str) -> Option<KmsKeyId> {
        self.state.read().aliases.get(name).copied()
    }

    pub(crate) fn aliases(&self) -> Vec<(String, KmsKeyId)> {
        self.state.read().aliases.iter().map(|(name, id)| (name.clone(), *id)).collect()
    }

    pub(crate) fn aliases_of(&self, id: KmsKeyId) -> Vec<String> {
        let state = self.state.read();
        let own = state.aliases.iter().filter(|(_, target)| **target == id);
        own.map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn changing(&self) -> MutexGuard<'_, ()> {
        self.change.lock()
    }

    /// Keeps a key durably, with an alias that points to it, before anybody can use it.
    pub(crate) fn put_entry(&self, entry: Arc<Entry>, alias: Option<&str>) -> Result<(), KmsError> {
        let former = self.entry(entry.key.id);
        let mut changes = record::entry(&entry, former.as_deref(), &self.domain);
        changes.extend(alias.map(|name| record::alias(name, Some(entry.key.id), &self.domain)));
        self.commit(changes)?;
        let mut state = self.state.write();
        if let Some(name) = alias {
            state.aliases.insert(name.to_owned(), entry.key.id);
        }
        state.keys.insert(entry.key.id, entry);
        Ok(())
    }

    /// Forgets a key for good, its backing keys, policy, grants and aliases with it.
    pub(crate) fn forget_entry(&self, entry: &Entry) -> Result<(), KmsError> {
        let id = entry.key.id;
        let (grants, aliases) = {
            let state = self.state.read();
            let aliases = state.aliases.iter().filter(|(_, target)| **target == id);
            let aliases: Vec<String> = aliases.map(|(name, _)| name.clone()).collect();
            (state.grants.after(id, None).cloned().collect::<Vec<_>>(), aliases)
        };
        self.commit(record::forget(entry, &grants, &aliases))?;
        let mut state = self.state.write();
        state.keys.remove(&id);
        state.grants.remove_key(id);
        state.aliases.retain(|_, target| *target != id);
        Ok(())
    }

    pub(crate) fn put_alias(&self, name: &str, target: Option<KmsKeyId>) -> Result<(), KmsError> {
        self.commit(vec![record::alias(name, target, &self.domain)])?;
        let mut state = self.state.write();
        match target {
            Some(id) => state.aliases.insert(name.to_owned(), id),
            None => state.aliases.remove(name),
        };
        Ok(())
    }

    pub(crate) fn put_grant(&self, grant: Arc<Grant>) -> Result<(), KmsError> {
        self.commit(vec![record::grant(&grant, &self.domain)])?;
        self.state.write().grants.insert(grant);
        Ok(())
    }

    pub(crate) fn end_grant(&self, grant: &Grant) -> Result<(), KmsError> {
        self.commit(vec![record::no_grant(grant)])?;
        self.state.write().grants.remove(grant);
        Ok(())
    }

    /// Looks something up among the grants.
    pub(crate) fn grants<T>(&self, look_up: impl FnOnce(&Grants) -> T) -> T {
        look_up(&self.state.read().grants)
    }

    /// The backing key of one of the gateway's own purposes, made at first use.
    fn internal(&self, purpose: &str) -> Result<Arc<BackingKey>, KmsError> {
        if let Some(backing) = self.state.read().internal.get(purpose) {
            return Ok(backing.clone());
        }
        let _change = self.changing();
        if let Some(backing) = self.state.read().internal.get(purpose) {
            return Ok(backing.clone());
        }
        let made = Made { at_unix_ms: self.now_unix_ms(), ..Made::default() };
        let backing = Arc::new(BackingKey::new(KmsKeyId::from_bytes([0; 16]), Secret32::random(), made));
        self.commit(vec![record::internal(purpose, &backing, &self.domain)])?;
        self.state.write().internal.insert(purpose.to_owned(), backing.clone());
        Ok(backing)
    }

    /// Writes what is new of the last uses of keys.
    pub fn write_last_uses(&self) -> Result<(), KmsError> {
        let entries: Vec<Arc<Entry>> = self.state.read().keys.values().cloned().collect();
        let _change = self.changing();
        let taken = entries.iter().filter_map(|entry| Some((entry.key.id, entry.last_use.take_new()?)));
        // A key that was deleted meanwhile must not leave anything behind.
        let taken = taken.filter(|(id, _)| self.entry(*id).is_some());
        let changes: Vec<Change> =
            taken.map(|(id, last)| record::last_use(id, &last, &self.domain)).collect();
        if changes.is_empty() { Ok(()) } else { self.commit(changes) }
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), KmsError> {
        self.store.commit(changes).map_err(|error| KmsError::Internal(error.to_string()))
    }

    pub(crate) fn now_unix_ms(&self) -> u64 {
        self.config.clock.now_unix_ms()
    }
}

impl Entry {
    /// The same key with another record.
    pub(crate) fn with_key(&self, key: KmsKey) -> Self {
        let (policy, backing, last_use) = (self.policy.clone(), self.backing.clone(), self.last_use.clone());
        Self { key, policy, backing, last_use }
    }

    /// The same key with another policy.
    pub(crate) fn with_policy(&self, policy: KeyPolicy) -> Self {
        Self { policy: Arc::new(policy), ..self.with_key(self.key.clone()) }
    }

    /// Where the first imported material stands that has expired and is still there.
    pub(crate) fn first_expired(&self, now_unix_ms: u64) -> Option<usize> {
        let is_expired = |b: &Arc<BackingKey>| {
            b.has_material() && b.made.expires_unix_ms.is_some_and(|at| at <= now_unix_ms)
        };
        self.backing.iter().position(is_expired)
    }

    /// Every backing key it ever had, oldest first.
    pub fn backing(&self) -> &[Arc<BackingKey>] {
        &self.backing
    }

    /// The backing key that encrypts.
    pub(crate) fn current(&self) -> Result<&BackingKey, KmsError> {
        let current = self.key.current_material;
        let found = self.backing.iter().rev().find(|backing| Some(backing.id) == current);
        found
            .map(|backing| &**backing)
            .ok_or_else(|| KmsError::Internal("a key has no current material".to_owned()))
    }
}

impl KeyPolicy {
    /// Reads a policy as its author put it.
    pub fn parse(text: String) -> Result<Self, KmsError> {
        let document =
            Document::parse_resource(&text).map_err(|error| KmsError::MalformedPolicyDocument(error.0))?;
        let names_aliases = text.to_ascii_lowercase().contains("kms:resourcealiases");
        Ok(Self { text, document, names_aliases })
    }

    /// Refuses a policy that names somebody of this account who does not exist.
    pub(crate) fn check_principals(&self, config: &KmsConfig) -> Result<(), KmsError> {
        match self.document.named().all(|name| config.directory.has(name, &config.account)) {
            true => Ok(()),
            false => Err(KmsError::MalformedPolicyDocument(policy::invalid_principal().0)),
        }
    }

    /// The default policy of a key made by API: the account is allowed everything, and so its own policies decide.
    pub(crate) fn default_of(account: &str) -> Self {
        let text = format!(
            r#"{{"Version":"2012-10-17","Id":"key-default-1","Statement":[{{"Sid":"Enable IAM User Permissions","Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{account}:root"}},"Action":"kms:*","Resource":"*"}}]}}"#
        );
        Self::parse(text).expect("our own policy is well-formed")
    }

    /// The policy of a service's managed key: everybody of the account may use it, through the service only.
    fn managed(service: &str, config: &KmsConfig) -> Result<Self, KmsError> {
        let KmsConfig { region, account, .. } = config;
        Self::parse(format!(
            r#"{{"Version":"2012-10-17","Id":"auto-{service}-2","Statement":[{{"Sid":"Allow access through {service} for all principals in the account that are authorized to use {service}","Effect":"Allow","Principal":{{"AWS":"*"}},"Action":["kms:Encrypt","kms:Decrypt","kms:ReEncrypt*","kms:GenerateDataKey*","kms:DescribeKey"],"Resource":"*","Condition":{{"StringEquals":{{"kms:ViaService":"{service}.{region}.amazonaws.com","kms:CallerAccount":"{account}"}}}}}},{{"Sid":"Allow direct access to key metadata to the account","Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{account}:root"}},"Action":["kms:Describe*","kms:Get*","kms:List*"],"Resource":"*"}}]}}"#
        ))
    }
}

#[cfg(test)]
mod tests;
