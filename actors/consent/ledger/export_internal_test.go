package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/weftmesh/weft/subjects"
)

// exported is a verified log with the records of an export: two of them erased, and the erasure.
func exported(t *testing.T) (Verified, []subjects.LedgerRecord) {
	t.Helper()
	var records []subjects.LedgerRecord
	var v Verified
	for i := range 6 {
		entry := map[string]any{"id": fmt.Sprint("e", i), "consent_id": fmt.Sprint("c", i%3), "change": "granted", "sealed": []byte("<cipher>")}
		r := subjects.LedgerRecord{Index: int64(i), EntryID: fmt.Sprint("e", i)}
		switch {
		case i == 5:
			entry = map[string]any{"id": "e5", "consents": []string{"c2"}, "change": ChangeErased}
		case i%3 != 2:
			r.Text, r.Salt = fmt.Sprintf(`{"purpose":"<p%d>"}`, i), []byte("0123456789abcdef")
			entry["commitment"] = CommitmentOf(r.Salt, []byte(r.Text))
		}
		var err error
		if r.Entry, err = json.Marshal(entry); err != nil {
			t.Fatal(err)
		}
		v.Leaves = append(v.Leaves, leafOf(r.Entry))
		records = append(records, r)
	}
	v.Tree.N = int64(len(v.Leaves))
	return v, records
}

// TestEveryChangedByteOfRecordsIsNamed: whatever byte of an export's records is changed, of a line of the file, of an entry of the stream, of a row's
// text, or of a salt, the record is named.
func TestEveryChangedByteOfRecordsIsNamed(t *testing.T) {
	t.Parallel()
	v, records := exported(t)
	var file bytes.Buffer
	var ends []int
	for _, r := range records {
		if err := WriteRecord(&file, r); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, file.Len())
	}
	if err := v.VerifyRecords(ReadRecords(bytes.NewReader(file.Bytes()), 0)); err != nil {
		t.Fatal(err)
	}
	changes := 0
	want := func(leaf int, what string, data []byte) {
		t.Helper()
		changes++
		var fault *Fault
		if err := v.VerifyRecords(ReadRecords(bytes.NewReader(data), 0)); !errors.As(err, &fault) || fault.Leaf != int64(leaf) {
			t.Fatalf("%s: %v, want entry %d", what, err, leaf)
		}
	}
	for i := range file.Len() {
		leaf, _ := slices.BinarySearch(ends, i+1)
		for _, bit := range []int{i % 8, 5} { // 5: the case of a letter
			changed := slices.Clone(file.Bytes())
			changed[i] ^= 1 << bit
			want(leaf, fmt.Sprintf("byte %d, bit %d", i, bit), changed)
		}
	}
	for leaf := range records {
		for what, field := range map[string]func(r *subjects.LedgerRecord) []byte{
			"entry": func(r *subjects.LedgerRecord) []byte { return r.Entry },
			"salt":  func(r *subjects.LedgerRecord) []byte { return r.Salt },
			"text":  func(r *subjects.LedgerRecord) []byte { return []byte(r.Text) },
		} {
			for i := range field(&records[leaf]) {
				r := records[leaf]
				changed := slices.Clone(field(&r))
				changed[i] ^= 1 << (i % 8)
				switch what {
				case "entry":
					r.Entry = changed
				case "salt":
					r.Salt = changed
				default:
					r.Text = string(changed)
				}
				var data bytes.Buffer
				for j := range records {
					if j == leaf {
						_ = WriteRecord(&data, r)
					} else {
						_ = WriteRecord(&data, records[j])
					}
				}
				want(leaf, what, data.Bytes())
			}
		}
	}
	t.Logf("%d changes", changes)
}
