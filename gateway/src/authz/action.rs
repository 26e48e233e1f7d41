//! Actions of services whose resources have no policies of their own: IAM, STS, and S3 itself.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>

use kms_core::policy::{Gathered, Policies, Request, decide};

use super::message::explain;
use super::{Authorizer, Context, Denied};
use crate::iam::Identity;

impl Authorizer {
    /// May the caller do this to the resource (an ARN, or `*`)? A resource of another account has nobody who could allow it.
    pub fn authorize_action(
        &self,
        identity: &Identity,
        action: &str,
        resource: &str,
        context: impl Fn() -> Context,
    ) -> Result<(), Denied> {
        let values = Gathered::new(&context);
        let request = Request { subject: &identity.subject, action, resource, values: &values };
        let account =
            resource.split(':').nth(4).filter(|account| account.bytes().all(|b| b.is_ascii_digit()));
        let policies = Policies {
            resource_account: account.filter(|account| !account.is_empty()),
            ..Policies::default()
        };
        match decide(policies, &request) {
            outcome if outcome.is_allowed() && !identity.is_anonymous() => Ok(()),
            outcome => Err(explain(&self.iam, identity, (action, resource), &outcome, &context)),
        }
    }
}
