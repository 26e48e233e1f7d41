//! Both sides of a move (`sealgate migrate`): the source as it is, and a target that no gateway opens before the move is done.

use std::sync::Arc;

use anyhow::{bail, ensure};
use kms_core::kms::Kms;
use kms_core::store::{Change, Expected, Item, KeyStore};
use storage::catalog::Catalog;
use storage::kv::postgres::PostgresKv;
use storage::session::SessionOptions;
use storage::transfer::Side;

use super::Stores;
use super::session::{self, RunningSession};
use crate::cluster::{BlobKind, Cluster, FORMAT};
use crate::config::{Config, MetadataConfig};
use crate::instance::{DataFolder, IfAbsent, PASSPHRASE_FILE, kms_places};
use crate::kv_key_store::KvKeyStore;
use crate::metadata_server;
use crate::root;
use crate::sealed_kv::SealedKv;

/// Where everything is.
pub struct Source {
    stores: Stores,
    times: SessionOptions,
    /// Its records and blobs.
    pub side: Side,
}

impl Source {
    /// Opens what this configuration names; nothing is made where nothing is.
    ///
    /// # Errors
    /// When it does not open, or a gateway holds its data folder.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let stores = match &config.places.metadata {
            None => Stores::open(config, DataFolder::open(config, IfAbsent::Refuse)?).await?,
            Some(metadata) => {
                let kv = PostgresKv::open(metadata_server::records(metadata)?).await?;
                ensure!(Cluster::read(&kv).await?.is_some(), "there are no records at the source");
                Stores::open_shared(config, metadata, DataFolder::open_state(config)?).await?
            }
        };
        let side = stores.side();
        Ok(Self { stores, times: session::times(config), side })
    }

    /// Which gateways serve it now: by their addresses. Sessions of gateways that died, and of moves that were cut off, are ended,
    /// which takes as long as the settings say.
    ///
    /// # Errors
    /// When its records can't be read, or a session can't be ended.
    pub async fn serving(&self) -> anyhow::Result<Vec<String>> {
        if self.stores.shared_keys.is_none() {
            // Its folder is held here.
            return Ok(Vec::new());
        }
        let living = self.side.catalog.living_sessions(self.times).await?;
        Ok(living.into_iter().filter_map(|session| session.beat).map(|beat| beat.about.address).collect())
    }

    /// Lets go of it.
    ///
    /// # Errors
    /// When it can't be flushed.
    pub async fn close(self) -> anyhow::Result<()> {
        drop(self.side);
        self.stores.close().await
    }
}

/// Where everything goes.
pub struct Target {
    stores: Stores,
    session: Option<RunningSession>,
    /// Its records and blobs.
    pub side: Side,
    /// The blobs stay where they are: both sides name the same store.
    pub keeps_blobs: bool,
}

impl Target {
    /// Opens the target of a move from this source, made where there is none; its keys are those of the source then.
    ///
    /// # Errors
    /// When it holds something else, is served already, or does not open with its root key.
    pub async fn open(config: &Config, source: &Source, source_config: &Config) -> anyhow::Result<Self> {
        let keeps_blobs = config.places.blobs.is_some() && config.places.blobs == source_config.places.blobs;
        // An object store needs ids that tell the session; both sides have them, or the blobs are copied.
        let stores = match &config.places.metadata {
            None => into_folder(config, source).await?,
            Some(metadata) => into_map(config, metadata, source, keeps_blobs).await?,
        };
        let side = stores.side();
        let session = if stores.shared_keys.is_some() {
            Some(RunningSession::join(config, &side.catalog, stores.storage.ids().clone()).await?)
        } else {
            side.catalog.begin_session(stores.storage.session(), stores.storage.former_end()).await?;
            None
        };
        Ok(Self { stores, session, side, keeps_blobs })
    }

    /// From now on gateways open it.
    ///
    /// # Errors
    /// When that can't be written.
    pub async fn finish(&mut self) -> anyhow::Result<()> {
        if self.stores.shared_keys.is_some() {
            Cluster::arrived(&*self.stores.storage.kv).await
        } else {
            Ok(self.stores.folder.set_moving(false)?)
        }
    }

    /// Closes it.
    ///
    /// # Errors
    /// When it can't be flushed.
    pub async fn close(self) -> anyhow::Result<()> {
        if let Some(session) = self.session {
            session.leave().await;
        }
        drop(self.side);
        self.stores.close().await
    }
}

impl Stores {
    fn side(&self) -> Side {
        let sealed = SealedKv::new(self.storage.kv.clone(), self.metadata_key.clone());
        Side { catalog: Catalog::new(Arc::new(sealed)), blobs: self.storage.blobs.clone() }
    }
}

/// The key store's entries as they are, each sealed under the same keys as before.
fn keys_of(source: &Source) -> anyhow::Result<Vec<Item>> {
    Ok(source.stores.kms.copy()?.entries)
}

/// Salt and costs of the passphrase, where the root key is one's.
async fn derivation_of(source: &Source) -> anyhow::Result<Option<Vec<u8>>> {
    if let Some(keys) = &source.stores.shared_keys {
        return keys.derivation().await;
    }
    match std::fs::read(source.stores.folder.path.join(PASSPHRASE_FILE)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn check_root(source: &Source, id: &str) -> anyhow::Result<()> {
    let expected = source.stores.root.id();
    ensure!(
        id == expected,
        "the target's root key is {id}, the keys of the source are under {expected}: give both the same root key"
    );
    Ok(())
}

async fn into_folder(config: &Config, source: &Source) -> anyhow::Result<Stores> {
    let of = &source.stores.folder.instance;
    let mut folder = if config.data.join("instance.json").exists() {
        DataFolder::open(config, IfAbsent::Move)?
    } else {
        let like =
            Config { account_id: Some(of.account_id.clone()), region: of.region.clone(), ..config.clone() };
        DataFolder::create(&like, config.data.clone(), Some(of.id.clone()))?
    };
    // One that is unfinished was made by a move that was cut off at once.
    ensure!(
        (folder.instance.moving || folder.instance.unfinished) && folder.instance.id == of.id,
        "{} holds another data folder, or one that was served since: give a new one with --data",
        config.data.display()
    );
    folder.set_moving(true)?;
    let places = kms_places(config, &folder);
    if let Some(text) = derivation_of(source).await? {
        std::fs::write(folder.path.join(PASSPHRASE_FILE), text)?;
    }
    let passphrase = || root::passphrase(config, "Passphrase of the root key");
    let root = root::open_at(&config.root_key, &folder, false, passphrase)?;
    check_root(source, root.id())?;
    let keys = keys_of(source)?;
    tokio::task::block_in_place(|| {
        // Nobody uses them yet, and those of the source may have changed since they were copied.
        places.remove_copies();
        Kms::restore(places, keys)
    })?;
    Stores::open_with(config, folder, root).await
}

async fn into_map(
    config: &Config,
    metadata: &MetadataConfig,
    source: &Source,
    keeps_blobs: bool,
) -> anyhow::Result<Stores> {
    let kv = PostgresKv::open(metadata_server::records(metadata)?).await?;
    let of = &source.stores.folder.instance;
    let cluster = match Cluster::read(&kv).await? {
        Some(cluster) => cluster,
        None => {
            let kind = if config.places.blobs.is_some() { BlobKind::Object } else { BlobKind::Local };
            let cluster = Cluster {
                id: of.id.clone(),
                account_id: of.account_id.clone(),
                region: of.region.clone(),
                root_id: source.stores.root.id().to_owned(),
                blobs: kind,
                format_min: FORMAT,
                format_max: FORMAT,
                moving: true,
            };
            cluster.make(&kv).await?
        }
    };
    if !(cluster.moving && cluster.id == of.id) {
        bail!(
            "the target's database holds another cluster, or one that was served since: give an empty database"
        );
    }
    let keys = KvKeyStore::open(metadata_server::keys(metadata)?).await?;
    if let Some(derivation) = derivation_of(source).await? {
        keys.set_derivation(derivation).await?;
    }
    copy_keys(&keys, keys_of(source)?)?;
    let mut folder = DataFolder::open_state(config)?;
    folder.opened_as = IfAbsent::Move;
    if config.places.blobs.is_none() {
        folder.belong_to(&of.id, &of.account_id, &of.region);
        folder.take_blobs()?;
    }
    let stores = Stores::open_moving(config, metadata, folder, keeps_blobs).await?;
    check_root(source, stores.root.id())?;
    Ok(stores)
}

/// Makes the entries of a store these.
fn copy_keys(to: &KvKeyStore, entries: Vec<Item>) -> anyhow::Result<()> {
    let there = to.load()?;
    let revision = to.revision()?;
    let gone = there.iter().filter(|(name, _)| !entries.iter().any(|(kept, _)| kept == name));
    let mut changes: Vec<Change> = gone.map(|(name, _)| (name.clone(), None)).collect();
    let new = entries.into_iter().filter(|entry| !there.contains(entry));
    changes.extend(new.map(|(name, value)| (name, Some(value))));
    if !changes.is_empty() {
        to.commit(Expected::Revision(revision.as_deref()), changes)?;
    }
    Ok(())
}
