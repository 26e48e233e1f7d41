//! The service: keys in a store of their own, behind the policy gate.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard, RwLock};

use crate::alias::Aliases;
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
use crate::root::RootError;
use crate::secret::{Secret32, SecretBytes};
use crate::store::{Change, Copies, OpenStoreError, StoreError};
use record::WRAP_LABEL;

mod caller;
mod gate;
mod host;
mod key_policy;
mod naming;
mod opening;
mod record;
mod request_context;
mod rerun;
mod unlocking;

pub use caller::Caller;
pub use host::{StoreCopy, StoreCounts};
pub use key_policy::KeyPolicy;
pub use opening::Standing;
pub use rerun::rerun;

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
    /// The account that owns the keys of which nothing else is said.
    pub account: String,
    /// What time it is.
    pub clock: Clock,
    /// Days between two rotations of an AWS managed key.
    pub managed_key_rotation_days: u16,
    /// Who is told of every decision.
    pub audit: Audit,
}

impl KmsConfig {
    /// With the system's clock and AWS's rotation of managed keys, once a year.
    pub fn new(region: impl Into<String>, account: impl Into<String>) -> Self {
        let (region, account) = (region.into(), account.into());
        let (clock, audit) = (Clock::default(), Audit::default());
        Self { region, account, clock, managed_key_rotation_days: 365, audit }
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

/// The key management service. Every call is synchronous, takes microseconds, and is safe from any thread.
pub struct Kms {
    pub(crate) config: KmsConfig,
    store: Copies,
    domain: Arc<Secret32>,
    /// How many domain keys the store had.
    generation: u32,
    state: RwLock<State>,
    /// Who knows principals; nobody before the gateway says so.
    directory: RwLock<Option<Arc<dyn Directory>>>,
    /// Held by who reads, changes and writes.
    change: Mutex<()>,
    /// Which revision of the store the state is of; `None`: it is not known.
    reached: Mutex<Option<Option<Vec<u8>>>>,
    /// When it was last tried to open a store again that failed.
    tried: Mutex<Option<Instant>>,
}

/// Of who is changing the store. What he has written is in the state once he lets go.
pub(crate) struct Changing<'k> {
    kms: &'k Kms,
    _turn: MutexGuard<'k, ()>,
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.kms.reach();
    }
}

#[derive(Default)]
struct State {
    keys: HashMap<KmsKeyId, Arc<Entry>>,
    grants: Grants,
    aliases: Aliases,
    /// The gateway's own, by purpose.
    internal: HashMap<String, Arc<BackingKey>>,
    secrets: HashMap<String, Vec<u8>>,
}

/// In the store's folder, in the clear: the id of the root key that it needs, to be read before anything is opened.
const ROOT_ID_FILE: &str = "root-id";

impl From<OpenStoreError> for OpenError {
    fn from(error: OpenStoreError) -> Self {
        match error {
            OpenStoreError::Store(error) => Self::Store(error),
            OpenStoreError::Root(error) => Self::Root(error),
        }
    }
}

impl Kms {
    /// ARN of the AWS managed key that an account has of a service (`s3` → `alias/aws/s3`), made on first use.
    pub fn managed_key(&self, service: &str, account: &str) -> Result<String, KmsError> {
        let alias = format!("alias/aws/{service}");
        if let Some(arn) = self.made_managed_key(service, account) {
            return Ok(arn);
        }
        rerun(|| {
            let _change = self.changing()?;
            if let Some(arn) = self.made_managed_key(service, account) {
                return Ok(arn);
            }
            let key = KmsKey {
                manager: KeyManager::Aws,
                description: format!(
                    "Default key that protects my {} objects when no other key is defined",
                    service.to_uppercase()
                ),
                ..self.new_key(KmsKeyId::random(), account)
            };
            let policy = KeyPolicy::managed(service, &self.config.region, account)?;
            let entry = self.insert_key(key, policy, Some(&alias))?;
            Ok(self.arn(&entry.key))
        })
    }

    /// As [`Kms::managed_key`], if this gateway knows that it was made: waits for no store.
    pub fn made_managed_key(&self, service: &str, account: &str) -> Option<String> {
        self.alias(account, &format!("alias/aws/{service}")).map(|id| self.arn_of(id))
    }

    /// Asks this directory about principals from now on. Before, every one is taken for existing, and known by its name alone.
    pub fn set_directory(&self, directory: Arc<dyn Directory>) {
        *self.directory.write() = Some(directory);
    }

    pub(crate) fn directory(&self) -> Option<Arc<dyn Directory>> {
        self.directory.read().clone()
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
        if let Some(secret) = self.secret(purpose)? {
            return Ok(secret);
        }
        rerun(|| {
            let _change = self.changing()?;
            self.metadata_key_within(purpose)
        })
    }

    fn secret(&self, purpose: &str) -> Result<Option<Secret32>, KmsError> {
        let state = self.state.read();
        let Some(wrapped) = state.secrets.get(purpose) else { return Ok(None) };
        let opened = crypto::open_32(&self.domain, WRAP_LABEL, wrapped, purpose.as_bytes());
        opened.map(Some).ok_or_else(|| KmsError::Internal("a wrapped secret does not open".to_owned()))
    }

    /// As [`Kms::metadata_key`], for whom is changing the store.
    fn metadata_key_within(&self, purpose: &str) -> Result<Secret32, KmsError> {
        if let Some(secret) = self.secret(purpose)? {
            return Ok(secret);
        }
        let secret = Secret32::random();
        let wrapped = crypto::seal(&self.domain, WRAP_LABEL, secret.expose(), purpose.as_bytes());
        self.commit(vec![record::secret(purpose, &wrapped, &self.domain)])?;
        self.state.write().secrets.insert(purpose.to_owned(), wrapped);
        Ok(secret)
    }

    /// The account that the store began with; others may own keys in it too.
    pub fn account(&self) -> &str {
        &self.config.account
    }

    /// The region in ARNs.
    pub fn region(&self) -> &str {
        &self.config.region
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

    pub(crate) fn alias(&self, account: &str, name: &str) -> Option<KmsKeyId> {
        self.state.read().aliases.get(account, name)
    }

    /// Looks something up among the aliases.
    pub(crate) fn aliases<T>(&self, look_up: impl FnOnce(&Aliases) -> T) -> T {
        look_up(&self.state.read().aliases)
    }

    /// The keys of an account, in no order.
    pub(crate) fn keys_of(&self, account: &str) -> Vec<Arc<Entry>> {
        let state = self.state.read();
        state.keys.values().filter(|entry| entry.key.account == account).cloned().collect()
    }

    /// For who is about to write. A store that failed, or that others have changed, is read again first, so that what is seen then is
    /// what is durable.
    pub(crate) fn changing(&self) -> Result<Changing<'_>, KmsError> {
        let change = self.change.lock();
        self.refresh_within(&change).map_err(|error| self.failed(&error))?;
        Ok(Changing { kms: self, _turn: change })
    }

    /// Keeps a key durably, with an alias of its account that points to it, before anybody can use it.
    pub(crate) fn put_entry(&self, entry: Arc<Entry>, alias: Option<&str>) -> Result<(), KmsError> {
        let (id, account) = (entry.key.id, entry.key.account.clone());
        let former = self.entry(id);
        let mut changes = record::entry(&entry, former.as_deref(), (&self.domain, self.account()));
        changes.extend(alias.map(|name| self.alias_change(&account, name, Some(id))));
        self.commit(changes)?;
        let mut state = self.state.write();
        if let Some(name) = alias {
            state.aliases.insert(&account, name, id);
        }
        state.keys.insert(id, entry);
        Ok(())
    }

    /// Forgets a key for good, its backing keys, policy, grants and aliases with it.
    pub(crate) fn forget_entry(&self, entry: &Entry) -> Result<(), KmsError> {
        let KmsKey { id, account, .. } = &entry.key;
        let aliases = self.aliases(|all| all.of_key(account, *id));
        let grants: Vec<Arc<Grant>> = self.grants(|all| all.after(*id, None).cloned().collect());
        let mut changes = record::forget(entry, &grants);
        changes.extend(aliases.iter().map(|name| self.alias_change(account, name, None)));
        self.commit(changes)?;
        let mut state = self.state.write();
        state.keys.remove(id);
        state.grants.remove_key(*id);
        aliases.iter().for_each(|name| state.aliases.remove(account, name));
        Ok(())
    }

    pub(crate) fn put_alias(
        &self,
        account: &str,
        name: &str,
        target: Option<KmsKeyId>,
    ) -> Result<(), KmsError> {
        self.commit(vec![self.alias_change(account, name, target)])?;
        let mut state = self.state.write();
        match target {
            Some(id) => state.aliases.insert(account, name, id),
            None => state.aliases.remove(account, name),
        }
        Ok(())
    }

    fn alias_change(&self, account: &str, name: &str, target: Option<KmsKeyId>) -> Change {
        record::alias((account, name), target, (&self.domain, self.account()))
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
        rerun(|| {
            let _change = self.changing()?;
            if let Some(backing) = self.state.read().internal.get(purpose) {
                return Ok(backing.clone());
            }
            let made = Made { at_unix_ms: self.now_unix_ms(), ..Made::default() };
            let backing = BackingKey::new(KmsKeyId::from_bytes([0; 16]), Secret32::random(), made);
            let backing = Arc::new(backing);
            self.commit(vec![record::internal(purpose, &backing, &self.domain)])?;
            self.state.write().internal.insert(purpose.to_owned(), backing.clone());
            Ok(backing)
        })
    }

    /// Writes what is new of the last uses of keys.
    pub fn write_last_uses(&self) -> Result<(), KmsError> {
        rerun(|| {
            let _change = self.changing()?;
            self.store.sync_head();
            let entries: Vec<Arc<Entry>> = self.state.read().keys.values().cloned().collect();
            let taken: Vec<_> =
                entries.iter().filter_map(|entry| Some((entry, entry.last_use.take_new()?))).collect();
            if taken.is_empty() {
                return Ok(());
            }
            let changes =
                taken.iter().map(|(entry, last)| record::last_use(entry.key.id, last, &self.domain));
            self.commit(changes.collect()).inspect_err(|_| {
                taken.iter().for_each(|(entry, _)| entry.last_use.give_back());
            })
        })
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), KmsError> {
        self.store.commit(changes).map_err(|error| match error {
            StoreError::Contended => KmsError::Contended,
            error => self.failed(&error),
        })
    }

    /// What whoever asks is told of a store that fails.
    fn failed(&self, error: &dyn std::error::Error) -> KmsError {
        let causes = std::iter::successors(Some(error), |error| error.source());
        let cause = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        if self.store.is_shared() { KmsError::Unavailable(cause) } else { KmsError::Internal(cause) }
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

#[cfg(test)]
mod tests;
