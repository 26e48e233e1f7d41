//! Every setting with its value and where it comes from.

use std::path::Path;

use super::{Config, ConfigError, RawConfig, WITHOUT_DEFAULT, file, merged};

/// The example with every default.
const EXAMPLE: &str = include_str!("../../../deploy/sealgate.toml");

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave one.
    Default,
    /// `FILE:LINE`.
    File(String),
    /// The variable of the environment.
    Environment(String),
    /// The flag.
    Flag(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) => f.write_str(place),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name, as in the file.
    pub name: String,
    /// Its value, secrets masked; `None`: not set, and without a default.
    pub value: Option<toml::Value>,
    /// Where the value comes from.
    pub origin: Origin,
}

/// All settings, in the order of their groups. `given_by` tells of a name whether flag or environment gave it.
///
/// # Errors
/// As [`Config::load`].
pub fn settings(
    given: &RawConfig,
    file: Option<&Path>,
    given_by: impl Fn(&str) -> Option<Origin>,
) -> Result<Vec<Setting>, ConfigError> {
    let mut values = merged(given, file)?;
    let config = Config::of(values.clone())?;
    let in_file = file.map(file::read).transpose()?;
    let mut defaults = example()?;
    for name in WITHOUT_DEFAULT {
        defaults.remove(name);
    }
    // Some defaults go by other settings.
    let text = |path: &Path| path.display().to_string();
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    defaults.insert("data".to_owned(), text(&config.data).into());
    defaults.insert("root_key".to_owned(), config.root_key.to_string().into());
    defaults.insert("inline_len".to_owned(), number(config.places.inline_len).into());
    defaults.insert("blob_retention_s".to_owned(), number(config.places.blob_retention.as_secs()).into());
    let setting = |name: String| {
        let from_file = || {
            let line = in_file.as_ref()?.line(&name)?;
            Some(Origin::File(format!("{}:{line}", file?.display())))
        };
        let origin = given_by(&name).or_else(from_file).unwrap_or(Origin::Default);
        let value = values.remove(&name).or_else(|| defaults.remove(&name));
        let value = value.map(|value| masked(&name, value));
        Setting { name, value, origin }
    };
    Ok(file::names().into_iter().map(setting).collect())
}

/// Every setting as the example has it: there it is a comment of the form `#name = value`, while prose has a space behind its `#`.
pub(super) fn example() -> Result<toml::Table, ConfigError> {
    let lines = EXAMPLE.lines().filter_map(|line| line.strip_prefix('#'));
    let settings: Vec<&str> = lines.filter(|line| line.starts_with(|c: char| c.is_alphabetic())).collect();
    toml::from_str(&settings.join("\n")).map_err(|error| ConfigError::Malformed {
        path: "deploy/sealgate.toml".into(),
        message: error.to_string(),
    })
}

/// Without passwords: those of URLs, and values of settings that are secrets by their names.
fn masked(name: &str, value: toml::Value) -> toml::Value {
    let is_secret = |name: &str| ["password", "secret", "token"].iter().any(|word| name.contains(word));
    match value {
        toml::Value::String(_) if is_secret(name) && !name.ends_with("_file") => "***".into(),
        toml::Value::String(text) if text.contains("://") => without_password(&text).into(),
        toml::Value::Array(all) => {
            all.into_iter().map(|value| masked(name, value)).collect::<Vec<_>>().into()
        }
        value => value,
    }
}

/// A URL whose password, and whose parameters that are named as one, are masked.
fn without_password(url: &str) -> String {
    let (head, query) = url.split_once('?').map_or((url, None), |(head, query)| (head, Some(query)));
    let (scheme, rest) = head.split_once("://").unwrap_or(("", head));
    let head = match rest.rsplit_once('@') {
        Some((who, place)) => {
            let user = who.split_once(':').map(|(user, _)| format!("{user}:***"));
            format!("{scheme}://{}@{place}", user.unwrap_or_else(|| who.to_owned()))
        }
        None => head.to_owned(),
    };
    let Some(query) = query else { return head };
    let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, _)) if name.contains("pass") || name.contains("secret") => format!("{name}=***"),
        _ => parameter.to_owned(),
    });
    format!("{head}?{}", parameters.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_tells_its_origin_and_no_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealgate.toml");
        let text = "region = \"eu-west-1\"\nroot_key = \"k\"\n\nmetadata = \"postgres://u:p@ss@h/d?password=x&sslmode=require\"\n";
        std::fs::write(&path, text).unwrap();
        let mut given = RawConfig::default();
        given.observe.log = Some("warn".to_owned());
        let flag = Origin::Flag("--log".to_owned());
        let all = settings(&given, Some(&path), |name| (name == "log").then(|| flag.clone())).unwrap();
        let of = |name: &str| {
            let setting = all.iter().find(|setting| setting.name == name).unwrap();
            let value = setting.value.as_ref().map(ToString::to_string).unwrap_or_default();
            (value.trim_matches('"').to_owned(), setting.origin.to_string())
        };
        let line = |number| format!("{}:{number}", path.display());
        assert_eq!(of("region"), ("eu-west-1".to_owned(), line(1)));
        assert_eq!(of("metadata"), ("postgres://u:***@h/d?password=***&sslmode=require".to_owned(), line(4)));
        assert_eq!(of("log"), ("warn".to_owned(), "flag --log".to_owned()));
        assert_eq!(of("idle_timeout_s"), ("30".to_owned(), "default".to_owned()));
        // It goes by another one.
        assert_eq!(of("inline_len"), ("2048".to_owned(), "default".to_owned()));
        assert_eq!(of("tls_cert"), (String::new(), "default".to_owned()));
    }
}
