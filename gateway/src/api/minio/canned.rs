//! Policies by their names alone, as MinIO calls them.

use std::sync::Arc;

use crate::iam::{AccountState, Entity, Managed, ManagedPolicy, aws};

/// Policies that MinIO has from the beginning. One is made as the account's own when it is first attached. (`diagnostics` is not here:
/// it allows nothing that this gateway has.)
const BUILT_IN: [(&str, &str); 4] = [
    (
        "consoleAdmin",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:*","kms:*","s3:*","sts:*"],"Resource":"*"}]}"#,
    ),
    (
        "readonly",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetBucketLocation","s3:GetObject"],"Resource":"*"}]}"#,
    ),
    (
        "readwrite",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#,
    ),
    (
        "writeonly",
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}]}"#,
    ),
];

/// A policy.
#[derive(Debug, Clone, Copy)]
pub(super) enum Canned<'a> {
    /// The account's.
    Own(&'a Arc<ManagedPolicy>),
    /// AWS's.
    Aws(&'static Managed),
    /// MinIO's, which the account does not have yet: name and text.
    BuiltIn(&'static str, &'static str),
}

impl<'a> Canned<'a> {
    /// The one of this name: the account's own, or else MinIO's, or else AWS's.
    pub(super) fn find(account: &'a AccountState, name: &str) -> Option<Self> {
        let own = account.policies.exact(name).map(Self::Own);
        let built_in = || BUILT_IN.into_iter().find(|(known, _)| *known == name);
        let of_aws = || aws::all().find(|managed| managed.name == name).map(Self::Aws);
        own.or_else(|| built_in().map(|(name, text)| Self::BuiltIn(name, text))).or_else(of_aws)
    }

    /// The names of all, without those that another one hides.
    pub(super) fn names(account: &AccountState) -> Vec<String> {
        let own = account.policies.iter().map(|policy| policy.name.clone());
        let built_in = BUILT_IN.iter().map(|(name, _)| (*name).to_owned());
        let mut names: Vec<_> = own.chain(built_in).chain(aws::all().map(|m| m.name.to_owned())).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Its ARN; of one that is not there yet the one that it will have.
    pub(super) fn arn(&self, account: &AccountState) -> String {
        match self {
            Self::Own(policy) => policy.arn(&account.account),
            Self::Aws(managed) => managed.arn.clone(),
            Self::BuiltIn(name, _) => account.account.iam_arn(&format!("policy/{name}")),
        }
    }

    /// What it says.
    pub(super) fn text(&self) -> &'a str {
        match *self {
            Self::Own(policy) => policy.versions.get(&policy.default_version).map_or("", |v| v.policy.text()),
            Self::Aws(managed) => managed.policy.text(),
            Self::BuiltIn(_, text) => text,
        }
    }
}

/// The name that a policy of this ARN has.
pub(super) fn name_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// The names of policies, with commas between.
pub(super) fn names_of(arns: &[String]) -> String {
    arns.iter().map(|arn| name_of(arn)).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iam::PolicyText;

    #[test]
    fn built_in_policies_can_be_read() {
        for (name, text) in BUILT_IN {
            assert!(PolicyText::parse(text).is_ok(), "{name}");
        }
        assert!(BUILT_IN.is_sorted());
        assert_eq!(name_of("arn:aws:iam::aws:policy/job-function/ViewOnlyAccess"), "ViewOnlyAccess");
    }
}
