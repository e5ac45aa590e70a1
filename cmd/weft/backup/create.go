package backup

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"
	"golang.org/x/sync/errgroup"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh"
)

// maxHeld bounds for how long writers wait for the moment of a backup. weft's transactions wait five seconds for a lock of SQLite.
// maxHeldDerived is that for buckets that follow from a database: a large one is read on when writers continue.
const (
	maxHeld        = 3 * time.Second
	maxHeldDerived = 1500 * time.Millisecond
)

// Errors of Create.
var (
	// ErrExists means that there is a file with the archive's name.
	ErrExists = errors.New("the file exists already, and a backup overwrites nothing")
	// ErrHeld means that the streams could not be read in the time for which writers may wait.
	ErrHeld = errors.New("the moment of the backup took too long")
)

// Source is what a backup is made of.
type Source struct {
	// Conn is a connection of the NATS user backup.
	Conn *mesh.Conn
	// Databases are those of all actors. They may be in use.
	Databases []database.Config
	// Keys are the files to encrypt, by their name in the archive; none if Recipients is empty.
	Keys map[string]string
	// Recipients can decrypt the keys. Without one the archive has no keys.
	Recipients []age.Recipient
	// Config is the text of the effective configuration, without secrets.
	Config []byte
	// StreamsOnly leaves out the databases of SQLite.
	StreamsOnly bool
	// Weft is the program's version.
	Weft string
	// AtMoment is called at the moment of the databases on PostgreSQL, when writers continue: their dump can use the snapshot until it returns. nil for nothing.
	AtMoment func(context.Context, database.FrozenPostgres) error
	// Say reports progress; it is called by several goroutines.
	Say func(string)
}

// Create makes an archive of the name path, which must not exist. What was acknowledged before the call is in it. While it is made, it is in a
// folder beside path; nothing is left of it after an error.
func Create(ctx context.Context, path string, source Source) (m Manifest, err error) {
	m = Manifest{Format: Format, Weft: source.Weft, BeganAt: time.Now().UTC(), Databases: map[string]Database{}}
	random := make([]byte, 4)
	_, _ = rand.Read(random)
	m.ID = "weft_" + m.BeganAt.Format("20060102T150405Z") + "_" + hex.EncodeToString(random)
	if _, err := os.Lstat(path); err == nil {
		return m, fmt.Errorf("%s: %w", path, ErrExists)
	}
	work, err := newSpool(filepath.Dir(path))
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, work.remove()) }()
	b := &builder{Source: source, spool: work, manifest: &m}
	if err := b.collect(ctx); err != nil {
		return m, err
	}
	m.EndedAt = time.Now().UTC()
	return m, b.publish(path)
}

// builder makes one archive.
type builder struct {
	Source

	spool    *spool
	manifest *Manifest
}

// collect writes every member into the spool.
func (b *builder) collect(ctx context.Context) (err error) {
	frozen, err := database.Freeze(ctx, b.Databases, b.manifest.ID)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, frozen.Close()) }()
	began := time.Now()
	b.manifest.TakenAt = began.UTC()
	ctx, cancel := context.WithCancel(ctx)
	all, streamsCtx := errgroup.WithContext(ctx)
	defer func() {
		cancel()
		_ = all.Wait() // nothing writes into the spool any more
	}()
	captures := b.captures()
	for _, c := range captures {
		all.Go(func() error { return c.read(streamsCtx, b.Conn, b.spool) })
	}
	if err := awaitMoment(streamsCtx, captures); err != nil {
		cancel()
		if failure := all.Wait(); failure != nil && !errors.Is(err, ErrHeld) {
			return failure
		}
		return err
	}
	frozen.Release()
	held := time.Since(began)
	b.manifest.HeldMS = held.Milliseconds()
	b.Say(fmt.Sprintf("the moment is taken; writers waited %s", held.Round(time.Millisecond)))
	if err := errors.Join(b.copyDatabases(ctx, frozen), b.copyKeys()); err != nil {
		return err
	}
	if err := all.Wait(); err != nil {
		return err
	}
	for _, c := range captures {
		b.manifest.Streams = append(b.manifest.Streams, c.Stream)
		b.manifest.Members = append(b.manifest.Members, c.members...)
	}
	return nil
}

// awaitMoment returns when everything has been read that must be while writers wait.
func awaitMoment(ctx context.Context, captures []*capture) error {
	limit, derived := time.NewTimer(maxHeld), time.NewTimer(maxHeldDerived)
	defer limit.Stop()
	defer derived.Stop()
	for _, c := range captures {
		within := limit.C
		if isDerived(c.Name) { // there is one
			within = derived.C
		}
		for _, reached := range []chan struct{}{c.started, c.settled} {
			select {
			case <-reached:
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-within:
				if reached == c.settled && isDerived(c.Name) {
					continue
				}
				return fmt.Errorf("%w: %s was not read within %s; try again when less is waiting", ErrHeld, c.Name, maxHeld)
			}
		}
	}
	return nil
}

func (b *builder) captures() []*capture {
	var list []*capture
	for _, name := range streamNames() {
		list = append(list, &capture{Stream: Stream{Name: name}, settled: make(chan struct{}), started: make(chan struct{})})
	}
	return list
}

// copyDatabases copies what was frozen, or has the caller dump it.
func (b *builder) copyDatabases(ctx context.Context, frozen *database.Frozen) error {
	if moment := frozen.PostgreSQL; moment != nil {
		b.manifest.PostgreSQL = &PostgreSQL{LSN: moment.LSN, RestorePoint: moment.RestorePoint}
		if b.AtMoment != nil {
			if err := b.AtMoment(ctx, *moment); err != nil {
				return err
			}
		}
	}
	for _, cfg := range b.Databases {
		versions, err := frozen.Versions(ctx, cfg)
		if err != nil {
			return err
		}
		entry := Database{Dialect: database.DialectPostgres, Versions: versions}
		if frozen.Copied(cfg.Actor) {
			entry.Dialect = database.DialectSQLite
		}
		if frozen.Copied(cfg.Actor) && !b.StreamsOnly {
			if entry.Bytes, err = b.copyDatabase(ctx, frozen, cfg.Actor); err != nil {
				return err
			}
		}
		if entry.Dialect == database.DialectPostgres || !b.StreamsOnly {
			b.manifest.Databases[cfg.Actor] = entry
		}
	}
	return nil
}

// copyDatabase copies one SQLite database and compresses the copy.
func (b *builder) copyDatabase(ctx context.Context, frozen *database.Frozen, actor string) (size int64, err error) {
	copied := filepath.Join(b.spool.dir, actor+".db")
	report := reporter{say: b.Say, what: "copying the database of " + actor, next: time.Now().Add(reportEvery)}
	if err := frozen.Copy(ctx, actor, copied, report.done); err != nil {
		return 0, err
	}
	member, err := b.spool.write(databaseMember(actor), true, func(w io.Writer) error {
		file, err := os.Open(copied)
		if err != nil {
			return err
		}
		size, err = io.Copy(w, contextReader{ctx, file})
		return errors.Join(err, file.Close())
	})
	b.manifest.Members = append(b.manifest.Members, member)
	return size, errors.Join(err, os.Remove(copied))
}

// reportEvery is the interval of reports about one thing that takes long.
const reportEvery = 2 * time.Second

// reporter reports how far something is.
type reporter struct {
	say  func(string)
	what string
	next time.Time
}

func (r *reporter) done(done, all int64) {
	if now := time.Now(); now.After(r.next) {
		r.next = now.Add(reportEvery)
		r.say(fmt.Sprintf("%s: %d of %d MiB", r.what, done>>20, all>>20))
	}
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context //nolint:containedctx // that of the call that reads
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// copyKeys encrypts the keys, and adds the configuration.
func (b *builder) copyKeys() error {
	if len(b.Config) > 0 {
		member, err := b.spool.write(configMember, false, func(w io.Writer) error {
			_, err := w.Write(b.Config)
			return err
		})
		if err != nil {
			return err
		}
		b.manifest.Members = append(b.manifest.Members, member)
	}
	if len(b.Recipients) == 0 {
		return nil
	}
	member, err := b.spool.write(keysMember, false, func(w io.Writer) error { return encryptKeys(w, b.Keys, b.Recipients) })
	if err != nil {
		return err
	}
	b.manifest.Members = append(b.manifest.Members, member)
	return nil
}
