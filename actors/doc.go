// Package actors is the interface between an actor and the runtime that runs it: what an actor gets (Deps), what it declares
// (Service, with endpoints by Bind, jobs by Work, events by Listen, and an erasure handler by OnErasure), and what its handlers use
// (CallerFrom, Guard, cursors).
//
// Handlers contain domain code only. Identity, access rules, deadlines, bounded concurrency, panics, metrics, traces and logs belong
// to the package runtime; SQL, messages, idempotency keys and encryption to database, outbox, idempotency and seal. The package
// imports no actor.
package actors
