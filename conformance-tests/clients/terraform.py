"""What Terraform's AWS provider asks while it creates, refreshes, plans, changes and destroys: the same calls in its order.

A plan is empty only if what is read equals what was written, so each resource is refreshed twice and compared both times.
"""

import json

from common import allowing, policy, refused, root, run, statement, trusting

iam, kms, s3, sts, account = root.iam, root.kms, root.s3, root.sts, root.account
PATH = "/terraform/"
AWS_MANAGED = "arn:aws:iam::aws:policy/"


def arn(what):
    return f"arn:aws:iam::{account}:{what}"


def tag_list(key="Key", value="Value", **pairs):
    return [{key: name, value: text} for name, text in pairs.items()]


def as_map(rows, key="Key", value="Value"):
    return {row[key]: row[value] for row in rows}


def normal(document):
    """A policy as the provider compares it: one of a list is the same as itself alone, and order does not count."""
    if isinstance(document, str) and document.lstrip().startswith("{"):
        document = json.loads(document)
    if isinstance(document, dict):
        return {name: normal(value) for name, value in document.items()}
    if isinstance(document, list):
        values = sorted((normal(value) for value in document), key=json.dumps)
        return values[0] if len(values) == 1 else values
    return document


def equivalent(read, written):
    assert normal(read) == normal(written), f"read {normal(read)}\nwritten {normal(written)}"


def twice(refresh):
    """A refresh after apply, and the one of the next plan."""
    refresh()
    refresh()


# The provider's own way to destroy each kind.


def destroy_user(name, force=True):
    for group in iam.list_groups_for_user(UserName=name)["Groups"]:
        iam.remove_user_from_group(UserName=name, GroupName=group["GroupName"])
    if force:
        for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        for inline in iam.list_user_policies(UserName=name)["PolicyNames"]:
            iam.delete_user_policy(UserName=name, PolicyName=inline)
        for attached in iam.list_attached_user_policies(UserName=name)["AttachedPolicies"]:
            iam.detach_user_policy(UserName=name, PolicyArn=attached["PolicyArn"])
        assert iam.list_ssh_public_keys(UserName=name)["SSHPublicKeys"] == []
        assert iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"] == []
        assert iam.list_mfa_devices(UserName=name)["MFADevices"] == []
        refused("NoSuchEntity", iam.delete_login_profile, 404, UserName=name)
        assert iam.list_signing_certificates(UserName=name)["Certificates"] == []
        assert iam.list_service_specific_credentials(UserName=name)["ServiceSpecificCredentials"] == []
    iam.delete_user(UserName=name)
    refused("NoSuchEntity", iam.get_user, 404, UserName=name)


def destroy_policy(at):
    for version in iam.list_policy_versions(PolicyArn=at)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=at, VersionId=version["VersionId"])
    iam.delete_policy(PolicyArn=at)
    refused("NoSuchEntity", iam.get_policy, 404, PolicyArn=at)


def destroy_role(name):
    assert iam.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"] == []
    for attached in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=name, PolicyArn=attached["PolicyArn"])
    for inline in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=inline)
    iam.delete_role(RoleName=name)
    refused("NoSuchEntity", iam.get_role, 404, RoleName=name)


def destroy_key(key, days=7):
    answer = kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=days)
    assert answer["KeyState"] == "PendingDeletion" and answer["PendingWindowInDays"] == days, answer
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"


def destroy_bucket(name):
    page = s3.list_object_versions(Bucket=name)
    there = [{"Key": row["Key"], "VersionId": row["VersionId"]} for row in page.get("Versions", []) + page.get("DeleteMarkers", [])]
    if there:
        assert "Errors" not in s3.delete_objects(Bucket=name, Delete={"Objects": there, "Quiet": True})
    s3.delete_bucket(Bucket=name)
    refused("404", s3.head_bucket, 404, Bucket=name)


def data_sources():
    """aws_caller_identity, aws_iam_policy, aws_iam_session_context, aws_iam_account_alias, aws_iam_users, aws_canonical_user_id."""
    identity = sts.get_caller_identity()
    assert (identity["Account"], identity["Arn"], identity["UserId"]) == (account, arn("root"), account)
    found = [row for page in iam.get_paginator("list_policies").paginate(Scope="AWS") for row in page["Policies"] if row["PolicyName"] == "ReadOnlyAccess"]
    assert [row["Arn"] for row in found] == [AWS_MANAGED + "ReadOnlyAccess"]
    read = iam.get_policy(PolicyArn=AWS_MANAGED + "ReadOnlyAccess")["Policy"]
    assert iam.get_policy_version(PolicyArn=read["Arn"], VersionId=read["DefaultVersionId"])["PolicyVersion"]["Document"]["Statement"]
    assert iam.list_account_aliases()["AccountAliases"] == []
    assert iam.list_users(PathPrefix=PATH)["Users"] == [] and iam.list_roles(PathPrefix=PATH)["Roles"] == []
    assert len(s3.list_buckets()["Owner"]["ID"]) == 64


def policy_documents():
    """What aws_iam_policy_document writes goes through a policy unchanged: order, single values in lists or not, variables, operators."""
    written = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "Read",
                    "Effect": "Allow",
                    "Action": ["s3:ListBucket", "s3:GetObject"],
                    "Resource": ["arn:aws:s3:::b/home/${aws:username}/*", "arn:aws:s3:::b"],
                    "Condition": {
                        "StringLike": {"s3:prefix": ["", "home/", "home/${aws:username}/"]},
                        "Bool": {"aws:SecureTransport": "true"},
                        "NumericLessThanEquals": {"s3:max-keys": "10"},
                        "ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]},
                        "StringEqualsIfExists": {"aws:PrincipalTag/team": "ü & <b> \"q\" + %2F"},
                        "IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "2001:db8::/32"]},
                    },
                },
                {"Sid": "", "Effect": "Deny", "NotAction": "iam:*", "NotResource": "*"},
            ],
        },
        indent=2,
    )
    made = iam.create_policy(PolicyName="document", Path=PATH, PolicyDocument=written)["Policy"]["Arn"]
    read = iam.get_policy_version(PolicyArn=made, VersionId="v1")["PolicyVersion"]["Document"]
    assert read == json.loads(written), read
    destroy_policy(made)
    iam.create_user(UserName="document", Path=PATH)
    iam.put_user_policy(UserName="document", PolicyName="inline", PolicyDocument=written)
    assert iam.get_user_policy(UserName="document", PolicyName="inline")["PolicyDocument"] == json.loads(written)
    destroy_user("document")


def users():
    """aws_iam_user, aws_iam_access_key, aws_iam_user_policy, aws_iam_user_policy_attachment."""
    name, path = "tf.user@example", f"{PATH}users/"
    inline = allowing(["s3:GetObject"], ["arn:aws:s3:::b/*"])
    made = iam.create_user(UserName=name, Path=path, PermissionsBoundary=AWS_MANAGED + "PowerUserAccess", Tags=tag_list(env="test", owner=""))["User"]
    assert made["Arn"] == arn(f"user{path}{name}")
    key = iam.create_access_key(UserName=name)["AccessKey"]
    iam.put_user_policy(UserName=name, PolicyName="inline", PolicyDocument=inline)
    iam.attach_user_policy(UserName=name, PolicyArn=AWS_MANAGED + "ReadOnlyAccess")
    tags = {"env": "test", "owner": ""}

    def refresh():
        read = iam.get_user(UserName=name)["User"]
        assert (read["Arn"], read["Path"], read["UserId"]) == (arn(f"user{path}{name}"), path, made["UserId"]), read
        assert as_map(read.get("Tags", [])) == tags and read["PermissionsBoundary"]["PermissionsBoundaryArn"] == AWS_MANAGED + "PowerUserAccess", read
        (listed,) = iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
        assert (listed["AccessKeyId"], listed["Status"]) == (key["AccessKeyId"], "Active"), listed
        read = iam.get_user_policy(UserName=name, PolicyName="inline")
        equivalent(read["PolicyDocument"], inline)
        attached = iam.list_attached_user_policies(UserName=name)
        assert attached["AttachedPolicies"] == [{"PolicyName": "ReadOnlyAccess", "PolicyArn": AWS_MANAGED + "ReadOnlyAccess"}] and not attached["IsTruncated"]

    twice(refresh)
    # Change in place: path, tags, boundary, inline policy.
    path = f"{PATH}moved/"
    iam.update_user(UserName=name, NewUserName=name, NewPath=path)
    iam.untag_user(UserName=name, TagKeys=["owner"])
    iam.tag_user(UserName=name, Tags=tag_list(env="prod", extra="1"))
    tags = {"env": "prod", "extra": "1"}
    inline = allowing(["s3:GetObject", "s3:PutObject"], "*")
    iam.put_user_policy(UserName=name, PolicyName="inline", PolicyDocument=inline)
    twice(refresh)
    iam.detach_user_policy(UserName=name, PolicyArn=AWS_MANAGED + "ReadOnlyAccess")
    iam.delete_user_policy(UserName=name, PolicyName="inline")
    refused("NoSuchEntity", iam.get_user_policy, 404, UserName=name, PolicyName="inline")
    iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    destroy_user(name, force=False)
    # With force_destroy what was made elsewhere goes too.
    iam.create_user(UserName=name, Path=PATH)
    iam.create_access_key(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="inline", PolicyDocument=inline)
    iam.attach_user_policy(UserName=name, PolicyArn=AWS_MANAGED + "ReadOnlyAccess")
    destroy_user(name)


def groups():
    """aws_iam_group, aws_iam_group_membership, aws_iam_user_group_membership, aws_iam_group_policy, aws_iam_group_policy_attachment."""
    members = ["tf-member-1", "tf-member-2"]
    iam.create_group(GroupName="tf-group", Path=PATH)
    for name in members:
        iam.create_user(UserName=name, Path=PATH)
        iam.add_user_to_group(GroupName="tf-group", UserName=name)
    inline = allowing("kms:Encrypt")
    iam.put_group_policy(GroupName="tf-group", PolicyName="inline", PolicyDocument=inline)
    iam.attach_group_policy(GroupName="tf-group", PolicyArn=AWS_MANAGED + "job-function/ViewOnlyAccess")

    def refresh():
        read = iam.get_group(GroupName="tf-group")
        assert read["Group"]["Arn"] == arn(f"group{PATH}tf-group") and sorted(row["UserName"] for row in read["Users"]) == members, read
        for name in members:
            assert [row["GroupName"] for row in iam.list_groups_for_user(UserName=name)["Groups"]] == ["tf-group"]
        equivalent(iam.get_group_policy(GroupName="tf-group", PolicyName="inline")["PolicyDocument"], inline)
        (attached,) = iam.list_attached_group_policies(GroupName="tf-group")["AttachedPolicies"]
        assert attached["PolicyName"] == "ViewOnlyAccess", attached

    twice(refresh)
    iam.remove_user_from_group(GroupName="tf-group", UserName=members.pop())
    twice(refresh)
    destroy_user("tf-member-2")
    iam.remove_user_from_group(GroupName="tf-group", UserName="tf-member-1")
    iam.detach_group_policy(GroupName="tf-group", PolicyArn=AWS_MANAGED + "job-function/ViewOnlyAccess")
    iam.delete_group_policy(GroupName="tf-group", PolicyName="inline")
    iam.delete_group(GroupName="tf-group")
    refused("NoSuchEntity", iam.get_group, 404, GroupName="tf-group")
    destroy_user("tf-member-1")


def policies():
    """aws_iam_policy: a change is a new version, and the oldest gives way."""
    text = allowing("s3:GetObject")
    made = iam.create_policy(PolicyName="tf-policy", Path=PATH, Description="made by a plan", PolicyDocument=text, Tags=tag_list(a="1"))["Policy"]["Arn"]

    def refresh():
        read = iam.get_policy(PolicyArn=made)["Policy"]
        assert (read["PolicyName"], read["Path"], read["Description"], as_map(read["Tags"])) == ("tf-policy", PATH, "made by a plan", {"a": "1"}), read
        equivalent(iam.get_policy_version(PolicyArn=made, VersionId=read["DefaultVersionId"])["PolicyVersion"]["Document"], text)

    twice(refresh)
    for number in range(7):
        versions = iam.list_policy_versions(PolicyArn=made)["Versions"]
        if len(versions) >= 5:
            oldest = min((row for row in versions if not row["IsDefaultVersion"]), key=lambda row: (row["CreateDate"], int(row["VersionId"][1:])))
            iam.delete_policy_version(PolicyArn=made, VersionId=oldest["VersionId"])
        text = allowing([f"s3:GetObject{number}", "s3:GetObject"])
        iam.create_policy_version(PolicyArn=made, PolicyDocument=text, SetAsDefault=True)
        twice(refresh)
    assert len(iam.list_policy_versions(PolicyArn=made)["Versions"]) == 5
    destroy_policy(made)


def roles():
    """aws_iam_role with inline_policy and managed_policy_arns, aws_iam_role_policy, aws_iam_role_policy_attachment."""
    user = iam.create_user(UserName="tf-trusted", Path=PATH)["User"]["Arn"]
    trust = policy(
        {"Sid": "", "Effect": "Allow", "Principal": {"AWS": user}, "Action": ["sts:AssumeRole", "sts:TagSession"]},
        {"Effect": "Allow", "Principal": {"Service": ["ec2.amazonaws.com"]}, "Action": "sts:AssumeRole", "Condition": {"StringEquals": {"aws:SourceAccount": account}}},
    )
    managed = iam.create_policy(PolicyName="tf-managed", Path=PATH, PolicyDocument=allowing("kms:*"))["Policy"]["Arn"]
    made = iam.create_role(RoleName="tf-role", Path=PATH, Description="a role", AssumeRolePolicyDocument=trust, MaxSessionDuration=7200, PermissionsBoundary=managed, Tags=tag_list(a="1"))["Role"]
    inline = {"one": allowing("s3:GetObject"), "two": policy(statement("Deny", ["s3:DeleteObject"], ["*"]))}
    attached = {managed, AWS_MANAGED + "AmazonS3ReadOnlyAccess"}
    for name, text in inline.items():
        iam.put_role_policy(RoleName="tf-role", PolicyName=name, PolicyDocument=text)
    for at in attached:
        iam.attach_role_policy(RoleName="tf-role", PolicyArn=at)
    described = {"Description": "a role", "MaxSessionDuration": 7200}

    def refresh():
        read = iam.get_role(RoleName="tf-role")["Role"]
        assert (read["Arn"], read["RoleId"], as_map(read["Tags"])) == (arn(f"role{PATH}tf-role"), made["RoleId"], {"a": "1"}), read
        assert {field: read[field] for field in described} == described and read["PermissionsBoundary"]["PermissionsBoundaryArn"] == managed, read
        equivalent(read["AssumeRolePolicyDocument"], trust)
        listed = iam.list_role_policies(RoleName="tf-role")["PolicyNames"]
        assert sorted(listed) == sorted(inline), listed
        for name in listed:
            equivalent(iam.get_role_policy(RoleName="tf-role", PolicyName=name)["PolicyDocument"], inline[name])
        assert {row["PolicyArn"] for row in iam.list_attached_role_policies(RoleName="tf-role")["AttachedPolicies"]} == attached
        assert as_map(iam.list_role_tags(RoleName="tf-role")["Tags"]) == {"a": "1"}

    twice(refresh)
    # Change in place.
    trust = trusting([user, arn("root")], ["sts:AssumeRole", "sts:TagSession"])
    iam.update_assume_role_policy(RoleName="tf-role", PolicyDocument=trust)
    iam.update_role_description(RoleName="tf-role", Description="another")
    iam.update_role(RoleName="tf-role", MaxSessionDuration=3600, Description="another")
    described = {"Description": "another", "MaxSessionDuration": 3600}
    iam.delete_role_policy(RoleName="tf-role", PolicyName=inline.popitem()[0])
    iam.detach_role_policy(RoleName="tf-role", PolicyArn=AWS_MANAGED + "AmazonS3ReadOnlyAccess")
    attached.remove(AWS_MANAGED + "AmazonS3ReadOnlyAccess")
    twice(refresh)
    # What is destroyed while it is needed says so, and the plan waits.
    refused("DeleteConflict", iam.delete_policy, 409, PolicyArn=managed)
    refused("DeleteConflict", iam.delete_role, 409, RoleName="tf-role")
    destroy_role("tf-role")
    destroy_policy(managed)
    destroy_user("tf-trusted")


def openid_connect_providers():
    """aws_iam_openid_connect_provider, and a role that trusts it."""
    host = "oidc.tf.example.com/id/ABC"
    made = iam.create_open_id_connect_provider(Url=f"https://{host}", ClientIDList=["sts.amazonaws.com"], ThumbprintList=["c" * 40], Tags=tag_list(a="1"))["OpenIDConnectProviderArn"]
    at = {"OpenIDConnectProviderArn": made}
    clients, thumbprints = ["sts.amazonaws.com"], ["c" * 40]
    condition = {"StringEquals": {f"{host}:aud": "sts.amazonaws.com"}, "StringLike": {f"{host}:sub": "system:serviceaccount:ns:*"}}
    trust = trusting({"Federated": made}, "sts:AssumeRoleWithWebIdentity", Condition=condition)
    iam.create_role(RoleName="tf-web", Path=PATH, AssumeRolePolicyDocument=trust)

    def refresh():
        read = iam.get_open_id_connect_provider(**at)
        assert (read["Url"], sorted(read["ClientIDList"]), read["ThumbprintList"], as_map(read["Tags"])) == (host, clients, thumbprints, {"a": "1"}), read
        equivalent(iam.get_role(RoleName="tf-web")["Role"]["AssumeRolePolicyDocument"], trust)

    twice(refresh)
    thumbprints, clients = ["d" * 40], ["another", "sts.amazonaws.com"]
    iam.update_open_id_connect_provider_thumbprint(**at, ThumbprintList=thumbprints)
    iam.add_client_id_to_open_id_connect_provider(**at, ClientID="another")
    twice(refresh)
    destroy_role("tf-web")
    iam.delete_open_id_connect_provider(**at)
    refused("NoSuchEntity", iam.get_open_id_connect_provider, 404, **at)


def key_policy(*principals):
    keeps = {"Sid": "Enable IAM User Permissions", "Effect": "Allow", "Principal": {"AWS": arn("root")}, "Action": "kms:*", "Resource": "*"}
    uses = {"Sid": "Use", "Effect": "Allow", "Principal": {"AWS": list(principals)}, "Action": ["kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey*"], "Resource": "*"}
    return policy(keeps, uses) if principals else policy(keeps)


def keys():
    """aws_kms_key with the policy of a role, rotation and tags, aws_kms_alias, aws_kms_grant."""
    role = iam.create_role(RoleName="tf-key-user", Path=PATH, AssumeRolePolicyDocument=trusting(arn("root")))["Role"]["Arn"]
    text = key_policy(role)
    made = kms.create_key(Policy=text, Description="a key", KeyUsage="ENCRYPT_DECRYPT", KeySpec="SYMMETRIC_DEFAULT", Tags=tag_list("TagKey", "TagValue", a="1"))["KeyMetadata"]
    key, key_arn = made["KeyId"], made["Arn"]
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=200)
    kms.create_alias(AliasName="alias/tf/key", TargetKeyId=key)
    parameters = {"Name": "tf-grant", "GranteePrincipal": role, "Operations": ["Encrypt", "Decrypt"], "Constraints": {"EncryptionContextSubset": {"a": "b"}}, "RetiringPrincipal": role}
    grant = kms.create_grant(KeyId=key, **parameters)["GrantId"]
    described, tags = "a key", {"a": "1"}

    def refresh():
        read = kms.describe_key(KeyId=key)["KeyMetadata"]
        assert (read["Arn"], read["Description"], read["Enabled"], read["KeyState"]) == (key_arn, described, True, "Enabled"), read
        status = kms.get_key_rotation_status(KeyId=key)
        assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 200), status
        equivalent(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"], text)
        assert as_map(kms.list_resource_tags(KeyId=key)["Tags"], "TagKey", "TagValue") == tags
        aliases = [row for page in kms.get_paginator("list_aliases").paginate() for row in page["Aliases"] if row["AliasName"] == "alias/tf/key"]
        assert [(row["TargetKeyId"], row["AliasArn"]) for row in aliases] == [(key, key_arn.split(":key/")[0] + ":alias/tf/key")], aliases
        (read,) = [row for row in kms.list_grants(KeyId=key)["Grants"] if row["GrantId"] == grant]
        assert {field: read[field] for field in ["Name", "GranteePrincipal", "RetiringPrincipal", "Constraints"]} == {field: parameters[field] for field in ["Name", "GranteePrincipal", "RetiringPrincipal", "Constraints"]}, read
        assert sorted(read["Operations"]) == sorted(parameters["Operations"]), read

    twice(refresh)
    text, described, tags = key_policy(role, arn("root")), "another", {"a": "2", "b": ""}
    kms.update_key_description(KeyId=key, Description=described)
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=text, BypassPolicyLockoutSafetyCheck=False)
    kms.tag_resource(KeyId=key, Tags=tag_list("TagKey", "TagValue", **tags))
    twice(refresh)
    # A policy that names somebody who is not there yet: the provider tries again until it is taken.
    nobody = key_policy(arn(f"role{PATH}tf-later"))
    refused("MalformedPolicyDocumentException", kms.put_key_policy, 400, KeyId=key, Policy=nobody)
    later = iam.create_role(RoleName="tf-later", Path=PATH, AssumeRolePolicyDocument=trusting(arn("root")))["Role"]["Arn"]
    kms.put_key_policy(KeyId=key, Policy=nobody)
    text = key_policy(later)
    twice(refresh)
    text = key_policy()
    kms.put_key_policy(KeyId=key, Policy=text)
    twice(refresh)
    kms.revoke_grant(KeyId=key, GrantId=grant)
    assert kms.list_grants(KeyId=key)["Grants"] == []
    kms.delete_alias(AliasName="alias/tf/key")
    destroy_key(key)
    destroy_role("tf-later")
    destroy_role("tf-key-user")


def read_of_a_bucket(name):
    """All that the provider asks of a bucket at each refresh; answers its tags."""
    at = {"Bucket": name}
    s3.head_bucket(**at)
    s3.get_bucket_location(**at)
    assert s3.get_bucket_acl(**at)["Grants"]
    refused("NoSuchCORSConfiguration", s3.get_bucket_cors, 404, **at)
    refused("NoSuchWebsiteConfiguration", s3.get_bucket_website, 404, **at)
    assert "Status" not in s3.get_bucket_accelerate_configuration(**at)
    assert s3.get_bucket_request_payment(**at)["Payer"] == "BucketOwner"
    assert "LoggingEnabled" not in s3.get_bucket_logging(**at)
    refused("NoSuchLifecycleConfiguration", s3.get_bucket_lifecycle_configuration, 404, **at)
    refused("ReplicationConfigurationNotFoundError", s3.get_bucket_replication, 404, **at)
    refused("ObjectLockConfigurationNotFoundError", s3.get_object_lock_configuration, 404, **at)
    return as_map(s3.get_bucket_tagging(**at)["TagSet"])


def buckets():
    """aws_s3_bucket with aws_s3_bucket_policy, …_server_side_encryption_configuration, …_versioning, …_public_access_block."""
    name, role = "tf-bucket", iam.create_role(RoleName="tf-reader", Path=PATH, AssumeRolePolicyDocument=trusting(arn("root")))["Role"]["Arn"]
    key = kms.create_key(Policy=key_policy(role))["KeyMetadata"]["Arn"]
    at = {"Bucket": name}
    refused("404", s3.head_bucket, 404, **at)
    s3.create_bucket(**at)
    s3.put_bucket_tagging(**at, Tagging={"TagSet": tag_list(a="1")})
    refused("NoSuchBucketPolicy", s3.get_bucket_policy, 404, **at)
    text = policy(
        {"Sid": "Read", "Effect": "Allow", "Principal": {"AWS": [role]}, "Action": ["s3:GetObject"], "Resource": [f"arn:aws:s3:::{name}/*"]},
        {"Sid": "Tls", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"], "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}},
    )
    s3.put_bucket_policy(**at, Policy=text)
    rules = [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}, "BucketKeyEnabled": True}]
    s3.put_bucket_encryption(**at, ServerSideEncryptionConfiguration={"Rules": rules})
    s3.put_bucket_versioning(**at, VersioningConfiguration={"Status": "Enabled"})
    block = {"BlockPublicAcls": True, "BlockPublicPolicy": True, "IgnorePublicAcls": True, "RestrictPublicBuckets": False}
    s3.put_public_access_block(**at, PublicAccessBlockConfiguration=block)
    s3.put_bucket_ownership_controls(**at, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})

    def refresh():
        assert read_of_a_bucket(name) == {"a": "1"}
        equivalent(s3.get_bucket_policy(**at)["Policy"], text)
        (rule,) = s3.get_bucket_encryption(**at)["ServerSideEncryptionConfiguration"]["Rules"]
        assert {field: rule[field] for field in rules[0]} == rules[0], rule
        assert s3.get_bucket_versioning(**at)["Status"] == "Enabled"
        assert s3.get_public_access_block(**at)["PublicAccessBlockConfiguration"] == block
        assert s3.get_bucket_ownership_controls(**at)["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]

    twice(refresh)
    for number in range(3):
        s3.put_object(**at, Key="k", Body=str(number).encode())
    s3.delete_object(**at, Key="k")
    refused("BucketNotEmpty", s3.delete_bucket, 409, **at)
    s3.delete_bucket_policy(**at)
    refused("NoSuchBucketPolicy", s3.get_bucket_policy, 404, **at)
    s3.delete_bucket_encryption(**at)
    (rule,) = s3.get_bucket_encryption(**at)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}, rule
    s3.put_bucket_versioning(**at, VersioningConfiguration={"Status": "Suspended"})
    s3.delete_public_access_block(**at)
    refused("NoSuchPublicAccessBlockConfiguration", s3.get_public_access_block, 404, **at)
    s3.delete_bucket_ownership_controls(**at)
    destroy_bucket(name)
    destroy_key(key)
    destroy_role("tf-reader")


def everything_together():
    """A plan whose resources name each other, made in their order and destroyed in the other."""
    user = iam.create_user(UserName="tf-all", Path=PATH)["User"]["Arn"]
    role = iam.create_role(RoleName="tf-all", Path=PATH, AssumeRolePolicyDocument=trusting(user))["Role"]["Arn"]
    key = kms.create_key(Policy=key_policy(user, role))["KeyMetadata"]["Arn"]
    s3.create_bucket(Bucket="tf-all")
    on_bucket = policy({"Effect": "Allow", "Principal": {"AWS": [user, role]}, "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::tf-all"})
    s3.put_bucket_policy(Bucket="tf-all", Policy=on_bucket)
    uses = allowing(["kms:Encrypt", "s3:ListBucket"], [key, "arn:aws:s3:::tf-all"])
    iam.put_role_policy(RoleName="tf-all", PolicyName="uses", PolicyDocument=uses)

    def refresh():
        equivalent(iam.get_role(RoleName="tf-all")["Role"]["AssumeRolePolicyDocument"], trusting(user))
        equivalent(iam.get_role_policy(RoleName="tf-all", PolicyName="uses")["PolicyDocument"], uses)
        equivalent(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"], key_policy(user, role))
        equivalent(s3.get_bucket_policy(Bucket="tf-all")["Policy"], on_bucket)

    twice(refresh)
    # Who is replaced has the same name and another id: the next plan sees it, and puts the policies again.
    destroy_role("tf-all")
    iam.create_role(RoleName="tf-all", Path=PATH, AssumeRolePolicyDocument=trusting(user))
    iam.put_role_policy(RoleName="tf-all", PolicyName="uses", PolicyDocument=uses)
    assert normal(s3.get_bucket_policy(Bucket="tf-all")["Policy"]) != normal(on_bucket)
    assert normal(kms.get_key_policy(KeyId=key)["Policy"]) != normal(key_policy(user, role))
    s3.put_bucket_policy(Bucket="tf-all", Policy=on_bucket)
    kms.put_key_policy(KeyId=key, Policy=key_policy(user, role))
    twice(refresh)
    destroy_bucket("tf-all")
    destroy_key(key)
    destroy_role("tf-all")
    destroy_user("tf-all")


def nothing_is_left():
    for operation, rows in [(iam.list_users, "Users"), (iam.list_groups, "Groups"), (iam.list_roles, "Roles"), (iam.list_policies, "Policies")]:
        assert operation(PathPrefix=PATH)[rows] == [], rows
    assert not [row for row in s3.list_buckets()["Buckets"] if row["Name"].startswith("tf-")]
    assert not [row for row in kms.list_aliases()["Aliases"] if row["AliasName"].startswith("alias/tf/")]
    assert not [row for row in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"] if "tf.example.com" in row["Arn"]]


run([
    data_sources,
    policy_documents,
    users,
    groups,
    policies,
    roles,
    openid_connect_providers,
    keys,
    buckets,
    everything_together,
    nothing_is_left,
])
