"""Every action of S3 and KMS that is served × every condition key that AWS gives it: one Allow and one Deny that act on it, each beside one
that does not fit. The rows are those of AWS's service authorization reference; keys that no request has are listed by the gateway.
"""

import csv
import datetime
import os
import sys

from botocore.exceptions import ClientError

from common import new_user, policy, root, statement

REFERENCE, TABLE = os.environ["ACTIONS_TSV"], os.environ["CONDITION_KEYS_MD"]
BUCKET, KEY, GONE = "condition-keys", "object", "gone"
TAGS = {"TagSet": [{"Key": "team", "Value": "blue"}]}
UNTIL = "2099-01-01T00:00:00Z"

s3, iam = root.s3, root.iam
account = root.account
_, user = new_user(iam, "condition-keys")
injected = {}
user.s3.meta.events.register_first("before-sign.s3.*", lambda request, **_: [request.headers.replace_header(name, value) if name in request.headers else request.headers.add_header(name, value) for name, value in injected.items()])

s3.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
s3.put_bucket_tagging(Bucket=BUCKET, Tagging=TAGS)
s3.put_bucket_abac(Bucket=BUCKET, AbacStatus={"Status": "Enabled"})
version = s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"x", Tagging="team=blue")["VersionId"]
gone = s3.put_object(Bucket=BUCKET, Key=GONE, Body=b"x")["VersionId"]
etag = '"9dd4e461268c8034f5c8564e155c67a6"'

of_bucket, of_object = {"Bucket": BUCKET}, {"Bucket": BUCKET, "Key": KEY}
of_version = {**of_object, "VersionId": version}
# An upload that does not exist is told to whoever may know.
of_upload = {**of_object, "UploadId": "A" * 32}
# Documents that are refused once they are read: nothing is changed.
CONFIGS = {
    "PutAccelerateConfiguration": ("put_bucket_accelerate_configuration", {"AccelerateConfiguration": {}}),
    "PutBucketAbac": ("put_bucket_abac", {"AbacStatus": {"Status": "Enabled"}}),
    "PutBucketAcl": ("put_bucket_acl", {"ACL": "private"}),
    "PutBucketCORS": ("put_bucket_cors", {"CORSConfiguration": {"CORSRules": []}}),
    "PutBucketObjectLockConfiguration": ("put_object_lock_configuration", {"ObjectLockConfiguration": {}}),
    "PutBucketOwnershipControls": ("put_bucket_ownership_controls", {"OwnershipControls": {"Rules": []}}),
    "PutBucketPolicy": ("put_bucket_policy", {"Policy": "{}"}),
    "PutBucketPublicAccessBlock": ("put_public_access_block", {"PublicAccessBlockConfiguration": {}}),
    "PutBucketRequestPayment": ("put_bucket_request_payment", {"RequestPaymentConfiguration": {"Payer": "BucketOwner"}}),
    "PutBucketTagging": ("put_bucket_tagging", {"Tagging": TAGS}),
    "PutBucketVersioning": ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Enabled"}}),
    "PutEncryptionConfiguration": ("put_bucket_encryption", {"ServerSideEncryptionConfiguration": {"Rules": []}}),
    "PutLifecycleConfiguration": ("put_bucket_lifecycle_configuration", {"LifecycleConfiguration": {"Rules": []}}),
}
READS = {
    "GetAccelerateConfiguration": "get_bucket_accelerate_configuration",
    "GetAnalyticsConfiguration": "list_bucket_analytics_configurations",
    "GetBucketAbac": "get_bucket_abac",
    "GetBucketAcl": "get_bucket_acl",
    "GetBucketCORS": "get_bucket_cors",
    "GetBucketLocation": "get_bucket_location",
    "GetBucketLogging": "get_bucket_logging",
    "GetBucketNotification": "get_bucket_notification_configuration",
    "GetBucketObjectLockConfiguration": "get_object_lock_configuration",
    "GetBucketOwnershipControls": "get_bucket_ownership_controls",
    "GetBucketPolicy": "get_bucket_policy",
    "GetBucketPolicyStatus": "get_bucket_policy_status",
    "GetBucketPublicAccessBlock": "get_public_access_block",
    "GetBucketRequestPayment": "get_bucket_request_payment",
    "GetBucketTagging": "get_bucket_tagging",
    "GetBucketVersioning": "get_bucket_versioning",
    "GetBucketWebsite": "get_bucket_website",
    "GetEncryptionConfiguration": "get_bucket_encryption",
    "GetIntelligentTieringConfiguration": "list_bucket_intelligent_tiering_configurations",
    "GetInventoryConfiguration": "list_bucket_inventory_configurations",
    "GetLifecycleConfiguration": "get_bucket_lifecycle_configuration",
    "GetMetricsConfiguration": "list_bucket_metrics_configurations",
    "GetReplicationConfiguration": "get_bucket_replication",
    "ListBucket": "list_objects_v2",
    "ListBucketMultipartUploads": "list_multipart_uploads",
    "ListBucketVersions": "list_object_versions",
    "DeleteBucket": "delete_bucket",
    "DeleteBucketPolicy": "delete_bucket_policy",
}
OBJECTS = {
    "AbortMultipartUpload": ("abort_multipart_upload", of_upload),
    "BypassGovernanceRetention": ("delete_object", {"Bucket": BUCKET, "Key": GONE, "VersionId": gone, "BypassGovernanceRetention": True}),
    "CreateBucket": ("create_bucket", of_bucket),
    "DeleteObject": ("delete_object", {"Bucket": BUCKET, "Key": GONE}),
    "DeleteObjectTagging": ("delete_object_tagging", of_object),
    "DeleteObjectVersion": ("delete_object", {"Bucket": BUCKET, "Key": GONE, "VersionId": gone}),
    "DeleteObjectVersionTagging": ("delete_object_tagging", of_version),
    "GetObject": ("get_object", of_object),
    "GetObjectAcl": ("get_object_acl", of_object),
    "GetObjectAttributes": ("get_object_attributes", {**of_object, "ObjectAttributes": ["ETag"]}),
    "GetObjectLegalHold": ("get_object_legal_hold", of_object),
    "GetObjectRetention": ("get_object_retention", of_object),
    "GetObjectTagging": ("get_object_tagging", of_object),
    "GetObjectVersion": ("get_object", of_version),
    "GetObjectVersionAcl": ("get_object_acl", of_version),
    "GetObjectVersionAttributes": ("get_object_attributes", {**of_version, "ObjectAttributes": ["ETag"]}),
    "GetObjectVersionTagging": ("get_object_tagging", of_version),
    "ListAllMyBuckets": ("list_buckets", {}),
    "ListMultipartUploadParts": ("list_parts", of_upload),
    "PutObject": ("put_object", {**of_object, "Body": b"x", "Tagging": "team=blue"}),
    "PutObjectAcl": ("put_object_acl", {**of_object, "ACL": "private"}),
    "PutObjectLegalHold": ("put_object_legal_hold", {**of_object, "LegalHold": {"Status": "ON"}}),
    "PutObjectRetention": ("put_object_retention", {**of_object, "Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": UNTIL}}),
    "PutObjectTagging": ("put_object_tagging", {**of_object, "Tagging": TAGS}),
    "PutObjectVersionAcl": ("put_object_acl", {**of_version, "ACL": "private"}),
    "PutObjectVersionTagging": ("put_object_tagging", {**of_version, "Tagging": TAGS}),
    "RestoreObject": ("restore_object", {**of_object, "RestoreRequest": {"Days": 1}}),
    "UpdateObjectEncryption": ("update_object_encryption", {**of_object, "ObjectEncryption": {"SSEKMS": {"KMSKeyArn": f"arn:aws:kms:us-east-1:{account}:key/0"}}}),
}
CALLS = {action: (method, of_bucket) for action, method in READS.items()}
CALLS |= {action: (method, {**of_bucket, **more}) for action, (method, more) in CONFIGS.items()}
CALLS |= OBJECTS

OWNER = f'id="{s3.list_buckets()["Owner"]["ID"]}"'
CUSTOMER = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": bytes(range(32))}
LOCKED = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": UNTIL, "ChecksumAlgorithm": "CRC32"}
# Operator, a value that fits, one that does not, and what the call gets beside its own parameters: a header (a text) or parameters.
KEYS = {
    "s3:authType": ("StringEquals", "REST-HEADER", "POST", {}),
    "s3:signatureversion": ("StringEquals", "AWS4-HMAC-SHA256", "AWS", {}),
    "s3:signatureAge": ("NumericLessThan", "600000", "0", {}),
    "s3:TlsVersion": ("NumericGreaterThanEquals", "1.2", "9", {}),
    "s3:ResourceAccount": ("StringEquals", account, "000000000000", {}),
    "s3:x-amz-content-sha256": ("StringLike", "?*", "other", {}),
    "aws:RequestTag/${TagKey}": ("StringEquals", "blue", "red", {"CreateBucketConfiguration": {"Tags": TAGS["TagSet"]}}),
    "aws:TagKeys": ("ForAnyValue:StringEquals", "team", "other", {"CreateBucketConfiguration": {"Tags": TAGS["TagSet"]}}),
    "aws:ResourceTag/${TagKey}": ("StringEquals", "blue", "red", {}),
    "s3:BucketTag/${TagKey}": ("StringEquals", "blue", "red", {}),
    "s3:locationconstraint": ("StringEquals", "eu-west-1", "eu-west-2", {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}),
    "s3:x-amz-acl": ("StringEquals", "private", "public-read", "private"),
    "s3:x-amz-bucket-namespace": ("StringEquals", "global", "other", "global"),
    "s3:x-amz-object-ownership": ("StringEquals", "BucketOwnerEnforced", "ObjectWriter", "BucketOwnerEnforced"),
    "s3:ExistingObjectTag/<key>": ("StringEquals", "blue", "red", {}),
    "s3:RequestObjectTag/<key>": ("StringEquals", "blue", "red", {}),
    "s3:RequestObjectTagKeys": ("ForAnyValue:StringEquals", "team", "other", {}),
    "s3:versionid": ("StringLike", "?*", "other", {}),
    "s3:delimiter": ("StringEquals", "/", "-", {"Delimiter": "/"}),
    "s3:prefix": ("StringEquals", "home/", "other/", {"Prefix": "home/"}),
    "s3:max-keys": ("NumericEquals", "7", "8", {"MaxKeys": 7}),
    "s3:if-match": ("StringEquals", etag, '"other"', etag),
    "s3:if-none-match": ("StringEquals", "*", "other", "*"),
    "s3:ObjectCreationOperation": ("Bool", "true", "false", {}),
    "s3:object-lock-legal-hold": ("StringEquals", "ON", "OFF", {"ObjectLockLegalHoldStatus": "ON", "ChecksumAlgorithm": "CRC32"}),
    "s3:object-lock-mode": ("StringEquals", "GOVERNANCE", "COMPLIANCE", LOCKED),
    "s3:object-lock-retain-until-date": ("DateEquals", UNTIL, "2098-01-01T00:00:00Z", LOCKED),
    "s3:object-lock-remaining-retention-days": ("NumericGreaterThan", "10000", "100000", LOCKED),
    "s3:x-amz-copy-source": ("StringEquals", f"{BUCKET}/{KEY}", "other/object", f"{BUCKET}/{KEY}"),
    "s3:x-amz-metadata-directive": ("StringEquals", "REPLACE", "COPY", "REPLACE"),
    "s3:x-amz-server-side-encryption": ("StringEquals", "AES256", "aws:kms", "AES256"),
    "s3:x-amz-server-side-encryption-aws-kms-key-id": ("ArnLike", f"arn:aws:kms:us-east-1:{account}:key/*", "arn:aws:kms:us-east-1:0:key/*", f"arn:aws:kms:us-east-1:{account}:key/0"),
    "s3:x-amz-server-side-encryption-customer-algorithm": ("StringEquals", "AES256", "other", CUSTOMER),
    "s3:x-amz-storage-class": ("StringEquals", "STANDARD_IA", "STANDARD", "STANDARD_IA"),
    "s3:x-amz-website-redirect-location": ("StringEquals", "/there", "/elsewhere", "/there"),
}
for grant in ["full-control", "read", "read-acp", "write", "write-acp"]:
    KEYS[f"s3:x-amz-grant-{grant}"] = ("StringEquals", OWNER, "other", OWNER)
OF_DOCUMENTS = {"s3:object-lock-legal-hold", "s3:object-lock-mode", "s3:object-lock-retain-until-date", "s3:object-lock-remaining-retention-days"}
# Governance is bypassed by deletions and changes of locks, which have none of a write's headers.
OF_REQUESTS = {"s3:authType", "s3:ResourceAccount", "s3:signatureAge", "s3:signatureversion", "s3:TlsVersion", "s3:x-amz-content-sha256"}
# The same headers ask for another operation of the same action.
COPIES = {"s3:x-amz-copy-source", "s3:x-amz-metadata-directive"}

absent = {line.split("`")[1].rstrip("/") for line in open(TABLE) if "none, ever" in line}


def is_absent(key):
    return key.split("<")[0].split("$")[0].rstrip("/").lower() in absent


def code_of(action, key, statements):
    """What the call is answered under these statements of its caller: `AccessDenied`, or anything else."""
    iam.put_user_policy(UserName="condition-keys", PolicyName="p", PolicyDocument=policy(*statements))
    method, parameters = CALLS[action]
    more = KEYS[key][3]
    injected.clear()
    if action == "UpdateObjectEncryption" and isinstance(more, str):
        more = {}
    if isinstance(more, str):
        injected[key.removeprefix("s3:")] = more
    elif not (key in OF_DOCUMENTS and action != "PutObject"):
        parameters = {**parameters, **more}
    if key in COPIES:
        injected["x-amz-copy-source"] = f"{BUCKET}/{KEY}"
        parameters = {name: value for name, value in parameters.items() if name not in ("Body", "Tagging")}
    if key == "s3:x-amz-server-side-encryption-aws-kms-key-id" and injected:
        injected["x-amz-server-side-encryption"] = "aws:kms"
    if "Tagging" in action or key.startswith("s3:ExistingObjectTag"):
        s3.put_object_tagging(**of_object, Tagging=TAGS)
        s3.put_object_tagging(**of_version, Tagging=TAGS)
    try:
        getattr(user.s3, method)(**parameters)
        return "OK"
    except ClientError as error:
        return error.response["Error"]["Code"]
    finally:
        injected.clear()


rows, wrong, absences, unserved = 0, [], 0, set()
for row in csv.DictReader(open(REFERENCE), delimiter="\t"):
    action = row["action"]
    if row["service"] != "s3":
        continue
    if action not in CALLS:
        unserved.add(action)
        continue
    full = f"s3:{action}"
    for key in filter(None, row["condition_keys"].split(",")):
        if is_absent(key) or action == "BypassGovernanceRetention" and key not in OF_REQUESTS:
            absences += 1
            continue
        operator, fits, other, _ = KEYS[key]
        if action == "UpdateObjectEncryption" and key == "s3:x-amz-server-side-encryption":
            fits, other = other, fits
        name = key.replace("<key>", "team").replace("${TagKey}", "team")
        # A bucket that is to be has no owner yet, and the list of all buckets has none.
        if key == "s3:ResourceAccount" and action in ("CreateBucket", "ListAllMyBuckets"):
            absences += 1
            continue
        rest = {"Effect": "Allow", "NotAction": full, "Resource": "*"}
        for value, expected in [(fits, True), (other, False)]:
            condition = {operator: {name: value}}
            allowed = code_of(action, key, [rest, statement("Allow", full, Condition=condition)])
            denied = code_of(action, key, [statement("Allow", "*"), statement("Deny", full, Condition=condition)])
            rows += 2
            if (allowed not in ("AccessDenied", "403")) != expected:
                wrong.append(f"Allow {full} {condition}: {allowed}")
            if (denied in ("AccessDenied", "403")) != expected:
                wrong.append(f"Deny {full} {condition}: {denied}")
            if "NotImplemented" in (allowed, denied):
                wrong.append(f"{full} {condition}: not implemented")
print(f"S3: {rows} decisions, {absences} pairs of an action and a key that no request has, {len(unserved)} actions not served: {' '.join(sorted(unserved))}")


kms = root.kms
key_id = kms.create_key(Tags=[{"TagKey": "team", "TagValue": "blue"}])["KeyMetadata"]["KeyId"]

signing = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
agreeing = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]["KeyId"]
mac = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
external = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
for name, target in [("aes", key_id), ("signing", signing), ("agreeing", agreeing), ("mac", mac)]:
    kms.create_alias(AliasName=f"alias/condition-{name}", TargetKeyId=target)
AES, SIGNING, AGREEING, MAC = (f"alias/condition-{name}" for name in ["aes", "signing", "agreeing", "mac"])
CONTEXT = {"team": "blue"}
blob = kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionContext=CONTEXT)["CiphertextBlob"]
public = kms.get_public_key(KeyId=agreeing)["PublicKey"]
TO = {"DestinationKeyId": AES, "CiphertextBlob": blob, "SourceKeyId": AES, "SourceEncryptionContext": CONTEXT, "DestinationEncryptionContext": CONTEXT}
SIGN = {"KeyId": SIGNING, "Message": b"x", "MessageType": "RAW", "SigningAlgorithm": "ECDSA_SHA_256"}
ENCRYPT = {"KeyId": AES, "EncryptionContext": CONTEXT}
SOON = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
IMPORT = {"KeyId": external, "ImportToken": b"x", "EncryptedKeyMaterial": b"x"}
KMS_CALLS = {
    "CreateKey": ("create_key", {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC", "BypassPolicyLockoutSafetyCheck": True, "Tags": [{"TagKey": "team", "TagValue": "blue"}]}),
    "CreateGrant": ("create_grant", {"KeyId": key_id, "GranteePrincipal": f"arn:aws:iam::{account}:root", "RetiringPrincipal": f"arn:aws:iam::{account}:root", "Operations": ["Decrypt"], "Constraints": {"EncryptionContextEquals": CONTEXT}}),
    "Decrypt": ("decrypt", {"KeyId": AES, "CiphertextBlob": blob, "EncryptionContext": CONTEXT}),
    "DeriveSharedSecret": ("derive_shared_secret", {"KeyId": AGREEING, "KeyAgreementAlgorithm": "ECDH", "PublicKey": public}),
    "DescribeKey": ("describe_key", {"KeyId": AES}),
    "EnableKeyRotation": ("enable_key_rotation", {"KeyId": key_id, "RotationPeriodInDays": 100}),
    "Encrypt": ("encrypt", {**ENCRYPT, "Plaintext": b"x"}),
    "GenerateDataKey": ("generate_data_key", {**ENCRYPT, "KeySpec": "AES_256"}),
    "GenerateDataKeyPair": ("generate_data_key_pair", {**ENCRYPT, "KeyPairSpec": "ECC_NIST_P256"}),
    "GenerateDataKeyPairWithoutPlaintext": ("generate_data_key_pair_without_plaintext", {**ENCRYPT, "KeyPairSpec": "ECC_NIST_P256"}),
    "GenerateDataKeyWithoutPlaintext": ("generate_data_key_without_plaintext", {**ENCRYPT, "KeySpec": "AES_256"}),
    "GenerateMac": ("generate_mac", {"KeyId": MAC, "Message": b"x", "MacAlgorithm": "HMAC_SHA_256"}),
    "GetParametersForImport": ("get_parameters_for_import", {"KeyId": external, "WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}),
    "GetPublicKey": ("get_public_key", {"KeyId": SIGNING}),
    "ImportKeyMaterial": ("import_key_material", {**IMPORT, "ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": SOON}),
    "ListGrants": ("list_grants", {"KeyId": key_id}),
    "PutKeyPolicy": ("put_key_policy", {"KeyId": key_id, "Policy": "{}", "BypassPolicyLockoutSafetyCheck": True}),
    "ReEncryptFrom": ("re_encrypt", TO),
    "ReEncryptTo": ("re_encrypt", TO),
    "RevokeGrant": ("revoke_grant", {"KeyId": key_id, "GrantId": "0" * 64}),
    "ScheduleKeyDeletion": ("schedule_key_deletion", {"KeyId": external, "PendingWindowInDays": 9}),
    "Sign": ("sign", SIGN),
    "TagResource": ("tag_resource", {"KeyId": key_id, "Tags": [{"TagKey": "team", "TagValue": "blue"}]}),
    "UntagResource": ("untag_resource", {"KeyId": key_id, "TagKeys": ["team"]}),
    "Verify": ("verify", {**SIGN, "Signature": b"x"}),
    "VerifyMac": ("verify_mac", {"KeyId": MAC, "Message": b"x", "Mac": b"x", "MacAlgorithm": "HMAC_SHA_256"}),
}
ROOT_USER = f"arn:aws:iam::{account}:root"
KMS_KEYS = {
    "aws:RequestTag/${TagKey}": ("StringEquals", "blue", "red"),
    "aws:TagKeys": ("ForAnyValue:StringEquals", "team", "other"),
    "kms:BypassPolicyLockoutSafetyCheck": ("Bool", "true", "false"),
    "kms:CallerAccount": ("StringEquals", account, "000000000000"),
    "kms:DataKeyPairSpec": ("StringEquals", "ECC_NIST_P256", "RSA_2048"),
    "kms:EncryptionAlgorithm": ("StringEquals", "SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1"),
    "kms:EncryptionContext:${EncryptionContextKey}": ("StringEquals", "blue", "red"),
    "kms:EncryptionContextKeys": ("ForAnyValue:StringEquals", "team", "other"),
    "kms:ExpirationModel": ("StringEquals", "KEY_MATERIAL_EXPIRES", "KEY_MATERIAL_DOES_NOT_EXPIRE"),
    "kms:GrantConstraintType": ("StringEquals", "EncryptionContextEquals", "EncryptionContextSubset"),
    "kms:GranteePrincipal": ("StringEquals", ROOT_USER, "other"),
    "kms:GrantIsForAWSResource": ("Bool", "false", "true"),
    "kms:GrantOperations": ("ForAnyValue:StringEquals", "Decrypt", "Encrypt"),
    "kms:KeyAgreementAlgorithm": ("StringEquals", "ECDH", "other"),
    "kms:KeyOrigin": ("StringEquals", "AWS_KMS", "EXTERNAL"),
    "kms:KeySpec": ("StringEquals", "HMAC_256", "RSA_2048"),
    "kms:KeyUsage": ("StringEquals", "GENERATE_VERIFY_MAC", "SIGN_VERIFY"),
    "kms:MacAlgorithm": ("StringEquals", "HMAC_SHA_256", "HMAC_SHA_512"),
    "kms:MessageType": ("StringEquals", "RAW", "DIGEST"),
    "kms:MultiRegion": ("Bool", "false", "true"),
    "kms:ReEncryptOnSameKey": ("Bool", "true", "false"),
    "kms:RequestAlias": ("StringLike", "alias/condition-*", "alias/other"),
    "kms:RetiringPrincipal": ("StringEquals", ROOT_USER, "other"),
    "kms:RotationPeriodInDays": ("NumericEquals", "100", "101"),
    "kms:ScheduleKeyDeletionPendingWindowInDays": ("NumericEquals", "9", "10"),
    "kms:SigningAlgorithm": ("StringEquals", "ECDSA_SHA_256", "ECDSA_SHA_384"),
    "kms:ValidTo": ("DateEquals", SOON, "2098-01-01T00:00:00Z"),
    "kms:WrappingAlgorithm": ("StringEquals", "RSAES_OAEP_SHA_256", "RSAES_OAEP_SHA_1"),
    "kms:WrappingKeySpec": ("StringEquals", "RSA_2048", "RSA_4096"),
}
# No request has these: there are no enclaves and no replicas, no service of AWS but S3 asks for anybody (`ViaService` is tested with it),
# and a key that is to be has no tags yet.
KMS_ABSENT = ("kms:RecipientAttestation", "kms:ViaService", "kms:MultiRegionKeyType", "kms:PrimaryRegion", "kms:ReplicaRegion", "aws:ResourceTag")


def kms_code_of(action, statements):
    iam.put_user_policy(UserName="condition-keys", PolicyName="p", PolicyDocument=policy(*statements))
    if action == "UntagResource":
        kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "team", "TagValue": "blue"}])
    try:
        method, parameters = KMS_CALLS[action]
        getattr(user.kms, method)(**parameters)
        return "OK"
    except ClientError as error:
        return error.response["Error"]["Code"]
    finally:
        if action == "ScheduleKeyDeletion" and kms.describe_key(KeyId=external)["KeyMetadata"]["KeyState"] == "PendingDeletion":
            kms.cancel_key_deletion(KeyId=external)


rows, absences, unserved = 0, 0, set()
for row in csv.DictReader(open(REFERENCE), delimiter="\t"):
    action = row["action"]
    keys = [key for key in row["condition_keys"].split(",") if key]
    if row["service"] != "kms":
        continue
    # Whoever has the grant retires it, whatever his policies say.
    if action not in KMS_CALLS:
        keys = [key for key in keys if not key.startswith(KMS_ABSENT) and key != "kms:CallerAccount"]
        if keys and action != "RetireGrant":
            unserved.add(action)
        continue
    full = f"kms:{action}"
    for key in keys:
        if key.startswith(KMS_ABSENT):
            absences += 1
            continue
        operator, fits, other = KMS_KEYS[key]
        name = key.replace("${TagKey}", "team").replace("${EncryptionContextKey}", "team")
        rest = {"Effect": "Allow", "NotAction": full, "Resource": "*"}
        for value, expected in [(fits, True), (other, False)]:
            condition = {operator: {name: value}}
            allowed = kms_code_of(action, [rest, statement("Allow", full, Condition=condition)])
            denied = kms_code_of(action, [statement("Allow", "*"), statement("Deny", full, Condition=condition)])
            rows += 2
            if (allowed != "AccessDeniedException") != expected:
                wrong.append(f"Allow {full} {condition}: {allowed}")
            if (denied == "AccessDeniedException") != expected:
                wrong.append(f"Deny {full} {condition}: {denied}")
print(f"KMS: {rows} decisions, {absences} pairs that no request has, not asked for: {' '.join(sorted(unserved))}")
if wrong:
    sys.exit("\n".join(wrong))
