package consent

import (
	"cmp"
	"context"
	"encoding/base64"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/weftmesh/weft/actors/consent/ledger"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/subjects"
)

const (
	// maxWitnessAnswer bounds the answer of a witness in bytes, witnessTimeout the time that one is given.
	maxWitnessAnswer = 16 << 10
	witnessTimeout   = 10 * time.Second
)

// The Cache-Control of what the ledger serves: a checkpoint changes, a tile never does (C2SP tlog-tiles).
const (
	cacheCheckpoint = "public, max-age=1"
	cacheTile       = "public, max-age=31536000, immutable"
)

func (a *Actor) ledgerCheckpoint(ctx context.Context, _ subjects.Empty) (subjects.Document, error) {
	checkpoint, _, err := a.ledger.Checkpoint(ctx)
	return subjects.Document{Body: []byte(checkpoint), Headers: map[string]string{"Cache-Control": cacheCheckpoint}}, err
}

func (a *Actor) ledgerBase(ctx context.Context, _ subjects.Empty) (subjects.Document, error) {
	base, err := a.ledger.Base(ctx)
	return subjects.Document{Body: []byte(base), Headers: map[string]string{"Cache-Control": cacheCheckpoint}}, err
}

func (a *Actor) ledgerKey(context.Context, subjects.Empty) (subjects.Document, error) {
	return subjects.Document{Body: []byte(a.ledger.Verifier() + "\n")}, nil
}

func (a *Actor) ledgerTile(ctx context.Context, r subjects.LedgerTileRequest) (subjects.Document, error) {
	data, err := a.ledger.Tile(ctx, r.Path)
	return subjects.Document{Body: data, Headers: map[string]string{"Cache-Control": cacheTile}}, err
}

func (a *Actor) ledgerProof(ctx context.Context, r subjects.LedgerProofRequest) (subjects.LedgerProofs, error) {
	switch {
	case (r.EntryID == "") == (r.From == 0):
		return subjects.LedgerProofs{}, subjects.InvalidField("entry_id", "give either entry_id or from")
	case r.EntryID != "" && r.Size != 0:
		return subjects.LedgerProofs{}, subjects.InvalidField("size", "goes with from; an entry is proven in the tree of the checkpoint")
	case r.EntryID != "":
		p, err := a.ledger.ProveEntry(ctx, r.EntryID)
		if err != nil {
			return subjects.LedgerProofs{}, err
		}
		return subjects.LedgerProofs{Index: &p.Index, Size: p.Size, Hashes: encodeHashes(p.Hashes), Checkpoint: p.Checkpoint, Proof: p.Text()}, nil
	}
	hashes, size, err := a.ledger.ProveTree(ctx, r.From, r.Size)
	return subjects.LedgerProofs{From: r.From, Size: size, Hashes: encodeHashes(hashes)}, err
}

// defaultRecords is the number of records in an answer.
const defaultRecords = 200

func (a *Actor) ledgerRecords(ctx context.Context, r subjects.LedgerRecordsRequest) (subjects.LedgerRecordList, error) {
	entries, err := a.ledger.Entries(ctx, r.From, cmp.Or(r.Limit, defaultRecords))
	if err != nil {
		return subjects.LedgerRecordList{}, err
	}
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.EntryID
	}
	changes, consents, err := a.store.recorded(ctx, ids)
	if err != nil {
		return subjects.LedgerRecordList{}, err
	}
	list := subjects.LedgerRecordList{Items: make([]subjects.LedgerRecord, len(entries))}
	for i, e := range entries {
		list.Items[i] = subjects.LedgerRecord{Index: e.Leaf, EntryID: e.EntryID, Entry: e.Data}
		change := changes[e.EntryID]
		if len(change.Salt) == 0 {
			continue
		}
		text, err := recordText(consents[change.ConsentID], change)
		if err != nil {
			return subjects.LedgerRecordList{}, err
		}
		list.Items[i].Text, list.Items[i].Salt = string(text), change.Salt
	}
	return list, nil
}

func encodeHashes(hashes []tlog.Hash) []string {
	list := make([]string, len(hashes))
	for i, hash := range hashes {
		list[i] = base64.StdEncoding.EncodeToString(hash[:])
	}
	return list
}

// defaultOrigin is the URL of the ledger without its scheme; with an id where the issuer is no URL, because no two logs may have one origin.
func defaultOrigin(issuer, id string) string {
	const path = "/v1/consents/ledger"
	if _, host, isURL := strings.Cut(issuer, "://"); isURL {
		return strings.TrimSuffix(host, "/") + path
	}
	return "weft/" + id + path
}

// openLedger opens the ledger.
func (a *Actor) openLedger(ctx context.Context) (*ledger.Ledger, error) {
	witnesses, err := ledger.ParseWitnesses(a.config.Ledger.Witnesses)
	if err != nil {
		return nil, err
	}
	client, err := egress.New(egress.Options{Allow: a.EgressAllow, AllowHTTP: a.EgressAllowHTTP, MaxBody: maxWitnessAnswer, Timeout: witnessTimeout})
	if err != nil {
		return nil, err
	}
	origin := a.config.Ledger.Origin
	if origin == "" {
		origin = defaultOrigin(a.Issuer, a.NewID())
	}
	return ledger.Open(ctx, ledger.Options{
		DB: a.DB, Sealer: a.Sealer, JS: a.Conn.JS, Log: a.Log, Origin: origin,
		Witnesses: witnesses, Quorum: a.config.Ledger.Quorum, Client: client,
		Now: a.Now, Missing: func(entries int64) { a.metrics.ledgerMissing.Set(float64(entries)) },
		Grown: func(size int64, added int) {
			a.metrics.ledgerEntries.Set(float64(size))
			a.metrics.ledgerAdded.Add(float64(added))
		},
	})
}
