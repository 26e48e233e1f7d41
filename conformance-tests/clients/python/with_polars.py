"""polars, which reads and writes by Rust's object_store: Parquet files in every mode of encryption, scans of folders."""

import base64
import os

import polars

from modes import BUCKET, CUSTOMER_KEY, ENDPOINT, KMS_KEY, run
from stored import encrypted

PLACE = {
    "aws_endpoint_url": ENDPOINT,
    "aws_region": "us-east-1",
    "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
    "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
    "aws_allow_http": "true",
}
ENCRYPTIONS = {
    "sse-s3": {"aws_server_side_encryption": "AES256"},
    "sse-kms": {"aws_server_side_encryption": "aws:kms", "aws_sse_kms_key_id": KMS_KEY},
    "sse-c": {
        "aws_server_side_encryption": "sse-c",
        "aws_sse_customer_key_base64": base64.b64encode(CUSTOMER_KEY).decode(),
    },
}
SMALL = polars.DataFrame({"number": range(1000), "text": [f"row {at}" for at in range(1000)]})
# More than what one request writes.
LARGE = polars.DataFrame({"number": range(2_500_000), "group": [at % 7 for at in range(2_500_000)]})


def options(name):
    return {**PLACE, **ENCRYPTIONS[name]}


def put(name):
    address = f"s3://{BUCKET}/{name}.parquet"
    SMALL.write_parquet(address, storage_options=options(name))
    assert polars.read_parquet(address, storage_options=options(name)).equals(SMALL)
    encrypted(f"{name}.parquet", name)
    if name == "sse-c":
        try:
            polars.read_parquet(address, storage_options=PLACE)
        except Exception:
            return
        raise AssertionError("it is read without its key")


def multipart():
    for name in ENCRYPTIONS:
        address = f"s3://{BUCKET}/multipart {name}.parquet"
        LARGE.write_parquet(address, storage_options=options(name), compression="uncompressed", row_group_size=500_000)
        assert polars.read_parquet(address, storage_options=options(name)).equals(LARGE)
        encrypted(f"multipart {name}.parquet", name)


def ranged():
    """Two columns of which one is read, by ranges."""
    for name in ENCRYPTIONS:
        scan = polars.scan_parquet(f"s3://{BUCKET}/multipart {name}.parquet", storage_options=options(name))
        found = scan.filter(polars.col("number") >= 2_400_000).select(polars.col("number").sum()).collect()
        assert found.item() == sum(range(2_400_000, 2_500_000)), found


def work():
    """Many files in folders, scanned as one table."""
    base = f"s3://{BUCKET}/table"
    for group in range(7):
        part = LARGE.filter(polars.col("group") == group).head(1000).drop("group")
        part.write_parquet(f"{base}/group={group}/part.parquet", storage_options=PLACE)
        part.lazy().sink_ndjson(f"{base}-json/{group}.ndjson", storage_options=PLACE)
    scan = polars.scan_parquet(f"{base}/**/*.parquet", hive_partitioning=True, storage_options=PLACE)
    sums = scan.group_by("group").agg(polars.col("number").sum()).sort("group").collect()
    assert sums["number"].to_list() == [sum(range(group, 7000, 7)) for group in range(7)], sums
    lines = polars.scan_ndjson(f"{base}-json/*.ndjson", storage_options=PLACE).collect()
    assert lines["number"].sum() == sum(range(7000))


run(
    {name: lambda name=name: put(name) for name in ENCRYPTIONS} | {"multipart": multipart, "range": ranged, "work": work}
)
