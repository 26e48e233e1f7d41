//! Where the web console is, and whom it is told to speak to.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::listen::OptionalListen;

/// The port of the console where nothing is set.
const USUAL_PORT: u16 = 9001;
/// The most origins.
const MAX_ORIGINS: usize = 32;

/// Where the web console is, and whom it is told to speak to.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Web console")]
#[serde(default)]
pub struct ConsoleSettings {
    /// Address of the web console, an origin of its own; `off`: none
    #[arg(long, value_name = "ADDR|off", env = "SEALGATE_CONSOLE_LISTEN", global = true)]
    pub console_listen: Option<String>,
    /// URL of S3, KMS, IAM and STS as browsers reach it, such as https://s3.example.com; default: that of the main listener
    #[arg(long, value_name = "URL", env = "SEALGATE_CONSOLE_ENDPOINT", global = true)]
    pub console_endpoint: Option<String>,
    /// Origins that the console is opened at, such as https://console.example.com; may be repeated; default: the listener's own
    #[arg(
        long,
        value_name = "ORIGIN",
        env = "SEALGATE_CONSOLE_ORIGINS",
        value_delimiter = ',',
        global = true
    )]
    pub console_origins: Option<Vec<String>>,
}

/// The console, as it is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleConfig {
    /// Where it is served.
    pub listen: OptionalListen,
    /// The origin (scheme, host, port) of the APIs as browsers reach it; `None`: told by the listeners' addresses.
    pub endpoint: Option<String>,
    /// Origins that it is opened at; empty: the listener's own.
    pub origins: Vec<String>,
}

impl ConsoleConfig {
    /// Reads the settings.
    ///
    /// # Errors
    /// What is no address, and what is no origin.
    pub(super) fn read(raw: &ConsoleSettings) -> Result<Self, ConfigError> {
        let listen = OptionalListen::read("console_listen", raw.console_listen.as_deref(), USUAL_PORT)?;
        let wrong = |setting, given: &str, example: &str| ConfigError::Invalid {
            setting,
            message: format!("{given}: must be scheme, host and port without a path, such as {example}"),
        };
        let endpoint = raw.console_endpoint.as_deref().map(|given| {
            origin(given).ok_or_else(|| wrong("console_endpoint", given, "https://s3.example.com"))
        });
        let given = raw.console_origins.as_deref().unwrap_or_default();
        if given.len() > MAX_ORIGINS {
            let message = format!("must be at most {MAX_ORIGINS}");
            return Err(ConfigError::Invalid { setting: "console_origins", message });
        }
        let origins = given.iter().map(|given| {
            origin(given).ok_or_else(|| wrong("console_origins", given, "https://console.example.com"))
        });
        Ok(Self { listen, endpoint: endpoint.transpose()?, origins: origins.collect::<Result<_, _>>()? })
    }
}

/// An origin as browsers write it (RFC 6454 section 6.1): lower case, without the port that its scheme has anyway.
fn origin(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches('/').to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://")?;
    let usual = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let authority = authority.strip_suffix(usual).unwrap_or(authority);
    is_authority(authority).then(|| format!("{scheme}://{authority}"))
}

/// Is it `host` or `host:port`, of letters that stand in a header of browsers' rules as well?
pub fn is_authority(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
    let parsed = text.parse::<http::uri::Authority>();
    text.bytes().all(is_plain) && parsed.is_ok_and(|parsed| !parsed.host().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_write_them() {
        for (given, written) in [
            ("https://Console.Example.com/", "https://console.example.com"),
            ("http://localhost:80", "http://localhost"),
            ("https://c.example:443", "https://c.example"),
            ("https://c.example:8443", "https://c.example:8443"),
            ("http://[::1]:9001", "http://[::1]:9001"),
        ] {
            assert_eq!(origin(given).as_deref(), Some(written), "{given}");
        }
        for given in [
            "",
            "*",
            "null",
            "console.example.com",
            "ftp://c",
            "https://",
            "https://a/b",
            "https://a;b",
            "https://*.a",
        ] {
            assert_eq!(origin(given), None, "{given}");
        }
    }
}
