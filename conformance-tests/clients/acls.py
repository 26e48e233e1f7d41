"""Access by ACLs, with new buckets as they were until April 2023: who may what, for every ACL of a bucket and of an object.

The gateway runs with `default_object_ownership = "ObjectWriter"` and `default_block_public_access = false`.
"""

import itertools
import uuid

import boto3
from botocore.exceptions import ClientError
from common import anonymous, other_root, refused, root

OWNER = root.s3.list_buckets()["Owner"]
OTHER = other_root.s3.list_buckets()["Owner"]
EMAIL = "other@example.com"
ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
SIGNERS = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"


def new_bucket(**parameters):
    name = f"acls-{uuid.uuid4().hex[:12]}"
    root.s3.create_bucket(Bucket=name, **parameters)
    return name


def may(operation, **parameters):
    """May the caller? Whatever is refused is refused as access denied."""
    try:
        operation(**parameters)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        assert code in ("AccessDenied", "403"), error
        return False
    return True


def grants(answer):
    return [
        (grant["Grantee"].get("ID") or grant["Grantee"]["URI"], grant["Permission"]) for grant in answer["Grants"]
    ]


def given(id=None, permission=None, uri=None, email=None):
    kind = "CanonicalUser" if id else "Group" if uri else "AmazonCustomerByEmail"
    named = {"ID": id, "URI": uri, "EmailAddress": email}
    grantee = {"Type": kind} | {name: value for name, value in named.items() if value}
    return {"Grantee": grantee, "Permission": permission}


def acl(*those, owner=OWNER):
    return {"Owner": {"ID": owner["ID"]}, "Grants": list(those)}


def defaults():
    bucket = new_bucket()
    refused("OwnershipControlsNotFoundError", root.s3.get_bucket_ownership_controls, 404, Bucket=bucket)
    refused("NoSuchPublicAccessBlockConfiguration", root.s3.get_public_access_block, 404, Bucket=bucket)
    assert grants(root.s3.get_bucket_acl(Bucket=bucket)) == [(OWNER["ID"], "FULL_CONTROL")]
    bucket = new_bucket(ACL="public-read-write")
    assert grants(root.s3.get_bucket_acl(Bucket=bucket))[1:] == [(ALL_USERS, "READ"), (ALL_USERS, "WRITE")]
    bucket = new_bucket(ObjectOwnership="BucketOwnerEnforced")
    refused("AccessControlListNotSupported", root.s3.put_object, 400, Bucket=bucket, Key="k", ACL="public-read")
    # What a bucket blocks it blocks also where new ones block nothing.
    bucket = new_bucket()
    root.s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    refused("AccessDenied", root.s3.put_bucket_acl, 403, Bucket=bucket, ACL="public-read")
    refused("AccessDenied", root.s3.put_object, 403, Bucket=bucket, Key="k", ACL="public-read-write")


def canned():
    """Every canned ACL of a bucket with every one of an object: read, overwrite, write anew, list."""
    public = {"public-read", "public-read-write"}
    of_buckets = ["private", "public-read", "public-read-write", "authenticated-read"]
    for of_bucket, of_object in itertools.product(of_buckets, of_buckets):
        bucket = new_bucket(ACL=of_bucket)
        for caller, signs in ((other_root, True), (anonymous, False)):
            root.s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL=of_object)
            at = f"{of_bucket}, {of_object}, {signs}"
            reads = of_object in public or signs and of_object == "authenticated-read"
            lists = of_bucket in public or signs and of_bucket == "authenticated-read"
            writes = of_bucket == "public-read-write"
            assert may(caller.s3.get_object, Bucket=bucket, Key="k") == reads, at
            assert may(caller.s3.head_object, Bucket=bucket, Key="k") == reads, at
            assert may(caller.s3.get_object_acl, Bucket=bucket, Key="k") is False, at
            assert may(caller.s3.list_objects, Bucket=bucket) == lists, at
            assert may(caller.s3.list_objects_v2, Bucket=bucket) == lists, at
            assert may(caller.s3.head_bucket, Bucket=bucket) == lists, at
            assert may(caller.s3.get_bucket_acl, Bucket=bucket) is False, at
            assert may(caller.s3.put_object, Bucket=bucket, Key="new", Body=b"x") == writes, at
            assert may(caller.s3.put_object, Bucket=bucket, Key="k", Body=b"y") == writes, at
            # What they have written is theirs.
            assert may(root.s3.get_object, Bucket=bucket, Key="k") is not writes, at
            assert may(caller.s3.get_object, Bucket=bucket, Key="k") == (reads or writes), at
            assert may(caller.s3.delete_object, Bucket=bucket, Key="k") == writes, at
            absent = ("NoSuchKey",) if lists else ("AccessDenied",)
            refused(absent, caller.s3.get_object, Bucket=bucket, Key="absent")
            # The bucket's owner clears up.
            root.s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}, {"Key": "new"}]})
        root.s3.delete_bucket(Bucket=bucket)
    refused("NoSuchBucket", anonymous.s3.get_object, 404, Bucket=bucket, Key="k")


def by_permission():
    """Each permission by itself, given to another account's id, on a bucket and on an object."""
    for permission in ["FULL_CONTROL", "READ", "WRITE", "READ_ACP", "WRITE_ACP"]:
        has = lambda one: permission in ("FULL_CONTROL", one)  # noqa: E731
        bucket = new_bucket()
        own = given(OWNER["ID"], "FULL_CONTROL")
        root.s3.put_bucket_acl(Bucket=bucket, AccessControlPolicy=acl(own, given(OTHER["ID"], permission)))
        told = grants(root.s3.get_bucket_acl(Bucket=bucket))
        assert told == [(OWNER["ID"], "FULL_CONTROL"), (OTHER["ID"], permission)], told
        s3 = other_root.s3
        assert may(s3.list_objects, Bucket=bucket) == has("READ"), permission
        assert may(s3.head_bucket, Bucket=bucket) == has("READ"), permission
        assert may(s3.put_object, Bucket=bucket, Key="k", Body=b"x") == has("WRITE"), permission
        assert may(s3.get_bucket_acl, Bucket=bucket) == has("READ_ACP"), permission
        assert may(s3.put_bucket_acl, Bucket=bucket, ACL="public-read") == has("WRITE_ACP"), permission

        bucket = new_bucket()
        root.s3.put_object(Bucket=bucket, Key="k", Body=b"x")
        theirs = acl(given(OTHER["ID"], permission))
        root.s3.put_object_acl(Bucket=bucket, Key="k", AccessControlPolicy=theirs)
        assert grants(root.s3.get_object_acl(Bucket=bucket, Key="k")) == [(OTHER["ID"], permission)]
        assert may(s3.get_object, Bucket=bucket, Key="k") == has("READ"), permission
        assert may(s3.get_object_acl, Bucket=bucket, Key="k") == has("READ_ACP"), permission
        assert may(s3.put_object, Bucket=bucket, Key="k", Body=b"y") is False, permission
        assert may(s3.put_object_acl, Bucket=bucket, Key="k", AccessControlPolicy=theirs) == has("WRITE_ACP")
        assert root.s3.get_object_acl(Bucket=bucket, Key="k")["Owner"]["ID"] == OWNER["ID"]


def by_headers():
    named = {f"Grant{name}": f"id={OTHER['ID']}" for name in ["Read", "ReadACP", "Write", "WriteACP", "FullControl"]}
    bucket = new_bucket(**named)
    told = sorted(grants(root.s3.get_bucket_acl(Bucket=bucket)))
    assert told == sorted((OTHER["ID"], one) for one in ["READ", "READ_ACP", "WRITE", "WRITE_ACP", "FULL_CONTROL"])
    assert may(other_root.s3.put_object, Bucket=bucket, Key="k", Body=b"x")
    assert may(other_root.s3.get_bucket_acl, Bucket=bucket)
    of_object = {name: value for name, value in named.items() if name != "GrantWrite"}
    root.s3.put_object(Bucket=bucket, Key="ours", Body=b"x", **of_object)
    assert may(other_root.s3.get_object, Bucket=bucket, Key="ours")
    assert may(other_root.s3.put_object_acl, Bucket=bucket, Key="ours", ACL="public-read")
    assert may(anonymous.s3.get_object, Bucket=bucket, Key="ours")


def by_email():
    bucket = new_bucket()
    own = given(OWNER["ID"], "FULL_CONTROL")
    root.s3.put_bucket_acl(Bucket=bucket, AccessControlPolicy=acl(own, given(email=EMAIL, permission="READ")))
    assert grants(root.s3.get_bucket_acl(Bucket=bucket))[1:] == [(OTHER["ID"], "READ")]
    nobody = acl(own, given(email="nobody@example.invalid", permission="READ"))
    code = "UnresolvableGrantByEmailAddress"
    refused(code, root.s3.put_bucket_acl, 400, Bucket=bucket, AccessControlPolicy=nobody)
    absent = acl(own, given("0" * 64, "READ"))
    refused("InvalidArgument", root.s3.put_bucket_acl, 400, Bucket=bucket, AccessControlPolicy=absent)


def of_versions():
    bucket = new_bucket()
    root.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first, second = (root.s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"] for _ in range(2))
    root.s3.put_object_acl(Bucket=bucket, Key="k", VersionId=first, ACL="public-read")
    assert len(grants(root.s3.get_object_acl(Bucket=bucket, Key="k", VersionId=first))) == 2
    assert len(grants(root.s3.get_object_acl(Bucket=bucket, Key="k"))) == 1
    assert may(anonymous.s3.get_object, Bucket=bucket, Key="k", VersionId=first)
    assert not may(anonymous.s3.get_object, Bucket=bucket, Key="k", VersionId=second)
    root.s3.put_object_acl(Bucket=bucket, Key="k", ACL="public-read")
    assert may(anonymous.s3.get_object, Bucket=bucket, Key="k")
    # A new version has an ACL of its own.
    root.s3.put_object(Bucket=bucket, Key="k", Body=b"y")
    assert not may(anonymous.s3.get_object, Bucket=bucket, Key="k")


def of_copies_and_parts():
    bucket = new_bucket(ACL="public-read-write")
    root.s3.put_object(Bucket=bucket, Key="ours", Body=b"x", ACL="public-read")
    # A copy is its writer's, and its ACL is not the source's.
    other_root.s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/ours")
    assert other_root.s3.get_object_acl(Bucket=bucket, Key="copy")["Owner"]["ID"] == OTHER["ID"]
    assert not may(root.s3.get_object, Bucket=bucket, Key="copy")
    assert not may(anonymous.s3.get_object, Bucket=bucket, Key="copy")
    # Whoever can't read it can't copy it either.
    assert not may(root.s3.copy_object, Bucket=bucket, Key="again", CopySource=f"{bucket}/copy")
    at = {"Bucket": bucket, "Key": "parts"}
    upload = other_root.s3.create_multipart_upload(**at, ACL="bucket-owner-full-control")["UploadId"]
    etag = other_root.s3.upload_part(**at, UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    other_root.s3.complete_multipart_upload(**at, UploadId=upload, MultipartUpload=parts)
    assert grants(root.s3.get_object_acl(**at)) == [(OTHER["ID"], "FULL_CONTROL"), (OWNER["ID"], "FULL_CONTROL")]
    # A rewritten object is its last writer's.
    root.s3.put_object(Bucket=bucket, Key="copy", Body=b"x")
    assert may(root.s3.get_object, Bucket=bucket, Key="copy")
    assert not may(other_root.s3.get_object, Bucket=bucket, Key="copy")


def of_users():
    """A user of the writer's account needs its own policy beside the ACL; one of the bucket owner's account has no more than that."""
    bucket = new_bucket(ACL="public-read-write")
    other_root.s3.put_object(Bucket=bucket, Key="theirs", Body=b"x")
    for account, reads in ((other_root, True), (root, False)):
        name = f"reader-{uuid.uuid4().hex[:8]}"
        account.iam.create_user(UserName=name)
        key = account.iam.create_access_key(UserName=name)["AccessKey"]
        s3 = boto3.client("s3", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
        assert not may(s3.get_object, Bucket=bucket, Key="theirs")
        allowed = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}'
        account.iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=allowed)
        assert may(s3.get_object, Bucket=bucket, Key="theirs") == reads
        account.iam.delete_user_policy(UserName=name, PolicyName="all")
        account.iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        account.iam.delete_user(UserName=name)


def of_nobody():
    bucket = new_bucket(ACL="public-read-write")
    anonymous.s3.put_object(Bucket=bucket, Key="nobodys", Body=b"x")
    assert not may(root.s3.get_object, Bucket=bucket, Key="nobodys")
    assert not may(other_root.s3.put_object_acl, Bucket=bucket, Key="nobodys", ACL="private")
    owner = root.s3.list_objects(Bucket=bucket)["Contents"][0]["Owner"]["ID"]
    assert owner == "65a011a29cdf8ec533ec3d1ccaae921c", owner
    root.s3.delete_object(Bucket=bucket, Key="nobodys")


for test in (defaults, canned, by_permission, by_headers, by_email, of_versions, of_copies_and_parts, of_users, of_nobody):
    test()
    print(test.__name__)
