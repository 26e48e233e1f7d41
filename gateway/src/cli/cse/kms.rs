//! The KMS over HTTP: AWS's or any other that speaks its protocol (AWS JSON 1.1).
//! <https://docs.aws.amazon.com/kms/latest/APIReference/Welcome.html>

use std::time::Duration;

use anyhow::bail;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Uri};
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use s3_encryption_client::keyring::{Generated, KmsClient, Unwrapped};
use s3_encryption_client::{Description, KmsError};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use ureq::Agent;
use zeroize::Zeroizing;

use crate::api::kms::TARGET_PREFIX;
use crate::auth::sigv4::sign::{Signer, Unsigned};
use crate::http::header;

/// The longest answer that is read, in bytes.
const MAX_ANSWER_LEN: u64 = 1 << 20;
/// How often a request is sent that nobody answered, or for which the KMS had no time.
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const FORM: &str = "application/x-amz-json-1.1";

/// A KMS at a URL.
pub(super) struct HttpKms {
    agent: Agent,
    url: String,
    host: String,
    region: String,
    credentials: AwsCredentialProvider,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    plaintext: Option<Zeroizing<String>>,
    ciphertext_blob: Option<String>,
    key_id: Option<String>,
}

#[derive(Deserialize, Default)]
struct Refusal {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

impl HttpKms {
    /// The KMS at this endpoint: scheme, host and port alone.
    pub(super) fn new(
        agent: Agent,
        endpoint: &str,
        region: String,
        credentials: AwsCredentialProvider,
    ) -> anyhow::Result<Self> {
        let uri: Uri =
            endpoint.parse().map_err(|_| anyhow::anyhow!("the KMS endpoint {endpoint} is no URL"))?;
        let (Some(scheme @ ("http" | "https")), Some(host)) = (uri.scheme_str(), uri.authority()) else {
            bail!("the KMS endpoint {endpoint} is no URL such as https://kms.example.com:9000");
        };
        Ok(Self { agent, url: format!("{scheme}://{host}/"), host: host.to_string(), region, credentials })
    }

    async fn ask(&self, action: &'static str, request: &serde_json::Value) -> Result<Answer, KmsError> {
        let body = Zeroizing::new(serde_json::to_vec(request).map_err(KmsError::unreachable)?);
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let credential = self.credentials.get_credential().await.map_err(KmsError::unreachable)?;
            let headers = self.sign(action, &credential, &body);
            let (agent, url, body) = (self.agent.clone(), self.url.clone(), body.clone());
            let sent = tokio::task::spawn_blocking(move || send(&agent, &url, headers, &body));
            let answered = match sent.await.map_err(KmsError::unreachable)? {
                Ok((200, document)) => {
                    return serde_json::from_slice(&document).map_err(|_| KmsError {
                        code: "Incomplete".to_owned(),
                        message: format!("the KMS at {} answered {action} with something else", self.url),
                    });
                }
                Ok((status, document)) => (status, refused(&document, status)),
                Err(error) => (503, KmsError::unreachable(format!("{}: {error}", self.url))),
            };
            let (status, error) = answered;
            if attempt == ATTEMPTS || !(status >= 500 || error.code == "ThrottlingException") {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(KmsError::unreachable("no attempt is left"))
    }

    fn sign(&self, action: &str, credential: &AwsCredential, body: &[u8]) -> Vec<(String, String)> {
        let signer = Signer {
            access_key_id: &credential.key_id,
            secret_access_key: &credential.secret_key,
            session_token: credential.token.as_deref(),
            region: &self.region,
            service: "kms",
        };
        let target = format!("{TARGET_PREFIX}{action}");
        let target_name = header::TARGET;
        let headers = [("content-type", FORM), ("host", &self.host), (target_name.as_str(), &target)];
        signer.sign(Unsigned {
            method: &Method::POST,
            path: "/",
            query: "",
            headers: &headers,
            payload_hash: &hex::encode(Sha256::digest(body)),
        })
    }
}

fn send(
    agent: &Agent,
    url: &str,
    headers: Vec<(String, String)>,
    body: &[u8],
) -> Result<(u16, Zeroizing<Vec<u8>>), ureq::Error> {
    let mut request = agent.post(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut response = request.send(body)?;
    let document = response.body_mut().with_config().limit(MAX_ANSWER_LEN).read_to_vec()?;
    Ok((response.status().as_u16(), Zeroizing::new(document)))
}

fn refused(document: &[u8], status: u16) -> KmsError {
    let Refusal { kind, message } = serde_json::from_slice(document).unwrap_or_default();
    // Some name the exception by its whole shape.
    let code = kind.rsplit('#').next().unwrap_or_default().to_owned();
    let code = if code.is_empty() { format!("status {status}, from what seems to be no KMS") } else { code };
    KmsError { code, message }
}

fn decoded(name: &str, field: Option<&str>) -> Result<Vec<u8>, KmsError> {
    let bytes = field.and_then(|text| STANDARD.decode(text).ok());
    bytes.ok_or_else(|| KmsError {
        code: "Incomplete".to_owned(),
        message: format!("the KMS did not answer {name} in Base64"),
    })
}

impl Answer {
    fn plaintext(&self) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        decoded("Plaintext", self.plaintext.as_ref().map(|text| text.as_str())).map(Zeroizing::new)
    }

    fn ciphertext(&self) -> Result<Vec<u8>, KmsError> {
        decoded("CiphertextBlob", self.ciphertext_blob.as_deref())
    }
}

fn json_of(context: &Description) -> serde_json::Value {
    context.iter().map(|(name, value)| (name.to_owned(), serde_json::Value::from(value))).collect()
}

#[async_trait]
impl KmsClient for HttpKms {
    async fn generate_data_key(&self, key_id: &str, context: &Description) -> Result<Generated, KmsError> {
        let request = json!({"KeyId": key_id, "KeySpec": "AES_256", "EncryptionContext": json_of(context)});
        let answer = self.ask("GenerateDataKey", &request).await?;
        Ok(Generated { plaintext: answer.plaintext()?, ciphertext: answer.ciphertext()? })
    }

    async fn encrypt(
        &self,
        key_id: &str,
        plaintext: &[u8],
        context: &Description,
    ) -> Result<Vec<u8>, KmsError> {
        let mut request = json!({"KeyId": key_id, "EncryptionContext": json_of(context)});
        request["Plaintext"] = STANDARD.encode(plaintext).into();
        let answer = self.ask("Encrypt", &request).await;
        if let serde_json::Value::String(text) = &mut request["Plaintext"] {
            zeroize::Zeroize::zeroize(text);
        }
        answer?.ciphertext()
    }

    async fn decrypt(
        &self,
        key_id: Option<&str>,
        ciphertext: &[u8],
        context: &Description,
    ) -> Result<Unwrapped, KmsError> {
        let mut request =
            json!({"CiphertextBlob": STANDARD.encode(ciphertext), "EncryptionContext": json_of(context)});
        if let Some(key_id) = key_id {
            request["KeyId"] = key_id.into();
        }
        let answer = self.ask("Decrypt", &request).await?;
        Ok(Unwrapped { plaintext: answer.plaintext()?, key_arn: answer.key_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_every_shape_are_told() {
        let told = |document: &str| refused(document.as_bytes(), 400).to_string();
        assert_eq!(told(r#"{"__type":"DisabledException","message":"off"}"#), "DisabledException: off");
        assert_eq!(
            told(r#"{"__type":"com.amazon#NotFoundException","Message":"x"}"#),
            "NotFoundException: x"
        );
        assert!(told("<html>").contains("seems to be no KMS"));
        assert!(decoded("Plaintext", None).is_err() && decoded("Plaintext", Some("?")).is_err());
    }
}
