//! The policies that limit a session.

use crate::api::query::{Call, Code, Refusal};
use crate::iam::{PolicyText, SessionPolicies};

/// The longest policy, in characters.
const MAX_POLICY_LEN: usize = 2048;
/// The most managed policies.
const MAX_ARNS: usize = 10;
/// What policies and tags of a session may take together, in bytes: a token has to fit into a header.
const MAX_PACKED_LEN: usize = 6 << 10;

/// `Policy` and `PolicyArns`; `None` where neither is there.
pub(super) fn session_policies(call: &Call<'_>) -> Result<Option<SessionPolicies>, Refusal> {
    let malformed = |message: String| Refusal::new(Code::MalformedPolicyDocument, message);
    let mut policies = SessionPolicies::default();
    if let Some(text) = call.parameters.get("Policy") {
        if text.chars().count() > MAX_POLICY_LEN {
            let constraint = format!("Member must have length less than or equal to {MAX_POLICY_LEN}");
            return Err(crate::api::query::rules::constrained_value(text, "policy", &constraint));
        }
        PolicyText::parse(text).map_err(|error| malformed(error.0))?;
        policies.texts.push(text.to_owned());
    }
    for given in call.parameters.structures("PolicyArns") {
        policies.arns.push(given.get("arn").unwrap_or_default().to_owned());
    }
    if policies.arns.len() > MAX_ARNS {
        let constraint = format!("Member must have length less than or equal to {MAX_ARNS}");
        return Err(crate::api::query::rules::constrained("policyArns", &constraint));
    }
    Ok((policies != SessionPolicies::default()).then_some(policies))
}

/// Managed policies that limit a session must exist, in its account or at AWS.
pub(super) fn check_arns(
    account: &crate::iam::AccountState,
    policies: Option<&SessionPolicies>,
) -> Result<(), Refusal> {
    for arn in policies.iter().flat_map(|policies| &policies.arns) {
        if account.managed_text(arn).is_none() {
            let message = format!("The specified managed policy {arn} can't be found.");
            return Err(Refusal::new(Code::MalformedPolicyDocument, message));
        }
    }
    Ok(())
}

/// How much of what a session's policies and tags may take they do take, in percent.
pub(super) fn packed_percent(
    policies: Option<&SessionPolicies>,
    tags: &[(String, String)],
) -> Result<u32, Refusal> {
    let texts = policies.iter().flat_map(|policies| policies.texts.iter().chain(&policies.arns));
    let len: usize = texts.map(String::len).sum::<usize>()
        + tags.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
    let percent = (len * 100).div_ceil(MAX_PACKED_LEN) as u32;
    match percent {
        0..=100 => Ok(percent),
        _ => {
            let message = format!("Packed size of policies and tags is {percent}% of the allowed limit.");
            Err(Refusal::new(Code::PackedPolicyTooLarge, message))
        }
    }
}
