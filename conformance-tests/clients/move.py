"""What is stored in every mode, before a move; and that it reads back, after it.

MOVE=fill stores, MOVE=change changes some of it, MOVE=check compares with what STATE (a file) remembers, and goes on with the upload that
is under way.
"""

import base64
import hashlib
import json
import os
import random
import datetime

import boto3
import botocore
from botocore.config import Config

path = os.environ["STATE"]
config = Config(retries={"total_max_attempts": 5})
s3, kms, iam = (boto3.client(service, config=config) for service in ("s3", "kms", "iam"))
SSE_C = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}
chance = random.Random(7)


def content(length):
    return chance.randbytes(length)


def put(state, bucket, key, body, **extra):
    answer = s3.put_object(Bucket=bucket, Key=key, Body=body, **extra)
    remember(state, bucket, key, answer.get("VersionId"), body, "SSECustomerKey" in extra)
    return answer


def remember(state, bucket, key, version, body, customer_key=False):
    kept = [one for one in state["objects"] if not (one["bucket"] == bucket and one["key"] == key and one["version"] == version)]
    digest = hashlib.sha256(body).hexdigest()
    one = {"bucket": bucket, "key": key, "version": version, "sha256": digest, "customer_key": customer_key}
    state["objects"] = kept + [one]


def fill(state):
    s3.create_bucket(Bucket="plain")
    s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/moved", TargetKeyId=key)
    state["ciphertext"] = base64.b64encode(kms.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]).decode()
    for number in range(int(os.environ.get("SMALL", "150"))):
        put(state, "plain", f"small/{number:05}", content(number * 37))
    put(state, "plain", "large", content(9 << 20))
    put(state, "plain", "kms", content(5000), ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    put(state, "plain", "customer", content(70000), **SSE_C)
    put(state, "plain", "tagged", content(100))
    s3.put_object_tagging(Bucket="plain", Key="tagged", Tagging={"TagSet": [{"Key": "t", "Value": "1"}]})
    put(state, "plain", "overwritten", content(200))
    put(state, "plain", "overwritten", content(300))
    for _ in range(3):
        put(state, "locked", "versions", content(1234))
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
    put(state, "locked", "retained", content(10), ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)
    s3.delete_object(Bucket="locked", Key="versions")
    parts = [content(5 << 20), content(1000)]
    upload = s3.create_multipart_upload(Bucket="plain", Key="multipart")["UploadId"]
    answers = [
        s3.upload_part(Bucket="plain", Key="multipart", UploadId=upload, PartNumber=number, Body=part)
        for number, part in enumerate(parts, 1)
    ]
    named = [{"PartNumber": number, "ETag": answer["ETag"]} for number, answer in enumerate(answers, 1)]
    s3.complete_multipart_upload(Bucket="plain", Key="multipart", UploadId=upload, MultipartUpload={"Parts": named})
    remember(state, "plain", "multipart", None, b"".join(parts))
    upload = s3.create_multipart_upload(Bucket="plain", Key="under way")["UploadId"]
    part = content(5 << 20)
    etag = s3.upload_part(Bucket="plain", Key="under way", UploadId=upload, PartNumber=1, Body=part)["ETag"]
    state["upload"] = {"id": upload, "etag": etag, "part": base64.b64encode(part).decode()}
    iam.create_user(UserName="mover")
    made = iam.create_access_key(UserName="mover")["AccessKey"]
    state["access_key"] = [made["AccessKeyId"], made["SecretAccessKey"]]
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::plain/*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="mover", PolicyName="reads", PolicyDocument=policy)


def change(state):
    put(state, "plain", "small/00003", content(77))
    put(state, "plain", "new", content(3000))
    s3.delete_object(Bucket="plain", Key="small/00004")
    state["objects"] = [one for one in state["objects"] if one["key"] != "small/00004"]
    state["gone"] = "small/00004"
    s3.put_object_tagging(Bucket="plain", Key="tagged", Tagging={"TagSet": [{"Key": "t", "Value": "2"}]})
    state["tag"] = "2"


def check(state):
    for one in state["objects"]:
        extra = {"VersionId": one["version"]} if one["version"] else {}
        extra.update(SSE_C if one["customer_key"] else {})
        body = s3.get_object(Bucket=one["bucket"], Key=one["key"], **extra)["Body"].read()
        assert hashlib.sha256(body).hexdigest() == one["sha256"], one
    keys = [page["Key"] for pages in s3.get_paginator("list_objects_v2").paginate(Bucket="plain") for page in pages["Contents"]]
    assert sorted(keys) == sorted(one["key"] for one in state["objects"] if one["bucket"] == "plain"), keys
    listed = s3.list_object_versions(Bucket="locked")
    assert (len(listed["Versions"]), len(listed["DeleteMarkers"])) == (4, 1), listed
    tags = s3.get_object_tagging(Bucket="plain", Key="tagged")["TagSet"]
    assert tags == [{"Key": "t", "Value": state.get("tag", "1")}], tags
    retained = next(one for one in state["objects"] if one["key"] == "retained")
    try:
        s3.delete_object(Bucket="locked", Key="retained", VersionId=retained["version"])
        raise AssertionError("object lock is gone")
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied", error
    assert kms.decrypt(CiphertextBlob=base64.b64decode(state["ciphertext"]))["Plaintext"] == b"secret"
    assert kms.describe_key(KeyId="alias/moved")["KeyMetadata"]["Enabled"]
    access_key, secret = state["access_key"]
    as_user = boto3.client("s3", aws_access_key_id=access_key, aws_secret_access_key=secret, config=config)
    as_user.get_object(Bucket="plain", Key="tagged")
    try:
        as_user.list_objects_v2(Bucket="plain")
        raise AssertionError("the user may list")
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied", error
    if upload := state.pop("upload", None):
        last = content(10)
        place = {"Bucket": "plain", "Key": "under way", "UploadId": upload["id"]}
        etag = s3.upload_part(**place, PartNumber=2, Body=last)["ETag"]
        named = [{"PartNumber": 1, "ETag": upload["etag"]}, {"PartNumber": 2, "ETag": etag}]
        s3.complete_multipart_upload(**place, MultipartUpload={"Parts": named})
        remember(state, "plain", "under way", None, base64.b64decode(upload["part"]) + last)


state = {"objects": []}
if os.environ["MOVE"] != "fill":
    with open(path) as file:
        state = json.load(file)
{"fill": fill, "change": change, "check": check}[os.environ["MOVE"]](state)
with open(path, "w") as file:
    json.dump(state, file)
print(os.environ["MOVE"], len(state["objects"]))
