//! What the host's administrator does, beside every policy: look at keys, explain decisions, break glass, and change what the store
//! is sealed under.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::unlocking::{NO_KIT, unlock_by};
use super::{Caller, Entry, KeyPolicy, Kms, OpenError, ROOT_ID_FILE, record, rerun};
use crate::audit::AuditEvent;
use crate::backup::BackupKey;
use crate::context::EncryptionContext;
use crate::crypto::{self, blob};
use crate::error::KmsError;
use crate::key::KeyMaterialId;
use crate::root::{PassphraseRoot, RecoveryKit, RootError, RootKey, SecretRoot};
use crate::secret::{Secret32, SecretBytes};
use crate::store::{Change, Contents, Copies, IfBehind, Item, StoreError, StorePlaces};
use record::{DOMAIN_NAME, RECOVERY_NAME, Stored, WRAP_LABEL, WrappedDomain};

/// How many of what a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreCounts {
    /// KMS keys.
    pub keys: usize,
    /// Their backing keys.
    pub backing_keys: usize,
    /// Grants.
    pub grants: usize,
    /// Aliases.
    pub aliases: usize,
    /// How many domain keys the store had, the present one included.
    pub domain_generation: u32,
    /// Was a recovery kit made?
    pub has_recovery_kit: bool,
}

impl Kms {
    /// How many of what the store holds. Everything was unsealed and unwrapped when it was opened.
    pub fn counts(&self) -> StoreCounts {
        let state = self.state.read();
        StoreCounts {
            keys: state.keys.len(),
            backing_keys: state.keys.values().map(|entry| entry.backing.len()).sum(),
            grants: state.grants.all().count(),
            aliases: state.aliases.all().count(),
            domain_generation: self.generation,
            has_recovery_kit: state.secrets.contains_key(RECOVERY_PURPOSE),
        }
    }

    /// The keys of all accounts, in order of their making, with their aliases.
    pub fn entries(&self) -> Vec<(Arc<Entry>, Vec<String>)> {
        let state = self.state.read();
        let mut entries: Vec<(Arc<Entry>, Vec<String>)> =
            state.keys.values().map(|entry| (entry.clone(), Vec::new())).collect();
        entries.sort_unstable_by_key(|(entry, _)| (entry.key.created_unix_ms, entry.key.id));
        for (entry, aliases) in &mut entries {
            *aliases = state.aliases.of_key(&entry.key.account, entry.key.id);
        }
        entries
    }

    /// Is this ciphertext of ours under its key's current backing key?
    pub fn is_under_newest(&self, ciphertext_blob: &[u8]) -> bool {
        let entry = blob::parse(ciphertext_blob).and_then(|h| Some((self.entry(h.key_id)?, h.material)));
        entry.is_some_and(|(entry, material)| entry.key.current_material == Some(material))
    }

    /// The backing key that a ciphertext of ours names; nothing is opened. `None`: it is none of ours.
    pub fn material_of(&self, ciphertext_blob: &[u8]) -> Option<KeyMaterialId> {
        Some(blob::parse(ciphertext_blob)?.material)
    }

    /// May this caller do this to this key, in this encryption context? `Ok` names the grant that allows it, where no policy does.
    /// A question, not a use: the audit does not hear of it.
    pub fn explain(
        &self,
        caller: &Caller,
        action: &str,
        key_id: &str,
        context: &EncryptionContext,
    ) -> Result<Option<String>, KmsError> {
        let entry = self.find(key_id)?;
        Ok(self.permit(caller, action, &entry, context, &[])?.map(|grant| grant.id.to_string()))
    }

    /// Gives a key the default policy again: for one that nobody can administer any more.
    pub fn reset_key_policy(&self, key_id: &str) -> Result<Arc<Entry>, KmsError> {
        let (entry, reset) = rerun(|| {
            let _change = self.changing()?;
            let entry = self.find(key_id)?;
            let reset = Arc::new(entry.with_policy(KeyPolicy::default_of(&entry.key.account)));
            self.put_entry(reset.clone(), None)?;
            Ok((entry, reset))
        })?;
        self.config.audit.record(|| AuditEvent {
            time_unix_ms: self.now_unix_ms(),
            request_id: "",
            principal: "host",
            via_service: None,
            source_ip: None,
            action: "sealgate:ResetKeyPolicy",
            key: Some(self.arn(&entry.key)),
            key_material_id: None,
            encryption_context_names: Vec::new(),
            allowed: true,
            remembered: false,
            grant: None,
            refusal: None,
        });
        Ok(reset)
    }

    /// Seals the whole store under a new domain key, in one commit. Import tokens that are under way become invalid.
    pub fn rekey_domain(self, root: &dyn RootKey) -> Result<(), OpenError> {
        let domain = Arc::new(Secret32::random());
        let state = self.state.read();
        let generation = self.generation + 1;
        let mut changes: Vec<Change> = vec![WrappedDomain::of(root, &domain, generation)?.for_root()];
        for entry in state.keys.values() {
            changes.extend(record::entry(entry, None, (&domain, self.account())));
            let last = entry.last_use.get();
            changes.extend(last.map(|last| record::last_use(entry.key.id, &last, &domain)));
        }
        changes.extend(state.grants.all().map(|grant| record::grant(grant, &domain)));
        let aliases = state
            .aliases
            .all()
            .map(|(account, name, id)| record::alias((account, name), Some(id), (&domain, self.account())));
        changes.extend(aliases);
        changes.extend(state.internal.iter().map(|(name, key)| record::internal(name, key, &domain)));
        for (purpose, wrapped) in &state.secrets {
            let secret = crypto::open_32(&self.domain, WRAP_LABEL, wrapped, purpose.as_bytes())
                .ok_or(OpenError::Corrupt("a wrapped secret does not open"))?;
            let wrapped = crypto::seal(&domain, WRAP_LABEL, secret.expose(), purpose.as_bytes());
            changes.push(record::secret(purpose, &wrapped, &domain));
            if purpose == RECOVERY_PURPOSE {
                let recovery = SecretRoot::new(secret);
                changes.push(WrappedDomain::of(&recovery, &domain, generation)?.for_recovery());
            }
        }
        let entries = changes.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        Ok(self.store.rekey(entries, domain)?)
    }

    /// Wraps the domain key under another root key. While that happens either root is taken for the right one by the file that names
    /// it, and the store itself knows.
    pub fn rekey_root(
        self,
        places: impl Into<StorePlaces>,
        from: &dyn RootKey,
        to: &dyn RootKey,
    ) -> Result<(), OpenError> {
        let places = places.into();
        let wrapped = WrappedDomain::of(to, &self.domain, self.generation)?;
        write_root_ids(&places, &[from.id(), to.id()])?;
        self.store.commit(vec![wrapped.for_root()])?;
        Ok(bind(&places, to.id())?)
    }
}

impl Kms {
    /// A kit that opens this store, sealed under a passphrase. All kits of a store hold the same recovery root.
    pub fn recovery_kit(&self, passphrase: &SecretBytes) -> Result<RecoveryKit, OpenError> {
        let failed = |error: KmsError| StoreError::Failed(error.to_string());
        let _change = self.changing().map_err(failed)?;
        let secret = self.metadata_key_within(RECOVERY_PURPOSE).map_err(failed)?;
        let root = SecretRoot::new(Secret32::take(&mut { *secret.expose() }));
        let kit = RecoveryKit::seal(&self.config.account, &secret, &root, passphrase)?;
        let wrapped = WrappedDomain::of(&root, &self.domain, self.generation)?;
        self.store.commit(vec![wrapped.for_recovery()])?;
        Ok(kit)
    }

    /// Puts the store at these places, whose root key is lost, under another root key, by its recovery root.
    pub fn recover(
        places: impl Into<StorePlaces>,
        recovery: &SecretRoot,
        to: &dyn RootKey,
    ) -> Result<(), OpenError> {
        let places = places.into();
        let mut ids = read_root_ids(&places.folder)?;
        if ids.is_empty() {
            return Err(OpenError::Corrupt("there is none"));
        }
        let copies = Copies::at(&places)?;
        let opened = copies.open(&unlock_by(recovery, RECOVERY_NAME), true, IfBehind::Refuse);
        let opened = opened.map_err(|error| match OpenError::from(error) {
            OpenError::Root(RootError::Unavailable(why)) if why == NO_KIT => OpenError::Corrupt(NO_KIT),
            error => error,
        })?;
        let Contents { entries, domain, is_former } = opened.ok_or(OpenError::Corrupt("there is none"))?;
        let stored = Stored::read(entries.clone())?;
        let generation = stored.recovery.as_ref().map_or(1, |wrapped| wrapped.generation);
        // That everything opens is seen before anything is changed; whose it is does not matter here.
        stored.open(&domain, "")?;
        let moved = WrappedDomain::of(to, &domain, generation)?.for_root();
        ids.push(to.id().to_owned());
        write_root_ids(&places, &ids.iter().map(String::as_str).collect::<Vec<_>>())?;
        match is_former {
            true => copies.bring_forward(entries, vec![moved])?,
            false => copies.commit(vec![moved])?,
        }
        Ok(bind(&places, to.id())?)
    }
}

/// A key store's part of a backup.
pub struct StoreCopy {
    /// The entries, sealed as they lie in the store.
    pub entries: Vec<Item>,
    /// What the backup is sealed under.
    pub key: BackupKey,
    /// That key under the store's domain key.
    pub wrapped_key: Vec<u8>,
    /// The domain key under the root key; without it nothing of the backup opens.
    pub wrapped_domain: Vec<u8>,
}

const BACKUP_PURPOSE: &[u8] = b"backup key";

impl Kms {
    /// A copy of the store as of one moment.
    pub fn copy(&self) -> Result<StoreCopy, OpenError> {
        let entries: Vec<Item> = {
            let _change = self.change.lock();
            self.store.load()?.into_iter().collect()
        };
        let domain = entries.iter().find(|(name, _)| name == DOMAIN_NAME);
        let (_, wrapped_domain) = domain.ok_or(OpenError::Corrupt("the domain key is missing"))?.clone();
        let secret = Secret32::random();
        let wrapped_key = crypto::seal(&self.domain, WRAP_LABEL, secret.expose(), BACKUP_PURPOSE);
        Ok(StoreCopy { entries, key: BackupKey::new(secret), wrapped_key, wrapped_domain })
    }

    /// The key of a backup, from what its copy told of the two.
    pub fn open_backup(
        root: &dyn RootKey,
        wrapped_domain: &[u8],
        wrapped_key: &[u8],
    ) -> Result<BackupKey, OpenError> {
        let stored = Stored::read(vec![(DOMAIN_NAME.to_vec(), wrapped_domain.to_vec())])?;
        let domain = stored.domain.ok_or(OpenError::Corrupt("the domain key is missing"))?.open(root)?;
        let secret = crypto::open_32(&domain, WRAP_LABEL, wrapped_key, BACKUP_PURPOSE);
        Ok(BackupKey::new(secret.ok_or(OpenError::Corrupt("the backup's key does not open"))?))
    }

    /// Makes a key store of a copy's entries, where there is none. It is one once this answers `Ok`.
    pub fn restore(places: impl Into<StorePlaces>, entries: Vec<Item>) -> Result<(), OpenError> {
        let places = places.into();
        let copies = Copies::at(&places)?;
        if places.is_made() {
            let what = [places.folder.join("db"), places.mirror_log(), places.head.clone()];
            let there = what.iter().find(|path| path.exists()).unwrap_or(&places.folder);
            return Err(StoreError::Failed(format!(
                "there is one already: {}; start the gateway with it, or move it away before you restore",
                there.display()
            ))
            .into());
        }
        let entries = entries.into_iter().collect();
        if let Err(error) = copies.restore(&entries) {
            places.remove_copies();
            return Err(error.into());
        }
        Ok(())
    }
}

/// What the recovery root is kept as.
const RECOVERY_PURPOSE: &str = "recovery root";

/// The ids of the roots that the store in this folder may need; none if it was never made, or the file is no such list.
pub(super) fn read_root_ids(folder: &Path) -> io::Result<Vec<String>> {
    match fs::read_to_string(folder.join(ROOT_ID_FILE)) {
        Ok(text) => Ok(text.split_whitespace().map(str::to_owned).collect()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// Was the store at these places bound to a root key once?
pub(super) fn was_made(places: &StorePlaces) -> bool {
    [&places.folder, &places.mirror].iter().any(|folder| folder.join(ROOT_ID_FILE).exists())
}

/// Writes down that the store needs this root key, and keeps what else is needed to open it beside both copies.
pub(super) fn bind(places: &StorePlaces, root_id: &str) -> io::Result<()> {
    let is_bound = |folder: &Path| Ok::<_, io::Error>(read_root_ids(folder)? == [root_id]);
    if !is_bound(&places.folder)? || !is_bound(&places.mirror)? {
        write_root_ids(places, &[root_id])?;
    }
    PassphraseRoot::keep_twice(&places.folder, &places.mirror)
}

/// Writes them beside both copies, durably, each file whole or not at all.
pub(super) fn write_root_ids(places: &StorePlaces, ids: &[&str]) -> io::Result<()> {
    for folder in [&places.mirror, &places.folder] {
        let temporary = folder.join("root-id.new");
        let file = fs::File::create(&temporary)?;
        io::Write::write_all(&mut &file, format!("{}\n", ids.join("\n")).as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, folder.join(ROOT_ID_FILE))?;
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}
