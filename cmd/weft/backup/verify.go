package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/archive"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/consent/ledger"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// Check is what Verify needs.
type Check struct {
	// Migrations are those of each actor.
	Migrations map[string]fs.FS
	// Identities decrypt the keys; without one they are not looked at.
	Identities []age.Identity
	// Temp is the folder in which databases are unpacked, one after the other.
	Temp string
	Say  func(string)
}

// consentActor is the actor that has the ledger.
const consentActor = "consent"

// Report is what a restore of an archive would give.
type Report struct {
	ID       string            `json:"id"`
	Weft     string            `json:"weft"`
	BeganAt  string            `json:"began_at"`
	Bytes    int64             `json:"bytes"`
	Database map[string]string `json:"databases"`
	// Streams is the number of streams, Messages that of their messages.
	Streams  int    `json:"streams"`
	Messages uint64 `json:"messages"`
	// LedgerEntries is the number of entries of the ledger that were verified; -1 if the archive has no database of consents.
	LedgerEntries int64 `json:"ledger_entries"`
	// Keys is decrypted, "not checked" or none.
	Keys string `json:"keys"`
}

// Verify reads all of an archive: the hashes, the integrity of each database and whether this version can migrate it, every message of every stream, the
// ledger, and the keys if it is given what decrypts them. It changes nothing.
func (a *Archive) Verify(ctx context.Context, c Check) (Report, error) {
	m := a.Manifest
	r := Report{
		ID: m.ID, Weft: m.Weft, BeganAt: m.BeganAt.Format("2006-01-02T15:04:05Z07:00"), Bytes: a.Bytes, Database: map[string]string{},
		LedgerEntries: -1, Keys: "none",
	}
	if err := a.Check(ctx, c.Say); err != nil {
		return r, err
	}
	if err := a.checkVersions(c.Migrations); err != nil {
		return r, err
	}
	if m.Encrypted() {
		r.Keys = "not checked"
		if len(c.Identities) > 0 {
			if _, err := a.Keys(c.Identities); err != nil {
				return r, err
			}
			r.Keys = "decrypted"
		}
	}
	for _, s := range m.Streams {
		messages, err := a.checkStream(ctx, s)
		if err != nil {
			return r, err
		}
		r.Streams++
		r.Messages += messages
	}
	c.Say(fmt.Sprintf("%d streams with %d messages are complete", r.Streams, r.Messages))
	for actor, d := range m.Databases {
		r.Database[actor] = d.Dialect
		if d.Dialect != database.DialectSQLite {
			continue
		}
		if err := a.checkDatabase(ctx, actor, c, &r); err != nil {
			return r, err
		}
		c.Say("the database of " + actor + " is intact")
	}
	return r, nil
}

// checkVersions returns ErrFormat if this version of weft is older than a database.
func (a *Archive) checkVersions(migrations map[string]fs.FS) error {
	for actor, d := range a.Manifest.Databases {
		known, err := database.KnownVersions(migrations[actor])
		if err == nil {
			err = d.Versions.Check(known)
		}
		if err != nil {
			return fmt.Errorf("%w: the database of %s: %w", ErrFormat, actor, err)
		}
	}
	return nil
}

// checkDatabase unpacks a database and checks it, and of consents the ledger.
func (a *Archive) checkDatabase(ctx context.Context, actor string, c Check, r *Report) (err error) {
	dir, err := os.MkdirTemp(c.Temp, ".weft-verify-*")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := a.extractDatabase(ctx, actor, filepath.Join(dir, actor+".db")); err != nil {
		return err
	}
	db, err := database.Open(ctx, database.Config{Actor: actor, DataDir: dir, Durability: database.DurabilityInterval}, zap.NewNop())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := database.Migrate(ctx, db, c.Migrations[actor]); err != nil {
		return fmt.Errorf("the database of %s cannot be migrated: %w", actor, err)
	}
	if actor != consentActor {
		return nil
	}
	log, sequence, err := ledger.VerifyDatabase(ctx, db)
	if err != nil {
		return fmt.Errorf("%w: the ledger does not verify: %w", ErrDamaged, err)
	}
	if s := a.Manifest.stream(subjects.Ledger.Name); s != nil && s.LastSeq < sequence {
		return fmt.Errorf("%w: the ledger has entries up to %d, its stream ends at %d", ErrDamaged, sequence, s.LastSeq)
	}
	r.LedgerEntries = log.Tree.N
	return nil
}

// extractDatabase writes a SQLite database to a file and checks its integrity.
func (a *Archive) extractDatabase(ctx context.Context, actor, path string) error {
	in, err := a.open(databaseMember(actor))
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	if err := writeFile(path, contextReader{ctx, in}); err != nil {
		return fmt.Errorf("unpacking the database of %s: %w", actor, err)
	}
	versions, err := database.CheckFile(ctx, path)
	if err != nil {
		return fmt.Errorf("%w: the database of %s: %w", ErrDamaged, actor, err)
	}
	if want := a.Manifest.Databases[actor].Versions; fmt.Sprint(versions) != fmt.Sprint(want) {
		return fmt.Errorf("%w: the database of %s has the versions %v, the manifest says %v", ErrDamaged, actor, versions, want)
	}
	return nil
}

// writeFile writes a new file with mode 0600 and syncs it.
func writeFile(path string, r io.Reader) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, r)
	return errors.Join(err, file.Sync(), file.Close())
}

// Keys decrypts the keys and checks that those of weft's own NATS users are among them.
func (a *Archive) Keys(identities []age.Identity) (map[string][]byte, error) {
	raw, err := a.raw(keysMember)
	if err != nil {
		return nil, err
	}
	files, err := decryptKeys(raw, identities)
	if err != nil {
		return nil, err
	}
	for _, user := range subjects.Actors() {
		if len(files[natsKeys+"keys/"+user+".nk"]) == 0 {
			return nil, fmt.Errorf("%w: the keys lack that of the NATS user %s", ErrDamaged, user)
		}
	}
	return files, nil
}

// checkStream reads every entry of a stream and returns the number of its messages.
func (a *Archive) checkStream(ctx context.Context, s Stream) (messages uint64, err error) {
	fail := func(what string, args ...any) (uint64, error) {
		return 0, fmt.Errorf("%w: the stream %s %s", ErrDamaged, s.Name, fmt.Sprintf(what, args...))
	}
	last := uint64(0)
	err = a.eachEntry(ctx, s, func(_ *archive.Reader, h *archive.Header) error {
		if h.Sequence <= last || h.Sequence > s.LastSeq {
			return fmt.Errorf("%w: the stream %s has the sequence %d after %d", ErrDamaged, s.Name, h.Sequence, last)
		}
		if !belongs(s.Name, h.Name) {
			return fmt.Errorf("%w: the stream %s has a message on %q", ErrDamaged, s.Name, h.Name)
		}
		last = h.Sequence
		messages++
		return nil
	})
	if err != nil {
		return 0, err
	}
	if messages != s.Messages+s.Added {
		return fail("has %d messages, the manifest says %d", messages, s.Messages+s.Added)
	}
	return messages, nil
}

// belongs reports whether a message on subject can be in a stream.
func belongs(stream, subject string) bool {
	list := mesh.SubjectsOf(stream)
	return slices.ContainsFunc(list, func(pattern string) bool {
		prefix, _ := strings.CutSuffix(strings.TrimSuffix(pattern, "*"), ">")
		return strings.HasPrefix(subject, prefix)
	})
}

// eachEntry calls f for each message of a stream in the archive, and of those that were added.
func (a *Archive) eachEntry(ctx context.Context, s Stream, f func(*archive.Reader, *archive.Header) error) error {
	return a.readStream(ctx, s, func(server.StreamState, []server.SnapshotConsumerState) error { return nil }, f)
}

// readStream reads a stream. It calls started with the state and the durables, then f for each message.
func (a *Archive) readStream(
	ctx context.Context, s Stream, started func(server.StreamState, []server.SnapshotConsumerState) error,
	f func(*archive.Reader, *archive.Header) error,
) error {
	in, err := a.open(streamMember(s.Name))
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	entries := archive.NewReader(contextReader{ctx, in})
	header, err := entries.Next()
	if err != nil || header.Name != stateEntry {
		return fmt.Errorf("%w: the stream %s has no state", ErrDamaged, s.Name)
	}
	var state server.StreamState
	if err := decodeEntry(entries, header, &state); err != nil {
		return err
	}
	var durables []server.SnapshotConsumerState
	for range state.Consumers {
		var consumer server.SnapshotConsumerState
		if header, err = entries.Next(); err != nil || !strings.HasPrefix(header.Name, consumerPrefix) {
			return fmt.Errorf("%w: the stream %s lacks a durable", ErrDamaged, s.Name)
		}
		if err := decodeEntry(entries, header, &consumer); err != nil {
			return err
		}
		durables = append(durables, consumer)
	}
	if err := started(state, durables); err != nil {
		return err
	}
	if err := eachMessage(s.Name, entries, f); err != nil || s.Added == 0 {
		return err
	}
	added, err := a.open(addedMember(s.Name))
	if err != nil {
		return err
	}
	defer func() { _ = added.Close() }()
	return eachMessage(s.Name, archive.NewReader(contextReader{ctx, added}), f)
}

func eachMessage(stream string, entries *archive.Reader, f func(*archive.Reader, *archive.Header) error) error {
	for {
		header, err := entries.Next()
		if err != nil {
			return fmt.Errorf("%w: the stream %s ends without its last entry: %w", ErrDamaged, stream, err)
		}
		if isEnd(header) {
			return nil
		}
		if err := f(entries, header); err != nil {
			return err
		}
	}
}
