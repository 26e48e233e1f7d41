//! The configuration file, and settings by name.

use std::collections::BTreeMap;
use std::path::Path;

use clap::Args;
use serde::Deserialize;
use toml::de::DeTable;

use super::{ConfigError, RawConfig};

/// The longest configuration file, in bytes.
const MAX_FILE_LEN: u64 = 1 << 20;

/// The settings of a file by name, each with its line.
#[derive(Debug)]
pub(super) struct FileSettings(BTreeMap<String, (toml::Value, usize)>);

impl FileSettings {
    /// The line of a name, if it is there.
    pub(super) fn line(&self, name: &str) -> Option<usize> {
        self.0.get(name).map(|(_, line)| *line)
    }

    /// The values by name.
    pub(super) fn values(&self) -> toml::Table {
        self.0.iter().map(|(name, (value, _))| (name.clone(), value.clone())).collect()
    }
}

/// Reads a TOML file; unknown names and values of the wrong kind are refused with their line.
pub(super) fn read(path: &Path) -> Result<FileSettings, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let malformed = |message: String| ConfigError::Malformed { path: path.to_owned(), message };
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_FILE_LEN {
        return Err(malformed("is longer than 1 MiB".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let spans = DeTable::parse(&text).map_err(|error| malformed(error.to_string().trim_end().to_owned()))?;
    let mut values: toml::Table =
        toml::from_str(&text).map_err(|error| malformed(error.to_string().trim_end().to_owned()))?;
    let known = names();
    let mut settings = BTreeMap::new();
    for key in spans.get_ref().keys() {
        let name = key.get_ref().as_ref();
        let line = text.get(..key.span().start).unwrap_or_default().matches('\n').count() + 1;
        if !known.iter().any(|known| known == name) {
            return Err(malformed(format!("line {line}: there is no setting `{name}`")));
        }
        let Some(value) = values.remove(name) else { continue };
        let alone = toml::Table::from_iter([(name.to_owned(), value.clone())]);
        if let Err(error) = RawConfig::deserialize(alone) {
            return Err(malformed(format!("line {line}: {name}: {}", error.to_string().trim_end())));
        }
        settings.insert(name.to_owned(), (value, line));
    }
    Ok(FileSettings(settings))
}

/// The names of all settings, in the order of their groups.
pub(super) fn names() -> Vec<String> {
    let command = RawConfig::augment_args(clap::Command::new("settings"));
    command.get_arguments().map(|argument| argument.get_id().to_string()).collect()
}

/// What is given of these, by name.
pub(super) fn table(raw: &RawConfig) -> Result<toml::Table, ConfigError> {
    toml::Table::try_from(raw).map_err(not_merged)
}

/// The settings of these names.
pub(super) fn typed(values: toml::Table) -> Result<RawConfig, ConfigError> {
    RawConfig::deserialize(values).map_err(not_merged)
}

fn not_merged(error: impl std::fmt::Display) -> ConfigError {
    ConfigError::Invalid { setting: "settings", message: error.to_string().trim_end().to_owned() }
}
