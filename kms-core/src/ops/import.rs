//! GetParametersForImport, ImportKeyMaterial, DeleteImportedKeyMaterial.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys.html>

use std::sync::Arc;

use crate::clock::DAY_MS;
use crate::crypto::import;
pub use crate::crypto::import::WrappingAlgorithm;
use crate::error::KmsError;
use crate::key::backing::{BackingKey, Made, MadeBy, expiration_model};
use crate::key::material::Material;
use crate::key::state::Needs;
use crate::key::{KeyMaterialId, KeySpec, KeyState, KmsKey, KmsKeyId, Origin};
use crate::kms::{Caller, Entry, Kms};

/// What GetParametersForImport answers.
#[derive(Debug)]
pub struct ImportParameters {
    /// The key.
    pub key_id: KmsKeyId,
    /// To be given back with the material.
    pub token: Vec<u8>,
    /// To wrap the material with: DER, SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// Until when, milliseconds since the Unix epoch.
    pub valid_to_unix_ms: u64,
}

/// What ImportKeyMaterial takes.
#[derive(Debug, Clone, Default)]
pub struct ImportKeyMaterial {
    /// The key: id or ARN.
    pub key_id: String,
    /// As GetParametersForImport gave it.
    pub token: Vec<u8>,
    /// The material, wrapped.
    pub wrapped: Vec<u8>,
    /// When it expires, milliseconds since the Unix epoch; `None`: never.
    pub expires_unix_ms: Option<u64>,
    /// `NEW_KEY_MATERIAL` (true) or `EXISTING_KEY_MATERIAL`; by default whatever fits a first import, and then the latter.
    pub is_new: Option<bool>,
    /// Free text.
    pub description: Option<String>,
    /// The material that it must be: 64 hexadecimal digits.
    pub material_id: Option<String>,
}

impl Kms {
    /// `GetParametersForImport`; `bits` of the RSA key: 2048, 3072 or 4096.
    pub fn get_parameters_for_import(
        &self,
        caller: &Caller,
        key_id: &str,
        algorithm: WrappingAlgorithm,
        bits: u32,
    ) -> Result<ImportParameters, KmsError> {
        let action = "kms:GetParametersForImport";
        let needs = Needs::NotPendingDeletion;
        let conditions = [
            ("kms:wrappingalgorithm", vec![algorithm.name().to_owned()]),
            ("kms:wrappingkeyspec", vec![format!("RSA_{bits}")]),
        ];
        let entry = self.changeable_of(Origin::External, caller, action, key_id, needs, &conditions)?;
        let valid_to_unix_ms = self.now_unix_ms() + DAY_MS;
        let (public_key, token) =
            import::begin(self.domain(), entry.key.id, algorithm, bits, valid_to_unix_ms)?;
        Ok(ImportParameters { key_id: entry.key.id, token, public_key, valid_to_unix_ms })
    }

    /// `ImportKeyMaterial`: the key is enabled once all its materials are there.
    pub fn import_key_material(
        &self,
        caller: &Caller,
        request: ImportKeyMaterial,
    ) -> Result<(Arc<Entry>, KeyMaterialId), KmsError> {
        let now = self.now_unix_ms();
        if request.expires_unix_ms.is_some_and(|at| at <= now || at > now + 365 * DAY_MS) {
            return Err(KmsError::Validation(
                "ValidTo must be in the future, and within 365 days from now.".to_owned(),
            ));
        }
        let _change = self.changing()?;
        let mut conditions =
            vec![("kms:expirationmodel", vec![expiration_model(request.expires_unix_ms).to_owned()])];
        conditions.extend(request.expires_unix_ms.map(|at| ("kms:validto", vec![(at / 1000).to_string()])));
        let (action, needs) = ("kms:ImportKeyMaterial", Needs::NotPendingDeletion);
        let entry =
            self.changeable_of(Origin::External, caller, action, &request.key_id, needs, &conditions)?;
        let token = import::open_token(self.domain(), &request.token)
            .filter(|token| token.key_id == *entry.key.id.as_bytes())
            .ok_or_else(|| {
                KmsError::InvalidImportToken("The import token is not valid for this key.".to_owned())
            })?;
        if token.valid_to_unix_ms < now {
            return Err(KmsError::ExpiredImportToken("The import token is expired.".to_owned()));
        }
        let material = token.unwrap(&request.wrapped).ok_or(KmsError::InvalidCiphertext)?;
        let incorrect = |why: &str| KmsError::IncorrectKeyMaterial(why.to_owned());
        let material = Material::parse(entry.key.spec, entry.key.usage, material).ok_or_else(|| {
            incorrect(&format!("The key material is not one of key spec {}.", entry.key.spec.name()))
        })?;
        let mut made = Made {
            by: MadeBy::Creation,
            at_unix_ms: now,
            description: request.description,
            expires_unix_ms: request.expires_unix_ms,
        };
        let mut fresh = BackingKey::of(entry.key.id, material, Made::default());
        if request.material_id.is_some_and(|wanted| wanted != fresh.id.to_string()) {
            return Err(incorrect("The key material is not the one that KeyMaterialId names."));
        }
        let known = entry.backing.iter().position(|backing| backing.id == fresh.id);
        let is_new = request.is_new.unwrap_or(entry.backing.is_empty());
        let mut backing = entry.backing.clone();
        let mut key = entry.key.clone();
        match (known, is_new) {
            (Some(at), false) => {
                made.by = backing[at].made.by;
                made.at_unix_ms = backing[at].made.at_unix_ms;
                made.description = made.description.or_else(|| backing[at].made.description.clone());
                backing[at] = Arc::new(fresh.remade(made));
            }
            (None, true) => {
                if entry.key.spec != KeySpec::SymmetricDefault && !backing.is_empty() {
                    return Err(incorrect("The key material is not the one that was imported first."));
                }
                if let Some(pending) = backing.iter().find(|b| b.made.by == MadeBy::Pending) {
                    return Err(KmsError::InvalidState(format!(
                        "New key material (id: {}) cannot be imported into KMS key {}, because another key material (id: {}) is pending rotation.",
                        fresh.id,
                        self.arn(&key),
                        pending.id
                    )));
                }
                match backing.is_empty() {
                    true => key.current_material = Some(fresh.id),
                    false => made.by = MadeBy::Pending,
                }
                fresh = fresh.remade(made);
                backing.push(Arc::new(fresh));
            }
            (None, false) => {
                return Err(incorrect("The key material was never imported into this KMS key."));
            }
            (Some(_), true) => {
                return Err(incorrect("The key material is associated with this KMS key already."));
            }
        }
        let id = match known {
            Some(at) => backing[at].id,
            None => backing[backing.len() - 1].id,
        };
        if key.state == KeyState::PendingImport && backing.iter().all(|b| b.has_material()) {
            key.state = KeyState::Enabled;
        }
        Ok((self.put_key_and_backing(&entry, key, backing)?, id))
    }

    /// `DeleteImportedKeyMaterial`: of the current material, or of the one named.
    pub fn delete_imported_key_material(
        &self,
        caller: &Caller,
        key_id: &str,
        material_id: Option<&str>,
    ) -> Result<(Arc<Entry>, Option<KeyMaterialId>), KmsError> {
        let _change = self.changing()?;
        let action = "kms:DeleteImportedKeyMaterial";
        let entry = self.changeable_of(Origin::External, caller, action, key_id, Needs::Nothing, &[])?;
        let wanted = material_id.map(str::to_owned).or(entry.key.current_material.map(|id| id.to_string()));
        let Some(wanted) = wanted else { return Ok((entry, None)) };
        let at = entry.backing.iter().position(|backing| backing.id.to_string() == wanted);
        let at = at.ok_or_else(|| KmsError::NotFound(format!("Key material {wanted} does not exist")))?;
        let id = entry.backing[at].id;
        Ok((self.without_material(&entry, at)?, Some(id)))
    }

    /// Forgets imported material that has expired; answers how many.
    pub(crate) fn expire_material(&self, id: KmsKeyId) -> Result<usize, KmsError> {
        let now = self.now_unix_ms();
        let expired = |entry: &Entry| entry.first_expired(now);
        if self.entry(id).is_none_or(|entry| expired(&entry).is_none()) {
            return Ok(0);
        }
        let _change = self.changing()?;
        let mut count = 0;
        while let Some((entry, at)) = self.entry(id).and_then(|entry| Some((entry.clone(), expired(&entry)?)))
        {
            self.without_material(&entry, at)?;
            count += 1;
        }
        Ok(count)
    }

    /// RotateKeyOnDemand of a key with imported material.
    pub(crate) fn rotate_to_pending(&self, entry: &Entry, key: KmsKey) -> Result<Arc<Entry>, KmsError> {
        let mut backing = entry.backing.clone();
        let pending = backing.iter_mut().find(|b| b.made.by == MadeBy::Pending);
        let pending = pending.ok_or_else(|| {
            KmsError::InvalidState(format!(
                "{} has no imported key material that is pending rotation.",
                self.arn(&key)
            ))
        })?;
        let made = Made { by: MadeBy::OnDemand, at_unix_ms: self.now_unix_ms(), ..pending.made.clone() };
        *pending = Arc::new(pending.remade(made));
        let key = KmsKey { current_material: Some(pending.id), ..key };
        self.put_key_and_backing(entry, key, backing)
    }

    /// The key without this material; it waits for it then, unless the material was never in use.
    fn without_material(&self, entry: &Entry, at: usize) -> Result<Arc<Entry>, KmsError> {
        let mut backing = entry.backing.clone();
        let mut key = entry.key.clone();
        if backing[at].made.by == MadeBy::Pending {
            backing.remove(at);
        } else {
            let gone = &backing[at];
            backing[at] = Arc::new(BackingKey::without_material(gone.id, gone.made.clone()));
            if !matches!(key.state, KeyState::PendingDeletion { .. }) {
                key.state = KeyState::PendingImport;
            }
        }
        self.put_key_and_backing(entry, key, backing)
    }
}
