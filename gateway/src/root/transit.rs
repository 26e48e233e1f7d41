//! A root key in the transit engine of Vault or OpenBao. It is asked at the start and when keys are changed, never for a request.
//! <https://openbao.org/api-docs/secret/transit/>

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kms_core::root::{RootError, RootKey};
use kms_core::secret::{Secret32, SecretBytes};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use ureq::Agent;
use zeroize::Zeroizing;

use super::secret_in;
use crate::config::TransitPlace;
use crate::http::client;

const TIMEOUT: Duration = Duration::from_secs(15);
/// Tries of a request that could not be made.
const TRIES: u32 = 3;

/// See the module.
pub struct TransitRoot {
    id: String,
    place: TransitPlace,
    token: SecretBytes,
    agent: Agent,
}

impl TransitRoot {
    /// Reads the token. The engine is asked when something is wrapped or unwrapped.
    pub fn open(place: &TransitPlace) -> anyhow::Result<Self> {
        let token = secret_in(&place.token)?;
        // The engine tells nothing of its key but its name; a key of the same name elsewhere is refused when it does not unwrap.
        let id =
            Sha256::new().chain_update(format!("sealgate root v1 transit {}/{}", place.mount, place.key));
        Ok(Self {
            id: hex::encode(&id.finalize()[..8]),
            place: place.clone(),
            token,
            agent: client::agent(TIMEOUT),
        })
    }

    /// The field `wanted` of what the engine answers.
    fn ask(&self, operation: &str, body: Value, wanted: &str) -> Result<Zeroizing<String>, RootError> {
        let TransitPlace { address, mount, key, .. } = &self.place;
        let url = format!("{address}/v1/{mount}/{operation}/{key}");
        let unavailable = |why: String| RootError::Unavailable(format!("{url}: {why}"));
        let token = str::from_utf8(self.token.expose())
            .map_err(|_| unavailable("the access token is not text".to_owned()))?;
        let mut tries = 1;
        let mut response = loop {
            match self.agent.post(&url).header("X-Vault-Token", token).send_json(&body) {
                Ok(response) if response.status().is_server_error() && tries < TRIES => {}
                Ok(response) => break response,
                Err(error) if tries == TRIES => return Err(unavailable(error.to_string())),
                Err(_) => {}
            }
            std::thread::sleep(Duration::from_millis(250) * tries);
            tries += 1;
        };
        let status = response.status();
        let answer: Value = response
            .body_mut()
            .read_json()
            .map_err(|_| unavailable(format!("HTTP {status}, and no JSON: is it a transit engine?")))?;
        match answer["data"][wanted].as_str() {
            Some(text) if status.is_success() => Ok(Zeroizing::new(text.to_owned())),
            // What the engine says of a ciphertext or its additional data that do not fit.
            _ if status.as_u16() == 400 && operation == "decrypt" => {
                Err(RootError::Tampered(self.id.clone()))
            }
            _ => Err(unavailable(format!("HTTP {status}: {}", answer["errors"]))),
        }
    }
}

impl RootKey for TransitRoot {
    fn id(&self) -> &str {
        &self.id
    }

    fn wrap(&self, purpose: &str, secret: &Secret32) -> Result<Vec<u8>, RootError> {
        let plaintext = Zeroizing::new(STANDARD.encode(secret.expose()));
        let body = json!({ "plaintext": *plaintext, "associated_data": STANDARD.encode(purpose) });
        Ok(self.ask("encrypt", body, "ciphertext")?.as_bytes().to_vec())
    }

    fn unwrap(&self, purpose: &str, wrapped: &[u8]) -> Result<Secret32, RootError> {
        let tampered = || RootError::Tampered(self.id.clone());
        let ciphertext = str::from_utf8(wrapped).map_err(|_| tampered())?;
        let body = json!({ "ciphertext": ciphertext, "associated_data": STANDARD.encode(purpose) });
        let plaintext = self.ask("decrypt", body, "plaintext")?;
        let opened = STANDARD.decode(plaintext.as_bytes()).map_err(|_| tampered())?;
        SecretBytes::new(opened).to_32().ok_or_else(tampered)
    }
}
