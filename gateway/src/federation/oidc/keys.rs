//! The public keys of a provider: a JSON Web Key Set. <https://www.rfc-editor.org/rfc/rfc7517>

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::Token;

/// Most keys of a provider that are looked at: AWS takes a hundred RSA and a hundred EC keys.
const MAX_KEYS: usize = 200;

/// The keys of a provider that can verify signatures.
pub(super) struct KeySet(Vec<PublicKey>);

struct PublicKey {
    id: Option<String>,
    /// The only algorithm that it is for, if it says so.
    algorithm: Option<KeyAlgorithm>,
    kind: Kind,
    key: DecodingKey,
}

#[derive(PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// Why no key verifies a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// None is the one that the token names, or is for the token's algorithm.
    NoKey,
    /// The signature is not the key's.
    Signature,
}

impl KeySet {
    /// Reads a set; keys that can't be used are left out. `None`: this is no set.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(json).ok()?;
        Some(Self(set.keys.into_iter().take(MAX_KEYS).filter_map(PublicKey::read).collect()))
    }

    /// Can it have signed what names this key?
    pub(super) fn holds(&self, key_id: Option<&str>) -> bool {
        self.0.iter().any(|key| key.is_named(key_id))
    }

    /// Is the signature of the token one of these keys'?
    pub(super) fn verify(&self, token: &Token<'_>) -> Result<(), Mismatch> {
        let algorithm = token.header.alg;
        let fitting = self.0.iter().filter(|key| key.is_named(token.key_id()) && key.is_for(algorithm));
        let mut mismatch = Mismatch::NoKey;
        for key in fitting {
            match jsonwebtoken::crypto::verify(token.signature, token.message, &key.key, algorithm) {
                Ok(true) => return Ok(()),
                Ok(false) | Err(_) => mismatch = Mismatch::Signature,
            }
        }
        Err(mismatch)
    }
}

impl PublicKey {
    fn read(json: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(json).ok()?;
        if matches!(&jwk.common.public_key_use, Some(wanted) if *wanted != PublicKeyUse::Signature) {
            return None;
        }
        let kind = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Kind::Rsa,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Kind::P256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => Kind::P384,
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Kind::Ed25519,
            // A shared secret would make whoever knows it, and it is published here, an issuer.
            _ => return None,
        };
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { id: jwk.common.key_id, algorithm: jwk.common.key_algorithm, kind, key })
    }

    fn is_named(&self, key_id: Option<&str>) -> bool {
        key_id.is_none_or(|wanted| self.id.as_deref() == Some(wanted))
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let kind = match algorithm {
            RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => Kind::Rsa,
            ES256 => Kind::P256,
            ES384 => Kind::P384,
            EdDSA => Kind::Ed25519,
            // HMAC above all.
            _ => return false,
        };
        self.kind == kind && self.algorithm.is_none_or(|only| only == KeyAlgorithm::from(algorithm))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;

    fn signed(algorithm: Algorithm, key_id: Option<&str>, key: &EncodingKey) -> String {
        let header = Header { kid: key_id.map(str::to_owned), ..Header::new(algorithm) };
        encode(&header, &json!({"iss": "https://idp"}), key).unwrap()
    }

    fn published(key: &EncodingKey, algorithm: Algorithm, more: Value) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, algorithm).unwrap()).unwrap();
        for (name, value) in more.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        jwk
    }

    fn set(keys: &[Value]) -> KeySet {
        KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
    }

    fn verdict(keys: &KeySet, text: &str) -> Result<(), Mismatch> {
        keys.verify(&Token::parse(text).unwrap())
    }

    fn rsa() -> EncodingKey {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8 = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der>::as_der(&pair).unwrap();
        // PKCS #1 is what PKCS #8 has behind 26 bytes.
        EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..])
    }

    fn p256() -> EncodingKey {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref())
    }

    #[test]
    fn signatures_of_each_kind() {
        let (rsa, p256) = (rsa(), p256());
        let keys = set(&[
            published(&rsa, Algorithm::RS256, json!({"kid": "r", "alg": null, "use": "sig"})),
            published(&p256, Algorithm::ES256, json!({"kid": "e"})),
        ]);
        for (algorithm, id, key) in [
            (Algorithm::RS256, "r", &rsa),
            (Algorithm::RS512, "r", &rsa),
            (Algorithm::PS384, "r", &rsa),
            (Algorithm::ES256, "e", &p256),
        ] {
            let text = signed(algorithm, Some(id), key);
            assert_eq!(verdict(&keys, &text), Ok(()), "{algorithm:?}");
            assert_eq!(verdict(&keys, &signed(algorithm, None, key)), Ok(()));
            assert_eq!(verdict(&keys, &signed(algorithm, Some("x"), key)), Err(Mismatch::NoKey));
            // A bit of the signature, and of what is signed.
            let at = text.rfind('.').unwrap() + 20;
            let other = if &text[at..=at] == "A" { "B" } else { "A" };
            let tampered = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert_eq!(verdict(&keys, &tampered), Err(Mismatch::Signature));
            let unsigned = &text[..=text.rfind('.').unwrap()];
            assert_eq!(verdict(&keys, unsigned), Err(Mismatch::Signature));
        }
        let stranger = signed(Algorithm::ES256, Some("e"), &self::p256());
        assert_eq!(verdict(&keys, &stranger), Err(Mismatch::Signature));
    }

    #[test]
    fn an_algorithm_that_is_not_the_keys_is_refused() {
        let rsa = rsa();
        let public = published(&rsa, Algorithm::RS256, json!({"kid": "r"}));
        let keys = set(std::slice::from_ref(&public));
        assert_eq!(verdict(&keys, &signed(Algorithm::RS384, Some("r"), &rsa)), Err(Mismatch::NoKey));
        assert_eq!(verdict(&keys, &signed(Algorithm::ES256, Some("r"), &p256())), Err(Mismatch::NoKey));
        // The classic: the public key as a shared secret; or a secret that is published.
        let modulus = EncodingKey::from_secret(public["n"].as_str().unwrap().as_bytes());
        assert_eq!(verdict(&keys, &signed(Algorithm::HS256, Some("r"), &modulus)), Err(Mismatch::NoKey));
        let secret = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "s"});
        let text = signed(Algorithm::HS256, Some("s"), &EncodingKey::from_secret(b"secret"));
        assert_eq!(verdict(&set(&[secret]), &text), Err(Mismatch::NoKey));
    }

    #[test]
    fn keys_that_are_no_use_are_left_out() {
        let rsa = rsa();
        let sealing = published(&rsa, Algorithm::RS256, json!({"kid": "r", "use": "enc"}));
        let keys = set(&[json!({"kty": "new"}), json!(3), sealing]);
        assert!(!keys.holds(Some("r")) && !keys.holds(None));
        assert!(KeySet::parse(b"{}").is_none() && KeySet::parse(b"keys").is_none());
    }
}
