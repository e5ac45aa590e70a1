// Package dispatch delivers events to webhook endpoints: it stores what is to be delivered, makes the attempts, logs each of them, and
// retries. Endpoints do not delay one another.
//
// It owns the tables webhook_events, webhook_deliveries and webhook_attempts. It does not know how endpoints are registered.
package dispatch
