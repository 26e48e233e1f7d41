//! What happened in the last hour or day.

use serde_json::{Value, json};

use super::Admin;
use super::error::AdminError;
use crate::observe::history::HISTORY;
use crate::observe::metrics::REQUESTS;

/// Minutes of a day.
const MAX_MINUTES: u64 = 1440;

/// GetHistory.
pub(super) async fn get(admin: &Admin<'_>) -> Result<Value, AdminError> {
    let minutes = admin.number("minutes")?.unwrap_or(60);
    if !(1..=MAX_MINUTES).contains(&minutes) {
        return Err(AdminError::invalid("The parameter minutes must be 1 to 1440."));
    }
    let now = admin.global_keys.now_unix_ms / 1000;
    let (step_s, points) = HISTORY.read(minutes, now, &REQUESTS.totals());
    Ok(json!({ "step_s": step_s, "points": points }))
}
