//! `sealgate export` and `sealgate import`: the catalog as JSON lines, for a move between engines.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};

use super::output;
use super::progress::Progress;
use crate::app::App;
use crate::config::Config;
use crate::instance::{DataFolder, IfAbsent, Part};

/// Lines that are put in one commit.
const LINES_AT_ONCE: usize = 300;

/// Writes the catalog to a new file (0600). What it holds of objects (names, metadata, wrapped keys) is in the clear there.
pub(super) fn export(config: Config, path: &Path) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let folder = DataFolder::open(&config, IfAbsent::Refuse)?;
        let (app, _) = App::open(&config, folder).await?;
        let mut options = std::fs::OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
        let file = options.open(path).with_context(|| format!("can't make {}", path.display()))?;
        let mut out = std::io::BufWriter::new(file);
        let mut after = None;
        loop {
            let (lines, next) = app.catalog.dump(after).await?;
            out.write_all(lines.as_bytes())?;
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        out.into_inner().map_err(|error| error.into_error())?.sync_all()?;
        app.close().await?;
        output::fact("file", path.display().to_string());
        println!("exported to {}; it tells names and metadata in the clear: keep it private", path.display());
        Ok(ExitCode::SUCCESS)
    })
}

/// Puts an exported catalog into an empty one.
pub(super) fn import(config: Config, path: &Path) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let file = std::fs::File::open(path).with_context(|| format!("can't read {}", path.display()))?;
        let folder = DataFolder::open(&config, IfAbsent::Rebuild)?;
        folder.write_id(Part::Catalog)?;
        let (app, _) = App::open(&config, folder).await?;
        ensure!(app.catalog.is_empty().await?, "the catalog is not empty; move it away first");
        let mut progress = Progress::new("records");
        let mut lines = Vec::with_capacity(LINES_AT_ONCE);
        for line in BufReader::new(file).lines() {
            lines.push(line?);
            progress.step();
            if lines.len() == LINES_AT_ONCE {
                app.catalog.load(lines.iter().map(String::as_str)).await?;
                lines.clear();
            }
        }
        app.catalog.load(lines.iter().map(String::as_str)).await?;
        drop(progress);
        app.close().await?;
        output::fact("file", path.display().to_string());
        println!("imported from {}", path.display());
        Ok(ExitCode::SUCCESS)
    })
}
