package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/uptrace/bun/driver/sqliteshim"
	"modernc.org/sqlite"

	"github.com/weftmesh/weft/actors/wait"
)

const (
	// freezeTry bounds how long one attempt to stop all writers waits, and freezeLimit the attempts together. A writer that waits in the
	// meantime continues after an attempt: sqliteBusyTimeout is longer than it and the time to Release together.
	freezeTry   = 1500 * time.Millisecond
	freezeLimit = time.Minute
	freezePause = 50 * time.Millisecond
	// lockTimeout bounds how long an attempt waits for PostgreSQL's transactions: one of them may wait for another actor, whose transaction waits for
	// the attempt to end.
	lockTimeout = 700 * time.Millisecond
	// copyPages is how many pages of a SQLite database are copied at once.
	copyPages = 1024
)

// Frozen is the state of several databases at one moment, at which no transaction that writes was open in any of them.
type Frozen struct {
	// PostgreSQL describes the databases on PostgreSQL; nil if there are none, or if they are in more than one database.
	PostgreSQL *FrozenPostgres
	parts      []frozenPart
}

// FrozenPostgres is the moment in terms of PostgreSQL.
type FrozenPostgres struct {
	// Snapshot is the name of the snapshot, for `pg_dump --snapshot`. It can be used until Close.
	Snapshot string
	// LSN is the write-ahead log's position.
	LSN string
	// RestorePoint is the name of the restore point that was asked for; empty if the role may not create one.
	RestorePoint string
}

// frozenPart is one SQLite database, or all of a PostgreSQL database.
type frozenPart struct {
	actors []string
	path   string // of SQLite
	pool   *sql.DB
	// lock holds writers off until Release; view is the transaction that sees the moment.
	lock, view *sql.Conn
}

// Freeze stops the writers of all databases for a moment: from its return to Release they wait. Readers do not. The caller must call Release
// within three seconds, and Close. restorePoint names a restore point that is created on PostgreSQL, if the role may. The databases may be in use by other
// processes, and must exist. The error is ErrUnavailable if the writers did not stop within a minute.
func Freeze(ctx context.Context, databases []Config, restorePoint string) (*Frozen, error) {
	parts, err := frozenParts(databases)
	if err != nil {
		return nil, err
	}
	f := &Frozen{parts: parts}
	end := time.Now().Add(freezeLimit)
	for {
		err := f.try(ctx, restorePoint)
		if err == nil {
			return f, nil
		}
		f.Release()
		_ = wait.Sleep(ctx, freezePause) // what has waited continues
		if f.closeViews(); ctx.Err() != nil || !isBusy(err) || time.Now().After(end) {
			if isBusy(err) && ctx.Err() == nil {
				err = fmt.Errorf("%w: other transactions keep writing for %s: %w", ErrUnavailable, freezeLimit, err)
			}
			return nil, errors.Join(fmt.Errorf("stopping writes for a moment: %w", err), f.Close())
		}
	}
}

func frozenParts(databases []Config) ([]frozenPart, error) {
	var parts []frozenPart
	targets := map[string]int{}
	for _, cfg := range databases {
		if isPostgres(cfg.URL) {
			dsn, err := parsePostgres(cfg.URL, os.Getenv)
			if err != nil {
				return nil, err
			}
			target := dsn.addr + "/" + dsn.database
			if i, known := targets[target]; known {
				parts[i].actors = append(parts[i].actors, cfg.Actor)
				continue
			}
			dsn.appName = "weft-backup"
			targets[target] = len(parts)
			parts = append(parts, frozenPart{actors: []string{cfg.Actor}, pool: sql.OpenDB(dsn.connector())})
			continue
		}
		path, err := sqlitePath(cfg)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("the database of %s: %w", cfg.Actor, err)
		}
		pool, err := sql.Open(sqliteshim.ShimName, sqliteDSN(path, "FULL", fmt.Sprintf("busy_timeout(%d)", freezeTry.Milliseconds()), 0)+"&mode=rw")
		if err != nil {
			return nil, fmt.Errorf("opening the database of %s: %w", cfg.Actor, err)
		}
		parts = append(parts, frozenPart{actors: []string{cfg.Actor}, path: path, pool: pool})
	}
	return parts, nil
}

// isBusy reports whether another transaction was in the way.
func isBusy(err error) bool {
	var failure *sqlite.Error
	return IsRetryable(err) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &failure) && failure.Code()&0xff == 5
}

// try stops the writers of all databases and opens the views. Those that were stopped stay so if it fails.
func (f *Frozen) try(ctx context.Context, restorePoint string) error {
	ctx, cancel := context.WithTimeout(ctx, freezeTry)
	defer cancel()
	// All callers take the locks in the same order, so that none waits for another one that waits for it.
	for i := range f.parts {
		if err := f.parts[i].stopWriters(ctx); err != nil {
			return err
		}
	}
	for i := range f.parts {
		moment, err := f.parts[i].look(ctx, restorePoint)
		if err != nil {
			return err
		}
		if moment != nil && f.PostgreSQL == nil {
			f.PostgreSQL = moment
		} else if moment != nil {
			f.PostgreSQL = &FrozenPostgres{}
		}
	}
	return nil
}

// stopWriters waits for the transactions that write, and holds further ones off.
func (p *frozenPart) stopWriters(ctx context.Context) (err error) {
	if p.lock, err = p.pool.Conn(ctx); err != nil {
		return fmt.Errorf("opening the database of %s: %w", p.actors[0], err)
	}
	if p.path != "" {
		if _, err := p.lock.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
			return fmt.Errorf("locking the database of %s: %w", p.actors[0], err)
		}
		return nil
	}
	statement := fmt.Sprintf("BEGIN; SET LOCAL lock_timeout = %d; SELECT pg_advisory_xact_lock(%d)", lockTimeout.Milliseconds(), writersLock)
	if _, err := p.lock.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("waiting for PostgreSQL's transactions: %w", err)
	}
	return nil
}

// look opens the transaction that sees what is committed now.
func (p *frozenPart) look(ctx context.Context, restorePoint string) (*FrozenPostgres, error) {
	var err error
	if p.view, err = p.pool.Conn(ctx); err != nil {
		return nil, fmt.Errorf("opening the database of %s: %w", p.actors[0], err)
	}
	if p.path != "" {
		var tables int
		if _, err = p.view.ExecContext(ctx, "BEGIN"); err == nil {
			err = p.view.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&tables) // the snapshot is that of the first read
		}
		if err != nil {
			return nil, fmt.Errorf("reading the database of %s: %w", p.actors[0], err)
		}
		return nil, nil
	}
	moment := &FrozenPostgres{}
	if _, err = p.view.ExecContext(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err == nil {
		err = p.view.QueryRowContext(ctx, "SELECT pg_export_snapshot(), pg_current_wal_lsn()::text").Scan(&moment.Snapshot, &moment.LSN)
	}
	if err != nil {
		return nil, fmt.Errorf("exporting a snapshot: %w", err)
	}
	// The restore point is made outside the transactions, while nothing can be written. Only some roles may.
	if restorePoint != "" {
		if _, err := p.pool.ExecContext(ctx, "SELECT pg_create_restore_point($1)", restorePoint); err == nil {
			moment.RestorePoint = restorePoint
		}
	}
	return moment, nil
}

// Release lets the writers continue. What Copy and Versions see stays that of the moment.
func (f *Frozen) Release() {
	for i := range f.parts {
		endConn(&f.parts[i].lock)
	}
}

func (f *Frozen) closeViews() {
	for i := range f.parts {
		endConn(&f.parts[i].view)
	}
}

func endConn(conn **sql.Conn) {
	if *conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), freezeTry)
	defer cancel()
	_, _ = (*conn).ExecContext(ctx, "ROLLBACK") // an error means that there is no transaction
	_ = (*conn).Close()
	*conn = nil
}

// Close releases the writers and the views.
func (f *Frozen) Close() error {
	f.Release()
	f.closeViews()
	var errs []error
	for _, p := range f.parts {
		errs = append(errs, p.pool.Close())
	}
	return errors.Join(errs...)
}

// Copied reports whether the database of an actor is a SQLite file, which Copy copies.
func (f *Frozen) Copied(actor string) bool {
	p := f.part(actor)
	return p != nil && p.path != ""
}

func (f *Frozen) part(actor string) *frozenPart {
	for i := range f.parts {
		if slices.Contains(f.parts[i].actors, actor) {
			return &f.parts[i]
		}
	}
	return nil
}

// Copy copies the SQLite database of an actor into a new file, as of the moment. progress is called with the bytes that were copied and
// those that there are; nil for none.
func (f *Frozen) Copy(ctx context.Context, actor, path string, progress func(done, all int64)) error {
	p := f.part(actor)
	if p == nil || p.view == nil || p.path == "" {
		return fmt.Errorf("copying the database of %s: it is not a SQLite database that was frozen", actor)
	}
	var size, pages int64
	err := p.view.QueryRowContext(ctx, "SELECT page_size, page_count FROM pragma_page_size, pragma_page_count").Scan(&size, &pages)
	if err != nil {
		return fmt.Errorf("copying the database of %s: %w", actor, err)
	}
	err = p.view.Raw(func(driverConn any) error {
		source, ok := driverConn.(interface {
			NewBackup(target string) (*sqlite.Backup, error)
		})
		if !ok {
			return fmt.Errorf("the driver %T makes no backups", driverConn)
		}
		backup, err := source.NewBackup(path)
		if err != nil {
			return err
		}
		more := true
		for copied := int64(copyPages); more && err == nil; copied += copyPages {
			if more, err = backup.Step(copyPages); err == nil {
				err = context.Cause(ctx)
			}
			if progress != nil && err == nil {
				progress(min(copied, pages)*size, pages*size)
			}
		}
		return errors.Join(err, backup.Finish())
	})
	if err != nil {
		return fmt.Errorf("copying the database of %s into %s: %w", actor, filepath.Dir(path), err)
	}
	return nil
}
