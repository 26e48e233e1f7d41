//! Sends the lines of the spool to a webhook, in their order, again and again until it takes them.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use ureq::Agent;
use zeroize::Zeroizing;

use super::spool::{Batch, Spool};
use crate::config::AuditWebhook;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What wakes and stops the sender.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<(bool, bool)>,
    rings: Condvar,
}

impl Bell {
    /// There is something to send.
    pub(super) fn ring(&self) {
        let mut state = self.state.lock();
        if !state.0 {
            state.0 = true;
            self.rings.notify_one();
        }
    }

    /// It shall end.
    pub(super) fn stop(&self) {
        self.state.lock().1 = true;
        self.rings.notify_one();
    }

    /// Waits until it rings, or for so long at the most. Is it to stop?
    fn wait(&self, longest: Duration, ignores_rings: bool) -> bool {
        let mut state = self.state.lock();
        let waits = |state: &mut (bool, bool)| !state.1 && (ignores_rings || !state.0);
        self.rings.wait_while_for(&mut state, waits, longest);
        state.0 = false;
        state.1
    }
}

/// Sends until it is stopped.
pub(super) fn run(agent: &Agent, webhook: &AuditWebhook, spool: &Mutex<Spool>, bell: &Arc<Bell>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let batch = match spool.lock().batch() {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(%error, "the spool of the audit can't be read");
                None
            }
        };
        let Some(batch) = batch else {
            if bell.wait(LONGEST_PAUSE, false) {
                return;
            }
            continue;
        };
        match send(agent, webhook, &batch) {
            Ok(()) => {
                pause = FIRST_PAUSE;
                if let Err(error) = spool.lock().sent(&batch) {
                    tracing::error!(%error, "the spool of the audit can't be shortened");
                }
            }
            Err(error) => {
                let waiting = spool.lock().waiting_len();
                tracing::warn!(
                    error = format!("{error:#}"),
                    waiting,
                    "the audit's webhook takes nothing; it is tried again"
                );
                if bell.wait(pause, true) {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// As CloudTrail's files are: an object whose `Records` are the lines.
fn send(agent: &Agent, webhook: &AuditWebhook, batch: &Batch) -> anyhow::Result<()> {
    let mut body = b"{\"Records\":[".to_vec();
    let lines = batch.lines.strip_suffix(b"\n").unwrap_or(&batch.lines);
    for (number, line) in lines.split(|byte| *byte == b'\n').enumerate() {
        if number > 0 {
            body.push(b',');
        }
        body.extend_from_slice(line);
    }
    body.extend_from_slice(b"]}");
    let mut request = agent.post(&webhook.url).content_type("application/json");
    if let Some(file) = &webhook.token_file {
        // Read each time: who renews it need not start the gateway again.
        let token = Zeroizing::new(std::fs::read_to_string(file)?);
        request =
            request.header("Authorization", Zeroizing::new(format!("Bearer {}", token.trim())).as_str());
    }
    let response = request.send(&body[..])?;
    anyhow::ensure!(response.status().is_success(), "it answered {}", response.status());
    Ok(())
}
