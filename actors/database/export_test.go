package database

import "database/sql"

// WriterStats returns the statistics of the pool that writes.
func (db *DB) WriterStats() sql.DBStats { return db.writer.Stats() }
