//! The scrub: every stored byte is compared with the checksums it was stored with, at a limited pace, again and again. It takes no key,
//! and finds what the medium did before a client does.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use storage::blob::BlobError;
use storage::blob::fs::{Depth, FsBlobStore, Surveyed};
use storage::name::{BlobId, Timestamp};
use tokio::sync::watch;

use super::names::{Names, whose};
use crate::app::App;
use crate::observe::jobs::{ScrubRound, ScrubState};

/// Rows of one step, between which it keeps its pace.
const PAGE_LEN: usize = 16;
/// How often it is written down where it stands.
const STORE_EVERY: Duration = Duration::from_secs(10);
/// How soon a round that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// How the job goes about it.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Bytes per second; 0: it does not run.
    pub len_per_s: u64,
    /// Between the beginnings of two rounds.
    pub interval: Duration,
}

/// Scrubs again and again until it is told to stop.
pub async fn run(app: Arc<App>, pace: Pace, mut stopped: watch::Receiver<bool>) {
    let data = app.stores.folder.path.clone();
    *app.job_states.scrub.lock() = ScrubState::load(&data);
    let Some(blobs) = app.stores.storage.local_blobs().filter(|_| pace.len_per_s > 0).cloned() else {
        let _ = stopped.wait_for(|stop| *stop).await;
        return;
    };
    loop {
        let pause = {
            let state = app.job_states.scrub.lock();
            match (&state.current, &state.last) {
                (Some(_), _) | (None, None) => Duration::ZERO,
                (None, Some(last)) => {
                    let since = Timestamp::now().unix_ms().saturating_sub(last.began_unix_ms);
                    pace.interval.saturating_sub(Duration::from_millis(since))
                }
            }
        };
        let round = async {
            tokio::time::sleep(pause).await;
            let state = app.job_states.scrub.lock().clone();
            let mut round = Round::new(&blobs, state, Some(pace.len_per_s)).kept_in(data.clone());
            while let Some(damaged) = round.step().await? {
                if !damaged.is_empty() {
                    let names = Names::load(&app.catalog).await.unwrap_or_default();
                    damaged.iter().for_each(|row| tell(row, &names));
                }
                *app.job_states.scrub.lock() = round.state.clone();
            }
            *app.job_states.scrub.lock() = round.state.clone();
            Ok::<_, BlobError>(round.state.last.unwrap_or_default())
        };
        let ended = tokio::select! {
            _ = stopped.changed() => {
                app.job_states.scrub.lock().store(&data);
                return;
            }
            ended = round => ended,
        };
        match ended {
            Ok(ScrubRound { faults: 0, blobs, bytes, .. }) => {
                tracing::info!(blobs, bytes, "every stored byte was compared with its checksum");
            }
            Ok(ScrubRound { faults, blobs, bytes, .. }) => {
                tracing::error!(
                    blobs,
                    bytes,
                    faults,
                    "a scrub found damage; `sealgate check` tells what it hits"
                );
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the scrub was cut off; it is tried again"
                );
                tokio::select! {
                    _ = stopped.changed() => return,
                    () = tokio::time::sleep(RETRY_AFTER) => {}
                }
            }
        }
    }
}

/// Says in the log what is damaged, and whose it is.
fn tell(row: &Surveyed, names: &Names) {
    let owner = match row {
        Surveyed::Sound(info) | Surveyed::DamagedContent(info) => Some(&info.owner),
        Surveyed::Damaged { owner, .. } | Surveyed::Gap { owner, .. } => owner.as_ref(),
    };
    tracing::error!(place = %row, owner = whose(names, owner), "what is stored is not what was written");
}

/// One round, from where the state says to the end.
pub struct Round<'a> {
    /// Where it stands.
    pub state: ScrubState,
    blobs: &'a FsBlobStore,
    len_per_s: Option<u64>,
    data: Option<PathBuf>,
    stored: Instant,
}

impl<'a> Round<'a> {
    /// A round that goes on where `state` says; at full speed without a rate.
    pub fn new(blobs: &'a FsBlobStore, mut state: ScrubState, len_per_s: Option<u64>) -> Self {
        state.current.get_or_insert_with(|| ScrubRound {
            began_unix_ms: Timestamp::now().unix_ms(),
            ..ScrubRound::default()
        });
        Self { state, blobs, len_per_s, data: None, stored: Instant::now() }
    }

    /// Writes down in the data folder where it stands.
    pub fn kept_in(self, data: PathBuf) -> Self {
        Self { data: Some(data), ..self }
    }

    /// Reads some blobs on, and answers what is damaged among them. `None`: the round has ended.
    pub async fn step(&mut self) -> Result<Option<Vec<Surveyed>>, BlobError> {
        let depth = self.len_per_s.map_or(Depth::Content, |len_per_s| Depth::Paced { len_per_s });
        let Some(round) = &mut self.state.current else { return Ok(None) };
        let began = Instant::now();
        let after = round.cursor.as_ref().and_then(|cursor| BlobId::parse(cursor).ok());
        let page = self.blobs.survey(after, PAGE_LEN, depth).await?;
        let Some(last) = page.last() else {
            let mut round = std::mem::take(round);
            round.cursor = None;
            round.ended_unix_ms = Some(Timestamp::now().unix_ms());
            self.state = ScrubState { current: None, last: Some(round) };
            if let Some(data) = &self.data {
                self.state.store(data);
            }
            return Ok(None);
        };
        round.cursor = Some(last.id().to_string());
        round.blobs += page.len() as u64;
        let (mut len, mut damaged) = (0, Vec::new());
        for row in page {
            match row {
                Surveyed::Sound(info) => len += info.blob.stored_len.0,
                row => damaged.push(row),
            }
        }
        round.bytes += len;
        round.faults += damaged.len() as u64;
        if let Some(data) = &self.data
            && self.stored.elapsed() > STORE_EVERY
        {
            self.state.store(data);
            self.stored = Instant::now();
        }
        if let Some(len_per_s) = self.len_per_s {
            let due_us = u128::from(len) * 1_000_000 / u128::from(len_per_s.max(1));
            let due = Duration::from_micros(due_us as u64);
            tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        }
        Ok(Some(damaged))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytes::Bytes;
    use storage::blob::fs::FsOptions;
    use storage::blob::{BlobOwner, BlobStore, SizeHint};

    use super::*;

    async fn store(folder: &Path) -> FsBlobStore {
        // No segments of medium ones: three are files.
        let options = FsOptions { medium_len_max: 0, reserve_free: 0, ..FsOptions::default() };
        let store = FsBlobStore::open(folder.join("blobs"), options).unwrap();
        for number in 0..40 {
            let owner = BlobOwner::Journal { subject: Bytes::from(format!("Bbucket-{number}")) };
            let len = if number < 3 { 200_000 } else { 10 };
            let mut writer = store.create(owner, SizeHint::Exact(len as u64)).await.unwrap();
            writer.write(Bytes::from(vec![number; len])).await.unwrap();
            writer.finish(Bytes::from_static(b"trailer")).await.unwrap();
        }
        store
    }

    async fn all(round: &mut Round<'_>) -> Vec<Surveyed> {
        let mut found = Vec::new();
        while let Some(damaged) = round.step().await.unwrap() {
            found.extend(damaged);
        }
        found
    }

    #[tokio::test]
    async fn a_round_goes_on_where_it_stood_keeps_its_pace_and_counts_damage() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = store(folder.path()).await;
        let mut first = Round::new(&blobs, ScrubState::default(), None);
        assert_eq!(first.step().await.unwrap(), Some(Vec::new()));
        let cut_off = first.state.clone();
        assert_eq!(all(&mut first).await, []);
        let ended = first.state.last.unwrap();
        assert_eq!((ended.blobs, ended.bytes, ended.faults, ended.cursor), (40, 600_370, 0, None));
        // Cut off behind the first step: what is left are small ones.
        let began = Instant::now();
        let mut rest = Round::new(&blobs, cut_off, Some(4_000)).kept_in(folder.path().to_owned());
        assert_eq!(all(&mut rest).await, []);
        assert_eq!(rest.state.last.as_ref().map(|last| (last.blobs, last.bytes)), Some((40, 600_370)));
        assert!(began.elapsed() >= Duration::from_millis(50), "240 bytes at 4000 a second");
        assert_eq!(ScrubState::load(folder.path()), rest.state);

        let file =
            std::fs::read_dir(folder.path().join("blobs/files")).unwrap().next().unwrap().unwrap().path();
        let file = std::fs::read_dir(file).unwrap().next().unwrap().unwrap().path();
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[100_000] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let mut round = Round::new(&blobs, ScrubState::default(), None);
        let told = all(&mut round).await;
        assert_eq!((round.state.last.unwrap().faults, told.len()), (1, 1));
        let told = &told[0];
        let Surveyed::DamagedContent(info) = told else { panic!("{told}") };
        assert!(Names::default().owner(&info.owner).contains("bucket-"));
    }
}
