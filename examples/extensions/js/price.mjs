// An extension of weft in JavaScript, with the function acme.price.
//
//   weft extension enroll acme
//   npm install @nats-io/transport-node@3.4.0 @nats-io/services@3.0.0-25
//   node price.mjs nats://127.0.0.1:4222 acme.nk
import { createHash, createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect, nkeyAuthenticator } from "@nats-io/transport-node";
import { Svcm } from "@nats-io/services";

const [servers, keyFile] = process.argv.slice(2);
const conn = await connect({
  servers,
  name: "acme",
  authenticator: nkeyAuthenticator(new TextEncoder().encode(readFileSync(keyFile, "utf8").trim())),
  inboxPrefix: "_INBOX_extension-acme",
  maxReconnectAttempts: -1,
});

const keys = new Map();

// key returns one of weft's public keys. A key that is not known is asked for.
async function key(kid) {
  if (!keys.has(kid)) {
    const answer = await conn.request("weft.v1.workflow.get_extension_keys.as.extension.acme", undefined, { timeout: 5000 });
    for (const jwk of answer.json().keys) keys.set(jwk.kid, createPublicKey({ key: jwk, format: "jwk" }));
  }
  return keys.get(kid);
}

// verified returns what weft has signed of a call, or throws.
async function verified(m) {
  const [head, body, signature] = m.headers.get("Weft-Call-Signature").split(".");
  const header = JSON.parse(Buffer.from(head, "base64url"));
  if (header.alg !== "EdDSA" || header.typ !== "weft-call+jwt") throw new Error("the signature has another type");
  if (!verify(null, Buffer.from(`${head}.${body}`), await key(header.kid), Buffer.from(signature, "base64url"))) {
    throw new Error("the signature is wrong");
  }
  const claims = JSON.parse(Buffer.from(body, "base64url"));
  const payload = createHash("sha256").update(m.data).digest("base64url");
  if (claims.aud !== m.subject || claims.exp < Date.now() / 1000 || claims.payload_sha256 !== payload) {
    throw new Error("the signature is of another call, or has expired");
  }
  return claims;
}

const service = await new Svcm(conn).add({ name: "acme", version: "1.0.0" });
service.addEndpoint("price", {
  subject: "weft.ext.v1.acme.price",
  metadata: {
    "weft.summary": "The price of an article.",
    "weft.input": JSON.stringify({
      type: "object",
      required: ["sku"],
      properties: { sku: { type: "string" } },
      additionalProperties: false,
    }),
    "weft.output": JSON.stringify({ type: "object", required: ["price"], properties: { price: { type: "number" } } }),
    "weft.safety": "read",
    "weft.timeout": "5s",
  },
  handler: async (error, m) => {
    if (error) return;
    try {
      await verified(m);
    } catch (e) {
      m.respondError(401, String(e.message));
      return;
    }
    const { sku } = m.json();
    if (!sku.startsWith("a")) {
      m.respondError(404, `there is no article ${sku}`); // 4xx: the call is not repeated
      return;
    }
    m.respond(JSON.stringify({ price: 12.5 }));
  },
});
console.error("serving");
await conn.closed();
