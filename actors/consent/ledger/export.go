package ledger

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/weftmesh/weft/subjects"
)

// maxRecord bounds a record of an export in bytes.
const maxRecord = 4 << 20

// ReadRecords returns a function that returns the records of an export in order, and io.EOF at the end. A line must be exactly as WriteRecord writes
// it, so that every change of a byte is seen; a *Fault names the record otherwise. first is the number of the first record.
func ReadRecords(r io.Reader, first int64) func() (subjects.LedgerRecord, error) {
	lines := bufio.NewReaderSize(r, 64<<10)
	leaf := first - 1
	return func() (record subjects.LedgerRecord, err error) {
		leaf++
		fault := func(detail string) error { return &Fault{Path: "records", Leaf: leaf, Detail: detail} }
		line, err := readLine(lines)
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return record, io.EOF
		case errors.Is(err, io.EOF):
			return record, fault("its line has no end")
		case err != nil:
			return record, fmt.Errorf("reading the records: %w", err)
		}
		var same bytes.Buffer
		if json.Unmarshal(line, &record) != nil || WriteRecord(&same, record) != nil || !bytes.Equal(same.Bytes(), line) {
			return record, fault("the line is not one that an export writes")
		}
		return record, nil
	}
}

// readLine reads a line with its end, of at most maxRecord bytes.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > maxRecord {
			return nil, fmt.Errorf("a line has more than %d bytes", maxRecord)
		}
	}
}

// WriteRecord writes a record as a line of an export.
func WriteRecord(w io.Writer, record subjects.LedgerRecord) error {
	if err := json.NewEncoder(w).Encode(record); err != nil {
		return fmt.Errorf("writing a record: %w", err)
	}
	return nil
}
