"""Answers held against the model as they came: names of elements, lists with or without an element around them, types, nothing unknown.

The scripts of KMS, IAM and STS make the requests; what they leave out, and S3's, is asked here. At the end every list of every answer has
been seen with something in it, but for those that are named below with the reason.
"""

import json
import pathlib
import re
import runpy
import sys
from xml.etree import ElementTree

import botocore.parsers
import botocore.session
from botocore import xform_name
from botocore.exceptions import ClientError

FOLDER = pathlib.Path(__file__).parent
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
# What AWS answers beside what its model says.
BESIDE_THE_MODEL = {
    # The page of ListAccessKeys shows it, and AWS sends it.
    "ListAccessKeysResponse: unknown element UserName",
    # Versions and delete markers stand in one order.
    "ListObjectVersionsOutput.Versions stands at two places",
    "ListObjectVersionsOutput.DeleteMarkers stands at two places",
}
# Lists that nothing can be in, as patterns, and why.
NEVER_FILLED = {
    r"s3 GetBucketLifecycle:": "the former name of GetBucketLifecycleConfiguration",
    r"kms .*(MultiRegionConfiguration|EncapsulationAlgorithms)": "there are no multi-Region keys and no keys of key encapsulation",
    r"iam .*InstanceProfile": "there are no instance profiles",
    r"iam List(Virtual)?MFADevices|iam List(SSHPublicKeys|ServiceSpecificCredentials|SigningCertificates):": "users have none of these",
    r"iam GetAccountPasswordPolicy:|iam GetLoginProfile:": "there are no passwords",
    r"iam ListSAMLProviders:|iam ListServerCertificates:": "there are none of these",
    r"iam (ListUsers|ListRoles|ListPolicies|GetGroup): .*\[\]\.Tags": "AWS tells no tags in these listings",
    r"iam GetOpenIDConnectProvider: .*ContextProvider": "providers give no contexts",
    r"iam Simulate.*ResourceSpecificResults\[\]\.MissingContextValues": "they are told of the evaluation as a whole",
    r"sts AssumeRoleWithWebIdentity:": "it needs a provider, which `oidc.py` has",
}
README = (FOLDER.parent.parent / "README.md").read_text()
S3_WORKS = set(re.findall(r"^\| (\w+) \| yes \|$", README, re.M))

faults, answered, seen = set(), set(), set()
whole_parse = botocore.parsers.ResponseParser.parse


def parse(parser, response, shape):
    """Parses an answer as before, and looks at it as it came."""
    if response["status_code"] < 300 and shape is not None:
        answered.add(shape.name)
        body = response["body"]
        if shape.serialization.get("payload") is None or shape.members[shape.serialization["payload"]].type_name == "structure":
            if isinstance(body, bytes) and body.strip():
                look(parser, body, shape)
    return whole_parse(parser, response, shape)


def look(parser, body, shape):
    if body[:1] == b"{":
        look_at_json(json.loads(body), shape, shape.name)
        return
    root = ElementTree.fromstring(body)
    if "resultWrapper" in shape.serialization:
        result = [child for child in root if tag(child) != "ResponseMetadata"]
        if [tag(child) for child in result] != [shape.serialization["resultWrapper"]]:
            faults.add(f"{shape.name}: the result is in {[tag(child) for child in result]}")
        for child in result:
            look_at_xml(parser, child, shape, shape.name)
        return
    payload = shape.serialization.get("payload")
    if payload is None:
        look_at_xml(parser, root, shape, shape.name)
        return
    inner = shape.members[payload]
    wanted = inner.serialization.get("name", payload)
    if tag(root) not in (wanted, inner.name):
        faults.add(f"{shape.name}: the root is {tag(root)} and not {wanted}")
    look_at_xml(parser, root, inner, f"{shape.name}.{payload}")


def tag(element):
    return element.tag.rpartition("}")[2]


def look_at_xml(parser, element, shape, path):
    kind = shape.type_name
    if kind == "structure":
        names, attributes = {}, set()
        for name, member in shape.members.items():
            if member.serialization.get("location") in ("header", "headers", "statusCode"):
                continue
            if member.serialization.get("xmlAttribute"):
                attributes.add(XSI_TYPE if member.serialization["name"] == "xsi:type" else member.serialization["name"])
            else:
                names[parser._member_key_name(member, name)] = (name, member)
        if unknown := set(element.attrib) - attributes:
            faults.add(f"{path}: unknown attributes {unknown}")
        before = []
        for child in element:
            if tag(child) not in names:
                faults.add(f"{path}: unknown element {tag(child)}")
                continue
            name, member = names[tag(child)]
            is_flat = member.type_name == "list" and member.serialization.get("flattened")
            if name in before and not (is_flat and before[-1] == name):
                faults.add(f"{path}.{name} stands at two places")
            before.append(name)
            if is_flat:
                seen.add(f"{path}.{name}")
                look_at_xml(parser, child, member.member, f"{path}.{name}[]")
            else:
                look_at_xml(parser, child, member, f"{path}.{name}")
    elif kind == "list":
        wanted = shape.member.serialization.get("name", "member")
        for child in element:
            seen.add(path)
            if tag(child) != wanted:
                faults.add(f"{path}: an element {tag(child)} and not {wanted}")
            look_at_xml(parser, child, shape.member, f"{path}[]")
        if (element.text or "").strip():
            faults.add(f"{path}: text instead of elements")
    elif kind == "map":
        for entry in element:
            if [tag(entry), *map(tag, entry)] != ["entry", "key", "value"]:
                faults.add(f"{path}: an entry that is none")
    else:
        if len(element):
            faults.add(f"{path}: elements in a {kind}")
        look_at_scalar(element.text or "", kind, path)


def look_at_scalar(text, kind, path):
    pattern = {
        "boolean": "true|false",
        "integer": r"-?\d+",
        "long": r"-?\d+",
        "timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z",
    }.get(kind, ".*")
    if not re.fullmatch(pattern, text, re.S):
        faults.add(f"{path}: {text!r} is no {kind}")


def look_at_json(value, shape, path):
    kind = shape.type_name
    python = {"structure": dict, "map": dict, "list": list, "boolean": bool, "integer": int, "long": int, "timestamp": (int, float)}.get(kind, str)
    if not isinstance(value, python):
        faults.add(f"{path}: {value!r} is no {kind}")
    elif kind == "structure":
        for name, inner in value.items():
            if name not in shape.members:
                faults.add(f"{path}: unknown member {name}")
            else:
                look_at_json(inner, shape.members[name], f"{path}.{name}")
    elif kind == "list":
        for inner in value:
            seen.add(path)
            look_at_json(inner, shape.member, f"{path}[]")


def lists_of(shape, path, above=()):
    """Paths of the lists that an answer may have."""
    if shape.name in above:
        return
    above = (*above, shape.name)
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if member.serialization.get("location") not in ("header", "headers"):
                yield from lists_of(member, f"{path}.{name}", above)
    elif shape.type_name == "list":
        yield path
        yield from lists_of(shape.member, f"{path}[]", above)


botocore.parsers.ResponseParser.parse = parse
from common import policy, root, statement, trusting  # noqa: E402: clients parse as above from here on


def ask_s3():
    """Makes every answer of S3 that has lists, with something in them."""
    s3, at = root.s3, {"Bucket": "answer-shapes"}
    locked = {"Bucket": "answer-shapes-locked"}
    s3.create_bucket(**at, ObjectOwnership="ObjectWriter")
    s3.create_bucket(**locked, ObjectLockEnabledForBucket=True)
    s3.delete_public_access_block(**at)
    owner = s3.list_buckets()["Owner"]["ID"]
    s3.put_bucket_versioning(**at, VersioningConfiguration={"Status": "Enabled"})
    for key in ("a/1", "a/2", "b", "c"):
        s3.put_object(**at, Key=key, Body=b"x", Tagging="t=1", ChecksumAlgorithm="SHA256")
    s3.delete_object(**at, Key="c")
    for kind in (s3.list_objects, s3.list_objects_v2, s3.list_object_versions):
        kind(**at)
        kind(**at, Delimiter="/", EncodingType="url")
        kind(**at, MaxKeys=1)
    s3.list_objects_v2(**at, FetchOwner=True, OptionalObjectAttributes=["RestoreStatus"])
    part = {**at, "Key": "m/parts"}
    upload = s3.create_multipart_upload(**part, ChecksumAlgorithm="SHA256", ChecksumType="COMPOSITE")["UploadId"]
    sent = [s3.upload_part(**part, UploadId=upload, PartNumber=number, Body=b"p" * (5 << 20), ChecksumAlgorithm="SHA256") for number in (1, 2)]
    s3.list_parts(**part, UploadId=upload)
    s3.list_parts(**part, UploadId=upload, MaxParts=1)
    s3.list_multipart_uploads(**at)
    s3.list_multipart_uploads(**at, Delimiter="/", MaxUploads=1)
    s3.upload_part_copy(**part, UploadId=upload, PartNumber=3, CopySource={**at, "Key": "b"})
    parts = [{"PartNumber": number, "ETag": one["ETag"], "ChecksumSHA256": one["ChecksumSHA256"]} for number, one in enumerate(sent, 1)]
    s3.complete_multipart_upload(**part, UploadId=upload, MultipartUpload={"Parts": parts})
    attributes = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    s3.get_object_attributes(**part, ObjectAttributes=attributes)
    s3.get_object_attributes(**part, ObjectAttributes=attributes, MaxParts=1)
    s3.copy_object(**at, Key="copy", CopySource={**at, "Key": "b"})
    s3.delete_objects(**at, Delete={"Objects": [{"Key": "copy"}]})
    held = s3.put_object(**locked, Key="k", Body=b"x", ObjectLockLegalHoldStatus="ON", ChecksumAlgorithm="CRC32")["VersionId"]
    s3.delete_objects(**locked, Delete={"Objects": [{"Key": "k", "VersionId": held}]})
    rule = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
    s3.put_object_lock_configuration(**locked, ObjectLockConfiguration=rule)
    s3.get_object_lock_configuration(**locked)
    s3.get_object_legal_hold(**locked, Key="k")
    s3.get_object_retention(**locked, Key=retained(s3, locked))
    for put, get, more in [(s3.put_bucket_acl, s3.get_bucket_acl, {}), (s3.put_object_acl, s3.get_object_acl, {"Key": "b"})]:
        put(**at, **more, GrantFullControl=f"id={owner}", GrantRead='uri="http://acs.amazonaws.com/groups/global/AllUsers"')
        get(**at, **more)
    tags = {"TagSet": [{"Key": "k", "Value": "v"}]}
    s3.put_bucket_tagging(**at, Tagging=tags)
    s3.get_bucket_tagging(**at)
    s3.get_object_tagging(**at, Key="b")
    cors = {"ID": "r", "AllowedHeaders": ["*"], "AllowedMethods": ["GET", "PUT"], "AllowedOrigins": ["*"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 1}
    s3.put_bucket_cors(**at, CORSConfiguration={"CORSRules": [cors]})
    s3.get_bucket_cors(**at)
    lifecycle = {
        "ID": "r", "Status": "Enabled", "Filter": {"And": {"Prefix": "z/", "Tags": [{"Key": "k", "Value": "v"}, {"Key": "l", "Value": "w"}]}},
        "Expiration": {"Days": 90}, "Transitions": [{"Days": 31, "StorageClass": "STANDARD_IA"}],
        "NoncurrentVersionTransitions": [{"NoncurrentDays": 31, "StorageClass": "STANDARD_IA"}], "NoncurrentVersionExpiration": {"NoncurrentDays": 90},
    }  # fmt: skip
    s3.put_bucket_lifecycle_configuration(**at, LifecycleConfiguration={"Rules": [lifecycle]})
    s3.get_bucket_lifecycle_configuration(**at)
    s3.put_bucket_encryption(**at, ServerSideEncryptionConfiguration={"Rules": [{
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]}}]})  # fmt: skip
    s3.get_bucket_encryption(**at)
    s3.get_bucket_ownership_controls(**at)
    s3.get_public_access_block(**locked)
    s3.put_bucket_policy(**at, Policy=policy(statement("Deny", "s3:GetObject", f"arn:aws:s3:::{at['Bucket']}/never", Principal="*")))
    s3.get_bucket_policy_status(**at)
    s3.put_object_annotation(**at, Key="b", AnnotationName="n", AnnotationPayload=b"x")
    s3.list_object_annotations(**at, Key="b")
    s3.put_bucket_abac(**at, AbacStatus={"Status": "Enabled"})
    s3.put_bucket_acl(**at, ACL="log-delivery-write")
    grants = [{"Grantee": {"Type": "CanonicalUser", "ID": owner}, "Permission": "READ"}]
    logging = {"TargetBucket": at["Bucket"], "TargetPrefix": "logs/", "TargetGrants": grants}
    s3.put_bucket_logging(**at, BucketLoggingStatus={"LoggingEnabled": logging})
    for get in (
        s3.get_bucket_abac, s3.get_bucket_accelerate_configuration, s3.get_bucket_location, s3.get_bucket_logging, s3.get_bucket_versioning,
        s3.get_bucket_notification_configuration, s3.get_bucket_request_payment, s3.list_bucket_analytics_configurations,
        s3.list_bucket_intelligent_tiering_configurations, s3.list_bucket_inventory_configurations, s3.list_bucket_metrics_configurations,
    ):  # fmt: skip
        get(**at)
    s3.put_bucket_logging(**at, BucketLoggingStatus={})
    s3.list_buckets(MaxBuckets=1)


def retained(s3, locked):
    s3.put_object(**locked, Key="retained", Body=b"x", ChecksumAlgorithm="CRC32")
    return "retained"


def ask_kms():
    for spec, usage in [("RSA_2048", "SIGN_VERIFY"), ("ECC_NIST_P256", "KEY_AGREEMENT"), ("HMAC_256", "GENERATE_VERIFY_MAC")]:
        key = root.kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
        root.kms.describe_key(KeyId=key)


def ask_iam():
    iam, tags = root.iam, [{"Key": "k", "Value": "v"}]
    iam.create_user(UserName="shaped", Tags=tags)
    iam.attach_user_policy(UserName="shaped", PolicyArn="arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
    iam.create_role(RoleName="shaped", Tags=tags, AssumeRolePolicyDocument=trusting(root.account))
    iam.get_account_authorization_details(MaxItems=1000)
    iam.list_saml_providers()
    iam.list_server_certificates()


def is_here(service, operation):
    """Does the gateway have the operation? Asked with nothing, it says so of what it has not."""
    if service == "s3":
        return operation in S3_WORKS
    if service not in unchecked:
        unchecked[service] = root.new_client(service, parameter_validation=False)
    client = unchecked[service]
    try:
        getattr(client, xform_name(operation))()
    except ClientError as error:
        return error.response["Error"]["Code"] not in ("NotImplemented", "UnsupportedOperationException", "InvalidAction", "ValidationException")
    return True


def has_body(shape):
    members = [shape.members[shape.serialization["payload"]]] if "payload" in shape.serialization else shape.members.values()
    in_body = [member for member in members if member.serialization.get("location") not in ("header", "headers", "statusCode")]
    return any(member.type_name not in ("blob", "string") or "payload" not in shape.serialization for member in in_body)


unchecked = {}
for script in ["kms.py", "iam.py", "sts.py"]:
    runpy.run_path(str(FOLDER / script), run_name="__main__")
ask_s3()
ask_kms()
ask_iam()
for service in ["s3", "kms", "iam", "sts"]:
    model = botocore.session.get_session().get_service_model(service)
    for operation in model.operation_names:
        shape = model.operation_model(operation).output_shape
        if shape is None or not has_body(shape):
            continue
        lacking = [path for path in lists_of(shape, shape.name) if path not in seen]
        if shape.name not in answered:
            lacking = ["no answer"] if is_here(service, operation) else []
        elif service == "s3" and operation not in S3_WORKS:
            lacking = []
        for path in lacking:
            told = f"{service} {operation}: {path}"
            if not any(re.match(pattern, told) for pattern in NEVER_FILLED):
                faults.add(f"{told} was not seen")
wrong = sorted(faults - BESIDE_THE_MODEL)
print(f"{len(answered)} kinds of answers, {len(seen)} lists with something in them")
sys.exit("\n".join(wrong) if wrong else 0)
