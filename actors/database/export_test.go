package database

// Waiting is the number of transactions that have not begun.
func (db *DB) Waiting() int64 { return db.waiting.Load() }
