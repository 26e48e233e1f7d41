//! `sealgate kms …`: what the host's administrator asks and does, on the key store of a stopped gateway.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use kms_core::context::EncryptionContext;
use kms_core::key::{KeyManager, KeyState};
use kms_core::kms::{Caller, Entry, Kms};
use kms_core::root::{FileRoot, RootKey};
use storage::name::Timestamp;

use crate::api::s3::wire::time::iso8601;
use crate::app::open_kms;
use crate::config::Config;
use crate::instance::{DataFolder, IfAbsent};

#[derive(Subcommand)]
pub(super) enum KmsCommand {
    /// What the key store holds and which root key it needs; everything in it is unsealed to tell this
    Status,
    /// The same as status: a store in which anything does not open is refused
    VerifyStore,
    /// All keys
    List,
    /// One key, with its policy
    Describe {
        /// Id, ARN, alias or alias ARN
        key: String,
    },
    /// Tell whether a principal may do something to a key, and why
    WhoCan {
        /// Id, ARN, alias or alias ARN
        key: String,
        /// The principal's ARN
        #[arg(long, value_name = "ARN")]
        principal: String,
        /// The action
        #[arg(long, value_name = "ACTION", default_value = "kms:Decrypt")]
        action: String,
        /// A pair of the encryption context, as NAME=VALUE; may be repeated
        #[arg(long = "context", value_name = "NAME=VALUE")]
        context: Vec<String>,
        /// Through this service, such as s3.us-east-1.amazonaws.com
        #[arg(long, value_name = "SERVICE")]
        via: Option<String>,
    },
    /// Give a key that nobody can administer any more the default policy
    ResetKeyPolicy {
        /// Id, ARN, alias or alias ARN
        key: String,
    },
    /// Seal the whole key store under a new domain key
    RekeyDomain,
    /// Wrap the domain key under another root key
    RekeyRoot {
        /// File of the new root key, made if absent
        #[arg(long, value_name = "FILE")]
        new_root_key: PathBuf,
    },
}

struct Store {
    kms: Kms,
    root: Arc<FileRoot>,
    folder: DataFolder,
}

/// Opens the key store alone.
fn open(config: &Config) -> anyhow::Result<Store> {
    let folder = DataFolder::open(config, IfAbsent::Refuse)?;
    let root = Arc::new(FileRoot::open(&config.root_key, &folder.path)?);
    let kms = open_kms(config, &folder, root.clone())?;
    Ok(Store { kms, root, folder })
}

pub(super) fn run(config: &Config, command: KmsCommand) -> anyhow::Result<ExitCode> {
    let Store { kms, root, folder } = open(config)?;
    let kms_folder = folder.path.join("kms");
    match command {
        KmsCommand::Status | KmsCommand::VerifyStore => {
            let counts = kms.counts();
            println!("root key      {} in {}", root.id(), config.root_key.display());
            println!("keys          {}", counts.keys);
            println!("backing keys  {}", counts.backing_keys);
            println!("grants        {}", counts.grants);
            println!("aliases       {}", counts.aliases);
            println!("every record was unsealed and every key unwrapped");
            println!("without this root key nothing can be read: keep a copy of it away from the data");
        }
        KmsCommand::List => {
            println!("{:36}  {:15}  {:8}  {:8}  aliases", "key", "state", "origin", "manager");
            for (entry, aliases) in kms.entries() {
                let key = &entry.key;
                let (state, origin, manager) = (key.state.name(), key.origin.name(), key.manager.name());
                println!(
                    "{:36}  {state:15}  {origin:8}  {manager:8}  {}",
                    key.id.to_string(),
                    aliases.join(" ")
                );
            }
        }
        KmsCommand::Describe { key } => describe(&kms, &*kms.find(&key)?),
        KmsCommand::WhoCan { key, principal, action, context, via } => {
            return who_can(&kms, &key, principal, &action, &context, via);
        }
        KmsCommand::ResetKeyPolicy { key } => {
            let entry = kms.reset_key_policy(&key)?;
            println!("{} has the default policy again: the account decides", kms.arn(entry.key.id));
        }
        KmsCommand::RekeyDomain => {
            kms.rekey_domain(&*root)?;
            println!("the key store is sealed under a new domain key");
        }
        KmsCommand::RekeyRoot { new_root_key } => {
            let new = FileRoot::open_or_create(&new_root_key, &folder.path)?;
            kms.rekey_root(&kms_folder, &*root, &new)?;
            println!(
                "the key store needs root key {} now: start with --root-key {}",
                new.id(),
                new_root_key.display()
            );
            println!("keep root key {} for backups from before", root.id());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(kms: &Kms, entry: &Entry) {
    let key = &entry.key;
    println!("key           {}", kms.arn(key.id));
    println!("state         {}", key.state.name());
    if let KeyState::PendingDeletion { deletion_unix_ms } = key.state {
        println!("deletion      {}", iso8601(Timestamp(deletion_unix_ms)));
    }
    println!("manager       {}, origin {}", key.manager.name(), key.origin.name());
    println!("description   {}", key.description);
    match key.rotation {
        Some(rotation) => println!("rotation      every {} days", rotation.period_days),
        None if key.manager == KeyManager::Aws => println!("rotation      by the gateway"),
        None => println!("rotation      none"),
    }
    println!("backing keys  {}", entry.backing().len());
    println!("policy        {}", entry.policy.text);
}

fn who_can(
    kms: &Kms,
    key: &str,
    principal: String,
    action: &str,
    context: &[String],
    via_service: Option<String>,
) -> anyhow::Result<ExitCode> {
    let pairs = context.iter().map(|pair| {
        let (name, value) =
            pair.split_once('=').ok_or_else(|| anyhow::anyhow!("{pair} is not NAME=VALUE"))?;
        Ok((name.to_owned(), value.to_owned()))
    });
    let context: EncryptionContext = pairs.collect::<anyhow::Result<_>>()?;
    let account = principal.split(':').nth(4).unwrap_or_default().to_owned();
    let caller = Caller {
        arn: principal,
        account,
        via_service,
        source_ip: None,
        secure_transport: true,
        request_id: "who-can".to_owned(),
        dry_run: false,
    };
    match kms.explain(&caller, action, key, &context) {
        Ok(None) => println!("yes: the key policy allows it"),
        Ok(Some(grant)) => println!("yes: grant {grant} allows it"),
        Err(error) => {
            println!("no: {error}");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
