//! From blobs to records: whose each one is, whether its trailer opens, and what lies there that is no blob.

use std::collections::HashSet;

use storage::blob::BlobInfo;
use storage::blob::BlobOwner;
use storage::blob::fs::{Depth, Finding, Surveyed};
use storage::catalog::{DisplacedSet, OwnerState};
use storage::name::BlobId;
use storage::reclaim::UNSETTLED_MS;
use storage::session::SessionState;

use super::super::all_blobs::AllBlobs;
use super::super::progress::Progress;
use super::super::report::Report;
use crate::app::App;
use crate::jobs::names::{Names, whose};
use crate::transfer::journal;

/// Blobs of one look at the store.
const PAGE_LEN: usize = 500;
/// Foreign files that are named.
const FOREIGN_LEN: usize = 1000;

/// The walk over all blobs.
pub(super) struct Blobs<'a> {
    pub(super) app: &'a App,
    pub(super) blobs: &'a AllBlobs,
    pub(super) names: &'a Names,
    /// Damaged blobs that were named before.
    pub(super) named: &'a HashSet<BlobId>,
    pub(super) report: &'a mut Report,
}

impl Blobs<'_> {
    pub(super) async fn check(&mut self) -> anyhow::Result<()> {
        let mut progress = Progress::new("blobs");
        let displaced = self.app.catalog.displaced_set().await?;
        let mut after = None;
        loop {
            let page = self.blobs.survey(after, PAGE_LEN, Depth::Rows).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id());
            for row in &page {
                progress.step();
                self.row(row, &displaced).await?;
            }
        }
        for finding in self.blobs.findings() {
            match finding {
                // Whatever was of a record has been missed there.
                Finding::CutOff { .. } => self.report.note(finding.to_string()),
                Finding::DeadList { segment, .. } => {
                    self.report.fault("dead list", format!("segment {segment:010x}"), finding);
                }
            }
        }
        for path in self.blobs.foreign_files(FOREIGN_LEN).await? {
            self.report.fault("foreign", path.display().to_string(), "no file of the blob store");
        }
        Ok(())
    }

    async fn row(&mut self, row: &Surveyed, displaced: &DisplacedSet) -> anyhow::Result<()> {
        match row {
            Surveyed::Sound(info) | Surveyed::DamagedContent(info) => self.sound(info, displaced).await?,
            Surveyed::Damaged { id, owner, .. } => {
                self.report.count("blobs", 1);
                if displaced.has(*id) {
                    self.report.count("displaced", 1);
                } else if !self.named.contains(id) {
                    self.report.fault("blob", row.to_string(), whose(self.names, owner.as_ref()));
                }
            }
            Surveyed::Gap { owner, .. } => {
                self.report.fault("segment", row.to_string(), whose(self.names, owner.as_ref()));
            }
        }
        Ok(())
    }

    /// It is of a session whose end the catalog knows, and was not made much later: its write was never committed.
    async fn was_cut_off(&self, info: &BlobInfo) -> anyhow::Result<bool> {
        Ok(match self.app.catalog.session_state(info.session).await? {
            SessionState::Ended(end) => info.finished.unix_ms() <= end.unix_ms() + UNSETTLED_MS,
            SessionState::Live | SessionState::Swept(_) | SessionState::Unsure | SessionState::Unknown => {
                false
            }
        })
    }

    async fn sound(&mut self, info: &BlobInfo, displaced: &DisplacedSet) -> anyhow::Result<()> {
        let kind = if matches!(info.owner, BlobOwner::Journal { .. }) { "journals" } else { "blobs" };
        self.report.count(kind, 1);
        let (id, owner) = (info.blob.id, &info.owner);
        let state = self.app.catalog.owner_state(owner, id).await?;
        let is_alive = match state {
            OwnerState::Alive => true,
            // Its record has been named.
            OwnerState::Unreadable => return Ok(()),
            OwnerState::Dead | OwnerState::Unknown => false,
        };
        if !is_alive && displaced.explains(owner, id) {
            self.report.count("displaced", 1);
            return Ok(());
        }
        let opened = match self.blobs.read_trailer(&info.blob).await {
            Ok(sealed) => {
                journal::open(&self.app.metadata_key, owner, &sealed).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        let name = || format!("blob {id}, {}", self.names.owner(owner));
        match opened {
            Ok(_) if is_alive => {}
            Err(why) if is_alive => {
                self.report.fault("trailer", name(), format!("{why}; a rebuild would not know of it"));
            }
            Err(why) => {
                self.report.count("foreign blobs", 1);
                self.report.note(format!("{} has no record, and its trailer can't be read: {why}", name()));
            }
            Ok(stamped) if self.app.catalog.is_superseded(&stamped).await? => {
                self.report.count("superseded", 1);
            }
            Ok(_) if self.was_cut_off(info).await? => self.report.count("never committed", 1),
            Ok(_) => self.report.fault(
                "blob without a record",
                name(),
                "nothing refers to it and nothing displaced it: its record was lost, or a crash cut a write or a deletion off; \
                 `sealgate rebuild --add` brings it in",
            ),
        }
        Ok(())
    }
}
