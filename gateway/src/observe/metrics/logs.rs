//! What is counted of logs: lines that were lost are what somebody must hear of.

use storage::figures::Counter;

use super::text::Text;

/// Logs of this process.
pub static LOGS: LogFigures = LogFigures {
    access_dropped: Counter::new(),
    audit_failed: Counter::new(),
    audit_unsent: Counter::new(),
    bucket_dropped: Counter::new(),
    delivered: Counter::new(),
    undelivered: Counter::new(),
};

/// See [`LOGS`].
#[derive(Debug)]
pub struct LogFigures {
    /// Lines of the access log that were not written.
    pub access_dropped: Counter,
    /// Lines of the audit that were not written.
    pub audit_failed: Counter,
    /// Lines of the audit that its webhook never gets.
    pub audit_unsent: Counter,
    /// Records for buckets' logs that are lost.
    pub bucket_dropped: Counter,
    /// Log objects that were delivered.
    pub delivered: Counter,
    /// Times that a log object was not delivered; it is tried again.
    pub undelivered: Counter,
}

/// Writes what is known of them.
pub fn write(text: &mut Text) {
    text.counter(
        "sealgate_log_lost_lines",
        "Lines that a log lacks: of the access log, the audit's file, the audit's webhook, and buckets' logs",
        [
            ("access", &LOGS.access_dropped),
            ("audit", &LOGS.audit_failed),
            ("audit_webhook", &LOGS.audit_unsent),
            ("bucket", &LOGS.bucket_dropped),
        ]
        .map(|(log, counter)| (vec![("log", log)], counter.get() as f64)),
    );
    text.counter(
        "sealgate_bucket_log_deliveries",
        "Log objects for buckets whose access logging is on, by outcome: what failed is tried again for a day",
        [("ok", &LOGS.delivered), ("failed", &LOGS.undelivered)]
            .map(|(outcome, counter)| (vec![("outcome", outcome)], counter.get() as f64)),
    );
}
