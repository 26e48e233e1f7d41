//! Where records, keys and blobs are, when not all of them are in the data folder: `--metadata`, `--kms-url`, `--blobs`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::ConfigError;

/// Where records, keys and blobs are.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Where data and keys are")]
#[serde(default)]
pub struct PlacesSettings {
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
    /// Sealed bytes up to which contents that come at one time go to the object store in one object, 0 (none does) to 1048576; default:
    /// 1048576, and 0 with `packs_small=true` in the URL
    #[arg(long, value_name = "BYTES", env = "SEALGATE_PACK_LEN", global = true)]
    pub pack_len: Option<u64>,
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
}

/// The longest value that is kept beside its record, in bytes.
const MAX_INLINE_LEN: u64 = 16 << 10;
/// The longest blob that shares an object with others, in bytes: it is moved by one read.
const MAX_PACK_LEN: u64 = 1 << 20;

/// A URL that may hold a password, which is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(Zeroizing<String>);

impl SecretUrl {
    /// The URL with its password.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretUrl {
    /// Without user, password and parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        write!(f, "{scheme}://{place}")
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The server that keeps records and keys for any number of gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataConfig {
    /// Hosts, user, password and database of the records.
    pub url: SecretUrl,
    /// The same of the keys; `None`: with the records, in a schema of their own.
    pub kms_url: Option<SecretUrl>,
    /// Certificates of who signs for the server; given, the server has to prove that it is the one named.
    pub ca_file: Option<PathBuf>,
    /// Is a server without a synchronous standby refused?
    pub require_sync_standby: bool,
}

/// An object store that keeps the blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobsConfig {
    /// `s3://bucket/prefix?endpoint=…&region=…`.
    pub url: String,
    /// File of the store's credentials; `None`: the environment (`AWS_…`).
    pub credentials: Option<PathBuf>,
    /// Sealed content up to so many bytes goes there with what comes at the same time; `None`: as the URL has it.
    pub pack_len: Option<u64>,
}

/// How a gateway that shares its records lives beside others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// How often it tells the others that it is there.
    pub heartbeat: Duration,
    /// For how long nothing has to be heard of another one before its session is ended.
    pub timeout: Duration,
}

/// All of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// `None`: records and keys are in the data folder.
    pub metadata: Option<MetadataConfig>,
    /// `None`: blobs are in the data folder.
    pub blobs: Option<BlobsConfig>,
    /// Sealed content up to so many bytes is kept in its record.
    pub inline_len: u64,
    /// How long the blobs of what was deleted or overwritten are kept.
    pub blob_retention: Duration,
    /// Sessions of gateways that share records.
    pub session: SessionConfig,
}

impl Places {
    pub(super) fn read(raw: &PlacesSettings) -> Result<Self, ConfigError> {
        let invalid =
            |setting, message: &str| Err(ConfigError::Invalid { setting, message: message.to_owned() });
        let is_server = |url: &str| url.starts_with("postgres://") || url.starts_with("postgresql://");
        let metadata = match &raw.metadata {
            Some(url) if !is_server(url) => {
                return invalid("metadata", "must be postgres://USER@HOST[,HOST…]/DATABASE");
            }
            Some(url) => {
                if raw.kms_url.as_ref().is_some_and(|url| !is_server(url)) {
                    return invalid("kms_url", "must be postgres://USER@HOST[,HOST…]/DATABASE");
                }
                if raw.root_key.is_none() {
                    return invalid(
                        "root_key",
                        "must be given with metadata: all gateways need the same one (a file of it is made by: head -c 32 /dev/urandom)",
                    );
                }
                let secret = |url: &String| SecretUrl(Zeroizing::new(url.clone()));
                Some(MetadataConfig {
                    url: secret(url),
                    kms_url: raw.kms_url.as_ref().map(secret),
                    ca_file: raw.metadata_ca_file.clone(),
                    require_sync_standby: raw.require_sync_standby.unwrap_or(false),
                })
            }
            None => {
                for (setting, is_given) in [
                    ("kms_url", raw.kms_url.is_some()),
                    ("metadata_ca_file", raw.metadata_ca_file.is_some()),
                    ("require_sync_standby", raw.require_sync_standby == Some(true)),
                ] {
                    if is_given {
                        return invalid(setting, "is for records in a server: give metadata too");
                    }
                }
                None
            }
        };
        let blobs = match &raw.blobs {
            Some(url) => Some(BlobsConfig {
                url: url.clone(),
                credentials: raw.blobs_credentials.clone(),
                pack_len: raw.pack_len,
            }),
            None if raw.blobs_credentials.is_some() => {
                return invalid("blobs_credentials", "is for blobs in an object store: give blobs too");
            }
            None => None,
        };
        // Records that are shared can't be checked against local blobs of one of them that were put back: a backup of the map is older
        // than the blobs, so what it names must be there still.
        let default_retention = if metadata.is_some() { 86_400 } else { 0 };
        // What has no blob is not brought back by a rebuild from blobs, which shared records have no need of.
        let inline_len = raw.inline_len.unwrap_or(if metadata.is_some() { 2048 } else { 0 });
        if inline_len > MAX_INLINE_LEN {
            return invalid("inline_len", "must be at most 16384");
        }
        if raw.pack_len.is_some() && blobs.is_none() {
            return invalid("pack_len", "is for blobs in an object store: give blobs too");
        }
        if raw.pack_len.is_some_and(|len| len > MAX_PACK_LEN) {
            return invalid("pack_len", "must be at most 1048576");
        }
        let heartbeat = raw.session_heartbeat_s.unwrap_or(5);
        let timeout = raw.session_timeout_s.unwrap_or(60);
        if heartbeat == 0 {
            return invalid("session_heartbeat_s", "must be at least 1");
        }
        if timeout < heartbeat.saturating_mul(3) {
            return invalid("session_timeout_s", "must be at least three times session_heartbeat_s");
        }
        Ok(Self {
            metadata,
            blobs,
            inline_len,
            blob_retention: Duration::from_secs(raw.blob_retention_s.unwrap_or(default_retention)),
            session: SessionConfig {
                heartbeat: Duration::from_secs(heartbeat),
                timeout: Duration::from_secs(timeout),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_to_nobody() {
        let url = SecretUrl(Zeroizing::new("postgres://u:p@ss@h1:5432,h2/db?password=x".to_owned()));
        assert_eq!(format!("{url} {url:?}"), "postgres://h1:5432,h2/db postgres://h1:5432,h2/db");
    }

    #[test]
    fn places_that_do_not_fit_are_refused_by_name() {
        let raw = || PlacesSettings {
            metadata: Some("postgres://u@h/d".to_owned()),
            root_key: Some("root".to_owned()),
            ..PlacesSettings::default()
        };
        let named = |raw: PlacesSettings| match Places::read(&raw) {
            Err(ConfigError::Invalid { setting, .. }) => setting,
            other => panic!("{other:?}"),
        };
        let places = Places::read(&raw()).unwrap();
        assert_eq!(places.blob_retention.as_secs(), 86_400);
        assert_eq!(named(PlacesSettings { root_key: None, ..raw() }), "root_key");
        assert_eq!(named(PlacesSettings { metadata: Some("mysql://h".to_owned()), ..raw() }), "metadata");
        assert_eq!(named(PlacesSettings { kms_url: Some("h".to_owned()), ..raw() }), "kms_url");
        let alone = PlacesSettings { require_sync_standby: Some(true), ..PlacesSettings::default() };
        assert_eq!(named(alone), "require_sync_standby");
        assert_eq!(named(PlacesSettings { session_timeout_s: Some(10), ..raw() }), "session_timeout_s");
        assert_eq!(named(PlacesSettings { inline_len: Some(1 << 20), ..raw() }), "inline_len");
        assert_eq!(named(PlacesSettings { pack_len: Some(1), ..raw() }), "pack_len");
        let blobs = Some("s3://b".to_owned());
        let packed = |pack_len| PlacesSettings { blobs: blobs.clone(), pack_len: Some(pack_len), ..raw() };
        assert_eq!(named(packed((1 << 20) + 1)), "pack_len");
        assert_eq!(Places::read(&packed(0)).unwrap().blobs.unwrap().pack_len, Some(0));
    }
}
