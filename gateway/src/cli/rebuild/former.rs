//! The catalog that was there before: moved aside, and read as far as it goes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use storage::catalog::Catalog;
use storage::kv::sled::{SledConfig, SledKv};
use storage::name::Timestamp;

use super::super::report::Report;
use crate::app::App;
use crate::config::Config;
use crate::sealed_kv::SealedKv;

const REPLACED: &str = "catalog.replaced-";

/// Moves the catalog of a data folder aside; answers where the former one is. `None`: there is none. `was_cut_off`: what is there was
/// being rebuilt, and the former one lies aside already.
pub(super) fn move_aside(folder: &Path, was_cut_off: bool) -> anyhow::Result<Option<PathBuf>> {
    let catalog = folder.join("catalog");
    let mut former: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    former.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(REPLACED)));
    let last = former.into_iter().max();
    if !catalog.exists() {
        return Ok(last.filter(|_| was_cut_off));
    }
    if let Some(last) = last.filter(|_| was_cut_off) {
        // Whatever is in it stands in the blobs and in the former one.
        std::fs::remove_dir_all(&catalog)?;
        return Ok(Some(last));
    }
    let aside = folder.join(format!("{REPLACED}{}", Timestamp::now().unix_ms()));
    std::fs::rename(&catalog, &aside)
        .with_context(|| format!("can't move {} to {}", catalog.display(), aside.display()))?;
    File::open(folder)?.sync_all()?;
    Ok(Some(aside))
}

/// A former catalog, open.
pub(super) struct Former {
    pub(super) catalog: Catalog,
    kv: Arc<SledKv>,
}

impl Former {
    /// Opens it; `None` where it does not open, which is told.
    pub(super) async fn open(path: &Path, config: &Config, app: &App, report: &mut Report) -> Option<Self> {
        if !path.join("db").exists() {
            report.note(format!("there is nothing in {}", path.display()));
            return None;
        }
        let digester = app.stores.digester.clone();
        let sled = SledConfig { digester, ..SledConfig::new(path, config.catalog_cache_len) };
        let opened = tokio::task::spawn_blocking(move || SledKv::open(&sled)).await;
        match opened.map_err(anyhow::Error::from).and_then(|opened| Ok(opened?)) {
            Ok(kv) => {
                let kv = Arc::new(kv);
                let sealed = SealedKv::new(kv.clone(), app.metadata_key.clone());
                Some(Self { catalog: Catalog::new(Arc::new(sealed)), kv })
            }
            Err(error) => {
                report.fault("document", "the former catalog", format!("it does not open: {error:#}"));
                None
            }
        }
    }

    pub(super) async fn close(self) -> anyhow::Result<()> {
        let Self { catalog, kv } = self;
        drop(catalog);
        kv.close().await?;
        // The engine waits for the disk when it is dropped.
        Ok(tokio::task::spawn_blocking(move || drop(kv)).await?)
    }
}
