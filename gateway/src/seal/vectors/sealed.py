"""The sealed format, implemented independently of the gateway (PyPI `cryptography`). See ../SPEC.md."""
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

LABEL = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"
CHUNK, TAG, SALT, HEADER = 16384, 16, 24, 56


def derive(content_key, salt, context):
    out = HKDFExpand(SHA512(), 76, LABEL + salt + context).derive(content_key)
    return out[:32], out[32:44], out[44:]


def nonce(base, index):
    return (int.from_bytes(base, "big") ^ index).to_bytes(12, "big")


def context(version_hex, part):
    return bytes.fromhex(version_hex) + part.to_bytes(2, "big")


def seal(content_key, salt, ctx, plain):
    key, base, commitment = derive(content_key, salt, ctx)
    chunks = [plain[i : i + CHUNK] for i in range(0, len(plain) + 1, CHUNK)]
    sealed = b"".join(AESGCM(key).encrypt(nonce(base, i), c, None) for i, c in enumerate(chunks))
    return salt + commitment + sealed


def open_message(content_key, ctx, message):
    salt, commitment, body = message[:SALT], message[SALT:HEADER], message[HEADER:]
    key, base, expected = derive(content_key, salt, ctx)
    if commitment != expected:
        raise ValueError("another key or another place")
    step, plain = CHUNK + TAG, b""
    chunks = [body[i : i + step] for i in range(0, len(body), step)]
    if not chunks or len(chunks[-1]) == step:
        raise ValueError("truncated")
    for i, chunk in enumerate(chunks):
        plain += AESGCM(key).decrypt(nonce(base, i), chunk, None)
    return plain
