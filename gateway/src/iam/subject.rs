//! What policies see of users and of sessions.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>

use std::collections::BTreeMap;
use std::sync::Arc;

use kms_core::policy::{Context, IdentityPolicies, NamedPolicy, PolicySet, Subject};

use super::account::Account;
use super::managed;
use super::missing::denied_without;
use super::model::{Role, User};
use super::policy_text::PolicyText;
use super::state::{AccountState, Entity, RolePolicies, Seen};

impl AccountState {
    /// The root user, as policies see it.
    pub fn root_subject(&self) -> Arc<Subject> {
        let account = &self.account.id;
        if let Some(Seen::User(subject)) = self.seen.read().get(account) {
            return subject.clone();
        }
        let arn = self.account.iam_arn("root");
        let context = context(&[
            ("aws:principaltype", "Account"),
            ("aws:principalaccount", account),
            ("aws:principalarn", &arn),
            ("aws:userid", account),
        ]);
        let subject = Arc::new(Subject { context, ..Subject::root_user(account) });
        self.seen.write().insert(account.clone(), Seen::User(subject.clone()));
        subject
    }

    /// A user, as policies see it.
    pub fn user_subject(&self, user: &User) -> Arc<Subject> {
        if let Some(Seen::User(subject)) = self.seen.read().get(&user.id) {
            return subject.clone();
        }
        let arn = user.arn(&self.account);
        let mut context = context(&[
            ("aws:principaltype", "User"),
            ("aws:principalaccount", &self.account.id),
            ("aws:principalarn", &arn),
            ("aws:userid", &user.id),
            ("aws:username", &user.name),
        ]);
        add_principal_tags(&mut context, &user.tags);
        let mut policies = self.policies_of(&arn, (&user.inline, &user.attached));
        for group in self.groups_of(user) {
            policies.extend(self.policies_of(&arn, (&group.inline, &group.attached)));
        }
        policies.extend(self.missing_groups_of(user).map(|id| denied_without(&arn, id)));
        let boundary = self.boundary(&arn, user.boundary.as_deref());
        let subject = Arc::new(Subject {
            itself: vec![arn.clone(), user.id.clone()],
            arn,
            account: self.account.id.clone(),
            identity: IdentityPolicies::These(Arc::new(PolicySet::new(policies))),
            boundary,
            context,
            ..Subject::default()
        });
        self.seen.write().insert(user.id.clone(), Seen::User(subject.clone()));
        subject
    }

    /// What a role may have.
    pub fn role_policies(&self, role: &Role) -> Arc<RolePolicies> {
        if let Some(Seen::Role(policies)) = self.seen.read().get(&role.id) {
            return policies.clone();
        }
        let arn = role.arn(&self.account);
        let identity = Arc::new(PolicySet::new(self.policies_of(&arn, (&role.inline, &role.attached))));
        let boundary = self.boundary(&arn, role.boundary.as_deref());
        let policies = Arc::new(RolePolicies { identity, boundary });
        self.seen.write().insert(role.id.clone(), Seen::Role(policies.clone()));
        policies
    }

    /// A session of a role, as policies see it whatever its name is.
    pub fn role_subject(&self, role: &Role) -> Subject {
        let arn = role.arn(&self.account);
        let mut context = context(&[
            ("aws:principaltype", "AssumedRole"),
            ("aws:principalaccount", &self.account.id),
            ("aws:principalarn", &arn),
        ]);
        add_principal_tags(&mut context, &role.tags);
        let policies = self.role_policies(role);
        Subject {
            role: vec![arn.clone(), role.id.clone()],
            arn,
            account: self.account.id.clone(),
            identity: IdentityPolicies::These(policies.identity.clone()),
            boundary: policies.boundary.clone(),
            context,
            ..Subject::default()
        }
    }

    /// Inline policies and attached ones, for this principal.
    fn policies_of(
        &self,
        principal: &str,
        (inline, attached): (&BTreeMap<String, PolicyText>, &[String]),
    ) -> Vec<NamedPolicy> {
        let inline = inline.iter().map(|(name, policy)| policy.named(name));
        inline.chain(attached.iter().map(|arn| self.named_policy(principal, arn))).collect()
    }

    /// The managed policy of this ARN, of the account or of AWS, for this principal. One that can't be found denies it everything.
    pub(super) fn named_policy(&self, principal: &str, arn: &str) -> NamedPolicy {
        self.managed_text(arn).map_or_else(|| denied_without(principal, arn), |policy| policy.named(arn))
    }

    /// What the managed policy of this ARN says in its version in force.
    pub fn managed_text(&self, arn: &str) -> Option<&PolicyText> {
        if let Some(managed) = managed::find(arn) {
            return Some(&managed.policy);
        }
        let own = arn.strip_prefix(&self.account.iam_arn("policy"))?;
        let policy = self.policies.by_path_and_name(own)?;
        Some(&policy.versions.get(&policy.default_version)?.policy)
    }

    fn boundary(&self, principal: &str, arn: Option<&str>) -> Option<Arc<PolicySet>> {
        arn.map(|arn| Arc::new(PolicySet::new(vec![self.named_policy(principal, arn)])))
    }
}

/// Values of condition keys, one each.
pub(super) fn context(pairs: &[(&str, &str)]) -> Context {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect()
}

/// `aws:PrincipalTag/…`; what comes later replaces what was there.
pub(super) fn add_principal_tags(context: &mut Context, tags: &[(String, String)]) {
    for (name, value) in tags {
        context.insert(format!("aws:principaltag/{}", name.to_ascii_lowercase()), vec![value.clone()]);
    }
}

/// The ARN that policies call a role's account by, and the like.
pub(super) fn assumed_role_arn(account: &Account, role: &Role, session_name: &str) -> String {
    format!("arn:aws:sts::{}:assumed-role/{}/{session_name}", account.id, role.name)
}
