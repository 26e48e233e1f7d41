"""Who may do what to identities: the actions of IAM under policies, with the condition keys that they have."""

from botocore.exceptions import ClientError

from common import Caller, allowing, assume, message_of, new_role, new_user, of_key, of_session, other_root, policy, refused, root, run, statement, trusting

iam, account = root.iam, root.account
AWS_MANAGED = "arn:aws:iam::aws:policy/"


def arn(what):
    return f"arn:aws:iam::{account}:{what}"


def tags(**pairs):
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def dismantle(*users, iam=iam):
    """Deletes users with all that they have."""
    for name in users:
        for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        for inline in iam.list_user_policies(UserName=name)["PolicyNames"]:
            iam.delete_user_policy(UserName=name, PolicyName=inline)
        for attached in iam.list_attached_user_policies(UserName=name)["AttachedPolicies"]:
            iam.detach_user_policy(UserName=name, PolicyArn=attached["PolicyArn"])
        iam.delete_user(UserName=name)


def nothing_without_policies():
    _, caller = new_user(iam, "plain")
    itself = {"UserName": "plain"}
    for operation, parameters in [
        (caller.iam.list_users, {}),
        (caller.iam.get_user, {}),
        (caller.iam.create_user, {"UserName": "another"}),
        (caller.iam.list_access_keys, {}),
        (caller.iam.create_access_key, {}),
        (caller.iam.get_access_key_last_used, {"AccessKeyId": caller.access_key_id}),
        (caller.iam.put_user_policy, itself | {"PolicyName": "p", "PolicyDocument": allowing("*")}),
        (caller.iam.attach_user_policy, itself | {"PolicyArn": AWS_MANAGED + "AdministratorAccess"}),
        (caller.iam.add_user_to_group, itself | {"GroupName": "none"}),
        (caller.iam.get_role, {"RoleName": "none"}),
        (caller.iam.list_policies, {}),
        (caller.iam.get_policy, {"PolicyArn": AWS_MANAGED + "AdministratorAccess"}),
        (caller.iam.list_open_id_connect_providers, {}),
        (caller.iam.list_mfa_devices, {}),
        (caller.iam.get_account_summary, {}),
        (caller.iam.get_account_authorization_details, {}),
        (caller.iam.create_account_alias, {"AccountAlias": "another"}),
        (caller.iam.simulate_custom_policy, {"PolicyInputList": [allowing("s3:*")], "ActionNames": ["s3:GetObject"]}),
        (caller.iam.simulate_principal_policy, {"PolicySourceArn": arn("user/plain"), "ActionNames": ["s3:GetObject"]}),
    ]:
        refused("AccessDenied", operation, 403, **parameters)
    told = message_of(refused("AccessDenied", caller.iam.list_users, 403))
    assert told == (
        f"User: {arn('user/plain')} is not authorized to perform: iam:ListUsers on resource: {arn('user/')} "
        "because no identity-based policy allows the iam:ListUsers action"
    ), told
    refused("InvalidClientTokenId", Caller("AKIA0000000000000000", "x" * 40).iam.list_users, 403)
    dismantle("plain")


def below_a_path():
    _, caller = new_user(iam, "helper", allowing("iam:*", arn("user/team/*")))
    caller.iam.create_user(UserName="member", Path="/team/")
    refused("AccessDenied", caller.iam.create_user, 403, UserName="outside", Path="/other/")
    # Neither out of the path, nor into it.
    refused("AccessDenied", caller.iam.update_user, 403, UserName="member", NewPath="/other/")
    refused("AccessDenied", caller.iam.update_user, 403, UserName="helper", NewPath="/team/")
    caller.iam.update_user(UserName="member", NewUserName="renamed")
    caller.iam.list_users(PathPrefix="/team/")
    refused("AccessDenied", caller.iam.list_users, 403)
    # Who may not is not told whether there is somebody.
    refused("AccessDenied", caller.iam.get_user, 403, UserName="nobody")
    caller.iam.delete_user(UserName="renamed")
    dismantle("helper")


def by_tags():
    _, caller = new_user(iam, "helper", policy(
        statement("Allow", "iam:CreateUser", Condition={"StringEquals": {"aws:RequestTag/team": "red"}, "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}}),
        statement("Allow", ["iam:TagUser", "iam:DeleteUser"], Condition={"StringEquals": {"aws:ResourceTag/team": "red"}}),
        statement("Allow", ["iam:UpdateUser", "iam:GetUser"], Condition={"StringEquals": {"iam:ResourceTag/team": "red"}}),
    ))
    for given in [{}, {"Tags": tags(team="blue")}, {"Tags": tags(team="red", other="x")}]:
        refused("AccessDenied", caller.iam.create_user, 403, UserName="tagged", **given)
    caller.iam.create_user(UserName="tagged", Tags=tags(team="red"))
    caller.iam.tag_user(UserName="tagged", Tags=tags(more="x"))
    caller.iam.get_user(UserName="tagged")
    caller.iam.update_user(UserName="tagged", NewUserName="renamed")
    refused("AccessDenied", caller.iam.tag_user, 403, UserName="helper", Tags=tags(team="red"))
    refused("AccessDenied", caller.iam.delete_user, 403, UserName="helper")
    caller.iam.delete_user(UserName="renamed")
    dismantle("helper")


def within_a_boundary():
    """Who may make users of one boundary makes none that may more."""
    boundary = iam.create_policy(PolicyName="bounds", PolicyDocument=allowing("s3:*"))["Policy"]["Arn"]
    is_bounded = {"StringEquals": {"iam:PermissionsBoundary": boundary}}
    gives = ["iam:CreateUser", "iam:PutUserPolicy", "iam:AttachUserPolicy", "iam:PutUserPermissionsBoundary"]
    _, caller = new_user(iam, "helper", policy(
        statement("Allow", gives, Condition=is_bounded),
        statement("Allow", "iam:DeleteUserPermissionsBoundary"),
        statement("Deny", "iam:DeleteUserPermissionsBoundary", Condition=is_bounded),
    ))
    refused("AccessDenied", caller.iam.create_user, 403, UserName="bounded")
    caller.iam.create_user(UserName="bounded", PermissionsBoundary=boundary)
    caller.iam.put_user_policy(UserName="bounded", PolicyName="all", PolicyDocument=allowing("*"))
    refused("AccessDenied", caller.iam.put_user_policy, 403, UserName="helper", PolicyName="all", PolicyDocument=allowing("*"))
    refused("AccessDenied", caller.iam.put_user_permissions_boundary, 403, UserName="bounded", PermissionsBoundary=AWS_MANAGED + "AdministratorAccess")
    refused("AccessDenied", caller.iam.delete_user_permissions_boundary, 403, UserName="bounded")
    bounded = of_key(iam.create_access_key(UserName="bounded"))
    bounded.s3.list_buckets()
    refused("AccessDenied", bounded.iam.list_users, 403)
    refused("AccessDeniedException", bounded.kms.list_keys)
    dismantle("bounded", "helper")
    iam.delete_policy(PolicyArn=boundary)


def of_one_policy():
    which = {"ArnEquals": {"iam:PolicyARN": AWS_MANAGED + "AmazonS3*"}}
    _, caller = new_user(iam, "helper", allowing(["iam:AttachUserPolicy", "iam:DetachUserPolicy"], Condition=which))
    caller.iam.attach_user_policy(UserName="helper", PolicyArn=AWS_MANAGED + "AmazonS3ReadOnlyAccess")
    refused("AccessDenied", caller.iam.attach_user_policy, 403, UserName="helper", PolicyArn=AWS_MANAGED + "AdministratorAccess")
    caller.iam.detach_user_policy(UserName="helper", PolicyArn=AWS_MANAGED + "AmazonS3ReadOnlyAccess")
    dismantle("helper")


def of_sessions():
    """Sessions of users and of federated users may ask nothing of IAM; those of roles what the role may."""
    _, caller = new_user(iam, "helper", allowing("*"))
    refused("InvalidClientTokenId", of_session(caller.sts.get_session_token()).iam.list_users, 403)
    federated = caller.sts.get_federation_token(Name="guest", Policy=allowing("*"))
    refused("InvalidClientTokenId", of_session(federated).iam.list_users, 403)
    role = new_role(iam, "helping", trusting(arn("root")), allowing("iam:*"))["Arn"]
    session = assume(caller, role)
    session.iam.list_users()
    # It is no user.
    refused("ValidationError", session.iam.get_user, 400)
    refused("ValidationError", session.iam.create_access_key, 400)
    iam.delete_role_policy(RoleName="helping", PolicyName="inline")
    refused("AccessDenied", session.iam.list_users, 403)
    iam.delete_role(RoleName="helping")
    refused("InvalidClientTokenId", session.iam.list_users, 403)
    dismantle("helper")


def of_another_account():
    made = iam.create_policy(PolicyName="mine", PolicyDocument=allowing("s3:*"))["Policy"]["Arn"]
    _, other = new_user(other_root.iam, "admin", allowing("*"))
    refused("AccessDenied", other.iam.get_policy, 403, PolicyArn=made)
    refused("NoSuchEntity", other.iam.attach_user_policy, 404, UserName="admin", PolicyArn=made)
    refused("AccessDenied", other.iam.simulate_principal_policy, 403, PolicySourceArn=arn("user/nobody"), ActionNames=["s3:GetObject"])
    refused("AccessDenied", other.iam.get_access_key_last_used, 403, AccessKeyId=root.access_key_id)
    refused("NoSuchEntity", other.iam.delete_access_key, 404, UserName="admin", AccessKeyId=root.access_key_id)
    dismantle("admin", iam=other_root.iam)
    iam.delete_policy(PolicyArn=made)


def keys_of_the_root_user():
    """One is the gateway's setting, and stays; there may be one more."""
    refused("UnmodifiableEntity", iam.delete_access_key, 400, AccessKeyId=root.access_key_id)
    refused("UnmodifiableEntity", iam.update_access_key, 400, AccessKeyId=root.access_key_id, Status="Inactive")
    second = of_key(iam.create_access_key())
    refused("LimitExceeded", iam.create_access_key, 409)
    assert second.sts.get_caller_identity()["Arn"] == arn("root")
    second.iam.update_access_key(AccessKeyId=second.access_key_id, Status="Inactive")
    refused("InvalidClientTokenId", second.iam.list_users, 403)
    iam.delete_access_key(AccessKeyId=second.access_key_id)


def simulations_agree():
    """What is simulated is what is decided."""
    _, caller = new_user(iam, "asked", policy(
        statement("Allow", "iam:Get*", arn("user/${aws:username}")),
        statement("Allow", ["iam:ListUsers", "iam:ListGroups"]),
        statement("Deny", "iam:ListGroups", Condition={"DateGreaterThan": {"aws:CurrentTime": "2024-01-01T00:00:00Z"}}),
    ))
    for action, resource, ask in [
        ("iam:GetUser", "user/asked", caller.iam.get_user),
        ("iam:GetUser", "user/other", lambda: caller.iam.get_user(UserName="other")),
        ("iam:ListUsers", "user/", caller.iam.list_users),
        ("iam:ListGroups", "group/", caller.iam.list_groups),
        ("iam:ListRoles", "role/", caller.iam.list_roles),
    ]:
        (row,) = iam.simulate_principal_policy(PolicySourceArn=arn("user/asked"), ActionNames=[action], ResourceArns=[arn(resource)])["EvaluationResults"]
        try:
            ask()
            decided = "allowed"
        except ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDenied", error
            decided = "explicitDeny" if "explicit deny" in str(error) else "implicitDeny"
        assert row["EvalDecision"] == decided, (action, resource, row, decided)
    dismantle("asked")


run([
    nothing_without_policies,
    below_a_path,
    by_tags,
    within_a_boundary,
    of_one_policy,
    of_sessions,
    of_another_account,
    keys_of_the_root_user,
    simulations_agree,
])
