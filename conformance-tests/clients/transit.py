"""Stands in for the transit engine of Vault or OpenBao: encrypt and decrypt of one key, as their API documents them."""

import base64
import http.server
import json
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

key = AESGCM(AESGCM.generate_key(256))


class Engine(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        aad = base64.b64decode(asked["associated_data"])
        status, answer = 200, None
        if self.headers["X-Vault-Token"] != "token":
            status, answer = 403, {"errors": ["permission denied"]}
        elif self.path == "/v1/transit/encrypt/root":
            nonce = os.urandom(12)
            sealed = nonce + key.encrypt(nonce, base64.b64decode(asked["plaintext"]), aad)
            answer = {"data": {"ciphertext": "vault:v1:" + base64.b64encode(sealed).decode()}}
        elif self.path == "/v1/transit/decrypt/root":
            sealed = base64.b64decode(asked["ciphertext"].removeprefix("vault:v1:"))
            try:
                opened = key.decrypt(sealed[:12], sealed[12:], aad)
                answer = {"data": {"plaintext": base64.b64encode(opened).decode()}}
            except InvalidTag:
                status, answer = 400, {"errors": ["cipher: message authentication failed"]}
        else:
            status, answer = 404, {"errors": ["no handler for route"]}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Engine)
print(server.server_address[1], flush=True)
server.serve_forever()
