package database

import (
	"context"
	"fmt"
	"time"
)

const (
	// scrubTries bounds the attempts of Scrub while a reader holds the log, scrubRetryDelay is the pause between them.
	scrubTries      = 20
	scrubRetryDelay = 50 * time.Millisecond
)

// Scrub returns once what was deleted before is no longer in the database's files. On SQLite deleted content is overwritten in
// its page (secure_delete), and Scrub writes the pages of the write-ahead log back and empties the log, which still has the
// earlier ones. It must not be called in a transaction. If readers hold the log for long, the next call empties it.
//
// On PostgreSQL it does nothing: there VACUUM frees deleted rows, which autovacuum does by itself, and the write-ahead log is
// the server's and its backups'.
func (db *DB) Scrub(ctx context.Context) error {
	if db.dialect != DialectSQLite {
		return nil
	}
	for try := 0; ; try++ {
		var busy, logged, written int
		err := db.writer.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &logged, &written)
		if err != nil {
			return fmt.Errorf("emptying the write-ahead log: %w", err)
		}
		if busy == 0 || try >= scrubTries {
			return nil
		}
		select {
		case <-time.After(scrubRetryDelay):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
