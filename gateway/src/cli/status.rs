//! `sealgate status`: how a gateway is, on one screen.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::kms::Terminal;
use crate::admin::socket::Asked;
use crate::admin::{AdminCommand, Told, jobs, socket};
use crate::config::Config;
use crate::observe::jobs::ScrubState;

/// Asks the running gateway; of a stopped one it tells what it wrote down.
pub(super) fn run(config: &Config, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut terminal = Terminal::default();
    let asked = Asked::Command(AdminCommand::Jobs { json: as_json });
    let mut is_first = true;
    let answered = socket::ask(&config.data, &asked, |told| match told {
        Told::Line(line) if as_json => println!("{}", with_addresses(config, line)),
        Told::Line(line) => {
            println!("{line}");
            if std::mem::take(&mut is_first) {
                for (name, address) in addresses(config) {
                    println!("{:9}  {address}", format!("{name}:"));
                }
            }
        }
        told => terminal.show(told),
    });
    if let Some(success) = answered? {
        return Ok(super::kms::code(success));
    }
    let scrub = ScrubState::load(&config.data);
    if as_json {
        println!("{}", json!({"running": false, "version": env!("CARGO_PKG_VERSION"), "scrub": scrub}));
    } else {
        println!("stopped    no gateway runs on {}", config.data.display());
        for line in jobs::scrub_lines(&scrub) {
            println!("{line}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where it listens, as its settings say.
fn addresses(config: &Config) -> Vec<(&'static str, String)> {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let of = |name, address| (name, format!("{scheme}://{address}"));
    std::iter::once(of("S3", config.listen))
        .chain(config.kms_listen.map(|address| of("KMS", address)))
        .collect()
}

fn with_addresses(config: &Config, line: &str) -> String {
    let Ok(Value::Object(mut told)) = serde_json::from_str(line) else { return line.to_owned() };
    let addresses =
        addresses(config).into_iter().map(|(name, address)| (name.to_lowercase(), address.into()));
    told.insert("addresses".to_owned(), Value::Object(addresses.collect()));
    Value::Object(told).to_string()
}
