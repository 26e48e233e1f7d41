//! Which condition keys a request of IAM has, and where each value comes from: one table, after AWS's service authorization reference.
//! A parameter that an action does not have says nothing, whatever its name is.
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html>,
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html>

use crate::api::query::Parameters;
use crate::authz::Context;

/// Condition keys that come from one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// `iam:PermissionsBoundary` is the boundary that the user or role is to have: the parameter of that name.
    NewBoundary,
    /// `iam:PermissionsBoundary` is the boundary that the user or role has.
    OwnBoundary,
    /// `iam:PolicyARN`: the parameter `PolicyArn`.
    PolicyArn,
    /// `aws:RequestTag/…` and `aws:TagKeys`: the parameter `Tags`.
    Tags,
    /// `aws:TagKeys`: the parameter of that name.
    TagKeys,
}

use Source::{NewBoundary, OwnBoundary, PolicyArn, TagKeys, Tags};

/// What an action has beside what every request has.
fn sources(action: &str) -> &'static [Source] {
    match action {
        "CreateUser" | "CreateRole" => &[NewBoundary, Tags],
        "PutUserPermissionsBoundary" | "PutRolePermissionsBoundary" => &[NewBoundary],
        "AttachUserPolicy" | "AttachRolePolicy" | "DetachUserPolicy" | "DetachRolePolicy" => {
            &[OwnBoundary, PolicyArn]
        }
        "DeleteUserPermissionsBoundary"
        | "DeleteRolePermissionsBoundary"
        | "PutUserPolicy"
        | "PutRolePolicy"
        | "DeleteUserPolicy"
        | "DeleteRolePolicy"
        | "GetRole"
        | "DeleteRole"
        | "UpdateRole"
        | "UpdateRoleDescription"
        | "UpdateAssumeRolePolicy" => &[OwnBoundary],
        "AttachGroupPolicy" | "DetachGroupPolicy" => &[PolicyArn],
        "CreatePolicy"
        | "CreateOpenIDConnectProvider"
        | "TagUser"
        | "TagRole"
        | "TagPolicy"
        | "TagOpenIDConnectProvider" => &[Tags],
        "UntagUser" | "UntagRole" | "UntagPolicy" | "UntagOpenIDConnectProvider" => &[TagKeys],
        _ => &[],
    }
}

/// What a request is about, as far as conditions ask: what does not exist yet has neither.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct About<'a> {
    /// Its tags: `aws:ResourceTag/…`, `iam:ResourceTag/…`.
    pub(super) tags: &'a [(String, String)],
    /// ARN of its permissions boundary.
    pub(super) boundary: Option<&'a str>,
}

/// Values of condition keys by their lower-case names.
pub(super) fn of(action: &str, parameters: &Parameters, about: About<'_>) -> Context {
    let mut context = Context::new();
    for (name, value) in about.tags {
        for of in ["aws:resourcetag", "iam:resourcetag"] {
            context.insert(format!("{of}/{}", name.to_ascii_lowercase()), vec![value.clone()]);
        }
    }
    let mut put = |name: String, values: Vec<String>| {
        if !values.is_empty() {
            context.insert(name, values);
        }
    };
    let one = |text: Option<&str>| text.map(str::to_owned).into_iter().collect();
    for source in sources(action) {
        match source {
            NewBoundary => {
                put("iam:permissionsboundary".to_owned(), one(parameters.get("PermissionsBoundary")));
            }
            OwnBoundary => put("iam:permissionsboundary".to_owned(), one(about.boundary)),
            PolicyArn => put("iam:policyarn".to_owned(), one(parameters.get("PolicyArn"))),
            Tags => {
                let mut keys = Vec::new();
                for tag in parameters.structures("Tags") {
                    let (key, value) =
                        (tag.get("Key").unwrap_or_default(), tag.get("Value").unwrap_or_default());
                    put(format!("aws:requesttag/{}", key.to_ascii_lowercase()), vec![value.to_owned()]);
                    keys.push(key.to_owned());
                }
                put("aws:tagkeys".to_owned(), keys);
            }
            TagKeys => {
                let keys = parameters.list("TagKeys").into_iter().map(str::to_owned).collect();
                put("aws:tagkeys".to_owned(), keys);
            }
        }
    }
    context
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::iam::operation::{Handler, OPERATIONS};
    use crate::authz::reference;

    /// Keys that rightly have no value here, and why.
    const ABSENT: &[(&str, &str)] = &[
        ("iam:AssociatedResourceArn", "no service here takes a role, so iam:PassRole is never asked"),
        ("iam:PassedToService", "no service here takes a role, so iam:PassRole is never asked"),
        ("iam:AWSServiceName", "CreateServiceLinkedRole is not implemented"),
        ("iam:DelegationDuration", "delegation requests are not implemented"),
        ("iam:DelegationRequestOwner", "delegation requests are not implemented"),
        ("iam:NotificationChannel", "delegation requests are not implemented"),
        ("iam:TemplateArn", "delegation requests are not implemented"),
        ("iam:FIDO-certification", "nobody has a second factor"),
        ("iam:FIDO-FIPS-140-2-certification", "nobody has a second factor"),
        ("iam:FIDO-FIPS-140-3-certification", "nobody has a second factor"),
        ("iam:RegisterSecurityKey", "nobody has a second factor"),
        ("iam:OrganizationsPolicyId", "there are no organizations"),
        ("iam:ServiceSpecificCredentialAgeDays", "there are no service-specific credentials"),
        ("iam:ServiceSpecificCredentialServiceName", "there are no service-specific credentials"),
    ];

    fn names(source: Source) -> &'static [&'static str] {
        match source {
            NewBoundary | OwnBoundary => &["iam:PermissionsBoundary"],
            PolicyArn => &["iam:PolicyARN"],
            Tags => &["aws:RequestTag/${TagKey}", "aws:TagKeys"],
            TagKeys => &["aws:TagKeys"],
        }
    }

    #[test]
    fn every_action_has_the_keys_that_aws_gives_it() {
        let everything =
            "PermissionsBoundary=b&PolicyArn=p&Tags.member.1.Key=K&Tags.member.1.Value=v&TagKeys.member.1=T";
        let (mut compared, mut acting) = (0, 0);
        for (action, handler) in OPERATIONS {
            let ours: BTreeSet<&str> =
                sources(action).iter().flat_map(|source| names(*source)).copied().collect();
            if matches!(handler, Handler::NotHere) {
                assert!(ours.is_empty(), "{action} is not implemented");
                continue;
            }
            let row = reference::action("iam", action).unwrap_or_else(|| panic!("{action} is no action"));
            let theirs: BTreeSet<&str> = row.condition_keys.into_iter().collect();
            assert_eq!(ours, theirs, "{action}");
            compared += 1;
            let context = context(action, everything);
            for key in ours {
                let key = key.to_ascii_lowercase().replace("${tagkey}", "k");
                assert!(reference::acts(&format!("iam:{action}"), &context, &key), "{action}: {key}");
                acting += 1;
            }
        }
        assert_eq!((compared, acting), (103, 45));
    }

    #[test]
    fn every_key_has_a_place_or_a_reason() {
        for (key, why) in ABSENT {
            let row = format!("| `{key}` | none, ever: {why} |");
            assert!(include_str!("../../../CONDITION-KEYS.md").contains(&row), "{row}");
        }
        let served =
            OPERATIONS.iter().flat_map(|(action, _)| sources(action)).flat_map(|source| names(*source));
        let mut known: BTreeSet<&str> = served.copied().collect();
        known.extend(["aws:ResourceTag/${TagKey}", "iam:ResourceTag/${TagKey}"]);
        for (key, _) in ABSENT {
            assert!(known.insert(key), "{key} has a value");
        }
        assert_eq!(known, reference::condition_keys("iam").collect());
    }

    const BOUNDARY: &str = "arn:aws:iam::111122223333:policy/Mine";

    fn context(action: &str, form: &str) -> Context {
        let tags = [("Team".to_owned(), "a".to_owned())];
        let parameters = Parameters::parse(&[form.as_bytes()]).unwrap();
        of(action, &parameters, About { tags: &tags, boundary: Some(BOUNDARY) })
    }

    fn keys(context: &Context) -> Vec<&str> {
        context.keys().map(String::as_str).collect()
    }

    #[test]
    fn parameters_that_an_action_does_not_have_say_nothing() {
        let stray = "PermissionsBoundary=other&PolicyArn=p&Tags.member.1.Key=K&Tags.member.1.Value=v&TagKeys.member.1=T";
        let of_resource = ["aws:resourcetag/team", "iam:resourcetag/team"];
        let put_policy = context("PutUserPolicy", stray);
        assert_eq!(put_policy["iam:permissionsboundary"], [BOUNDARY]);
        assert_eq!(keys(&put_policy), [of_resource[0], "iam:permissionsboundary", of_resource[1]]);
        assert_eq!(keys(&context("GetUser", stray)), of_resource);
        assert_eq!(context("PutUserPermissionsBoundary", stray)["iam:permissionsboundary"], ["other"]);
        assert!(!context("PutUserPermissionsBoundary", "").contains_key("iam:permissionsboundary"));
        let attach = context("AttachUserPolicy", stray);
        assert_eq!(
            (&attach["iam:policyarn"][0][..], &attach["iam:permissionsboundary"][0][..]),
            ("p", BOUNDARY)
        );
        assert!(!attach.contains_key("aws:tagkeys"));
        let create = context("CreateUser", stray);
        assert_eq!((&create["aws:tagkeys"][0][..], &create["aws:requesttag/k"][0][..]), ("K", "v"));
        assert_eq!(create["iam:permissionsboundary"], ["other"]);
        assert_eq!(context("UntagUser", stray)["aws:tagkeys"], ["T"]);
    }
}
