"""Amazon's S3 Encryption Client for Python and `sealgate cse` open what the other sealed. SEALGATE is the program; SIZES may name the
lengths of bodies, in bytes, in place of the short ones."""

import io
import os
import subprocess
import sys
from pathlib import Path

import boto3
from s3_encryption.materials.kms_keyring import KmsKeyring

sys.path.insert(0, str(Path(__file__).parents[2] / "gateway/encryption-client/vectors"))
from make_with_python import AES_KEY, AesKeyring, as_aes, client  # noqa: E402

PART = 5 << 20  # What `sealgate cse` sends streams in.
POLICIES = {"V3": "require-encrypt-require-decrypt", "V2": "forbid-encrypt-allow-decrypt"}
SIZES = [int(size) for size in os.environ.get("SIZES", "0 1 16 65537").split()]
plain_s3 = boto3.client("s3")
Path("aes").write_bytes(AES_KEY)


def sealgate(command, flags, input=None):
    result = subprocess.run([os.environ["SEALGATE"], "cse", *command, *flags], input=input, capture_output=True)
    assert result.returncode == 0, (command, flags, result.stderr)
    return result.stdout


def both_ways(form, kind, size):
    keyring, flags, more = AesKeyring(form), ["--aes-key", "aes"], {}
    if kind == "kms":
        keyring = KmsKeyring(kms_client=boto3.client("kms"), kms_key_id="alias/one")
        flags, more = ["--kms-key", "alias/one", "--context", "dept=it"], {"EncryptionContext": {"dept": "it"}}
    flags += ["--commitment-policy", POLICIES[form]]
    body, theirs = os.urandom(size), client(keyring, form)
    theirs.put_object(Bucket="cse", Key="theirs", Body=body, **more)
    if kind == "aes":
        # The Python client calls every keyring's way of wrapping `kms+context`.
        stored = plain_s3.get_object(Bucket="cse", Key="theirs")
        metadata = as_aes(stored["Metadata"])
        plain_s3.put_object(Bucket="cse", Key="theirs", Body=stored["Body"].read(), Metadata=metadata)
    assert sealgate(["get", "s3://cse/theirs", "-"], flags) == body, (form, kind, size)
    sealgate(["put", "-", "s3://cse/ours"], flags, body)
    assert theirs.get_object(Bucket="cse", Key="ours", **more)["Body"].read() == body, (form, kind, size)


for form in POLICIES:
    for kind in ["kms", "aes"]:
        for size in SIZES:
            both_ways(form, kind, size)
for size in [PART - 1, PART, PART + 1]:
    both_ways("V3", "kms", size)
body = os.urandom(11_000_000)
in_parts = client(KmsKeyring(kms_client=boto3.client("kms"), kms_key_id="alias/one"), "V3")
in_parts.upload_fileobj(io.BytesIO(body), "cse", "parts")
assert sealgate(["get", "s3://cse/parts", "-"], ["--kms-key", "alias/one"]) == body
