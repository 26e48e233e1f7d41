//! Random policies, made to speak of the requests that are compared, or to miss them narrowly.

use std::fmt;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::{BUCKET, USER};

/// The policies of one case, each a list of statements.
#[derive(Clone)]
pub(super) struct Case {
    /// Of the user.
    pub(super) user: Vec<Value>,
    /// Of the group that the user is in; `None`: is in none.
    pub(super) group: Option<Vec<Value>>,
    /// Of the user's permissions boundary.
    pub(super) boundary: Option<Vec<Value>>,
    /// Of the bucket.
    pub(super) bucket: Option<Vec<Value>>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all =
            json!({"user": self.user, "group": self.group, "boundary": self.boundary, "bucket": self.bucket});
        write!(f, "{all:#}")
    }
}

/// The text of a policy of these statements.
pub(super) fn document(statements: &[Value]) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

pub(super) fn case(account: &str) -> impl Strategy<Value = Case> + use<> {
    let user = vec(identity_statement(), 1..=4);
    let group = option::weighted(0.4, vec(identity_statement(), 1..=4));
    let boundary = option::weighted(0.4, vec(identity_statement(), 1..=4));
    let bucket = option::weighted(0.5, vec(bucket_statement(account), 1..=3));
    (user, group, boundary, bucket).prop_map(|(user, group, boundary, bucket)| Case {
        user,
        group,
        boundary,
        bucket,
    })
}

/// An element and its opposite, the one more often than the other.
fn either(plain: &'static str, not: &'static str) -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just(plain), 1 => Just(not)]
}

fn effect() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just("Allow"), 1 => Just("Deny")]
}

fn identity_statement() -> impl Strategy<Value = Value> {
    const ACTIONS: [&str; 16] = [
        "*",
        "s3:*",
        "kms:*",
        "s3:GetObject",
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:ListBucket",
        "kms:Encrypt",
        "kms:DescribeKey",
        "s3:Get*",
        "s3:*Object",
        "S3:PUTOBJECT",
        "s3:List?ucket",
        "kms:E*t",
        "*:De*",
        "s3:GetObjectVersion",
    ];
    let actions = (either("Action", "NotAction"), vec(select(&ACTIONS[..]), 1..=3));
    let resources = (either("Resource", "NotResource"), vec(identity_resource(), 1..=2));
    let broad = Just(json!({"Effect": "Allow", "Action": "*", "Resource": "*"}));
    let narrow = (effect(), actions, resources, conditions()).prop_map(
        |(effect, (action, actions), (resource, resources), conditions)| {
            json!({"Effect": effect, action: actions, resource: resources, "Condition": conditions})
        },
    );
    prop_oneof![1 => broad, 5 => narrow]
}

fn identity_resource() -> impl Strategy<Value = String> {
    let others = select(&["arn:aws:kms:*:*:key/*", "arn:aws:s3:::*", "arn:aws:s3:::other/*"][..]);
    prop_oneof![3 => Just("*".to_owned()), 6 => bucket_resource(), 3 => others.prop_map(str::to_owned)]
}

/// The bucket, or some of its objects.
fn bucket_resource() -> impl Strategy<Value = String> {
    const REST: [&str; 9] = [
        "/*",
        "",
        "*",
        "/home/*",
        "/home/${aws:username}/*",
        "/${aws:PrincipalTag/team}/*",
        "/home/differ/object",
        "/home/dif?er/wr*",
        "/red/*",
    ];
    select(&REST[..]).prop_map(|rest| format!("arn:aws:s3:::{BUCKET}{rest}"))
}

fn bucket_statement(account: &str) -> impl Strategy<Value = Value> + use<> {
    const ACTIONS: [&str; 6] =
        ["s3:*", "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "s3:Get*"];
    let user = format!("arn:aws:iam::{account}:user/{USER}");
    let root = format!("arn:aws:iam::{account}:root");
    let account = account.to_owned();
    let effect_and_whom = prop_oneof![
        3 => Just(json!({"Effect": "Allow", "Principal": {"AWS": user.clone()}})),
        1 => Just(json!({"Effect": "Allow", "Principal": {"AWS": account}})),
        1 => Just(json!({"Effect": "Deny", "Principal": {"AWS": user.clone()}})),
        1 => Just(json!({"Effect": "Deny", "Principal": "*"})),
        1 => Just(json!({"Effect": "Deny", "NotPrincipal": {"AWS": [user, root.clone()]}})),
        1 => Just(json!({"Effect": "Deny", "NotPrincipal": {"AWS": root}})),
    ];
    let itself = format!("arn:aws:s3:::{BUCKET}");
    let objects = bucket_resource().prop_map(|one| if one.contains('/') { one } else { format!("{one}/*") });
    let resources = prop_oneof![
        4 => objects.prop_map(move |objects| ("Resource", vec![itself.clone(), objects])),
        1 => bucket_resource().prop_map(|one| ("NotResource", vec![one])),
    ];
    let actions = (either("Action", "NotAction"), vec(select(&ACTIONS[..]), 1..=2));
    (effect_and_whom, actions, resources, conditions()).prop_map(
        |(mut statement, (action, mut actions), (resource, resources), conditions)| {
            // S3 refuses a condition that one of the actions does not have.
            if action == "Action" && conditions.to_string().contains("s3:prefix") {
                actions.retain(|action| ["s3:*", "s3:ListBucket"].contains(action));
                if actions.is_empty() {
                    actions.push("s3:ListBucket");
                }
            }
            statement[action] = json!(actions);
            statement[resource] = json!(resources);
            statement["Condition"] = conditions;
            statement
        },
    )
}

/// None, one or two conditions, most of which hold for some of the requests.
fn conditions() -> impl Strategy<Value = Value> {
    prop_oneof![3 => vec(condition(), 0..=0), 2 => vec(condition(), 1..=2)].prop_map(|all| {
        let mut conditions = json!({});
        for (operator, key, values) in all {
            conditions[operator][key] = values;
        }
        conditions
    })
}

fn condition() -> impl Strategy<Value = (&'static str, &'static str, Value)> {
    const OF_STRINGS: [&str; 8] = [
        "StringEquals",
        "StringLike",
        "StringNotEquals",
        "StringNotLike",
        "StringEqualsIfExists",
        "StringLikeIfExists",
        "ForAnyValue:StringLike",
        "ForAllValues:StringEquals",
    ];
    const STRINGS: [(&str, &[&str]); 3] = [
        ("aws:username", &[USER, "dif*", "nobody", "${aws:username}"]),
        ("aws:PrincipalTag/team", &["red", "blue", "r?d", "${aws:PrincipalTag/team}"]),
        ("s3:prefix", &["home/differ/", "home/${aws:username}/", "home/*", "red/", ""]),
    ];
    const NAMES: [&str; 5] =
        ["aws:username", "s3:prefix", "aws:PrincipalTag/team", "aws:PrincipalTag/none", "aws:SourceIp"];
    let of_strings = select(&STRINGS[..])
        .prop_flat_map(|(key, values)| (select(&OF_STRINGS[..]), Just(key), vec(select(values), 1..=2)));
    let truth = || select(&["true", "false"][..]);
    let of_truth = (select(&["Bool", "BoolIfExists"][..]), Just("aws:SecureTransport"), truth());
    let addresses = select(&["127.0.0.0/8", "127.0.0.1", "10.0.0.0/8", "::/0"][..]);
    let of_addresses =
        (select(&["IpAddress", "NotIpAddress", "IpAddressIfExists"][..]), Just("aws:SourceIp"), addresses);
    prop_oneof![
        5 => of_strings.prop_map(|(operator, key, values)| (operator, key, json!(values))),
        1 => of_truth.prop_map(|(operator, key, value)| (operator, key, json!(value))),
        2 => of_addresses.prop_map(|(operator, key, value)| (operator, key, json!(value))),
        2 => (select(&NAMES[..]), truth()).prop_map(|(key, value)| ("Null", key, json!(value))),
    ]
}
