package dataexport

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/seal"
)

// Source is one kind of record that an actor holds of users: a table, unless it has Read.
type Source struct {
	// Name is the table's name, or that of what Read returns.
	Name string
	// Doc says what a record is, for the person who receives it.
	Doc string
	// Derived marks what weft has computed about the user or keeps for its own work. It belongs to an answer to a request for access and not
	// to one for portability, which has what the person has provided and what was observed (GDPR Art. 20(1)).
	Derived bool
	// Key are the columns that identify a row, by which rows are read in order.
	Key []string
	// Of is the condition under which a row is the user's, with ? for the user's id. Default: user_id = ?.
	Of string
	// Columns are the exported columns, separated by spaces, each with its kind after a colon: time (microseconds since the Unix epoch, 0 for
	// none), day (days since the epoch), bool, json, list (separated by spaces), text (bytes that are text) or open (sealed; see Set.Sealed),
	// openjson, and packed (JSON; see Set.Unpack). Without one, a value is returned as it is stored.
	Columns string
	// Omitted are the columns that are not exported, each with the reason.
	Omitted map[string]string
	// Read returns records in place of a table's rows: some of those that come after a key, at most limit; none at the end.
	Read func(ctx context.Context, userID, after string, limit int) ([]Record, error)
}

// Record is a record of a Source with Read.
type Record struct {
	// Key orders the records of a user and identifies this one.
	Key string
	// Values are the values of the source's columns.
	Values map[string]any
}

// Set is what an actor exports.
type Set struct {
	Sources []Source
	// Omitted are the tables that are not exported, each with the reason.
	Omitted map[string]string
	// Sealed are the actor's sealed columns, with which those of the kind open are opened.
	Sealed []seal.Column
	// Unpack decodes a value of the kind packed.
	Unpack func(stored any) (string, error)
}

// Shared are the tables that each actor has and that are not exported.
var Shared = map[string]string{
	"weft_migrations":  "has no data of users",
	"weft_outbox":      "messages that are published within milliseconds; what they say is in other tables",
	"weft_idempotency": "answers to calls that are kept for a day to be repeated, sealed; what they say is in other tables",
	"weft_deferred":    "messages that are tried again within hours; what they say is in other tables",
	"weft_heartbeat":   "has no data of users",
}

// column is a column as Source.Columns declares it.
type column struct{ name, kind string }

// The kinds of columns.
const (
	kindTime     = "time"
	kindDay      = "day"
	kindBool     = "bool"
	kindJSON     = "json"
	kindList     = "list"
	kindText     = "text"
	kindOpen     = "open"
	kindOpenJSON = "openjson"
	kindPacked   = "packed"
)

func (s Source) columns() []column {
	fields := strings.Fields(s.Columns)
	list := make([]column, len(fields))
	for i, field := range fields {
		list[i].name, list[i].kind, _ = strings.Cut(field, ":")
	}
	return list
}

// Names are the names of the exported columns, in order.
func (s Source) Names() []string {
	columns := s.columns()
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return names
}

// Check reports a source that is declared wrongly.
func (s Set) Check() error {
	kinds := []string{"", kindTime, kindDay, kindBool, kindJSON, kindList, kindText, kindOpen, kindOpenJSON, kindPacked}
	for _, source := range s.Sources {
		for _, c := range source.columns() {
			if !slices.Contains(kinds, c.kind) {
				return fmt.Errorf("the column %s.%s has the unknown kind %q", source.Name, c.name, c.kind)
			}
			if c.kind == kindPacked && s.Unpack == nil {
				return fmt.Errorf("the column %s.%s cannot be unpacked", source.Name, c.name)
			}
			if c.kind != kindOpen && c.kind != kindOpenJSON {
				continue
			}
			if _, found := s.sealed(source.Name, c.name); !found {
				return fmt.Errorf("the column %s.%s is not sealed", source.Name, c.name)
			}
		}
		if source.Read == nil && len(source.Key) == 0 {
			return fmt.Errorf("the source %s has no key", source.Name)
		}
	}
	return nil
}

// sealed finds the declaration of a sealed column.
func (s Set) sealed(table, name string) (seal.Column, bool) {
	i := slices.IndexFunc(s.Sealed, func(c seal.Column) bool { return c.Table == table && c.Column == name })
	if i < 0 {
		return seal.Column{}, false
	}
	return s.Sealed[i], true
}

// value converts a stored value by its kind.
func value(kind string, v any) any {
	if data, isBytes := v.([]byte); isBytes && kind != "" {
		v = string(data)
	}
	switch kind {
	case kindTime:
		if n, isNumber := v.(int64); isNumber {
			if n == 0 {
				return nil
			}
			return time.UnixMicro(n).UTC().Format(time.RFC3339Nano)
		}
	case kindDay:
		if n, isNumber := v.(int64); isNumber {
			return time.Unix(n*int64(24*time.Hour/time.Second), 0).UTC().Format(time.DateOnly)
		}
	case kindBool:
		if n, isNumber := v.(int64); isNumber {
			return n != 0
		}
	case kindList:
		if text, isText := v.(string); isText {
			return strings.Fields(text)
		}
	case kindJSON, kindOpenJSON, kindPacked:
		text, isText := v.(string)
		if !isText || text == "" {
			return nil
		}
		if json.Valid([]byte(text)) {
			return json.RawMessage(text)
		}
	}
	return v
}
