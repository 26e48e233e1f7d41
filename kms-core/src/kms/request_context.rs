//! What conditions may know of a call:
//! <https://docs.aws.amazon.com/kms/latest/developerguide/policy-conditions.html>. Gathered when the first one asks: most calls are
//! decided without.

use std::cell::OnceCell;
use std::slice;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Caller, Kms};
use crate::context::EncryptionContext;
use crate::key::KmsKey;
use crate::policy::{Context, Gathered, Values};

/// Condition keys of one operation, by their lower-case names.
pub(crate) type OfOperation<'a> = &'a [(&'a str, Vec<String>)];

/// The values of a call. What the policies of services' keys ask for is at hand, and the aliases of its key are looked for among all, so
/// only where a condition asks for them.
struct RequestContext<'a, F> {
    kms: &'a Kms,
    caller: &'a Caller,
    key: Option<&'a KmsKey>,
    gathered: Gathered<F>,
    aliases: OnceCell<Vec<String>>,
}

impl<F: Fn() -> Context> Values for RequestContext<'_, F> {
    fn get(&self, name: &str) -> &[String] {
        match name {
            "kms:calleraccount" | "aws:principalaccount" => slice::from_ref(&self.caller.subject.account),
            "kms:viaservice" => self.caller.via_service.as_slice(),
            "kms:resourcealiases" => self.aliases.get_or_init(|| {
                let of = |key: &KmsKey| self.kms.aliases(|all| all.of_key(&key.account, key.id));
                self.key.map(of).unwrap_or_default()
            }),
            _ => self.gathered.get(name),
        }
    }
}

impl Kms {
    /// The values of condition keys of a call; of a key's too, where it is about one.
    pub(super) fn request_context<'a>(
        &'a self,
        caller: &'a Caller,
        key: Option<&'a KmsKey>,
        context: &'a EncryptionContext,
        of_operation: OfOperation<'a>,
    ) -> impl Values + 'a {
        let gather = move || {
            let mut values = of_caller(caller, &self.config.region, self.now_unix_ms());
            values.extend(key.map(of_key).unwrap_or_default());
            add_context(&mut values, context);
            values.extend(of_operation.iter().map(|(name, all)| ((*name).to_owned(), all.clone())));
            values
        };
        RequestContext { kms: self, caller, key, gathered: Gathered::new(gather), aliases: OnceCell::new() }
    }
}

fn of_caller(caller: &Caller, region: &str, now_unix_ms: u64) -> Context {
    let mut values = Context::new();
    let mut set = |name: &str, value: String| values.insert(name.to_owned(), vec![value]);
    // Of a role's session, the role's.
    let role = caller.subject.role.iter().find(|name| name.contains(":role/"));
    let principal = role.map_or(caller.arn(), String::as_str);
    set("aws:principalarn", principal.to_owned());
    set("aws:requestedregion", region.to_owned());
    set("aws:securetransport", caller.secure_transport.to_string());
    set("aws:principalisawsservice", false.to_string());
    set("aws:viaawsservice", caller.via_service.is_some().to_string());
    let now_s = now_unix_ms / 1000;
    set("aws:epochtime", now_s.to_string());
    let now = OffsetDateTime::from_unix_timestamp(now_s as i64).ok();
    if let Some(now) = now.and_then(|now| now.format(&Rfc3339).ok()) {
        set("aws:currenttime", now);
    }
    if let Some(ip) = caller.source_ip.filter(|_| caller.via_service.is_none()) {
        set("aws:sourceip", ip.to_canonical().to_string());
    }
    values
}

fn of_key(key: &KmsKey) -> Context {
    let mut values = Context::new();
    let mut set = |name: &str, value: &str| values.insert(name.to_owned(), vec![value.to_owned()]);
    set("kms:keyorigin", key.origin.name());
    set("kms:multiregion", "false");
    for name in ["kms:keyspec", "kms:customermasterkeyspec"] {
        set(name, key.spec.name());
    }
    for name in ["kms:keyusage", "kms:customermasterkeyusage"] {
        set(name, key.usage.name());
    }
    for (name, value) in &key.tags {
        set(&format!("aws:resourcetag/{}", name.to_ascii_lowercase()), value);
    }
    values
}

fn add_context(values: &mut Context, context: &EncryptionContext) {
    for (name, value) in context.iter() {
        // Names that differ by case alone are one condition key, with each of their values.
        let name = format!("kms:encryptioncontext:{}", name.to_ascii_lowercase());
        values.entry(name).or_default().push(value.to_owned());
    }
    if !context.is_empty() {
        let names = context.iter().map(|(name, _)| name.to_owned()).collect();
        values.insert("kms:encryptioncontextkeys".to_owned(), names);
    }
}
