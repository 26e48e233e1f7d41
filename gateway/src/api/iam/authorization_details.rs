//! Everything of an account that permissions come from, at once.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html>

use super::attachment;
use super::entity::{self, Shape};
use super::kind::Holder;
use super::page::Page;
use super::policy::{self, Found};
use super::rules::constrained_value;
use super::usage::Usages;
use super::user;
use super::{Request, boundary, policy_version, tag};
use crate::api::query::{Answer, Refusal, encoded, list, texts};
use crate::api::xml::XmlWriter;
use crate::iam::{Entity, Group, Role, User, aws};
use crate::work;

const FILTERS: [&str; 5] = ["User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"];

/// What there is one of in the answer.
#[derive(Clone, Copy)]
enum Detail<'a> {
    User(&'a User),
    Group(&'a Group),
    Role(&'a Role),
    Policy(Found<'a>),
}

/// `GetAccountAuthorizationDetails`.
pub(super) fn get(request: &Request<'_>) -> Result<Answer, Refusal> {
    let filter = request.parameters().list("Filter");
    if !filter.iter().all(|name| FILTERS.contains(name)) {
        let known = FILTERS.join(", ");
        let constraint =
            format!("Member must satisfy constraint: [Member must satisfy enum value set: [{known}]]");
        return Err(constrained_value(format_args!("[{}]", filter.join(", ")), "filter", &constraint));
    }
    let page = Page::of(request.parameters())?;
    request.authorize("*")?;
    let state = &*request.state;
    let wanted = |name: &str| filter.is_empty() || filter.contains(&name);
    let mut all = Vec::new();
    if wanted("User") {
        all.extend(state.users.iter().map(|user| (key(1, user.name()), Detail::User(user))));
    }
    if wanted("Group") {
        all.extend(state.groups.iter().map(|group| (key(2, group.name()), Detail::Group(group))));
    }
    if wanted("Role") {
        all.extend(state.roles.iter().map(|role| (key(3, role.name()), Detail::Role(role))));
    }
    let own = state.policies.iter().map(Found::Own).filter(|_| wanted("LocalManagedPolicy"));
    // Of AWS's policies those that are used.
    let usages = Usages::of(state);
    let used = |found: &Found<'_>| usages.get(&found.arn(state));
    let is_used = |found: &Found<'_>| used(found) != (0, 0);
    let of_aws = aws::all().map(Found::Aws).filter(|_| wanted("AWSManagedPolicy")).filter(is_used);
    all.extend(own.chain(of_aws).map(|found| (key(4, &found.key()), Detail::Policy(found))));
    let listed = page.cut(all);
    let write = |xml: &mut XmlWriter| {
        let rows = || listed.rows.iter().copied();
        let users = rows().filter_map(|row| if let Detail::User(user) = row { Some(user) } else { None });
        list(xml, "UserDetailList", users, |xml, user| write_user(xml, request, user));
        let groups = rows().filter_map(|row| if let Detail::Group(group) = row { Some(group) } else { None });
        list(xml, "GroupDetailList", groups, |xml, group| write_group(xml, request, group));
        let roles = rows().filter_map(|row| if let Detail::Role(role) = row { Some(role) } else { None });
        list(xml, "RoleDetailList", roles, |xml, role| write_role(xml, request, role));
        let policies =
            rows().filter_map(|row| if let Detail::Policy(found) = row { Some(found) } else { None });
        list(xml, "Policies", policies, |xml, found| {
            policy::write(xml, state, found, used(&found));
            policy_version::write_all(xml, found);
        });
        listed.write_end(xml);
    };
    work::try_compute(|| Answer::of(write)).map_err(Refusal::throttled)
}

fn key(kind: u8, name: &str) -> String {
    format!("{kind} {}", name.to_lowercase())
}

fn write_user(xml: &mut XmlWriter, request: &Request<'_>, user: &User) {
    user::write(xml, request.account(), user, Shape::Listed);
    let groups: Vec<&str> = request.state.groups_of(user).map(|group| group.name()).collect();
    texts(xml, "GroupList", groups);
    write_policies(xml, "UserPolicyList", user);
    boundary::write(xml, user.boundary.as_deref());
    tag::write(xml, &user.tags);
}

fn write_group(xml: &mut XmlWriter, request: &Request<'_>, group: &Group) {
    entity::write_common(xml, request.account(), group, group.created_unix_ms);
    write_policies(xml, "GroupPolicyList", group);
}

fn write_role(xml: &mut XmlWriter, request: &Request<'_>, role: &Role) {
    entity::write_common(xml, request.account(), role, role.created_unix_ms);
    let trust = request.all.shown(role.trust.text(), role.trust.ids());
    xml.text("AssumeRolePolicyDocument", &encoded(&trust));
    for empty in ["InstanceProfileList", "RoleLastUsed"] {
        xml.open(empty);
        xml.close(empty);
    }
    write_policies(xml, "RolePolicyList", role);
    boundary::write(xml, role.boundary.as_deref());
    tag::write(xml, &role.tags);
}

fn write_policies<T: Holder>(xml: &mut XmlWriter, element: &str, holder: &T) {
    list(xml, element, holder.inline(), |xml, (name, policy)| {
        xml.text("PolicyName", name);
        xml.text("PolicyDocument", &encoded(policy.text()));
    });
    attachment::write_as(xml, "AttachedManagedPolicies", holder.attached().iter().map(String::as_str));
}
