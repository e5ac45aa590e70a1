package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/subjects"
)

// Entry is an entry of the stream with its leaf.
type Entry struct {
	Leaf    int64
	EntryID string
	// Data is the entry as the stream has it; nil if the stream has it no more.
	Data []byte
}

// entriesBytes bounds the data of the entries that Entries returns, unless it is one. With their records and in Base64 it must fit into a message.
const entriesBytes = 256 << 10

// Entries returns entries in the order of their leaves, beginning with one: up to limit, fewer where they are large.
func (l *Ledger) Entries(ctx context.Context, from int64, limit int) ([]Entry, error) {
	rows, err := l.store.leaves(ctx, from, limit)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	stream, err := l.JS.Stream(ctx, subjects.Ledger.Name)
	if err != nil {
		return nil, fmt.Errorf("looking at the ledger's stream: %w", err)
	}
	entries := make([]Entry, len(rows))
	size := 0
	for i, row := range rows {
		entries[i] = Entry{Leaf: row.Leaf, EntryID: row.EntryID}
		m, err := stream.GetMsg(ctx, uint64(row.Sequence))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading an entry of the ledger's stream: %w", err)
		}
		if size += len(m.Data); size > entriesBytes && i > 0 {
			return entries[:i], nil
		}
		entries[i].Data = m.Data
	}
	return entries, nil
}

// CommitmentOf is the commitment of an entry to a text: the SHA-256 of a salt and the text.
func CommitmentOf(salt, text []byte) []byte {
	sum := sha256.Sum256(append(append([]byte(nil), salt...), text...))
	return sum[:]
}

// ChangeErased is the change of an entry by which what SQL had of some consents was erased.
const ChangeErased = "erased"

// committed is what is read of an entry's data.
type committed struct {
	ID        string `json:"id"`
	ConsentID string `json:"consent_id"`
	// Consents are those whose records an erasure has ended.
	Consents   []string `json:"consents"`
	Change     string   `json:"change"`
	Commitment []byte   `json:"commitment"`
}

// VerifyRecords verifies what an operator has exported against a verified log: that the stream has every entry unchanged, and SQL what the
// entries commit to. next returns the records in their order, and io.EOF at the end. A *Fault names the first entry that is wrong. Of a record
// without text its erasure must be in the log.
func (v Verified) VerifyRecords(next func() (subjects.LedgerRecord, error)) error {
	const path = "records"
	erased, pending := map[string]bool{}, map[string]int64{}
	for leaf := v.Base; ; leaf++ {
		r, err := next()
		if errors.Is(err, io.EOF) {
			if leaf < v.Tree.N {
				return &Fault{Path: path, Leaf: leaf, Detail: "the records end before it"}
			}
			break
		}
		if err != nil {
			return err
		}
		if leaf >= v.Tree.N {
			break // recorded since
		}
		entry, fault := v.verifyRecord(leaf, r)
		if fault != nil {
			return fault
		}
		if entry.Change == ChangeErased {
			for _, id := range entry.Consents {
				erased[id] = true
			}
		} else if _, known := pending[entry.ConsentID]; r.Text == "" && !known {
			pending[entry.ConsentID] = leaf
		}
	}
	first := v.Tree.N
	for id, leaf := range pending {
		if !erased[id] {
			first = min(first, leaf)
		}
	}
	if first < v.Tree.N {
		return &Fault{Path: path, Leaf: first, Detail: "SQL has no record of it, and the ledger no erasure"}
	}
	return nil
}

// verifyRecord verifies one record.
func (v Verified) verifyRecord(leaf int64, r subjects.LedgerRecord) (committed, *Fault) {
	fault := func(format string, args ...any) *Fault {
		return &Fault{Path: "records", Leaf: leaf, Detail: fmt.Sprintf(format, args...)}
	}
	var entry committed
	switch {
	case r.Index != leaf:
		return entry, fault("record %d stands in its place", r.Index)
	case len(r.Entry) == 0:
		return entry, fault("the stream does not have it")
	case leafOf(r.Entry) != v.Leaves[leaf-v.Base]:
		return entry, fault("the stream has it changed: its hash is not the leaf's")
	case json.Unmarshal(r.Entry, &entry) != nil || entry.ID != r.EntryID:
		return entry, fault("SQL has it under the id %q, its own id is %q", r.EntryID, entry.ID)
	case r.Text != "" && !bytes.Equal(CommitmentOf(r.Salt, []byte(r.Text)), entry.Commitment):
		return entry, fault("SQL has another record of consent %s than the ledger commits to", entry.ConsentID)
	}
	return entry, nil
}
