//! How the background jobs are getting on, for `sealgate status`.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::encryption_summary::EncryptionSummaries;

/// What is known of the jobs of a running gateway.
#[derive(Debug, Default)]
pub struct JobStates {
    /// The scrub.
    pub scrub: Mutex<ScrubState>,
    /// The last walk of lifecycle rules.
    pub lifecycle: Mutex<Option<LifecycleRun>>,
    /// The walk under way.
    pub lifecycle_walk: Mutex<Option<LifecycleWalk>>,
    /// What was reclaimed since the start.
    pub reclaim: Mutex<ReclaimTotals>,
    /// What is under which encryption.
    pub encryption_summary: EncryptionSummaries,
}

/// Where the scrub stands, and how its last round ended: kept in a file, so that a restart goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubState {
    /// The round under way.
    pub current: Option<ScrubRound>,
    /// The last that came to its end.
    pub last: Option<ScrubRound>,
}

/// A round of the scrub.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubRound {
    /// When it began, in milliseconds since the Unix epoch.
    pub began_unix_ms: u64,
    /// When it ended.
    pub ended_unix_ms: Option<u64>,
    /// The last blob that was looked at, where it goes on.
    pub cursor: Option<String>,
    /// Blobs that were read.
    pub blobs: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// What is damaged.
    pub faults: u64,
}

/// A walk of lifecycle rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleRun {
    /// When it ended, in milliseconds since the Unix epoch.
    pub ended_unix_ms: u64,
    /// Did it come to its end?
    pub is_whole: bool,
    /// Versions that were looked at.
    pub seen: u64,
    /// What was expired, moved to another class or ended.
    pub changes: u64,
}

/// A walk of lifecycle rules under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LifecycleWalk {
    /// When it began, in milliseconds since the Unix epoch.
    pub began_unix_ms: u64,
    /// Versions and delete markers of buckets with rules, as they were counted when it began.
    pub total: u64,
    /// How many of them it has looked at.
    pub seen: u64,
}

impl LifecycleWalk {
    /// About how many versions and delete markers it has still to look at.
    pub fn backlog(&self) -> u64 {
        self.total.saturating_sub(self.seen)
    }
}

/// What was reclaimed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReclaimTotals {
    /// Displaced blobs that were deleted.
    pub displaced: u64,
    /// Blobs of no record that were taken away.
    pub orphans: u64,
    /// Blobs that nobody could account for: put into quarantine.
    pub quarantined: u64,
    /// Blobs that were moved out of mostly dead segments.
    pub moved: u64,
    /// Times that all blobs were looked at for those without a record.
    pub sweeps: u64,
    /// What waits to be deleted.
    #[serde(default)]
    pub backlog: ReclaimBacklog,
    /// Blobs that are in quarantine now; `None`: not counted yet.
    #[serde(default)]
    pub in_quarantine: Option<u64>,
    /// When space was last looked after, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub ended_unix_ms: Option<u64>,
}

/// What was displaced and waits to be deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReclaimBacklog {
    /// Records of displaced blobs: at most [`MAX_BACKLOG`] are counted.
    pub waiting: u64,
    /// Since when the oldest waits, in milliseconds since the Unix epoch.
    pub oldest_unix_ms: Option<u64>,
}

/// How far a backlog is counted.
pub const MAX_BACKLOG: usize = 10_000;

impl ScrubState {
    /// The file of a data folder.
    pub fn path(data: &Path) -> PathBuf {
        data.join("scrub-state.json")
    }

    /// What is in the file; nothing where it can't be read: then a round begins anew.
    pub fn load(data: &Path) -> Self {
        let text = std::fs::read(Self::path(data)).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Writes the file. One that is lost costs a round from the beginning, and nothing else.
    pub fn store(&self, data: &Path) {
        let path = Self::path(data);
        let fresh = path.with_extension("new");
        let written = serde_json::to_vec(self).map_err(std::io::Error::from).and_then(|text| {
            std::fs::write(&fresh, text)?;
            std::fs::rename(&fresh, &path)
        });
        if let Err(error) = written {
            tracing::debug!(%error, "the state of the scrub was not written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scrub_goes_on_where_it_stood() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ScrubState::load(folder.path()), ScrubState::default());
        let current = ScrubRound { cursor: Some("01".into()), blobs: 7, ..ScrubRound::default() };
        let state = ScrubState { current: Some(current), last: None };
        state.store(folder.path());
        assert_eq!(ScrubState::load(folder.path()), state);
        std::fs::write(ScrubState::path(folder.path()), "{").unwrap();
        assert_eq!(ScrubState::load(folder.path()), ScrubState::default());
    }
}
