//! Accounts, users, roles and sessions, and who may do what, asked by boto3: whose parser holds each answer against AWS's model.

use conformance_tests::installed;
use conformance_tests::server::Server;

/// Runs a script with the credentials of two accounts' root users.
fn run(script: &str) {
    let server = Server::start().unwrap();
    let other = server.create_account("other").unwrap();
    let variables = [
        ("OTHER_ACCOUNT_ID", other.id),
        ("OTHER_ACCESS_KEY_ID", other.access_key_id),
        ("OTHER_SECRET_ACCESS_KEY", other.secret_access_key),
    ];
    installed::run_client(&server, script, &variables).unwrap();
}

#[test]
fn users_groups_roles_and_policies() {
    run("iam.py");
}

#[test]
fn who_may_change_identities() {
    run("iam_access.py");
}

#[test]
fn temporary_credentials() {
    run("sts.py");
}

#[test]
fn what_terraform_asks_for() {
    run("terraform.py");
}

/// Parameters of other actions, names in another case, fields and conditions where they mean nothing or two things.
#[test]
fn what_stands_where_it_says_nothing() {
    run("parameters.py");
}

/// Principal × policies × action × account: `clients/authorization.tsv`.
#[test]
fn the_authorization_matrix() {
    run("authorization.py");
}

/// Conditions that every service knows: here the region that was asked, by S3, KMS, IAM and STS.
#[test]
fn conditions_of_every_service() {
    let server = Server::start().unwrap();
    let script = r#"
import boto3
from botocore.exceptions import ClientError
iam = boto3.client("iam")
iam.create_user(UserName="bound")
key = iam.create_access_key(UserName="bound")["AccessKey"]
as_bound = lambda service: boto3.client(service, aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
s3, kms, own, sts = (as_bound(service) for service in ["s3", "kms", "iam", "sts"])
calls = [s3.list_buckets, lambda: s3.create_bucket(Bucket="of-the-region"), kms.list_keys, own.list_users,
         lambda: sts.get_federation_token(Name="guest")]
for region, allowed in [("us-east-1", True), ("eu-west-1", False)]:
    condition = '{"StringEquals":{"aws:RequestedRegion":"%s"}}' % region
    policy = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":%s}}' % condition
    iam.put_user_policy(UserName="bound", PolicyName="region", PolicyDocument=policy)
    for call in calls:
        try:
            call()
            answered = True
        except ClientError as error:
            assert error.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException"), error
            answered = False
        assert answered == allowed, (region, call)
"#;
    installed::run_python(&server.endpoint, script).unwrap();
}

#[test]
fn accounts() {
    let server = Server::start().unwrap();
    let other = server.create_account("other").unwrap();
    let script = format!(
        r#"
import boto3
from botocore.exceptions import ClientError
other = dict(aws_access_key_id="{}", aws_secret_access_key="{}")
def code(call, **parameters):
    try:
        call(**parameters)
    except ClientError as error:
        return error.response["Error"]["Code"]
"#,
        other.access_key_id, other.secret_access_key
    );
    let run = |rest: &str| installed::run_python(&server.endpoint, &format!("{script}{rest}")).unwrap();
    let answered = run(r#"
s3 = boto3.client("s3", **other)
s3.create_bucket(Bucket="of-another")
assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == ["of-another"]
assert boto3.client("s3").list_buckets()["Buckets"] == []
assert code(boto3.client("s3").list_objects_v2, Bucket="of-another") == "AccessDenied"
assert code(boto3.client("s3").create_bucket, Bucket="of-another") == "BucketAlreadyExists"
print(boto3.client("sts", **other).get_caller_identity()["Account"])
"#);
    assert_eq!(answered, other.id);
    // What ACLs grant: to an account, by its canonical id or address, and to everybody who signs.
    run(r#"
mine = boto3.client("s3")
at = {"Bucket": "of-another"}
s3 = boto3.client("s3", **other)
s3.put_object(**at, Key="k", Body=b"x")
s3.put_bucket_ownership_controls(**at, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]})
s3.delete_public_access_block(**at)
canonical = mine.list_buckets()["Owner"]["ID"]
iam = boto3.client("iam")
iam.create_user(UserName="guest")
key = iam.create_access_key(UserName="guest")["AccessKey"]
guest = boto3.client("s3", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
s3.put_object_acl(**at, Key="k", GrantRead=f'id="{canonical}"')
grants = s3.get_object_acl(**at, Key="k")["Grants"]
assert grants[0]["Grantee"]["ID"] == canonical and grants[0]["Permission"] == "READ", grants
assert mine.get_object(**at, Key="k")["Body"].read() == b"x"
# A user of that account needs its own account's permission besides.
assert code(guest.get_object, **at, Key="k") == "AccessDenied"
allow = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}'
iam.put_user_policy(UserName="guest", PolicyName="reads", PolicyDocument=allow)
assert guest.get_object(**at, Key="k")["Body"].read() == b"x"
iam.delete_user_policy(UserName="guest", PolicyName="reads")
s3.put_object_acl(**at, Key="k", ACL="authenticated-read")
assert guest.get_object(**at, Key="k")["Body"].read() == b"x"
from botocore import UNSIGNED
from botocore.config import Config
anonymous = boto3.client("s3", config=Config(signature_version=UNSIGNED))
assert code(anonymous.get_object, **at, Key="k") == "AccessDenied"
s3.put_object_acl(**at, Key="k", ACL="public-read")
assert anonymous.get_object(**at, Key="k")["Body"].read() == b"x"
assert code(s3.put_object_acl, **at, Key="k", GrantRead='id="0000"') == "InvalidArgument"
assert code(s3.put_object_acl, **at, Key="k", GrantRead='emailAddress="x@example.com"') == "UnresolvableGrantByEmailAddress"
"#);
    let command = |arguments: &[&str]| {
        let output = server.command(&[&["account"], arguments].concat()).unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (_, listed) = command(&["list"]);
    assert!(listed.contains(&other.id) && !listed.contains(&other.secret_access_key), "{listed}");
    assert!(command(&["disable", &other.id]).0);
    run(r#"
assert code(boto3.client("s3", **other).list_buckets) == "AccountProblem"
assert code(boto3.client("sts", **other).get_caller_identity) == "InvalidClientTokenId"
assert code(boto3.client("kms", **other).list_keys) == "UnrecognizedClientException"
"#);
    assert!(command(&["enable", &other.id]).0);
    run(r#"boto3.client("s3", **other).head_bucket(Bucket="of-another")"#);
    // A second access key in the place of the first.
    assert!(command(&["create-key", &other.id]).0);
    assert!(!command(&["create-key", &other.id]).0, "a root user has two access keys at most");
    assert!(command(&["delete-key", &other.id, &other.access_key_id]).0);
    run(r#"assert code(boto3.client("s3", **other).list_buckets) == "InvalidAccessKeyId""#);
    // The account that owns the gateway can't shut itself out.
    let main = server.greeting.iter().find_map(|line| line.trim().strip_prefix("account")).unwrap().trim();
    assert!(!command(&["disable", main]).0);
}
