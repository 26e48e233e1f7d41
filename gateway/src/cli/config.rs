//! `sealgate config`: is the configuration right, and what does each setting come to?

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;

use super::{log, output};
use crate::config::{Config, Origin, RawConfig, settings};
use crate::http::tls;

/// What is asked of the configuration.
#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Check a configuration file, with flags and environment over it: names, values, certificates. Opens no store
    Check {
        /// The file; default: that of --config
        file: Option<PathBuf>,
    },
    /// Show every setting with its value and where that comes from: a default, FILE:LINE, the environment, a flag
    ///
    /// Passwords are masked.
    Show {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(
    command: &ConfigCommand,
    given: &RawConfig,
    file: Option<&Path>,
    given_by: impl Fn(&str) -> Option<Origin>,
) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Check { file: named } => {
            let file = named.as_deref().or(file);
            let config = Config::load(given.clone(), file)?;
            log::filter(&config).map_err(|error| anyhow::anyhow!("log: {error}"))?;
            if let Some((certificates, private_key)) = &config.tls {
                tls::read(certificates, private_key).context("tls_cert, tls_key")?;
            }
            output::fact("file", file.map(|file| file.display().to_string()));
            match file {
                Some(file) => println!("{}: this configuration is right", file.display()),
                None => {
                    println!("this configuration is right (there is no file: name one, or give --config)")
                }
            }
        }
        ConfigCommand::Show { json } => show(&settings(given, file, given_by)?, *json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(all: &[crate::config::Setting], json: bool) -> anyhow::Result<()> {
    if json {
        let mut object = serde_json::Map::new();
        for setting in all {
            let value = serde_json::to_value(&setting.value)?;
            let origin = setting.origin.to_string();
            object.insert(setting.name.clone(), serde_json::json!({"value": value, "origin": origin}));
        }
        println!("{}", serde_json::to_string_pretty(&object)?);
        return Ok(());
    }
    for setting in all {
        match &setting.value {
            Some(value) => println!("{} = {value}  # {}", setting.name, setting.origin),
            None => println!("#{}: not set", setting.name),
        }
    }
    Ok(())
}
