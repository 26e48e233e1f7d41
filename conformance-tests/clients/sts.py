"""Sessions of STS with boto3: who is in one, how long, what it may, and when it ends."""

import datetime
import json
import os
import time
import urllib.error
import urllib.request

import boto3
from common import (
    Caller, allowing, assume, denying, message_of, new_role, new_user, of_session, other_account, other_root, policy, refused, root, run, statement, trusting,
)

iam, account = root.iam, root.account
BUCKET = "sessions"
AT = {"Bucket": BUCKET, "Key": "k"}
AWS_MANAGED = "arn:aws:iam::aws:policy/"

root.s3.create_bucket(Bucket=BUCKET)
root.s3.put_object(**AT, Body=b"x")


def arn(what, of=account):
    return f"arn:aws:iam::{of}:{what}"


def session_arn(what, of=account):
    return f"arn:aws:sts::{of}:{what}"


def tags(**pairs):
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def reads(caller):
    assert caller.s3.get_object(**AT)["Body"].read() == b"x"


def may_not_read(caller):
    return refused("AccessDenied", caller.s3.get_object, 403, **AT)


def lasts(answer, seconds):
    """The session ends so many seconds from now."""
    left = answer["Credentials"]["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
    assert abs(left.total_seconds() - seconds) < 60, (left, seconds)


def taker(name, *actions):
    """A user who may take every role that trusts the account."""
    return new_user(iam, name, allowing(list(actions) or "sts:AssumeRole"))


def who_am_i():
    told = lambda caller: {field: value for field, value in caller.sts.get_caller_identity().items() if field != "ResponseMetadata"}
    assert told(root) == {"Account": account, "Arn": arn("root"), "UserId": account}, told(root)
    assert told(other_root) == {"Account": other_account, "Arn": arn("root", other_account), "UserId": other_account}
    user, caller = new_user(iam, "identified", allowing("sts:*"), Path="/a/path/")
    assert told(caller) == {"Account": account, "Arn": arn("user/a/path/identified"), "UserId": user["UserId"]}, told(caller)
    # A session of a user is the user; its key is another kind.
    sitting = of_session(caller.sts.get_session_token())
    assert told(sitting) == told(caller) and sitting.access_key_id.startswith("ASIA") and len(sitting.access_key_id) == 20
    assert told(of_session(root.sts.get_session_token())) == told(root)
    federated = of_session(caller.sts.get_federation_token(Name="guest"))
    assert told(federated) == {"Account": account, "Arn": session_arn("federated-user/guest"), "UserId": f"{account}:guest"}, told(federated)
    # The path of a role is not in the name of its sessions.
    role = new_role(iam, "Identified", trusting(user["Arn"]), Path="/a/path/")
    answer = caller.sts.assume_role(RoleArn=role["Arn"], RoleSessionName="one@two=three")
    expected = {"Account": account, "Arn": session_arn("assumed-role/Identified/one@two=three"), "UserId": f"{role['RoleId']}:one@two=three"}
    assert told(of_session(answer)) == expected, told(of_session(answer))
    assert answer["AssumedRoleUser"] == {"Arn": expected["Arn"], "AssumedRoleId": expected["UserId"]}, answer
    assert answer["Credentials"]["AccessKeyId"].startswith("ASIA") and len(answer["Credentials"]["SecretAccessKey"]) == 40
    assert "PackedPolicySize" not in answer or answer["PackedPolicySize"] <= 100
    # A URL made beforehand says who made it.
    url = caller.sts.generate_presigned_url("get_caller_identity", HttpMethod="GET", ExpiresIn=60)
    with urllib.request.urlopen(url) as found:
        body = found.read().decode()
    assert arn("user/a/path/identified") in body and "https://sts.amazonaws.com/doc/2011-06-15/" in body, body


def names_of_sessions():
    user, caller = taker("namer")
    role = new_role(iam, "naming", trusting(user["Arn"]))["Arn"]
    for name in ["x" * 64, "az", "A_z+=,.@-9"]:
        assume(caller, role, name)
    for name in ["x" * 65, "with space", "slash/ed", "ümlaut"]:
        refused("ValidationError", caller.sts.assume_role, 400, RoleArn=role, RoleSessionName=name)
    unchecked = caller.new_client("sts", parameter_validation=False)
    refused("ValidationError", unchecked.assume_role, 400, RoleArn=role, RoleSessionName="x")
    refused("ValidationError", unchecked.assume_role, 400, RoleArn=role)
    refused("ValidationError", unchecked.assume_role, 400, RoleArn="short", RoleSessionName="session")
    refused("ValidationError", caller.sts.assume_role, 400, RoleArn="no-arn-but-long-enough", RoleSessionName="session")
    # A role that is not there is like one that trusts nobody.
    refused("AccessDenied", caller.sts.assume_role, 403, RoleArn=arn("role/none"), RoleSessionName="session")
    refused("AccessDenied", caller.sts.assume_role, 403, RoleArn=arn("role/none", other_account), RoleSessionName="session")
    refused("AccessDenied", root.sts.assume_role, 403, RoleArn=role, RoleSessionName="session")
    # A trust policy may ask for a name.
    iam.update_assume_role_policy(RoleName="naming", PolicyDocument=trusting(user["Arn"], Condition={"StringEquals": {"sts:RoleSessionName": "${aws:username}"}}))
    assume(caller, role, "namer")
    refused("AccessDenied", caller.sts.assume_role, 403, RoleArn=role, RoleSessionName="other")


def durations_of_role_sessions():
    user, caller = taker("patient")
    role = new_role(iam, "timed", trusting(user["Arn"]))["Arn"]
    take = lambda **parameters: caller.sts.assume_role(RoleArn=role, RoleSessionName="session", **parameters)
    lasts(take(), 3600)
    lasts(take(DurationSeconds=900), 900)
    lasts(take(DurationSeconds=3600), 3600)
    refused("ValidationError", take, 400, DurationSeconds=3601)
    iam.update_role(RoleName="timed", MaxSessionDuration=7200)
    lasts(take(DurationSeconds=7200), 7200)
    lasts(take(), 3600)
    refused("ValidationError", take, 400, DurationSeconds=7201)
    refused("ValidationError", take, 400, DurationSeconds=43201)
    unchecked = caller.new_client("sts", parameter_validation=False)
    for seconds in [899, 0, -1]:
        refused("ValidationError", unchecked.assume_role, 400, RoleArn=role, RoleSessionName="session", DurationSeconds=seconds)


def chains_of_roles():
    """From a session into another: an hour at most, whatever the second role would give."""
    user, caller = taker("chainer")
    first = new_role(iam, "chain-1", trusting(user["Arn"]), allowing("sts:AssumeRole"), MaxSessionDuration=43200)
    second = new_role(iam, "chain-2", trusting(first["Arn"]), allowing("s3:GetObject"), MaxSessionDuration=43200)
    lasts(caller.sts.assume_role(RoleArn=first["Arn"], RoleSessionName="one", DurationSeconds=43200), 43200)
    between = assume(caller, first["Arn"], "one", DurationSeconds=43200)
    may_not_read(between)
    answer = between.sts.assume_role(RoleArn=second["Arn"], RoleSessionName="two", DurationSeconds=3600)
    lasts(answer, 3600)
    reads(of_session(answer))
    assert of_session(answer).sts.get_caller_identity()["Arn"] == session_arn("assumed-role/chain-2/two")
    refused("ValidationError", between.sts.assume_role, 400, RoleArn=second["Arn"], RoleSessionName="two", DurationSeconds=3601)
    # The user has not the way that the role has.
    refused("AccessDenied", caller.sts.assume_role, 403, RoleArn=second["Arn"], RoleSessionName="two")


def what_a_session_is_left():
    """Session policies: of the role's permissions what they allow too."""
    user, caller = taker("limiter")
    role = new_role(iam, "limited", trusting(user["Arn"]), allowing("s3:*"))["Arn"]
    made = iam.create_policy(PolicyName="limits", PolicyDocument=allowing("s3:ListAllMyBuckets"))["Policy"]["Arn"]
    lists = lambda session: session.s3.list_buckets()
    may_not_list = lambda session: refused("AccessDenied", session.s3.list_buckets, 403)
    whole = assume(caller, role)
    reads(whole), lists(whole)
    inline = assume(caller, role, Policy=allowing("s3:GetObject"))
    reads(inline), may_not_list(inline)
    more = assume(caller, role, Policy=allowing("*"))
    reads(more), lists(more)
    refused("AccessDeniedException", more.kms.list_keys, 400)
    managed = assume(caller, role, PolicyArns=[{"arn": made}])
    may_not_read(managed), lists(managed)
    of_aws = assume(caller, role, PolicyArns=[{"arn": AWS_MANAGED + "AmazonS3ReadOnlyAccess"}])
    reads(of_aws), lists(of_aws)
    refused("AccessDenied", of_aws.s3.put_object, 403, **AT, Body=b"y")
    # Several together allow what one of them allows, and deny what one of them denies.
    both = assume(caller, role, Policy=allowing("s3:GetObject"), PolicyArns=[{"arn": made}])
    reads(both), lists(both)
    without = assume(caller, role, Policy=denying("s3:GetObject"), PolicyArns=[{"arn": AWS_MANAGED + "AmazonS3ReadOnlyAccess"}])
    may_not_read(without), lists(without)
    answer = caller.sts.assume_role(RoleArn=role, RoleSessionName="session", Policy=allowing("s3:GetObject"), PolicyArns=[{"arn": made}])
    assert 0 < answer["PackedPolicySize"] <= 100, answer["PackedPolicySize"]
    take = lambda **parameters: caller.sts.assume_role(RoleArn=role, RoleSessionName="session", **parameters)
    for text in ["{", "{}", policy({"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}), policy({"Effect": "Perhaps", "Action": "s3:*", "Resource": "*"})]:
        refused("MalformedPolicyDocument", take, 400, Policy=text)
    long = policy(statement("Allow", "s3:GetObject", [f"arn:aws:s3:::{'x' * 60}/{number}" for number in range(60)]))
    refused(("PackedPolicyTooLarge", "ValidationError"), take, 400, Policy=long)
    refused(("PackedPolicyTooLarge", "ValidationError"), take, 400, PolicyArns=[{"arn": f"{made}{number}"} for number in range(11)])
    # Policies of the role still count while the session lasts.
    iam.put_role_policy(RoleName="limited", PolicyName="inline", PolicyDocument=allowing("s3:ListAllMyBuckets"))
    may_not_read(inline), may_not_read(whole), lists(whole)


def external_ids():
    user, caller = taker("third-party")
    role = new_role(iam, "external", trusting(user["Arn"], Condition={"StringEquals": {"sts:ExternalId": "agreed:1/2"}}))["Arn"]
    take = lambda **parameters: caller.sts.assume_role(RoleArn=role, RoleSessionName="session", **parameters)
    take(ExternalId="agreed:1/2")
    refused("AccessDenied", take, 403)
    refused("AccessDenied", take, 403, ExternalId="agreed:1/3")
    refused("ValidationError", take, 400, ExternalId="with space")
    # Where nobody asks for one it does no harm.
    iam.update_assume_role_policy(RoleName="external", PolicyDocument=trusting(user["Arn"]))
    take(ExternalId="any")
    take()
    # From another account.
    stranger, foreign = new_user(other_root.iam, "third-party", allowing("sts:AssumeRole", role))
    iam.update_assume_role_policy(RoleName="external", PolicyDocument=trusting(stranger["Arn"], Condition={"StringEquals": {"sts:ExternalId": "x1"}}))
    foreign.sts.assume_role(RoleArn=role, RoleSessionName="session", ExternalId="x1")
    refused("AccessDenied", foreign.sts.assume_role, 403, RoleArn=role, RoleSessionName="session")


def source_identities():
    user, caller = taker("sourced", "sts:AssumeRole", "sts:SetSourceIdentity")
    both = ["sts:AssumeRole", "sts:SetSourceIdentity"]
    first = new_role(iam, "source-1", trusting(user["Arn"]), allowing(["s3:GetObject", *both], Condition={"StringEquals": {"aws:SourceIdentity": "ann"}}))["Arn"]
    take = lambda who, role, **parameters: who.sts.assume_role(RoleArn=role, RoleSessionName="session", **parameters)
    # The trust policy has to allow it.
    refused("AccessDenied", take, 403, who=caller, role=first, SourceIdentity="ann")
    iam.update_assume_role_policy(RoleName="source-1", PolicyDocument=trusting(user["Arn"], both))
    answer = take(caller, first, SourceIdentity="ann")
    assert answer["SourceIdentity"] == "ann", answer
    session = of_session(answer)
    reads(session)
    may_not_read(of_session(take(caller, first, SourceIdentity="bob")))
    may_not_read(of_session(take(caller, first)))
    refused("ValidationError", take, 400, who=caller, role=first, SourceIdentity="with space")
    # It is asked for, and stays along a chain of roles that all let it be set.
    conditional = trusting(user["Arn"], both, Condition={"StringLike": {"sts:SourceIdentity": "a*"}})
    iam.update_assume_role_policy(RoleName="source-1", PolicyDocument=conditional)
    take(caller, first, SourceIdentity="ann")
    refused("AccessDenied", take, 403, who=caller, role=first, SourceIdentity="bob")
    refused("AccessDenied", take, 403, who=caller, role=first)
    second = new_role(iam, "source-2", trusting(first), allowing("s3:GetObject", Condition={"StringEquals": {"aws:SourceIdentity": "ann"}}))["Arn"]
    refused("AccessDenied", take, 403, who=session, role=second)
    iam.update_assume_role_policy(RoleName="source-2", PolicyDocument=trusting(first, both))
    answer = take(session, second)
    assert answer["SourceIdentity"] == "ann", answer
    reads(of_session(answer))
    refused(("AccessDenied", "ValidationError", "InvalidParameterValue"), take, who=session, role=second, SourceIdentity="bob")


def session_tags():
    user, caller = taker("tagger", "sts:AssumeRole", "sts:TagSession")
    both = ["sts:AssumeRole", "sts:TagSession"]
    red = {"StringEquals": {"aws:PrincipalTag/team": "red"}}
    first = new_role(iam, "tags-1", trusting(user["Arn"]), policy(statement("Allow", "s3:GetObject", Condition=red), statement("Allow", both)), Tags=tags(Team="blue", cost="1"))["Arn"]
    take = lambda who=caller, role=first, **parameters: who.sts.assume_role(RoleArn=role, RoleSessionName="session", **parameters)
    refused("AccessDenied", take, 403, Tags=tags(team="red"))
    iam.update_assume_role_policy(RoleName="tags-1", PolicyDocument=trusting(user["Arn"], both))
    answer = take(Tags=tags(team="red"))
    assert 0 < answer["PackedPolicySize"] <= 100, answer
    # A tag of the session goes before the role's of that name, which is not told apart by case.
    reads(of_session(answer))
    may_not_read(of_session(take(Tags=tags(team="green"))))
    may_not_read(of_session(take()))
    # The trust policy chooses which tags.
    chosen = trusting(user["Arn"], both, Condition={"StringEquals": {"aws:RequestTag/team": ["red", "blue"]}, "ForAllValues:StringEquals": {"aws:TagKeys": ["team", "cost"]}})
    iam.update_assume_role_policy(RoleName="tags-1", PolicyDocument=chosen)
    take(Tags=tags(team="red", cost="2"))
    refused("AccessDenied", take, 403, Tags=tags(team="green"))
    refused("AccessDenied", take, 403, Tags=tags(team="red", other="1"))
    refused("AccessDenied", take, 403)
    # Tags that go along a chain, and tags that stay behind.
    iam.update_assume_role_policy(RoleName="tags-1", PolicyDocument=trusting(user["Arn"], both))
    second = new_role(iam, "tags-2", trusting(first, both), allowing("s3:GetObject", Condition=red))["Arn"]
    along = of_session(take(Tags=tags(team="red", cost="1"), TransitiveTagKeys=["team"]))
    reads(of_session(take(along, second)))
    refused("InvalidParameterValue", take, 400, who=along, role=second, Tags=tags(TEAM="red"))
    behind = of_session(take(Tags=tags(team="red"), TransitiveTagKeys=[]))
    may_not_read(of_session(take(behind, second)))
    reads(of_session(take(behind, second, Tags=tags(team="red"))))
    refused(("InvalidParameterValue", "ValidationError", "AccessDenied"), take, who=along, role=second, Tags=tags(team="green"))
    iam.update_assume_role_policy(RoleName="tags-2", PolicyDocument=trusting(first))
    refused("AccessDenied", take, 403, who=along, role=second)
    # Which may be transitive is a condition, too.
    iam.update_assume_role_policy(RoleName="tags-1", PolicyDocument=trusting(user["Arn"], both, Condition={"ForAnyValue:StringEquals": {"sts:TransitiveTagKeys": ["team"]}}))
    take(Tags=tags(team="red"), TransitiveTagKeys=["team"])
    refused("AccessDenied", take, 403, Tags=tags(team="red"))
    iam.update_assume_role_policy(RoleName="tags-1", PolicyDocument=trusting(user["Arn"], both))
    wrong = [
        {"Tags": tags(team="red", TEAM="red")},
        {"Tags": tags(team="red"), "TransitiveTagKeys": ["other"]},
        {"Tags": [{"Key": "aws:own", "Value": "x"}]},
        {"Tags": [{"Key": "k" * 129, "Value": "x"}]},
        {"Tags": [{"Key": "k", "Value": "v" * 257}]},
        {"Tags": [{"Key": f"k{number}", "Value": "x"} for number in range(51)]},
    ]
    for parameters in wrong:
        refused(("InvalidParameterValue", "ValidationError", "PackedPolicyTooLarge"), take, 400, **parameters)


def sessions_of_users():
    _, caller = new_user(iam, "sitting", allowing("s3:GetObject"))
    lasts(caller.sts.get_session_token(), 43200)
    for seconds in [900, 129600]:
        lasts(caller.sts.get_session_token(DurationSeconds=seconds), seconds)
    refused("ValidationError", caller.sts.get_session_token, 400, DurationSeconds=129601)
    refused("ValidationError", caller.new_client("sts", parameter_validation=False).get_session_token, 400, DurationSeconds=899)
    # Those of the root user last an hour.
    lasts(root.sts.get_session_token(), 3600)
    lasts(root.sts.get_session_token(DurationSeconds=7200), 3600)
    session = of_session(caller.sts.get_session_token())
    reads(session)
    refused("AccessDenied", session.s3.list_buckets, 403)
    for operation, parameters in [(session.sts.get_session_token, {}), (session.sts.get_federation_token, {"Name": "guest"})]:
        assert "Cannot call" in message_of(refused("AccessDenied", operation, 403, **parameters))
    refused("InvalidClientTokenId", session.iam.list_users, 403)
    refused("AccessDenied", caller.sts.get_session_token, 403, SerialNumber=arn("mfa/none"), TokenCode="123456")
    # Whether there was a second factor is told of sessions only.
    no_factor = policy(statement("Allow", "s3:GetObject"), statement("Deny", "s3:GetObject", Condition={"Bool": {"aws:MultiFactorAuthPresent": "false"}}))
    iam.put_user_policy(UserName="sitting", PolicyName="inline", PolicyDocument=no_factor)
    reads(caller), may_not_read(session)
    iam.put_user_policy(UserName="sitting", PolicyName="inline", PolicyDocument=allowing("s3:GetObject"))
    reads(session)


def federation_tokens():
    user, caller = new_user(iam, "federator", allowing(["sts:GetFederationToken", "s3:*"]))
    get = caller.sts.get_federation_token
    answer = get(Name="guest", Policy=allowing("s3:GetObject"))
    assert answer["FederatedUser"] == {"Arn": session_arn("federated-user/guest"), "FederatedUserId": f"{account}:guest"}, answer
    assert 0 < answer["PackedPolicySize"] <= 100, answer
    lasts(answer, 43200)
    session = of_session(answer)
    reads(session)
    refused("AccessDenied", session.s3.list_buckets, 403)
    may_not_read(of_session(get(Name="guest")))
    managed = of_session(get(Name="guest", PolicyArns=[{"arn": AWS_MANAGED + "AmazonS3ReadOnlyAccess"}]))
    reads(managed), managed.s3.list_buckets()
    for seconds in [900, 129600]:
        lasts(get(Name="guest", DurationSeconds=seconds), seconds)
    refused("ValidationError", get, 400, Name="guest", DurationSeconds=129601)
    lasts(root.sts.get_federation_token(Name="guest"), 3600)
    for name in ["az", "x" * 32, "A_z+=,.@-9"]:
        get(Name=name)
    for name in ["x" * 33, "with space", "slash/ed"]:
        refused("ValidationError", get, 400, Name=name)
    unchecked = caller.new_client("sts", parameter_validation=False)
    refused("ValidationError", unchecked.get_federation_token, 400, Name="x")
    refused("ValidationError", unchecked.get_federation_token, 400)
    refused("MalformedPolicyDocument", get, 400, Name="guest", Policy="{")
    refused(("ValidationError", "PackedPolicyTooLarge"), get, 400, Name="guest", Policy=allowing("s3:GetObject", "arn:aws:s3:::" + "x" * 2048))
    for operation, parameters in [(session.sts.get_session_token, {}), (session.sts.get_federation_token, {"Name": "other"}), (session.sts.assume_role, {"RoleArn": arn("role/none"), "RoleSessionName": "session"})]:
        refused("AccessDenied", operation, 403, **parameters)
    refused(("InvalidClientTokenId", "AccessDenied"), session.iam.list_users, 403)
    # Tags need a permission of their own.
    refused("AccessDenied", get, 403, Name="guest", Tags=tags(team="red"))
    iam.put_user_policy(UserName="federator", PolicyName="tags", PolicyDocument=allowing("sts:TagSession"))
    red = allowing("s3:GetObject", Condition={"StringEquals": {"aws:PrincipalTag/team": "red"}})
    reads(of_session(get(Name="guest", Policy=red, Tags=tags(team="red"))))
    may_not_read(of_session(get(Name="guest", Policy=red, Tags=tags(team="blue"))))
    # Two of one name are the same to a bucket policy.
    named = policy({"Effect": "Allow", "Principal": {"AWS": session_arn("federated-user/named")}, "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"})
    root.s3.put_bucket_policy(Bucket=BUCKET, Policy=named)
    reads(of_session(get(Name="named"))), reads(of_session(get(Name="named")))
    may_not_read(of_session(get(Name="unnamed")))
    root.s3.delete_bucket_policy(Bucket=BUCKET)


def is_nobody(caller, of_s3, of_query="InvalidClientTokenId", of_kms="UnrecognizedClientException"):
    """The credentials are refused by every service, in its own words."""
    code, status = of_s3
    refused(code, caller.s3.list_buckets, status)
    refused(code, caller.s3.get_object, status, **AT)
    refused(of_query, caller.sts.get_caller_identity, 403)
    refused(of_query, caller.iam.list_users, 403)
    refused(of_kms, caller.kms.list_keys, 400)


def tokens_of_others():
    user, caller = taker("token-holder")
    role = new_role(iam, "token-role", trusting(user["Arn"]), allowing(["s3:*", "iam:*", "kms:*"]))["Arn"]
    one, two = assume(caller, role, "one"), assume(caller, role, "two")
    reads(one), one.kms.list_keys(), one.iam.list_users()
    key, secret, token = one.access_key_id, one.secret_access_key, one.session_token
    invalid = ("InvalidToken", 400)
    middle = len(token) // 2
    for changed in [token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :], token[:-8], token + "AAAA", "nonsense", "x" * 4096]:
        is_nobody(Caller(key, secret, changed), invalid)
    is_nobody(Caller(key, secret, two.session_token), invalid)
    is_nobody(Caller(caller.access_key_id, caller.secret_access_key, token), invalid)
    # Without its token such a key is no key.
    is_nobody(Caller(key, secret), ("InvalidAccessKeyId", 403))
    is_nobody(Caller("ASIA0123456789ABCDEF", secret), ("InvalidAccessKeyId", 403))
    # The right token, and a wrong secret.
    wrong = Caller(key, two.secret_access_key, token)
    refused("SignatureDoesNotMatch", wrong.s3.list_buckets, 403)
    refused("SignatureDoesNotMatch", wrong.sts.get_caller_identity, 403)
    refused("InvalidSignatureException", wrong.kms.list_keys, 400)
    reads(one), reads(two)


def expired_tokens():
    """Nothing waits for the quarter of an hour that a session lasts at least: the harness gives a session that has ended."""
    if "EXPIRED_SESSION_TOKEN" not in os.environ:
        print("  no session that has ended was given")
        return
    ended = Caller(*(os.environ[f"EXPIRED_{name}"] for name in ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"]))
    is_nobody(ended, ("ExpiredToken", 400), "ExpiredToken", "ExpiredTokenException")


def fetched(url, body=None, method=None, headers=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers or {}, method=method)) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def urls_made_by_sessions():
    user, caller = taker("linker")
    role = new_role(iam, "linking", trusting(user["Arn"]), allowing(["s3:GetObject", "s3:PutObject"]))["Arn"]
    session = assume(caller, role)
    signer = session.new_client("s3", signature_version="s3v4")
    url = signer.generate_presigned_url("get_object", Params=AT)
    assert "X-Amz-Security-Token=" in url
    assert fetched(url) == (200, "x")
    put = signer.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "linked"})
    assert fetched(put, b"linked", "PUT")[0] == 200
    assert root.s3.get_object(Bucket=BUCKET, Key="linked")["Body"].read() == b"linked"
    # The token belongs to the signature.
    parts = url.split("&")
    without = "&".join(part for part in parts if not part.startswith("X-Amz-Security-Token="))
    status, body = fetched(without)
    assert status == 403 and ("InvalidAccessKeyId" in body or "SignatureDoesNotMatch" in body), (status, body)
    changed = "&".join("X-Amz-Security-Token=nonsense" if part.startswith("X-Amz-Security-Token=") else part for part in parts)
    status, body = fetched(changed)
    assert status in (400, 403) and ("InvalidToken" in body or "SignatureDoesNotMatch" in body), (status, body)
    # So does that of a form.
    fields = signer.generate_presigned_post(BUCKET, "posted")["fields"]
    assert "x-amz-security-token" in fields
    form = "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items())
    form += '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nposted\r\n--b--\r\n'
    at, kind = f"{signer.meta.endpoint_url}/{BUCKET}", {"Content-Type": "multipart/form-data; boundary=b"}
    status, body = fetched(at, form.encode(), headers=kind)
    assert status == 204, (status, body)
    assert root.s3.get_object(Bucket=BUCKET, Key="posted")["Body"].read() == b"posted"
    status, body = fetched(at, form.replace(fields["x-amz-security-token"], "nonsense").encode(), headers=kind)
    assert status in (400, 403), (status, body)
    # A URL may what its maker may at the time when it is used.
    iam.delete_role_policy(RoleName="linking", PolicyName="inline")
    status, body = fetched(url)
    assert status == 403 and "AccessDenied" in body, (status, body)


def revoked_sessions():
    """The policy that consoles put to end the sessions there are: whoever got his token before is denied everything."""
    user, caller = taker("revoker")
    role = new_role(iam, "revoked", trusting([user["Arn"]]), allowing(["s3:*", "kms:*", "iam:*"]))["Arn"]
    before = assume(caller, role)
    reads(before)
    time.sleep(1.1)
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    older = denying("*", Condition={"DateLessThan": {"aws:TokenIssueTime": now}})
    iam.put_role_policy(RoleName="revoked", PolicyName="AWSRevokeOlderSessions", PolicyDocument=older)
    assert "with an explicit deny in an identity-based policy" in message_of(may_not_read(before))
    refused("AccessDeniedException", before.kms.list_keys, 400)
    refused("AccessDenied", before.iam.list_users, 403)
    time.sleep(1.1)
    after = assume(caller, role)
    reads(after), after.kms.list_keys(), after.iam.list_users()
    may_not_read(before)
    # Keys that last have no such time.
    iam.put_user_policy(UserName="revoker", PolicyName="reads", PolicyDocument=allowing("s3:GetObject"))
    iam.put_user_policy(UserName="revoker", PolicyName="AWSRevokeOlderSessions", PolicyDocument=older)
    reads(caller)
    iam.delete_role_policy(RoleName="revoked", PolicyName="AWSRevokeOlderSessions")
    reads(before)


def sessions_of_whom_is_gone():
    """With a role or a user end its sessions; one made again under the name does not revive them."""
    user, caller = taker("leaver", "sts:*", "s3:GetObject")
    role = new_role(iam, "leaving", trusting(user["Arn"]), allowing("s3:GetObject"))["Arn"]
    of_role = assume(caller, role)
    sitting = of_session(caller.sts.get_session_token())
    federated = of_session(caller.sts.get_federation_token(Name="guest", Policy=allowing("s3:GetObject")))
    reads(of_role), reads(sitting), reads(federated)
    gone = ("AccessDenied", "InvalidAccessKeyId", "InvalidToken", "ExpiredToken")
    ended = lambda session: refused(gone, session.s3.get_object, **AT)
    iam.delete_role_policy(RoleName="leaving", PolicyName="inline")
    iam.delete_role(RoleName="leaving")
    ended(of_role)
    new_role(iam, "leaving", trusting(user["Arn"]), allowing("s3:GetObject"))
    ended(of_role)
    reads(assume(caller, role))
    iam.delete_user_policy(UserName="leaver", PolicyName="inline")
    iam.delete_access_key(UserName="leaver", AccessKeyId=caller.access_key_id)
    iam.delete_user(UserName="leaver")
    ended(sitting), ended(federated)
    new_user(iam, "leaver", allowing("s3:GetObject"))
    ended(sitting), ended(federated)


def told_why():
    """A refusal carries a sealed text for those who look after the policies."""
    header = "x-sealgate-authorization-message"
    user, caller = taker("asker")
    role = new_role(iam, "asking", trusting(user["Arn"]), denying("s3:DeleteObject"))["Arn"]
    session = assume(caller, role, "curious")
    opened = lambda answer: json.loads(root.sts.decode_authorization_message(EncodedMessage=answer["ResponseMetadata"]["HTTPHeaders"][header])["DecodedMessage"])
    bucket, who = f"arn:aws:s3:::{BUCKET}", session_arn("assumed-role/asking/curious")
    for answer, action, resource, explicit, by in [
        (refused("AccessDenied", session.s3.get_object, 403, **AT), "s3:GetObject", f"{bucket}/k", False, who),
        (refused("AccessDenied", session.s3.delete_object, 403, **AT), "s3:DeleteObject", f"{bucket}/k", True, who),
        (refused("AccessDenied", caller.s3.list_objects_v2, 403, Bucket=BUCKET), "s3:ListBucket", bucket, False, user["Arn"]),
        (refused("AccessDenied", caller.iam.get_user, 403, UserName="asker"), "iam:GetUser", user["Arn"], False, user["Arn"]),
    ]:
        told = opened(answer)
        assert told["allowed"] is False and told["explicitDeny"] is explicit, told
        context = told["context"]
        assert (context["principal"]["arn"], context["action"], context["resource"]) == (by, action, resource), told
        # Who was refused can't read it.
        assert action not in answer["ResponseMetadata"]["HTTPHeaders"][header]
    sealed = answer["ResponseMetadata"]["HTTPHeaders"][header]
    refused("AccessDenied", caller.sts.decode_authorization_message, 403, EncodedMessage=sealed)
    iam.put_user_policy(UserName="asker", PolicyName="decodes", PolicyDocument=allowing("sts:DecodeAuthorizationMessage"))
    assert json.loads(caller.sts.decode_authorization_message(EncodedMessage=sealed)["DecodedMessage"]) == opened(answer)
    refused(("InvalidAuthorizationMessageException", "AccessDenied"), other_root.sts.decode_authorization_message, EncodedMessage=sealed)
    for text in ["nonsense", sealed[:-4], sealed[:-4] + "AAAA"]:
        refused("InvalidAuthorizationMessageException", root.sts.decode_authorization_message, 400, EncodedMessage=text)
    # What is allowed has none.
    assert header not in caller.sts.get_caller_identity()["ResponseMetadata"]["HTTPHeaders"]


def accounts_of_keys():
    user, caller = taker("informer", "sts:AssumeRole", "sts:GetAccessKeyInfo")
    role = new_role(iam, "informing", trusting(user["Arn"]))["Arn"]
    session = assume(caller, role)
    told = lambda key: caller.sts.get_access_key_info(AccessKeyId=key)["Account"]
    assert told(caller.access_key_id) == told(session.access_key_id) == told(root.access_key_id) == account
    assert told(other_root.access_key_id) == other_account
    refused("AccessDenied", session.sts.get_access_key_info, 403, AccessKeyId=caller.access_key_id)


def regions():
    elsewhere = {"region_name": "eu-north-1", "aws_access_key_id": root.access_key_id, "aws_secret_access_key": root.secret_access_key}
    wrong_scope = "Credential should be scoped to a valid region."
    for service, operation, code in [
        ("sts", "get_caller_identity", "SignatureDoesNotMatch"),
        ("iam", "list_users", "SignatureDoesNotMatch"),
        ("kms", "list_keys", "InvalidSignatureException"),
    ]:
        client = boto3.client(service, **elsewhere)
        assert message_of(refused(code, getattr(client, operation))) == wrong_scope, service


run([
    who_am_i,
    names_of_sessions,
    durations_of_role_sessions,
    chains_of_roles,
    what_a_session_is_left,
    external_ids,
    source_identities,
    session_tags,
    sessions_of_users,
    federation_tokens,
    tokens_of_others,
    expired_tokens,
    urls_made_by_sessions,
    revoked_sessions,
    sessions_of_whom_is_gone,
    told_why,
    accounts_of_keys,
    regions,
])
