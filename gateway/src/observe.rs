//! What operators see: the audit, a line of JSON for each decision about a key, in a file or on standard output.

pub mod jobs;
pub mod metrics;
pub mod process;
pub mod request;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use kms_core::audit::Audit;
use parking_lot::Mutex;

/// Appends records to this file (0600), or to standard output for `-`. A record that can't be written is told on standard error, and
/// the request goes on.
pub fn open_audit(path: &Path) -> io::Result<Audit> {
    let out: Box<dyn Write + Send> = match path == Path::new("-") {
        true => Box::new(io::stdout()),
        false => Box::new(OpenOptions::new().create(true).append(true).mode(0o600).open(path)?),
    };
    let out = Mutex::new(out);
    Ok(Audit::new(move |event| {
        let Ok(mut line) = serde_json::to_vec(event) else { return };
        line.push(b'\n');
        let mut out = out.lock();
        // In one write, so that lines of several processes do not mix.
        if let Err(error) = out.write_all(&line).and_then(|()| out.flush()) {
            tracing::error!(%error, "an audit record could not be written");
        }
    }))
}
