//! `sealgate kms …`: what the host's administrator asks and does. A running gateway is asked through its admin socket; on a
//! stopped one the stores are opened here.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Subcommand;
use kms_core::root::{FileRoot, RootKey, SecretRoot};

use crate::admin::{self, AdminCommand, Host, Told, socket};
use crate::app::{App, open_kms};
use crate::config::Config;
use crate::instance::{DataFolder, IfAbsent};

#[derive(Subcommand)]
pub(super) enum KmsCommand {
    #[command(flatten)]
    Admin(AdminCommand),
    /// Seal the whole key store of a stopped gateway under a new domain key
    RekeyDomain,
    /// Wrap the domain key of a stopped gateway under another root key
    RekeyRoot {
        /// File of the new root key, made if absent
        #[arg(long, value_name = "FILE")]
        new_root_key: PathBuf,
    },
}

pub(super) fn run(config: &Config, command: KmsCommand) -> anyhow::Result<ExitCode> {
    match command {
        KmsCommand::Admin(command) => admin(config, command),
        KmsCommand::RekeyDomain => {
            let (folder, root) = root_of(config)?;
            open_kms(config, &folder, root.clone())?.rekey_domain(&*root)?;
            println!("the key store is sealed under a new domain key");
            Ok(ExitCode::SUCCESS)
        }
        KmsCommand::RekeyRoot { new_root_key } => {
            let (folder, root) = root_of(config)?;
            let kms = open_kms(config, &folder, root.clone())?;
            let new = FileRoot::open_or_create(&new_root_key, &folder.path)?;
            kms.rekey_root(&folder.path.join("kms"), &*root, &new)?;
            println!(
                "the key store needs root key {} now: start with --root-key {}",
                new.id(),
                new_root_key.display()
            );
            println!("keep root key {} for backups from before", root.id());
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn root_of(config: &Config) -> anyhow::Result<(DataFolder, Arc<SecretRoot>)> {
    let folder = DataFolder::open(config, IfAbsent::Refuse)?;
    let root = Arc::new(FileRoot::open(&config.root_key, &folder.path)?);
    Ok((folder, root))
}

/// Has a command carried out by the running gateway, or else here.
pub(super) fn admin(config: &Config, command: AdminCommand) -> anyhow::Result<ExitCode> {
    let mut terminal = Terminal::default();
    let success = match socket::ask(&config.data, &command, |told| terminal.show(told))? {
        Some(success) => success,
        None => on_stopped(config, command, &mut terminal)?,
    };
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn on_stopped(config: &Config, command: AdminCommand, terminal: &mut Terminal) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (folder, root) = root_of(config)?;
        let root = root_text(config, &*root);
        let (app, kms, folder) = match command.needs_objects() {
            true => {
                let app = Arc::new(App::open(config, folder).await?.0);
                (Some(app.clone()), app.kms.clone(), None)
            }
            false => {
                let key = Arc::new(FileRoot::open(&config.root_key, &folder.path)?);
                (None, Arc::new(open_kms(config, &folder, key)?), Some(folder))
            }
        };
        let mut running = admin::start(Host { kms, app: app.clone(), root }, command);
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
    format!("{} in {}", root.id(), config.root_key.display())
}

/// Shows what a command tells.
#[derive(Default)]
struct Terminal {
    has_progress: bool,
}

impl Terminal {
    fn show(&mut self, told: &Told) {
        let mut err = std::io::stderr();
        match told {
            Told::Progress(text) if err.is_terminal() => {
                let _ = write!(err, "\r{text}").and_then(|()| err.flush());
                self.has_progress = true;
                return;
            }
            Told::Progress(_) => return,
            _ => {}
        }
        if std::mem::take(&mut self.has_progress) {
            eprintln!();
        }
        match told {
            Told::Line(line) => println!("{line}"),
            Told::Failed(why) => eprintln!("sealgate: {why}"),
            Told::Progress(_) | Told::Ended(_) => {}
        }
    }
}
