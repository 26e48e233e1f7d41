"""Lifecycle rules at work, on a gateway whose days have three seconds."""

import time

import boto3
from botocore.exceptions import ClientError

s3 = boto3.client("s3")
kms = boto3.client("kms")


def made(name, *rules, versioned=False):
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=name == "held")
    if versioned:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    rules = [{"ID": str(number), "Status": "Enabled", **rule} for number, rule in enumerate(rules)]
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
    return {"Bucket": name}


def put(at, key, body=b"x", **parameters):
    return s3.put_object(**at, Key=key, Body=body, **parameters)


def keys(at):
    return [row["Key"] for row in s3.list_objects_v2(**at).get("Contents", [])]


def rows(at, kind):
    return [(row["Key"], row["VersionId"]) for row in s3.list_object_versions(**at).get(kind, [])]


def until(what, seconds=40):
    end = time.time() + seconds
    while not what():
        assert time.time() < end, "it was not done in time"
        time.sleep(0.3)


day = {"Expiration": {"Days": 1}}
plain = made(
    "expiring",
    {"Filter": {"Prefix": "gone/"}, **day},
    {"Filter": {"Tag": {"Key": "keep", "Value": "no"}}, **day},
    {"Filter": {"ObjectSizeGreaterThan": 1000}, **day},
    {"Filter": {"And": {"Prefix": "both/", "Tags": [{"Key": "keep", "Value": "both"}]}}, **day},
    {"Filter": {"Prefix": "dated/"}, "Expiration": {"Date": "2020-01-01T00:00:00Z"}},
    {"Filter": {"Prefix": "off/"}, **day, "Status": "Disabled"},
    {"Filter": {"Prefix": "upload/"}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
)
customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": bytes(range(32))}
put(plain, "gone/a")
put(plain, "gone/sealed", **customer)
key = kms.create_key()["KeyMetadata"]["KeyId"]
put(plain, "gone/kms", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
kms.disable_key(KeyId=key)
put(plain, "tagged", Tagging="keep=no")
put(plain, "large", b"x" * 1001)
put(plain, "both/a", Tagging="keep=both")
put(plain, "dated/a")
kept = ["both/b", "kept", "off/a"]
put(plain, "both/b", Tagging="keep=other")
put(plain, "kept", Tagging="keep=yes")
put(plain, "off/a")
s3.create_multipart_upload(**plain, Key="upload/m")
s3.create_multipart_upload(**plain, Key="other/m")

versioned = made("keeping", {"Filter": {"Prefix": "n/"}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 1}}, {"Filter": {"Prefix": "c/"}, **day}, {"Filter": {"Prefix": "m/"}, "Expiration": {"ExpiredObjectDeleteMarker": True}}, versioned=True)
ids = [put(versioned, "n/k", str(number).encode())["VersionId"] for number in range(4)]
hidden = put(versioned, "c/k")["VersionId"]
lone = put(versioned, "m/k")["VersionId"]
s3.delete_object(**versioned, Key="m/k")
s3.delete_object(**versioned, Key="m/k", VersionId=lone)
put(versioned, "m/full")
s3.delete_object(**versioned, Key="m/full")

held = made("held", {"Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}})
locked = put(held, "k", ObjectLockLegalHoldStatus="ON")["VersionId"]
free = put(held, "k")["VersionId"]
top = put(held, "k")["VersionId"]

cold = made("cooling", {"Filter": {}, "Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]})
put(cold, "large", b"x" * (128 << 10))
put(cold, "small")

until(lambda: keys(plain) == kept)
until(lambda: [row["Key"] for row in s3.list_multipart_uploads(**plain).get("Uploads", [])] == ["other/m"])
until(lambda: [row for row in rows(versioned, "Versions") if row[0] == "n/k"] == [("n/k", ids[3]), ("n/k", ids[2])])
until(lambda: "c/k" in [row[0] for row in rows(versioned, "DeleteMarkers")])
assert ("c/k", hidden) in rows(versioned, "Versions"), "hidden, not deleted"
until(lambda: "m/k" not in [row[0] for row in rows(versioned, "DeleteMarkers")])
assert "m/full" in [row[0] for row in rows(versioned, "DeleteMarkers")]
until(lambda: rows(held, "Versions") == [("k", top), ("k", locked)])
until(lambda: s3.head_object(**cold, Key="large").get("StorageClass") == "GLACIER")
assert "StorageClass" not in s3.head_object(**cold, Key="small")
try:
    s3.get_object(**cold, Key="large")
    raise AssertionError("it is archived")
except ClientError as error:
    assert error.response["Error"]["Code"] == "InvalidObjectState"
print("lifecycle")
