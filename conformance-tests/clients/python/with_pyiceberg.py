"""pyiceberg: tables with a catalog beside, their metadata and data in the bucket, written and read back at two points of time."""

import os

import pyarrow
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import GreaterThanOrEqual

from modes import BUCKET, ENDPOINT, run
from stored import encrypted

catalog = SqlCatalog(
    "clients",
    **{
        "uri": "sqlite:///catalog.db",
        "warehouse": f"s3://{BUCKET}/warehouse",
        "s3.endpoint": ENDPOINT,
        "s3.region": "us-east-1",
        "s3.access-key-id": os.environ["AWS_ACCESS_KEY_ID"],
        "s3.secret-access-key": os.environ["AWS_SECRET_ACCESS_KEY"],
    },
)


def rows(first, count):
    numbers = range(first, first + count)
    return pyarrow.table({"number": numbers, "text": [f"row {number}" for number in numbers]})


def put():
    catalog.create_namespace("clients")
    table = catalog.create_table("clients.small", schema=rows(0, 1).schema)
    table.append(rows(0, 1000))
    assert table.scan().to_arrow().sort_by("number").equals(rows(0, 1000))
    encrypted("warehouse/", "sse-s3")


def multipart():
    """A file of more than one part."""
    table = catalog.create_table(
        "clients.large", schema=rows(0, 1).schema, properties={"write.parquet.compression-codec": "uncompressed"}
    )
    table.append(rows(0, 1_000_000))
    assert table.scan().to_arrow().num_rows == 1_000_000


def ranged():
    """One column of some rows."""
    table = catalog.load_table("clients.large")
    found = table.scan(row_filter=GreaterThanOrEqual("number", 999_000), selected_fields=("number",)).to_arrow()
    assert sorted(found["number"].to_pylist()) == list(range(999_000, 1_000_000))


def work():
    """Snapshots, a schema that changes, rows deleted and overwritten, a former point of time."""
    table = catalog.load_table("clients.small")
    former = table.current_snapshot().snapshot_id
    with table.update_schema() as update:
        update.rename_column("text", "label")
    table.delete(GreaterThanOrEqual("number", 500))
    table.append(rows(1000, 10).rename_columns(["number", "label"]))
    numbers = table.scan().to_arrow()["number"].to_pylist()
    assert sorted(numbers) == [*range(500), *range(1000, 1010)]
    assert table.scan(snapshot_id=former).to_arrow().num_rows == 1000
    for name in ("small", "large"):
        catalog.purge_table(f"clients.{name}")


run({"sse-s3": put, "multipart": multipart, "range": ranged, "work": work})
