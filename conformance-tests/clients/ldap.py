"""Logins with names and passwords of the directory that LDAP_… describe, as MinIO's AssumeRoleWithLDAPIdentity takes them.

LDAP_PEOPLE and LDAP_GROUPS: JSON objects of passwords by name, and of names by group. LDAP_BASE: below what both are.
"""

import datetime
import json
import os
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as xml

import boto3
from botocore.exceptions import ClientError

BASE = os.environ["LDAP_BASE"]
PEOPLE = json.loads(os.environ["LDAP_PEOPLE"])
GROUPS = json.loads(os.environ["LDAP_GROUPS"])
NAMESPACE = "{https://sts.amazonaws.com/doc/2011-06-15/}"
iam, s3 = boto3.client("iam"), boto3.client("s3")
account = boto3.client("sts").get_caller_identity()["Account"]


def login(username, password, **more):
    """The credentials, or the error's code: an unsigned form."""
    form = {"Action": "AssumeRoleWithLDAPIdentity", "Version": "2011-06-15", "LDAPUsername": username, "LDAPPassword": password, **more}
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + "/", urllib.parse.urlencode(form).encode())
    try:
        with urllib.request.urlopen(request) as answer:
            root = xml.fromstring(answer.read())
    except urllib.error.HTTPError as refusal:
        text = refusal.read()
        assert password not in text.decode() or not password, "an answer tells the password"
        return refusal.code, xml.fromstring(text).find(f".//{NAMESPACE}Code").text
    assert root.tag == f"{NAMESPACE}AssumeRoleWithLDAPIdentityResponse", root.tag
    found = root.find(f"{NAMESPACE}AssumeRoleWithLDAPIdentityResult/{NAMESPACE}Credentials")
    return {row.tag.removeprefix(NAMESPACE): row.text for row in found}


def s3_of(keys):
    return boto3.client(
        "s3",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


def refused(code, operation, **parameters):
    try:
        operation(**parameters)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, f"{code}: {error}"
        return
    raise AssertionError(f"not refused with {code}")


def role(name, conditions, statements):
    trust = {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{account}:ldap-provider/default"},
        "Action": "sts:AssumeRoleWithLDAPIdentity",
        "Condition": conditions,
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(RoleName=name, PolicyName="may", PolicyDocument=policy)
    return arn


def group(name):
    return f"cn={name},ou=groups,{BASE}"


s3.create_bucket(Bucket="directory")
own = {
    "Effect": "Allow",
    "Action": ["s3:PutObject", "s3:GetObject"],
    "Resource": "arn:aws:s3:::directory/${ldap:username}/*",
}
anything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
# Everybody of the directory; LDAP_ROLE_NAME's is the role of a login that names none.
people = role(os.environ["LDAP_ROLE_NAME"], {"StringLike": {"ldap:user": f"uid=*,ou=people,{BASE}"}}, [own])
engineers = role("engineers", {"ForAnyValue:StringEquals": {"ldap:groups": [group("engineers")]}}, [anything])
ada_alone = role("ada-alone", {"StringEquals": {"ldap:username": "ada"}}, [anything])

# Each of them, with a role that is named and with the one that is not.
for name, password in PEOPLE.items():
    for more in [{}, {"RoleArn": people}, {"DurationSeconds": "900"}]:
        keys = login(name, password, **more)
        assert isinstance(keys, dict), keys
        their = s3_of(keys)
        their.put_object(Bucket="directory", Key=f"{name}/1", Body=name.encode())
        assert their.get_object(Bucket="directory", Key=f"{name}/1")["Body"].read() == name.encode()
        refused("AccessDenied", their.put_object, Bucket="directory", Key="elsewhere/1", Body=b"x")
left = datetime.datetime.fromisoformat(keys["Expiration"].replace("Z", "+00:00")) - datetime.datetime.now(datetime.timezone.utc)
assert 800 < left.total_seconds() <= 900, left

# The name that policies see is the directory's, whichever way it was typed.
typed = s3_of(login("ADA", PEOPLE["ada"]))
typed.get_object(Bucket="directory", Key="ada/1")
refused("AccessDenied", typed.put_object, Bucket="directory", Key="ADA/1", Body=b"x")
assert isinstance(login("Ada", PEOPLE["ada"], RoleArn=ada_alone), dict)

# Groups and names that a role wants.
for name, password in PEOPLE.items():
    keys = login(name, password, RoleArn=engineers)
    if name in GROUPS["engineers"]:
        s3_of(keys).list_buckets()
    else:
        assert keys == (403, "AccessDenied"), keys
    assert isinstance(login(name, password, RoleArn=ada_alone), dict) == (name == "ada")

# Nobody.
denied = (403, "AccessDenied")
for name, password in [
    ("ada", PEOPLE["grace"]),
    ("ada", PEOPLE["ada"] + " "),
    ("nobody", PEOPLE["ada"]),
    ("*", PEOPLE["ada"]),
    ("ad*", PEOPLE["ada"]),
    ("ada)(uid=*", PEOPLE["ada"]),
    ("ada)(|(uid=ada", PEOPLE["ada"]),
    ("{dn}", PEOPLE["ada"]),
    ("a" * 300, "none of theirs"),
    ("ada", "none of theirs" * 150),
]:
    assert login(name, password, RoleArn=people) == denied, name
# A bind without a password would succeed, as nobody. What is empty may be refused as missing, too, and what is no text as such.
for name, password in [("ada", ""), ("", PEOPLE["ada"]), ("", ""), ("ada\0", PEOPLE["ada"])]:
    status, code = login(name, password, RoleArn=people)
    assert (status, code) == denied or status == 400, (status, code)
assert login("ada", PEOPLE["ada"], RoleArn=people + "-none") == denied
assert login("ada", PEOPLE["ada"], RoleArn=people, DurationSeconds="10")[0] == 400
