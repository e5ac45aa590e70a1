// Package gateway serves HTTP and translates it to NATS requests.
//
// Each endpoint of subjects.Endpoints that declares a route gets it here; the route, its request validation and its
// OpenAPI operation are derived from the declaration. For each request to such a route the gateway
//
//   - verifies the access token, to apply rate limits by user and to reject unauthenticated requests early. An API key is
//     exchanged with the auth actor for a short-lived access token, which is cached until shortly before it expires and is
//     verified on every use;
//   - takes tokens from the rate limits, which all gateways share through the bucket kv.GatewayLimits;
//   - merges path, query, headers, cookies and body into the endpoint's request message and validates it, so that an
//     invalid request is rejected without a NATS request;
//   - forwards the message with the access token, through a circuit breaker for each actor;
//   - writes the reply or the problem (RFC 9457), or follows a stream as server-sent events.
//
// The gateway also has routes of its own. They exist over HTTP only: they have no NATS subject and are not in
// docs/subjects.md.
//
//   - /v1/overview and /v1/executions/{execution_id}/full aggregate the replies of several endpoints;
//   - /healthz and /readyz report health;
//   - /, /openapi.json and /docs are pages.
//
// It also applies each endpoint's access rule to the token's claims, before it judges anything of the request, so that a caller who
// may not call gets 401 or 403 and nothing else. The actor verifies the token and applies the rule again. The
// only state it owns are the rate limits. It imports mesh, subjects and kv, but neither actors nor a database.
//
// # Rate limits
//
// A request with a valid access token counts against its user's limit and the global limit (gateway.limits.per_user and
// .global). Any other request, including one with an invalid token, counts against the client address's limit and the
// global limit (.per_ip and .global), and so does the exchange of an API key. The client address is the peer's, unless
// the peer is a trusted proxy: then it is the rightmost address in X-Forwarded-For (or Forwarded) that is not a trusted
// proxy. IPv6 clients are limited by /64. An endpoint's own limits are taken first and the global limit last, so that a
// rejected request does not use up a limit that it shares with others. Health and pages are not limited.
//
// # Memory
//
// Authentication, rate limits and the declared length are checked before a body is read. The memory for a body is reserved from a budget that
// all share (gateway.body_budget) and of which a user or client address may hold a quarter; so is that for large responses and for parts of
// files. A body is bounded by its endpoint, is validated while it is decoded, and loses its place if it arrives slowly. Connections are
// bounded in all and by address (gateway.connections); idle ones give way to new ones.
//
// # Request headers
//
// The gateway reads Authorization, Idempotency-Key (for operations that change something), X-Request-Id (kept if it is 1
// to 128 characters of A–Z a–z 0–9 . _ : -), traceparent, and Request-Timeout: seconds, possibly with a fraction, that
// shorten the endpoint's own timeout. No header can set the user.
package gateway
