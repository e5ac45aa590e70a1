// Package idempotency owns the records of idempotency keys: it runs a mutating call once per key and caller, and replays its answer
// to later calls with the key, in the way of the IETF draft draft-ietf-httpapi-idempotency-key-header.
//
// It refuses a key that was used with another request (ErrMismatch), and a key whose call is still running (ErrInProgress).
// Records are sealed and are deleted after Config.Keep. The package knows neither endpoints nor error codes: the runtime gives it
// the answer to keep.
package idempotency
