//! `sealgate rebuild`: a new catalog from blobs and key store alone.

use std::process::ExitCode;

use anyhow::bail;

use super::progress::Progress;
use crate::app::App;
use crate::config::Config;
use crate::instance::{DataFolder, IfAbsent};
use crate::transfer::journal;

/// Blobs of one look at the store.
const PAGE_LEN: usize = 500;

/// Rebuilds. The old catalog must be out of the way: this command removes nothing.
pub(super) fn run(config: Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let folder = DataFolder::open(&config, IfAbsent::Rebuild)?;
        let catalog = folder.path.join("catalog");
        if catalog.exists() {
            bail!(
                "there is a catalog at {}; move it away first: mv {0} {0}.old",
                catalog.display()
            );
        }
        let (app, _) = App::open(&config, folder).await?;
        let (mut applied, mut unreadable) = (0u64, 0u64);
        let mut progress = Progress::new("blobs");
        let mut after = None;
        loop {
            let page = app.blobs.list(after, PAGE_LEN).await?;
            for info in &page {
                progress.step();
                let sealed = app.blobs.read_trailer(&info.blob).await;
                let opened = sealed
                    .map_err(anyhow::Error::from)
                    .and_then(|sealed| Ok(journal::open(&app.metadata_key, &info.owner, &sealed)?));
                match opened {
                    Ok(stamped) => {
                        app.catalog.restore(&stamped, info.blob).await?;
                        applied += 1;
                    }
                    Err(error) => {
                        tracing::warn!(blob = %info.blob.id, %error, "a trailer can't be read; its blob is left out");
                        unreadable += 1;
                    }
                }
            }
            match page.last() {
                Some(last) => after = Some(last.blob.id),
                None => break,
            }
        }
        drop(progress);
        let restored = app.catalog.finish_restore().await?;
        app.close().await?;
        println!("{applied} blobs applied, {unreadable} unreadable, {} objects lost their content", restored.lost_objects);
        println!("the catalog is rebuilt; `sealgate check` reads everything once");
        Ok(if unreadable == 0 && restored.lost_objects == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}
