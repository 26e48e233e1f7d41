"""Users, groups, roles and policies of IAM with boto3, and what a change means for the very next request."""

import datetime
import json
import time
import urllib.error
import urllib.request

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from common import (
    Caller, allowing, assume, denying, endpoint, message_of, new_role, new_user, other_account, other_root, policy, refused, root, run, same, statement,
    trusting, unique,
)

iam, account = root.iam, root.account
AWS_MANAGED = "arn:aws:iam::aws:policy/"


def arn(what, of=account):
    return f"arn:aws:iam::{of}:{what}"


def tags(**pairs):
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def names(rows, field):
    return sorted(row[field] for row in rows)


def pages(operation, rows, size, **parameters):
    """Every row of a list, asked for in pages of this size; no page may be larger."""
    found, marker = [], {}
    while True:
        answer = operation(MaxItems=size, **marker, **parameters)
        assert len(answer[rows]) <= size, answer
        found += answer[rows]
        if not answer["IsTruncated"]:
            assert "Marker" not in answer, answer
            return found
        marker = {"Marker": answer["Marker"]}


def dismantle(*users):
    """Deletes users with all that they have."""
    for name in users:
        for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        for inline in iam.list_user_policies(UserName=name)["PolicyNames"]:
            iam.delete_user_policy(UserName=name, PolicyName=inline)
        for attached in iam.list_attached_user_policies(UserName=name)["AttachedPolicies"]:
            iam.detach_user_policy(UserName=name, PolicyArn=attached["PolicyArn"])
        for group in iam.list_groups_for_user(UserName=name)["Groups"]:
            iam.remove_user_from_group(UserName=name, GroupName=group["GroupName"])
        iam.delete_user(UserName=name)


def soon(what):
    """A request is noted after it is answered."""
    end = time.monotonic() + 10
    while not what():
        assert time.monotonic() < end, "it was not noted"
        time.sleep(0.1)


def users():
    made = iam.create_user(UserName="Ann", Path="/people/", Tags=tags(team="red"))["User"]
    assert made["Arn"] == arn("user/people/Ann") and made["UserId"].startswith("AIDA") and len(made["UserId"]) == 21, made
    assert (made["UserName"], made["Path"], made["Tags"]) == ("Ann", "/people/", tags(team="red"))
    age = datetime.datetime.now(datetime.timezone.utc) - made["CreateDate"]
    assert abs(age.total_seconds()) < 60
    read = iam.get_user(UserName="Ann")["User"]
    assert {field: read[field] for field in made} == made and "PasswordLastUsed" not in read
    refused("EntityAlreadyExists", iam.create_user, 409, UserName="Ann")
    refused("EntityAlreadyExists", iam.create_user, 409, UserName="ANN", Path="/elsewhere/")
    refused("NoSuchEntity", iam.get_user, 404, UserName="nobody")
    refused("NoSuchEntity", iam.delete_user, 404, UserName="nobody")
    refused("NoSuchEntity", iam.update_user, 404, UserName="nobody", NewPath="/x/")
    # Another name and path; the user stays who he is.
    iam.update_user(UserName="Ann", NewUserName="Anna", NewPath="/")
    moved = iam.get_user(UserName="Anna")["User"]
    assert (moved["UserId"], moved["Arn"], moved["Path"]) == (made["UserId"], arn("user/Anna"), "/")
    refused("NoSuchEntity", iam.get_user, UserName="Ann")
    iam.create_user(UserName="Ann")
    refused("EntityAlreadyExists", iam.update_user, 409, UserName="Ann", NewUserName="anna")
    dismantle("Ann", "Anna")
    refused("NoSuchEntity", iam.get_user, UserName="Anna")


def names_and_paths():
    for name in ["with space", "slash/ed", "ümlaut", "star*", "semi;colon", "n" * 65]:
        refused("ValidationError", iam.create_user, 400, UserName=name)
    for name in ["r" * 65, "ro le"]:
        refused("ValidationError", iam.create_role, 400, RoleName=name, AssumeRolePolicyDocument=trusting(arn("root")))
    for name in ["g" * 129, "gro:up"]:
        refused("ValidationError", iam.create_group, 400, GroupName=name)
    for name in ["p" * 129, "pol icy"]:
        refused("ValidationError", iam.create_policy, 400, PolicyName=name, PolicyDocument=allowing("s3:*"))
        refused("ValidationError", iam.put_user_policy, 400, UserName="nobody", PolicyName=name, PolicyDocument=allowing("s3:*"))
    for path in ["people/", "/people", "no", "/with space/", "/" + "p" * 511 + "/"]:
        refused("ValidationError", iam.create_user, 400, UserName="pathless", Path=path)
    every = "Az09+=,.@_-"
    made = iam.create_user(UserName=every, Path="/a/b!c/")["User"]
    assert made["Arn"] == arn(f"user/a/b!c/{every}"), made
    long = [("u" * 64, iam.create_user, iam.delete_user, "UserName"), ("g" * 128, iam.create_group, iam.delete_group, "GroupName")]
    for name, create, delete, field in long:
        create(**{field: name})
        delete(**{field: name})
    iam.delete_user(UserName=every)


def lists_in_pages():
    wanted = [f"paged-{number:02}" for number in range(7)]
    for number, name in enumerate(wanted):
        iam.create_user(UserName=name, Path="/paged/even/" if number % 2 == 0 else "/paged/odd/")
    for size in [1, 3, 7, 1000]:
        assert names(pages(iam.list_users, "Users", size, PathPrefix="/paged/"), "UserName") == wanted, size
    assert names(iam.list_users(PathPrefix="/paged/even/")["Users"], "UserName") == wanted[::2]
    assert iam.list_users(PathPrefix="/none/")["Users"] == []
    assert set(wanted) <= set(names(pages(iam.list_users, "Users", 4), "UserName"))
    paged = iam.get_paginator("list_users").paginate(PathPrefix="/paged/", PaginationConfig={"PageSize": 2})
    assert sum(len(page["Users"]) for page in paged) == 7
    # Lists leave out what only a single answer tells.
    assert all("Tags" not in user and "PermissionsBoundary" not in user for user in iam.list_users(PathPrefix="/paged/")["Users"])
    for name in wanted:
        iam.delete_user(UserName=name)
    trust = trusting(arn("root"))
    for number in range(3):
        new_role(iam, f"paged-{number}", trust, Path="/paged/")
        iam.create_group(GroupName=f"paged-{number}", Path="/paged/")
        iam.create_policy(PolicyName=f"paged-{number}", Path="/paged/", PolicyDocument=allowing("s3:*"))
    three = ["paged-0", "paged-1", "paged-2"]
    assert names(pages(iam.list_roles, "Roles", 2, PathPrefix="/paged/"), "RoleName") == three
    assert names(pages(iam.list_groups, "Groups", 2, PathPrefix="/paged/"), "GroupName") == three
    assert names(pages(iam.list_policies, "Policies", 2, PathPrefix="/paged/"), "PolicyName") == three
    for name in three:
        iam.delete_role(RoleName=name)
        iam.delete_group(GroupName=name)
        iam.delete_policy(PolicyArn=arn(f"policy/paged/{name}"))


def access_keys():
    iam.create_user(UserName="keyed")
    made = iam.create_access_key(UserName="keyed")["AccessKey"]
    assert made["AccessKeyId"].startswith("AKIA") and len(made["AccessKeyId"]) == 20 and len(made["SecretAccessKey"]) == 40, made["AccessKeyId"]
    assert (made["UserName"], made["Status"]) == ("keyed", "Active")
    second = iam.create_access_key(UserName="keyed")["AccessKey"]
    refused("LimitExceeded", iam.create_access_key, 409, UserName="keyed")
    listed = iam.list_access_keys(UserName="keyed")["AccessKeyMetadata"]
    assert names(listed, "AccessKeyId") == sorted([made["AccessKeyId"], second["AccessKeyId"]]) and "SecretAccessKey" not in listed[0]
    assert len(pages(iam.list_access_keys, "AccessKeyMetadata", 1, UserName="keyed")) == 2
    iam.update_access_key(UserName="keyed", AccessKeyId=second["AccessKeyId"], Status="Inactive")
    states = {row["AccessKeyId"]: row["Status"] for row in iam.list_access_keys(UserName="keyed")["AccessKeyMetadata"]}
    assert states == {made["AccessKeyId"]: "Active", second["AccessKeyId"]: "Inactive"}
    # An inactive one counts.
    refused("LimitExceeded", iam.create_access_key, 409, UserName="keyed")
    iam.delete_access_key(UserName="keyed", AccessKeyId=second["AccessKeyId"])
    refused("NoSuchEntity", iam.delete_access_key, 404, UserName="keyed", AccessKeyId=second["AccessKeyId"])
    refused("NoSuchEntity", iam.update_access_key, 404, UserName="keyed", AccessKeyId=second["AccessKeyId"], Status="Active")
    refused("ValidationError", iam.update_access_key, 400, UserName="keyed", AccessKeyId=made["AccessKeyId"], Status="Asleep")
    refused("NoSuchEntity", iam.create_access_key, 404, UserName="nobody")
    refused("NoSuchEntity", iam.list_access_keys, 404, UserName="nobody")
    refused("DeleteConflict", iam.delete_user, 409, UserName="keyed")
    dismantle("keyed")


def keys_of_ones_own():
    """Without a name it is the caller's own."""
    _, caller = new_user(iam, "own", allowing("iam:*", arn("user/own")))
    second = caller.iam.create_access_key()["AccessKey"]
    assert second["UserName"] == "own"
    assert names(caller.iam.list_access_keys()["AccessKeyMetadata"], "AccessKeyId") == sorted([caller.access_key_id, second["AccessKeyId"]])
    caller.iam.update_access_key(AccessKeyId=second["AccessKeyId"], Status="Inactive")
    caller.iam.delete_access_key(AccessKeyId=second["AccessKeyId"])
    assert caller.iam.get_user()["User"]["UserName"] == "own"
    refused("AccessDenied", caller.iam.list_access_keys, 403, UserName="somebody-else")
    itself = iam.get_user()["User"]
    assert (itself["Arn"], itself["UserId"]) == (arn("root"), account), itself
    dismantle("own")


def last_use_of_keys():
    _, caller = new_user(iam, "used", allowing("s3:ListAllMyBuckets"))
    used = lambda: iam.get_access_key_last_used(AccessKeyId=caller.access_key_id)
    before = used()
    assert before["UserName"] == "used" and "LastUsedDate" not in before["AccessKeyLastUsed"], before
    assert (before["AccessKeyLastUsed"]["ServiceName"], before["AccessKeyLastUsed"]["Region"]) == ("N/A", "N/A"), before
    refused("SignatureDoesNotMatch", Caller(caller.access_key_id, "x" * 40).sts.get_caller_identity, 403)
    assert used() | {"ResponseMetadata": None} == before | {"ResponseMetadata": None}, "a wrong signature is no use"
    caller.s3.list_buckets()
    soon(lambda: used()["AccessKeyLastUsed"]["ServiceName"] == "s3")
    after = used()["AccessKeyLastUsed"]
    assert after["Region"] == "us-east-1", after
    age = datetime.datetime.now(datetime.timezone.utc) - after["LastUsedDate"]
    assert -60 < age.total_seconds() < 3600, after
    caller.sts.get_caller_identity()
    soon(lambda: used()["AccessKeyLastUsed"]["ServiceName"] == "sts")
    refused(("NoSuchEntity", "AccessDenied"), iam.get_access_key_last_used, AccessKeyId="AKIA0123456789ABCDEF")
    dismantle("used")


def groups():
    made = iam.create_group(GroupName="Readers", Path="/teams/")["Group"]
    assert made["Arn"] == arn("group/teams/Readers") and made["GroupId"].startswith("AGPA"), made
    refused("EntityAlreadyExists", iam.create_group, 409, GroupName="readers")
    refused("NoSuchEntity", iam.get_group, 404, GroupName="writers")
    members = [f"member-{number}" for number in range(3)]
    for name in members:
        iam.create_user(UserName=name)
        iam.add_user_to_group(GroupName="Readers", UserName=name)
    iam.add_user_to_group(GroupName="Readers", UserName="member-0")
    refused("NoSuchEntity", iam.add_user_to_group, 404, GroupName="Readers", UserName="nobody")
    refused("NoSuchEntity", iam.add_user_to_group, 404, GroupName="writers", UserName="member-0")
    found = iam.get_group(GroupName="Readers")
    assert found["Group"] == made and names(found["Users"], "UserName") == members
    assert names(pages(iam.get_group, "Users", 2, GroupName="Readers"), "UserName") == members
    assert names(iam.list_groups_for_user(UserName="member-0")["Groups"], "GroupName") == ["Readers"]
    refused("DeleteConflict", iam.delete_user, 409, UserName="member-0")
    refused("DeleteConflict", iam.delete_group, 409, GroupName="Readers")
    iam.update_group(GroupName="Readers", NewGroupName="Writers", NewPath="/")
    moved = iam.get_group(GroupName="Writers")
    assert (moved["Group"]["GroupId"], moved["Group"]["Arn"]) == (made["GroupId"], arn("group/Writers")) and len(moved["Users"]) == 3
    iam.remove_user_from_group(GroupName="Writers", UserName="member-0")
    refused("NoSuchEntity", iam.remove_user_from_group, 404, GroupName="Writers", UserName="nobody")
    assert iam.list_groups_for_user(UserName="member-0")["Groups"] == []
    dismantle(*members)
    assert iam.get_group(GroupName="Writers")["Users"] == []
    iam.put_group_policy(GroupName="Writers", PolicyName="inline", PolicyDocument=allowing("s3:*"))
    refused("DeleteConflict", iam.delete_group, 409, GroupName="Writers")
    iam.delete_group_policy(GroupName="Writers", PolicyName="inline")
    iam.attach_group_policy(GroupName="Writers", PolicyArn=AWS_MANAGED + "AmazonS3FullAccess")
    refused("DeleteConflict", iam.delete_group, 409, GroupName="Writers")
    iam.detach_group_policy(GroupName="Writers", PolicyArn=AWS_MANAGED + "AmazonS3FullAccess")
    iam.delete_group(GroupName="Writers")


def how_many():
    """A user is in ten groups at most, and has ten managed policies at most."""
    iam.create_user(UserName="many")
    made = []
    for number in range(11):
        iam.create_group(GroupName=f"many-{number}")
        made.append(iam.create_policy(PolicyName=f"many-{number}", PolicyDocument=allowing("s3:*"))["Policy"]["Arn"])
    for number in range(10):
        iam.add_user_to_group(GroupName=f"many-{number}", UserName="many")
        iam.attach_user_policy(UserName="many", PolicyArn=made[number])
    refused("LimitExceeded", iam.add_user_to_group, 409, GroupName="many-10", UserName="many")
    refused("LimitExceeded", iam.attach_user_policy, 409, UserName="many", PolicyArn=made[10])
    # What is there already is no more.
    iam.attach_user_policy(UserName="many", PolicyArn=made[0])
    iam.add_user_to_group(GroupName="many-0", UserName="many")
    assert len(pages(iam.list_attached_user_policies, "AttachedPolicies", 3, UserName="many")) == 10
    assert len(pages(iam.list_groups_for_user, "Groups", 3, UserName="many")) == 10
    dismantle("many")
    for number in range(11):
        iam.delete_group(GroupName=f"many-{number}")
        iam.delete_policy(PolicyArn=made[number])


def roles():
    trust = trusting(arn("root"))
    made = iam.create_role(RoleName="Worker", Path="/jobs/", AssumeRolePolicyDocument=trust, Description="works", MaxSessionDuration=7200, Tags=tags(team="red"))["Role"]
    assert made["Arn"] == arn("role/jobs/Worker") and made["RoleId"].startswith("AROA"), made
    assert same(made["AssumeRolePolicyDocument"], trust) and made["Tags"] == tags(team="red")
    read = iam.get_role(RoleName="Worker")["Role"]
    assert {field: read[field] for field in made} == made
    assert (read["Description"], read["MaxSessionDuration"]) == ("works", 7200)
    assert read["RoleLastUsed"] == {}, read
    refused("EntityAlreadyExists", iam.create_role, 409, RoleName="WORKER", AssumeRolePolicyDocument=trust)
    refused("NoSuchEntity", iam.get_role, 404, RoleName="nobody")
    refused("NoSuchEntity", iam.delete_role, 404, RoleName="nobody")
    refused("NoSuchEntity", iam.update_assume_role_policy, 404, RoleName="nobody", PolicyDocument=trust)
    iam.update_role(RoleName="Worker", Description="", MaxSessionDuration=3600)
    read = iam.get_role(RoleName="Worker")["Role"]
    assert (read.get("Description", ""), read["MaxSessionDuration"]) == ("", 3600), read
    assert iam.update_role_description(RoleName="Worker", Description="again")["Role"]["Description"] == "again"
    refused("ValidationError", iam.update_role, 400, RoleName="Worker", MaxSessionDuration=43201)
    refused("ValidationError", iam.create_role, 400, RoleName="long", AssumeRolePolicyDocument=trust, MaxSessionDuration=43201)
    plain = new_role(iam, "plain", trust)
    assert iam.get_role(RoleName="plain")["Role"]["MaxSessionDuration"] == 3600 and plain["Path"] == "/"
    other = trusting(arn("root"), Condition={"StringEquals": {"sts:ExternalId": "x"}})
    iam.update_assume_role_policy(RoleName="Worker", PolicyDocument=other)
    assert same(iam.get_role(RoleName="Worker")["Role"]["AssumeRolePolicyDocument"], other)
    iam.put_role_policy(RoleName="Worker", PolicyName="inline", PolicyDocument=allowing("s3:*"))
    refused("DeleteConflict", iam.delete_role, 409, RoleName="Worker")
    iam.delete_role_policy(RoleName="Worker", PolicyName="inline")
    iam.attach_role_policy(RoleName="Worker", PolicyArn=AWS_MANAGED + "ReadOnlyAccess")
    refused("DeleteConflict", iam.delete_role, 409, RoleName="Worker")
    iam.detach_role_policy(RoleName="Worker", PolicyArn=AWS_MANAGED + "ReadOnlyAccess")
    for name in ["Worker", "plain"]:
        iam.delete_role(RoleName=name)


def trust_policies():
    """Who may be named in a trust policy, and what may not stand there."""
    put = lambda text: refused("MalformedPolicyDocument", iam.create_role, 400, RoleName="distrusted", AssumeRolePolicyDocument=text)
    for nobody in [arn("user/nobody"), arn("role/nobody"), arn("group/nobody"), "arn:aws:iam::1234:root", "nobody"]:
        assert "Invalid principal in policy" in message_of(put(trusting(nobody))), nobody
    put(trusting([arn("root"), arn("user/nobody")]))
    put(policy({"Effect": "Allow", "Action": "sts:AssumeRole"}))
    put(policy({"Effect": "Allow", "Principal": {"AWS": arn("root")}, "Action": "sts:AssumeRole", "Resource": "*"}))
    put(policy({"Effect": "Allow", "NotPrincipal": {"AWS": arn("root")}, "Action": "sts:AssumeRole"}))
    put(trusting(arn("root"), "s3:GetObject"))
    put("{")
    taken = [
        arn("root"), account, "*", f"arn:aws:iam::{other_account}:root", other_account,
        {"Service": "ec2.amazonaws.com"}, {"Service": ["s3.amazonaws.com", "lambda.amazonaws.com"]},
    ]
    for principal in taken:
        new_role(iam, "trusting", trusting(principal))
        iam.delete_role(RoleName="trusting")
    refused("MalformedPolicyDocument", iam.create_role, 400, RoleName="distrusted", AssumeRolePolicyDocument=trusting({"Service": "none.such.example.com"}))
    # A number stands for the account.
    new_role(iam, "trusting", trusting(account))
    assert iam.get_role(RoleName="trusting")["Role"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["AWS"] in (account, arn("root"))
    iam.delete_role(RoleName="trusting")


def inline_policies():
    iam.create_user(UserName="inlined")
    iam.create_group(GroupName="inlined")
    new_role(iam, "inlined", trusting(arn("root")))
    text = policy(statement("Allow", ["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::b/*", Sid="One", Condition={"StringLike": {"aws:username": "a&b <ü>"}}))
    for kind in ["user", "group", "role"]:
        at = {f"{kind.title()}Name": "inlined"}
        put, get, listed, delete = (getattr(iam, name) for name in [f"put_{kind}_policy", f"get_{kind}_policy", f"list_{kind}_policies", f"delete_{kind}_policy"])
        assert listed(**at)["PolicyNames"] == []
        put(**at, PolicyName="b", PolicyDocument=text)
        put(**at, PolicyName="a", PolicyDocument=allowing("kms:*"))
        read = get(**at, PolicyName="b")
        assert same(read["PolicyDocument"], text) and (read["PolicyName"], read[f"{kind.title()}Name"]) == ("b", "inlined"), read
        assert sorted(listed(**at)["PolicyNames"]) == ["a", "b"] and sorted(pages(listed, "PolicyNames", 1, **at)) == ["a", "b"]
        put(**at, PolicyName="b", PolicyDocument=allowing("s3:*"))
        assert same(get(**at, PolicyName="b")["PolicyDocument"], allowing("s3:*"))
        if kind != "group":
            conflict = getattr(iam, f"delete_{kind}")
            refused("DeleteConflict", conflict, 409, **at)
        for name in ["a", "b"]:
            delete(**at, PolicyName=name)
        refused("NoSuchEntity", get, 404, **at, PolicyName="b")
        refused("NoSuchEntity", delete, 404, **at, PolicyName="b")
        nobody = {f"{kind.title()}Name": "nobody"}
        refused("NoSuchEntity", put, 404, **nobody, PolicyName="b", PolicyDocument=text)
        refused("NoSuchEntity", listed, 404, **nobody)
    iam.delete_user(UserName="inlined")
    iam.delete_group(GroupName="inlined")
    iam.delete_role(RoleName="inlined")


def documents():
    """What is no policy is refused, wherever it is put."""
    iam.create_user(UserName="scribe")
    good = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    without = lambda field: {key: value for key, value in good.items() if key != field}
    wrong = [
        "{",
        "[]",
        "{}",
        '{"Version":"2012-10-17"}',
        json.dumps({"Version": "2013-01-01", "Statement": [good]}),
        json.dumps({"Version": "2012-10-17", "Statement": [good], "Unknown": 1}),
        policy(),
        policy(without("Effect")),
        policy(without("Action")),
        policy(without("Resource")),
        policy(good | {"Effect": "Maybe"}),
        policy(good | {"Action": "GetObject"}),
        policy(good | {"Action": []}),
        policy(good | {"Action": 7}),
        policy(good | {"NotAction": "s3:PutObject"}),
        policy(good | {"Resource": "bucket/key"}),
        policy(good | {"Resource": []}),
        policy(good | {"NotResource": "*"}),
        policy(good | {"Principal": "*"}),
        policy(good | {"Principal": {"AWS": arn("root")}}),
        policy(good | {"NotPrincipal": "*"}),
        policy(good | {"Unknown": "x"}),
        policy(good | {"Sid": "with space"}),
        policy(good | {"Sid": "one"}, good | {"Sid": "one"}),
        policy(good | {"Condition": {"StringSame": {"aws:username": "a"}}}),
        policy(good | {"Condition": {"StringEquals": "a"}}),
        policy(good | {"Condition": {"DateLessThan": {"aws:CurrentTime": "yesterday"}}}),
        "\n" + policy(good),
    ]
    for text in wrong:
        for put, parameters in [(iam.put_user_policy, {"UserName": "scribe"}), (iam.create_policy, {})]:
            try:
                refused("MalformedPolicyDocument", put, 400, PolicyName="wrong", PolicyDocument=text, **parameters)
            except AssertionError as error:
                raise AssertionError(f"{put.__name__} {text}: {error}") from error
    right = [
        json.dumps({"Version": "2012-10-17", "Statement": good}),
        json.dumps({"Version": "2012-10-17", "Id": "an id", "Statement": [good]}),
        policy(good | {"Sid": "One1"}, good | {"Sid": "Two2", "Effect": "Deny"}),
        policy(good | {"Action": ["s3:*", "kms:Describe*", "unknown:Thing"], "Resource": ["*", "arn:aws:s3:::b/${aws:username}/*"]}),
        policy({"Effect": "Deny", "NotAction": "s3:*", "NotResource": "arn:aws:s3:::b"}),
        policy(good | {"Condition": {"Bool": {"aws:SecureTransport": True}, "NumericLessThan": {"s3:max-keys": "10"}, "ForAnyValue:StringLike": {"aws:TagKeys": ["a*"]}}}),
        json.dumps(json.loads(policy(good)), indent=4) + "\n",
    ]
    for text in right:
        iam.put_user_policy(UserName="scribe", PolicyName="right", PolicyDocument=text)
        assert same(iam.get_user_policy(UserName="scribe", PolicyName="right")["PolicyDocument"], text), text
    dismantle("scribe")


def sizes():
    """Blanks between tokens do not count; the inline policies of one count together."""
    def sized(length):
        bare = policy(statement("Allow", "s3:GetObject", "arn:aws:s3:::"))
        fill = length - len(bare.replace(" ", ""))
        return policy(statement("Allow", "s3:GetObject", "arn:aws:s3:::" + "x" * fill))

    iam.create_user(UserName="wordy")
    iam.create_group(GroupName="wordy")
    new_role(iam, "wordy", trusting(arn("root")))
    for kind, limit in [("user", 2048), ("group", 5120), ("role", 10240)]:
        at, put = {f"{kind.title()}Name": "wordy"}, getattr(iam, f"put_{kind}_policy")
        refused("LimitExceeded", put, 409, **at, PolicyName="a", PolicyDocument=sized(limit + 1))
        put(**at, PolicyName="a", PolicyDocument=sized(limit))
        refused("LimitExceeded", put, 409, **at, PolicyName="b", PolicyDocument=allowing("s3:*"))
        put(**at, PolicyName="a", PolicyDocument=sized(limit - 200) + " " * 500)
        put(**at, PolicyName="b", PolicyDocument=allowing("s3:*"))
        for name in ["a", "b"]:
            getattr(iam, f"delete_{kind}_policy")(**at, PolicyName=name)
    refused("LimitExceeded", iam.create_policy, 409, PolicyName="wordy", PolicyDocument=sized(6145))
    made = iam.create_policy(PolicyName="wordy", PolicyDocument=sized(6144))["Policy"]["Arn"]
    refused("LimitExceeded", iam.create_policy_version, 409, PolicyArn=made, PolicyDocument=sized(6145))
    trust = trusting(arn("root"), Condition={"StringEquals": {"sts:ExternalId": "x" * 2048}})
    refused("LimitExceeded", iam.update_assume_role_policy, 409, RoleName="wordy", PolicyDocument=trust)
    refused("LimitExceeded", iam.create_role, 409, RoleName="wordier", AssumeRolePolicyDocument=trust)
    iam.delete_policy(PolicyArn=made)
    iam.delete_user(UserName="wordy")
    iam.delete_group(GroupName="wordy")
    iam.delete_role(RoleName="wordy")


def managed_policies():
    text = allowing("s3:GetObject")
    made = iam.create_policy(PolicyName="Managed", Path="/team/", PolicyDocument=text, Description="ours", Tags=tags(a="1"))["Policy"]
    assert made["Arn"] == arn("policy/team/Managed") and made["PolicyId"].startswith("ANPA"), made
    assert (made["DefaultVersionId"], made["AttachmentCount"], made["PermissionsBoundaryUsageCount"], made["IsAttachable"]) == ("v1", 0, 0, True), made
    at = {"PolicyArn": made["Arn"]}
    read = iam.get_policy(**at)["Policy"]
    assert (read["Description"], read["Tags"]) == ("ours", tags(a="1")), read
    refused("EntityAlreadyExists", iam.create_policy, 409, PolicyName="MANAGED", Path="/team/", PolicyDocument=text)
    refused("NoSuchEntity", iam.get_policy, 404, PolicyArn=arn("policy/Managed"))
    version = iam.get_policy_version(**at, VersionId="v1")["PolicyVersion"]
    assert same(version["Document"], text) and version["IsDefaultVersion"] and version["VersionId"] == "v1", version
    # Versions: five at most, and the one in force stays.
    second = iam.create_policy_version(**at, PolicyDocument=allowing("s3:PutObject"))["PolicyVersion"]
    assert (second["VersionId"], second["IsDefaultVersion"]) == ("v2", False) and iam.get_policy(**at)["Policy"]["DefaultVersionId"] == "v1"
    third = iam.create_policy_version(**at, PolicyDocument=allowing("s3:ListBucket"), SetAsDefault=True)["PolicyVersion"]
    assert (third["VersionId"], third["IsDefaultVersion"]) == ("v3", True) and iam.get_policy(**at)["Policy"]["DefaultVersionId"] == "v3"
    for _ in range(2):
        iam.create_policy_version(**at, PolicyDocument=text)
    refused("LimitExceeded", iam.create_policy_version, 409, **at, PolicyDocument=text)
    listed = iam.list_policy_versions(**at)["Versions"]
    assert names(listed, "VersionId") == ["v1", "v2", "v3", "v4", "v5"] and [row["VersionId"] for row in listed if row["IsDefaultVersion"]] == ["v3"]
    assert len(pages(iam.list_policy_versions, "Versions", 2, **at)) == 5
    refused("DeleteConflict", iam.delete_policy_version, 409, **at, VersionId="v3")
    refused("DeleteConflict", iam.delete_policy, 409, **at)
    iam.delete_policy_version(**at, VersionId="v5")
    assert iam.create_policy_version(**at, PolicyDocument=text)["PolicyVersion"]["VersionId"] == "v6", "no number is given twice"
    iam.set_default_policy_version(**at, VersionId="v6")
    assert iam.get_policy(**at)["Policy"]["DefaultVersionId"] == "v6"
    for operation in [iam.get_policy_version, iam.delete_policy_version, iam.set_default_policy_version]:
        refused("NoSuchEntity", operation, 404, **at, VersionId="v5")
    refused("ValidationError", iam.get_policy_version, 400, **at, VersionId="5")
    for number in [1, 2, 3, 4]:
        iam.delete_policy_version(**at, VersionId=f"v{number}")
    iam.delete_policy(**at)
    refused("NoSuchEntity", iam.get_policy, 404, **at)
    refused("NoSuchEntity", iam.delete_policy, 404, **at)


def attachments():
    made = iam.create_policy(PolicyName="attached", PolicyDocument=allowing("s3:GetObject"))["Policy"]["Arn"]
    iam.create_user(UserName="attached")
    iam.create_group(GroupName="attached")
    new_role(iam, "attached", trusting(arn("root")))
    count = lambda: iam.get_policy(PolicyArn=made)["Policy"]["AttachmentCount"]
    for number, kind in enumerate(["user", "group", "role"]):
        at = {f"{kind.title()}Name": "attached"}
        attach, detach, listed = (getattr(iam, name) for name in [f"attach_{kind}_policy", f"detach_{kind}_policy", f"list_attached_{kind}_policies"])
        for _ in range(2):
            attach(**at, PolicyArn=made)
        assert listed(**at)["AttachedPolicies"] == [{"PolicyName": "attached", "PolicyArn": made}] and count() == number + 1
        assert listed(**at, PathPrefix="/none/")["AttachedPolicies"] == []
        refused("NoSuchEntity", attach, 404, **at, PolicyArn=arn("policy/none"))
        refused("NoSuchEntity", detach, 404, **at, PolicyArn=AWS_MANAGED + "ReadOnlyAccess")
        refused("NoSuchEntity", listed, 404, **{f"{kind.title()}Name": "nobody"})
    found = iam.list_entities_for_policy(PolicyArn=made)
    assert [names(found[rows], name) for rows, name in [("PolicyUsers", "UserName"), ("PolicyGroups", "GroupName"), ("PolicyRoles", "RoleName")]] == [["attached"]] * 3, found
    assert found["PolicyUsers"][0]["UserId"].startswith("AIDA")
    only = iam.list_entities_for_policy(PolicyArn=made, EntityFilter="Role")
    assert only["PolicyUsers"] == [] and len(only["PolicyRoles"]) == 1
    refused("DeleteConflict", iam.delete_policy, 409, PolicyArn=made)
    refused("DeleteConflict", iam.delete_user, 409, UserName="attached")
    refused("DeleteConflict", iam.delete_role, 409, RoleName="attached")
    assert made in names(iam.list_policies(Scope="Local", OnlyAttached=True)["Policies"], "Arn")
    for kind in ["user", "group", "role"]:
        getattr(iam, f"detach_{kind}_policy")(**{f"{kind.title()}Name": "attached"}, PolicyArn=made)
    assert count() == 0 and made not in names(iam.list_policies(Scope="Local", OnlyAttached=True)["Policies"], "Arn")
    iam.delete_policy(PolicyArn=made)
    iam.delete_user(UserName="attached")
    iam.delete_group(GroupName="attached")
    iam.delete_role(RoleName="attached")


def boundaries():
    made = iam.create_policy(PolicyName="boundary", PolicyDocument=allowing("s3:*"))["Policy"]["Arn"]
    bounded = {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": made}
    user = iam.create_user(UserName="bounded", PermissionsBoundary=made)["User"]
    role = new_role(iam, "bounded", trusting(arn("root")), PermissionsBoundary=made)
    assert user["PermissionsBoundary"] == bounded and role["PermissionsBoundary"] == bounded, (user, role)
    assert iam.get_policy(PolicyArn=made)["Policy"]["PermissionsBoundaryUsageCount"] == 2
    assert iam.get_policy(PolicyArn=made)["Policy"]["AttachmentCount"] == 0
    used = iam.list_entities_for_policy(PolicyArn=made, PolicyUsageFilter="PermissionsBoundary")
    assert names(used["PolicyUsers"], "UserName") == ["bounded"] and names(used["PolicyRoles"], "RoleName") == ["bounded"]
    assert iam.list_entities_for_policy(PolicyArn=made, PolicyUsageFilter="PermissionsPolicy")["PolicyUsers"] == []
    refused("DeleteConflict", iam.delete_policy, 409, PolicyArn=made)
    for kind in ["user", "role"]:
        at = {f"{kind.title()}Name": "bounded"}
        put, delete = getattr(iam, f"put_{kind}_permissions_boundary"), getattr(iam, f"delete_{kind}_permissions_boundary")
        read = lambda: getattr(iam, f"get_{kind}")(**at)[kind.title()].get("PermissionsBoundary")
        put(**at, PermissionsBoundary=AWS_MANAGED + "PowerUserAccess")
        assert read() == bounded | {"PermissionsBoundaryArn": AWS_MANAGED + "PowerUserAccess"}
        delete(**at)
        assert read() is None
        refused("NoSuchEntity", put, 404, **at, PermissionsBoundary=arn("policy/none"))
        refused("NoSuchEntity", delete, 404, **{f"{kind.title()}Name": "nobody"})
    iam.delete_user(UserName="bounded")
    iam.delete_role(RoleName="bounded")
    iam.delete_policy(PolicyArn=made)


def tags_of_all_kinds():
    iam.create_user(UserName="tagged")
    new_role(iam, "tagged", trusting(arn("root")))
    made = iam.create_policy(PolicyName="tagged", PolicyDocument=allowing("s3:*"))["Policy"]["Arn"]
    for kind, at in [("user", {"UserName": "tagged"}), ("role", {"RoleName": "tagged"}), ("policy", {"PolicyArn": made})]:
        tag, untag, listed = getattr(iam, f"tag_{kind}"), getattr(iam, f"untag_{kind}"), getattr(iam, f"list_{kind}_tags")
        assert listed(**at)["Tags"] == []
        tag(**at, Tags=tags(Team="red", cost="1"))
        tag(**at, Tags=tags(cost="2", none=""))
        read = {row["Key"]: row["Value"] for row in pages(listed, "Tags", 2, **at)}
        assert read == {"Team": "red", "cost": "2", "none": ""}, read
        untag(**at, TagKeys=["Team", "never"])
        assert names(listed(**at)["Tags"], "Key") == ["cost", "none"]
        # Of users and roles keys are the same whatever their case, of policies not.
        refused("InvalidInput", tag, 400, **at, Tags=[{"Key": "two", "Value": "1"}, {"Key": "two" if kind == "policy" else "TWO", "Value": "2"}])
        refused(("InvalidInput", "ValidationError"), tag, 400, **at, Tags=[{"Key": "aws:own", "Value": "x"}])
        refused("ValidationError", tag, 400, **at, Tags=[{"Key": "k" * 129, "Value": ""}])
        refused("ValidationError", tag, 400, **at, Tags=[{"Key": "k", "Value": "v" * 257}])
        tag(**at, Tags=[{"Key": f"n{number}", "Value": ""} for number in range(48)])
        refused("LimitExceeded", tag, 409, **at, Tags=tags(onemore=""))
        nobody = {field: arn("policy/none") if kind == "policy" else "nobody" for field in at}
        refused("NoSuchEntity", tag, 404, **nobody, Tags=tags(a="1"))
        refused("NoSuchEntity", listed, 404, **nobody)
    iam.delete_user(UserName="tagged")
    iam.delete_role(RoleName="tagged")
    iam.delete_policy(PolicyArn=made)


def policies_of_aws():
    """The policies that every account has."""
    of_all = {
        "AdministratorAccess": "/", "AmazonS3FullAccess": "/", "AmazonS3ReadOnlyAccess": "/", "AWSKeyManagementServicePowerUser": "/", "ReadOnlyAccess": "/",
        "IAMFullAccess": "/", "IAMReadOnlyAccess": "/", "PowerUserAccess": "/", "ViewOnlyAccess": "/job-function/", "SecurityAudit": "/",
    }
    listed = {row["Arn"]: row for row in pages(iam.list_policies, "Policies", 1000, Scope="AWS")}
    assert not any(row["Arn"].startswith(AWS_MANAGED) for row in pages(iam.list_policies, "Policies", 1000, Scope="Local"))
    iam.create_user(UserName="managed")
    iam.create_group(GroupName="managed")
    new_role(iam, "managed", trusting(arn("root")))
    for name, path in of_all.items():
        at = AWS_MANAGED + path.removeprefix("/") + name
        read = iam.get_policy(PolicyArn=at)["Policy"]
        assert (read["PolicyName"], read["Path"], read["Arn"], read["IsAttachable"]) == (name, path, at, True), read
        assert at in listed and listed[at]["PolicyId"] == read["PolicyId"], name
        document = iam.get_policy_version(PolicyArn=at, VersionId=read["DefaultVersionId"])["PolicyVersion"]["Document"]
        assert document["Version"] == "2012-10-17" and document["Statement"], document
        assert read["DefaultVersionId"] in names(iam.list_policy_versions(PolicyArn=at)["Versions"], "VersionId")
        for kind in ["user", "group", "role"]:
            holder = {f"{kind.title()}Name": "managed"}
            getattr(iam, f"attach_{kind}_policy")(**holder, PolicyArn=at)
            assert getattr(iam, f"list_attached_{kind}_policies")(**holder)["AttachedPolicies"] == [{"PolicyName": name, "PolicyArn": at}]
            getattr(iam, f"detach_{kind}_policy")(**holder, PolicyArn=at)
        for operation, parameters in [(iam.delete_policy, {}), (iam.create_policy_version, {"PolicyDocument": allowing("s3:*")})]:
            refused(("AccessDenied", "InvalidInput", "NoSuchEntity"), operation, PolicyArn=at, **parameters)
    read = iam.get_policy(PolicyArn=AWS_MANAGED + "AdministratorAccess")["Policy"]
    document = iam.get_policy_version(PolicyArn=read["Arn"], VersionId=read["DefaultVersionId"])["PolicyVersion"]["Document"]
    assert document["Statement"] == [{"Effect": "Allow", "Action": "*", "Resource": "*"}], document
    iam.delete_user(UserName="managed")
    iam.delete_group(GroupName="managed")
    iam.delete_role(RoleName="managed")


def details_of_the_account():
    boundary = iam.create_policy(PolicyName="detailed", PolicyDocument=allowing("s3:*"))["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=boundary, PolicyDocument=allowing("kms:*"))
    before = iam.get_account_summary()["SummaryMap"]
    iam.create_user(UserName="detailed", Path="/d/", PermissionsBoundary=boundary, Tags=tags(a="1"))
    iam.put_user_policy(UserName="detailed", PolicyName="inline", PolicyDocument=allowing("s3:GetObject"))
    iam.create_group(GroupName="detailed")
    iam.put_group_policy(GroupName="detailed", PolicyName="inline", PolicyDocument=allowing("s3:PutObject"))
    iam.attach_group_policy(GroupName="detailed", PolicyArn=boundary)
    iam.add_user_to_group(GroupName="detailed", UserName="detailed")
    new_role(iam, "detailed", trusting(arn("root")), allowing("s3:ListBucket"))
    iam.attach_role_policy(RoleName="detailed", PolicyArn=boundary)
    everything = {"UserDetailList": [], "GroupDetailList": [], "RoleDetailList": [], "Policies": []}
    for page in iam.get_paginator("get_account_authorization_details").paginate(PaginationConfig={"PageSize": 2}):
        for rows in everything:
            everything[rows] += page[rows]
    one = lambda rows, field: next(row for row in everything[rows] if row[field] == "detailed")
    user, group, role = one("UserDetailList", "UserName"), one("GroupDetailList", "GroupName"), one("RoleDetailList", "RoleName")
    assert user["GroupList"] == ["detailed"] and user["Path"] == "/d/" and user["Tags"] == tags(a="1") and user["AttachedManagedPolicies"] == [], user
    assert user["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    (inline,) = user["UserPolicyList"]
    assert inline["PolicyName"] == "inline" and same(inline["PolicyDocument"], allowing("s3:GetObject"))
    assert same(group["GroupPolicyList"][0]["PolicyDocument"], allowing("s3:PutObject"))
    assert group["AttachedManagedPolicies"] == [{"PolicyName": "detailed", "PolicyArn": boundary}]
    assert same(role["AssumeRolePolicyDocument"], trusting(arn("root"))) and role["InstanceProfileList"] == []
    assert same(role["RolePolicyList"][0]["PolicyDocument"], allowing("s3:ListBucket")) and len(role["AttachedManagedPolicies"]) == 1
    managed = one("Policies", "PolicyName")
    assert (managed["AttachmentCount"], managed["PermissionsBoundaryUsageCount"], managed["DefaultVersionId"]) == (2, 1, "v1"), managed
    assert names(managed["PolicyVersionList"], "VersionId") == ["v1", "v2"] and all(row["Document"] for row in managed["PolicyVersionList"])
    only = iam.get_account_authorization_details(Filter=["Group"])
    assert only["UserDetailList"] == only["RoleDetailList"] == only["Policies"] == [] and only["GroupDetailList"]
    assert "detailed" in names(iam.get_account_authorization_details(Filter=["User", "LocalManagedPolicy"])["Policies"], "PolicyName")
    after = iam.get_account_summary()["SummaryMap"]
    assert [after[field] - before[field] for field in ["Users", "Groups", "Roles", "Policies"]] == [1, 1, 1, 0], after
    quotas = {"AccessKeysPerUserQuota": 2, "VersionsPerPolicyQuota": 5, "UserPolicySizeQuota": 2048, "GroupPolicySizeQuota": 5120, "PolicySizeQuota": 6144, "AssumeRolePolicySizeQuota": 2048}
    assert {field: after[field] for field in quotas} == quotas, after
    assert (after["AccountMFAEnabled"], after["AccountAccessKeysPresent"], after["InstanceProfiles"], after["MFADevices"]) == (0, 1, 0, 0), after
    dismantle("detailed")
    iam.delete_group_policy(GroupName="detailed", PolicyName="inline")
    iam.detach_group_policy(GroupName="detailed", PolicyArn=boundary)
    iam.delete_group(GroupName="detailed")
    iam.delete_role_policy(RoleName="detailed", PolicyName="inline")
    iam.detach_role_policy(RoleName="detailed", PolicyArn=boundary)
    iam.delete_role(RoleName="detailed")
    iam.delete_policy_version(PolicyArn=boundary, VersionId="v2")
    iam.delete_policy(PolicyArn=boundary)


def account_alias():
    assert iam.list_account_aliases()["AccountAliases"] == []
    first, second = unique("first"), unique("second")
    iam.create_account_alias(AccountAlias=first)
    assert iam.list_account_aliases()["AccountAliases"] == [first]
    refused("EntityAlreadyExists", other_root.iam.create_account_alias, 409, AccountAlias=first)
    iam.create_account_alias(AccountAlias=second)
    assert iam.list_account_aliases()["AccountAliases"] == [second], "there is one"
    refused("NoSuchEntity", iam.delete_account_alias, 404, AccountAlias=first)
    for name in ["Upper", "-dash", "dash-", "two--dashes", "under_score", "a" * 64]:
        refused("ValidationError", iam.create_account_alias, 400, AccountAlias=name)
    iam.delete_account_alias(AccountAlias=second)
    assert iam.list_account_aliases()["AccountAliases"] == []


def decisions(answer):
    """What a simulation decided, by action and resource."""
    found = {}
    for row in answer["EvaluationResults"]:
        specific = row.get("ResourceSpecificResults") or [{"EvalResourceName": "*", "EvalResourceDecision": row["EvalDecision"]}]
        for one in specific:
            found[row["EvalActionName"], one["EvalResourceName"]] = one["EvalResourceDecision"]
    return found


def simulations_of_texts():
    simulate = iam.simulate_custom_policy
    read = policy(statement("Allow", ["s3:GetObject", "s3:ListBucket"], ["arn:aws:s3:::b", "arn:aws:s3:::b/*"]), statement("Deny", "s3:*", "arn:aws:s3:::b/secret/*"))
    answer = simulate(PolicyInputList=[read], ActionNames=["s3:GetObject", "s3:PutObject"], ResourceArns=["arn:aws:s3:::b/k", "arn:aws:s3:::b/secret/k", "arn:aws:s3:::c/k"])
    assert decisions(answer) == {
        ("s3:GetObject", "arn:aws:s3:::b/k"): "allowed",
        ("s3:GetObject", "arn:aws:s3:::b/secret/k"): "explicitDeny",
        ("s3:GetObject", "arn:aws:s3:::c/k"): "implicitDeny",
        ("s3:PutObject", "arn:aws:s3:::b/k"): "implicitDeny",
        ("s3:PutObject", "arn:aws:s3:::b/secret/k"): "explicitDeny",
        ("s3:PutObject", "arn:aws:s3:::c/k"): "implicitDeny",
    }, answer
    # Without resources it is about all of them.
    (row,) = simulate(PolicyInputList=[allowing("s3:Get*")], ActionNames=["s3:GetObject"])["EvaluationResults"]
    assert (row["EvalActionName"], row["EvalDecision"], row["MissingContextValues"]) == ("s3:GetObject", "allowed", []), row
    (matched,) = row["MatchedStatements"]
    assert matched["SourcePolicyId"] == "PolicyInputList.1" and {"Line", "Column"} <= matched["StartPosition"].keys() and matched["EndPosition"]["Column"], matched
    (row,) = simulate(PolicyInputList=[allowing("s3:Get*"), denying("s3:GetObject")], ActionNames=["s3:GetObject"])["EvaluationResults"]
    assert row["EvalDecision"] == "explicitDeny" and [matched["SourcePolicyId"] for matched in row["MatchedStatements"]] == ["PolicyInputList.2"], row
    (row,) = simulate(PolicyInputList=[allowing("s3:Get*")], ActionNames=["kms:Encrypt"])["EvaluationResults"]
    assert row["EvalDecision"] == "implicitDeny" and row["MatchedStatements"] == [], row
    # Conditions.
    conditional = allowing("s3:GetObject", Condition={"StringEquals": {"aws:PrincipalTag/team": "red"}, "Bool": {"aws:SecureTransport": "true"}})
    ask = lambda *entries: simulate(PolicyInputList=[conditional], ActionNames=["s3:GetObject"], ContextEntries=list(entries))["EvaluationResults"][0]
    team = {"ContextKeyName": "aws:PrincipalTag/team", "ContextKeyValues": ["red"], "ContextKeyType": "string"}
    secure = {"ContextKeyName": "aws:SecureTransport", "ContextKeyValues": ["true"], "ContextKeyType": "boolean"}
    row = ask()
    missing = {name.lower() for name in row["MissingContextValues"]}
    assert row["EvalDecision"] == "implicitDeny" and missing == {"aws:principaltag/team", "aws:securetransport"}, row
    row = ask(team)
    assert row["EvalDecision"] == "implicitDeny" and [name.lower() for name in row["MissingContextValues"]] == ["aws:securetransport"], row
    assert ask(team, secure)["EvalDecision"] == "allowed"
    assert ask(team | {"ContextKeyValues": ["blue"]}, secure)["EvalDecision"] == "implicitDeny"
    # Boundaries.
    bounded = lambda boundary: simulate(PolicyInputList=[allowing("s3:*")], PermissionsBoundaryPolicyInputList=[boundary], ActionNames=["s3:GetObject"])["EvaluationResults"][0]
    for boundary, decision, allows in [(allowing("s3:GetObject"), "allowed", True), (allowing("kms:*"), "implicitDeny", False), (denying("s3:GetObject"), "explicitDeny", False)]:
        row = bounded(boundary)
        assert (row["EvalDecision"], row["PermissionsBoundaryDecisionDetail"]["AllowedByPermissionsBoundary"]) == (decision, allows), row
    # A resource policy, seen by a caller.
    ann = iam.create_user(UserName="simulated")["User"]["Arn"]
    bucket_policy = policy({"Effect": "Allow", "Principal": {"AWS": ann}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"})
    ask = {"PolicyInputList": [allowing("kms:*")], "ActionNames": ["s3:GetObject"], "ResourceArns": ["arn:aws:s3:::b/k"], "CallerArn": ann}
    assert decisions(simulate(ResourcePolicy=bucket_policy, **ask)) == {("s3:GetObject", "arn:aws:s3:::b/k"): "allowed"}
    assert decisions(simulate(**ask)) == {("s3:GetObject", "arn:aws:s3:::b/k"): "implicitDeny"}
    iam.delete_user(UserName="simulated")
    refused("InvalidInput", simulate, 400, PolicyInputList=["{"], ActionNames=["s3:GetObject"])
    refused(("InvalidInput", "ValidationError"), simulate, 400, PolicyInputList=[read], ActionNames=["GetObject"])
    actions = ["s3:GetObject", "s3:PutObject", "s3:ListBucket"]
    assert len(pages(simulate, "EvaluationResults", 2, PolicyInputList=[read], ActionNames=actions)) == 3


def simulations_of_principals():
    simulate = iam.simulate_principal_policy
    decide = lambda source, *actions, **more: {action: decision for (action, _), decision in decisions(simulate(PolicySourceArn=source, ActionNames=list(actions), **more)).items()}
    user = iam.create_user(UserName="simulated")["User"]["Arn"]
    iam.create_group(GroupName="simulated")
    iam.add_user_to_group(GroupName="simulated", UserName="simulated")
    role = new_role(iam, "simulated", trusting(arn("root")), allowing("s3:*"))["Arn"]
    assert decide(user, "s3:GetObject") == {"s3:GetObject": "implicitDeny"}
    iam.put_user_policy(UserName="simulated", PolicyName="own", PolicyDocument=allowing("s3:GetObject"))
    iam.put_group_policy(GroupName="simulated", PolicyName="shared", PolicyDocument=policy(statement("Allow", "s3:PutObject"), statement("Deny", "s3:DeleteObject")))
    iam.attach_user_policy(UserName="simulated", PolicyArn=AWS_MANAGED + "AWSKeyManagementServicePowerUser")
    actions = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "kms:CreateKey"]
    assert decide(user, *actions) == dict(zip(actions, ["allowed", "allowed", "explicitDeny", "implicitDeny", "allowed"]))
    assert decide(arn("group/simulated"), "s3:GetObject", "s3:PutObject") == {"s3:GetObject": "implicitDeny", "s3:PutObject": "allowed"}
    assert decide(role, "s3:DeleteObject", "kms:CreateKey") == {"s3:DeleteObject": "allowed", "kms:CreateKey": "implicitDeny"}
    assert decide(user, "s3:GetObject", "s3:ListBucket", PolicyInputList=[policy(statement("Allow", "s3:ListBucket"), statement("Deny", "s3:GetObject"))]) == {"s3:GetObject": "explicitDeny", "s3:ListBucket": "allowed"}
    (row,) = simulate(PolicySourceArn=user, ActionNames=["s3:GetObject"])["EvaluationResults"]
    assert len(row["MatchedStatements"]) == 1 and "own" in row["MatchedStatements"][0]["SourcePolicyId"], row
    # His boundary is in force here too, unless another is given.
    boundary = iam.create_policy(PolicyName="simulated", PolicyDocument=allowing("kms:*"))["Policy"]["Arn"]
    iam.put_user_permissions_boundary(UserName="simulated", PermissionsBoundary=boundary)
    (row,) = simulate(PolicySourceArn=user, ActionNames=["s3:GetObject"])["EvaluationResults"]
    assert row["EvalDecision"] == "implicitDeny" and row["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": False}, row
    assert decide(user, "s3:GetObject", "kms:CreateKey", PermissionsBoundaryPolicyInputList=[allowing("s3:*")]) == {"s3:GetObject": "allowed", "kms:CreateKey": "implicitDeny"}
    refused("NoSuchEntity", simulate, 404, PolicySourceArn=arn("user/nobody"), ActionNames=["s3:GetObject"])
    # Variables are the simulated user's.
    iam.delete_user_permissions_boundary(UserName="simulated")
    iam.put_user_policy(UserName="simulated", PolicyName="home", PolicyDocument=allowing("s3:AbortMultipartUpload", "arn:aws:s3:::b/${aws:username}/*"))
    assert decisions(simulate(PolicySourceArn=user, ActionNames=["s3:AbortMultipartUpload"], ResourceArns=["arn:aws:s3:::b/simulated/k", "arn:aws:s3:::b/other/k"])) == {
        ("s3:AbortMultipartUpload", "arn:aws:s3:::b/simulated/k"): "allowed",
        ("s3:AbortMultipartUpload", "arn:aws:s3:::b/other/k"): "implicitDeny",
    }
    dismantle("simulated")
    iam.delete_group_policy(GroupName="simulated", PolicyName="shared")
    iam.delete_group(GroupName="simulated")
    iam.delete_role_policy(RoleName="simulated", PolicyName="inline")
    iam.delete_role(RoleName="simulated")
    iam.delete_policy(PolicyArn=boundary)


def context_keys():
    text = policy(
        statement("Allow", "s3:GetObject", "arn:aws:s3:::b/${aws:username}/*", Condition={"StringEquals": {"aws:PrincipalTag/team": "${aws:PrincipalTag/also}"}}),
        statement("Deny", "s3:*", Condition={"Bool": {"aws:SecureTransport": "false"}}),
    )
    wanted = {"aws:username", "aws:principaltag/team", "aws:principaltag/also", "aws:securetransport"}
    found = iam.get_context_keys_for_custom_policy(PolicyInputList=[text])["ContextKeyNames"]
    assert {name.lower() for name in found} == wanted and len(found) == 4, found
    user = iam.create_user(UserName="contextual")["User"]["Arn"]
    iam.put_user_policy(UserName="contextual", PolicyName="inline", PolicyDocument=text)
    found = iam.get_context_keys_for_principal_policy(PolicySourceArn=user)["ContextKeyNames"]
    assert {name.lower() for name in found} == wanted, found
    more = allowing("s3:*", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})
    found = iam.get_context_keys_for_principal_policy(PolicySourceArn=user, PolicyInputList=[more])["ContextKeyNames"]
    assert {name.lower() for name in found} == wanted | {"aws:sourceip"}, found
    refused("NoSuchEntity", iam.get_context_keys_for_principal_policy, 404, PolicySourceArn=arn("user/nobody"))
    refused("InvalidInput", iam.get_context_keys_for_custom_policy, 400, PolicyInputList=["{"])
    dismantle("contextual")


def no_passwords_and_devices():
    """What people and instances have elsewhere is asked for by tools, and there is none of it."""
    iam.create_user(UserName="plain")
    at = {"UserName": "plain"}
    refused("NoSuchEntity", iam.get_login_profile, 404, **at)
    refused("NoSuchEntity", iam.delete_login_profile, 404, **at)
    refused("NotImplemented", iam.create_login_profile, **at, Password="Long-enough-1")
    refused("NoSuchEntity", iam.get_account_password_policy, 404)
    for operation, rows, parameters in [
        (iam.list_mfa_devices, "MFADevices", at),
        (iam.list_ssh_public_keys, "SSHPublicKeys", at),
        (iam.list_signing_certificates, "Certificates", at),
        (iam.list_service_specific_credentials, "ServiceSpecificCredentials", at),
        (iam.list_virtual_mfa_devices, "VirtualMFADevices", {}),
        (iam.list_instance_profiles, "InstanceProfiles", {}),
    ]:
        assert operation(**parameters)[rows] == [], rows
    refused("NoSuchEntity", iam.list_mfa_devices, 404, UserName="nobody")
    iam.delete_user(**at)
    new_role(iam, "plain", trusting(arn("root")))
    assert iam.list_instance_profiles_for_role(RoleName="plain")["InstanceProfiles"] == []
    refused("NoSuchEntity", iam.list_instance_profiles_for_role, 404, RoleName="nobody")
    refused("NoSuchEntity", iam.get_instance_profile, 404, InstanceProfileName="none")
    told = message_of(refused("NotImplemented", iam.create_instance_profile, InstanceProfileName="none"))
    assert "CreateInstanceProfile" in told, told
    iam.delete_role(RoleName="plain")


def openid_connect_providers():
    host = "token.example.com/path"
    first, second = "a" * 40, "0123456789abcdef" * 2 + "01234567"
    made = iam.create_open_id_connect_provider(Url=f"https://{host}", ClientIDList=["one"], ThumbprintList=[first], Tags=tags(a="1"))
    at = {"OpenIDConnectProviderArn": made["OpenIDConnectProviderArn"]}
    assert made["OpenIDConnectProviderArn"] == arn(f"oidc-provider/{host}") and made["Tags"] == tags(a="1"), made
    read = iam.get_open_id_connect_provider(**at)
    assert (read["Url"], read["ClientIDList"], read["ThumbprintList"], read["Tags"]) == (host, ["one"], [first], tags(a="1")), read
    assert read["CreateDate"].year >= 2024
    refused("EntityAlreadyExists", iam.create_open_id_connect_provider, 409, Url=f"https://{host}", ThumbprintList=[first])
    for url in ["http://token.example.com", "token.example.com", "https://"]:
        refused(("InvalidInput", "ValidationError"), iam.create_open_id_connect_provider, 400, Url=url, ThumbprintList=[first])
    assert made["OpenIDConnectProviderArn"] in names(iam.list_open_id_connect_providers()["OpenIDConnectProviderList"], "Arn")
    for _ in range(2):
        iam.add_client_id_to_open_id_connect_provider(**at, ClientID="two")
    assert sorted(iam.get_open_id_connect_provider(**at)["ClientIDList"]) == ["one", "two"]
    for _ in range(2):
        iam.remove_client_id_from_open_id_connect_provider(**at, ClientID="one")
    iam.update_open_id_connect_provider_thumbprint(**at, ThumbprintList=[second, first])
    read = iam.get_open_id_connect_provider(**at)
    assert read["ClientIDList"] == ["two"] and sorted(read["ThumbprintList"]) == sorted([first, second]), read
    iam.tag_open_id_connect_provider(**at, Tags=tags(b="2"))
    iam.untag_open_id_connect_provider(**at, TagKeys=["a"])
    assert iam.list_open_id_connect_provider_tags(**at)["Tags"] == tags(b="2")
    # A role may trust it.
    new_role(iam, "federated", trusting({"Federated": made["OpenIDConnectProviderArn"]}, "sts:AssumeRoleWithWebIdentity", Condition={"StringEquals": {f"{host}:aud": "two"}}))
    iam.delete_role(RoleName="federated")
    iam.delete_open_id_connect_provider(**at)
    for operation, parameters in [
        (iam.get_open_id_connect_provider, {}),
        (iam.add_client_id_to_open_id_connect_provider, {"ClientID": "x"}),
        (iam.update_open_id_connect_provider_thumbprint, {"ThumbprintList": [first]}),
        (iam.list_open_id_connect_provider_tags, {}),
    ]:
        refused("NoSuchEntity", operation, 404, **at, **parameters)
    assert made["OpenIDConnectProviderArn"] not in names(iam.list_open_id_connect_providers()["OpenIDConnectProviderList"], "Arn")


def accounts_do_not_see_each_other():
    iam.create_user(UserName="shared")
    refused("NoSuchEntity", other_root.iam.get_user, 404, UserName="shared")
    other = other_root.iam.create_user(UserName="shared")["User"]
    assert other["Arn"] == arn("user/shared", other_account) and other["UserId"] != iam.get_user(UserName="shared")["User"]["UserId"]
    other_root.iam.delete_user(UserName="shared")
    iam.get_user(UserName="shared")
    made = iam.create_policy(PolicyName="shared", PolicyDocument=allowing("s3:*"))["Policy"]["Arn"]
    refused(("NoSuchEntity", "AccessDenied"), other_root.iam.get_policy, PolicyArn=made)
    other_root.iam.create_user(UserName="shared")
    refused(("NoSuchEntity", "AccessDenied", "InvalidInput", "ValidationError"), other_root.iam.attach_user_policy, UserName="shared", PolicyArn=made)
    other_root.iam.delete_user(UserName="shared")
    iam.delete_policy(PolicyArn=made)
    iam.delete_user(UserName="shared")


def keys_at_work():
    """Whose key is inactive or gone is nobody, everywhere and at once."""
    _, caller = new_user(iam, "working", allowing(["s3:*", "kms:*", "iam:*"]))
    at = {"UserName": "working", "AccessKeyId": caller.access_key_id}

    def works():
        caller.sts.get_caller_identity()
        caller.iam.list_users()
        caller.s3.list_buckets()
        caller.kms.list_keys()

    def is_nobody():
        refused("InvalidClientTokenId", caller.sts.get_caller_identity, 403)
        refused("InvalidClientTokenId", caller.iam.list_users, 403)
        refused("InvalidAccessKeyId", caller.s3.list_buckets, 403)
        refused("UnrecognizedClientException", caller.kms.list_keys, 400)

    works()
    iam.update_access_key(**at, Status="Inactive")
    is_nobody()
    iam.update_access_key(**at, Status="Active")
    works()
    wrong = Caller(caller.access_key_id, "x" * 40)
    refused("SignatureDoesNotMatch", wrong.sts.get_caller_identity, 403)
    refused("SignatureDoesNotMatch", wrong.iam.list_users, 403)
    iam.delete_access_key(**at)
    is_nobody()
    dismantle("working")
    is_nobody()


def changes_are_felt_at_once():
    """Every way to give and take permissions counts for the next request."""
    root.s3.create_bucket(Bucket="felt-at-once")
    root.s3.put_object(Bucket="felt-at-once", Key="k", Body=b"x")
    _, caller = new_user(iam, "feeling")
    iam.create_group(GroupName="feeling")
    made = iam.create_policy(PolicyName="feeling", PolicyDocument=allowing("s3:GetObject"))["Policy"]["Arn"]
    user, group, key = {"UserName": "feeling"}, {"GroupName": "feeling"}, {"Bucket": "felt-at-once", "Key": "k"}
    may = lambda: caller.s3.get_object(**key)["Body"].read()
    may_not = lambda: refused("AccessDenied", caller.s3.get_object, 403, **key)
    text = allowing("s3:GetObject")
    pairs = [
        (lambda: iam.put_user_policy(**user, PolicyName="p", PolicyDocument=text), lambda: iam.delete_user_policy(**user, PolicyName="p")),
        (lambda: iam.attach_user_policy(**user, PolicyArn=made), lambda: iam.detach_user_policy(**user, PolicyArn=made)),
        (lambda: iam.put_group_policy(**group, PolicyName="p", PolicyDocument=text), None),
        (lambda: iam.add_user_to_group(**group, **user), lambda: iam.remove_user_from_group(**group, **user)),
        (lambda: iam.add_user_to_group(**group, **user), lambda: iam.delete_group_policy(**group, PolicyName="p")),
        (lambda: iam.attach_group_policy(**group, PolicyArn=made), None),
    ]
    may_not()
    for give, take in pairs:
        give()
        if take:
            may()
            take()
            may_not()
    may()
    # Another version, a denial, a boundary, a tag that a condition asks for.
    iam.create_policy_version(PolicyArn=made, PolicyDocument=allowing("s3:PutObject"), SetAsDefault=True)
    may_not()
    iam.set_default_policy_version(PolicyArn=made, VersionId="v1")
    may()
    iam.put_user_policy(**user, PolicyName="no", PolicyDocument=denying("s3:*"))
    may_not()
    iam.delete_user_policy(**user, PolicyName="no")
    may()
    iam.put_user_permissions_boundary(**user, PermissionsBoundary=AWS_MANAGED + "IAMReadOnlyAccess")
    may_not()
    iam.delete_user_permissions_boundary(**user)
    may()
    iam.detach_group_policy(**group, PolicyArn=made)
    iam.put_user_policy(**user, PolicyName="tagged", PolicyDocument=allowing("s3:GetObject", Condition={"StringEquals": {"aws:PrincipalTag/team": "red"}}))
    may_not()
    iam.tag_user(**user, Tags=tags(team="red"))
    may()
    iam.untag_user(**user, TagKeys=["team"])
    may_not()
    dismantle("feeling")
    iam.delete_group(**group)
    iam.delete_policy_version(PolicyArn=made, VersionId="v2")
    iam.delete_policy(PolicyArn=made)


def names_stand_for_who_bore_them():
    """A policy that names a user means that user: one who comes later under the name inherits nothing, and the policy shows the id of who is gone."""
    bucket, s3 = "named", root.s3
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    key = root.kms.create_key()["KeyMetadata"]["Arn"]
    granted = root.kms.create_key()["KeyMetadata"]["Arn"]
    first, caller = new_user(iam, "named")
    named = {"AWS": first["Arn"]}
    on_bucket = policy({"Effect": "Allow", "Principal": named, "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"})
    keeps = {"Effect": "Allow", "Principal": {"AWS": arn("root")}, "Action": "kms:*", "Resource": "*"}
    on_key = policy(keeps, {"Effect": "Allow", "Principal": named, "Action": "kms:Encrypt", "Resource": "*"})
    s3.put_bucket_policy(Bucket=bucket, Policy=on_bucket)
    root.kms.put_key_policy(KeyId=key, Policy=on_key)
    root.kms.create_grant(KeyId=granted, GranteePrincipal=first["Arn"], Operations=["Encrypt"])
    role = new_role(iam, "named-role", trusting(first["Arn"]))["Arn"]

    def works(who):
        who.s3.get_object(Bucket=bucket, Key="k")["Body"].read()
        who.kms.encrypt(KeyId=key, Plaintext=b"x")
        who.kms.encrypt(KeyId=granted, Plaintext=b"x")
        assume(who, role)

    def is_refused(who):
        refused("AccessDenied", who.s3.get_object, 403, Bucket=bucket, Key="k")
        refused("AccessDeniedException", who.kms.encrypt, KeyId=key, Plaintext=b"x")
        refused("AccessDeniedException", who.kms.encrypt, KeyId=granted, Plaintext=b"x")
        refused("AccessDenied", who.sts.assume_role, 403, RoleArn=role, RoleSessionName="session")

    def shown():
        return [
            json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"][0]["Principal"]["AWS"],
            json.loads(root.kms.get_key_policy(KeyId=key)["Policy"])["Statement"][1]["Principal"]["AWS"],
            root.kms.list_grants(KeyId=granted)["Grants"][0]["GranteePrincipal"],
            iam.get_role(RoleName="named-role")["Role"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["AWS"],
        ]

    works(caller)
    assert shown() == [first["Arn"]] * 4, shown()
    # Another name takes the permissions along.
    iam.update_user(UserName="named", NewUserName="renamed")
    works(caller)
    assert shown() == [arn("user/renamed")] * 4, shown()
    iam.update_user(UserName="renamed", NewUserName="named")
    dismantle("named")
    assert shown() == [first["UserId"]] * 4, shown()
    second, caller = new_user(iam, "named")
    assert second["Arn"] == first["Arn"] and second["UserId"] != first["UserId"]
    is_refused(caller)
    assert shown() == [first["UserId"]] * 4, shown()
    # Named anew, he is meant.
    s3.put_bucket_policy(Bucket=bucket, Policy=on_bucket)
    root.kms.put_key_policy(KeyId=key, Policy=on_key)
    for grant in root.kms.list_grants(KeyId=granted)["Grants"]:
        root.kms.revoke_grant(KeyId=granted, GrantId=grant["GrantId"])
    root.kms.create_grant(KeyId=granted, GranteePrincipal=second["Arn"], Operations=["Encrypt"])
    iam.update_assume_role_policy(RoleName="named-role", PolicyDocument=trusting(second["Arn"]))
    works(caller)
    dismantle("named")
    iam.delete_role(RoleName="named-role")


def roles_too():
    """The same of a role that is made again: its sessions are of another role."""
    bucket = "role-named"
    root.s3.create_bucket(Bucket=bucket)
    root.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    taker, caller = new_user(iam, "role-taker", allowing("sts:AssumeRole"))
    first = new_role(iam, "role-named", trusting(taker["Arn"]))
    trusts = new_role(iam, "role-trusting", trusting(first["Arn"]))["Arn"]
    on_bucket = policy({"Effect": "Allow", "Principal": {"AWS": first["Arn"]}, "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"})
    root.s3.put_bucket_policy(Bucket=bucket, Policy=on_bucket)
    session = assume(caller, first["Arn"])
    session.s3.get_object(Bucket=bucket, Key="k")["Body"].read()
    assume(session, trusts)
    iam.delete_role(RoleName="role-named")
    second = new_role(iam, "role-named", trusting(taker["Arn"]))
    assert second["RoleId"] != first["RoleId"]
    again = assume(caller, second["Arn"])
    refused("AccessDenied", again.s3.get_object, 403, Bucket=bucket, Key="k")
    refused("AccessDenied", again.sts.assume_role, 403, RoleArn=trusts, RoleSessionName="session")
    assert json.loads(root.s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"][0]["Principal"]["AWS"] == first["RoleId"]
    assert iam.get_role(RoleName="role-trusting")["Role"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["AWS"] == first["RoleId"]
    for name in ["role-named", "role-trusting"]:
        iam.delete_role(RoleName=name)
    dismantle("role-taker")


def who_does_not_exist():
    """Nobody's name is taken in the policy of a bucket, a key or a grant."""
    root.s3.create_bucket(Bucket="nobodys")
    key = root.kms.create_key()["KeyMetadata"]["Arn"]
    nobody = arn("user/nobody")
    on_bucket = policy({"Effect": "Allow", "Principal": {"AWS": nobody}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::nobodys/*"})
    refused("MalformedPolicy", root.s3.put_bucket_policy, 400, Bucket="nobodys", Policy=on_bucket)
    on_key = root.kms.get_key_policy(KeyId=key)["Policy"].replace(arn("root"), nobody)
    refused("MalformedPolicyDocumentException", root.kms.put_key_policy, KeyId=key, Policy=on_key, BypassPolicyLockoutSafetyCheck=True)
    refused("InvalidArnException", root.kms.create_grant, KeyId=key, GranteePrincipal=nobody, Operations=["Encrypt"])
    root.s3.delete_bucket(Bucket="nobodys")


def what_is_not_there():
    """An operation that the gateway has not is refused by its name; one that nobody has, too."""
    told = message_of(refused("NotImplemented", iam.upload_server_certificate, ServerCertificateName="c", CertificateBody="c", PrivateKey="k"))
    assert "UploadServerCertificate" in told, told

    def asked(body):
        request = AWSRequest("POST", f"{endpoint}/", headers={"Content-Type": "application/x-www-form-urlencoded"}, data=body)
        SigV4Auth(Credentials(root.access_key_id, root.secret_access_key), "iam", "us-east-1").add_auth(request)
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/", body.encode(), dict(request.headers.items()))) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    status, body = asked("Action=ListUsers&Version=2010-05-08")
    assert status == 200 and "<ListUsersResult>" in body and "https://iam.amazonaws.com/doc/2010-05-08/" in body, body
    status, body = asked("Action=MakeCoffee&Version=2010-05-08")
    assert status == 400 and "<Code>InvalidAction</Code>" in body, body
    status, body = asked("Action=ListUsers&Version=1999-01-01")
    assert status == 400 and "<Code>InvalidAction</Code>" in body, body
    status, body = asked("Action=GetRole&Version=2010-05-08")
    assert status == 400 and "<Code>ValidationError</Code>" in body, body


run([
    users,
    names_and_paths,
    lists_in_pages,
    access_keys,
    keys_of_ones_own,
    last_use_of_keys,
    groups,
    how_many,
    roles,
    trust_policies,
    inline_policies,
    documents,
    sizes,
    managed_policies,
    attachments,
    boundaries,
    tags_of_all_kinds,
    policies_of_aws,
    details_of_the_account,
    account_alias,
    simulations_of_texts,
    simulations_of_principals,
    context_keys,
    no_passwords_and_devices,
    openid_connect_providers,
    accounts_do_not_see_each_other,
    keys_at_work,
    changes_are_felt_at_once,
    names_stand_for_who_bore_them,
    roles_too,
    who_does_not_exist,
    what_is_not_there,
])
