"""An extension of weft in Python without a client of NATS: the function acme.price over a socket.

    weft extension enroll acme
    pip install cryptography
    python3 price.py 127.0.0.1:4222 acme.nk

With nats.py (pip install nats-py nkeys) the same is some thirty lines: nats.micro.add_service, as in the examples in Go and JavaScript.
"""

import base64
import hashlib
import json
import socket
import sys
import time
import uuid

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

NAME = "acme"
SUBJECT = f"weft.ext.v1.{NAME}.price"
INBOX = f"_INBOX_extension-{NAME}"
METADATA = {
    "weft.summary": "The price of an article.",
    "weft.input": json.dumps({"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}},
                              "additionalProperties": False}),
    "weft.output": json.dumps({"type": "object", "required": ["price"], "properties": {"price": {"type": "number"}}}),
    "weft.safety": "read",
    "weft.timeout": "5s",
}


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Client:
    """A connection to NATS: requests, replies and headers."""

    def __init__(self, address, seed):
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
        key = Ed25519PrivateKey.from_private_bytes(raw[2:34])  # two bytes of prefix, 32 of seed, two of checksum
        host, port = address.rsplit(":", 1)
        self.stream = socket.create_connection((host, int(port))).makefile("rwb")
        info = json.loads(self.stream.readline().removeprefix(b"INFO "))
        public = key.public_key().public_bytes_raw()
        signature = base64.urlsafe_b64encode(key.sign(info["nonce"].encode())).rstrip(b"=").decode()
        self.send(b"CONNECT " + json.dumps({"verbose": False, "pedantic": False, "headers": True, "no_responders": True,
                                            "name": NAME, "lang": "python", "version": "1", "nkey": nkey(public),
                                            "sig": signature}).encode() + b"\r\n")

    def send(self, data):
        self.stream.write(data)
        self.stream.flush()

    def subscribe(self, subject, sid, queue=""):
        self.send(f"SUB {subject} {queue} {sid}\r\n".encode())

    def publish(self, subject, data, reply="", headers=None):
        if headers:
            head = ("NATS/1.0\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n").encode()
            self.send(f"HPUB {subject} {reply} {len(head)} {len(head) + len(data)}\r\n".encode() + head + data + b"\r\n")
        else:
            self.send(f"PUB {subject} {reply} {len(data)}\r\n".encode() + data + b"\r\n")

    def next(self):
        """Returns the next message: its subject, reply subject, headers and data."""
        while line := self.stream.readline():
            verb, *args = line.decode().split()
            if verb == "PING":
                self.send(b"PONG\r\n")
            elif verb == "-ERR":
                raise SystemExit(line.decode())
            elif verb in ("MSG", "HMSG"):
                sizes = 2 if verb == "HMSG" else 1
                body = self.stream.read(int(args[-1]) + 2)[:-2]
                head = int(args[-2]) if verb == "HMSG" else 0
                headers = dict(h.split(": ", 1) for h in body[:head].decode().split("\r\n")[1:] if ": " in h)
                return args[0], args[2] if len(args) > 2 + sizes else "", headers, body[head:]
        raise SystemExit("the connection has ended")


def nkey(public):
    data = bytes([20 << 3]) + public  # U: a user
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021) & 0xFFFF if crc & 0x8000 else crc << 1
    return base64.b32encode(data + crc.to_bytes(2, "little")).decode().rstrip("=")


def verified(keys, subject, headers, data):
    """Returns what weft has signed of a call, or raises an exception."""
    head, body, signature = headers["Weft-Call-Signature"].split(".")
    header = json.loads(unpadded(head))
    if header["alg"] != "EdDSA" or header["typ"] != "weft-call+jwt":
        raise ValueError("the signature has another type")
    keys[header["kid"]].verify(unpadded(signature), f"{head}.{body}".encode())
    claims = json.loads(unpadded(body))
    digest = unpadded(claims["payload_sha256"])
    if claims["aud"] != subject or claims["exp"] < time.time() or digest != hashlib.sha256(data).digest():
        raise ValueError("the signature is of another call, or has expired")
    return claims


def main():
    conn = Client(sys.argv[1], open(sys.argv[2]).read().strip())
    conn.subscribe(f"{INBOX}.keys", 1)
    conn.publish(f"weft.v1.workflow.get_extension_keys.as.extension.{NAME}", b"", f"{INBOX}.keys")
    keys = {k["kid"]: Ed25519PublicKey.from_public_bytes(unpadded(k["x"])) for k in json.loads(conn.next()[3])["keys"]}
    identity = {"name": NAME, "id": uuid.uuid4().hex, "version": "1.0.0", "metadata": {}}
    endpoint = {"name": "price", "subject": SUBJECT, "queue_group": "q", "metadata": METADATA}
    info = {**identity, "type": "io.nats.micro.v1.info_response", "description": "", "endpoints": [endpoint]}
    ping = {**identity, "type": "io.nats.micro.v1.ping_response"}
    for number, subject in enumerate(["$SRV.PING", "$SRV.INFO", f"$SRV.PING.{NAME}", f"$SRV.INFO.{NAME}"]):
        conn.subscribe(subject, 10 + number)
    conn.subscribe(SUBJECT, 2, "q")  # the queue group shares the calls between copies
    print("serving", file=sys.stderr)
    while True:
        subject, reply, headers, data = conn.next()
        if subject != SUBJECT:
            conn.publish(reply, json.dumps(info if "INFO" in subject else ping).encode())
            continue
        try:
            verified(keys, subject, headers, data)
        except Exception as error:  # noqa: BLE001
            conn.publish(reply, b"", headers={"Nats-Service-Error-Code": "401", "Nats-Service-Error": str(error) or "the signature is wrong"})
            continue
        sku = json.loads(data)["sku"]
        if sku.startswith("a"):
            conn.publish(reply, json.dumps({"price": 12.5}).encode())
        else:  # 4xx: the call is not repeated
            conn.publish(reply, b"", headers={"Nats-Service-Error-Code": "404", "Nats-Service-Error": f"there is no article {sku}"})


main()
