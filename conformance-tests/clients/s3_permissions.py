"""What an operation of S3 needs beside its own action, and which policies are refused when they are put."""

import json

from common import allowing, new_user, policy, refused, root, run, statement

s3, iam = root.s3, root.iam
account = root.account
_, user = new_user(iam, "permissions")
BUCKET = "permissions"
OWNER = s3.list_buckets()["Owner"]["ID"]
s3.create_bucket(Bucket=BUCKET)
at = {"Bucket": BUCKET, "Key": "object"}
etag = s3.put_object(**at, Body=b"x", Tagging="team=blue")["ETag"]
s3.put_object(Bucket=BUCKET, Key="plain", Body=b"x")


def may(*statements):
    iam.put_user_policy(UserName="permissions", PolicyName="p", PolicyDocument=policy(*statements))


def all_but(action):
    may({"Effect": "Allow", "NotAction": action, "Resource": "*"})


def needs(actions, operation, **parameters):
    """The operation is refused without each of these actions, and done with all of them."""
    for action in actions:
        all_but(action)
        error = refused("AccessDenied", operation, **parameters)["Error"]["Message"]
        assert action in error, f"{action}: {error}"
    may(statement("Allow", "*"))
    return operation(**parameters)


def whoever_compares_reads():
    needs(["s3:GetObject", "s3:PutObject"], user.s3.put_object, **at, Body=b"x", IfMatch=etag, Tagging="team=blue")
    needs(["s3:GetObject", "s3:PutObject"], user.s3.copy_object, Bucket=BUCKET, Key="plain", CopySource=f"{BUCKET}/plain", IfMatch=etag, MetadataDirective="REPLACE")
    upload = s3.create_multipart_upload(**at)["UploadId"]
    part = s3.upload_part(**at, UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    needs(["s3:GetObject", "s3:PutObject"], user.s3.complete_multipart_upload, **at, UploadId=upload, MultipartUpload=parts, IfMatch=etag)
    for key in ["deleted", "deleted-too"]:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    needs(["s3:GetObject", "s3:DeleteObject"], user.s3.delete_object, Bucket=BUCKET, Key="deleted", IfMatch=etag)
    all_but("s3:GetObject")
    many = {"Objects": [{"Key": "deleted-too", "ETag": etag}]}
    assert user.s3.delete_objects(Bucket=BUCKET, Delete=many)["Errors"][0]["Code"] == "AccessDenied"
    s3.head_object(Bucket=BUCKET, Key="deleted-too")
    # Without a condition, and for one that nothing is there, nothing is read.
    user.s3.put_object(Bucket=BUCKET, Key="new", Body=b"x", IfNoneMatch="*")
    s3.put_object(**at, Body=b"x", Tagging="team=blue")


def attributes_are_read():
    asked = {"ObjectAttributes": ["ETag"]}
    needs(["s3:GetObject", "s3:GetObjectAttributes"], user.s3.get_object_attributes, **at, **asked)
    all_but("s3:ListBucket")
    refused("AccessDenied", user.s3.get_object_attributes, Bucket=BUCKET, Key="absent", **asked)
    refused("AccessDenied", user.s3.copy_object, Bucket=BUCKET, Key="to", CopySource=f"{BUCKET}/absent")
    may(statement("Allow", "*"))
    refused("NoSuchKey", user.s3.get_object_attributes, Bucket=BUCKET, Key="absent", **asked)
    refused("NoSuchKey", user.s3.copy_object, Bucket=BUCKET, Key="to", CopySource=f"{BUCKET}/absent")


def a_bucket_needs_what_is_set_on_it():
    for number, (actions, parameters) in enumerate([
        (["s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"], {"ObjectLockEnabledForBucket": True}),
        (["s3:PutBucketOwnershipControls"], {"ObjectOwnership": "ObjectWriter"}),
        (["s3:PutBucketAcl", "s3:PutBucketOwnershipControls"], {"ObjectOwnership": "ObjectWriter", "GrantRead": f'id="{OWNER}"'}),
        (["s3:TagResource"], {"CreateBucketConfiguration": {"Tags": [{"Key": "team", "Value": "blue"}]}}),
    ]):
        needs(["s3:CreateBucket", *actions], user.s3.create_bucket, Bucket=f"permissions-{number}", **parameters)
    all_but(["s3:Put*", "s3:TagResource"])
    user.s3.create_bucket(Bucket="permissions-plain")
    # What there is in any case needs no permission.
    user.s3.create_bucket(Bucket="permissions-private", ACL="private")
    all_but("s3:PutObjectAcl")
    for acl in ["private", "bucket-owner-full-control"]:
        user.s3.put_object(Bucket=BUCKET, Key="owned", Body=b"x", ACL=acl)
    refused("AccessDenied", user.s3.put_object, Bucket=BUCKET, Key="owned", Body=b"x", ACL="public-read")


def copies_take_tags_along():
    copy = {"Bucket": BUCKET, "Key": "copied", "CopySource": f"{BUCKET}/object"}
    needs(["s3:GetObject", "s3:GetObjectTagging", "s3:PutObjectTagging"], user.s3.copy_object, **copy)
    # A header of tags that is not to be used speaks for nothing.
    needs(["s3:GetObjectTagging", "s3:PutObjectTagging"], user.s3.copy_object, **copy, Tagging="team=red")
    only_red = statement("Deny", "s3:PutObjectTagging", Condition={"StringNotEquals": {"s3:RequestObjectTag/team": "red"}})
    may(statement("Allow", "*"), only_red)
    refused("AccessDenied", user.s3.copy_object, **copy)
    refused("AccessDenied", user.s3.copy_object, **copy, Tagging="team=red")
    user.s3.copy_object(**copy, Tagging="team=red", TaggingDirective="REPLACE")
    assert s3.get_object_tagging(Bucket=BUCKET, Key="copied")["TagSet"] == [{"Key": "team", "Value": "red"}]
    all_but(["s3:GetObjectTagging", "s3:PutObjectTagging"])
    user.s3.copy_object(Bucket=BUCKET, Key="copied", CopySource=f"{BUCKET}/plain")


def who_may_list_a_key_may_know_whether_it_is_there():
    listing = statement("Allow", "s3:ListBucket", Condition={"StringLike": {"s3:prefix": "archive/*"}})
    may(statement("Allow", "s3:GetObject"), listing)
    refused("NoSuchKey", user.s3.get_object, Bucket=BUCKET, Key="archive/absent")
    refused("AccessDenied", user.s3.get_object, Bucket=BUCKET, Key="elsewhere/absent")


def parts_may_name_the_encryption_of_their_upload():
    may(statement("Allow", "*"))
    key = root.kms.create_key()["KeyMetadata"]
    named = {"Bucket": BUCKET, "Key": "named"}
    upload = user.s3.create_multipart_upload(**named, ServerSideEncryption="aws:kms", SSEKMSKeyId=key["KeyId"])["UploadId"]
    headers = {}
    user.s3.meta.events.register_first("before-sign.s3.*", lambda request, **_: [request.headers.add_header(*pair) for pair in headers.items()])
    part = {**named, "UploadId": upload, "PartNumber": 1, "Body": b"x"}
    headers = {"x-amz-server-side-encryption": "AES256"}
    refused("InvalidArgument", user.s3.upload_part, **part)
    headers = {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "alias/other"}
    refused("InvalidArgument", user.s3.upload_part, **part)
    headers["x-amz-server-side-encryption-aws-kms-key-id"] = key["KeyId"]
    etag = user.s3.upload_part(**part)["ETag"]
    headers["x-amz-server-side-encryption-aws-kms-key-id"] = key["Arn"]
    user.s3.complete_multipart_upload(**named, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    # Headers that nobody knows are ignored, but for those of families that protect data.
    headers = {"x-amz-te": "append-md5", "x-amz-api-version": "2006-03-01"}
    assert user.s3.get_object(**named)["Body"].read() == b"x"
    headers = {"x-amz-object-lock-nothing": "1"}
    refused("NotImplemented", user.s3.put_object, **named, Body=b"x")
    headers = {}


def the_managed_key_is_made_by_its_name():
    written = s3.put_object(Bucket=BUCKET, Key="managed", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="alias/aws/s3")
    assert root.kms.describe_key(KeyId=written["SSEKMSKeyId"])["KeyMetadata"]["KeyManager"] == "AWS", written


def parts_are_encrypted_as_their_upload():
    unencrypted = statement("Deny", "s3:PutObject", Condition={"Null": {"s3:x-amz-server-side-encryption": "true"}})
    may(statement("Allow", "*"), unencrypted)
    refused("AccessDenied", user.s3.put_object, Bucket=BUCKET, Key="parts", Body=b"x")
    refused("AccessDenied", user.s3.create_multipart_upload, Bucket=BUCKET, Key="parts")
    upload = user.s3.create_multipart_upload(Bucket=BUCKET, Key="parts", ServerSideEncryption="AES256")["UploadId"]
    named = {"Bucket": BUCKET, "Key": "parts", "UploadId": upload}
    part = user.s3.upload_part(**named, PartNumber=1, Body=b"x")["ETag"]
    user.s3.complete_multipart_upload(**named, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})


def writes_may_be_once_alone():
    """AWS's own recipe: what makes an object must say that there is none."""
    once = statement("Deny", "s3:PutObject", Condition={"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}})
    may(statement("Allow", "*"), once)
    written = {"Bucket": BUCKET, "Key": "once"}
    refused("AccessDenied", user.s3.put_object, **written, Body=b"x")
    user.s3.put_object(**written, Body=b"x", IfNoneMatch="*")
    refused("PreconditionFailed", user.s3.put_object, **written, Body=b"y", IfNoneMatch="*")
    written["Key"] = "once-in-parts"
    upload = user.s3.create_multipart_upload(**written)["UploadId"]
    part = user.s3.upload_part(**written, UploadId=upload, PartNumber=1, Body=b"x")["ETag"]
    done = {**written, "UploadId": upload, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": part}]}}
    refused("AccessDenied", user.s3.complete_multipart_upload, **done)
    user.s3.complete_multipart_upload(**done, IfNoneMatch="*")
    refused("AccessDenied", user.s3.copy_object, Bucket=BUCKET, Key="once", CopySource=f"{BUCKET}/plain")


def policies_that_could_never_act_are_refused():
    def put(actions, resources, condition):
        text = {"Effect": "Deny", "Principal": "*", "Action": actions, "Resource": resources, "Condition": {"StringEquals": condition}}
        return {"Bucket": BUCKET, "Policy": json.dumps({"Version": "2012-10-17", "Statement": text})}

    bucket, objects = f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"
    apart = "Conditions do not apply to combination of actions and resources in statement"
    unknown = "Policy has an invalid condition key"
    for actions, resources, condition, message in [
        ("s3:GetObject", objects, {"s3:prefix": "a"}, apart),
        (["s3:ListBucket", "s3:GetObject"], [bucket, objects], {"s3:prefix": "a"}, apart),
        ("s3:PutObject", objects, {"s3:ExistingObjectTag/team": "blue"}, apart),
        ("s3:*", objects, {"s3:prefix": "a"}, apart),
        ("s3:*", [bucket, objects], {"s3:nothing": "a"}, unknown),
        ("s3:*", [bucket, objects], {"aws:SourcIp": "a"}, unknown),
        ("s3:*", [bucket, objects], {"nothing": "a"}, unknown),
        ("s3:GetObjects", objects, {}, "Policy has invalid action"),
    ]:
        answer = refused("MalformedPolicy", s3.put_bucket_policy, **put(actions, resources, condition))
        assert answer["Error"]["Message"] == message, (answer, actions, condition)
    for actions, condition in [("s3:*", {"s3:prefix": "never"}), ("s3:GetObject", {"aws:PrincipalOrgID": "o-1"}), ("s3:GetObject", {"s3:ExistingObjectTag/team": "never"})]:
        s3.put_bucket_policy(**put(actions, [bucket, objects] if actions == "s3:*" else objects, condition))
    s3.delete_bucket_policy(Bucket=BUCKET)
    # IAM takes any key, as AWS does; it has no value.
    may(statement("Deny", "s3:*", Condition={"StringEquals": {"s3:nothing": "a"}}))
    document = allowing("s3:GetObject", Condition={"StringEquals": {"s3:nothing": "a"}})
    simulated = iam.simulate_custom_policy(PolicyInputList=[document], ActionNames=["s3:GetObject"])["EvaluationResults"][0]
    assert simulated["MissingContextValues"] == ["s3:nothing"], simulated


run([
    whoever_compares_reads,
    attributes_are_read,
    a_bucket_needs_what_is_set_on_it,
    copies_take_tags_along,
    who_may_list_a_key_may_know_whether_it_is_there,
    parts_may_name_the_encryption_of_their_upload,
    the_managed_key_is_made_by_its_name,
    parts_are_encrypted_as_their_upload,
    writes_may_be_once_alone,
    policies_that_could_never_act_are_refused,
])
