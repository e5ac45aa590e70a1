package quota_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/quota"
	"github.com/weftmesh/weft/subjects"
)

// TestParallelTransactionsKeepABound adds rows in parallel: exactly as many are admitted as the bound allows, the others get its
// name, a deletion frees a place, and refusals are counted.
func TestParallelTransactionsKeepABound(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db := kind.Open(t, "auth", actortest.Things)
		bound := &quota.Bound{
			Name: "auth.max_things", What: "things", Unit: quota.Count, Limit: 5,
			Used: func(ctx context.Context, db bun.IDB, _ string) (int64, error) {
				n, err := db.NewSelect().TableExpr("things").Count(ctx)
				return n, err
			},
		}
		registry := prometheus.NewRegistry()
		q := quota.New(db, registry, bound)
		add := func(id string) error {
			return db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
				if err := q.Reserve(ctx, tx, bound, "ada", 1); err != nil {
					return err
				}
				return actortest.AddThing(ctx, tx, id)
			})
		}
		var admitted atomic.Int64
		var group sync.WaitGroup
		for n := range 20 {
			group.Go(func() {
				err := add(fmt.Sprint(n))
				var coded *subjects.Error
				switch {
				case err == nil:
					admitted.Add(1)
				case !errors.As(err, &coded) || coded.Code != subjects.CodeRateLimited || coded.Reason != subjects.ReasonLimitReached ||
					coded.Detail != "a user may have at most 5 things (auth.max_things)":
					t.Error(err)
				}
			})
		}
		group.Wait()
		if n := actortest.Count(t, db, "things"); n != 5 || admitted.Load() != 5 {
			t.Errorf("%d rows, %d admitted, want 5", n, admitted.Load())
		}
		families, err := registry.Gather()
		if err != nil || len(families) != 1 || families[0].GetMetric()[0].GetCounter().GetValue() != 15 {
			t.Errorf("refusals are counted as %v, %v, want 15", families, err)
		}
		err = db.RunInTx(t.Context(), func(ctx context.Context, tx bun.Tx) error {
			_, err := tx.NewDelete().TableExpr("things").Where("id IN (SELECT min(id) FROM things)").Exec(ctx)
			return err
		})
		if err := errors.Join(err, add("again")); err != nil {
			t.Errorf("after a deletion: %v", err)
		}
		if list, err := q.List(t.Context(), "ada"); err != nil || len(list.Items) != 1 || *list.Items[0].Used != 5 || list.Items[0].Limit != 5 {
			t.Errorf("the list is %+v, %v", list, err)
		}
	})
}
