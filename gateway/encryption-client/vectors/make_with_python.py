"""Makes vectors with the Amazon S3 Encryption Client for Python, against a gateway: AWS_ENDPOINT_URL and credentials in the environment.
Run it as `make_with_python.py FOLDER`. What is in FOLDER beside this script was made so once.

`make_with_python.py --open FOLDER` has the client open the vectors of others instead."""

import base64
import io
import json
import os
import pathlib
import sys

import boto3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
from s3_encryption.materials.encrypted_data_key import EncryptedDataKey
from s3_encryption.materials.keyring import S3Keyring
from s3_encryption.materials.kms_keyring import KmsKeyring
from s3_encryption.materials.materials import AlgorithmSuite
from s3_encryption.materials.materials import CommitmentPolicy

BUCKET = "vectors"
AES_KEY = bytes(range(32))
NAMES = {"V3": b"115", "V2": b"AES/GCM/NoPadding"}
kms, s3 = boto3.client("kms"), boto3.client("s3")


class AesKeyring(S3Keyring):
    """A key of the caller's, as other clients have it: AES-GCM with the suite's name beside the key."""

    def __init__(self, version):
        self.name, self.cipher = NAMES[version], AESGCM(AES_KEY)

    def on_encrypt(self, enc_materials):
        materials = super().on_encrypt(enc_materials)
        materials.plaintext_data_key, nonce = os.urandom(32), os.urandom(12)
        wrapped = nonce + self.cipher.encrypt(nonce, materials.plaintext_data_key, self.name)
        materials.encrypted_data_key = EncryptedDataKey(
            key_provider_id=b"S3Keyring", key_provider_info="AES/GCM", encrypted_data_key=wrapped
        )
        return materials

    def on_decrypt(self, dec_materials, encrypted_data_keys=None):
        materials = super().on_decrypt(dec_materials, encrypted_data_keys)
        keys = encrypted_data_keys if encrypted_data_keys is not None else materials.encrypted_data_keys
        assert keys[0].key_provider_info == "AES/GCM", keys[0].key_provider_info
        wrapped = keys[0].encrypted_data_key
        materials.plaintext_data_key = self.cipher.decrypt(wrapped[:12], wrapped[12:], self.name)
        return materials


def client(keyring, version):
    form = {}
    if version == "V2":
        form = {
            "encryption_algorithm": AlgorithmSuite.ALG_AES_256_GCM_IV12_TAG16_NO_KDF,
            "commitment_policy": CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT,
        }
    return S3EncryptionClient(boto3.client("s3"), S3EncryptionClientConfig(keyring=keyring, **form))


def text(data):
    return base64.b64encode(data).decode()


def body_of(length):
    return bytes((i * 31 + i // 251) % 256 for i in range(length))


def as_aes(metadata):
    """This client calls every keyring's way of wrapping kms+context, and keeps what it takes for a context."""
    if "x-amz-3" in metadata:
        return {**{k: v for k, v in metadata.items() if k != "x-amz-t"}, "x-amz-w": "02"}
    return {**metadata, "x-amz-wrap-alg": "AES/GCM", "x-amz-matdesc": "{}"}


def vector(name, version, kind, length, context, in_parts=False, instructed=False):
    keyring = KmsKeyring(kms_client=kms, kms_key_id="alias/vectors") if kind == "kms" else AesKeyring(version)
    plain = body_of(length)
    more = {"EncryptionContext": dict(context)} if context else {}
    writer = client(keyring, version)
    if in_parts:
        writer.upload_fileobj(io.BytesIO(plain), BUCKET, name)
    else:
        writer.put_object(Bucket=BUCKET, Key=name, Body=plain, **more)
    stored = s3.get_object(Bucket=BUCKET, Key=name)
    body, metadata, file = stored["Body"].read(), stored["Metadata"], None
    keys = {"kind": kind}
    if kind == "kms":
        wrapped = base64.b64decode(metadata.get("x-amz-3") or metadata["x-amz-key-v2"])
        stored_context = json.loads(metadata.get("x-amz-t") or metadata["x-amz-matdesc"])
        opened = kms.decrypt(CiphertextBlob=wrapped, EncryptionContext=stored_context)
        keys |= {"key_id": "alias/vectors", "data_key": text(opened["Plaintext"]), "stored_context": stored_context}
    else:
        keys |= {"key": text(AES_KEY)}
        metadata = as_aes(metadata)
    if instructed:
        kept = {"x-amz-c", "x-amz-d", "x-amz-i"}
        file = json.dumps({k: v for k, v in metadata.items() if k not in kept})
        metadata = {k: v for k, v in metadata.items() if k in kept}
    return {
        "made_by": "amazon-s3-encryption-client-python 4.0.0",
        "version": version,
        "keyring": keys,
        "context": context,
        "metadata": metadata,
        "instruction_file": file,
        "body": text(body),
        "plain_len": length,
    }


def make(folder):
    for version in ["V3", "V2"]:
        for kind in ["kms", "aes"]:
            for length in [0, 1, 16, 1000]:
                context = {"dept": "it", "quote": "\"\\"} if kind == "kms" and length == 16 else {}
                save(folder, f"python-{version}-{kind}-{length}", vector("v", version, kind, length, context))
        save(folder, f"python-{version}-kms-file", vector("v", version, "kms", 33, {}, instructed=True))


def save(folder, name, made):
    (folder / f"{name}.json".lower()).write_text(json.dumps(made, indent=1, ensure_ascii=True, sort_keys=True) + "\n")


def open_all(folder):
    """Puts each vector into the gateway as it is, and has the client read it."""
    opened = 0
    for file in sorted(folder.glob("*.json")):
        made = json.loads(file.read_text())
        version, keys = made["version"], made["keyring"]
        if keys["kind"] == "rsa":
            continue
        name = file.stem
        s3.put_object(Bucket=BUCKET, Key=name, Body=base64.b64decode(made["body"]), Metadata=made["metadata"])
        if made["instruction_file"] is not None:
            marker = {"x-amz-crypto-instr-file": ""}
            s3.put_object(Bucket=BUCKET, Key=f"{name}.instruction", Body=made["instruction_file"], Metadata=marker)
        keyring = KmsKeyring(kms_client=kms, kms_key_id=keys["key_id"]) if keys["kind"] == "kms" else AesKeyring(version)
        more = {"EncryptionContext": made["context"]} if made["context"] else {}
        read = client(keyring, version).get_object(Bucket=BUCKET, Key=name, **more)["Body"].read()
        assert read == body_of(made["plain_len"]), name
        opened += 1
    print(f"{opened} opened")


if __name__ == "__main__":
    if not any(bucket["Name"] == BUCKET for bucket in s3.list_buckets()["Buckets"]):
        s3.create_bucket(Bucket=BUCKET)
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName="alias/vectors", TargetKeyId=key)
    if sys.argv[1] == "--open":
        open_all(pathlib.Path(sys.argv[2]))
    else:
        make(pathlib.Path(sys.argv[1]))
