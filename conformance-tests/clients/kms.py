"""Every operation of KMS with boto3, whose parser holds each answer against the service's model."""

import datetime
import json

import boto3
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding

kms = boto3.client("kms")
account = boto3.client("kms").create_key()["KeyMetadata"]["AWSAccountId"]
user = boto3.client("iam").create_user(UserName="alice")["User"]["Arn"]
context = {"purpose": "test", "ü": "ö"}


def refused(code, operation, **parameters):
    """The operation must be refused by this name, with a message unless there is none by intent."""
    try:
        operation(**parameters)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, f"{code}: {error}"
        return error.response["Error"]["Message"]
    raise AssertionError(f"not refused with {code}")


def changed(blob):
    """The blob with another last byte than it has, whatever that is."""
    return blob[:-1] + bytes([blob[-1] ^ 1])


def keys_and_aliases():
    made = kms.create_key(Description="first", Tags=[{"TagKey": "a", "TagValue": "1"}])["KeyMetadata"]
    key, arn = made["KeyId"], made["Arn"]
    assert (made["KeyState"], made["Origin"], made["KeyManager"]) == ("Enabled", "AWS_KMS", "CUSTOMER")
    kms.create_alias(AliasName="alias/one", TargetKeyId=key)
    refused("AlreadyExistsException", kms.create_alias, AliasName="alias/one", TargetKeyId=key)
    refused("InvalidAliasNameException", kms.create_alias, AliasName="alias/aws/own", TargetKeyId=key)
    for name in [key, arn, "alias/one", arn.replace(f"key/{key}", "alias/one")]:
        assert kms.describe_key(KeyId=name)["KeyMetadata"]["Arn"] == arn
    message = refused("NotFoundException", kms.describe_key, KeyId="alias/none")
    assert "alias/none is not found." in message, message
    assert {"AliasName": "alias/one"}.items() <= kms.list_aliases(KeyId=key)["Aliases"][0].items()
    assert key in [row["KeyId"] for page in kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1}) for row in page["Keys"]]
    kms.update_key_description(KeyId=key, Description="second")
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Description"] == "second"
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "b", "TagValue": "2"}, {"TagKey": "a", "TagValue": "3"}])
    assert kms.list_resource_tags(KeyId=key, Limit=1)["Truncated"]
    kms.untag_resource(KeyId=key, TagKeys=["b"])
    assert kms.list_resource_tags(KeyId=key)["Tags"] == [{"TagKey": "a", "TagValue": "3"}]
    refused("TagException", kms.tag_resource, KeyId=key, Tags=[{"TagKey": "aws:x", "TagValue": ""}])
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName="alias/one", TargetKeyId=other)
    assert kms.describe_key(KeyId="alias/one")["KeyMetadata"]["KeyId"] == other
    kms.delete_alias(AliasName="alias/one")
    refused("NotFoundException", kms.delete_alias, AliasName="alias/one")
    kms.disable_key(KeyId=arn)
    assert refused("DisabledException", kms.encrypt, KeyId=key, Plaintext=b"x") == f"{arn} is disabled."
    kms.enable_key(KeyId=arn)
    assert kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)["KeyState"] == "PendingDeletion"
    message = refused("KMSInvalidStateException", kms.encrypt, KeyId=key, Plaintext=b"x")
    assert message == f"{arn} is pending deletion."
    assert kms.cancel_key_deletion(KeyId=key)["KeyId"] == arn
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"


def data():
    key = kms.create_key()["KeyMetadata"]["Arn"]
    for plain in [b"x", bytes(4096)]:
        blob = kms.encrypt(KeyId=key, Plaintext=plain, EncryptionContext=context)["CiphertextBlob"]
        opened = kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)
        assert (opened["Plaintext"], opened["KeyId"]) == (plain, key)
        refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=blob)
        refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=changed(blob), EncryptionContext=context)
    for parameters, length in [({"KeySpec": "AES_256"}, 32), ({"KeySpec": "AES_128"}, 16), ({"NumberOfBytes": 64}, 64)]:
        made = kms.generate_data_key(KeyId=key, EncryptionContext=context, **parameters)
        assert len(made["Plaintext"]) == length
        assert kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=context)["Plaintext"] == made["Plaintext"]
        blob = kms.generate_data_key_without_plaintext(KeyId=key, **parameters)["CiphertextBlob"]
        assert len(kms.decrypt(CiphertextBlob=blob, KeyId=key)["Plaintext"]) == length
    message = refused("ValidationException", kms.generate_data_key, KeyId=key)
    assert message == "Please specify either number of bytes or key spec.", message
    other = kms.create_key()["KeyMetadata"]["Arn"]
    refused("IncorrectKeyException", kms.decrypt, CiphertextBlob=blob, KeyId=other)
    moved = kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other, DestinationEncryptionContext=context)
    assert (moved["SourceKeyId"], moved["KeyId"]) == (key, other)
    assert len(kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext=context)["Plaintext"]) == 64
    assert len(kms.generate_random(NumberOfBytes=1024)["Plaintext"]) == 1024
    for operation, parameters in [
        (kms.encrypt, {"KeyId": key, "Plaintext": b"x"}),
        (kms.decrypt, {"CiphertextBlob": blob}),
        (kms.generate_data_key, {"KeyId": key, "KeySpec": "AES_256"}),
        (kms.re_encrypt, {"CiphertextBlob": blob, "DestinationKeyId": other}),
    ]:
        refused("DryRunOperationException", operation, DryRun=True, **parameters)


def policies():
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    policy = kms.get_key_policy(KeyId=key)["Policy"]
    statement = {
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    assert json.loads(policy) == {"Version": "2012-10-17", "Id": "key-default-1", "Statement": [statement]}
    assert kms.list_key_policies(KeyId=key)["PolicyNames"] == ["default"]
    kms.put_key_policy(KeyId=key, Policy=policy + " ")
    assert kms.get_key_policy(KeyId=key)["Policy"] == policy + " ", "kept as it was put"
    locked = json.dumps({"Version": "2012-10-17", "Statement": [statement | {"Action": "kms:Encrypt"}]})
    message = refused("MalformedPolicyDocumentException", kms.put_key_policy, KeyId=key, Policy=locked)
    assert message == "The new key policy will not allow you to update the key policy in the future."
    kms.put_key_policy(KeyId=key, Policy=locked, BypassPolicyLockoutSafetyCheck=True)
    kms.encrypt(KeyId=key, Plaintext=b"x")
    message = refused("AccessDeniedException", kms.disable_key, KeyId=key)
    assert "is not authorized to perform: kms:DisableKey on resource: arn:aws:kms:" in message, message


def rotation():
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"old")["CiphertextBlob"]
    assert not kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=180)
    status = kms.get_key_rotation_status(KeyId=key)
    days = (status["NextRotationDate"] - datetime.datetime.now(datetime.timezone.utc)).days
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"], days) == (True, 180, 179)
    kms.rotate_key_on_demand(KeyId=key)
    assert [row["RotationType"] for row in kms.list_key_rotations(KeyId=key)["Rotations"]] == ["ON_DEMAND"]
    all_material = kms.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    assert [row["KeyMaterialState"] for row in all_material] == ["NON_CURRENT", "CURRENT"]
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"old"
    kms.disable_key_rotation(KeyId=key)


def imports():
    made = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]
    key, arn = made["KeyId"], made["Arn"]
    assert made["KeyState"] == "PendingImport"
    assert refused("KMSInvalidStateException", kms.encrypt, KeyId=key, Plaintext=b"x") == f"{arn} is pending import."
    material, hash_of = bytes(range(32)), {"1": hashes.SHA1(), "256": hashes.SHA256()}
    for algorithm in ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256"]:
        begun = kms.get_parameters_for_import(KeyId=key, WrappingAlgorithm=algorithm, WrappingKeySpec="RSA_3072")
        public_key = serialization.load_der_public_key(begun["PublicKey"])
        chosen = hash_of[algorithm.rsplit("_", 1)[1]]
        oaep = padding.OAEP(mgf=padding.MGF1(chosen), algorithm=chosen, label=None)
        if "AES" in algorithm.replace("RSAES", ""):
            wrapped = public_key.encrypt(b"k" * 32, oaep) + aes_key_wrap_with_padding(b"k" * 32, material)
        else:
            wrapped = public_key.encrypt(material, oaep)
        parameters = {"KeyId": key, "ImportToken": begun["ImportToken"], "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
        refused("InvalidCiphertextException", kms.import_key_material, EncryptedKeyMaterial=changed(wrapped), **parameters)
        kms.import_key_material(EncryptedKeyMaterial=wrapped, **parameters)
        kms.encrypt(KeyId=key, Plaintext=b"x")
    metadata = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert metadata["ExpirationModel"] == "KEY_MATERIAL_DOES_NOT_EXPIRE"
    refused("UnsupportedOperationException", kms.enable_key_rotation, KeyId=key)
    kms.delete_imported_key_material(KeyId=key)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingImport"
    gone = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert gone["KeyState"] == "PendingImport" and "ExpirationModel" not in gone and "ValidTo" not in gone, gone
    refused("InvalidImportTokenException", kms.import_key_material, KeyId=key, ImportToken=b"x", EncryptedKeyMaterial=b"x", ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE")

    # Material is known by its id where it can be rotated, and one waits at a time.
    def bring(key, material, **more):
        begun = kms.get_parameters_for_import(KeyId=key, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048")
        public = serialization.load_der_public_key(begun["PublicKey"])
        wrapped = public.encrypt(material, padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None))
        more = {"KeyId": key, "ImportToken": begun["ImportToken"], "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE", **more}
        return kms.import_key_material(EncryptedKeyMaterial=wrapped, **more)

    made = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]
    key, arn = made["KeyId"], made["Arn"]
    assert "CurrentKeyMaterialId" not in made
    first = bring(key, b"1" * 32)
    assert first["KeyId"] == arn
    second = bring(key, b"2" * 32, ImportType="NEW_KEY_MATERIAL")["KeyMaterialId"]
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"] == first["KeyMaterialId"]
    message = refused("KMSInvalidStateException", bring, key=key, material=b"3" * 32, ImportType="NEW_KEY_MATERIAL")
    beside, _, waiting = message.partition(f") cannot be imported into KMS key {arn}, because another key material (id: ")
    assert beside.startswith("New key material (id: ") and waiting == f"{second}) is pending rotation.", message
    old = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert kms.rotate_key_on_demand(KeyId=key)["KeyId"] == arn
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"] == second
    assert kms.decrypt(CiphertextBlob=old)["KeyMaterialId"] == first["KeyMaterialId"]
    mac = kms.create_key(Origin="EXTERNAL", KeySpec="HMAC_224", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    assert "KeyMaterialId" not in bring(mac, b"m" * 28)
    assert kms.generate_mac(KeyId=mac, Message=b"m", MacAlgorithm="HMAC_SHA_224")["Mac"]
    assert "KeyMaterialId" not in kms.delete_imported_key_material(KeyId=mac)


def grants():
    key = kms.create_key()["KeyMetadata"]["Arn"]
    parameters = {
        "KeyId": key,
        "GranteePrincipal": user,
        "RetiringPrincipal": user,
        "Operations": ["Encrypt", "Decrypt"],
        "Constraints": {"EncryptionContextSubset": {"a": "1"}},
        "Name": "one",
    }
    refused("DryRunOperationException", kms.create_grant, DryRun=True, **parameters)
    first, again = kms.create_grant(**parameters), kms.create_grant(**parameters)
    assert first["GrantId"] == again["GrantId"] and first["GrantToken"] != again["GrantToken"]
    (listed,) = kms.list_grants(KeyId=key)["Grants"]
    assert listed["Constraints"] == parameters["Constraints"] and listed["Name"] == "one"
    assert listed["IssuingAccount"] == f"arn:aws:iam::{account}:root"
    assert kms.list_retirable_grants(RetiringPrincipal=user)["Grants"] == [listed]
    kms.encrypt(KeyId=key, Plaintext=b"x", GrantTokens=[first["GrantToken"]])
    refused("InvalidGrantTokenException", kms.encrypt, KeyId=key, Plaintext=b"x", GrantTokens=["bm8="])
    kms.retire_grant(GrantToken=again["GrantToken"])
    assert kms.list_grants(KeyId=key)["Grants"] == []
    second = kms.create_grant(**parameters)["GrantId"]
    kms.revoke_grant(KeyId=key, GrantId=second)
    refused("NotFoundException", kms.revoke_grant, KeyId=key, GrantId=second)
    refused("InvalidArnException", kms.create_grant, **parameters | {"GranteePrincipal": "alice"})


def objects_move_to_other_keys():
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="moving")
    old, new = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    secret = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32}
    for name, how in [("s3", {}), ("kms", {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": old}), ("c", secret)]:
        s3.put_object(Bucket="moving", Key=name, Body=b"body" * 9999, Metadata={"colour": "blue"}, **how)
    for name in ["s3", "kms"]:
        before = s3.head_object(Bucket="moving", Key=name)
        for bucket_key in [False, True]:
            wanted = {"SSEKMS": {"KMSKeyArn": new, "BucketKeyEnabled": bucket_key}}
            s3.update_object_encryption(Bucket="moving", Key=name, ObjectEncryption=wanted)
            after = s3.get_object(Bucket="moving", Key=name)
            assert after["Body"].read() == b"body" * 9999
            assert (after["SSEKMSKeyId"], after.get("BucketKeyEnabled", False)) == (new, bucket_key), after
            for field in ["ETag", "LastModified", "Metadata", "ContentLength"]:
                assert before[field] == after[field], (field, before, after)
    # The former key is not needed any more; the new one is.
    kms.schedule_key_deletion(KeyId=old)
    s3.get_object(Bucket="moving", Key="kms")["Body"].read()
    to_old = {"SSEKMS": {"KMSKeyArn": old}}
    refused("KMS.KMSInvalidStateException", s3.update_object_encryption, Bucket="moving", Key="s3", ObjectEncryption=to_old)
    to_new = {"SSEKMS": {"KMSKeyArn": new}}
    refused("InvalidRequest", s3.update_object_encryption, Bucket="moving", Key="c", ObjectEncryption=to_new)
    refused("NoSuchKey", s3.update_object_encryption, Bucket="moving", Key="none", ObjectEncryption=to_new)
    by_id = {"SSEKMS": {"KMSKeyArn": new.rsplit("/", 1)[1].ljust(40, "x")}}
    refused("InvalidArgument", s3.update_object_encryption, Bucket="moving", Key="s3", ObjectEncryption=by_id)


def signatures_and_macs():
    """What KMS signs, the cryptography package verifies, and the other way round."""
    hash_of = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
    for spec in ["RSA_2048", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519"]:
        made = kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]
        assert made["KeySpec"] == spec and "CurrentKeyMaterialId" not in made
        answer = kms.get_public_key(KeyId=made["Arn"])
        assert answer["SigningAlgorithms"] == made["SigningAlgorithms"] and answer["KeyId"] == made["Arn"]
        public = serialization.load_der_public_key(answer["PublicKey"])
        for algorithm in made["SigningAlgorithms"]:
            named = {"KeyId": made["KeyId"], "SigningAlgorithm": algorithm, "Message": b"message"}
            signature = kms.sign(**named)["Signature"]
            function = hash_of[algorithm[-3:]]
            if algorithm.startswith("RSASSA_PSS"):
                length = padding.PSS.DIGEST_LENGTH
                public.verify(signature, b"message", padding.PSS(padding.MGF1(function), length), function)
            elif algorithm.startswith("RSASSA"):
                public.verify(signature, b"message", padding.PKCS1v15(), function)
            elif algorithm.startswith("ECDSA"):
                public.verify(signature, b"message", ec.ECDSA(function))
            else:
                public.verify(signature, b"message")
            assert kms.verify(Signature=signature, **named)["SignatureValid"]
            refused("KMSInvalidSignatureException", kms.verify, **named | {"Signature": signature, "Message": b"other"})
            refused("DryRunOperationException", kms.sign, DryRun=True, **named)
    made = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]
    assert made["MacAlgorithms"] == ["HMAC_SHA_256"]
    named = {"KeyId": made["KeyId"], "MacAlgorithm": "HMAC_SHA_256", "Message": b"message"}
    refused("DryRunOperationException", kms.generate_mac, DryRun=True, **named)
    assert kms.get_key_last_usage(KeyId=made["KeyId"])["KeyLastUsage"] == {}
    mac = kms.generate_mac(**named)
    last = kms.get_key_last_usage(KeyId=made["KeyId"])["KeyLastUsage"]
    assert (last["Operation"], last["KmsRequestId"]) == ("GenerateMac", mac["ResponseMetadata"]["RequestId"])
    assert kms.verify_mac(Mac=mac["Mac"], **named)["MacValid"]
    refused("KMSInvalidMacException", kms.verify_mac, Mac=b"0" * 32, **named)
    symmetric = kms.create_key()["KeyMetadata"]["KeyId"]
    refused("InvalidKeyUsageException", kms.generate_mac, **named | {"KeyId": symmetric})
    refused("UnsupportedOperationException", kms.get_public_key, KeyId=symmetric)
    refused("ValidationException", kms.create_key, KeySpec="RSA_2048")
    refused("ValidationException", kms.create_key, KeySpec="RSA_2048", KeyUsage="KEY_AGREEMENT")
    refused("UnsupportedOperationException", kms.create_key, KeySpec="SM2", KeyUsage="SIGN_VERIFY")
    refused("UnsupportedOperationException", kms.enable_key_rotation, KeyId=made["KeyId"])


def strangers():
    """A key policy can't name a user who does not exist."""
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    policy = kms.get_key_policy(KeyId=key)["Policy"].replace(f"arn:aws:iam::{account}:root", f"arn:aws:iam::{account}:user/nobody")
    named = {"Policy": policy, "BypassPolicyLockoutSafetyCheck": True}
    message = refused("MalformedPolicyDocumentException", kms.put_key_policy, KeyId=key, **named)
    assert message == "Policy contains a statement with one or more invalid principals.", message
    refused("MalformedPolicyDocumentException", kms.create_key, **named)


def permissions_alone():
    """A dry run without a ciphertext judges what the caller may."""
    ours, closed = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    policy = kms.get_key_policy(KeyId=closed)["Policy"].replace("kms:*", "kms:Describe*")
    kms.put_key_policy(KeyId=closed, Policy=policy, BypassPolicyLockoutSafetyCheck=True)
    dry = {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}
    refused("DryRunOperationException", kms.decrypt, KeyId=ours, **dry)
    refused("AccessDeniedException", kms.decrypt, KeyId=closed, **dry)
    refused("DryRunOperationException", kms.re_encrypt, SourceKeyId=ours, DestinationKeyId=ours, **dry)
    refused("AccessDeniedException", kms.re_encrypt, SourceKeyId=ours, DestinationKeyId=closed, **dry)
    refused("ValidationException", kms.decrypt, **dry)
    refused("ValidationException", kms.decrypt, KeyId=ours, DryRunModifiers=["IGNORE_CIPHERTEXT"])


def public_keys_of_others():
    rsa = kms.create_key(KeySpec="RSA_3072", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]
    public = serialization.load_der_public_key(kms.get_public_key(KeyId=rsa["KeyId"])["PublicKey"])
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    named = {"KeyId": rsa["KeyId"], "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    opened = kms.decrypt(CiphertextBlob=public.encrypt(b"secret", oaep), **named)
    assert opened["Plaintext"] == b"secret" and "KeyMaterialId" not in opened
    assert kms.decrypt(CiphertextBlob=kms.encrypt(Plaintext=b"s", **named)["CiphertextBlob"], **named)["Plaintext"] == b"s"
    refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=b"0" * 384, **named)
    refused("InvalidKeyUsageException", kms.encrypt, KeyId=rsa["KeyId"], Plaintext=b"s")
    refused("InvalidKeyUsageException", kms.generate_data_key, KeyId=rsa["KeyId"], KeySpec="AES_256")

    agreeing = kms.create_key(KeySpec="ECC_NIST_P384", KeyUsage="KEY_AGREEMENT")["KeyMetadata"]
    theirs = serialization.load_der_public_key(kms.get_public_key(KeyId=agreeing["KeyId"])["PublicKey"])
    ours = ec.generate_private_key(ec.SECP384R1())
    spki = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    named = {"KeyId": agreeing["KeyId"], "KeyAgreementAlgorithm": "ECDH"}
    derived = kms.derive_shared_secret(PublicKey=ours.public_key().public_bytes(*spki), **named)
    assert derived["SharedSecret"] == ours.exchange(ec.ECDH(), theirs) and derived["KeyOrigin"] == "AWS_KMS"
    other_curve = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*spki)
    refused("ValidationException", kms.derive_shared_secret, PublicKey=other_curve, **named)

    symmetric = kms.create_key()["KeyMetadata"]["KeyId"]
    for spec in ["RSA_2048", "ECC_NIST_P521", "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519"]:
        named = {"KeyId": symmetric, "KeyPairSpec": spec, "EncryptionContext": context}
        pair = kms.generate_data_key_pair(**named)
        private = serialization.load_der_private_key(pair["PrivateKeyPlaintext"], None)
        assert private.public_key().public_bytes(*spki) == pair["PublicKey"]
        opened = kms.decrypt(CiphertextBlob=pair["PrivateKeyCiphertextBlob"], EncryptionContext=context)
        assert opened["Plaintext"] == pair["PrivateKeyPlaintext"] and opened["KeyMaterialId"] == pair["KeyMaterialId"]
        assert "PrivateKeyPlaintext" not in kms.generate_data_key_pair_without_plaintext(**named)
    refused("UnsupportedOperationException", kms.generate_data_key_pair, KeyId=symmetric, KeyPairSpec="SM2")


def not_here():
    for operation in [kms.describe_custom_key_stores, lambda: kms.replicate_key(KeyId="x" * 36, ReplicaRegion="eu-west-1")]:
        refused("UnsupportedOperationException", operation)


for test in [keys_and_aliases, data, policies, rotation, imports, grants, objects_move_to_other_keys, signatures_and_macs, strangers, permissions_alone, public_keys_of_others, not_here]:
    test()
    print(test.__name__)
