package database

import (
	"context"

	"github.com/uptrace/bun"
)

// Batch collects values that transactions write, and writes those of one transaction together before it is committed: by one statement,
// however many parts of the transaction add to it. Values of a savepoint that is rolled back are not written.
type Batch[T any] struct {
	db    *DB
	write func(ctx context.Context, tx bun.Tx, values []T) error
}

// NewBatch returns a batch whose values write writes. write is called at the end of the transaction's function, with what was added so far;
// in a Held again before its commit, if more was added. Its errors are those of the transaction.
func NewBatch[T any](db *DB, write func(ctx context.Context, tx bun.Tx, values []T) error) *Batch[T] {
	return &Batch[T]{db: db, write: write}
}

// Add adds values to the open transaction of ctx, see DB.HasTx. It panics if there is none.
func (b *Batch[T]) Add(ctx context.Context, values ...T) {
	o := b.db.transaction(ctx)
	if o == nil {
		panic("database: Batch.Add outside a transaction")
	}
	for _, value := range values {
		o.pending = append(o.pending, pendingValue{b, value})
	}
}

// batch is a Batch of any type.
type batch interface {
	writeAll(ctx context.Context, tx bun.Tx, values []pendingValue) error
}

// pendingValue is a value that a transaction writes before its commit.
type pendingValue struct {
	batch batch
	value any
}

// writeAll writes those of values that belong to b.
func (b *Batch[T]) writeAll(ctx context.Context, tx bun.Tx, values []pendingValue) error {
	var own []T
	for _, v := range values {
		if v.batch == batch(b) {
			own = append(own, v.value.(T))
		}
	}
	return b.write(ctx, tx, own)
}

// flush writes what the transaction's batches have collected.
func (o *Transaction) flush(ctx context.Context) error {
	ctx = context.WithValue(ctx, transactionKey{}, o)
	for len(o.pending) > 0 {
		values := o.pending
		o.pending = nil
		written := map[batch]bool{}
		for _, v := range values {
			if written[v.batch] {
				continue
			}
			written[v.batch] = true
			if err := v.batch.writeAll(ctx, o.tx, values); err != nil {
				return err
			}
		}
	}
	return nil
}
