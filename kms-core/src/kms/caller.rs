//! Who calls, and how.

use std::net::IpAddr;
use std::sync::Arc;

use crate::error::KmsError;
use crate::policy::Subject;

/// Who calls, as the gateway authenticated it, and the circumstances of the call.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who: its names, its policies, and what conditions may know of it.
    pub subject: Arc<Subject>,
    /// Which of its credentials: an access key id, or its ARN for calls that nobody signed.
    pub credentials: Arc<str>,
    /// The service that calls on the principal's behalf, e.g. `s3.us-east-1.amazonaws.com` (`kms:ViaService`). Never from the wire.
    pub via_service: Option<String>,
    /// `aws:SourceIp` of a direct call.
    pub source_ip: Option<IpAddr>,
    /// `aws:SecureTransport`.
    pub secure_transport: bool,
    /// The request that this is part of, for the audit.
    pub request_id: Arc<str>,
    /// `DryRun`: judge the request, and then answer [`KmsError::DryRun`].
    pub dry_run: bool,
}

impl Caller {
    /// A plain call of this subject's own, from this host.
    pub fn of(subject: Arc<Subject>) -> Self {
        Self {
            credentials: Arc::from(subject.arn.as_str()),
            subject,
            via_service: None,
            source_ip: None,
            secure_transport: true,
            request_id: Arc::default(),
            dry_run: false,
        }
    }

    /// The root user of an account, from this host.
    pub fn root_user(account: &str) -> Self {
        Self::of(Arc::new(Subject::root_user(account)))
    }

    /// The principal's ARN: `arn:aws:iam::111122223333:root`, `…:user/name`, …
    pub fn arn(&self) -> &str {
        &self.subject.arn
    }

    /// The principal's account: 12 digits; empty for nobody.
    pub fn account(&self) -> &str {
        &self.subject.account
    }

    /// Ends a request that is only to be judged, once it would be carried out.
    pub(crate) fn stop_if_dry(&self) -> Result<(), KmsError> {
        if self.dry_run { Err(KmsError::DryRun) } else { Ok(()) }
    }
}
