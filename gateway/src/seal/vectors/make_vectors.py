"""Writes vectors.json, which the gateway's unit tests read. Plain bytes follow a pattern; long results are told by SHA-256."""
import hashlib
import json

from sealed import context, open_message, seal

VERSION = "000102030405060708090a0b0c0d0e0f"


def plain(length):
    return bytes((i * 31 + i // 251) % 256 for i in range(length))


vectors = []
for number, length in enumerate([0, 1, 16383, 16384, 16385, 40000]):
    keys = [hashlib.sha256(b"key %d %d" % (number, layer)).digest() for layer in range(2)]
    salts = [hashlib.sha256(b"salt %d %d" % (number, layer)).digest()[:24] for layer in range(2)]
    ctx = context(VERSION, number)
    one = seal(keys[0], salts[0], ctx, plain(length))
    two = seal(keys[1], salts[1], ctx, one)
    assert open_message(keys[0], ctx, open_message(keys[1], ctx, two)) == plain(length)
    for layers, message in ((1, one), (2, two)):
        vectors.append({
            "plain_len": length,
            "keys": [k.hex() for k in keys[:layers]],
            "salts": [s.hex() for s in salts[:layers]],
            "version": VERSION,
            "part": number,
            "stored_len": len(message),
            "head": message[:72].hex(),
            "sha256": hashlib.sha256(message).hexdigest(),
        })
with open("vectors.json", "w") as file:
    json.dump(vectors, file, indent=1)
    file.write("\n")
