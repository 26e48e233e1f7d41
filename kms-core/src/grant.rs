//! Grants: permissions on one key for one principal, beside the key policy.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/grants.html>

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::context::EncryptionContext;
use crate::crypto;
use crate::directory::Directory;
use crate::error::KmsError;
use crate::key::{KeySpec, KeyUsage, KmsKeyId, write_hex};

/// AWS's most grants of one key.
pub const MAX_GRANTS_PER_KEY: usize = 50_000;

/// What a grant can allow.
const OPERATIONS: [&str; 19] = [
    "Decrypt",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
    "Sign",
    "Verify",
    "GetPublicKey",
    "CreateGrant",
    "RetireGrant",
    "DescribeKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateMac",
    "VerifyMac",
    "DeriveSharedSecret",
    "Encapsulate",
    "Decapsulate",
];

/// Has a key of this kind and usage the operation?
fn is_of_key(operation: &str, spec: KeySpec, usage: KeyUsage) -> bool {
    match operation {
        "CreateGrant" | "RetireGrant" | "DescribeKey" => true,
        "Decrypt" | "Encrypt" | "ReEncryptFrom" | "ReEncryptTo" => usage == KeyUsage::EncryptDecrypt,
        "Sign" | "Verify" => usage == KeyUsage::SignVerify,
        "GetPublicKey" => spec.is_asymmetric(),
        "GenerateMac" | "VerifyMac" => usage == KeyUsage::GenerateVerifyMac,
        "DeriveSharedSecret" => usage == KeyUsage::KeyAgreement,
        "Encapsulate" | "Decapsulate" => false,
        _ => spec == KeySpec::SymmetricDefault,
    }
}

/// The identity of a grant: 32 random bytes, shown as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrantId(pub(crate) [u8; 32]);

impl GrantId {
    /// A new one.
    pub(crate) fn random() -> Self {
        Self(crypto::random())
    }

    /// From its hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut id = [0; 32];
        hex::decode_to_slice(text, &mut id).ok()?;
        Some(Self(id))
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

/// Which encryption contexts a grant is good for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Constraints {
    /// `EncryptionContextEquals`: this one and no other.
    pub equals: Option<BTreeMap<String, String>>,
    /// `EncryptionContextSubset`: every one that has these pairs.
    pub subset: Option<BTreeMap<String, String>>,
}

impl Constraints {
    /// Does a request with this context satisfy them?
    fn hold(&self, context: &EncryptionContext) -> bool {
        let has = |pairs: &BTreeMap<String, String>| pairs.iter().all(|(n, v)| context.get(n) == Some(v));
        self.subset.as_ref().is_none_or(has)
            && self.equals.as_ref().is_none_or(|all| has(all) && context.iter().count() == all.len())
    }

    /// A pair that every context which satisfies them has.
    fn first_pair(&self) -> Option<(&String, &String)> {
        self.equals.iter().chain(&self.subset).flatten().next()
    }

    /// Are these as strict as those of the grant that allows making the new one, or stricter?
    fn within(&self, parent: &Self) -> bool {
        let covers = |pairs: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>| {
            wanted.iter().all(|(name, value)| pairs.get(name) == Some(value))
        };
        match (&parent.equals, &parent.subset) {
            (Some(equals), _) => self.equals.as_ref() == Some(equals),
            (None, Some(subset)) => self.equals.iter().chain(&self.subset).any(|pairs| covers(pairs, subset)),
            (None, None) => true,
        }
    }
}

/// A grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its identity.
    pub id: GrantId,
    /// The key that it is of.
    pub key_id: KmsKeyId,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_unix_ms: u64,
    /// What was asked for.
    pub terms: Terms,
    /// Who was meant by it.
    pub bound: Bound,
}

/// The unique ids that the principals of a grant had when it was made: whoever is called so later is somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bound {
    /// The grantee's.
    pub grantee_id: Option<String>,
    /// Of who may end it.
    pub retiring_id: Option<String>,
}

/// What a grant says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Its name; empty where it has none.
    pub name: String,
    /// Who may, by ARN.
    pub grantee: String,
    /// Who may end it, by ARN.
    pub retiring: Option<String>,
    /// What is allowed, in AWS's names, sorted.
    pub operations: Vec<String>,
    /// For which encryption contexts.
    pub constraints: Constraints,
    /// Whose principal made it: the account's root ARN.
    pub issuing_account: String,
}

/// A grant as it is stored; its ids are in its name.
#[derive(Serialize, Deserialize)]
struct GrantRecord {
    created_unix_ms: u64,
    terms: Terms,
}

impl Grant {
    pub(crate) fn decode(key_id: KmsKeyId, id: &[u8], bytes: &[u8]) -> Option<Self> {
        let id = GrantId(id.try_into().ok()?);
        let (record, rest) = postcard::take_from_bytes(bytes).ok()?;
        let GrantRecord { created_unix_ms, terms } = record;
        // The first stores knew no unique ids.
        let bound = if rest.is_empty() { Bound::default() } else { postcard::from_bytes(rest).ok()? };
        Some(Self { id, key_id, created_unix_ms, terms, bound })
    }

    pub(crate) fn encoded(&self) -> Vec<u8> {
        let record = GrantRecord { created_unix_ms: self.created_unix_ms, terms: self.terms.clone() };
        let mut bytes = postcard::to_allocvec(&record).expect("a record can always be encoded");
        if self.bound != Bound::default() {
            bytes.extend(postcard::to_allocvec(&self.bound).expect("a record can always be encoded"));
        }
        bytes
    }

    /// What its grantee is known by: its unique id, or its ARN where it was bound to none.
    pub(crate) fn grantee(&self) -> &str {
        self.bound.grantee_id.as_deref().unwrap_or(&self.terms.grantee)
    }

    /// What is known of who may end it, as [`Grant::grantee`].
    pub(crate) fn retiring(&self) -> Option<&str> {
        self.bound.retiring_id.as_deref().or(self.terms.retiring.as_deref())
    }

    /// With the names that its principals have now; of those that are gone, the ids.
    pub(crate) fn shown(self: &Arc<Self>, directory: Option<&dyn Directory>) -> Arc<Self> {
        let Some(directory) = directory.filter(|_| self.bound != Bound::default()) else {
            return self.clone();
        };
        let name = |id: &String| directory.arn_of(id).unwrap_or_else(|| id.clone());
        let mut shown = Self::clone(self);
        let Bound { grantee_id, retiring_id } = &self.bound;
        shown.terms.grantee = grantee_id.as_ref().map_or(shown.terms.grantee, name);
        shown.terms.retiring = retiring_id.as_ref().map(name).or(shown.terms.retiring);
        Arc::new(shown)
    }

    /// Does it allow this operation in this context? Constraints don't speak of DescribeKey and RetireGrant.
    fn allows(&self, operation: &str, context: &EncryptionContext) -> bool {
        self.terms.operations.iter().any(|allowed| allowed == operation)
            && (is_unconstrained(operation) || self.terms.constraints.hold(context))
    }

    /// May its grantee make a grant of these terms?
    pub(crate) fn permits_child(&self, terms: &Terms) -> bool {
        terms.operations.iter().all(|operation| self.terms.operations.contains(operation))
            && terms.constraints.within(&self.terms.constraints)
    }
}

/// Sorts operations; refuses what can't be granted at all.
pub(crate) fn check_operations(mut operations: Vec<String>) -> Result<Vec<String>, KmsError> {
    if operations.is_empty() {
        return Err(KmsError::Validation(
            "1 validation error detected: Value null at 'operations' failed to satisfy constraint: Member must not be null".to_owned(),
        ));
    }
    if !operations.iter().all(|operation| OPERATIONS.contains(&operation.as_str())) {
        return Err(KmsError::Validation(format!(
            "1 validation error detected: Value '[{}]' at 'operations' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [{}]]",
            operations.join(", "),
            OPERATIONS.join(", ")
        )));
    }
    operations.sort_unstable();
    operations.dedup();
    Ok(operations)
}

/// Refuses what a key of this kind has not.
pub(crate) fn check_terms(terms: &Terms, spec: KeySpec, usage: KeyUsage) -> Result<(), KmsError> {
    if let Some(operation) = terms.operations.iter().find(|operation| !is_of_key(operation, spec, usage)) {
        return Err(KmsError::Validation(format!(
            "Grant operation {operation} is not supported for this key: its usage is {} and its spec is {}.",
            usage.name(),
            spec.name()
        )));
    }
    match spec == KeySpec::SymmetricDefault || terms.constraints == Constraints::default() {
        true => Ok(()),
        false => Err(KmsError::Validation(
            "Grant constraints on the encryption context are for symmetric encryption keys only.".to_owned(),
        )),
    }
}

/// The grants of all keys, found by key and grantee (and then by operation, or by a pair of the encryption context), by key and
/// name, and by id.
#[derive(Debug, Default)]
pub(crate) struct Grants(HashMap<KmsKeyId, OfKey>);

#[derive(Debug, Default)]
struct OfKey {
    by_id: BTreeMap<GrantId, Arc<Grant>>,
    by_grantee: HashMap<String, OfGrantee>,
    by_name: HashMap<String, Vec<Arc<Grant>>>,
}

/// The grants of one grantee on one key: a request looks at those that could allow it, not at all.
#[derive(Debug, Default)]
struct OfGrantee {
    /// By operation: those that allow it in every context.
    free: HashMap<String, Vec<Arc<Grant>>>,
    /// By name and value of a pair that their constraints ask for.
    by_pair: HashMap<String, HashMap<String, Vec<Arc<Grant>>>>,
}

impl OfGrantee {
    /// Every list that a grant stands in.
    fn lists(&mut self, grant: &Grant, mut each: impl FnMut(&mut Vec<Arc<Grant>>)) {
        let pair = grant.terms.constraints.first_pair();
        for operation in &grant.terms.operations {
            if pair.is_none() || is_unconstrained(operation) {
                each(self.free.entry(operation.clone()).or_default());
            }
        }
        if let Some((name, value)) = pair {
            each(self.by_pair.entry(name.clone()).or_default().entry(value.clone()).or_default());
        }
    }

    fn insert(&mut self, grant: &Arc<Grant>) {
        self.lists(grant, |list| list.push(grant.clone()));
    }

    /// Answers whether nothing is left.
    fn remove(&mut self, grant: &Grant) -> bool {
        self.lists(grant, |list| list.retain(|other| other.id != grant.id));
        self.free.retain(|_, list| !list.is_empty());
        if let Some((name, _)) = grant.terms.constraints.first_pair()
            && let Some(values) = self.by_pair.get_mut(name)
        {
            values.retain(|_, list| !list.is_empty());
            if values.is_empty() {
                self.by_pair.remove(name);
            }
        }
        self.free.is_empty() && self.by_pair.is_empty()
    }

    fn allowing(&self, operation: &str, context: &EncryptionContext) -> Option<&Arc<Grant>> {
        let by_pair = context.iter().filter_map(|(name, value)| self.by_pair.get(name)?.get(value));
        let mut lists = self.free.get(operation).into_iter().chain(by_pair);
        lists.find_map(|list| list.iter().find(|grant| grant.allows(operation, context)))
    }
}

/// Constraints don't speak of these.
fn is_unconstrained(operation: &str) -> bool {
    ["DescribeKey", "RetireGrant"].contains(&operation)
}

impl Grants {
    pub(crate) fn insert(&mut self, grant: Arc<Grant>) {
        let of_key = self.0.entry(grant.key_id).or_default();
        of_key.by_grantee.entry(grant.grantee().to_owned()).or_default().insert(&grant);
        if !grant.terms.name.is_empty() {
            of_key.by_name.entry(grant.terms.name.clone()).or_default().push(grant.clone());
        }
        of_key.by_id.insert(grant.id, grant);
    }

    pub(crate) fn remove(&mut self, grant: &Grant) {
        let Some(of_key) = self.0.get_mut(&grant.key_id) else { return };
        of_key.by_id.remove(&grant.id);
        let (grantee, name) = (grant.grantee(), &grant.terms.name);
        if of_key.by_grantee.get_mut(grantee).is_some_and(|own| own.remove(grant)) {
            of_key.by_grantee.remove(grantee);
        }
        if let Some(list) = of_key.by_name.get_mut(name) {
            list.retain(|other| other.id != grant.id);
            if list.is_empty() {
                of_key.by_name.remove(name);
            }
        }
    }

    pub(crate) fn remove_key(&mut self, key_id: KmsKeyId) {
        self.0.remove(&key_id);
    }

    pub(crate) fn get(&self, key_id: KmsKeyId, id: GrantId) -> Option<Arc<Grant>> {
        self.0.get(&key_id)?.by_id.get(&id).cloned()
    }

    pub(crate) fn count(&self, key_id: KmsKeyId) -> usize {
        self.0.get(&key_id).map_or(0, |of_key| of_key.by_id.len())
    }

    /// A grant of one of these principals that allows an operation.
    pub(crate) fn allowing(
        &self,
        key_id: KmsKeyId,
        principals: &[String],
        operation: &str,
        context: &EncryptionContext,
    ) -> Option<Arc<Grant>> {
        let of_key = self.0.get(&key_id)?;
        let mut own = principals.iter().filter_map(|principal| of_key.by_grantee.get(principal));
        own.find_map(|own| own.allowing(operation, context)).cloned()
    }

    /// A grant of this name, of the very same terms, and to the same principals.
    pub(crate) fn same(&self, key_id: KmsKeyId, terms: &Terms, bound: &Bound) -> Option<Arc<Grant>> {
        let named = self.0.get(&key_id)?.by_name.get(&terms.name)?;
        named.iter().find(|grant| grant.terms == *terms && grant.bound == *bound).cloned()
    }

    /// The grants of a key behind this one, in order of their ids.
    pub(crate) fn after(
        &self,
        key_id: KmsKeyId,
        after: Option<GrantId>,
    ) -> impl Iterator<Item = &Arc<Grant>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = after.map_or(Unbounded, Excluded);
        self.0.get(&key_id).into_iter().flat_map(move |k| k.by_id.range((start, Unbounded))).map(|(_, g)| g)
    }

    /// The grants of all keys, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Grant>> {
        self.0.values().flat_map(|of_key| of_key.by_id.values())
    }
}
