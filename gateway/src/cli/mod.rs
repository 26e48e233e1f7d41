//! The command line.

/// As std's, but that who does not read any more (`sealgate status | head`) ends the program in silence.
macro_rules! println {
    () => { crate::cli::output::print(format_args!("\n")) };
    ($($text:tt)*) => { crate::cli::output::print(format_args!("{}\n", format_args!($($text)*))) };
}
macro_rules! print {
    ($($text:tt)*) => { crate::cli::output::print(format_args!($($text)*)) };
}
/// As std's, but that a standard error which is closed ends nothing.
macro_rules! eprintln {
    () => { crate::cli::output::print_error(format_args!("\n")) };
    ($($text:tt)*) => { crate::cli::output::print_error(format_args!("{}\n", format_args!($($text)*))) };
}
macro_rules! eprint {
    ($($text:tt)*) => { crate::cli::output::print_error(format_args!($($text)*)) };
}

mod adopt;
mod all_blobs;
mod audit;
mod check;
mod config;
mod cse;
mod doctor;
mod dump;
mod greeting;
mod health;
mod iam;
mod kms;
mod log;
mod logs;
mod manual;
mod migrate;
mod notify;
mod output;
mod progress;
mod rebuild;
mod reload;
mod report;
mod scrub;
mod serve;
mod status;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use serde_json::Value;

use crate::config::{Config, Origin, RawConfig, Reloads};

/// An S3 server that encrypts every object, with its key management service, in one program
#[derive(Parser)]
#[command(name = "sealgate", version, about, disable_help_subcommand = true)]
struct Cli {
    /// Configuration file (TOML). Flags and SEALGATE_… variables win over it; `sealgate serve --help` lists all settings
    #[arg(long, value_name = "FILE", env = "SEALGATE_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// One JSON object instead of text: `ok`, `error`, what the command did, and `lines`, its text
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    settings: RawConfig,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway (the default)
    Serve,
    /// Check a stopped data folder: every record, blob, checksum, and seal that the keys here open
    ///
    /// Names what is missing, damaged or not in its place: the first hundred faults by name, the others by number. Exit codes: 0, no faults;
    /// 1, faults; 2, it could not run.
    Check {
        /// Set right what counters of buckets and accounts tell, where it is not what there is
        #[arg(long)]
        recount: bool,
        /// One JSON object: counts, faults (kind, name, detail), clean
        #[arg(long)]
        json: bool,
    },
    /// Make a new catalog from blobs and key store, after the catalog was lost or damaged
    ///
    /// A catalog that is there is moved to `catalog.replaced-…`, never deleted; identities are taken from it as far as it can be read. Exit
    /// codes: 0, everything came back; 1, what is named was lost or left out; 2, it could not run.
    Rebuild {
        /// Keep the catalog, and bring in what blobs tell that it lacks: after a backup was restored beside newer blobs
        #[arg(long)]
        add: bool,
        /// One JSON object: counts, faults (kind, name, detail), clean
        #[arg(long)]
        json: bool,
    },
    /// Compare every stored byte of a stopped data folder with its checksums; needs no root key
    ///
    /// A running gateway does this in the background (`scrub_rate_mib_s`). Exit codes: 0, no faults; 1, faults; 2, it could not run.
    Scrub {
        /// One JSON object: counts, faults (kind, name, detail), clean
        #[arg(long)]
        json: bool,
    },
    /// Look at every blob for those that no record refers to, and wait until that is done
    ///
    /// Of gateways that share their records, ask any. Blobs of writes that were never committed are deleted; up to 64 that nothing
    /// accounts for go into quarantine. Exit codes: 0, done; 1, not completed.
    Sweep {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Show how the gateway is, on one screen: ready or not, what it holds, disk, background jobs, warnings with what to do
    Status {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Show the requests of a running gateway as they end
    Trace {
        #[command(flatten)]
        filter: crate::observe::live::TraceFilter,
        /// One JSON object per request, as in the access log
        #[arg(long)]
        json: bool,
        /// End after so many requests
        #[arg(long, value_name = "COUNT")]
        count: Option<u64>,
    },
    /// Show which operations a running gateway performs, how often, and how long they take
    Top {
        /// Seconds between two tables
        #[arg(long, value_name = "SECONDS", default_value_t = 2)]
        interval: u64,
        /// One JSON object per table
        #[arg(long)]
        json: bool,
        /// End after so many tables
        #[arg(long, value_name = "COUNT")]
        count: Option<u64>,
    },
    /// Work with audit logs
    Audit {
        #[command(subcommand)]
        command: audit::AuditCommand,
    },
    /// Write the catalog of a stopped gateway to a file, as JSON lines
    Export {
        /// The file to make
        file: PathBuf,
    },
    /// Put an exported catalog into an empty one
    Import {
        /// The exported file
        file: PathBuf,
    },
    /// Write key store and catalog, of a running gateway or a stopped one, to one sealed file
    Backup {
        /// The file to make
        file: PathBuf,
    },
    /// Create a new data folder from a backup; copy the blobs into it afterwards
    Restore {
        /// The backup
        file: PathBuf,
    },
    /// Move records, keys, identities and blobs from a data folder to PostgreSQL and an object store, or back
    ///
    /// The source is what the settings name; a data folder must not be served meanwhile. Run again after it was cut off it goes on, and
    /// after the source was served again it copies what changed. At the end it compares all records and every byte; no gateway opens the
    /// target before. Both sides have the same root key. Exit codes: 0, the target can be served; 1, it names what differs; 2, it could
    /// not run.
    Migrate {
        /// Configuration file of the target
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// Let gateways open the target though what is named differs or is damaged at the source
        #[arg(long)]
        accept: bool,
        /// One JSON object: counts, faults (kind, name, detail), clean
        #[arg(long)]
        json: bool,
    },
    /// Accept a data folder as it stands, when a start is refused because its parts do not say that they belong together
    ///
    /// For parts without an id or with another's, and for a catalog whose head is missing or says that it should reach further.
    Adopt,
    /// Print a note of how far the data folder has come, or check a note: it shows that the folder was put back to an older state
    Witness {
        /// Compare the folder with this note
        #[arg(long, value_name = "FILE")]
        check: Option<PathBuf>,
    },
    /// Run a proof on this machine: of the encryption, or of an object store
    Doctor {
        #[command(subcommand)]
        proof: Proof,
    },
    /// Inspect and change the key store, of a running gateway or a stopped one
    #[command(visible_alias = "admin")]
    Kms {
        #[command(subcommand)]
        command: kms::KmsCommand,
    },
    /// Accounts of a running gateway or a stopped one
    Account {
        #[command(subcommand)]
        command: crate::admin::AccountCommand,
    },
    /// Show what buckets and accounts hold, of a running gateway or a stopped one
    Usage {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Buckets of a running gateway or a stopped one
    Bucket {
        #[command(subcommand)]
        command: BucketCommand,
    },
    /// Client-side encryption: seal objects before they leave this host, and open them, at any S3 with any KMS
    Cse {
        #[command(subcommand)]
        command: Box<cse::CseCommand>,
    },
    #[command(flatten)]
    Iam(iam::IamCommand),
    /// Check and show the configuration
    Config {
        #[command(subcommand)]
        command: config::ConfigCommand,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages: `sealgate(1)` and one for each command
    Man {
        /// The folder to write them to; without it `sealgate(1)` is printed
        folder: Option<PathBuf>,
    },
    /// Ask whether the gateway of this configuration is up; exit code 0 or 1
    Health,
    /// List the S3 operations and how far each goes, as a Markdown table
    Operations,
    /// List S3's condition keys and where each gets its value from, as a Markdown table
    ConditionKeys,
}

#[derive(Subcommand)]
enum BucketCommand {
    /// Show how many bytes a bucket may hold, or set it
    Quota {
        /// Its name
        bucket: String,
        /// Such as 500GiB, 1.5TB or 1048576; `none` takes the quota away
        size: Option<String>,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
enum Proof {
    /// That nothing is stored in the clear, and that no damage passes; in a scratch folder of its own
    Encryption {
        /// Where to make the scratch folder
        #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
        scratch: PathBuf,
    },
    /// That an object store (--blobs) does what blobs need: it reads its own writes, writes over nothing, frees what is deleted
    Blobs,
}

/// Runs the program. A failure is one line on standard error and exit code 1; 2 of a command whose 1 says that it found faults.
pub fn main() -> ExitCode {
    let matches = command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let failure = match &cli.command {
        Some(Command::Cse { command }) if command.judges() => ExitCode::from(report::COULD_NOT_RUN),
        Some(
            Command::Doctor { proof: Proof::Blobs }
            | Command::Check { .. }
            | Command::Rebuild { .. }
            | Command::Scrub { .. }
            | Command::Migrate { .. },
        ) => ExitCode::from(report::COULD_NOT_RUN),
        _ => ExitCode::FAILURE,
    };
    if cli.json && !has_own_json(&matches) {
        let instead = match &cli.command {
            None | Some(Command::Serve) => "for a gateway's log in JSON set log_format = \"json\"",
            Some(Command::Completions { .. } | Command::Man { .. }) => {
                "what this prints is for shells and man"
            }
            Some(_) => "",
        };
        if !instead.is_empty() {
            eprintln!("sealgate: there is no --json here: {instead}");
            return ExitCode::FAILURE;
        }
        output::keep();
    }
    let code = run(cli, &matches).unwrap_or_else(|error| {
        output::failed(&format!("{error:#}"));
        failure
    });
    output::end(code)
}

/// Has the command that is given JSON of its own?
fn has_own_json(matches: &ArgMatches) -> bool {
    let (mut definition, mut matches) = (&Cli::command(), matches);
    while let Some((name, below)) = matches.subcommand() {
        let Some(found) = definition.find_subcommand(name) else { return false };
        if found.get_arguments().any(|argument| argument.get_id() == "json") {
            return true;
        }
        (definition, matches) = (found, below);
    }
    false
}

/// The command line. Settings are flags of every command, but only `serve` tells them all.
fn command() -> clap::Command {
    let settings = RawConfig::augment_args(clap::Command::new("settings"));
    let is_setting = |id: &clap::Id| settings.get_arguments().any(|argument| argument.get_id() == id);
    Cli::command()
        .mut_args(|argument| {
            let hidden = is_setting(argument.get_id());
            argument.hide(hidden)
        })
        .mut_subcommand("serve", |serve| {
            // The settings bring a description of their own.
            let about = serve.get_about().cloned().unwrap_or_default();
            RawConfig::augment_args(serve).about(about)
        })
}

/// Whether a flag or the environment gave this setting.
fn given_by(matches: &ArgMatches, name: &str) -> Option<Origin> {
    match matches.value_source(name)? {
        ValueSource::CommandLine => Some(Origin::Flag(format!("--{}", name.replace('_', "-")))),
        ValueSource::EnvVariable => {
            Some(Origin::Environment(format!("SEALGATE_{}", name.to_ascii_uppercase())))
        }
        _ => None,
    }
}

fn run(mut cli: Cli, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    // It is nobody's gateway that it works with, so the settings of one are none of its business.
    if let Some(Command::Cse { command }) =
        cli.command.take_if(|command| matches!(command, Command::Cse { .. }))
    {
        return cse::run(*command);
    }
    match &cli.command {
        Some(Command::Config { command }) => {
            let origin = |name: &str| given_by(matches, name);
            return config::run(command, &cli.settings, cli.config.as_deref(), origin);
        }
        Some(Command::Completions { shell }) => return manual::completions(*shell, command()),
        Some(Command::Man { folder }) => return manual::pages(folder.as_deref(), command()),
        None | Some(Command::Serve) => {
            let reloads = Reloads::new(cli.settings, cli.config)?;
            let log = log::start(&reloads.config())?;
            return serve::run(reloads, log);
        }
        Some(_) => {}
    }
    let mut config = Config::load(cli.settings, cli.config.as_deref())?;
    if let Some(Command::Doctor { .. }) = cli.command {
        // It provokes failures by the hundred, and tells itself what came of them.
        config.log = "off".to_owned();
    }
    drop(log::start(&config)?);
    let Some(command) = cli.command else { return Ok(ExitCode::SUCCESS) };
    match command {
        Command::Serve
        | Command::Config { .. }
        | Command::Completions { .. }
        | Command::Cse { .. }
        | Command::Man { .. } => Ok(ExitCode::SUCCESS),
        Command::Check { recount, json } => check::run(config, recount, json),
        Command::Rebuild { add, json } => {
            let mode = if add { rebuild::Mode::Add } else { rebuild::Mode::Anew };
            rebuild::run(config, mode, json)
        }
        Command::Scrub { json } => scrub::run(config, json),
        Command::Sweep { json } => kms::admin(&config, crate::admin::AdminCommand::Sweep { json }),
        Command::Status { json } => status::run(&config, json),
        Command::Trace { filter, json, count } => {
            running_only(&config, crate::admin::AdminCommand::Trace { filter, json, count })
        }
        Command::Top { interval, json, count } => {
            running_only(&config, crate::admin::AdminCommand::Top { interval_s: interval, json, count })
        }
        Command::Audit { command } => audit::run(&command),
        Command::Export { file } => dump::export(config, &file),
        Command::Import { file } => dump::import(config, &file),
        Command::Backup { file } => {
            let file = std::path::absolute(file)?;
            kms::admin(&config, crate::admin::AdminCommand::Backup { file })
        }
        Command::Restore { file } => restore(&config, &file),
        Command::Migrate { to, accept, json } => migrate::run(config, &to, accept, json),
        Command::Adopt => adopt::run(config),
        Command::Witness { check } => {
            let note = check.map(std::fs::read_to_string).transpose()?;
            kms::admin(&config, crate::admin::AdminCommand::Witness { note })
        }
        Command::Doctor { proof: Proof::Encryption { scratch } } => doctor::encryption(&scratch),
        Command::Doctor { proof: Proof::Blobs } => doctor::blobs::run(&config),
        Command::Kms { command } => kms::run(&config, command),
        Command::Account { command } => kms::admin(&config, crate::admin::AdminCommand::Account(command)),
        Command::Usage { json } => kms::admin(&config, crate::admin::AdminCommand::Usage { json }),
        Command::Bucket { command: BucketCommand::Quota { bucket, size, json } } => {
            kms::admin(&config, crate::admin::AdminCommand::BucketQuota { bucket, size, json })
        }
        Command::Iam(command) => iam::run(&config, command),
        Command::Health => health::run(&config),
        Command::ConditionKeys => {
            let sources = crate::api::s3::request_context::sources();
            output::fact("condition_keys", named(sources, "source"));
            print!("{}", crate::api::s3::request_context::markdown());
            Ok(ExitCode::SUCCESS)
        }
        Command::Operations => {
            output::fact("operations", named(crate::api::s3::operation::statuses(), "status"));
            print!("{}", crate::api::s3::operation::markdown());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Names, each with what is told of it.
fn named<T: Into<Value>>(rows: impl Iterator<Item = (&'static str, T)>, what: &str) -> Vec<Value> {
    let row = |(name, told): (&str, T)| Value::from_iter([("name", Value::from(name)), (what, told.into())]);
    rows.map(row).collect()
}

/// Has a command carried out that only a running gateway can.
fn running_only(config: &Config, command: crate::admin::AdminCommand) -> anyhow::Result<ExitCode> {
    let mut terminal = kms::Terminal::default();
    let asked = crate::admin::socket::Asked::Command(command);
    match crate::admin::socket::ask(&config.data, &asked, |told| terminal.show(told))? {
        Some(success) => Ok(kms::code(success)),
        None => anyhow::bail!("no gateway runs on {}", config.data.display()),
    }
}

/// Where the gateway of this configuration listens, as seen from its own host.
fn own_address(config: &Config) -> SocketAddr {
    let mut address = config.listen;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

fn restore(config: &Config, file: &std::path::Path) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let header = runtime.block_on(crate::admin::backup::restore(config, file))?;
    output::fact("account", &*header.account_id);
    output::fact("root_key", &*header.root_id);
    output::fact("made_unix_ms", header.made_unix_ms);
    println!("restored account {} to {}", header.account_id, config.data.display());
    println!(
        "now put the copied folder `blobs` in it; if it is newer than the backup, `sealgate rebuild --add` brings in"
    );
    println!("what came since; then run `sealgate check`");
    Ok(ExitCode::SUCCESS)
}
