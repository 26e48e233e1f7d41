//! The walk over all blobs: each one's trailer is applied, and what can't be is kept to be named.

use futures_util::StreamExt;
use storage::blob::BlobInfo;
use storage::blob::fs::{Depth, Surveyed};
use storage::catalog::{CatalogError, ContentState, DisplacedSet, OwnerState, Restored, Stamped, Touched};

use super::super::all_blobs::AllBlobs;
use super::super::progress::Progress;
use super::super::report::Report;
use super::Mode;
use crate::app::App;
use crate::jobs::names::{Names, whose};
use crate::transfer::journal;

/// Blobs of one look at the store.
const PAGE_LEN: usize = 500;
/// Trailers that are applied at a time.
const AT_ONCE: usize = 64;
/// Damaged places that are kept to be named with their buckets' names.
const MAX_DAMAGED: usize = 10_000;

/// The walk.
pub(super) struct Apply<'a> {
    app: &'a App,
    blobs: &'a AllBlobs,
    mode: Mode,
    report: &'a mut Report,
    touched: Touched,
    damaged: Damaged,
}

/// What was not applied, or not as it was written.
#[derive(Default)]
pub(super) struct Damaged {
    rows: Vec<Surveyed>,
    /// Blobs whose trailers could not be read or applied, and why.
    unread: Vec<(BlobInfo, String)>,
    more: u64,
}

impl Damaged {
    fn add(&mut self, row: Surveyed) {
        if self.rows.len() < MAX_DAMAGED {
            self.rows.push(row);
        } else {
            self.more += 1;
        }
    }

    fn add_unread(&mut self, info: BlobInfo, why: String) {
        if self.unread.len() < MAX_DAMAGED {
            self.unread.push((info, why));
        } else {
            self.more += 1;
        }
    }

    /// Names it all, once buckets are known.
    pub(super) fn name(self, names: &Names, report: &mut Report) {
        for row in &self.rows {
            let (kind, owner) = match row {
                Surveyed::Sound(info) | Surveyed::DamagedContent(info) => ("object", Some(&info.owner)),
                Surveyed::Damaged { owner, .. } => ("blob", owner.as_ref()),
                Surveyed::Gap { owner, .. } => ("segment", owner.as_ref()),
            };
            report.fault(kind, row.to_string(), whose(names, owner));
        }
        for (info, why) in &self.unread {
            report.fault("trailer", format!("blob {}, {}", info.blob.id, names.owner(&info.owner)), why);
        }
        for _ in 0..self.more {
            report.fault("blob", "one more", "damaged");
        }
    }
}

impl<'a> Apply<'a> {
    pub(super) fn new(app: &'a App, blobs: &'a AllBlobs, mode: Mode, report: &'a mut Report) -> Self {
        Self { app, blobs, mode, report, touched: Touched::default(), damaged: Damaged::default() }
    }

    /// What could not be applied.
    pub(super) fn end(self) -> Damaged {
        self.damaged
    }

    /// Applies all there is.
    pub(super) async fn all(&mut self) -> anyhow::Result<Restored> {
        let mut progress = Progress::new("blobs");
        let displaced = self.app.catalog.displaced_set().await?;
        // What is damaged comes last: what it would stand in the place of must be known by then.
        let mut damaged = Vec::new();
        let mut after = None;
        loop {
            let page = self.blobs.survey(after, PAGE_LEN, Depth::Content).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id());
            let mut sound = Vec::with_capacity(page.len());
            for row in page {
                progress.step();
                self.report.count("blobs", 1);
                match row {
                    Surveyed::Sound(info) if self.is_wanted(&info, &displaced).await? => sound.push(info),
                    Surveyed::DamagedContent(info) if !displaced.explains(&info.owner, info.blob.id) => {
                        if self.is_wanted(&info, &displaced).await? {
                            damaged.push(info.clone());
                        }
                        self.damaged.add(Surveyed::DamagedContent(info));
                    }
                    Surveyed::Damaged { id, .. } if displaced.has(id) => self.report.count("displaced", 1),
                    Surveyed::Sound(_) | Surveyed::DamagedContent(_) => {}
                    row => self.damaged.add(row),
                }
            }
            self.apply(sound, ContentState::Sound).await?;
        }
        self.apply(damaged, ContentState::Damaged).await?;
        Ok(match self.mode {
            Mode::Anew => self.app.catalog.finish_restore().await?,
            Mode::Add => self.app.catalog.finish_add(std::mem::take(&mut self.touched)).await?,
        })
    }

    /// Is the blob's trailer to be applied? Not one that was displaced, nor one that a kept catalog refers to.
    async fn is_wanted(&mut self, info: &BlobInfo, displaced: &DisplacedSet) -> anyhow::Result<bool> {
        if displaced.explains(&info.owner, info.blob.id) {
            self.report.count("displaced", 1);
            return Ok(false);
        }
        Ok(self.mode == Mode::Anew
            || self.app.catalog.owner_state(&info.owner, info.blob.id).await? != OwnerState::Alive)
    }

    async fn apply(&mut self, infos: Vec<BlobInfo>, content: ContentState) -> anyhow::Result<()> {
        let (app, blobs) = (self.app, self.blobs);
        let opened = futures_util::stream::iter(infos).map(async |info| {
            let stamped = open(app, blobs, &info).await;
            let applied = match (&stamped, self.mode) {
                (Ok(stamped), Mode::Anew) => Some(app.catalog.restore(stamped, info.blob, content).await),
                _ => None,
            };
            (info, stamped, applied)
        });
        let opened: Vec<_> = opened.buffered(AT_ONCE).collect().await;
        for (info, stamped, applied) in opened {
            let applied = match (stamped, applied) {
                (Err(why), _) => {
                    self.damaged.add_unread(info, why);
                    continue;
                }
                (Ok(_), Some(applied)) => applied,
                (Ok(stamped), None) => {
                    let added = app.catalog.add(&stamped, info.blob, content, &mut self.touched).await;
                    added.map(drop)
                }
            };
            match applied {
                Ok(()) => self.report.count("applied", 1),
                Err(error @ (CatalogError::Corrupt(_) | CatalogError::Contended)) => {
                    self.damaged.add_unread(info, error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// A blob's trailer, or why it can't be read.
async fn open(app: &App, blobs: &AllBlobs, info: &BlobInfo) -> Result<Stamped, String> {
    let sealed = blobs.read_trailer(&info.blob).await.map_err(|error| error.to_string())?;
    journal::open(&app.metadata_key, &info.owner, &sealed).map_err(|error| error.to_string())
}
