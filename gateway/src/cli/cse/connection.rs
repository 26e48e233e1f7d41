//! Where the S3 and the KMS are, and how objects are sealed and opened there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider};
use object_store::{Certificate, ClientOptions, StaticCredentialProvider};
use s3_encryption_client::keyring::KmsClient;
use s3_encryption_client::object_store::EncryptedStore;
use s3_encryption_client::{CommitmentPolicy, ContentSuite, Placement, Release, Settings};
use ureq::tls::{PemItem, RootCerts, parse_pem};

use super::keys::{KeyArgs, Keys};
use super::kms::HttpKms;
use super::profile::Profile;
use crate::http::client::agent_trusting;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the S3 may say nothing in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const KMS_TIMEOUT: Duration = Duration::from_secs(30);

/// A bucket, with sealed objects in it.
pub(super) type Store = EncryptedStore<AmazonS3>;

/// Where requests go. Credentials are those of the environment and of profiles, as AWS's tools find them.
#[derive(Args, Default)]
pub(super) struct EndpointArgs {
    /// The profile of ~/.aws/credentials and ~/.aws/config: its credentials go before those of the environment; default: AWS_PROFILE, or
    /// else `default`, whose credentials go behind them
    #[arg(long, value_name = "NAME", help_heading = "Endpoints")]
    profile: Option<String>,
    /// Address of the S3; default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile's, or else AWS
    #[arg(long, value_name = "URL", help_heading = "Endpoints")]
    endpoint: Option<String>,
    /// Address of the KMS; default: AWS_ENDPOINT_URL_KMS, AWS_ENDPOINT_URL, the profile's, or else AWS
    #[arg(long, value_name = "URL", help_heading = "Endpoints")]
    kms_endpoint: Option<String>,
    /// Region that requests are signed for; default: AWS_REGION, AWS_DEFAULT_REGION, the profile's, or else us-east-1
    #[arg(long, value_name = "REGION", help_heading = "Endpoints")]
    aws_region: Option<String>,
    /// Certificates (PEM) that the endpoints' certificates may be signed by, beside the system's at the S3 and in place of them at the KMS;
    /// default: AWS_CA_BUNDLE, or else the profile's
    #[arg(long, value_name = "FILE", help_heading = "Endpoints")]
    ca_bundle: Option<PathBuf>,
}

/// Which bodies may be written and read, by the names of AWS's clients.
#[derive(Clone, Copy, ValueEnum)]
#[expect(clippy::enum_variant_names, reason = "they are AWS's names")]
enum Policy {
    /// Write V2, read V2 and V3: for as long as some reader does not know V3
    ForbidEncryptAllowDecrypt,
    /// Write V3, read V2 and V3
    RequireEncryptAllowDecrypt,
    /// Write V3, and read nothing else
    RequireEncryptRequireDecrypt,
}

/// What of the formats is written and read.
#[derive(Args)]
pub(super) struct FormatArgs {
    /// Which objects may be written and read: those that commit to their keys (V3), or others too
    #[arg(
        long,
        value_enum,
        value_name = "POLICY",
        default_value = "require-encrypt-require-decrypt",
        help_heading = "Format"
    )]
    commitment_policy: Policy,
    /// Also open what the oldest clients sealed (AES-CBC, which authenticates nothing) and wrapped (`kms`), if the policy allows it
    #[arg(long, help_heading = "Format")]
    enable_legacy: bool,
    /// What the names of instruction files end with
    #[arg(long, value_name = "SUFFIX", default_value = ".instruction", help_heading = "Format")]
    pub(super) instruction_file_suffix: String,
}

impl FormatArgs {
    /// The settings, with nothing released before it is authenticated.
    pub(super) fn settings(&self) -> anyhow::Result<Settings> {
        ensure!(!self.instruction_file_suffix.is_empty(), "--instruction-file-suffix must not be empty");
        let (suite, policy) = match self.commitment_policy {
            Policy::ForbidEncryptAllowDecrypt => {
                (ContentSuite::Aes256Gcm, CommitmentPolicy::ForbidEncryptAllowDecrypt)
            }
            Policy::RequireEncryptAllowDecrypt => {
                (ContentSuite::Aes256GcmHkdfSha512CommitKey, CommitmentPolicy::RequireEncryptAllowDecrypt)
            }
            Policy::RequireEncryptRequireDecrypt => {
                (ContentSuite::Aes256GcmHkdfSha512CommitKey, CommitmentPolicy::RequireEncryptRequireDecrypt)
            }
        };
        let settings = Settings::new()
            .suite(suite)
            .commitment_policy(policy)
            .instruction_file_suffix(&self.instruction_file_suffix);
        Ok(if self.enable_legacy { settings.enable_legacy_unauthenticated_modes() } else { settings })
    }
}

/// Both endpoints.
pub(super) struct Connection {
    endpoint: Option<String>,
    kms_endpoint: String,
    region: String,
    certificates: Option<Vec<u8>>,
    /// The profile's, if those of the environment don't go before.
    credentials: Option<AwsCredentialProvider>,
}

pub(super) fn variable(names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

impl Connection {
    /// What flags, the environment and the profile say; nothing is asked of anybody yet.
    pub(super) fn of(args: EndpointArgs) -> anyhow::Result<Self> {
        let is_chosen = args.profile.is_some();
        let profile = Profile::load(args.profile)?;
        let of_profile = |setting: &str| profile.get(setting).map(str::to_owned);
        let region = args.aws_region.or_else(|| variable(&["AWS_REGION", "AWS_DEFAULT_REGION"]));
        let region = region.or_else(|| of_profile("region")).unwrap_or_else(|| "us-east-1".to_owned());
        let endpoint = |given: Option<String>, service: &str, name: &str| {
            let variable = || variable(&[name, "AWS_ENDPOINT_URL"]);
            given.or_else(variable).or_else(|| profile.endpoint(service).map(str::to_owned))
        };
        let kms_endpoint = endpoint(args.kms_endpoint, "kms", "AWS_ENDPOINT_URL_KMS");
        let kms_endpoint = kms_endpoint.unwrap_or_else(|| format!("https://kms.{region}.amazonaws.com"));
        let file = args
            .ca_bundle
            .or_else(|| variable(&["AWS_CA_BUNDLE"]).or_else(|| of_profile("ca_bundle")).map(PathBuf::from));
        let read = |file: PathBuf| {
            std::fs::read(&file).with_context(|| format!("can't read the certificates in {}", file.display()))
        };
        let has_own = variable(&["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"]).is_some();
        let credential = if has_own && !is_chosen { None } else { profile.credential()? };
        ensure!(
            credential.is_some() || !(has_own && is_chosen),
            "the profile that --profile names has no access key, and those of the environment are somebody else's"
        );
        Ok(Self {
            endpoint: endpoint(args.endpoint, "s3", "AWS_ENDPOINT_URL_S3"),
            kms_endpoint,
            certificates: file.map(read).transpose()?,
            credentials: credential
                .map(|own| Arc::new(StaticCredentialProvider::new(own)) as AwsCredentialProvider),
            region,
        })
    }

    /// A bucket as it is.
    pub(super) fn bucket(&self, name: &str) -> anyhow::Result<AmazonS3> {
        let mut options = ClientOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_read_timeout(READ_TIMEOUT)
            .with_timeout_disabled();
        if let Some(pem) = &self.certificates {
            let found = Certificate::from_pem_bundle(pem).context("the certificates can't be used")?;
            options = found.into_iter().fold(options, ClientOptions::with_root_certificate);
        }
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(name).with_region(&self.region);
        if let Some(credentials) = &self.credentials {
            builder = builder.with_credentials(credentials.clone());
        }
        if let Some(endpoint) = &self.endpoint {
            let is_plain = endpoint.starts_with("http://");
            options = options.with_allow_http(is_plain);
            builder = builder
                .with_config(AmazonS3ConfigKey::S3Endpoint, endpoint.trim_end_matches('/'))
                .with_allow_http(is_plain);
        }
        builder
            .with_client_options(options)
            .build()
            .context("the client of the S3 does not take its settings")
    }

    /// What the KMS's certificate may be signed by.
    fn roots(&self) -> anyhow::Result<RootCerts> {
        let Some(pem) = &self.certificates else { return Ok(RootCerts::PlatformVerifier) };
        let mut found = Vec::new();
        for item in parse_pem(pem) {
            if let PemItem::Certificate(certificate) = item.context("the certificates can't be used")? {
                found.push(certificate);
            }
        }
        ensure!(!found.is_empty(), "there is no certificate in the file of those to be trusted");
        Ok(found.into())
    }

    /// Keyring and context of these flags. The KMS is asked with the bucket's credentials.
    pub(super) fn keys(
        &self,
        keys: &KeyArgs,
        format: &FormatArgs,
        bucket: &AmazonS3,
    ) -> anyhow::Result<Keys> {
        let kms = || -> anyhow::Result<Arc<dyn KmsClient>> {
            let agent = agent_trusting(KMS_TIMEOUT, self.roots()?);
            let credentials = bucket.credentials().clone();
            Ok(Arc::new(HttpKms::new(agent, &self.kms_endpoint, self.region.clone(), credentials)?))
        };
        keys.open(kms, format.enable_legacy)
    }

    /// A bucket with objects under these keys.
    pub(super) fn sealed(
        &self,
        bucket: &str,
        keys: &KeyArgs,
        format: &FormatArgs,
        release: Release,
        placement: Placement,
    ) -> anyhow::Result<Store> {
        let inner = self.bucket(bucket)?;
        let Keys { keyring, context } = self.keys(keys, format, &inner)?;
        let settings = format.settings()?.release(release).placement(placement);
        Ok(EncryptedStore::new(inner, keyring, settings)?.context(context).hide_instruction_files())
    }
}
