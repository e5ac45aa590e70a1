// Package database owns an actor's SQL database, on SQLite or PostgreSQL by the same API: opening and pooling, transactions,
// migrations, the classification of errors, and two ways to make frequent reads cheap (RowCache, PreparedRow).
//
// Reads go through DB, writes through RunInTx. A write outside a transaction is refused by the database itself, on both
// dialects. A second process on the same SQLite file, a schema newer than the binary and an edited migration are refused when
// the database is opened or migrated.
//
// Times are stored as microseconds since the Unix epoch. The package holds no query of an actor, apart from the table of
// migrations; the tables weft_outbox, weft_idempotency and weft_deferred are created here and used by the packages outbox,
// idempotency and deferred.
package database
