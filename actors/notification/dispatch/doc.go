// Package dispatch delivers events to webhook endpoints: it stores what is to be delivered, makes the attempts, logs each of them, and
// retries. Endpoints do not delay one another.
//
// It owns the tables webhook_events, webhook_deliveries, webhook_attempts and webhook_leases. It does not know how endpoints are registered.
//
// Add stores a delivery in the caller's transaction; from then on it ends as succeeded or failed, unless its endpoint or its user is
// deleted. Delivery is at least once: a process that ends between an answer and its record makes the attempt again, with the same
// webhook-id.
//
// On PostgreSQL a process leases an endpoint, not a delivery: the attempts to an endpoint, their order and their number in flight are one
// process's, and a claim writes nothing for each delivery. What another process recorded is never undone: a record changes a delivery
// only if it has as many attempts as when this one was started, or if it succeeded. On SQLite there is one process and no lease.
//
// The goroutines of Run are connected by the scheduler, which has the due deliveries of endpoints in memory, some of each: the poll finds
// endpoints with due deliveries, the loader reads deliveries of them, the feeder starts attempts in the order of the scheduler, and the
// recorder stores what ended in one transaction for many attempts.
package dispatch
