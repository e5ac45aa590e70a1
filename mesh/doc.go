// Package mesh is what every process on weft's mesh needs, actor or gateway: a NATS connection under
// its own user, message headers, the verification of access tokens, the presence that revocations wait
// for, the typed call, and telemetry.
//
// It owns no state of the product. It imports subjects and kv and nothing else of weft's.
package mesh
