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

/// Moves the catalog of a data folder aside; answers where to. `None`: there is none.
pub(super) fn move_aside(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    let catalog = folder.join("catalog");
    if !catalog.exists() {
        return Ok(None);
    }
    let aside = folder.join(format!("catalog.replaced-{}", Timestamp::now().unix_ms()));
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
