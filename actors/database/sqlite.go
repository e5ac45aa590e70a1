package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/driver/sqliteshim"
)

// sqliteBusyTimeout, in milliseconds, is how long a statement waits for a lock of another program, such as a backup or the
// sqlite3 shell. weft's own writers share one connection and never wait for each other's locks.
const sqliteBusyTimeout = 5000

func openSQLite(ctx context.Context, cfg Config) (_ *DB, err error) {
	path, err := sqlitePath(cfg)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("creating data directory: %w", err)
	}
	release, err := LockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	db := &DB{dialect: DialectSQLite, release: release}
	defer func() {
		if err != nil {
			err = errors.Join(err, release())
		}
	}()
	// SQLite creates its journal files with the mode of the database file.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("creating database file: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("creating database file: %w", err)
	}

	synchronous := "FULL"
	if cfg.Durability == DurabilityInterval {
		synchronous = "NORMAL"
	}
	writer, err := sql.Open(sqliteshim.ShimName, sqliteDSN(path, synchronous, "journal_mode(WAL)", cfg.CacheSize))
	if err != nil {
		return nil, fmt.Errorf("opening writer: %w", err)
	}
	writer.SetMaxOpenConns(1)
	if err := writer.PingContext(ctx); err != nil { // switches the file to WAL before a reader opens it
		return nil, errors.Join(fmt.Errorf("opening writer: %w", err), writer.Close())
	}
	reader, err := sql.Open(sqliteshim.ShimName, sqliteDSN(path, synchronous, "query_only(1)", cfg.CacheSize))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening reader: %w", err), writer.Close())
	}
	// Reading a local file is bound by the CPU: more than a few readers per core only cost memory.
	reader.SetMaxOpenConns(MaxReaders(cfg.MaxOpen))
	reader.SetMaxIdleConns(cfg.MaxIdle)
	reader.SetConnMaxLifetime(cfg.MaxLifetime)

	db.writer = bun.NewDB(writer, sqlitedialect.New())
	db.DB = bun.NewDB(reader, sqlitedialect.New(), bun.WithConnResolver(txResolver{db}))
	return db, nil
}

// sqlitePath returns the file of cfg as an absolute path without symbolic links in its directory, so that two names of one file
// lead to the same lock.
func sqlitePath(cfg Config) (string, error) {
	path := filepath.Join(cfg.DataDir, cfg.Actor+".db")
	if cfg.URL != "" {
		var scheme string
		if scheme, path, _ = strings.Cut(cfg.URL, ":"); scheme != "sqlite" && scheme != "file" {
			return "", errors.New("unknown form of a database URL (not shown, it may hold a password): want postgres://…, keywords " +
				"such as host=… dbname=…, sqlite:PATH or file:PATH")
		}
		if strings.HasPrefix(path, "///") {
			path = path[2:]
		}
		if strings.HasPrefix(path, "//") || strings.ContainsAny(path, "?#") {
			return "", errors.New("a SQLite URL is sqlite:PATH, without host and parameters")
		}
	}
	if path == "" || strings.HasPrefix(path, ":") {
		return "", errors.New("a SQLite database needs a file")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("resolving path of database file: %w", err)
	}
	if real, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		abs = filepath.Join(real, filepath.Base(abs))
	}
	return abs, nil
}

// MaxReaders is how many readers a SQLite database has with a setting of Config.MaxOpen.
func MaxReaders(maxOpen int) int { return min(maxOpen, 4*runtime.GOMAXPROCS(0)) }

// sqliteDSN returns the driver's data source name. The busy timeout comes first, because the later pragmas may find the file
// locked. Temporary data stays in memory: no plain text reaches the system's temporary directory, and a statement that writes
// several rows does not map and unmap 64 KiB for its statement journal, which took half of its CPU time. Deleted content is
// overwritten (Scrub).
func sqliteDSN(path, synchronous, pragma string, cache int64) string {
	pragmas := []string{
		fmt.Sprintf("busy_timeout(%d)", sqliteBusyTimeout), pragma, "foreign_keys(1)", "synchronous(" + synchronous + ")",
		"temp_store(MEMORY)", "secure_delete(1)",
	}
	if cache > 0 {
		pragmas = append(pragmas, fmt.Sprintf("cache_size(-%d)", max(1, cache>>10))) // negative values are KiB
	}
	q := url.Values{"_txlock": {"immediate"}, "_pragma": pragmas}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}
