"""Client-side encryption with the real clients: the Amazon S3 Encryption Client and the AWS Encryption SDK, with keys of KMS and with
keys of the caller."""

import io
import json
import os

import aws_encryption_sdk
import boto3
from aws_encryption_sdk.identifiers import CommitmentPolicy, EncryptionKeyType, WrappingAlgorithm
from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
from aws_encryption_sdk.key_providers.raw import RawMasterKeyProvider
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
from s3_encryption.materials.encrypted_data_key import EncryptedDataKey
from s3_encryption.materials.keyring import S3Keyring
from s3_encryption.materials.kms_keyring import KmsKeyring
from s3_encryption.materials.materials import AlgorithmSuite
from s3_encryption.materials.materials import CommitmentPolicy as S3Commitment

kms, plain_s3 = boto3.client("kms"), boto3.client("s3")
plain_s3.create_bucket(Bucket="cse")
key = kms.create_key()["KeyMetadata"]["KeyId"]
kms.create_alias(AliasName="alias/cse", TargetKeyId=key)


class CallersKey(S3Keyring):
    """CSE-C: data keys under an AES key that never leaves the caller."""

    def __init__(self, secret):
        self.cipher = AESGCM(secret)

    def on_encrypt(self, enc_materials):
        materials = super().on_encrypt(enc_materials)
        materials.plaintext_data_key = os.urandom(32)
        nonce = os.urandom(12)
        wrapped = nonce + self.cipher.encrypt(nonce, materials.plaintext_data_key, b"AES/GCM/NoPadding")
        materials.encrypted_data_key = EncryptedDataKey(
            key_provider_id=b"S3Keyring", key_provider_info="AES/GCM", encrypted_data_key=wrapped
        )
        return materials

    def on_decrypt(self, dec_materials, encrypted_data_keys=None):
        materials = super().on_decrypt(dec_materials, encrypted_data_keys)
        keys = encrypted_data_keys if encrypted_data_keys is not None else materials.encrypted_data_keys
        wrapped = keys[0].encrypted_data_key
        materials.plaintext_data_key = self.cipher.decrypt(wrapped[:12], wrapped[12:], b"AES/GCM/NoPadding")
        return materials


def client(keyring=None, v2=False):
    """A client of its own over a boto3 client of its own: wrapping one twice would encrypt twice."""
    keyring = keyring or KmsKeyring(kms_client=kms, kms_key_id="alias/cse")
    form = {}
    if v2:
        form = {
            "encryption_algorithm": AlgorithmSuite.ALG_AES_256_GCM_IV12_TAG16_NO_KDF,
            "commitment_policy": S3Commitment.FORBID_ENCRYPT_ALLOW_DECRYPT,
        }
    return S3EncryptionClient(boto3.client("s3"), S3EncryptionClientConfig(keyring=keyring, **form))


def fails(call, *words):
    try:
        call()
    except Exception as error:  # Each client has exceptions of its own.
        text = f"{type(error).__name__}: {error} {error.__cause__}"
        assert all(word in text for word in words), text
        return
    raise AssertionError("it did not fail")


def read(s3, name, **more):
    return s3.get_object(Bucket="cse", Key=name, **more)["Body"].read()


def objects_with_keys_of_kms():
    for v2 in [False, True]:
        for size in [0, 1, 100_000]:
            body, name = os.urandom(size), f"kms-{v2}-{size}"
            client(v2=v2).put_object(Bucket="cse", Key=name, Body=body, EncryptionContext={"dept": "it"})
            stored = plain_s3.get_object(Bucket="cse", Key=name)
            assert stored["ContentLength"] == size + 16 and (size < 100 or body not in stored["Body"].read())
            assert read(client(v2=v2), name, EncryptionContext={"dept": "it"}) == body
            fails(lambda: read(client(v2=v2), name), "encryption context")
    fails(lambda: read(client(), "kms-True-1", EncryptionContext={"dept": "it"}), "ommit")


def multipart():
    body = os.urandom(11_000_000)
    client().upload_fileobj(io.BytesIO(body), "cse", "multipart")
    assert read(client(), "multipart") == body


def what_must_fail():
    name = "kms-False-100000"
    stored = plain_s3.get_object(Bucket="cse", Key=name)
    damaged = bytearray(stored["Body"].read())
    damaged[500] ^= 1
    plain_s3.put_object(Bucket="cse", Key="damaged", Body=bytes(damaged), Metadata=stored["Metadata"])
    fails(lambda: read(client(), "damaged", EncryptionContext={"dept": "it"}))
    plain_s3.put_object(Bucket="cse", Key="plain", Body=b"plain")
    fails(lambda: read(client(), "plain"), "Instruction file body is empty")
    kms.disable_key(KeyId=key)
    fails(lambda: read(client(), name, EncryptionContext={"dept": "it"}), "is disabled")
    fails(lambda: client().put_object(Bucket="cse", Key="x", Body=b"x"), "is disabled")
    kms.enable_key(KeyId=key)
    assert len(read(client(), name, EncryptionContext={"dept": "it"})) == 100_000
    client().delete_object(Bucket="cse", Key=name)
    fails(lambda: plain_s3.head_object(Bucket="cse", Key=name), "404")


def after_a_rotation():
    client().put_object(Bucket="cse", Key="before", Body=b"before")
    kms.rotate_key_on_demand(KeyId=key)
    assert read(client(), "before") == b"before"


def objects_with_keys_of_the_caller():
    secret = os.urandom(32)
    body = os.urandom(50_000)
    client(CallersKey(secret), v2=True).put_object(Bucket="cse", Key="callers", Body=body)
    assert read(client(CallersKey(secret), v2=True), "callers") == body
    fails(lambda: read(client(CallersKey(os.urandom(32)), v2=True), "callers"))


def instruction_files():
    """An object whose key lies in a file beside it, as other clients write it."""
    body = os.urandom(5_000)
    client().put_object(Bucket="cse", Key="instructed", Body=body)
    stored = plain_s3.get_object(Bucket="cse", Key="instructed")
    metadata = stored["Metadata"]
    instructions = {name: metadata.pop(name) for name in ["x-amz-3", "x-amz-w", "x-amz-t"] if name in metadata}
    assert "x-amz-3" in instructions, metadata
    plain_s3.put_object(Bucket="cse", Key="instructed", Body=stored["Body"].read(), Metadata=metadata)
    fails(lambda: read(client(), "instructed"), "nstruction")
    plain_s3.put_object(
        Bucket="cse",
        Key="instructed.instruction",
        Body=json.dumps(instructions).encode(),
        Metadata={"x-amz-crypto-instr-file": ""},
    )
    assert read(client(), "instructed") == body
    client().delete_object(Bucket="cse", Key="instructed")
    fails(lambda: plain_s3.head_object(Bucket="cse", Key="instructed.instruction"), "404")


def messages():
    sdk = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)
    arn = kms.describe_key(KeyId=key)["KeyMetadata"]["Arn"]

    class CallersProvider(RawMasterKeyProvider):
        provider_id = "caller"
        secret = os.urandom(32)

        def _get_raw_key(self, key_id):
            algorithm = WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING
            return WrappingKey(algorithm, self.secret, EncryptionKeyType.SYMMETRIC)

    callers = CallersProvider()
    callers.add_master_key("one")
    for provider in [aws_encryption_sdk.StrictAwsKmsMasterKeyProvider(key_ids=[arn]), callers]:
        body = os.urandom(200_000)
        message, _ = sdk.encrypt(source=body, key_provider=provider, encryption_context={"a": "b"})
        plain_s3.put_object(Bucket="cse", Key="message", Body=message)
        stored = plain_s3.get_object(Bucket="cse", Key="message")["Body"].read()
        opened, header = sdk.decrypt(source=stored, key_provider=provider)
        assert opened == body and header.encryption_context["a"] == "b"
        fails(lambda: sdk.decrypt(source=stored[:-1] + bytes([stored[-1] ^ 1]), key_provider=provider))


for test in [objects_with_keys_of_kms, multipart, what_must_fail, after_a_rotation, objects_with_keys_of_the_caller, instruction_files, messages]:
    test()
    print(test.__name__)
