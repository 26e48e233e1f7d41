//! What users, groups, roles and policies have in common, so that what is done to all of them is written once.

use std::collections::BTreeMap;

use super::context::About;
use super::quota::Quota;
use crate::iam::{Group, Kept, ManagedPolicy, PolicyText, Role, Tags, User};

/// A user, group, role or managed policy.
pub(super) trait Kind: Kept + Send + Sync + 'static {
    /// The parameter with its name.
    const NAME: &'static str;
    /// Its name's longest length when it is made.
    const MAX_NAME_LEN: usize;
    /// Its unique id.
    const ID: &'static str;
    /// How messages begin with it.
    const TITLE: &'static str;
    /// How many an account may have.
    const QUOTA: Quota;

    /// Its tags.
    fn tags(&self) -> &[(String, String)];
    /// ARN of its permissions boundary.
    fn boundary(&self) -> Option<&str>;

    /// What conditions may ask of it.
    fn about(&self) -> About<'_> {
        About { tags: self.tags(), boundary: self.boundary() }
    }
}

/// A user, group or role: who has policies.
pub(super) trait Holder: Kind {
    /// How long its inline policies may be together.
    const INLINE_QUOTA: Quota;
    /// How many managed policies it may have.
    const ATTACHED_QUOTA: Quota;

    /// Inline policies by name.
    fn inline(&self) -> &BTreeMap<String, PolicyText>;
    /// To change them.
    fn inline_mut(&mut self) -> &mut BTreeMap<String, PolicyText>;
    /// ARNs of managed policies.
    fn attached(&self) -> &[String];
    /// To change them.
    fn attached_mut(&mut self) -> &mut Vec<String>;
}

/// A user or role: who may have a permissions boundary.
pub(super) trait Bounded: Holder {
    /// To change it.
    fn boundary_mut(&mut self) -> &mut Option<String>;
}

/// A user, role or policy: what may have tags.
pub(super) trait Tagged: Kind {
    /// Are keys that differ in case the same key?
    const FOLDS_KEYS: bool;

    /// To change its tags.
    fn tags_mut(&mut self) -> &mut Tags;
}

macro_rules! kinds {
    ($($type:ident $name:literal $max_len:literal $id:literal $title:literal $quota:ident $tags:expr, $boundary:expr;)*) => {$(
        impl Kind for $type {
            const NAME: &'static str = $name;
            const MAX_NAME_LEN: usize = $max_len;
            const ID: &'static str = $id;
            const TITLE: &'static str = $title;
            const QUOTA: Quota = Quota::$quota;

            fn tags(&self) -> &[(String, String)] {
                let tags: fn(&Self) -> &[(String, String)] = $tags;
                tags(self)
            }

            fn boundary(&self) -> Option<&str> {
                let boundary: fn(&Self) -> Option<&str> = $boundary;
                boundary(self)
            }
        }
    )*};
}
kinds! {
    User "UserName" 64 "UserId" "User" Users |user| &user.tags, |user| user.boundary.as_deref();
    Group "GroupName" 128 "GroupId" "Group" Groups |_| &[], |_| None;
    Role "RoleName" 64 "RoleId" "Role" Roles |role| &role.tags, |role| role.boundary.as_deref();
    ManagedPolicy "PolicyName" 128 "PolicyId" "Policy" Policies |policy| &policy.tags, |_| None;
}

macro_rules! holders {
    ($($type:ident $inline:ident $attached:ident;)*) => {$(
        impl Holder for $type {
            const INLINE_QUOTA: Quota = Quota::$inline;
            const ATTACHED_QUOTA: Quota = Quota::$attached;

            fn inline(&self) -> &BTreeMap<String, PolicyText> {
                &self.inline
            }

            fn inline_mut(&mut self) -> &mut BTreeMap<String, PolicyText> {
                &mut self.inline
            }

            fn attached(&self) -> &[String] {
                &self.attached
            }

            fn attached_mut(&mut self) -> &mut Vec<String> {
                &mut self.attached
            }
        }
    )*};
}
holders! {
    User UserPolicySize AttachedPoliciesPerUser;
    Group GroupPolicySize AttachedPoliciesPerGroup;
    Role RolePolicySize AttachedPoliciesPerRole;
}

macro_rules! bounded {
    ($($type:ident)*) => {$(
        impl Bounded for $type {
            fn boundary_mut(&mut self) -> &mut Option<String> {
                &mut self.boundary
            }
        }
    )*};
}
bounded!(User Role);

macro_rules! tagged {
    ($($type:ident $folds:literal;)*) => {$(
        impl Tagged for $type {
            const FOLDS_KEYS: bool = $folds;

            fn tags_mut(&mut self) -> &mut Tags {
                &mut self.tags
            }
        }
    )*};
}
tagged! {
    User true;
    Role true;
    ManagedPolicy false;
}
