// Package actors is what every actor is made of: the runtime that serves its endpoints and works off
// its messages, its database, its outbox, idempotency keys, and the guard under which things are done on
// a user's behalf.
//
// A handler holds domain code alone. Identity, access rules, deadlines, bounded concurrency, panics,
// metrics, spans and logs are the runtime's. The package imports no actor.
package actors
