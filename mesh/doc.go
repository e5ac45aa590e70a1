// Package mesh is what every process on weft's mesh needs, actor or gateway: a NATS connection as its own user, message headers,
// the verification of access tokens, the membership that revocation barriers wait for, typed calls, and telemetry. It also derives
// each NATS user's permissions.
//
// It holds no product state, and imports no other package of weft than subjects and kv.
package mesh
