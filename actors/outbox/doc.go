// Package outbox owns the transactional outbox: messages are written to the actor's database in the same transaction as the rows
// they report, and published to JetStream after the commit, at least once and in order per key.
//
// It refuses messages outside a transaction, and messages that no stream could store. It does not deduplicate for consumers:
// they recognise a repeated message by its ID.
package outbox
