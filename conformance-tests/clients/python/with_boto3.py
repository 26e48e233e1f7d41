"""boto3: objects in every mode of encryption, managed transfers, presigned requests and forms, pages and versions."""

import io
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from modes import BUCKET, CUSTOMER_KEY, KMS_KEY, LARGE, SMALL, run, same

s3 = boto3.client("s3")
IN_PARTS = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
DESCRIBED = {"Metadata": {"written-by": "boto3"}, "ContentType": "text/x-py"}
CUSTOMER = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": CUSTOMER_KEY}
SOURCE = {f"CopySource{name}": value for name, value in CUSTOMER.items()}
# What a write says, what a read says, what a copy says of its source.
ENCRYPTIONS = {
    "sse-s3": ({"ServerSideEncryption": "AES256"}, {}, {}),
    "sse-kms": ({"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KMS_KEY}, {}, {}),
    "sse-c": (CUSTOMER, CUSTOMER, SOURCE),
}


def check(name, key, body):
    write, read, _ = ENCRYPTIONS[name]
    got = s3.get_object(Bucket=BUCKET, Key=key, **read)
    same(got["Body"].read(), body)
    assert got["Metadata"] == DESCRIBED["Metadata"], got
    assert got["ContentType"] == DESCRIBED["ContentType"], got
    for field in ("ServerSideEncryption", "SSEKMSKeyId", "SSECustomerAlgorithm"):
        assert got.get(field) == write.get(field), got
    if read:
        refused(s3.get_object, Key=key)


def refused(operation, **parameters):
    try:
        operation(Bucket=BUCKET, **parameters)
    except ClientError:
        return
    raise AssertionError("not refused")


def put(name):
    s3.put_object(Bucket=BUCKET, Key=name, Body=SMALL, **DESCRIBED, **ENCRYPTIONS[name][0])
    check(name, name, SMALL)


def multipart():
    for name, (write, read, _) in ENCRYPTIONS.items():
        key = f"multipart {name}"
        s3.upload_fileobj(io.BytesIO(LARGE), BUCKET, key, ExtraArgs={**DESCRIBED, **write}, Config=IN_PARTS)
        check(name, key, LARGE)
        into = io.BytesIO()
        s3.download_fileobj(BUCKET, key, into, ExtraArgs=read, Config=IN_PARTS)
        same(into.getvalue(), LARGE)


def ranged():
    for name, (_, read, _) in ENCRYPTIONS.items():
        got = s3.get_object(Bucket=BUCKET, Key=f"multipart {name}", Range="bytes=5242000-5243999", **read)
        assert got["ContentRange"] == f"bytes 5242000-5243999/{len(LARGE)}"
        same(got["Body"].read(), LARGE[5242000:5244000])


def copied():
    for source, (_, _, reading) in ENCRYPTIONS.items():
        for target, (write, _, _) in ENCRYPTIONS.items():
            key = f"{source} to {target}"
            s3.copy_object(Bucket=BUCKET, Key=key, CopySource={"Bucket": BUCKET, "Key": source}, **reading, **write)
            check(target, key, SMALL)
    write, source = ENCRYPTIONS["sse-kms"][0], {"Bucket": BUCKET, "Key": "multipart sse-c"}
    s3.copy(source, BUCKET, "managed", ExtraArgs={**SOURCE, **write}, SourceClient=s3, Config=IN_PARTS)
    same(s3.get_object(Bucket=BUCKET, Key="managed")["Body"].read(), LARGE)


def presigned():
    for version in ("s3v4", "s3"):
        signer = boto3.client("s3", config=boto3.session.Config(signature_version=version))
        named = {"Bucket": BUCKET, "Key": f"presigned {version}"}
        url = signer.generate_presigned_url("put_object", {**named, "ContentType": "text/x-py"})
        sent = urllib.request.Request(url, SMALL, {"Content-Type": "text/x-py"}, method="PUT")
        assert urllib.request.urlopen(sent).status == 200
        same(urllib.request.urlopen(signer.generate_presigned_url("get_object", named)).read(), SMALL)


def work():
    """A bucket with versions, read page by page, emptied and removed."""
    own = {"Bucket": f"{BUCKET}-versions"}
    s3.create_bucket(**own)
    s3.put_bucket_versioning(**own, VersioningConfiguration={"Status": "Enabled"})
    for round in range(3):
        for number in range(4):
            s3.put_object(**own, Key=f"folder/käy+{number}", Body=f"{round}".encode())
    s3.delete_object(**own, Key="folder/käy+0")
    assert s3.list_objects_v2(**own)["KeyCount"] == 3
    pages = list(s3.get_paginator("list_object_versions").paginate(**own, PaginationConfig={"PageSize": 5}))
    found = [entry for page in pages for kind in ("Versions", "DeleteMarkers") for entry in page.get(kind, [])]
    assert len(found) == 13, found
    named = [{name: entry[name] for name in ("Key", "VersionId")} for entry in found]
    assert "Errors" not in s3.delete_objects(**own, Delete={"Objects": named})
    s3.delete_bucket(**own)


run(
    {name: lambda name=name: put(name) for name in ENCRYPTIONS}
    | {"multipart": multipart, "range": ranged, "copy": copied, "presign": presigned, "work": work}
)
