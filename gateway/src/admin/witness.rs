//! `sealgate witness`: a note of how far a data folder has come, to be kept elsewhere. Whoever can put the whole folder back to an older
//! state can put its heads back as well; a mark that the note names, and that the older state never had, tells.

use std::sync::Arc;

use anyhow::{Context, ensure};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use storage::catalog::CatalogError;
use storage::name::Timestamp;

use super::Out;
use crate::app::App;

/// The shelf of marks.
const SHELF: &str = "witness";
/// Marks that are kept; the oldest go first.
const MAX_MARKS: usize = 100;
/// Attempts to put a mark beside others who do.
const ATTEMPTS: usize = 10;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    /// The data folder's id.
    sealgate_witness: String,
    /// The catalog's last commit before it.
    commit: u64,
    made_unix_ms: u64,
    /// What was left in the catalog: 32 hexadecimal digits.
    mark: String,
}

/// Leaves a mark in the catalog and tells the note, or looks for a note's mark.
pub(super) async fn witness(app: &Arc<App>, note: Option<&str>, out: &Out) -> anyhow::Result<bool> {
    let id = &app.stores.folder.instance.id;
    let commit = app.stores.storage.commit_number();
    let Some(note) = note else {
        let mut mark = [0; 16];
        getrandom::fill(&mut mark)?;
        let (mark, made_unix_ms) = (hex::encode(mark), Timestamp::now().unix_ms());
        leave(app, &mark, made_unix_ms).await?;
        let note = Note { sealgate_witness: id.clone(), commit, made_unix_ms, mark };
        out.fact("note", serde_json::to_value(&note)?).await?;
        out.line(serde_json::to_string(&note)?).await?;
        return Ok(true);
    };
    let note: Note = serde_json::from_str(note.trim()).context("it is no note of `sealgate witness`")?;
    ensure!(note.sealgate_witness == *id, "the note is of another data folder ({})", note.sealgate_witness);
    out.fact("commit", commit).await?;
    out.fact("commit_of_note", note.commit).await?;
    let (_, marks) = app.catalog.documents(SHELF).await?;
    let oldest = marks.iter().filter_map(|(name, _)| name.split('-').next()?.parse::<u64>().ok()).min();
    if marks.iter().any(|(name, _)| name.ends_with(&note.mark)) {
        out.line(format!("the folder has come on from the note: commit {} then, {commit} now", note.commit))
            .await?;
        return Ok(true);
    }
    if oldest.is_some_and(|oldest| marks.len() >= MAX_MARKS && note.made_unix_ms < oldest) {
        out.line("the note is older than the marks that are kept: nothing can be told").await?;
        return Ok(false);
    }
    out.line(format!(
        "the note's mark is missing: the folder was put back to a state from before commit {} ({commit} now)",
        note.commit
    ))
    .await?;
    Ok(false)
}

async fn leave(app: &App, mark: &str, made_unix_ms: u64) -> anyhow::Result<()> {
    for _ in 0..ATTEMPTS {
        let (state, marks) = app.catalog.documents(SHELF).await?;
        let mut names: Vec<String> = marks.into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        let surplus = (names.len() + 1).saturating_sub(MAX_MARKS);
        let mut changes: Vec<(String, Option<Bytes>)> =
            names.into_iter().take(surplus).map(|name| (name, None)).collect();
        changes.push((format!("{made_unix_ms:015}-{mark}"), Some(Bytes::from_static(b"1"))));
        match app.catalog.change_documents(SHELF, state, changes).await {
            Ok(_) => return Ok(()),
            Err(CatalogError::Contended) => {}
            Err(error) => return Err(error.into()),
        }
    }
    anyhow::bail!("others keep leaving marks: try again")
}
