"""s3fs, which pandas and dask open s3:// with: files in every mode of encryption, renames, trees."""

import base64
import hashlib
import os
import tempfile
import urllib.request

import s3fs
from fsspec.asyn import sync

from modes import BUCKET, CUSTOMER_KEY, KMS_KEY, LARGE, SMALL, run, same

KEY_MD5 = base64.b64encode(hashlib.md5(CUSTOMER_KEY).digest()).decode()
CUSTOMER = {
    "SSECustomerAlgorithm": "AES256",
    "SSECustomerKey": base64.b64encode(CUSTOMER_KEY).decode(),
    "SSECustomerKeyMD5": KEY_MD5,
}
ENCRYPTIONS = {
    "sse-s3": {"ServerSideEncryption": "AES256"},
    "sse-kms": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KMS_KEY},
    "sse-c": CUSTOMER,
}
systems = {
    name: s3fs.S3FileSystem(s3_additional_kwargs=extra, use_listings_cache=False) for name, extra in ENCRYPTIONS.items()
}
# No system of the three: it reads what needs no key.
plain = s3fs.S3FileSystem(use_listings_cache=False)


def check(name, key, body):
    files = systems[name]
    same(files.cat_file(f"{BUCKET}/{key}"), body)
    told = files.call_s3("head_object", Bucket=BUCKET, Key=key, **(CUSTOMER if name == "sse-c" else {}))
    for field in ("ServerSideEncryption", "SSEKMSKeyId", "SSECustomerKeyMD5"):
        assert told.get(field) == ENCRYPTIONS[name].get(field), told


def put(name):
    files = systems[name]
    with files.open(f"{BUCKET}/{name}", "wb") as file:
        file.write(SMALL)
    check(name, name, SMALL)
    files.pipe_file(f"{BUCKET}/piped {name}", SMALL, Metadata={"written-by": "s3fs"})
    check(name, f"piped {name}", SMALL)
    if name != "sse-c":
        assert plain.metadata(f"{BUCKET}/piped {name}") == {"written-by": "s3fs"}


def multipart():
    for name, files in systems.items():
        with files.open(f"{BUCKET}/multipart {name}", "wb", block_size=5 << 20) as file:
            file.write(LARGE)
        check(name, f"multipart {name}", LARGE)


def ranged():
    for name, files in systems.items():
        with files.open(f"{BUCKET}/multipart {name}", "rb") as file:
            file.seek(5_242_000)
            same(file.read(2000), LARGE[5_242_000:5_244_000])
            file.seek(-7, os.SEEK_END)
            same(file.read(), LARGE[-7:])


def copied():
    """Renames are copies in parts where the file is large."""
    for name in ("sse-s3", "sse-kms"):
        files = systems[name]
        for kind in ("", "multipart "):
            files.mv(f"{BUCKET}/{kind}{name}", f"{BUCKET}/moved {kind}{name}")
            check(name, f"moved {kind}{name}", LARGE if kind else SMALL)
            assert not files.exists(f"{BUCKET}/{kind}{name}")
    by_kms = systems["sse-kms"]
    source, target = f"{BUCKET}/moved multipart sse-s3", f"{BUCKET}/copied in parts"
    sync(by_kms.loop, by_kms._copy_managed, source, target, size=len(LARGE), block=5 << 20)
    check("sse-kms", "copied in parts", LARGE)


def presigned():
    url = plain.sign(f"{BUCKET}/piped sse-s3", expiration=60)
    same(urllib.request.urlopen(url).read(), SMALL)


def work():
    """A tree up, down, listed, appended to and removed, with tags and a bucket of its own."""
    own = f"{BUCKET}-tree"
    plain.mkdir(own)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a/b c", "a/ü+%", "d"):
            os.makedirs(os.path.dirname(f"{folder}/up/{name}"), exist_ok=True)
            with open(f"{folder}/up/{name}", "wb") as file:
                file.write(name.encode() * 1000)
        plain.put(f"{folder}/up", f"{own}/tree", recursive=True)
        assert sorted(plain.find(f"{own}/tree")) == [f"{own}/tree/{name}" for name in ("a/b c", "a/ü+%", "d")]
        assert sorted(plain.ls(f"{own}/tree", detail=False)) == [f"{own}/tree/a", f"{own}/tree/d"]
        plain.get(f"{own}/tree", f"{folder}/down", recursive=True)
        with open(f"{folder}/down/a/ü+%", "rb") as file:
            same(file.read(), "a/ü+%".encode() * 1000)
    with plain.open(f"{own}/log", "wb") as file:
        file.write(LARGE[: 6 << 20])
    with plain.open(f"{own}/log", "ab") as file:
        file.write(b"appended")
    same(plain.cat_file(f"{own}/log"), LARGE[: 6 << 20] + b"appended")
    plain.put_tags(f"{own}/log", {"kind": "log"})
    assert plain.get_tags(f"{own}/log") == {"kind": "log"}
    assert plain.cat_file(f"{own}/log", start=100, end=200) == LARGE[100:200]
    plain.rm(own, recursive=True)
    assert not plain.exists(own)


run(
    {name: lambda name=name: put(name) for name in ENCRYPTIONS}
    | {"multipart": multipart, "range": ranged, "copy": copied, "presign": presigned, "work": work}
)
