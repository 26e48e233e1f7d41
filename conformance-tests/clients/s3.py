"""What S3 says of versions, locks, tags, access and rules, asked with boto3, whose parser holds each answer against the model."""

import datetime
import json
import time
import urllib.error
import urllib.request

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

s3 = boto3.client("s3")
signer = boto3.client("s3", config=Config(signature_version="s3v4"))
anonymous = boto3.client("s3", config=Config(signature_version=UNSIGNED))
endpoint = s3.meta.endpoint_url


def refused(code, operation, status=None, **parameters):
    """The operation must be refused by this name."""
    try:
        operation(**parameters)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, f"{code}: {error}"
        if status:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == status, error
        return error.response
    raise AssertionError(f"not refused with {code}")


def bucket(name, **parameters):
    s3.create_bucket(Bucket=name, **parameters)
    return {"Bucket": name}


def enabled(at, status="Enabled"):
    s3.put_bucket_versioning(**at, VersioningConfiguration={"Status": status})


def put(at, key, body=b"x", **parameters):
    return s3.put_object(**at, Key=key, Body=body, **parameters)


def read(at, key, **parameters):
    return s3.get_object(**at, Key=key, **parameters)["Body"].read()


def versions(at, **parameters):
    answer = s3.list_object_versions(**at, **parameters)
    rows = [("version", row) for row in answer.get("Versions", [])]
    rows += [("marker", row) for row in answer.get("DeleteMarkers", [])]
    return [(kind, row["Key"], row["VersionId"], row["IsLatest"]) for kind, row in rows]


def versioning():
    at = bucket("versions")
    assert "Status" not in s3.get_bucket_versioning(**at)
    first = put(at, "k", b"null")
    assert "VersionId" not in first
    refused("IllegalVersioningConfigurationException", s3.put_bucket_versioning, **at, VersioningConfiguration={})
    enabled(at)
    assert s3.get_bucket_versioning(**at)["Status"] == "Enabled"
    one = put(at, "k", b"one")["VersionId"]
    two = put(at, "k", b"two")["VersionId"]
    assert read(at, "k") == b"two" and read(at, "k", VersionId=one) == b"one" and read(at, "k", VersionId="null") == b"null"
    assert s3.head_object(**at, Key="k", VersionId=one)["VersionId"] == one
    rows = versions(at)
    assert rows == [("version", "k", two, True), ("version", "k", one, False), ("version", "k", "null", False)], rows
    marker = s3.delete_object(**at, Key="k")
    assert marker["DeleteMarker"]
    answer = refused("NoSuchKey", s3.get_object, 404, **at, Key="k")["ResponseMetadata"]["HTTPHeaders"]
    assert answer["x-amz-delete-marker"] == "true" and answer["x-amz-version-id"] == marker["VersionId"]
    answer = refused("MethodNotAllowed", s3.get_object, 405, **at, Key="k", VersionId=marker["VersionId"])
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"
    refused("405", s3.head_object, 405, **at, Key="k", VersionId=marker["VersionId"])
    assert "Contents" not in s3.list_objects_v2(**at)
    assert s3.list_object_versions(**at)["DeleteMarkers"][0]["IsLatest"]
    gone = s3.delete_object(**at, Key="k", VersionId=marker["VersionId"])
    assert gone["DeleteMarker"] and gone["VersionId"] == marker["VersionId"]
    assert read(at, "k") == b"two"
    s3.delete_object(**at, Key="k", VersionId=two)
    assert read(at, "k") == b"one"
    refused("NoSuchVersion", s3.get_object, 404, **at, Key="k", VersionId=two)
    refused("InvalidArgument", s3.get_object, 400, **at, Key="k", VersionId="nonsense")
    s3.copy_object(**at, Key="k", CopySource={**at, "Key": "k", "VersionId": "null"})
    assert read(at, "k") == b"null"
    copied = s3.copy_object(**at, Key="copy", CopySource={**at, "Key": "k", "VersionId": one})
    assert copied["CopySourceVersionId"] == one and read(at, "copy") == b"one"
    enabled(at, "Suspended")
    assert "VersionId" not in put(at, "k", b"new null")
    assert read(at, "k", VersionId="null") == b"new null"
    assert sum(row[2] == "null" for row in versions(at, Prefix="k")) == 1
    assert s3.delete_object(**at, Key="k")["VersionId"] == "null"
    refused("NoSuchKey", s3.get_object, **at, Key="k")
    assert read(at, "k", VersionId=one) == b"one"
    refused("BucketNotEmpty", s3.delete_bucket, 409, **at)
    # Many at once, by version and not, and one that is no version.
    enabled(at)
    asked = [{"Key": row[1], "VersionId": row[2]} for row in versions(at)]
    answer = s3.delete_objects(**at, Delete={"Objects": [{"Key": "fresh"}] + asked})
    assert answer["Deleted"][0]["DeleteMarker"] and len(answer["Deleted"]) == 1 + len(asked), answer
    for _, key, version, _ in versions(at):
        s3.delete_object(**at, Key=key, VersionId=version)
    s3.delete_bucket(**at)


def listing_of_versions():
    at = bucket("listed-versions")
    enabled(at)
    for key in ["a", "b/1", "b/2", "c"]:
        for number in range(3):
            put(at, key, str(number).encode())
    s3.delete_object(**at, Key="b/2")
    everything = sorted(versions(at), key=lambda row: row[1])
    assert len(everything) == 13
    for size in [1, 2, 5]:
        pages = s3.get_paginator("list_object_versions").paginate(**at, PaginationConfig={"PageSize": size})
        rows = [row["VersionId"] for page in pages for row in page.get("Versions", []) + page.get("DeleteMarkers", [])]
        assert sorted(rows) == sorted(row[2] for row in everything), size
    rolled = s3.list_object_versions(**at, Delimiter="/")
    assert [row["Prefix"] for row in rolled["CommonPrefixes"]] == ["b/"] and len(rolled["Versions"]) == 6
    page = s3.list_object_versions(**at, KeyMarker="a", MaxKeys=2)
    assert page["IsTruncated"] and page["NextKeyMarker"] == "b/1" and page["NextVersionIdMarker"]
    refused("InvalidArgument", s3.list_object_versions, **at, VersionIdMarker="null")


def listing_among_delete_markers():
    """More of them than a listing passes without a note: what lives is shown each time, and so is what comes back."""
    at = bucket("deleted")
    enabled(at)
    names = [f"d/{number:04}" for number in range(1500)]
    for start in (0, 750):
        answer = s3.delete_objects(**at, Delete={"Objects": [{"Key": name} for name in names[start : start + 750]]})
        assert all(row["DeleteMarker"] for row in answer["Deleted"])
    living = ["a", "d/0749x", "z"]
    for name in living:
        put(at, name)

    def listed(**how):
        answer = s3.list_objects_v2(**at, **how)
        prefixes = [row["Prefix"] for row in answer.get("CommonPrefixes", [])]
        return [row["Key"] for row in answer.get("Contents", [])] + prefixes, answer["IsTruncated"]

    for _ in range(3):
        assert listed() == (living, False)
        assert listed(MaxKeys=2) == (living[:2], True)
        assert listed(Delimiter="/") == (["a", "z", "d/"], False)
        assert listed(StartAfter="d/0100", Prefix="d/") == (["d/0749x"], False)
    put(at, "d/0500")
    assert listed() == (sorted([*living, "d/0500"]), False)
    s3.delete_object(**at, Key="d/0500")
    assert listed() == (living, False)
    marker = s3.list_object_versions(**at, Prefix="d/0500")["DeleteMarkers"][0]
    s3.delete_object(**at, Key="d/0500", VersionId=marker["VersionId"])
    assert listed() == (sorted([*living, "d/0500"]), False), "what was under the marker is back"
    assert len(s3.list_object_versions(**at)["DeleteMarkers"]) >= 990


def multipart_and_modes():
    at = bucket("version-modes")
    enabled(at)
    key = bytes(range(32))
    customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}
    plain = put(at, "m", b"sse-s3")["VersionId"]
    kms = put(at, "m", b"sse-kms", ServerSideEncryption="aws:kms")["VersionId"]
    sealed = put(at, "m", b"sse-c", Tagging="mode=c", **customer)["VersionId"]
    upload = s3.create_multipart_upload(**at, Key="m", Tagging="mode=parts", ACL="bucket-owner-full-control")["UploadId"]
    parts = []
    for number, body in [(1, b"p" * (5 << 20)), (2, b"q")]:
        part = s3.upload_part(**at, Key="m", UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    whole = s3.complete_multipart_upload(**at, Key="m", UploadId=upload, MultipartUpload={"Parts": parts})["VersionId"]
    assert [row[2] for row in versions(at)] == [whole, sealed, kms, plain]
    assert read(at, "m", VersionId=plain) == b"sse-s3" and read(at, "m", VersionId=kms) == b"sse-kms"
    assert read(at, "m", VersionId=sealed, **customer) == b"sse-c"
    assert read(at, "m")[-2:] == b"pq" and s3.head_object(**at, Key="m", PartNumber=2)["PartsCount"] == 2
    # Tags of an object that nobody here can read.
    assert s3.get_object_tagging(**at, Key="m", VersionId=sealed)["TagSet"] == [{"Key": "mode", "Value": "c"}]
    assert s3.get_object_tagging(**at, Key="m")["TagSet"] == [{"Key": "mode", "Value": "parts"}]
    s3.copy_object(**at, Key="m", CopySource={**at, "Key": "m", "VersionId": kms}, ServerSideEncryption="AES256")
    assert read(at, "m") == b"sse-kms" and s3.head_object(**at, Key="m")["ServerSideEncryption"] == "AES256"
    attributes = s3.get_object_attributes(**at, Key="m", VersionId=whole, ObjectAttributes=["ObjectSize", "ObjectParts"])
    assert attributes["VersionId"] == whole and attributes["ObjectParts"]["TotalPartsCount"] == 2
    arn = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    s3.update_object_encryption(**at, Key="m", VersionId=plain, ObjectEncryption={"SSEKMS": {"KMSKeyArn": arn}})
    found = s3.get_object(**at, Key="m", VersionId=plain)
    assert found["SSEKMSKeyId"] == arn and found["Body"].read() == b"sse-s3" and found["VersionId"] == plain
    s3.delete_object(**at, Key="m", VersionId=whole)
    refused("NoSuchVersion", s3.get_object, **at, Key="m", VersionId=whole)


def tags():
    at = bucket("tagged")
    put(at, "k", Tagging="a=1&b%20c=%C3%BC")
    answer = s3.get_object(**at, Key="k")
    assert answer["TagCount"] == 2
    assert s3.get_object_tagging(**at, Key="k")["TagSet"] == [{"Key": "a", "Value": "1"}, {"Key": "b c", "Value": "ü"}]
    new = [{"Key": "n", "Value": "2"}]
    modified = s3.head_object(**at, Key="k")["LastModified"]
    s3.put_object_tagging(**at, Key="k", Tagging={"TagSet": new})
    assert s3.get_object_tagging(**at, Key="k")["TagSet"] == new
    assert s3.head_object(**at, Key="k")["LastModified"] == modified
    s3.copy_object(**at, Key="copied", CopySource={**at, "Key": "k"})
    assert s3.get_object_tagging(**at, Key="copied")["TagSet"] == new
    s3.copy_object(**at, Key="replaced", CopySource={**at, "Key": "k"}, TaggingDirective="REPLACE", Tagging="r=1")
    assert s3.get_object_tagging(**at, Key="replaced")["TagSet"] == [{"Key": "r", "Value": "1"}]
    s3.delete_object_tagging(**at, Key="k")
    assert s3.get_object_tagging(**at, Key="k")["TagSet"] == []
    many = [{"Key": str(number), "Value": ""} for number in range(11)]
    refused("BadRequest", s3.put_object_tagging, 400, **at, Key="k", Tagging={"TagSet": many})
    refused("InvalidTag", s3.put_object_tagging, 400, **at, Key="k", Tagging={"TagSet": [{"Key": "k" * 129, "Value": ""}]})
    refused("NoSuchKey", s3.get_object_tagging, 404, **at, Key="none")
    refused("NoSuchTagSet", s3.get_bucket_tagging, 404, **at)
    s3.put_bucket_tagging(**at, Tagging={"TagSet": many})
    assert s3.get_bucket_tagging(**at)["TagSet"] == many
    s3.delete_bucket_tagging(**at)
    refused("NoSuchTagSet", s3.get_bucket_tagging, **at)


def object_lock():
    at = bucket("locked", ObjectLockEnabledForBucket=True)
    assert s3.get_bucket_versioning(**at)["Status"] == "Enabled"
    refused("InvalidBucketState", s3.put_bucket_versioning, 409, **at, VersioningConfiguration={"Status": "Suspended"})
    assert s3.get_object_lock_configuration(**at)["ObjectLockConfiguration"] == {"ObjectLockEnabled": "Enabled"}
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
    later = until + datetime.timedelta(days=1)
    version = put(at, "k", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)["VersionId"]
    head = s3.head_object(**at, Key="k")
    assert head["ObjectLockMode"] == "GOVERNANCE" and abs((head["ObjectLockRetainUntilDate"] - until).total_seconds()) < 1
    refused("AccessDenied", s3.delete_object, 403, **at, Key="k", VersionId=version)
    answer = s3.delete_objects(**at, Delete={"Objects": [{"Key": "k", "VersionId": version}]})
    assert answer["Errors"][0]["Code"] == "AccessDenied"
    assert s3.delete_object(**at, Key="k")["DeleteMarker"], "a marker hides, and deletes nothing"
    put(at, "k", b"over")
    retention = lambda mode, date: {"Mode": mode, "RetainUntilDate": date}
    change = lambda new, **more: s3.put_object_retention(**at, Key="k", VersionId=version, Retention=new, **more)
    refused("AccessDenied", change, 403, new=retention("GOVERNANCE", until - datetime.timedelta(hours=1)))
    refused("AccessDenied", change, 403, new=retention("COMPLIANCE", later))
    change(new=retention("GOVERNANCE", later))
    change(new=retention("COMPLIANCE", later), BypassGovernanceRetention=True)
    refused("AccessDenied", change, 403, new=retention("COMPLIANCE", until), BypassGovernanceRetention=True)
    refused("AccessDenied", s3.delete_object, 403, **at, Key="k", VersionId=version, BypassGovernanceRetention=True)
    assert s3.get_object_retention(**at, Key="k", VersionId=version)["Retention"]["Mode"] == "COMPLIANCE"
    loose = put(at, "g", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)["VersionId"]
    s3.delete_object(**at, Key="g", VersionId=loose, BypassGovernanceRetention=True)
    held = put(at, "h", ObjectLockLegalHoldStatus="ON")["VersionId"]
    assert s3.get_object_legal_hold(**at, Key="h")["LegalHold"]["Status"] == "ON"
    refused("AccessDenied", s3.delete_object, 403, **at, Key="h", VersionId=held, BypassGovernanceRetention=True)
    s3.put_object_legal_hold(**at, Key="h", LegalHold={"Status": "OFF"})
    s3.delete_object(**at, Key="h", VersionId=held)
    refused("InvalidArgument", put, 400, at=at, key="p", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until - datetime.timedelta(days=3))
    refused("NoSuchObjectLockConfiguration", s3.get_object_retention, 404, **at, Key="k")
    # A hold until an event, and what follows it.
    event = put(at, "e")["VersionId"]
    hold = {"Mode": "COMPLIANCE", "EventHold": "ON", "EventHoldDuration": {"Days": 2}}
    s3.put_object_retention(**at, Key="e", Retention=hold)
    refused("AccessDenied", s3.delete_object, 403, **at, Key="e", VersionId=event, BypassGovernanceRetention=True)
    s3.put_object_retention(**at, Key="e", Retention={"EventHold": "OFF"})
    after = s3.get_object_retention(**at, Key="e")["Retention"]
    assert after["Mode"] == "COMPLIANCE" and after["RetainUntilDate"] > later - datetime.timedelta(hours=1), after
    by_header = put(at, "eh", ObjectLockMode="GOVERNANCE", ObjectLockEventHold="ON", ObjectLockEventHoldDurationYears=1)["VersionId"]
    head = s3.head_object(**at, Key="eh")
    assert (head["ObjectLockEventHold"], head["ObjectLockEventHoldDurationYears"]) == ("ON", 1), head
    refused("AccessDenied", s3.delete_object, 403, **at, Key="eh", VersionId=by_header)
    s3.delete_object(**at, Key="eh", VersionId=by_header, BypassGovernanceRetention=True)
    # Defaults.
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}}
    s3.put_object_lock_configuration(**at, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule})
    put(at, "d")
    assert s3.head_object(**at, Key="d")["ObjectLockMode"] == "GOVERNANCE"
    upload = s3.create_multipart_upload(**at, Key="mpu")["UploadId"]
    part = s3.upload_part(**at, Key="mpu", UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    whole = s3.complete_multipart_upload(**at, Key="mpu", UploadId=upload, MultipartUpload=parts)["VersionId"]
    refused("AccessDenied", s3.delete_object, 403, **at, Key="mpu", VersionId=whole)
    plain = bucket("unlocked")
    refused("ObjectLockConfigurationNotFoundError", s3.get_object_lock_configuration, 404, **plain)
    refused("InvalidRequest", put, 400, at=plain, key="k", ObjectLockLegalHoldStatus="ON")
    refused("InvalidRequest", s3.get_object_retention, 400, **plain, Key="k")
    lock = {"ObjectLockEnabled": "Enabled"}
    refused("InvalidBucketState", s3.put_object_lock_configuration, 409, **plain, ObjectLockConfiguration=lock)
    enabled(plain)
    s3.put_object_lock_configuration(**plain, ObjectLockConfiguration=lock)
    bad = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 0}}}
    refused("InvalidArgument", s3.put_object_lock_configuration, 400, **at, ObjectLockConfiguration=bad)


def policy_for(at, actions, effect="Allow", principal="*", suffix="/*", **condition):
    statement = {"Effect": effect, "Principal": principal, "Action": actions, "Resource": f"arn:aws:s3:::{at['Bucket']}{suffix}"}
    if condition:
        statement["Condition"] = {name: value for name, value in condition.items()}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def policies():
    at = bucket("policed")
    put(at, "k", b"open", Tagging="public=yes")
    put(at, "closed", b"closed")
    refused("NoSuchBucketPolicy", s3.get_bucket_policy, 404, **at)
    refused("NoSuchBucketPolicy", s3.get_bucket_policy_status, 404, **at)
    block = s3.get_public_access_block(**at)["PublicAccessBlockConfiguration"]
    assert all(block.values()) and len(block) == 4
    public = policy_for(at, "s3:GetObject")
    refused("AccessDenied", s3.put_bucket_policy, 403, **at, Policy=public)
    s3.delete_public_access_block(**at)
    refused("NoSuchPublicAccessBlockConfiguration", s3.get_public_access_block, 404, **at)
    refused("AccessDenied", anonymous.get_object, 403, **at, Key="k")
    s3.put_bucket_policy(**at, Policy=public)
    assert s3.get_bucket_policy(**at)["Policy"] == public
    assert s3.get_bucket_policy_status(**at)["PolicyStatus"]["IsPublic"]
    assert anonymous.get_object(**at, Key="k")["Body"].read() == b"open"
    refused("AccessDenied", anonymous.list_objects_v2, 403, **at)
    refused("AccessDenied", anonymous.get_object, 403, **at, Key="none")
    refused("AccessDenied", anonymous.get_object, 403, **at, Key="k", VersionId="0" * 32)
    refused("AccessDenied", anonymous.put_object, 403, **at, Key="new", Body=b"x")
    s3.put_public_access_block(**at, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True})
    refused("AccessDenied", anonymous.get_object, 403, **at, Key="k")
    s3.put_public_access_block(**at, PublicAccessBlockConfiguration={})
    tagged = policy_for(at, "s3:GetObject", StringEquals={"s3:ExistingObjectTag/public": "yes"})
    s3.put_bucket_policy(**at, Policy=tagged)
    assert anonymous.get_object(**at, Key="k")["Body"].read() == b"open"
    refused("AccessDenied", anonymous.get_object, 403, **at, Key="closed")
    s3.put_bucket_policy(**at, Policy=policy_for(at, "s3:ListBucket", suffix="", StringLike={"s3:prefix": "k*"}))
    assert anonymous.list_objects_v2(**at, Prefix="k")["KeyCount"] == 1
    refused("AccessDenied", anonymous.list_objects_v2, 403, **at)
    # An explicit deny binds the owner, too.
    s3.put_bucket_policy(**at, Policy=policy_for(at, "s3:PutObject", "Deny", StringNotEquals={"s3:x-amz-server-side-encryption": "aws:kms"}))
    answer = refused("AccessDenied", put, 403, at=at, key="plain")
    assert "with an explicit deny in a resource-based policy" in answer["Error"]["Message"], answer
    put(at, "kms", ServerSideEncryption="aws:kms")
    s3.put_bucket_policy(**at, Policy=policy_for(at, ["s3:DeleteObject", "s3:BypassGovernanceRetention"], "Deny"))
    refused("AccessDenied", s3.delete_object, 403, **at, Key="k")
    answer = s3.delete_objects(**at, Delete={"Objects": [{"Key": "k"}]})
    assert answer["Errors"][0]["Code"] == "AccessDenied"
    s3.put_bucket_policy(**at, Policy=policy_for(at, "s3:*", "Deny", suffix="", Bool={"aws:SecureTransport": "false"}))
    refused("AccessDenied", s3.list_objects_v2, 403, **at)
    s3.delete_bucket_policy(**at)
    s3.put_bucket_tagging(**at, Tagging={"TagSet": [{"Key": "stage", "Value": "open"}]})
    s3.put_bucket_policy(**at, Policy=policy_for(at, "s3:GetObject", StringEquals={"aws:ResourceTag/stage": "open"}))
    refused("AccessDenied", anonymous.get_object, 403, **at, Key="k")
    s3.put_bucket_abac(**at, AbacStatus={"Status": "Enabled"})
    assert anonymous.get_object(**at, Key="k")["Body"].read() == b"open"
    s3.delete_bucket_policy(**at)
    s3.list_objects_v2(**at)
    for bad in ["{", '{"Version":"2012-10-17","Statement":[]}', policy_for({"Bucket": "other"}, "s3:GetObject"), policy_for(at, "s3:GetObject", suffix="")]:
        refused("MalformedPolicy", s3.put_bucket_policy, 400, **at, Policy=bad)
    refused("AccessDenied", s3.list_objects_v2, 403, **at, ExpectedBucketOwner="000000000000")


def acls():
    at = bucket("acl")
    assert s3.get_bucket_ownership_controls(**at)["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    refused("AccessControlListNotSupported", s3.put_bucket_acl, 400, **at, ACL="public-read")
    refused("AccessControlListNotSupported", put, 400, at=at, key="k", ACL="public-read")
    put(at, "k", b"acl", ACL="bucket-owner-full-control")
    refused("AccessControlListNotSupported", s3.put_object_acl, 400, **at, Key="k", ACL="private")
    own = s3.get_object_acl(**at, Key="k")
    s3.put_object_acl(**at, Key="k", AccessControlPolicy={"Owner": own["Owner"], "Grants": own["Grants"]})
    s3.put_bucket_ownership_controls(**at, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    refused("AccessDenied", s3.put_bucket_acl, 403, **at, ACL="public-read")
    s3.delete_public_access_block(**at)
    s3.put_bucket_acl(**at, ACL="public-read")
    grants = s3.get_bucket_acl(**at)["Grants"]
    assert grants[1]["Grantee"]["URI"].endswith("AllUsers") and grants[1]["Permission"] == "READ"
    assert anonymous.list_objects_v2(**at)["KeyCount"] == 1
    refused("AccessDenied", anonymous.get_object, 403, **at, Key="k")
    refused("NoSuchKey", anonymous.get_object, 404, **at, Key="none")
    s3.put_object_acl(**at, Key="k", ACL="public-read")
    assert anonymous.get_object(**at, Key="k")["Body"].read() == b"acl"
    refused("AccessDenied", anonymous.put_object, 403, **at, Key="k", Body=b"x")
    s3.put_bucket_acl(**at, ACL="public-read-write")
    anonymous.put_object(**at, Key="written", Body=b"by nobody")
    # It is nobody's, and not the bucket owner's, who may delete it all the same.
    assert anonymous.get_object(**at, Key="written")["Body"].read() == b"by nobody"
    refused("AccessDenied", s3.get_object, 403, **at, Key="written")
    s3.delete_object(**at, Key="written")
    s3.put_public_access_block(**at, PublicAccessBlockConfiguration={"IgnorePublicAcls": True})
    refused("AccessDenied", anonymous.get_object, 403, **at, Key="k")
    s3.put_public_access_block(**at, PublicAccessBlockConfiguration={})
    acl = s3.get_object_acl(**at, Key="k")
    owner = acl["Owner"]
    everyone = {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"}
    grants = [{"Grantee": {"Type": "CanonicalUser", "ID": owner["ID"]}, "Permission": "FULL_CONTROL"}, {"Grantee": everyone, "Permission": "READ"}]
    s3.put_object_acl(**at, Key="k", AccessControlPolicy={"Owner": owner, "Grants": grants})
    refused("AccessDenied", anonymous.get_object, 403, **at, Key="k")
    assert s3.get_object_acl(**at, Key="k")["Grants"][1]["Grantee"]["URI"] == everyone["URI"]
    put(at, "granted", GrantRead='uri="http://acs.amazonaws.com/groups/global/AllUsers"')
    assert anonymous.get_object(**at, Key="granted")["Body"].read() == b"x"
    stranger = [{"Grantee": {"Type": "CanonicalUser", "ID": "nobody"}, "Permission": "READ"}]
    refused("InvalidArgument", s3.put_object_acl, 400, **at, Key="k", AccessControlPolicy={"Owner": owner, "Grants": stranger})
    refused("InvalidBucketAclWithObjectOwnership", s3.put_bucket_ownership_controls, 400, **at, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
    s3.put_bucket_acl(**at, ACL="private")
    s3.delete_bucket_ownership_controls(**at)
    refused("OwnershipControlsNotFoundError", s3.get_bucket_ownership_controls, 404, **at)


def asked(method, path, headers):
    request = urllib.request.Request(f"{endpoint}/{path}", method=method, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers)


def cors():
    at = bucket("cross")
    put(at, "k")
    refused("NoSuchCORSConfiguration", s3.get_bucket_cors, 404, **at)
    preflight = {"Origin": "https://a.example.com", "Access-Control-Request-Method": "PUT"}
    assert asked("OPTIONS", "cross/k", preflight)[0] == 403
    rules = [
        {"AllowedOrigins": ["https://*.example.com"], "AllowedMethods": ["PUT", "GET"], "AllowedHeaders": ["x-*"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 60},
        {"AllowedOrigins": ["*"], "AllowedMethods": ["HEAD"]},
    ]
    s3.put_bucket_cors(**at, CORSConfiguration={"CORSRules": rules})
    assert s3.get_bucket_cors(**at)["CORSRules"] == rules
    status, headers = asked("OPTIONS", "cross/k", {**preflight, "Access-Control-Request-Headers": "X-One, x-two"})
    assert status == 200 and headers["access-control-allow-origin"] == "https://a.example.com", headers
    assert headers["access-control-allow-methods"] == "PUT, GET" and headers["access-control-max-age"] == "60"
    assert headers["access-control-allow-headers"] == "x-one, x-two"
    assert asked("OPTIONS", "cross/k", {**preflight, "Access-Control-Request-Headers": "content-type"})[0] == 403
    assert asked("OPTIONS", "cross/k", {**preflight, "Origin": "https://evil.org"})[0] == 403
    assert asked("OPTIONS", "cross/k", {"Origin": "https://a.example.com"})[0] == 400
    # A simple request: also its refusal tells the page that it may see it.
    status, headers = asked("GET", "cross/k", {"Origin": "https://b.example.com"})
    assert status == 403 and headers["access-control-allow-origin"] == "https://b.example.com" and headers["access-control-expose-headers"] == "ETag"
    assert asked("HEAD", "cross/k", {"Origin": "null"})[1]["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in asked("GET", "cross/k", {"Origin": "https://evil.org"})[1]
    s3.delete_bucket_cors(**at)
    refused("NoSuchCORSConfiguration", s3.get_bucket_cors, **at)


def settings():
    at = bucket("set")
    assert s3.get_bucket_request_payment(**at)["Payer"] == "BucketOwner"
    s3.put_bucket_request_payment(**at, RequestPaymentConfiguration={"Payer": "Requester"})
    assert s3.get_bucket_request_payment(**at)["Payer"] == "Requester"
    assert "Status" not in s3.get_bucket_accelerate_configuration(**at)
    s3.put_bucket_accelerate_configuration(**at, AccelerateConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_accelerate_configuration(**at)["Status"] == "Enabled"
    s3.put_bucket_abac(**at, AbacStatus={"Status": "Enabled"})
    assert s3.get_bucket_abac(**at)["AbacStatus"]["Status"] == "Enabled"
    refused("NoSuchLifecycleConfiguration", s3.get_bucket_lifecycle_configuration, 404, **at)
    rules = [
        {"ID": "tmp", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 1}},
        {"ID": "old", "Status": "Enabled", "Filter": {"And": {"Prefix": "old/", "Tags": [{"Key": "k", "Value": "v"}]}}, "NoncurrentVersionExpiration": {"NoncurrentDays": 2, "NewerNoncurrentVersions": 3}},
        {"ID": "parts", "Status": "Enabled", "Filter": {}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3}},
    ]
    s3.put_bucket_lifecycle_configuration(**at, LifecycleConfiguration={"Rules": rules})
    assert s3.get_bucket_lifecycle_configuration(**at)["Rules"] == rules
    answer = put(at, "tmp/x")
    assert 'rule-id="tmp"' in answer["Expiration"] and 'rule-id="tmp"' in s3.head_object(**at, Key="tmp/x")["Expiration"]
    assert "Expiration" not in put(at, "kept")
    upload = s3.create_multipart_upload(**at, Key="m")
    assert upload["AbortRuleId"] == "parts"
    assert s3.list_parts(**at, Key="m", UploadId=upload["UploadId"])["AbortDate"] == upload["AbortDate"]
    bad = [{"ID": "a", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 0}}]
    refused("InvalidArgument", s3.put_bucket_lifecycle_configuration, 400, **at, LifecycleConfiguration={"Rules": bad})
    s3.delete_bucket_lifecycle(**at)
    refused("NoSuchLifecycleConfiguration", s3.get_bucket_lifecycle_configuration, **at)
    tagged = bucket("set-at-once", CreateBucketConfiguration={"Tags": [{"Key": "team", "Value": "a"}]}, ObjectOwnership="ObjectWriter")
    assert s3.get_bucket_tagging(**tagged)["TagSet"] == [{"Key": "team", "Value": "a"}]
    assert s3.get_bucket_ownership_controls(**tagged)["OwnershipControls"]["Rules"][0]["ObjectOwnership"] == "ObjectWriter"


def archives():
    at = bucket("cold")
    put(at, "k", b"cold", StorageClass="GLACIER")
    refused("InvalidObjectState", s3.get_object, 403, **at, Key="k")
    assert s3.head_object(**at, Key="k")["StorageClass"] == "GLACIER"
    refused("InvalidObjectState", s3.copy_object, 403, **at, Key="c", CopySource={**at, "Key": "k"})
    answer = s3.restore_object(**at, Key="k", RestoreRequest={"Days": 1})
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert read(at, "k") == b"cold" and 'ongoing-request="false"' in s3.head_object(**at, Key="k")["Restore"]
    assert s3.restore_object(**at, Key="k", RestoreRequest={"Days": 2})["ResponseMetadata"]["HTTPStatusCode"] == 200
    put(at, "warm")
    refused("ObjectAlreadyInActiveTierError", s3.restore_object, 403, **at, Key="warm", RestoreRequest={"Days": 1})


def conditional_deletes():
    at = bucket("conditional")
    etag = put(at, "k", b"123")["ETag"]
    refused("PreconditionFailed", s3.delete_object, 412, **at, Key="k", IfMatch='"other"')
    refused("PreconditionFailed", s3.delete_object, 412, **at, Key="k", IfMatchSize=4)
    refused("PreconditionFailed", s3.delete_object, 412, **at, Key="k", IfMatchLastModifiedTime=datetime.datetime(2020, 1, 1))
    answer = s3.delete_objects(**at, Delete={"Objects": [{"Key": "k", "ETag": '"other"'}, {"Key": "k", "Size": 9}]})
    assert [error["Code"] for error in answer["Errors"]] == ["PreconditionFailed"] * 2
    modified = s3.head_object(**at, Key="k")["LastModified"]
    s3.delete_object(**at, Key="k", IfMatch=etag, IfMatchSize=3, IfMatchLastModifiedTime=modified)
    refused("NoSuchKey", s3.delete_object, 404, **at, Key="k", IfMatch=etag)
    s3.delete_object(**at, Key="k", IfMatchSize=3)
    enabled(at)
    etag = put(at, "v")["ETag"]
    s3.delete_object(**at, Key="v", IfMatch=etag)
    refused("NoSuchKey", s3.delete_object, 404, **at, Key="v", IfMatch="*")


def form(fields, content=b"content", filename="photo.jpg", name="file", tail=b""):
    """Posts a form as a browser does, and answers status, headers and body."""
    boundary = "b0undary"
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode() for field, value in fields.items()]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: image/jpeg\r\n\r\n'
    body = b"".join(parts) + head.encode() + content + b"\r\n" + tail + f"--{boundary}--\r\n".encode()
    request = urllib.request.Request(f"{endpoint}/forms", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    try:
        with urllib.request.build_opener(NoRedirect).open(request) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()


def forms():
    at = bucket("forms")

    def signed(key, conditions=(), **fields):
        conditions = [{name: value} for name, value in fields.items()] + list(conditions)
        return signer.generate_presigned_post("forms", key, Fields=dict(fields), Conditions=conditions)["fields"]

    status, headers, body = form(signed("up/${filename}"))
    assert status == 204 and headers["location"].endswith("/forms/up/photo.jpg"), (status, headers, body)
    assert read(at, "up/photo.jpg") == b"content"
    status, headers, body = form(signed("k", success_action_status="201", **{"Content-Type": "text/x", "x-amz-meta-a": "b", "x-amz-server-side-encryption": "aws:kms"}))
    assert status == 201 and "<PostResponse><Location>" in body and "<Key>k</Key>" in body, body
    head = s3.head_object(**at, Key="k")
    assert (head["ContentType"], head["Metadata"], head["ServerSideEncryption"]) == ("text/x", {"a": "b"}, "aws:kms")
    tagging = "<Tagging><TagSet><Tag><Key>a</Key><Value>b c</Value></Tag></TagSet></Tagging>"
    assert form(signed("tagged", tagging=tagging))[0] == 204
    assert s3.get_object_tagging(**at, Key="tagged")["TagSet"] == [{"Key": "a", "Value": "b c"}]
    status, headers, _ = form(signed("k", success_action_redirect="https://example.com/done?x=1"))
    assert status == 303 and headers["location"].startswith("https://example.com/done?x=1&bucket=forms&key=k&etag="), headers
    # A button behind the file, and a large file with a checksum.
    button = b'--b0undary\r\nContent-Disposition: form-data; name="submit"\r\n\r\nUpload\r\n'
    assert form(signed("k"), b"buttoned", tail=button)[0] == 204 and read(at, "k") == b"buttoned"
    large = bytes(range(256)) * 20000
    assert form(signed("large"), large)[0] == 204 and read(at, "large") == large
    crc = {"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-crc32": "AAAAAA=="}
    status, _, body = form(signed("k", **crc))
    assert status == 400 and "BadDigest" in body, body
    limits = [["content-length-range", 3, 10]]
    assert form(signed("k", limits), b"123")[0] == 204
    for content, code in [(b"12", "EntityTooSmall"), (b"12345678901", "EntityTooLarge")]:
        status, _, body = form(signed("k", limits), content)
        assert status == 400 and f"<Code>{code}</Code>" in body, body
    assert read(at, "k") == b"123"
    refusals = [
        ({**signed("k"), "key": "other"}, 403, "Policy Condition failed"),
        ({**signed("k"), "acl": "private"}, 403, "Extra input fields: acl"),
        ({**signed("k"), "x-amz-signature": "0" * 64}, 403, "SignatureDoesNotMatch"),
        ({**signed("k"), "policy": "%"}, 403, "SignatureDoesNotMatch"),
        ({name: value for name, value in signed("k").items() if name != "x-amz-signature"}, 400, "X-Amz-Signature"),
        ({"acl": "private"}, 400, "'key'"),
        ({"key": "anonymous"}, 403, "AccessDenied"),
    ]
    for fields, expected, text in refusals:
        status, _, body = form(fields)
        assert status == expected and text in body, (status, body)
    assert "exactly one file" in form(signed("k"), name="upload")[2]
    s3.delete_public_access_block(**at)
    s3.put_bucket_policy(**at, Policy=policy_for(at, "s3:PutObject", suffix="/public/*"))
    assert form({"key": "public/x"})[0] == 204 and form({"key": "x"})[0] == 403


def renames():
    at = bucket("renamed")
    customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": bytes(range(32))}
    etag = put(at, "a", b"one", Metadata={"m": "1"}, Tagging="t=1")["ETag"]
    put(at, "kms", b"kms", ServerSideEncryption="aws:kms")
    put(at, "sealed", b"sealed", **customer)
    upload = s3.create_multipart_upload(**at, Key="parts")["UploadId"]
    part = s3.upload_part(**at, Key="parts", UploadId=upload, PartNumber=1, Body=b"part")
    s3.complete_multipart_upload(**at, Key="parts", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    rename = lambda source, to, **more: s3.rename_object(**at, RenameSource=source, Key=to, **more)
    rename("a", "dir/b c")
    assert s3.get_object(**at, Key="dir/b c")["Metadata"] == {"m": "1"} and read(at, "dir/b c") == b"one"
    assert s3.get_object_tagging(**at, Key="dir/b c")["TagSet"] == [{"Key": "t", "Value": "1"}]
    refused("NoSuchKey", s3.get_object, **at, Key="a")
    refused("NoSuchKey", rename, 404, source="a", to="x")
    for name in ["kms", "parts"]:
        rename(name, f"new/{name}")
    rename("sealed", "new/sealed")
    assert read(at, "new/kms") == b"kms" and read(at, "new/parts") == b"part" and read(at, "new/sealed", **customer) == b"sealed"
    refused("PreconditionFailed", rename, 412, source="new/kms", to="dir/b c", DestinationIfNoneMatch="*")
    refused("PreconditionFailed", rename, 412, source="new/kms", to="x", SourceIfMatch='"other"')
    rename("new/kms", "dir/b c", DestinationIfMatch=etag)
    assert read(at, "dir/b c") == b"kms"
    rename("new/parts", "again", ClientToken="token")
    rename("new/parts", "again", ClientToken="token")
    put(at, "new/parts", b"fresh")
    assert read(at, "again") == b"part" and read(at, "new/parts") == b"fresh"
    keys = [row["Key"] for row in s3.list_objects_v2(**at)["Contents"]]
    assert keys == ["again", "dir/b c", "new/parts", "new/sealed"], keys
    enabled(at)
    refused("NotImplemented", rename, 501, source="again", to="x")


def annotations():
    at = bucket("annotated")
    customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": bytes(range(32))}
    put(at, "k", ServerSideEncryption="aws:kms")
    annotate = lambda name, text, key="k", **more: s3.put_object_annotation(**at, Key=key, AnnotationName=name, AnnotationPayload=text, **more)
    note = lambda name, key="k", **more: s3.get_object_annotation(**at, Key=key, AnnotationName=name, **more)
    modified = s3.head_object(**at, Key="k")["LastModified"]
    answer = annotate("ü/labels", "{\"cat\": 1}".encode())
    assert answer["ServerSideEncryption"] == "aws:kms" and answer["ETag"]
    annotate("b", b"x" * (1 << 20))
    found = note("ü/labels")
    assert found["AnnotationPayload"].read() == b'{"cat": 1}' and found["ContentLength"] == 10 and found["ServerSideEncryption"] == "aws:kms"
    annotate("b", b"again", ObjectIfMatch=s3.head_object(**at, Key="k")["ETag"])
    refused("PreconditionFailed", annotate, 412, name="b", text=b"x", ObjectIfMatch='"other"')
    listed = s3.list_object_annotations(**at, Key="k")
    assert [(row["AnnotationName"], row["Size"]) for row in listed["Annotations"]] == [("b", 5), ("ü/labels", 10)], listed
    first = s3.list_object_annotations(**at, Key="k", MaxAnnotationResults=1)
    rest = s3.list_object_annotations(**at, Key="k", ContinuationToken=first["NextContinuationToken"])
    assert [row["AnnotationName"] for row in rest["Annotations"]] == ["ü/labels"] and first["AnnotationCount"] == 1
    assert len(s3.list_object_annotations(**at, Key="k", AnnotationPrefix="ü")["Annotations"]) == 1
    assert s3.head_object(**at, Key="k")["LastModified"] == modified
    s3.copy_object(**at, Key="copy", CopySource={**at, "Key": "k"})
    assert note("b", "copy")["AnnotationPayload"].read() == b"again"
    s3.copy_object(**at, Key="bare", CopySource={**at, "Key": "k"}, AnnotationDirective="EXCLUDE")
    refused("InvalidRequest", s3.copy_object, 400, **at, Key="to-sealed", CopySource={**at, "Key": "k"}, **customer)
    refused("NoSuchKey", s3.get_object, 404, **at, Key="to-sealed")
    s3.put_bucket_policy(**at, Policy=policy_for(at, "s3:GetObjectAnnotation", "Deny"))
    refused("AccessDenied", s3.copy_object, 403, **at, Key="taken", CopySource={**at, "Key": "k"})
    s3.delete_bucket_policy(**at)
    assert s3.list_object_annotations(**at, Key="bare").get("Annotations", []) == []
    s3.delete_object_annotation(**at, Key="k", AnnotationName="b")
    refused("NoSuchAnnotation", note, 404, name="b")
    refused("UnsupportedMediaType", annotate, 415, name="binary", text=b"\xff")
    refused("AnnotationNameTooLong", annotate, 400, name="n" * 513, text=b"x")
    refused("NoSuchKey", annotate, 404, name="n", text=b"x", key="none")
    put(at, "sealed", **customer)
    refused("InvalidRequest", annotate, 400, name="n", text=b"x", key="sealed")
    # Another object of the name has none of them; nor has the service a bucket more.
    put(at, "k")
    assert s3.list_object_annotations(**at, Key="k").get("Annotations", []) == []
    assert not [row for row in s3.list_buckets()["Buckets"] if row["Name"].endswith("sealgate")]
    enabled(at)
    old = put(at, "v")["VersionId"]
    annotate("n", b"old", "v")
    put(at, "v")
    assert note("n", "v", VersionId=old)["AnnotationPayload"].read() == b"old"
    refused("NoSuchAnnotation", note, name="n", key="v")
    for _, key, version, _ in versions(at):
        s3.delete_object(**at, Key=key, VersionId=version)
    s3.delete_bucket(**at)


for case in [versioning, listing_of_versions, listing_among_delete_markers, multipart_and_modes, tags, object_lock, policies, acls, cors, settings, archives, conditional_deletes, forms, renames, annotations]:
    case()
    print(case.__name__)
