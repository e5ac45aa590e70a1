package database

// Waiting is the number of transactions that wait to start.
func (db *DB) Waiting() int64 { return db.waiting.Load() }
