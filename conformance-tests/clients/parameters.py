"""What stands where it says nothing, or says it twice: parameters of other actions, names in another case, fields of forms."""

import base64
import contextlib
import datetime
import hashlib
import hmac
import json
import urllib.error
import urllib.request

from common import allowing, anonymous, assume, endpoint, message_of, new_role, new_user, policy, refused, root, run, statement, trusting

iam, s3, account = root.iam, root.s3, root.account
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
READER = "arn:aws:iam::aws:policy/ReadOnlyAccess"


@contextlib.contextmanager
def stray(client, service, operation, parameters):
    """Requests of this operation have these parameters too, whatever its model says."""
    event = f"before-call.{service}.{operation}"
    add = lambda params, **_: params["body"].update(parameters)
    client.meta.events.register(event, add, unique_id="stray")
    yield
    client.meta.events.unregister(event, unique_id="stray")


def a_boundary_that_no_one_asked_for():
    """The usual guard of delegated administrators: they make users of one boundary alone."""
    boundary = iam.create_policy(PolicyName="Bounds", PolicyDocument=allowing("s3:*"))["Policy"]["Arn"]
    gives = ["iam:CreateUser", "iam:PutUserPolicy", "iam:AttachUserPolicy", "iam:DeleteUserPolicy", "iam:PutUserPermissionsBoundary"]
    guard = statement("Allow", gives, Condition={"StringEquals": {"iam:PermissionsBoundary": boundary}})
    _, helper = new_user(iam, "delegate", policy(guard))
    itself = {"UserName": "delegate"}
    for operation, parameters in [
        ("PutUserPolicy", {"PolicyName": "all", "PolicyDocument": allowing("*")}),
        ("AttachUserPolicy", {"PolicyArn": ADMINISTRATOR}),
        ("DeleteUserPolicy", {"PolicyName": "inline"}),
    ]:
        with stray(helper.iam, "iam", operation, {"PermissionsBoundary": boundary}):
            name = "".join(f"_{c.lower()}" if c.isupper() else c for c in operation).lstrip("_")
            refused("AccessDenied", getattr(helper.iam, name), 403, **itself, **parameters)
    # Where the parameter is one, it is what counts, and elsewhere the boundary that there is.
    helper.iam.create_user(UserName="bounded", PermissionsBoundary=boundary)
    helper.iam.put_user_policy(UserName="bounded", PolicyName="all", PolicyDocument=allowing("*"))
    with stray(helper.iam, "iam", "PutUserPolicy", {"PermissionsBoundary": ADMINISTRATOR}):
        helper.iam.put_user_policy(UserName="bounded", PolicyName="more", PolicyDocument=allowing("*"))
    refused("AccessDenied", helper.iam.put_user_permissions_boundary, 403, UserName="bounded", PermissionsBoundary=ADMINISTRATOR)


def tags_that_no_one_asked_for():
    red = {"Tags.member.1.Key": "team", "Tags.member.1.Value": "red", "TagKeys.member.1": "team"}
    by_tag = {"StringEquals": {"aws:RequestTag/team": "red"}}
    _, helper = new_user(iam, "tagger", policy(statement("Allow", ["iam:TagUser", "iam:CreateAccessKey", "sts:AssumeRole"], Condition=by_tag)))
    with stray(helper.iam, "iam", "CreateAccessKey", red):
        refused("AccessDenied", helper.iam.create_access_key, 403, UserName="tagger")
    helper.iam.tag_user(UserName="tagger", Tags=[{"Key": "team", "Value": "red"}])
    by_policy = {"ArnEquals": {"iam:PolicyARN": READER}}
    _, attacher = new_user(iam, "attacher", policy(statement("Allow", ["iam:AttachUserPolicy", "iam:PutUserPolicy"], Condition=by_policy)))
    attacher.iam.attach_user_policy(UserName="attacher", PolicyArn=READER)
    refused("AccessDenied", attacher.iam.attach_user_policy, 403, UserName="attacher", PolicyArn=ADMINISTRATOR)
    with stray(attacher.iam, "iam", "PutUserPolicy", {"PolicyArn": READER}):
        refused("AccessDenied", attacher.iam.put_user_policy, 403, UserName="attacher", PolicyName="all", PolicyDocument=allowing("*"))


def names_in_another_case():
    named, signs = new_user(iam, "Ada", allowing("iam:GetUser", f"arn:aws:iam::{account}:user/Ada"), Path="/people/")
    iam.delete_user_policy(UserName="ADA", PolicyName="inline")
    iam.put_user_policy(UserName="aDA", PolicyName="own", PolicyDocument=allowing("iam:GetUser", named["Arn"]))
    assert iam.get_user(UserName="ada")["User"]["UserName"] == "Ada"
    assert signs.iam.get_user(UserName="ADA")["User"]["Arn"] == named["Arn"], "the resource is whom the name finds"
    assert iam.get_user_policy(UserName="ADA", PolicyName="own")["UserName"] == "Ada"
    assert iam.list_access_keys(UserName="ada")["AccessKeyMetadata"][0]["UserName"] == "Ada"
    refused("EntityAlreadyExists", iam.create_user, 409, UserName="ADA")
    # A denial finds whom it means, however the request spells him.
    _, denied = new_user(iam, "all-but-ada", policy(statement("Allow", "iam:*"), statement("Deny", "iam:*", named["Arn"])))
    for name in ["Ada", "ada", "ADA"]:
        refused("AccessDenied", denied.iam.create_access_key, 403, UserName=name)
    # Another path leaves the name as it is, another spelling is its own name still.
    iam.update_user(UserName="ada", NewPath="/persons/")
    assert iam.get_user(UserName="ada")["User"]["Arn"] == f"arn:aws:iam::{account}:user/persons/Ada"
    iam.update_user(UserName="ada", NewUserName="ADA")
    assert iam.get_user(UserName="ada")["User"]["UserName"] == "ADA"
    iam.create_group(GroupName="Readers")
    refused("EntityAlreadyExists", iam.create_group, 409, GroupName="readers")
    iam.add_user_to_group(GroupName="READERS", UserName="ada")
    assert iam.get_group(GroupName="readers")["Users"][0]["UserName"] == "ADA"
    role = new_role(iam, "Worker", trusting(account))["Arn"]
    assert iam.get_role(RoleName="WORKER")["Role"]["Arn"] == role
    refused("EntityAlreadyExists", iam.create_role, 409, RoleName="worker", AssumeRolePolicyDocument=trusting(account))
    iam.create_policy(PolicyName="Reads", PolicyDocument=allowing("s3:Get*"))
    refused("EntityAlreadyExists", iam.create_policy, 409, PolicyName="reads", PolicyDocument=allowing("s3:Get*"))
    # ARNs tell cases apart, and so do roles that are assumed by them.
    refused("NoSuchEntity", iam.get_policy, 404, PolicyArn=f"arn:aws:iam::{account}:policy/reads")
    _, assumer = new_user(iam, "assumer", allowing("sts:*"))
    assume(assumer, role)
    refused("AccessDenied", assumer.sts.assume_role, 403, RoleArn=role.replace("Worker", "worker"), RoleSessionName="session")


def malformed_role_arns():
    _, caller = new_user(iam, "arns", allowing("sts:*"))
    for arn in [f"arn:aws:iam::{account}:user/arns", "arn:aws:iam::1:role/somebody", f"arn:aws:iam::{account}:role/", "x" * 20]:
        refused("ValidationError", caller.sts.assume_role, 400, RoleArn=arn, RoleSessionName="session")
    refused("AccessDenied", caller.sts.assume_role, 403, RoleArn=f"arn:aws:iam::{account}:role/nobody", RoleSessionName="session")


def transitive_tags_in_another_case():
    _, first = new_user(iam, "chains", allowing("sts:*"))
    both = ["sts:AssumeRole", "sts:TagSession"]
    one = new_role(iam, "chain-1", trusting(account, both), allowing("sts:*"))["Arn"]
    two = new_role(iam, "chain-2", trusting(account, both))["Arn"]
    session = assume(first, one, Tags=[{"Key": "Team", "Value": "red"}], TransitiveTagKeys=["TEAM"])
    refused("InvalidParameterValue", session.sts.assume_role, 400, RoleArn=two, RoleSessionName="next", Tags=[{"Key": "team", "Value": "blue"}])
    condition = {"StringEquals": {"aws:PrincipalTag/Team": "red"}}
    iam.put_role_policy(RoleName="chain-2", PolicyName="by-tag", PolicyDocument=allowing("s3:ListAllMyBuckets", Condition=condition))
    assume(session, two).s3.list_buckets()


def form(fields, filename="photo.jpg", content=b"content"):
    """Posts these fields, in order, as a browser does; answers the status and the code of the refusal."""
    boundary = "b0undary"
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields]
    named = "" if filename is None else f'; filename="{filename}"'
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"{named}\r\n\r\n')
    body = "".join(parts).encode() + content + f"\r\n--{boundary}--\r\n".encode()
    request = urllib.request.Request(f"{endpoint}/fields", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def signed(fields, *conditions):
    """The fields of a form whose policy says this; `conditions` for fields whose values it does not fix."""
    now = datetime.datetime.now(datetime.timezone.utc)
    date, scope = now.strftime("%Y%m%dT%H%M%SZ"), [now.strftime("%Y%m%d"), "us-east-1", "s3", "aws4_request"]
    signing = [("x-amz-algorithm", "AWS4-HMAC-SHA256"), ("x-amz-credential", "/".join([root.access_key_id, *scope])), ("x-amz-date", date)]
    expiration = (now + datetime.timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    listed = [{"bucket": "fields"}, *conditions, *({name: value} for name, value in signing)]
    text = base64.b64encode(json.dumps({"expiration": expiration, "conditions": listed}).encode()).decode()
    key = f"AWS4{root.secret_access_key}".encode()
    for piece in [*scope, text]:
        key = hmac.new(key, piece.encode(), hashlib.sha256).digest()
    return [*fields, *signing, ("policy", text), ("x-amz-signature", key.hex())]


def fields_of_forms():
    s3.create_bucket(Bucket="fields")
    keys = lambda: {row["Key"] for row in s3.list_objects_v2(Bucket="fields").get("Contents", [])}
    below = ["starts-with", "$key", "mine/"]
    assert form(signed([("key", "mine/a")], below))[0] == 204
    # The first would be judged, and the last make the object.
    for again in [("key", "theirs/a"), ("Key", "theirs/a"), ("key", "mine/a")]:
        status, body = form(signed([("key", "mine/b"), again], below))
        assert status == 400 and "<Code>InvalidArgument</Code>" in body, (status, body)
    acl = ["starts-with", "$acl", ""], ["starts-with", "$x-amz-acl", ""]
    status, body = form(signed([("key", "mine/b"), ("acl", "private"), ("x-amz-acl", "public-read")], below, *acl))
    assert status == 400 and "<Code>InvalidArgument</Code>" in body, (status, body)
    assert keys() == {"mine/a"}, keys()
    # The name of the file is judged with the rest.
    assert form(signed([("key", "${filename}")], below), filename="a.txt")[0] == 403
    assert form(signed([("key", "mine/${filename}")], {"key": "mine/a.txt"}), filename="a.txt")[0] == 204
    assert form(signed([("key", "mine/${filename}")], {"key": "mine/${filename}"}), filename="b.txt")[0] == 403
    meta = signed([("key", "mine/meta"), ("x-amz-meta-name", "of ${filename}")], below, {"x-amz-meta-name": "of c.txt"})
    assert form(meta, filename="C:\\\\dir\\\\c.txt")[0] == 204
    assert s3.head_object(Bucket="fields", Key="mine/meta")["Metadata"] == {"name": "of c.txt"}
    # Without a name the variable stays.
    for filename in [None, ""]:
        assert form(signed([("key", "mine/${filename}")], {"key": "mine/${filename}"}), filename=filename)[0] == 204
    assert keys() == {"mine/a", "mine/a.txt", "mine/meta", "mine/${filename}"}, keys()
    status, body = form(signed([("key", "mine/a"), ("If-None-Match", "*")], below, {"if-none-match": "*"}))
    assert status == 501, (status, body)


def conditions_on_named_versions():
    at = {"Bucket": "named-versions", "Key": "k"}
    s3.create_bucket(Bucket="named-versions")
    s3.put_bucket_versioning(Bucket="named-versions", VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(**at, Body=b"1")
    s3.put_object(**at, Body=b"2")
    for tag in [old["ETag"], "*", '"other"']:
        refused("NotImplemented", s3.delete_object, 501, **at, VersionId=old["VersionId"], IfMatch=tag)
        entry = {"Key": "k", "VersionId": old["VersionId"], "ETag": tag}
        (error,) = s3.delete_objects(Bucket="named-versions", Delete={"Objects": [entry]})["Errors"]
        assert error["Code"] == "NotImplemented", error
    assert len(s3.list_object_versions(Bucket="named-versions")["Versions"]) == 2
    s3.delete_object(**at, VersionId=old["VersionId"])
    s3.delete_object(**at, IfMatch="*")


def uploads_of_nobody():
    """Whatever a policy says, an upload in parts is somebody's."""
    bucket = "uploads-of-nobody"
    s3.create_bucket(Bucket=bucket)
    s3.delete_public_access_block(Bucket=bucket)
    everything = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(everything))
    at = {"Bucket": bucket, "Key": "k"}
    anonymous.s3.put_object(**at, Body=b"x")
    upload = {**at, "UploadId": s3.create_multipart_upload(**at)["UploadId"]}
    part = s3.upload_part(**upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    told = refused("AccessDenied", anonymous.s3.create_multipart_upload, 403, **at)
    assert message_of(told).startswith("Anonymous users cannot initiate multipart uploads."), told
    refused("AccessDenied", anonymous.s3.upload_part, 403, **upload, PartNumber=2, Body=b"x")
    refused("AccessDenied", anonymous.s3.upload_part_copy, 403, **upload, PartNumber=2, CopySource=at)
    refused("AccessDenied", anonymous.s3.list_parts, 403, **upload)
    refused("AccessDenied", anonymous.s3.complete_multipart_upload, 403, **upload, MultipartUpload=parts)
    s3.complete_multipart_upload(**upload, MultipartUpload=parts)


run([
    a_boundary_that_no_one_asked_for,
    tags_that_no_one_asked_for,
    names_in_another_case,
    malformed_role_arns,
    transitive_tags_in_another_case,
    fields_of_forms,
    conditions_on_named_versions,
    uploads_of_nobody,
])
