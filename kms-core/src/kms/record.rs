//! The store's entries: names, versions, and what is sealed in them.
//!
//! | name | value |
//! | --- | --- |
//! | `m` | root id, the domain key wrapped by the root key, and its generation |
//! | `r` | the same for the recovery root, once a recovery kit was made |
//! | `k` + key id | the key's record |
//! | `b` + key id + number | a backing key: how it was made, and its secret, wrapped once more (AAD: key id, material id, purpose) |
//! | `p` + key id + number | a piece of its policy |
//! | `n` + key id + number | a piece of the unique ids of those whom its policy names |
//! | `g` + key id + grant id | a grant |
//! | `a` + alias, or `a` + account + `/` + alias where it is not of the store's first account | a key id |
//! | `i` + purpose | a backing key of the gateway's own, wrapped |
//! | `s` + purpose | a secret of the gateway, wrapped |
//! | `u` + key id | its last use |
//! | `d` | the digest over all others (`store/digest.rs`) |
//!
//! All but `m` and `r` are sealed by the domain key, bound to their names.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Entry, KeyPolicy, OpenError, State};
use crate::crypto;
use crate::grant::Grant;
use crate::key::backing::{BackingKey, Made, MadeBy};
use crate::key::material::Material;
use crate::key::usage::{LastUse, Use};
use crate::key::{
    AutomaticRotation, KeyManager, KeyMaterialId, KeySpec, KeyState, KeyUsage, KmsKey, KmsKeyId, Origin,
};
use crate::root::{RootError, RootKey};
use crate::secret::Secret32;
use crate::store::{Change, DIGEST_NAME};

/// What the domain key wraps secrets under.
pub(super) const WRAP_LABEL: &str = "sealgate kms v1 wrapped key";
/// What the domain key seals records under.
const RECORD_LABEL: &str = "sealgate kms v1 record";
const VERSION: u8 = 1;
/// Of a domain key that is wrapped for a store with a digest: who has an old wrapping only can't do without the digest.
const DIGESTED_VERSION: u8 = 2;
/// The name of the domain key.
pub(super) const DOMAIN_NAME: &[u8] = b"m";
/// Values stay well below what sled keeps within a page.
const POLICY_PIECE_LEN: usize = 4096;
/// The name of the domain key under the recovery root.
pub(super) const RECOVERY_NAME: &[u8] = b"r";
const CORRUPT: OpenError = OpenError::Corrupt("an entry is not of this format");

#[derive(Serialize, Deserialize)]
struct KeyRecord {
    created_unix_ms: u64,
    description: String,
    external: bool,
    aws_managed: bool,
    /// 0 enabled, 1 disabled, 2 pending deletion, 3 pending import.
    state: u8,
    deletion_unix_ms: u64,
    tags: BTreeMap<String, String>,
    current_material: Option<[u8; 32]>,
    on_demand_rotations: u32,
    backing_count: u16,
    policy_pieces: u8,
    /// Automatic rotation: its period in days, and when the next is due.
    rotation: Option<(u16, u64)>,
    /// Behind the record, where there is anything to say.
    #[serde(skip)]
    more: More,
}

/// What the first stores did not say of a key.
#[derive(Default, PartialEq, Eq)]
struct More {
    /// Numbers of spec and usage; a symmetric key's are said only if something follows.
    kind: (u8, u8),
    /// Whose it is; empty for the store's first account.
    account: String,
    /// How many pieces the ids are kept in of those whom its policy names.
    id_pieces: u8,
}

#[derive(Serialize, Deserialize)]
struct BackingRecord {
    material: [u8; 32],
    /// The wrapped secret; `None` once imported material is gone.
    wrapped: Option<Vec<u8>>,
    /// 0 creation, 1 automatic, 2 on demand, 3 pending.
    by: u8,
    at_unix_ms: u64,
    description: Option<String>,
    expires_unix_ms: Option<u64>,
}

/// A domain key as a root key keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrappedDomain {
    pub(super) root_id: String,
    pub(super) wrapped: Vec<u8>,
    /// How many domain keys the store had, this one included.
    pub(super) generation: u32,
    /// Was it wrapped for a store with a digest?
    pub(super) needs_digest: bool,
}

/// What the domain key is wrapped as.
fn domain_purpose(needs_digest: bool) -> &'static str {
    if needs_digest { "sealgate kms v1 domain key 2" } else { "sealgate kms v1 domain key 1" }
}

impl WrappedDomain {
    /// Wraps a domain key.
    pub(super) fn of(root: &dyn RootKey, domain: &Secret32, generation: u32) -> Result<Self, RootError> {
        let wrapped = root.wrap(domain_purpose(true), domain)?;
        Ok(Self { root_id: root.id().to_owned(), wrapped, generation, needs_digest: true })
    }

    /// The domain key, by the root key that this names.
    pub(super) fn open(&self, root: &dyn RootKey) -> Result<Secret32, RootError> {
        match self.root_id == root.id() {
            true => root.unwrap(domain_purpose(self.needs_digest), &self.wrapped),
            false => {
                let (expected, found) = (self.root_id.clone(), root.id().to_owned());
                Err(RootError::WrongRoot { expected, found })
            }
        }
    }

    /// From the value of its entry.
    pub(super) fn decode(value: &[u8]) -> Result<Self, OpenError> {
        let (needs_digest, bytes) = match value.split_first() {
            Some((&VERSION, bytes)) => (false, bytes),
            Some((&DIGESTED_VERSION, bytes)) => (true, bytes),
            _ => return Err(CORRUPT),
        };
        let ((root_id, wrapped), rest) = postcard::take_from_bytes(bytes).map_err(|_| CORRUPT)?;
        // The first stores did not count.
        let generation = if rest.is_empty() { 1 } else { postcard::from_bytes(rest).map_err(|_| CORRUPT)? };
        Ok(Self { root_id, wrapped, generation, needs_digest })
    }

    fn change(&self, name: &[u8]) -> Change {
        let Self { root_id, wrapped, generation, needs_digest } = self;
        let version = if *needs_digest { DIGESTED_VERSION } else { VERSION };
        (name.to_vec(), Some([&[version][..], &encode(&(root_id, wrapped, generation))].concat()))
    }

    /// The change that makes it the one of the root key.
    pub(super) fn for_root(&self) -> Change {
        self.change(DOMAIN_NAME)
    }

    /// The change that makes it the one of the recovery root.
    pub(super) fn for_recovery(&self) -> Change {
        self.change(RECOVERY_NAME)
    }
}

/// Everything in a store, still sealed.
#[derive(Default)]
pub(super) struct Stored {
    pub(super) domain: Option<WrappedDomain>,
    pub(super) recovery: Option<WrappedDomain>,
    entries: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Stored {
    pub(super) fn read(entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<Self, OpenError> {
        let mut stored = Self::default();
        for (name, value) in entries {
            match (&name[..], value.split_first()) {
                (DOMAIN_NAME, _) => stored.domain = Some(WrappedDomain::decode(&value)?),
                (RECOVERY_NAME, _) => stored.recovery = Some(WrappedDomain::decode(&value)?),
                // It was compared before anything was read.
                (DIGEST_NAME, _) => {}
                ([b'k' | b'b' | b'p' | b'n' | b'g' | b'a' | b'i' | b's' | b'u', ..], Some((&VERSION, _))) => {
                    stored.entries.push((name, value));
                }
                _ => return Err(CORRUPT),
            }
        }
        Ok(stored)
    }

    /// Unseals every record and unwraps every backing key.
    /// `account`: whose is what names no account.
    pub(super) fn open(self, domain: &Secret32, account: &str) -> Result<State, OpenError> {
        let (mut backing, mut pieces) = (HashMap::new(), HashMap::new());
        let (mut keys, mut used) = (HashMap::new(), HashMap::new());
        let mut state = State::default();
        for (name, value) in &self.entries {
            let (kind, rest) = name.split_first().ok_or(CORRUPT)?;
            let value = unseal(name, value, domain)?;
            let text = || String::from_utf8(rest.to_vec()).map_err(|_| CORRUPT);
            let id = |bytes: &[u8]| bytes.try_into().map(KmsKeyId::from_bytes).map_err(|_| CORRUPT);
            match kind {
                b'k' => {
                    keys.insert(id(rest)?, KeyRecord::decode(&value)?);
                }
                b'b' => {
                    let (key_id, number) = rest.split_last_chunk::<2>().ok_or(CORRUPT)?;
                    backing.insert((id(key_id)?, u16::from_be_bytes(*number)), value);
                }
                b'u' => {
                    used.insert(id(rest)?, postcard::from_bytes(&value).map_err(|_| CORRUPT)?);
                }
                b'p' | b'n' => {
                    let (number, key_id) = rest.split_last().ok_or(CORRUPT)?;
                    pieces.insert((*kind, id(key_id)?, *number), value);
                }
                b'g' => {
                    let (key_id, grant_id) = rest.split_at_checked(16).ok_or(CORRUPT)?;
                    let grant = Grant::decode(id(key_id)?, grant_id, &value).ok_or(CORRUPT)?;
                    state.grants.insert(Arc::new(grant));
                }
                b'a' => {
                    let text = text()?;
                    let (account, name) = match text.split_once('/') {
                        Some((own, name)) if own != ALIAS => (own, name),
                        _ => (account, text.as_str()),
                    };
                    state.aliases.insert(account, name, id(&value)?);
                }
                b'i' => {
                    let kind = (KeySpec::SymmetricDefault, KeyUsage::EncryptDecrypt);
                    let secret = unwrap(KmsKeyId::from_bytes([0; 16]), kind, &value, domain)?;
                    state.internal.insert(text()?, Arc::new(secret));
                }
                b's' => {
                    state.secrets.insert(text()?, value);
                }
                _ => return Err(CORRUPT),
            }
        }
        for (id, record) in &keys {
            let key = record.key(*id, account)?;
            let mut own = Vec::new();
            for number in 0..record.backing_count {
                let value = backing.remove(&(*id, number));
                let value = value.ok_or(OpenError::Corrupt("a backing key is missing"))?;
                own.push(Arc::new(open_backing(&key, &value, domain)?));
            }
            let whole = |kind: u8, count: u8| {
                let all = (0..count).map(|number| pieces.get(&(kind, *id, number)));
                let all: Option<Vec<&Vec<u8>>> = all.collect();
                all.map(|all| all.into_iter().flatten().copied().collect::<Vec<u8>>())
            };
            let missing = OpenError::Corrupt("a policy is missing");
            let text = whole(b'p', record.policy_pieces).ok_or(missing)?;
            let text = String::from_utf8(text).map_err(|_| OpenError::Corrupt("a policy is not text"))?;
            let ids = whole(b'n', record.more.id_pieces).ok_or(CORRUPT)?;
            let ids = if ids.is_empty() { None } else { Some(postcard::from_bytes(&ids)) };
            let ids = ids.transpose().map_err(|_| CORRUPT)?.unwrap_or_default();
            let policy =
                KeyPolicy::parse(text, ids).map_err(|_| OpenError::Corrupt("a policy is malformed"))?;
            let last_use = Arc::new(LastUse::new(used.remove(id)));
            let entry = Entry { key, policy: Arc::new(policy), backing: own, last_use };
            state.keys.insert(*id, Arc::new(entry));
        }
        // A key and its backing keys are written and forgotten by one commit.
        if backing.keys().any(|(id, _)| !keys.contains_key(id)) {
            return Err(OpenError::Corrupt("the record of a key is missing"));
        }
        Ok(state)
    }
}

/// What seals a record, and the store's first account, whose records don't name it.
type Under<'a> = (&'a Secret32, &'a str);

/// The changes that keep a key: its record, and what of backing keys and policy is not as it was.
pub(super) fn entry(entry: &Entry, former: Option<&Entry>, (domain, account): Under<'_>) -> Vec<Change> {
    let id = entry.key.id;
    let parts = parts_of(&entry.policy);
    let counts = (entry.backing.len() as u16, count(&parts[0]), count(&parts[1]));
    let record = KeyRecord::of(&entry.key, account, counts);
    let mut changes = vec![put(b'k', id.as_bytes(), &record.encoded(), domain)];
    for (number, backing) in (0u16..).zip(&entry.backing) {
        let was = former.and_then(|former| former.backing.get(usize::from(number)));
        if was.is_none_or(|was| !Arc::ptr_eq(was, backing)) {
            let name = [&id.as_bytes()[..], &number.to_be_bytes()].concat();
            changes.push(put(b'b', &name, &encode(&BackingRecord::of(id, backing, domain)), domain));
        }
    }
    for number in entry.backing.len()..former.map_or(0, |former| former.backing.len()) {
        changes.push(([b"b", &id.as_bytes()[..], &(number as u16).to_be_bytes()].concat(), None));
    }
    if former.is_none_or(|former| !Arc::ptr_eq(&former.policy, &entry.policy)) {
        let former = former.map_or_else(Default::default, |former| parts_of(&former.policy));
        for (part, former) in parts.iter().zip(&former) {
            for number in count(part)..count(former) {
                changes.push(([&[part.0], &id.as_bytes()[..], &[number]].concat(), None));
            }
            for (number, piece) in (0u8..).zip(part.1.chunks(POLICY_PIECE_LEN)) {
                changes.push(put(part.0, &[&id.as_bytes()[..], &[number]].concat(), piece, domain));
            }
        }
    }
    changes
}

/// The changes that forget a key, with all that is its own; its aliases are others' to end.
pub(super) fn forget(entry: &Entry, grants: &[Arc<Grant>]) -> Vec<Change> {
    let id = entry.key.id;
    let name = |kind: u8, rest: &[u8]| ([&[kind][..], id.as_bytes(), rest].concat(), None);
    let mut changes = vec![name(b'k', &[]), name(b'u', &[])];
    changes.extend((0..entry.backing.len() as u16).map(|number| name(b'b', &number.to_be_bytes())));
    for part in parts_of(&entry.policy) {
        changes.extend((0..count(&part)).map(|number| name(part.0, &[number])));
    }
    changes.extend(grants.iter().map(|grant| name(b'g', &grant.id.0)));
    changes
}

/// What of a policy is kept in pieces: kind and bytes.
type Part<'a> = (u8, Cow<'a, [u8]>);

/// The text of a policy, and the ids of those whom it names, if there are any.
fn parts_of(policy: &KeyPolicy) -> [Part<'_>; 2] {
    let ids = if policy.bindings.is_empty() { Vec::new() } else { encode(&policy.bindings) };
    [(b'p', Cow::from(policy.text.as_bytes())), (b'n', Cow::from(ids))]
}

/// In how many pieces: at most 8 of a policy's 32 KiB, and some more of ids.
fn count((_, bytes): &Part<'_>) -> u8 {
    bytes.len().div_ceil(POLICY_PIECE_LEN) as u8
}

pub(super) fn grant(grant: &Grant, domain: &Secret32) -> Change {
    let name = [&grant.key_id.as_bytes()[..], &grant.id.0].concat();
    put(b'g', &name, &grant.encoded(), domain)
}

pub(super) fn no_grant(grant: &Grant) -> Change {
    ([b"g", &grant.key_id.as_bytes()[..], &grant.id.0].concat(), None)
}

/// How the name of an alias begins.
const ALIAS: &str = "alias";

pub(super) fn alias(
    (account, name): (&str, &str),
    target: Option<KmsKeyId>,
    (domain, first): Under<'_>,
) -> Change {
    let name = if account == first { name.to_owned() } else { format!("{account}/{name}") };
    match target {
        Some(id) => put(b'a', name.as_bytes(), id.as_bytes(), domain),
        None => ([b"a", name.as_bytes()].concat(), None),
    }
}

pub(super) fn internal(purpose: &str, backing: &BackingKey, domain: &Secret32) -> Change {
    let wrapped = backing.material().map(|secret| {
        let key_id = KmsKeyId::from_bytes([0; 16]);
        [&backing.id.as_bytes()[..], &wrap(key_id, &backing.id, secret, domain)].concat()
    });
    put(b'i', purpose.as_bytes(), &wrapped.unwrap_or_default(), domain)
}

/// The last use of a key.
pub(super) fn last_use(key_id: KmsKeyId, last: &Use, domain: &Secret32) -> Change {
    put(b'u', key_id.as_bytes(), &encode(last), domain)
}

pub(super) fn secret(purpose: &str, wrapped: &[u8], domain: &Secret32) -> Change {
    put(b's', purpose.as_bytes(), wrapped, domain)
}

impl KeyRecord {
    fn of(
        key: &KmsKey,
        first_account: &str,
        (backing_count, policy_pieces, id_pieces): (u16, u8, u8),
    ) -> Self {
        let (state, deletion_unix_ms) = match key.state {
            KeyState::Enabled => (0, 0),
            KeyState::Disabled => (1, 0),
            KeyState::PendingDeletion { deletion_unix_ms } => (2, deletion_unix_ms),
            KeyState::PendingImport => (3, 0),
        };
        Self {
            created_unix_ms: key.created_unix_ms,
            description: key.description.clone(),
            external: key.origin == Origin::External,
            aws_managed: key.manager == KeyManager::Aws,
            state,
            deletion_unix_ms,
            tags: key.tags.clone(),
            current_material: key.current_material.map(|id| *id.as_bytes()),
            on_demand_rotations: key.on_demand_rotations,
            backing_count,
            policy_pieces,
            rotation: key.rotation.map(|rotation| (rotation.period_days, rotation.next_unix_ms)),
            more: More {
                kind: (key.spec.number(), key.usage.number()),
                account: if key.account == first_account { String::new() } else { key.account.clone() },
                id_pieces,
            },
        }
    }

    /// No byte is written that says nothing, so that the records of the first stores stay as they are.
    fn encoded(&self) -> Vec<u8> {
        let (mut bytes, More { kind, account, id_pieces }) = (encode(self), &self.more);
        let says_more = !account.is_empty() || *id_pieces > 0;
        if says_more || self.more != More::default() {
            bytes.extend(encode(kind));
        }
        if says_more {
            bytes.extend(encode(&(account, id_pieces)));
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, OpenError> {
        let (mut record, rest) = postcard::take_from_bytes::<Self>(bytes).map_err(|_| CORRUPT)?;
        if !rest.is_empty() {
            let (kind, rest) = postcard::take_from_bytes(rest).map_err(|_| CORRUPT)?;
            record.more.kind = kind;
            if !rest.is_empty() {
                (record.more.account, record.more.id_pieces) =
                    postcard::from_bytes(rest).map_err(|_| CORRUPT)?;
            }
        }
        Ok(record)
    }

    fn key(&self, id: KmsKeyId, first_account: &str) -> Result<KmsKey, OpenError> {
        let More { kind: (spec, usage), account, .. } = &self.more;
        let kind = KeySpec::of_number(*spec).zip(KeyUsage::of_number(*usage));
        let (spec, usage) = kind.ok_or(OpenError::Corrupt("a key is of no known kind"))?;
        let account = if account.is_empty() { first_account } else { account };
        Ok(KmsKey {
            id,
            account: account.to_owned(),
            created_unix_ms: self.created_unix_ms,
            description: self.description.clone(),
            usage,
            spec,
            origin: if self.external { Origin::External } else { Origin::AwsKms },
            manager: if self.aws_managed { KeyManager::Aws } else { KeyManager::Customer },
            state: match self.state {
                0 => KeyState::Enabled,
                1 => KeyState::Disabled,
                2 => KeyState::PendingDeletion { deletion_unix_ms: self.deletion_unix_ms },
                3 => KeyState::PendingImport,
                _ => return Err(OpenError::Corrupt("a key is in no known state")),
            },
            tags: self.tags.clone(),
            current_material: self.current_material.map(KeyMaterialId::from_bytes),
            on_demand_rotations: self.on_demand_rotations,
            rotation: self
                .rotation
                .map(|(period_days, next_unix_ms)| AutomaticRotation { period_days, next_unix_ms }),
        })
    }
}

impl BackingRecord {
    fn of(key_id: KmsKeyId, backing: &BackingKey, domain: &Secret32) -> Self {
        let Made { by, at_unix_ms, description, expires_unix_ms } = backing.made.clone();
        Self {
            material: *backing.id.as_bytes(),
            wrapped: backing.material().map(|secret| wrap(key_id, &backing.id, secret, domain)),
            by: match by {
                MadeBy::Creation => 0,
                MadeBy::Automatic => 1,
                MadeBy::OnDemand => 2,
                MadeBy::Pending => 3,
            },
            at_unix_ms,
            description,
            expires_unix_ms,
        }
    }
}

fn open_backing(key: &KmsKey, value: &[u8], domain: &Secret32) -> Result<BackingKey, OpenError> {
    let record: BackingRecord = postcard::from_bytes(value).map_err(|_| CORRUPT)?;
    let by = match record.by {
        0 => MadeBy::Creation,
        1 => MadeBy::Automatic,
        2 => MadeBy::OnDemand,
        3 => MadeBy::Pending,
        _ => return Err(CORRUPT),
    };
    let made = Made {
        by,
        at_unix_ms: record.at_unix_ms,
        description: record.description,
        expires_unix_ms: record.expires_unix_ms,
    };
    let material = KeyMaterialId::from_bytes(record.material);
    match record.wrapped {
        None => Ok(BackingKey::without_material(material, made)),
        Some(wrapped) => {
            let wrapped = [&record.material[..], &wrapped].concat();
            Ok(unwrap(key.id, (key.spec, key.usage), &wrapped, domain)?.remade(made))
        }
    }
}

/// A backing key's secret, bound to key and material.
fn wrap(key_id: KmsKeyId, id: &KeyMaterialId, material: &Material, domain: &Secret32) -> Vec<u8> {
    crypto::seal(domain, WRAP_LABEL, material.bytes(), &binding(key_id, id))
}

/// From the material id and what [`wrap`] made.
fn unwrap(
    key_id: KmsKeyId,
    (spec, usage): (KeySpec, KeyUsage),
    wrapped: &[u8],
    domain: &Secret32,
) -> Result<BackingKey, OpenError> {
    const CORRUPT: OpenError = OpenError::Corrupt("a wrapped backing key does not open");
    let (id, sealed) = wrapped.split_first_chunk::<32>().ok_or(CORRUPT)?;
    let id = KeyMaterialId::from_bytes(*id);
    let bytes = crypto::open(domain, WRAP_LABEL, sealed, 0, &binding(key_id, &id)).ok_or(CORRUPT)?;
    let material = Material::parse(spec, usage, bytes).ok_or(CORRUPT)?;
    let backing = BackingKey::of(key_id, material, Made::default());
    if backing.id == id { Ok(backing) } else { Err(CORRUPT) }
}

fn binding(key_id: KmsKeyId, material: &KeyMaterialId) -> Vec<u8> {
    [&key_id.as_bytes()[..], material.as_bytes(), b"backing key"].concat()
}

fn put(kind: u8, name: &[u8], value: &[u8], domain: &Secret32) -> Change {
    let name = [&[kind], name].concat();
    let sealed = crypto::seal(domain, RECORD_LABEL, value, &name);
    (name, Some([&[VERSION], &sealed[..]].concat()))
}

/// What [`put`] sealed.
fn unseal(name: &[u8], value: &[u8], domain: &Secret32) -> Result<Vec<u8>, OpenError> {
    let opened = crypto::open(domain, RECORD_LABEL, value.get(1..).unwrap_or_default(), 0, name);
    let opened = opened.ok_or(OpenError::Corrupt("a record was changed, or is another's"))?;
    Ok(opened.expose().to_vec())
}

fn encode(record: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(record).expect("a record can always be encoded")
}
