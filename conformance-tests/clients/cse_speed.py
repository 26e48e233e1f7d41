"""How fast, and in how much memory, `sealgate cse` and Amazon's client for Python seal and open, against the same gateway (AWS_ENDPOINT_URL):
    SEALGATE=…/sealgate python cse_speed.py [MiB of the long stream]
Each is told by the CPU time of the client alone, since wall time is the gateway's too."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import boto3

sys.path.insert(0, str(Path(__file__).parents[2] / "gateway/encryption-client/vectors"))
LEN, ROUNDS = 64 << 20, 3
PYTHON = """
import os, boto3
from make_with_python import client
from s3_encryption.materials.kms_keyring import KmsKeyring
body = open("body", "rb").read()
s3 = client(KmsKeyring(kms_client=boto3.client("kms"), kms_key_id=os.environ["KEY"]), "V3")
for _ in range(int(os.environ["ROUNDS"])):
    s3.put_object(Bucket="speed", Key="python", Body=body)
    assert s3.get_object(Bucket="speed", Key="python")["Body"].read() == body
"""


# A process of its own: the system counts what a process had before it became another program.
MEASURE = """
import os, sys
process = os.fork()
if process == 0:
    os.execv(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(process, 0)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def cpu_s(command, **more):
    """CPU seconds and the largest resident memory, in MiB, of a program."""
    process = subprocess.run([sys.executable, "-S", "-c", MEASURE, *command], stderr=subprocess.PIPE, text=True, **more)
    assert process.returncode == 0, (command, process.stderr)
    return [float(figure) for figure in process.stderr.splitlines()[-1].split()]


def main():
    os.chdir(tempfile.mkdtemp())
    program, stream_len = os.environ["SEALGATE"], int(sys.argv[1]) << 20 if len(sys.argv) > 1 else 1 << 30
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="speed")
    os.environ["KEY"] = boto3.client("kms").create_key()["KeyMetadata"]["KeyId"]
    Path("body").write_bytes(os.urandom(LEN))
    flags = ["--kms-key", os.environ["KEY"]]
    paths = os.pathsep.join(sys.path)
    python = lambda rounds: cpu_s([sys.executable, "-c", PYTHON], env={**os.environ, "PYTHONPATH": paths, "ROUNDS": str(rounds)})
    start, _ = python(0)
    theirs = (python(ROUNDS)[0] - start) / ROUNDS
    ours = 0
    for _ in range(ROUNDS):
        ours += cpu_s([program, "cse", "put", "body", "s3://speed/ours", *flags])[0]
        ours += cpu_s([program, "cse", "get", "s3://speed/ours", "out", *flags])[0]
    assert Path("out").read_bytes() == Path("body").read_bytes()
    ours /= ROUNDS
    print(f"put and get of {LEN >> 20} MiB: Python {theirs:.2f} CPU-s, sealgate cse {ours:.2f} CPU-s: {theirs / ours:.1f} times")

    zeros = lambda: subprocess.Popen(["head", "-c", str(stream_len), "/dev/zero"], stdout=subprocess.PIPE).stdout
    _, put = cpu_s([program, "cse", "put", "-", "s3://speed/stream", *flags], stdin=zeros())
    print(f"a stream of {stream_len >> 20} MiB: put {put:.0f} MiB of memory", end="")
    for name, more in [("delayed", ["--delayed-authentication"]), ("spooled beyond 16 MiB", ["--max-memory-mib", "16"])]:
        _, get = cpu_s([program, "cse", "get", "s3://speed/stream", "-", *flags, *more], stdout=subprocess.DEVNULL)
        print(f", get {name} {get:.0f} MiB", end="")
    print()


if __name__ == "__main__":
    main()
