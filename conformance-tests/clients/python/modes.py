"""What the clients in Python share: where the gateway is, contents, and the line that each mode ends with."""

import hashlib
import os
import random
import traceback

BUCKET = os.environ["CLIENT_BUCKET"]
ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
KMS_KEY = os.environ["CLIENT_KMS_KEY"]
CUSTOMER_KEY = bytes([0x5A]) * 32
# What goes in one request, and what goes in parts.
SMALL = random.Random(1).randbytes(100_003)
LARGE = random.Random(2).randbytes((12 << 20) + 5)


def same(got, want):
    assert len(got) == len(want), f"{len(got)} bytes, not {len(want)}"
    assert hashlib.sha256(got).digest() == hashlib.sha256(want).digest(), "other bytes"


def run(modes):
    """Runs the modes, functions by name, in order."""
    for name, mode in modes.items():
        try:
            mode()
            print(f"{name}: ok", flush=True)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[1:2]
            where = "".join(f" ({frame.name}, line {frame.lineno})" for frame in place)
            print(f"{name}: failed: {type(error).__name__}: {' '.join(str(error).split())}{where}", flush=True)
