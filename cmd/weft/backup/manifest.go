package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// Format is the number of the archive's format. A reader refuses later ones.
const Format = 1

// Names of members.
const (
	manifestMember = "manifest.json"
	endMember      = "end"
	keysMember     = "keys.age"
	configMember   = "config.yaml"
)

// maxManifest bounds a manifest in bytes.
const maxManifest = 16 << 20

// Errors of an archive.
var (
	// ErrDamaged means that an archive is not what was written: shortened or changed.
	ErrDamaged = errors.New("the archive is damaged")
	// ErrFormat means that an archive has a format, or a schema, that this version of weft cannot read.
	ErrFormat = errors.New("the archive needs another version of weft")
	// ErrSecret means that the keys cannot be decrypted with what was given.
	ErrSecret = errors.New("the keys cannot be decrypted")
)

// Manifest describes an archive.
type Manifest struct {
	// Format is the archive's format.
	Format int `json:"format"`
	// ID identifies the backup, such as weft_20261130T204500Z_1f0c.
	ID string `json:"id"`
	// Weft is the version of the program that made it.
	Weft string `json:"weft"`
	// BeganAt is when the backup began: what was acknowledged before is in it. TakenAt is the moment of the databases and streams, and
	// HeldMS for how many milliseconds writers waited for it.
	BeganAt time.Time `json:"began_at"`
	TakenAt time.Time `json:"taken_at"`
	EndedAt time.Time `json:"ended_at"`
	HeldMS  int64     `json:"held_ms"`
	// Databases are by actor.
	Databases map[string]Database `json:"databases"`
	// PostgreSQL has the moment in PostgreSQL's terms, if databases are there.
	PostgreSQL *PostgreSQL `json:"postgresql,omitempty"`
	Streams    []Stream    `json:"streams"`
	// Members are all members of the archive but the first and the last.
	Members []Member `json:"members"`
}

// Database is an actor's database.
type Database struct {
	// Dialect is sqlite or postgres. The archive has the databases of SQLite only.
	Dialect  string            `json:"dialect"`
	Versions database.Versions `json:"versions"`
	// Bytes is the size of the SQLite file.
	Bytes int64 `json:"bytes,omitempty"`
}

// PostgreSQL is the moment of a backup in a PostgreSQL database.
type PostgreSQL struct {
	LSN          string `json:"lsn"`
	RestorePoint string `json:"restore_point,omitempty"`
}

// Stream is a stream, bucket or object store at the moment of the backup.
type Stream struct {
	Name     string              `json:"name"`
	Snapshot mesh.StreamSnapshot `json:"snapshot"`
	// Messages is how many the archive has, Added how many of a bucket are from after the moment, and LastSeq the last sequence of all.
	Messages uint64 `json:"messages"`
	Added    uint64 `json:"added,omitempty"`
	LastSeq  uint64 `json:"last_seq"`
	// Durables are the consumers with their positions.
	Durables []Durable `json:"durables,omitempty"`
}

// Durable is a durable consumer's position: what is below AckFloor was processed.
type Durable struct {
	Name     string `json:"name"`
	AckFloor uint64 `json:"ack_floor"`
	Pending  int    `json:"pending"`
}

// Member is a member of the archive.
type Member struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Encrypted reports whether the archive has the keys.
func (m Manifest) Encrypted() bool { return m.member(keysMember) != nil }

func (m Manifest) member(name string) *Member {
	for i := range m.Members {
		if m.Members[i].Name == name {
			return &m.Members[i]
		}
	}
	return nil
}

func (m Manifest) stream(name string) *Stream {
	for i := range m.Streams {
		if m.Streams[i].Name == name {
			return &m.Streams[i]
		}
	}
	return nil
}

// parseManifest decodes and checks a manifest.
func parseManifest(data []byte) (m Manifest, err error) {
	var head struct {
		Format int    `json:"format"`
		Weft   string `json:"weft"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return m, fmt.Errorf("%w: its manifest cannot be decoded: %w", ErrDamaged, err)
	}
	if head.Format < 1 || head.Format > Format {
		return m, fmt.Errorf("%w: its format is %d, this version reads 1 to %d; weft %s made it", ErrFormat, head.Format, Format, head.Weft)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("%w: its manifest cannot be decoded: %w", ErrDamaged, err)
	}
	for actor, d := range m.Databases {
		if !slices.Contains(subjects.Actors(), actor) {
			return m, fmt.Errorf("%w: it has a database of %q", ErrFormat, actor)
		}
		if d.Dialect == database.DialectSQLite && m.member(databaseMember(actor)) == nil {
			return m, fmt.Errorf("%w: the database of %s is missing", ErrDamaged, actor)
		}
	}
	known := streamNames()
	for _, s := range m.Streams {
		if !slices.Contains(known, s.Name) {
			return m, fmt.Errorf("%w: it has the stream %q, which this version does not know", ErrFormat, s.Name)
		}
		if m.member(streamMember(s.Name)) == nil {
			return m, fmt.Errorf("%w: the stream %s is missing", ErrDamaged, s.Name)
		}
	}
	return m, nil
}

func databaseMember(actor string) string { return "databases/" + actor + ".db.zst" }
func streamMember(name string) string    { return "streams/" + name + ".zst" }
func addedMember(name string) string     { return "streams/" + name + ".added.zst" }

// spoolName is the file that a member has before the archive is put together.
func spoolName(member string) string { return strings.ReplaceAll(member, "/", "_") }

// streamNames returns the streams that are backed up: all but the volatile buckets and the leases of guards, which expire within seconds.
func streamNames() []string {
	var names []string
	for _, s := range subjects.Streams() {
		names = append(names, s.Name)
	}
	for _, spec := range kv.All() {
		if isKept(spec) {
			names = append(names, spec.Stream())
		}
	}
	for _, spec := range kv.ObjectStores() {
		names = append(names, spec.Stream())
	}
	slices.Sort(names)
	return names
}

func isKept(spec kv.Spec) bool { return spec.Storage == kv.File && spec.Name != kv.Guards.Name }

func isBucket(stream string) bool {
	return slices.ContainsFunc(kv.All(), func(spec kv.Spec) bool { return spec.Stream() == stream })
}

// isConsumed reports whether messages leave a stream when they have been processed. They must be read before what processing writes to the
// databases can be committed.
func isConsumed(stream string) bool {
	return stream == subjects.WorkflowLog.Name || slices.ContainsFunc(subjects.Streams(), func(s subjects.Stream) bool {
		return s.Name == stream && s.Retention == subjects.RetainWork
	})
}

// isDerived reports whether a bucket has what follows from a database, with what gives a right written there first. If it is read while nothing can be
// committed, it gives nothing that the database does not know.
func isDerived(stream string) bool { return stream == kv.ConsentState.Stream() }
