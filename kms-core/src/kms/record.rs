//! The store's entries: names, versions, and what is wrapped in them.
//!
//! | name | value |
//! | --- | --- |
//! | `m` | root id and the domain key, wrapped by the root key |
//! | `k` + key id | the key's record |
//! | `b` + key id + number | a backing key, wrapped by the domain key (AAD: key id, material id, purpose) |
//! | `p` + key id + number | a piece of its policy |
//! | `a` + alias | a key id |
//! | `i` + purpose | a backing key of the gateway's own, wrapped |
//! | `s` + purpose | a secret of the gateway, wrapped |

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Entry, KeyPolicy, OpenError, State};
use crate::crypto;
use crate::key::backing::BackingKey;
use crate::key::{KeyManager, KeyMaterialId, KeySpec, KeyState, KeyUsage, KmsKey, KmsKeyId, Origin};
use crate::secret::Secret32;
use crate::store::Change;

/// What the domain key wraps under.
pub(super) const WRAP_LABEL: &str = "sealgate kms v1 wrapped key";
const VERSION: u8 = 1;
/// Values stay well below what sled keeps within a page.
const POLICY_PIECE_LEN: usize = 4096;

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
}

/// Everything in a store, still wrapped.
#[derive(Default)]
pub(super) struct Stored {
    pub(super) domain: Option<(String, Vec<u8>)>,
    keys: Vec<(KmsKeyId, KeyRecord)>,
    backing: HashMap<(KmsKeyId, u16), Vec<u8>>,
    policies: HashMap<(KmsKeyId, u8), Vec<u8>>,
    aliases: BTreeMap<String, KmsKeyId>,
    internal: Vec<(String, Vec<u8>)>,
    secrets: HashMap<String, Vec<u8>>,
}

impl Stored {
    pub(super) fn read(entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Self, OpenError> {
        const CORRUPT: OpenError = OpenError::Corrupt("an entry is not of this format");
        let mut stored = Self::default();
        for (name, value) in entries {
            let (kind, rest) = name.split_first().ok_or(CORRUPT)?;
            let Some((&VERSION, value)) = value.split_first() else { return Err(CORRUPT) };
            let text = || String::from_utf8(rest.to_vec()).map_err(|_| CORRUPT);
            let id = |bytes: &[u8]| bytes.try_into().map(KmsKeyId::from_bytes).map_err(|_| CORRUPT);
            match kind {
                b'm' => stored.domain = Some(postcard::from_bytes(value).map_err(|_| CORRUPT)?),
                b'k' => stored.keys.push((id(rest)?, postcard::from_bytes(value).map_err(|_| CORRUPT)?)),
                b'b' => {
                    let (key_id, number) = rest.split_last_chunk::<2>().ok_or(CORRUPT)?;
                    stored.backing.insert((id(key_id)?, u16::from_be_bytes(*number)), value.to_vec());
                }
                b'p' => {
                    let (number, key_id) = rest.split_last().ok_or(CORRUPT)?;
                    stored.policies.insert((id(key_id)?, *number), value.to_vec());
                }
                b'a' => {
                    stored.aliases.insert(text()?, id(value)?);
                }
                b'i' => stored.internal.push((text()?, value.to_vec())),
                b's' => {
                    stored.secrets.insert(text()?, value.to_vec());
                }
                _ => return Err(CORRUPT),
            }
        }
        Ok(stored)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.internal.is_empty() && self.secrets.is_empty() && self.backing.is_empty()
    }

    /// Unwraps every backing key.
    pub(super) fn open(self, domain: &Secret32) -> Result<State, OpenError> {
        let mut state = State { aliases: self.aliases, secrets: self.secrets, ..State::default() };
        for (id, record) in &self.keys {
            let mut backing = Vec::with_capacity(usize::from(record.backing_count));
            for number in 0..record.backing_count {
                let wrapped = self.backing.get(&(*id, number));
                let wrapped = wrapped.ok_or(OpenError::Corrupt("a backing key is missing"))?;
                backing.push(Arc::new(unwrap(*id, wrapped, domain)?));
            }
            let mut text = Vec::new();
            for number in 0..record.policy_pieces {
                let piece = self.policies.get(&(*id, number));
                text.extend_from_slice(piece.ok_or(OpenError::Corrupt("a policy is missing"))?);
            }
            let text = String::from_utf8(text).map_err(|_| OpenError::Corrupt("a policy is not text"))?;
            let policy = KeyPolicy::parse(text).map_err(|_| OpenError::Corrupt("a policy is malformed"))?;
            let entry = Entry { key: record.key(*id)?, policy: Arc::new(policy), backing };
            state.keys.insert(*id, Arc::new(entry));
        }
        for (purpose, wrapped) in self.internal {
            let backing = unwrap(KmsKeyId::from_bytes([0; 16]), &wrapped, domain)?;
            state.internal.insert(purpose, Arc::new(backing));
        }
        Ok(state)
    }
}

/// The changes that keep a key whole: record, backing keys, policy.
pub(super) fn entry(entry: &Entry, domain: &Secret32) -> Vec<Change> {
    let key = &entry.key;
    let pieces: Vec<&[u8]> = entry.policy.text.as_bytes().chunks(POLICY_PIECE_LEN).collect();
    let (state, deletion_unix_ms) = match key.state {
        KeyState::Enabled => (0, 0),
        KeyState::Disabled => (1, 0),
        KeyState::PendingDeletion { deletion_unix_ms } => (2, deletion_unix_ms),
        KeyState::PendingImport => (3, 0),
    };
    let record = KeyRecord {
        created_unix_ms: key.created_unix_ms,
        description: key.description.clone(),
        external: key.origin == Origin::External,
        aws_managed: key.manager == KeyManager::Aws,
        state,
        deletion_unix_ms,
        tags: key.tags.clone(),
        current_material: key.current_material.map(|id| *id.as_bytes()),
        on_demand_rotations: key.on_demand_rotations,
        backing_count: entry.backing.len() as u16,
        policy_pieces: pieces.len() as u8,
    };
    let mut changes = vec![put(b'k', key.id.as_bytes(), &encode(&record))];
    for (number, backing) in (0u16..).zip(&entry.backing) {
        let name = [&key.id.as_bytes()[..], &number.to_be_bytes()].concat();
        changes.push(put(b'b', &name, &wrap(key.id, backing, domain)));
    }
    for (number, piece) in (0u8..).zip(pieces) {
        changes.push(put(b'p', &[&key.id.as_bytes()[..], &[number]].concat(), piece));
    }
    changes
}

pub(super) fn domain(root_id: &str, wrapped: &[u8]) -> Change {
    put(b'm', b"", &encode(&(root_id, wrapped)))
}

pub(super) fn alias(name: &str, target: Option<KmsKeyId>) -> Change {
    match target {
        Some(id) => put(b'a', name.as_bytes(), id.as_bytes()),
        None => ([b"a", name.as_bytes()].concat(), None),
    }
}

pub(super) fn internal(purpose: &str, backing: &BackingKey, domain: &Secret32) -> Change {
    put(b'i', purpose.as_bytes(), &wrap(KmsKeyId::from_bytes([0; 16]), backing, domain))
}

pub(super) fn secret(purpose: &str, wrapped: &[u8]) -> Change {
    put(b's', purpose.as_bytes(), wrapped)
}

impl KeyRecord {
    fn key(&self, id: KmsKeyId) -> Result<KmsKey, OpenError> {
        Ok(KmsKey {
            id,
            created_unix_ms: self.created_unix_ms,
            description: self.description.clone(),
            usage: KeyUsage::EncryptDecrypt,
            spec: KeySpec::SymmetricDefault,
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
        })
    }
}

/// The material id, then the wrapped secret, bound to key and material.
fn wrap(key_id: KmsKeyId, backing: &BackingKey, domain: &Secret32) -> Vec<u8> {
    let mut wrapped = backing.id.as_bytes().to_vec();
    wrapped.extend(crypto::seal(
        domain,
        WRAP_LABEL,
        backing.secret().expose(),
        &binding(key_id, &backing.id),
    ));
    wrapped
}

fn unwrap(key_id: KmsKeyId, wrapped: &[u8], domain: &Secret32) -> Result<BackingKey, OpenError> {
    const CORRUPT: OpenError = OpenError::Corrupt("a wrapped backing key does not open");
    let (material, sealed) = wrapped.split_first_chunk::<32>().ok_or(CORRUPT)?;
    let material = KeyMaterialId::from_bytes(*material);
    let secret = crypto::open_32(domain, WRAP_LABEL, sealed, &binding(key_id, &material)).ok_or(CORRUPT)?;
    let backing = BackingKey::new(key_id, secret);
    if backing.id == material { Ok(backing) } else { Err(CORRUPT) }
}

fn binding(key_id: KmsKeyId, material: &KeyMaterialId) -> Vec<u8> {
    [&key_id.as_bytes()[..], material.as_bytes(), b"backing key"].concat()
}

fn put(kind: u8, name: &[u8], value: &[u8]) -> Change {
    ([&[kind], name].concat(), Some([&[VERSION], value].concat()))
}

fn encode(record: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(record).expect("a record can always be encoded")
}
