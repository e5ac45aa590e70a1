// Package gateway turns HTTP into subjects, and nothing else.
//
// Its routes, its OpenAPI document and its request checks are derived from subjects.Endpoints: declaring an
// endpoint is the only thing that adds one. For each request it
//
//   - verifies the access token, to count by user and to refuse early what no actor would answer; an API key it has auth
//     exchange for a short access token, which it keeps until shortly before the token ends and never uses unverified;
//   - takes its tokens from the rate limits, whose windows are leases in the bucket kv.GatewayLimits;
//   - merges path, query, header and body into the one flat message that the endpoint takes, and validates
//     it, so that a bad request costs no hop;
//   - forwards it, with the access token, behind a circuit breaker for each actor;
//   - renders the reply, or the problem (RFC 9457), or follows a stream as server-sent events.
//
// It decides nothing about the product: the actor verifies the token and its own access rule again. It owns
// no state but the rate limits. It imports mesh, subjects and kv; never actors, an actor, or a database.
//
// # Who is counted where
//
// A request with a valid access token counts on its user and on the whole (gateway.limits.per_user and .global);
// any other, one with an invalid token included, on its client address and on the whole (.per_ip and .global). The
// address is the peer's, unless the peer is a trusted proxy: then the rightmost address of X-Forwarded-For (or
// Forwarded) that is no trusted proxy. The exchange of an API key counts on the address too. IPv6 clients count by
// /64. An endpoint's own limits come first, the whole comes last, so that who is refused does not use up what
// others share. Health and the documents are not limited.
//
// # Headers of a request
//
// Authorization, Idempotency-Key (on what changes something), X-Request-Id (kept if it is 1 to 128 of
// A–Z a–z 0–9 . _ : -), traceparent, and Request-Timeout: seconds, with a fraction if need be, that shorten
// the endpoint's own timeout. No header names a user.
package gateway
