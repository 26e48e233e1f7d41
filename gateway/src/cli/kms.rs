//! `sealgate kms …`: what the host's administrator asks and does. A running gateway is asked through its admin socket; on a
//! stopped one the stores are opened here.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Subcommand;
use kms_core::kms::Kms;
use kms_core::root::{RecoveryKit, RootKey};
use kms_core::secret::SecretBytes;

use super::output;
use crate::admin::socket::Asked;
use crate::admin::{self, AdminCommand, Host, Passphrase, Told, socket};
use crate::app::{App, open_kms};
use crate::config::{Config, RootPlace};
use crate::instance::{DataFolder, IfAbsent, kms_places};
use crate::root;

#[derive(Subcommand)]
pub(super) enum KmsCommand {
    #[command(flatten)]
    Admin(AdminCommand),
    /// Give a sealed gateway the passphrase of its root key
    Unseal,
    /// A second way into the key store, for the day on which the root key is lost
    RecoveryKit {
        #[command(subcommand)]
        command: KitCommand,
    },
    /// Seal the whole key store of a stopped gateway under a new domain key
    RekeyDomain,
    /// Wrap the domain key of a stopped gateway under another root key
    RekeyRoot {
        /// The new root key, made if absent: a file, or another place as with --root-key
        #[arg(long, value_name = "FILE|PLACE")]
        new_root_key: String,
    },
}

#[derive(Subcommand)]
pub(super) enum KitCommand {
    /// Make a kit, sealed under a passphrase of its own
    Export {
        /// The file to make
        file: PathBuf,
        /// File of the kit's passphrase; asked at the terminal by default
        #[arg(long, value_name = "FILE")]
        kit_passphrase_file: Option<PathBuf>,
    },
    /// Put the key store of a stopped gateway, whose root key is lost, under a new root key
    Restore {
        /// The kit
        file: PathBuf,
        /// File of the kit's passphrase; asked at the terminal by default
        #[arg(long, value_name = "FILE")]
        kit_passphrase_file: Option<PathBuf>,
        /// The new root key, made if absent: a file, or another place as with --root-key
        #[arg(long, value_name = "FILE|PLACE")]
        new_root_key: String,
    },
}

pub(super) fn run(config: &Config, command: KmsCommand) -> anyhow::Result<ExitCode> {
    match command {
        KmsCommand::Admin(command) => admin(config, command),
        KmsCommand::Unseal => {
            let passphrase = Passphrase::new(&root::passphrase(config, "Passphrase of the root key")?)?;
            let mut terminal = Terminal::default();
            let asked = Asked::Unseal(passphrase);
            let success = socket::ask(&config.data, &asked, |told| terminal.show(told))?;
            Ok(code(success.context("no gateway runs on this data folder; start it first")?))
        }
        KmsCommand::RecoveryKit { command: KitCommand::Export { file, kit_passphrase_file } } => {
            let passphrase = match kit_passphrase_file {
                Some(file) => root::secret_in(&file)?,
                None => new_passphrase("Passphrase of the recovery kit")?,
            };
            let file = std::path::absolute(file)?;
            admin(config, AdminCommand::RecoveryKitExport { file, passphrase: Passphrase::new(&passphrase)? })
        }
        KmsCommand::RecoveryKit {
            command: KitCommand::Restore { file, kit_passphrase_file, new_root_key },
        } => {
            let kit = std::fs::read(&file).with_context(|| format!("can't read {}", file.display()))?;
            let kit: RecoveryKit =
                serde_json::from_slice(&kit).with_context(|| format!("{} is no kit", file.display()))?;
            let passphrase = match kit_passphrase_file {
                Some(file) => root::secret_in(&file)?,
                None => root::ask("Passphrase of the recovery kit")?,
            };
            let folder = DataFolder::open(config, IfAbsent::Refuse)?;
            let recovery = kit.open(&passphrase)?;
            let new = new_root(config, &new_root_key, &folder)?;
            Kms::recover(kms_places(config, &folder), &recovery, &*new)?;
            output::fact("root_key", new.id());
            println!("the key store needs root key {} now: start with --root-key {new_root_key}", new.id());
            Ok(ExitCode::SUCCESS)
        }
        KmsCommand::RekeyDomain => {
            let folder = DataFolder::open(config, IfAbsent::Refuse)?;
            let root = root::open(config, &folder)?;
            open_kms(config, &folder, root.clone())?.rekey_domain(&*root)?;
            output::fact("root_key", root.id());
            println!("the key store is sealed under a new domain key");
            Ok(ExitCode::SUCCESS)
        }
        KmsCommand::RekeyRoot { new_root_key } => {
            let folder = DataFolder::open(config, IfAbsent::Refuse)?;
            let root = root::open(config, &folder)?;
            let kms = open_kms(config, &folder, root.clone())?;
            let new = new_root(config, &new_root_key, &folder)?;
            kms.rekey_root(kms_places(config, &folder), &*root, &*new)?;
            output::fact("root_key", new.id());
            output::fact("former_root_key", root.id());
            println!("the key store needs root key {} now: start with --root-key {new_root_key}", new.id());
            println!("keep root key {} for backups from before", root.id());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Opens the root key of this setting, or makes it.
fn new_root(config: &Config, text: &str, folder: &DataFolder) -> anyhow::Result<Arc<dyn RootKey>> {
    let place = RootPlace::parse(text).map_err(|why| anyhow::anyhow!("--new-root-key: {why}"))?;
    root::open_at(&place, folder, true, || match &config.passphrase_file {
        Some(file) => root::secret_in(file),
        None => new_passphrase("New passphrase of the root key"),
    })
}

/// Asks twice, since a slip would be found too late.
fn new_passphrase(what: &str) -> anyhow::Result<SecretBytes> {
    let first = root::ask(what)?;
    let second = root::ask("The same again")?;
    anyhow::ensure!(first.expose() == second.expose(), "the two are not the same; nothing was changed");
    Ok(first)
}

pub(super) fn code(success: bool) -> ExitCode {
    if success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Has a command carried out by the running gateway, or else here.
pub(super) fn admin(config: &Config, command: AdminCommand) -> anyhow::Result<ExitCode> {
    let mut terminal = Terminal::default();
    let asked = Asked::Command(command.clone());
    match (socket::ask(&config.data, &asked, |told| terminal.show(told))?, command) {
        (Some(success), _) => Ok(code(success)),
        // To open the store would mend what is to be told here.
        (None, AdminCommand::VerifyStore { accept, json }) => verify_stopped(config, accept, json).map(code),
        (None, command) => on_stopped(config, command, &mut terminal).map(code),
    }
}

fn verify_stopped(config: &Config, accept: bool, as_json: bool) -> anyhow::Result<bool> {
    let folder = DataFolder::open(config, IfAbsent::Refuse)?;
    let root = root::open(config, &folder)?;
    let places = kms_places(config, &folder);
    if accept {
        Kms::accept_loss(&places, &*root)?;
        if !as_json {
            println!("the key store is taken as it is; what it had afterwards is lost");
        }
    }
    let report = Kms::verify_closed_store(&places, &*root)?;
    match as_json {
        true => println!("{}", admin::report_json(&report)),
        false => admin::report_lines(&report).iter().for_each(|line| println!("{line}")),
    }
    Ok(report.is_whole())
}

fn on_stopped(config: &Config, command: AdminCommand, terminal: &mut Terminal) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let folder = DataFolder::open(config, IfAbsent::Refuse)?;
        let root = root::open(config, &folder)?;
        let (root_text, places) = (root_text(config, &*root), kms_places(config, &folder));
        let (app, kms, folder) = match command.needs_objects() {
            true => {
                let app = Arc::new(App::open_with(config, folder, root).await?.0);
                (Some(app.clone()), app.kms.clone(), None)
            }
            false => (None, Arc::new(open_kms(config, &folder, root)?), Some(folder)),
        };
        let host = Host { kms, app: app.clone(), root: root_text, places, addresses: Vec::new() };
        let mut running = admin::start(host, command);
        let mut success = false;
        while let Some(message) = running.told.recv().await {
            terminal.show(&message);
            if let Told::Ended(ended) = message {
                success = ended;
            }
        }
        if let Some(app) = app {
            Arc::into_inner(app).context("the stores are still in use")?.close().await?;
        }
        drop(folder);
        Ok(success)
    })
}

/// What `kms status` says of the root key.
pub(super) fn root_text(config: &Config, root: &dyn RootKey) -> String {
    format!("{} in {}", root.id(), config.root_key)
}

/// Shows what a command tells.
#[derive(Default)]
pub(super) struct Terminal {
    has_progress: bool,
}

impl Terminal {
    pub(super) fn show(&mut self, told: &Told) {
        let mut err = std::io::stderr();
        match told {
            Told::Progress(text) if err.is_terminal() => {
                let _ = write!(err, "\r{text}").and_then(|()| err.flush());
                self.has_progress = true;
                return;
            }
            Told::Progress(_) | Told::Alive => return,
            _ => {}
        }
        if std::mem::take(&mut self.has_progress) {
            eprintln!();
        }
        match told {
            Told::Line(line) => println!("{line}"),
            Told::Fact(name, value) => output::fact(name, value.clone()),
            Told::Failed(why) => output::failed(why),
            Told::Warning(text) => output::warn(text),
            Told::Progress(_) | Told::Alive | Told::Ended(_) => {}
        }
    }
}
