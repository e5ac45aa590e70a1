package dataexport

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

const (
	// PageBytes bounds the lines of a page: with them in Base64 it fits into a message.
	PageBytes = 384 << 10
	// readBatch is the most rows that one query reads.
	readBatch = 500
)

// Exporter reads what an actor holds of a user.
type Exporter struct {
	actors.Deps

	set Set
}

// New returns the exporter of an actor. The set must be valid: a test checks it (Set.Check).
func New(d actors.Deps, set Set) *Exporter { return &Exporter{Deps: d, set: set} }

// Bind binds the exporter of an actor to its endpoint.
func Bind(e subjects.Endpoint[subjects.ExportSubjectRequest, subjects.SubjectRecords], d actors.Deps, set Set) actors.Binding {
	return actors.Bind(e, New(d, set).handle)
}

// handle answers export_subject: a page of what the actor holds of the user that the service acts for.
func (e *Exporter) handle(ctx context.Context, r subjects.ExportSubjectRequest) (subjects.SubjectRecords, error) {
	caller := actors.CallerFrom(ctx)
	if caller.UserID == "" {
		return subjects.SubjectRecords{}, subjects.Errorf(subjects.CodeInvalid, "the call names no user")
	}
	return e.Page(ctx, caller.UserID, r.Cursor)
}

// position is where a page begins. Cursors are made of it.
type position struct {
	Source string `json:"s"`
	// Key is that of the last record returned completely; nil before the first one.
	Key []any `json:"k,omitempty"`
	// Offset is the number of bytes returned of the next record, and Sum the hash by which a change of it is noticed.
	Offset int    `json:"o,omitempty"`
	Sum    string `json:"h,omitempty"`
}

var errCursor = subjects.InvalidField("cursor", "invalid cursor")

func parseCursor(cursor string) (position, error) {
	var p position
	data, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return p, errCursor
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if decoder.Decode(&p) != nil || p.Offset < 0 {
		return p, errCursor
	}
	for i, part := range p.Key {
		if n, isNumber := part.(json.Number); isNumber {
			if p.Key[i], err = n.Int64(); err != nil {
				return p, errCursor
			}
		}
	}
	return p, nil
}

func (p position) cursor() string {
	data, err := json.Marshal(p)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

// Page returns the records of a user that come after a cursor, of one source. The last page has no cursor. The error is CodeConflict where a
// record has changed whose first part was returned by the page before: the caller begins again.
func (e *Exporter) Page(ctx context.Context, userID, cursor string) (subjects.SubjectRecords, error) {
	at, index := position{}, 0
	if cursor != "" {
		var err error
		if at, err = parseCursor(cursor); err != nil {
			return subjects.SubjectRecords{}, err
		}
		index = slices.IndexFunc(e.set.Sources, func(s Source) bool { return s.Name == at.Source })
		if index < 0 {
			return subjects.SubjectRecords{}, errCursor
		}
	}
	for ; index < len(e.set.Sources); index++ {
		p := page{source: e.set.Sources[index], at: at}
		p.at.Source = p.source.Name
		exhausted, err := p.fill(ctx, e, userID)
		if err != nil {
			return subjects.SubjectRecords{}, fmt.Errorf("exporting %s: %w", p.source.Name, err)
		}
		if !exhausted {
			return p.result(p.at.cursor()), nil
		}
		next := ""
		if index+1 < len(e.set.Sources) {
			next = position{Source: e.set.Sources[index+1].Name}.cursor()
		}
		if len(p.data) > 0 || next == "" {
			return p.result(next), nil
		}
		at = position{}
	}
	return subjects.SubjectRecords{}, nil
}

// page is a page while it is filled.
type page struct {
	source  Source
	at      position
	data    []byte
	records int
}

func (p *page) result(next string) subjects.SubjectRecords {
	return subjects.SubjectRecords{
		Source: p.source.Name, Doc: p.source.Doc, Derived: p.source.Derived, Columns: p.source.Names(), Data: p.data, Records: p.records,
		NextCursor: next,
	}
}

// fill reads records until the page is full, or until there are no more; then it returns true.
func (p *page) fill(ctx context.Context, e *Exporter, userID string) (exhausted bool, err error) {
	for {
		n, full := 0, false
		err := e.each(ctx, p.source, userID, p.at.Key, func(key []any, record map[string]any) (more bool, err error) {
			n++
			line, err := encodeLine(p.source.Names(), record)
			if err != nil {
				return false, err
			}
			full, err = p.add(key, line)
			return !full && err == nil, err
		})
		if err != nil {
			return false, err
		}
		if full {
			return false, nil
		}
		if n == 0 || p.source.Read == nil && n < readBatch {
			return true, nil
		}
	}
}

// add adds a record or a part of it. It reports that the page takes no more.
func (p *page) add(key []any, line []byte) (full bool, err error) {
	if len(p.data) > 0 && len(p.data)+len(line) > PageBytes {
		return true, nil
	}
	rest := line
	if p.at.Offset > 0 {
		if sumOf(line) != p.at.Sum || p.at.Offset >= len(line) {
			return true, subjects.Errorf(subjects.CodeConflict, "a record has changed while it was exported; begin again")
		}
		rest = line[p.at.Offset:]
	}
	if len(rest) > PageBytes {
		p.data = rest[:PageBytes]
		p.at.Offset, p.at.Sum = p.at.Offset+PageBytes, sumOf(line)
		return true, nil
	}
	p.data = append(p.data, rest...)
	p.at.Key, p.at.Offset, p.at.Sum = key, 0, ""
	p.records++
	return false, nil
}

func sumOf(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:8])
}

// encodeLine encodes a record as a line of JSON whose members are in the order of the columns.
func encodeLine(columns []string, record map[string]any) ([]byte, error) {
	line := []byte{'{'}
	for i, name := range columns {
		if i > 0 {
			line = append(line, ',')
		}
		member, err := subjects.Encode(name)
		if err != nil {
			return nil, err
		}
		v, err := subjects.Encode(record[name])
		if err != nil {
			return nil, fmt.Errorf("encoding %s: %w", name, err)
		}
		line = append(append(append(line, member...), ':'), v...)
	}
	return append(line, '}', '\n'), nil
}
