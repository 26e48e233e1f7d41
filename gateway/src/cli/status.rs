//! `sealgate status`: how a gateway is, on one screen.

use std::process::ExitCode;

use serde_json::json;

use super::kms::Terminal;
use crate::admin::socket::Asked;
use crate::admin::{AdminCommand, jobs, socket};
use crate::config::Config;
use crate::observe::jobs::ScrubState;

/// Asks the running gateway; of a stopped one it tells what it wrote down.
pub(super) fn run(config: &Config, as_json: bool) -> anyhow::Result<ExitCode> {
    let mut terminal = Terminal::default();
    let asked = Asked::Command(AdminCommand::Jobs { json: as_json });
    let answered = socket::ask(&config.data, &asked, |told| terminal.show(told));
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
