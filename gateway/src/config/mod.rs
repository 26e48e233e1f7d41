//! Typed configuration: flags over `SEALGATE_…` environment over a TOML file, unknown fields refused.

mod access;
mod buckets;
mod console;
mod file;
mod jobs;
mod keys;
mod ldap;
mod limits;
mod listen;
mod logs;
mod observe;
mod places;
mod reload;
mod root;
mod show;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use access::{AccessSettings, SignatureV2, SseCOverHttp};
pub use buckets::{BucketSettings, ObjectOwnership, SseCNewBuckets};
use clap::Args;
pub use console::{ConsoleConfig, ConsoleSettings, is_authority};
pub use jobs::JobSettings;
pub use keys::KeySettings;
use kms_core::policy::Network;
pub use ldap::{LdapConfig, LdapSettings};
pub use limits::LimitSettings;
pub use listen::{ListenSettings, ListenerName, OptionalListen};
pub use logs::{
    AccessLogConfig, AccessLogFormat, AuditConfig, AuditWebhook, BucketLogConfig, LogSettings, LogsConfig,
    WhenSpoolIsFull,
};
pub use observe::{LogFormat, ObserveSettings};
pub use places::{BlobsConfig, MetadataConfig, Places, PlacesSettings, SecretUrl, SessionConfig};
pub use reload::{Apply, Changes, Reloads};
pub use root::{RootPlace, TransitPlace};
use serde::{Deserialize, Serialize};
pub use show::{Origin, Setting, settings};

/// Every setting as it may be given, by flag, environment or file; `None`: not given there.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(default)]
pub struct RawConfig {
    /// Where records, keys and blobs are.
    #[command(flatten)]
    #[serde(flatten)]
    pub places: PlacesSettings,
    /// Where requests arrive, and under which names.
    #[command(flatten)]
    #[serde(flatten)]
    pub listen: ListenSettings,
    /// Where the web console is.
    #[command(flatten)]
    #[serde(flatten)]
    pub console: ConsoleSettings,
    /// Who may do what, and how he proves who he is.
    #[command(flatten)]
    #[serde(flatten)]
    pub access: AccessSettings,
    /// The directory that logins are checked against.
    #[command(flatten)]
    #[serde(flatten)]
    pub ldap: LdapSettings,
    /// What a new bucket has that says nothing of it.
    #[command(flatten)]
    #[serde(flatten)]
    pub buckets: BucketSettings,
    /// How KMS keys are used.
    #[command(flatten)]
    #[serde(flatten)]
    pub keys: KeySettings,
    /// How much of the host the gateway takes, and for how long.
    #[command(flatten)]
    #[serde(flatten)]
    pub limits: LimitSettings,
    /// What runs beside the requests, and how fast.
    #[command(flatten)]
    #[serde(flatten)]
    pub jobs: JobSettings,
    /// What is written down of requests.
    #[command(flatten)]
    #[serde(flatten)]
    pub logs: LogSettings,
    /// What the gateway tells of itself.
    #[command(flatten)]
    #[serde(flatten)]
    pub observe: ObserveSettings,
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
    /// Where metrics are served.
    pub metrics_listen: OptionalListen,
    /// The web console.
    pub console: ConsoleConfig,
    /// Buckets that have metrics of their own.
    pub metrics_buckets: usize,
    /// Are requests counted?
    pub metrics_requests: bool,
    /// Where traces go.
    pub otlp_endpoint: Option<String>,
    /// Region of signatures and ARNs.
    pub region: String,
    /// Domains of virtual-host style requests.
    pub domains: Vec<String>,
    /// Account id for a new data folder.
    pub account_id: Option<String>,
    /// Certificate chain and private key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Networks whose word is taken for who a request comes from.
    pub trusted_proxies: Vec<Network>,
    /// Listeners whose connections from there begin with a header of the PROXY protocol.
    pub proxy_protocol: Vec<ListenerName>,
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
    /// What is written down of requests.
    pub logs: LogsConfig,
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
    /// Time between two looks at every blob of an object store for those without a record; `None`: only when it is asked for.
    pub full_sweep_interval: Option<std::time::Duration>,
    /// Bytes per second at which stored bytes are compared with their checksums; 0: never.
    pub scrub_rate_len_per_s: u64,
    /// Time between the beginnings of two such rounds.
    pub scrub_interval: std::time::Duration,
    /// Log filter.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
}

/// Settings that have no default; the example shows what they may look like.
const WITHOUT_DEFAULT: [&str; 27] = [
    "account_id",
    "tls_cert",
    "tls_key",
    "passphrase_file",
    "kms_mirror",
    "metadata",
    "metadata_ca_file",
    "kms_url",
    "blobs",
    "blobs_credentials",
    "pack_len",
    "access_log",
    "audit_log",
    "audit_webhook_url",
    "audit_webhook_token_file",
    "kms_listen",
    "metrics_listen",
    "console_listen",
    "console_endpoint",
    "otlp_endpoint",
    "ldap_url",
    "ldap_ca_file",
    "ldap_lookup_dn",
    "ldap_lookup_password_file",
    "ldap_user_base",
    "ldap_group_base",
    "ldap_role_arn",
];

/// The most buckets that may have metrics of their own: each has several series.
const MAX_METRICS_BUCKETS: usize = 10_000;

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
        Self::of(merged(&given, file)?)
    }

    /// Checks every value.
    fn of(values: toml::Table) -> Result<Self, ConfigError> {
        Self::check(file::typed(values)?)
    }

    fn check(raw: RawConfig) -> Result<Self, ConfigError> {
        let invalid =
            |setting, message: &str| Err(ConfigError::Invalid { setting, message: message.to_owned() });
        let ldap = LdapConfig::read(&raw.ldap)?;
        let places = Places::read(&raw.places)?;
        let data = raw.places.data.unwrap_or_else(|| PathBuf::from("sealgate-data"));
        if data.file_name().is_none() {
            return invalid("data", "must name a folder, such as ./sealgate-data");
        }
        let tls = match (raw.listen.tls_cert, raw.listen.tls_key) {
            (Some(cert), Some(private_key)) => Some((cert, private_key)),
            (None, None) => None,
            _ => return invalid("tls_cert, tls_key", "give both or neither"),
        };
        let region = raw.access.region.unwrap_or_else(|| "us-east-1".to_owned());
        if region.is_empty()
            || !region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            return invalid("region", "must be lower-case letters, digits and hyphens, such as us-east-1");
        }
        if let Some(id) = &raw.access.account_id
            && !(id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit()))
        {
            return invalid("account_id", "must be 12 digits");
        }
        let mut trusted_proxies = Vec::new();
        for text in raw.listen.trusted_proxies.unwrap_or_default() {
            match Network::parse(&text) {
                Some(network) => trusted_proxies.push(network),
                None => {
                    let message = format!("{text}: must be addresses or networks, such as 10.0.0.0/8 or ::1");
                    return invalid("trusted_proxies", &message);
                }
            }
        }
        let proxy_protocol = raw.listen.proxy_protocol.unwrap_or_default();
        if !proxy_protocol.is_empty() && trusted_proxies.is_empty() {
            return invalid("proxy_protocol", "needs trusted_proxies: from whom such a header is taken");
        }
        let seconds = |value: Option<u64>, default| std::time::Duration::from_secs(value.unwrap_or(default));
        let max_connections = raw.limits.max_connections.unwrap_or(4096);
        if max_connections == 0 {
            return invalid("max_connections", "must be at least 1");
        }
        let managed_key_rotation_days = raw.keys.managed_key_rotation_days.unwrap_or(365);
        if managed_key_rotation_days == 0 {
            return invalid("managed_key_rotation_days", "must be at least 1");
        }
        let lifecycle_rate = raw.jobs.lifecycle_rate.unwrap_or(1000);
        for (setting, value) in [
            ("lifecycle_interval_s", raw.jobs.lifecycle_interval_s.unwrap_or(1)),
            ("lifecycle_day_s", raw.jobs.lifecycle_day_s.unwrap_or(1)),
            ("lifecycle_rate", lifecycle_rate.into()),
            ("scrub_interval_s", raw.jobs.scrub_interval_s.unwrap_or(1)),
            ("idle_timeout_s", raw.limits.idle_timeout_s.unwrap_or(1)),
            ("body_idle_timeout_s", raw.limits.body_idle_timeout_s.unwrap_or(1)),
        ] {
            if value == 0 {
                return invalid(setting, "must be at least 1");
            }
        }
        let root_key = match raw.places.root_key {
            None => RootPlace::File(beside(&data, ".root-key")),
            Some(text) => match RootPlace::parse(&text) {
                Ok(place) => place,
                Err(message) => return invalid("root_key", &message),
            },
        };
        if raw.places.passphrase_file.is_some() && root_key != RootPlace::Passphrase {
            return invalid("passphrase_file", "is for root_key = \"passphrase:\" alone");
        }
        let metrics_buckets = raw.observe.metrics_buckets.unwrap_or(100);
        if metrics_buckets > MAX_METRICS_BUCKETS {
            return invalid("metrics_buckets", "must be at most 10000");
        }
        let is_http = |url: &String| {
            let rest = url.strip_prefix("http://").or(url.strip_prefix("https://"));
            rest.is_some_and(|rest| !rest.is_empty())
        };
        if raw.observe.otlp_endpoint.as_ref().is_some_and(|url| !is_http(url)) {
            return invalid(
                "otlp_endpoint",
                "must be a URL with http or https, such as http://127.0.0.1:4318",
            );
        }
        let mib = |value: Option<u64>, default| value.unwrap_or(default).saturating_mul(1 << 20);
        Ok(Self {
            root_key,
            passphrase_file: raw.places.passphrase_file,
            kms_mirror: raw.places.kms_mirror,
            places,
            credentials: beside(&data, ".credentials"),
            data,
            listen: raw.listen.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 9000))),
            kms_listen: raw.listen.kms_listen,
            metrics_listen: OptionalListen::read(
                "metrics_listen",
                raw.listen.metrics_listen.as_deref(),
                9002,
            )?,
            console: ConsoleConfig::read(&raw.console)?,
            metrics_buckets,
            metrics_requests: raw.observe.metrics_requests.unwrap_or(true),
            otlp_endpoint: raw.observe.otlp_endpoint.map(|url| url.trim_end_matches('/').to_owned()),
            region,
            domains: raw.listen.domain.unwrap_or_default().iter().map(|d| d.to_ascii_lowercase()).collect(),
            account_id: raw.access.account_id,
            tls,
            trusted_proxies,
            proxy_protocol,
            sse_c_over_http: raw.access.sse_c_over_http.unwrap_or_default(),
            sse_c_new_buckets: raw.buckets.sse_c_new_buckets.unwrap_or_default(),
            signature_v2: raw.access.signature_v2.unwrap_or_default(),
            lifecycle_interval: seconds(raw.jobs.lifecycle_interval_s, 3600),
            lifecycle_day: seconds(raw.jobs.lifecycle_day_s, 86_400),
            lifecycle_rate,
            bucket_key_window: seconds(raw.keys.bucket_key_window_s, 60),
            managed_key_rotation_days,
            accept_unknown_principals: raw.access.accept_unknown_principals.unwrap_or(false),
            strict_location_constraint: raw.buckets.strict_location_constraint.unwrap_or(false),
            default_object_ownership: raw.buckets.default_object_ownership.unwrap_or_default(),
            default_block_public_access: raw.buckets.default_block_public_access.unwrap_or(true),
            accept_missing_documents: raw.access.accept_missing_documents.unwrap_or(false),
            auth_failures_per_minute: raw.access.auth_failures_per_minute.unwrap_or(300),
            kms_expensive_calls_per_second: raw.keys.kms_expensive_calls_per_second.unwrap_or(3),
            allow_core_dumps: raw.access.allow_core_dumps.unwrap_or(false),
            logs: LogsConfig::read(&raw.logs)?,
            ldap,
            catalog_cache_len: mib(raw.limits.catalog_cache_mib, 64),
            min_free_len: mib(raw.limits.min_free_mib, 256),
            max_connections,
            max_connections_per_address: raw.limits.max_connections_per_address.unwrap_or(1024),
            idle_timeout: seconds(raw.limits.idle_timeout_s, 30),
            body_idle_timeout: seconds(raw.limits.body_idle_timeout_s, 60),
            shutdown_timeout: seconds(raw.limits.shutdown_timeout_s, 30),
            reclaim_interval: seconds(raw.jobs.reclaim_interval_s, 60),
            quarantine: match raw.jobs.quarantine_days.unwrap_or(7) {
                0 => None,
                days => Some(std::time::Duration::from_secs(days.saturating_mul(24 * 3600))),
            },
            full_sweep_interval: match raw.jobs.full_sweep_interval_s.unwrap_or(30 * 86_400) {
                0 => None,
                seconds => Some(std::time::Duration::from_secs(seconds)),
            },
            scrub_rate_len_per_s: mib(raw.jobs.scrub_rate_mib_s, 8),
            scrub_interval: seconds(raw.jobs.scrub_interval_s, 7 * 86_400),
            log: raw.observe.log.unwrap_or_else(|| "info".to_owned()),
            log_format: raw.observe.log_format.unwrap_or_default(),
        })
    }
}

/// What flags and environment give, over what the file gives.
fn merged(given: &RawConfig, file: Option<&Path>) -> Result<toml::Table, ConfigError> {
    let mut values = match file {
        Some(path) => file::read(path)?.values(),
        None => toml::Table::new(),
    };
    values.extend(file::table(given)?);
    Ok(values)
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
        let mut given = RawConfig::default();
        given.access.region = Some("eu-north-1".to_owned());
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
            ("metrics_listen = \"9002\"", "metrics_listen"),
            ("console_listen = \"9001\"", "console_listen"),
            ("console_endpoint = \"s3.example.com\"", "console_endpoint"),
            ("console_origins = [\"*\"]", "console_origins"),
            ("metrics_buckets = 10001", "metrics_buckets"),
            ("otlp_endpoint = \"localhost:4318\"", "otlp_endpoint"),
            ("root_key = \"pkcs11:token=x\"", "root_key"),
            ("passphrase_file = \"x\"", "passphrase_file"),
            ("metadata = \"mysql://h/d\"", "metadata"),
            ("ldap_user_base = \"dc=example\"", "ldap_url"),
            ("ldap_url = \"ldap://directory\"", "in the clear"),
            ("trusted_proxies = [\"10.0.0.0/33\"]", "trusted_proxies"),
            ("proxy_protocol = [\"listen\"]", "trusted_proxies"),
            ("sse_c_over_http = \"maybe\"", "maybe"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Config::load(RawConfig::default(), Some(&path)).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn the_example_names_every_setting_with_its_default() {
        let mut named = show::example().unwrap();
        let mut in_file: Vec<String> = named.keys().cloned().collect();
        let mut known = file::names();
        in_file.sort();
        known.sort();
        assert_eq!(in_file, known, "a setting is missing from the example, or is there twice");

        let defaults = Config::load(RawConfig::default(), None).unwrap();
        for name in WITHOUT_DEFAULT {
            assert!(named.remove(name).is_some(), "{name}");
        }
        let example = Config::check(file::typed(named).unwrap()).unwrap();
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
