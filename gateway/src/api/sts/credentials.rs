//! Temporary credentials as they are given.

use crate::api::query::Call;
use crate::api::xml::XmlWriter;
use crate::iam::{Session, SessionOf, SessionPolicies, iso8601, temporary_access_key};

/// What a session is to be.
pub(super) struct Wanted {
    pub(super) account: String,
    pub(super) of: SessionOf,
    pub(super) duration_s: u32,
    pub(super) policies: Option<SessionPolicies>,
    pub(super) tags: super::tags::SessionTags,
    pub(super) source_identity: Option<String>,
    pub(super) claims: crate::authz::Context,
}

/// Makes a session.
pub(super) fn make(call: &Call<'_>, wanted: Wanted) -> Session {
    let (access_key_id, secret_access_key) = temporary_access_key(&wanted.account);
    let issued_unix_s = call.global_keys.now_unix_ms / 1000;
    Session {
        access_key_id,
        secret_access_key,
        account: wanted.account,
        of: wanted.of,
        issued_unix_s,
        expires_unix_s: issued_unix_s + u64::from(wanted.duration_s),
        policies: wanted.policies,
        tags: wanted.tags.given,
        transitive: wanted.tags.transitive,
        source_identity: wanted.source_identity,
        claims: wanted.claims,
    }
}

/// Writes `Credentials`.
pub(super) fn write(xml: &mut XmlWriter, call: &Call<'_>, session: &Session) {
    xml.open("Credentials");
    xml.text("AccessKeyId", &session.access_key_id);
    xml.text("SecretAccessKey", &session.secret_access_key);
    xml.text("SessionToken", &call.app.iam.seal_session(session));
    xml.text("Expiration", &iso8601(session.expires_unix_s));
    xml.close("Credentials");
}
