package consent

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// archive is a ZIP archive of what actors hold of a user: for each actor and kind of record a file of JSON or CSV, and manifest.json.
type archive struct {
	zip    *zip.Writer
	format string
	now    time.Time
	files  []archiveFile
	// The file that is being written, the beginning of a record whose rest is on the next page, and the CSV writer.
	file    io.Writer
	pending []byte
	csv     *csv.Writer
	columns []string
}

// archiveFile is a file as manifest.json lists it.
type archiveFile struct {
	Path        string `json:"path"`
	Actor       string `json:"actor"`
	Source      string `json:"source"`
	Description string `json:"description"`
	Derived     bool   `json:"derived"`
	Records     int64  `json:"records"`
}

// manifest is the content of manifest.json.
type manifest struct {
	RequestID string        `json:"request_id"`
	Kind      string        `json:"kind"`
	UserID    string        `json:"user_id"`
	Format    string        `json:"format"`
	CreatedAt time.Time     `json:"created_at"`
	About     string        `json:"about"`
	Files     []archiveFile `json:"files"`
}

func newArchive(w io.Writer, format string, now time.Time) *archive {
	return &archive{zip: zip.NewWriter(w), format: format, now: now}
}

// create begins a file.
func (a *archive) create(path string) (io.Writer, error) {
	w, err := a.zip.CreateHeader(&zip.FileHeader{Name: path, Method: zip.Deflate, Modified: a.now})
	if err != nil {
		return nil, fmt.Errorf("beginning %s: %w", path, err)
	}
	return w, nil
}

// add adds a page of an actor's records.
func (a *archive) add(actor string, p subjects.SubjectRecords) error {
	if len(p.Data) == 0 {
		return nil
	}
	last := len(a.files) - 1
	if last < 0 || a.files[last].Actor != actor || a.files[last].Source != p.Source {
		if err := a.begin(actor, p); err != nil {
			return err
		}
	}
	a.pending = append(a.pending, p.Data...)
	for {
		line, rest, whole := bytes.Cut(a.pending, []byte{'\n'})
		if !whole {
			return nil
		}
		if err := a.record(line); err != nil {
			return err
		}
		a.pending = rest
	}
}

// begin ends the file before and begins that of a source.
func (a *archive) begin(actor string, p subjects.SubjectRecords) (err error) {
	if err := a.end(); err != nil {
		return err
	}
	file := archiveFile{Path: actor + "/" + p.Source + "." + a.format, Actor: actor, Source: p.Source, Description: p.Doc, Derived: p.Derived}
	if a.file, err = a.create(file.Path); err != nil {
		return err
	}
	a.files, a.columns, a.pending = append(a.files, file), p.Columns, nil
	if a.format == formatCSV {
		a.csv = csv.NewWriter(a.file)
		return a.csv.Write(p.Columns)
	}
	return nil
}

// record writes a record.
func (a *archive) record(line []byte) error {
	file := &a.files[len(a.files)-1]
	file.Records++
	if a.format == formatCSV {
		cells, err := csvCells(a.columns, line)
		if err != nil {
			return err
		}
		return a.csv.Write(cells)
	}
	separator := ",\n"
	if file.Records == 1 {
		separator = "[\n"
	}
	_, err := a.file.Write(append([]byte(separator), line...))
	return err
}

// csvCells are the values of a record's members: texts as they are, everything else as JSON.
func csvCells(columns []string, line []byte) ([]string, error) {
	var record map[string]json.RawMessage
	if err := json.Unmarshal(line, &record); err != nil {
		return nil, fmt.Errorf("reading a record: %w", err)
	}
	cells := make([]string, len(columns))
	for i, name := range columns {
		raw := record[name]
		var text string
		switch {
		case len(raw) == 0 || string(raw) == "null":
		case raw[0] == '"' && json.Unmarshal(raw, &text) == nil:
			cells[i] = csvCell(text)
		default:
			cells[i] = string(raw)
		}
	}
	return cells, nil
}

// end ends a file.
func (a *archive) end() error {
	if a.file == nil {
		return nil
	}
	if len(a.pending) > 0 {
		return fmt.Errorf("%s ends within a record", a.files[len(a.files)-1].Path)
	}
	if a.csv != nil {
		a.csv.Flush()
		err := a.csv.Error()
		a.csv, a.file = nil, nil
		return err
	}
	text := "\n]\n"
	if a.files[len(a.files)-1].Records == 0 {
		text = "[]\n"
	}
	_, err := a.file.Write([]byte(text))
	a.file = nil
	return err
}

// document adds a file of JSON.
func (a *archive) document(path string, v any) error {
	if err := a.end(); err != nil {
		return err
	}
	w, err := a.create(path)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// close adds the manifest and ends the archive.
func (a *archive) close(m manifest) error {
	if m.Files = a.files; m.Files == nil {
		m.Files = []archiveFile{}
	}
	if err := a.document("manifest.json", m); err != nil {
		return err
	}
	return a.zip.Close()
}
