//! Object stores that keep blobs: from the setting `blobs` to a client of the store.

mod claim;
mod credentials;
mod probe;
mod url;

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};
use storage::blob::object::{ObjectBlobStore, ObjectOptions};
use storage::session::BlobIds;

pub use self::claim::{ClaimError, claim};
pub use self::probe::{Depth, Observation, TRIAL_FOLDER, Verdict, probe};
pub use self::url::{BlobsUrl, Scheme};
use crate::config::BlobsConfig;

/// How long a connection to the store may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest content that goes into one object with others where nothing else is said, in bytes.
const PACK_LEN: usize = 1 << 20;
/// How long the store may say nothing in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// Why an object store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BlobsError {
    /// The URL is malformed.
    #[error("the setting blobs: {0}")]
    Url(String),
    /// The file of credentials can't be read.
    #[error("the credentials of the blob store in {path} can't be used: {why}")]
    Credentials {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        why: String,
    },
    /// The certificate of the URL's `ca_file` can't be read.
    #[error("the certificates in {path} can't be used: {why}")]
    Certificate {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        why: String,
    },
    /// It does not do what blobs need.
    #[error("the blob store {0} is not used: {1}; `sealgate doctor blobs` tells more")]
    Refused(String, String),
    /// Its client does not take the settings.
    #[error("the client of the blob store does not take its settings")]
    Client(#[source] object_store::Error),
}

/// Refuses a store that would lose blobs or never free their space; some small requests.
///
/// # Errors
/// When it does, or does not answer.
pub async fn require(blobs: &Blobs) -> Result<(), BlobsError> {
    for seen in probe(blobs, Depth::Start).await {
        let Observation { check, verdict, detail } = seen;
        match verdict {
            Verdict::Holds => {}
            Verdict::Warning => tracing::warn!(check, detail, "the store of the blobs"),
            Verdict::Refused => {
                return Err(BlobsError::Refused(blobs.url.to_string(), format!("{check}: {detail}")));
            }
        }
    }
    Ok(())
}

/// A client of an object store. Clones share its connections.
#[derive(Clone)]
pub struct Blobs {
    /// The client.
    pub store: Arc<dyn ObjectStore>,
    /// What the names of all objects begin with.
    pub prefix: Path,
    /// The URL that it was opened by.
    pub url: BlobsUrl,
    /// The longest content that goes there together with others, in bytes; 0: none does.
    pub pack_len: usize,
}

impl Blobs {
    /// The blob store as a session has it.
    pub fn store_of(&self, ids: BlobIds) -> ObjectBlobStore {
        let options = ObjectOptions { pack_len: self.pack_len, ..ObjectOptions::default() };
        ObjectBlobStore::new(self.store.clone(), self.prefix.clone(), ids, options)
    }
}

/// Makes a client for the store of a URL; nothing is asked of the store yet.
///
/// # Errors
/// When the URL, the credentials or the certificates are not sound.
pub fn open(config: &BlobsConfig) -> Result<Blobs, BlobsError> {
    let url = BlobsUrl::parse(&config.url)?;
    let file = config.credentials.as_deref();
    let store: Arc<dyn ObjectStore> = match url.scheme {
        Scheme::S3 => {
            let mut builder = AmazonS3Builder::from_env().with_bucket_name(&url.bucket);
            if let Some(region) = &url.region {
                builder = builder.with_region(region);
            }
            if let Some(endpoint) = &url.endpoint {
                // A bucket of one's own server is named in the path.
                builder = builder
                    .with_endpoint(endpoint)
                    .with_allow_http(endpoint.starts_with("http://"))
                    .with_virtual_hosted_style_request(url.virtual_hosted);
            }
            if let Some(file) = file {
                let found = credentials::read(file)?;
                builder = builder
                    .with_access_key_id(found.access_key_id.as_str())
                    .with_secret_access_key(found.secret_access_key.as_str());
                if let Some(token) = &found.session_token {
                    builder = builder.with_token(token.as_str());
                }
            }
            let builder = builder.with_client_options(client(&url)?).with_retry(retry());
            Arc::new(builder.build().map_err(BlobsError::Client)?)
        }
        Scheme::Azure => {
            let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(&url.bucket);
            if let Some(account) = &url.account {
                builder = builder.with_account(account);
            }
            if let Some(endpoint) = &url.endpoint {
                let is_plain = endpoint.starts_with("http://");
                builder = builder.with_endpoint(endpoint.clone()).with_allow_http(is_plain);
            }
            if let Some(file) = file {
                builder = builder.with_access_key(credentials::read_key(file)?.as_str());
            }
            let builder = builder.with_client_options(client(&url)?).with_retry(retry());
            Arc::new(builder.build().map_err(BlobsError::Client)?)
        }
        Scheme::Google => {
            let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(&url.bucket);
            if let Some(file) = file {
                builder = builder.with_service_account_path(file.to_string_lossy());
            }
            let builder = builder.with_client_options(client(&url)?).with_retry(retry());
            Arc::new(builder.build().map_err(BlobsError::Client)?)
        }
    };
    let prefix = Path::parse(&url.prefix).map_err(|error| BlobsError::Url(error.to_string()))?;
    let usual = if url.packs_small { 0 } else { PACK_LEN };
    let pack_len = config.pack_len.and_then(|len| len.try_into().ok()).unwrap_or(usual);
    Ok(Blobs { store, prefix, url, pack_len })
}

/// Whole requests have the deadlines of the blob store over it, which know how long their bodies are.
fn client(url: &BlobsUrl) -> Result<ClientOptions, BlobsError> {
    let is_plain = url.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut options = ClientOptions::new()
        .with_allow_http(is_plain)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(READ_TIMEOUT)
        .with_timeout_disabled();
    if let Some(path) = &url.ca_file {
        let refuse = |why: String| BlobsError::Certificate { path: path.clone(), why };
        let pem = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
        let found = Certificate::from_pem_bundle(&pem).map_err(|error| refuse(error.to_string()))?;
        if found.is_empty() {
            return Err(refuse("there is none in it".to_owned()));
        }
        options = found.into_iter().fold(options, ClientOptions::with_root_certificate);
    }
    Ok(options)
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: 4,
        retry_timeout: Duration::from_secs(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_contents_go_together_unless_the_store_or_somebody_says_otherwise() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("credentials");
        std::fs::write(&file, "aws_access_key_id = AKIA\naws_secret_access_key = s3cr3t\n").expect("a file");
        for (url, pack_len, expected) in [
            ("s3://b?region=r", None, PACK_LEN),
            ("s3://b?region=r", Some(0), 0),
            ("s3://b?region=r&packs_small=true", None, 0),
            ("s3://b?region=r&packs_small=true", Some(5000), 5000),
        ] {
            let config = BlobsConfig { url: url.to_owned(), credentials: Some(file.clone()), pack_len };
            assert_eq!(open(&config).expect("a client").pack_len, expected, "{url} {pack_len:?}");
        }
    }

    #[test]
    fn urls_of_every_kind_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("credentials");
        std::fs::write(&file, "[default]\naws_access_key_id = AKIA\naws_secret_access_key = s3cr3t\n")
            .expect("a file");
        let key = folder.path().join("key");
        std::fs::write(&key, "a2V5\n").expect("a file");
        let account = folder.path().join("account.json");
        let text = r#"{"private_key": "", "private_key_id": "", "client_email": "", "disable_oauth": true}"#;
        std::fs::write(&account, text).expect("a file");
        for (url, credentials) in [
            ("s3://bucket", Some(&file)),
            ("s3://bucket/a/b?region=eu-west-1", Some(&file)),
            ("s3://bucket/p?endpoint=http://127.0.0.1:9/&region=us-east-1", Some(&file)),
            ("az://container/p?account=some", Some(&key)),
            ("gs://bucket/p", Some(&account)),
        ] {
            let config =
                BlobsConfig { url: url.to_owned(), credentials: credentials.cloned(), pack_len: None };
            if let Err(error) = open(&config) {
                panic!("{url}: {error}");
            }
        }
        for url in
            ["s3://", "http://x/y", "s3://b?secret_access_key=x", "s3://b?endpoint=ftp://x", "s3://b/../c"]
        {
            let config = BlobsConfig { url: url.to_owned(), credentials: Some(file.clone()), pack_len: None };
            assert!(open(&config).is_err(), "{url} is taken");
        }
        let config = BlobsConfig {
            url: "s3://b".to_owned(),
            credentials: Some(folder.path().join("none")),
            pack_len: None,
        };
        assert!(matches!(open(&config), Err(BlobsError::Credentials { .. })));
        let config = BlobsConfig { url: "gs://b".to_owned(), credentials: Some(key.clone()), pack_len: None };
        assert!(matches!(open(&config), Err(BlobsError::Client(_))), "a key is no service account");
        let config = BlobsConfig {
            url: format!("s3://b?ca_file={}", key.display()),
            credentials: Some(file.clone()),
            pack_len: None,
        };
        assert!(matches!(open(&config), Err(BlobsError::Certificate { .. })));
    }
}
