package idempotency_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/idempotency"
)

// TestRecordsOfACallerAreBounded fills the records of one caller: its further keys are refused, its known ones are replayed, and
// other callers are not concerned. The count survives a restart, and expired records free their places.
func TestRecordsOfACallerAreBounded(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, kind actortest.Database) {
		db, clock, sealer := kind.Open(t, "auth", actortest.Things), &actortest.Clock{}, actortest.Sealer(t)
		open := func(bytes int64) *idempotency.Store {
			return idempotency.New(idempotency.Config{
				DB: db, Sealer: sealer, Log: zap.NewNop(), Now: clock.Now, MaxRecords: 3, MaxBytes: bytes,
			})
		}
		call := func(s *idempotency.Store, caller, key string, answer []byte) error {
			_, _, err := s.Do(t.Context(), idempotency.Key{Endpoint: "e", Caller: caller, Key: key}, nil, nil,
				func(context.Context) (idempotency.Answer, error) { return idempotency.Answer{Body: answer}, nil })
			return err
		}
		s := open(0)
		for n := range 3 {
			if err := call(s, "user 1", strconv.Itoa(n), []byte("1")); err != nil {
				t.Fatal(err)
			}
		}
		if err := call(s, "user 1", "3", []byte("1")); !errors.Is(err, idempotency.ErrTooMany) {
			t.Errorf("a fourth key: %v", err)
		}
		if n := actortest.Count(t, db, "weft_idempotency"); n != 3 {
			t.Errorf("%d records", n)
		}
		for _, key := range []string{"0", "1"} {
			if err := call(s, "user 1", key, []byte("2")); err != nil {
				t.Errorf("a known key: %v", err)
			}
		}
		if err := call(s, "user 2", "3", []byte("1")); err != nil {
			t.Errorf("another caller: %v", err)
		}
		s = open(0)
		if _, err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := call(s, "user 1", "3", []byte("1")); !errors.Is(err, idempotency.ErrTooMany) {
			t.Errorf("a fourth key after a restart: %v", err)
		}
		clock.Advance(25 * time.Hour)
		if _, err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := call(s, "user 1", "3", []byte("1")); err != nil {
			t.Errorf("after the others expired: %v", err)
		}
		s = open(10_000)
		if err := errors.Join(call(s, "user 3", "0", make([]byte, 10_000)), call(s, "user 3", "1", nil)); !errors.Is(err, idempotency.ErrTooMany) {
			t.Errorf("beyond the bytes: %v", err)
		}
	})
}
