//! The command line.

mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Config, LogFormat, RawConfig};

/// An S3 gateway that seals every object, with its key management service, in one program
#[derive(Parser)]
#[command(name = "sealgate", version, about, disable_help_subcommand = true)]
struct Cli {
    /// Configuration file (TOML); flags and SEALGATE_… variables win over it
    #[arg(long, value_name = "FILE", env = "SEALGATE_CONFIG", global = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: RawConfig,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway (the default)
    Serve,
}

/// Runs the program. A failure is one line on standard error and exit code 1.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sealgate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let config = Config::load(cli.settings, cli.config.as_deref())?;
    start_log(&config)?;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(config),
    }
}

/// Log lines go to standard error; standard output is for what was asked for.
fn start_log(config: &Config) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::builder()
        .parse(&config.log)
        .map_err(|error| anyhow::anyhow!("log: {error}"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => {
            let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            log.with_ansi(is_terminal).with_target(false).init();
        }
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
