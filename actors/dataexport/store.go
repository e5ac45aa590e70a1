package dataexport

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/seal"
)

// each calls add for the records of a user that come after a key, at most readBatch, in order, until it returns false.
func (e *Exporter) each(ctx context.Context, s Source, userID string, after []any, add func(key []any, record map[string]any) (bool, error)) error {
	if s.Read != nil {
		return eachRead(ctx, s, userID, after, add)
	}
	names := slices.Clone(s.Names())
	for _, name := range slices.Concat(s.Key, e.opening(s)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	q := e.DB.NewSelect().TableExpr("?", bun.Ident(s.Name)).Limit(readBatch)
	for _, name := range names {
		q.ColumnExpr("?", bun.Ident(name))
	}
	of := s.Of
	if of == "" {
		of = "user_id = ?"
	}
	q.Where("("+of+")", slices.Repeat([]any{userID}, strings.Count(of, "?"))...)
	if len(after) > 0 {
		if len(after) != len(s.Key) {
			return errCursor
		}
		q.Where("(?) > (?)", bun.Safe(strings.Join(s.Key, ", ")), bun.List(after))
	}
	for _, key := range s.Key {
		q.OrderExpr("? ASC", bun.Ident(key))
	}
	rows, err := q.Rows(ctx)
	if err != nil {
		return fmt.Errorf("reading rows: %w", err)
	}
	defer rows.Close()
	for more := true; more && rows.Next(); {
		values, pointers := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			pointers[i] = &values[i]
		}
		if err := rows.Scan(pointers...); err != nil {
			return fmt.Errorf("reading a row: %w", err)
		}
		row := make(map[string]any, len(names))
		for i, name := range names {
			row[name] = values[i]
		}
		key := make([]any, len(s.Key))
		for i, name := range s.Key {
			key[i] = plain(row[name])
		}
		record, err := e.record(s, row)
		if err != nil {
			return err
		}
		if more, err = add(key, record); err != nil {
			return err
		}
	}
	return rows.Err()
}

func eachRead(ctx context.Context, s Source, userID string, after []any, add func(key []any, record map[string]any) (bool, error)) error {
	last := ""
	if len(after) > 0 {
		last, _ = after[0].(string)
	}
	records, err := s.Read(ctx, userID, last, readBatch)
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.Key <= last {
			return fmt.Errorf("the record %q does not come after %q", r.Key, last)
		}
		last = r.Key
		more, err := add([]any{r.Key}, r.Values)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// plain is a value of a key as a cursor holds it.
func plain(v any) any {
	if data, isBytes := v.([]byte); isBytes {
		return string(data)
	}
	return v
}

// opening are the columns that are needed to open a source's sealed ones.
func (e *Exporter) opening(s Source) (names []string) {
	for _, c := range s.columns() {
		if sealed, found := e.set.sealed(s.Name, c.name); found {
			names = append(append(names, sealed.Key...), sealed.With...)
		}
	}
	return names
}

// record converts a row.
func (e *Exporter) record(s Source, row map[string]any) (map[string]any, error) {
	record := make(map[string]any, len(row))
	for _, c := range s.columns() {
		v := row[c.name]
		if c.kind == kindOpen || c.kind == kindOpenJSON {
			var err error
			if v, err = e.open(s.Name, c.name, row); err != nil {
				return nil, err
			}
		}
		if c.kind == kindPacked {
			text, err := e.set.Unpack(v)
			if err != nil {
				return nil, fmt.Errorf("unpacking %s: %w", c.name, err)
			}
			v = text
		}
		record[c.name] = value(c.kind, v)
	}
	return record, nil
}

// errSealed is the value of what cannot be decrypted: its keyset is lost, which must not keep the person from the rest.
var errSealed = errors.New("cannot be decrypted")

// open opens a sealed column of a row. An empty one is empty.
func (e *Exporter) open(table, name string, row map[string]any) (any, error) {
	declared, _ := e.set.sealed(table, name)
	sealed, isBytes := row[name].([]byte)
	if text, isText := row[name].(string); isText {
		sealed, isBytes = []byte(text), true
	}
	if !isBytes || len(sealed) == 0 {
		return nil, nil
	}
	if declared.Base64 {
		var err error
		if sealed, err = base64.StdEncoding.DecodeString(string(sealed)); err != nil {
			return nil, fmt.Errorf("decoding %s: %w", name, err)
		}
	}
	text, err := e.Sealer.Open(sealed, declared.Associated(textsOf(row, declared)))
	if err != nil {
		return errSealed.Error(), nil //nolint:nilerr // the person receives the error in place of the value
	}
	return string(text), nil
}

// textsOf are the values that a sealed column is bound to.
func textsOf(row map[string]any, declared seal.Column) []string {
	names := slices.Concat(declared.Key, declared.With)
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = fmt.Sprint(plain(row[name]))
	}
	return texts
}
