//! Who used which key for what, and whether he might: a record of every decision. Names of encryption contexts are told, their values
//! and keys never.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

/// A decision about one use of a key, or of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEvent<'a> {
    /// When, milliseconds since the Unix epoch.
    pub time_unix_ms: u64,
    /// The request that it was part of.
    pub request_id: &'a str,
    /// Who asked, by ARN.
    pub principal: &'a str,
    /// The service that asked on his behalf.
    pub via_service: Option<&'a str>,
    /// From where.
    pub source_ip: Option<IpAddr>,
    /// What for: `kms:Decrypt`.
    pub action: &'a str,
    /// The key, by ARN.
    pub key: Option<String>,
    /// The backing key that was used, or would have been.
    pub key_material_id: Option<String>,
    /// The names in the encryption context.
    pub encryption_context_names: Vec<&'a str>,
    /// Was it allowed?
    pub allowed: bool,
    /// Was it not asked anew, because a use of the same bucket-level key was allowed a moment before?
    pub remembered: bool,
    /// The grant that allowed it, where no policy did.
    pub grant: Option<String>,
    /// Why it was refused: the exception, and its message.
    pub refusal: Option<String>,
}

/// Takes the records; none by default.
#[derive(Clone, Default)]
pub struct Audit(Option<Arc<Sink>>);

type Sink = dyn Fn(&AuditEvent<'_>) + Send + Sync;

impl Audit {
    /// Hands each record to this function, which must not wait for long.
    pub fn new(sink: impl Fn(&AuditEvent<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(sink)))
    }

    pub(crate) fn record<'a>(&self, event: impl FnOnce() -> AuditEvent<'a>) {
        if let Some(sink) = &self.0 {
            sink(&event());
        }
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Audit")
    }
}
