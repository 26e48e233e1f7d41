//! `sealgate audit`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::report::COULD_NOT_RUN;
use crate::observe::audit::verify;

/// What is done with audit logs.
#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// Verify the chain of audit logs: no line was removed, changed, moved or cut off
    ///
    /// Files of a rotation are given in their order, the oldest first. Exit codes: 0, the chain is whole; 1, it names what is wrong; 2, it
    /// could not run.
    Verify {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: &AuditCommand) -> anyhow::Result<ExitCode> {
    let AuditCommand::Verify { files, json } = command;
    let report = match verify::verify(files) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("sealgate: {error}");
            return Ok(ExitCode::from(COULD_NOT_RUN));
        }
    };
    let is_whole = report.fault_count == 0;
    if *json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        for fault in &report.faults {
            println!("{}:{}: {}", fault.file.display(), fault.line, fault.what);
        }
        for (id, (first, last)) in &report.chains {
            println!("chain {id}: lines {first} to {last}");
        }
        match is_whole {
            true => println!("the chain is whole: {} lines", report.lines),
            false => println!("{} faults in {} lines", report.fault_count, report.lines),
        }
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
