//! Typed configuration: flags over `SEALGATE_…` environment over a TOML file, unknown fields refused.

mod file;
mod ldap;
mod places;
mod root;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
pub use ldap::LdapConfig;
pub use places::{BlobsConfig, MetadataConfig, Places, SecretUrl, SessionConfig};
pub use root::{RootPlace, TransitPlace};
use serde::{Deserialize, Serialize};

/// May SSE-C keys travel over plain HTTP?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SseCOverHttp {
    /// Never.
    Deny,
    /// From loopback peers only.
    #[default]
    Loopback,
    /// Always: for gateways behind a TLS proxy.
    Allow,
}

/// May objects be written with SSE-C to buckets that are made from now on?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SseCNewBuckets {
    /// They may.
    #[default]
    Allow,
    /// They may not, until PutBucketEncryption allows it.
    Block,
}

/// Is AWS Signature Version 2 taken?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SignatureV2 {
    /// No.
    Off,
    /// In presigned URLs and forms.
    #[default]
    Presigned,
    /// In the header `Authorization` too.
    All,
}

/// Who owns what is written into a new bucket that says nothing of it.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum ObjectOwnership {
    /// The bucket's owner; there are no ACLs.
    #[default]
    BucketOwnerEnforced,
    /// Whoever writes, unless he hands it over.
    BucketOwnerPreferred,
    /// Whoever writes: as it was until April 2023.
    ObjectWriter,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Every setting as it may be given, by flag, environment or file; `None`: not given there.
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Data folder
    #[arg(long, value_name = "DIR", env = "SEALGATE_DATA", global = true)]
    pub data: Option<PathBuf>,
    /// Root key: a file, or `credential:NAME`, `passphrase:`, `pkcs11:…`, `transit:…`; default: the data folder's name with
    /// `.root-key` behind it
    #[arg(long, value_name = "FILE|PLACE", env = "SEALGATE_ROOT_KEY", global = true)]
    pub root_key: Option<String>,
    /// File of the passphrase of `--root-key passphrase:`; without it the gateway starts sealed
    #[arg(long, value_name = "FILE", env = "SEALGATE_PASSPHRASE_FILE", global = true)]
    pub passphrase_file: Option<PathBuf>,
    /// Folder of the key store's second copy; default: `kms-mirror` in the data folder
    #[arg(long, value_name = "DIR", env = "SEALGATE_KMS_MIRROR", global = true)]
    pub kms_mirror: Option<PathBuf>,
    /// Server that keeps records and keys for any number of gateways, instead of the data folder:
    /// postgres://USER@HOST[,HOST…]/DATABASE[?sslmode=verify-full]
    #[arg(long, value_name = "URL", env = "SEALGATE_METADATA", hide_env_values = true, global = true)]
    pub metadata: Option<String>,
    /// Certificates (PEM) of who signs for that server, which then has to prove its name
    #[arg(long, value_name = "FILE", env = "SEALGATE_METADATA_CA_FILE", global = true)]
    pub metadata_ca_file: Option<PathBuf>,
    /// Refuse such a server without a synchronous standby?
    #[arg(
        long,
        value_name = "BOOL",
        env = "SEALGATE_REQUIRE_SYNC_STANDBY",
        num_args = 0..=1,
        default_missing_value = "true",
        global = true
    )]
    pub require_sync_standby: Option<bool>,
    /// Server that keeps keys; default: that of `--metadata`, in a schema of its own
    #[arg(long, value_name = "URL", env = "SEALGATE_KMS_URL", hide_env_values = true, global = true)]
    pub kms_url: Option<String>,
    /// Object store that keeps blobs, instead of the data folder: s3://BUCKET/PREFIX?endpoint=URL&region=REGION
    #[arg(long, value_name = "URL", env = "SEALGATE_BLOBS", global = true)]
    pub blobs: Option<String>,
    /// File of that store's credentials, as of the AWS CLI; default: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    #[arg(long, value_name = "FILE", env = "SEALGATE_BLOBS_CREDENTIALS", global = true)]
    pub blobs_credentials: Option<PathBuf>,
    /// Sealed bytes up to which an object's content is kept in its record, 0 to 16384; default: 2048 with `--metadata`, else 0
    #[arg(long, value_name = "BYTES", env = "SEALGATE_INLINE_LEN", global = true)]
    pub inline_len: Option<u64>,
    /// Seconds that blobs of what was deleted or overwritten are kept; default: 86400 with `--metadata`, else 0
    #[arg(
        long,
        value_name = "SECONDS",
        env = "SEALGATE_BLOB_RETENTION_S",
        alias = "blob-retention",
        global = true
    )]
    pub blob_retention_s: Option<u64>,
    /// Seconds between two signs of life of a gateway that shares its records
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_SESSION_HEARTBEAT_S", global = true)]
    pub session_heartbeat_s: Option<u64>,
    /// Seconds without one, after which another gateway ends its session
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_SESSION_TIMEOUT_S", global = true)]
    pub session_timeout_s: Option<u64>,
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "SEALGATE_LISTEN", global = true)]
    pub listen: Option<SocketAddr>,
    /// Address of a listener of its own for the KMS API, which is served beside S3 in any case
    #[arg(long, value_name = "ADDR", env = "SEALGATE_KMS_LISTEN", global = true)]
    pub kms_listen: Option<SocketAddr>,
    /// Region that requests are signed for, and that ARNs name
    #[arg(long, value_name = "REGION", env = "SEALGATE_REGION", global = true)]
    pub region: Option<String>,
    /// Domain of virtual-host style requests (bucket.DOMAIN); may be repeated
    #[arg(
        long = "domain",
        value_name = "DOMAIN",
        env = "SEALGATE_DOMAIN",
        value_delimiter = ',',
        global = true
    )]
    pub domain: Option<Vec<String>>,
    /// Account id of a new data folder: 12 digits; default: drawn at random
    #[arg(long, value_name = "DIGITS", env = "SEALGATE_ACCOUNT_ID", global = true)]
    pub account_id: Option<String>,
    /// TLS certificate chain (PEM); needs --tls-key
    #[arg(long, value_name = "FILE", env = "SEALGATE_TLS_CERT", global = true)]
    pub tls_cert: Option<PathBuf>,
    /// TLS private key (PEM); needs --tls-cert
    #[arg(long, value_name = "FILE", env = "SEALGATE_TLS_KEY", global = true)]
    pub tls_key: Option<PathBuf>,
    /// May SSE-C keys travel over plain HTTP?
    #[arg(long, value_name = "WHEN", env = "SEALGATE_SSE_C_OVER_HTTP", global = true)]
    pub sse_c_over_http: Option<SseCOverHttp>,
    /// May objects of new buckets be written with SSE-C?
    #[arg(long, value_name = "WHEN", env = "SEALGATE_SSE_C_NEW_BUCKETS", global = true)]
    pub sse_c_new_buckets: Option<SseCNewBuckets>,
    /// Is AWS Signature Version 2 taken, which boto3 presigns URLs and forms with by default?
    #[arg(long, value_name = "WHERE", env = "SEALGATE_SIGNATURE_V2", global = true)]
    pub signature_v2: Option<SignatureV2>,
    /// Seconds between two looks for what lifecycle rules make expire
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_LIFECYCLE_INTERVAL_S", global = true)]
    pub lifecycle_interval_s: Option<u64>,
    /// Seconds that a day of lifecycle rules has; other than 86400 for tests of rules alone
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_LIFECYCLE_DAY_S", global = true)]
    pub lifecycle_day_s: Option<u64>,
    /// Most expirations by lifecycle rules per second
    #[arg(long, value_name = "COUNT", env = "SEALGATE_LIFECYCLE_RATE", global = true)]
    pub lifecycle_rate: Option<u32>,
    /// Seconds that an allowed use of a bucket-level KMS key is remembered; 0 asks KMS each time
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_BUCKET_KEY_WINDOW_S", global = true)]
    pub bucket_key_window_s: Option<u64>,
    /// Days between two rotations of an AWS managed key
    #[arg(long, value_name = "DAYS", env = "SEALGATE_MANAGED_KEY_ROTATION_DAYS", global = true)]
    pub managed_key_rotation_days: Option<u16>,
    /// May policies name accounts, users and roles that do not exist (yet)?
    #[arg(long, value_name = "BOOL", env = "SEALGATE_ACCEPT_UNKNOWN_PRINCIPALS", global = true)]
    pub accept_unknown_principals: Option<bool>,
    /// Refuse a bucket whose location constraint is us-east-1, as AWS does? Many clients send it
    #[arg(long, value_name = "BOOL", env = "SEALGATE_STRICT_LOCATION_CONSTRAINT", global = true)]
    pub strict_location_constraint: Option<bool>,
    /// Who owns what is written into a new bucket; all but BucketOwnerEnforced turn ACLs on
    #[arg(long, value_name = "OWNERSHIP", env = "SEALGATE_DEFAULT_OBJECT_OWNERSHIP", global = true)]
    pub default_object_ownership: Option<ObjectOwnership>,
    /// Is public access to a new bucket blocked, as on AWS since April 2023?
    #[arg(long, value_name = "BOOL", env = "SEALGATE_DEFAULT_BLOCK_PUBLIC_ACCESS", global = true)]
    pub default_block_public_access: Option<bool>,
    /// Start though documents of users, groups, roles or policies are missing? Whoever refers to a missing one stays shut out
    #[arg(long, value_name = "BOOL", env = "SEALGATE_ACCEPT_MISSING_DOCUMENTS", global = true)]
    pub accept_missing_documents: Option<bool>,
    /// Failed signatures per minute from one address, beyond which it is held off; 0: as many as it likes
    #[arg(long, value_name = "COUNT", env = "SEALGATE_AUTH_FAILURES_PER_MINUTE", global = true)]
    pub auth_failures_per_minute: Option<u32>,
    /// RSA keys of 2048 bits, or as much work, that one caller may have made per second; 0: as many as he likes
    #[arg(long, value_name = "COUNT", env = "SEALGATE_KMS_EXPENSIVE_CALLS_PER_SECOND", global = true)]
    pub kms_expensive_calls_per_second: Option<u32>,
    /// May core dumps of the gateway be written, and its memory be read by its own user? For debugging: both hold keys
    #[arg(long, value_name = "BOOL", env = "SEALGATE_ALLOW_CORE_DUMPS", global = true)]
    pub allow_core_dumps: Option<bool>,
    /// File for a JSON line per decision about a key; `-` is standard output; default: none
    #[arg(long, value_name = "FILE", env = "SEALGATE_AUDIT_LOG", global = true)]
    pub audit_log: Option<PathBuf>,
    /// LDAP directory that logins are checked against: ldaps://HOST, ldap://HOST with --ldap-start-tls, or ldapi://SOCKET
    #[arg(long, value_name = "URL", env = "SEALGATE_LDAP_URL", global = true)]
    pub ldap_url: Option<String>,
    /// Does ldap:// turn to TLS before anything else is said?
    #[arg(long, value_name = "BOOL", env = "SEALGATE_LDAP_START_TLS", global = true)]
    pub ldap_start_tls: Option<bool>,
    /// Certificates (PEM) of who signs for the directory; default: those that the host trusts
    #[arg(long, value_name = "FILE", env = "SEALGATE_LDAP_CA_FILE", global = true)]
    pub ldap_ca_file: Option<PathBuf>,
    /// Who looks people up in the directory
    #[arg(long, value_name = "DN", env = "SEALGATE_LDAP_LOOKUP_DN", global = true)]
    pub ldap_lookup_dn: Option<String>,
    /// File of that one's password
    #[arg(long, value_name = "FILE", env = "SEALGATE_LDAP_LOOKUP_PASSWORD_FILE", global = true)]
    pub ldap_lookup_password_file: Option<PathBuf>,
    /// Where people are looked for, and below it
    #[arg(long, value_name = "DN", env = "SEALGATE_LDAP_USER_BASE", global = true)]
    pub ldap_user_base: Option<String>,
    /// Filter that finds one by {username}
    #[arg(long, value_name = "FILTER", env = "SEALGATE_LDAP_USER_FILTER", global = true)]
    pub ldap_user_filter: Option<String>,
    /// Where groups are looked for, and below it; default: nobody has any
    #[arg(long, value_name = "DN", env = "SEALGATE_LDAP_GROUP_BASE", global = true)]
    pub ldap_group_base: Option<String>,
    /// Filter that finds somebody's groups by {dn} or {username}
    #[arg(long, value_name = "FILTER", env = "SEALGATE_LDAP_GROUP_FILTER", global = true)]
    pub ldap_group_filter: Option<String>,
    /// Role of a login that names none; default: it has to
    #[arg(long, value_name = "ARN", env = "SEALGATE_LDAP_ROLE_ARN", global = true)]
    pub ldap_role_arn: Option<String>,
    /// Memory for the catalog's page cache, in MiB
    #[arg(long, value_name = "MIB", env = "SEALGATE_CATALOG_CACHE_MIB", global = true)]
    pub catalog_cache_mib: Option<u64>,
    /// Free space below which writes are refused, in MiB
    #[arg(long, value_name = "MIB", env = "SEALGATE_MIN_FREE_MIB", global = true)]
    pub min_free_mib: Option<u64>,
    /// Most connections at a time; beyond, new ones take the place of those that do no authenticated work
    #[arg(long, value_name = "COUNT", env = "SEALGATE_MAX_CONNECTIONS", global = true)]
    pub max_connections: Option<usize>,
    /// Most connections of one address (or IPv6 /64) at a time; 0: no limit of its own
    #[arg(long, value_name = "COUNT", env = "SEALGATE_MAX_CONNECTIONS_PER_ADDRESS", global = true)]
    pub max_connections_per_address: Option<usize>,
    /// Seconds that a connection may take for the TLS handshake, the first byte and the head of a request, and be without one
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_IDLE_TIMEOUT_S", global = true)]
    pub idle_timeout_s: Option<u64>,
    /// Seconds without a byte (or with less than 1 KiB each) after which a request's body, or an unread answer, is given up
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_BODY_IDLE_TIMEOUT_S", global = true)]
    pub body_idle_timeout_s: Option<u64>,
    /// Seconds that a stop waits for requests in flight
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_SHUTDOWN_TIMEOUT_S", global = true)]
    pub shutdown_timeout_s: Option<u64>,
    /// Seconds between two looks for mostly dead segment files
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_RECLAIM_INTERVAL_S", global = true)]
    pub reclaim_interval_s: Option<u64>,
    /// Days that blobs which nobody can account for stay in quarantine; 0: for ever
    #[arg(long, value_name = "DAYS", env = "SEALGATE_QUARANTINE_DAYS", global = true)]
    pub quarantine_days: Option<u64>,
    /// MiB per second at which stored bytes are compared with their checksums; 0: never
    #[arg(long, value_name = "MIB", env = "SEALGATE_SCRUB_RATE_MIB_S", global = true)]
    pub scrub_rate_mib_s: Option<u64>,
    /// Seconds between the beginnings of two such rounds
    #[arg(long, value_name = "SECONDS", env = "SEALGATE_SCRUB_INTERVAL_S", global = true)]
    pub scrub_interval_s: Option<u64>,
    /// Log filter: error, warn, info, debug, or per module as in `info,gateway=debug`
    #[arg(long, value_name = "FILTER", env = "SEALGATE_LOG", global = true)]
    pub log: Option<String>,
    /// How log lines look
    #[arg(long, value_name = "FORMAT", env = "SEALGATE_LOG_FORMAT", global = true)]
    pub log_format: Option<LogFormat>,
}

/// The configuration that a gateway runs with.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Data folder.
    pub data: PathBuf,
    /// Where the root key is, never inside the data folder.
    pub root_key: RootPlace,
    /// File of the root key's passphrase.
    pub passphrase_file: Option<PathBuf>,
    /// Folder of the key store's second copy, where it is not in the data folder.
    pub kms_mirror: Option<PathBuf>,
    /// Where records, keys and blobs are that are not in the data folder.
    pub places: Places,
    /// Credentials file of the root user.
    pub credentials: PathBuf,
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Address of a listener for the KMS API alone.
    pub kms_listen: Option<SocketAddr>,
    /// Region of signatures and ARNs.
    pub region: String,
    /// Domains of virtual-host style requests.
    pub domains: Vec<String>,
    /// Account id for a new data folder.
    pub account_id: Option<String>,
    /// Certificate chain and private key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// May SSE-C keys travel over plain HTTP?
    pub sse_c_over_http: SseCOverHttp,
    /// May objects of new buckets be written with SSE-C?
    pub sse_c_new_buckets: SseCNewBuckets,
    /// Is AWS Signature Version 2 taken?
    pub signature_v2: SignatureV2,
    /// Pause between two looks for what lifecycle rules make expire.
    pub lifecycle_interval: std::time::Duration,
    /// How long a day of lifecycle rules is.
    pub lifecycle_day: std::time::Duration,
    /// Most expirations by lifecycle rules per second.
    pub lifecycle_rate: u32,
    /// How long an allowed use of a bucket-level KMS key is remembered.
    pub bucket_key_window: std::time::Duration,
    /// Days between two rotations of an AWS managed key.
    pub managed_key_rotation_days: u16,
    /// May policies name principals that do not exist?
    pub accept_unknown_principals: bool,
    /// Is a bucket refused whose location constraint is us-east-1?
    pub strict_location_constraint: bool,
    /// Who owns what is written into a new bucket.
    pub default_object_ownership: ObjectOwnership,
    /// Is public access to a new bucket blocked?
    pub default_block_public_access: bool,
    /// Start though documents of users, groups, roles or policies are missing.
    pub accept_missing_documents: bool,
    /// Failed signatures per minute from one address, beyond which it is held off.
    pub auth_failures_per_minute: u32,
    /// Units of expensive calls per second and caller: one is about an RSA key of 2048 bits; 0: no limit.
    pub kms_expensive_calls_per_second: u32,
    /// May core dumps be written?
    pub allow_core_dumps: bool,
    /// Where decisions about keys are recorded; `-` is standard output.
    pub audit_log: Option<PathBuf>,
    /// The directory that logins are checked against.
    pub ldap: Option<LdapConfig>,
    /// Memory for the catalog's page cache, in bytes.
    pub catalog_cache_len: u64,
    /// Free space below which writes are refused, in bytes.
    pub min_free_len: u64,
    /// Most connections at a time.
    pub max_connections: usize,
    /// Most connections of one address at a time; 0: no limit of its own.
    pub max_connections_per_address: usize,
    /// How long a connection may be without the whole head of a request.
    pub idle_timeout: std::time::Duration,
    /// Wait without a byte after which a request's body, or an answer that is not read, is given up.
    pub body_idle_timeout: std::time::Duration,
    /// How long a stop waits for requests in flight.
    pub shutdown_timeout: std::time::Duration,
    /// Pause between two looks for mostly dead segment files.
    pub reclaim_interval: std::time::Duration,
    /// How long blobs that nobody can account for are kept; `None`: for ever.
    pub quarantine: Option<std::time::Duration>,
    /// Bytes per second at which stored bytes are compared with their checksums; 0: never.
    pub scrub_rate_len_per_s: u64,
    /// Time between the beginnings of two such rounds.
    pub scrub_interval: std::time::Duration,
    /// Log filter.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
}

/// What is wrong with a configuration, and where.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file isn't TOML of our fields.
    #[error("{}: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
    /// A value is out of its range.
    #[error("{setting}: {message}")]
    Invalid {
        /// The setting, as in the file.
        setting: &'static str,
        /// What it must be.
        message: String,
    },
}

impl Config {
    /// Merges flags and environment (`given`) over the file, and checks every value.
    pub fn load(given: RawConfig, file: Option<&Path>) -> Result<Self, ConfigError> {
        let base = match file {
            Some(path) => file::read(path)?,
            None => RawConfig::default(),
        };
        Self::check(given.over(base))
    }

    fn check(raw: RawConfig) -> Result<Self, ConfigError> {
        let invalid =
            |setting, message: &str| Err(ConfigError::Invalid { setting, message: message.to_owned() });
        let ldap = LdapConfig::read(&raw)?;
        let places = Places::read(&raw)?;
        let data = raw.data.unwrap_or_else(|| PathBuf::from("sealgate-data"));
        if data.file_name().is_none() {
            return invalid("data", "must name a folder, such as ./sealgate-data");
        }
        let tls = match (raw.tls_cert, raw.tls_key) {
            (Some(cert), Some(private_key)) => Some((cert, private_key)),
            (None, None) => None,
            _ => return invalid("tls_cert, tls_key", "give both or neither"),
        };
        let region = raw.region.unwrap_or_else(|| "us-east-1".to_owned());
        if region.is_empty()
            || !region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            return invalid("region", "must be lower-case letters, digits and hyphens, such as us-east-1");
        }
        if let Some(id) = &raw.account_id
            && !(id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit()))
        {
            return invalid("account_id", "must be 12 digits");
        }
        let seconds = |value: Option<u64>, default| std::time::Duration::from_secs(value.unwrap_or(default));
        let max_connections = raw.max_connections.unwrap_or(4096);
        if max_connections == 0 {
            return invalid("max_connections", "must be at least 1");
        }
        let managed_key_rotation_days = raw.managed_key_rotation_days.unwrap_or(365);
        if managed_key_rotation_days == 0 {
            return invalid("managed_key_rotation_days", "must be at least 1");
        }
        let lifecycle_rate = raw.lifecycle_rate.unwrap_or(1000);
        for (setting, value) in [
            ("lifecycle_interval_s", raw.lifecycle_interval_s.unwrap_or(1)),
            ("lifecycle_day_s", raw.lifecycle_day_s.unwrap_or(1)),
            ("lifecycle_rate", lifecycle_rate.into()),
            ("scrub_interval_s", raw.scrub_interval_s.unwrap_or(1)),
            ("idle_timeout_s", raw.idle_timeout_s.unwrap_or(1)),
            ("body_idle_timeout_s", raw.body_idle_timeout_s.unwrap_or(1)),
        ] {
            if value == 0 {
                return invalid(setting, "must be at least 1");
            }
        }
        let root_key = match raw.root_key {
            None => RootPlace::File(beside(&data, ".root-key")),
            Some(text) => match RootPlace::parse(&text) {
                Ok(place) => place,
                Err(message) => return invalid("root_key", &message),
            },
        };
        if raw.passphrase_file.is_some() && root_key != RootPlace::Passphrase {
            return invalid("passphrase_file", "is for root_key = \"passphrase:\" alone");
        }
        let mib = |value: Option<u64>, default| value.unwrap_or(default).saturating_mul(1 << 20);
        Ok(Self {
            root_key,
            passphrase_file: raw.passphrase_file,
            kms_mirror: raw.kms_mirror,
            places,
            credentials: beside(&data, ".credentials"),
            data,
            listen: raw.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 9000))),
            kms_listen: raw.kms_listen,
            region,
            domains: raw.domain.unwrap_or_default().iter().map(|d| d.to_ascii_lowercase()).collect(),
            account_id: raw.account_id,
            tls,
            sse_c_over_http: raw.sse_c_over_http.unwrap_or_default(),
            sse_c_new_buckets: raw.sse_c_new_buckets.unwrap_or_default(),
            signature_v2: raw.signature_v2.unwrap_or_default(),
            lifecycle_interval: seconds(raw.lifecycle_interval_s, 3600),
            lifecycle_day: seconds(raw.lifecycle_day_s, 86_400),
            lifecycle_rate,
            bucket_key_window: seconds(raw.bucket_key_window_s, 60),
            managed_key_rotation_days,
            accept_unknown_principals: raw.accept_unknown_principals.unwrap_or(false),
            strict_location_constraint: raw.strict_location_constraint.unwrap_or(false),
            default_object_ownership: raw.default_object_ownership.unwrap_or_default(),
            default_block_public_access: raw.default_block_public_access.unwrap_or(true),
            accept_missing_documents: raw.accept_missing_documents.unwrap_or(false),
            auth_failures_per_minute: raw.auth_failures_per_minute.unwrap_or(300),
            kms_expensive_calls_per_second: raw.kms_expensive_calls_per_second.unwrap_or(3),
            allow_core_dumps: raw.allow_core_dumps.unwrap_or(false),
            audit_log: raw.audit_log,
            ldap,
            catalog_cache_len: mib(raw.catalog_cache_mib, 64),
            min_free_len: mib(raw.min_free_mib, 256),
            max_connections,
            max_connections_per_address: raw.max_connections_per_address.unwrap_or(1024),
            idle_timeout: seconds(raw.idle_timeout_s, 30),
            body_idle_timeout: seconds(raw.body_idle_timeout_s, 60),
            shutdown_timeout: seconds(raw.shutdown_timeout_s, 30),
            reclaim_interval: seconds(raw.reclaim_interval_s, 60),
            quarantine: match raw.quarantine_days.unwrap_or(7) {
                0 => None,
                days => Some(std::time::Duration::from_secs(days.saturating_mul(24 * 3600))),
            },
            scrub_rate_len_per_s: mib(raw.scrub_rate_mib_s, 8),
            scrub_interval: seconds(raw.scrub_interval_s, 7 * 86_400),
            log: raw.log.unwrap_or_else(|| "info".to_owned()),
            log_format: raw.log_format.unwrap_or_default(),
        })
    }
}

impl RawConfig {
    /// Each setting from here, or else from `base`.
    fn over(self, base: Self) -> Self {
        macro_rules! merge {
            ($($field:ident),* $(,)?) => { Self { $($field: self.$field.or(base.$field)),* } };
        }
        merge!(
            data,
            root_key,
            passphrase_file,
            kms_mirror,
            metadata,
            metadata_ca_file,
            require_sync_standby,
            kms_url,
            blobs,
            blobs_credentials,
            inline_len,
            blob_retention_s,
            session_heartbeat_s,
            session_timeout_s,
            listen,
            kms_listen,
            region,
            domain,
            account_id,
            tls_cert,
            tls_key,
            sse_c_over_http,
            sse_c_new_buckets,
            signature_v2,
            lifecycle_interval_s,
            lifecycle_day_s,
            lifecycle_rate,
            bucket_key_window_s,
            managed_key_rotation_days,
            accept_unknown_principals,
            strict_location_constraint,
            default_object_ownership,
            default_block_public_access,
            accept_missing_documents,
            auth_failures_per_minute,
            kms_expensive_calls_per_second,
            allow_core_dumps,
            audit_log,
            ldap_url,
            ldap_start_tls,
            ldap_ca_file,
            ldap_lookup_dn,
            ldap_lookup_password_file,
            ldap_user_base,
            ldap_user_filter,
            ldap_group_base,
            ldap_group_filter,
            ldap_role_arn,
            catalog_cache_mib,
            min_free_mib,
            max_connections,
            max_connections_per_address,
            idle_timeout_s,
            body_idle_timeout_s,
            shutdown_timeout_s,
            reclaim_interval_s,
            quarantine_days,
            scrub_rate_mib_s,
            scrub_interval_s,
            log,
            log_format,
        )
    }
}

/// `<folder><suffix>`, beside the folder.
fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    folder.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealgate.toml");
        std::fs::write(&path, "region = \"eu-west-1\"\nlisten = \"127.0.0.1:9100\"\n").unwrap();
        let given = RawConfig { region: Some("eu-north-1".to_owned()), ..RawConfig::default() };
        let config = Config::load(given, Some(&path)).unwrap();
        assert_eq!(config.region, "eu-north-1");
        assert_eq!(config.listen.port(), 9100);
        assert_eq!(config.data, PathBuf::from("sealgate-data"));
        assert_eq!(config.root_key, RootPlace::File("sealgate-data.root-key".into()));
    }

    #[test]
    fn unknown_fields_and_bad_values_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealgate.toml");
        for (text, named) in [
            ("regoin = \"x\"", "regoin"),
            ("account_id = \"12\"", "account_id"),
            ("region = \"Not A Region\"", "region"),
            ("tls_cert = \"a.pem\"", "tls_key"),
            ("max_connections = 0", "max_connections"),
            ("root_key = \"pkcs11:token=x\"", "root_key"),
            ("passphrase_file = \"x\"", "passphrase_file"),
            ("metadata = \"mysql://h/d\"", "metadata"),
            ("ldap_user_base = \"dc=example\"", "ldap_url"),
            ("ldap_url = \"ldap://directory\"", "in the clear"),
            ("sse_c_over_http = \"maybe\"", "maybe"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Config::load(RawConfig::default(), Some(&path)).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn the_example_names_every_setting_with_its_default() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/sealgate.toml");
        let text = std::fs::read_to_string(path).unwrap();
        // A setting is a comment of the form `#name = value`; prose has a space behind its `#`.
        let settings: Vec<&str> = text
            .lines()
            .filter_map(|l| l.strip_prefix('#'))
            .filter(|l| l.starts_with(|c: char| c.is_alphabetic()))
            .collect();
        let raw: RawConfig = toml::from_str(&settings.join("\n")).unwrap();
        let named: toml::Table = toml::from_str(&settings.join("\n")).unwrap();
        let fields = format!("{:?}", RawConfig::default());
        let count = fields.matches(": None").count();
        assert_eq!(named.len(), count, "a setting is missing from the example, or is there twice");

        let defaults = Config::load(RawConfig::default(), None).unwrap();
        let without_optional = RawConfig {
            account_id: None,
            tls_cert: None,
            tls_key: None,
            passphrase_file: None,
            kms_mirror: None,
            metadata: None,
            metadata_ca_file: None,
            kms_url: None,
            blobs: None,
            blobs_credentials: None,
            audit_log: None,
            kms_listen: None,
            ldap_url: None,
            ldap_ca_file: None,
            ldap_lookup_dn: None,
            ldap_lookup_password_file: None,
            ldap_user_base: None,
            ldap_group_base: None,
            ldap_role_arn: None,
            ..raw
        };
        let example = Config::load(without_optional, None).unwrap();
        let same_place = |config: Config| Config {
            data: "sealgate-data".into(),
            root_key: RootPlace::File("sealgate-data.root-key".into()),
            credentials: "sealgate-data.credentials".into(),
            ..config
        };
        assert_eq!(same_place(example), same_place(defaults));
    }

    #[test]
    fn credentials_and_root_key_lie_beside_the_data_folder() {
        assert_eq!(beside(Path::new("/srv/store"), ".root-key"), PathBuf::from("/srv/store.root-key"));
        assert_eq!(beside(Path::new("store/"), ".root-key"), PathBuf::from("store.root-key"));
    }
}
