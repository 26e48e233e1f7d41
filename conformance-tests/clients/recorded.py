"""Sends the requests of the tables in `recorded/` and compares every answer with the one that AWS gave.

A table is a TOML file of cases, each with steps that are sent in order:

    [[case]]
    name = "Tags while a delete marker is current"
    bucket = "versioned"           # plain (default), versioned, locked, acls (ACLs on, public access allowed), none
    [[case.step]]
    request = "PUT /{bucket}/k"    # the target is sent as it stands: percent-encode it
    headers = { x-amz-tagging = "a=1" }
    body = "text"                  # or body_hex, or body_len (so many bytes `a`); md5 = true adds Content-MD5
    as = "root"                    # root (default), other (another account's root user), anonymous
    [[case.step]]
    request = "GET /{bucket}/k?tagging"
    status = 405                   # without it any 2xx will do
    code = "MethodNotAllowed"
    message = "The specified method is not allowed against this resource."
    fields = { Method = "GET" }    # elements below the root; "A/B", "A/1" (the second A), "A/@count"
    absent = ["Resource"]          # elements that must not be there
    answers = { allow = "DELETE" } # headers of the answer
    without = ["etag"]             # headers that must not be there
    text = "…"                     # the whole body
    save = { id = "header:x-amz-version-id", upload = "UploadId" }

    [[case.step]]
    kms = "DescribeKey"            # KMS: the input is JSON, fields are paths into the JSON answer
    input = { KeyId = "{key_id}" }

    [[case.step]]
    query = "sts"                  # or "iam": the input is the form, `Action` included
    input = { Action = "GetCallerIdentity" }

A value that begins with `re:` is a regular expression for the whole. `{name}` stands for what a step has saved, and for bucket,
endpoint, account, owner_id, other_account, other_id, hour_ago and in_an_hour (dates of HTTP). `unsigned = true` leaves the body's hash
out of the signature; `presign = { expires = 60 }` signs in the query; `sha256 = "…"` says what x-amz-content-sha256 says;
`send = "chunked"` sends the body by Transfer-Encoding without a length.

A form is `form = { key = "k" }` in the place of a body: its fields. `file` is its file, `filename` the name of that. `policy` has the
conditions, or is a whole document as text; `signed` is "v4" (default) or "v2"; `drop` takes fields out once it is signed. Without a
policy it is not signed.
"""

import argparse
import base64
import hashlib
import http.client
import json
import os
import pathlib
import re
import ssl
import sys
import time
import tomllib
import urllib.parse
import uuid
from email.utils import formatdate
from xml.etree import ElementTree

from botocore.auth import HmacV1PostAuth, S3SigV4Auth, S3SigV4PostAuth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from common import anonymous, endpoint, other_account, other_root, root

FOLDER = pathlib.Path(__file__).parent.parent / "recorded"
REGION = os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
CALLERS = {"root": root, "other": other_root, "anonymous": anonymous}
KNOWN = {"request", "kms", "query", "input", "headers", "body", "body_hex", "body_len", "md5", "as", "unsigned", "presign", "sha256", "send"} | {
    "form", "file", "filename", "policy", "signed", "drop"} | {
    "status", "code", "message", "fields", "absent", "answers", "without", "text", "save"}  # fmt: skip
STATIC = {
    "endpoint": endpoint,
    "account": root.account,
    "owner_id": root.s3.list_buckets()["Owner"]["ID"],
    "other_account": other_account,
    "other_id": other_root.s3.list_buckets()["Owner"]["ID"],
}


class Mismatch(Exception):
    """An answer is not the recorded one."""


class SaidHash(S3SigV4Auth):
    """Signs what x-amz-content-sha256 is to say, whatever the body is."""

    def __init__(self, said, *signer):
        super().__init__(*signer)
        self.said = said

    def payload(self, request):
        return self.said


def fill(value, names):
    """The value with `{name}`s replaced, in texts at any depth."""
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda found: str(names.get(found[1], found[0])), value)
    if isinstance(value, list):
        return [fill(one, names) for one in value]
    if isinstance(value, dict):
        return {name: fill(one, names) for name, one in value.items()}
    return value


def body_of(step):
    if "body_hex" in step:
        return bytes.fromhex(step["body_hex"])
    if "body_len" in step:
        return b"a" * step["body_len"]
    return step.get("body", "").encode()


def form_of(step, caller):
    """The content type and the body of a form."""
    fields = dict(step["form"])
    if "policy" in step:
        in_an_hour = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        policy = step["policy"]
        if isinstance(policy, str):
            policy = json.loads(policy.replace("{soon}", in_an_hour)) if policy.startswith("{") else policy
        else:
            policy = {"expiration": in_an_hour, "conditions": policy}
        credentials = Credentials(caller.access_key_id, caller.secret_access_key)
        v2 = step.get("signed") == "v2"
        request = AWSRequest(method="POST", url=endpoint)
        request.context["s3-presign-post-fields"] = fields
        request.context["s3-presign-post-policy"] = policy
        (HmacV1PostAuth(credentials) if v2 else S3SigV4PostAuth(credentials, "s3", REGION)).add_auth(request)
    for name in step.get("drop", []):
        del fields[name]
    boundary = uuid.uuid4().hex
    parts = [(name, None, str(value)) for name, value in fields.items()]
    if "file" in step:
        parts.append(("file", step.get("filename", "name.txt"), step["file"]))
    body = b""
    for name, filename, value in parts:
        named = f'; filename="{filename}"' if filename else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
        body += head.encode() + value.encode() + b"\r\n"
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


def sign(step, method, url, headers, body, service, caller):
    """The target and the headers to send."""
    if caller.access_key_id is None:
        return url, headers
    # Of a URL that is presigned the signer takes the body for parameters.
    request = AWSRequest(method=method, url=url, data=None if "presign" in step else body, headers=headers)
    credentials = Credentials(caller.access_key_id, caller.secret_access_key, caller.session_token)
    if service != "s3":
        SigV4Auth(credentials, service, REGION).add_auth(request)
    elif "presign" in step:
        S3SigV4QueryAuth(credentials, service, REGION, step["presign"]["expires"]).add_auth(request)
        return request.url, headers
    else:
        said = "UNSIGNED-PAYLOAD" if step.get("unsigned") else step.get("sha256")
        said = said or hashlib.sha256(body).hexdigest()
        SaidHash(said, credentials, service, REGION).add_auth(request)
    return url, dict(request.headers.items())


def send(step, names):
    """Sends a step's request; answers status, headers and body."""
    headers = dict(step.get("headers", {}))
    caller = CALLERS[step.get("as", "root")]
    if "kms" in step:
        method, target, service = "POST", "/", "kms"
        headers |= {"X-Amz-Target": f"TrentService.{step['kms']}", "Content-Type": "application/x-amz-json-1.1"}
        body = json.dumps(step.get("input", {})).encode()
    elif "query" in step:
        method, target, service = "POST", "/", step["query"]
        version = {"sts": "2011-06-15", "iam": "2010-05-08"}[service]
        headers["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
        body = urllib.parse.urlencode({"Version": version} | step["input"]).encode()
    else:
        (method, target), service = step["request"].split(" ", 1), "s3"
        body = body_of(step)
        if "form" in step:
            content_type, body = form_of(step, caller)
            headers = {"Content-Type": content_type} | headers
            # Who sends it is in the form, not in the headers.
            caller = CALLERS["anonymous"]
        if step.get("md5"):
            headers["Content-MD5"] = base64.b64encode(hashlib.md5(body).digest()).decode()
    url, headers = sign(step, method, endpoint + target, headers, body, service, caller)
    split = urllib.parse.urlsplit(endpoint)
    if split.scheme == "https":
        trusted = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))
        connection = http.client.HTTPSConnection(split.netloc, timeout=30, context=trusted)
    else:
        connection = http.client.HTTPConnection(split.netloc, timeout=30)
    try:
        chunked = step.get("send") == "chunked"
        connection.putrequest(method, url[len(endpoint):], skip_accept_encoding=True)  # fmt: skip
        named = {name.lower() for name in headers}
        for name, value in headers.items():
            connection.putheader(name, value.encode("latin-1" if value.isascii() else "utf-8"))
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif "content-length" not in named and (body or method in ("PUT", "POST")):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None, encode_chunked=chunked)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def plain(element):
    """The element with the namespaces taken out of its names."""
    for one in element.iter():
        one.tag = one.tag.rpartition("}")[2]
    return element


def find(answered, path):
    """What stands at a path of an answer, as text; None where nothing does."""
    if path.startswith("header:"):
        return answered["headers"].get(path[len("header:") :])
    here = answered["body"]
    for name in path.split("/"):
        if here is None:
            return None
        if name == "@count":
            return str(len(here))
        if isinstance(here, ElementTree.Element):
            here = [child for child in here if child.tag == name] if not isinstance(here, list) else here
        elif isinstance(here, dict):
            here = here.get(name)
            continue
        elif isinstance(here, list) and name.isdigit():
            here = here[int(name)] if int(name) < len(here) else None
            continue
        elif isinstance(here, list) and here and isinstance(here[0], ElementTree.Element):
            here = [child for child in here[0] if child.tag == name]
        else:
            return None
        here = here or None
    if isinstance(here, list) and here and isinstance(here[0], ElementTree.Element):
        here = here[0]
    if isinstance(here, ElementTree.Element):
        return "".join(here.itertext())
    if here is None or isinstance(here, str):
        return here
    return json.dumps(here)


def parse(headers, body):
    """The body as an XML element or JSON, else None."""
    try:
        if body[:1] in (b"{", b"["):
            return json.loads(body)
        return plain(ElementTree.fromstring(body)) if body[:1] == b"<" else None
    except (ElementTree.ParseError, ValueError):
        return None


def agree(what, wanted, got):
    if isinstance(wanted, (bool, int, float)):
        wanted = json.dumps(wanted)
    same = re.fullmatch(wanted[3:], got or "", re.S) if wanted.startswith("re:") else wanted == got
    if got is None or not same:
        raise Mismatch(f"{what}: {got!r}, AWS: {wanted!r}")


def check(step, status, headers, body):
    """Compares an answer with the recorded one."""
    answered = {"headers": headers, "body": parse(headers, body)}
    if answered["body"] is not None and "query" in step:
        inner = [child for child in answered["body"] if child.tag != "ResponseMetadata"]
        answered["body"] = inner[0] if inner else answered["body"]
    refusal = answered["body"] if "code" in step or "message" in step else None
    if "status" in step:
        agree("status", step["status"], str(status))
    elif "code" not in step and not 200 <= status < 300:
        raise Mismatch(f"status: {status}")
    if isinstance(refusal, dict):
        refusal = {"Code": refusal.get("__type", "").rpartition("#")[2], "Message": refusal.get("message")}
        answered["refusal"] = refusal
        pairs = [("code", refusal["Code"]), ("message", refusal["Message"])]
    else:
        pairs = [("code", find(answered, "Code")), ("message", find(answered, "Message"))]
    for name, got in pairs:
        if name in step:
            agree(name, step[name], got)
    for path, wanted in step.get("fields", {}).items():
        agree(path, wanted, find(answered, path))
    for path in step.get("absent", []):
        if find(answered, path) is not None:
            raise Mismatch(f"{path} is there: {find(answered, path)!r}")
    for name, wanted in step.get("answers", {}).items():
        agree(name, wanted, headers.get(name.lower()))
    for name in step.get("without", []):
        if name.lower() in headers:
            raise Mismatch(f"header {name} is there: {headers[name.lower()]!r}")
    if "text" in step:
        agree("body", step["text"], body.decode(errors="replace"))
    saved = {name: find(answered, path) for name, path in step.get("save", {}).items()}
    missing = [name for name, value in saved.items() if value is None]
    if missing:
        raise Mismatch(f"nothing to save as {missing}")
    return saved


def new_bucket(kind):
    """A bucket of a kind, by name."""
    name = f"recorded-{uuid.uuid4().hex[:12]}"
    if kind == "none":
        return name
    root.s3.create_bucket(
        Bucket=name,
        ObjectLockEnabledForBucket=kind == "locked",
        **({"ObjectOwnership": "ObjectWriter"} if kind == "acls" else {}),
    )
    if kind == "acls":
        root.s3.delete_public_access_block(Bucket=name)
    if kind == "versioned":
        root.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def run(case):
    """Sends a case's steps; raises at the first answer that is not AWS's."""
    names = STATIC | {
        "bucket": new_bucket(case.get("bucket", "plain")),
        "hour_ago": formatdate(time.time() - 3600, usegmt=True),
        "in_an_hour": formatdate(time.time() + 3600, usegmt=True),
    }
    for number, recorded in enumerate(case["step"], 1):
        if unknown := set(recorded) - KNOWN:
            raise Mismatch(f"step {number} has no such things: {sorted(unknown)}")
        step = fill(recorded, names)
        status, headers, body = send(step, names)
        try:
            names |= check(step, status, headers, body)
        except Mismatch as mismatch:
            shown = {name: value for name, value in headers.items() if name not in ("date", "server", "x-amz-id-2")}
            what = recorded.get("request") or recorded.get("kms") or recorded["input"]["Action"]
            raise Mismatch(f"step {number}, {what}: {mismatch}\n    {status} {shown}\n    {body[:1500]!r}") from None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", default="", help="only the tables whose name has this")
    parser.add_argument("--only", default="", help="only the cases whose name has this")
    chosen = parser.parse_args()
    held = failed = 0
    for table in sorted(FOLDER.glob("*.toml")):
        if chosen.file not in table.name:
            continue
        for case in tomllib.loads(table.read_text())["case"]:
            if chosen.only not in case["name"]:
                continue
            try:
                run(case)
                held += 1
            except Exception as problem:  # a case that cannot be sent has failed as well
                failed += 1
                print(f"{table.stem}: {case['name']}\n  {type(problem).__name__}: {problem}")
    print(f"{held} cases answered as AWS does, {failed} not")
    sys.exit(1 if failed or not held else 0)


if __name__ == "__main__":
    main()
