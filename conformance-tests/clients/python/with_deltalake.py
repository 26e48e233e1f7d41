"""deltalake: tables whose commits are conditional writes, by several processes at once, in every mode of encryption."""

import base64
import multiprocessing
import os

import pyarrow
from deltalake import DeltaTable, write_deltalake

from modes import BUCKET, CUSTOMER_KEY, ENDPOINT, KMS_KEY, run
from stored import encrypted

PLACE = {
    "aws_endpoint_url": ENDPOINT,
    "aws_region": "us-east-1",
    "aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"],
    "aws_secret_access_key": os.environ["AWS_SECRET_ACCESS_KEY"],
    "aws_allow_http": "true",
    # Commits go by If-None-Match, with no table of locks beside.
    "aws_conditional_put": "etag",
}
ENCRYPTIONS = {
    "sse-s3": {"aws_server_side_encryption": "AES256"},
    "sse-kms": {"aws_server_side_encryption": "aws:kms", "aws_sse_kms_key_id": KMS_KEY},
    "sse-c": {
        "aws_server_side_encryption": "sse-c",
        "aws_sse_customer_key_base64": base64.b64encode(CUSTOMER_KEY).decode(),
    },
}
WRITERS, COMMITS = 4, 10


def rows(first, count):
    return pyarrow.table({"number": range(first, first + count), "group": [at % 3 for at in range(first, first + count)]})


def numbers(table):
    return sorted(table.to_pyarrow_table()["number"].to_pylist())


def put(name):
    address, options = f"s3://{BUCKET}/{name}", {**PLACE, **ENCRYPTIONS[name]}
    write_deltalake(address, rows(0, 100), partition_by=["group"], storage_options=options)
    write_deltalake(address, rows(100, 100), mode="append", storage_options=options)
    assert numbers(DeltaTable(address, storage_options=options)) == list(range(200))
    assert numbers(DeltaTable(address, version=0, storage_options=options)) == list(range(100))
    encrypted(f"{name}/", name)


def write(writer):
    address = f"s3://{BUCKET}/shared"
    for commit in range(COMMITS):
        first = (writer * COMMITS + commit) * 10
        write_deltalake(address, rows(first, 10), mode="append", storage_options=PLACE)


def work():
    """Writers at once, none of whose commits is lost; then a merge, a deletion, a compaction and a vacuum."""
    address = f"s3://{BUCKET}/shared"
    DeltaTable.create(address, schema=rows(0, 1).schema, storage_options=PLACE)
    with multiprocessing.get_context("spawn").Pool(WRITERS) as pool:
        pool.map(write, range(WRITERS), chunksize=1)
    table = DeltaTable(address, storage_options=PLACE)
    total = WRITERS * COMMITS * 10
    assert numbers(table) == list(range(total))
    assert table.version() == WRITERS * COMMITS, table.version()
    table.merge(
        rows(total - 5, 10), predicate="s.number = t.number", source_alias="s", target_alias="t"
    ).when_not_matched_insert_all().execute()
    table.delete("number < 50")
    table.optimize.compact()
    table.create_checkpoint()
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert numbers(DeltaTable(address, storage_options=PLACE)) == list(range(50, total + 5))


if __name__ == "__main__":
    run({name: lambda name=name: put(name) for name in ENCRYPTIONS} | {"work": work})
