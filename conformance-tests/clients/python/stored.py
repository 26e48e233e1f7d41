"""What clients that don't tell how their objects are encrypted have stored, as boto3 sees it."""

import boto3

from modes import BUCKET, CUSTOMER_KEY, KMS_KEY

s3 = boto3.client("s3")
TOLD = {
    "sse-s3": {"ServerSideEncryption": "AES256"},
    "sse-kms": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KMS_KEY},
    "sse-c": {"SSECustomerAlgorithm": "AES256"},
}


def encrypted(prefix, name):
    """Every object below the prefix is encrypted so, and there is one at least."""
    reading = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": CUSTOMER_KEY} if name == "sse-c" else {}
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    for entry in listed:
        told = s3.head_object(Bucket=BUCKET, Key=entry["Key"], **reading)
        for field in ("ServerSideEncryption", "SSEKMSKeyId", "SSECustomerAlgorithm"):
            assert told.get(field) == TOLD[name].get(field), f"{entry['Key']}: {field} is {told.get(field)}"
