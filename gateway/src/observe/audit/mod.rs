//! The audit: a line for every decision, chained to the one before it, in a file and at a webhook.

mod chain;
mod event;
pub(crate) mod parameters;
mod spool;
pub mod verify;
mod webhook;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{fmt, io};

use kms_core::audit::{Audit, AuditEvent};
use parking_lot::Mutex;
use serde::Serialize;
use ureq::Agent;

use self::chain::ChainFile;
pub(crate) use self::event::tells_answer;
use self::event::{Event, KeyDecision};
use self::spool::Spool;
use self::webhook::Bell;
use super::metrics::LOGS;
use super::request::{Observer, RequestRecord, Service, Wants};
use crate::config::{AuditConfig, AuditWebhook, WhenSpoolIsFull};

/// How often what was written is brought to the disk.
const SYNC_PAUSE: Duration = Duration::from_secs(1);
/// The shortest time between two warnings of one kind.
const WARN_PAUSE: Duration = Duration::from_secs(30);
/// The most requests to KMS whose decisions wait for the request's line: those of more have lines of their own.
const MAX_DECIDED: usize = 16 << 10;
/// How long they wait.
const DECIDED_PATIENCE: Duration = Duration::from_secs(60);
/// The most decisions of one of them.
const MAX_DECISIONS: usize = 16;

/// Why a line could not be written.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file can't be written.
    #[error("the audit log can't be written: {0}")]
    File(#[from] io::Error),
    /// As many lines as may wait for the webhook, and the settings say that none is dropped.
    #[error("the audit's webhook does not take its lines, and their spool is full")]
    SpoolFull,
}

/// The audit of this process.
pub struct AuditLog {
    region: String,
    /// Do requests fail whose lines can't be written?
    is_required: bool,
    drops_when_full: bool,
    chain: Mutex<ChainFile>,
    spool: Option<Arc<Mutex<Spool>>>,
    bell: Arc<Bell>,
    /// What was decided about uses of keys for requests to KMS that have no line yet.
    decided: Mutex<HashMap<String, Vec<Decided>>>,
    fails: AtomicBool,
    failed: AtomicU64,
    dropped: AtomicU64,
    warned: Mutex<Option<Instant>>,
    tried: Mutex<Option<Instant>>,
}

/// A decision about the use of a key that waits for the line of its request.
struct Decided {
    since: Instant,
    decision: KeyDecision,
    /// Its own line, where none comes.
    line: serde_json::Value,
}

/// Is it the id of a request to KMS, which gets a line? What the host asks has words for an id.
fn is_of_door(request_id: &str) -> bool {
    request_id.len() == 32 && request_id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditLog")
    }
}

/// The open logs of this process, by their files: a gateway that opens its stores anew writes on in the same chain.
static OPEN: Mutex<Vec<(PathBuf, Weak<AuditLog>)>> = Mutex::new(Vec::new());

impl AuditLog {
    /// Opens it, or answers the one that this process has open already. `data`: the folder in which lines wait for the webhook; `agent`:
    /// makes what posts them.
    ///
    /// # Errors
    /// When the file or the spool can't be opened, or another process writes them.
    pub fn open(
        config: &AuditConfig,
        data: &Path,
        region: &str,
        agent: impl FnOnce() -> Agent,
    ) -> io::Result<Arc<Self>> {
        let mut open = OPEN.lock();
        open.retain(|(_, log)| log.strong_count() > 0);
        if let Some(log) =
            open.iter().find(|(path, _)| *path == config.path).and_then(|(_, log)| log.upgrade())
        {
            return Ok(log);
        }
        let chain = ChainFile::open(&config.path)?;
        let spool = match &config.webhook {
            Some(webhook) => {
                let spool = Spool::open(&data.join("audit-spool"), webhook.spool_len)?;
                Some(Arc::new(Mutex::new(spool)))
            }
            None => None,
        };
        let drops_when_full =
            config.webhook.as_ref().is_none_or(|webhook| webhook.when_full == WhenSpoolIsFull::Drop);
        let log = Arc::new(Self {
            region: region.to_owned(),
            is_required: config.is_required,
            drops_when_full,
            chain: Mutex::new(chain),
            spool,
            bell: Arc::default(),
            decided: Mutex::default(),
            fails: AtomicBool::new(false),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            warned: Mutex::default(),
            tried: Mutex::default(),
        });
        Self::start_sync(&log)?;
        if let (Some(webhook), Some(spool)) = (&config.webhook, &log.spool) {
            Self::start_sender(agent(), webhook.clone(), spool.clone(), log.bell.clone())?;
        }
        open.push((config.path.clone(), Arc::downgrade(&log)));
        Ok(log)
    }

    fn start_sync(log: &Arc<Self>) -> io::Result<JoinHandle<()>> {
        let log = Arc::downgrade(log);
        std::thread::Builder::new().name("audit-sync".to_owned()).spawn(move || {
            loop {
                std::thread::sleep(SYNC_PAUSE);
                let Some(log) = log.upgrade() else { return };
                log.sync();
            }
        })
    }

    fn start_sender(
        agent: Agent,
        webhook: AuditWebhook,
        spool: Arc<Mutex<Spool>>,
        bell: Arc<Bell>,
    ) -> io::Result<JoinHandle<()>> {
        let run = move || webhook::run(&agent, &webhook, &spool, &bell);
        std::thread::Builder::new().name("audit-webhook".to_owned()).spawn(run)
    }

    fn sync(&self) {
        self.write_decided(DECIDED_PATIENCE);
        let mut chain = self.chain.lock();
        chain.rotate_if_asked();
        // Its own handle, so that nobody waits for the disk.
        let file = chain.handle();
        drop(chain);
        let synced = file.and_then(|file| file.map_or(Ok(()), |file| file.sync_data()));
        let synced = match synced {
            // A pipe or a device has nothing to bring anywhere.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            synced => synced,
        };
        let synced = synced.and_then(|()| match &self.spool {
            Some(spool) => spool.lock().sync(),
            None => Ok(()),
        });
        if let Err(error) = synced {
            self.has_failed(&error.into());
        }
    }

    /// What KMS tells of each decision.
    pub fn of_keys(self: &Arc<Self>) -> Audit {
        let log = self.clone();
        Audit::new(move |decision: &AuditEvent<'_>| {
            let refusal = decision.refusal.as_deref();
            let refusal = refusal.map(|text| text.split_once(": ").unwrap_or((text, "")));
            let event = Event::of_key(decision, &log.region, refusal);
            if decision.via_service.is_none() && is_of_door(decision.request_id) {
                let mut decided = log.decided.lock();
                // The request's own line will tell it.
                if decided.len() < MAX_DECIDED
                    && let Ok(line) = serde_json::to_value(&event)
                {
                    let waiting = decided.entry(decision.request_id.to_owned()).or_default();
                    if waiting.len() < MAX_DECISIONS {
                        let decision = KeyDecision::of(decision);
                        waiting.push(Decided { since: Instant::now(), decision, line });
                        return;
                    }
                }
            }
            // Whether the request fails for it is decided when the line of the request itself is written.
            let _ = log.append(&event);
        })
    }

    /// Writes lines of decisions whose requests have had none for so long: who asked was gone before.
    fn write_decided(&self, patience: Duration) {
        let mut late = Vec::new();
        self.decided.lock().retain(|_, waiting| {
            let is_late = waiting.first().is_none_or(|first| first.since.elapsed() >= patience);
            if is_late {
                late.append(waiting);
            }
            !is_late
        });
        for decided in late {
            let _ = self.append(&decided.line);
        }
    }

    /// Refuses a request before anything is done, where lines are required and can't be written now.
    ///
    /// # Errors
    /// Why they can't.
    pub fn check(&self) -> Result<(), AuditError> {
        if !self.is_required {
            return Ok(());
        }
        if !self.drops_when_full && self.spool.as_ref().is_some_and(|spool| spool.lock().is_full()) {
            return Err(AuditError::SpoolFull);
        }
        if !self.fails.load(Ordering::Relaxed) {
            return Ok(());
        }
        // One of many tries whether it works again.
        let mut tried = self.tried.lock();
        if tried.is_some_and(|at| at.elapsed() < SYNC_PAUSE) {
            return Err(io::Error::other("it could not be written a moment ago").into());
        }
        *tried = Some(Instant::now());
        drop(tried);
        self.chain.lock().resume()?;
        self.fails.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Writes the line of a request that is about to be answered.
    ///
    /// # Errors
    /// When it could not be written and the settings require it: then the request is not to be answered as if all were well.
    pub fn answered(&self, record: &RequestRecord) -> Result<(), AuditError> {
        let Some(mut event) = Event::of_request(record, &self.region) else { return Ok(()) };
        if record.service == Service::Kms
            && let Some(detail) = &record.detail
        {
            let decided = self.decided.lock().remove(detail.request_id());
            let decisions = decided.unwrap_or_default().into_iter().map(|decided| decided.decision);
            event.add_decisions(decisions);
        }
        match self.append(&event) {
            Err(error) if self.is_required => Err(error),
            _ => Ok(()),
        }
    }

    fn append(&self, event: &impl Serialize) -> Result<(), AuditError> {
        let appended = self.try_append(event);
        match &appended {
            Err(error) => self.has_failed(error),
            Ok(()) => self.fails.store(false, Ordering::Relaxed),
        }
        appended
    }

    fn try_append(&self, event: &impl Serialize) -> Result<(), AuditError> {
        let mut chain = self.chain.lock();
        chain.append(event)?;
        if let Some(spool) = &self.spool {
            let has_room = spool.lock().append(chain.last())?;
            if !has_room && !self.drops_when_full {
                return Err(AuditError::SpoolFull);
            }
            if !has_room {
                let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
                LOGS.audit_unsent.add(1);
                self.warn(|| {
                    tracing::error!(dropped, "audit lines are not sent to the webhook: their spool is full")
                });
            }
            self.bell.ring();
        }
        Ok(())
    }

    fn has_failed(&self, error: &AuditError) {
        self.fails.store(true, Ordering::Relaxed);
        let failed = self.failed.fetch_add(1, Ordering::Relaxed) + 1;
        LOGS.audit_failed.add(1);
        let is_required = self.is_required;
        self.warn(|| tracing::error!(%error, failed, is_required, "audit lines could not be written"));
    }

    fn warn(&self, tell: impl FnOnce()) {
        let mut warned = self.warned.lock();
        if warned.is_none_or(|at| at.elapsed() > WARN_PAUSE) {
            *warned = Some(Instant::now());
            tell();
        }
    }

    /// How many lines could not be written since the start.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// How many lines the webhook will never get, since their spool was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.bell.stop();
        self.write_decided(Duration::ZERO);
        self.sync();
    }
}

impl Observer for AuditLog {
    fn wants(&self) -> Wants {
        Wants::Parameters
    }

    fn ended(&self, record: &RequestRecord) {
        // What was answered has its line already.
        if record.status.is_none() {
            let _ = self.answered(record);
        }
    }
}
