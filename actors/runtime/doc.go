// Package runtime runs an actor: Host connects it, opens and migrates its database and starts it; Runtime serves its endpoints,
// delivers jobs and events to its workers, runs its background tasks, and drains them when it stops.
//
// For every request it verifies the caller, applies the endpoint's access rule, deadline, concurrency and idempotency key, recovers
// panics, and records metrics, a trace span and a log line. It refuses requests without an inbox to reply to, requests from streams,
// callers that the contract does not admit, more requests than an endpoint can queue, and new requests while it drains. It knows no
// actor: actors hand it a Service.
package runtime
