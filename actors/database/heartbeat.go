package database

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// heartbeatFill is what a heartbeat writes on SQLite, in bytes: more than a page has, so that a full disk refuses it.
const heartbeatFill = 8 << 10

type heartbeat struct {
	bun.BaseModel `bun:"table:weft_heartbeat"`

	BeatAt int64 `bun:",pk"` // microseconds since the Unix epoch
	Fill   []byte
}

// Heartbeat commits a row, for health checks. The error matches ErrUnavailable if the database takes no writes.
func (db *DB) Heartbeat(ctx context.Context) error {
	beat := heartbeat{BeatAt: time.Now().UnixMicro(), Fill: []byte{}}
	if db.dialect == DialectSQLite {
		beat.Fill = make([]byte, heartbeatFill)
	}
	err := db.RunInTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		// The new row is stored before the old ones make room for it.
		if _, err := tx.NewInsert().Model(&beat).On("CONFLICT (beat_at) DO NOTHING").Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		_, err := tx.NewDelete().TableExpr("weft_heartbeat").Where("beat_at < ?", beat.BeatAt).Exec(ctx)
		return err
	})
	if err == nil {
		return nil
	}
	if !errors.Is(err, ErrUnavailable) && ctx.Err() == nil { // whatever the reason is, it takes no writes
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return fmt.Errorf("writing a heartbeat: %w", err)
}
