//! A root key in a PKCS#11 token: an AES-256 key that never leaves it. What is wrapped is `iv (12) ‖ AES-GCM ciphertext and tag`.
//! <https://docs.oasis-open.org/pkcs11/pkcs11-curr/v3.0/pkcs11-curr-v3.0.html>

use std::path::{Path, PathBuf};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::{RootError, RootKey};
use crate::crypto;
use crate::secret::{Secret32, SecretBytes};

const IV_LEN: usize = 12;
const TAG_BITS: u64 = 128;

/// Where a key is: the parts of an RFC 7512 URI that are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pkcs11Place {
    /// `token`: the token's label.
    pub token: String,
    /// `object`: the key's label.
    pub object: String,
    /// `module-path`: the library of the token's vendor.
    pub module: PathBuf,
}

/// See the module.
pub struct Pkcs11Root {
    id: String,
    session: Mutex<Session>,
    key: ObjectHandle,
}

impl Pkcs11Root {
    /// Logs in, and finds the key.
    pub fn open(place: &Pkcs11Place, pin: &SecretBytes) -> Result<Self, RootError> {
        Self::find(place, pin, false)
    }

    /// As [`Pkcs11Root::open`], but has the token make the key where there is none.
    pub fn open_or_create(place: &Pkcs11Place, pin: &SecretBytes) -> Result<Self, RootError> {
        Self::find(place, pin, true)
    }

    fn find(place: &Pkcs11Place, pin: &SecretBytes, create: bool) -> Result<Self, RootError> {
        let session = log_in(&place.module, &place.token, pin)?;
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Label(place.object.clone().into_bytes()),
        ];
        let found = session.find_objects(&template).map_err(failed)?;
        let key = match (&found[..], create) {
            ([key], _) => *key,
            ([], true) => make(&session, &place.object)?,
            (found, _) => {
                return Err(RootError::Unavailable(format!(
                    "the token {} holds {} AES keys of the label {}; there must be one",
                    place.token,
                    found.len(),
                    place.object
                )));
            }
        };
        // A key check value: what the key makes of zeros, hashed.
        let zeros = session.encrypt(&Mechanism::AesEcb, key, &[0; 16]).map_err(failed)?;
        let id = Sha256::new().chain_update(b"sealgate root v1 pkcs11 id").chain_update(&zeros).finalize();
        Ok(Self { id: hex::encode(&id[..8]), session: Mutex::new(session), key })
    }
}

fn log_in(module: &Path, token: &str, pin: &SecretBytes) -> Result<Session, RootError> {
    let unavailable = |e: Error| RootError::Unavailable(format!("{}: {e}", module.display()));
    if cfg!(target_feature = "crt-static") {
        return Err(RootError::Unavailable(format!(
            "{}: this is the static program, which can't load a module of PKCS#11: use that of the .deb, which is linked to the C library",
            module.display()
        )));
    }
    let library = Pkcs11::new(module).map_err(unavailable)?;
    match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(unavailable(error)),
    }
    let slots = library.get_slots_with_initialized_token().map_err(failed)?;
    let is_it = |slot: &cryptoki::slot::Slot| {
        library.get_token_info(*slot).is_ok_and(|info| info.label().trim_end() == token)
    };
    let slot = slots.into_iter().find(is_it).ok_or_else(|| {
        RootError::Unavailable(format!("{} knows no token of the label {token}", module.display()))
    })?;
    let session = library.open_rw_session(slot).map_err(failed)?;
    let text = String::from_utf8(pin.expose().to_vec())
        .map_err(|_| RootError::Unavailable("the PIN is not text".to_owned()))?;
    match session.login(UserType::User, Some(&AuthPin::new(text.into()))) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
        Err(error) => Err(RootError::Unavailable(format!("the token {token} refuses the login: {error}"))),
    }
}

fn make(session: &Session, label: &str) -> Result<ObjectHandle, RootError> {
    let template = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::ValueLen(32.into()),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    session.generate_key(&Mechanism::AesKeyGen, &template).map_err(failed)
}

impl RootKey for Pkcs11Root {
    fn id(&self) -> &str {
        &self.id
    }

    fn wrap(&self, purpose: &str, secret: &Secret32) -> Result<Vec<u8>, RootError> {
        let iv = crypto::random::<IV_LEN>();
        let mut used = iv;
        let params = GcmParams::new(&mut used, purpose.as_bytes(), TAG_BITS.into()).map_err(failed)?;
        let session = self.session.lock();
        let sealed =
            session.encrypt(&Mechanism::AesGcm(params), self.key, secret.expose()).map_err(failed)?;
        Ok([&iv[..], &sealed].concat())
    }

    fn unwrap(&self, purpose: &str, wrapped: &[u8]) -> Result<Secret32, RootError> {
        let tampered = || RootError::Tampered(self.id.clone());
        let (iv, sealed) = wrapped.split_first_chunk::<IV_LEN>().ok_or_else(tampered)?;
        let mut iv = *iv;
        let params = GcmParams::new(&mut iv, purpose.as_bytes(), TAG_BITS.into()).map_err(failed)?;
        let opened = self.session.lock().decrypt(&Mechanism::AesGcm(params), self.key, sealed);
        let opened = SecretBytes::new(opened.map_err(|error| match error {
            Error::Pkcs11(
                RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange | RvError::GeneralError,
                _,
            ) => tampered(),
            other => failed(other),
        })?);
        opened.to_32().ok_or_else(tampered)
    }
}

fn failed(error: Error) -> RootError {
    RootError::Unavailable(format!("the PKCS#11 token: {error}"))
}
