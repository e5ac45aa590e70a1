package edges

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// edgeRow is an edge node as it reported at its last contact.
type edgeRow struct {
	bun.BaseModel `bun:"table:edges"`

	Name           string `bun:"name,pk"`
	LastSeen       int64  `bun:"last_seen"`
	LeaseUntil     int64  `bun:"lease_until"`
	Version        string `bun:"version"`
	Hub            string `bun:"hub"`
	OutboxMessages int64  `bun:"outbox_messages"`
	OutboxBytes    int64  `bun:"outbox_bytes"`
	LagMS          int64  `bun:"lag_ms"`
	Refused        int64  `bun:"refused"`
	SkewMS         int64  `bun:"skew_ms"`
}

// outboxRow is an outbox of an edge node.
type outboxRow struct {
	bun.BaseModel `bun:"table:edge_outboxes"`

	Edge   string `bun:"edge,pk"`
	Outbox string `bun:"outbox,pk"`
	// Through is the highest sequence of the messages that are stored, Received their number.
	Through   int64 `bun:"through"`
	Received  int64 `bun:"received"`
	UpdatedAt int64 `bun:"updated_at"`
}

// putEdge stores what an edge node has reported.
func putEdge(ctx context.Context, tx database.Tx, row edgeRow) error {
	q := tx.NewInsert().Model(&row).On("CONFLICT (name) DO UPDATE")
	for _, column := range []string{
		"last_seen", "lease_until", "version", "hub", "outbox_messages", "outbox_bytes", "lag_ms", "refused", "skew_ms",
	} {
		q.Set("? = EXCLUDED.?", bun.Ident(column), bun.Ident(column))
	}
	if _, err := q.Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("storing the report of an edge node: %w", err)
	}
	return nil
}

// edgesNamed reads edge nodes by name.
func edgesNamed(ctx context.Context, db bun.IDB, names []string) (map[string]edgeRow, error) {
	var rows []edgeRow
	if err := db.NewSelect().Model(&rows).Where("name IN (?)", bun.List(names)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading edge nodes: %w", err)
	}
	found := make(map[string]edgeRow, len(rows))
	for _, row := range rows {
		found[row.Name] = row
	}
	return found, nil
}

// receivedBy returns how many messages of each of some edge nodes are stored, over all of its outboxes.
func receivedBy(ctx context.Context, db bun.IDB, names []string) (map[string]int64, error) {
	var rows []outboxRow
	if err := db.NewSelect().Model(&rows).Column("edge", "received").Where("edge IN (?)", bun.List(names)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("reading the outboxes of edge nodes: %w", err)
	}
	sums := map[string]int64{}
	for _, row := range rows {
		sums[row.Edge] += row.Received
	}
	return sums, nil
}

// errRace means that another call has advanced the outbox concurrently.
var errRace = &subjects.Error{
	Code: subjects.CodeUnavailable, Detail: "messages of the same outbox are being stored; retry", RetryAfter: subjects.RetrySoon,
}

// through reads the highest stored sequence of an outbox; 0 if there is none.
func through(ctx context.Context, tx database.Tx, edge, outbox string) (int64, error) {
	var row outboxRow
	err := tx.NewSelect().Model(&row).Column("through").Where("edge = ?", edge).Where("outbox = ?", outbox).Scan(ctx)
	err = database.OneRow(err, "reading an outbox", errUnknown)
	if errors.Is(err, errUnknown) {
		return 0, nil
	}
	return row.Through, err
}

var errUnknown = errors.New("unknown outbox")

// advance sets the highest stored sequence of an outbox from one to another, and counts messages. The error is errRace if it is no longer at
// from.
func advance(ctx context.Context, tx database.Tx, edge, outbox string, from, to int64, count int, now time.Time) error {
	if from == 0 {
		row := outboxRow{Edge: edge, Outbox: outbox}
		if _, err := tx.NewInsert().Model(&row).On("CONFLICT (edge, outbox) DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
			return fmt.Errorf("creating an outbox: %w", err)
		}
	}
	result, err := tx.NewUpdate().Model((*outboxRow)(nil)).Set("through = ?", to).Set("received = received + ?", count).
		Set("updated_at = ?", now.UnixMicro()).Where("edge = ?", edge).Where("outbox = ?", outbox).Where("through = ?", from).Exec(ctx)
	if err != nil {
		return fmt.Errorf("advancing an outbox: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, errRace)
	}
	return nil
}
