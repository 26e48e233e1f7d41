"""What AWS's models say of requests, as the tables that the gateway is built with.

Without arguments it compares them with the models of the botocore that is installed, and fails where a table is out of date;
`--write` writes them. It needs no gateway.
"""

import argparse
import pathlib
import sys

import botocore.session

GATEWAY = pathlib.Path(__file__).parent.parent.parent / "gateway/src/api"

# Sets of values that AWS still shows as they once were, whatever its model has since.
SHOWN = {
    "KeySpec": "RSA_2048 ECC_NIST_P384 ECC_NIST_P256 ECC_NIST_P521 HMAC_384 RSA_3072 ECC_SECG_P256K1 RSA_4096 SYMMETRIC_DEFAULT HMAC_256 HMAC_224 HMAC_512",
    "KeyUsageType": "ENCRYPT_DECRYPT SIGN_VERIFY GENERATE_VERIFY_MAC",
}  # fmt: skip


def in_aws_order(values):
    """Values as AWS shows a set of them: in the order of a hash table at most half full, whose hash is that of Java's strings."""
    capacity = 1
    while capacity <= 2 * len(values):
        capacity *= 2

    def place(value):
        code = 0
        for character in value:
            code = (31 * code + ord(character)) & 0xFFFFFFFF
        return code & (capacity - 1)

    return sorted(reversed(values), key=place)


def service(name):
    return botocore.session.get_session().get_service_model(name)


def headers():
    """The `x-amz-` headers that a request of each operation of S3 may have; `*` at the end stands for any name."""
    rows = []
    model = service("s3")
    for operation in model.operation_names:
        shape = model.operation_model(operation).input_shape
        for member in shape.members.values() if shape else ():
            location, name = member.serialization.get("location"), member.serialization.get("name", "").lower()
            if location == "headers":
                rows.append((operation, f"{name}*"))
            elif location == "header" and name.startswith("x-amz-"):
                rows.append((operation, name))
    return ["operation\theader", *("\t".join(row) for row in sorted(rows))]


def constraints():
    """What holds for members of KMS's requests: paths have `[]` where a list's elements stand."""
    model = service("kms")
    rows = []

    def walk(operation, path, shape, required):
        limits = shape.metadata
        bounds = [str(limits.get("min", "")), str(limits.get("max", ""))]
        values = in_aws_order(list(getattr(shape, "enum", None) or ()))
        shown = SHOWN.get(shape.name, "").split()
        pattern = limits.get("pattern", "")
        assert "\t" not in pattern
        row = [operation, path, shape.type_name, "required" if required else "", *bounds, pattern]
        rows.append("\t".join(row + [",".join(values), ",".join(shown)]).rstrip("\t"))
        if shape.type_name == "structure":
            members(operation, f"{path}.", shape)
        elif shape.type_name == "list":
            walk(operation, f"{path}[]", shape.member, False)

    def members(operation, prefix, shape):
        for name, member in shape.members.items():
            walk(operation, prefix + name, member, name in shape.required_members)

    for operation in model.operation_names:
        members(operation, "", model.operation_model(operation).input_shape)
    return ["operation\tmember\ttype\trequired\tmin\tmax\tpattern\tvalues\tshown", *rows]


TABLES = {"s3/model/headers.tsv": headers, "kms/model/constraints.tsv": constraints}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    write = parser.parse_args().write
    stale = 0
    for name, table in TABLES.items():
        path, rows = GATEWAY / name, table()
        text = "\n".join(rows) + "\n"
        if write:
            path.write_text(text)
            continue
        there = path.read_text()
        if there != text:
            stale += 1
            old, new = set(there.splitlines()), set(rows)
            print(f"{name} is out of date; in the model alone: {sorted(new - old)}; in the table alone: {sorted(old - new)}")
    sys.exit(1 if stale else 0)


if __name__ == "__main__":
    main()
