//! Derived signing keys, remembered: deriving one takes as long as verifying a request.

use parking_lot::RwLock;
use zeroize::Zeroizing;

/// The most keys remembered: a week and a day of presigned URLs for each of a few services.
const MAX_LEN: usize = 32;

/// The signing keys of one access key, by date, region and service.
#[derive(Default)]
pub(super) struct SigningKeys(RwLock<Vec<Derived>>);

struct Derived {
    date: String,
    region: String,
    service: String,
    signing_key: Zeroizing<[u8; 32]>,
}

impl SigningKeys {
    /// The key of these, derived from the secret at first use; `None` where there is no secret.
    pub(super) fn get(
        &self,
        date: &str,
        region: &str,
        service: &str,
        secret_access_key: impl FnOnce() -> Option<Zeroizing<String>>,
    ) -> Option<Zeroizing<[u8; 32]>> {
        let same = |d: &&Derived| d.date == date && d.region == region && d.service == service;
        if let Some(derived) = self.0.read().iter().find(same) {
            return Some(derived.signing_key.clone());
        }
        let signing_key = derive_signing_key(&secret_access_key()?, date, region, service);
        let mut derived = self.0.write();
        if derived.len() == MAX_LEN {
            derived.remove(0);
        }
        derived.push(Derived {
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            signing_key: signing_key.clone(),
        });
        Some(signing_key)
    }
}

/// The signing key of a secret for a day (`yyyyMMdd`), a region and a service.
pub fn derive_signing_key(
    secret_access_key: &str,
    date: &str,
    region: &str,
    service: &str,
) -> Zeroizing<[u8; 32]> {
    use hmac::{Hmac, KeyInit, Mac};
    let hmac = |secret: &[u8], data: &str| -> Zeroizing<[u8; 32]> {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
        mac.update(data.as_bytes());
        Zeroizing::new(mac.finalize().into_bytes().into())
    };
    let secret = Zeroizing::new(format!("AWS4{secret_access_key}"));
    let signing_key = hmac(secret.as_bytes(), date);
    [region, service, "aws4_request"]
        .iter()
        .fold(signing_key, |signing_key, data| hmac(&signing_key[..], data))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AWS's documented example of a derived key's signature.
    #[test]
    fn documented_example() {
        let keys = SigningKeys::default();
        for _ in 0..2 {
            let secret = || Some(Zeroizing::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()));
            let signing_key = keys.get("20150830", "us-east-1", "iam", secret).unwrap();
            assert_eq!(
                hex::encode(&signing_key[..]),
                "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
            );
        }
        assert_eq!(keys.0.read().len(), 1);
    }

    #[test]
    fn is_bounded() {
        let keys = SigningKeys::default();
        for day in 0..100 {
            keys.get(&format!("{day:08}"), "us-east-1", "s3", || Some(Zeroizing::new("secret".to_owned())));
        }
        assert_eq!(keys.0.read().len(), MAX_LEN);
    }
}
