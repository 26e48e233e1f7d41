"""pyarrow's S3FileSystem, which is the AWS SDK for C++: files, streams, copies and a partitioned dataset."""

import os
import random
from urllib.parse import urlsplit

import pyarrow
import pyarrow.dataset
import pyarrow.fs

from modes import BUCKET, ENDPOINT, LARGE, SMALL, run, same

at = urlsplit(ENDPOINT)


def filesystem(**options):
    return pyarrow.fs.S3FileSystem(
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        endpoint_override=at.netloc,
        scheme=at.scheme,
        region="us-east-1",
        tls_ca_file_path=os.environ.get("CLIENT_CA"),
        allow_bucket_creation=True,
        allow_bucket_deletion=True,
        **options,
    )


files = filesystem()


def put():
    with files.open_output_stream(f"{BUCKET}/small", metadata={"Content-Type": "text/x-cpp", "written-by": "c++"}) as stream:
        stream.write(SMALL)
    with files.open_input_file(f"{BUCKET}/small") as file:
        same(file.read(), SMALL)
    with files.open_input_stream(f"{BUCKET}/small") as stream:
        assert stream.metadata()["Content-Type"] == b"text/x-cpp", stream.metadata()
    assert files.get_file_info(f"{BUCKET}/small").size == len(SMALL)
    assert files.get_file_info(f"{BUCKET}/none").type == pyarrow.fs.FileType.NotFound


def multipart():
    for background in (True, False):
        writer = filesystem(background_writes=background)
        with writer.open_output_stream(f"{BUCKET}/large") as stream:
            for at in range(0, len(LARGE), 1 << 20):
                stream.write(LARGE[at : at + (1 << 20)])
        with files.open_input_stream(f"{BUCKET}/large") as stream:
            same(stream.read(), LARGE)


def ranged():
    with files.open_input_file(f"{BUCKET}/large") as file:
        file.seek(5_242_000)
        same(file.read(2000), LARGE[5_242_000:5_244_000])
        same(file.read_at(1000, 10_000_000), LARGE[10_000_000:10_001_000])


def copied():
    files.copy_file(f"{BUCKET}/large", f"{BUCKET}/copied +ü")
    files.move(f"{BUCKET}/copied +ü", f"{BUCKET}/moved")
    with files.open_input_stream(f"{BUCKET}/moved") as stream:
        same(stream.read(), LARGE)
    assert files.get_file_info(f"{BUCKET}/copied +ü").type == pyarrow.fs.FileType.NotFound


def work():
    """A dataset of many files in folders, filtered, and a bucket made and removed with all that is in it."""
    random_numbers = random.Random(3)
    columns = {"year": [2020 + at % 4 for at in range(20_000)], "value": [random_numbers.random() for _ in range(20_000)]}
    table = pyarrow.table(columns)
    base = f"{BUCKET}-dataset/table"
    files.create_dir(base, recursive=True)
    for form in ("parquet", "ipc", "csv"):
        kind = {"base_dir": f"{base}-{form}", "format": form, "partitioning_flavor": "hive"}
        pyarrow.dataset.write_dataset(table, filesystem=files, partitioning=["year"], **kind)
        read = pyarrow.dataset.dataset(f"{base}-{form}", filesystem=files, format=form, partitioning="hive")
        found = read.to_table(filter=pyarrow.dataset.field("year") == 2021, columns=["value"])
        assert sum(found["value"].to_pylist()) == sum(columns["value"][1::4]), form
    listed = files.get_file_info(pyarrow.fs.FileSelector(f"{BUCKET}-dataset", recursive=True))
    assert len([one for one in listed if one.is_file]) == 12, listed
    files.delete_dir(f"{BUCKET}-dataset")
    assert files.get_file_info(f"{BUCKET}-dataset").type == pyarrow.fs.FileType.NotFound


run({"sse-s3": put, "multipart": multipart, "range": ranged, "copy": copied, "work": work})
